"""Constant-Q octaves by machine code: their values, what must not count for them, and the memory they keep to."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.constant_q.kernel import program, run
from audiofeed.methods.short_time.kernel import address_check, jit
from tests.methods.short_time.kernels import needs_compiler, noise

RATE = 22050
SETTINGS: list[dict[str, Any]] = [
    {},
    {"f_min": 440.0, "hop_length": 256, "n_bins": 72, "bins_per_octave": 36},  # products of blocks
    {"f_min": 440.0, "hop_length": 1024, "n_bins": 72, "bins_per_octave": 36},
    {"f_min": 880.0, "hop_length": 64, "n_bins": 60, "bins_per_octave": 60},  # blocks longer than the hop
    {"f_min": 880.0, "n_bins": 31},  # an octave that is not whole
    {"f_min": 2000.0, "n_bins": 5, "bins_per_octave": 7, "hop_length": 96},
    {"f_min": 300.0, "n_bins": 12},  # the rate falls by 8 before the first octave
    {"hop_length": 100, "n_bins": 84},  # octaves that share a rate
    {"f_min": 440.0, "hop_length": 33, "n_bins": 24},
    {"f_min": 440.0, "power": 2.0, "n_bins": 48},
    {"f_min": 440.0, "power": 0.7, "n_bins": 48},
    {"f_min": 440.0, "power": None, "n_bins": 48},
    {"filter_scale": 0.4, "norm": 2.0, "scale": False},
    {"f_min": 440.0, "method": "exact", "n_bins": 48, "pad_mode": "reflect"},
    {"f_min": 440.0, "method": "conv", "n_bins": 30},
]


@pytest.fixture
def clips(monkeypatch):
    """The states that kernels were begun with, one array for each call."""
    found = []
    real = run._run
    monkeypatch.setattr(run, "_run", lambda made, clips: (found.append(clips.copy()), real(made, clips)))
    return found


def off(out, expected):
    """The error relative to the whole result."""
    return (torch.linalg.vector_norm(out - expected) / torch.linalg.vector_norm(expected)).item()


@needs_compiler
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_values_are_those_of_float64(settings, clips):
    cqt = af.CQT(sample_rate=RATE, **settings)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 40_000)) * 0.1)
    lengths = torch.tensor([40_000, 12_345, 700])
    out = cqt(x.float(), lengths)
    assert len(clips) == 1
    expected = cqt(x.float().double(), lengths)
    assert len(clips) == 1, "float64 is not for kernels"
    assert out.shape == expected.shape
    assert out.stride() == expected.stride()
    for row, count in enumerate(cqt.frame_lengths(lengths).tolist()):
        assert off(out[row, :, :count], expected[row, :, :count].to(out.dtype)) < 8e-7
        assert torch.all(out[row, :, count:] == 0)


@needs_compiler
@pytest.mark.parametrize("of", ["vqt", "harmonic", "hybrid", "chroma", "cens"])
def test_whatever_has_octaves_takes_kernels(of, clips):
    made = {
        "vqt": lambda: af.VQT(sample_rate=RATE, f_min=440.0, n_bins=48),
        "harmonic": lambda: af.HarmonicCQT(sample_rate=RATE, f_min=440.0, n_bins=36),
        "hybrid": lambda: af.HybridCQT(sample_rate=RATE),
        "chroma": lambda: af.ChromaCQT(sample_rate=RATE, tuning=0.0),
        "cens": lambda: af.ChromaCENS(sample_rate=RATE, tuning=0.0),
    }[of]()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 30_000)) * 0.1)
    out = made(x.float())
    assert clips
    assert off(out, made(x)) < 5e-6


@needs_compiler
@pytest.mark.parametrize("settings", [{}, SETTINGS[1]], ids=str)
@pytest.mark.parametrize("segment", [16, 0.5])
def test_the_same_bits_at_any_number_of_threads_and_in_any_batch(settings, segment, monkeypatch, clips):
    monkeypatch.setattr(run, "SEGMENT", segment)
    monkeypatch.setattr(jit, "FEW_SAMPLES", 100)
    cqt, x = af.CQT(sample_rate=RATE, **settings), noise(5, 70_000)
    lengths = torch.tensor([70_000, 3, 50_000, 49_999, 800])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = cqt(x, lengths)
        assert segment > 1 or len(clips[0]) > 5, "long clips are cut"
        for threads in (2, 3, 8):
            torch.set_num_threads(threads)
            assert torch.equal(cqt(x, lengths), expected)
    finally:
        torch.set_num_threads(before)
    for row, length in enumerate(lengths.tolist()):
        alone = cqt(x[row, :length])
        assert torch.equal(expected[row, :, : alone.shape[-1]], alone)


@needs_compiler
@pytest.mark.parametrize("settings", [{}, SETTINGS[3]], ids=str)
def test_segments_see_what_they_need(settings, monkeypatch):
    cqt, x = af.CQT(sample_rate=RATE, **settings), noise(2, 200_000)
    whole = cqt(x)
    monkeypatch.setattr(run, "SEGMENT", 0.7)
    cut = cqt(x)
    assert not torch.equal(cut, whole), "nothing was cut"
    assert off(cut, whole) < 8e-7


@needs_compiler
def test_nothing_past_a_clips_end_counts():
    cqt, x = af.CQT(sample_rate=RATE, f_min=440.0, n_bins=48), noise(3, 30_000)
    lengths = torch.tensor([20_000, 9_999, 7])
    expected = cqt(x.masked_fill(torch.arange(30_000) >= lengths[:, None], 0.0), lengths)
    spoiled = x.masked_fill(torch.arange(30_000) >= lengths[:, None], float("nan"))
    assert torch.equal(cqt(spoiled, lengths), expected)
    assert torch.all(torch.isfinite(expected))
    # rows of a larger tensor, and samples that do not lie together
    assert torch.equal(cqt(torch.cat([x, spoiled], 1)[:, :30_000]), cqt(x))
    assert torch.equal(cqt(x.t().contiguous().t()), cqt(x))


@needs_compiler
def test_addresses_are_checked_on_request(monkeypatch):
    cqt, x = af.CQT(sample_rate=RATE), noise(3, 30_000)
    with address_check.checking():
        expected = cqt(x)
    real = run._clips
    for column, off_by in ((0, 4), (1, 1), (2, 600), (4, 4)):

        def wrong(*arguments, column=column, off_by=off_by):
            clips = real(*arguments)
            clips[-1, column] += off_by
            return clips

        monkeypatch.setattr(run, "_clips", wrong)
        with address_check.checking(), pytest.raises(IndexError):
            cqt(x)
    monkeypatch.setattr(run, "_clips", real)
    assert torch.equal(cqt(x), expected)


@needs_compiler
def test_nan_spoils_no_other_clip():
    cqt, x = af.CQT(sample_rate=RATE, f_min=440.0, n_bins=48), noise(3, 30_000)
    expected = cqt(x)
    x[1, 12_345] = float("nan")
    out = cqt(x)
    assert torch.equal(out[[0, 2]], expected[[0, 2]])
    assert torch.isnan(out[1]).any()


@needs_compiler
@pytest.mark.parametrize("settings", SETTINGS[:9] + SETTINGS[-1:], ids=str)
@pytest.mark.parametrize("time", [1, 700, 33_333])
def test_threads_keep_to_their_memory(settings, time, monkeypatch):
    """The bytes before, between and after what is asked for stay what they were."""
    taken, room = [], 4096

    def fenced(shape, dtype):
        n = int(np.prod(shape))
        whole = torch.full((n + 2 * room,), 7.0, dtype=dtype)
        taken.append((whole, n))
        return whole[room : room + n].view(*shape)

    monkeypatch.setattr(run, "kept_empty", fenced)
    af.CQT(sample_rate=RATE, **settings)(noise(3, time), torch.tensor([time, max(1, time // 2), time]))
    assert len(taken) == 2
    for whole, n in taken:
        assert torch.all(whole[:room] == 7)
        assert torch.all(whole[room + n :] == 7)


@needs_compiler
@pytest.mark.parametrize("part", ["memory", "waveform"])
def test_a_stage_reads_nothing_that_no_stage_wrote(part, monkeypatch):
    """Memory full of NaN gives the values of memory full of 0, and a clip between NaN those of a clip alone."""
    real = run.kept_empty
    cqts = [af.CQT(sample_rate=RATE, **settings) for settings in SETTINGS[:9]]
    x = noise(2, 20_001)
    for cqt in cqts:
        expected = cqt(x)
        if part == "memory":
            with monkeypatch.context() as patched:
                patched.setattr(run, "kept_empty", lambda shape, dtype: real(shape, dtype).fill_(float("nan")))
                out = cqt(x)
        else:
            around = torch.full((2, 60_000), float("nan"))
            around[:, 20_000:40_001] = x
            out = cqt(around[:, 20_000:40_001])
        assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"pad_mode": "reflect"}, "pad_mode='reflect'"), ({"n_bins": 12, "hop_length": 2048}, "falls by 64 at once")],
)
def test_what_kernels_cannot_is_computed_by_torch(settings, reason, clips):
    cqt, x = af.CQT(sample_rate=RATE, **settings), noise(2, 60_000)
    why = program.cannot(cqt.kernel_bank.levels, settings.get("pad_mode", "constant"))
    assert not jit.lanes() or reason in why
    assert off(cqt(x), cqt(x.double()).float()) < 2e-6
    assert not clips


def test_without_a_compiler_torch_computes(monkeypatch, clips):
    monkeypatch.setattr(jit, "lanes", lambda: 0)
    cqt, x = af.CQT(sample_rate=RATE), noise(2, 30_000)
    assert off(cqt(x), cqt(x.double()).float()) < 1e-6
    assert not clips


@needs_compiler
def test_where_llvm_fails_torch_computes(monkeypatch, clips):
    cqt, x = af.CQT(sample_rate=RATE), noise(2, 30_000)
    expected = cqt(x)
    assert len(clips) == 1
    monkeypatch.setattr(program, "_products", lambda *settings: None)
    again = af.CQT(sample_rate=RATE)
    assert off(again(x), expected) < 1e-6
    assert len(clips) == 1


@needs_compiler
def test_training_and_observed_tensors_take_torch(clips):
    x = noise(1, 20_000)
    trained = af.CQT(sample_rate=RATE, f_min=440.0, n_bins=24, trainable=True)
    with torch.no_grad():
        trained(x)
    af.CQT(sample_rate=RATE, f_min=440.0, n_bins=24)(x.clone().requires_grad_())
    torch.func.vmap(af.CQT(sample_rate=RATE, f_min=440.0, n_bins=24))(x[None])
    assert not clips


@needs_compiler
def test_copies_have_programs_of_their_own(clips):
    cqt, x = af.CQT(sample_rate=RATE, f_min=440.0, n_bins=24), noise(1, 20_000)
    expected = cqt(x)
    for other in (copy.deepcopy(cqt), pickle.loads(pickle.dumps(cqt))):
        assert torch.equal(other(x), expected)
    assert len(clips) == 3


@needs_compiler
def test_octaves_are_as_strong_as_they_should_be():
    """Six filters one after another: what each lost of the level by rounded factors would add up."""
    transform = af.CQT(sample_rate=RATE, power=None)
    x = noise(2, 2 * RATE)
    found, wanted = transform(x).to(torch.complex128), transform(x.double())
    off_level = (found * wanted.conj()).real.sum((0, 2)) / wanted.abs().square().sum((0, 2)) - 1
    of_octaves = off_level.view(7, 12).mean(1)
    assert of_octaves.abs().max() < 1.2e-7, of_octaves
    assert off(found, wanted) < 4e-7
