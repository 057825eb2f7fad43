"""Noise for augmentation whose every sample is a hash of an example's seed and the sample's place."""

from __future__ import annotations

import math

import torch

from audiofeed.augment.kernels import hash as kernel
from audiofeed.augment.kernels.normal import normal

# splitmix64's increment and factors, as signed 64-bit integers: products and sums wrap around as those of unsigned ones
_INCREMENT, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def _mix(state: torch.Tensor, bits: int) -> torch.Tensor:
    """Xor integers of the hash behind augmentation noise with themselves shifted right, as if unsigned, in place."""
    return state.bitwise_xor_((state >> bits).bitwise_and_((1 << (64 - bits)) - 1))


def hashes(seeds: torch.Tensor, n: int, first: int = 0) -> torch.Tensor:
    """Hash each seed of a batch with n numbers from `first` on, for augmentation noise, the same on every device.

    Number i of a seed is the i-th value of splitmix64 (Steele, Lea, Flood 2014), which counts on from the seed.

    Shape: int64 (batch,) -> int64 (batch, n).

    >>> hashes(torch.tensor([0]), 1)[0, 0].item() & (2**64 - 1) == 0xE220A8397B1DCDAF
    True
    """
    found = kernel.hashes(seeds, n, first)
    if found is not None:
        return found
    places = torch.arange(first + 1, first + n + 1, device=seeds.device)
    state = seeds[:, None] + places * _INCREMENT
    state = _mix(state, 30).mul_(_FIRST)
    state = _mix(state, 27).mul_(_SECOND)
    return _mix(state, 31)


def uniforms(seeds: torch.Tensor, n: int, first: int = 0) -> torch.Tensor:
    """Draw n numbers in [0, 1) for each seed of an augmentation, the upper 53 bits of its hashes.

    Shape: int64 (batch,) -> float64 (batch, n).

    >>> uniforms(torch.tensor([0]), 1)
    tensor([[0.8833]], dtype=torch.float64)
    """
    found = kernel.hashes(seeds, n, first, uniform=True)
    if found is not None:
        return found
    return ((hashes(seeds, n, first) >> 11) & ((1 << 53) - 1)).double() * 2.0**-53


def normal_noise(seeds: torch.Tensor, n: int, first: int = 0) -> torch.Tensor:
    """Draw normal noise of variance 1 for the augmentation of a batch, each row from its example's seed alone.

    Box and Muller's transform of two uniform draws of 24 bits each. On a CPU a kernel computes it, with an error of at
    most 3e-7 of the draw's radius; torch's float32 is within 1e-6 of it.

    Args:
        seeds: int64 (batch,).
        n: samples of each row.
        first: number of the first sample, from 0 up.

    Returns:
        float32 (batch, n); sample i does not depend on n or `first`, nor on the other rows.

    >>> noise = normal_noise(torch.tensor([3, 4]), 100_000)
    >>> noise.shape, round(noise.std().item(), 1)
    (torch.Size([2, 100000]), 1.0)
    >>> torch.equal(normal_noise(torch.tensor([3]), 5, 100), noise[:1, 100:105])
    True
    """
    found = normal(seeds, n, first)
    if found is not None:
        return found[0]
    radius, angle = _polar(seeds, n, first)
    return radius.mul_(angle.cos_())


def normal_pairs(seeds: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw pairs of normal numbers of variance 1 for an augmentation, at the cost of one hash a pair.

    Args:
        seeds: int64 (batch,).
        n: pairs of each row.

    Returns:
        Two float32 (batch, n), independent of each other; the first is `normal_noise`.

    >>> first, second = normal_pairs(torch.tensor([3]), 5)
    >>> torch.equal(first, normal_noise(torch.tensor([3]), 5))
    True
    """
    found = normal(seeds, n, pairs=True)
    if found is not None:
        return found[0], found[1]
    radius, angle = _polar(seeds, n)
    return radius * angle.cos(), radius.mul_(angle.sin_())


def _polar(seeds: torch.Tensor, n: int, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the radius and the angle of Box and Muller's transform for augmentation noise, float32 (batch, n) each."""
    drawn = hashes(seeds, n, first)
    odd = (drawn >> 39).bitwise_and_(0x1FFFFFE).bitwise_or_(1)  # of 2^25: (0, 1)
    # float32 has the distance from 1 exactly where it has lost the number
    near_1 = torch.log1p((2**25 - odd).float().mul_(-(2.0**-25)))
    logarithm = torch.where(odd < 2**24, odd.float().mul_(2.0**-25).log_(), near_1)
    angle = drawn.bitwise_and_(0xFFFFFF).float().mul_(2.0**-24 * 2 * math.pi)
    return logarithm.mul_(-2.0).sqrt_(), angle
