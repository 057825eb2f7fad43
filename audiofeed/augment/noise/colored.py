"""Colored noise for augmentation, from violet over white and pink to brown, from an example's seed alone."""

from __future__ import annotations

import torch

from audiofeed.augment.contract.noise import normal_pairs
from audiofeed.parallel.running_sums import running_sums

# The spectrum is drawn for blocks of this many samples, of which the last and the next block's first _FADE are faded
# into each other by a sine and a cosine. A block's Fourier transform is short enough that torch gives each row of a
# batch the same bits as alone.
_BLOCK = 4096
_FADE = 1024
_STEP = _BLOCK - _FADE
# up to this bin, 1/819 of the sample rate (20 Hz at 16 kHz), the spectrum is flat: a slope that went on would put most
# of brown noise where nobody hears it
_FLAT = 5


def colored_noise(seeds: torch.Tensor, exponents: torch.Tensor, n: int) -> torch.Tensor:
    """Draw normal noise with a power spectrum of 1 / frequency^exponent for an augmentation's batch.

    For each block the bins of its spectrum are drawn, complex normal, and turned into samples by an inverse Fourier
    transform; neighboring blocks are faded into each other such that the variance is the same everywhere.

    Args:
        seeds: int64 (batch,).
        exponents: (batch,) of the power spectrum's slope: 0 white, 1 pink, 2 brown, -1 blue, -2 violet.
        n: samples of each row, 1 or more.

    Returns:
        float32 (batch, n) of variance 1 and mean 0; sample i does not depend on n, nor on the other rows.

    >>> noise = colored_noise(torch.tensor([3, 4]), torch.tensor([0.0, 2.0]), 100_000)
    >>> noise.shape, [round(x, 1) for x in noise.std(1).tolist()]
    (torch.Size([2, 100000]), [1.0, 1.0])
    """
    return shaped_noise(seeds, bin_weights(exponents.to(seeds.device)), n)


def bin_weights(exponents: torch.Tensor) -> torch.Tensor:
    """Weigh the bins of a block's spectrum for the colored noise of an augmentation's batch, such that its power is 1.

    Args:
        exponents: (batch,) of the power spectrum's slope.

    Returns:
        float32 (batch, bin), from the first bin above 0 on.

    >>> bin_weights(torch.tensor([2.0]))[0, [99, 199]].tolist()[0] / bin_weights(torch.tensor([2.0]))[0, 199].item()
    2.0
    """
    bins = _BLOCK // 2
    place = torch.arange(1, bins + 1, device=exponents.device, dtype=torch.float64).clamp_min(_FLAT).log()
    amplitudes = torch.exp(place * exponents.double()[:, None] * -0.5)  # (row, bin)
    # each bin but the last, of which the real part alone counts, stands twice in the sum over the spectrum
    twice = torch.ones(bins, device=exponents.device, dtype=torch.float64)
    twice[-1:].fill_(0.5)  # an assignment to one place would wait for the device
    variance = 4 * running_sums(amplitudes.square() * twice, 1)[:, -1:]
    return (amplitudes * (_BLOCK / variance.sqrt())).float()


def shaped_noise(seeds: torch.Tensor, weights: torch.Tensor, n: int) -> torch.Tensor:
    """Draw the colored noise of an augmentation's batch by the weights of its bins, as `colored_noise` does.

    Args:
        seeds: int64 (batch,).
        weights: (batch, bin), of `bin_weights`.
        n: samples of each row, 1 or more.

    Returns:
        float32 (batch, n) of variance 1 and mean 0.

    >>> seeds, exponents = torch.tensor([3]), torch.tensor([1.0])
    >>> torch.equal(shaped_noise(seeds, bin_weights(exponents), 9), colored_noise(seeds, exponents, 9))
    True
    """
    blocks, bins = -(-(n + _FADE) // _STEP), _BLOCK // 2
    real, imaginary = normal_pairs(seeds, blocks * bins)
    spectrum = torch.zeros(seeds.shape[0], blocks, bins + 1, dtype=torch.complex64, device=seeds.device)
    parts = torch.view_as_real(spectrum)
    torch.mul(real.view(-1, blocks, bins), weights[:, None], out=parts[:, :, 1:, 0])
    torch.mul(imaginary.view(-1, blocks, bins), weights[:, None], out=parts[:, :, 1:, 1])
    samples = torch.fft.irfft(spectrum, n=_BLOCK)
    fade = torch.sin(torch.arange(_FADE, device=seeds.device) * (0.5 * torch.pi / _FADE) + 0.25 * torch.pi / _FADE)
    ends = samples[..., _STEP:].mul_(fade.flip(0))
    ends[:, :-1] += samples[:, 1:, :_FADE] * fade
    return samples[..., _FADE:].flatten(1)[:, :n]
