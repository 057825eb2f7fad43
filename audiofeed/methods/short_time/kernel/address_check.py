"""A debug switch for those who change `layout`: check every address that a kernel reads or writes, before it runs.

A wrong address is no exception but foreign memory. With AUDIOFEED_CHECK_KERNELS=1 in the environment, or inside
`checking()`, each job is followed tile by tile, frame by frame, and an address outside its memory raises an IndexError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from audiofeed.methods.short_time.kernel import fourier
from audiofeed.methods.short_time.kernel.frame_kernel import ROW, ROW_COUNT, TILE_FIRST, TILE_OUT, TILE_ROW, KernelSpec
from audiofeed.methods.short_time.kernel.gradient_kernel import GradientSpec

SWITCH = "AUDIOFEED_CHECK_KERNELS"
ENABLED = os.environ.get(SWITCH) == "1"


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """Check the addresses of all kernel jobs inside the `with`."""
    global ENABLED  # the switch of a debug mode
    before, ENABLED = ENABLED, True
    try:
        yield
    finally:
        ENABLED = before


@dataclass(frozen=True)
class Memory:
    """Memory of each row of an array, against which the addresses of a kernel job are checked.

    That of a row reaches from its first address to that after its last byte.
    """

    name: str
    begins: np.ndarray
    ends: np.ndarray

    def holds(self, rows: np.ndarray, tiles: np.ndarray, first: np.ndarray, size: np.ndarray | int) -> None:
        """Check that addresses of a kernel job, `size` bytes from each on, lie inside the memory of their rows.

        Raises an IndexError for the first that does not.
        """
        outside = np.flatnonzero((first < self.begins[rows]) | (first + size > self.ends[rows]))
        if outside.size:
            at = int(outside[0])
            row, length = int(rows[at]), int(np.broadcast_to(size, first.shape)[at])
            raise IndexError(
                f"tile {int(tiles[at])}, row {row}: bytes {int(first[at]):#x} to {int(first[at]) + length:#x} are not "
                f"inside the {self.name}, {int(self.begins[row]):#x} to {int(self.ends[row]):#x}"
            )


def memory_of_rows(name: str, address: int, rows: int, pitch: int, size: int) -> Memory:
    """Return the memory of rows, one every `pitch` bytes, to check addresses of a kernel job against.

    Each row has `size` bytes, and the first begins at `address`.
    """
    begins = address + np.arange(rows, dtype=np.int64) * pitch
    return Memory(name, begins, begins + size)


def memory_of(name: str, values: torch.Tensor) -> Memory:
    """Return the memory of a tensor, from its first value to its last, as one row to check addresses against."""
    places = (step * (size - 1) for size, step in zip(values.shape, values.stride(), strict=True))
    n = 1 + sum(places) if values.numel() else 0
    return memory_of_rows(name, values.data_ptr(), 1, 0, n * values.element_size())


def check_job(
    spec: KernelSpec,
    tiles: np.ndarray,
    table: np.ndarray,
    *,
    hop: int,
    n_loaded: int,
    read: tuple[Memory, Memory, Memory],
    result: Memory,
    stride: int,
    spans: np.ndarray | None,
    n_weights: int,
    clear_to: int,
) -> None:
    """Check the addresses of a kernel job, and raise an IndexError for the first outside its memory.

    Args:
        spec: what the kernel computes.
        tiles: (tiles, TILE).
        table: (rows, ROW).
        hop: bytes from frame to frame.
        n_loaded: samples that are read of each frame.
        read: the samples of each row, the copy of its beginning and that of its end.
        result: the memory that is written, as one row.
        stride: floats from one filter's result to the next one's, or from one frame's to the next one's.
        spans: (3, n) of the filters; None: no filters.
        n_weights: how many weights of filters there are.
        clear_to: frames up to which a row is cleared past its own; 0: it is not.
    """
    outside = (tiles[:, TILE_ROW] < 0) | (tiles[:, TILE_ROW] >= len(table)) | (tiles[:, TILE_FIRST] < 0)
    if outside.any():
        raise IndexError(f"tile {int(np.flatnonzero(outside)[0])} is of none of the {len(table)} rows")
    rows, first, out = tiles[:, TILE_ROW], tiles[:, TILE_FIRST], tiles[:, TILE_OUT]
    size = n_loaded * (2 if spec.int16 else 4)
    _check_frames(rows, first, spec.lanes, table, hop, size, read, before=4 if spec.emphasis else 0)
    count = table[rows, ROW_COUNT]
    kept = np.where(first + spec.lanes < count, spec.lanes, np.maximum(count, clear_to) - first)
    if spec.by_bin:
        written = 4 * ((spec.n_bins - 1) * stride + kept)
    elif spans is None:
        written = 4 * ((kept - 1) * stride + spec.n_values)
    else:
        written = 4 * ((spans.shape[1] - 1) * stride + kept)
        low, high, place = spans
        if (low < 0).any() or (high > spec.n_bins).any() or (place + low < 0).any() or (place + high > n_weights).any():
            raise IndexError(f"the spans of {spans.shape[1]} filters reach outside {spec.n_bins} bins or the weights")
    result.holds(np.zeros_like(rows), np.arange(len(tiles)), out, written)


def _check_frames(
    rows: np.ndarray,
    first: np.ndarray,
    n_frames: int,
    table: np.ndarray,
    hop: int,
    size: int,
    memory: tuple[Memory, Memory, Memory],
    *,
    before: int = 0,
) -> None:
    """Check that a kernel finds frames of a job inside their memory: `size` bytes of each, and some before it.

    Args:
        rows, first: of each tile or unit, (n,).
        n_frames: of each of them, of which those past a row's last repeat it.
        table: (rows, ROW).
        hop, size, before: bytes.
        memory: of the rows, of the copies of their beginnings and of those of their ends.
    """
    column = {name: table[:, i][rows][:, None] for i, name in enumerate(ROW)}
    frame = np.minimum(first[:, None] + np.arange(n_frames), column["count"] - 1)  # (tile, lane)
    early = frame < column["first_inside"]
    late = ~early & (frame >= column["first_end"])
    address = np.where(early, column["beginning"], np.where(late, column["end"], column["inside"])) + frame * hop
    of_row, of_tile = (np.broadcast_to(values[:, None], frame.shape) for values in (rows, np.arange(len(rows))))
    for own, where in zip(memory, (~(early | late), early, late), strict=True):
        own.holds(of_row[where], of_tile[where], address[where] - before, size + before)


def check_gradient(
    units: np.ndarray,
    runs: int,
    table: np.ndarray,
    into: np.ndarray,
    *,
    of_each: int,
    lanes: int,
    hop: int,
    n_loaded: int,
    read: tuple[Memory, Memory, Memory],
    added: tuple[Memory, Memory, Memory],
    gradient: Memory,
    reach: np.ndarray,
) -> None:
    """Check the addresses of a kernel job that goes backward, and that no two units of a run reach the same sample.

    Args:
        units: (units, UNIT) of one run.
        runs: how many runs there are.
        table, into: (rows, ROW) of what is read, and of what is added to.
        of_each: frames of a unit.
        lanes: frames that are computed at once.
        hop: bytes from frame to frame.
        n_loaded: samples that are read of each frame.
        read, added: the memory of rows, of copied beginnings and of copied ends.
        gradient: the memory of the features' gradient, as one row.
        reach: (rows, 2), the first address that is read of each row's gradient, and the one after the last.
    """
    rows, first = units.T
    if of_each % lanes or of_each < 1 or (first % of_each).any() or (rows >= len(table)).any() or (rows < 0).any():
        raise IndexError(f"units of {of_each} frames do not begin at whole tiles of the {len(table)} rows")
    run = first // of_each % runs
    if (runs * of_each - of_each + 1) * hop < 4 * n_loaded or (run != run[0]).any():
        raise IndexError(f"two units of {of_each} frames reach the same samples, or are not of one run")
    for where, memory in ((table, read), (into, added)):
        _check_frames(rows, first, of_each, where, hop, 4 * n_loaded, memory)
    zero = np.zeros(len(reach), np.int64)
    gradient.holds(zero, np.arange(len(reach)), reach[:, 0], reach[:, 1] - reach[:, 0])


def check_closing(
    spec: KernelSpec,
    tiles: np.ndarray,
    counts: np.ndarray,
    rows_of_each: int,
    pitch: int,
    stride: int,
    out: torch.Tensor,
    held: dict[str, np.ndarray],
) -> None:
    """Check that a kernel job closes each clip once, when it is complete and inside its memory, or raise an IndexError.

    Args:
        spec: what the kernel computes.
        tiles: (tiles, TILE), of which those of a clip are to follow each other.
        counts: (rows,) frames of each row.
        rows_of_each: rows of each clip.
        pitch: bytes of a row's result.
        stride: floats from one line of it to the next one's.
        out: the result.
        held: the memory that the kernel counts tiles in, and keeps their peaks.
    """
    rows = len(counts)
    if rows_of_each < 1 or rows % rows_of_each:
        raise IndexError(f"{rows} rows are not whole clips of {rows_of_each}")
    per_row = -(-counts // spec.lanes)
    first = np.arange(len(tiles)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    ordered = np.array_equal(tiles[:, TILE_ROW], np.repeat(np.arange(rows), per_row))
    if not ordered or not np.array_equal(tiles[:, TILE_FIRST], first * spec.lanes):
        raise IndexError(
            f"the tiles of {rows} rows do not follow each other, and no clip is closed when it is complete"
        )
    if (counts.reshape(-1, rows_of_each) != counts[::rows_of_each, None]).any() or (counts > stride).any():
        raise IndexError(f"the rows of a clip do not have the same number of frames, or more than {stride}")
    if pitch * rows > out.numel() * out.element_size():
        raise IndexError(f"{rows} rows of {pitch} bytes are not inside the result")
    if len(held["done"]) < rows // rows_of_each or (spec.peak and len(held["peaks"]) < len(tiles)):
        raise IndexError(f"the memory in which {rows // rows_of_each} clips are closed is too small")


def check_tables(spec: KernelSpec, arrays: dict[str, np.ndarray], *, window_at: int, n_loaded: int) -> None:
    """Check that a kernel's tables are as long as it reads them, and raise an IndexError if one is not.

    Args:
        spec: the kernel's settings.
        arrays: float32 "window", "twiddles" and "turns".
        window_at, n_loaded: where the window stands in a frame, and the samples read from there on.
    """
    if window_at < 0 or n_loaded % spec.lanes or window_at + n_loaded > spec.n_fft + spec.lanes:
        raise IndexError(
            f"{n_loaded} samples from {window_at} on are not whole vectors of {spec.lanes} in frames of {spec.n_fft}"
        )
    half, left, twiddles = spec.n_fft // 2, spec.n_fft // 2, 0
    for radix in fourier.radices(half) or []:
        left //= radix
        twiddles += 2 * left * (radix - 1) if left > 1 else 0
    needed = {"window": 2 * n_loaded + 1, "twiddles": twiddles, "turns": 2 * (half // 2 + 1)}
    for name, count in needed.items():
        found = arrays[name]
        if found.dtype != np.float32 or not found.flags.c_contiguous or found.size < count:
            raise IndexError(f"{name} has {found.size} values of {found.dtype}, and the kernel reads {count} floats")


def check_memory(spec: KernelSpec | GradientSpec, memory: np.ndarray, begin: int, of_each: int, n_threads: int) -> None:
    """Check that each kernel thread has aligned memory of its own, as large as its vectors, or raise an IndexError.

    Args:
        spec: the kernel's settings.
        memory: the bytes that all threads share.
        begin: address of the first thread's part.
        of_each: bytes from one thread's part to the next one's.
        n_threads: how many threads run.
    """
    vector = 4 * spec.lanes
    if begin % vector or of_each % vector:
        raise IndexError(f"threads work from {begin:#x} on, {of_each} bytes each, not aligned to {vector} bytes")
    first, end = memory.ctypes.data, memory.ctypes.data + memory.nbytes
    if begin < first or begin + n_threads * of_each > end or of_each < spec.memory * vector:
        raise IndexError(
            f"the memory of {n_threads} threads, {of_each} bytes each from {begin:#x} on, is not inside {first:#x} to "
            f"{end:#x}, or smaller than {spec.memory * vector} bytes"
        )
