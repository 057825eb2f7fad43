"""Frames: how many there are, where they lie, what stands beyond a row's own end, and which are computed together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F

PAD_MODES = ("constant", "reflect", "replicate", "circular")

# How many samples of frames one block may hold. On a CPU 2**20 (4 MB in float32) stays near the core's cache and is
# reused by the allocator without a page fault; measured at 400, 1024 and 2048 points, 2**18 is up to 1.4 times slower.
# On a GPU a block only bounds the memory of the intermediates.
CPU_BLOCK = 2**20
GPU_BLOCK = 2**25

Count = TypeVar("Count", int, torch.Tensor)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Where the frames of a short-time transform lie.

    >>> Framing(n_fft=400, hop_length=160, center=True, pad_mode="constant").count(16000)
    101
    """

    n_fft: int
    hop_length: int
    center: bool
    pad_mode: str

    @property
    def margin(self) -> int:
        """Samples put before the first and after the last sample of a clip."""
        return self.n_fft // 2 if self.center else 0

    def count(self, length: Count) -> Count:
        """Frames of a clip of `length` samples (an int, or a tensor of them); 0 for an empty clip.

        A clip that ends within the first frame is filled up with zeros and has that one frame.
        """
        frames = (length + 2 * self.margin - self.n_fft) // self.hop_length + 1
        if isinstance(frames, torch.Tensor):
            return torch.where(length > 0, frames.clamp(min=1), torch.zeros_like(frames))
        return max(frames, 1) if length > 0 else 0

    def pad(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Rows extended past both of their own ends, so that frame f of each row starts at column f * hop_length.

        Shape: waveform (rows, time), lengths (rows,) or None -> (rows, margin + time + margin), at least n_fft long.
        """
        time = waveform.shape[-1]
        if lengths is not None:
            inside = torch.arange(time, device=waveform.device) < lengths[:, None]
            waveform = torch.where(inside, waveform, torch.zeros((), dtype=waveform.dtype, device=waveform.device))
        right = max(self.margin, self.n_fft - self.margin - time)
        if self.margin == 0 and right == 0:
            return waveform
        padded = F.pad(waveform, (self.margin, right))
        if self.pad_mode == "constant" or self.margin == 0:
            return padded
        # (rows or 1, 2 * margin): positions just before the first and just after the last sample of each row
        steps = torch.arange(self.margin, device=waveform.device)
        ends = torch.full((1, 1), time, device=waveform.device) if lengths is None else lengths[:, None]
        before = (steps - self.margin).expand(ends.shape[0], -1)
        positions = torch.cat([before, ends + steps], dim=1)
        rows = waveform.shape[0]
        source = mirrored(positions, ends, self.pad_mode).expand(rows, -1)
        values = waveform.gather(1, source)
        return padded.scatter(1, (positions + self.margin).expand(rows, -1), values)

    def cut(self, padded: torch.Tensor) -> torch.Tensor:
        """All frames of padded rows as a view, no copy.  Shape: (rows, padded time) -> (rows, frames, n_fft)."""
        return padded.unfold(-1, self.n_fft, self.hop_length)

    def pieces(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None
    ) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """(rows, frames, the padded samples of just those frames), each small enough to compute in one go.

        Frames past every row's end are left out where that is known without asking a GPU; what a caller allocated for
        them is its to clear.

        Shape: waveform (rows, time), lengths (rows,) or None -> samples (some rows, (n - 1) * hop_length + n_fft).
        """
        on_cpu = waveform.device.type == "cpu"
        rows, frames = waveform.shape[0], self.count(waveform.shape[-1])
        budget = max(1, (CPU_BLOCK if on_cpu else GPU_BLOCK) // self.n_fft)
        row_step = max(1, budget // frames)
        for first_row in range(0, rows, row_step):
            row = slice(first_row, min(first_row + row_step, rows))
            row_lengths = None if lengths is None else lengths[row]
            padded = self.pad(waveform[row], row_lengths)
            needed = frames
            if row_lengths is not None and on_cpu:
                needed = self.count(int(row_lengths.max()))
            for first in range(0, needed, budget):
                stop = min(first + budget, needed)
                samples = slice(first * self.hop_length, (stop - 1) * self.hop_length + self.n_fft)
                yield row, slice(first, stop), padded[:, samples]


def mirrored(positions: torch.Tensor, length: torch.Tensor, pad_mode: str) -> torch.Tensor:
    """The sample that stands at a position outside 0..length-1, for any distance outside, as numpy.pad defines it.

    >>> mirrored(torch.tensor([-2, -1, 3, 4]), torch.tensor(3), "reflect").tolist()
    [2, 1, 1, 0]
    """
    if pad_mode == "replicate":
        return torch.minimum(positions.clamp(min=0), length - 1)
    if pad_mode == "circular":
        return torch.remainder(positions, length)
    # reflection without the end sample repeats every 2 (length - 1) samples; a single sample repeats itself
    period = (2 * (length - 1)).clamp(min=1)
    folded = torch.remainder(positions, period)
    return torch.where(folded < length, folded, period - folded)
