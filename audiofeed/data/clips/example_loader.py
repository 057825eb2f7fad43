"""One example from a dataset's table of clips: its samples read, its target and fields beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from audiofeed.data.clips.clip_table import ClipTable
from audiofeed.data.clips.kept_clips import KeptClips, to_int16
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.listing.columns import plain
from audiofeed.data.readers import AudioInfo, read
from audiofeed.data.reading_board import ReadingBoard
from audiofeed.data.resample import resample_crop
from audiofeed.data.samples import to_float
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

    def load(
        self, index: int, seed: int, faults: tuple[AudioReadError, ...], excerpt: tuple[int, float] | None = None
    ) -> AudioExample:
        """Return an example of the dataset, read from its file.

        Args:
            index: Its index, from 0.
            seed: Its 63-bit seed, which places its crop.
            faults: The files that it stands in for.
            excerpt: How many samples of it to return, and where they lie among all places, 0 to 1; None: the whole.

        Raises:
            AudioReadError: A file cannot be read.
        """
        table = self.table
        clip, part = int(table.example_clip[index]), int(table.example_part[index])
        file, first, frames = table.clips[clip, 0].item()
        info, new_rate, total = table.files.info(file), table.sample_rate, int(table.totals[clip])
        rate, targets = info.sample_rate, table.targets
        start, length = (0, total) if table.crop is None else table.place(total, seed, part)
        inside = min(length, total - start)
        if excerpt is not None:
            length = min(excerpt[0], inside)
            start += min(int(excerpt[1] * (inside - length + 1)), inside - length)
            inside = length
        waveform = self._read_crop(clip, 0, info, start, inside, length)
        key = info.path
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

    def _read_beside(self, clip: int, start: int, inside: int, length: int) -> dict[str, Any]:
        """Read a crop of the further files of a dataset's clip, by their names."""
        found = {}
        for column, name in enumerate(self.table.beside, 1):
            info = self.table.files.info(int(self.table.clips[clip, column]["file"]))
            waveform = self._read_crop(clip, column, info, start, inside, length)
            found[name] = CutWaveform(to_float(waveform))
        return found

    def _read_crop(self, clip: int, column: int, info: AudioInfo, start: int, inside: int, length: int) -> torch.Tensor:
        """Read a crop of one of a clip's files in the dataset, with silence after what is inside of the clip."""
        file, first, frames = self.table.clips[clip, column].item()
        place = self.board.begin(file)
        try:
            if self.kept is None:
                waveform = self._decode(info, first, frames, start, inside)
            else:
                kept = self.kept.read(clip, column, start, inside)
                if kept is None:
                    whole = to_int16(self._decode(info, first, frames, 0, int(self.table.span_totals[clip, column])))
                    self.kept.write(clip, column, whole)
                    kept = whole[..., start : start + inside].clone()
                waveform = kept
        finally:
            self.board.end(place)
        return waveform if inside == length else torch.nn.functional.pad(waveform, (0, length - inside))

    def _decode(self, info: AudioInfo, first: int, frames: int, start: int, inside: int) -> torch.Tensor:
        """Read part of a file of a dataset's clip at the dataset's rate."""

        def piece(begin: int, count: int) -> torch.Tensor:
            waveform, _ = read(info.path, first + begin, count, info=info)
            # the mean of integers is none
            return to_float(waveform).mean(0) if self.mono and waveform.dim() == 2 else waveform

        if info.sample_rate == self.table.sample_rate:
            return piece(start, inside)
        return resample_crop(piece, frames, info.sample_rate, self.table.sample_rate, start, inside)
