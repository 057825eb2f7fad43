"""The shape of a spectrum in a few numbers: center, spread, rolloff, flatness, peaks and valleys.

Each function takes frames of powers or magnitudes, (..., frames, bins), and gives (..., frames, n). With a workspace
there is no graph, and intermediates lie in memory that the next frames take over; that of the magnitudes, too.
"""

from __future__ import annotations

import torch

from audiofeed.methods.decibels import Log, limit_range
from audiofeed.methods.filterbank import filtered
from audiofeed.methods.norms import divided
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.running_sums import running_sums


def centroid(moments: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
    """Compute the spectral centroid of batched frames from moments of their magnitudes; 0 for silence.

    It is the mean frequency, weighed by magnitude.

    Shape: (..., frames, 2) (magnitudes times their frequencies, and their sum) -> (..., frames, 1).

    >>> centroid(torch.tensor([[300.0, 4.0], [0.0, 0.0]]), None).tolist()
    [[75.0], [0.0]]
    """
    return divided(moments[..., :1], moments[..., 1:])


def bandwidth(
    magnitudes: torch.Tensor, weights: torch.Tensor, workspace: Workspace | None, *, p: float, norm: bool
) -> torch.Tensor:
    """Compute the spectral bandwidth of batched frames of magnitudes; 0 for silence.

    It is the p-th root of the p-th moment about the centroid; of magnitudes of sum 1 with `norm`.

    Shape: (..., frames, bins), weights (2, bins) (frequencies, then ones) -> (..., frames, 1).
    """
    moments = filtered(magnitudes, weights, workspace, None, "moments")
    total = moments[..., 1:]
    middle = divided(moments[..., :1], total)
    if workspace is None:
        spread = (raise_power((weights[0] - middle).square(), p) * magnitudes).sum(-1, keepdim=True)
    else:
        away = torch.sub(weights[0], middle, out=workspace.take("away", *magnitudes.shape))
        away = raise_power(away.mul_(away), p)
        spread = away.mul_(magnitudes).sum(-1, keepdim=True)
    # x^(1 / p), with gradient 0 at 0
    return raise_power(divided(spread, total) if norm else spread, 2.0 / p)


def rolloff(
    magnitudes: torch.Tensor, frequencies: torch.Tensor, workspace: Workspace | None, *, share: float
) -> torch.Tensor:
    """Compute the spectral rolloff of batched frames of magnitudes, without gradient.

    It is the lowest frequency below which lies that share of the sum of magnitudes: a step function.

    Shape: (..., frames, bins), frequencies (bins,) -> (..., frames, 1).

    >>> rolloff(torch.tensor([[1.0, 2.0, 1.0]]), torch.tensor([0.0, 10.0, 20.0]), None, share=0.6).tolist()
    [[10.0]]
    """
    magnitudes = magnitudes.detach()
    # sums of what is not negative never fall, so the bins that have not reached the share are the first ones
    if workspace is None or magnitudes.device.type != "cpu":
        below = running_sums(magnitudes)
        return frequencies[(below < share * below[..., -1:]).sum(-1, keepdim=True)]
    below = torch.cumsum(magnitudes, -1, out=workspace.take("below", *magnitudes.shape))
    # with NaN the search finds no bin
    reached = torch.searchsorted(below, share * below[..., -1:]).clamp_(max=below.shape[-1] - 1)
    return frequencies[reached]


def flatness(powers: torch.Tensor, workspace: Workspace | None, *, amin: float) -> torch.Tensor:
    """Compute the spectral flatness of batched frames of powers.

    It is the geometric over the arithmetic mean of powers, none taken smaller than `amin`.

    Shape: -> (..., frames, 1).

    >>> flatness(torch.ones(3, 5), None, amin=1e-10).flatten().tolist()
    [1.0, 1.0, 1.0]
    """
    if workspace is None:
        held = powers.clamp(min=amin)
        return held.log().mean(-1, keepdim=True).exp() / held.mean(-1, keepdim=True)
    held = powers.clamp_(min=amin)
    arithmetic = held.mean(-1, keepdim=True)
    return held.log_().mean(-1, keepdim=True).exp_().div_(arithmetic)


def extremes(
    magnitudes: torch.Tensor, workspace: Workspace | None, *, bands: tuple[tuple[int, int, int], ...], apart: bool
) -> torch.Tensor:
    """Compute the spectral peak and valley of each band in batched frames, for spectral contrast.

    They are the mean of the largest and that of the smallest magnitudes of each band, or how far these lie apart.

    Args:
        bands: (first bin, end bin, how many are averaged) of each.
        apart: the difference alone.

    Shape: (..., frames, bins) -> (..., frames, 2 * bands), all peaks first; or (..., frames, bands).

    >>> extremes(torch.tensor([[5.0, 1.0, 3.0]]), None, bands=((0, 3, 2),), apart=False).tolist()
    [[4.0, 2.0]]
    """
    if workspace is not None and magnitudes.device.type == "cpu":
        both = _ordered_extremes(magnitudes, workspace, bands)
        return both[..., : len(bands)] - both[..., len(bands) :] if apart else both
    peaks, valleys = [], []
    for first, end, count in bands:
        band = magnitudes[..., first:end]
        if count == 1:
            peaks.append(band.amax(-1, keepdim=True))
            valleys.append(band.amin(-1, keepdim=True))
            continue
        peaks.append(band.topk(count, sorted=False).values.mean(-1, keepdim=True))
        valleys.append(band.topk(count, largest=False, sorted=False).values.mean(-1, keepdim=True))
    if apart:
        return torch.cat(peaks, -1) - torch.cat(valleys, -1)
    return torch.cat(peaks + valleys, -1)


def _ordered_extremes(
    magnitudes: torch.Tensor, workspace: Workspace, bands: tuple[tuple[int, int, int], ...]
) -> torch.Tensor:
    """Compute the spectral peaks and valleys of bands from magnitudes that are put in order, band by band, in place.

    Shape: (..., frames, bins) -> (..., frames, 2 * bands), all peaks first.
    """
    n_bands = len(bands)
    both = workspace.take("extremes", *magnitudes.shape[:-1], 2 * n_bands)
    for k, (first, end, count) in enumerate(bands):
        ordered = magnitudes[..., first:end]
        shared = magnitudes[..., max(first, min((start for start, _, _ in bands[k + 1 :]), default=end)) : end]
        kept = shared.clone() if shared.shape[-1] else None
        # numpy sorts with vector instructions: 6 times as fast as torch.topk for 9 of 430 values
        ordered.numpy().sort(-1)
        torch.sum(ordered[..., -count:], -1, keepdim=True, out=both[..., k : k + 1])
        torch.sum(ordered[..., :count], -1, keepdim=True, out=both[..., n_bands + k : n_bands + k + 1])
        if kept is not None:
            shared.copy_(kept)
    counts = both.new_tensor([count for _, _, count in bands])
    return both.div_(counts.repeat(2))


def contrast_in_decibels(both: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
    """Compute the spectral contrast of batched clips in decibels, peaks over valleys.

    Peaks and valleys are each limited to 80 below their own clip's highest.

    Shape: (clips, rows of each, 2 * bands, frames), frames (clips,) or None -> (clips, rows of each, bands, frames).
    """
    # librosa takes ten times the logarithm of the magnitudes as they are, whatever their power
    peaks, valleys = Log("db", floor=1e-10, power=2.0).of(both, in_place=False).chunk(2, dim=-2)
    return limit_range(peaks, frames, 80.0) - limit_range(valleys, frames, 80.0)
