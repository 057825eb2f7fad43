"""Constant-Q transforms: products of frames with short kernels, at a rate that falls from level to level.

Without a graph on a CPU rows are computed a few at a time, long ones segment by segment, in memory that the next ones
take over. A segment sees so much of the clip beyond its own frames that they come out as in the whole clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F

from audiofeed.methods import frames as blocks
from audiofeed.methods.constant_q.decimation import (
    Decimation,
    clear_unfilled,
    decimate,
    decimate_into,
    filled_length,
    lower_length,
    padded_length,
)
from audiofeed.methods.constant_q.kernel.program import Program
from audiofeed.methods.constant_q.kernel.run import octaves
from audiofeed.methods.frames import Count, Framing, mirrored
from audiofeed.methods.lengths import clear_past, runs_of
from audiofeed.methods.precision import conv1d, matmul, matmul_into
from audiofeed.methods.spectrum import raise_power, squared_magnitude_into, summed_squares
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import first_columns
from audiofeed.parallel.observed import as_long_as_traced, is_exporting, plain_size
from audiofeed.plans.constant_q.block_basis import BlockBasis
from audiofeed.plans.constant_q.levels import Band, Level

# A segment holds this many times what it sees beyond its frames on both sides, so that little is computed twice.
_SEGMENT = 8


def frame_count(length: Count, level: Level) -> Count:
    """Return the centered frames of a clip at the first octave level of a constant-Q transform; 0 for an empty one.

    >>> frame_count(1000, Level(factor=1, part=1.0, hop_length=512, bands=()))
    2
    """
    count = lower_length(length, level.factor) // level.hop_length + 1
    if isinstance(count, torch.Tensor):
        return count * (length > 0)  # one operation less than to choose between two
    return count if length > 0 else 0


@dataclass(frozen=True, kw_only=True)
class BlockKernels:
    """Constant-Q octave kernels in blocks, for float32 without a graph: see `plans.constant_q.block_basis`.

    A block has `block` taps.  Shape: basis (block, rank), weights (blocks * rank, 2 * bins).
    """

    block: int
    basis: torch.Tensor
    weights: torch.Tensor


def in_blocks(bases: dict[int, BlockBasis]) -> dict[int, BlockKernels]:
    """Return constant-Q octave kernels in blocks, by first bin, as tensors of float32."""
    return {
        first: BlockKernels(
            block=made.block,
            basis=torch.from_numpy(made.basis).float(),
            weights=torch.from_numpy(made.weights).float(),
        )
        for first, made in bases.items()
    }


# Frames of so many hops or more are not copied to be multiplied, if a hop holds so many times as many samples as the
# frame has products.
_LEAST_HOPS, _LEAST_SAMPLES = 4, 4


def _is_long(band: Band, level: Level) -> bool:
    """Check if an octave band's constant-Q kernels are long enough to multiply hop by hop: see `_diagonals`."""
    hop = level.hop_length
    return band.taps >= _LEAST_HOPS * hop and hop >= _LEAST_SAMPLES * 2 * len(band.bins)


def _hop_kernels(kernels: torch.Tensor, hop: int) -> torch.Tensor:
    """Cut the constant-Q kernels of an octave level into hops, the last filled with zeros.

    Shape: (n, taps) -> (hop, hops * n).
    """
    n, taps = kernels.shape
    return F.pad(kernels, (0, -taps % hop)).view(n, -1, hop).permute(2, 1, 0).reshape(hop, -1)


# With a kernel cut into hops, frame f is a sum over pairs of hops,
#
#     y_f = sum_j kernel_j . x_(f + j),
#
# so one product of every hop of the signal with every part of the kernels holds all that is needed, on its diagonals.
# The frames, which overlap, need not be copied.
def _diagonals(products: torch.Tensor, count: int, n: int) -> torch.Tensor:
    """Sum the products of hop f + j with kernel part j to the constant-Q frames f of an octave level.

    Shape: (rows, hops, parts * n) -> (rows, count, n).
    """
    rows, hops, columns = products.shape
    view = products.as_strided((rows, count, columns // n, n), (hops * columns, columns, columns + n, 1))
    return view.sum(2)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Levels, kernels, decimation filters and output of a batched constant-Q transform by octaves.

    Args:
        hop_length: in samples of the clip.
        kernels: of the bands of all levels, one after another: see `plans.constant_q.levels.octave_kernels`.
        blocks: the same kernels in blocks, for those of the bands that are faster so, by their first bin.
        decimations: by factor.
        power: of the magnitude; None: complex values.
        hops: the long kernels, cut into hops, by first bin; see `cut_into_hops`.
        program: the same for machine code on a CPU without a graph; None: torch computes.
    """

    levels: tuple[Level, ...]
    hop_length: int
    kernels: torch.Tensor
    blocks: dict[int, BlockKernels]
    decimations: dict[int, Decimation]
    pad_mode: str
    power: float | None
    hops: dict[int, torch.Tensor] = field(default_factory=dict)
    program: Program | None = None

    @property
    def n_bins(self) -> int:
        return max(band.end for level in self.levels for band in level.bands)

    def bands(self, level: Level) -> Iterator[tuple[Band, torch.Tensor]]:
        """Yield the bands of a constant-Q octave level, each with its kernel tensor (2 * bins, taps)."""
        start = 0
        for other in self.levels:
            for band in other.bands:
                if other is level:
                    yield band, self.kernels[start : start + band.size].view(-1, band.taps)
                start += band.size

    def cut_into_hops(self) -> dict[int, torch.Tensor]:
        """Return the constant-Q octave kernels that are multiplied hop by hop, cut into hops, by first bin."""
        return {
            band.first: _hop_kernels(kernels, level.hop_length)
            for level in self.levels
            for band, kernels in self.bands(level)
            if band.first not in self.blocks and _is_long(band, level)
        }

    @property
    def context(self) -> int:
        """Samples on either side of a frame's center that its constant-Q octaves may depend on."""
        seen, scale = 0, 1
        most = 0
        for level in self.levels:
            if level.factor > 1:
                seen += self.decimations[level.factor].reach * scale
                scale *= level.factor
            most = max(most, seen + _margin(level) * scale)
        return most


def _margin(level: Level) -> int:
    """Return samples on either side of a frame's center that a constant-Q octave sees, in whole hops if these count."""
    hop = level.hop_length
    return max(
        max(band.before, band.taps + (-band.taps % hop if _is_long(band, level) else 0) - band.before)
        for band in level.bands
    )


def constant_q(
    waveform: torch.Tensor, lengths: torch.Tensor | None, execution: Execution, *, graph: bool
) -> torch.Tensor:
    """Compute the constant-Q transform of batched waveforms, one octave level after another.

    Each row is extended past its own ends by the pad mode at every level.

    Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bins, frames).
    """
    if graph or waveform.device.type != "cpu":
        return _together(waveform, lengths, execution, graph=graph)
    if execution.program is not None:
        return _by_kernels(waveform, lengths, execution, execution.program).transpose(1, 2)
    execution = replace(execution, hops=execution.cut_into_hops())
    count = frame_count(waveform.shape[-1], execution.levels[0])
    dtype = waveform.dtype if execution.power is not None else waveform.dtype.to_complex()
    out = torch.empty(waveform.shape[0], count, execution.n_bins, dtype=dtype, device=waveform.device)
    workspace = Workspace(waveform)
    for rows, length in _runs(waveform, lengths):
        own = frame_count(length, execution.levels[0])
        _segments(out[rows, :own], waveform[rows, :length], execution, workspace)
        if execution.power is not None:
            values = out[rows, :own]
            raised = raise_power(values, execution.power)
            if raised is not values:  # another thread's derivative forward is seen here too
                values.copy_(raised)
    return out.transpose(1, 2)


def _by_kernels(
    waveform: torch.Tensor, lengths: torch.Tensor | None, execution: Execution, program: Program
) -> torch.Tensor:
    """Compute the constant-Q transform of batched waveforms by machine code.  Shape: -> (rows, frames, bins)."""
    own = [waveform.shape[-1]] * len(waveform) if lengths is None else lengths.tolist()
    counts = [frame_count(length, execution.levels[0]) for length in own]
    most = frame_count(waveform.shape[-1], execution.levels[0])
    at = {"hop_length": execution.hop_length, "context": execution.context}
    found = octaves(waveform, own, program, **at, counts=counts, most=most)
    return found if execution.power in (None, 1.0, 2.0) else raise_power(found, execution.power)


# ---------------------------------------------------------------- with a graph


def _together(
    waveform: torch.Tensor, lengths: torch.Tensor | None, execution: Execution, *, graph: bool
) -> torch.Tensor:
    """Compute constant-Q octaves of all rows and frames at once, or as many frames as a piece of GPU memory holds."""
    waveform = as_long_as_traced(waveform)
    count = frame_count(plain_size(waveform.shape[-1]), execution.levels[0])
    signal = waveform if lengths is None else clear_past(waveform, lengths)
    found: list[tuple[int, torch.Tensor]] = []
    hops = {} if torch.compiler.is_compiling() else execution.cut_into_hops()
    factor = 1
    for level in execution.levels:
        if level.factor > 1:
            by = execution.decimations[level.factor]
            filled = filled_length(signal.shape[-1], level.factor)
            signal = decimate(signal, by.response, level.factor, by.block, by.reach)
            if lengths is not None:
                signal = clear_unfilled(signal, lengths, level.factor, factor, graph=graph)
            elif is_exporting() or filled != signal.shape[-1]:
                signal = F.pad(first_columns(signal, filled), (0, signal.shape[-1] - filled))
            factor *= level.factor
        margin = _margin(level)
        framing = Framing(n_fft=2 * margin, hop_length=1, center=True, pad_mode=execution.pad_mode)
        # past its own end a row is 0 by now
        ends = lower_length(lengths, factor) if lengths is not None and framing.extends else None
        padded = framing.pad(signal, ends)
        for band, kernels in execution.bands(level):
            seen = padded[:, margin - band.before :]
            if band.first in hops:
                values = _hop_products(seen, hops[band.first], len(kernels), level.hop_length, count)
            else:
                values = _framed(seen, kernels, level.hop_length, count)
            found.append((band.first, values))
    found.sort(key=lambda item: item[0])
    values = torch.cat([values for _, values in found], dim=-1)  # (row, frame, 2 * bin)
    pairs = values.unflatten(-1, (-1, 2))
    if execution.power is None:
        return torch.view_as_complex(pairs).transpose(1, 2)
    return raise_power(summed_squares(pairs, -1), execution.power).transpose(1, 2)


def _framed(padded: torch.Tensor, kernels: torch.Tensor, hop: int, count: int) -> torch.Tensor:
    """Multiply the frames of batched signals by the constant-Q kernels of an octave level.

    Shape: (rows, time), kernels (2 * bins, taps) -> (rows, frames, 2 * bins).
    """
    taps = kernels.shape[-1]
    if torch.compiler.is_compiling():  # or exporting: a plain graph
        return conv1d(first_columns(padded, (count - 1) * hop + taps), kernels, hop).transpose(1, 2)
    frames = padded.unfold(-1, taps, hop)[:, :count]
    most = max(1, blocks.GPU_BLOCK // (taps * plain_size(padded.shape[0])))
    parts = []
    for first in range(0, count, most):
        part = frames[:, first : first + most]
        parts.append(matmul(part.reshape(-1, taps), kernels.t()).view(*part.shape[:2], -1))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _hop_products(padded: torch.Tensor, kernels: torch.Tensor, n: int, hop: int, count: int) -> torch.Tensor:
    """Multiply frames by the constant-Q kernels of an octave level cut into hops, with a graph or on a GPU.

    Shape: (rows, time), kernels (hop, parts * n) -> (rows, frames, n).
    """
    hops = count + kernels.shape[1] // n - 1
    rows = padded.shape[0]
    # so many frames that the products of their hops take no more memory than a piece of a GPU's may
    most = max(1, blocks.GPU_BLOCK // (kernels.shape[1] * plain_size(rows)))
    parts = []
    for first in range(0, count, most):
        some = min(most, count - first)
        seen = padded[:, first * hop : (first + some + hops - count) * hop].reshape(-1, hop)
        parts.append(_diagonals(matmul(seen, kernels).view(rows, -1, kernels.shape[1]), some, n))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


# ---------------------------------------------------------------- without a graph, on a CPU


def _runs(waveform: torch.Tensor, lengths: torch.Tensor | None) -> Iterator[tuple[slice, int]]:
    """Yield (rows, their samples) for constant-Q octaves of neighboring rows of one length, few enough for a cache."""
    rows, time = waveform.shape
    own = [time] * rows if lengths is None else lengths.tolist()
    return runs_of(own, lambda length: max(1, blocks.CPU_BLOCK // length))


def _segments(out: torch.Tensor, waveform: torch.Tensor, execution: Execution, workspace: Workspace) -> None:
    """Write constant-Q octaves of rows, squared magnitudes or complex, segment by segment if the rows are long.

    Shape: out (rows, frames, bins), waveform (rows, time).
    """
    hop, count, time, context = execution.hop_length, out.shape[1], waveform.shape[-1], execution.context
    # a segment begins on a sample that every level keeps, so that its levels fall onto those of the whole clip
    grid = round(1.0 / execution.levels[-1].part)
    size = max(1, max(_SEGMENT * context, blocks.CPU_BLOCK) // hop)
    for first in range(0, count, size):
        stop = min(first + size, count)
        start = max(0, first * hop - context) // grid * grid
        end = time if stop == count else min(time, (stop - 1) * hop + context)
        _levels(out[:, first:stop], waveform[:, start:end], first * hop - start, execution, workspace)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """Rows of a constant-Q octave level: `time` samples from column `left` on between zeros, in a workspace."""

    memory: torch.Tensor
    left: int
    time: int

    @property
    def inside(self) -> torch.Tensor:
        return self.memory[:, self.left : self.left + self.time]


def _levels(out: torch.Tensor, waveform: torch.Tensor, offset: int, execution: Execution, workspace: Workspace) -> None:
    """Write a segment's constant-Q frames by octaves, the first centered on `offset`; shapes as in `_segments`."""
    levels = execution.levels
    early = levels[0].factor > 1
    held = _hold(
        workspace,
        "clip",
        waveform.shape,
        None if early else levels[0],
        levels[0] if early else next(iter(levels[1:]), None),
        execution,
    )
    held.inside.copy_(waveform)
    for number, level in enumerate(levels):
        following = levels[number + 1] if number + 1 < len(levels) else None
        if level.factor > 1:
            by, higher = execution.decimations[level.factor], held
            shape = torch.Size((len(waveform), lower_length(held.time, level.factor)))
            held = _hold(workspace, f"level {number % 2}", shape, level, following, execution)
            source = higher.memory[:, higher.left - by.reach :]
            source = source[:, : padded_length(held.time * level.factor, by.block, by.reach)]
            decimate_into(held.inside, source, by.response, level.factor, by.block, by.reach)
            held.inside[:, filled_length(higher.time, level.factor) :] = 0
        _products(out, held, round(offset * level.part), level, execution, workspace)


def _hold(
    workspace: Workspace,
    name: str,
    shape: torch.Size,
    level: Level | None,
    following: Level | None,
    execution: Execution,
) -> _Held:
    """Return memory for a constant-Q octave level's signal, with the zeros that its frames and the next filter see."""
    rows, time = shape
    left = right = 0 if level is None else _margin(level)
    if following is not None and following.factor > 1:
        by = execution.decimations[following.factor]
        left = max(left, by.reach)
        room = padded_length(lower_length(time, following.factor) * following.factor, by.block, by.reach)
        right = max(right, room - by.reach - time)
    memory = workspace.take(name, rows, left + time + right)
    memory[:, :left] = 0
    memory[:, left + time :] = 0
    return _Held(memory=memory, left=left, time=time)


def _products(
    out: torch.Tensor, held: _Held, offset: int, level: Level, execution: Execution, workspace: Workspace
) -> None:
    """Write the constant-Q bins of one octave level, band by band; shapes as in `_segments`."""
    if execution.pad_mode != "constant":
        _fill_margins(held, _margin(level), execution.pad_mode)
    for band, kernels in execution.bands(level):
        start = held.left + offset - band.before
        place = out[:, :, band.first : band.end]
        if band.first in execution.blocks:
            _block_product(place, held.memory[:, start:], level.hop_length, execution.blocks[band.first], workspace)
            continue
        if band.first in execution.hops:
            _hop_product(place, held.memory[:, start:], level.hop_length, execution.hops[band.first], workspace)
            continue
        frames = held.memory[:, start:].unfold(-1, band.taps, level.hop_length)[:, : out.shape[1]]
        _product(place, frames, kernels.t(), workspace)
    if execution.pad_mode != "constant":
        held.memory[:, : held.left] = 0
        held.memory[:, held.left + held.time :] = 0


def _fill_margins(held: _Held, margin: int, pad_mode: str) -> None:
    steps = torch.arange(margin)
    length = torch.tensor(held.time)
    inside = held.inside
    before = inside.index_select(1, mirrored(steps - margin, length, pad_mode))
    after = inside.index_select(1, mirrored(held.time + steps, length, pad_mode))
    held.memory[:, held.left - margin : held.left] = before
    held.memory[:, held.left + held.time : held.left + held.time + margin] = after


def _product(out: torch.Tensor, frames: torch.Tensor, kernels: torch.Tensor, workspace: Workspace) -> None:
    """Write frames times constant-Q octave kernels, piece by piece, as complex values or squared magnitudes.

    Shape: out (rows, frames, bins), frames (rows, frames, ...) of taps in all, kernels (taps, 2 * bins).
    """
    for rows, some, product in _pieces(frames, kernels, workspace):
        _write(out[rows, some], product)


def _write(out: torch.Tensor, product: torch.Tensor) -> None:
    """Write constant-Q bins of an octave level as complex values or squared magnitudes, from their parts.

    Shape: (..., bins), (..., 2 * bins).
    """
    pairs = product.unflatten(-1, (-1, 2))
    if out.is_complex():
        torch.view_as_real(out).copy_(pairs)
    else:
        squared_magnitude_into(out, torch.view_as_complex(pairs))


def _pieces(
    frames: torch.Tensor, kernels: torch.Tensor, workspace: Workspace
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield (rows, frames, their products with constant-Q octave kernels), so many at a time as stay in cache.

    A product is to be used up before the next is asked for: both lie in the same memory.

    Shape: frames (rows, frames, ...) of taps in all, kernels (taps, n) -> (rows of the piece, frames, n).
    """
    rows, count = frames.shape[:2]
    taps, n = kernels.shape
    size = max(1, blocks.CPU_BLOCK // taps)
    some_rows, some_frames = max(1, size // count), min(size, count)
    for row in range(0, rows, some_rows):
        for first in range(0, count, some_frames):
            places = slice(row, min(row + some_rows, rows)), slice(first, min(first + some_frames, count))
            part = frames[places]
            piece = part
            if not part.is_contiguous():
                piece = workspace.take("piece", *part.shape)
                piece.copy_(part)
            product = workspace.take("product", part.shape[0] * part.shape[1], n)
            matmul_into(product, piece.reshape(-1, taps), kernels)
            yield *places, product.view(*part.shape[:2], n)


def _block_product(out: torch.Tensor, signal: torch.Tensor, hop: int, by: BlockKernels, workspace: Workspace) -> None:
    """Write frames times constant-Q octave kernels that are given block by block.

    The frames begin on multiples of the hop, and their blocks on multiples of `step`: the blocks of all frames are
    computed once, in steps, and those of one frame lie `stride` steps apart.

    Shape: out (rows, frames, bins), signal (rows, time) from the first frame's first sample on.
    """
    rank = by.basis.shape[1]
    n_blocks = by.weights.shape[0] // rank
    step = min(by.block, hop)
    stride, advance = by.block // step, hop // step
    count = (out.shape[1] - 1) * advance + (n_blocks - 1) * stride + 1
    found = workspace.take("blocks", len(signal), count, rank)
    for rows, some, product in _pieces(signal.unfold(-1, by.block, step)[:, :count], by.basis, workspace):
        found[rows, some] = product
    frames = found.unfold(1, (n_blocks - 1) * stride + 1, advance)[..., ::stride]  # (row, frame, rank, block)
    _product(out, frames.transpose(2, 3), by.weights, workspace)


def _hop_product(
    out: torch.Tensor, signal: torch.Tensor, hop: int, kernels: torch.Tensor, workspace: Workspace
) -> None:
    """Write frames times constant-Q octave kernels that are cut into hops, without a graph.

    Shape: out (rows, frames, bins), signal (rows, time) from the first frame's first sample on, kernels
    (hop, parts * 2 * bins).
    """
    rows, count, bins = out.shape
    hops = count + kernels.shape[1] // (2 * bins) - 1
    found = workspace.take("hops", rows, hops, kernels.shape[1])
    for run, some, product in _pieces(signal.unfold(-1, hop, hop)[:, :hops], kernels, workspace):
        found[run, some] = product
    _write(out, _diagonals(found, count, 2 * bins))
