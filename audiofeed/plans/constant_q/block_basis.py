"""Kernels over long frames in two short steps: blocks of a frame in a common basis, then weights for the blocks.

The kernels of one octave hold little but its frequencies. A block of 128 samples of such a signal has some 50 degrees
of freedom, whatever the kernel and wherever in it the block lies, so

    sum_t kernel_t x_t  =  sum_b sum_r weight_br (sum_s basis_sr x_(128 b + s))

with far fewer than 128 columns r. The inner sums are shared by all kernels, and by all frames that hold the block. The
basis is the singular vectors of all blocks of all kernels, as many as float32 can tell from all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiofeed.plans.constant_q.levels import Level

_BLOCKS = (32, 64, 128, 256)
# What may be left out of a kernel on average, as a part of its norm: a third of float32's rounding.
_LEFT_OUT = 2e-8
# By how much the number of products must fall to pay for twice as many calls.
_LEAST_GAIN = 1.4


@dataclass(frozen=True, kw_only=True)
class BlockBasis:
    """Plan of constant-Q kernels cut into blocks: a basis that all blocks share, and the kernels' weights in it.

    Each block has `block` taps.

    Args:
        basis: (block, rank).
        weights: (blocks * rank, kernels).
    """

    block: int
    basis: np.ndarray
    weights: np.ndarray

    @property
    def rank(self) -> int:
        return self.basis.shape[1]


def block_basis(kernels: np.ndarray, hop_length: int) -> BlockBasis | None:
    """Plan the block basis in which constant-Q kernels take the fewest products.

    None where no basis is worth it. A block is computed once for all frames that hold it, so the hop must be a multiple
    or a part of a block.

    Shape: kernels (n, taps).

    >>> kernels = np.cos(np.outer(np.linspace(0.6, 1.2, 72), np.arange(1024))) * np.hanning(1024)
    >>> found = block_basis(kernels, 256)
    >>> np.allclose(found.weights.reshape(-1, found.rank, 72).transpose(2, 0, 1) @ found.basis.T,
    ...             kernels.reshape(72, -1, found.block), atol=1e-7)
    True
    """
    n, taps = kernels.shape
    norms = np.linalg.norm(kernels, axis=1, keepdims=True)
    unit = kernels / np.where(norms > 0, norms, 1.0)
    fewest, best = n * taps / _LEAST_GAIN, None
    for block in _BLOCKS:
        if taps % block or taps == block or (hop_length % block and block % hop_length):
            continue
        blocks = unit.reshape(-1, block)
        _, sizes, vectors = np.linalg.svd(blocks, full_matrices=False)
        left_out = np.sqrt(np.cumsum(sizes[::-1] ** 2)[::-1])
        rank = int((left_out > _LEFT_OUT * np.sqrt(n)).sum())
        # of a frame: the blocks that no earlier frame had, and the weights of all
        products = block * rank * max(1, hop_length // block) + taps // block * rank * n
        if products < fewest:
            fewest, best = products, (block, vectors[:rank].T)
    if best is None:
        return None
    block, basis = best
    weights = kernels.reshape(n, -1, block) @ basis  # (kernel, block, rank)
    return BlockBasis(block=block, basis=basis, weights=weights.reshape(n, -1).T)


def block_bases(levels: tuple[Level, ...], kernels: np.ndarray) -> dict[int, BlockBasis]:
    """Plan the block bases of constant-Q levels by first bin, for the bands whose kernels are faster so."""
    start, bases = 0, {}
    for level in levels:
        for band in level.bands:
            made = block_basis(kernels[start : start + band.size].reshape(-1, band.taps), level.hop_length)
            start += band.size
            if made is not None:
                bases[band.first] = made
    return bases
