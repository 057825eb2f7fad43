"""One run of the demo, from files to figures."""

from __future__ import annotations

import math
import shlex
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiofeed.augment import SpecAugment
from audiofeed.data import AudioFolder, CenterCrop, RandomCrop
from audiofeed.demo.browser import show_page
from audiofeed.demo.model import ClipClassifier
from audiofeed.demo.report import Report, write_metrics
from audiofeed.demo.settings import DemoError, Settings, find_device, thread_count
from audiofeed.demo.split import FieldValues, split_folder
from audiofeed.demo.synthesis import SoundSet
from audiofeed.demo.training import Progress, count_right, make_loader, train
from audiofeed.feed import GPUSpecCollate
from audiofeed.loading import DeviceLoader
from audiofeed.loading.stats import MADE
from audiofeed.plot import plot_batch
from audiofeed.report.run import ReportError, write_report
from audiofeed.transforms import LogMelSpectrogram

# where the files' own rates differ
_COMMON_RATE = 16_000
_WINDOW_SECONDS, _HOP_SECONDS, _MELS = 0.032, 0.0125, 64
# of the report: enough to tell, and little beside the training
_MEASURED_HOURS, _SPEED_SECONDS = 0.5, 0.7
# without --epochs: passes enough for so many optimizer steps, within bounds
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 300, 10, 40


def run(settings: Settings, report: Report | None = None) -> dict[str, Any]:
    """Run the demo: train and test a classifier, show the outcome, and write metrics.json, batch.png and report.html.

    Args:
        settings: What to do.
        report: Where to show it; None is standard output.

    Returns:
        What metrics.json holds.

    Raises:
        DemoError: The settings or the data do not allow it.
        AudioReadError: A file cannot be read.
    """
    start = time.perf_counter()
    report = Report() if report is None else report
    device = find_device(settings.device)
    if settings.test is not None:
        FieldValues.parse(settings.test)
    if settings.data is None and settings.test is not None:
        raise DemoError(f"--test {settings.test!r} needs --data; the demo's own sounds have no fields")
    if settings.data is None and settings.target_pattern is not None:
        raise DemoError(
            f"--target-pattern {settings.target_pattern!r} needs --data; the demo's own sounds lie in folders"
        )
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        root = settings.data or prepare_sounds(settings.out, report)
        # better to fail now than when all is trained. It stays during the scan, so that an empty folder for results,
        # where it lies in that of the data, is not taken for a class without files
        in_use = tempfile.NamedTemporaryFile(dir=settings.out, prefix="demo-", suffix=".json")  # noqa: SIM115  entered below
    except OSError as error:
        raise DemoError(
            f"--out {str(settings.out)!r} cannot be written to: {error.strerror}; pass another folder"
        ) from error
    with in_use:
        folder = open_folder(root, settings.target_pattern, settings.seconds)
    threads = torch.get_num_threads()
    torch.set_num_threads(thread_count())
    try:
        metrics = _train_and_test(settings, folder, device, report, start)
    finally:
        torch.set_num_threads(threads)
    metrics["report"] = write_page(root, folder, settings, device, report)
    write_metrics(metrics, settings.out / "metrics.json")
    report.table(metrics)
    report.say(f"figures in {settings.out / 'metrics.json'}")
    if metrics["report"] is not None:
        report.say(f"the data as the model saw it, with sound, in {metrics['report']}")
        if settings.open:
            show_page(settings.out / "report.html")
    report.say(next_step(settings))
    return metrics


def write_page(root: Path, folder: AudioFolder, settings: Settings, device: torch.device, report: Report) -> str | None:
    """Write the report of a demo run's data, and return the page's path; None, and a line that says why, if it fails.

    Args:
        root: The folder of the sounds.
        folder: Its clips.
        settings: What the demo does.
        device: Where it computes.
        report: Told what is done.
    """
    report.say("looking at the data for a report")
    try:
        figures = write_report(
            root,
            settings.out / "report.html",
            transform=make_features(folder.sample_rate),
            crop=settings.seconds,
            sample_rate=folder.sample_rate,
            target_pattern=settings.target_pattern,
            batch_size=settings.batch_size,
            seed=settings.seed,
            device=device,
            measure_hours=_MEASURED_HOURS,
            speed_seconds=_SPEED_SECONDS,
            progress=False,
        )
    except ReportError as error:
        report.say(f"no report: {error}")
        return None
    return str(figures["out"])


def next_step(settings: Settings) -> str:
    """Return the line that a demo run ends with: what to type for a folder of one's own.

    Args:
        settings: What the demo did.

    >>> print(next_step(Settings()))
    next, with a folder of your own: audiofeed report FOLDER, then audiofeed demo --data FOLDER
    """
    if settings.data is None:
        return "next, with a folder of your own: audiofeed report FOLDER, then audiofeed demo --data FOLDER"
    data = [str(settings.data)]
    if settings.target_pattern is not None:
        data += ["--target-pattern", settings.target_pattern]
    return f"next, with the features of your model: audiofeed report {shlex.join(data)} --transform whisper"


def prepare_sounds(out: Path, report: Report) -> Path:
    """Return the folder of sounds for a demo run without data, written now if it is not there whole.

    Args:
        out: The folder for results.
        report: Told what is done.
    """
    sounds = SoundSet(out)
    if sounds.is_complete():
        report.say(f"using the {sounds.count} sounds in {sounds.root}")
    else:
        report.say(f"writing {sounds.count} sounds to {sounds.root}")
        report.follow(sounds.write(), sounds.count, "sounds")
    return sounds.root


def open_folder(root: Path, pattern: str | None, seconds: float) -> AudioFolder:
    """Open every clip below a folder for a demo run, at the files' own rate if they share one, else at 16 kHz.

    Args:
        root: The folder.
        pattern: Takes names apart; None takes labels from folders.
        seconds: The longest part of a clip that is used: its middle.

    Raises:
        DemoError: The folder does not give two classes or more.
        AudioReadError: A file cannot be read.
    """

    def scan(sample_rate: int) -> AudioFolder:
        return AudioFolder(root, sample_rate=sample_rate, target=pattern, crop=CenterCrop(seconds))

    try:
        folder = scan(_COMMON_RATE)
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        # the same reason in the command's words, with the command's remedy in place of the class's
        reason = str(error).rpartition("; ")[0] or str(error)
        names_pattern = reason.startswith("target=")
        remedy = "pass a --target-pattern that fits every file" if names_pattern else "pass a folder of audio files"
        reason = reason.replace("target=None takes targets", "without --target-pattern, labels come")
        reason = reason.replace("target=", "--target-pattern ", 1).replace("root=", "--data ", 1)
        raise DemoError(f"{reason}; {remedy}") from error
    if not folder.classes:
        raise DemoError(
            f"--data {str(root)!r} has its files in no subfolders, so they have no labels; put each class in a "
            "folder of its own, or pass --target-pattern, such as '{target}_{speaker}_{take}'"
        )
    if len(folder.classes) < 2:
        raise DemoError(
            f"--data {str(root)!r} has one class only, {folder.classes[0]!r}; a classifier needs two or more: pass the "
            "folder above, or another --target-pattern"
        )
    rates = np.unique(folder.sample_rates)
    return folder if rates.size > 1 or rates[0] == _COMMON_RATE else scan(int(rates[0]))


def make_features(sample_rate: int) -> LogMelSpectrogram:
    """Return the front-end of a demo run: log-mel in dB, windows of 32 ms every 12.5 ms.

    Args:
        sample_rate: Hz.

    >>> make_features(8000)(torch.zeros(1, 8000)).shape
    torch.Size([1, 64, 81])
    """
    window = max(2, round(_WINDOW_SECONDS * sample_rate))
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        # a power of two with room for the window, so that the lowest filters hold a bin each
        n_fft=2 ** math.ceil(math.log2(window)),
        win_length=window,
        hop_length=max(1, round(_HOP_SECONDS * sample_rate)),
        n_mels=_MELS,
        log="db",
        top_db=80.0,
    )


def make_augmentation() -> SpecAugment:
    """Return the augmentation of a demo run: two masks over time and two over frequency, of a clip's share.

    >>> make_augmentation().stage
    'features'
    """
    return SpecAugment(time_masks=2, time_width=0.15, freq_masks=2, freq_width=0.12)


def _train_and_test(
    settings: Settings, folder: AudioFolder, device: torch.device, report: Report, start: float
) -> dict[str, Any]:
    is_test = split_folder(folder, settings.test, settings.seed)
    test, training = folder.select(is_test), folder.select(~is_test)
    # same lengths, another place in every epoch
    training.crop = RandomCrop(settings.seconds)
    training.seed = settings.seed
    torch.manual_seed(settings.seed)
    transform = make_features(folder.sample_rate)
    model = ClipClassifier(transform.n_mels, len(folder.classes)).to(device)
    # without one for the test clips
    training_collate = GPUSpecCollate(transform, device=device, augment=make_augmentation())
    collate = GPUSpecCollate(transform, device=device)
    pin = device.type in ("cuda", "xpu")
    steps = max(1, len(training) // settings.batch_size)
    epochs = settings.epochs or min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_STEPS / steps)))
    report.say(
        f"{len(training)} training and {len(test)} test clips of {len(folder.classes)} classes "
        f"at {folder.sample_rate} Hz, {folder.durations.sum() / 60:.1f} min; "
        f"on {device} with {settings.workers} workers"
    )
    loader = make_loader(
        training,
        training_collate,
        batch_size=settings.batch_size,
        workers=settings.workers,
        seed=settings.seed,
        pin_memory=pin,
    )
    with report.epochs(epochs) as bars:
        ahead = DeviceLoader(loader)
        progress = train(model, ahead, training, epochs=epochs, watcher=bars)
    stats, total = ahead.stats(), progress.seconds
    del ahead, loader  # and its workers
    test_start = time.perf_counter()
    test_loader = make_loader(
        test, collate, batch_size=settings.batch_size, workers=settings.workers, seed=None, pin_memory=pin
    )
    right = count_right(model, test_loader)
    test_seconds = time.perf_counter() - test_start
    waited, worked = stats.seconds["start"] + stats.seconds["wait"], stats.seconds["step"]
    parts = {"waiting for data": waited, "model": worked, "other": max(0.0, total - waited - worked)}
    picture = _picture(progress, settings.out / "batch.png", transform, folder.classes, report)
    return {
        "accuracy": right / len(test),
        "test_right": right,
        "test_clips": len(test),
        "training_clips": len(training),
        "training_accuracy": progress.accuracy,
        "training_loss": progress.loss,
        "classes": folder.classes,
        "clips_per_second": progress.clips / total,
        "audio_seconds_per_second": progress.samples / folder.sample_rate / total,
        "training_seconds_by_part": parts,
        "training_percent_by_part": {name: 100 * seconds / total for name, seconds in parts.items()},
        "seconds_beside_the_model": {name: stats.seconds[name] for name in (*MADE, "transfer", "features")},
        "bottleneck": stats.bottleneck,
        "seconds": {"training": total, "test": test_seconds, "total": time.perf_counter() - start},
        "picture": picture,
        "settings": {
            **{name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()},
            "device": str(device),
            "epochs": epochs,
            "sample_rate": folder.sample_rate,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "features": str(transform),
        },
    }


def _picture(
    progress: Progress, path: Path, transform: LogMelSpectrogram, classes: list[str], report: Report
) -> str | None:
    """Draw the first batch of a demo run if matplotlib is there; return the file's name."""
    if progress.shown is None:
        return None
    try:
        plot_batch(progress.shown, path, transform, classes=classes)
    except ModuleNotFoundError as error:
        report.say(f"no picture: {error}")
        return None
    report.say(f"a batch as the model saw it in {path}")
    return str(path)
