"""method="fused" in CUDA: equal to float64 on a CPU, compiled for cards not here, checked at its first use on one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import cuda_launch, nvrtc, self_check
from audiofeed.methods.short_time.fused.cuda_filters import rounds_of
from audiofeed.methods.short_time.fused.cuda_fourier import MOST_POINTS, CudaCode, factors, transform
from audiofeed.methods.short_time.fused.cuda_layout import LONGEST_HOP, MOST_SHARED, MOST_THREADS, plan_for
from tests.methods.short_time.cuda_on_cpu import COMPILER, ORDERS, kernel_on_cpu
from tests.signals import noise

ROOT = Path(__file__).resolve().parents[3]
MEL = {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 40}
KALDI = {
    "sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40, "window": "povey",
    "window_at": "left", "placement": "keep_edges", "pad_mode": "symmetric", "remove_dc": True, "preemphasis": 0.97,
}  # fmt: skip
MISSING = "no C++ compiler (g++ or clang++) to compile the CUDA text with" if COMPILER is None else ""
NO_WAY = torch.version.cuda is None and importlib.util.find_spec("triton") is None
if NO_WAY:
    MISSING = "torch for a CPU alone has no method 'fused'"
needs_a_way = pytest.mark.skipif(NO_WAY, reason="torch for a CPU alone, without triton, has no method 'fused'")
on_cpu = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@on_cpu
def test_drawn_settings_are_equal_to_float64():
    command = [sys.executable, "-m", "tests.methods.short_time.fused_draws", "--kernel", "cuda", "--draws", "16"]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    *failed, count = [json.loads(line) for line in out.stdout.splitlines()] or [out.stderr]
    assert not failed
    assert (count["draws"], count["failed"]) == (16, 0)
    assert 0 < count["worst"]["log error in nats"] <= 2e-3
    assert 0 < count["worst"]["log error in nats on quiet speech, floor 1e-10"] <= 2e-3
    assert 0 < count["worst"]["error of a gradient in its largest"] <= 1e-4


@on_cpu
@pytest.mark.parametrize("settings", [MEL, KALDI, {**MEL, "n_fft": 2048, "hop_length": 512}], ids=lambda s: s["n_fft"])
def test_the_order_of_a_blocks_threads_changes_no_bit(settings):
    x, lengths = noise(3, 9000, dtype=torch.float32), torch.tensor([9000, 1, 5000])
    module = af.LogMelSpectrogram(method="fused", **settings)
    found = []
    for order in range(ORDERS):
        with kernel_on_cpu(order=order) as runs:
            found.append(module(x, lengths))
            assert runs.launches == 2  # the first is its self-check
    assert all(torch.equal(found[0], other) for other in found[1:])
    want = af.LogMelSpectrogram(method="fft", **settings).double()(x.double(), lengths)
    assert float((found[0] - want).abs().max()) < 2e-4


# of the text, and what is then missing; each must be noticed by the self-check that stands before the first use
BREAKS = {
    "a barrier": ("__syncthreads(); give<20, 1, 1>", "give<20, 1, 1>"),
    "a reflected end": ("2 * (seen - 1) : 1)", "2 * seen : 1)"),
    "a turn": ("tr[r] = turn.x;", "tr[r] = r == 1 ? 1.0f : turn.x;"),
    "four samples at once": ("SCALE * (float)x.z, SCALE * (float)x.w", "SCALE * (float)x.w, SCALE * (float)x.z"),
    "samples one by one": ("to += THREADS / ROW * STRIDE + THREADS", "to += THREADS / ROW * ROW + THREADS"),
    "frames past the end": ("is_own ? value : 0.0f", "value"),
    "the untangling of the first thread": ("r <= R / 2; ++r", "r < R / 2; ++r"),
    "a weight of a narrow filter": ("i < WIDTH; ++i", "i < WIDTH - 1; ++i"),
    "a step of a wide filter": ("steps = span >> 16; steps > 0", "steps = span >> 16; steps > 1"),
    "the gap between rows": ("low == high) return n + low * ROW_GAP", "low == high) return n"),
    "the floor": ("value = GREATER(value, job.floor);", ""),
}  # fmt: skip


@on_cpu
@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_kernel_is_noticed_at_its_first_use_and_not_taken(broken):
    settings = {**MEL, "pad_mode": "reflect", "f_min": 200.0, "floor": 1e-2}
    x = noise(2, 4000, dtype=torch.float32)
    module, fft = (af.LogMelSpectrogram(method=method, **settings) for method in ("fused", "fft"))
    with kernel_on_cpu(change=BREAKS[broken], order=1) as runs:
        with (
            pytest.warns(RuntimeWarning, match="CUDA kernel of method='fused' is not used on cpu") as said,
            pytest.raises(ValueError, match="method='fused' cannot be used for this input"),
        ):
            module(x)
        assert len([one for one in said if one.category is RuntimeWarning]) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            with pytest.raises(ValueError, match=r"differs from torch's FFT|a frame past the end"):
                module(x)
        assert runs.launches == 1
        assert torch.isfinite(fft(x)).all()


@on_cpu
def test_auto_checks_it_once_for_each_form_and_takes_it(monkeypatch):
    monkeypatch.setattr(fused_method, "DEVICE", "cpu")
    x = noise(2, 4000, dtype=torch.float32)
    module, powers = without_kernels(af.LogMelSpectrogram(**MEL)), without_kernels(af.Spectrogram(400, hop_length=160))
    with kernel_on_cpu() as runs, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert module.runs_on(x).method == "fused"
        assert not runs.launches
        first = module(x)
        assert runs.launches == 2
        assert torch.equal(module(x), first)
        assert runs.launches == 3
        module((1000 * x).to(torch.int16))  # another form
        assert runs.launches == 5
        assert powers.runs_on(x).method == "fused"
        powers(x)
        assert runs.launches == 7
        leaf = x.clone().requires_grad_()
        assert module.runs_on(leaf).reason.startswith("fused: a graph is recorded")
        module(leaf).sum().backward()
        assert runs.launches == 7
        assert str(module.runs_on(x.double())) == "fft: fused: float64"


def without_kernels(module):
    """The module, with no machine code for a CPU among what it chooses from, as on a GPU."""
    from dataclasses import replace

    module._choice = replace(
        module._choice, candidates=tuple(m for m in module._choice.candidates if m.name != "kernel")
    )
    return module


@on_cpu
def test_what_cannot_be_compiled_is_said_once_and_the_fft_is_taken(monkeypatch):
    monkeypatch.setattr(fused_method, "DEVICE", "cpu")
    x = noise(2, 4000, dtype=torch.float32)
    module, fft = without_kernels(af.LogMelSpectrogram(**MEL)), af.LogMelSpectrogram(method="fft", **MEL)

    def failing(form, device):
        raise nvrtc.CompilerError("NVRTC for sm_999: error: it is not known\nmore")

    with kernel_on_cpu():
        monkeypatch.setattr(cuda_launch, "launcher", failing)
        with pytest.warns(RuntimeWarning, match="not used on cpu.*NVRTC for sm_999: error: it is not known"):
            found = module(x)
        assert torch.equal(found, fft(x))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            assert torch.equal(module(x), fft(x))
        assert module.runs_on(x).reason.startswith("fused: ")


@on_cpu
def test_a_launch_that_fails_later_is_said_and_the_fft_is_taken(monkeypatch):
    monkeypatch.setattr(fused_method, "DEVICE", "cpu")
    x = noise(2, 4000, dtype=torch.float32)
    module, fft = without_kernels(af.LogMelSpectrogram(**MEL)), af.LogMelSpectrogram(method="fft", **MEL)
    with kernel_on_cpu() as runs:
        module(x)

        def failing(self, *given):
            raise nvrtc.CompilerError("the driver says: invalid argument")

        monkeypatch.setattr(runs, "launch", failing)
        with pytest.warns(RuntimeWarning, match="invalid argument"):
            assert torch.equal(module(x), fft(x))


@on_cpu
def test_not_a_number_arrives_and_stays_in_its_frames():
    x = noise(1, 8000, dtype=torch.float32)
    x[0, 4000] = torch.nan
    module, fft = (af.LogMelSpectrogram(method=method, **MEL) for method in ("fused", "fft"))
    with kernel_on_cpu():
        found = module(x)
    assert torch.equal(found.isnan(), fft(x).isnan())
    assert found.isnan().any()


@on_cpu
def test_a_view_of_samples_and_a_window_that_is_not_aligned():
    whole = noise(6, 9001, dtype=torch.float32)
    x = whole[::2, 1:]
    module, fft = (af.LogMelSpectrogram(method=method, **MEL) for method in ("fused", "fft"))
    module.analysis_window = torch.cat([module.analysis_window[:1], module.analysis_window])[1:]
    assert module.analysis_window.data_ptr() % 8
    with kernel_on_cpu():
        found = module(x)
        transposed = module(x.t().contiguous().t())
    assert torch.equal(found, transposed)
    assert float((found - fft(x)).abs().max()) < 1e-4


@on_cpu
def test_the_operator_passes_opcheck():
    x = noise(2, 2000, dtype=torch.float32)
    module = af.LogMelSpectrogram(method="fft", **MEL)
    bank = module.wanted(x).steps[0]
    plan = plan_for(400, 160)
    numbers = (13, 400, 160, 200, 0, 1, 0, 0, 400, "constant", False, 0.0, 2.0, 0.0, "ln", 1e-10, 1.0, 0.0, 0, 0)
    with kernel_on_cpu():
        weights, spans = cuda_launch.packed(bank, plan, 2.0)
        lengths = torch.tensor([2000, 700])
        for given in (
            (x, None, weights, spans),
            (x, lengths, None, None),
            (x.to(torch.int16), lengths, weights, spans),
        ):
            samples, of_each, w, s = given
            sizes = ((), 201) if w is None else (rounds_of(*bank.supports, plan.parts), 40)
            arguments = (samples, of_each, module.analysis(x), w, s, None, *sizes, *numbers)
            torch.library.opcheck(torch.ops.audiofeed.cuda_features.default, arguments)


@on_cpu
def test_filters_of_all_bins_read_nothing_past_the_last(monkeypatch):
    """Of 401 bins, by steps of eight: what stands behind them in shared memory may be anything."""
    monkeypatch.setattr(fused_method, "_installed", lambda: False)  # Triton, which takes what may be anywhere
    settings = {"sample_rate": 16000, "n_fft": 800, "hop_length": 266, "n_mels": 40, "trainable_mel": True}
    x = noise(2, 6000, dtype=torch.float32)
    fused, fft = (af.MelSpectrogram(method=method, **settings) for method in ("fused", "fft"))
    with kernel_on_cpu(), torch.no_grad():
        torch.testing.assert_close(fused(x), fft(x), rtol=1e-4, atol=1e-4)


COMPILED = {
    "logarithms": lambda: af.LogMelSpectrogram(method="fused", **MEL),
    "filters that train": lambda: af.MelSpectrogram(method="fused", trainable_mel=True, **MEL),
    "powers": lambda: af.Spectrogram(400, hop_length=160, power=1.0, method="fused"),
    "cepstra": lambda: af.MFCC(n_mfcc=8, method="fused", **MEL),
    "Kaldi's frames": lambda: af.LogMelSpectrogram(method="fused", **KALDI),
}


@on_cpu
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_compiler_keeps_the_kernel_in_one_graph_with_its_gradient(name, dynamic, monkeypatch):
    monkeypatch.setattr(fused_method, "COMPILED_FOR", ("cpu",))
    monkeypatch.setattr(fused_method, "_installed", lambda: False)  # Triton, which takes what may be anywhere
    x, lengths, module = noise(2, 2000, dtype=torch.float32), torch.tensor([2000, 900]), COMPILED[name]()
    torch._dynamo.reset()
    with kernel_on_cpu() as runs:
        compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=dynamic)
        with torch.no_grad():
            assert torch.equal(compiled(x, lengths), module(x, lengths))
        short = (1000 * x).to(torch.int16)
        with torch.no_grad():
            assert torch.equal(compiled(short), module(short))
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        before = runs.launches
        made = compiled(leaves[0], lengths)
        assert runs.launches == before + 1
        weights = noise(*made.shape, dtype=torch.float32)
        found = torch.autograd.grad((made * weights).sum(), [leaves[0], *module.parameters()])
        expected = torch.autograd.grad((module(leaves[1], lengths) * weights).sum(), [leaves[1], *module.parameters()])
    for ours, want in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, want, rtol=1e-5, atol=1e-6 * float(want.abs().max()))


@on_cpu
def test_the_compilers_operator_passes_opcheck():
    from audiofeed.methods.short_time.fused_operator import fused_powers

    x, lengths = noise(2, 2000, dtype=torch.float32), torch.tensor([2000, 700])
    module = af.LogMelSpectrogram(method="fft", **MEL)
    bank, window = module.wanted(x).steps[0], module.analysis(x)
    filters = bank.filters
    affine = torch.stack([noise(40, dtype=torch.float32), torch.full((40,), 2.0)])[None]
    shape = ("center", "reflect", 400, "center", False, 0.97)
    frames, plain = (13, 400, 160, *bank.tiles.supports, *shape), (13, 400, 160, (), (), *shape)
    log = ("db", 1e-10, 2.0, 0.0, 0)
    with kernel_on_cpu():
        for given in (
            (x, window, filters, None, None, *frames, 2.0, 0.0, *log, 0),
            (x.clone().requires_grad_(), window, filters, lengths, affine, *frames, 2.0, 0.0, *log, 1),
            (x.clone().requires_grad_(), window.clone().requires_grad_(), None, None, None, *plain, 1.0, 1e-6, *log, 0),
            (x.to(torch.int16), window, None, lengths, None, *plain, 2.0, 0.0, "", 0.0, 1.0, 0.0, 0, 0),
        ):
            torch.library.opcheck(torch.ops.audiofeed.fused_powers.default, given)
        empty = fused_powers(x[:0], window, filters, None, None, *frames, 2.0, 0.0, *log, 0)
        assert empty.shape == (0, 40, 13)


@needs_a_way
def test_a_compiler_on_a_cpu_is_told_that_the_kernel_is_not_for_it():
    x, module = noise(2, 2000, dtype=torch.float32), af.LogMelSpectrogram(method="fused", **MEL)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="method='fused' cannot be used for this input: a tensor on cpu"):
        compiled(x)


@needs_a_way
def test_a_compiler_keeps_one_operator_of_tensors_on_a_card_that_is_not_there():
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd
    from torch._subclasses.fake_tensor import FakeTensorMode

    graphs = []

    def keeping(graph, given):
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    module = af.LogMelSpectrogram(method="fused", **MEL)
    torch._dynamo.reset()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for name, held in list(module.named_buffers()):
            setattr(module, name, torch.empty(held.shape, device="cuda"))
        x, lengths = torch.empty(2, 3000, device="cuda"), torch.empty(2, dtype=torch.int64, device="cuda")
        compiled = torch.compile(module, backend=aot_autograd(fw_compiler=keeping), fullgraph=True)
        found = compiled(x, lengths)
    assert (found.shape, found.device.type) == ((2, 40, 19), "cuda")
    (graph,) = graphs
    targets = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert targets.count("audiofeed.fused_powers.default") == 1
    assert not any("fft" in target for target in targets)


@on_cpu
def test_one_feature_is_traced_by_its_shape_alone():
    from torch._subclasses.fake_tensor import FakeTensorMode

    numbers = (11, 400, 160, 200, 0, 1, 0, 0, 400, "constant", False, 0.0, 2.0, 0.0, "", 0.0, 1.0, 0.0, 0, 0)
    with FakeTensorMode():
        x, window = torch.empty(3, 1600, device="cuda", dtype=torch.int16), torch.empty(400, device="cuda")
        powers = cuda_launch.cuda_features(x, None, window, None, None, None, (), 201, *numbers)
        assert (powers.shape, powers.dtype, powers.device.type) == ((3, 201, 11), torch.float32, "cuda")
        weights = torch.empty(12, 10, 4, device="cuda")
        spans = torch.empty(2, 10, 4, device="cuda", dtype=torch.int32)
        given = (x, None, window, weights, spans, None, (2, 2, 2, 4, 5, 7, 10, 14), 80)
        assert cuda_launch.cuda_features(*given, *numbers).shape == (3, 80, 11)


@pytest.mark.parametrize("n", [n for n in range(2, MOST_POINTS + 1) if factors(n)])
def test_a_small_transform_is_the_transform(n):
    code, rng = CudaCode(), np.random.default_rng(n)
    found = transform(code, [(f"re[{i}]", f"im[{i}]") for i in range(n)])
    x = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    values = {"re": x.real.tolist(), "im": x.imag.tolist(), "fmaf": lambda a, b, c: a * b + c}
    for line in code.lines:
        exec(line.removeprefix("const float ").removesuffix(";").replace("f)", ")"), values)
    np.testing.assert_allclose([eval(r, values) + 1j * eval(i, values) for r, i in found], np.fft.fft(x), atol=1e-12)


def test_each_length_with_small_factors_has_a_plan_for_any_hop():
    for n_fft in range(4, 4097, 2):
        for hop in (1, 2, 3, 160, n_fft // 2, n_fft, LONGEST_HOP):
            plan = plan_for(n_fft, hop)
            if hop == 2 and n_fft > 2900 and plan is None:  # rows of two samples, for which one block has no room
                continue
            assert (plan is None) == (factors(n_fft // 2) is None), (n_fft, hop)
            if plan is None:
                break
            assert plan.values <= MOST_POINTS
            assert plan.threads <= MOST_THREADS
            assert plan.shared <= MOST_SHARED
            assert np.prod(plan.radices) == plan.half
    assert plan_for(400, LONGEST_HOP + 1) is None
    assert plan_for(4098, 160) is None


def test_lanes_meet_no_bank_of_shared_memory_twice():
    """For 16 lanes that load two floats each: where they load pairs of samples, and change values between passes."""
    for n_fft, hop in ((400, 160), (512, 160), (1024, 320), (2048, 512), (4096, 1024), (512, 128), (400, 100)):
        plan = plan_for(n_fft, hop)
        lanes = np.arange(16)
        frame, part = lanes % plan.frames, lanes // plan.frames
        at = (frame * plan.stride + 2 * part) // 2
        assert len(set(at % 16)) == 16, plan
        values = part if not plan.gap else part + part // plan.gap
        assert len(set((values * plan.frames + frame) % 16)) == 16


needs_nvrtc = pytest.mark.skipif(torch.version.cuda is None, reason="torch for a CPU alone comes without NVRTC")


@needs_nvrtc
def test_it_compiles_without_spills_for_cards_that_are_not_there():
    pytest.importorskip("triton", reason="triton, which brings the disassembler, is not installed")
    from benchmarks.kernels import fused_cuda

    standard = ("Whisper 400/160, 80 mels", "Kaldi 512/400/160, 80 mels")
    for architecture, names in (("sm_80", standard), ("sm_90", tuple(fused_cuda.SETTINGS)), ("sm_100", standard)):
        for name in names:
            found = fused_cuda.usage(fused_cuda.form(name), architecture)
            assert found["spills"] == 0, (name, found)
            assert found["stack"] == 0, (name, found)
            assert found["shared"] <= MOST_SHARED + 4096


@needs_nvrtc
def test_what_the_compiler_says_is_told():
    with pytest.raises(nvrtc.CompilerError, match=r"(?s)NVRTC for sm_90: .*nonsense"):
        nvrtc.compiled("nonsense", "sm_90")


def test_a_card_that_nobody_has_tried_is_left_to_triton(monkeypatch):
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(cuda_launch, "capability", lambda device: (9, 0))
    assert cuda_launch.unreachable(card) is None  # an H200 has run it: benchmarks/results/gpu_nvidia-h200.md
    monkeypatch.setattr(cuda_launch, "PROVEN", [])
    assert cuda_launch.unreachable(card) == "no card of this kind has run the CUDA kernel yet"
    monkeypatch.setattr(cuda_launch, "PROVEN", [(8, 0)])
    assert cuda_launch.unreachable(card) == "no card of this kind has run the CUDA kernel yet"
    monkeypatch.setattr(cuda_launch, "PROVEN", [(8, 0), (9, 0)])
    assert cuda_launch.unreachable(card) is None


def test_where_no_card_is_a_tensor_without_values_asks_no_driver(monkeypatch):
    def ask(device):
        raise RuntimeError("Found no NVIDIA driver on your system")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", ask)
    cuda_launch.capability.cache_clear()
    assert cuda_launch.capability(torch.device("cuda", 0)) == (0, 0)
    cuda_launch.capability.cache_clear()


def test_a_device_without_cuda_is_told():
    assert cuda_launch.unreachable(torch.device("cpu")) == "a tensor on cpu"
    assert self_check.verdict("form", torch.device("cpu")) is None
