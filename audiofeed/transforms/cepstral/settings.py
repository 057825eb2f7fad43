"""The settings of cosine transforms of log spectra."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from audiofeed.arguments.checks import check_count, check_not_negative
from audiofeed.arguments.setting_groups import argument, pick
from audiofeed.signal.cepstral.cepstrum import cepstral_matrix
from audiofeed.transforms.contract.filters import Definition
from audiofeed.transforms.contract.frame_settings import FeatureOptions
from audiofeed.transforms.contract.logarithm_settings import Logarithm, LogOptions
from audiofeed.transforms.contract.magnitude_settings import MagnitudeOptions
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Bank, Limit, Logarithms, Matrix, Step


class CosineOptions(TypedDict, total=False):
    """Keyword arguments for the cosine transform settings of cepstral coefficients."""

    dct_type: int
    norm: str | None
    lifter: float


class CepstralOptions(FeatureOptions, MagnitudeOptions, LogOptions, CosineOptions, total=False):
    """Keyword arguments for the settings that all cepstral coefficients take."""


@dataclass(frozen=True, kw_only=True)
class Cosines:
    """Settings of cepstral coefficients for their cosine transform and the weights of its coefficients."""

    dct_type: int = argument(2, "1, 2 or 3, scaled as by `scipy.fft.dct`.")
    norm: str | None = argument("ortho", 'of the cosine transform: "ortho" or None.')
    lifter: float = argument(
        0.0, "L > 0: coefficient k (from 0) is weighted by 1 + L / 2 sin(pi (k + 1) / L); 0: not weighted."
    )

    def __post_init__(self) -> None:
        check_not_negative("lifter", self.lifter, "0 does not lifter")

    def matrix(self, n_out: int, n: int) -> Definition:
        """Return the definition of the matrix from n bands to n_out cepstral coefficients by cosine settings."""
        return functools.partial(cepstral_matrix, n_out, n, dct_type=self.dct_type, norm=self.norm, lifter=self.lifter)


@dataclass(frozen=True, kw_only=True)
class CepstralLogarithm(Logarithm):
    """Settings of cepstral coefficients for their logarithm, by default decibels, 80 below the peak at most."""

    log: str = argument(
        "db", 'the logarithm: "db" (10 log10, whatever the power), "ln", "log10" or "log1p" (ln(1 + x)).'
    )
    top_db: float | None = argument(
        80.0,
        'with log="db": no band lies more than this below the clip\'s own peak, >= 0; None (and with another log): no '
        "limit. Of a waveform (2, time) each row is a clip with a peak of its own; the channels of one clip, "
        "(1, 2, time), share theirs.",
    )


def keep_cepstrum(
    module: ShortTime, settings: Mapping[str, Any], bank: Bank, counts: Mapping[str, int]
) -> Sequence[Step]:
    """Keep the settings and the cosine matrix of cepstral coefficients in a module, and return its steps.

    These are filters, logarithm, limit and cosine transform.

    Args:
        counts: the argument that counts the coefficients, and the one that counts the filters.
    """
    (name, n_out), (bands, n) = counts.items()
    check_count(name, n_out, "an integer number of coefficients, 1 or more")
    if n_out > n:
        raise ValueError(
            f"{name}={n_out} must not exceed {bands}={n}: a cosine transform has as many coefficients as values; use "
            "more filters"
        )
    logarithm, cosines = pick(CepstralLogarithm, settings), pick(Cosines, settings)
    module.keep(logarithm)
    module.keep(cosines)
    module.define("cosines", cosines.matrix(n_out, n))
    # decibels are 10 log10 whatever the power, as librosa's and torchaudio's cepstra take them
    logs = Logarithms(logarithm.step(power=2.0))
    limit = () if logarithm.range is None else (Limit(logarithm.range),)
    return (bank, logs, *limit, Matrix("cosines"))
