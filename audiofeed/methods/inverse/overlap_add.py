"""From short-time spectra back to samples: windowed frames, overlapped, added, and divided by the squared window.

This is the least-squares inverse of Griffin and Lim (1984): of all signals it is the one whose short-time transform
lies nearest to the spectrum. Without a graph on a CPU it is computed row by row in pieces that stay in cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from audiofeed.methods.frames import Count, Framing
from audiofeed.methods.lengths import length_mask, runs_of
from audiofeed.methods.method_table import Method, table
from audiofeed.methods.precision import matmul
from audiofeed.methods.short_time.short_time_methods import SHORT_TIME
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import first_columns
from audiofeed.parallel.kept_memory import kept_like

# From a complex (rows, bins, frames) to samples (rows, frames, n_fft), which the caller may overwrite, and the window
# (n_fft,) that they are yet to be multiplied by; None where they are
Synthesis = Callable[[torch.Tensor], tuple[torch.Tensor, "torch.Tensor | None"]]

# Up to so many frames over one sample are added block by block; with more the calls would cost more than the additions.
MOST_BLOCKS = 32
# A sample is covered where the overlapped squared window is more than so many eps of its peak: its rounding error then
# grows by 1 / sqrt(64 eps) at most, 360 times in float32.
COVERED = 64


def by_fft(spectrum: torch.Tensor, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Synthesize frames, to be windowed, overlapped and added, from batched spectra by inverse real FFT.

    Shape: complex (rows, bins, frames), filters (n_fft,) -> (rows, frames, n_fft) and the window (n_fft,).
    """
    return torch.fft.irfft(spectrum.transpose(-1, -2), n=filters.shape[0]), filters


def by_basis(spectrum: torch.Tensor, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Synthesize windowed frames, ready to overlap and add, from batched spectra by a synthesis basis.

    Shape: complex (rows, bins, frames), filters (2 * bins, n_fft) -> (rows, frames, n_fft), and no window.
    """
    rows, _, frames = spectrum.shape
    parts = torch.cat([spectrum.real, spectrum.imag], dim=1).transpose(1, 2)  # (row, frame, 2 bins)
    return matmul(parts.reshape(rows * frames, -1), filters).view(rows, frames, -1), None


INVERSE = table(
    "inverse short-time transforms",
    Method(
        name="fft",
        run=by_fft,
        filters="synthesis_window",
        cannot=SHORT_TIME.methods["fft"].cannot,
        reason="the fastest that computes the definition with a fixed basis",
    ),
    Method(
        name="conv",
        run=by_basis,
        filters="basis",
        reason="trainable=True: the basis is a parameter of a convolution",
    ),
)


def natural_length(framing: Framing, frames: Count) -> Count:
    """Return the samples that frames give when they are overlapped and added, as librosa counts them.

    They are the span of `frames` frames, less the margins.

    A single centered frame of an even n_fft spans nothing but margins; it counts as one sample, since no clip has less.

    >>> natural_length(Framing(n_fft=400, hop_length=160, center=True, pad_mode="constant"), 101)
    16000
    """
    samples = (frames - 1) * framing.hop_length + framing.n_fft - 2 * framing.margin
    return samples.clamp(min=1) if isinstance(samples, torch.Tensor) else max(samples, 1)


def inverse_short_time(
    spectrum: torch.Tensor,
    frames: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    synthesis: Synthesis,
    length: int,
    *,
    graph: bool,
) -> torch.Tensor:
    """Invert batched short-time spectra to waveforms by windowed overlap-add.

    It is the least-squares inverse of a short-time transform.

    Args:
        frames: (rows,) frames of each row; None: all of them.
        window: (n_fft,) the window of the analysis and of the synthesis.
        length: samples to give back; 0 stands where no frame covers them.

    Shape: complex (rows, bins, frames) -> (rows, length).
    """
    if graph or spectrum.device.type != "cpu":
        count = spectrum.shape[-1]
        samples, weights = synthesis(spectrum)
        if weights is not None:
            samples = samples * weights if graph else samples.mul_(weights)
        added = overlap_add(samples, framing.hop_length)
        return fit(added * gain_of(window, framing.hop_length, count, frames), framing.margin, length)
    out = kept_like(window, (spectrum.shape[0], length))
    workspace = Workspace(window)
    for rows, count, gain in _runs(spectrum, frames, framing, window):
        added = add_in_pieces(spectrum[rows, :, :count], framing, synthesis, workspace)
        inside = min(length, added.shape[-1] - framing.margin)
        span = slice(framing.margin, framing.margin + inside)
        torch.mul(added[:, span], gain[:, span], out=out[rows, :inside])
        out[rows, inside:] = 0
    return out


def overlap_add(frames: torch.Tensor, hop_length: int) -> torch.Tensor:
    """Overlap and add batched frames that start `hop_length` samples after each other.

    Shape: (rows, frames, taps) -> (rows, (frames - 1) * hop_length + taps).

    >>> overlap_add(torch.ones(1, 3, 2), 1).tolist()
    [[1.0, 2.0, 2.0, 1.0]]
    """
    rows, count, taps = frames.shape
    total = (count - 1) * hop_length + taps
    blocks = -(-taps // hop_length)
    if blocks > MOST_BLOCKS:
        return F.fold(frames.transpose(1, 2), (1, total), (1, taps), stride=(1, hop_length)).reshape(rows, total)
    # block j of frame f stands in block f + j of the result: j-th blocks of all frames are one addition
    cut = F.pad(frames, (0, blocks * hop_length - taps)).unflatten(-1, (blocks, hop_length))
    added = F.pad(cut[:, :, 0], (0, 0, 0, blocks - 1))
    for j in range(1, blocks):
        added = added + F.pad(cut[:, :, j], (0, 0, j, blocks - 1 - j))
    return first_columns(added.flatten(1), total)


def add_in_pieces(spectrum: torch.Tensor, framing: Framing, synthesis: Synthesis, workspace: Workspace) -> torch.Tensor:
    """Overlap and add the frames of batched spectra piece by piece, without a graph.

    It is `overlap_add` of these frames.

    Shape: (rows, bins, frames) -> (rows, span).
    """
    rows, _, count = spectrum.shape
    hop, taps = framing.hop_length, framing.n_fft
    blocks = -(-taps // hop)
    added = workspace.take("added", rows, count + blocks - 1, hop).zero_()
    size = framing.piece(spectrum.device)
    for first in range(0, count, size):
        stop = min(first + size, count)
        samples, weights = synthesis(spectrum[:, :, first:stop])
        if blocks > MOST_BLOCKS:
            part = overlap_add(samples if weights is None else samples.mul_(weights), hop)
            added.flatten(1)[:, first * hop : first * hop + part.shape[-1]].add_(part)
            continue
        for j in range(blocks):
            block = samples[:, :, j * hop : (j + 1) * hop]  # the last may be shorter
            sums = added[:, first + j : stop + j, : block.shape[-1]]
            # `+=` on a part of a tensor would copy the sum onto itself
            if weights is None:
                sums.add_(block)
            else:
                sums.addcmul_(block, weights[j * hop : (j + 1) * hop])
    return added.flatten(1)[:, : (count - 1) * hop + taps]


def _runs(
    spectrum: torch.Tensor, frames: torch.Tensor | None, framing: Framing, window: torch.Tensor
) -> Iterator[tuple[slice, int, torch.Tensor]]:
    """Yield runs of neighboring rows with the same number of frames to overlap and add, with their gain.

    Each item is (rows, their number of frames, their gain).
    """
    rows, _, most = spectrum.shape
    counts = [most] * rows if frames is None else frames.tolist()
    known: tuple[int, torch.Tensor] | None = None
    for run, count in runs_of(counts, lambda count: max(1, framing.piece(spectrum.device) // count)):
        if known is None or known[0] != count:
            known = count, gain_of(window, framing.hop_length, count, None)
        yield run, count, known[1]


def gain_of(window: torch.Tensor, hop_length: int, count: int, frames: torch.Tensor | None) -> torch.Tensor:
    """Compute the gain after overlap-add, 1 / the overlapped squared window.

    It is 0 where that square is too small for the dtype to divide by.

    Shape: window (taps,), frames (rows,) or None -> (rows or 1, span of `count` frames).
    """
    squares = window * window
    if frames is None:
        added = _overlapped(squares, hop_length, count)
    else:
        added = overlap_add(length_mask(count, frames)[:, :, None] * squares, hop_length)
    covered = added > squares.amax(0) * (COVERED * torch.finfo(window.dtype).eps)
    return torch.where(covered, added, torch.ones_like(added)).reciprocal() * covered


def _overlapped(squares: torch.Tensor, hop_length: int, count: int) -> torch.Tensor:
    """Overlap and add `count` equal frames of a squared window.

    Between the first and the last frames the sum repeats from hop to hop, so that a few frames tell all of it.

    Shape: (taps,) -> (1, span).
    """
    blocks = -(-squares.shape[0] // hop_length)
    few = min(count, 2 * blocks)
    added = overlap_add(squares.expand(1, few, -1), hop_length)
    head = blocks * hop_length
    middle = added[:, head - hop_length : head].repeat(1, count - few)
    return torch.cat([added[:, :head], middle, added[:, head:]], dim=1)


def fit(added: torch.Tensor, margin: int, length: int) -> torch.Tensor:
    """Return `length` overlap-added samples after the margin, with zeros past the last.

    Shape: (rows, span) -> (rows, length).
    """
    inside = added[:, margin : margin + length]
    return F.pad(inside, (0, length - inside.shape[-1]))
