"""Bins of constant-Q octaves in the order of several transforms that share them."""

from __future__ import annotations

import torch


def gathered(values: torch.Tensor, places: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Gather constant-Q bins of octaves by runs (first, end), some of them again and again; (0, -n): n zeros.

    Shape: (rows, bins, frames) -> (rows, bins of all runs, frames).

    >>> gathered(torch.tensor([[[1.0], [2.0]]]), ((0, 2), (1, 2), (0, -1))).flatten().tolist()
    [1.0, 2.0, 2.0, 0.0]
    """
    values = values.transpose(1, 2)  # (row, frame, bin)
    if places == ((0, values.shape[-1]),):
        return values.transpose(1, 2)
    parts = [values[..., first:end] if end > 0 else values.new_zeros(*values.shape[:2], -end) for first, end in places]
    return torch.cat(parts, dim=-1).transpose(1, 2)
