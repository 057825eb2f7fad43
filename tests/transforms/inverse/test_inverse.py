"""What comes back: round trips, lengths, seeds, edges of the inverse transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audiofeed.methods.inverse.griffin_lim import random_phases
from audiofeed.methods.inverse.overlap_add import COVERED, MOST_BLOCKS, overlap_add
from audiofeed.methods.workspace import Workspace
from audiofeed.signal.inverse.nnls import overlapping_pairs
from audiofeed.signal.inverse.synthesis import LEAST_COVER, largest_hop, least_cover, synthesis_basis
from audiofeed.signal.windows import get_window, pad_window
from audiofeed.transforms import STFT, MelSpectrogram
from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from tests.signals import noise

WINDOWS = ["hann", "hamming", "blackman", "boxcar", "nuttall", ("kaiser", 8.6), ("tukey", 0.4)]


def snr(y, x):
    """Decibels of x over what y differs by."""
    return 20 * np.log10(float(x.norm()) / max(float((y - x).norm()), 1e-300))


def covered(config, frames, time, dtype):
    """The samples that the frames cover: the squared window at the start of every frame, added."""
    n_fft, hop = config["n_fft"], config["hop_length"]
    window = pad_window(get_window(config["window"], config["win_length"], periodic=config["periodic"]), n_fft) ** 2
    starts = np.zeros((frames - 1) * hop + 1)
    starts[::hop] = 1
    start = n_fft // 2 if config["center"] else 0
    added = np.pad(np.convolve(starts, window)[start:], (0, time))[:time]
    return torch.from_numpy(added > COVERED * torch.finfo(dtype).eps * window.max())


@st.composite
def invertible(draw):
    """Settings of frames that can be inverted."""
    n_fft = draw(st.one_of(st.integers(2, 64), st.sampled_from([128, 255])))
    win_length = draw(st.integers(max(2, n_fft // 3), n_fft))
    window = draw(st.sampled_from(WINDOWS))
    periodic = draw(st.booleans())
    hop = draw(st.integers(max(1, win_length // 8), win_length))
    assume(least_cover(get_window(window, win_length, periodic=periodic), hop) >= LEAST_COVER)
    return {
        "n_fft": n_fft,
        "hop_length": hop,
        "win_length": win_length,
        "window": window,
        "periodic": periodic,
        "center": draw(st.booleans()),
    }


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(config=invertible(), method=st.sampled_from(["fft", "conv"]), time=st.integers(1, 400))
def test_a_waveform_comes_back_from_its_stft(config, method, time):
    """At least 120 dB in float64 and 100 dB in float32, wherever a frame covers, whatever the window and the hop."""
    x = noise(time, seed=time)
    forward, inverse = STFT(**config), InverseSTFT(**config, method=method)
    for dtype, least in ((torch.float64, 120), (torch.float32, 100)):
        spectrum = forward(x.to(dtype))
        y = inverse(spectrum, time)
        assert y.shape == x.shape
        assert y.dtype == dtype
        there = covered(config, spectrum.shape[-1], time, dtype)
        assert torch.all(y[~there] == 0)
        if there.any():
            assert snr(y[there].double(), x[there].to(dtype).double()) >= least


def test_a_centred_clip_comes_back_whole():
    config = {"n_fft": 400, "hop_length": 160}
    x = noise(3, 16000)
    y = InverseSTFT(**config)(STFT(**config)(x))
    assert y.shape == x.shape
    assert snr(y, x) > 280


@pytest.mark.parametrize("lengths", [[1000, 777, 130], [1000, 1000, 1], [5, 1000, 5]])
def test_a_padded_batch_comes_back_clip_by_clip(lengths):
    """From samples through frames back to samples, each clip with its own length."""
    config = {"n_fft": 64, "hop_length": 16}
    lengths = torch.tensor(lengths)
    x = noise(3, 2, 1000)
    for row, length in enumerate(lengths):
        x[row, :, length:] = 0
    forward, inverse = STFT(**config), InverseSTFT(**config)
    y = inverse(forward(x, lengths), lengths, lengths=forward.frame_lengths(lengths))
    assert y.shape == x.shape
    torch.testing.assert_close(y, x)
    # longer than asked for: cut; without the frames' lengths too
    short = inverse(forward(x), torch.tensor([10, 3, 7]))
    assert short.shape == (3, 2, 10)
    assert torch.equal(short[1, :, :3], inverse(forward(x))[1, :, :3])
    assert torch.all(short[1, :, 3:] == 0)


def test_the_natural_length_is_that_of_the_result():
    for config in ({"n_fft": 64}, {"n_fft": 63}, {"n_fft": 64, "center": False}, {"n_fft": 5, "hop_length": 2}):
        inverse = InverseSTFT(**config)
        for frames in (1, 2, 3, 17):
            y = inverse(torch.zeros(config["n_fft"] // 2 + 1, frames, dtype=torch.complex64))
            assert inverse.sample_lengths(torch.tensor(frames)) == y.shape[-1]
            assert inverse.frame_lengths(torch.tensor(frames)) == y.shape[-1]
    assert InverseSTFT(64, hop_length=16).sample_lengths(torch.tensor([1, 2, 5])).tolist() == [1, 16, 64]
    assert InverseSTFT(64, hop_length=16, center=False).sample_lengths(torch.tensor([1, 2])).tolist() == [64, 80]


def test_a_length_counts_for_every_clip_of_a_padded_batch():
    """Also beyond what the frames stand for: what is left of the last windows there is the clip's, as of one alone."""
    inverse, search = InverseSTFT(64, hop_length=16), GriffinLim(64, hop_length=16, n_iter=3)
    spectrum, frames = torch.complex(noise(3, 2, 33, 9), noise(3, 2, 33, 9, seed=1)), torch.tensor([9, 4, 1])
    for transform, x in ((inverse, spectrum), (search, spectrum.abs())):
        for length in (10, 70, 200):
            out = transform(x, length, lengths=frames)
            assert out.shape == (3, 2, length)
            for row, count in enumerate(frames):
                torch.testing.assert_close(out[row], transform(x[row, :, :, :count], length))
    assert torch.any(inverse(spectrum, 70, lengths=frames)[1, :, 48:] != 0)


@pytest.mark.parametrize("window", ["hann", "blackman", ("kaiser", 14.0)])
def test_the_largest_hop_keeps_every_sample_in_float32(window):
    """What `LEAST_COVER` is for: a sample's rounding grows by 1 / sqrt(1e-5), 300 times at most, and none is lost."""
    hop = largest_hop(get_window(window, 1000))
    config = {"n_fft": 1000, "hop_length": hop, "window": window}
    x = noise(19 * hop + 1).float()  # up to the centre of the last frame
    y = InverseSTFT(**config)(STFT(**config)(x), len(x))
    # an FFT of 1000 samples and back: 5e-7 of a frame's largest
    assert float((y - x).abs().max()) <= 300 * 5e-7 * float(x.abs().max())


def test_beyond_the_frames_there_are_zeros():
    inverse = InverseSTFT(64, hop_length=16)
    spectrum = STFT(64, hop_length=16)(noise(100))
    longer = inverse(spectrum, 500)
    span = 32 + 16 * (spectrum.shape[-1] - 1)
    assert torch.all(longer[span:] == 0)
    assert torch.equal(longer[:50], inverse(spectrum, 50))


def test_the_feet_of_the_windows_are_not_blown_up():
    """Noise in a spectrum stays as loud as it is, also where the first window begins with nothing."""
    config = {"n_fft": 1024, "hop_length": 256, "center": False}
    spectrum = torch.randn(513, 9, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    y = InverseSTFT(**config)(spectrum)
    assert y[0] == 0
    # 1 / sqrt(64 eps) = 362 is the most that any sample is amplified by; dividing by what is there gives 4e5
    inner = float(y[256:-256].abs().max())
    assert float(y.abs().max()) <= 362 * inner


@pytest.mark.parametrize("block", [1, 700, 5000])
def test_pieces_give_what_the_whole_gives(block, monkeypatch):
    x, lengths = noise(5, 300).float(), torch.tensor([300, 3, 256, 256, 120])
    most = {"n_fft": 2 * MOST_BLOCKS + 16, "hop_length": 2}
    for config in (
        {"n_fft": 64, "hop_length": 16}, {"n_fft": 41, "hop_length": 1}, {"n_fft": 64, "hop_length": 23}, most,
    ):  # fmt: skip
        forward, inverse = STFT(**config), InverseSTFT(**config)
        spectrum, frames = forward(x, lengths), forward.frame_lengths(lengths)
        search = GriffinLim(**config, n_iter=2)
        whole, found = inverse(spectrum, lengths=frames), search(spectrum.abs(), lengths=frames)
        with monkeypatch.context() as patch:
            patch.setattr("audiofeed.methods.frames.CPU_BLOCK", block)
            torch.testing.assert_close(inverse(spectrum, lengths=frames), whole)
            torch.testing.assert_close(search(spectrum.abs(), lengths=frames), found, rtol=1e-4, atol=1e-4)


def test_overlap_add_adds_frame_by_frame():
    for taps, hop in ((7, 3), (4, 4), (3, 5), (MOST_BLOCKS + 8, 1), (3 * MOST_BLOCKS + 8, 3)):
        frames = noise(2, 5, taps)
        expected = torch.zeros(2, 4 * hop + taps, dtype=torch.float64)
        for f in range(5):
            expected[:, f * hop : f * hop + taps] += frames[:, f]
        torch.testing.assert_close(overlap_add(frames, hop), expected)


@pytest.mark.parametrize("n_fft", [7, 8])
def test_the_synthesis_basis_is_the_inverse_transform(n_fft):
    spectrum = np.random.default_rng(0).standard_normal((2, n_fft // 2 + 1))
    window = np.hanning(n_fft)
    expected = np.fft.irfft(spectrum[0] + 1j * spectrum[1], n=n_fft) * window
    np.testing.assert_allclose(spectrum.reshape(-1) @ synthesis_basis(window), expected, atol=1e-15)


def test_a_trained_synthesis_learns():
    """A basis that starts from the inverse transform learns to undo a filter in the spectrum."""
    x = noise(4, 400).float()
    spectrum = STFT(32)(x) * torch.linspace(0.5, 1.5, 17)[:, None]
    inverse = InverseSTFT(32, trainable=True)
    assert set(inverse.state_dict()) == {"basis"}
    torch.testing.assert_close(inverse(spectrum), InverseSTFT(32)(spectrum))
    optimizer = torch.optim.Adam(inverse.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        loss = (inverse(spectrum, 400) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10


# ---------------------------------------------------------------- Griffin-Lim's seeds, lengths, progress


def test_the_phases_depend_on_the_seed_of_the_clip_alone():
    search = GriffinLim(32, hop_length=8, n_iter=3)
    clip, other = noise(17, 20).abs(), noise(17, 31, seed=1).abs()
    batch = torch.zeros(3, 17, 31, dtype=torch.float64)
    batch[0, :, :20] = batch[2, :, :20] = clip
    batch[1] = other
    alone = search(clip, seed=7)
    out = search(batch, lengths=torch.tensor([20, 31, 20]), seed=torch.tensor([7, 8, 9]))
    torch.testing.assert_close(out[0, : len(alone)], alone)
    assert not torch.allclose(out[2, : len(alone)], alone)
    torch.testing.assert_close(out[2, : len(alone)], search(clip, seed=9))
    # one seed for all, from forward or from the module; channels of a clip share it
    one = search(batch, lengths=torch.tensor([20, 31, 20]), seed=7)
    torch.testing.assert_close(one[0], one[2])
    torch.testing.assert_close(GriffinLim(32, hop_length=8, n_iter=3, seed=7)(clip), alone)
    both = search(torch.stack([batch[0, :, :20], batch[0, :, :20]])[None], seed=torch.tensor([7]))
    torch.testing.assert_close(both[0, 1], alone)
    assert not torch.allclose(search(clip), alone)
    # seeds belong to clips, whatever the number of their channels
    stereo = search(clip.expand(3, 2, -1, -1), seed=torch.tensor([7, 8, 9]))
    torch.testing.assert_close(stereo[:, 0], stereo[:, 1])
    for row, seed in enumerate((7, 8, 9)):
        torch.testing.assert_close(stereo[row, 0], search(clip, seed=seed))


def test_phases_are_spread_evenly_and_seeds_unrelated():
    phases = random_phases(torch.tensor([0, 1, 2**32, 2**62]), 400, 257, torch.float64)
    assert float(phases.min()) >= -np.pi
    assert float(phases.max()) < np.pi
    circle = torch.polar(torch.ones_like(phases), phases).flatten(1)
    n = circle.shape[1]
    # of n unrelated points on a circle the mean has a size of about 1 / sqrt(n)
    limit = 4 / np.sqrt(n)
    for power in (1, 2, 3):
        assert float((circle**power).mean(1).abs().max()) < limit
    for i in range(4):
        for j in range(i):
            assert abs((circle[i] * circle[j].conj()).mean()) < limit
        assert abs((circle[i, 1:] * circle[i, :-1].conj()).mean()) < limit
        assert abs((circle[i, 257:] * circle[i, :-257].conj()).mean()) < limit
    assert torch.equal(random_phases(torch.tensor([5]), 3, 257, torch.float64)[0], random_phases(
        torch.tensor([4, 5]), 400, 257, torch.float64
    )[1, :3])  # fmt: skip


def test_a_signal_of_any_length_is_found():
    search = GriffinLim(64, hop_length=16, n_iter=20)
    x = noise(1000)
    magnitude = STFT(64, hop_length=16)(x).abs()
    for length in (1, 300, 1000, 1007, 3000):
        y = search(magnitude, length)
        assert y.shape == (length,)
        assert torch.all(y[1007:] == 0)

    # 1007 samples are the most that 63 frames look at: of a longer signal the rest is filled up
    most = torch.nn.functional.pad(search(magnitude, 1007), (0, 3))
    torch.testing.assert_close(search(magnitude, 1010), most)
    for longer in (1010, torch.tensor([1010, 1010])):
        padded = search(magnitude.expand(2, -1, -1), longer, lengths=torch.tensor([63, 63]))
        torch.testing.assert_close(padded, most.expand(2, -1))

    # 1000 samples have 63 frames, as 992 have: looked for at its own length, the end comes nearer
    def missing(y):
        return float((STFT(64, hop_length=16)(y).abs() - magnitude)[:, -3:].norm())

    assert missing(search(magnitude, 1000)) < missing(torch.nn.functional.pad(search(magnitude), (0, 8)))
    lengths = torch.tensor([1000, 500])
    batch = torch.zeros(2, 33, 63, dtype=torch.float64)
    batch[0], batch[1, :, :32] = magnitude, STFT(64, hop_length=16)(x[:500]).abs()
    out = search(batch, lengths, lengths=torch.tensor([63, 32]))
    assert out.shape == (2, 1000)
    torch.testing.assert_close(out[0], search(magnitude, 1000))
    torch.testing.assert_close(out[1, :500], search(batch[1, :, :32], 500))


def test_the_scale_of_the_magnitudes_does_not_matter():
    search = GriffinLim(64, n_iter=8)
    magnitude = STFT(64)(noise(800).float()).abs()
    for scale in (2.0**-120, 2.0**100):
        torch.testing.assert_close(search(magnitude * scale) / scale, search(magnitude))
    assert torch.all(search(torch.zeros(33, 5)) == 0)


def test_progress_is_told_and_falls():
    told = []
    magnitude = STFT(64)(noise(2, 800)).abs()
    search = GriffinLim(64, n_iter=12, progress=lambda *what: told.append(what))
    y = search(magnitude)
    torch.testing.assert_close(y, GriffinLim(64, n_iter=12)(magnitude))
    assert [what[:2] for what in told] == [(i, 12) for i in range(1, 13)]
    assert all(what[2].shape == (2,) for what in told)
    assert torch.all(told[-1][2] < told[0][2] / 2)
    # what is told in iteration 12 is of the signal after 11
    eleven = GriffinLim(64, n_iter=11)(magnitude)
    distance = (STFT(64)(eleven).abs() - magnitude).flatten(1).norm(dim=1) / magnitude.flatten(1).norm(dim=1)
    torch.testing.assert_close(told[-1][2], distance)


def test_a_given_power_is_undone():
    magnitude = STFT(64)(noise(800)).abs()
    expected = GriffinLim(64, n_iter=4)(magnitude)
    torch.testing.assert_close(GriffinLim(64, n_iter=4, power=2.0)(magnitude.square()), expected)
    torch.testing.assert_close(GriffinLim(64, n_iter=4, power=0.5)(magnitude.sqrt()), expected)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("hop", [16, 50, 64])
def test_what_memory_held_before_does_not_matter(center, hop, monkeypatch):
    """A signal that is longer than its frames reach has zeros there, not what the workspace had."""
    config = {"n_fft": 64, "hop_length": hop, "window": "boxcar", "center": center}
    inverse, search = InverseSTFT(**config), GriffinLim(**config, n_iter=3)
    watched = GriffinLim(**config, n_iter=3, progress=lambda *_: None)
    spectrum = torch.complex(noise(2, 33, 5), noise(2, 33, 5, seed=1))
    longest = int(search.sample_lengths(torch.tensor(5))) + hop - 1
    expected = inverse(spectrum, longest), watched(spectrum.abs(), longest)
    take = Workspace.take
    monkeypatch.setattr(Workspace, "take", lambda *args: take(*args).fill_(math.nan))
    torch.testing.assert_close(inverse(spectrum, longest), expected[0])
    torch.testing.assert_close(search(spectrum.abs(), longest), expected[1])


# ---------------------------------------------------------------- time stretching and the inverse of mel


def test_a_tone_is_stretched_at_its_pitch():
    """A tone of another duration has the same frequency."""
    time = torch.arange(16000, dtype=torch.float64)
    tone = torch.sin(2 * np.pi * 0.0371 * time)
    config = {"n_fft": 512, "hop_length": 128}
    for rate in (0.5, 1.25, 2.0):
        y = InverseSTFT(**config)(TimeStretch(rate)(STFT(**config)(tone)))
        assert abs(len(y) - 16000 / rate) <= 128 * (1 + 1 / rate)
        inner = y[1000:-1000]
        spectrum = torch.fft.rfft(inner * torch.hann_window(len(inner), dtype=torch.float64)).abs()
        assert abs(int(spectrum.argmax()) / len(inner) - 0.0371) <= 1 / len(inner)


def test_a_rate_given_with_the_spectrum_replaces_that_of_the_module():
    x = torch.complex(noise(2, 5, 30), noise(2, 5, 30, seed=1))
    torch.testing.assert_close(TimeStretch(2.0)(x, 1.5), TimeStretch(1.5)(x))
    lengths = torch.tensor([30, 11])
    out = TimeStretch()(x, 1.5, lengths=lengths)
    assert TimeStretch().frame_lengths(lengths, 1.5).tolist() == [20, 8]
    torch.testing.assert_close(out[1, :, :8], TimeStretch(1.5)(x[1, :, :11]))
    assert torch.all(out[1, :, 8:] == 0)


@pytest.mark.parametrize("compat", ["librosa-1.0", "librosa-0.11"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stretching_row_by_row_is_stretching_with_a_graph(compat, dtype):
    """Rows of their own lengths, one of a single frame, at a rate, at times and at times of each row."""
    x = torch.complex(noise(3, 2, 5, 30), noise(3, 2, 5, 30, seed=1)).to(dtype.to_complex())
    lengths = torch.tensor([30, 11, 1])
    times = torch.linspace(0, 29.5, 47, dtype=torch.float64) ** 1.5 / 29.5**0.5
    stretch = TimeStretch(compat=compat)
    late = torch.tensor([5.0, 12.0])  # of which some rows have none
    each = torch.stack([times, times / 2, times])
    for asked in ({"rate": 0.7}, {"rate": 1.9}, {"t_out": times}, {"t_out": each}, {"t_out": late}):
        for own in (None, lengths):
            expected = stretch(x.clone().requires_grad_(), lengths=own, **asked).detach()
            torch.testing.assert_close(stretch(x, lengths=own, **asked), expected, atol=2e-6, rtol=2e-6)


def test_stretching_at_rate_1_changes_nothing():
    x = torch.complex(noise(5, 30), noise(5, 30, seed=1))
    torch.testing.assert_close(TimeStretch(1.0)(x), x)


def test_a_varying_rate_of_a_batch_its_gradient_and_its_ends():
    x = torch.randn(3, 2, 9, 20, dtype=torch.complex128, requires_grad=True)
    times = torch.tensor([0.0, 0.5, 1.75, 4.0, 4.9, 8.0, 12.25, 15.5, 19.9], dtype=torch.float64)
    transform, lengths = TimeStretch(), torch.tensor([20, 5, 13])
    out = transform(x, t_out=times, lengths=lengths)
    counts = transform.frame_lengths(lengths, t_out=times)
    assert counts.tolist() == [9, 5, 7]
    with torch.no_grad():
        torch.testing.assert_close(transform(x, t_out=times, lengths=lengths), out)
        for i, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            torch.testing.assert_close(out[i, ..., :count], transform(x[i, ..., :length], t_out=times[:count]))
            assert not out[i, ..., count:].any()
        # each clip its own times
        own = torch.full((3, 4), torch.inf, dtype=torch.float64)
        own[0], own[1, :2], own[2, :3] = torch.tensor([3.0, 7.5, 8.0, 19.5]), times[3:5], times[:3]
        each = transform(x, t_out=own, lengths=lengths)
        assert transform.frame_lengths(lengths, t_out=own).tolist() == [4, 2, 3]
        torch.testing.assert_close(each[1, ..., :2], transform(x[1, ..., :5], t_out=times[3:5]))
        assert not each[1, ..., 2:].any()
        # an even rate is a varying one that does not
        torch.testing.assert_close(transform(x, t_out=torch.arange(14) * 1.5), transform(x, 1.5))
    out.abs().sum().backward()
    assert torch.isfinite(torch.view_as_real(x.grad)).all()
    assert x.grad[0].abs().sum() > 0
    assert not x.grad[1, ..., 5:].any()
    single = torch.randn(2, 6, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: transform(z, t_out=times[:5]).abs(), single)
    assert torch.autograd.gradcheck(lambda z: TimeStretch(0.7)(z).abs(), single)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 20.0], "t_out=20 must lie in the spectrum, from 0 to below its 20 frames"),
        ([-0.5, 1.0], "t_out=-0.5"),
        ([math.nan], "t_out=nan"),
        ([math.inf], "t_out=inf"),
        ([], r"t_out has shape \(0,\)"),
        ([[0.0], [1.0], [2.0]], r"t_out has shape \(3, 1\), and must be .* 2 clips"),
    ],
)
def test_times_outside_a_spectrum_are_refused(times, message):
    with pytest.raises(ValueError, match=message):
        TimeStretch()(torch.ones(2, 3, 20, dtype=torch.complex64), t_out=torch.tensor(times))


def test_a_rate_beside_times_a_gradient_to_them_and_times_that_go_back():
    x = torch.ones(3, 20, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"rate=2.0 must be left out with t_out"):
        TimeStretch()(x, 2.0, t_out=torch.arange(3.0))
    with pytest.raises(ValueError, match=r"use t_out\.detach"):
        TimeStretch()(x, t_out=torch.arange(3.0, requires_grad=True))
    with pytest.warns(UserWarning, match="goes back in time"):
        TimeStretch()(x, t_out=torch.tensor([3.0, 2.0]))
    # the times that are given count, not the module's rate
    assert TimeStretch(2.0)(x, t_out=torch.arange(3.0)).shape == (3, 3)
    # one frame keeps its magnitude
    one = TimeStretch(0.5)(x[:, :1] * 3)
    torch.testing.assert_close(one, torch.full((3, 2), 3.0 + 0j))


def test_the_inverse_of_mel_gives_back_mels_and_is_the_smallest():
    """A spectrum of the mels comes out, >= 0, and no larger than the one that went in."""
    transform = MelSpectrogram(sample_rate=8000, n_fft=256, hop_length=64, n_mels=20)
    powers = STFT(256, hop_length=64)(noise(2, 2000)).abs().square()
    mel = transform(noise(2, 2000))
    inverse = InverseMel(sample_rate=8000, n_fft=256, n_mels=20)(mel)
    assert inverse.shape == powers.shape
    assert torch.all(inverse >= 0)
    again = transform.filter_like("mel", mel) @ inverse
    assert float((again - mel).norm() / mel.norm()) < 1e-6
    assert torch.all(inverse.norm(dim=-2) <= powers.norm(dim=-2))


def test_the_inverse_of_mel_is_computed_in_pieces_with_the_same_result(monkeypatch):
    inverse = InverseMel(sample_rate=8000, n_fft=256, n_mels=20)
    mel = noise(3, 20, 50).abs()
    whole = inverse(mel)
    monkeypatch.setattr("audiofeed.methods.inverse.nnls.BLOCK", 129 * 7)
    torch.testing.assert_close(inverse(mel), whole)


def test_tables_of_other_overlaps_are_refused():
    for filters in (np.ones((3, 4)), np.array([[1.0], [0.0], [1.0]]), np.array([[1.0, -1.0]])):
        with pytest.raises(ValueError, match="neighbors"):
            overlapping_pairs(filters)
