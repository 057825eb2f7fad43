"""Estimate the deviation of a clip's tuning from A440 from its spectral peaks."""

from __future__ import annotations

import math

import torch

from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import length_mask
from audiofeed.methods.short_time.short_time_methods import short_time_powers
from audiofeed.parallel.observed import observed
from audiofeed.signal.constant_q.tuning import LOWEST_A, pitch_bins

# how large a peak must be beside the largest value of its frame
PEAK = 0.1


# the frames of `librosa.estimate_tuning`
FRAMES = Framing(n_fft=2048, hop_length=512, center=True, pad_mode="constant")


def tunings_of_clips(
    clips: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    edges: torch.Tensor,
    *,
    rate: float,
    n_chroma: int,
) -> torch.Tensor:
    """Estimate the tuning of each clip in a batch of waveforms.

    All rows of a clip are taken together: see `estimate_tuning`.

    Args:
        lengths: (clips * rows of each,) samples of each row.
        window: of `FRAMES`.

    Shape: (clips, rows of each, time) -> (clips,).
    """
    batch, rows = clips.shape[:2]
    powers = short_time_powers(clips.flatten(0, 1), lengths, FRAMES, window, wanted=[Wanted(1.0)], graph=False)[0]
    frames = None if lengths is None else FRAMES.count(lengths[::rows])
    bins, hertz = pitch_bins(sample_rate=rate, n_fft=FRAMES.n_fft), rate / FRAMES.n_fft
    powers = powers.unflatten(0, (batch, rows))
    return estimate_tuning(powers, frames, edges, bins=bins, hertz=hertz, n_chroma=n_chroma)


def estimate_tuning(
    powers: torch.Tensor,
    frames: torch.Tensor | None,
    edges: torch.Tensor,
    *,
    bins: tuple[int, int],
    hertz: float,
    n_chroma: int,
) -> torch.Tensor:
    """Estimate the tuning of each clip from batched spectral powers, like `librosa.estimate_tuning`.

    Tunings are in fractions of a class, as librosa finds them for each clip alone.

    Pitches are interpolated peaks of the spectrum; those at least as high as their median vote in a histogram of the
    distance to the nearest class, and its fullest bin wins. A clip without pitches has tuning 0.

    Args:
        frames: (clips,) of each clip; None: all.
        edges: of the histogram: see `tuning_edges`.
        bins: where pitches are looked for: see `pitch_bins`.
        hertz: from one bin to the next.

    Shape: powers (clips, rows of each, bins, frames) -> (clips,).
    """
    low, high = bins
    if low >= high:
        return powers.new_zeros(powers.shape[0])
    if powers.device.type == "cpu" and observed(powers) is None:
        counts = [powers.shape[-1]] * len(powers) if frames is None else frames.tolist()
        return torch.stack(
            [
                _tuning_of_peaks(*_peaks(clip[..., :count], low, high), edges, hertz, n_chroma)
                for clip, count in zip(powers, counts, strict=True)
            ]
        )
    return _tunings(powers, frames, edges, low, high, hertz, n_chroma)


def _neighbors(powers: torch.Tensor, low: int, high: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return spectral bins and their neighbors above and below, to find peaks for tuning estimation.

    The bins are low..high - 1; above the last stands 0.
    """
    here = powers[..., low:high, :]
    below = powers[..., low - 1 : high - 1, :]
    if high < powers.shape[-2]:
        return below, here, powers[..., low + 1 : high + 1, :]
    return below, here, torch.cat([powers[..., low + 1 :, :], torch.zeros_like(powers[..., :1, :])], -2)


def _is_peak(powers: torch.Tensor, below: torch.Tensor, here: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
    return (here > PEAK * powers.amax(-2, keepdim=True)) & (here > below) & (here >= above)


def _interpolated(
    below: torch.Tensor, here: torch.Tensor, above: torch.Tensor, last: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Interpolate spectral peaks by parabolas for tuning estimation.

    Offset from the bin, and height, are those of the vertex of the parabola through three points.

    With slope b = (above - below) / 2 and curvature a = above + below - 2 here the top lies at -b / a; it counts only
    within one bin, and the very last bin of a spectrum has none above it.
    """
    curvature = above + below - 2 * here
    slope = (above - below) / 2
    inside = (slope.abs() < curvature.abs()) & ~last
    shift = torch.where(inside, -slope / torch.where(inside, curvature, torch.ones_like(curvature)), 0.0)
    return shift, here + 0.5 * slope * shift


def _deviation(hz: torch.Tensor, n_chroma: int) -> torch.Tensor:
    """Compute the tuning deviation of frequencies in Hz from the nearest class, a tensor in [-0.5, 0.5)."""
    residual = torch.remainder(n_chroma * (hz / LOWEST_A).log2(), 1.0)
    return torch.where(residual >= 0.5, residual - 1.0, residual)


def _place(deviation: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return the histogram bin of each tuning deviation, as a tensor."""
    return (torch.bucketize(deviation.contiguous(), edges, right=True) - 1).clamp(0, len(edges) - 2)


def _peaks(powers: torch.Tensor, low: int, high: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the spectral peaks of one clip for tuning estimation.

    Their positions in bins and their heights come back.

    Shape: (rows, bins, frames) -> two of (peaks,).
    """
    below, here, above = _neighbors(powers, low, high)
    found = _is_peak(powers, below, here, above).nonzero(as_tuple=True)
    number = found[1] + low
    shift, height = _interpolated(below[found], here[found], above[found], number == powers.shape[-2] - 1)
    return number + shift, height


def _tuning_of_peaks(
    positions: torch.Tensor, heights: torch.Tensor, edges: torch.Tensor, hertz: float, n_chroma: int
) -> torch.Tensor:
    """Return the tuning that the spectral peaks of one clip agree on.

    Shape: (peaks,), (peaks,) -> ().
    """
    n = len(heights)
    if n == 0:
        return edges.new_zeros(())
    # of an even number the mean of the middle two; kthvalue counts from 1
    median = (heights.kthvalue((n + 1) // 2).values + heights.kthvalue(n // 2 + 1).values) / 2
    votes = _place(_deviation(positions[heights >= median] * hertz, n_chroma), edges)
    return edges[votes.bincount(minlength=len(edges) - 1).argmax()]


def _tunings(
    powers: torch.Tensor,
    frames: torch.Tensor | None,
    edges: torch.Tensor,
    low: int,
    high: int,
    hertz: float,
    n_chroma: int,
) -> torch.Tensor:
    """Estimate the tuning of all clips in a batch at once, with no shape that depends on a value.

    It has the result of `_peaks` and `_tuning_of_peaks`.

    Shape: (clips, rows of each, bins, frames) -> (clips,).
    """
    below, here, above = _neighbors(powers, low, high)
    peak = _is_peak(powers, below, here, above)
    if frames is not None:
        peak = peak & length_mask(powers.shape[-1], frames)[:, None, None]
    number = torch.arange(low, high, device=powers.device)[:, None]
    shift, height = _interpolated(below, here, above, number == powers.shape[-2] - 1)
    votes = _place(_deviation((number + shift) * hertz, n_chroma), edges).flatten(1)  # (clip, candidate)
    peak, height = peak.flatten(1), height.flatten(1)
    ordered = height.masked_fill(~peak, math.inf).sort(dim=1).values
    n = peak.sum(1, keepdim=True)
    middle = ordered.gather(1, (n - 1).clamp(min=0) // 2) + ordered.gather(1, (n // 2).clamp(max=ordered.shape[1] - 1))
    voting = peak & (height >= middle / 2)
    histogram = torch.zeros(powers.shape[0], len(edges) - 1, dtype=torch.int64, device=powers.device)
    histogram = histogram.scatter_add(1, votes, voting.long())
    return torch.where(n[:, 0] > 0, edges[histogram.argmax(1)], 0.0)
