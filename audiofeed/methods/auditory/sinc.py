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
    low, high = cutoffs[..., None].unbind(0)  # (filter, 1) each
    win_length = taper.shape[0]
    tap = torch.arange(win_length, dtype=low.dtype, device=low.device) - (win_length - 1) / 2
    filters = 2 * high * torch.sinc(2 * high * tap) - 2 * low * torch.sinc(2 * low * tap)
    filters = filters * taper
    return filters / (2 * (high - low)) if norm == "peak" else filters
