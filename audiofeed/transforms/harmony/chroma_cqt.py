"""Chroma of constant-Q and variable-Q transforms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import Unpack

from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.harmony.chroma import folded
from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT
from audiofeed.transforms.constant_q.settings import options_of
from audiofeed.transforms.contract.derived import Derived
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.harmony.settings import ChromaCQTOptions, ChromaVQTOptions, Folding, Notes, PitchClasses


class ChromaCQT(Derived):
    """Chroma (strength of each pitch class) of a CQT as a module, equal to `librosa.feature.chroma_cqt`.

    Args:
        sample_rate: Hz.
        trainable: the kernels of the constant-Q transform are a parameter, as in `CQT`; not with `hybrid`.

    Returns:
        (..., n_chroma, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for octaves that reach above half the sample rate, with the number of octaves that do not.

    Differs from librosa: as `CQT` does (a batch given to librosa as one array has one tuning for all).

    >>> ChromaCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    @takes(PitchClasses, Folding)
    def __init__(self, *, sample_rate: float, trainable: bool = False, **settings: Unpack[ChromaCQTOptions]) -> None:
        classes = pick(PitchClasses, settings, sample_rate=sample_rate)
        folding = pick(Folding, settings)
        super().__init__(_source(classes, trainable))
        self.keep(classes)
        self.keep(folding)
        self.trainable = trainable
        self.define("chroma", classes.filters, trainable=folding.trainable_chroma)

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        filters = self.filter_like("chroma", features)
        return folded(features, filters, threshold=self.threshold, norm=self.norm)


def _source(classes: PitchClasses, trainable: bool) -> Transform:
    if classes.hybrid and trainable:
        raise ValueError("trainable=True must not be with hybrid=True, whose kernels are fixed; use hybrid=False")
    options = options_of(classes.wavelets)
    if classes.hybrid:
        return HybridCQT(sample_rate=classes.sample_rate, **options)
    return CQT(sample_rate=classes.sample_rate, trainable=trainable, **options)


class ChromaVQT(Derived):
    """Chroma of a VQT (strength of each note of a scale) as a module, equal to `librosa.feature.chroma_vqt`.

    Each bin of an octave is a class of its own.

    Args:
        sample_rate: Hz.
        intervals: "equal", "pythagorean", "ji3", "ji5", "ji7", or the ratios of an octave's notes, as in `VQT`.
        trainable: the kernels of the variable-Q transform are a parameter, as in `VQT`.
        trainable_chroma: the filters are a parameter (`chroma`, of shape (bins_per_octave, n_octaves *
            bins_per_octave)).

    Returns:
        (..., bins_per_octave, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for octaves that reach above half the sample rate, with the number of octaves that do not.

    Differs from librosa as `VQT` does.

    >>> ChromaVQT(sample_rate=22050, intervals="ji5")(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    @takes(Notes, Folding)
    def __init__(
        self,
        *,
        sample_rate: float,
        intervals: str | Sequence[float],
        trainable: bool = False,
        **settings: Unpack[ChromaVQTOptions],
    ) -> None:
        notes = pick(Notes, settings, sample_rate=sample_rate, intervals=intervals)
        folding = pick(Folding, settings)
        super().__init__(VQT(sample_rate=sample_rate, trainable=trainable, **options_of(notes.wavelets)))
        self.keep(notes)
        self.keep(folding)
        self.intervals, self.n_chroma = notes.intervals, notes.bins_per_octave
        self.trainable = trainable
        self.define("chroma", notes.filters, trainable=folding.trainable_chroma)

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        filters = self.filter_like("chroma", features)
        return folded(features, filters, threshold=self.threshold, norm=self.norm)
