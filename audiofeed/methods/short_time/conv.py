"""Short-time spectra by conv1d with a dense basis: trainable, exportable, real numbers only.

Without a graph the frames are computed piece by piece, as in `fft`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import conv1d
from audiofeed.methods.short_time.fft import finished
from audiofeed.methods.workspace import Workspace


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, basis: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Compute complex short-time spectra of batched waveforms by convolution (conv1d) with a dense basis.

    Shape: waveform (rows, time), lengths (rows,) or None, basis (2 * bins, n_fft) -> complex (rows, bins, frames).
    """
    if graph:
        return torch.complex(*_parts(framing.pad(waveform, lengths), framing, basis))
    frames = framing.count(waveform.shape[-1])
    out = basis.new_empty((waveform.shape[0], basis.shape[0] // 2, frames), dtype=basis.dtype.to_complex())
    for rows, frame, samples in _pieces(Workspace(basis), waveform, lengths, framing):
        out[rows, :, frame] = torch.complex(*_parts(samples, framing, basis))
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
        squared = _squared(framing.pad(waveform, lengths), framing, basis)
        return [features.transpose(1, 2) for features in finished(squared, wanted, None)]
    frames = framing.count(waveform.shape[-1])
    outs: list[torch.Tensor] = []
    workspace = Workspace(basis)
    for rows, frame, samples in _pieces(workspace, waveform, lengths, framing):
        squared = _squared(samples, framing, basis)
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


def _parts(padded: torch.Tensor, framing: Framing, basis: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Convolve padded samples with a dense basis into the real and imaginary parts of short-time spectra.

    Shape: (rows, padded time) -> two of (rows, bins, frames).
    """
    both = conv1d(padded, basis, framing.hop_length)
    bins = basis.shape[0] // 2
    return both[:, :bins], both[:, bins:]


def _squared(padded: torch.Tensor, framing: Framing, basis: torch.Tensor) -> torch.Tensor:
    """Convolve padded samples with a dense basis into the squared magnitudes of short-time spectra.

    Shape: (rows, padded time) -> (rows, frames, bins).
    """
    real, imag = _parts(padded, framing, basis)
    return (real.square() + imag.square()).transpose(1, 2)
