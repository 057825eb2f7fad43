"""Chroma filter banks for several tunings at once."""

from __future__ import annotations

import torch

from audiofeed.signal.harmony.chroma import base_shift


def chroma_filters(
    tuning: torch.Tensor,
    places: torch.Tensor,
    *,
    n_chroma: int,
    octwidth: float | None,
    base_c: bool,
) -> torch.Tensor:
    """A chroma filter bank for each clip's tuning: `chroma_filterbank` for several tunings at once.

    Args:
        places: (3, bins): the position of each bin on the circle of classes, its width, and its octave less the centre
            of the weighing. Taken round the circle beforehand, a position has float32's full precision.

    Shape: tuning (clips,) -> (clips, n_chroma, bins).
    """
    circle, widths, octaves = places.unbind(0)
    classes = torch.arange(n_chroma, device=places.device, dtype=places.dtype)[:, None]
    if base_c:
        classes = classes.roll(-base_shift(n_chroma), 0)
    half = float(round(n_chroma / 2))
    tuning = tuning[:, None, None]
    distance = torch.remainder(circle - tuning - classes + half, n_chroma) - half  # (clip, class, bin)
    weights = torch.exp(-0.5 * (2 * distance / widths).square())
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()
    if octwidth is None:
        return weights
    return weights * torch.exp(-0.5 * ((octaves - tuning / n_chroma) / octwidth).square())
