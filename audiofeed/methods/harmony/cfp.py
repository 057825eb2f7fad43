"""Spectra of spectra, each through a power law: generalized cepstra, and spectra of those (Su and Yang 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from audiofeed.methods.filterbank import filtered
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import plus
from audiofeed.plans.tiles import FilterTiles

OUTPUTS = ("salience", "spectrum", "frequency", "periodicity")

# what the logarithm of a power law with exponent 0 is kept above
_FLOOR = 1e-8


@dataclass(frozen=True, kw_only=True)
class Periodicity:
    """Values to compute the parts of a combined frequency and periodicity (CFP) with.

    Args:
        n_fft: points of the transforms.
        scale: what the magnitudes are multiplied by first.
        gammas, spectrum_from, cepstrum_from: as in `alternated`.
        tiles: where the filters of the spectrum and those of the cepstrum are not zero.
    """

    n_fft: int
    scale: float
    gammas: tuple[float, ...]
    spectrum_from: int
    cepstrum_from: int
    tiles: tuple[FilterTiles | None, FilterTiles | None]


def parts(
    magnitudes: torch.Tensor,
    of_spectrum: torch.Tensor,
    of_cepstrum: torch.Tensor,
    workspace: Workspace | None,
    *,
    how: Periodicity,
    output: str | None,
) -> torch.Tensor:
    """Compute one or all outputs of combined frequency and periodicity (CFP) from batched magnitudes.

    For None all of them come, one after another.

    Args:
        of_spectrum, of_cepstrum: filters, (n_bins, bins) each.
        workspace: where there is no graph; the magnitudes are then overwritten.

    Shape: (..., frames, bins) -> (..., frames, n_bins), or (..., frames, 4 * n_bins).
    """

    def banded(values: torch.Tensor, name: str) -> torch.Tensor:
        filters, tiles = (of_cepstrum, how.tiles[1]) if name == "periodicity" else (of_spectrum, how.tiles[0])
        return filtered(values, filters, workspace, tiles, f"{name} part")

    magnitudes = magnitudes * how.scale if workspace is None else magnitudes.mul_(how.scale)
    plain = [banded(magnitudes, "spectrum")] if output in ("spectrum", None) else []
    if output == "spectrum":
        return plain[0]
    spectrum, cepstrum = alternated(
        magnitudes,
        how.n_fft,
        how.gammas,
        workspace,
        spectrum_from=how.spectrum_from,
        cepstrum_from=how.cepstrum_from,
    )
    frequency, periodicity = banded(spectrum, "frequency"), banded(cepstrum, "periodicity")
    if output in ("frequency", "periodicity"):
        return frequency if output == "frequency" else periodicity
    salience = frequency * periodicity
    return salience if output == "salience" else torch.cat([salience, *plain, frequency, periodicity], dim=-1)


def alternated(
    magnitudes: torch.Tensor,
    n_fft: int,
    gammas: Sequence[float],
    workspace: Workspace | None,
    *,
    spectrum_from: int,
    cepstrum_from: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the last spectrum and the last cepstrum of the chain behind CFP, by FFTs and power laws.

    Each is a power of the Fourier transform of the one before.

    Args:
        magnitudes: the first spectrum, before its power; >= 0.
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
    # in memory that was touched before: half the time of torch.complex
    pairs = None if workspace is None else workspace.take("pairs", *magnitudes.shape, 2).zero_()
    spectrum = cepstrum = _power_law(magnitudes, gammas[0], 0, workspace)
    for step, gamma in enumerate(gammas[1:]):
        if step % 2 == 0:
            cepstrum = _power_law(_transformed(spectrum, n_fft, pairs), gamma, cepstrum_from, workspace)
        else:
            spectrum = _power_law(_transformed(cepstrum, n_fft, pairs), gamma, spectrum_from, workspace)
    return spectrum, cepstrum


def _transformed(half: torch.Tensor, n_fft: int, pairs: torch.Tensor | None) -> torch.Tensor:
    """Compute the positive part of the unitary Fourier transform of spectra or cepstra in the chain behind CFP.

    That of an even sequence is real and even too.

    Args:
        pairs: memory for real and imaginary parts, of which the latter are 0; None where there is a graph.

    Shape: (..., n_fft // 2 + 1), pairs (..., n_fft // 2 + 1, 2).
    """
    if pairs is None:
        even = torch.complex(half, torch.zeros_like(half))
        return torch.fft.irfft(even, n=n_fft, norm="ortho")[..., : half.shape[-1]].relu()
    pairs[..., 0] = half
    return torch.fft.irfft(torch.view_as_complex(pairs), n=n_fft, norm="ortho")[..., : half.shape[-1]].relu_()


def _power_law(positive: torch.Tensor, gamma: float, first: int, workspace: Workspace | None) -> torch.Tensor:
    """Apply the power law of CFP, or a logarithm for exponent 0, to spectra or cepstra that are >= 0.

    It is x^gamma, or for 0 its logarithm, and 0 below `first`; without a graph in the memory of x.
    """
    raised = plus(positive, _FLOOR).log() if gamma == 0 else raise_power(positive, 2.0 * gamma)
    if workspace is None:
        return F.pad(raised[..., first:], (first, 0)) if first else raised
    raised[..., :first] = 0
    return raised
