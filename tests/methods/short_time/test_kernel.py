"""The values of the kernels for CPUs, and of the parts that they are written of."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.arguments.checks import PAD_MODES
from audiofeed.methods.short_time import kernel_method
from audiofeed.methods.short_time.kernel import fourier, jit
from audiofeed.methods.short_time.kernel.llvm_ir import Code
from audiofeed.methods.short_time.kernel.logarithm import logarithm
from tests.methods.short_time.kernels import LIMIT, needs_compiler, noise, runs, worst_frame

__all__ = ["runs"]
pytestmark = needs_compiler


@pytest.mark.parametrize("lanes", [4, 8, 16])
@given(
    half=st.one_of(st.sampled_from([8, 25, 49, 121, 169, 200, 256, 693, 1024]), st.integers(8, 300)),
    hop_length=st.integers(1, 300),
    center=st.booleans(),
    pad_mode=st.sampled_from(PAD_MODES),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    kind=st.sampled_from([torch.float32, torch.int16]),
    power=st.sampled_from([None, 1.0, 2.0, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_kernel_equals_the_definition(lanes, half, hop_length, center, pad_mode, lengths, kind, power, seed):
    if len(lengths) > 1 and hop_length < 8:
        hop_length += 8
    x = noise(len(lengths), max(lengths), seed=seed)
    given_ = (x * 8000).round().clamp(-32768, 32767).to(torch.int16) if kind == torch.int16 else x
    exact = given_.double() / 32768 if kind == torch.int16 else given_.double()
    past = torch.arange(x.shape[1]) >= torch.tensor(lengths)[:, None]
    spoiled = given_.masked_fill(past, 32767 if kind == torch.int16 else float("nan"))
    transform = af.Spectrogram(2 * half, hop_length=hop_length, center=center, pad_mode=pad_mode, power=power)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "lanes", lambda: lanes)
        found = []
        frames_of = kernel_method.frames_of
        patch.setattr(kernel_method, "frames_of", lambda *frames: found.append(frames_of(*frames)) or found[-1])
        out = transform(spoiled, torch.tensor(lengths))
    computed = fourier.radices(half) is not None
    assert bool(found) == computed
    for row, length in zip(range(len(lengths)), lengths, strict=True):
        expected = transform(exact[row, :length])
        frames = expected.shape[-1]
        # a root of values near 0 is as far off as its argument's rounding allows
        limit = LIMIT if power != 0.7 else 1e-4
        assert worst_frame(out[row, :, :frames], expected) <= limit
        assert torch.all(out[row, :, frames:] == 0)


def test_radices_multiply_to_the_size():
    sizes = [n for n in range(2, 400) if fourier.radices(n)]
    assert len(sizes) > 100
    for size in sizes:
        assert np.prod(fourier.radices(size)) == size
        assert max(fourier.radices(size)) <= 13


@pytest.mark.parametrize("n_fft", [4096, 6000, 16384, 2**18])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_long_frames(n_fft, lanes, monkeypatch, runs):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    x = noise(2, 40000)
    transform = af.Spectrogram(n_fft, power=1.0)
    assert worst_frame(transform(x), transform(x.double())) <= LIMIT
    assert {spec.lanes for spec in runs} == {min(lanes, 8)}


def test_frames_of_which_a_thread_would_need_much_memory_are_left_to_torch(runs):
    x = noise(70000)
    transform = af.Spectrogram(2**19)
    assert worst_frame(transform(x), transform(x.double())) <= LIMIT
    assert runs == []


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("log", ["ln", "log10", "db"])
@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("n_mels", [1, 3, 40])
def test_filters_and_their_logarithm(lanes, log, power, n_mels, monkeypatch, runs):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    x = noise(3, 2500) * torch.logspace(0, -4, 2500)
    lengths = torch.tensor([2500, 1100, 7])
    settings = {"sample_rate": 16000, "n_fft": 400, "hop_length": 90, "n_mels": n_mels, "power": power}
    mel = af.MelSpectrogram(**settings)
    assert worst_frame(mel(x, lengths), mel(x.double(), lengths)) <= 2e-6
    loud = af.LogMelSpectrogram(**settings, log=log, floor=1e-7)
    scale = {"ln": 1.0, "log10": 1 / np.log(10), "db": 20 / power / np.log(10)}[log]
    assert (loud(x, lengths) - loud(x.double(), lengths)).abs().max() <= 2e-5 * scale
    assert all(spec.filters for spec in runs)
    assert [spec.floor is None for spec in runs] == [True, False]


def test_rows_that_all_end_before_the_batch_does():
    """A batch has as many frames as its time has, whether or not any row does."""
    x, lengths = noise(2, 5000), torch.tensor([900, 1700])
    for transform in (
        af.STFT(400),
        af.Spectrogram(400, power=0.5),
        af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10),
        af.MFCC(sample_rate=16000, n_fft=400, n_mels=10, n_mfcc=5, log="ln", top_db=None),
        af.SpectralCentroid(sample_rate=16000, n_fft=400),
    ):
        out, expected = transform(x, lengths), transform(x.double(), lengths)
        assert out.shape == expected.shape == (2, *out.shape[1:-1], 51)
        torch.testing.assert_close(out, expected.to(out.dtype), rtol=1e-4, atol=1e-3)


def test_a_filter_without_bins_is_zero():
    with pytest.warns(UserWarning, match="n_mels"):
        mel = af.MelSpectrogram(sample_rate=16000, n_fft=64, n_mels=40)
    out, expected = mel(noise(900)), mel(noise(900).double())
    assert torch.any(torch.all(expected == 0, dim=-1))
    assert torch.equal(out == 0, expected == 0)


def test_a_kernel_reads_the_filters_it_is_given():
    """A buffer that was changed in place counts, as it does elsewhere."""
    mel = af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10)
    before = mel(noise(2000))
    mel.mel.mul_(2)
    torch.testing.assert_close(mel(noise(2000)), 2 * before)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("factor", [1.0, 4.25])
def test_the_logarithm_is_right_to_the_last_bits(lanes, factor):
    """Of every exponent, around sqrt(1/2) and 1, of the floor, and of what is no number."""
    rng = np.random.default_rng(0)
    mantissas = np.concatenate([rng.uniform(0.5, 1, 400), np.sqrt(0.5) + np.linspace(-1e-6, 1e-6, 21)])
    values = np.concatenate(
        [
            (mantissas[:, None] * 2.0 ** np.arange(-125, 129)).reshape(-1),
            1 + np.linspace(-1e-3, 1e-3, 4001),
            [0.0, -1.0, 1e-45, 1e-38, np.inf, -np.inf, np.nan],
        ]
    ).astype(np.float32)
    values = np.pad(values, (0, -len(values) % lanes))
    floor = float(np.finfo(np.float32).tiny)
    code = Code(lanes)
    with code.loop(0, len(values), lanes) as k:
        here = code.at("%in", k.index, "float")
        code.store_floats(logarithm(code, code.load_floats(here), floor, factor), code.at("%out", k.index, "float"))
    out = np.empty_like(values)
    call(code.text("kernel", "ptr %in, ptr %out"), values, out)
    with np.errstate(invalid="ignore"):
        expected = factor * np.log(np.maximum(values.astype(np.float64), floor))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(values))
    np.testing.assert_array_equal(np.isposinf(out), np.isposinf(values))
    finite = np.isfinite(expected)
    ulps = np.abs(out[finite] - expected[finite]) / np.spacing(np.abs(expected[finite]).astype(np.float32))
    assert ulps.max() <= (1.0 if factor == 1.0 else 1.6)


def call(text, *arrays):
    """Compile a text, and call its kernel."""
    llvm, make, _ = jit._target()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), make())
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays))(engine.get_function_address("kernel"))
    function(*[array.ctypes.data for array in arrays])


@pytest.mark.parametrize("power", [None, 2.0])
def test_a_processor_without_wide_vectors(power, monkeypatch):
    """What is written for 4 lanes and for 16 runs on the least that a processor of this kind has."""
    llvm, make, features = jit._target()
    plain = "x86-64" if llvm.get_default_triple().startswith("x86_64") else "generic"
    monkeypatch.setattr(jit, "_target", lambda: (llvm, lambda: make(cpu=plain, features=""), features))
    monkeypatch.setattr(jit, "_kernels", {})
    x = noise(2, 3000)
    for lanes in (4, 16):
        monkeypatch.setattr(jit, "lanes", lambda lanes=lanes: lanes)
        transform = af.Spectrogram(400, power=power)
        assert worst_frame(transform(x), transform(x.double())) <= LIMIT
        mel = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20)
        assert (mel(x) - mel(x.double())).abs().max() <= 1e-4
    assert all(kernel is not None for kernel, _ in jit._kernels.values())
