"""Memory layout of frames for the kernel that goes backward: where each frame's gradient is read and added.

The gradient of a frame's samples is added where the frame was read: in the gradient of its row, or in that of a copied
end, which goes to the samples it was copied from when all is added. Units of neighboring frames, as long as a frame
reaches at least, are dealt to threads in two runs, every other one in each: no two of a run reach the same sample. The
order in which a sample's gradient is added up is so the same in any batch and on any number of threads.
"""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.short_time.kernel import address_check, jit
from audiofeed.methods.short_time.kernel.frame_kernel import (
    ROW_BEGINNING,
    ROW_END,
    ROW_FIRST_END,
    ROW_INSIDE,
    KernelSpec,
)
from audiofeed.methods.short_time.kernel.gradient_kernel import GradientSpec
from audiofeed.methods.short_time.kernel.layout import NO_TAIL, FrameLayout, Tail
from audiofeed.parallel.kept_memory import kept_empty

# Frames of a unit where frames reach no further: enough for a thread to take at once, and few enough to be shared out
FRAMES_OF_EACH = 64


def gradient_spec(
    frames: FrameLayout, power: float | None, root_offset: float, bank: FilterBank | None, tail: Tail, *, by_line: bool
) -> GradientSpec:
    """Return the spec of the kernel that goes backward through a feature of frames in a memory layout."""
    of = frames.spec(power, root_offset, filters=bank is not None, tail=tail)
    return GradientSpec(of, by_line)


def gradient_of(
    frames: FrameLayout,
    gradient: torch.Tensor,
    power: float | None,
    root_offset: float = 0.0,
    bank: FilterBank | None = None,
    tail: Tail = NO_TAIL,
) -> torch.Tensor | None:
    """Compute the gradient of rows in a memory layout from that of a feature of their frames, by a kernel.

    Args:
        frames: the layout of the rows, of float32, without pre-emphasis of the clip.
        gradient: (rows, frames, values), float32, in any order of memory; values are the bins, their real and
            imaginary parts in turn, or the filters.
        power: of the magnitude, 1.0 or 2.0; None: the complex spectrum.
        root_offset, bank, tail: as in `FrameLayout.filtered`.

    Returns:
        (rows, time); None without a kernel.
    """
    by_line = bank is not None or (power is not None and gradient.stride(2) != 1 and gradient.stride(1) == 1)
    at = 1 if by_line else 2
    if gradient.stride(at) != 1 and gradient.shape[at] > 1:
        gradient = gradient.transpose(1, 2).contiguous().transpose(1, 2) if by_line else gradient.contiguous()
    spec = gradient_spec(frames, power, root_offset, bank, tail, by_line=by_line)
    kernel = jit.kernel(spec)
    if kernel is None:
        return None
    out = kept_empty(frames.waveform.shape, torch.float32).zero_()
    ends = np.zeros_like(frames.ends)
    _run(frames, kernel, spec, gradient, bank, tail, out, ends)
    _give_back(frames, ends, out)
    return out


def units_of(frames: FrameLayout) -> tuple[int, list[np.ndarray]]:
    """Return the frames of each unit of a memory layout, and the units of both runs of a kernel that goes backward.

    Shape: -> each (units, UNIT).
    """
    # a unit and the next but one are apart if a frame reaches no further than the hops of one unit and one hop more
    least = max(FRAMES_OF_EACH, -(-frames.loaded // frames.framing.hop_length))
    of_each = -(-least // frames.lanes) * frames.lanes
    per_row = -(-frames.counts // of_each)
    row = np.repeat(np.arange(len(per_row)), per_row)
    number = np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    units = np.stack([row, number * of_each], axis=1)
    return of_each, [np.ascontiguousarray(units[number % 2 == run]) for run in (0, 1)]


def _run(
    frames: FrameLayout,
    kernel: jit.Kernel,
    spec: GradientSpec,
    gradient: torch.Tensor,
    bank: FilterBank | None,
    tail: Tail,
    out: torch.Tensor,
    ends: np.ndarray,
) -> None:
    """Run the kernel that goes backward over the units of a memory layout, in two runs."""
    of: KernelSpec = spec.of
    hop, n_values = 4 * frames.framing.hop_length, gradient.shape[2]
    into = frames.rows.copy()
    row = np.arange(len(into))
    into[:, ROW_INSIDE] = out.data_ptr() + (row * out.shape[1] - frames.margin) * 4
    into[:, ROW_BEGINNING] = ends.ctypes.data + row * ends.shape[1] * 4
    into[:, ROW_END] = into[:, ROW_BEGINNING] + frames.n_before * 4 - into[:, ROW_FIRST_END] * hop
    win = frames.under.stop - frames.under.start
    back = np.zeros(frames.loaded + 1, np.float32)
    back[:win] = 2 * frames.window[:win]  # which is halved
    back[1 - frames.under.start % 2 :: 2] *= -1
    affine = tail.table(n_values)
    of_each, runs = units_of(frames)
    fields = {
        "frames_of_each": of_each,
        "rows": frames.rows.ctypes.data,
        "into": into.ctypes.data,
        "hop": hop,
        "window": frames.window.ctypes.data,
        "window_at": frames.under.start,
        "n_loaded": frames.loaded,
        "back": back.ctypes.data,
        "spans": 0,
        "weights": 0,
        "n_filters": 0,
        "source": gradient.data_ptr(),
        "pitch": 4 * gradient.stride(0),
        "stride": gradient.stride(2 if spec.by_line else 1),
        "affine": affine.ctypes.data,
        **of.numbers,
    }
    spans = weights = None
    if bank is not None and bank.tiles is not None:
        spans, weights = bank.tiles.spans, bank.filters.detach().numpy().reshape(-1)[bank.tiles.entries]
        fields |= {"spans": spans.ctypes.data, "weights": weights.ctypes.data, "n_filters": spans.shape[1]}
    for units in runs:
        if not len(units):
            continue
        if address_check.ENABLED:
            tables = {"window": frames.window, **kernel.tables}
            address_check.check_tables(of, tables, window_at=frames.under.start, n_loaded=frames.loaded)
            _check(frames, units, len(runs), into, of_each, spec, gradient, out, ends)
        kernel.run(len(units), {**fields, "units": units.ctypes.data})


def _check(
    frames: FrameLayout,
    units: np.ndarray,
    runs: int,
    into: np.ndarray,
    of_each: int,
    spec: GradientSpec,
    gradient: torch.Tensor,
    out: torch.Tensor,
    ends: np.ndarray,
) -> None:
    """Pass a memory layout of frames, and of what their gradient is added to, to the check of a kernel job."""
    rows, width = len(out), 4 * ends.shape[1]
    before = 4 * frames.n_before
    begin = gradient.data_ptr() + 4 * gradient.stride(0) * np.arange(rows)
    last = (frames.counts - 1) * gradient.stride(1) + (gradient.shape[2] - 1) * gradient.stride(2)
    storage = gradient.untyped_storage()
    address_check.check_gradient(
        units,
        runs,
        frames.rows,
        into,
        of_each=of_each,
        lanes=spec.lanes,
        hop=4 * frames.framing.hop_length,
        n_loaded=frames.loaded,
        read=frames.memory(),
        added=(
            address_check.memory_of_rows("gradient", out.data_ptr(), rows, 4 * out.shape[1], 4 * out.shape[1]),
            address_check.memory_of_rows("gradient of beginnings", ends.ctypes.data, rows, width, before),
            address_check.memory_of_rows("gradient of ends", ends.ctypes.data + before, rows, width, width - before),
        ),
        gradient=address_check.memory_of_rows("features' gradient", storage.data_ptr(), 1, 0, storage.nbytes()),
        reach=np.stack([begin, begin + 4 * (last + 1)], axis=1),
    )


def _give_back(frames: FrameLayout, ends: np.ndarray, out: torch.Tensor) -> None:
    """Add the gradient of copied ends of rows in a memory layout to that of the samples that they were copied from.

    Shape: ends as in the layout, out (rows, time).
    """
    own, n_before, margin = frames.own, frames.n_before, frames.margin
    n_after = ends.shape[1] - n_before
    if not ends.shape[1]:
        return
    found = torch.from_numpy(ends)
    if frames.framing.extends:
        places = torch.from_numpy(frames.places(own, n_before, n_after, frames.starts))
        out.scatter_add_(1, places.expand(len(out), -1), found)
        return
    same, every = len(own) == 1, slice(None)
    for row, (length, start) in enumerate(zip(own.tolist(), frames.starts.tolist(), strict=True)):
        some = every if same else slice(row, row + 1)
        n = min(length, n_before - margin) if n_before else 0
        if n > 0:
            out[some, :n] += found[some, margin : margin + n]
        n = min(length - start, n_after)
        if n > 0 and start >= 0:
            out[some, start : start + n] += found[some, n_before : n_before + n]
