"""Deltas and the normalization of cepstra against librosa, scipy, torchaudio and Kaldi's definition.

float64: 1e-10 relative L2. float32, with what it is derived from, stands with each feature.
"""

from __future__ import annotations

from unittest import mock

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.signal.cepstral.deltas import slope_filter
from audiofeed.transforms.cepstral.cmvn import CMVN
from audiofeed.transforms.cepstral.deltas import Deltas
from tests.oracle import random, relative_error

# ---------------------------------------------------------------- deltas


def delta_limit(width, order, x):
    """float32: each of `width` products and sums rounds once, relative to the weights and values it is made of."""
    return 6e-8 * (width + 1) * np.abs(slope_filter(width, order)).sum() * np.linalg.norm(x)


@settings(max_examples=100)
@given(data=st.data())
def test_deltas_equal_librosa(data):
    width = 2 * data.draw(st.integers(1, 10), "half") + 1
    order = data.draw(st.integers(1, min(4, width - 1)), "order")
    mode = data.draw(st.sampled_from(["interp", "nearest", "mirror", "constant", "wrap"]), "mode")
    # all modes but "interp" have an answer for a clip shorter than the filter, in scipy too
    frames = data.draw(st.integers(width if mode == "interp" else 1, 70), "frames")
    x = random(2, 3, frames, seed=data.draw(st.integers(0, 99), "seed"))
    expected = librosa.feature.delta(x, width=width, order=order, mode=mode)
    transform = Deltas(width, order=order, mode=mode)
    # of one frame, or a row whose slope is 0, only rounding is left
    size = max(np.linalg.norm(expected), np.linalg.norm(x) * np.abs(slope_filter(width, order)).max())
    assert np.linalg.norm(transform(torch.from_numpy(x)).numpy() - expected) <= 1e-10 * size
    for few in (0, 2**16):  # by machine code where there is some, and by torch
        with mock.patch("audiofeed.methods.cepstral.deltas._FEW", few):
            single = transform(torch.from_numpy(x).float()).numpy()
        assert np.linalg.norm(single - expected) <= delta_limit(width, order, x)


@pytest.mark.parametrize("mode", ["interp", "nearest", "mirror", "constant", "wrap"])
@pytest.mark.parametrize("graph", [False, True])
def test_deltas_equal_librosa_at_each_clips_own_end(mode, graph):
    lengths = torch.tensor([60, 9, 31, 10])
    batch = torch.from_numpy(random(4, 2, 3, 60)).requires_grad_(graph)
    ours = Deltas(mode=mode)(batch, lengths).detach()
    for row, length in enumerate(lengths):
        expected = librosa.feature.delta(batch[row, ..., :length].detach().numpy(), mode=mode)
        np.testing.assert_allclose(ours[row, ..., :length], expected, atol=1e-13)


@settings(max_examples=50)
@given(frames=st.integers(1, 8), order=st.integers(1, 3), padding=st.sampled_from([0, 1, 30]))
def test_a_clip_shorter_than_the_window_has_the_derivative_of_its_own_fit(frames, order, padding):
    x = random(3, frames, seed=frames)
    expected = np.zeros(3)
    if frames > order:
        # the coefficient of the highest power, times its factorial
        expected = np.polyfit(np.arange(frames), x.T, order)[0] * np.prod(np.arange(1, order + 1))
    padded = torch.from_numpy(np.pad(x, [(0, 0), (0, padding)], constant_values=np.nan))
    ours = Deltas(9, order=order)(padded, torch.tensor(frames))[:, :frames].numpy()
    np.testing.assert_allclose(ours, np.repeat(expected[:, None], frames, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["interp", "nearest", "constant"])
@pytest.mark.parametrize(("width", "order"), [(9, 1), (3, 1), (9, 2), (11, 3)])
def test_deltas_have_the_same_bits_in_a_small_batch_and_in_a_large_one(mode, width, order, monkeypatch):
    """A large one goes through machine code where there is some."""
    x, lengths = torch.from_numpy(random(3, 7, 131)).float(), torch.tensor([131, 60, 3])
    x[0, 0, 40] = torch.inf  # of which a weight of 0 makes nothing
    transform = Deltas(width, order=order, mode=mode)
    small = transform(x), transform(x, lengths)
    monkeypatch.setattr("audiofeed.methods.cepstral.deltas._FEW", 0)
    large = transform(x), transform(x, lengths)
    assert torch.equal(small[0], large[0])
    assert torch.equal(small[1], large[1])


def test_appended_deltas_are_each_order_by_itself():
    x = torch.from_numpy(random(2, 13, 50))
    whole = Deltas(order=2, append=True)(x, torch.tensor([50, 20]))
    apart = [Deltas(order=order)(x, torch.tensor([50, 20])) for order in (1, 2)]
    assert torch.equal(whole[0, :13], x[0])
    assert torch.equal(whole[1, :13, :20], x[1, :, :20])
    assert torch.equal(whole[:, 13:], torch.cat(apart, 1))


@pytest.mark.torchaudio
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("replicate", "nearest"), ("reflect", "mirror"), ("constant", "constant"), ("circular", "wrap")],
)
@pytest.mark.parametrize("width", [3, 5, 9])
def test_deltas_equal_torchaudio(width, theirs, ours):
    from torchaudio import transforms

    x = torch.from_numpy(random(2, 3, 40))
    expected = transforms.ComputeDeltas(width, theirs)(x)
    assert relative_error(Deltas(width, mode=ours)(x), expected.numpy()) <= 1e-14


# ---------------------------------------------------------------- normalization


def kaldi_windows(frames, window, min_window, center):
    """(first, end) for each frame, step by step as apply-cmvn-sliding finds them."""
    for t in range(frames):
        first, end = (t - window // 2, t - window // 2 + window) if center else (t - window, t + 1)
        if first < 0:
            first, end = 0, end - first
        if not center and end > t:
            end = max(t + 1, min_window)
        if end > frames:
            first, end = max(first - (end - frames), 0), frames
        yield first, end


def kaldi_cmvn(x, *, window, min_window=100, center=False, norm_vars=False, floor=1e-10):
    """The definition, window by window in float64.  Shape: (bins, frames) -> the same."""
    out = np.empty_like(x)
    for t, (first, end) in enumerate(kaldi_windows(x.shape[-1], window, min_window, center)):
        seen = x[:, first:end]
        out[:, t] = x[:, t] - seen.mean(-1)
        if norm_vars:
            out[:, t] /= np.sqrt(np.maximum(seen.var(-1), floor))
    return out


@st.composite
def windows(draw):
    center = draw(st.booleans())
    config = {"window": draw(st.integers(1, 60)), "center": center, "norm_vars": draw(st.booleans())}
    return config if center else {**config, "min_window": draw(st.integers(1, 60))}


@settings(max_examples=150)
@given(config=windows(), frames=st.integers(1, 50), extra=st.integers(0, 20), graph=st.booleans())
def test_sliding_cmvn_is_kaldis(config, frames, extra, graph):
    x = random(2, frames, seed=frames) * 3 - 50
    padded = np.pad(x, [(0, 0), (0, extra)], constant_values=np.nan)
    # of a batch, so that the graph path has clips of several lengths
    batch = torch.from_numpy(np.stack([padded, np.zeros_like(padded)])).requires_grad_(graph)
    ours = CMVN(**config)(batch, torch.tensor([frames, 1]))[0, :, :frames].detach().numpy()
    # running sums cancel: 1e-16 of 3^2, 50 times, through the root of a variance that two frames may make small
    np.testing.assert_allclose(ours, kaldi_cmvn(x, **config), rtol=1e-7, atol=1e-9)
    single = CMVN(**config)(torch.from_numpy(x).float()).numpy()
    # the features themselves are rounded, by 53 * 6e-8, and a window's deviation may be as small as their distance
    worst = 1 / np.sqrt(min_variance(x, config)) if config["norm_vars"] else 1.0
    np.testing.assert_allclose(single, kaldi_cmvn(x, **config), rtol=1e-4, atol=2e-5 * max(worst, 1.0))


def min_variance(x, config):
    found = [
        x[:, first:end].var(-1)
        for first, end in kaldi_windows(x.shape[-1], config["window"], config.get("min_window", 100), config["center"])
        if end - first > 1
    ]
    return max(np.min(found), 1e-10) if found else 1.0


@settings(max_examples=40)
@given(frames=st.integers(1, 60), norm_vars=st.booleans(), graph=st.booleans())
def test_cmvn_of_a_clip_has_mean_0_and_variance_1(frames, norm_vars, graph):
    x = random(3, frames, seed=frames) * 7 + 20
    expected = x - x.mean(-1, keepdims=True)
    if norm_vars:
        expected /= np.sqrt(np.maximum(x.var(-1, keepdims=True), 1e-10))
    padded = torch.from_numpy(np.pad(x, [(0, 0), (0, 5)], constant_values=np.nan)).requires_grad_(graph)
    ours = CMVN(norm_vars=norm_vars)(padded, torch.tensor(frames))[:, :frames].detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)
    # a window longer than the clip, centered, is the clip
    slid = CMVN(window=60, center=True, norm_vars=norm_vars)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(slid, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.torchaudio
@settings(max_examples=40)
@given(config=windows(), frames=st.integers(2, 50))
def test_sliding_cmvn_equals_torchaudio_in_float64(config, frames):
    from torchaudio import transforms

    x = random(2, 3, frames, seed=frames)
    theirs = transforms.SlidingWindowCmn(
        config["window"], config.get("min_window", 100), config["center"], config["norm_vars"]
    )
    expected = theirs(torch.from_numpy(x).transpose(1, 2).contiguous()).transpose(1, 2).numpy()
    ours = CMVN(**config)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.torchaudio
def test_torchaudios_sliding_cmvn_drifts_in_float32_and_divides_by_zero_and_ours_does_not():
    from torchaudio import transforms

    x = random(4, 6000) * 0.1 + 80.0
    expected = kaldi_cmvn(x, window=100, center=True, norm_vars=True)
    single = torch.from_numpy(x).float()
    theirs = transforms.SlidingWindowCmn(100, center=True, norm_vars=True)
    frames_first = single.t().contiguous()
    ours = CMVN(window=100, center=True)(single)
    # 80 is rounded to 4e-6, 4e-5 of the deviation
    assert relative_error(ours, expected) <= 1e-4
    off = theirs(frames_first).t().numpy()
    assert not np.isfinite(off).all() or relative_error(off, expected) > 1e-2
    still = torch.full((20, 3), 5.0)
    assert torch.isnan(transforms.SlidingWindowCmn(10, center=True, norm_vars=True)(still)).any()
    assert torch.all(CMVN(window=10, center=True)(still.t()) == 0)


@pytest.mark.parametrize("graph", [False, True])
def test_a_small_deviation_on_a_large_mean_is_not_cancelled_away(graph):
    """Squares of 1e5, summed over 6000 frames, are 6e13, of which float64 has no digits left for a variance of 1e-4."""
    x = random(2, 6000, scale=1e-2) + 1e5
    ours = CMVN(window=100, center=True)(torch.from_numpy(x).requires_grad_(graph)).detach()
    assert relative_error(ours, kaldi_cmvn(x, window=100, center=True, norm_vars=True)) <= 1e-7
