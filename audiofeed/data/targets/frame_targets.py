"""Labels at a frame rate as a dataset's targets: piano rolls, voice activity, phones, cut with the crop."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.data.listing.columns import PackedStrings
from audiofeed.data.listing.tables import shown
from audiofeed.data.readers import AudioInfo
from audiofeed.data.targets.target_column import CropPlace, TargetColumn
from audiofeed.data.targets.timed import CutFrames

# frames made without padding miss half a window at each end of the recording: up to so many seconds
_SLACK = 0.25


@dataclass(frozen=True, kw_only=True)
class FrameTargets:
    """Targets in time from labels at a frame rate: cut with the crop, and taken to the frames of the features.

    A value of `AudioManifest(target_type=)` or `AudioFolder(target=)`. In a batch, `targets` is (batch, ..., frames)
    with exactly the features' frames: feature frame i has the label at its center, by the transform's own `times`.
    Where labels were made with the features' own hop and the crop starts on its multiples (`RandomCrop(grid=hop)`), a
    crop's labels are those of the whole recording, value for value.

    Args:
        frame_rate: Labels per second, in Hz.
        source: Where the labels of a recording are. None: in the manifest's target column, as a list of numbers or the
            path of a .npy file. ".npy": in a file of the same name beside the recording. A function of the recording's
            path returns an array, or such a path; it is called in the worker, each time the recording is read.
        first: Center of the first label, in seconds; label j is centered on first + j / frame_rate. 0 for labels made
            of centered frames, 0.5 / frame_rate for labels of which each stands for a stretch from j / frame_rate on.
        time_axis: Axis of the array along which time runs; in the batch it is the last one.
        resample: "nearest" takes the label nearest to a frame's center. "max" takes the largest of the labels whose
            centers are nearer to this frame's center than to any other's, or the nearest if there is none, so that
            no short event is lost where labels are denser than frames. "linear" interpolates, for curves such as pitch.
        fill: Value of frames past the end of the recording or of the clip: 0, or the index that a loss ignores.
        origin: "file" counts labels from the start of the file, "part" from the start of the part that a row names.

    Raises:
        ValueError: An argument is out of range.

    >>> FrameTargets(frame_rate=100.0, source=".npy", time_axis=0)
    FrameTargets(frame_rate=100.0, source='.npy', first=0.0, resample='nearest', ...)
    """

    frame_rate: float
    source: str | Callable[[str], Any] | None = None
    first: float = 0.0
    time_axis: int = -1
    resample: Literal["nearest", "max", "linear"] = "nearest"
    fill: float = 0
    origin: Literal["file", "part"] = "file"

    def __post_init__(self) -> None:
        if not (_is_finite(self.frame_rate) and self.frame_rate > 0):
            raise ValueError(f"frame_rate={self.frame_rate!r} must be a finite number of labels per second, above 0")
        if not _is_finite(self.first):
            raise ValueError(f"first={self.first!r} must be a finite number of seconds")
        check_choice("resample", self.resample, ("nearest", "max", "linear"))
        check_choice("origin", self.origin, ("file", "part"))
        if self.source is not None and not callable(self.source) and str(self.source).lower() != ".npy":
            raise ValueError(
                f"source={self.source!r} must be '.npy' for files beside the recordings, a function of a recording's "
                "path, or None for the manifest's column"
            )

    def cut(self, labels: Any, *, start: float, samples: int, sample_rate: int) -> CutFrames:
        """Cut labels to a crop: the target of an example that a dataset of your own yields.

        Args:
            labels: An array or nested list with time along `time_axis`.
            start: Seconds from where the labels are counted to the waveform's first sample.
            samples: Samples of the waveform, without silence that a crop has added.
            sample_rate: Hz of the waveform.

        Returns:
            The target of an example; a collate takes it to the features' frames.

        Raises:
            ValueError: The labels are no array of numbers with such an axis, or there are none.

        >>> cut = FrameTargets(frame_rate=100.0).cut([0, 0, 1, 1, 0], start=0.02, samples=160, sample_rate=16_000)
        >>> cut.values.tolist(), cut.first
        ([1, 1], 0.0)
        """
        values = self.array(labels, "labels")
        step = sample_rate / self.frame_rate
        origin = (self.first - start) * sample_rate
        count = values.shape[-1]
        low = min(max(0, math.floor(round(-origin / step, 6))), count - 1)
        end, last = start + samples / sample_rate, self.first + (count - 1) / self.frame_rate
        if end > last + max(_SLACK, 2.5 / self.frame_rate):
            raise ValueError(
                f"{count} labels of shape {values.shape}, time last, at frame_rate={self.frame_rate:g} end at "
                f"{last:.3f} s, and the waveform at {end:.3f} s; check frame_rate, first and time_axis"
            )
        high = min(max(low, math.ceil(round((samples - origin) / step, 6))), count - 1)
        piece = np.ascontiguousarray(values[..., low : high + 1])
        if piece.dtype == np.float64:
            piece = piece.astype(np.float32)
        return CutFrames(
            torch.from_numpy(piece.copy()), round(origin + low * step, 6), step, samples, self.resample, self.fill
        )

    def array(self, labels: Any, place: str) -> np.ndarray:
        """Return labels as an array with time along its last axis, a view of what is given if that is an array.

        Args:
            labels: An array or nested list.
            place: Where they come from, for messages.

        Raises:
            ValueError: They are no array of numbers with such an axis, or there are none.
        """
        try:
            values = labels.numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
        except ValueError as error:  # lists of several lengths
            raise ValueError(f"{place}: {shown(labels)} is no array: {error}") from error
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{place}: the labels are of type {values.dtype}; they must be numbers")
        if values.dtype.kind == "u" and values.dtype.itemsize > 1:
            values = values.astype(np.int64)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if not -values.ndim <= self.time_axis < values.ndim:
            raise ValueError(f"{place}: labels of shape {values.shape} have no axis {self.time_axis}, time_axis")
        values = np.moveaxis(values, self.time_axis, -1)
        if 0 in values.shape:
            raise ValueError(f"{place}: labels of shape {values.shape}, time last, are empty")
        return values

    def read(
        self,
        paths: Sequence[str],
        cells: Sequence[Any] | None,
        place: Callable[[int], str],
        folder: str,
        classes: Sequence[str] | None,
    ) -> FrameColumn:
        """Read where the labels of a dataset's recordings are.

        Args:
            paths: One for each clip.
            cells: What the manifest has for each: a list of numbers, or a file's path; None if there is no such column.
            place: Describes where a clip is listed, for messages.
            folder: The folder of relative paths.
            classes: Names of the classes that the rows of labels, or their values, stand for; None: they have none.

        Raises:
            ValueError: There is no source, or a cell is neither.
            FileNotFoundError: A file of labels does not exist.
        """
        values: Sequence[Any]
        if callable(self.source):
            values = paths
        elif self.source is not None:
            values = [str(PurePath(path).with_suffix(self.source)) for path in paths]
        elif cells is None:
            raise ValueError("FrameTargets() has no source; give it '.npy', or a function of a recording's path")
        else:
            values = [
                os.path.join(folder, os.fsdecode(cell)) if isinstance(cell, (str, os.PathLike)) else self._given(cell)
                for cell in cells
            ]
        if not callable(self.source):
            for i, value in enumerate(values):
                if isinstance(value, str) and not value.lower().endswith(".npy"):
                    raise ValueError(f"{place(i)}: {shown(value)} must be a .npy file or a list of numbers")
                if isinstance(value, str) and not os.path.isfile(value):
                    raise FileNotFoundError(f"{place(i)}: the file of labels {value!r} does not exist")
        return FrameColumn(values, self, [place(i) for i in range(len(paths))], classes or ())

    @staticmethod
    def _given(cell: Any) -> Any:
        """Return the labels in a manifest's cell as an array if they are one, which takes less room than a list."""
        try:
            return np.asarray(cell)
        except ValueError:  # reported where its place is known
            return cell

    def __repr__(self) -> str:
        source = self.source if isinstance(self.source, (str, type(None))) else "..."
        return (
            f"FrameTargets(frame_rate={self.frame_rate!r}, source={source!r}, first={self.first!r}, "
            f"resample={self.resample!r}, ...)"
        )


class FrameColumn(TargetColumn):
    """Column of a dataset's labels at a frame rate: arrays or .npy files, of which a crop reads its part.

    Args:
        values: For each clip its array, list or file, or its recording for a source that is a function.
        settings: How they are read and resampled.
        places: Where each clip is listed, for messages.
        classes: Names of the classes that they stand for; empty if they have none.
    """

    in_time = True

    def __init__(
        self, values: Sequence[Any], settings: FrameTargets, places: Sequence[str], classes: Sequence[str] = ()
    ) -> None:
        super().__init__(values, classes)
        self.settings = settings
        self._places = PackedStrings(places)

    def take(self, clips: Sequence[int]) -> FrameColumn:
        """Return the labels of some of a dataset's clips."""
        places = [self._places[i] for i in clips]
        return FrameColumn([self.values[i] for i in clips], self.settings, places, self.classes)

    def check(self, infos: Sequence[AudioInfo], spans: np.ndarray) -> None:
        """Check that a dataset's labels are as long as their recordings; those of a function when they are read."""
        if callable(self.settings.source):
            return
        for clip, (info, (begin, end)) in enumerate(zip(infos, spans.tolist(), strict=True)):
            duration = end - begin if self.settings.origin == "part" else info.duration
            self._check_length(self.whole(clip), clip, duration)

    def whole(self, clip: int) -> np.ndarray:
        """Return the labels of a whole clip of a dataset, time last; those of a file are not read yet."""
        value, place = self.values[clip], self._places[clip]
        if callable(self.settings.source):
            value = self.settings.source(value)
        if isinstance(value, (str, os.PathLike)):
            place = os.fspath(value)
            try:
                value = np.load(place, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ValueError(f"{self._places[clip]}: the labels {place!r} cannot be read: {error}") from error
        return self.settings.array(value, place)

    def cut(self, clip: int, place: CropPlace) -> CutFrames:
        """Return the labels of a crop of a dataset's clip, of which alone they are read."""
        settings, values = self.settings, self.whole(clip)
        start = place.start - (place.part_start if settings.origin == "part" else 0.0)
        whole = np.moveaxis(values, -1, settings.time_axis)
        return settings.cut(whole, start=start, samples=place.samples, sample_rate=place.sample_rate)

    def label(self, clip: int) -> np.ndarray:
        """Return the labels of a dataset's clip, which have no names."""
        return self.whole(clip)

    def _check_length(self, values: np.ndarray, clip: int, duration: float) -> None:
        rate, count = self.settings.frame_rate, values.shape[-1]
        slack = max(_SLACK, 2.5 / rate)
        last = self.settings.first + (count - 1) / rate
        if not duration - slack <= last <= duration + slack:
            raise ValueError(
                f"{self._places[clip]}: {count} labels of shape {values.shape}, time last, at frame_rate={rate:g} "
                f"end at {last:.3f} s, and the recording at {duration:.3f} s; check frame_rate, first and time_axis"
            )


def _is_finite(value: Any) -> bool:
    """Return True for a finite number that a setting of labels at a frame rate is given."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
