"""Metrograms: how strongly a clip has two tempi in a given ratio, such as a beat's and a bar's."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_different, check_rate
from audiofeed.arguments.setting_groups import arguments_of
from audiofeed.arguments.signature import takes
from audiofeed.methods.rhythm import tempi
from audiofeed.signal.rhythm.tempo import tempo_places, tempo_shares
from audiofeed.transforms.contract.derived import Derived, check_source
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.rhythm.tempogram import (
    FourierTempogram,
    HybridTempogram,
    Stretches,
    StretchOptions,
    Tempogram,
)

AGGREGATES = ("sum", "mean", "max", None)
TEMPOGRAMS = {"hybrid": HybridTempogram, "fourier": FourierTempogram, "autocorrelation": Tempogram}


class Metrogram(Derived):
    """Metrogram as a module, metric ratios in a tempogram, equal to librosa 1.0's `librosa.feature.metrogram`.

    Each tempo's value times the value at a multiple of that tempo (read by straight lines between the rows, 0 out of
    their reach), summed over the tempi: row k is large where beats and bars stand in the ratio `factors[k]`. Cozens and
    Godsill, "Dynamic time signature recognition, tempo inference, and beat tracking through the metrogram transform"
    (2023). A bar of 4 needs a window of many bars: a `win_length` of 1536 is more apt than the 384 of tempograms.

    Args:
        sample_rate: Hz.
        factors: multiples of each tempo, > 0: 1/3 for bars of 3 beats, 1/4 of 4, 1/5 of 5, 1/7 of 7.
        aggregate: "sum", "mean" or "max" over the tempi; None: each tempo by itself. "max" needs a real tempogram.
        tempogram: what is multiplied: "hybrid" is `HybridTempogram`, "fourier" is `FourierTempogram` (complex, as is
            the result then), "autocorrelation" is `Tempogram` without its row of infinite tempo; or any transform with
            `tempi`, which brings its own settings.
        center: of the tempogram, as there.

    Returns:
        (..., factors, frames), or with aggregate=None (..., factors, tempi, frames), from a waveform (..., time) and
        lengths (batch,).

    Raises:
        TypeError: for a tempogram that is not a transform of waveforms, or has no `tempi`.
        ValueError: for settings of a tempogram beside one that brings its own.

    Differs from librosa: a tempogram has no rows of infinite tempo (there they make it NaN), and reading is linear.

    >>> transform = Metrogram(sample_rate=16000, n_fft=1024, hop_length=160, win_length=100)
    >>> transform(torch.zeros(2, 16000)).shape
    torch.Size([2, 4, 101])
    """

    @takes(Stretches)
    def __init__(
        self,
        *,
        sample_rate: float,
        factors: Sequence[float] = (1 / 3, 1 / 4, 1 / 5, 1 / 7),
        aggregate: str | None = "sum",
        tempogram: str | Transform = "hybrid",
        center: bool = True,
        **settings: Unpack[StretchOptions],
    ) -> None:
        check_rate(sample_rate)
        if isinstance(tempogram, str):
            cls = TEMPOGRAMS[
                check_choice("tempogram", tempogram, tuple(TEMPOGRAMS), remedy="or a transform with tempi")
            ]
            tempogram = cls(sample_rate=sample_rate, center=center, **settings)
        else:
            _check_left_out(center=center, **settings)
        super().__init__(check_source("tempogram", tempogram, sample_rate))
        self.sample_rate = sample_rate
        for name in ("n_fft", "hop_length", "win_length", "window", "center"):
            setattr(self, name, getattr(tempogram, name, None))
        self.factors = check_different("factors", factors, "(1/3, 1/4): bars of 3 and of 4 beats")
        self.aggregate = check_choice("aggregate", aggregate, AGGREGATES)
        if aggregate == "max" and isinstance(tempogram, FourierTempogram):
            raise ValueError("aggregate='max' needs a real tempogram: use 'hybrid', or aggregate='sum' or 'mean'")
        if not hasattr(tempogram, "tempi"):
            raise TypeError(
                f"tempogram={tempogram!r} must have an attribute tempi, the beats per minute of its rows, as "
                "Tempogram has"
            )
        every = np.asarray(tempogram.tempi, dtype=np.float64)
        self._finite = slice(1, None) if not math.isfinite(every[0]) else slice(None)
        finite = every[self._finite]
        wanted = np.multiply.outer(np.array(self.factors), finite)
        self.define("places", functools.partial(tempo_places, finite, wanted))
        self.define("shares", functools.partial(tempo_shares, finite, wanted))

    @property
    def tempogram(self) -> Transform:
        """Tempogram transform that a metrogram module multiplies with itself."""
        return self.source

    @property
    def onset(self) -> Transform | None:
        """Onset envelope transform that a metrogram module's tempogram is computed of, if it is computed of one."""
        return getattr(self.source, "onset", None)

    @property
    def first_center(self) -> float:
        """Sample that column 0 of a metrogram is centered on: as of its tempogram."""
        return self.source.first_center

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a metrogram module's products of its tempogram with itself at multiples of each tempo."""
        like = features.real if features.is_complex() else features
        places, shares = self.filter_like("places", like), self.filter_like("shares", like)
        return tempi.metrogram(features[:, self._finite], places, shares, aggregate=self.aggregate)


def _check_left_out(**settings: Any) -> None:
    """Raise a ValueError that names a metrogram's settings of a tempogram beside one that brings its own."""
    defaults = {**{field.name: field.default for field in arguments_of(Stretches)}, "center": True}
    given = ", ".join(
        f"{name}={value!r}"
        for name, value in settings.items()
        if type(value) is not type(defaults[name]) or value != defaults[name]
    )
    if given:
        raise ValueError(f"{given} must be left out with tempogram=...: it brings its own; set them there")
