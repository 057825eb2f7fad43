"""Decoded clips of a dataset in memory that all its processes share, filled as they are first read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.data.clips.clip_table import ClipTable
from audiofeed.data.shared.batch_rows import Row, in_worker_process
from audiofeed.data.shared.free_memory import free_memory
from audiofeed.data.shared.shared_file import SharedFile
from audiofeed.parallel.thread_pool import deal

# formats of samples that hold more than 16 bits, by their stored kind; lossy ones hold no certain number
_WIDER = ("PCM_24", "PCM_32", "FLOAT", "DOUBLE")
# a file in memory is mapped at no cost; a temporary file would have to be written first
_MAPS = hasattr(os, "memfd_create")
# samples of a clip that are to be copied: where to, as bytes, and from which byte on; None: they are to be cleared
Copies = list[tuple[np.ndarray, int | None]]
# bytes that are too few to ask another thread for: it takes longer to come
_FEW_BYTES = 1 << 19
# a dataset takes this share of the free memory where the user names no limit
_SHARE = 0.5


class KeptClips:
    """Block of memory with the decoded clips of a dataset: whole, at its rate, of its channels, as 16-bit integers.

    One block for all processes that share the dataset, however they were started. Whoever reads a clip first writes it
    down: the samples, then a mark that they are all there, so that what a killed worker left half written is read
    again. The block has no name, so nothing is left behind.

    Args:
        table: The clips.
        mono: Whether channels are averaged.
        limit: GB (10**9 bytes) that the block may take; None: half of the memory that is free.

    Raises:
        ValueError: The clips take more than the limit, or than is free.
    """

    def __init__(self, table: ClipTable, mono: bool, limit: float | None) -> None:
        # the same part of a file in several rows of a table is kept once
        spans, first, number = np.unique(table.clips.reshape(-1), return_index=True, return_inverse=True)
        self._number = number.reshape(table.clips.shape)
        self._lengths = table.span_totals.reshape(-1)[first]
        self._channels = np.ones_like(self._lengths) if mono else table.files.channels[spans["file"]].astype(np.int64)
        alike = bool((self._channels == self._channels[0]).all())
        # of each clip; None if some have more than others
        self.channels: int | None = int(self._channels[0]) if alike else None
        sizes = 2 * self._lengths * self._channels
        # a mark for each clip, and whether the warning was given
        self._marks = len(spans) + 1
        self._offsets = self._marks + np.cumsum(sizes) - sizes
        self.size = int(self._marks + sizes.sum())
        free = free_memory()
        most = _SHARE * free if limit is None else min(free, 1e9 * limit)
        if self.size > most:
            raise ValueError(
                f"keep='memory' takes {self.size / 1e9:.3g} GB for {len(spans)} clips of "
                f"{self._lengths.sum() / table.sample_rate / 3600:.3g} h at {table.sample_rate} Hz, and it may take "
                f"{most / 1e9:.3g} GB (keep_gb={limit}, {free / 1e9:.3g} GB of memory are free); pass a larger keep_gb "
                "if there is room, a lower sample_rate, mono=True, fewer files, or keep=None"
            )
        kinds = table.files.subtypes
        wider = {kind: int((kinds == kind).sum()) for kind in _WIDER if (kinds == kind).any()}
        if wider:
            counts = ", ".join(f"{count} {kind}" for kind, count in wider.items())
            warnings.warn(
                f"keep='memory' keeps 16-bit samples, and {sum(wider.values())} of {len(kinds)} files hold more "
                f"({counts}): they are rounded, to 96 dB below full scale, and floats beyond full scale are clipped",
                stacklevel=4,
            )
        self._file = SharedFile(self.size, "audiofeed-clips")

    def holds(self, clips: np.ndarray) -> bool:
        """Return True if clips of the dataset are all in memory, with the files beside them.

        Args:
            clips: Their numbers.
        """
        numbers = self._number[clips].reshape(-1)
        if self._maps:
            return bool((self._mapped[numbers] == 1).all())
        return all(self._file.read(1, number) == b"\1" for number in numbers.tolist())

    @property
    def _maps(self) -> bool:
        """True in a process that is to read the memory through a mapping, which takes half of the time.

        The mapping's pages count as each process's own in what most programs show: so in one process, and not in the
        workers beside it.
        """
        return _MAPS and not in_worker_process()

    @property
    def _mapped(self) -> np.ndarray:
        return np.frombuffer(self._file.mapped, np.uint8)

    def read(
        self,
        clip: int,
        column: int,
        start: int,
        count: int,
        into: Row | None = None,
        later: Copies | None = None,
    ) -> torch.Tensor | None:
        """Return part of a clip of the dataset from memory.

        Args:
            clip: Its number.
            column: Which of its files.
            start: First sample, at the dataset's rate.
            count: Number of samples.
            into: Memory for them, (count,) or (channel, count); None: memory of their own.
            later: Of a clip that is in memory: what is to be copied is added here, for `copy` to do.

        Returns:
            int16, (count,) or (channel, count), a copy; None if the clip has not been read yet.
        """
        number = self._number.item(clip, column)
        if later is None and self._file.read(1, number) != b"\1":
            return None
        channels, length, at = self._channels.item(number), self._lengths.item(number), self._offsets.item(number)
        if into is None:
            own = np.empty((channels, count)[channels == 1 :], dtype=np.int16)
            into = Row(own.view(np.uint8), torch.from_numpy(own))
        copies: Copies = [(into.memory, at + 2 * start)]
        if into.memory.ndim == 2:
            copies = [(samples, at + 2 * (channel * length + start)) for channel, samples in enumerate(into.memory)]
        if later is None:
            self.copy(copies)
        else:
            later += copies
        return into.tensor

    def copy(self, copies: Copies) -> None:
        """Copy samples of the dataset's clips from the memory, in as many threads as torch has.

        Args:
            copies: Where to, and from which byte on.
        """
        held = self._mapped if self._maps else None

        def copy_one(number: int) -> None:
            samples, place = copies[number]
            if place is None:
                samples[...] = 0
            elif held is None:
                self._file.read_into(samples.data, place)
            else:
                samples[...] = held[place : place + len(samples)]

        if sum(samples.nbytes for samples, _ in copies) >= _FEW_BYTES and torch.get_num_threads() > 1:
            deal(copy_one, len(copies))
        else:
            for number in range(len(copies)):
                copy_one(number)

    def write(self, clip: int, column: int, waveform: torch.Tensor) -> None:
        """Put a whole clip of the dataset into the memory. Where there is none left, one warning says so.

        Args:
            clip: Its number.
            column: Which of its files.
            waveform: int16, (time,) or (channel, time).
        """
        number = int(self._number[clip, column])
        try:
            self._file.write(waveform.contiguous().numpy().reshape(-1).data, int(self._offsets[number]))
            # the mark last: without it, what was written counts for nothing
            self._file.write(b"\1", number)
        except OSError as error:
            with self._file:
                warned = self._file.read(1, self._marks - 1)
                if warned != b"\1":
                    self._file.write(b"\1", self._marks - 1)
            if warned != b"\1":
                warnings.warn(
                    f"keep='memory' finds no room for another clip ({error.strerror or error}); what is not kept is "
                    "read from its file each time",
                    stacklevel=2,
                )

    @property
    def whole(self) -> int:
        """Number of the dataset's clips that are in memory by now."""
        marks: Sequence[int] = self._file.read(self._marks - 1, 0)
        return sum(marks)


def to_int16(waveform: torch.Tensor) -> torch.Tensor:
    """Round a waveform to the 16-bit samples that a dataset keeps.

    Args:
        waveform: int16, which stays, or float32 with full scale at 1; what lies beyond is clipped.

    Returns:
        int16 of the same shape.

    >>> to_int16(torch.tensor([0.5, -1.0, 1.0, 1e-5]))
    tensor([ 16384, -32768,  32767,      0], dtype=torch.int16)
    """
    if waveform.dtype == torch.int16:
        return waveform
    return (waveform * 2.0**15).round_().clamp_(-(2**15), 2**15 - 1).to(torch.int16)
