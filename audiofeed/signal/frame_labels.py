"""Labels of frames: which frame an instant belongs to, which frames an event covers, and labels at another frame rate.

A frame's place is its center. An instant belongs to the frame whose center is nearest: frame i's *cell* reaches from
half-way to the center before to half-way to the center after it, its beginning included and its end not. The first cell
begins where the clip does and the last one ends where it does, so that no instant of a clip is without a frame.
"""

from __future__ import annotations

import numpy as np

# positions in samples are compared after rounding to a millionth: times written in decimal seconds then fall on the
# sample that they mean, and on the borders between cells
DECIMALS = 6


def cell_borders(centers: np.ndarray) -> np.ndarray:
    """Return the borders between the cells of frames, for labels.

    Args:
        centers: (frames,) in samples, ascending.

    Returns:
        (frames - 1,), half-way between neighbors.

    >>> cell_borders(np.array([0.0, 160.0, 320.0]))
    array([ 80., 240.])
    """
    centers = np.asarray(centers, dtype=np.float64)
    return np.round((centers[1:] + centers[:-1]) / 2, DECIMALS)


def frame_of(instants: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the frame that each instant belongs to, as a label's onset does.

    Args:
        instants: (instants,) in samples.
        centers: (frames,) in samples, ascending, one or more.

    Returns:
        Indices of frames, of the shape of `instants`.

    >>> frame_of(np.array([79.0, 80.0, 10_000.0]), np.array([0.0, 160.0, 320.0]))
    array([0, 1, 2])
    """
    return np.searchsorted(cell_borders(centers), np.round(instants, DECIMALS), side="right")


def last_frame_of(end: float, centers: np.ndarray) -> int:
    """Return the frame that holds the last instant before an end, of a label or of a clip.

    Args:
        end: In samples.
        centers: (frames,) in samples, ascending, one or more.

    >>> last_frame_of(80.0, np.array([0.0, 160.0, 320.0]))
    0
    """
    return int(np.searchsorted(cell_borders(centers), np.round(end, DECIMALS), side="left"))


def frames_covered(onset: float, offset: float, centers: np.ndarray, *, rule: str) -> tuple[int, int]:
    """Return the first and the last frame that the label of an event covers.

    Args:
        onset: Begin of the event in samples.
        offset: Its end in samples, not before the onset.
        centers: (frames,) in samples, ascending, one or more.
        rule: "span": every frame whose cell overlaps the event. "center": every frame whose center lies in it, the
            onset included and the offset not; an event between two centers covers the frame that its onset belongs to.

    >>> frames_covered(100.0, 300.0, np.array([0.0, 160.0, 320.0]), rule="span")
    (1, 2)
    >>> frames_covered(100.0, 300.0, np.array([0.0, 160.0, 320.0]), rule="center")
    (1, 1)
    """
    first = int(frame_of(np.array(onset), centers))
    if rule == "span":
        return first, max(first, last_frame_of(offset, centers))
    inside = np.round(np.asarray(centers, dtype=np.float64), DECIMALS)
    begin = int(np.searchsorted(inside, np.round(onset, DECIMALS), side="left"))
    end = int(np.searchsorted(inside, np.round(offset, DECIMALS), side="left")) - 1
    return (begin, end) if begin <= end else (first, first)


def event_rolls(
    onsets: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    centers: np.ndarray,
    *,
    n_classes: int,
    n_frames: int,
    samples: int,
    rule: str,
) -> dict[str, np.ndarray]:
    """Return the rolls of labeled events of one clip: which classes sound, begin and end in which frames.

    Args:
        onsets: (events,) begin in samples from the clip's first; below 0 if the event began before it.
        offsets: (events,) end in samples.
        labels: (events,) class indices.
        centers: (frames,) in samples, at least `n_frames`.
        n_classes: Number of classes.
        n_frames: Frames of the clip; it has none after them.
        samples: Length of the clip in samples; an event beyond it is not seen, one that reaches beyond it has no end.
        rule: As in `frames_covered`, for the frames in which an event sounds.

    Returns:
        "activity", "onset" and "offset", each (n_classes, frames) float64 of 0 and 1. The onset is marked in the frame
        that it belongs to, the offset in the frame that holds the last instant before it.

    >>> rolls = event_rolls(
    ...     np.array([100.0]), np.array([300.0]), np.array([0]), np.arange(4) * 160.0,
    ...     n_classes=1, n_frames=4, samples=480, rule="span",
    ... )
    >>> rolls["activity"], rolls["onset"]
    (array([[0., 1., 1., 0.]]), array([[0., 1., 0., 0.]]))
    """
    centers = np.asarray(centers, dtype=np.float64)
    rolls = {name: np.zeros((n_classes, len(centers))) for name in ("activity", "onset", "offset")}
    own = centers[:n_frames]
    final = min(n_frames - 1, last_frame_of(samples, own))
    for onset, offset, label in zip(onsets, offsets, labels, strict=True):
        is_instant = round(float(offset), DECIMALS) == round(float(onset), DECIMALS)
        if round(float(onset), DECIMALS) >= samples or offset < 0 or (offset <= 0 and not is_instant):
            continue
        first, last = frames_covered(onset, offset, own, rule=rule)
        rolls["activity"][label, min(first, final) : min(last, final) + 1] = 1
        if round(float(onset), DECIMALS) >= 0:
            rolls["onset"][label, min(int(frame_of(np.array(onset), own)), final)] = 1
        if round(float(offset), DECIMALS) <= samples:
            begin = int(frame_of(np.array(onset), own))
            rolls["offset"][label, min(max(begin, last_frame_of(offset, own)), final)] = 1
    return rolls


def labels_at(
    values: np.ndarray,
    first: float,
    step: float,
    centers: np.ndarray,
    *,
    samples: int,
    n_frames: int,
    resample: str,
    fill: float,
) -> np.ndarray:
    """Return labels that are given at a frame rate at the centers of other frames of one clip.

    Args:
        values: (..., labels), one or more labels.
        first: Center of the first label in samples from the clip's first.
        step: Samples from label to label, above 0.
        centers: (frames,) in samples, at least `n_frames`.
        samples: Length of the clip in samples; frames after the one that holds its last sample are filled.
        n_frames: Frames of the clip.
        resample: "nearest": the label nearest to the frame's center, the later of two. "linear": between the two labels
            about the center. "max": the largest of the labels whose center lies in the frame's cell, or the nearest
            if there is none. Beyond the first and the last label they go on as they are.
        fill: The value of frames past the clip.

    Returns:
        (..., frames) of the type of `values`; float64 of "linear".

    >>> at = {"samples": 320, "n_frames": 3, "fill": 0}
    >>> labels_at(np.array([0, 1, 0, 0]), 0.0, 80.0, np.arange(3) * 160.0, resample="max", **at)
    array([0, 1, 0])
    """
    values, centers = np.asarray(values), np.asarray(centers, dtype=np.float64)
    own = centers[:n_frames]
    count = values.shape[-1]
    result = np.full(
        (*values.shape[:-1], len(centers)), fill, dtype=np.float64 if resample == "linear" else values.dtype
    )
    places = np.round((np.round(own, DECIMALS) - first) / step, DECIMALS)
    nearest = np.clip(np.floor(places + 0.5), 0, count - 1).astype(np.int64)
    final = min(n_frames - 1, last_frame_of(samples, own))
    borders = np.concatenate([[-np.inf], cell_borders(own), [np.inf]])
    for i in range(final + 1):
        if resample == "linear":
            place = np.clip(places[i], 0, count - 1)
            low = min(int(place), max(count - 2, 0))
            high = min(low + 1, count - 1)
            result[..., i] = values[..., low] + (place - low) * (
                values[..., high].astype(np.float64) - values[..., low]
            )
            continue
        inside = np.zeros(0, dtype=np.int64)
        if resample == "max":
            at = np.round(first + step * np.arange(count), DECIMALS)
            inside = np.flatnonzero((at >= borders[i]) & (at < borders[i + 1]) & (at >= 0) & (at < samples))
        result[..., i] = values[..., inside].max(-1) if inside.size else values[..., nearest[i]]
    return result
