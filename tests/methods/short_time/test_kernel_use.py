"""Where the kernels for CPUs are used, where not, and what there is without a compiler."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import audiofeed as af
from audiofeed.methods.short_time.kernel import fourier, guard, jit
from audiofeed.methods.short_time.kernel.frame_kernel import KernelSpec
from audiofeed.methods.short_time.kernel.llvm_ir import Code
from tests.methods.short_time.kernels import needs_compiler, noise, runs

__all__ = ["runs"]
pytestmark = needs_compiler


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (af.STFT(400), [(None, False, False)]),
        (af.Spectrogram(400, power=1.0), [(1.0, False, False)]),
        (af.Spectrogram(400, power=0.5), [(2.0, False, False)]),
        (af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10), [(2.0, True, False)]),
        (af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, power=1.0), [(1.0, True, True)]),
        (af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, power=3.0), [(2.0, False, False)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20), [(2.0, True, True)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20, offset=1e-6), [(2.0, True, True)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20, log="ln", top_db=None), [(2.0, True, True)]),
        (af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, trainable_mel=True), [(2.0, False, False)]),
        (af.Gammatonegram(sample_rate=16000, n_fft=400), [(2.0, False, False)]),
        (af.SpectralCentroid(sample_rate=16000, n_fft=400), [(1.0, True, False)]),
        (af.STFT(401), []),
        (af.STFT(2 * 17), []),
        (af.STFT(400, method="conv"), []),
    ],
    ids=str,
)
def test_which_kernel_a_transform_uses(transform, expected, runs):
    with torch.no_grad():
        out = transform(noise(2, 4000))
    torch.testing.assert_close(out, transform(noise(2, 4000).double()).to(out.dtype), rtol=1e-4, atol=1e-3)
    assert [(spec.power, spec.filters, spec.floor is not None) for spec in runs] == expected
    runs.clear()
    transform(noise(2, 4000).double())
    assert runs == []
    transform(noise(2, 4000).requires_grad_())
    assert [(spec.power, spec.filters, spec.floor is not None) for spec in runs] == expected


def test_llvm_is_not_loaded_for_what_it_cannot_compute(monkeypatch):
    monkeypatch.setattr(jit, "lanes", lambda: pytest.fail("LLVM was asked for"))
    af.STFT(400)(noise(1000).double().requires_grad_())
    af.STFT(400, trainable_window=True)(noise(1000))


def test_a_trained_window_counts_without_a_graph():
    stft = af.STFT(400, trainable_window=True)
    with torch.no_grad():
        stft.analysis_window.mul_(3)
        torch.testing.assert_close(stft(noise(2000)), 3 * af.STFT(400)(noise(2000)))


def through_make_fx(transform, x):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(transform)(torch.zeros_like(x))(x)


def traced(transform, x):
    return torch.jit.trace(lambda waveform: transform(waveform), torch.zeros_like(x), check_trace=False)(x)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("watch", [through_make_fx, traced])
def test_whoever_watches_the_steps_sees_them(watch, runs):
    transform, x = af.STFT(64, hop_length=16), noise(3, 500)
    torch.testing.assert_close(watch(transform, x), transform(x.double()).to(torch.complex64), rtol=1e-4, atol=1e-5)
    assert runs == []


class Watching(TorchDispatchMode):
    """As a counter of operations or a tracer of them does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_another_default_device_or_dtype_does_not_matter(runs):
    x, mel = noise(2, 2000), af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10)
    stft = af.STFT(400)
    expected = stft(x), mel(x)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            assert torch.equal(stft(x), expected[0])
            assert torch.equal(mel(x), expected[1])
    finally:
        torch.set_default_dtype(before)
    assert len(runs) == 4


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning")
def test_what_is_not_plain_memory_is_left_alone():
    x = noise(4, 100)
    assert guard.watched(x) is None
    assert guard.watched(x.to(torch.int16)) is None
    assert guard.watched(x[:, ::2]) is None
    assert guard.watched(x.double())
    assert guard.watched(x.to("meta"))
    assert guard.watched(x.to_sparse())
    assert guard.watched(x.as_subclass(type("Other", (torch.Tensor,), {})))
    torch.func.vmap(lambda row: pytest.fail("plain") if guard.watched(row) is None else row)(x)
    with Watching():
        assert guard.watched(x)
    with torch.autograd.forward_ad.dual_level():  # a kernel would lose the tangent without a word
        assert guard.watched(torch.autograd.forward_ad.make_dual(x, x))


@pytest.mark.parametrize(
    "rows", [noise(3, 2000), noise(2000, 3).t(), noise(3, 4000)[:, ::2], noise(1, 2000).expand(3, -1)]
)
def test_rows_lie_in_any_order_of_memory(rows):
    stft = af.STFT(256)
    assert torch.equal(stft(rows), stft(rows.clone(memory_format=torch.contiguous_format)))


# ---------------------------------------------------------------- without a compiler


def everything(x):
    return {
        "stft": af.STFT(400)(x),
        "power": af.Spectrogram(400, power=0.8)(x),
        "mel": af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20)(x),
        "mfcc": af.MFCC(sample_rate=16000, n_fft=400, n_mels=20)(x),
        "stack": af.Stack(a=af.Spectrogram(400), b=af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20))(x)["b"],
    }


@pytest.mark.parametrize("how", ["switched off", "absent", "old", "broken", "stumbles"])
def test_without_a_compiler_torchs_fft_computes_the_same(how, monkeypatch, runs):
    x = noise(2, 3000)
    expected = everything(x)
    assert runs
    runs.clear()
    monkeypatch.setattr(jit, "_kernels", {})
    for cached in (jit._target, jit.lanes):
        cached.cache_clear()
    try:
        if how == "switched off":
            monkeypatch.setenv("AUDIOFEED_KERNELS", "0")
        elif how == "absent":
            monkeypatch.setitem(sys.modules, "llvmlite", None)
            monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
        elif how == "old":
            monkeypatch.setattr("llvmlite.binding.llvm_version_info", (15, 0, 7))
        elif how == "broken":
            monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: 1 / 0)
        else:
            monkeypatch.setattr("llvmlite.binding.parse_assembly", lambda text: 1 / 0)
        if how in ("switched off", "absent", "old"):
            out = everything(x)
        else:
            with pytest.warns(RuntimeWarning, match=r"llvmlite cannot make code .*ZeroDivisionError.*torch's FFT"):
                out = everything(x)
        assert runs == []
        for name, values in expected.items():
            torch.testing.assert_close(out[name], values, rtol=1e-4, atol=1e-4)
        assert torch.isfinite(everything(x)["mel"]).all()  # and nothing is said a second time
    finally:
        monkeypatch.undo()
        for cached in (jit._target, jit.lanes):
            cached.cache_clear()


def test_a_kernel_is_compiled_once():
    spec = KernelSpec(n_fft=36, lanes=4, int16=False, power=2.0)
    assert jit.kernel(spec) is jit.kernel(KernelSpec(n_fft=36, lanes=4, int16=False, power=2.0))


def test_calls_one_after_another_work_in_the_same_memory(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    for _ in range(3):
        af.Spectrogram(400)(noise(2, 16000))
    ((kernel, _),) = jit._kernels.values()
    assert len(kernel._free) == 1


def test_a_size_without_passes_is_refused():
    with pytest.raises(ValueError, match="size=17 must be a product of"):
        fourier.transform(Code(4), 17, "%a", "%b", "%c")
