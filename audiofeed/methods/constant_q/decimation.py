"""A lower sample rate by overlap-save: filtered and thinned out block by block, each block in two short FFTs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from audiofeed.methods import frames
from audiofeed.methods.frames import Count
from audiofeed.methods.precision import conv1d
from audiofeed.parallel.exports import ceil_divided, first_columns
from audiofeed.parallel.observed import is_exporting
from audiofeed.signal.constant_q.decimation import decimation_filter


def lower_length(length: Count, factor: int) -> Count:
    """Return the samples left of a clip (int or tensor) after decimation by a factor in a constant-Q transform.

    Every factor-th one is left, from the first on.

    >>> lower_length(5, 2)
    3
    """
    return length if factor == 1 else ceil_divided(length, factor)


def filled_length(length: Count, factor: int) -> Count:
    """Return the samples that librosa's decimation (by soxr) leaves of a clip in a constant-Q transform.

    soxr rounds a length; librosa sets the rest of `lower_length` to 0.

    >>> [filled_length(length, 4) for length in (1, 5, 6, 8)]
    [1, 1, 2, 2]
    """
    filled = (2 * length + factor) // (2 * factor)
    return filled.clamp(min=1) if isinstance(filled, torch.Tensor) else max(1, filled)


def clear_unfilled(
    signal: torch.Tensor, lengths: torch.Tensor, factor: int, before: int, *, graph: bool
) -> torch.Tensor:
    """Set a decimated signal of a constant-Q transform to 0 past the `filled_length` of each row.

    A row of l samples, decimated by `before` and then by `factor`, fills sample i if ceil(l / before) >= factor i +
    factor / 2, that is l > before (factor i + factor / 2 - 1); sample 0 is always filled. So the lengths at each rate
    need not be computed, which on a GPU takes as many launches as the rest of an octave.

    Args:
        signal: (rows, time), which is overwritten without a graph.
        lengths: (rows,) samples of the clips at their own rate.
        factor, before: the last factor, and the product of those before it.

    >>> clear_unfilled(torch.ones(2, 3), torch.tensor([5, 2]), 2, 1, graph=False).tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    step = factor * before
    start = ((factor + 1) // 2 - 1) * before
    least = torch.arange(start, start + signal.shape[-1] * step, step, device=lengths.device)
    if start:
        least[:1].zero_()  # an assignment of a number would wait for the device
    if graph:
        return torch.where(least < lengths[:, None], signal, 0)
    return signal.masked_fill_(least >= lengths[:, None], 0)


def decimate(waveform: torch.Tensor, response: torch.Tensor, factor: int, block: int, reach: int) -> torch.Tensor:
    """Decimate batched waveforms to a lower rate for a constant-Q transform, by overlap-save with a graph.

    The rows, silent past their ends, come back at 1 / `factor` of their rate.

    Args:
        response, block, reach: see `signal.constant_q.decimation`.

    Shape: (rows, time) -> (rows, ceil(time / factor)).
    """
    count, step = lower_length(waveform.shape[-1], factor), block - 2 * reach
    # a plain graph for clips of any length; `strict=True` cannot follow how the filter is made
    if is_exporting() and not torch.compiler.is_dynamo_compiling():
        taps = torch.from_numpy(decimation_filter(factor)).to(waveform)
        ahead = len(taps) // 2
        ends = (ahead, count * factor - waveform.shape[-1] + ahead)
        return first_columns(conv1d(F.pad(waveform, ends), taps[None], factor)[:, 0], count)
    blocks = ceil_divided(count * factor, step)
    padded = F.pad(waveform, (reach, blocks * step + reach - waveform.shape[-1]))
    return first_columns(_filtered(padded.unfold(-1, block, step), response, factor, reach).flatten(1), count)


def padded_length(time: int, block: int, reach: int) -> int:
    """Return the padded length that decimation for a constant-Q transform reads of rows.

    These are the samples that `decimate_into` reads, from `reach` before the first of `time` samples on.
    """
    step = block - 2 * reach
    return -(-time // step) * step + 2 * reach


def decimate_into(
    out: torch.Tensor, padded: torch.Tensor, response: torch.Tensor, factor: int, block: int, reach: int
) -> None:
    """Write batched waveforms after decimation for a constant-Q transform, without a graph.

    `out` takes the rows at 1 / `factor` of their rate.

    Args:
        padded: rows of `padded_length` samples, 0 outside their own.

    Shape: out (rows, ceil(time / factor)), padded (rows, padded time).
    """
    step = block - 2 * reach
    windows = padded.unfold(-1, block, step)  # (row, block, sample)
    rows, blocks, _ = windows.shape
    most = max(1, frames.CPU_BLOCK // (block * rows))
    kept, count = step // factor, out.shape[-1]
    for first in range(0, blocks, most):
        done = _filtered(windows[:, first : first + most], response, factor, reach)
        start = first * kept
        part = out[:, start : start + done.shape[1] * kept]
        whole = part.shape[-1] // kept
        part[:, : whole * kept].unflatten(-1, (whole, kept)).copy_(done[:, :whole])
        if whole < done.shape[1] and start < count:
            part[:, whole * kept :] = done[:, whole, : part.shape[-1] - whole * kept]


def _filtered(windows: torch.Tensor, response: torch.Tensor, factor: int, reach: int) -> torch.Tensor:
    """Apply the decimation filter of a constant-Q transform to overlap-save blocks of waveforms.

    The inner samples of the blocks come back, thinned out.

    Shape: (rows, blocks, block) -> (rows, blocks, kept).
    """
    block = windows.shape[-1]
    lead, kept = reach // factor, (block - 2 * reach) // factor
    spectrum = torch.view_as_real(torch.fft.rfft(windows))[..., : response.shape[0] // 2, :]  # (row, block, bin, 2)
    weights = response.view(-1, 2)
    own = not (spectrum.requires_grad or torch.compiler.is_compiling())
    spectrum = spectrum.mul_(weights) if own else spectrum * weights
    return torch.fft.irfft(torch.view_as_complex(spectrum), n=block // factor)[..., lead : lead + kept]


@dataclass(frozen=True, kw_only=True)
class Decimation:
    """Filter tensor between constant-Q octave levels, and its blocks: see `signal.constant_q.decimation`."""

    response: torch.Tensor
    block: int
    reach: int
