"""Dither: a little noise under every sample, so that digital silence has a spectrum."""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.noise import normal_noise
from audiofeed.augment.kernels.noise import level_step
from audiofeed.augment.kernels.rows import RowStep


class Dither(Augmentation):
    """Augmentation that adds normal noise to each clip, drawn from its example's seed: Kaldi's dither.

    Give it to a collate, `GPUSpecCollate(transform, augment=Dither())`. A clip has the same noise in any batch, at any
    number of workers and ranks, and another one in each epoch. In evaluation mode (`.eval()`) it does nothing.

    Differs from Kaldi, which draws anew for each frame: overlapping frames hear the same noise here.

    Args:
        amount: standard deviation of the noise, full scale being 1, >= 0. The default is one step of 16-bit samples,
            which is Kaldi's `dither=1.0`.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for an amount below 0, a `p` that is no probability, or a number of seeds that is not that of the
            clips.

    >>> silence, lengths, seeds = torch.zeros(2, 8), torch.tensor([8, 4]), torch.tensor([5, 6])
    >>> noisy = Dither()(silence, lengths, seeds)
    >>> noisy.shape, noisy[1, 4:].tolist(), torch.equal(noisy[:1], Dither()(silence[:1], lengths[:1], seeds[:1]))
    (torch.Size([2, 8]), [0.0, 0.0, 0.0, 0.0], True)
    """

    def __init__(self, amount: float = 2.0**-15, p: float = 1.0) -> None:
        super().__init__(p)
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < float("inf"):
            raise ValueError(f"amount={amount!r} must be a number >= 0, of full scale 1; 2**-15 is a step of 16 bits")
        self.amount = float(amount)

    def extra_repr(self) -> str:
        """Show the amount of this augmentation."""
        return ", ".join(part for part in (f"amount={self.amount:.4g}", super().extra_repr()) if part)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Add this augmentation's noise to the active clips, by a kernel."""
        if self.amount == 0:
            return None
        return level_step(rows, _channel_seeds(clips), self.amount)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Add this augmentation's noise; the channels of a clip have noise of their own."""
        waveforms = clips.waveforms
        if self.amount == 0:
            return clips
        own = _channel_seeds(clips).flatten()
        noise = normal_noise(own, clips.size).view(waveforms.shape).to(waveforms.dtype)
        return clips.put(active, waveforms + noise.mul_(self.amount))


def _channel_seeds(clips: Clips) -> torch.Tensor:
    """Return the seed of each channel's noise for the clips of an augmentation, int64 (batch, channels)."""
    channels = clips.waveforms.shape[1] if clips.waveforms.dim() == 3 else 1
    # one after another, so that a clip's first channel has the noise of a mono clip
    return clips.seeds[:, None] + torch.arange(channels, device=clips.seeds.device) * 0x5851F42D4C957F2D
