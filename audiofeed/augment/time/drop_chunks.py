"""DropChunks: short pieces of a clip that are lost, as a bad connection loses them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws, channel_seeds
from audiofeed.augment.contract.noise import normal_noise
from audiofeed.augment.contract.ranges import Range, check_integers, check_range, check_share, shown
from audiofeed.augment.contract.rows import powers
from audiofeed.augment.kernels.noise import chunk_step
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.methods.lengths import length_mask

_UNITS, _FILLS = ("seconds", "share"), ("silence", "noise")
_MOST_CHUNKS = 1000


class DropChunks(Augmentation):
    """Augmentation that replaces a few short chunks of each clip by silence, or by noise of the clip's own power.

    Chunks lie within the clip, never in its padding, and may overlap each other; all channels lose the same ones. What
    they may take of a clip is limited, so that none is lost altogether, however short. Labels stay as they are. Noise
    is white; no gradient passes through it.

    Args:
        count: Range of the number of chunks, integers, each as likely; or one.
        length: Range of a chunk's length, uniform, drawn for each; or one number. Rounded down to samples.
        unit: What it is measured in: "seconds", or a "share" of the clip's length, up to 1.
        fill: "silence", or "noise".
        most: Largest share of a clip that its chunks take together, above 0 and up to 1; a chunk is cut to its part of
            it, `most` divided by the clip's number of chunks.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, a unit or fill that is unknown, or a `p` that is no probability; when
            called, in seconds without a sample rate.

    >>> clip = torch.ones(1, 1000)
    >>> int((DropChunks(1, 0.05, unit="share")(clip) == 0).sum())
    50
    """

    def __init__(
        self,
        count: int | tuple[int, int] = (1, 5),
        length: float | Range = (0.01, 0.1),
        *,
        unit: Literal["seconds", "share"] = "seconds",
        fill: Literal["silence", "noise"] = "silence",
        most: float = 0.5,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.count = check_integers("count", count, "chunks", 0, _MOST_CHUNKS)
        self.unit = check_choice("unit", unit, _UNITS)
        self.fill = check_choice("fill", fill, _FILLS)
        name, high = ("seconds", float("inf")) if unit == "seconds" else ("the clip's length", 1.0)
        self.length = check_range("length", length, name, 0.0, high)
        self.most = check_share("most", most)

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        own = [shown("count", self.count), shown("length", self.length), f"unit={self.unit!r}", f"fill={self.fill!r}"]
        return ", ".join([*own, f"most={self.most:g}", *([super().extra_repr()] if self.p != 1 else [])])

    def drawn(self, clips: Clips, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the first sample, and the one after the last, of each chunk of this augmentation, for each clip.

        Returns:
            int64 (batch, count) each; both alike for a chunk that is none.
        """
        low, high = self.count
        counts = low + draws.integers(high - low + 1)
        ends = clips.lengths[:, None]
        scale = ends if self.unit == "share" else clips.rate(self)
        wide = (draws.uniform(*self.length, count=max(high, 1)) * scale).floor()
        part = (self.most * ends / counts.clamp_min(1)[:, None]).floor()
        lengths = torch.minimum(wide, part).long()
        lengths = torch.where(length_mask(max(high, 1), counts), lengths, 0)
        first = draws.integers(ends - lengths + 1, count=max(high, 1))
        return first, first + lengths

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Drop the chunks of the active clips of this augmentation, by a kernel."""
        own = draws.on_tensors()
        chunks = torch.stack(self.drawn(clips, own), -1)
        seeds = channel_seeds(own.noise_seeds(), clips.waveforms) if self.fill == "noise" else None
        return chunk_step(rows, chunks, seeds)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Drop the chunks of the active clips of this augmentation."""
        first, last = self.drawn(clips, draws)
        seeds, noisy = draws.noise_seeds(), self.fill == "noise"
        if may_look(clips):
            pairs = torch.stack([first, last], -1).tolist()

            def one(row: int, waveform: torch.Tensor) -> torch.Tensor:
                own = slice(row, row + 1)
                level = _level(waveform[None], clips.lengths[own]) if noisy else None
                result = waveform.clone()
                for begin, end in pairs[row]:
                    if level is None:
                        result[..., begin:end] = 0
                    elif end > begin:
                        piece = result[None, ..., begin:end]
                        piece.copy_(_noise(piece, level, seeds[own], begin))
                return result

            return changed_rows(clips, active, one)
        steps = torch.zeros(clips.batch, clips.size + 1, dtype=torch.int32, device=first.device)
        ones = torch.ones_like(first, dtype=torch.int32)
        steps = steps.scatter_add(1, first, ones).scatter_add(1, last, -ones)
        dropped = (steps.cumsum(1)[:, :-1] > 0).view(clips.batch, *[1] * (clips.waveforms.dim() - 2), clips.size)
        waveforms = clips.waveforms
        filled = _noise(waveforms, _level(waveforms, clips.lengths), seeds) if noisy else torch.zeros_like(waveforms)
        return clips.put(active, torch.where(dropped, filled, waveforms))


def _level(waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Measure the level of the noise in an augmentation's chunks, the root of each clip's power, (batch,)."""
    waveforms = waveforms.detach()
    return powers(waveforms, lengths).sqrt().to(waveforms.dtype)


def _noise(waveforms: torch.Tensor, level: torch.Tensor, seeds: torch.Tensor, first: int = 0) -> torch.Tensor:
    """Make noise of a level for an augmentation's chunks, of the shape of the waveforms, from a sample `first` on."""
    own = channel_seeds(seeds, waveforms).flatten()
    noise = normal_noise(own, waveforms.shape[-1], first).view(waveforms.shape).to(waveforms.dtype)
    return noise.mul_(level.view(-1, *[1] * (waveforms.dim() - 1)))
