"""The logarithm of any spectrogram: natural, decimal, decibels or ln(1 + x), limited clip by clip."""

from __future__ import annotations

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_positive
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.decibels import limit_own_range, limit_range
from audiofeed.methods.frame_steps import ValueStep
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.logarithm_settings import Logarithm, LogOptions


class LogCompression(FeatureTransform):
    """Module that takes the logarithm of a spectrogram: `LogMelSpectrogram`'s own, for any other non-negative feature.

    It stands in a `Chain` behind a spectrogram, a gammatonegram or a CQT. `AmplitudeToDB` is the one whose decibels are
    those of librosa, over a reference.

    Args:
        power: exponent of the magnitude that the input is, > 0; decibels are 20 / power log10.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> LogCompression(log="log1p")(torch.tensor([[0.0, 1.0]])).round(decimals=3).tolist()
    [[0.0, 0.693...]]
    """

    keeps_bins, gives_logarithms = True, True

    @takes(Logarithm)
    def __init__(self, *, power: float = 2.0, **settings: Unpack[LogOptions]) -> None:
        super().__init__()
        logarithm = pick(Logarithm, settings)
        self.keep(logarithm)
        self.power = check_positive("power", power, "a number > 0: the exponent of the magnitude in the input")
        self._log, self._range = logarithm.step(self.power), logarithm.range

    def value_steps(self, like: torch.Tensor) -> tuple[ValueStep, ...] | None:
        return (self._log,) if self._range is None else None

    def compute_own(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        values = self._log.of(features, in_place=True)
        return values if self._range is None else limit_own_range(values, lengths, self._range)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if not graph:  # one copy instead of one for each of its steps
            return self.compute_own(features.clone(), lengths)
        values = self._log.of(features, in_place=False)
        return values if self._range is None else limit_range(values, lengths, self._range)
