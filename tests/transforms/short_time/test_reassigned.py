"""Reassigned spectra against librosa 0.11, and the grid against a sum over librosa's coordinates.

A coordinate is a quotient of two spectra, so its error is that of the spectra (1e-10 of the largest in float64, 2e-6 in
float32, as in test_short_time) times largest / |z|: errors are weighed by |z|, and compared with the largest |z| times
the span that the offset has: pi radians per sample, half a window of samples.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from tests.oracle import NUMPY_MODE

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-6}
RATE = 8000


@st.composite
def settings_of(draw):
    n_fft = draw(st.one_of(st.integers(4, 400), st.sampled_from([256, 512, 441])))
    frequencies = draw(st.booleans())
    return {
        "n_fft": n_fft,
        "hop_length": draw(st.integers(max(1, n_fft // 8), max(1, n_fft // 4))),
        "win_length": draw(st.integers(max(4, n_fft // 2), n_fft)),
        "window": draw(st.sampled_from(["hann", "hamming", ("kaiser", 8.6)])),
        "center": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect", "replicate"])),
        "reassign_frequencies": frequencies,
        "reassign_times": draw(st.booleans()) if frequencies else True,
        "ref_power": draw(st.sampled_from([0.0, 1e-6, 1.0])),
        "fill_nan": draw(st.booleans()),
        "clip": draw(st.booleans()),
    }


def theirs(y, config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0 / 0, which librosa means
        return librosa.reassigned_spectrogram(y, sr=RATE, **{**config, "pad_mode": NUMPY_MODE[config["pad_mode"]]})


@settings(max_examples=60)
@given(config=settings_of(), length=st.integers(600, 3000), seed=st.integers(0, 2**16))
def test_coordinates_equal_librosa(config, length, seed):
    y = np.random.default_rng(seed).standard_normal((2, length)) * 0.5
    frequencies, times, magnitudes = theirs(y, config)
    top = magnitudes.max()
    # a power that equals ref_power but for rounding may be judged either way, and so may one that is 0 but for rounding
    clear = np.abs(magnitudes**2 - config["ref_power"]) > 1e-5 * top**2
    assume(clear.any())
    for dtype, tolerance in TOLERANCE.items():
        ours = ReassignedSpectrogram(sample_rate=RATE, **config).coordinates(torch.from_numpy(y).to(dtype))
        assert ours.magnitudes.dtype == dtype
        assert np.abs(ours.magnitudes.numpy() - magnitudes).max() <= tolerance * top
        for mine, other, span in (
            (ours.frequencies.numpy(), frequencies, RATE / 2),
            (ours.times.numpy(), times, config["n_fft"] / 2 / RATE),
        ):
            assert mine.shape == other.shape
            assert np.array_equal(np.isnan(mine)[clear], np.isnan(other)[clear])
            held = clear & ~np.isnan(other)
            rounding = np.finfo(mine.dtype).eps * max(np.abs(other[held]).max(initial=0.0), span)
            error = np.abs(mine - other)[held] * magnitudes[held] / top
            # the offset may itself be many times the span, and is rounded as what it is
            limit = tolerance * np.maximum(span, np.abs(other)[held]) + 4 * rounding
            assert np.all(error <= limit), f"{dtype}: {np.max(error / limit):.1f} times the limit"


def gathered(y, config, power):
    """librosa's coordinates to the nearest cell, and the powers added up there by NumPy."""
    frequencies, times, magnitudes = theirs(y, config)
    n_fft, hop = config["n_fft"], config["hop_length"]
    bins, frames = magnitudes.shape
    first = 0.0 if config["center"] else n_fft // 2
    at_bin, at_frame = frequencies * n_fft / RATE, (times * RATE - first) / hop
    # halfway between two cells, rounding decides
    unclear = np.abs(at_bin % 1 - 0.5) < 1e-7
    unclear |= np.abs(at_frame % 1 - 0.5) < 1e-7
    assume(not unclear.any())
    kept = ~(np.isnan(at_bin) | np.isnan(at_frame))
    bin_, frame = np.rint(at_bin[kept]), np.rint(at_frame[kept])
    values = magnitudes[kept] ** power
    if config["clip"]:
        bin_, frame = bin_.clip(0, bins - 1), frame.clip(0, frames - 1)
    inside = (bin_ >= 0) & (bin_ < bins) & (frame >= 0) & (frame < frames)
    grid = np.zeros((bins, frames))
    np.add.at(grid, (bin_[inside].astype(int), frame[inside].astype(int)), values[inside])
    return grid


@settings(max_examples=40)
@given(config=settings_of(), power=st.sampled_from([1.0, 2.0]), seed=st.integers(0, 2**16))
def test_the_grid_holds_the_powers_where_librosa_puts_them(config, power, seed):
    # without centring librosa clips at the clip's ends, and the grid at its first and last frame, which are inside
    y = np.random.default_rng(seed).standard_normal(1500) * 0.5
    assume(config["ref_power"] > 0)
    _, _, magnitudes = theirs(y, config)
    assume(np.abs(magnitudes**2 - config["ref_power"]).min() > 1e-9)
    # a frame that ends beyond the hop grid is clipped at the clip's end by librosa and at the last frame by the grid
    ours = ReassignedSpectrogram(sample_rate=RATE, power=power, **config)(torch.from_numpy(y)).numpy()
    expected = gathered(y, config, power)
    assert np.linalg.norm(ours - expected) <= 1e-9 * np.linalg.norm(magnitudes**power)


def test_nothing_is_lost_when_cells_that_cannot_say_stay():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2000)))
    transform = ReassignedSpectrogram(sample_rate=RATE, n_fft=256, fill_nan=True, ref_power=1e-2)
    moved, magnitudes = transform(x), transform.coordinates(x).magnitudes
    torch.testing.assert_close(moved.sum((-1, -2)), magnitudes.square().sum((-1, -2)))


def test_a_tone_is_one_bin_wide_and_a_click_one_frame():
    # between two bins, and between two frames
    tone = torch.cos(2 * torch.pi * 1010.0 * torch.arange(4000, dtype=torch.float64) / RATE)
    transform = ReassignedSpectrogram(sample_rate=RATE, n_fft=256, reassign_times=False)
    inner = transform(tone)[:, 4:-4]
    assert torch.all(inner[32] > 0.999 * inner.sum(0))
    click = torch.zeros(4000, dtype=torch.float64)
    click[1950] = 1.0
    moved = ReassignedSpectrogram(sample_rate=RATE, n_fft=256, reassign_frequencies=False)(click)
    assert moved[:, round(1950 / 64)].sum() > 0.999 * moved.sum()
    # the frame's middle lies between two samples when its length is even: librosa's half sample
    times = transform.__class__(sample_rate=RATE, n_fft=256).coordinates(click).times
    np.testing.assert_allclose(times[10, 31], 1950.5 / RATE, rtol=1e-9)


def test_coordinates_of_a_padded_batch_are_those_of_the_clips():
    random = np.random.default_rng(0)
    lengths = torch.tensor([900, 333, 1])
    batch = torch.full((3, 2, 900), float("nan"))
    clips = [torch.from_numpy(random.standard_normal((2, int(n)))).float() for n in lengths]
    for row, clip in zip(batch, clips, strict=True):
        row[:, : clip.shape[-1]] = clip
    transform = ReassignedSpectrogram(sample_rate=RATE, n_fft=64, pad_mode="reflect")
    for needs_grad in (False, True):
        found = transform.coordinates(batch.clone().requires_grad_(needs_grad), lengths)
        for i, clip in enumerate(clips):
            alone = transform.coordinates(clip)
            frames = alone.times.shape[-1]
            for mine, single in zip(found, alone, strict=True):
                torch.testing.assert_close(mine[i, ..., :frames], single, equal_nan=True, rtol=1e-4, atol=1e-4)
                assert torch.all(mine[i, ..., frames:] == 0)


def test_coordinates_have_a_finite_gradient_also_on_silence():
    transform = ReassignedSpectrogram(sample_rate=RATE, n_fft=64, fill_nan=True)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 300)))
    x[1] = 0
    x.requires_grad_()
    frequencies, times, magnitudes = transform.coordinates(x)
    (frequencies.sum() + times.sum() + magnitudes.sum()).backward()
    assert torch.isfinite(x.grad).all()
    assert torch.all(x.grad[1] == 0)
    assert torch.any(x.grad[0] != 0)


@pytest.mark.parametrize("fill", [False, True])
def test_silence_says_nothing_of_where_it_lies(fill):
    transform = ReassignedSpectrogram(sample_rate=RATE, n_fft=64, hop_length=16, fill_nan=fill)
    frequencies, times, magnitudes = transform.coordinates(torch.zeros(100))
    assert torch.all(magnitudes == 0)
    if not fill:
        assert torch.isnan(frequencies).all()
        assert torch.isnan(times).all()
    else:
        torch.testing.assert_close(frequencies[:, 0], transform.frequencies.float())
        torch.testing.assert_close(times[0], transform.times(7).float())
    assert torch.all(transform(torch.zeros(100)) == 0)
