"""Filters of two poles on an augmentation's clips, each with coefficients of its own, in blocks without a loop in time.

A filter of two integrators (Zavalishin, The Art of VA Filter Design; the form of A. Simper's "Linear Trapezoidal
Integrated SVF") has the transfer function of the biquads of R. Bristow-Johnson's cookbook, and its two states stay well
conditioned where a biquad's lose their digits: low frequencies, narrow bands.

With s the states before a block, x its samples and y what comes out:

    y = T x + O s        T: impulse response, lower triangular;  O: what the states alone sound like
    s' = A^n s + B x

T, O and B are made in float64, once for each clip. The products with x are matrix products of a fixed size in float32,
so that a clip has the same bits in any batch; the states are carried from block to block by doubling, in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

# samples of a block; its matrix has as many rows
BLOCK = 32
# blocks of one matrix product: fewer in a batch of short clips would be another order of sums
_TOGETHER = 32


class Section(NamedTuple):
    """Section of an augmentation's filter: x -> m0 x + m1 band + m2 low, of a filter of two integrators.

    Args:
        g: float64 (rows,), tan(pi cutoff / rate).
        k: float64 (rows,), damping, 1 / q.
        m0: float64 (rows,), share of the input.
        m1: float64 (rows,), share of the first state.
        m2: float64 (rows,), share of the second.
    """

    g: torch.Tensor
    k: torch.Tensor
    m0: torch.Tensor
    m1: torch.Tensor
    m2: torch.Tensor


def section_of(kind: str, cutoff: torch.Tensor, rate: int, q: torch.Tensor, gain_db: torch.Tensor) -> Section:
    """Return the section of an augmentation's filter that has the response of a cookbook biquad.

    Args:
        kind: "low_pass", "high_pass", "band_pass" (0 dB at its middle), "band_stop", "peak", "low_shelf" or
            "high_shelf".
        cutoff: Hz, (rows,).
        rate: Hz.
        q: (rows,), above 0.
        gain_db: dB, (rows,), of "peak" and the shelves.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> section_of("low_pass", 1000 * one, 4000, one, 0 * one).g
    tensor([1.0000], dtype=torch.float64)
    """
    g, k = torch.tan(math.pi * cutoff / rate), 1.0 / q
    one, zero = torch.ones_like(g), torch.zeros_like(g)
    amplitude = 10.0 ** (gain_db / 40)
    if kind == "low_pass":
        return Section(g, k, zero, zero, one)
    if kind == "high_pass":
        return Section(g, k, one, -k, -one)
    if kind == "band_pass":
        return Section(g, k, zero, k, zero)
    if kind == "band_stop":
        return Section(g, k, one, -k, zero)
    if kind == "peak":
        k = k / amplitude
        return Section(g, k, one, k * (amplitude.square() - 1), zero)
    if kind == "low_shelf":
        return Section(g / amplitude.sqrt(), k, one, k * (amplitude - 1), amplitude.square() - 1)
    return Section(g * amplitude.sqrt(), k, amplitude.square(), k * (1 - amplitude) * amplitude, 1 - amplitude.square())


class Recursion(NamedTuple):
    """Recursion of an augmentation's filters, sample by sample: s' = A s + b x, y = c s + d x, from the states s.

    Args:
        transition: float64 (rows, 2, 2), A.
        from_input: float64 (rows, 2), b.
        to_output: float64 (rows, 2), c.
        direct: float64 (rows,), d.
    """

    transition: torch.Tensor
    from_input: torch.Tensor
    to_output: torch.Tensor
    direct: torch.Tensor


class Matrices(NamedTuple):
    """Matrices of an augmentation's filters for a block.

    Args:
        transition: float64 (rows, 2, 2), of the states over a block.
        forced: float32 (rows, BLOCK, BLOCK + 2), what a block's samples give: its output, then its states after it.
        free: float32 (rows, 2, BLOCK), what the states before it sound like.
    """

    transition: torch.Tensor
    forced: torch.Tensor
    free: torch.Tensor

    def of(self, rows: torch.Tensor) -> Matrices:
        """Return the matrices of some of the augmentation's filters."""
        return Matrices(*(matrix[rows] for matrix in self))


def filtered(waveforms: torch.Tensor, matrices: Matrices) -> torch.Tensor:
    """Filter an augmentation's clips, each row by its own filter, from rest.

    Args:
        waveforms: (rows, channel, time), float32.
        matrices: Of each row's filter.

    Returns:
        float32 (rows, channel, time).

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> low = section_of("low_pass", 1000 * one, 16_000, one, 0 * one)
    >>> round(filtered(torch.ones(1, 1, 3000), matrices_of(low))[0, 0, -1].item(), 5)
    1.0
    """
    rows, channels, time = waveforms.shape
    whole = BLOCK * _TOGETHER
    tiles = -(-time // whole)
    x = F.pad(waveforms, (0, tiles * whole - time)).view(rows, channels * tiles, _TOGETHER, BLOCK)
    # (rows, tile, block, BLOCK + 2): what comes out of the block alone, and what it adds to the states
    made = torch.matmul(x, matrices.forced[:, None]).view(rows, channels, tiles * _TOGETHER, BLOCK + 2)
    states = _before_each(made[..., BLOCK:].double(), matrices.transition).to(x.dtype)
    y = made[..., :BLOCK] + torch.matmul(
        states.view(rows, channels * tiles, _TOGETHER, 2), matrices.free[:, None]
    ).view(rows, channels, -1, BLOCK)
    return y.flatten(2)[..., :time]


def recursion_of(section: Section) -> Recursion:
    """Return the recursion of an augmentation's filters, computed in float64.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> recursion_of(section_of("high_pass", 1000 * one, 4000, one, 0 * one)).direct
    tensor([0.3333], dtype=torch.float64)
    """
    g, k, m0, m1, m2 = section
    a1 = 1.0 / (1.0 + g * (g + k))
    a2 = g * a1
    a3 = g * a2
    # band = a1 s1 + a2 (x - s2), low = s2 + a2 s1 + a3 (x - s2), s1' = 2 band - s1, s2' = 2 low - s2
    transition = _pairs(2 * a1 - 1, -2 * a2, 2 * a2, 1 - 2 * a3)
    from_input = torch.stack([2 * a2, 2 * a3], -1)  # (rows, 2)
    to_output = torch.stack([m1 * a1 + m2 * a2, m2 * (1 - a3) - m1 * a2], -1)
    return Recursion(transition, from_input, to_output, m0 + m1 * a2 + m2 * a3)


def matrices_of(section: Section) -> Matrices:
    """Return the matrices of an augmentation's filters for a block, computed in float64.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> matrices_of(section_of("low_pass", 1000 * one, 16_000, one, 0 * one)).forced.shape
    torch.Size([1, 32, 34])
    """
    transition, from_input, to_output, direct = recursion_of(section)
    powers = torch.eye(2, dtype=direct.dtype, device=direct.device).expand(
        len(direct), 1, 2, 2
    )  # A^0, then A^0, A^1, and so on
    step = transition
    while powers.shape[1] < BLOCK:
        powers = torch.cat([powers, _product(powers, step[:, None])], 1)
        step = _product(step, step)
    free = (to_output[:, None, :, None] * powers).sum(2).transpose(1, 2)  # (rows, 2, BLOCK): C A^n
    into = (powers * from_input[:, None, None]).sum(3)  # (rows, BLOCK, 2): A^n b
    response = torch.cat([direct[:, None], (to_output[:, None] * into[:, :-1]).sum(-1)], 1)  # (rows, BLOCK)
    n = torch.arange(BLOCK, device=direct.device)
    lag = n[None] - n[:, None]  # (sample in, sample out)
    toeplitz = torch.where(lag >= 0, response[:, lag.clamp_min(0)], 0.0)
    return Matrices(step, torch.cat([toeplitz, into.flip(1)], -1).float(), free.float())


def _pairs(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Multiply matrices of two by two of an augmentation's filters, (..., 2, 2), in an order of sums that is fixed."""
    return left[..., :, :1] * right[..., :1, :] + left[..., :, 1:] * right[..., 1:, :]


def _before_each(added: torch.Tensor, transition: torch.Tensor) -> torch.Tensor:
    """Carry the states of an augmentation's filters from block to block.

    Args:
        added: float64 (rows, channel, blocks, 2), what each block adds to the states.
        transition: float64 (rows, 2, 2), of the states over a block.

    Returns:
        (rows, channel, blocks, 2), the states before each block.
    """
    blocks = added.shape[2]
    states, step, reach = added, transition, 1
    while reach < blocks:
        # states of the 2 * reach blocks that end here
        before, m = states[:, :, :-reach], step[:, None, None]
        carried = before[..., :1] * m[..., :, 0] + before[..., 1:] * m[..., :, 1]
        states = torch.cat([states[:, :, :reach], states[:, :, reach:] + carried], 2)
        step, reach = _product(step, step), 2 * reach
    return F.pad(states[:, :, :-1], (0, 0, 1, 0))
