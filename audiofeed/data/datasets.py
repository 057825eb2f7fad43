"""The base of all datasets of audio files: headers, selection, epochs, faults and loading."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Dataset

from audiofeed.data.crops import Crop, Windows, check_place
from audiofeed.data.dataset_options import OnError, checked_seed
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.listing.columns import Fields, pack, plain
from audiofeed.data.listing.scan import FileTable, scan
from audiofeed.data.readers import AudioInfo, read, warn_missing
from audiofeed.data.resample import resample_crop
from audiofeed.data.samples import to_float
from audiofeed.data.seeds import draw_below, seed_of
from audiofeed.data.targets.classes import check_alike, notice
from audiofeed.data.targets.target_column import CropPlace, TargetColumn
from audiofeed.data.targets.timed import CutWaveform
from audiofeed.parallel.thread_pool import results_of

Key = int | tuple[int, int]
Self = TypeVar("Self", bound="AudioFiles")

# under on_error="skip": this many files in a row, drawn at random, are not bad by accident
_TRIES = 16
# the files of one example may differ by so many seconds, as an encoder's padding makes them
_SPREAD = 0.1
# one clip: which file, the first frame and the number of frames at the file's own rate
_CLIP = np.dtype([("file", "<i4"), ("first", "<i8"), ("frames", "<i8")])


class AudioFiles(Dataset[AudioExample]):
    """Dataset of audio files whose headers are read once: the base of `AudioFolder` and `AudioManifest`.

    A key is an index, or an (epoch, index) pair as a sampler may give it; an index alone stands for the dataset's
    current epoch, which `set_epoch` sets for workers already running too. Every random draw of an example comes from a
    hash of (seed, epoch, index), so it does not depend on the process that loads it.

    Lengths are exact: a clip of n frames at rate r has round(n * sample_rate / r) frames at another, and a crop of s
    seconds has round(s * sample_rate), less only where the clip is shorter.

    Args:
        paths: One per clip; a file may hold several clips.
        targets: One per clip.
        beside: Paths of further files of each clip, by name, read as the same crop: the targets of a clip without
            others, else fields.
        fields: Further columns, one value per clip.
        segment: Maps (clip, its file's header) to the clip's first frame and frame count; None: whole files.
        describe: Maps a clip to its place in the table, for messages about its file.
        keyed: For each clip, the part of its place in the file that its key needs: "", "start" or "span".
        folder_faults: Folders that could not be searched for files.
        sample_rate, crop, mono, on_error, seed, progress: As in `AudioFolder`.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        targets: TargetColumn,
        beside: Mapping[str, Sequence[str]] | None = None,
        fields: Mapping[str, Sequence[Any]],
        segment: Callable[[int, AudioInfo], tuple[int, int]] | None = None,
        describe: Callable[[int], str] | None = None,
        keyed: Sequence[str] | None = None,
        folder_faults: Sequence[AudioReadError] = (),
        sample_rate: int | None,
        crop: Crop | None,
        mono: bool,
        on_error: OnError,
        seed: int | None,
        progress: bool | None,
    ) -> None:
        self.crop = crop
        self.mono = mono
        self.on_error = on_error
        self.seed = checked_seed(seed)
        if folder_faults and on_error == "raise":
            raise folder_faults[0]
        self.faults: list[AudioReadError] = list(folder_faults)
        # in shared memory, so that a worker that is already running sees a new epoch, however it was started
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

        # classes come from every file listed, so that a bad file does not shift the others' indices
        self.classes = targets.classes
        self._beside = list(beside or {})
        columns = [paths, *(beside or {}).values()]
        good, infos, files = self._scan(columns, describe, progress)
        self._files = FileTable(infos)
        self._targets = targets.take(good)
        self._fields = {name: pack([column[i] for i in good]) for name, column in fields.items()}
        self._keyed = None if keyed is None else pack([keyed[i] for i in good])
        spans = [
            (file, *((0, infos[file].frames) if segment is None else segment(clip, infos[file])))
            for clip, of_clip in zip(good, files, strict=True)
            for file in of_clip
        ]
        self._clips = np.array(spans, dtype=_CLIP).reshape(len(good), len(columns))
        begins, rates = self._clips["first"][:, 0], self._files.sample_rates[self._clips["file"][:, 0]]
        bounds = np.stack([begins, begins + self._clips["frames"][:, 0]], axis=1) / rates[:, None]
        self._targets.check([infos[of_clip[0]] for of_clip in files], bounds)
        self._some_decoded = bool(self._files.decoded.any())
        self.sample_rate = self._common_rate() if sample_rate is None else operator.index(sample_rate)
        if not mono:
            self._check_channels()
        self._totals = self._common_lengths(describe, good)
        self._place_examples()
        notice(self.classes)

    def _scan(
        self, columns: Sequence[Sequence[str]], describe: Callable[[int], str] | None, progress: bool | None
    ) -> tuple[list[int], list[AudioInfo], list[list[int]]]:
        """Return the dataset's clips whose files are good, the good files, and each good clip's files."""
        first_clip: dict[str, int] = {}
        for paths in columns:
            for clip, path in enumerate(paths):
                first_clip.setdefault(path, clip)
        infos: list[AudioInfo] = []
        number: dict[str, int] = {}
        for (path, clip), result in zip(first_clip.items(), scan(list(first_clip), progress=progress), strict=True):
            if isinstance(result, AudioInfo):
                number[path] = len(infos)
                infos.append(result)
                continue
            fault = result
            if describe is not None:
                fault = AudioReadError.of(path, f"{result.cause} ({describe(clip)})", result.offset)
            if self.on_error == "raise":
                raise fault
            self.faults.append(fault)
        bad = len(first_clip) - len(infos)
        good = [
            clip for clip, of_clip in enumerate(zip(*columns, strict=True)) if all(path in number for path in of_clip)
        ]
        if not good:
            first = self.faults[-bad]
            raise AudioReadError.of(first.path or "", f"{first.cause}; none of the {bad} files can be read")
        if self.faults:
            folders = len(self.faults) - bad
            left_out = [f"{bad} of {len(first_clip)} files"] if bad else []
            left_out += [f"{folders} folder{'s' * (folders > 1)} not searched"] if folders else []
            warnings.warn(
                f"on_error='skip' leaves out {' and '.join(left_out)}, listed in .faults; the first: {self.faults[0]}",
                stacklevel=4,
            )
        warn_missing(infos, stacklevel=4)
        return good, infos, [[number[paths[clip]] for paths in columns] for clip in good]

    def _common_rate(self) -> int:
        rates = self._files.sample_rates
        other = np.flatnonzero(rates != rates[0])
        if other.size:
            raise ValueError(
                f"sample_rate=None needs files of one rate, but {self._files.paths[0]!r} has {rates[0]} Hz and "
                f"{self._files.paths[other[0]]!r} has {rates[other[0]]} Hz; pass sample_rate={rates.max()}, "
                "or another rate to resample to"
            )
        return int(rates[0])

    def _check_channels(self) -> None:
        counts, firsts = np.unique(self._files.channels, return_index=True)
        if counts.size > 1:
            found = ", ".join(f"{n} in {self._files.paths[f]!r}" for n, f in zip(counts, firsts, strict=True))
            raise ValueError(
                f"mono=False needs files with the same number of channels, but there are {found}; pass mono=True"
            )

    def _common_lengths(self, describe: Callable[[int], str] | None, good: Sequence[int]) -> np.ndarray:
        """Return the length of each of the dataset's clips at its sample rate: of several files, what all of them have.

        Raises:
            ValueError: The files of a clip differ by more than an encoder's padding.
        """
        frames, rates = self._clips["frames"], self._files.sample_rates[self._clips["file"]]
        totals = np.maximum(1, (2 * frames * self.sample_rate + rates) // (2 * rates))
        totals = np.where(rates == self.sample_rate, frames, totals)
        spread = totals.max(1) - totals.min(1)
        if spread.any():
            clip = int(spread.argmax())
            lengths = ", ".join(
                f"{self._files.paths[file]!r} {n / self.sample_rate:.3f} s"
                for file, n in zip(self._clips["file"][clip], totals[clip], strict=True)
            )
            where = f"{describe(good[clip])}: " if describe is not None else ""
            if spread[clip] > _SPREAD * self.sample_rate:
                raise ValueError(
                    f"{where}the files of one example must be equally long, and are not: {lengths}; cut them to one "
                    "length, or name parts of them with start and duration"
                )
            warnings.warn(
                f"the files of {int((spread > 0).sum())} of {len(spread)} examples differ in length, by up to "
                f"{spread[clip]} samples, and what all of them have is taken; {where}{lengths}",
                stacklevel=4,
            )
        return totals.min(1)

    def _place_examples(self) -> None:
        """Count the dataset's examples in each clip and their lengths, the same with any seed."""
        total = self._totals
        self._several, self._decimals = isinstance(self.crop, Windows), 3
        if self.crop is None:
            self._example_clip, self._example_part = np.arange(len(total)), np.zeros(len(total), dtype=np.int64)
            self._lengths = total
            return
        counts = np.array([self.crop.count(n, self.sample_rate) for n in total.tolist()], dtype=np.int64)
        self._several |= bool((counts > 1).any())
        self._example_clip = np.repeat(np.arange(len(total)), counts)
        self._example_part = np.arange(len(self._example_clip)) - np.repeat(np.cumsum(counts) - counts, counts)
        clips = zip(total[self._example_clip].tolist(), self._example_part.tolist(), strict=True)
        places = [self._place(n, 0, part) for n, part in clips]
        starts, self._lengths = np.array(places, dtype=np.int64).reshape(-1, 2).T.copy()
        steps = np.diff(starts)[np.diff(self._example_clip) == 0]
        # keys name a start to the millisecond, or to the microsecond where that would name two windows alike
        if self._several and ((steps > 0) & (steps * 1000 < self.sample_rate)).any():
            self._decimals = 6

    # metadata

    def __len__(self) -> int:
        return len(self._example_clip)

    def __repr__(self) -> str:
        parts = [
            f"{len(self)} examples",
            f"{self._lengths.sum() / self.sample_rate / 3600:.2f} h",
            f"{self.sample_rate} Hz",
        ]
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        if self.faults:
            parts.append(f"{len(self.faults)} faults")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def paths(self) -> list[str]:
        """Path of the audio file of each example in the dataset."""
        return [self._files.paths[i] for i in self._file_numbers.tolist()]

    @property
    def durations(self) -> np.ndarray:
        """Length in seconds of each of the dataset's examples, after the crop, from the headers.

        Shape: (len,) float64.
        """
        return self._lengths / self.sample_rate

    @property
    def sample_rates(self) -> np.ndarray:
        """Sample rate in Hz of the file of each example in the dataset, before any resampling.

        Shape: (len,) int64.
        """
        return self._files.sample_rates[self._file_numbers]

    @property
    def targets(self) -> np.ndarray | list[Any]:
        """Target of each example in the dataset: an int64 array if all are integers or classes, else a list.

        Targets in time are those of the whole clip.
        """
        return self._targets.of_clips(self._example_clip)

    @property
    def class_to_index(self) -> dict[str, int]:
        """Target index of each class in a dataset of audio files."""
        return {name: i for i, name in enumerate(self.classes)}

    @property
    def fields(self) -> Fields:
        """Other metadata of the dataset's examples: `fields[i]` is a dict, `fields["name"]` a column."""
        return Fields(self._fields, self._example_clip)

    def row(self, index: int) -> dict[str, Any]:
        """Return the metadata of one example in the dataset without reading its audio.

        Args:
            index: Index of the example.

        Returns:
            A dict with the keys path, start (of the clip, seconds into the file), duration (seconds, after the crop),
            target, label (the class's name if targets are classes, else the target), and the fields by name.
        """
        clip = self._example_clip[index]
        file, first, _ = self._clips[clip, 0].item()
        return {
            **self.fields[index],
            "path": self._files.paths[file],
            "start": first / int(self._files.sample_rates[file]),
            "duration": float(self._lengths[index]) / self.sample_rate,
            "target": self._targets.whole(clip),
            "label": self._targets.label(clip),
        }

    def select(self: Self, chosen: Iterable[int] | Callable[[dict[str, Any]], bool]) -> Self:
        """Return a dataset of some of the examples, with the same classes, sharing the headers.

        Its examples are numbered anew, it has its own epoch, and `faults` stays with the whole.

        Args:
            chosen: Indices in the order of the new dataset, a boolean mask, or a function of an example's `row`.

        Returns:
            The selection, of the same class.

        Raises:
            ValueError: No example is chosen, or a mask has another length than the dataset.
            IndexError: An index is out of range.
        """
        if callable(chosen):
            indices = np.array([i for i in range(len(self)) if chosen(self.row(i))], dtype=np.int64)
        else:
            given = np.asarray(chosen if isinstance(chosen, (np.ndarray, torch.Tensor)) else list(chosen))
            if given.dtype == np.bool_:
                if given.shape != (len(self),):
                    raise ValueError(
                        f"a mask of shape {given.shape} must have one value for each of {len(self)} examples"
                    )
                given = np.flatnonzero(given)
            indices = np.array([self._check_index(i) for i in given.tolist()], dtype=np.int64)
        if not indices.size:
            raise ValueError(f"the selection is empty: none of the {len(self)} examples is chosen")
        part = copy.copy(self)
        part._example_clip = self._example_clip[indices]
        part._example_part = self._example_part[indices]
        part._lengths = self._lengths[indices]
        part.faults = []
        part._epoch = self._epoch.clone().share_memory_()
        return part

    def __add__(self, other: Dataset[AudioExample]) -> ConcatDataset[AudioExample]:
        """Return this dataset and another one after it.

        Raises:
            ValueError: Both have classes and number them differently.
        """
        if self.classes and getattr(other, "classes", None):
            check_alike(self.classes, other.classes)  # type: ignore[attr-defined]
        return super().__add__(other)

    # reading

    @property
    def epoch(self) -> int:
        """Epoch of the dataset that an index without one stands for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the dataset's epoch that an index without one stands for, in workers already running too.

        A running worker may have fetched a few batches ahead; call this between epochs, as with a sampler.

        Args:
            epoch: 0 or more.

        Raises:
            ValueError: `epoch` is negative.
        """
        epoch = operator.index(epoch)
        if epoch < 0:
            raise ValueError(f"epoch={epoch} must be 0 or more")
        self._epoch.fill_(epoch)

    def __getitem__(self, key: Key) -> AudioExample:
        epoch, index = (self.epoch, key) if not isinstance(key, tuple) else self._split(key)
        index = self._check_index(index)
        seed = seed_of(self.seed, epoch, index)
        faults: tuple[AudioReadError, ...] = ()
        chosen = index
        while True:
            try:
                return self._load(chosen, seed, faults)
            except AudioReadError as error:
                if self.on_error == "raise":
                    raise
                faults += (error.with_traceback(None),)
                if len(faults) > _TRIES:
                    text = (
                        f"{error.cause}; {_TRIES} files before it, each in place of the last, could not be read either"
                    )
                    raise AudioReadError.of(error.path or "", text, error.offset) from error
            # another example in its place, the same one whoever asks, so that batches stay full
            seed = seed_of(self.seed, epoch, index, len(faults))
            chosen = draw_below(len(self), seed)

    def __getitems__(self, keys: Sequence[Key]) -> list[AudioExample]:
        """Return a list of the dataset's examples, decoding compressed files in several threads.

        A DataLoader asks for a batch's examples in this way.

        As many threads as torch computes with here: one in a DataLoader's worker, where the workers share the cores.
        Plain WAVs are read one after the other, because a positioned read is too short to gain from a thread.
        """
        threads = min(torch.get_num_threads(), len(keys))
        if threads < 2 or not self._some_decoded:
            return [self[key] for key in keys]
        return results_of(lambda number: self[keys[number]], len(keys))

    def _split(self, key: tuple[int, int]) -> tuple[int, int]:
        if len(key) != 2:
            raise TypeError(f"key={key!r} must be an index or an (epoch, index) pair")
        epoch = operator.index(key[0])
        if epoch < 0:
            raise ValueError(f"epoch={epoch} in key={key!r} must be 0 or more")
        return epoch, key[1]

    def _check_index(self, index: Any) -> int:
        """Return an index of any integer kind into the dataset as an int from 0."""
        try:
            number = operator.index(index)
        except TypeError as error:
            raise TypeError(
                f"index={index!r} must be an integer or an (epoch, index) pair; for several use select()"
            ) from error
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for {len(self)} examples")
        return number % len(self)

    def _load(self, index: int, seed: int, faults: tuple[AudioReadError, ...]) -> AudioExample:
        clip, part = int(self._example_clip[index]), int(self._example_part[index])
        file, first, frames = self._clips[clip, 0].item()
        info, new_rate, total = self._files.info(file), self.sample_rate, int(self._totals[clip])
        rate, targets = info.sample_rate, self._targets
        start, length = (0, total) if self.crop is None else self._place(total, seed, part)
        inside = min(length, total - start)
        waveform = self._read_crop(info, first, frames, start, inside, length)
        key = info.path
        how = "start" if self._several else "" if self._keyed is None else self._keyed[clip]
        if how:
            begin = first / rate + (start / new_rate if self._several else 0.0)
            end = f"-{(first + frames) / rate:.3f}" if how == "span" else ""
            key = f"{key}@{begin:.{self._decimals}f}{end}"
        seconds = first / rate + start / new_rate
        place = CropPlace(seconds, first / rate, inside, new_rate) if targets.in_time else None
        target = targets.whole(clip) if place is None else targets.cut(clip, place)
        fields = {name: plain(column[clip]) for name, column in self._fields.items()}
        if self._beside:
            further = self._read_beside(clip, start, inside, length)
            if target is None:
                target = further
            else:
                fields |= further
        return AudioExample(
            waveform,
            new_rate,
            target,
            key,
            seed,
            faults,
            fields=fields,
            start=seconds,
            start_sample=first + (2 * start * rate + new_rate) // (2 * new_rate),
            duration=inside / new_rate,
            classes=self.classes or None,
        )

    def _place(self, total: int, seed: int, part: int) -> tuple[int, int]:
        """Return start and length of a crop of a dataset's clip, checked."""
        assert self.crop is not None
        start, length = self.crop.place(total, self.sample_rate, seed=seed, part=part)
        check_place(self.crop, start, length, total)
        return start, length

    def _read_beside(self, clip: int, start: int, inside: int, length: int) -> dict[str, Any]:
        """Read a crop of the further files of a dataset's clip, by their names."""
        found = {}
        for column, name in enumerate(self._beside, 1):
            file, first, frames = self._clips[clip, column].item()
            waveform = self._read_crop(self._files.info(file), first, frames, start, inside, length)
            found[name] = CutWaveform(to_float(waveform))
        return found

    def _read_crop(
        self, info: AudioInfo, first: int, frames: int, start: int, inside: int, length: int
    ) -> torch.Tensor:
        """Read a crop of a file of a dataset's clip, with silence after what is inside of the clip."""

        def piece(begin: int, count: int) -> torch.Tensor:
            waveform, _ = read(info.path, first + begin, count, info=info)
            # the mean of integers is none
            return to_float(waveform).mean(0) if self.mono and waveform.dim() == 2 else waveform

        if info.sample_rate == self.sample_rate:
            waveform = piece(start, inside)
        else:
            waveform = resample_crop(piece, frames, info.sample_rate, self.sample_rate, start, inside)
        return waveform if inside == length else torch.nn.functional.pad(waveform, (0, length - inside))

    @property
    def _file_numbers(self) -> np.ndarray:
        return self._clips["file"][self._example_clip, 0]
