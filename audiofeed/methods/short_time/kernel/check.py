"""Every address that a kernel is to read or write, checked before it runs: a switch for those who change `layout`.

A slip in the layout is no exception but foreign memory. With AUDIOFEED_CHECK_KERNELS=1 in the environment each job is
followed tile by tile, frame by frame, as the kernel will, and an address outside its memory raises an IndexError.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.short_time.kernel.source import ROW, TILE, Recipe

SWITCH = "AUDIOFEED_CHECK_KERNELS"
ENABLED = os.environ.get(SWITCH) == "1"


@dataclass(frozen=True)
class Memory:
    """A stretch of memory for each row of something: where it begins and ends, in bytes."""

    name: str
    begins: np.ndarray
    ends: np.ndarray

    def holds(self, rows: np.ndarray, tiles: np.ndarray, first: np.ndarray, size: np.ndarray | int) -> None:
        """Raise an IndexError unless `size` bytes from each address on lie inside the row's stretch."""
        outside = np.flatnonzero((first < self.begins[rows]) | (first + size > self.ends[rows]))
        if outside.size:
            at = int(outside[0])
            row, length = int(rows[at]), int(np.broadcast_to(size, first.shape)[at])
            raise IndexError(
                f"tile {int(tiles[at])}, row {row}: bytes {int(first[at]):#x} to {int(first[at]) + length:#x} are not "
                f"inside the {self.name}, {int(self.begins[row]):#x} to {int(self.ends[row]):#x}"
            )


def stretches(name: str, address: int, rows: int, pitch: int, size: int) -> Memory:
    """A stretch of `size` bytes every `pitch` bytes from an address on."""
    begins = address + np.arange(rows, dtype=np.int64) * pitch
    return Memory(name, begins, begins + size)


def check_job(
    recipe: Recipe,
    tiles: np.ndarray,
    table: np.ndarray,
    *,
    hop: int,
    waveform: Memory,
    ends: Memory,
    result: Memory,
    stride: int,
    spans: np.ndarray | None,
    n_weights: int,
) -> None:
    """Raise an IndexError for the first address of a job outside its memory.

    Args:
        recipe: what the kernel computes.
        tiles: (tiles, TILE).
        table: (rows, ROW).
        hop: bytes from frame to frame.
        waveform: the samples of each row.
        ends: the copies of each row's beginning and end.
        result: the memory that is written, as one row.
        stride: floats from one filter's result to the next one's.
        spans: (3, n) of the filters; None: no filters.
        n_weights: how many weights of filters there are.
    """
    column = {name: table[:, i] for i, name in enumerate(ROW)}
    rows, first, out = (tiles[:, TILE.index(name)] for name in ("row", "first", "out"))
    number = np.arange(len(tiles))
    lane = np.arange(recipe.lanes)
    frame = np.minimum(first[:, None] + lane, column["count"][rows][:, None] - 1)  # (tile, lane)
    early = frame < column["first_inside"][rows][:, None]
    late = ~early & (frame >= column["first_end"][rows][:, None])
    base = np.where(late, column["end"][rows][:, None], column["inside"][rows][:, None])
    address = np.where(early, column["beginning"][rows][:, None], base) + frame * hop
    size = recipe.n_loaded * (2 if recipe.int16 else 4)
    of_row, of_tile = (np.broadcast_to(values[:, None], frame.shape) for values in (rows, number))
    for memory, where in ((ends, early | late), (waveform, ~(early | late))):
        memory.holds(of_row[where], of_tile[where], address[where], size)
    kept = np.minimum(column["count"][rows] - first, recipe.lanes)
    if spans is None:
        written = 4 * kept * recipe.n_values
    else:
        written = 4 * ((spans.shape[1] - 1) * stride + kept)
        low, high, place = spans
        if (
            (low < 0).any()
            or (high > recipe.n_bins).any()
            or (place + low < 0).any()
            or (place + high > n_weights).any()
        ):
            raise IndexError(f"the spans of {spans.shape[1]} filters reach outside {recipe.n_bins} bins or the weights")
    result.holds(np.zeros_like(rows), number, out, written)
