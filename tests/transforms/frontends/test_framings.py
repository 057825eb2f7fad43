"""Every placement of frames, by every method: against frames cut as the code that has it cuts them.

The bounds are of a spectrum's own size: 1e-10 in float64; in float32 2e-6, some thirty roundings of 6e-8.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.arguments.checks import PAD_MODES
from audiofeed.methods.short_time.kernel import address_check
from audiofeed.signal.framing import PLACEMENTS, framed
from tests.transforms.frontends import formulas

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-6}
# lengths that a kernel computes, and some that none does
SIZES = [32, 64, 66, 96, 120, 400, 37, 51]


@st.composite
def framings(draw):
    n_fft = draw(st.sampled_from(SIZES))
    win = draw(st.one_of(st.just(n_fft), st.integers(2, n_fft)))
    placement = draw(st.sampled_from(PLACEMENTS))
    most = {"vocoder": n_fft, "keep_edges": win}.get(placement, n_fft * 5 // 4)
    return {
        "n_fft": n_fft,
        "win_length": win,
        "hop_length": draw(st.integers(1, most)),
        "window": "boxcar",  # weighs both ends of a frame, where a hann window hides them
        "window_at": draw(st.sampled_from(["center", "left"])),
        "placement": placement,
        "pad_mode": draw(st.sampled_from(PAD_MODES)),
        "remove_dc": draw(st.booleans()),
        "preemphasis": draw(st.sampled_from([0.0, 0.97, 0.5])),
    }


@st.composite
def batches(draw):
    lengths = draw(st.lists(st.one_of(st.integers(1, 40), st.integers(1, 900)), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    return [random.standard_normal(n) + draw(st.sampled_from([0.0, 0.5])) for n in lengths]


def expected_of(x, framing):
    """The complex spectrum of a clip by formula.  Shape: (time,) -> (bins, frames)."""
    n_fft, win = framing["n_fft"], framing["win_length"]
    frames = formulas.frames_of(
        x,
        placement=framing["placement"],
        n_fft=n_fft,
        hop=framing["hop_length"],
        win=win,
        window_at=framing["window_at"],
        pad_mode=framing["pad_mode"],
    )
    shape = {name: framing[name] for name in ("remove_dc", "preemphasis")}
    return formulas.spectrum(formulas.prepared(frames, np.ones(win), framing["window_at"], **shape))


def padded(clips, dtype):
    """The clips in one tensor with NaN past their ends, and their lengths."""
    lengths = torch.tensor([len(x) for x in clips])
    batch = torch.full((len(clips), int(lengths.max()) + 3), float("nan"), dtype=dtype)
    for row, x in zip(batch, clips, strict=True):
        row[: len(x)] = torch.from_numpy(x).to(dtype)
    return batch, lengths


def close(found, expected, scale, tolerance):
    assert found.shape == expected.shape
    assert np.linalg.norm(found.numpy() - expected) <= tolerance * scale


@pytest.mark.parametrize("method", ["auto", "fft", "conv"])
@settings(max_examples=150)
@given(framing=framings(), clips=batches())
def test_spectra_are_those_of_the_formula(method, framing, clips):
    """Alone, in a padded batch, with a gradient, as a power: all from the same frames."""
    expected = [expected_of(x, framing) for x in clips]
    with warnings.catch_warnings(), address_check.checking():
        warnings.simplefilter("ignore", UserWarning)  # of clips shorter than a frame
        stft = af.STFT(method=method, sample_rate=8000, **framing)
        power = af.Spectrogram(method=method, power=1.0, **framing)
        for dtype, tolerance in TOLERANCE.items():
            batch, lengths = padded(clips, dtype)
            together, magnitudes = stft(batch, lengths), power(batch, lengths)
            with_graph = stft(batch.nan_to_num().requires_grad_(), lengths).detach()
            assert stft.frame_lengths(lengths).tolist() == [each.shape[1] for each in expected]
            for row, (x, own) in enumerate(zip(clips, expected, strict=True)):
                count = own.shape[1]
                # what pre-emphasis and a removed mean leave is small beside the samples they were taken from
                scale = np.sqrt(framing["n_fft"] * count) * np.linalg.norm(x) / np.sqrt(len(x)) * 4
                scale = max(scale, np.linalg.norm(own))
                close(stft(torch.from_numpy(x).to(dtype)), own, scale, tolerance)
                close(together[row, :, :count], own, scale, tolerance)
                close(with_graph[row, :, :count], own, scale, tolerance)
                close(magnitudes[row, :, :count], np.abs(own), scale, tolerance)
                assert not together[row, :, count:].any()
                assert not magnitudes[row, :, count:].any()


@pytest.mark.parametrize("method", ["auto", "fft", "conv"])
@pytest.mark.parametrize("power", [1.0, 2.0, 1.5])
@pytest.mark.parametrize("offset", [1e-9, 3.0])
def test_the_term_under_the_root_counts_on_silence_and_beside_it(method, power, offset):
    x = np.random.default_rng(0).standard_normal(900)
    x[300:600] = 0
    framing = {"n_fft": 64, "hop_length": 16, "window": "boxcar", "placement": "start", "pad_mode": "constant"}
    shape = {"win_length": 64, "window_at": "center", "remove_dc": False, "preemphasis": 0.0}
    s = expected_of(x, {**framing, **shape})
    expected = (s.real**2 + s.imag**2 + offset) ** (power / 2)
    alone = af.Spectrogram(power=power, root_offset=offset, method=method, **framing)
    eye = torch.eye(33).numpy()
    of_filters = af.MelSpectrogram(
        sample_rate=8000, filters=eye, power=power, root_offset=offset, method=method, **framing
    )
    log = af.LogFrequencySpectrogram(
        sample_rate=64, freq_scale="linear", f_min=0.0, power=power, root_offset=offset, **framing
    )
    shared = af.Stack(a=alone, b=af.Spectrogram(power=3.0, **framing))
    for dtype, rtol in ((torch.float64, 1e-10), (torch.float32, 2e-5)):
        given = torch.from_numpy(x).to(dtype)
        for found in (alone(given), of_filters(given), log(given), shared(given)["a"], alone(given.requires_grad_())):
            np.testing.assert_allclose(
                found.detach().double().numpy(), expected, rtol=rtol, atol=1e-10 if rtol < 1e-6 else 1e-5
            )


@given(framing=framings(), clips=batches())
def test_the_definition_is_the_formula(framing, clips):
    settings = {name: framing[name] for name in framing if name != "window"}
    for x in clips:
        frames = framed(x, **settings)
        under = np.zeros(framing["n_fft"])
        left = (framing["n_fft"] - framing["win_length"]) // 2 if framing["window_at"] == "center" else 0
        under[left : left + framing["win_length"]] = 1
        np.testing.assert_allclose(np.fft.rfft(frames * under).T, expected_of(x, framing), rtol=0, atol=1e-10)


@settings(max_examples=50)
@given(framing=framings(), clips=batches())
def test_gradients_are_those_of_float64_and_finite_on_silence(framing, clips):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        transform = af.Spectrogram(power=1.0, root_offset=1e-9, **framing)
        exact, single = [], []
        for dtype, found in ((torch.float64, exact), (torch.float32, single)):
            batch, lengths = padded(clips, dtype)
            batch = batch.nan_to_num().requires_grad_()
            transform(batch, lengths).sum().backward()
            found.append(batch.grad)
            for row, length in zip(batch.grad, lengths.tolist(), strict=True):
                assert not row[length:].any()
            silence = torch.zeros_like(batch).requires_grad_()
            transform(silence, lengths).sum().backward()
            assert torch.isfinite(silence.grad).all()
        torch.testing.assert_close(single[0].double(), exact[0], rtol=0, atol=1e-2 * float(exact[0].abs().max() + 1))


@settings(max_examples=60)
@given(framing=framings(), at=st.integers(0, 6))
def test_a_click_in_the_middle_of_a_frame_is_at_its_time(framing, at):
    """`times(n)` is where the window of each frame has its middle: a click there turns every bin by its own phase."""
    n_fft, win, hop = framing["n_fft"], framing["win_length"], framing["hop_length"]
    framing = {**framing, "remove_dc": False, "preemphasis": 0.0}
    length = 8 * hop + 2 * n_fft
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        stft = af.STFT(sample_rate=1000, **framing)
        frames = int(stft.frame_lengths(torch.tensor(length)))
        center = float(stft.times(frames)[min(at, frames - 1)]) * 1000
        # between two samples, for a window of even length around a frame of odd length, and the other way around
        clicks = [place for place in {int(np.floor(center)), int(np.ceil(center))} if 0 <= place < length]
        seen = []
        for place in clicks:
            x = np.zeros(length)
            x[place] = 1.0
            frame = expected_of(x, {**framing, "pad_mode": "constant"})[:, min(at, frames - 1)]
            seen.append(np.abs(frame[0]))
            if abs(frame[0]) > 0.5:
                position = _position(frame, n_fft)
                left = (n_fft - win) // 2 if framing["window_at"] == "center" else 0
                assert abs(position - left - win / 2) <= 1.0
        assert not clicks or win < 3 or max(seen) > 0.5, "the click is outside of the window"


def _position(frame, n_fft):
    """The sample of a frame at which its only click stands."""
    return int(np.argmax(np.fft.irfft(frame, n_fft)))


MEL = {"sample_rate": 8000, "n_fft": 64, "n_mels": 8}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"placement": "middle"}, r"placement='middle' must be one of 'center', 'start', 'hops'"),
        ({"placement": "hops", "center": False}, r"placement='hops' must be given without center=False.*leave center"),
        ({"placement": "vocoder", "hop_length": 65}, r"hop_length=65 must not exceed n_fft=64 for placement='vocoder'"),
        (
            {"placement": "keep_edges", "win_length": 40, "hop_length": 41},
            r"hop_length=41 must not exceed win_length=40 for placement='keep_edges'",
        ),
        ({"window_at": "right"}, r"window_at='right' must be 'center' or 'left'"),
        ({"preemphasis": 1.5}, r"preemphasis=1.5 must be a number from 0 to 1"),
        ({"preemphasis": -0.97}, r"preemphasis=-0.97 must be a number >= 0"),
        ({"root_offset": -1.0}, r"root_offset=-1.0 must be a number >= 0"),
    ],
)
def test_settings_that_cannot_be(settings, rule):
    with pytest.raises(ValueError, match=rule):
        af.MelSpectrogram(**MEL, **settings)


def test_a_complex_spectrum_has_no_root():
    with pytest.raises(ValueError, match=r"root_offset=1e-09 must be 0 with power=None"):
        af.Spectrogram(64, power=None, root_offset=1e-9)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_settings_can_be_read_back(placement):
    """What a transform says of itself makes the same transform: `center` never contradicts `placement`."""
    made = af.MelSpectrogram(**MEL, placement=placement)
    again = af.MelSpectrogram(**MEL, placement=made.placement, center=made.center)
    assert again.frames == made.frames
    assert made.center == (placement in ("center", "hops", "but_last_sample"))


def test_center_alone_says_the_placement():
    assert [af.STFT(64, center=center).placement for center in (True, False)] == ["center", "start"]


def test_a_window_of_kaldi_is_warned_of_by_its_own_length():
    """A clip of 450 samples holds a whole window of 400, though not 512 points."""
    transform = af.STFT(512, win_length=400, window_at="left", placement="snip_edges")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transform(torch.zeros(1, 450))
        with pytest.raises(UserWarning, match="win_length=400 exceeds the samples of a clip"):
            transform(torch.zeros(1, 399))


def test_kernels_follow_a_window_that_trained_beyond_its_length():
    """A parameter of n_fft samples may leave its win_length; what is computed without a gradient must follow."""
    transform = af.Spectrogram(64, win_length=30, trainable_window=True)
    with torch.no_grad():
        transform.analysis_window += 0.1
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 500))).float()
    with_graph = transform(x).detach()
    with torch.no_grad():
        assert transform.runs_on(x).method == "kernel" or transform.runs_on(x).method == "fft"
        torch.testing.assert_close(transform(x), with_graph, rtol=1e-5, atol=1e-4)


def test_the_term_under_one_root_stays_out_of_a_neighbor_of_the_same_spectrum(monkeypatch):
    """In a `Stack`, observed as by vmap: without a gradient, and not in memory that each member has of its own."""
    # on busy cores each member has a spectrum of its own
    monkeypatch.setattr("audiofeed.transforms.compose.stack.cores_are_busy", lambda: False)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 900)))
    plain = af.Spectrogram(64, power=1.0)
    stack = af.Stack(raised=af.Spectrogram(64, power=2.0, root_offset=3.0), plain=plain)
    with torch.no_grad():
        torch.testing.assert_close(torch.vmap(lambda row: stack(row)["plain"])(x), plain(x))
