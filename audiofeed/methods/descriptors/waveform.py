"""Levels and zero crossings of frames of a waveform, from sums that overlapping frames share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import first_columns

# from padded rows and their number of frames to one value a frame; the rows may be overwritten where they are `owned`
OfRows = Callable[[torch.Tensor, int, bool], torch.Tensor]


def of_frames(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, function: OfRows, *, graph: bool
) -> torch.Tensor:
    """Compute one descriptor value for each frame of batched waveforms.

    Shape: (rows, time), lengths (rows,) or None -> (rows, 1, frames).
    """
    frames = framing.count(waveform.shape[-1])
    if graph:
        return function(framing.pad(waveform, lengths), frames, False)[:, None]
    out = waveform.new_empty((waveform.shape[0], 1, frames))
    for rows, count, padded in framing.padded_runs(Workspace(waveform), waveform, lengths):
        out[rows, 0, :count] = function(padded, count, True)
    return out


def frame_sums(values: torch.Tensor, count: int, framing: Framing) -> torch.Tensor:
    """Compute the sum over each frame of batched waveforms, for their level and zero crossings.

    Frame f starts at column f * hop_length.

    Frames are made of blocks of gcd(n_fft, hop_length) columns, each of which is summed once however many frames it
    lies in.  Shape: (rows, padded time) -> (rows, count).

    >>> framing = Framing(n_fft=4, hop_length=2, center=False, pad_mode="constant")
    >>> frame_sums(torch.arange(6.0)[None], 2, framing).tolist()
    [[6.0, 14.0]]
    """
    block = math.gcd(framing.n_fft, framing.hop_length)
    used = first_columns(values, framing.span(count))
    blocks = used.unflatten(-1, (-1, block)).sum(-1) if block > 1 else used  # (row, block)
    return blocks.unfold(-1, framing.n_fft // block, framing.hop_length // block).sum(-1)


def levels(waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, *, graph: bool) -> torch.Tensor:
    """Compute the root mean square level of each frame of batched waveforms.

    Its gradient is 0 at silence.

    Shape: (rows, time), lengths (rows,) or None -> (rows, 1, frames).
    """
    block = math.gcd(framing.n_fft, framing.hop_length)
    whole = lengths is None and not framing.extends and framing.margin % block == 0 and waveform.stride(-1) == 1
    if graph or not whole or waveform.device.type != "cpu" or block == 1:
        return of_frames(waveform, lengths, framing, functools.partial(_level, framing=framing), graph=graph)
    # blocks of the samples where they lie: nothing is copied but the last one
    per_frame, step = framing.n_fft // block, framing.hop_length // block
    time = waveform.shape[-1]
    count = (framing.count(time) - 1) * step + per_frame
    lead, inside = framing.margin // block, time // block
    sums = waveform.new_zeros(len(waveform), max(count, lead + inside + 1), dtype=torch.float64)
    sums[:, lead : lead + inside] = _energies(waveform[:, : inside * block], block)
    if inside * block < time:
        last = torch.nn.functional.pad(waveform[:, inside * block :], (0, -time % block))
        sums[:, lead + inside] = _energies(last, block)[:, 0]
    return _root(sums[:, :count].unfold(-1, per_frame, step).sum(-1), framing).to(waveform.dtype)[:, None]


def _level(padded: torch.Tensor, count: int, owned: bool, *, framing: Framing) -> torch.Tensor:
    """Compute the level of each frame of padded rows.  Shape: (rows, padded time) -> (rows, count)."""
    block = math.gcd(framing.n_fft, framing.hop_length)
    if not owned or padded.device.type != "cpu" or block == 1:
        squares = padded.mul_(padded) if owned else padded.square()
        return _root(frame_sums(squares, count, framing), framing)
    used = first_columns(padded, framing.span(count))
    per_frame, step = framing.n_fft // block, framing.hop_length // block
    return _root(_energies(used, block).unfold(-1, per_frame, step).sum(-1), framing).to(padded.dtype)


def _energies(values: torch.Tensor, block: int) -> torch.Tensor:
    """Sum the squares of waveforms block by block, for their level, in one pass over the samples; in float64.

    Shape: (rows, blocks * block) -> (rows, blocks).
    """
    return torch.linalg.vector_norm(values.unflatten(-1, (-1, block)), dim=-1).double().square_()


def _root(sums: torch.Tensor, framing: Framing) -> torch.Tensor:
    """Return the level of frames of a waveform whose squares sum to this.  Shape: any -> the same."""
    return raise_power(sums / framing.n_fft, 1.0)


def crossings(
    padded: torch.Tensor, count: int, owned: bool, *, framing: Framing, threshold: float, zero_pos: bool, pad: bool
) -> torch.Tensor:
    """Compute the zero-crossing rate of each frame of batched waveforms.

    It is the share of each frame's samples whose sign is not that of the sample before: a step function.

    Shape: (rows, padded time) -> (rows, count).
    """
    values = padded.detach()
    side = values < -threshold
    changes = side[:, 1:] != side[:, :-1]
    if not zero_pos:
        above = values > threshold
        changes = changes | (above[:, 1:] != above[:, :-1])
    # column i: whether sample i has another sign than sample i - 1
    changed = padded if owned else torch.zeros_like(values)
    changed[:, :1] = 0
    changed[:, 1:] = changes
    # the first sample of a frame has none before it in the frame
    starts = changed[:, : (count - 1) * framing.hop_length + 1 : framing.hop_length]
    return (frame_sums(changed, count, framing) - starts + float(pad)) / framing.n_fft
