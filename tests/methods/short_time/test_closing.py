"""Whole clips are closed by the thread that completes them: float64's values, at any number of threads, each alone."""

from __future__ import annotations

import random

import pytest
import torch

import audiofeed as af
from audiofeed.methods.frame_steps import Closing
from audiofeed.methods.short_time.kernel import address_check, layout
from tests.methods.short_time.kernels import needs_compiler, noise

pytestmark = needs_compiler

MEL = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16, "n_mels": 9}
CLOSED = {
    "limit": lambda: af.Chain(af.LogMelSpectrogram(**MEL, log="db", top_db=7.0), af.Normalize(-3.0, 2.0)),
    "limit_alone": lambda: af.LogMelSpectrogram(**MEL, log="log10", top=0.5),
    "bin": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.NormalizeClips(eps=0.25)),
    "bin_of_powers": lambda: af.Chain(
        af.Spectrogram(64, hop_length=16), af.NormalizeClips(unbiased=False, eps=0.5, eps_to="variance")
    ),
    "clip": lambda: af.Chain(af.LogMelSpectrogram(**MEL), af.Rescale(add=30.0), af.NormalizeClips(over="clip")),
    "clip_of_magnitudes": lambda: af.Chain(
        af.Spectrogram(64, hop_length=16, power=1.0),
        af.LogCompression(log="log1p"),
        af.NormalizeClips(over="clip", unbiased=False, eps=0.1, eps_to="variance"),
    ),
}


@pytest.fixture
def threads():
    """Set as many as a test says, and then as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def closings(monkeypatch):
    """What kernels were asked to close, in order, with whether they did."""
    made = []
    real = layout.FrameLayout._run

    def spied(self, spec, tiles, out, bank=None, stride=0, tail=layout.NO_TAIL, closing=None):
        result = real(self, spec, tiles, out, bank, stride, tail, closing)
        made.append(closing is not None and closing.done)
        return result

    monkeypatch.setattr(layout.FrameLayout, "_run", spied)
    return made


@pytest.mark.parametrize("name", CLOSED)
def test_values_are_those_of_float64(name, closings):
    draw, transform = random.Random(0), CLOSED[name]()
    for count in range(40):
        time = draw.randint(70, 3000)
        x = noise(*draw.choice([(3, time), (2, 2, time), (1, 3, time), (time,)]), seed=count)
        lengths = None
        if x.dim() > 1 and draw.random() < 0.6:
            lengths = torch.tensor([draw.randint(66, time) for _ in x])
            for clip, length in zip(x, lengths.tolist(), strict=True):
                clip[..., length:] = torch.nan
        expected = transform(x.double(), lengths)
        torch.testing.assert_close(transform(x, lengths).double(), expected, rtol=3e-5, atol=3e-5)
    assert closings == [True] * 40


@pytest.mark.parametrize("name", CLOSED)
def test_the_same_bits_at_any_number_of_threads_and_alone(name, threads):
    transform, x = CLOSED[name](), noise(7, 2, 9001)
    lengths = torch.tensor([9001, 333, 9000, 70, 5000, 4999, 129])
    threads(1)
    expected = transform(x, lengths)
    for count in (2, 3, 8):
        threads(count)
        for _ in range(5):
            assert torch.equal(transform(x, lengths), expected)
    for clip, length, found in zip(x, lengths.tolist(), expected, strict=True):
        alone = transform(clip[None, :, :length])[0]
        assert torch.equal(found[..., : alone.shape[-1]], alone)
        assert (found[..., alone.shape[-1] :] == 0).all()


@pytest.mark.parametrize("name", CLOSED)
def test_a_clip_without_numbers_or_sound_leaves_its_batch_mates_alone(name):
    transform, x = CLOSED[name](), noise(4, 2000)
    expected = transform(x)
    x[1, 1000], x[2] = torch.nan, 0.0
    found = transform(x)
    assert torch.equal(found[[0, 3]], expected[[0, 3]])
    assert found[1].isnan().all() or name == "bin_of_powers"
    assert found[2].isfinite().all()
    if name.startswith(("bin", "clip")):  # of equal values nothing but rounding is left
        assert (found[2] == 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda closing, tiles: vars(closing).update(rows_of_each=4), "6 rows are not whole clips of 4"),
        (lambda closing, tiles: vars(closing).update(rows_of_each=2), "do not have the same number of frames"),
        (lambda closing, tiles: tiles[:2].__setitem__(slice(None), tiles[[1, 0]]), "do not follow each other"),
    ],
)
def test_a_clip_that_would_be_closed_too_soon_is_refused(spoil, message, monkeypatch):
    real = layout.FrameLayout._closing

    def spoiled(self, closing: Closing, tiles, n_lines):
        held = real(self, closing, tiles, n_lines)
        spoil(closing, tiles)
        return held

    monkeypatch.setattr(layout.FrameLayout, "_closing", spoiled)
    with address_check.checking(), pytest.raises(IndexError, match=message):
        CLOSED["bin"]()(noise(6, 2000), torch.tensor([2000, 1000, 2000, 2000, 70, 70]))
