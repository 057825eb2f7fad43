"""Where the frames of rows lie for kernels: how many there are, which lie inside, and the tiles that kernels take."""

from __future__ import annotations

import functools

import numpy as np

from audiofeed.methods.frames import Framing

# What a call with one clip asks for again, as a stream of clips of one length does: the arrays are only read.
_KEPT = 64
Extent = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]


def extent_of(framing: Framing, own: np.ndarray, count: np.ndarray, margin: int, begins: int, loaded: int) -> Extent:
    """Return where rows lie in a kernel's memory layout of frames.

    These are the samples of each, its frames, the first frame that lies inside and the first behind those, and how many
    samples of the beginnings and the ends are copied.

    Args:
        own, count: samples and frames of each row, (rows,) or (1,).
        margin: samples of frame 0 that are read and lie before a row.
        begins: samples before which no frame is read inside a row.
        loaded: samples that are read of a frame.
    """
    hop = framing.hop_length
    own = own if not framing.where.left_out else np.maximum(own - framing.where.left_out, 1)
    first_inside = np.minimum(count, max(0, -(-begins // hop)))
    # a frame lies inside if all samples that are read for it do
    first_end = np.minimum(np.maximum((own + margin - loaded) // hop + 1, first_inside), count)
    most_before, most_after = int(first_inside.max()), int((count - first_end).max())
    n_before = (most_before - 1) * hop + loaded if most_before else 0
    n_after = (most_after - 1) * hop + loaded if most_after else 0
    return own, count, first_inside, first_end, n_before, n_after


@functools.lru_cache(maxsize=_KEPT)
def extent_of_one(framing: Framing, time: int, margin: int, begins: int, loaded: int) -> Extent:
    """Return where rows lie in a kernel's memory layout of frames, that all have as many samples."""
    return extent_of(framing, np.array([time]), np.array([framing.count(time)]), margin, begins, loaded)


def tiles_of(counts: np.ndarray, lanes: int) -> np.ndarray:
    """Return the tiles of a kernel's memory layout for rows of so many frames.  Shape: (rows,) -> (tiles, TILE)."""
    per_row = -(-counts // lanes)
    row = np.repeat(np.arange(len(counts)), per_row)
    first = (np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)) * lanes
    return np.stack([row, first, np.zeros_like(row)], axis=1)


@functools.lru_cache(maxsize=_KEPT)
def tiles_of_equal(rows: int, count: int, lanes: int) -> np.ndarray:
    """Return the tiles of a kernel's memory layout for rows that all have so many frames."""
    return tiles_of(np.full(rows, count), lanes)
