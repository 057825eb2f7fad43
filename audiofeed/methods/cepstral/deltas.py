"""Slopes of features over frames: a short filter along each row, and what it sees past the row's own ends.

Without a graph on a CPU it is one pass of machine code. Otherwise the filter is a sum of shifted copies, because a
convolution is slower here: torch's depthwise one compiles a kernel for every new number of frames (30 ms on the CPU it
was measured on, for 1 ms of work), and may run in TF32 on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiofeed.methods.frames import Framing, beyond
from audiofeed.methods.lengths import length_mask
from audiofeed.methods.short_time.kernel.lines import lines_of
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like

# scipy's names for what stands past the ends (as librosa takes them), and those of padding here; "interp" is none
EDGES = {"nearest": "replicate", "mirror": "reflect", "constant": "constant", "wrap": "circular"}
MODES = ("interp", *EDGES)

# Values that are filtered in one go on a CPU. 2**19 and 2**17 took 1.2 and 1.8 times as long, more than 2**21 as long.
_BLOCK = 2**21
# fewer values are filtered as fast by a sum of shifted copies as by machine code
_FEW = 2**16


def deltas(
    features: torch.Tensor,
    lengths: torch.Tensor | None,
    weights: Sequence[float],
    short: torch.Tensor,
    *,
    mode: str,
    graph: bool,
) -> torch.Tensor:
    """Compute the deltas (slopes over frames) of batched features, each clip extended by `mode`.

    Each row goes through a slope filter, with the row's own ends continued by `mode`.

    Args:
        weights: of an odd number of neighboring frames, to be correlated with them.
        short: (len(weights) + 1, len(weights)): row n holds the weights of all n frames of a clip shorter than the
            filter, for "interp".

    Shape: features (clips, rows of each, bins, frames), lengths (clips,) -> the same.
    """
    clips, _, _, frames = features.shape
    width = len(weights)
    rows = features.reshape(-1, frames)
    per_clip = rows.shape[0] // clips
    ends = None if lengths is None else lengths.repeat_interleave(per_clip)
    if mode == "interp":
        result = _interpolated(rows, ends, weights, short, graph=graph)
    elif ends is None and not graph and mode != "constant" and frames >= width:
        result = _extended(rows, weights, EDGES[mode])
    else:
        framing = Framing(n_fft=width, hop_length=1, center=True, pad_mode=EDGES[mode])
        if graph:
            result = _correlated(framing.pad(rows, ends), weights)
        else:
            result = kept_like(rows, rows.shape)
            workspace = Workspace(rows)
            for block in _blocks(rows):
                padded = framing.pad_into(workspace, rows[block], None if ends is None else ends[block])
                _correlate_into(result[block], padded, weights)
    return result.view_as(features)


def _extended(rows: torch.Tensor, weights: Sequence[float], pad_mode: str) -> torch.Tensor:
    """Compute deltas of rows of at least the filter's length, without a graph: only their ends are copied to be padded.

    Shape: (rows, frames) -> the same.
    """
    frames, half = rows.shape[-1], len(weights) // 2
    result = _inner(rows, weights)
    for side, seen in ((-1, slice(0, 2 * half)), (1, slice(frames - 2 * half, frames))):
        parts = (beyond(rows, half, pad_mode, side), rows[:, seen])[::-side]
        place = slice(0, half) if side < 0 else slice(frames - half, frames)
        _correlate_into(result[:, place], torch.cat(parts, dim=1), weights)
    return result


def _inner(rows: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Compute deltas of rows where the filter sees their own frames alone, without a graph; others are undefined.

    Shape: (rows, frames) -> the same.
    """
    frames, half = rows.shape[-1], len(weights) // 2
    result = kept_like(rows, rows.shape)
    _correlate_into(result[:, half : frames - half], rows, weights)
    return result


def _interpolated(
    rows: torch.Tensor, ends: torch.Tensor | None, weights: Sequence[float], short: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Compute deltas from polynomial fits, also at the ends of clips, for mode="interp".

    They are derivatives of a polynomial fitted to the frames around; at an end, of the last whole window.

    The order of the derivative is the degree of the fit, so that it is one number for all of a window: half a window at
    each end repeats its neighbor, and a clip shorter than a window has one value throughout, by a fit to all of it.

    Shape: (rows, frames), ends (rows,) or None -> (rows, frames).
    """
    frames, width = rows.shape[-1], len(weights)
    half = width // 2
    if frames < width:
        return _of_short(rows, ends, short).expand(-1, frames)
    if graph:
        inner = _correlated(rows, weights)  # (row, frames - 2 half)
        result = torch.cat([inner[:, :1].expand(-1, half), inner, inner[:, -1:].expand(-1, half)], dim=1)
    else:
        result = _inner(rows, weights)
        result[:, :half] = result[:, half : half + 1]
        result[:, frames - half :] = result[:, frames - half - 1 : frames - half]
    if ends is None:
        return result
    last = (ends - half - 1).clamp(min=0)[:, None]  # (row, 1): the middle of each row's last whole window
    past = ~length_mask(frames, last[:, 0] + 1)
    constant = torch.where(ends[:, None] < width, _of_short(rows[:, :width], ends, short), result.gather(1, last))
    return torch.where(past | (ends[:, None] < width), constant, result)


def _of_short(rows: torch.Tensor, ends: torch.Tensor | None, short: torch.Tensor) -> torch.Tensor:
    """Compute the delta of rows shorter than the delta filter, by one fit to all of their few frames.

    Shape: (rows, frames), ends (rows,) -> (rows, 1).
    """
    frames = rows.shape[-1]
    count = torch.full_like(rows[:, 0], frames, dtype=torch.long) if ends is None else ends.clamp(max=frames)
    return (rows * short[count, :frames]).sum(dim=1, keepdim=True)


def _correlated(padded: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Correlate padded feature rows with the weights of a delta filter.

    Shape: (rows, frames + width - 1) -> (rows, frames).
    """
    frames = padded.shape[-1] - len(weights) + 1
    result = padded[:, :frames] * weights[0]
    for i, weight in enumerate(weights[1:], start=1):
        if weight:
            result = torch.add(result, padded[:, i : i + frames], alpha=weight)
    return result


def _correlate_into(out: torch.Tensor, padded: torch.Tensor, weights: Sequence[float]) -> None:
    """Write the correlation of padded feature rows with a delta filter, without a graph.

    `out` takes the result of `_correlated`.
    """
    frames = out.shape[-1]
    if out.numel() >= _FEW:
        lines = lines_of(padded[None, None, :, :frames], None, out[None, None])
        if lines is not None:
            lines.correlate(weights)
            return
    for block in _blocks(padded):
        sums = torch.mul(padded[block, :frames], weights[0], out=out[block])
        for i, weight in enumerate(weights[1:], start=1):
            if weight:
                sums.add_(padded[block, i : i + frames], alpha=weight)


def _blocks(rows: torch.Tensor) -> list[slice]:
    """Return slices of rows whose deltas are computed in one go: on a CPU few enough to stay in cache."""
    step = max(1, _BLOCK // rows.shape[-1]) if rows.device.type == "cpu" else rows.shape[0]
    return [slice(first, min(first + step, rows.shape[0])) for first in range(0, rows.shape[0], step)]
