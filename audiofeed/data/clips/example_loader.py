"""One example from a dataset's table of clips: its samples read, its target and fields beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.data.clips.clip_table import ClipTable
from audiofeed.data.clips.kept_clips import Copies, KeptClips, to_int16
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample, checked_example
from audiofeed.data.listing.columns import plain
from audiofeed.data.readers import read
from audiofeed.data.reading_board import ReadingBoard
from audiofeed.data.resample import resample_crop
from audiofeed.data.samples import to_float
from audiofeed.data.shared.batch_rows import Row, empty_rows
from audiofeed.data.targets.target_column import CropPlace
from audiofeed.data.targets.timed import CutWaveform


@dataclass(frozen=True)
class ExampleLoader:
    """Loader of a dataset's examples: reads the crop of a clip and puts together what is known about it.

    Args:
        table: The clips and the examples cut from them.
        mono: True averages the channels.
        classes: Names of the classes that the targets stand for.
        board: Where reads that are going on are put down.
        kept: Where decoded clips are kept; None reads the crop alone, each time.
    """

    table: ClipTable
    mono: bool
    classes: Any
    board: ReadingBoard
    kept: KeptClips | None = None

    def rows(self, indices: Sequence[int]) -> np.ndarray | None:
        """Return memory for the clips of a batch of the dataset, one row for each, if they come from memory.

        Args:
            indices: Indices of the examples, from 0.
        """
        channels = None if self.kept is None else self.kept.channels
        if channels is None or len(indices) < 2:
            return None
        size = max(self.table.lengths[indices].tolist())
        return empty_rows((len(indices), size) if channels == 1 else (len(indices), channels, size))

    def holds(self, indices: Sequence[int]) -> bool:
        """Return True if the clips of a batch of the dataset are all in memory, so that no file is read for them.

        Args:
            indices: Indices of the examples, from 0.
        """
        return self.kept is not None and self.kept.holds(self.table.example_clip[indices])

    def load(
        self,
        index: int,
        seed: int,
        faults: tuple[AudioReadError, ...],
        excerpt: tuple[int, float] | None = None,
        row: Row | None = None,
        later: Copies | None = None,
    ) -> AudioExample:
        """Return an example of the dataset, read from its file.

        Args:
            index: Its index, from 0.
            seed: Its 63-bit seed, which places its crop.
            faults: The files that it stands in for.
            excerpt: How many samples of it to return, and where they lie among all places, 0 to 1; None: the whole.
            row: Memory for its samples, if they fit in and come from memory.
            later: Where its samples are in memory: their copies, which the caller lets `KeptClips.copy` do.

        Raises:
            AudioReadError: A file cannot be read.
        """
        table = self.table
        clip, part = table.example_clip.item(index), table.example_part.item(index)
        file, first, frames = table.clips.item(clip, 0)
        new_rate, total, targets = table.sample_rate, table.totals.item(clip), table.targets
        rate, path = table.files.rate(file), table.files.paths[file]
        start, length = (0, total) if table.crop is None else table.place(total, seed, part)
        inside = min(length, total - start)
        if excerpt is not None:
            length = min(excerpt[0], inside)
            start += min(int(excerpt[1] * (inside - length + 1)), inside - length)
            inside = length
        waveform = self._read_crop(clip, 0, start, inside, length, row, later)
        key = path
        how = "start" if table.several else "" if table.keyed is None else table.keyed[clip]
        if how:
            begin = first / rate + (start / new_rate if table.several else 0.0)
            end = f"-{(first + frames) / rate:.3f}" if how == "span" else ""
            key = f"{key}@{begin:.{table.decimals}f}{end}"
        seconds = first / rate + start / new_rate
        place = CropPlace(seconds, first / rate, inside, new_rate) if targets.in_time else None
        target = targets.whole(clip) if place is None else targets.cut(clip, place)
        fields = {name: plain(column[clip]) for name, column in table.columns.items()}
        if table.beside:
            further = self._read_beside(clip, start, inside, length)
            if target is None:
                target = further
            else:
                fields |= further
        return checked_example(
            waveform,
            new_rate,
            target,
            key,
            seed,
            faults,
            fields,
            seconds,
            first + (2 * start * rate + new_rate) // (2 * new_rate),
            inside / new_rate,
            self.classes or None,
        )

    def _read_beside(self, clip: int, start: int, inside: int, length: int) -> dict[str, Any]:
        """Read a crop of the further files of a dataset's clip, by their names."""
        found = {}
        for column, name in enumerate(self.table.beside, 1):
            waveform = self._read_crop(clip, column, start, inside, length)
            found[name] = CutWaveform(to_float(waveform))
        return found

    def _read_crop(
        self,
        clip: int,
        column: int,
        start: int,
        inside: int,
        length: int,
        row: Row | None = None,
        later: Copies | None = None,
    ) -> torch.Tensor:
        """Read a crop of one of a clip's files in the dataset, with silence after what is inside of the clip."""
        if later is not None and self.kept is not None and inside == length:  # no file is read
            into = None if row is None else row.beginning(inside)
            waveform = self.kept.read(clip, column, start, inside, into, later)
            assert waveform is not None
            return waveform
        file = self.table.clips.item(clip, column)[0]
        place = self.board.begin(file)
        try:
            if self.kept is None:
                waveform = self._decode(clip, column, start, inside)
            else:
                into = None if row is None or not inside == length <= row.size else row.beginning(inside)
                kept = self.kept.read(clip, column, start, inside, into)
                if kept is None:
                    whole = to_int16(self._decode(clip, column, 0, int(self.table.span_totals[clip, column])))
                    self.kept.write(clip, column, whole)
                    kept = whole[..., start : start + inside]
                    kept = kept.clone() if into is None else into.tensor.copy_(kept)
                waveform = kept
        finally:
            self.board.end(place)
        return waveform if inside == length else torch.nn.functional.pad(waveform, (0, length - inside))

    def _decode(self, clip: int, column: int, start: int, inside: int) -> torch.Tensor:
        """Read part of a file of a dataset's clip at the dataset's rate."""
        file, first, frames = self.table.clips[clip, column].item()
        info = self.table.files.info(file)

        def piece(begin: int, count: int) -> torch.Tensor:
            waveform, _ = read(info.path, first + begin, count, info=info)
            # the mean of integers is none
            return to_float(waveform).mean(0) if self.mono and waveform.dim() == 2 else waveform

        if info.sample_rate == self.table.sample_rate:
            return piece(start, inside)
        return resample_crop(piece, frames, info.sample_rate, self.table.sample_rate, start, inside)
