"""Labels of frames in batches: rolls of events, and labels at another frame rate, by the rules of "
"`signal.frame_labels`."""

from __future__ import annotations

import torch

from audiofeed.methods.lengths import length_mask
from audiofeed.signal.frame_labels import DECIMALS


def borders_of(centers: torch.Tensor) -> torch.Tensor:
    """Return the borders between the cells of frames, for labels.

    Shape: centers (frames,) in samples -> (frames - 1,).
    """
    return rounded((centers[1:] + centers[:-1]) / 2)


def rounded(instants: torch.Tensor) -> torch.Tensor:
    """Round instants of labels in samples to a millionth, so that those written in decimal seconds compare exactly."""
    return torch.round(instants, decimals=DECIMALS)


def event_roll(
    onsets: torch.Tensor,
    offsets: torch.Tensor,
    labels: torch.Tensor,
    centers: torch.Tensor,
    *,
    n_classes: int,
    frames: torch.Tensor,
    samples: torch.Tensor,
    mark: str,
    rule: str,
    starts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mark labeled events in the frames of a padded batch.

    Args:
        onsets: (batch, events) begin in samples from each clip's first; below 0 if the event began before it.
        offsets: (batch, events) end in samples.
        labels: (batch, events) class indices; -1 for no event.
        centers: (frames,) in samples, ascending.
        n_classes: Number of classes.
        frames: (batch,) frames of each clip.
        samples: (batch,) samples of each clip that are its own.
        mark: "activity", "onset" or "offset".
        rule: "span" or "center", for the frames in which an event sounds.
        starts: (batch,) samples before which nothing of a clip is its own; None: 0.

    Returns:
        (batch, n_classes, frames) float32 of 0 and 1.

    >>> roll = event_roll(
    ...     torch.tensor([[100.0]]), torch.tensor([[300.0]]), torch.tensor([[0]]), torch.arange(4.0) * 160, n_classes=1,
    ...     frames=torch.tensor([4]), samples=torch.tensor([480]), mark="activity", rule="span",
    ... )
    >>> roll.tolist()
    [[[0.0, 1.0, 1.0, 0.0]]]
    """
    onsets, offsets, ends = rounded(onsets), rounded(offsets), samples.to(onsets.dtype)[:, None]
    borders, final = borders_of(centers), final_frames(centers, frames, samples)[:, None]
    first = torch.searchsorted(borders, onsets, right=True)
    last = torch.maximum(first, torch.searchsorted(borders, offsets))
    # past its end a clip has no frames: what follows its last center belongs to its last frame
    instant = offsets == onsets
    begins = torch.zeros_like(ends) if starts is None else starts.to(ends)[:, None]
    seen = (labels >= 0) & (onsets < ends) & (offsets >= begins) & ((offsets > begins) | instant)
    if starts is not None:
        seen = seen & (begins < ends)
    if mark == "onset":
        seen, last = seen & (onsets >= begins), first
    elif mark == "offset":
        seen, first = seen & (offsets <= ends), last
    elif rule == "center":
        inside = rounded(centers)
        begin, end = torch.searchsorted(inside, torch.maximum(onsets, begins)), torch.searchsorted(inside, offsets) - 1
        # among the clip's own frames alone, as if the batch had no others
        end = torch.minimum(end, frames[:, None] - 1)
        covers = begin <= end
        last = torch.where(covers, end, first)
        first = torch.where(covers, begin, first)
    if starts is not None:
        lowest = first_frames(centers, starts)[:, None]
        first, last = torch.maximum(first, lowest), torch.maximum(last, lowest)
    first, last = torch.minimum(first, final), torch.minimum(last, final)
    batch, width = labels.shape[0], centers.shape[0]
    rows = (torch.arange(batch, device=labels.device)[:, None] * n_classes + labels.clamp(min=0)) * (width + 1)
    steps = torch.zeros(batch * n_classes * (width + 1), dtype=torch.int32, device=labels.device)
    steps.index_add_(0, (rows + first).flatten(), seen.int().flatten())
    steps.index_add_(0, (rows + last + 1).flatten(), -seen.int().flatten())
    return (steps.view(batch, n_classes, width + 1).cumsum(-1)[..., :-1] > 0).float()


def labels_at(
    values: torch.Tensor,
    counts: torch.Tensor,
    first: torch.Tensor,
    step: torch.Tensor,
    centers: torch.Tensor,
    *,
    frames: torch.Tensor,
    samples: torch.Tensor,
    resample: str,
    fill: float,
    starts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Take labels given at a frame rate to the frames of a padded batch.

    Args:
        values: (batch, ..., labels).
        counts: (batch,) labels of each clip, 1 or more.
        first: (batch,) center of the first label in samples from each clip's first.
        step: (batch,) samples from label to label.
        centers: (frames,) in samples, ascending.
        frames: (batch,) frames of each clip.
        samples: (batch,) samples of each clip that are its own.
        resample: "nearest", "linear" or "max".
        fill: The value of frames past a clip, and before `starts`.
        starts: (batch,) samples before which nothing of a clip is its own; None: 0.

    Returns:
        (batch, ..., frames) of the type of `values`; floating point of "linear".

    >>> labels_at(
    ...     torch.tensor([[0, 1, 0, 0]]), torch.tensor([4]), torch.tensor([0.0]), torch.tensor([80.0]),
    ...     torch.arange(3.0) * 160, frames=torch.tensor([3]), samples=torch.tensor([320]), resample="max", fill=0,
    ... )
    tensor([[0, 1, 0]])
    """
    final = final_frames(centers, frames, samples)
    top = (counts - 1)[:, None]
    places = rounded((rounded(centers)[None] - first[:, None]) / step[:, None])
    if resample == "linear":
        place = torch.minimum(places.clamp(min=0), top.to(places.dtype))
        low = torch.minimum(place.floor().long(), (top - 1).clamp(min=0))
        weight = place - low
        below, above = _gather(values, low), _gather(values, torch.minimum(low + 1, top))
        kind = values.dtype if values.is_floating_point() else torch.get_default_dtype()
        share = _spread(weight.to(kind), below)
        result = below.to(kind) + share * (above.to(kind) - below.to(kind))
    else:
        nearest = torch.minimum((places + 0.5).floor().long().clamp(min=0), top)
        result = _gather(values, nearest)
        if resample == "max":
            begins = torch.zeros_like(samples) if starts is None else starts
            result = _largest(values, counts, first, step, centers, final, begins, samples, result)
    beyond = ~length_mask(centers.shape[0], final + 1)
    if starts is not None:
        beyond = ~own_frames(centers, frames, starts, samples)
    return result.masked_fill(_spread(beyond, result), fill)


def final_frames(centers: torch.Tensor, frames: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Return the frame that holds the last sample of each clip of a batch, the last to have a label.

    Args:
        centers: (frames,) in samples, ascending.
        frames: (batch,) frames of each clip.
        samples: (batch,) samples of each clip that are its own.

    Returns:
        (batch,) indices.

    >>> final_frames(torch.arange(4.0) * 160, torch.tensor([4, 2]), torch.tensor([240, 480])).tolist()
    [1, 1]
    """
    ends = torch.searchsorted(borders_of(centers), samples.to(centers.dtype))
    return torch.minimum(ends, frames.to(ends.device) - 1)


def first_frames(centers: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Return the frame that holds the first sample of each clip of a batch that is its own, the first to have a label.

    Args:
        centers: (frames,) in samples, ascending.
        starts: (batch,) that sample; 0 or less is in the first frame.

    Returns:
        (batch,) indices.

    >>> first_frames(torch.arange(4.0) * 160, torch.tensor([0, 100, 240])).tolist()
    [0, 1, 2]
    """
    found = torch.searchsorted(borders_of(centers), starts.to(centers.dtype), right=True)
    return torch.where(starts > 0, found, 0)


def own_frames(
    centers: torch.Tensor, frames: torch.Tensor, starts: torch.Tensor, samples: torch.Tensor
) -> torch.Tensor:
    """Return which frames of a batch have a label: those that hold a sample of their clip's own.

    Args:
        centers: (frames,) in samples, ascending.
        frames: (batch,) frames of each clip.
        starts: (batch,) samples before which nothing of a clip is its own.
        samples: (batch,) samples of each clip before which its own end.

    Returns:
        (batch, frames) bool; none of a clip of which nothing is left.

    >>> own_frames(torch.arange(4.0) * 160, torch.tensor([4]), torch.tensor([100]), torch.tensor([300])).tolist()
    [[False, True, True, False]]
    """
    final, place = final_frames(centers, frames, samples), torch.arange(centers.shape[0], device=centers.device)
    first = first_frames(centers, starts)
    return (place >= first[:, None]) & (place <= final[:, None]) & (starts < samples)[:, None]


def _largest(
    values: torch.Tensor,
    counts: torch.Tensor,
    first: torch.Tensor,
    step: torch.Tensor,
    centers: torch.Tensor,
    final: torch.Tensor,
    begins: torch.Tensor,
    samples: torch.Tensor,
    nearest: torch.Tensor,
) -> torch.Tensor:
    """Return the largest of the labels in each frame's cell of a batch, and `nearest` where there is none."""
    index = torch.arange(values.shape[-1], device=values.device)
    at = rounded(first[:, None] + step[:, None] * index)
    cell = torch.minimum(torch.searchsorted(borders_of(centers), at, right=True), final[:, None])
    inside = (index < counts[:, None]) & (at >= begins[:, None]) & (at < samples[:, None])
    # one more column takes the labels of no cell
    cell = torch.where(inside, cell, centers.shape[0])
    small = values if values.dtype != torch.bool else values.to(torch.uint8)
    wide = torch.zeros(*values.shape[:-1], centers.shape[0] + 1, dtype=small.dtype, device=values.device)
    wide = wide.scatter_reduce(-1, _spread(cell, small).expand_as(small), small, "amax", include_self=False)
    taken = torch.zeros(values.shape[0], centers.shape[0] + 1, dtype=torch.bool, device=values.device)
    taken = taken.scatter(-1, cell, torch.ones_like(inside))
    return torch.where(_spread(taken[:, :-1], nearest), wide[..., :-1].to(values.dtype), nearest)


def _spread(rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Give values of a batch's frames (batch, frames) as many dimensions as its labels have."""
    return rows.view(rows.shape[0], *[1] * (like.dim() - 2), rows.shape[-1])


def _gather(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take labels (batch, ..., labels) of a batch at indices (batch, frames)."""
    spread = _spread(index, values)
    return values.gather(-1, spread.expand(*values.shape[:-1], index.shape[-1]))
