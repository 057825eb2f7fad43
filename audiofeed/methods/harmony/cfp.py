"""Spectra of spectra, each through a power law: generalized cepstra, and spectra of those (Su and Yang 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from audiofeed.methods.frames import Workspace
from audiofeed.methods.spectrum import raise_power

# what the logarithm of a power law with exponent 0 is kept above
_FLOOR = 1e-8


def alternated(
    magnitudes: torch.Tensor,
    n_fft: int,
    gammas: Sequence[float],
    workspace: Workspace | None,
    *,
    spectrum_from: int,
    cepstrum_from: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The last spectrum and the last cepstrum of a chain: each is a power of the Fourier transform of the one before.

    Args:
        magnitudes: the first spectrum, before its power.
        n_fft: points of the transforms, of which magnitudes are the first half.
        gammas: an exponent for each, two or more; 0 takes the logarithm.
        workspace: where there is no graph; the magnitudes are then overwritten.
        spectrum_from, cepstrum_from: what lies below these bins is set to 0 in every spectrum after the first, and in
            every cepstrum.

    Shape: magnitudes (..., n_fft // 2 + 1) -> two of the same.

    >>> spectrum, cepstrum = alternated(torch.ones(1, 5), 8, (1, 1), None, spectrum_from=0, cepstrum_from=0)
    >>> spectrum.tolist(), cepstrum.round(decimals=3).tolist()
    ([[1.0, 1.0, 1.0, 1.0, 1.0]], [[2.828..., 0.0, 0.0, 0.0, 0.0]])
    """
    spectrum = _power_law(magnitudes, gammas[0], 0, workspace)
    cepstrum = spectrum
    for step, gamma in enumerate(gammas[1:]):
        if step % 2 == 0:
            cepstrum = _power_law(_transformed(spectrum, n_fft, workspace), gamma, cepstrum_from, workspace)
        else:
            spectrum = _power_law(_transformed(cepstrum, n_fft, workspace), gamma, spectrum_from, workspace)
    return spectrum, cepstrum


def _transformed(half: torch.Tensor, n_fft: int, workspace: Workspace | None) -> torch.Tensor:
    """The unitary Fourier transform of an even sequence, which is real and even too.  Shape: (..., n_fft // 2 + 1)."""
    if workspace is None:
        pairs = torch.complex(half, torch.zeros_like(half))
    else:  # in memory that was touched before: half the time of torch.complex
        parts = workspace.take("pairs", *half.shape, 2)
        parts[..., 0] = half
        parts[..., 1] = 0
        pairs = torch.view_as_complex(parts)
    return torch.fft.irfft(pairs, n=n_fft, norm="ortho")[..., : half.shape[-1]]


def _power_law(x: torch.Tensor, gamma: float, first: int, workspace: Workspace | None) -> torch.Tensor:
    """max(x, 0)^gamma, or for 0 its logarithm, and 0 below `first`; without a graph in the memory of x."""
    positive = x.relu() if workspace is None else x.relu_()
    raised = (positive + _FLOOR).log() if gamma == 0 else raise_power(positive, 2.0 * gamma)
    if workspace is None:
        return F.pad(raised[..., first:], (first, 0)) if first else raised
    raised[..., :first] = 0
    return raised
