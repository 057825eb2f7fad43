"""Targets in time: events, frames and waveforms as an example has them, cut with its crop, and as a batch has them.

A dataset cuts (`CutEvents`, `CutFrames`, `CutWaveform`), a collate joins the clips of a batch (`EventBatch`,
`FrameBatch`, `WaveformBatch`), and when the features are known, `at` gives a tensor with one column for each of their
frames. Times are in samples from the waveform's first, float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

import torch

from audiofeed.data.targets.rolled import RolledBatch
from audiofeed.methods.frame_labels import event_roll, labels_at, own_frames


@dataclass(frozen=True)
class CutEvents:
    """Events in time of one example, cut with its crop: those that sound in it.

    Args:
        onsets: (events,) begin in samples from the waveform's first, float64; below 0 if the event began before it.
        offsets: (events,) end in samples.
        labels: (events,) int64 class indices.
        samples: Samples of the waveform that come from the file, without a crop's silence.
        n_classes: Number of classes.
        marks: What is marked in a roll: "activity", "onset", "offset", or several of them.
        rule: "span" or "center", as in `EventTargets`.
    """

    onsets: torch.Tensor
    offsets: torch.Tensor
    labels: torch.Tensor
    samples: int
    n_classes: int
    marks: str | tuple[str, ...]
    rule: str

    @staticmethod
    def join(cuts: Sequence[CutEvents]) -> EventBatch:
        """Join the cut events of a batch's examples.

        Args:
            cuts: One for each example, all of the same settings.
        """
        _check_same("EventTargets", [(cut.n_classes, cut.marks, cut.rule) for cut in cuts])
        first = cuts[0]
        return EventBatch(
            _padded([cut.onsets for cut in cuts], 0.0),
            _padded([cut.offsets for cut in cuts], 0.0),
            _padded([cut.labels for cut in cuts], -1),
            torch.tensor([cut.samples for cut in cuts], dtype=torch.int64, device="cpu"),
            first.n_classes,
            first.marks,
            first.rule,
        )


class EventBatch(NamedTuple):
    """Events in time of a batch's clips, before they are marked in its features' frames.

    Args:
        onsets: (batch, events) begin in samples from each waveform's first.
        offsets: (batch, events) end in samples.
        labels: (batch, events) class indices, -1 for no event.
        samples: (batch,) samples of each waveform that come from its file.
        n_classes: Number of classes.
        marks: "activity", "onset", "offset", or several of them.
        rule: "span" or "center".
        starts: (batch,) samples of each waveform before its file's begin; None: 0.
    """

    onsets: torch.Tensor
    offsets: torch.Tensor
    labels: torch.Tensor
    samples: torch.Tensor
    n_classes: int
    marks: str | tuple[str, ...]
    rule: str
    starts: torch.Tensor | None = None

    def at(
        self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """Mark the events of a batch in the frames of its features.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip; what the targets have beyond is left out.

        Returns:
            (batch, classes, frames) float32 of 0 and 1; a dict of them by name for several marks.
        """
        place = self.onsets
        samples = torch.minimum(self.samples, lengths.to(self.samples))
        rolls = {
            mark: event_roll(
                place,
                self.offsets,
                self.labels,
                centers.to(place),
                n_classes=self.n_classes,
                frames=frames.to(place.device),
                samples=samples,
                mark=mark,
                rule=self.rule,
                starts=self.starts,
            )
            for mark in ((self.marks,) if isinstance(self.marks, str) else self.marks)
        }
        return rolls[self.marks] if isinstance(self.marks, str) else rolls

    def stretched(self, factors: torch.Tensor) -> EventBatch:
        """Return the events of a batch with each clip's times multiplied by its factor.

        Args:
            factors: (batch,) above 0; 2 for a clip that was slowed to twice its length.
        """
        own = factors.to(self.onsets)[:, None]
        starts, samples = _stretched(self.starts, self.samples, factors)
        return self._replace(onsets=self.onsets * own, offsets=self.offsets * own, starts=starts, samples=samples)

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> EventBatch:
        """Return the events of a batch later by each clip's samples; what then lies outside a clip is left out.

        Args:
            samples: (batch,), below 0 for earlier.
            lengths: (batch,) samples of each clip; None: what lies past its end is left out in `at` alone.
        """
        own = samples.to(self.onsets)[:, None]
        starts, ends = _shifted(self.starts, self.samples, samples, lengths)
        return self._replace(onsets=self.onsets + own, offsets=self.offsets + own, starts=starts, samples=ends)

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> RolledBatch:
        """Return the events of a batch rolled within each clip: what leaves its end comes in at its beginning.

        Args:
            samples: (batch,) integers, by which each clip is later, 0 to below its length.
            lengths: (batch,) samples of each clip.
        """
        return RolledBatch(self.shifted(samples - lengths, lengths), self.shifted(samples, lengths), samples)

    def taken(self, rows: torch.Tensor) -> EventBatch:
        """Return the events of other clips of a batch.

        Args:
            rows: (batch,) int64, the clip whose events each is to have.
        """
        return self._replace(
            onsets=self.onsets[rows],
            offsets=self.offsets[rows],
            labels=self.labels[rows],
            samples=self.samples[rows],
            starts=None if self.starts is None else self.starts[rows],
        )

    def mixed(self, other: TimedBatch, own: torch.Tensor, others: torch.Tensor) -> MixedBatch:
        """Return the events of a batch mixed with those of other clips.

        Args:
            other: The others', of a batch of the same size.
            own: (batch,) weight of these.
            others: (batch,) weight of the others'.
        """
        return MixedBatch((self, other), (own, others))


@dataclass(frozen=True)
class CutFrames:
    """Labels at a frame rate of one example, cut with its crop.

    Args:
        values: (..., labels), those whose place is within the crop, and one before and after it.
        first: Center of the first of them in samples from the waveform's first.
        step: Samples from label to label.
        samples: Samples of the waveform that come from the file, without a crop's silence.
        resample: "nearest", "max" or "linear", as in `FrameTargets`.
        fill: Value of frames past the file's end.
    """

    values: torch.Tensor
    first: float
    step: float
    samples: int
    resample: str
    fill: float

    @staticmethod
    def join(cuts: Sequence[CutFrames]) -> FrameBatch:
        """Join the cut labels of a batch's examples.

        Args:
            cuts: One for each example, all of the same settings, type and shape but for the number of labels.
        """
        _check_same("FrameTargets", [(cut.resample, cut.fill) for cut in cuts])
        _check_same("labels of FrameTargets", [(cut.values.dtype, tuple(cut.values.shape[:-1])) for cut in cuts])
        return FrameBatch(
            _padded([cut.values for cut in cuts], 0),
            torch.tensor([cut.values.shape[-1] for cut in cuts], dtype=torch.int64, device="cpu"),
            torch.tensor([cut.first for cut in cuts], dtype=torch.float64, device="cpu"),
            torch.tensor([cut.step for cut in cuts], dtype=torch.float64, device="cpu"),
            torch.tensor([cut.samples for cut in cuts], dtype=torch.int64, device="cpu"),
            cuts[0].resample,
            cuts[0].fill,
        )


class FrameBatch(NamedTuple):
    """Labels at a frame rate of a batch's clips, before they are taken to its features' frames.

    Args:
        values: (batch, ..., labels).
        counts: (batch,) labels of each clip.
        first: (batch,) center of the first label in samples from each waveform's first.
        step: (batch,) samples from label to label.
        samples: (batch,) samples of each waveform that come from its file.
        resample: "nearest", "max" or "linear".
        fill: Value of frames past a clip, and before `starts`.
        starts: (batch,) samples of each waveform before its file's begin; None: 0.
    """

    values: torch.Tensor
    counts: torch.Tensor
    first: torch.Tensor
    step: torch.Tensor
    samples: torch.Tensor
    resample: str
    fill: float
    starts: torch.Tensor | None = None

    def at(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Take the labels of a batch to the frames of its features.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip; what the targets have beyond is left out.

        Returns:
            (batch, ..., frames).
        """
        return labels_at(
            self.values,
            self.counts,
            self.first,
            self.step,
            centers.to(self.first),
            frames=frames.to(self.first.device),
            samples=torch.minimum(self.samples, lengths.to(self.samples)),
            resample=self.resample,
            fill=self.fill,
            starts=self.starts,
        )

    def own_frames(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which frames (batch, frames) of a batch's features have a label; arguments as of `at`."""
        samples = torch.minimum(self.samples, lengths.to(self.samples))
        starts = torch.zeros_like(samples) if self.starts is None else self.starts
        return own_frames(centers.to(self.first), frames.to(samples.device), starts, samples)

    def stretched(self, factors: torch.Tensor) -> FrameBatch:
        """Return the labels of a batch with each clip's times multiplied by its factor.

        Args:
            factors: (batch,) above 0; 2 for a clip that was slowed to twice its length.
        """
        own = factors.to(self.first)
        starts, samples = _stretched(self.starts, self.samples, factors)
        return self._replace(first=self.first * own, step=self.step * own, starts=starts, samples=samples)

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> FrameBatch:
        """Return the labels of a batch later by each clip's samples.

        Args:
            samples: (batch,), below 0 for earlier.
            lengths: (batch,) samples of each clip; None: what lies past its end is left out in `at` alone.
        """
        starts, ends = _shifted(self.starts, self.samples, samples, lengths)
        return self._replace(first=self.first + samples.to(self.first), starts=starts, samples=ends)

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> RolledBatch:
        """Return the labels of a batch rolled within each clip: what leaves its end comes in at its beginning.

        Args:
            samples: (batch,) integers, by which each clip is later, 0 to below its length.
            lengths: (batch,) samples of each clip.
        """
        return RolledBatch(self.shifted(samples - lengths, lengths), self.shifted(samples, lengths), samples)

    def taken(self, rows: torch.Tensor) -> FrameBatch:
        """Return the labels of other clips of a batch.

        Args:
            rows: (batch,) int64, the clip whose labels each is to have.
        """
        return self._replace(
            values=self.values[rows],
            counts=self.counts[rows],
            first=self.first[rows],
            step=self.step[rows],
            samples=self.samples[rows],
            starts=None if self.starts is None else self.starts[rows],
        )

    def mixed(self, other: TimedBatch, own: torch.Tensor, others: torch.Tensor) -> MixedBatch:
        """Return the labels of a batch mixed with those of other clips.

        Args:
            other: The others', of a batch of the same size.
            own: (batch,) weight of these.
            others: (batch,) weight of the others'.
        """
        return MixedBatch((self, other), (own, others))


@dataclass(frozen=True)
class CutWaveform:
    """Waveform that is the target of another: a source of a mixture, read as the same crop.

    Args:
        waveform: (time,) or (channel, time), float32, as long as the example's own.
    """

    waveform: torch.Tensor

    @staticmethod
    def join(cuts: Sequence[CutWaveform]) -> WaveformBatch:
        """Join the target waveforms of a batch's examples.

        Args:
            cuts: One for each example, all of the same number of channels.
        """
        _check_same("channels of the further files", [tuple(cut.waveform.shape[:-1]) for cut in cuts])
        return WaveformBatch(tuple(cut.waveform for cut in cuts))


class WaveformBatch(NamedTuple):
    """Target waveforms of a batch's clips, before they are padded as long as its waveforms.

    Args:
        waveforms: One for each clip.
    """

    waveforms: tuple[torch.Tensor, ...]

    def padded(self, samples: int) -> torch.Tensor:
        """Pad the target waveforms of a batch with zeros, or cut them, to the length of its waveforms.

        Args:
            samples: Length of the batch's waveforms.

        Returns:
            (batch, time) or (batch, channel, time) float32.
        """
        first = self.waveforms[0]
        rows = torch.zeros(len(self.waveforms), *first.shape[:-1], samples, dtype=first.dtype, device=first.device)
        for row, waveform in zip(rows, self.waveforms, strict=True):
            length = min(samples, waveform.shape[-1])
            row[..., :length] = waveform[..., :length]
        return rows


class MixedBatch(NamedTuple):
    """Targets in time of a batch whose clips were mixed: each part's, before they are weighted and added.

    Args:
        parts: Targets of one batch for each, of the same form.
        weights: (batch,) for each.
    """

    parts: tuple[Any, ...]
    weights: tuple[torch.Tensor, ...]

    def at(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Take each part of a mixed batch's targets to the frames of its features, and add them by their weights.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip.

        Returns:
            As the parts give it, float32 at least.
        """
        found = [part.at(centers, frames, lengths) for part in self.parts]
        if isinstance(found[0], dict):
            return {name: self._sum([each[name] for each in found]) for name in found[0]}
        return self._sum(found)

    def _sum(self, values: list[torch.Tensor]) -> torch.Tensor:
        kind = torch.promote_types(values[0].dtype, torch.float32)
        weighted = [
            value.to(kind) * weight.to(kind).view(-1, *[1] * (value.dim() - 1))
            for value, weight in zip(values, self.weights, strict=True)
        ]
        return torch.stack(weighted).sum(0)

    def stretched(self, factors: torch.Tensor) -> MixedBatch:
        """Return the targets of a mixed batch with each clip's times multiplied by its factor, (batch,)."""
        return self._each(lambda part: part.stretched(factors))

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> MixedBatch:
        """Return the targets of a mixed batch later by each clip's samples, (batch,), within its lengths (batch,)."""
        return self._each(lambda part: part.shifted(samples, lengths))

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> MixedBatch:
        """Return the targets of a mixed batch rolled by each clip's samples (batch,) within its lengths (batch,)."""
        return self._each(lambda part: part.rolled(samples, lengths))

    def taken(self, rows: torch.Tensor) -> MixedBatch:
        """Return the targets of other clips of a mixed batch, by their rows, (batch,)."""
        parts = self._each(lambda part: part.taken(rows)).parts
        return MixedBatch(parts, tuple(weight[rows] for weight in self.weights))

    def mixed(self, other: TimedBatch, own: torch.Tensor, others: torch.Tensor) -> MixedBatch:
        """Return the targets of a mixed batch, mixed again with those of other clips, by weights (batch,)."""
        return MixedBatch((self, other), (own, others))

    def _each(self, change: Callable[[Any], Any]) -> MixedBatch:
        return self._replace(parts=tuple(change(part) for part in self.parts))


TimedBatch = Union[EventBatch, FrameBatch, MixedBatch, RolledBatch]  # noqa: UP007  # named before they are defined
TIMED = (EventBatch, FrameBatch, MixedBatch, RolledBatch)
CUTS = (CutEvents, CutFrames, CutWaveform)


def join_cuts(targets: Sequence[Any]) -> EventBatch | FrameBatch | WaveformBatch | None:
    """Join the targets in time of a batch's examples; None if they are other targets.

    Args:
        targets: One for each example.

    Raises:
        ValueError: Some are targets in time and others are not, or they are of several kinds or settings.

    >>> join_cuts([1, 2]) is None
    True
    """
    kinds = {type(target) for target in targets}
    if not kinds.intersection(CUTS):
        return None
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind not in CUTS:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"the targets of a batch are of several kinds: {names}; targets in time must be so in every example of a "
            "batch: give the datasets of a mixture the same target_type"
        )
    joined: EventBatch | FrameBatch | WaveformBatch = kind.join(targets)
    return joined


def _padded(rows: Sequence[torch.Tensor], value: float) -> torch.Tensor:
    """Stack the targets in time of a batch, (..., length) each, padded at their ends."""
    longest = max(row.shape[-1] for row in rows)
    padded = rows[0].new_full((len(rows), *rows[0].shape[:-1], longest), value)
    for place, row in zip(padded, rows, strict=True):
        place[..., : row.shape[-1]] = row
    return padded


def _stretched(
    starts: torch.Tensor | None, samples: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return where each waveform of a batch begins and ends to come from its file, once it is longer by a factor."""
    own = factors.to(samples.device, torch.float64)
    begins = None if starts is None else (starts * own).floor().to(samples.dtype)
    return begins, (samples * own).ceil().to(samples.dtype)


def _shifted(
    starts: torch.Tensor | None, samples: torch.Tensor, shift: torch.Tensor, lengths: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where each waveform of a batch begins and ends to come from its file, once it begins later."""
    begins, own = torch.zeros_like(samples) if starts is None else starts, shift.to(samples)
    if lengths is not None:
        samples = torch.minimum(samples, lengths.to(samples))
    begins, ends = (begins + own).clamp_min(0), (samples + own).clamp_min(0)
    if lengths is not None:
        ends = torch.minimum(ends, lengths.to(samples))
    return begins, ends


def _check_same(what: str, settings: Sequence[Any]) -> None:
    odd = next((i for i, found in enumerate(settings) if found != settings[0]), None)
    if odd is not None:
        raise ValueError(
            f"{what} of clip 0 and clip {odd} of a batch differ: {settings[0]} and {settings[odd]}; give the datasets "
            "of a mixture the same ones"
        )
