"""Short-time spectra by conv1d with a dense basis: trainable, exportable, real numbers only.

Without a graph the frames are computed piece by piece, as in `fft`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from audiofeed.methods.fft import Finish
from audiofeed.methods.frames import Framing, Workspace
from audiofeed.methods.precision import conv1d
from audiofeed.methods.spectrum import raise_power


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, basis: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """The complex short-time transform by a basis.

    Shape: waveform (rows, time), lengths (rows,) or None, basis (2 * bins, n_fft) -> complex (rows, bins, frames).
    """
    if graph:
        return torch.complex(*_parts(framing.pad(waveform, lengths), framing, basis))
    frames = framing.count(waveform.shape[-1])
    out = basis.new_empty((waveform.shape[0], basis.shape[0] // 2, frames), dtype=basis.dtype.to_complex())
    for rows, frame, samples in _pieces(Workspace(basis), waveform, lengths, framing):
        out[rows, :, frame] = torch.complex(*_parts(samples, framing, basis))
    return out


def short_time_power(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    basis: torch.Tensor,
    *,
    power: float,
    finish: Finish | None,
    graph: bool,
) -> torch.Tensor:
    """|transform|^power, taken through `finish` where one is given.

    Shape: waveform (rows, time), basis (2 * bins, n_fft) -> (rows, features, frames).
    """
    if graph:
        return _features(framing.pad(waveform, lengths), framing, basis, power, finish, None)
    frames = framing.count(waveform.shape[-1])
    out: torch.Tensor | None = None
    workspace = Workspace(basis)
    for rows, frame, samples in _pieces(workspace, waveform, lengths, framing):
        features = _features(samples, framing, basis, power, finish, workspace)
        if out is None:
            out = features.new_empty((waveform.shape[0], features.shape[1], frames))
        out[rows, :, frame] = features
    assert out is not None  # a waveform has at least one row and one frame: Transform.forward saw to it
    return out


def _pieces(
    workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """(rows, frames, the padded samples of just those frames), each small enough to compute in one go."""
    size = framing.piece(waveform.device)
    for rows, count, padded in framing.padded_runs(workspace, waveform, lengths):
        for first in range(0, count, size):
            stop = min(first + size, count)
            end = (stop - 1) * framing.hop_length + framing.n_fft
            yield rows, slice(first, stop), padded[:, first * framing.hop_length : end]


def _parts(padded: torch.Tensor, framing: Framing, basis: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and imaginary parts.  Shape: (rows, padded time) -> two of (rows, bins, frames)."""
    both = conv1d(padded, basis, framing.hop_length)
    bins = basis.shape[0] // 2
    return both[:, :bins], both[:, bins:]


def _features(
    padded: torch.Tensor,
    framing: Framing,
    basis: torch.Tensor,
    power: float,
    finish: Finish | None,
    workspace: Workspace | None,
) -> torch.Tensor:
    real, imag = _parts(padded, framing, basis)
    powers = raise_power(real.square() + imag.square(), power)  # (row, bin, frame)
    return powers if finish is None else finish(powers.transpose(1, 2), workspace).transpose(1, 2)
