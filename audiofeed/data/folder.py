"""A dataset from a folder of audio files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from audiofeed.arguments.checks import check_path
from audiofeed.data.crops import Crop
from audiofeed.data.dataset_options import Keep, OnError, check_options, chosen_fields
from audiofeed.data.datasets import AudioFiles
from audiofeed.data.errors import AudioReadError
from audiofeed.data.listing.index import ScanIndex
from audiofeed.data.listing.labels import NamePattern, folder_names, match_names
from audiofeed.data.listing.local import not_local
from audiofeed.data.listing.scan import FoundFiles, count_by_extension, find_files
from audiofeed.data.readers import known_extensions
from audiofeed.data.readers.extensions import FFMPEG
from audiofeed.data.readers.torchcodec_reader import REMEDY
from audiofeed.data.targets.classes import given_classes, index_classes
from audiofeed.data.targets.event_targets import EventTargets
from audiofeed.data.targets.frame_targets import FrameTargets
from audiofeed.data.targets.target_column import TargetColumn


class AudioFolder(AudioFiles):
    """Dataset of every audio file below a folder, raw, with its target from its folder's or its own name.

    Headers are read at once, samples when an example is asked for, and of those only the crop's. Nothing is cached.
    The attributes have one entry per example, in the order of the sorted paths: `paths`, `durations` (seconds, after
    the crop), `targets`, `sample_rates` (the files' own), `fields`. `classes` and `class_to_index` name the targets,
    `faults` lists the files and folders that `on_error="skip"` left out.

    `passed_over` counts the files with another extension. Unless `extensions` is given, one warning says so if any of
    them may be audio, as .m4a is; text, tables and pictures alone are no news.

    Args:
        root: The folder; subfolders are searched, names that begin with a dot are skipped. A folder that several links
            lead to is entered once: by its own path if it lies below `root`, else by the first link of the sorted
            paths.
        sample_rate: Hz of every example; files of another rate are resampled in the worker (soxr HQ). None keeps the
            files' own rate, which must then be the same in all of them.
        target: The source of the targets. None: the path of the file's folder below `root`, or no target if all files
            lie in `root` itself. A pattern such as `"{target}_{speaker}_{take}"` splits the file's name without its
            extension; the other parts become `fields`. A function maps the path to the target. Strings become indices
            into the `classes`. `EventTargets` and `FrameTargets` are targets in time, which follow the crop.
        classes: Names of the classes in the order of their numbers, a dict of the numbers by name, or another dataset
            (or a Subset or ConcatDataset) whose classes these are, so that a training and a validation set number
            alike; a label that is none of them is an error. None: the labels found, sorted, as numbers if all of them
            are integers.
        fields: Names of the pattern's other parts that each example carries; None for all.
        crop: `RandomCrop`, `CenterCrop` or `Windows`; None for whole files.
        mono: True averages the channels, which gives float32; a single channel stays as it is stored. False gives
            (channel, time) for files of several channels, all of which must have the same number.
        on_error: "raise" raises `AudioReadError` for a bad file, or for a folder that cannot be entered. "skip" leaves
            out such folders and files with a bad header, with one warning, and replaces an example that fails when it
            is read by another, always the same one (`AudioExample.faults`).
        extensions: Endings of the files to take, in any case; None takes those of every registered reader
            (`audiofeed.data.register_reader`).
        seed: Any integer; every random draw depends on it, the epoch and the index. None draws one from torch's
            generator, as torch's own samplers do; the attribute `seed` has it.
        progress: True draws a progress bar over the headers; None draws one on a terminal if they take over a second.
        keep: "memory" keeps each clip as it is first read: whole, decoded, at the dataset's rate and with its channels,
            as int16, in one block of memory for all workers of the dataset. Crops are cut from there. What is float
            (of several channels averaged, resampled, MP3, Vorbis, floats) is rounded, in the first read too, and beyond
            full scale clipped. None reads the crop alone, each time.
        keep_gb: GB (10**9 bytes) that those clips may take; None: half of the memory that is free.
        index: A file that keeps what the scan found, between runs: a file of the same size and time of change is not
            scanned again (docs/scan.md). It is made if it does not exist, several processes may use it at once, and
            several datasets of a corpus may share it. None keeps nothing.

    Raises:
        FileNotFoundError: `root` does not exist, or the folder of `index`.
        NotADirectoryError: `root` is a file.
        AudioReadError: A file cannot be read or a folder entered under `on_error="raise"`, or no file can.
        ValueError: No file matches, rates or channels are mixed, a name does not match the pattern, a label is none of
            the classes given, `index` is a file of another kind, an argument is out of range, or the clips to keep do
            not fit into the memory.
        TypeError: `root`, `target`, `classes`, `fields`, `crop` or `index` is of another type.

    >>> import tempfile, wave
    >>> root = tempfile.TemporaryDirectory()
    >>> for name in ("7_ann_0.wav", "9_bob_0.wav"):
    ...     with wave.open(f"{root.name}/{name}", "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", None))
    ...         _ = file.writeframes(bytes(16000))
    >>> dataset = AudioFolder(root.name, target="{target}_{speaker}_{take}")
    >>> dataset
    AudioFolder(2 examples, 0.00 h, 8000 Hz, 2 classes)
    >>> dataset[1].waveform.shape, dataset[1].target, dataset.fields[1]
    (torch.Size([8000]), 1, {'speaker': 'bob', 'take': '0'})
    >>> len(dataset.select(lambda row: row["speaker"] == "ann"))
    1
    >>> root.cleanup()
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        sample_rate: int | None = None,
        target: str | Callable[[str], Any] | EventTargets | FrameTargets | None = None,
        classes: Sequence[str] | AudioFiles | None = None,
        fields: Sequence[str] | None = None,
        crop: Crop | None = None,
        mono: bool = True,
        on_error: OnError = "raise",
        extensions: Iterable[str] | None = None,
        seed: int | None = 0,
        progress: bool | None = None,
        keep: Keep | None = None,
        keep_gb: float | None = None,
        index: str | os.PathLike[str] | None = None,
    ) -> None:
        check_options(sample_rate, crop, on_error, keep, keep_gb)
        if target in (EventTargets, FrameTargets):
            raise TypeError(f"target={target!r} is a class; give it its settings: EventTargets(...), FrameTargets(...)")
        pattern = NamePattern(target) if isinstance(target, str) else None
        self.root = check_path("root", root, "a folder of audio files")
        source = target.source if isinstance(target, (EventTargets, FrameTargets)) else None
        beside = [source.lower()] if isinstance(source, str) else []
        headers = [] if index is None else [ScanIndex(index, self.root)]
        endings = known_extensions() if extensions is None else extensions
        found = self._find(endings, beside, *(own.path for own in headers))
        self.passed_over = found.passed_over
        missed = [ending for ending in found.passed_over if ending in FFMPEG]
        if found.unexpected and extensions is None:
            warnings.warn(
                f"AudioFolder passes over {sum(found.passed_over.values())} files in root={self.root!r} by their "
                f"extension: {count_by_extension(found.passed_over)}; convert them to a format that is read, register "
                "a reader for them, or name the files to take with extensions="
                + (f"; for {', '.join(missed)}: {REMEDY}" if missed else ""),
                stacklevel=2,
            )
        paths = found.paths
        columns: dict[str, list[Any]] = {}
        owner, known = f"AudioFolder({self.root!r})", given_classes(classes)
        targets: TargetColumn
        if isinstance(target, EventTargets):
            targets = target.read(paths, None, paths.__getitem__, "", known, owner)
        elif isinstance(target, FrameTargets):
            targets = target.read(paths, None, paths.__getitem__, "", known)
        else:
            labels: Sequence[Any]
            if pattern is not None:
                labels, columns = match_names(paths, pattern)
            elif target is None:
                labels = folder_names(paths, self.root)
                if found.empty and known is None and labels[0] is not None:
                    names = sorted(map(str, folder_names([f"{folder}/" for folder in found.empty], self.root)))
                    warnings.warn(
                        f"empty folders in root={self.root!r} make no class: {', '.join(map(repr, names[:10]))}"
                        f"{', ...' if len(names) > 10 else ''}; where other datasets have files of such a class, they "
                        "number the classes otherwise: pass one classes= to all of them, or remove the folder",
                        stacklevel=2,
                    )
            elif callable(target):
                labels = [target(path) for path in paths]
            else:
                raise TypeError(
                    f"target={target!r} must be a pattern, a function of the path, EventTargets, FrameTargets, or "
                    "None for "
                    "the folders' names"
                )
            targets = TargetColumn(*index_classes(labels, known, paths.__getitem__, owner))
        super().__init__(
            paths,
            targets=targets,
            fields=chosen_fields(columns, fields),
            folder_faults=found.faults,
            sample_rate=sample_rate,
            crop=crop,
            mono=mono,
            on_error=on_error,
            seed=seed,
            progress=progress,
            keep=keep,
            keep_gb=keep_gb,
            known=headers,
            source={"AudioFolder": self.root, "extensions": extensions, "target": target, "fields": fields},
        )

    def _find(self, extensions: Iterable[str], beside: Iterable[str], own: str = "") -> FoundFiles:
        if isinstance(extensions, str):
            extensions = (extensions,)
        endings = sorted({"." + ending.lower().lstrip(".") for ending in extensions})
        if not endings or "." in endings:
            raise ValueError(f"extensions={extensions!r} must be endings such as '.wav'")
        if not os.path.isdir(self.root):
            remote = not_local(self.root)
            if remote is not None:
                kind = NotADirectoryError if os.path.exists(self.root) else FileNotFoundError
                raise kind(f"root={self.root!r} {remote}")
            if os.path.exists(self.root):
                raise NotADirectoryError(
                    f"root={self.root!r} is a file; pass the folder it lies in, or use AudioManifest"
                )
            here = "" if os.path.isabs(self.root) else f" in {os.getcwd()!r}, from where it counts"
            raise FileNotFoundError(f"root={self.root!r} does not exist{here}")
        found = find_files(self.root, endings, beside, own)
        if found.paths:
            return found
        if found.faults:
            first = found.faults[0]
            raise AudioReadError.of(first.path or "", f"{first.cause}; no audio file is found in root={self.root!r}")
        others, number = count_by_extension(found.passed_over), sum(found.passed_over.values())
        missed = [ending for ending in found.passed_over if ending in FFMPEG and ending not in endings]
        raise ValueError(
            f"root={self.root!r} holds no file that ends in one of {', '.join(endings)} "
            f"({number} other file{'' if number == 1 else 's'}{': ' if others else ''}{others}); "
            "pass the right folder or extensions" + (f"; for {', '.join(missed)}: {REMEDY}" if missed else "")
        )
