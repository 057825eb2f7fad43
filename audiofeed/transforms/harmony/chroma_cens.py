"""Chroma energy normalized statistics."""

from __future__ import annotations

import functools

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_norm
from audiofeed.arguments.signature import takes
from audiofeed.methods.harmony.chroma_cens import quantized, smoothed
from audiofeed.methods.norms import normalized
from audiofeed.signal.harmony.chroma import CENS_STEPS
from audiofeed.signal.harmony.chroma_cens import smoothing_filter
from audiofeed.transforms.contract.derived import Derived
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT
from audiofeed.transforms.harmony.settings import PitchClasses, PitchClassOptions


class ChromaCENS(Derived):
    """CENS chroma as a module, which forgets dynamics, timbre and articulation, equal to `librosa.feature.chroma_cens`.

    Each frame of a `ChromaCQT` is divided by its sum, each class counts how many of the steps 0.05, 0.1, 0.2 and 0.4 it
    exceeds, and the counts are smoothed over frames and normalized: the chroma energy normalized statistics of Müller
    and Ewert, "Chroma Toolbox" (2011).

    Counts have no slope: no gradient flows back, and none is recorded. To train through chroma, use `ChromaCQT`.

    Args:
        sample_rate: Hz.
        norm: p-norm of each frame, > 0; None: as it is. A silent clip stays 0.
        win_len_smooth: frames that are smoothed over, beside a frame on either end that counts in the window alone;
            None: not smoothed.
        smoothing_window: the window over them: a name, a (name, parameter) tuple, or a Kaiser beta.

    Returns:
        (..., n_chroma, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for octaves that reach above half the sample rate, with the number of octaves that do not.

    Differs from librosa: as `CQT` does. A class within rounding of a step may count differently in float32 and float64.

    >>> ChromaCENS(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    @takes(PitchClasses)
    def __init__(
        self,
        *,
        sample_rate: float,
        norm: float | None = 2.0,
        win_len_smooth: int | None = 41,
        smoothing_window: str | float | tuple = "hann",
        **settings: Unpack[PitchClassOptions],
    ) -> None:
        super().__init__(ChromaCQT(sample_rate=sample_rate, norm=1.0, **settings))
        for name in settings:
            setattr(self, name, getattr(self.source, name))
        self.norm, self.win_len_smooth, self.smoothing_window = check_norm(norm), win_len_smooth, smoothing_window
        if win_len_smooth is not None:
            frames = check_count("win_len_smooth", win_len_smooth, "an integer number of frames, 1 or more, or None")
            definition = functools.partial(smoothing_filter, smoothing_window, frames)
            try:
                values = definition()
            except ValueError as error:
                raise ValueError(f"smoothing_{error}") from error
            self.define("smoothing", definition, values=values)

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        counts = quantized(features, CENS_STEPS)
        if self.win_len_smooth is not None:
            counts = smoothed(counts, self.filter_like("smoothing", counts))
        return normalized(counts, self.norm, -2)
