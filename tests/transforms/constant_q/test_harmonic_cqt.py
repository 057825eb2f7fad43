"""The stack of harmonics against one `librosa.cqt` for each, over settings that Hypothesis draws.

The tolerances are those of test_constant_q, for its reasons: 1e-6 in float64, which is the rounding of librosa's
float32 wavelets and halvings; 1e-5 in float32. Where librosa lowers the rate of a low harmonic before its highest
octave by a factor of 4 or more, it filters once and drops what stood at the loud ends of a clip (see there); here the
other harmonics' halvings are shared. Between silent ends the two differ by the filters alone (`EARLY`).
"""

from __future__ import annotations

import math
import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.plans.constant_q.levels import octave_levels
from audiofeed.plans.constant_q.shared_bins import harmonic_steps
from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from tests.oracle import COMPAT, NUMPY_MODE, random, relative_error

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
# one filter for a factor of 4 or more and halvings one after another differ where the first is no longer flat: what a
# wavelet with a steep window has up there. Measured 5e-7 with a Hann window, 1.2e-5 with a Hamming window.
EARLY = 1e-4
C1 = librosa.note_to_hz("C1")
NAMES = {"sample_rate": "sr"}
OURS = ("method", "power", "f_min", "harmonics", "above_nyquist", "exact")


def of_librosa(y, frequency, **config):
    """One harmonic's transform, with our names."""
    config = {NAMES.get(name, name): value for name, value in config.items() if name not in OURS}
    config["pad_mode"] = NUMPY_MODE[config.get("pad_mode", "constant")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips shorter than a frame, which are right all the same
        return librosa.cqt(y, fmin=frequency, **config)


def stack(y, harmonics, f_min, **config):
    """The harmonics, each by librosa, and the frames that all of them have."""
    found = [of_librosa(y, f_min * harmonic, **config) for harmonic in harmonics]
    frames = min(each.shape[-1] for each in found)
    return np.stack([each[..., :frames] for each in found], axis=-3)


def check(transform, y, expected, early):
    """Every harmonic within its tolerance in both dtypes; `early`: how far librosa first lowers the rate of each."""
    for dtype, tolerance in TOLERANCE.items():
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert ours.shape == expected.shape
        for harmonic, found, wanted, factor in zip(transform.harmonics, ours, expected, early, strict=True):
            # a clip of a few samples may leave nearly nothing of a wavelet but what soxr's float32, 1e-7 of the clip at
            # every sample, makes of it
            least = 1e-1 * float(transform.kernels.abs().max()) * np.linalg.norm(y)
            error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), least)
            limit = EARLY if factor > 2 else tolerance
            assert error <= limit, f"{dtype}, harmonic {harmonic}: relative error {error:.2e} above {limit}"


@st.composite
def stacks(draw):
    bins_per_octave = draw(st.sampled_from([12, 13, 24, 36]))
    sample_rate = draw(st.sampled_from([8000, 16000, 22050]))
    harmonics = draw(
        st.one_of(
            st.sampled_from([(0.5, 1, 2, 3, 4, 5), (1, 2, 4), (0.25, 3, 6), (1, 1.5), (5, 1, 0.5), (1, 16)]),
            st.lists(st.sampled_from([0.25, 0.5, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8]), min_size=1, max_size=4, unique=True),
            st.just((1, 2 ** (1 / bins_per_octave), 2 ** (7 / bins_per_octave))),
        )
    )
    # of a frequency that no bin of an FFT has: there two bins are equally large, and rounding decides which is dropped
    f_min = draw(st.floats(0.004, 0.012)) * sample_rate * 1.0001 / min(harmonics)
    assume(f_min * max(harmonics) < 0.2 * sample_rate)
    room = np.log2(0.42 * sample_rate / f_min / max(harmonics)) * bins_per_octave
    return {
        "sample_rate": sample_rate,
        "harmonics": tuple(harmonics),
        "f_min": f_min,
        "bins_per_octave": bins_per_octave,
        "n_bins": draw(st.integers(1, max(1, int(room) - 3))),
        "hop_length": draw(st.one_of(st.sampled_from([512, 256, 441, 100, 511, 64]), st.integers(100, 1200))),
        "filter_scale": draw(st.sampled_from([1.0, 0.7])),
        "norm": draw(st.sampled_from([1.0, 2.0])),
        "window": draw(st.sampled_from(["hann", "hamming"])),
        "pad_mode": draw(st.sampled_from(["constant", "replicate"])),
        "sparsity": draw(st.sampled_from([0.0, 0.01])),
        "scale": draw(st.booleans()),
        "tuning": draw(st.sampled_from([0.0, -0.3])),
    }


@settings(max_examples=25, deadline=None)
@given(config=stacks(), n=st.integers(1, 12000), seed=st.integers(0, 2**16))
def test_each_harmonic_is_librosas(config, n, seed):
    # one sample, repeated for ever, is a constant, of which a bin holds no more than rounding leaves
    assume(n > 1 or config["pad_mode"] == "constant")
    transform = HarmonicCQT(power=None, compat=COMPAT, **config)
    own = [
        CQT(
            **{name: value for name, value in config.items() if name not in ("harmonics", "f_min")},
            f_min=config["f_min"] * harmonic,
        )
        .kernel_bank.levels[0]
        .factor
        for harmonic in config["harmonics"]
    ]
    y = random(n, seed=seed)
    if max(own) > 1:  # silence, as much as the filter in front of an early lower rate sees
        y = np.concatenate([np.zeros(128 * max(own)), y, np.zeros(128 * max(own))])
    check(transform, y, stack(y, **config), own)


@pytest.mark.parametrize("hop", [256, 512])
def test_the_defaults_of_deep_salience(hop):
    """22050 Hz, 60 bins in an octave, 6 octaves from C1, harmonics 1/2 to 5; two channels, and a batch."""
    config = {"sample_rate": 22050, "hop_length": hop, "n_bins": 360, "bins_per_octave": 60}
    y = np.pad(random(2, 22050), [(0, 0), (2048, 2048)])
    transform = HarmonicCQT(compat=COMPAT, **config)
    expected = np.abs(stack(y, transform.harmonics, C1, **config))
    for dtype, tolerance in TOLERANCE.items():
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert ours.shape == expected.shape == (2, 6, 360, expected.shape[-1])
        assert relative_error(ours, expected) <= tolerance


def test_loud_ends_of_a_low_harmonic_are_all_that_early_downsampling_leaves():
    """What soxr forgets in one step by 4 lies in the first and the last frames; elsewhere nothing is left of it."""
    config = {"sample_rate": 22050, "n_bins": 72, "bins_per_octave": 12, "harmonics": (0.5, 1, 2)}
    y = random(22050 * 8)
    transform = HarmonicCQT(power=None, compat=COMPAT, **config)
    assert octave_levels(CQT(sample_rate=22050, f_min=C1 / 2, n_bins=72).bank, 512)[0].factor == 4
    assert transform.kernel_bank.levels[0].factor == 1
    expected = stack(y, transform.harmonics, C1, **{k: v for k, v in config.items() if k != "harmonics"})
    ours = transform(torch.from_numpy(y)).numpy()
    assert 1e-6 < relative_error(ours[0], expected[0]) <= 1e-2
    # half the longest wavelet, and what the filter sees
    seen = int(np.ceil((CQT(sample_rate=22050, f_min=C1 / 2, n_bins=72).bank.lengths.max() / 2 + 4096) / 512))
    assert relative_error(ours[0, :, seen:-seen], expected[0, :, seen:-seen]) <= 2e-6
    assert relative_error(ours[1:], expected[1:]) <= 1e-6


@pytest.mark.parametrize("method", ["octaves", "conv"])
@pytest.mark.parametrize("hop", [512, 441, 48])
def test_harmonics_are_our_own_transforms(hop, method):
    """To rounding in float64, with either method, wherever no rate falls by 4 at once."""
    config = {"sample_rate": 16000, "hop_length": hop, "n_bins": 50, "bins_per_octave": 12, "method": method}
    y = torch.from_numpy(random(6000))
    stacked = HarmonicCQT(**config, f_min=110.0, harmonics=(1, 2, 3, 3.9), power=None)
    for harmonic, found in zip(stacked.harmonics, stacked(y), strict=True):
        alone = CQT(**config, f_min=110.0 * harmonic, power=None)
        assert alone.kernel_bank.levels[0].factor <= 2
        assert relative_error(found.numpy(), alone(y).numpy()) <= 1e-9


def test_zeros_above_nyquist():
    """A harmonic keeps the bins that fit, as librosa computes them; one with none is all zeros."""
    y = np.pad(random(8000), 1024)
    config = {"sample_rate": 16000, "n_bins": 60, "bins_per_octave": 12, "f_min": 200.0, "harmonics": (1, 2, 3, 50)}
    transform = HarmonicCQT(**config, above_nyquist="zeros", compat=COMPAT)
    ours = transform(torch.from_numpy(y))
    for harmonic, found in zip(config["harmonics"], ours.numpy(), strict=True):
        kept = next(
            (n for n in range(60, 0, -1) if fits(200.0 * harmonic, n, 16000)),
            0,
        )
        assert (found[kept:] == 0).all()
        if kept:
            assert (found[:kept] != 0).any(-1).all()
            expected = np.abs(of_librosa(y, 200.0 * harmonic, sample_rate=16000, n_bins=kept, bins_per_octave=12))
            assert relative_error(found[:kept], expected) <= 1e-6
    assert [int((found != 0).any(-1).sum()) for found in ours] == [60, 52, 45, 0]


def fits(f_min, n_bins, sr):
    """Whether librosa takes so many bins."""
    try:
        of_librosa(np.zeros(100), f_min, sample_rate=sr, n_bins=n_bins)
    except librosa.ParameterError:
        return False
    return True


@pytest.mark.parametrize("bins_per_octave", [12, 36])
def test_the_nearest_bins_are_slices_of_one_transform(bins_per_octave):
    """As in Basic Pitch; and their frequencies are off by what the documentation says."""
    harmonics = (0.5, 1, 2, 3, 4, 5, 7)
    config = {"sample_rate": 22050, "bins_per_octave": bins_per_octave, "hop_length": 256}
    n_bins, y = 4 * bins_per_octave, torch.from_numpy(random(9000))
    near = HarmonicCQT(**config, f_min=55.0, n_bins=n_bins, harmonics=harmonics, exact=False)
    shifts = np.round(bins_per_octave * np.log2(np.array(harmonics) * 2)).astype(int)
    one = CQT(**config, f_min=27.5, n_bins=n_bins + int(shifts.max()))
    expected = one(y)
    for found, shift in zip(near(y), shifts, strict=True):
        assert torch.equal(found, expected[shift : shift + n_bins])
    own = HarmonicCQT(**config, f_min=55.0, n_bins=n_bins, harmonics=harmonics).frequencies
    cents = (1200 * torch.log2(near.frequencies / own)).abs().amax(1)
    wanted = {12: [0, 0, 0, 1.955, 0, 13.686, 31.174], 36: [0, 0, 0, 1.955, 0, 13.686, 2.159]}[bins_per_octave]
    assert cents.tolist() == pytest.approx(wanted, abs=1e-3)


def test_frequencies_are_multiples():
    transform = HarmonicCQT(sample_rate=22050, tuning=0.25)
    expected = [librosa.cqt_frequencies(360, fmin=C1 * h, bins_per_octave=60, tuning=0.25) for h in transform.harmonics]
    np.testing.assert_allclose(transform.frequencies, expected, rtol=1e-12)


def test_a_tone_lies_in_the_same_bin_of_all_its_harmonics():
    """What the stack is for: the partials of a tone at bin k meet in row k, and nowhere else do as many."""
    transform = HarmonicCQT(sample_rate=22050, harmonics=(1, 2, 3, 4, 5), n_bins=72, bins_per_octave=12)
    t = torch.arange(44100) / 22050
    f0 = float(transform.frequencies[0, 40])
    tone = sum(torch.sin(2 * torch.pi * harmonic * f0 * t) for harmonic in (1, 2, 3, 4, 5))
    strength = transform(tone)[..., 20:60].mean(-1)
    assert int(strength.log().sum(0).argmax()) == 40
    # equal partials: a wavelet's length, and the root of it that scales it, fall with the harmonic
    expected = strength[0, 40] / torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).sqrt()
    torch.testing.assert_close(strength[:, 40], expected, rtol=1e-3, atol=0.0)


def test_shared_bins_are_computed_once():
    """Six octaves of six harmonics: 0.5, 1 and 2 share theirs as far as librosa has them at the same rate."""
    many = HarmonicCQT(sample_rate=22050)
    bins = many.kernel_bank.levels[-1].bands[-1].end
    assert bins == 60 * (8 + 3 * 6) < 0.75 * 6 * 360
    # at an odd hop, where all is at one rate, the harmonics 0.5, 1, 2 and 4 take 9 octaves
    odd = HarmonicCQT(sample_rate=22050, hop_length=441, bins_per_octave=12, n_bins=72)
    assert odd.kernel_bank.levels[-1].bands[-1].end == 12 * (9 + 6 + 6)
    dense = HarmonicCQT(sample_rate=22050, method="conv", bins_per_octave=12, n_bins=48, f_min=100.0)
    assert dense.kernel_bank.levels[-1].bands[-1].end == 12 * (7 + 4 + 4)
    rates = [level.part for level in many.kernel_bank.levels]
    assert len(set(rates)) == len(rates)


def test_steps_are_whole_where_that_is_rounding():
    steps = harmonic_steps([1.0, 2.0, 2 ** (1 / 12), 2 ** (7 / 12), 3.0], 12)
    assert steps[:4].tolist() == [0.0, 12.0, 1.0, 7.0]
    assert steps[4] == 12 * math.log2(3)
