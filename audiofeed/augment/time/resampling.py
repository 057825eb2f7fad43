"""Resampling of an augmentation's clips, each by a factor of its own, by a windowed sinc in blocks.

A factor is p / q, the denominator q the same for all, so that the weights repeat after q samples of the result. These
are cut into blocks; all blocks at one place of the period are a matrix product of pieces of the clip, p samples apart,
with the weights of that place.

The filter's amplitude is half at CUTOFF of the lower one of the two Nyquist frequencies; up to 0.8 of that frequency it
is flat within 0.001 dB, and what would be folded back from beyond it is 90 dB down. The window is the "exponential of
semicircle" of Barnett, Magland and af Klinteberg (2019), which is as good as Kaiser's and needs no Bessel function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

CUTOFF = 0.9
# zero crossings of the sinc on either side
_CROSSINGS = 32
_SHAPE = 10.0
# samples of the result in a block, about
_BLOCK = 50


@dataclass(frozen=True)
class Grid:
    """How the period of an augmentation's resampling is cut.

    Args:
        period: Samples of the result after which the weights repeat, the denominator of all factors.
        block: Samples of the result in one block, a divisor of `period`.
    """

    period: int
    block: int

    @classmethod
    def of(cls, denominator: int) -> Grid:
        """Choose the grid of an augmentation for factors of a denominator, 1 or more.

        >>> Grid.of(10), Grid.of(1000)
        (Grid(period=50, block=50), Grid(period=1000, block=50))
        """
        period = denominator * max(1, _BLOCK // denominator)
        divisors = [n for n in range(1, period + 1) if period % n == 0]
        return cls(period, min(divisors, key=lambda n: abs(math.log(n / _BLOCK))))

    @property
    def blocks(self) -> int:
        """How many blocks are in a period of an augmentation's resampling."""
        return self.period // self.block

    def reach(self, steps: int) -> int:
        """Return the samples on either side that an augmentation's filter takes in, for the factor steps / period."""
        return math.ceil(_CROSSINGS * max(1.0, steps / self.period) / CUTOFF)

    def taps(self, steps: int) -> int:
        """Return the samples of a clip that a block of an augmentation's result takes in, for steps / period."""
        return (self.period - 1 + (self.block - 1) * steps) // self.period + 1 + 2 * self.reach(steps)


def resampled_lengths(lengths: torch.Tensor, steps: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the samples of an augmentation's clips after resampling: the length by the factor, rounded up.

    Shape: lengths (batch,), steps (batch,) -> int64 (batch,).
    """
    return -(-(lengths * grid.period) // steps)


def weights(steps: torch.Tensor, grid: Grid, most: int) -> torch.Tensor:
    """Compute the weights of an augmentation's resampling.

    Args:
        steps: int64 (rows,), the factors times the grid's period.
        grid: How the period is cut.
        most: The largest of them that there may be.

    Returns:
        float32 (rows, blocks, taps, block).
    """
    device, reach = steps.device, grid.reach(most)
    block = torch.arange(grid.blocks, device=device)[:, None, None] * grid.block
    tap = torch.arange(grid.taps(most), device=device)[:, None] - reach
    step = steps[:, None, None, None]
    # the result's place in the clip, less the block's first sample: exact in integers
    place = (block * step).remainder(grid.period) + torch.arange(grid.block, device=device) * step
    distance = tap - place.double() / grid.period
    scale = CUTOFF * (grid.period / step.double()).clamp_max(1.0)
    turns = distance * scale  # in zero crossings
    inside = (1 - (turns / _CROSSINGS).square()).float()
    angle = ((turns - 2 * (turns / 2).round()) * math.pi).float()
    sinc = torch.where(turns == 0, 1.0, angle.sin() / (turns * math.pi).float())
    window = torch.exp(_SHAPE * (inside.clamp_min(0).sqrt() - 1))
    return torch.where(inside > 0, sinc * window * scale.float(), 0)


def resampled(waveform: torch.Tensor, steps: int, grid: Grid, kernel: torch.Tensor) -> torch.Tensor:
    """Resample one clip of an augmentation by the factor steps / period.

    Args:
        waveform: (channel, time).
        steps: The factor times the grid's period.
        grid: How the period is cut.
        kernel: (blocks, taps, block), the weights for it.

    Returns:
        (channel, time'), as long as `resampled_lengths` says.
    """
    channels, n = waveform.shape
    length = -(-(n * grid.period) // steps)
    periods = max(1, -(-length // grid.period))
    reach, taps = grid.reach(steps), kernel.shape[1]
    needed = (periods - 1) * steps + (grid.blocks - 1) * grid.block * steps // grid.period + taps
    padded = F.pad(waveform, (reach, max(0, needed - reach - n)))
    parts = []
    for place in range(grid.blocks):
        first = place * grid.block * steps // grid.period
        pieces = padded[:, first : first + (periods - 1) * steps + taps].unfold(-1, taps, steps)
        parts.append(pieces.reshape(-1, taps) @ kernel[place])
    return torch.stack(parts, 1).view(channels, -1)[:, :length]


def resampled_batch(
    waveforms: torch.Tensor, steps: torch.Tensor, grid: Grid, limits: tuple[int, int], size: int
) -> torch.Tensor:
    """Resample the clips of an augmentation's batch, each by its own factor, without a look at which.

    Args:
        waveforms: (batch, channel, time).
        steps: int64 (batch,), the factors times the grid's period.
        grid: How the period is cut.
        limits: The least and the largest step that there may be.
        size: Samples of the result.

    Returns:
        (batch, channel, size).
    """
    batch, channels, n = waveforms.shape
    most = limits[1]
    kernel, reach = weights(steps, grid, most).to(waveforms.dtype), grid.reach(most)
    periods = max(1, -(-size // grid.period))
    step = steps[:, None, None, None]
    block = torch.arange(grid.blocks, device=steps.device)[:, None, None] * grid.block
    first = torch.arange(periods, device=steps.device)[:, None] * step + block * step // grid.period
    index = (first + torch.arange(kernel.shape[2], device=steps.device)).clamp_max(n + reach)
    padded = F.pad(waveforms, (reach, 1))  # its last sample stands for all past the end
    pieces = padded.gather(-1, index.view(batch, 1, -1).expand(-1, channels, -1))
    pieces = pieces.view(batch, channels, grid.blocks, periods, -1)
    blocks = pieces @ kernel[:, None]  # (batch, channel, block of the period, period, sample)
    return blocks.transpose(2, 3).reshape(batch, channels, -1)[..., :size]
