"""The table of a dataset's clips: their files, parts, targets, fields and lengths, and the examples cut from them."""

from __future__ import annotations

import copy
import hashlib
import operator
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from audiofeed.data.crops import CenterCrop, Crop, Windows, check_place
from audiofeed.data.listing.columns import Fields, pack
from audiofeed.data.listing.scan import FileTable
from audiofeed.data.readers import AudioInfo
from audiofeed.data.seeds import seed_of
from audiofeed.data.targets.target_column import TargetColumn

# the files of one example may differ by so many seconds, as an encoder's padding makes them
_SPREAD = 0.1
# one clip: which file, the first frame and the number of frames at the file's own rate
_CLIP = np.dtype([("file", "<i4"), ("first", "<i8"), ("frames", "<i8")])


class ClipTable:
    """Table of a dataset's clips and of the examples that its crop cuts from them, in columns.

    Args:
        infos: Headers of the files.
        files: For each clip the numbers of its files: its own, then those beside it.
        targets: One per clip.
        beside: Names of the further files of each clip.
        fields: Further columns, one value per clip.
        keyed: For each clip, the part of its place in the file that its key needs: "", "start" or "span"; None for
            none of them.
        segment: Maps (clip, its file's header) to the clip's first frame and frame count; None: whole files.
        describe: Maps a clip to its place in the user's table, for messages about its file.
        sample_rate: Hz of every example; None keeps the files' own rate.
        crop: As in `AudioFolder`.
        mono: As in `AudioFolder`.

    Raises:
        ValueError: Rates or channels are mixed, targets do not fit their clips, or files of one clip differ in length.
    """

    def __init__(
        self,
        infos: Sequence[AudioInfo],
        files: Sequence[Sequence[int]],
        *,
        targets: TargetColumn,
        beside: Sequence[str],
        fields: Mapping[str, Sequence[Any]],
        keyed: Sequence[str] | None,
        segment: Callable[[int, AudioInfo], tuple[int, int]] | None,
        describe: Callable[[int], str] | None,
        sample_rate: int | None,
        crop: Crop | None,
        mono: bool,
    ) -> None:
        self.crop = crop
        self.beside = list(beside)
        self.files = FileTable(infos)
        self.targets = targets
        self.columns = {name: pack(list(column)) for name, column in fields.items()}
        self.keyed = None if keyed is None or not any(keyed) else pack(list(keyed))
        spans = [
            (file, *((0, infos[file].frames) if segment is None else segment(clip, infos[file])))
            for clip, of_clip in enumerate(files)
            for file in of_clip
        ]
        self.clips = np.array(spans, dtype=_CLIP).reshape(len(files), -1)
        begins, rates = self.clips["first"][:, 0], self.files.sample_rates[self.clips["file"][:, 0]]
        bounds = np.stack([begins, begins + self.clips["frames"][:, 0]], axis=1) / rates[:, None]
        self.targets.check([infos[of_clip[0]] for of_clip in files], bounds)
        self.some_decoded = bool(self.files.decoded.any())
        self.sample_rate = self._common_rate() if sample_rate is None else operator.index(sample_rate)
        if not mono:
            self._check_channels()
        # length of each clip at the dataset's rate, and of each of its files
        self.span_totals = self._span_totals()
        self.totals = self._common_lengths(describe)
        self._place_examples()
        self.identity = self._hash([info.path for info in infos])

    def _hash(self, paths: Sequence[str]) -> int:
        """Return a number that stands for the table's clips: their files' names and lengths, and where they lie there.

        Paths count from the folder that all have in common, so it is the same wherever a corpus lies.
        """
        # what the first and the last in order share, all between them share too
        shared = os.path.commonprefix([min(paths), max(paths)])  # noqa: RUF071 (a common path needs paths of one kind)
        start = shared.rfind(os.sep) + 1
        names = "\0".join(path[start:] for path in paths).replace(os.sep, "/")
        state = hashlib.blake2b(names.encode("utf-8", "surrogatepass"), digest_size=8)
        state.update(self.clips.tobytes())
        return int.from_bytes(state.digest(), "little")

    def _common_rate(self) -> int:
        rates = self.files.sample_rates
        other = np.flatnonzero(rates != rates[0])
        if other.size:
            raise ValueError(
                f"sample_rate=None needs files of one rate, but {self.files.paths[0]!r} has {rates[0]} Hz and "
                f"{self.files.paths[other[0]]!r} has {rates[other[0]]} Hz; pass sample_rate={rates.max()}, "
                "or another rate to resample to"
            )
        return int(rates[0])

    def _check_channels(self) -> None:
        counts, firsts = np.unique(self.files.channels, return_index=True)
        if counts.size > 1:
            found = ", ".join(f"{n} in {self.files.paths[f]!r}" for n, f in zip(counts, firsts, strict=True))
            raise ValueError(
                f"mono=False needs files with the same number of channels, but there are {found}; pass mono=True"
            )

    def _span_totals(self) -> np.ndarray:
        """Return the length of each file of each of the table's clips at its sample rate."""
        frames, rates = self.clips["frames"], self.files.sample_rates[self.clips["file"]]
        totals = np.maximum(1, (2 * frames * self.sample_rate + rates) // (2 * rates))
        return np.where(rates == self.sample_rate, frames, totals)

    def _common_lengths(self, describe: Callable[[int], str] | None) -> np.ndarray:
        """Return the length of each of the dataset's clips at its sample rate: of several files, what all of them have.

        Raises:
            ValueError: The files of a clip differ by more than an encoder's padding.
        """
        totals = self.span_totals
        spread = totals.max(1) - totals.min(1)
        if spread.any():
            clip = int(spread.argmax())
            lengths = ", ".join(
                f"{self.files.paths[file]!r} {n / self.sample_rate:.3f} s"
                for file, n in zip(self.clips["file"][clip], totals[clip], strict=True)
            )
            where = f"{describe(clip)}: " if describe is not None else ""
            if spread[clip] > _SPREAD * self.sample_rate:
                raise ValueError(
                    f"{where}the files of one example must be equally long, and are not: {lengths}; cut them to one "
                    "length, or name parts of them with start and duration"
                )
            warnings.warn(
                f"the files of {int((spread > 0).sum())} of {len(spread)} examples differ in length, by up to "
                f"{spread[clip]} samples, and what all of them have is taken; {where}{lengths}",
                stacklevel=5,
            )
        return totals.min(1)

    def _place_examples(self) -> None:
        """Count the dataset's examples in each clip and their lengths, the same with any seed."""
        total = self.totals
        self.several, self.decimals = isinstance(self.crop, Windows), 3
        if self.crop is None:
            self.example_clip, self.example_part = np.arange(len(total)), np.zeros(len(total), dtype=np.int64)
            self.lengths = total
            return
        counts = np.array([self.crop.count(n, self.sample_rate) for n in total.tolist()], dtype=np.int64)
        self.several |= bool((counts > 1).any())
        self.example_clip = np.repeat(np.arange(len(total)), counts)
        self.example_part = np.arange(len(self.example_clip)) - np.repeat(np.cumsum(counts) - counts, counts)
        clips = zip(total[self.example_clip].tolist(), self.example_part.tolist(), strict=True)
        places = [self.place(n, 0, part) for n, part in clips]
        starts, self.lengths = np.array(places, dtype=np.int64).reshape(-1, 2).T.copy()
        steps = np.diff(starts)[np.diff(self.example_clip) == 0]
        # keys name a start to the millisecond, or to the microsecond where that would name two windows alike
        if self.several and ((steps > 0) & (steps * 1000 < self.sample_rate)).any():
            self.decimals = 6

    def place(self, total: int, seed: int, part: int) -> tuple[int, int]:
        """Return start and length of a crop of one of the table's clips, checked.

        Args:
            total: Length of the clip at the dataset's rate.
            seed: The example's 63-bit seed.
            part: Which of the clip's examples.

        Returns:
            Both in samples at the dataset's rate.

        Raises:
            ValueError: A crop of one's own gives no place within the clip.
        """
        assert self.crop is not None
        start, length = self.crop.place(total, self.sample_rate, seed=seed, part=part)
        check_place(self.crop, start, length, total)
        return start, length

    def with_crop(self, crop: Crop | None) -> ClipTable:
        """Return the same table of clips with another crop, where both cut one example from each clip.

        Args:
            crop: As in `AudioFolder`.

        Raises:
            ValueError: The table has, or the crop makes, several examples of a clip.
        """
        totals = self.totals[self.example_clip].tolist()
        if self.several or (crop is not None and any(crop.count(n, self.sample_rate) != 1 for n in totals)):
            raise ValueError(f"crop={crop!r} changes the number of examples; make the dataset anew with crop=")
        part = copy.copy(self)
        part.crop = crop
        part.lengths = self.totals[self.example_clip]
        if crop is not None:
            part.lengths = np.array([part.place(n, 0, 0)[1] for n in totals], dtype=np.int64)
        return part

    def take(self, indices: np.ndarray) -> ClipTable:
        """Return a table of some of the examples, sharing the columns of all clips.

        Args:
            indices: Numbers of the examples in the order of the new table.
        """
        part = copy.copy(self)
        part.example_clip = self.example_clip[indices]
        part.example_part = self.example_part[indices]
        part.lengths = self.lengths[indices]
        # another list of examples draws otherwise: a part added to its whole shows other crops of the same clips
        state = hashlib.blake2b(np.asarray(indices, dtype="<i8").tobytes(), digest_size=8)
        part.identity = seed_of(self.identity, int.from_bytes(state.digest(), "little"))
        return part

    def __len__(self) -> int:
        return len(self.example_clip)

    @property
    def draws(self) -> bool:
        """Whether the crop of the table's clips is drawn at random, as it may be if it is of one's own."""
        return self.crop is not None and not isinstance(self.crop, (CenterCrop, Windows))

    @property
    def file_numbers(self) -> np.ndarray:
        """Number of the file of each example in the table of clips."""
        return self.clips["file"][self.example_clip, 0]

    @property
    def fields(self) -> Fields:
        """Further metadata of the examples in the table of clips."""
        return Fields(self.columns, self.example_clip)

    def row(self, index: int) -> dict[str, Any]:
        """Return the metadata of one example in the table of clips, as `AudioFiles.row` describes it.

        Args:
            index: Index of the example.
        """
        clip = self.example_clip[index]
        file, first, _ = self.clips[clip, 0].item()
        return {
            **self.fields[index],
            "path": self.files.paths[file],
            "start": first / int(self.files.sample_rates[file]),
            "duration": float(self.lengths[index]) / self.sample_rate,
            "target": self.targets.whole(clip),
            "label": self.targets.label(clip),
        }
