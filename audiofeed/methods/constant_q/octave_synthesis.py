"""Back from constant-Q values to samples: the adjoint of `octaves.constant_q`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from audiofeed.methods import frames as blocks
from audiofeed.methods.constant_q.decimation import Decimation, filled_length, lower_length
from audiofeed.methods.inverse.overlap_add import overlap_add
from audiofeed.methods.lengths import clear_past
from audiofeed.methods.precision import matmul
from audiofeed.parallel.exports import ceil_divided, first_columns
from audiofeed.parallel.observed import is_exporting
from audiofeed.plans.constant_q.levels import Level

# Neighboring frames are multiplied together while the product's step stays below this part of the taps: the additions
# of short hops cost more than the zeros that this multiplies with.
_STEPS = 4
# ... and while their kernels, laid side by side, hold no more numbers than this
_MOST_KERNELS = 2**18


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Matrix of synthesis kernels for neighboring frames of a band of constant-Q octaves.

    The kernels of `frames` neighboring frames are rows of one matrix (frames * 2 * bins, span).
    """

    matrix: torch.Tensor
    frames: int
    step: int


@dataclass(frozen=True, kw_only=True)
class OctaveSynthesis:
    """Kernels and decimation filters, as tensors, of constant-Q synthesis octave level by octave level.

    Args:
        groups: of the bands of all levels, one after another.
        decimations: by factor.
    """

    levels: tuple[Level, ...]
    groups: tuple[_Group, ...]
    decimations: dict[int, Decimation]


def synthesis(
    levels: tuple[Level, ...], kernels: torch.Tensor, weights: torch.Tensor, decimations: dict[int, Decimation]
) -> OctaveSynthesis:
    """Make a constant-Q octave synthesis from the kernels of the analysis and weights of bins.

    It is the adjoint of an analysis by kernels, after values were multiplied by weights.

    Shape: kernels as in `octaves.Execution`, weights (bins,).
    """
    groups, start = [], 0
    for level in levels:
        for band in level.bands:
            own = kernels[start : start + band.size].view(-1, 2, band.taps)
            start += band.size
            weighted = (own * weights[band.first : band.end, None, None]).flatten(0, 1)  # (2 * bin, tap)
            groups.append(_grouped(weighted, level.hop_length))
    return OctaveSynthesis(levels=levels, groups=tuple(groups), decimations=decimations)


def _grouped(kernels: torch.Tensor, hop: int) -> _Group:
    rows, taps = kernels.shape
    count = max(1, min(taps // (_STEPS * hop), _MOST_KERNELS // (2 * rows * taps)))
    shifted = [F.pad(kernels, (i * hop, (count - 1 - i) * hop)) for i in range(count)]
    return _Group(matrix=torch.cat(shifted), frames=count, step=count * hop)


# ---------------------------------------------------------------- the adjoint


def synthesize(
    pairs: torch.Tensor, by: OctaveSynthesis, time: int, lengths: torch.Tensor | None, *, graph: bool
) -> torch.Tensor:
    """Synthesize batched waveforms from constant-Q values, from the lowest octave level up.

    It is the adjoint of `octaves.constant_q` for clips that are silent past their ends.

    Args:
        time: samples of the rows; `lengths`: those of each, past which the result is 0.

    Shape: pairs (rows, frames, 2 * bins), lengths (rows,) -> (rows, time).
    """
    times, owns = [time], [lengths]
    for level in by.levels:
        if level.factor > 1:
            times.append(lower_length(times[-1], level.factor))
            own = owns[-1]
            owns.append(None if own is None else lower_length(own, level.factor))
    signal, group = pairs.new_zeros(pairs.shape[0], times[-1]), len(by.groups)
    for level in reversed(by.levels):
        for band in reversed(level.bands):
            group -= 1
            values = pairs[..., 2 * band.first : 2 * band.end]
            added = _overlapped(values, by.groups[group], band.before, signal.shape[-1], graph=graph)
            signal = signal + added if graph else signal.add_(added)
        if level.factor > 1:
            times.pop()
            owns.pop()
            time, own = times[-1], owns[-1]
            # what the analysis leaves empty at the end of a level, nothing comes back from
            filled = filled_length(time, level.factor) if own is None else filled_length(own, level.factor)
            signal = _cleared(signal, filled)
            signal = interpolate(signal, by.decimations[level.factor], level.factor, time, graph=graph)
    return signal if lengths is None else clear_past(signal, lengths)


def _cleared(signal: torch.Tensor, length: int | torch.Tensor) -> torch.Tensor:
    if isinstance(length, torch.Tensor):
        return clear_past(signal, length)
    if not is_exporting() and length >= signal.shape[-1]:
        return signal
    return F.pad(first_columns(signal, length), (0, signal.shape[-1] - length))


def _overlapped(pairs: torch.Tensor, by: _Group, before: int, time: int, *, graph: bool) -> torch.Tensor:
    """Synthesize a band of a constant-Q octave level: values times kernels, overlapped and added.

    Shape: (rows, frames, 2 * bins) -> (rows, time).
    """
    rows, count, width = pairs.shape
    groups, span = ceil_divided(count, by.frames), by.matrix.shape[1]
    grouped = F.pad(pairs, (0, 0, 0, groups * by.frames - count)).reshape(rows, groups, by.frames * width)
    if graph or pairs.device.type != "cpu":
        products = matmul(grouped.flatten(0, 1), by.matrix).view(rows, groups, span)
        added = overlap_add(products, by.step)
    else:
        added = _added(grouped, by)
    return F.pad(added, (-before, before + time - added.shape[-1]))


def _added(grouped: torch.Tensor, by: _Group) -> torch.Tensor:
    """Add the overlapped products of constant-Q octave synthesis, so many at a time as stay in cache.

    Shape: (rows, groups, ...) -> (rows, samples).
    """
    rows, groups, _ = grouped.shape
    span, step = by.matrix.shape[1], by.step
    steps = -(-span // step)
    added = grouped.new_zeros(rows, groups + steps - 1, step)
    size = max(1, blocks.CPU_BLOCK // (span * rows))
    for first in range(0, groups, size):
        part = grouped[:, first : first + size]
        products = matmul(part.flatten(0, 1), by.matrix).view(rows, -1, span)
        stop = first + products.shape[1]
        for j in range(steps):
            piece = products[..., j * step : (j + 1) * step]  # the last may be shorter
            added[:, first + j : stop + j, : piece.shape[-1]] += piece
    return added.flatten(1)


def interpolate(signal: torch.Tensor, by: Decimation, factor: int, time: int, *, graph: bool) -> torch.Tensor:
    """Interpolate samples from one octave level to the next higher rate in constant-Q synthesis.

    It is the adjoint of `decimation.decimate`: zeros between the samples, and the filter over them.

    A block of the spectrum of samples with factor - 1 zeros between them repeats that of the samples, and the filter
    leaves of it what lies below their Nyquist frequency: a longer inverse FFT of the shorter spectrum does both.

    Shape: (rows, ceil(time / factor)) -> (rows, time).
    """
    step = by.block - 2 * by.reach
    count, kept, lead = ceil_divided(time, step), step // factor, by.reach // factor
    padded = F.pad(signal, (lead, count * kept + lead - signal.shape[-1]))
    spectrum = torch.view_as_real(torch.fft.rfft(padded.unfold(-1, by.block // factor, kept)))  # (row, block, bin, 2)
    weights = by.response.view(-1, 2) * factor  # the response has 1 / factor for the way down
    spectrum = spectrum * weights if graph else spectrum.mul_(weights)
    samples = torch.fft.irfft(torch.view_as_complex(spectrum), n=by.block)
    return first_columns(samples[..., by.reach : by.reach + step].flatten(1), time)
