"""From cepstral coefficients back to a mel spectrogram."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_positive, warn_caller
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.cepstral.cepstrum import over_bins
from audiofeed.methods.decibels import LOGS
from audiofeed.signal.cepstral.cepstrum import inverse_cepstral_matrix, lifter_weights
from audiofeed.transforms.cepstral.settings import CosineOptions, Cosines
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class InverseMFCC(FeatureTransform):
    """Inverse MFCC as a module: mel power spectra with given MFCCs, equal to `librosa.feature.inverse.mfcc_to_mel`.

    The coefficients that were left out count as 0, so that the mels come back without their fine structure; with as
    many coefficients as mels they come back whole.

    Args:
        n_mels: number of mels of the result, at least the number of coefficients. The cosine transform is that of the
            `MFCC` that made them.
        log: the logarithm that is undone: "db" (10 log10), "ln", "log10" or "log1p" (ln(1 + x)).
        ref: the power that was 0 in the logarithm, > 0: the result is multiplied by it.

    Returns:
        (..., n_mels, frames), from coefficients (batch, ..., n_mfcc, frames) or (n_mfcc, frames), lengths
        (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, more coefficients than mels, or lengths that do not fit.
        TypeError: for coefficients that are complex or of integers. Warns of a lifter that is 0 somewhere.

    Differs from librosa: a coefficient that the lifter made 0 counts as 0 (librosa divides by a tiny number), and more
    coefficients than mels are an error (librosa drops them). With the mels, `InverseMel` and `GriffinLim` lead on to
    sound, as `librosa.feature.inverse.mfcc_to_audio` does.

    >>> InverseMFCC(40)(torch.zeros(2, 13, 100)).shape
    torch.Size([2, 40, 100])
    """

    hint = "give the coefficients as MFCC returns them"

    @takes(Cosines)
    def __init__(
        self, n_mels: int = 128, *, log: str = "db", ref: float = 1.0, **settings: Unpack[CosineOptions]
    ) -> None:
        super().__init__()
        self.n_mels = check_count("n_mels", n_mels, "an integer number of mels, 1 or more")
        cosines = pick(Cosines, settings)
        self.keep(cosines)
        self.log, self.ref = check_choice("log", log, LOGS), check_positive("ref", ref)
        dct_type, norm, lifter = cosines.dct_type, cosines.norm, cosines.lifter
        definition = functools.partial(
            inverse_cepstral_matrix, self.n_mels, dct_type=dct_type, norm=norm, lifter=lifter
        )
        self.define("cosines", definition)
        lost = np.flatnonzero(np.abs(lifter_weights(self.n_mels, lifter)) < 1e-12 * max(1.0, lifter))
        self._first_lost = int(lost[0]) if lost.size else None

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        count = features.shape[-2]
        if count > self.n_mels:
            raise ValueError(
                f"there are {count} coefficients, and must be at most n_mels={self.n_mels}; "
                "make n_mels as in the MFCC that gave them"
            )
        if self._first_lost is not None and self._first_lost < count and not torch.compiler.is_compiling():
            warn_caller(
                f"lifter={self.lifter:g} made coefficient {self._first_lost} zero, and it cannot come back; use a "
                f"lifter above {count}"
            )
        logs = over_bins(features, self.filter_like("cosines", features)[:, :count])
        if self.log == "log1p":  # no power is below 0, whatever a cosine transform cut short leaves
            return logs.expm1().clamp(min=0.0) * self.ref
        scale = {"ln": 1.0, "log10": math.log(10.0), "db": math.log(10.0) / 10.0}[self.log]
        # ref in the exponent would round it away in float32; as a factor it is exact
        powers = (logs * scale).exp() if graph else logs.mul_(scale).exp_()
        return powers if self.ref == 1.0 else powers * self.ref
