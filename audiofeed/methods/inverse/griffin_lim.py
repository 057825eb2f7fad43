"""A signal whose short-time spectrum has given magnitudes: the fast Griffin-Lim algorithm.

Perraudin, Balazs and Sondergaard (2013): the spectrum is projected in turn onto those that some signal has (invert it,
and transform the signal) and onto those with the magnitudes; each time it goes `momentum` further than the projection.
Without a graph on a CPU a few clips at a time go through all iterations, so that they stay in cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.inverse.overlap_add import Synthesis, add_in_pieces, by_fft, gain_of, inverse_short_time
from audiofeed.methods.lengths import of_one_call, runs_of
from audiofeed.methods.short_time.short_time_methods import short_time_spectrum
from audiofeed.methods.spectrum import squared_magnitude
from audiofeed.methods.workspace import Workspace

# (iteration, of how many, what is missing): the relative distance of each row's magnitudes from the given ones
Progress = Callable[[int, int, torch.Tensor], None]


def random_phases(seeds: torch.Tensor, frames: int, bins: int, dtype: torch.dtype) -> torch.Tensor:
    """Compute random phases for Griffin-Lim to start from, the same on any device and in any batch.

    Phases in [-pi, pi) depend on the seed, the frame and the bin alone.

    Not from a generator, whose numbers depend on how many are drawn: a hash of the place, twice through the finalizer
    of MurmurHash3 with a key of the seed before each.

    Shape: integers (n,) -> (n, frames, bins).

    >>> random_phases(torch.tensor([0, 1]), 3, 2, torch.float32).shape
    torch.Size([2, 3, 2])
    """
    low, high = seeds.to(torch.int32), (seeds >> 32).to(torch.int32)  # to int32: modulo 2^32
    first = _mixed(low + 1)
    second = _mixed(first ^ high)
    place = torch.arange(frames * bins, device=seeds.device).to(torch.int32)
    bits = _mixed(_mixed(place ^ first[:, None]) + second[:, None])
    return (bits.to(dtype) * (math.pi / 2**31)).view(-1, frames, bins)


def _mixed(bits: torch.Tensor) -> torch.Tensor:
    """Mix the bits of integer tensors for the random phases of Griffin-Lim.

    Every bit of an int32 is spread over all of them (int32 products wrap; >> keeps the sign, which the mask cuts).
    """
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * (0x85EBCA6B - 2**32)
    bits = (bits ^ ((bits >> 13) & 0x7FFFF)) * (0xC2B2AE35 - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)


@dataclass(frozen=True, kw_only=True)
class Search:
    """Framing, lengths, momentum and progress of Griffin-Lim iterations over a batch.

    Args:
        samples: of every row, or (rows,) of each, such that the rows have their frames; `most`: the most of them.
        frames: (rows,) frames of each row; None: all.
        momentum: how much further than the projection; `progress` is called in every iteration.
    """

    framing: Framing
    window: torch.Tensor
    samples: int | torch.Tensor
    most: int
    frames: torch.Tensor | None
    n_iter: int
    momentum: float
    progress: Progress | None

    @property
    def back(self) -> float:
        """Weight of the last projection that a Griffin-Lim iteration subtracts.

        That projection c' is subtracted from this one, c.

        Going further by m is c + m (c - c'). Of that only the phase counts, so that it may be divided by 1 + m.
        """
        return self.momentum / (1.0 + self.momentum)

    @property
    def synthesis(self) -> Synthesis:
        """Function from spectra to frames, and their window, in Griffin-Lim iterations."""
        return functools.partial(by_fft, filters=self.window)


def griffin_lim(magnitude: torch.Tensor, phases: torch.Tensor, search: Search, *, graph: bool) -> torch.Tensor:
    """Reconstruct batched waveforms from magnitudes by the fast Griffin-Lim algorithm.

    Their short-time spectra come near to the magnitudes.

    Shape: magnitude (rows, bins, frames), 0 past each row's frames, phases (rows, frames, bins) -> (rows, most
    samples); past a row's own samples anything may stand.
    """
    # the result follows the scale of the magnitudes; at a peak of 1 their squares keep clear of underflow
    peak = magnitude.detach().amax(dim=(1, 2), keepdim=True)
    peak = torch.where(peak > 0, peak, torch.ones_like(peak))
    target = (magnitude / peak).transpose(1, 2)  # (row, frame, bin)
    if graph or search.progress is not None or target.device.type != "cpu":
        return _refine_together(target, torch.polar(target, phases), search, graph=graph) * peak[:, 0]
    out = target.new_zeros(target.shape[0], search.most)
    workspace = Workspace(target)
    for rows, count, length in _runs(target, search):
        part = target[rows, :count].contiguous()
        signal = _refine(part, torch.polar(part, phases[rows, :count]), search, length, workspace)
        torch.mul(signal, peak[rows, 0], out=out[rows, :length])
    return out


def _refine_together(target: torch.Tensor, spectrum: torch.Tensor, search: Search, *, graph: bool) -> torch.Tensor:
    """Run the Griffin-Lim iterations over all rows of a batch at once.

    It is for a graph, a GPU, or a `progress` to be called.

    Shape: target, spectrum (rows, frames, bins) -> (rows, most samples).
    """
    framing, window, most = search.framing, search.window, search.most
    count = target.shape[1]
    lengths = of_one_call(search.samples[:]) if isinstance(search.samples, torch.Tensor) else None
    before: torch.Tensor | None = None
    for iteration in range(search.n_iter + 1):
        signal = inverse_short_time(
            spectrum.transpose(1, 2), search.frames, framing, window, search.synthesis, most, graph=graph
        )
        if iteration == search.n_iter:
            return signal
        consistent = short_time_spectrum(signal, lengths, framing, window, graph=graph).transpose(1, 2)
        consistent = consistent[:, :count]
        if search.progress is not None:
            missing = (consistent.detach().abs() - target.detach()).flatten(1).norm(dim=1)
            size = target.detach().flatten(1).norm(dim=1)
            search.progress(iteration + 1, search.n_iter, missing / torch.where(size > 0, size, torch.ones_like(size)))
        further = consistent if before is None else consistent - search.back * before
        before = consistent
        squared = squared_magnitude(further)
        present = squared > torch.finfo(squared.dtype).tiny
        inverse = torch.where(present, torch.where(present, squared, torch.ones_like(squared)).rsqrt(), 0.0)
        spectrum = further * (target * inverse)
    raise AssertionError("the last iteration returns")


def _runs(target: torch.Tensor, search: Search) -> Iterator[tuple[slice, int, int]]:
    """Yield neighboring rows of one size for Griffin-Lim iterations, few enough to stay in cache.

    Each item is (rows, their frames, their samples).
    """
    rows = target.shape[0]
    counts = [target.shape[1]] * rows if search.frames is None else search.frames.tolist()
    lengths = search.samples.tolist() if isinstance(search.samples, torch.Tensor) else [search.samples] * rows
    piece = search.framing.piece(target.device)
    for run, (count, length) in runs_of(zip(counts, lengths, strict=True), lambda size: max(1, piece // size[0])):
        yield run, count, length


def _refine(
    target: torch.Tensor, spectrum: torch.Tensor, search: Search, length: int, workspace: Workspace
) -> torch.Tensor:
    """Run the Griffin-Lim iterations over a few rows of one size, without a graph.

    The result lies in the workspace.

    Shape: target, spectrum (rows, frames, bins) -> (rows, length).
    """
    framing, window, back = search.framing, search.window, search.back
    rows, count, _ = target.shape
    gain = gain_of(window, framing.hop_length, count, None)[:, framing.margin : framing.margin + length]
    signal = workspace.take("signal", rows, length).zero_()
    before: list[torch.Tensor] = []  # what each piece was projected to in the last iteration
    tiny = torch.finfo(target.dtype).tiny
    size = max(1, framing.piece(target.device) // rows)
    for iteration in range(search.n_iter + 1):
        added = add_in_pieces(spectrum.transpose(1, 2), framing, search.synthesis, workspace)
        inside = added[:, framing.margin : framing.margin + length]
        torch.mul(inside, gain, out=signal[:, : inside.shape[1]])
        if iteration == search.n_iter:
            break
        frames = framing.cut(framing.pad_into(workspace, signal, None))  # (row, frame, sample)
        for number, first in enumerate(range(0, count, size)):
            piece = slice(first, min(first + size, count))
            taken = frames[:, piece]
            consistent = torch.fft.rfft(torch.mul(taken, window, out=workspace.take("piece", *taken.shape)))
            further = spectrum[:, piece]
            if iteration == 0:
                further.copy_(consistent)
                before.append(consistent)
            else:
                torch.add(consistent, before[number], alpha=-back, out=further)
                before[number] = consistent
            parts = torch.view_as_real(further)
            squares = torch.mul(parts, parts, out=workspace.take("squares", *parts.shape))
            scale = torch.add(squares[..., 0], squares[..., 1], out=workspace.take("scale", *further.shape))
            further *= scale.clamp_(min=tiny).rsqrt_().mul_(target[:, piece])
    return signal
