"""The base of all datasets of audio files: headers, selection, epochs, faults and loading."""

from __future__ import annotations

import copy
import functools
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Dataset

from audiofeed.arguments.checks import check_switch
from audiofeed.data.clips.clip_table import ClipTable
from audiofeed.data.clips.example_loader import ExampleLoader
from audiofeed.data.clips.kept_clips import Copies, KeptClips
from audiofeed.data.crops import Crop
from audiofeed.data.dataset_options import Keep, OnError, check_options, checked_seed
from audiofeed.data.dataset_page import dataset_repr
from audiofeed.data.errors import LEAVE_OUT, AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.fingerprint import fingerprint
from audiofeed.data.keys import ExampleKey, key_of
from audiofeed.data.listing.columns import Fields
from audiofeed.data.listing.same_list import check_same_list
from audiofeed.data.listing.scan import KnownHeaders, scan
from audiofeed.data.readers import AudioInfo, warn_missing
from audiofeed.data.reading_board import Reading, ReadingBoard
from audiofeed.data.seeds import draw_below, seed_of
from audiofeed.data.shared.batch_rows import Row, each_row, note_clear_rows
from audiofeed.data.shared.draw_counts import DrawCounts
from audiofeed.data.targets.classes import check_alike, notice
from audiofeed.data.targets.target_column import TargetColumn
from audiofeed.parallel.thread_pool import results_of

Key = int | tuple[int, ...]
Self = TypeVar("Self", bound="AudioFiles")

# under on_error="skip": this many files in a row, drawn at random, are not bad by accident
_TRIES = 16


class AudioFiles(Dataset[AudioExample]):
    """Dataset of audio files whose headers are read once: the base of `AudioFolder` and `AudioManifest`.

    A key is an index, or `(epoch, index)` or `(epoch, index, repeat)` as a sampler may give it. Every random draw of an
    example comes from a hash of the seed, the clips' names and lengths and the key, so it does not depend on the
    process that loads it. An index alone is counted: asked for the k-th time since `set_epoch`, in whichever process,
    it is `(epoch, index, k)`, k from 0; so each pass draws anew. Read with a whole key, nothing is counted.

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
        sample_rate, crop, mono, on_error, seed, progress, keep, keep_gb: As in `AudioFolder`.
        known: Headers from an earlier scan.
        source: By what the paths were found: the class and its folder or table first, then settings; ranks of a
            distributed run that agree in it must find the same. None if they need not.
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
        keep: Keep | None = None,
        keep_gb: float | None = None,
        known: Sequence[KnownHeaders] = (),
        source: Mapping[str, Any] | None = None,
    ) -> None:
        for name, switch in (("mono", mono), ("progress", progress)):
            if switch is not None or name == "mono":
                check_switch(name, switch)
        self.mono = bool(mono)
        self.on_error = on_error
        self.seed = checked_seed(seed)
        if folder_faults and on_error == "raise":
            raise folder_faults[0]
        self.faults: list[AudioReadError] = list(folder_faults)

        # classes come from every file listed, so that a bad file does not shift the others' indices
        self.classes = targets.classes
        read_headers = functools.partial(scan, progress=progress, known=known)
        good, infos, files = self._scan([paths, *(beside or {}).values()], describe, read_headers)
        self._table = ClipTable(
            infos,
            files,
            targets=targets.take(good),
            beside=list(beside or {}),
            fields={name: [column[i] for i in good] for name, column in fields.items()},
            keyed=None if keyed is None else [keyed[i] for i in good],
            segment=None if segment is None else lambda clip, info: segment(good[clip], info),
            describe=None if describe is None else lambda clip: describe(good[clip]),
            sample_rate=sample_rate,
            crop=crop,
            mono=mono,
        )
        kept = None if keep is None else KeptClips(self._table, mono, keep_gb)
        self._loader = ExampleLoader(self._table, mono, self.classes or None, ReadingBoard(), kept)
        self.sample_rate = self._table.sample_rate
        # shared, so that a worker that is already running sees a new epoch, however it was started
        self._draws = DrawCounts(len(self))
        notice(self.classes)
        if source is not None:
            settings = {**source, "crop": crop, "sample_rate": sample_rate}
            check_same_list(settings, lambda: self.fingerprint, self.faults)

    def _scan(
        self,
        columns: Sequence[Sequence[str]],
        describe: Callable[[int], str] | None,
        scan: Callable[[list[str]], list[AudioInfo | AudioReadError]],
    ) -> tuple[list[int], list[AudioInfo], list[list[int]]]:
        """Return the dataset's clips whose files are good, the good files, and each good clip's files."""
        first_clip: dict[str, int] = {}
        for paths in columns:
            for clip, path in enumerate(paths):
                first_clip.setdefault(path, clip)
        infos: list[AudioInfo] = []
        number: dict[str, int] = {}
        for (path, clip), result in zip(first_clip.items(), scan(list(first_clip)), strict=True):
            if isinstance(result, AudioInfo):
                number[path] = len(infos)
                infos.append(result)
                continue
            fault = result
            if describe is not None:
                fault = AudioReadError.of(path, f"{result.cause} ({describe(clip)})", result.offset)
            if self.on_error == "raise":
                raise AudioReadError.of(path, f"{fault.cause}; {LEAVE_OUT}", fault.offset)
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

    # metadata

    @property
    def crop(self) -> Crop | None:
        """Crop of the dataset's examples.

        It may be set, as to another crop for the training part of a selection, where both make one example of a clip.
        """
        return self._table.crop

    @crop.setter
    def crop(self, crop: Crop | None) -> None:
        check_options(None, crop, self.on_error)
        self._use(self._table.with_crop(crop))

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        parts = [
            f"{len(self)} example{'s' * (len(self) != 1)}",
            f"{self._table.lengths.sum() / self.sample_rate / 3600:.2f} h",
            f"{self.sample_rate} Hz",
        ]
        if self.classes:
            parts.append(f"{len(self.classes)} class{'es' * (len(self.classes) != 1)}")
        if self.faults:
            parts.append(f"{len(self.faults)} fault{'s' * (len(self.faults) != 1)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    _repr_html_ = dataset_repr

    @property
    def paths(self) -> list[str]:
        """Path of the audio file of each example in the dataset."""
        return [self._table.files.paths[i] for i in self._table.file_numbers.tolist()]

    @property
    def durations(self) -> np.ndarray:
        """Length in seconds of each of the dataset's examples, after the crop, from the headers.

        Shape: (len,) float64.
        """
        return self._table.lengths / self.sample_rate

    @property
    def sample_rates(self) -> np.ndarray:
        """Sample rate in Hz of the file of each example in the dataset, before any resampling.

        Shape: (len,) int64.
        """
        return self._table.files.sample_rates[self._table.file_numbers]

    @property
    def targets(self) -> np.ndarray | list[Any]:
        """Target of each example in the dataset: an int64 array if all are integers or classes, else a list.

        Targets in time are those of the whole clip.
        """
        return self._table.targets.of_clips(self._table.example_clip)

    @property
    def class_to_index(self) -> dict[str, int]:
        """Target index of each class in a dataset of audio files."""
        return {name: i for i, name in enumerate(self.classes)}

    @property
    def fields(self) -> Fields:
        """Other metadata of the dataset's examples: `fields[i]` is a dict, `fields["name"]` a column."""
        return self._table.fields

    @property
    def kept_clips(self) -> int:
        """Number of the dataset's clips that `keep="memory"` holds by now, over all processes and parts of it."""
        return 0 if self._loader.kept is None else self._loader.kept.whole

    @property
    def fingerprint(self) -> str:
        """Short text that is the same for datasets of the same examples: files, parts, lengths, targets, in order.

        Paths count from the folder that they have in common. Crops count by their length, not by their draw. It is made
        anew at each call, in under a microsecond for each example.
        """
        table = self._table
        further = {
            "parts": table.example_part,
            "first": table.clips["first"][table.example_clip, 0],
            "classes": list(self.classes),
            "sample_rate": self.sample_rate,
        }
        return fingerprint(table.lengths, paths=self.paths, targets=self.targets, further=further)

    @property
    def draw_identity(self) -> tuple[int, int]:
        """The seed and a hash of the dataset's examples: two datasets alike in both draw the same for the same key."""
        return self.seed, self._table.identity

    def row(self, index: int) -> dict[str, Any]:
        """Return the metadata of one example in the dataset without reading its audio.

        Args:
            index: Index of the example.

        Returns:
            A dict with the keys path, start (of the clip, seconds into the file), duration (seconds, after the crop),
            target, label (the class's name if targets are classes, else the target), and the fields by name.
        """
        return self._table.row(index)

    def select(self: Self, chosen: Iterable[int] | Callable[[dict[str, Any]], bool]) -> Self:
        """Return a dataset of some of the examples, with the same classes, sharing the headers.

        Its examples are numbered anew and draw otherwise than in the whole, the same in every selection of the same
        examples. It follows the whole's `set_epoch` until it is given an epoch of its own, and `faults` stays with the
        whole.

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
        part._use(self._table.take(indices))
        part.faults = []
        part._draws = DrawCounts(len(part), self._draws)
        return part

    def _use(self, table: ClipTable) -> None:
        """Let the dataset's examples come from a table."""
        self._table, self._loader = table, replace(self._loader, table=table)

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
        return self._draws.epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the dataset's epoch that an index without one stands for, in workers already running too.

        Every index counts as not yet asked for then. The parts that `select` made follow, but for those that have been
        given an epoch themselves. A running worker may have fetched a few batches ahead; call this between epochs, as
        with a sampler.

        Args:
            epoch: 0 or more.

        Raises:
            ValueError: `epoch` is negative.
        """
        epoch = operator.index(epoch)
        if epoch < 0:
            raise ValueError(f"epoch={epoch} must be 0 or more")
        self._draws.set_epoch(epoch)

    def __getitem__(self, key: Key) -> AudioExample:
        return self._read(self._keys([key])[0])

    def excerpt(self, key: tuple[int, ...], samples: int, place: float = 0.0) -> AudioExample:
        """Return part of an example of the dataset; of its file no more is read than that takes.

        It is cut from the example as `dataset[key]` gives it, from its crop if there is one, without the silence of a
        crop that pads.

        Args:
            key: `(epoch, index)` or `(epoch, index, repeat)`.
            samples: Length of the part at the dataset's rate, 1 or more; an example that is shorter is given whole.
            place: Where the part lies among all places that it may have, 0 (the first) to 1 (the last).

        Raises:
            AudioReadError: The file cannot be read, under `on_error="raise"`.
            ValueError: `samples` is below 1, or `place` is outside 0 to 1.
            TypeError: `key` is no such key: of an index alone it is not known which crop of the example is meant.
        """
        if not isinstance(key, tuple):
            raise TypeError(f"key={key!r} must be (epoch, index): an excerpt is the same whenever it is asked for")
        if isinstance(samples, bool) or operator.index(samples) < 1:
            raise ValueError(f"samples={samples!r} must be an integer, 1 or more")
        if not 0 <= place <= 1:
            raise ValueError(f"place={place!r} must be 0 to 1: the first to the last part of the example")
        return self._read(self._keys([key])[0], (operator.index(samples), float(place)))

    def _keys(self, keys: Sequence[Key]) -> list[ExampleKey]:
        """Return the whole keys of the dataset's examples, those asked for by an index alone counted in their order."""
        whole: dict[int, ExampleKey] = {}
        counted: dict[int, int] = {}
        for place, key in enumerate(keys):
            if isinstance(key, tuple):
                whole[place] = key_of(key)
                if not 0 <= whole[place].example < len(self):
                    whole[place] = whole[place].at(self._check_index(whole[place].example))
            else:
                counted[place] = self._check_index(key)
        if counted:
            epoch, repeats = self._draws.draw(list(counted.values()))
            for (place, index), repeat in zip(counted.items(), repeats, strict=True):
                whole[place] = ExampleKey(epoch, index, repeat)
                if repeat and self._table.draws:
                    self._draws.warn_of_repeat(index, repeat)
        return [whole[place] for place in range(len(keys))]

    def _read(
        self,
        key: ExampleKey,
        part: tuple[int, float] | None = None,
        row: Row | None = None,
        later: Copies | None = None,
    ) -> AudioExample:
        index = key.example
        draw = seed = seed_of(self.seed, self._table.identity, key.epoch, index, key.repeat)
        faults: tuple[AudioReadError, ...] = ()
        chosen = index
        while True:
            try:
                return self._loader.load(chosen, seed, faults, part, row, later)
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
            seed = seed_of(draw, len(faults))
            chosen = draw_below(len(self), seed)

    def __getitems__(self, keys: Sequence[Key]) -> list[AudioExample]:
        """Return a list of the dataset's examples, decoding compressed files in several threads.

        A DataLoader asks for a batch's examples in this way.

        As many threads as torch computes with here: one in a DataLoader's worker, where the workers share the cores.
        Plain WAVs, and clips that are kept in memory, are read one after the other: that is too short to gain from a
        thread.
        """
        if isinstance(keys, ExampleKey):
            raise TypeError(
                f"{keys!r}, the key of one clip, is taken for a batch: a sampler of single keys goes to "
                "DataLoader(sampler=..., batch_size=...); for batch_sampler= there is ClipBatchSampler"
            )
        whole = self._keys(keys)
        indices = [key.example for key in whole]
        rows = self._loader.rows(indices)
        places: Sequence[Row | None] = [None] * len(whole) if rows is None else each_row(rows)
        read = lambda number: self._read(whole[number], row=places[number])  # noqa: E731
        if self._loader.kept is not None and self._loader.holds(indices):
            # all samples at the end: between them this code would have to come into the cache again for each clip
            copies: Copies = []
            found = [self._read(key, row=row, later=copies) for key, row in zip(whole, places, strict=True)]
            if rows is not None:
                ends = [example.waveform.shape[-1] for example in found]
                past = [row.memory[..., 2 * end :] for row, end in zip(places, ends, strict=True) if row is not None]
                copies += [(memory, None) for memory in past if memory.size]
                note_clear_rows(rows, ends)
            self._loader.kept.copy(copies)
            return found
        threads = min(torch.get_num_threads(), len(keys))
        if threads < 2 or not self._table.some_decoded:
            return [read(number) for number in range(len(whole))]
        return results_of(read, len(whole))

    def reading(self, *, ended: bool = False) -> list[Reading]:
        """Return the reads of the dataset's files that are going on, in any process that shares it; the longest first.

        A worker whose read never returns is found here, from the process with the training loop. The parts that
        `select` makes are seen together with the whole.

        Args:
            ended: True takes those, too, whose process has ended before they did, by which a killed worker's file is
                known.

        Returns:
            For each read the worker's number (None in a process that is no DataLoader's worker), the path, the seconds
            since it began.
        """
        paths = self._table.files.paths
        return [Reading(worker, paths[file], seconds) for worker, file, seconds in self._loader.board.going_on(ended)]

    def _check_index(self, index: Any) -> int:
        """Return an index of any integer kind into the dataset as an int from 0."""
        try:
            number = operator.index(index)
        except TypeError as error:
            raise TypeError(
                f"index={index!r} must be an integer, (epoch, index) or (epoch, index, repeat); for several use "
                "select()"
            ) from error
        n = len(self)
        if not -n <= number < n:
            raise IndexError(f"index {number} is out of range for {n} examples")
        return number % n
