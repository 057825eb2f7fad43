"""The strength of onsets: what a spectrogram gained since some frames ago.

Everything looks back only, so that what stands past a clip's end never reaches its frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from audiofeed.methods.spectrum import may_overwrite
from audiofeed.parallel.exports import first_columns
from audiofeed.parallel.observed import as_long_as_traced, is_exporting

# what is left of a power of a pole that no float32 sum of values like it shows
_NOTHING = 1e-12


def spectral_flux(decibels: torch.Tensor, *, lag: int, max_size: int, aggregate: str, delay: int = 0) -> torch.Tensor:
    """Compute the spectral flux of batched decibels for onset strength.

    It is the mean or median gain of all bins over `lag` frames, losses counted as 0.

    A bin is compared with the largest of `max_size` neighbors, so that vibrato is no gain (Boeck and Widmer, "Maximum
    filter vibrato suppression for onset detection", 2013).

    Shape: (..., bins, frames) -> (..., 1, frames), `delay` frames later and 0 in the first `lag` + `delay` frames.

    >>> spectral_flux(torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 4.0]]), lag=1, max_size=1, aggregate="mean").tolist()
    [[0.0, 1.0, 2.0]]
    """
    before = decibels if max_size == 1 else _widened(decibels, max_size)
    gain = decibels[..., lag:] - before[..., : max(0, before.shape[-1] - lag)]
    gain = gain.clamp_(min=0) if may_overwrite(gain) else gain.clamp(min=0)
    flux = gain.mean(-2, keepdim=True) if aggregate == "mean" else _median(gain)
    n = decibels.shape[-1]
    return F.pad(flux, (n - flux.shape[-1] + min(delay, n), 0))[..., :n]


def onset_strength(
    decibels: torch.Tensor,
    frames: torch.Tensor | None,
    *,
    lag: int,
    max_size: int,
    aggregate: str,
    delay: int,
    detrend: bool,
) -> torch.Tensor:
    """Compute the onset strength of batched clips in each frame from their spectral flux.

    It is the flux, `delay` frames later, and without its slow part with `detrend`.

    Args:
        frames: of each clip; what stands past them reaches none of theirs.

    Shape: (clips, rows of each, bins, frames) -> (clips, rows of each, 1, frames).
    """
    strength = spectral_flux(decibels, lag=lag, max_size=max_size, aggregate=aggregate, delay=delay)
    return without_drift(strength) if detrend else strength


def envelope(features: torch.Tensor) -> torch.Tensor:
    """Return the one row of batched onset envelopes, as a tensor without their bin dimension.

    Shape: (rows, 1, frames) -> (rows, frames).

    >>> envelope(torch.zeros(2, 1, 9)).shape
    torch.Size([2, 9])
    """
    if features.shape[-2] != 1:
        raise ValueError(f"onset has {features.shape[-2]} rows, and must have 1: the strength of each frame")
    return features[:, 0]


def _widened(decibels: torch.Tensor, size: int) -> torch.Tensor:
    """Compute the largest of neighboring bins, the reference for gains in onset strength.

    `size` bins are compared, of an even number one more below.
    """
    *leading, bins, frames = decibels.shape
    flat = F.pad(decibels.reshape(-1, bins, frames), (0, 0, size // 2, size - 1 - size // 2), value=-math.inf)
    return flat.unfold(1, size, 1).amax(-1).view(*leading, bins, frames)


def _median(values: torch.Tensor) -> torch.Tensor:
    """Compute the median gain of all bins in each frame for onset strength.

    Of an even number it is the mean of the middle two.

    Shape: as in `spectral_flux`.
    """
    ordered = values.sort(dim=-2).values
    bins = values.shape[-2]
    return (ordered[..., (bins - 1) // 2, :] + ordered[..., bins // 2, :]).unsqueeze(-2) / 2


def delayed(envelope: torch.Tensor, frames: int) -> torch.Tensor:
    """Delay batched onset envelopes by some frames, with zeros before them.

    Shape: (..., n) -> the same.

    >>> delayed(torch.tensor([1.0, 2.0, 3.0]), 1).tolist()
    [0.0, 1.0, 2.0]
    """
    n = envelope.shape[-1]
    return first_columns(F.pad(envelope, (min(frames, n), 0)), n)


def without_drift(envelope: torch.Tensor, pole: float = 0.99) -> torch.Tensor:
    """Remove the slow drift of batched onset envelopes.

    y[n] = x[n] - x[n - 1] + pole * y[n - 1].

    The recursion is unrolled by doubling. Let s_k[n] be the sum of pole^j d[n - j] over the last 2^k frames, j < 2^k,
    of the differences d. Then s_{k+1}[n] = s_k[n] + pole^(2^k) s_k[n - 2^k], and s_k is y once 2^k reaches n.

    Shape: (..., frames) -> the same.

    >>> without_drift(torch.tensor([1.0, 1.0, 1.0]), 0.5).tolist()
    [1.0, 0.5, 0.25]
    """
    envelope = as_long_as_traced(envelope)
    total = envelope - delayed(envelope, 1)
    step = 1
    # what is exported serves clips of any length: up to where nothing is left of the pole
    reach = math.log(_NOTHING) / math.log(pole) if is_exporting() else envelope.shape[-1]
    while step < reach:
        total = total + pole**step * delayed(total, step)
        step *= 2
    return total
