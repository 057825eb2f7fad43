"""The invertible constant-Q transform against the direct sum that defines it, and against itself: there and back.

No library here has one to compare with. The definition is written out below from the paper's idea alone: each band's
response is an integral over its frequencies, each coefficient a sum over samples of the mirrored clip.

A round trip is two FFTs of up to 2^20 points, of bands and back: some 40 roundings that add up by chance, 6e-8 *
sqrt(40) = 4e-7 in float32, 128 dB. It is asked for 90 dB there and 120 dB in float64; that is 136 dB for what the
lowest bands hold, by what they ring past a slice's transition, and more for everything else.
"""

from __future__ import annotations

import itertools

import librosa
import numpy as np
import pytest
import scipy.special
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
from tests.oracle import random, relative_error
from tests.recordings import FSDD


def snr(x, y):
    """How far, in dB, x stands above its difference from y."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return 20 * np.log10(np.linalg.norm(x) / max(np.linalg.norm(x - y), 1e-300))


def chord(n, sample_rate, root, seed=0):
    """Three notes with overtones that begin and die away, and begin again."""
    random = np.random.default_rng(seed)
    t = np.arange(n) / sample_rate
    notes = [root * ratio * harmonic for ratio in (1.0, 1.26, 1.498) for harmonic in (1, 2, 3, 4)]
    tones = sum(np.cos(2 * np.pi * f * t + random.uniform(0, 6)) / (i % 4 + 1) for i, f in enumerate(notes))
    return tones * np.exp(-((t * 2.3) % 1.0) * 4)


# ---------------------------------------------------------------- the definition


def definition(x, transform, reach):
    """Every coefficient as a sum over the samples within `reach` of its frame, of the clip mirrored at both ends."""
    rate, hop = transform.sample_rate, transform.hop_length
    frames = 1 + -(-(len(x) - 1) // hop)
    x = np.pad(x, (0, (frames - 1) * hop + 1 - len(x)))
    mirrored = np.pad(x, reach, mode="reflect")
    centers = transform.frequencies.numpy()
    fades = [[p, q] for p, q in itertools.pairwise(centers)]
    if transform.constant_q.start == 1:
        fades[0][0] = centers[1] * 2 ** (-1 / transform.bins_per_octave)

    def up(f, fade):
        u = np.clip((f - fade[0]) / (fade[1] - fade[0]), 0, 1)
        return np.sin(np.pi / 2 * scipy.special.betainc(8, 8, u))

    def down(f, fade):
        u = np.clip((f - fade[0]) / (fade[1] - fade[0]), 0, 1)
        return np.cos(np.pi / 2 * scipy.special.betainc(8, 8, u))

    t = np.arange(-reach, reach + 1)
    # a sum over frequencies repeats in time after 1 / step seconds: five times the reach
    step = rate / (10 * reach)
    out = np.empty((len(centers), frames), dtype=complex)
    for k in range(len(centers)):
        low = -fades[0][1] if k == 0 else fades[k - 1][0]
        high = 2 * centers[-1] - fades[-1][0] if k == len(centers) - 1 else fades[k][1]
        f = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
        if k == 0:
            band, scale = down(np.abs(f), fades[0]), 1.0
        elif k == len(centers) - 1:
            band, scale = up(np.minimum(f, 2 * centers[-1] - f), fades[-1]), 1.0
        else:
            band, scale = up(f, fades[k - 1]) * down(f, fades[k]), 2.0
        response = scale * (band * (step / rate)) @ np.exp(2j * np.pi / rate * np.outer(f, t))
        for n in range(frames):
            out[k, n] = np.sum(mirrored[n * hop : n * hop + 2 * reach + 1] * response[::-1])
    return out


DENSE = [
    {"sample_rate": 8000, "f_min": 1000.0, "bins_per_octave": 2},
    {"sample_rate": 8000, "f_min": 700.0, "bins_per_octave": 3, "f_max": 1500.0, "hop_length": 6},
    {"sample_rate": 11025, "f_min": 2000.0, "bins_per_octave": 5, "hop_length": 7},
]


@pytest.mark.parametrize("config", DENSE, ids=str)
def test_a_clip_of_one_slice_is_the_direct_sum(config):
    transform = InvertibleCQT(**config)
    x = random(399)
    ours = transform(torch.from_numpy(x))
    assert transform.inverse_transform().frame_lengths(torch.tensor(ours.shape[-1])) <= transform.latency
    expected = definition(x, transform, reach=3 * transform.transition)
    assert ours.shape == expected.shape
    assert relative_error(ours.numpy(), expected) <= 1e-9
    # an FFT and its inverse: some 30 roundings of 6e-8 that add up by chance
    assert relative_error(transform(torch.from_numpy(x).float()).numpy(), expected) <= 1e-6


@pytest.mark.parametrize("config", DENSE, ids=str)
def test_a_clip_of_many_slices_is_the_direct_sum(config):
    """In every bin by itself, so that no loud one covers a quiet one; a transition of t = 8 leaves 1e-6."""
    transform = InvertibleCQT(**config)
    even = transform.hop_length * (1 + transform.hop_length % 2)
    transform = InvertibleCQT(**config, slice_length=even * -(-(2 * transform.transition + 150) // even))
    x = random(1801, seed=1)
    ours = transform(torch.from_numpy(x)).numpy()
    assert ours.shape[-1] > 3 * transform.frame.slices.kept + transform.frame.slices.margin
    for mine, theirs in zip(ours, definition(x, transform, reach=3 * transform.transition), strict=True):
        assert relative_error(mine, theirs) <= 1e-6


# ---------------------------------------------------------------- there and back


@st.composite
def there_and_back(draw):
    rate = draw(st.sampled_from([8000, 11025, 12345, 16000, 22050, 44100]))
    bins = draw(st.integers(12, 48))
    f_min = rate / draw(st.floats(4.5, 40.0))
    f_max = draw(st.one_of(st.none(), st.floats(f_min, rate / 2)))
    config = {"sample_rate": rate, "f_min": f_min, "f_max": f_max, "bins_per_octave": bins}
    default = InvertibleCQT(**config)
    if draw(st.booleans()):
        config["hop_length"] = draw(st.integers(max(1, default.hop_length // 2), default.hop_length))
        default = InvertibleCQT(**config)
    if draw(st.booleans()):
        even = default.hop_length * (1 + default.hop_length % 2)
        more = draw(st.floats(0.05, 3.0)) * default.transition
        config["slice_length"] = even * int(np.ceil((2 * default.transition + more + 1) / even))
    transform = InvertibleCQT(**config)
    step = transform.slice_length - 2 * transform.transition
    slices = draw(st.floats(0.0, 3.0))
    n = draw(st.one_of(st.integers(1, 60), st.just(int(transform.transition + slices * step) + 1)))
    return transform, min(n, 250_000)


@settings(max_examples=25)
@given(drawn=there_and_back(), seed=st.integers(0, 9))
def test_what_is_transformed_comes_back(drawn, seed):
    transform, n = drawn
    lowest = float(transform.frequencies[transform.constant_q][0])
    for x in (random(n, seed=seed), chord(n, transform.sample_rate, lowest, seed) + 1e-3):
        x = torch.from_numpy(x)
        coefficients = transform(x)
        assert coefficients.shape == (transform.n_bins, transform.frame_lengths(torch.tensor(n)))
        assert snr(x, transform.inverse(coefficients, n)) >= 120
        single = transform.inverse(transform(x.float()), n)
        assert single.dtype == torch.float32
        assert snr(x, single) >= 90
    # not asked for a length, the inverse has nothing past it but rounding
    rest = transform.inverse(coefficients)
    assert n <= rest.shape[-1] < n + transform.hop_length
    assert float(rest[n:].abs().sum()) <= 1e-5 * float(x.norm())


@pytest.mark.parametrize("bins_per_octave", [12, 24])
def test_speech_comes_back(bins_per_octave):
    """Recordings one by one, which are a slice each, and one after another, which are many, at the default C1."""
    if not (FSDD / "recordings").is_dir():
        pytest.skip(f"no {FSDD}/recordings; set AUDIOFEED_FSDD to the dataset's folder")
    clips = [soundfile.read(path)[0] for path in sorted((FSDD / "recordings").glob("*_0.wav"))]
    transform = InvertibleCQT(sample_rate=8000, bins_per_octave=bins_per_octave)
    together = np.concatenate(clips * 3)[: transform.latency * 3 + 5]
    for x in (*clips[:5], together):
        x = torch.from_numpy(x)
        assert snr(x, transform.inverse(transform(x), len(x))) >= 120
        assert snr(x, transform.inverse(transform(x.float()), len(x))) >= 90
    assert len(together) > 2 * transform.latency


def test_a_shorter_transition_costs_what_the_docstring_says():
    for times, least in ((1, 20), (3, 48), (5, 82), (7, 118), (8, 136)):
        transition = 16 * int(np.ceil(times * 8000 / (300 * (1 - 2 ** (-1 / 12))) / 16))
        transform = InvertibleCQT(sample_rate=8000, f_min=300.0, transition=transition, hop_length=16)
        t = np.arange(12 * transition + 777) / 8000
        for f in (300.0, 296.0, 309.0):
            x = torch.from_numpy(np.cos(2 * np.pi * f * t + 1))
            assert snr(x, transform.inverse(transform(x), len(x))) >= least


# ---------------------------------------------------------------- values


TONES = {"sample_rate": 16000, "f_min": 300.0, "f_max": 3000.0, "bins_per_octave": 12}


@pytest.mark.parametrize("slices", [None, 1.1], ids=["long", "short"])
def test_a_tone_has_its_amplitude_and_phase_in_its_bin_and_is_in_no_other(slices):
    """At every frame, whatever slice it lies in: no modulation."""
    transform = InvertibleCQT(**TONES)
    if slices:
        length = transform.hop_length * int(2.1 * transform.transition / transform.hop_length)
        transform = InvertibleCQT(**TONES, slice_length=length)
    t = torch.arange(5 * transform.latency, dtype=torch.float64) / 16000
    for k in range(transform.constant_q.start, transform.constant_q.stop, 12):
        f = float(transform.frequencies[k])
        found = transform(0.3 * torch.cos(2 * torch.pi * f * t + 0.5))
        ring = transform.transition // transform.hop_length
        found = found[:, ring:-ring]  # the mirror turns the phase at the ends
        assert found.shape[-1] > 3 * transform.frame.slices.kept
        times = transform.times(found.shape[-1] + ring)[ring:]
        expected = 0.3 * torch.exp(1j * (2 * torch.pi * f * times + 0.5))
        assert float((found[k] - expected).abs().max()) <= 0.3 * 1e-5
        others = torch.cat([found[:k], found[k + 1 :]])
        assert float(others.abs().max()) <= 0.3 * 1e-5
        decibels = 20 * torch.log10(found[k].abs())
        assert float(decibels.max() - decibels.min()) <= 1e-3


def test_all_bins_have_the_same_q():
    """A tone at the same fraction of the way to the next bin has the same magnitudes in both, wherever they lie."""
    transform = InvertibleCQT(**TONES)
    t = torch.arange(40_000, dtype=torch.float64) / 16000
    middle = slice(transform.transition // transform.hop_length, -transform.transition // transform.hop_length)
    step = 2 ** (1 / 12)
    for part in (0.3, 0.5, 0.8):
        falls = np.cos(np.pi / 2 * scipy.special.betainc(8, 8, part))
        rises = np.sin(np.pi / 2 * scipy.special.betainc(8, 8, part))
        for k in range(transform.constant_q.start, transform.constant_q.stop - 1, 9):
            f = float(transform.frequencies[k]) * (1 + part * (step - 1))
            found = transform(torch.cos(2 * torch.pi * f * t)).abs()[:, middle]
            torch.testing.assert_close(found[k], torch.full_like(found[k], falls), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(found[k + 1], torch.full_like(found[k], rises), rtol=1e-5, atol=1e-5)


def test_magnitudes_are_those_of_librosas_constant_q_of_the_same_width():
    """With kernels twice as long librosa's bins are about as wide; the shapes of the windows still differ."""
    rate, hop = 22050, 64
    x = chord(3 * rate, rate, 220.0) * 0.1
    config = {"f_min": 110.0, "f_max": 1800.0, "bins_per_octave": 12}
    transform = InvertibleCQT(sample_rate=rate, **config, hop_length=hop, power=1.0)
    ours = transform(torch.from_numpy(x)).numpy()[transform.constant_q]
    theirs = np.abs(
        librosa.cqt(x, sr=rate, hop_length=hop, fmin=110.0, n_bins=len(ours), filter_scale=2.0, scale=False, sparsity=0)
    )
    lengths, _ = librosa.filters.wavelet_lengths(
        freqs=transform.frequencies[transform.constant_q].numpy(), sr=rate, filter_scale=2.0
    )
    theirs = 2 * theirs[:, : ours.shape[-1]] / lengths[:, None]  # of a tone, its amplitude
    ours = ours[:, : theirs.shape[-1]]
    inner = slice(rate // hop // 2, -rate // hop // 2)
    assert relative_error(ours[:, inner], theirs[:, inner]) <= 0.15
    together = np.corrcoef(ours[:, inner].ravel(), theirs[:, inner].ravel())[0, 1]
    assert together >= 0.99
