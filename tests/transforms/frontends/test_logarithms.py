"""Every kind of logarithm wherever one is taken: floor and offset, range below the peak, by kernel and by torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.methods.short_time.kernel import jit
from tests.signals import noise

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
KINDS = ["ln", "log10", "db", "log1p"]


def expected_of(values, *, log, floor=1e-10, offset=0.0, power=2.0, top=None):
    """By the formula, in float64; the peak is that of the whole array."""
    seen = values + offset
    if log == "log1p":
        found = np.log1p(np.maximum(seen, (floor or 0) - 1))
    else:
        seen = np.maximum(seen, floor or 0)
        found = {"ln": np.log, "log10": np.log10, "db": lambda x: 20 / power * np.log10(x)}[log](seen)
    return found if top is None else np.maximum(found, found.max() - top)


@st.composite
def logarithms(draw):
    log = draw(st.sampled_from(KINDS))
    offset = draw(st.sampled_from([0.0, 1e-6, 1e-2, 2.0]))
    floors = [1e-10, 1e-5, 0.5, 1.5] + ([None, 0] if offset or log == "log1p" else [])
    top = draw(st.sampled_from([None, 0.0, 1.0, 30.0]))
    return {"log": log, "offset": offset, "floor": draw(st.sampled_from(floors)), "top": top}


@settings(max_examples=60)
@given(logarithm=logarithms(), power=st.sampled_from([1.0, 2.0, 1.5]), size=st.sampled_from([1.0, 1e-3]))
def test_log_mel_is_the_formula_of_its_mel(logarithm, power, size):
    """float32 by the kernel, with a gradient by torch, and float64; a clip of noise that begins with silence."""
    x = size * noise(2, 3000)
    x[0, :1000] = 0
    transform = af.LogMelSpectrogram(**MEL, power=power, **logarithm)
    after = af.Chain(af.MelSpectrogram(**MEL, power=power), af.LogCompression(power=power, **logarithm))
    mel = af.MelSpectrogram(**MEL, power=power)(x).numpy()
    expected = np.stack([expected_of(row, power=power, **logarithm) for row in mel])
    scale = 1 + np.abs(expected).max()
    for found, bound in (
        (transform(x), 1e-13),
        (after(x), 1e-13),
        (transform(x.float()), 2e-6),
        (after(x.float()), 2e-6),
        (transform(x.float().requires_grad_()).detach(), 2e-6),
    ):
        np.testing.assert_allclose(found.double().numpy(), expected, rtol=0, atol=bound * scale)


@pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")
def test_log1p_keeps_the_digits_of_small_values_in_the_kernel():
    """Over powers from 1e-14 to 1e12, where 1 + x has none of them, or nothing else."""
    x = (noise(1, 64 * 40) * torch.logspace(-9, 4, 64 * 40, dtype=torch.float64)).float()
    transform = af.LogMelSpectrogram(**MEL, log="log1p")
    assert transform.runs_on(x).method == "kernel"
    exact = transform(x.double())
    assert exact.min() < 1e-12
    assert exact.max() > 10
    torch.testing.assert_close(transform(x).double(), exact, rtol=3e-6, atol=0)


@pytest.mark.parametrize("log", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_stays_so(log, bad):
    x = noise(1, 2000).float()
    x[0, 1000] = bad
    for found in (af.LogMelSpectrogram(**MEL, log=log)(x), af.LogCompression(log=log)(torch.full((1, 2, 3), bad))):
        assert not torch.isfinite(found).all()
    assert torch.isfinite(af.LogMelSpectrogram(**MEL, log=log)(x)[..., :20]).all()


@pytest.mark.parametrize("log", KINDS)
def test_powers_that_float32_does_not_hold_are_infinite(log):
    x = 1e25 * noise(1, 2000).float()
    assert torch.equal(af.LogMelSpectrogram(**MEL, log=log)(x), torch.full((1, 10, 63), math.inf))


@pytest.mark.parametrize("log", KINDS)
def test_an_offset_alone_is_the_value_of_silence(log):
    silence = torch.zeros(1, 2000)
    found = af.LogMelSpectrogram(**MEL, log=log, offset=1e-5, floor=None)(silence)
    value = float(expected_of(np.zeros(1), log=log, offset=1e-5, floor=None)[0])
    torch.testing.assert_close(found, torch.full_like(found, value), rtol=1e-6, atol=1e-6)


def test_top_counts_from_each_clips_own_peak_and_its_own_frames():
    quiet, loud = 1e-3 * noise(1, 2000), 10.0 * noise(1, 3000, seed=1)
    transform = af.LogMelSpectrogram(**MEL, log="log10", top=1.0)
    batch = torch.zeros(2, 3000, dtype=torch.float64)
    batch[0, :2000], batch[1] = quiet[0], loud[0]
    batch[0, 2000:] = 1e3  # past the end
    found = transform(batch, torch.tensor([2000, 3000]))
    alone = transform(quiet)
    torch.testing.assert_close(found[:1, :, : alone.shape[-1]], alone)
    assert float(alone.max() - alone.min()) == pytest.approx(1.0)


def test_the_onset_strength_of_another_logarithm():
    """Spectral flux of log1p, by its formula; the default stays librosa's."""
    x = noise(1, 4000) * torch.linspace(0, 1, 4000, dtype=torch.float64)
    settings = {**MEL, "center": False}
    found = af.OnsetStrength(**settings, log="log1p", top_db=None)(x)
    bands = np.log1p(af.MelSpectrogram(**MEL)(x)[0].numpy())
    gain = np.maximum(0, np.diff(bands, axis=1)).mean(axis=0)
    np.testing.assert_allclose(found[0, 0, 1:].numpy(), gain, rtol=0, atol=1e-12)
    plain = af.OnsetStrength(**settings)
    assert (plain.log, plain.floor, plain.offset, plain.top_db, plain.top) == ("db", 1e-10, 0.0, 80.0, None)


def test_cepstra_of_log1p_go_back_to_their_mels():
    x = noise(1, 2000)
    there = af.MFCC(**MEL, n_mfcc=10, log="log1p", top_db=None)(x)
    torch.testing.assert_close(af.InverseMFCC(10, log="log1p")(there), af.MelSpectrogram(**MEL)(x))


@pytest.mark.parametrize(("stype", "factor"), [("power", 10), ("magnitude", 20)])
@pytest.mark.parametrize("ref", [1.0, 3.0, "max"])
def test_decibels_of_a_raised_value(stype, factor, ref):
    values = noise(1, 4, 5).abs()
    found = af.AmplitudeToDB(stype, ref=ref, amin=0, offset=0.1, top_db=20.0)(values).numpy()
    of_ref = values.max().item() + 0.1 if ref == "max" else ref
    expected = factor * np.log10((values.numpy() + 0.1) / of_ref)
    np.testing.assert_allclose(found, np.maximum(expected, expected.max() - 20), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"floor": None}, r"floor=None must be a number > 0 with offset=0.*the logarithm of silence would be infinite"),
        ({"floor": 0}, r"floor=0 must be a number > 0"),
        ({"floor": -1.0}, r"floor=-1.0 must be a number > 0"),
        ({"top": -1.0}, r"top=-1.0 must be a number >= 0"),
        ({"top": 3.0, "top_db": 3.0, "log": "db"}, r"top=3.0 must be None with top_db=3.0.*pass top_db=None"),
        ({"top_db": 3.0}, r"top_db=3.0 must be None with log='ln'"),
        ({"log": "log2"}, r"log='log2' must be one of 'ln', 'log10', 'db', 'log1p'"),
        ({"offset": -1.0}, r"offset=-1.0 must be a number >= 0"),
    ],
)
def test_settings_that_contradict_each_other(settings, rule):
    for make in (lambda: af.LogMelSpectrogram(**MEL, **settings), lambda: af.LogCompression(**settings)):
        with pytest.raises(ValueError, match=rule):
            make()


def test_decibels_without_floor_or_offset_are_refused():
    with pytest.raises(ValueError, match="amin=0 must be a number > 0, or None, or 0 with an offset > 0"):
        af.AmplitudeToDB(amin=0)
