"""Short-time spectra by conv1d with a dense basis: trainable, exportable, real numbers only."""

from __future__ import annotations

import torch

from audiofeed.methods.fft import Finish
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import conv1d
from audiofeed.methods.spectrum import raise_power


def short_time_parts(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, basis: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and imaginary parts of the short-time transform by a basis.

    Shape: waveform (rows, time), basis (2 * bins, n_fft) -> two of (rows, bins, frames).
    """
    both = conv1d(framing.pad(waveform, lengths), basis, framing.hop_length)
    bins = basis.shape[0] // 2
    return both[:, :bins], both[:, bins:]


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, basis: torch.Tensor
) -> torch.Tensor:
    """The complex short-time transform.  Shape: (rows, time) -> complex (rows, bins, frames)."""
    return torch.complex(*short_time_parts(waveform, lengths, framing, basis))


def short_time_power(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    basis: torch.Tensor,
    *,
    power: float,
    finish: Finish | None,
) -> torch.Tensor:
    """|transform|^power, through `finish` where one is given.  Shape: (rows, time) -> (rows, features, frames)."""
    real, imag = short_time_parts(waveform, lengths, framing, basis)
    powers = raise_power(real.square() + imag.square(), power)  # (row, bin, frame)
    return powers if finish is None else finish(powers.transpose(1, 2)).transpose(1, 2)
