"""Columns of targets: one target for each clip of a dataset, whole or cut with a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.data.listing.columns import pack, plain
from audiofeed.data.readers import AudioInfo
from audiofeed.data.targets.classes import ClassNames


@dataclass(frozen=True, slots=True)
class CropPlace:
    """Place of a dataset's example, by which targets in time are cut: where its waveform lies in its file.

    Args:
        start: Seconds from the start of the file to the waveform's first sample.
        part_start: Seconds from the start of the file to the start of the part that a manifest's row names.
        samples: Samples of the file in the waveform, without the silence that a crop adds.
        sample_rate: Hz of the waveform.
    """

    start: float
    part_start: float
    samples: int
    sample_rate: int


class TargetColumn:
    """Column of a dataset's targets, one for each clip; the base holds any values, numbers and class indices packed.

    Args:
        values: One per clip.
        classes: Names of the classes that the targets stand for; empty if they stand for none.

    >>> column = TargetColumn([3, 1, 2])
    >>> column.whole(0), column.take([2, 1]).values
    (3, array([2, 1]))
    """

    # whether a crop has a target of its own, by `cut`
    in_time = False

    def __init__(self, values: Sequence[Any] | np.ndarray, classes: Sequence[str] = ()) -> None:
        self.values: Any = pack(values) if isinstance(values, list) else values
        self.classes = classes if isinstance(classes, ClassNames) else ClassNames(classes)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, clips: Sequence[int]) -> TargetColumn:
        """Return the column of some of a dataset's clips.

        Args:
            clips: Their indices.
        """
        if isinstance(self.values, np.ndarray):
            return TargetColumn(self.values[np.asarray(clips, dtype=np.int64)], self.classes)
        return TargetColumn([self.values[clip] for clip in clips], self.classes)

    def check(self, infos: Sequence[AudioInfo], spans: np.ndarray) -> None:
        """Check a dataset's targets against the headers of their files.

        Args:
            infos: The header of each clip's file.
            spans: (clips, 2), the seconds in the file at which each clip begins and ends.

        Raises:
            ValueError: They do not fit.
        """

    def whole(self, clip: int) -> Any:
        """Return the target of a whole clip of a dataset.

        Args:
            clip: Index of the clip.
        """
        return plain(self.values[clip])

    def cut(self, clip: int, place: CropPlace) -> Any:
        """Return the target of an example of a dataset: of a clip's crop.

        Args:
            clip: Index of the clip.
            place: Where the crop lies.
        """
        return self.whole(clip)

    def label(self, clip: int) -> Any:
        """Return the name of a dataset's target: of its class, or the names of its classes; else the target itself.

        Args:
            clip: Index of the clip.
        """
        target = self.whole(clip)
        return self.classes[target] if self.classes and isinstance(target, int) else target

    def of_clips(self, clips: np.ndarray) -> np.ndarray | list[Any]:
        """Return the targets of a dataset's clips: an array if they are numbers of one kind, else a list.

        Args:
            clips: Their indices.
        """
        if isinstance(self.values, np.ndarray) and type(self) is TargetColumn:
            return self.values[clips]
        return [self.whole(clip) for clip in clips.tolist()]


class LabelSets(TargetColumn):
    """Column of a dataset's targets that are several integers each, packed: class indices as multi-hot, or a sequence.

    Args:
        labels: For each clip its integers.
        classes: Names of the classes; empty for a sequence of plain integers.
        multi_hot: True gives float32 vectors over the classes, False int64 sequences.

    >>> LabelSets([[0, 2], []], ["a", "b", "c"], multi_hot=True).whole(0)
    tensor([1., 0., 1.])
    >>> LabelSets([[5, 5], []], multi_hot=False).whole(1)
    tensor([], dtype=torch.int64)
    """

    def __init__(
        self, labels: Sequence[Sequence[int] | np.ndarray], classes: Sequence[str] = (), *, multi_hot: bool
    ) -> None:
        super().__init__(np.fromiter((label for row in labels for label in row), dtype=np.int64), classes)
        self._ends = np.cumsum([0] + [len(row) for row in labels], dtype=np.int64)
        self._multi_hot = multi_hot

    def __len__(self) -> int:
        return len(self._ends) - 1

    def take(self, clips: Sequence[int]) -> LabelSets:
        """Return the column of some of a dataset's clips, each a set or a sequence of labels."""
        return LabelSets([self._row(clip) for clip in clips], self.classes, multi_hot=self._multi_hot)

    def whole(self, clip: int) -> torch.Tensor:
        """Return a dataset's target of several labels: float32 (classes,) multi-hot, or an int64 sequence."""
        row = torch.from_numpy(self._row(clip).copy())
        if not self._multi_hot:
            return row
        return torch.zeros(len(self.classes)).index_fill_(0, row, 1.0)

    def label(self, clip: int) -> Any:
        """Return the names of the classes in a dataset's target of several labels, or its integers."""
        row = self._row(clip).tolist()
        return [self.classes[number] for number in row] if self.classes else row

    def _row(self, clip: int) -> np.ndarray:
        clip = range(len(self))[clip]
        return self.values[self._ends[clip] : self._ends[clip + 1]]


class Vectors(TargetColumn):
    """Column of a dataset's targets that are vectors of numbers of one length, which stack in a batch.

    Args:
        values: (clips, length), int64 or float.

    >>> Vectors(np.array([[0.5, 1.0]])).whole(0)
    tensor([0.5000, 1.0000])
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)

    def take(self, clips: Sequence[int]) -> Vectors:
        """Return the column of some of a dataset's clips, each a vector."""
        return Vectors(self.values[np.asarray(clips, dtype=np.int64)])

    def whole(self, clip: int) -> torch.Tensor:
        """Return a dataset's target that is a vector: float32, or int64 if all numbers of the column are integers."""
        row = torch.from_numpy(self.values[clip].copy())
        return row.float() if row.is_floating_point() else row
