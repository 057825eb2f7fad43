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
        "launches",
        "step",
        "flags",
        "feeding",
        "side stream",
        "timing",
        "musicnet",
        "memory",
        "transfer",
        "bus",
        "loader",
    ):
        assert f"pass {section}: " in done.stdout
    # a torch built without CUDA makes no tensors there, not even such without values
    assert f"{'pass' if torch.backends.cuda.is_built() else 'skip'} harness: " in done.stdout
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
    assert 'File "tests/benchmarks/test_gpu_smoke.py"' in recorder.checks[0].problems[0]  # no path of a machine
    assert "broken on purpose" in said[0]


def test_run_that_was_cut_off_goes_on_and_keeps_what_it_found(tmp_path: Path) -> None:
    """A check that ends the process is lost alone; in another section, so is the rest of that section."""
    journal = tmp_path / "journal.jsonl"
    program = f"""
import os, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu_smoke
from gpu import catalogue
from gpu.measured import step
from tests.transforms import cases
some = [case for name, case in zip(cases.IDS, cases.CASES) if name.startswith(("Rescale", "PadFrames", "RMS"))]
names = [f"{{case.cls.__name__}}-{{i}}" for i, case in enumerate(some)]
catalogue.CASES, catalogue.IDS = some, names
outcome = catalogue._outcome
def deadly(case, *given, **options):
    if case is some[1]:
        os._exit(9)
    return outcome(case, *given, **options)
catalogue._outcome = deadly
step.run = lambda recorder, device: os._exit(9)
asked = ["catalogue", "step", "transfer"]
sys.exit(gpu_smoke.main(["--device", "cpu", "--journal", {str(journal)!r}, *(f"--only={{name}}" for name in asked)]))
"""
    found = [run_python("-c", program, PYTHONPATH=str(BENCHMARKS.parent)) for _ in range(3)]
    assert [done.returncode for done in found] == [9, 9, 1], found[-1].stdout + found[-1].stderr
    last = found[2].stdout
    # the checks before and after the deadly one are in the last run's account, and ran once
    assert "FAIL catalogue: RMS-1" in last
    assert "ended in this check" in last
    assert "FAIL step: the section ran to its end" in last
    assert "pass transfer: int16" in last
    assert found[0].stdout.count("pass catalogue") == 1
    assert found[1].stdout.count("pass catalogue") >= 2
    assert last.count("pass catalogue") == 0
    assert not journal.exists()


def test_device_that_is_lost_ends_the_section_and_not_what_was_found(smoke: Any, tmp_path: Path) -> None:
    checks, journals = smoke("gpu.checks"), smoke("gpu.journal")
    path, run = tmp_path / "journal.jsonl", {"card": "none"}

    def probe() -> None:
        raise RuntimeError("an illegal memory access was encountered")

    recorder = checks.Recorder(60, say=lambda text: None, journal=journals.Journal(path, run), probe=probe)
    with recorder.check("section", "good") as check:
        check.within("error", 0.5, 1.0)
    with pytest.raises(checks.DeviceLostError, match="section: bad"), recorder.check("section", "bad"):
        raise RuntimeError("broken on purpose")
    again = checks.Recorder(60, say=lambda text: None, journal=journals.Journal(path, run))
    assert [check.status for check in again.checks] == ["pass", "fail"]
    assert again.checks[0].measures == recorder.checks[0].measures
    assert again.has("section", "bad")
    assert not again.has("section", "another")
    # of another run nothing is taken over
    assert checks.Recorder(60, journal=journals.Journal(path, {"card": "other"})).checks == []


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
           "card_ms": 0.75, "hours_per_second": 128.0, "max_error_nats": 1e-4, "share_of_copy": 0.125}  # fmt: skip
    tables = {
        "features": [way, {"config": "16 kHz", "batch": "16 x 10 s", "way": "torchaudio", "skipped": "not here"},
                     {**way, "batch": "2 x 10 s", "way": "of the smaller batch"}],
        "constant_q": [{"setting": "84 bins", "way": "audiofeed", "median_ms": 2.5, "min_ms": 2.0, "error": 1e-7,
                        "hours_per_second": 17.0}],
        "graphs": [{"what": "log-mel", "eager_ms": 0.5, "replayed_ms": 0.125, "hours_per_second": 331.0}],
        "step": [{"batch": "64 x 10 s", "features_ms": 1.0, "step_ms": 19.0, "share": 0.05, "parameters": 1000}],
        "launches": [{"transform": "CQT", "lengths": lengths, "kernels": 92, "copies": 1, "fills": 0, "waits": 0}
                     for lengths in (False, True)],
        "memory": [{"way": "fft", "batch": "64 x 30 s", "graph": False, "peak_mib": 512.0, "input_mib": 117.0}],
        "transfer": [{"dtype": "int16", "gb_per_second": 50.0, "hours_per_second": 430.0}],
        "bus": [{"way": "the ring", "batch": "64 x 30 s", "first_ms": 9.0, "host_ms": 2.5, "whole_ms": 3.25}],
        "harness": [{"call": "CQT", "operations": 29, "waits": 0, "kernels": 41, "copies": 0, "fills": 2,
                     "busy_us": 300.0, "moved_mb": 195.8, "least_mb": 6.6, "share_of_copy": 0.25}],
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
        whole_page = path.read_text()
    table = results.readme_table(results.newest(tmp_path))
    assert table.startswith("New Card, driver")
    for text in (
        "| 16 kHz | 16 x 10 s | fft | 1.250 | 1.000 | 0.750 | 128 | 12.5% | 1.0e-04 |",
        "| 16 kHz | 16 x 10 s | torchaudio | - | - | - | - | - | not here |",
        "| 84 bins | audiofeed | 2.500 | 2.000 | - | 17 | 1.0e-07 |",
        "| log-mel | 0.500 | 0.125 | 331 |",
        "features are 5.0%",
    ):
        assert text in table
        assert text in whole_page
    # the page alone has the rest
    for text in (
        "of the smaller batch",
        "| fft | forward | 512 |",
        "| int16 | 50.0 | 430 |",
        "| the ring | 2.50 | 3.25 | 9.00 |",
        "| CQT | 29 | 41 | 0 | 2 | 195.8 | 6.6 | 300 | 25% |",
        "| GPUSpecCollate | 8 | True | 2 | 9,000 |",
        "| CQT | 92 | 1 | 0 | 0 | 92 | 1 | 0 | 0 |",
    ):
        assert text not in table
        assert text in whole_page
    assert "benchmarks/results/gpu_new-card.md" in table


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


def test_peers_are_compared_and_what_is_asked_beside_them_is_held(smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, checks = smoke("gpu.measured.beside"), smoke("gpu.checks")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    setting = {"config": "16 kHz, 400/160, 80 mels", "batch": "64 x 30 s"}
    times = {"auto": 1.0, "fft": 5.0, "flashmel + log": 1.2, "torch.stft + matmul + log": 4.0}
    alone = {"auto": 0.5, "flashmel + log": 0.8}  # the other cannot be replayed
    small = {**setting, "batch": "16 x 10 s", "way": "auto", "median_ms": 1.0}
    tables = {
        "features": [{**setting, "way": way, "median_ms": ms, "card_ms": alone.get(way)} for way, ms in times.items()]
        + [small, {**small, "way": "nnAudio2"}, {**small, "way": "torchaudio", "skipped": "not here"}],
        "constant_q": [
            {"setting": "hop 512, 84 bins, 64 x 30 s", "way": way, "median_ms": ms}
            for way, ms in (("audiofeed", 1.0), ("nnAudio2 CQT1992v2", 11.0), ("nnAudio2 CQT2010v2", 90.0))
        ],
        "step": [{"batch": "64 x 10 s", "share": 0.07}],
    }
    tables["features"][-1].pop("median_ms")
    monkeypatch.setitem(beside.MEL, "torch.stft + matmul + log", 5.0)
    recorder = checks.Recorder(60.0, lambda text: None)
    rows = beside.run(recorder, tables, torch.device("cuda"))
    found = {(row["way"], row["setting"][-9:]): (row["times"], row["card"], row["asked"]) for row in rows}
    assert found == {
        ("flashmel + log", "64 x 30 s"): (1.2, 1.6, 1.3),
        ("torch.stft + matmul + log", "64 x 30 s"): (4.0, None, 5.0),
        ("nnAudio2", "16 x 10 s"): (1.0, None, None),
        ("nnAudio2 CQT1992v2", "64 x 30 s"): (11.0, None, 10.0),
        ("nnAudio2 CQT2010v2", "64 x 30 s"): (90.0, None, None),
    }
    said = {check.name.split(": ")[-1]: check.status for check in recorder.checks}
    assert said == {
        "flashmel + log": "pass", "torch.stft + matmul + log": "fail", "nnAudio2 CQT1992v2": "pass",
        "features of 64 x 10 s in a small CNN's step": "fail",
    }  # fmt: skip
    assert not [row for row in beside.run(recorder, tables, CPU) if row["asked"]]  # where no card is
