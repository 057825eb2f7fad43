"""What an augmentation asks for from a dataset: examples by index, which a collate's worker reads and pads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of a dataset that an augmentation needs for clips, as its fetch names them; see `Augmentation.fetcher`.

    The worker reads them, and pads and collates them as it does the batch's own, by the collate's settings. In their
    place `clips.fetched` then has a dict: "waveforms" (n, [channel,] time), "lengths" (n,), "targets", "names" and
    "rows" (batch,), the place of each clip's example among the n, -1 for none. It is None where nothing was read.

    Args:
        dataset: Map-style dataset.
        indices: int64 (n,), which of its examples.
        epochs: int64 (n,), 0 or more; a dataset that takes keys is asked for (epoch, index), so that a random crop is
            another one each time.
        rows: int64 (batch,), the place of each clip's example among these; -1 for none.
    """

    dataset: Any
    indices: torch.Tensor
    epochs: torch.Tensor
    rows: torch.Tensor
