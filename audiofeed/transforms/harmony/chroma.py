"""Chroma: how strong each pitch class is."""

from __future__ import annotations

import functools
import math

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_norm, check_positive, check_rate
from audiofeed.arguments.meta_device import check_has_values
from audiofeed.arguments.signature import takes
from audiofeed.methods.harmony.chroma import bin_by_bin, chroma, tuned_chroma
from audiofeed.signal.constant_q.tuning import pitch_bins, tuning_edges
from audiofeed.signal.filter_responses import FilterResponses
from audiofeed.signal.harmony.chroma import chroma_filterbank, chroma_places
from audiofeed.transforms.contract.frame_settings import FeatureOptions, Frames
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import PerClip, PerFrame


class Chroma(ShortTime):
    """Chroma (strength of each pitch class) of an STFT as a module, equal to `librosa.feature.chroma_stft`.

    With `tuning=None` each clip's tuning is estimated from its own frames, all its channels together, as
    `librosa.estimate_tuning` does for that clip alone; whatever else is in the batch does not count. The estimate is
    one of 100 values and no gradient flows through it; it does through the chroma. Two values whose votes are within
    rounding of each other may be told apart differently in float32 and float64.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.
        n_chroma: pitch classes in an octave.
        tuning: deviation from A440 in fractions of a class; None: estimated for each clip.
        norm: p-norm of each frame, > 0 (`math.inf`: maximum 1); None: as it is. Silence stays 0.
        ctroct: the octave, counted from A0, that weighs most.
        octwidth: standard deviation of the weighing in octaves, > 0; None: all weigh alike.
        base_c: class 0 is C; False: A.
        trainable_chroma: the filters are a parameter (`chroma`, of shape (n_chroma, n_fft // 2 + 1)); needs a number as
            tuning.

    Returns:
        (..., n_chroma, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4; filters are exact in float64 (there float32, unless
    dtype says otherwise); for odd `n_fft` the tuning is estimated with the bins' own frequencies (there with those of
    n_fft - 1); a batch given to librosa as one array has one tuning for all.

    >>> import torch
    >>> Chroma(sample_rate=16000, n_fft=1024)(torch.zeros(2, 1600)).shape
    torch.Size([2, 12, 7])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 2.0,
        n_chroma: int = 12,
        tuning: float | None = None,
        norm: float | None = math.inf,
        ctroct: float = 5.0,
        octwidth: float | None = 2.0,
        base_c: bool = True,
        trainable_chroma: bool = False,
        **settings: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        self.n_chroma = check_count("n_chroma", n_chroma, "an integer number of pitch classes, 1 or more")
        if tuning is not None and not math.isfinite(tuning):
            raise ValueError(f"tuning={tuning!r} must be a finite number of classes, or None to estimate it")
        if not math.isfinite(ctroct):
            raise ValueError(f"ctroct={ctroct!r} must be a finite number of octaves")
        if tuning is None and trainable_chroma:
            raise ValueError(
                "trainable_chroma=True needs a number as tuning: with tuning=None each clip has filters of its own; "
                "use tuning=0.0"
            )
        self.tuning = None if tuning is None else float(tuning)
        self.norm, self.ctroct, self.base_c = check_norm(norm), float(ctroct), base_c
        self.octwidth = None if octwidth is None else check_positive("octwidth", octwidth)
        self.trainable_chroma = trainable_chroma
        rate = float(sample_rate)
        if self.tuning is None:
            places = functools.partial(
                chroma_places, sample_rate=rate, n_fft=self.n_fft, n_chroma=self.n_chroma, ctroct=self.ctroct
            )
            self.define("places", places)
            self.define("edges", tuning_edges)
            tuned = functools.partial(
                tuned_chroma,
                bins=pitch_bins(sample_rate=rate, n_fft=self.n_fft),
                hertz=rate / self.n_fft,
                n_chroma=self.n_chroma,
                octwidth=self.octwidth,
                base_c=base_c,
                norm=self.norm,
            )
            self._steps = (PerFrame(bin_by_bin), PerClip(tuned, ("places", "edges")))
            return
        definition = functools.partial(
            chroma_filterbank,
            sample_rate=rate,
            n_fft=self.n_fft,
            n_chroma=self.n_chroma,
            tuning=self.tuning,
            ctroct=self.ctroct,
            octwidth=self.octwidth,
            base_c=base_c,
        )
        self.define("chroma", definition, trainable=trainable_chroma)
        self._steps = (PerFrame(functools.partial(chroma, norm=self.norm), ("chroma",), multiplies=True),)

    def filter_responses(self) -> FilterResponses:
        """Return the weights of a chroma module's pitch classes over FFT bins; `tuning=None`: of a clip in tune."""
        if self.tuning is not None:
            check_has_values("transform", self)
            return self.weights_of_powers(self.chroma.detach().cpu().double().numpy())
        weights = chroma_filterbank(
            sample_rate=self.rate("the filter bank"),
            n_fft=self.n_fft,
            n_chroma=self.n_chroma,
            tuning=0.0,
            ctroct=self.ctroct,
            octwidth=self.octwidth,
            base_c=self.base_c,
        )
        return self.weights_of_powers(weights)
