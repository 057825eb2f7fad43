"""The GPU smoke's own behavior, on a machine that need not have a GPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from audiofeed import transforms

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu_smoke.py"
CPU = torch.device("cpu")

BLOCKED = ("soundfile", "scipy", "librosa", "rich", "soxr", "torchaudio", "matplotlib", "pyarrow")


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # one thread: two processes that each take all cores wait for each other in every product
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=600, env=env)


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the smoke as the script does."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA, and here it is")
def test_without_cuda_one_line_and_exit_0(tmp_path: Path) -> None:
    done = run_python(str(SCRIPT), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "No CUDA device" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA, and here it is")
def test_cuda_asked_for_by_name_and_not_there_is_an_error() -> None:
    done = run_python(str(SCRIPT), "--device", "cuda")
    assert done.returncode == 2
    assert "sees no CUDA device" in done.stderr


def test_quick_dry_run_passes_with_torch_and_numpy_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    blocker = tmp_path / "site"
    blocker.mkdir()
    # in every process of the run, spawned workers included
    (blocker / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n")
    done = run_python(
        "-W", "error", str(SCRIPT), "--device", "cpu", "--quick", "--out", str(out), PYTHONPATH=str(blocker)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no check failed" in done.stdout
    assert "DRY RUN" in done.stdout
    assert "torchaudio does not import" in done.stdout
    for section in (
        "correctness",
        "catalogue",
        "flags",
        "feeding",
        "side stream",
        "timing",
        "memory",
        "transfer",
        "loader",
    ):
        assert f"pass {section}: " in done.stdout
    assert not out.exists()


def test_broken_transform_exits_1_and_the_other_sections_still_run() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu_smoke, torch
from audiofeed.transforms import LogMelSpectrogram
whole = LogMelSpectrogram.forward
def broken(self, waveform, lengths=None):
    return whole(self, waveform, lengths) * (1.0001 if waveform.dtype == torch.float32 else 1)
LogMelSpectrogram.forward = broken
sys.exit(gpu_smoke.main(["--device", "cpu", "--quick", "--only", "correctness", "--only", "transfer"]))
"""
    done = run_python("-c", program, PYTHONPATH=str(BENCHMARKS.parent))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL correctness: LogMelSpectrogram ln, fft" in done.stdout
    assert "pass correctness: MelSpectrogram 40 mels, fft" in done.stdout
    assert "pass transfer: int16" in done.stdout


def test_broken_definition_is_found_though_it_is_broken_on_the_cpu_too(
    smoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    correctness, checks = smoke("gpu.correctness"), smoke("gpu.checks")
    whole = transforms.LogMelSpectrogram.forward
    monkeypatch.setattr(transforms.LogMelSpectrogram, "forward", lambda *given: whole(*given) * (1 + 1e-9))
    monkeypatch.setattr(correctness, "SETTINGS", ())
    recorder = checks.Recorder(60, say=lambda text: None)
    correctness.run(recorder, CPU, quick=True)
    assert [check.name for check in recorder.failed] == [
        "the reference itself: float64 on the CPU equals torch.stft written plainly"
    ]


def test_every_transform_has_a_row(smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = smoke("gpu.settings")
    assert settings.missing_rows() == []
    assert settings.missing_methods() == []
    assert {setting.transform for setting in settings.SETTINGS} <= set(transforms.__all__)
    names = [setting.name for setting in settings.SETTINGS]
    assert len(set(names)) == len(names)
    # each transform is in the quick run too, and each widened tolerance has its reason
    assert {s.transform for s in settings.SETTINGS if s.quick} == {s.transform for s in settings.SETTINGS}
    assert all(s.why for s in settings.SETTINGS if s.factor != 1 or s.gradient_factor != 1)
    # the named rows of other modules are there
    assert {*smoke("gpu.flags").ROWS, *smoke("gpu.flags").QUICK_ROWS, *smoke("gpu.compiled").ROWS} <= set(names)


def test_transform_without_a_row_fails(smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    correctness, checks = smoke("gpu.correctness"), smoke("gpu.checks")
    monkeypatch.setattr(transforms, "__all__", [*transforms.__all__, "Newcomer"])
    monkeypatch.setattr(correctness, "SETTINGS", ())
    recorder = checks.Recorder(60, say=lambda text: None)
    correctness.run(recorder, CPU, quick=True)
    assert [check.problems[0][:33] for check in recorder.failed] == ["audiofeed.transforms.Newcomer has"]


def test_wrong_samples_on_the_device_are_found(smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from audiofeed.feed.states import states
    from audiofeed.transforms.short_time import short_time_transform

    feeding, checks = smoke("gpu.feeding"), smoke("gpu.checks")
    scale = states.to_float
    monkeypatch.setattr(states, "to_float", lambda waveforms: scale(waveforms) * 1.001)
    # 16-bit samples reach the features without to_float
    monkeypatch.setattr(short_time_transform, "INT16_SCALE", short_time_transform.INT16_SCALE * 1.001)
    recorder = checks.Recorder(60, say=lambda text: None)
    with recorder.check("feeding", "no workers") as check:
        feeding._check_no_workers(check, CPU)
    assert recorder.failed
    assert any("waveforms differ" in problem for problem in check.problems)
    assert any("L2" in problem for problem in check.problems)


def test_failed_check_is_kept_with_its_traceback_and_nan_fails(smoke: Any) -> None:
    checks = smoke("gpu.checks")
    said: list[str] = []
    recorder = checks.Recorder(60, say=said.append)
    with recorder.check("section", "raises"):
        raise RuntimeError("broken on purpose")
    with recorder.check("section", "not a number") as check:
        check.within("error", float("nan"), 1.0)
    with recorder.check("section", "good") as check:
        check.within("error", 0.5, 1.0)
    assert [check.status for check in recorder.checks] == ["fail", "fail", "pass"]
    assert "Traceback" in recorder.checks[0].problems[0]
    assert "broken on purpose" in said[0]


def test_readme_is_not_measured_yet_in_an_empty_folder(tmp_path: Path) -> None:
    done = run_python(str(SCRIPT), "--readme", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "not measured yet\n"


def test_readme_has_the_newest_whole_run_on_a_card(smoke: Any, tmp_path: Path) -> None:
    results, checks = smoke("gpu.results"), smoke("gpu.checks")
    recorder = checks.Recorder(60, say=lambda text: None)
    with recorder.check("correctness", "one | two") as check:
        check.within("L2", 1e-7, 1e-6)
    way = {"config": "16 kHz", "batch": "16 x 10 s", "way": "fft", "median_ms": 1.25, "min_ms": 1.0,
           "hours_per_second": 128.0, "max_error_nats": 1e-4}  # fmt: skip
    tables = {
        "features": [way, {"config": "16 kHz", "batch": "16 x 10 s", "way": "torchaudio", "skipped": "not here"}],
        "memory": [{"way": "fft", "batch": "64 x 30 s", "graph": False, "peak_mib": 512.0, "input_mib": 117.0}],
        "transfer": [{"dtype": "int16", "gb_per_second": 50.0, "hours_per_second": 430.0}],
        "loader": [{"way": "GPUSpecCollate", "workers": 8, "pin_memory": True, "max_ahead": 2,
                    "clips_per_second": 9000.0, "batch": "64 x 10 s"}],
    }  # fmt: skip
    result = results.make_result(recorder, CPU, tables, quick=False, partial=False)
    assert result["dry_run"]
    for card, date, whole in (
        ("Old Card", "2020-01-01", True),
        ("New Card", "2030-01-01", True),
        ("Part", "2040", False),
    ):
        known = {**result["environment"], "card": card}
        page = {**result, "dry_run": False, "partial": not whole, "date": date, "environment": known}
        path = results.write(page, results.markdown(page, recorder.checks), tmp_path)
        assert path.name == f"gpu_{results.slug(card)}.md"
        assert "one \\| two" in path.read_text()
        assert json.loads(path.with_suffix(".json").read_text())["checks"][0]["worst"]["ok"]
    table = results.readme_table(results.newest(tmp_path))
    assert table.startswith("New Card, driver")
    assert "| 16 kHz | 16 x 10 s | fft | 1.250 | 1.000 | 128 | 1.0e-04 |" in table
    assert "| 16 kHz | 16 x 10 s | torchaudio | - | - | - | not here |" in table
    assert "| fft | forward | 512 |" in table
    assert "| int16 | 50.0 | 430 |" in table
    assert "| GPUSpecCollate | 8 | True | 2 | 9,000 |" in table


def test_flags_come_back_as_a_fresh_process_has_them(smoke: Any) -> None:
    flags = smoke("gpu.flags")
    before = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    try:
        for setters in flags.WAYS.values():
            for setter in setters:
                setter()
    finally:
        flags.reset_flags()
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    assert torch.backends.cuda.matmul.allow_tf32 is False
