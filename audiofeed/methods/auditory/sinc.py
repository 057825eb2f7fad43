"""Band-pass filters whose cutoffs train: `signal.auditory.sinc` in torch."""

from __future__ import annotations

import torch


def sinc_filters(cutoffs: torch.Tensor, taper: torch.Tensor, *, norm: str | None) -> torch.Tensor:
    """Compute SincNet's windowed-sinc band-pass filters in torch from trained lower and upper cutoffs.

    Args:
        cutoffs: in cycles per sample.
        taper: the window, of as many taps as the filters.
        norm: "peak" (the middle tap is 1) or None.

    Shape: (2, n), (win_length,) -> (n, win_length).

    >>> sinc_filters(torch.tensor([[0.1], [0.2]]), torch.ones(31), norm="peak")[0, 15].item()
    1.0
    """
    # both cutoffs of all filters at once: each value is made as one alone would be
    win_length = taper.shape[0]
    tap = torch.arange(-(win_length - 1) / 2, win_length / 2, dtype=cutoffs.dtype, device=cutoffs.device)
    edges = 2 * cutoffs[..., None]  # (2, filter, 1)
    low, high = (edges * torch.sinc(edges * tap)).unbind(0)
    filters = (high - low) * taper
    return filters / (edges[1] - edges[0]) if norm == "peak" else filters
