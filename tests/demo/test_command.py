"""`audiofeed demo` from the outside: files in, figures out, and a clean end whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch

from audiofeed import __version__
from audiofeed.cli import main
from audiofeed.demo.run import open_folder, run
from audiofeed.demo.settings import Settings, cpu_count, thread_count

SHARES = ["waiting for data", "model", "other"]
BESIDE = ["read", "decode", "resample", "collate", "transfer", "features"]


@pytest.fixture(scope="module")
def tiny_run(sounds, run_command, tmp_path_factory):
    """One small run with workers: its folder, its output."""
    out = tmp_path_factory.mktemp("tiny") / "made" / "here"
    code, text, errors = run_command("demo", "--data", sounds.root, "--out", out, "--epochs", 2, "--workers", 2)
    assert (code, errors) == (0, "")
    return out, text


def test_a_run_leaves_figures_and_a_picture(tiny_run, sounds):
    out, text = tiny_run
    metrics = json.loads((out / "metrics.json").read_text())
    assert (out / "batch.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in out.iterdir()) == ["batch.png", "metrics.json", "report.html"]
    assert metrics["accuracy"] == metrics["test_right"] / metrics["test_clips"]
    assert metrics["test_clips"] == 8
    assert metrics["training_clips"] == sounds.count - 8
    assert list(metrics["training_percent_by_part"]) == SHARES
    assert sum(metrics["training_percent_by_part"].values()) == pytest.approx(100)
    assert min(metrics["training_percent_by_part"].values()) > 0
    assert sum(metrics["training_seconds_by_part"].values()) == pytest.approx(metrics["seconds"]["training"])
    # 32 of 40 clips in each of two epochs, the rest of a batch left out
    assert metrics["clips_per_second"] * metrics["seconds"]["training"] == pytest.approx(64)
    assert 0.4 < metrics["audio_seconds_per_second"] / metrics["clips_per_second"] < 1.2
    assert metrics["settings"]["workers"] == 2
    assert metrics["settings"]["sample_rate"] == 16_000
    assert list(metrics["seconds_beside_the_model"]) == BESIDE
    for stage in ("read", "collate"):  # the features of a pass of one batch are the loop's own
        assert 0 < metrics["seconds_beside_the_model"][stage] < 2 * metrics["seconds"]["training"]
    assert metrics["bottleneck"] in " ".join(text.split())
    for shown in ("test accuracy", "clips/s", "s of audio/s", "epoch 2/2", "loss", *SHARES, *BESIDE):
        assert shown in text


@pytest.mark.slow
def test_workers_do_not_change_the_numbers_and_a_seed_does(tiny_run, sounds, tmp_path):
    again = run(Settings(data=sounds.root, out=tmp_path, epochs=2, workers=0))
    with_workers = json.loads((tiny_run[0] / "metrics.json").read_text())
    for name in ("accuracy", "training_loss", "training_accuracy"):
        assert again[name] == with_workers[name]
    other = run(Settings(data=sounds.root, out=tmp_path, epochs=2, workers=0, seed=1))
    assert other["training_loss"] != again["training_loss"]


def test_threads_are_given_back(sounds, tmp_path):
    before = torch.get_num_threads()
    metrics = run(Settings(data=sounds.root, out=tmp_path, epochs=1, workers=0))
    assert metrics["settings"]["threads"] == thread_count() <= max(1, cpu_count() // 2)
    assert torch.get_num_threads() == before


def test_files_of_one_rate_keep_it(sounds, tmp_path):
    for label in ("bell", "organ"):
        (tmp_path / label).mkdir()
        for path in (sounds.root / label).iterdir():
            if soundfile.info(path).samplerate == 22_050:
                shutil.copy(path, tmp_path / label)
    assert open_folder(tmp_path, None, 3.0).sample_rate == 22_050
    assert open_folder(sounds.root, None, 3.0).sample_rate == 16_000
    assert max(open_folder(sounds.root, None, 0.25).durations) == 0.25


def test_without_matplotlib_it_says_so_and_ends_well(sounds, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--data", str(sounds.root), "--out", str(tmp_path), "--epochs", "1", "--workers", "0"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "needs matplotlib" in line]
    assert "pip install audiofeed[plot]" in line
    assert json.loads((tmp_path / "metrics.json").read_text())["picture"] is None
    assert not (tmp_path / "batch.png").exists()


def test_version_and_help(run_command, capsys):
    assert run_command("--version") == (0, f"audiofeed {__version__}\n", "")
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("--data", "--target-pattern", "--test", "--out", "--device", "--workers", "--epochs", "--batch-size",
                   "--seconds", "--seed", "--no-open"):  # fmt: skip
        assert option in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.fixture
def clips(tmp_path):
    """A folder of a few clips, named label_speaker_take."""
    root = tmp_path / "clips"
    root.mkdir()
    tone = torch.sin(torch.arange(4000) * 0.1).numpy() * 0.1
    for label in ("a", "b"):
        for take in range(3):
            soundfile.write(root / f"{label}_ann_{take}.wav", tone, 8000)
    return root


PATTERN = ("--target-pattern", "{target}_{speaker}_{take}")


def mistake(capsys, *arguments):
    """Run the command in this process and return the one line that it complains in."""
    try:
        code = main(["demo", "--workers", "0", "--epochs", "1", *map(str, arguments)])
    except SystemExit as ended:
        code = ended.code
    shown = capsys.readouterr()
    assert code == 2
    (line,) = shown.err.splitlines()
    assert line.startswith(("audiofeed demo: ", "audiofeed: "))
    return line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--device", "nonsense"], ["--device 'nonsense'", "torch", "--device cpu"]),
        (["--device", "meta"], ["--device 'meta'", "not available", "--device cpu"]),
        (["--epochs", "0"], ["--epochs", "'0'", "1 or more"]),
        (["--batch-size", "x"], ["--batch-size", "'x'", "integer"]),
        (["--workers", "-1"], ["--workers", "'-1'", "0 or more"]),
        (["--seconds", "nan"], ["--seconds", "'nan'", "above 0"]),
        (["--seed", "1.5"], ["--seed", "'1.5'", "integer"]),
        (["--test", "take=1"], ["--test 'take=1'", "needs --data"]),
        (["--target-pattern", "{target}"], ["--target-pattern '{target}'", "needs --data"]),
        (["--nonsense"], ["--nonsense", "--help"]),
    ],
)
def test_bad_arguments(capsys, tmp_path, arguments, parts):
    line = mistake(capsys, "--out", tmp_path / "out", *arguments)
    assert all(part in line for part in parts), line


def test_an_empty_folder_for_results_is_no_class(clips, tmp_path, monkeypatch):
    """The suite's warnings are errors: that of a class without files stays for other folders."""
    root = tmp_path / "classes"
    for name in ("cat", "dog", "out"):
        (root / name).mkdir(parents=True)
    shutil.copy(clips / "a_ann_0.wav", root / "cat")
    shutil.copy(clips / "b_ann_0.wav", root / "dog")
    folders = []
    monkeypatch.setattr(
        "audiofeed.demo.run._train_and_test", lambda settings, folder, *_: folders.append(folder) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run(Settings(data=root, out=root / "out"))
    assert folders[0].classes == ["cat", "dog"]
    assert not list((root / "out").iterdir())
    (root / "fox").mkdir()
    with pytest.warns(UserWarning, match="empty folders .*: 'fox';"), pytest.raises(ZeroDivisionError):
        run(Settings(data=root, out=root / "out"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(capsys, tmp_path):
    line = mistake(capsys, "--out", tmp_path / "out", "--device", "cuda")
    assert "--device 'cuda' is not available on this machine; use --device cpu" in line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--target-pattern", "{target}-{x}"], ["--target-pattern '{target}-{x}'", "a_ann_0.wav", "fits"]),
        (["--target-pattern", "{x}"], ["--target-pattern '{x}'", "{target}"]),
        ([], ["--data", "subfolders", "--target-pattern"]),
        (["--target-pattern", "{x}_{target}_{take}"], ["--data", "one class only, 'ann'"]),
        ([*PATTERN, "--test", "take"], ["--test 'take'", "FIELD=VALUES"]),
        ([*PATTERN, "--test", "day=1"], ["'day'", "speaker, take"]),
        ([*PATTERN, "--test", "take=9"], ["--test chooses none", "0, 1, 2"]),
        ([*PATTERN, "--test", "take=0-2"], ["--test chooses all"]),
    ],
)
def test_data_that_does_not_fit(capsys, tmp_path, clips, arguments, parts):
    line = mistake(capsys, "--out", tmp_path / "out", "--data", clips, *arguments)
    assert all(part in line for part in parts), line


def test_bad_folders(capsys, tmp_path, clips):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    where = f"--data 'nowhere' does not exist in {os.getcwd()!r}, from where it counts; pass a folder of audio files"
    assert where in mistake(capsys, "--out", out, "--data", "nowhere")
    assert "holds no file that ends in" in mistake(capsys, "--out", out, "--data", tmp_path / "empty")
    assert "is a file; pass a folder" in mistake(capsys, "--out", out, "--data", clips / "a_ann_0.wav")
    line = mistake(capsys, "--out", clips / "a_ann_0.wav", "--data", clips)
    assert "--out" in line
    assert "cannot be written to" in line
    (clips / "c").mkdir()
    shutil.copy(clips / "a_ann_0.wav", clips / "c")
    assert "without --target-pattern, labels come from folders" in mistake(capsys, "--out", out, "--data", clips)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_audio(run_command, tmp_path, clips, workers):
    arguments = ["demo", "--out", tmp_path / "out", "--data", clips, *PATTERN, "--workers", workers, "--epochs", 1]
    # NaN samples show only when the file is read, in a worker
    soundfile.write(clips / "b_ann_1.wav", torch.full((4000,), float("nan")).numpy(), 8000, subtype="FLOAT")
    code, _, errors = run_command(*arguments, "--test", "take=0")
    assert code == 2
    assert errors.count("\n") == 1
    assert "b_ann_1.wav" in errors
    assert "remove or replace the file" in errors
    # a file that is no audio shows in the scan
    (clips / "b_ann_1.wav").write_text("hello")
    code, _, errors = run_command(*arguments)
    assert code == 2
    assert errors.count("\n") == 1
    assert "b_ann_1.wav" in errors


def group(leader: int) -> list[str]:
    """The state and command of every process of a group that is not a zombie."""
    listed = subprocess.run(["ps", "-eo", "pgid,stat,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [row[2] for row in rows if row[0] == str(leader) and not row[1].startswith("Z")]


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_in_training_ends_everything(command, sounds, tmp_path, twice):
    process = command("demo", "--data", sounds.root, "--out", tmp_path, "--epochs", 5000, "--workers", 2)
    try:
        wait_for(lambda: len(group(process.pid)) >= 3)
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)
        if twice:
            time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert errors == "audiofeed: interrupted\n"
    assert process.returncode == 130
    wait_for(lambda: not group(process.pid), 5)
    assert not (tmp_path / "metrics.json").exists()


def test_ctrl_c_in_the_scan(sounds, tmp_path):
    # the scan of a slow disk
    program = f"""
import sys, time
import audiofeed.data.listing.scan as scan
read_info = scan.read_info
def slowly(path):
    print("scanning", flush=True)
    time.sleep(0.2)
    return read_info(path)
scan.read_info = slowly
from audiofeed.cli import main
sys.exit(main(["demo", "--data", {str(sounds.root)!r}, "--out", {str(tmp_path)!r}]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout.readline() == "scanning\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert errors == "audiofeed: interrupted\n"
    assert process.returncode == 130
