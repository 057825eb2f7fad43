"""method="fused": equal to float64 in Triton's interpreter, compiled for cards that are not here, taken by "auto"."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed; torch for a CPU alone comes without it")

import audiofeed as af
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import launch, triton_kernel
from audiofeed.methods.short_time.fused.layout import split_for
from tests.signals import noise

ROOT = Path(__file__).resolve().parents[3]
MEL = {"sample_rate": 16000, "n_fft": 400, "hop_length": 160}


def run(module: str, *arguments: str, interpreted: bool, folder: Path) -> list[dict]:
    """Run one of the two scripts in a process of its own: whether Triton interprets is settled at its import."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {"TRITON_INTERPRET": "1"} if interpreted else {}
    out = subprocess.run(
        [sys.executable, "-m", f"tests.methods.short_time.{module}", *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=240, check=False,
    )  # fmt: skip
    assert out.stdout, out.stderr
    return [json.loads(line) for line in out.stdout.splitlines()]


def test_drawn_settings_are_equal_to_float64_in_the_interpreter(tmp_path):
    *failed, count = run("fused_draws", "--draws", "30", interpreted=True, folder=tmp_path)
    assert not failed
    assert (count["draws"], count["failed"]) == (30, 0)
    assert 0 < count["worst"]["log error in nats"] <= 2e-3
    assert 0 < count["worst"]["log error in nats on quiet speech, floor 1e-10"] <= 2e-3
    assert 0 < count["worst"]["error of a gradient in its largest"] <= 1e-4


def test_the_operators_pass_opcheck_and_stand_in_compiled_graphs_in_the_interpreter(tmp_path):
    (found,) = run("fused_operators", interpreted=True, folder=tmp_path)
    assert found["checked"] == 6
    assert len(found["compiled"]) == 3
    assert max(found["compiled"].values()) <= 1e-6, found


# by compute capability: the settings, and the most spills in a hundred instructions; 9.0 is what was timed
@pytest.mark.parametrize(
    ("arch", "settings", "spills"),
    [(80, ["kaldi", "whisper"], 0), (90, ["whisper", "kaldi", "1024"], 0), (100, ["kaldi"], 3)],
)
def test_it_compiles_for_a_card_that_is_not_there_and_spills_hardly_anything(arch, settings, spills, tmp_path):
    arguments = [part for name in settings for part in ("--setting", name)]
    found = run("fused_compiled", "--arch", str(arch), *arguments, interpreted=False, folder=tmp_path)
    assert [one["setting"] for one in found] == settings
    for one in found:
        sys.stdout.write(f"{one}\n")
        assert 100 * one["spills"] <= spills * one["instructions"], one
        assert (one["stack"] == 0) == (one["spills"] == 0)
        assert one["instructions"] > 1000
        assert one["shared"] <= 99 * 1024  # of a block of a consumer's card


def test_the_launch_is_the_fastest_that_was_timed():
    """Each default is among the launches of the results, where none is faster by more than a hundredth."""
    (results,) = (ROOT / "benchmarks" / "results").glob("fused_launches_nvidia-h200.json")
    rows = json.loads(results.read_text())["rows"]
    for name, n_fft, n_mels in (("Whisper", 400, 80), ("Kaldi", 512, 80), ("1024", 1024, 64)):
        own = launch.launch_settings(split_for(n_fft), n_mels)
        keys = ("FRAMES", "num_warps", "BLOCK", "TAIL", "maxnreg")
        timed = {
            tuple(row["launch"].get(key) for key in keys): row["median_ms"]
            for row in rows
            if row["setting"].startswith(name) and row["way"].startswith("fused, launch")
        }
        assert len(timed) >= 5
        # one of them, 8 frames and 2 warps, is faster by three hundredths in one setting, and slower in the others
        assert timed[tuple(own.get(key) for key in keys)] <= 1.03 * min(timed.values())


@pytest.mark.parametrize("n_fft", [4, 24, 96, 200, 320, 400, 480, 512, 640, 882, 1024])
def test_each_bin_has_one_place(n_fft):
    columns = split_for(n_fft).columns
    assert sorted(columns[columns >= 0].tolist()) == list(range(n_fft // 2 + 1))


def test_a_bank_is_made_anew_when_it_has_changed():
    split = split_for(400)
    filters = noise(3, 201, dtype=torch.float32).abs()
    first = launch.table_of(filters, split, 16, short=False)
    assert launch.table_of(filters, split, 16, short=False) is first
    columns = torch.from_numpy(split.columns)
    whole = first.sum(0)[:3]
    assert float((whole[:, columns >= 0] - filters[:, columns[columns >= 0]]).abs().max()) < 2e-5
    assert not whole[:, columns < 0].any()
    filters.mul_(2.0)
    second = launch.table_of(filters, split, 16, short=False)
    assert torch.equal(second, 2.0 * first)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: af.STFT(400, method="fused"), "power=None"),
        (lambda: af.Spectrogram(400, power=0.5, method="fused"), "power=0.5"),
        (lambda: af.Spectrogram(401, method="fused"), "n_fft=401 is odd"),
        (lambda: af.Spectrogram(400, trainable=True, method="fused"), "trainable=True"),
    ],
)
def test_what_it_cannot_do_is_said_when_it_is_named(make, said):
    with pytest.raises(ValueError, match=f"method='fused' cannot be used with .*{said}"):
        make()


@pytest.mark.parametrize(
    ("waveform", "said"),
    [
        (torch.zeros(1, 1600), "a tensor on cpu"),
        (torch.zeros(1, 1600, dtype=torch.float64), "float64"),
    ],
)
def test_an_input_that_it_cannot_take_is_refused_with_the_reason(waveform, said):
    module = af.LogMelSpectrogram(method="fused", **MEL)
    with pytest.raises(ValueError, match=f"method='fused' cannot be used for this input: {said}"):
        module(waveform)
    assert str(module.runs_on(waveform)) == f"none: fused: {said}"


def test_importing_the_package_and_features_on_a_cpu_do_not_load_triton():
    code = (
        "import audiofeed as af, sys, torch; m = af.LogMelSpectrogram(sample_rate=16000, n_fft=400);"
        "[m(torch.zeros(2, 1600, dtype=t)) for t in (torch.float32, torch.float64)];"
        "assert m.runs_on(torch.zeros(1, 1600)).method != 'fused'; assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


@pytest.fixture
def here(monkeypatch):
    """Let "auto" take the fused kernel on a CPU as on a GPU, and count its launches, which write tens."""

    class Launched:
        runs = 0

        def __getitem__(self, grid):
            def launched(*given, **named):
                self.runs += 1
                given[8].fill_(10.0)

            return launched

    launched = Launched()
    monkeypatch.setattr(fused_method, "DEVICE", "cpu")
    monkeypatch.setattr(fused_method, "_FAILED", {})
    monkeypatch.setattr(triton_kernel, "interpreted", lambda: True)
    monkeypatch.setattr(triton_kernel, "kernel", lambda: launched)
    return launched


def without_kernels(module):
    """The module, with no machine code for a CPU among what it chooses from, as on a GPU."""
    module._choice = replace(
        module._choice, candidates=tuple(m for m in module._choice.candidates if m.name != "kernel")
    )
    return module


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_auto_takes_it_where_no_graph_is_recorded_and_else_the_fft_without_a_word(here):
    module, x = without_kernels(af.LogMelSpectrogram(**MEL)), noise(2, 1600, dtype=torch.float32)
    assert module.runs_on(x).method == "fused"
    assert float(module(x).min()) == 10.0
    assert float(module((1e4 * x).to(torch.int16)).min()) == 10.0
    assert here.runs == 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(x).dtype == torch.float32
    assert here.runs == 3
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        (grad,) = torch.autograd.grad(module(leaf).square().sum(), leaf, create_graph=True)
        torch.autograd.grad(grad.square().sum(), leaf)
        assert module.runs_on(leaf).reason.startswith("fused: a graph is recorded")
        assert torch.isfinite(module(x.double())).all()
        assert str(module.runs_on(x.double())) == "fft: fused: float64"
        torch.vmap(module)(x)
        torch.jit.trace(module, (x,))
        torch.compile(module, backend="eager")(x)
        with torch.no_grad():
            assert float(module(leaf).min()) == 10.0
        powers = (without_kernels(af.Spectrogram(400, power=p)) for p in (1.0, 2.0))
        several = af.Stack(**dict(zip("ab", powers, strict=True)))
        several(x)
        for other in (
            af.STFT(400),
            af.Spectrogram(400),
            af.Spectrogram(401),
            af.Spectrogram(400, power=0.5),
            af.Spectrogram(4096),
        ):
            assert without_kernels(other).runs_on(x).method == "fft"
            other(x)
    with torch.no_grad():
        framing, window = module.framing, module.analysis(x)
        why = fused_method.leaves(x, framing, window, graph=False, wanted=[module.wanted(x)] * 3)
        assert why == "3 features of one spectrum, which torch's FFT computes once"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable"),
        subprocess.CalledProcessError(1, ["gcc", "main.c"]),
        OSError("the cache cannot be written"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_where_it_cannot_be_compiled_auto_warns_once_and_takes_the_fft(error, here, monkeypatch):
    def failing():
        raise error

    monkeypatch.setattr(triton_kernel, "kernel", failing)
    x = noise(2, 1600, dtype=torch.float32)
    module, fft = without_kernels(af.LogMelSpectrogram(**MEL)), af.LogMelSpectrogram(method="fft", **MEL)
    with pytest.warns(
        RuntimeWarning, match=f"'fused' cannot be used on cpu.*{type(error).__name__}.*C compiler"
    ) as said:
        found = module(x)
    assert len(said) == 1
    assert torch.equal(found, fft(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert torch.equal(module(x), fft(x))
        in_flight = (x, None, module.framing, module.analysis(x))  # by another thread, when this one failed
        assert fused_method.short_time_powers(*in_flight, wanted=[module.wanted(x)], graph=False) is None
        assert torch.equal(without_kernels(af.Spectrogram(512))(x), af.Spectrogram(512, method="fft")(x))
        with pytest.raises(
            ValueError, match=f"method='fused' cannot be used for this input: Triton.*{type(error).__name__}"
        ):
            af.LogMelSpectrogram(method="fused", **MEL)(x)
    assert str(module.runs_on(x)).startswith(f"fft: fused: Triton failed with {type(error).__name__}")


def test_a_named_method_says_at_once_why_it_cannot_be_compiled(here, monkeypatch):
    monkeypatch.setattr(triton_kernel, "kernel", lambda: None)  # as where Triton's import failed
    module, x = af.LogMelSpectrogram(method="fused", **MEL), noise(2, 1600, dtype=torch.float32)
    with pytest.warns(RuntimeWarning, match="Triton failed"), pytest.raises(ValueError, match="Triton failed"):
        module(x.requires_grad_())


def test_a_device_without_memory_is_not_taken_for_one_without_a_compiler(here, monkeypatch):
    def failing():
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(triton_kernel, "kernel", failing)
    with pytest.raises(torch.OutOfMemoryError):
        without_kernels(af.LogMelSpectrogram(**MEL))(noise(2, 1600, dtype=torch.float32))
    assert not fused_method._FAILED


def test_its_operator_has_a_fake_kernel_that_knows_the_shape():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(3, 1600, device="cuda", dtype=torch.int16)
        window = torch.empty(400, device="cuda")
        numbers = (11, 400, 160, 200, 0, 1, 0, 0, 400, "constant", False, 0.0, 2.0, 0.0, "", 0.0, 1.0, 0.0, 0, 0)
        powers = launch.fused_features(x, None, window, None, None, *numbers)
        assert (powers.shape, powers.dtype, powers.device.type) == ((3, 201, 11), torch.float32, "cuda")
        filters = torch.empty(80, 201, device="cuda")
        assert launch.fused_features(x, None, window, filters, None, *numbers).shape == (3, 80, 11)


def test_a_triton_that_does_not_import_is_named_with_its_error(monkeypatch):
    """As torch 2.6's does where setuptools is missing; without it the reason was that None has no `jit`."""

    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'setuptools'")

    monkeypatch.setattr(triton_kernel, "triton", None)
    monkeypatch.setattr(triton_kernel.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="setuptools"):
        triton_kernel.kernel.__wrapped__()
