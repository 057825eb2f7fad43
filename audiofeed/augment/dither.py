"""Dither: a little noise under every sample, so that digital silence has a spectrum."""

from __future__ import annotations

import torch

from audiofeed.augment.noise import normal_noise
from audiofeed.methods.lengths import clear_past


class Dither(torch.nn.Module):
    """Augmentation that adds normal noise to each clip, drawn from its example's seed: Kaldi's dither.

    Give it to a collate, `GPUSpecCollate(transform, augment=Dither())`. A clip has the same noise in any batch, at any
    number of workers and ranks, and another one in each epoch. In evaluation mode (`.eval()`) it does nothing.

    Differs from Kaldi, which draws anew for each frame: overlapping frames hear the same noise here.

    Args:
        amount: standard deviation of the noise, full scale being 1, >= 0. The default is one step of 16-bit samples,
            which is Kaldi's `dither=1.0`.

    Raises:
        ValueError: for an amount below 0, or a number of seeds that is not that of the clips.

    >>> silence, lengths, seeds = torch.zeros(2, 8), torch.tensor([8, 4]), torch.tensor([5, 6])
    >>> noisy = Dither()(silence, lengths, seeds)
    >>> noisy.shape, noisy[1, 4:].tolist(), torch.equal(noisy[:1], Dither()(silence[:1], lengths[:1], seeds[:1]))
    (torch.Size([2, 8]), [0.0, 0.0, 0.0, 0.0], True)
    """

    def __init__(self, amount: float = 2.0**-15) -> None:
        super().__init__()
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < float("inf"):
            raise ValueError(f"amount={amount!r} must be a number >= 0, of full scale 1; 2**-15 is a step of 16 bits")
        self.amount = float(amount)

    def extra_repr(self) -> str:
        return f"amount={self.amount:.4g}"

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor, seeds: torch.Tensor | None) -> torch.Tensor:
        """Add noise to each clip of a batch.

        Args:
            waveforms: (batch, time) or (batch, channel, time); the channels have noise of their own.
            lengths: (batch,) samples; past them stays 0.
            seeds: (batch,) int64; None, where a dataset gives none: drawn from torch's generator.

        Returns:
            the same shape.
        """
        if not self.training or self.amount == 0:
            return waveforms
        batch, time = waveforms.shape[0], waveforms.shape[-1]
        if seeds is None:
            seeds = torch.randint(2**62, (batch,)).to(waveforms.device)
        if seeds.shape != (batch,):
            raise ValueError(f"seeds has shape {tuple(seeds.shape)}; it must be ({batch},), one for each clip")
        channels = waveforms.numel() // max(1, batch * time)
        # one after another, so that a clip's first channel has the noise of a mono clip
        own = seeds[:, None] + torch.arange(channels, device=seeds.device) * 0x5851F42D4C957F2D
        noise = normal_noise(own.flatten(), time).view(waveforms.shape).to(waveforms.dtype)
        return waveforms + clear_past(noise.mul_(self.amount), lengths.to(waveforms.device))
