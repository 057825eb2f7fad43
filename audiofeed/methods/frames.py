"""Frames: how many there are, where they lie, what stands beyond a row's own end, and which are computed together."""

from __future__ import annotations

import math
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


class Workspace:
    """Memory by name that the pieces of one call take over from each other.

    A piece computed in fresh pages costs up to 1.4 times one in pages that were touched before.
    """

    def __init__(self) -> None:
        self._held: dict[str, torch.Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Memory of a shape, with the dtype and device of `like`; what stood there under this name is lost.

        >>> Workspace().take("frames", (2, 3), torch.zeros(1)).shape
        torch.Size([2, 3])
        """
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = like.new_empty(size)
        return held[:size].view(shape)


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
        right = self._right(time)
        if self.margin == 0 and right == 0:
            return waveform
        padded = F.pad(waveform, (self.margin, right))
        if self.pad_mode == "constant" or self.margin == 0:
            return padded
        columns, values = self._ends(waveform, lengths)
        return padded.scatter(1, columns, values)

    def pad_into(self, workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """What `pad` gives, without a graph, in memory that the next call takes over; the same shapes."""
        rows, time = waveform.shape
        right = self._right(time)
        padded = workspace.take("padded", (rows, self.margin + time + right), waveform)
        padded[:, : self.margin] = 0
        padded[:, self.margin : self.margin + time] = waveform
        padded[:, self.margin + time :] = 0
        if lengths is not None and lengths.device.type == "cpu":
            for row, length in zip(padded, lengths.tolist(), strict=True):
                row[self.margin + length :] = 0
        elif lengths is not None:
            past = torch.arange(time + right, device=waveform.device) >= lengths[:, None]
            padded[:, self.margin :].masked_fill_(past, 0)
        if self.pad_mode == "constant" or self.margin == 0:
            return padded
        columns, values = self._ends(waveform, lengths)
        return padded.scatter_(1, columns, values)

    def _right(self, time: int) -> int:
        """Samples after the last: the margin, and more where a frame would not be filled."""
        return max(self.margin, self.n_fft - self.margin - time)

    def _ends(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The padded columns just before and just after each row's own samples, and what stands there.

        Shape: waveform (rows, time) -> two of (rows, 2 * margin).
        """
        rows, time = waveform.shape
        steps = torch.arange(self.margin, device=waveform.device)
        ends = torch.full((1, 1), time, device=waveform.device) if lengths is None else lengths[:, None]
        before = (steps - self.margin).expand(ends.shape[0], -1)
        positions = torch.cat([before, ends + steps], dim=1)
        source = mirrored(positions, ends, self.pad_mode).expand(rows, -1)
        return (positions + self.margin).expand(rows, -1), waveform.gather(1, source)

    def cut(self, padded: torch.Tensor) -> torch.Tensor:
        """All frames of padded rows as a view, no copy.  Shape: (rows, padded time) -> (rows, frames, n_fft)."""
        return padded.unfold(-1, self.n_fft, self.hop_length)

    def pieces(
        self, workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None
    ) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """(rows, frames, the padded samples of just those frames), each small enough to compute in one go.

        A piece is to be used up before the next is asked for: both may lie in the same memory.

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
            padded = self.pad_into(workspace, waveform[row], row_lengths)
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
