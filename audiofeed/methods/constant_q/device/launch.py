"""The constant-Q kernels for a GPU, called for batches: what depends on a batch's shape alone is made once."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from audiofeed.methods.constant_q.device.layout import Layout, extents
from audiofeed.methods.constant_q.device.text import DECIMATING, FRAMES, MOST_ITEMS, MOST_LEVELS, THREADS, Form, name_of
from audiofeed.methods.short_time.fused import cuda_launch, nvrtc
from audiofeed.methods.spectrum import raise_power

MOST_BLOCKS = 2**31 - 1
MOST_SAMPLES = 2**30  # of a row: the kernels count them in 32 bits
_MOST_SHAPES = 64
_POINTERS = ("samples", "lengths", "kernels", "taps", "scratch", "out")
_INTS = ("time", "n_rows", "n_frames", "n_tiles", "n_bins", "factor", "hop", "unused")


class LevelNumbers(ctypes.Structure):
    """Level of the constant-Q kernels, as `octaves.cu` has it."""

    _fields_ = (
        ("offset", ctypes.c_longlong),
        ("stride", ctypes.c_longlong),
        *((name, ctypes.c_int) for name in ("start", "step", "taps", "blocks")),
    )


class ItemNumbers(ctypes.Structure):
    """Item of the constant-Q kernels, as `octaves.cu` has it."""

    _fields_ = (
        ("kernels", ctypes.c_longlong),
        *((name, ctypes.c_int) for name in ("level", "hop", "before", "chunks", "first", "n_bins")),
    )


class Job(ctypes.Structure):
    """First argument of all constant-Q kernels, as `octaves.cu` has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("row_stride", ctypes.c_longlong),
        *((name, ctypes.c_int) for name in _INTS),
        ("levels", LevelNumbers * MOST_LEVELS),
        ("items", ItemNumbers * MOST_ITEMS),
    )


class Launcher(Protocol):
    """What launches the constant-Q kernels: `nvrtc.LoadedTogether` on a card, and in the tests a CPU."""

    def launch(self, calls: Sequence[nvrtc.Call]) -> None: ...


@functools.lru_cache(maxsize=64)
def launcher(form: Form, device: torch.device) -> Launcher:
    """Return what launches the constant-Q kernels on a device: compiled at their first use there, some 0.4 seconds.

    Raises:
        CompilerError: if they cannot be compiled or loaded.
    """
    major, minor = cuda_launch.capability(device)
    return nvrtc.LoadedTogether(nvrtc.compiled(form.text(), f"sm_{major}{minor}"), form.kernels, device)


@functools.lru_cache(maxsize=64)
def processors(device: torch.device) -> int:
    """Return the multiprocessors of a card, for which the constant-Q kernels deal out their work."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


@dataclass
class _Batch:
    """Launches of the constant-Q kernels for batches of one shape, and the argument that they share."""

    job: Job
    calls: tuple[nvrtc.Call, ...]
    scratch: int
    shape: tuple[int, int, int]


class OctaveKernels:
    """Constant-Q kernels of a GPU for one transform there.

    Args:
        layout: of the transform.
        device: of torch.
        pairs: of samples of the next level, that a thread makes; None: those with which it takes the least time.

    Raises:
        CompilerError: if they cannot be compiled or loaded.
    """

    def __init__(self, layout: Layout, device: torch.device, pairs: int | None = None) -> None:
        self._layout, self._pairs = layout, pairs
        self._launcher, self._processors = launcher(layout.form, device), processors(device)
        self._batches: dict[tuple[int, int], _Batch | None] = {}
        self._lock = threading.Lock()

    def compute(
        self,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        kernels: torch.Tensor,
        taps: torch.Tensor,
        power: float | None,
    ) -> torch.Tensor | None:
        """Compute constant-Q features of rows that are silent past their ends, 0 past each row's own frames.

        Args:
            waveform: float32 on the device.
            lengths: on the device.
            kernels, taps: see `layout.kernel_table` and `layout.filter_taps`.
            power: of the magnitude; None: complex.

        Returns:
            None if the batch is too large.

        Raises:
            CompilerError: if they cannot be launched.

        Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bins, frames).
        """
        n_rows, time = waveform.shape
        if waveform.stride(1) != 1:
            waveform = waveform.contiguous()
        if lengths is not None and not (lengths.dtype == torch.int64 and lengths.is_contiguous()):
            lengths = lengths.to(torch.int64).contiguous()
        dtype = torch.complex64 if power is None else torch.float32
        with self._lock:
            key = (n_rows, time)
            if key not in self._batches:
                if len(self._batches) >= _MOST_SHAPES:
                    self._batches.clear()
                self._batches[key] = self._batch(n_rows, time)
            batch = self._batches[key]
            if batch is None:
                return None
            out = torch.empty(batch.shape, dtype=dtype, device=waveform.device)
            scratch = torch.empty(batch.scratch, dtype=torch.float32, device=waveform.device)
            job = batch.job
            job.samples, job.lengths = waveform.data_ptr(), None if lengths is None else lengths.data_ptr()
            job.kernels, job.taps = kernels.data_ptr(), taps.data_ptr()
            job.scratch, job.out = scratch.data_ptr(), out.data_ptr()
            job.row_stride = waveform.stride(0)
            if out.numel():
                with torch.cuda.device_of(waveform):
                    self._launcher.launch(batch.calls)
        return out if power in (None, 1.0, 2.0) else raise_power(out, power)

    def _batch(self, n_rows: int, time: int) -> _Batch | None:
        """Prepare batches of a shape for the constant-Q kernels; None: too large."""
        layout = self._layout
        n_frames = -(-time // layout.factor) // layout.hop + 1 if time > 0 else 0
        n_tiles = -(-n_frames // FRAMES)
        found, scratch = extents(layout, n_rows, time, self._processors, self._pairs)
        n_blocks = [n_rows * extent.blocks for extent in found]
        of_products = len(layout.items) * n_rows * n_tiles
        if max(of_products, *n_blocks, 0) > MOST_BLOCKS or time > MOST_SAMPLES:
            return None
        job = Job(
            time=time, n_rows=n_rows, n_frames=n_frames, n_tiles=n_tiles, n_bins=layout.n_bins, factor=layout.factor,
            hop=layout.hop,
        )  # fmt: skip
        for number, (start, step, taps) in enumerate(zip(layout.starts, layout.steps, layout.taps, strict=True)):
            level = job.levels[number]
            level.start, level.step, level.taps = start, step, taps
            if number:
                extent = found[number - 1]
                level.offset, level.stride, level.blocks = extent.offset, extent.stride, extent.blocks
        for number, item in enumerate(layout.items):
            job.items[number] = ItemNumbers(
                item.kernels, item.level, item.hop, item.before, item.chunks, item.first, item.n_bins
            )
        calls = [
            nvrtc.call_of(name_of(layout.factors[number], extent.pairs), blocks, DECIMATING, job, ctypes.c_int(number))
            for number, (extent, blocks) in enumerate(zip(found, n_blocks, strict=True), 1)
        ]
        calls.append(nvrtc.call_of("products", of_products, THREADS, job, ctypes.c_int(0)))
        return _Batch(job, tuple(calls), scratch, (n_rows, layout.n_bins, n_frames))
