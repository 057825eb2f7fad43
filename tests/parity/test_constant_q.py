"""The constant-Q family against librosa 0.11, over settings that Hypothesis draws, and against tones and impulses.

librosa rounds its wavelets, their spectra and each halving to float32, whatever the clip's dtype: 6e-8 for each of the
roundings a value passes through, of which a few are in a row. Measured 5e-8 at odd hops and 3e-7 to 5e-7 through seven
octaves; float64 is held to 1e-6. In float32 our own sums of 256 to 16384 products come to that: measured 3e-7 to 8e-7,
held to 1e-5.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import soxr
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.signal.halfband import FACTORS, decimation_filter
from audiofeed.signal.wavelets import interval_ratios, window_bandwidth
from audiofeed.transforms.constant_q import CQT, VQT
from tests.parity.oracle import NUMPY_MODE, relative_error

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
EARLY = 1e-5
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = {"sample_rate": "sr", "f_min": "fmin"}


def noise(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def of_librosa(function, y, **config):
    """librosa's function with our names; ours only are left out."""
    config = {NAMES.get(name, name): value for name, value in config.items() if name not in ("method", "power")}
    config["pad_mode"] = NUMPY_MODE[config.get("pad_mode", "constant")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips shorter than a frame, which are right all the same
        return function(y, **config)


def check(transform, y, expected):
    """Both dtypes within their tolerance of librosa's complex values."""
    early = transform._levels[0].factor > 2
    for dtype, tolerance in TOLERANCE.items():
        tolerance = EARLY if early else tolerance
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert ours.shape == expected.shape
        error = relative_error(ours, expected)
        assert error <= tolerance, f"{dtype}: relative error {error:.2e} above {tolerance}"


# ---------------------------------------------------------------- the filters and the scales


@pytest.mark.parametrize("factor", FACTORS)
def test_the_filters_are_soxr_hqs(factor):
    """Impulses at every offset, so that every sample of the response is seen; soxr computes in float32."""
    taps = decimation_filter(factor)
    reach = len(taps) // 2
    # each impulse costs a whole resampling: all offsets of a small factor, some of a large one
    worst = 0.0
    for offset in np.unique(np.linspace(0, factor - 1, 8).astype(int)):
        n = 4 * reach // factor * factor
        x = np.zeros(n)
        x[n // 2 // factor * factor + offset] = 1.0
        theirs = soxr.resample(x, factor, 1, quality="soxr_hq")
        ours = np.zeros(n + 2 * reach)  # the response, at its place in the clip and beyond
        ours[x.argmax() : x.argmax() + len(taps)] = taps
        ours = ours[reach : reach + n : factor]
        worst = max(worst, np.linalg.norm(theirs - ours) / np.linalg.norm(ours))
    assert worst <= 5e-7


def test_soxr_forgets_the_start_of_a_clip_and_ours_does_not():
    """Why early downsampling by 4 or more is held to librosa only where a clip starts softly.

    soxr divides the rate by 4 in two stages, and drops what the first has before time 0: its answer to an impulse just
    after the start is another than to the same impulse later, by a tenth. Ours is the same.
    """
    x = np.zeros((2, 4096))
    x[0, 1], x[1, 1025] = 1.0, 1.0
    theirs = np.stack([soxr.resample(row, 4, 1, quality="soxr_hq") for row in x])
    assert relative_error(theirs[0, :512], theirs[1, 256:768]) > 0.1
    taps = decimation_filter(4)
    ours = np.stack([np.convolve(row, taps)[len(taps) // 2 :][:4096:4] for row in x])
    assert relative_error(ours[0, :512], ours[1, 256:768]) < 1e-15
    assert relative_error(theirs[1], ours[1]) < 5e-7


@pytest.mark.parametrize("intervals", ["equal", "pythagorean", "ji3", "ji5", "ji7"])
@pytest.mark.parametrize("bins", [1, 5, 12, 17, 24, 36, 48])
def test_intervals_are_librosas(intervals, bins):
    theirs = librosa.interval_frequencies(bins, fmin=1.0, intervals=intervals, bins_per_octave=bins)
    np.testing.assert_allclose(interval_ratios(intervals, bins), theirs, rtol=1e-12)


@pytest.mark.parametrize("window", ["hann", "hamming", "blackmanharris", "boxcar", "flattop", ("kaiser", 8.6), "tukey"])
def test_window_bandwidths_are_librosas(window):
    np.testing.assert_allclose(window_bandwidth(window), librosa.filters.window_bandwidth(window), rtol=1e-12)


# ---------------------------------------------------------------- drawn settings


@st.composite
def banks(draw):
    bins_per_octave = draw(st.sampled_from([12, 13, 18, 24, 36, 48, 60]))
    sample_rate = draw(st.sampled_from([8000, 16000, 22050, 44100]))
    # of a frequency that no bin of an FFT has: there two bins are equally large, and rounding decides which is dropped
    f_min = draw(st.floats(0.002, 0.03)) * sample_rate * 1.0001
    room = np.log2(0.42 * sample_rate / f_min) * bins_per_octave
    return {
        "sample_rate": sample_rate,
        "f_min": f_min,
        "bins_per_octave": bins_per_octave,
        "n_bins": draw(st.integers(1, max(1, int(room) - 3))),
        "hop_length": draw(st.one_of(st.sampled_from([512, 256, 441, 100, 511, 64]), st.integers(100, 1200))),
        "filter_scale": draw(st.sampled_from([1.0, 0.7, 1.3])),
        "norm": draw(st.sampled_from([1.0, 2.0, np.inf, None])),
        "window": draw(st.sampled_from(["hann", "hamming", "blackman", ("kaiser", 8.6)])),
        "pad_mode": draw(st.sampled_from(["constant", "reflect", "replicate"])),
        "sparsity": draw(st.sampled_from([0.0, 0.01, 0.05])),
        "scale": draw(st.booleans()),
        "tuning": draw(st.sampled_from([0.0, -0.3, 0.21])),
    }


@st.composite
def clips(draw):
    n = draw(st.integers(1, 12000))
    seed = draw(st.integers(0, 2**16))
    kind = draw(st.sampled_from(["noise", "tone", "sweep"]))
    t = np.arange(n)
    if kind == "noise":
        y = noise(n, seed)
    elif kind == "tone":
        y = np.sin(2 * np.pi * draw(st.floats(0.003, 0.2)) * t) + 1e-2 * noise(n, seed)
    else:
        y = np.sin(np.pi * 0.4 * t**2 / n) + 1e-2 * noise(n)
    return y * draw(st.sampled_from([1.0, 1e-3]))


def soft_start(y, transform):
    """The clip after a silence that early downsampling by 4 or more can forget, where there is such."""
    factor = transform._levels[0].factor
    return y if factor <= 2 else np.concatenate([np.zeros(64 * factor), y])


def well_defined(y, transform):
    """Whether librosa pads every octave as its own definition says; with "reflect" a short tail is not (see oracle)."""
    if transform.pad_mode != "reflect":
        return True
    n = len(y)
    for level in transform._levels:
        n = -(-n // level.factor)
        for band in level.bands:
            tail = (n + band.taps // 2 - band.taps) // level.hop_length + 1
            if n - (tail * level.hop_length - band.taps // 2) <= band.taps // 2 or n <= band.taps:
                return False
    return True


def compare(cls, function, y, config):
    transform = cls(power=None, **config)
    y = soft_start(y, transform)
    assume(well_defined(y, transform))
    expected = of_librosa(function, y, **config)
    # a bin far from a tone holds what librosa's roundings leave, and a whole transform may
    assume(
        np.linalg.norm(expected) > 0.05 * np.linalg.norm(np.abs(transform(torch.ones(1).double()).numpy())) * y.std()
    )
    check(transform, y, expected)


@settings(max_examples=60, deadline=None)
@given(config=banks(), y=clips())
def test_cqt_equals_librosa(config, y):
    compare(CQT, librosa.cqt, y, config)


@settings(max_examples=60, deadline=None)
@given(
    config=banks(),
    y=clips(),
    gamma=st.sampled_from([None, 0.0, 5.0, 24.0]),
    intervals=st.sampled_from(["equal", "pythagorean", "ji3", "ji5", "ji7", (1.0, 1.1, 1.26, 1.333, 1.5, 1.7)]),
)
def test_vqt_equals_librosa(config, y, gamma, intervals):
    if not isinstance(intervals, str):
        config["n_bins"] = min(config["n_bins"], 6 * int(np.log2(0.4 * config["sample_rate"] / config["f_min"])))
    # ratios that lie close together make wide gaps beside them, and wide bands
    compare(VQT, librosa.vqt, y, {**config, "gamma": gamma, "intervals": intervals})
