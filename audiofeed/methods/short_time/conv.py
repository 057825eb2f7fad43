"""Short-time spectra by conv1d with a dense basis: trainable, exportable, real numbers only.

Without a graph the frames are computed piece by piece, as in `fft`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import conv1d, matmul_into
from audiofeed.methods.short_time.fft import finished, finished_by_row
from audiofeed.methods.spectrum import summed_squares
from audiofeed.methods.workspace import Workspace


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, basis: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Compute complex short-time spectra of batched waveforms by convolution (conv1d) with a dense basis.

    Shape: waveform (rows, time), lengths (rows,) or None, basis (2 * bins, n_fft) -> complex (rows, bins, frames).
    """
    if graph:
        return torch.complex(*_convolved(framing.pad(waveform, lengths), framing, basis).unbind(1))
    frames = framing.count(waveform.shape[-1])
    out = basis.new_empty((waveform.shape[0], basis.shape[0] // 2, frames), dtype=basis.dtype.to_complex())
    workspace = Workspace(basis)
    for rows, frame, samples in _pieces(workspace, waveform, lengths, framing):
        out[rows, :, frame] = torch.complex(*_parts(samples, framing, basis, workspace).unbind(1))
    return out


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    basis: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor]:
    """Compute one or several powers of |short-time transform| by convolution, each taken through its steps.

    Shape: waveform (rows, time), basis (2 * bins, n_fft) -> each (rows, features, frames).
    """
    if graph:
        parts = _convolved(framing.pad(waveform, lengths), framing, basis)
        squared = summed_squares(parts, 1).transpose(1, 2)
        return finished_by_row(squared, wanted)
    frames = framing.count(waveform.shape[-1])
    outs: list[torch.Tensor] = []
    workspace = Workspace(basis)
    for rows, frame, samples in _pieces(workspace, waveform, lengths, framing):
        parts = _parts(samples, framing, basis, workspace)
        squared = torch.add(*parts.mul_(parts).unbind(1)).transpose(1, 2)  # faster than a sum over two
        for i, features in enumerate(finished(squared, wanted, workspace)):
            if i == len(outs):
                outs.append(features.new_empty((waveform.shape[0], features.shape[-1], frames)))
            outs[i][rows, :, frame] = features.transpose(1, 2)
    return outs


def _pieces(
    workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield pieces of padded samples, of few enough frames to convolve with the dense basis in one go.

    Each is (rows, frames, the padded samples of just those frames).
    """
    size = framing.piece(waveform.device)
    for rows, count, padded in framing.padded_runs(workspace, waveform, lengths):
        for first in range(0, count, size):
            stop = min(first + size, count)
            end = (stop - 1) * framing.hop_length + framing.n_fft
            yield rows, slice(first, stop), padded[:, first * framing.hop_length : end]


def _convolved(padded: torch.Tensor, framing: Framing, basis: torch.Tensor) -> torch.Tensor:
    """Convolve padded samples with a dense basis into the real and imaginary parts of short-time spectra.

    Shape: (rows, padded time) -> (rows, 2, bins, frames).
    """
    both = conv1d(padded, basis, framing.hop_length)
    if torch.jit.is_tracing():  # an export to ONNX would keep the number of rows
        return torch.stack(both.chunk(2, 1), 1)
    return both.unflatten(1, (2, -1))


def _parts(padded: torch.Tensor, framing: Framing, basis: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """Compute what `_convolved` does of a piece without a graph: on a CPU as a product of its frames.

    The product takes two thirds of the time of torch's convolution there.

    Shape: (rows, padded time) -> (rows, 2, bins, frames), frame by frame in the workspace where it is a product.
    """
    if padded.device.type != "cpu":
        return _convolved(padded, framing, basis)
    frames = framing.cut(padded)
    rows, count, taps = frames.shape
    flat = workspace.take("frames", rows, count, taps).copy_(frames).view(-1, taps)
    product = workspace.take("products", rows * count, basis.shape[0])
    matmul_into(product, flat, basis.t())
    return product.view(rows, count, 2, -1).permute(0, 2, 3, 1)
