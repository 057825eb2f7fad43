"""Features less their mean over time, and over their deviation: of a whole clip, or of a window that slides.

Without a graph on a CPU the rows are taken some at a time, so that every pass over them finds them in cache, and each
is cut to its own clip's frames. Otherwise all rows are taken at once, and what stands past a clip's frames is masked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from audiofeed.methods.frames import Count
from audiofeed.methods.lengths import length_mask
from audiofeed.methods.short_time.kernel.lines import lines_of
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like
from audiofeed.parallel.running_sums import running_sums

# Values that are taken in one go on a CPU; over a sliding window they stand in 13 MB of float64. On a small cache 2**16
# and 2**20 values took 1.5 and 1.3 times as long as 2**18, on a large one 2**20 took 0.8 times as long.
_BLOCK = 3 * 2**17


def normalize_clips(
    features: torch.Tensor, lengths: torch.Tensor | None, *, norm_vars: bool, floor: float, graph: bool
) -> torch.Tensor:
    """Apply cepstral mean and variance normalization to each clip of batched features.

    Each row is taken less its mean over its clip's own frames, and over its deviation there.

    Shape: features (clips, rows of each, bins, frames), 0 past lengths (clips,) -> the same; past a clip's frames
    anything may stand.
    """
    if _in_blocks(features, graph):
        result = kept_like(features, features.shape)
        lines = lines_of(features, lengths, result)
        if lines is not None:
            lines.center(floor if norm_vars else None)
            return result
        for out, rows in _blocks(result, features, lengths):
            torch.sub(rows, rows.mean(dim=-1, keepdim=True), out=out)
            if norm_vars:
                variance = out.square().mean(dim=-1, keepdim=True)
                out.mul_(variance.clamp_(min=floor).rsqrt_())
        return result
    own = _own(features, lengths)
    centered = features - features.sum(dim=-1, keepdim=True) / own
    if not norm_vars:
        return centered
    own_frames = length_mask(features.shape[-1], own.flatten())[:, None, None]
    variance = (centered * own_frames).square().sum(dim=-1, keepdim=True) / own
    return centered * variance.clamp(min=floor).rsqrt()


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """Sliding window of cepstral mean and variance normalization, as Kaldi's apply-cmvn-sliding has it.

    The window lies around or before each frame.

    A centered window of `window` frames is moved inside the clip, and is all of a clip shorter than it. Otherwise it is
    the frame and the `window` before it; the first frames look ahead, so that theirs has `min_window` at least.

    Either edge of the window of frame t is t + shift, but not below `low` nor above `high`: (shift, low, high).

    >>> sliding = Sliding(window=2, min_window=3, center=False)
    >>> sliding.first(4), sliding.end(4)
    ((-2, 0, 3), (1, 3, 4))
    """

    window: int
    min_window: int
    center: bool

    def first(self, length: Count) -> tuple[Count, int, Count]:
        """Return the first frame of the sliding normalization window, in a clip of `length` frames.

        The length is an int, or a tensor of them.
        """
        if self.center:
            return length * 0 - self.window // 2, 0, _positive(length - self.window)
        # what the first frames would look ahead past the end of the clip, every window has before it instead
        return -self.window - _positive(self.min_window - length), 0, length - 1

    def end(self, length: Count) -> tuple[int, Count, Count]:
        """Return one past the last frame of the sliding normalization window, in a clip of `length` frames.

        The length is an int, or a tensor of them.
        """
        least = self.window if self.center else self.min_window
        shift = self.window - self.window // 2 if self.center else 1
        return shift, least - _positive(least - length), length


def _positive(value: Count) -> Count:
    return value.clamp(min=0) if isinstance(value, torch.Tensor) else max(value, 0)


def normalize_sliding(
    features: torch.Tensor,
    lengths: torch.Tensor | None,
    sliding: Sliding,
    *,
    norm_vars: bool,
    floor: float,
    graph: bool,
) -> torch.Tensor:
    """Apply cepstral mean and variance normalization over a sliding window to batched features.

    Each frame is taken less the mean of its window, and over the deviation there.

    Sums over windows are differences of running sums. Those are in float64, of features less their clip's mean, so that
    little is left to cancel: a window of deviation 1 in a clip that ranges over 100 is right to 1e-9.

    Shape: features (clips, rows of each, bins, frames), 0 past lengths (clips,) -> the same; past a clip's frames
    anything may stand.
    """
    if not _in_blocks(features, graph):
        return _slid(features, lengths, sliding, norm_vars, floor)
    result = kept_like(features, features.shape)
    workspace = Workspace(torch.empty(0, dtype=torch.float64))
    plan = _Plan.of(sliding, features.shape[-1])
    for out, rows in _blocks(result, features, lengths):
        if rows.shape[-1] != plan.frames:
            plan = _Plan.of(sliding, rows.shape[-1])
        _slide_into(out, rows, workspace, plan, norm_vars, floor)
    return result


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Windows of sliding mean and variance normalization for clips of one length.

    All clips of that length share these values.

    Args:
        frames: the length.
        runs: (start, stop, the columns of running sums to subtract, those to subtract from) of frames over which either
            edge of the window moves with the frame or stands still; such a column is one alone, to be repeated.
        share: (frames,) of one frame in each window, float64.
        single: (frames,) whether a window is one frame; None where none is.
    """

    frames: int
    runs: tuple[tuple[int, int, slice, slice], ...]
    share: torch.Tensor
    single: torch.Tensor | None

    @classmethod
    def of(cls, sliding: Sliding, frames: int) -> _Plan:
        """Return the windows of sliding mean and variance normalization for a clip of `frames` frames.

        >>> [run[:2] for run in _Plan.of(Sliding(window=5, min_window=1, center=True), 8).runs]
        [(0, 2), (2, 5), (5, 8)]
        """
        edges = (sliding.first(frames), sliding.end(frames))
        turns = {0, frames}
        for shift, *bounds in edges:
            turns |= {min(max(bound - shift, 0), frames) for bound in bounds}
        runs = []
        for start, stop in itertools.pairwise(sorted(turns)):
            columns = [cls._columns(edge, start, stop) for edge in edges]
            runs.append((start, stop, columns[0], columns[1]))
        frame = torch.arange(frames)
        first, end = ((frame + shift).clamp(low, high) for shift, low, high in edges)
        size = end - first
        single = size == 1
        return cls(
            frames=frames,
            runs=tuple(runs),
            share=size.double().reciprocal_(),
            single=single if bool(single.any()) else None,
        )

    @staticmethod
    def _columns(edge: tuple[int, int, int], start: int, stop: int) -> slice:
        shift, low, high = edge
        if low <= start + shift < high:
            return slice(start + shift, stop + shift)
        still = low if start + shift < low else high
        return slice(still, still + 1)


def _slide_into(
    out: torch.Tensor, rows: torch.Tensor, workspace: Workspace, plan: _Plan, norm_vars: bool, floor: float
) -> None:
    """Write feature rows of one length after sliding mean and variance normalization, without a graph.

    Shape: out and rows (rows, frames).
    """
    count, frames = rows.shape
    wide = workspace.take("wide", count, frames).copy_(rows)
    wide.sub_(wide.mean(dim=-1, keepdim=True))
    running = workspace.take("running", count, frames + 1)
    running[:, 0] = 0

    def over_windows(name: str, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of feature rows over each frame's sliding normalization window."""
        torch.cumsum(values, dim=-1, out=running[:, 1:])
        sums = workspace.take(name, count, frames)
        for start, stop, first, end in plan.runs:
            torch.sub(running[:, end].expand(-1, stop - start), running[:, first], out=sums[:, start:stop])
        return sums

    sums = over_windows("means", wide)
    if not norm_vars:
        out.copy_(wide.addcmul_(sums, plan.share, value=-1.0))
        return
    means = sums.mul_(plan.share)
    # the squares are of no use after their running sums: the variances take over their memory
    squares = torch.mul(wide, wide, out=workspace.take("variances", count, frames))
    variances = over_windows("variances", squares).mul_(plan.share).addcmul_(means, means, value=-1.0)
    # in the features' own dtype, in which a reciprocal root takes a third of the time
    scale = variances.to(out.dtype).clamp_(min=floor).rsqrt_()
    # a window of one frame is its own mean, and what running sums leave of that is no signal
    if plan.single is not None:
        scale.masked_fill_(plan.single, 0.0)
    torch.mul(out.copy_(wide.sub_(means)), scale, out=out)


def _slid(
    features: torch.Tensor, lengths: torch.Tensor | None, sliding: Sliding, norm_vars: bool, floor: float
) -> torch.Tensor:
    """Apply sliding mean and variance normalization to all feature rows of a batch at once."""
    clips, frames = features.shape[0], features.shape[-1]
    own = _own(features, lengths).view(-1, 1, 1)
    rows = features.reshape(clips, -1, frames)
    wide = rows if features.device.type == "mps" else rows.double()  # which has no float64
    wide = wide - wide.sum(dim=-1, keepdim=True) / own
    frame, zero = torch.arange(frames, device=rows.device), torch.zeros_like(own)
    first, end = (
        torch.minimum(torch.maximum(frame + shift, low + zero), high + zero)  # (clip or 1, 1, frame)
        for shift, low, high in (sliding.first(own), sliding.end(own))
    )

    def over_windows(values: torch.Tensor) -> torch.Tensor:
        running = torch.nn.functional.pad(running_sums(values), (1, 0))
        right, left = (running.gather(-1, edge.expand_as(values)) for edge in (end, first))
        return (right - left) / (end - first)

    means = over_windows(wide)
    result = wide - means
    if norm_vars:
        variances = over_windows(wide.square()) - means.square()
        result = (result * variances.clamp(min=floor).rsqrt()).masked_fill(end - first == 1, 0.0)
    return result.to(features.dtype).view_as(features)


def _in_blocks(features: torch.Tensor, graph: bool) -> bool:
    return not graph and features.device.type == "cpu"


def _own(features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the number of frames that mean and variance normalization counts in each clip, as a tensor.

    Shape: features (clips, ..., frames) -> (clips or 1, 1, 1, 1).
    """
    if lengths is None:
        return torch.full((1, 1, 1, 1), features.shape[-1], device=features.device)
    return lengths.view(-1, 1, 1, 1)


def _blocks(
    result: torch.Tensor, features: torch.Tensor, lengths: torch.Tensor | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield blocks of feature rows for mean and variance normalization, cut to their clip's own frames.

    Each item is (memory for the result, some rows).

    Shape: (clips, rows of each, bins, frames) -> two of (rows, frames of the clip).
    """
    frames = features.shape[-1]
    clips = [frames] if lengths is None else lengths.tolist()
    given, out = features.reshape(len(clips), -1, frames), result.view(len(clips), -1, frames)
    for clip, length in enumerate(clips):
        step = max(1, _BLOCK // length)
        for start in range(0, given.shape[1], step):
            yield out[clip, start : start + step, :length], given[clip, start : start + step, :length]
