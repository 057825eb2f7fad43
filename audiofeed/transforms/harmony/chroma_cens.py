"""Chroma energy normalized statistics."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.arguments.checks import check_count
from audiofeed.methods.harmony.cens import quantized, smoothed
from audiofeed.methods.norms import normalized
from audiofeed.signal.harmony.chroma import CENS_STEPS
from audiofeed.signal.windows import Window, get_window
from audiofeed.transforms.contract.derived import Derived
from audiofeed.transforms.harmony.chroma import check_norm
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT


def smoothing_filter(window: Window, length: int) -> np.ndarray:
    """A symmetric window of sum 1, without the two ends, which are 0 for a Hann window, counted.  Shape: (length + 2,).

    >>> smoothing_filter("hann", 1).tolist()
    [0.0, 1.0, 0.0]
    """
    samples = get_window(window, length + 2, periodic=False)
    return samples / samples.sum()


class ChromaCENS(Derived):
    """Chroma that forgets dynamics, timbre and articulation, equal to `librosa.feature.chroma_cens`.

    Each frame of a `ChromaCQT` is divided by its sum, each class counts how many of the steps 0.05, 0.1, 0.2 and 0.4 it
    exceeds, and the counts are smoothed over frames and normalised: the chroma energy normalized statistics of Müller
    and Ewert, "Chroma Toolbox" (2011).

    Counts have no slope: no gradient flows back, and none is recorded. To train through chroma, use `ChromaCQT`.

    Args:
        sample_rate: Hz.
        hop_length, f_min, n_octaves, bins_per_octave, tuning, n_chroma, window, hybrid: of the chroma, as in
            `ChromaCQT`.
        norm: p-norm of each frame, > 0; None: as it is. A silent clip stays 0.
        win_len_smooth: frames that are smoothed over, beside a frame on either end that counts in the window alone;
            None: not smoothed.
        smoothing_window: the window over them: a name, a (name, parameter) tuple, or a Kaiser beta.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_chroma, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: as `CQT` does. A class within rounding of a step may be counted differently in float32 and
    float64.

    >>> ChromaCENS(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_octaves: int = 7,
        bins_per_octave: int | None = 36,
        tuning: float | None = None,
        n_chroma: int = 12,
        window: Sequence[float] | np.ndarray | None = None,
        hybrid: bool = False,
        norm: float | None = 2.0,
        win_len_smooth: int | None = 41,
        smoothing_window: str | float | tuple = "hann",
    ) -> None:
        super().__init__(
            ChromaCQT(
                sample_rate=sample_rate,
                hop_length=hop_length,
                f_min=f_min,
                n_octaves=n_octaves,
                bins_per_octave=bins_per_octave,
                tuning=tuning,
                n_chroma=n_chroma,
                window=window,
                hybrid=hybrid,
                norm=1.0,
            )
        )
        self.n_chroma, self.norm = n_chroma, check_norm(norm)
        self.win_len_smooth, self.smoothing_window = win_len_smooth, smoothing_window
        if win_len_smooth is not None:
            frames = check_count("win_len_smooth", win_len_smooth, "a whole number of frames, 1 or more, or None")
            try:
                smoothing_filter(smoothing_window, frames)
            except ValueError as error:
                raise ValueError(f"smoothing_{error}") from error
            self.define("smoothing", functools.partial(smoothing_filter, smoothing_window, frames))

    def _derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        counts = quantized(features, CENS_STEPS)
        if self.win_len_smooth is not None:
            counts = smoothed(counts, self.filter_like("smoothing", counts))
        return normalized(counts, self.norm, -2)

    def extra_repr(self) -> str:
        """The settings of the statistics; the chroma stands below."""
        return f"norm={self.norm}, win_len_smooth={self.win_len_smooth}, smoothing_window={self.smoothing_window!r}"
