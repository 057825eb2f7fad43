"""CFP against its definition, written out over whole spectra, and against nnAudio2.

float64: 1e-8 relative L2. The chain is of roots, x^0.6 at worst: where a cepstrum crosses 0, an error of 1e-16 of its
peak becomes 1e-16^0.6 = 3e-10 of it; float32: 6e-8^0.6 = 5e-5 in such bins, and 5e-3 is allowed, because a few low
bands may hold a hundredth of the sums of either sign that they are the rest of; measured up to 1e-3.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.transforms.harmony.cfp import CFP
from tests.oracle import NUMPY_MODE, relative_error

NNAUDIO = {"sample_rate": 16000, "n_fft": 8000, "hop_length": 320, "win_length": 2049, "window": "blackmanharris"}
NNAUDIO |= {"periodic": False, "f_min": 80.0, "f_max": 1000.0, "bins_per_octave": 48, "gammas": (0.24, 0.6, 1.0)}


def filters(places, centres, *, step, nearest, closed):
    """Triangles over `places`; `nearest` is the spacing of bins of which a narrow triangle takes one.

    `closed`: a place at the very peak counts 1, as in the definition, and not 0.
    """
    weights = np.zeros((len(centres), len(places)))
    for i, centre in enumerate(centres):
        low, high = centre / step, centre * step
        for j, f in enumerate(places):
            if low < f < centre:
                weights[i, j] = (f - low) / (centre - low)
            elif centre < f < high:
                weights[i, j] = (high - f) / (high - centre)
            elif f == centre and closed:
                weights[i, j] = 1.0
        if nearest and round(low / nearest) == round(high / nearest):
            weights[i] = 0
            weights[i, round(low / nearest)] = 1.0
        if nearest and closed and not weights[i].any():
            weights[i, round(centre / nearest)] = 1.0
    return weights


def cfp(y, *, sample_rate, n_fft, hop_length, win_length, window, periodic, f_min, f_max, bins_per_octave, gammas,
        pad_mode="constant", as_nnaudio=False):  # fmt: skip
    """(salience, spectrum, frequency, periodicity) by whole complex FFTs; `as_nnaudio`: with what is wrong there."""
    w = scipy.signal.get_window(window, win_length, fftbins=periodic)
    left = (n_fft - win_length) // 2
    padded = np.pad(y, n_fft // 2, mode=NUMPY_MODE[pad_mode])
    padded = np.pad(padded, (0, max(0, n_fft - len(padded))))
    starts = range(0, len(padded) - n_fft + 1, hop_length)
    frames = np.stack([padded[s : s + n_fft] for s in starts])
    frames *= np.pad(w, (left, n_fft - win_length - left))
    magnitudes = np.abs(np.fft.fft(frames)) / np.linalg.norm(w)
    cuts = [round(f_min * n_fft / sample_rate), round(sample_rate / f_max)]

    spectrum = magnitudes ** gammas[0] if gammas[0] else np.log(magnitudes + 1e-8)
    cepstrum = None
    for step, gamma in enumerate(gammas[1:], 1):
        source = spectrum if step % 2 else cepstrum
        found = np.maximum(np.fft.fft(source).real / math.sqrt(n_fft), 0)
        found = found**gamma if gamma else np.log(found + 1e-8)
        cut = cuts[step % 2]
        found[:, :cut] = 0
        found[:, n_fft - cut + (0 if as_nnaudio else 1) :] = 0
        if step % 2:
            cepstrum = found
        else:
            spectrum = found

    count = 0
    while f_min * 2 ** (count / bins_per_octave) <= f_max * (1 + 1e-12):
        count += 1
    centres = f_min * 2.0 ** (np.arange(count) / bins_per_octave)
    half = n_fft // 2 + 1
    places = np.arange(half) * sample_rate / n_fft
    if as_nnaudio:
        half = n_fft // 2
        places = sample_rate * np.linspace(0, 0.5, half)
    step = 2 ** (1 / bins_per_octave)
    over_bins = filters(places, centres, step=step, nearest=sample_rate / n_fft, closed=not as_nnaudio)
    quefrencies = sample_rate / np.arange(1, half)
    over_quefrencies = filters(quefrencies, centres, step=step, nearest=None, closed=not as_nnaudio)
    plain = over_bins @ magnitudes[:, :half].T
    frequency = over_bins @ spectrum[:, :half].T
    periodicity = over_quefrencies @ cepstrum[:, 1:half].T
    return frequency * periodicity, plain, frequency, periodicity


@st.composite
def configs(draw):
    sample_rate = draw(st.sampled_from([4000, 8000, 11025]))
    n_fft = draw(st.one_of(st.integers(300, 700), st.sampled_from([400, 512, 441])))
    lowest = 2 * sample_rate / n_fft
    f_min = lowest * draw(st.floats(1.0, 4.0))
    return {
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "hop_length": draw(st.integers(50, 300)),
        "win_length": draw(st.integers(60, 300)),
        "window": draw(st.sampled_from(["blackmanharris", "hann"])),
        "periodic": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect"])),
        "f_min": f_min,
        "f_max": f_min * draw(st.floats(1.5, 6.0)),
        "bins_per_octave": draw(st.sampled_from([5, 12, 24, 48, 13.5])),
        "gammas": draw(st.sampled_from([(0.24, 0.6, 1.0), (1.0, 1.0), (0.3, 0.0, 0.7), (0.0, 1.0, 0.5, 0.8)])),
    }


@settings(max_examples=25)
@given(config=configs(), length=st.integers(400, 2000), seed=st.integers(0, 2**16))
def test_all_parts_equal_the_definition(config, length, seed):
    config["f_max"] = min(config["f_max"], config["sample_rate"] / 2)
    t = np.arange(length) / config["sample_rate"]
    y = sum(np.cos(2 * np.pi * 1.3 * config["f_min"] * k * t) / k for k in (1, 2, 3))
    y = y + 0.1 * np.random.default_rng(seed).standard_normal(length)
    expected = cfp(y, **config)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 5e-3)):
        if dtype == torch.float32 and 0.0 in config["gammas"]:
            continue  # a logarithm of what is 0 but for rounding has no digits
        parts = CFP(**config).parts(torch.from_numpy(y).to(dtype))
        for name, part, reference in zip(parts._fields, parts, expected, strict=True):
            assert part.shape == reference.shape
            error = relative_error(part.numpy(), reference)
            assert error <= tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("needs_grad", [False, True])
def test_each_output_is_that_part(needs_grad):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 900))).requires_grad_(needs_grad)
    lengths = torch.tensor([900, 301])
    config = {"sample_rate": 4000, "n_fft": 400, "win_length": 129, "hop_length": 100, "f_min": 100.0}
    parts = CFP(**config).parts(x, lengths)
    for name, part in zip(parts._fields, parts, strict=True):
        torch.testing.assert_close(CFP(**config, output=name)(x, lengths), part)
        assert torch.all(part[1, ..., 4:] == 0)
    torch.testing.assert_close(parts.salience, parts.frequency * parts.periodicity)


def test_the_pitch_of_a_tone_without_its_fundamental_is_found():
    """What the salience is for: neither an overtone nor an undertone has both a spectral and a cepstral peak."""
    transform = CFP(sample_rate=16000)
    pitch = 220.0
    t = torch.arange(16000, dtype=torch.float64) / 16000
    tone = sum(torch.cos(2 * torch.pi * pitch * k * t) / k for k in range(1, 9))
    salience = transform(tone)[:, 10:-10].mean(-1)
    found = float(transform.frequencies[salience.argmax()])
    assert abs(math.log2(found / pitch)) <= 1 / 48


@pytest.mark.torchaudio
def test_nnaudio2_is_the_definition_but_for_what_is_wrong_there():
    """With its faults written into the definition it is equal; ours is equal to the definition without them.

    Its bins stand at linspace(0, fs / 2, N // 2), whose step is fs / (N - 2); a bin or a quefrency at the very peak of
    a triangle weighs 0 (16000 / 100 = 160 Hz exactly, an octave above fc); the cepstrum is cut one bin more in its
    upper half than in its lower; the first band is 0 throughout, and the last is missing.
    """
    from nnAudio2 import features

    y = np.random.default_rng(0).standard_normal(8000)
    y += 3 * sum(np.cos(2 * np.pi * 200.0 * k * np.arange(8000) / 16000) / k for k in range(1, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its division by the quefrency 0, and of torch.stft without complex numbers
        theirs = features.Combined_Frequency_Periodicity()(torch.from_numpy(y[None]).float())
        short = features.CFP()(torch.from_numpy(y[None]).float())[0].numpy()
    faulty = cfp(y, **NNAUDIO, as_nnaudio=True)
    right = cfp(y, **NNAUDIO)
    ours = CFP(sample_rate=16000).parts(torch.from_numpy(y))
    for other, wrong, reference, part in zip(theirs, faulty, right, ours, strict=True):
        other = other[0].numpy()
        # it leaves out the first frame and the last
        assert relative_error(other[1:], wrong[1 : len(other), 1:-1]) <= 2e-4
        assert np.all(other[0] == 0)
        assert relative_error(part.numpy(), reference) <= 1e-8
        assert relative_error(other[1:], reference[1 : len(other), 1:-1]) > 3e-3
    assert relative_error(short[1:], faulty[0][1 : len(short)]) <= 2e-4
