"""The settings of mel filters."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice, check_count, check_mel_norm, check_rate, check_span, shortened
from audiofeed.arguments.setting_groups import argument, arguments_of, pick, settle
from audiofeed.plans.tiles import FilterTiles, filter_tiles
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.scales import MEL_SCALES, mel_frequencies
from audiofeed.transforms.contract.unknown_attributes import UnknownAttributeError
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Bank


class MelSpanOptions(TypedDict, total=False):
    """Keyword arguments for the settings of the number, span and scale of mel filters."""

    n_mels: int
    f_min: float
    f_max: float | None
    mel_scale: str
    filters: np.ndarray | torch.Tensor | None


class MelOptions(MelSpanOptions, total=False):
    """Keyword arguments for the settings of mel filters."""

    norm: str | float | None


@dataclass(frozen=True, kw_only=True)
class Mel:
    """Settings of mel filters: triangles evenly spaced on a mel scale, over the bins of a spectrum."""

    sample_rate: float
    n_fft: int
    n_mels: int = argument(128, "number of filters, 1 or more.")
    f_min: float = argument(0.0, "Hz, the lower edge of the lowest filter, >= 0 and below f_max.")
    f_max: float = argument(None, "Hz, the upper edge of the highest filter, at most sample_rate / 2; None: that.")
    mel_scale: str = argument(
        "slaney",
        '"slaney" (linear below 1 kHz, then logarithmic), "htk" (logarithmic), or "kaldi" (logarithmic, with triangles '
        "straight in mel, none of them over the bin at half the rate, and no norm), as in Kaldi and HTK.",
    )
    norm: str | float | None = argument(
        "slaney", 'of each filter: "slaney" (area 1), None (peak 1), or a number p > 0 (p-norm 1).'
    )
    filters: np.ndarray | torch.Tensor | None = dataclasses.field(
        default=None,
        compare=False,
        metadata={
            "doc": "(n, n_fft // 2 + 1) weights of n filters of your own in place of mel filters, finite; their number "
            "is n_mels, and what describes mel filters is left out. See `audiofeed.signal.triangular_filters`."
        },
    )
    # the name of the norm among the class's arguments
    norm_name: str = "norm"
    # the filters as a value that can be compared
    filters_key: object = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.filters is not None:
            self._settle_filters(self.filters)
            return
        settle(self, filters_key=None)
        rate = float(check_rate(self.sample_rate, "the filters lie in Hz"))
        f_min, f_max = check_span(self.f_min, self.f_max, self.sample_rate)
        check_choice("mel_scale", self.mel_scale, MEL_SCALES)
        check_mel_norm("norm", self.norm)
        if self.mel_scale == "kaldi" and self.norm is not None:
            raise ValueError(
                f"{self.norm_name}={self.norm!r} must be None with mel_scale='kaldi': Kaldi's filters have peak 1; "
                f"pass {self.norm_name}=None"
            )
        n_mels = check_count("n_mels", self.n_mels, "an integer number of filters, 1 or more")
        settle(self, sample_rate=rate, f_min=f_min, f_max=f_max, n_mels=n_mels)

    def _settle_filters(self, filters: Any) -> None:
        """Take the filters that were given, float64, and nothing that describes mel filters beside them."""
        rate = float(check_rate(self.sample_rate, "clips of another rate are refused"))
        weights = filters.detach().cpu().resolve_conj() if isinstance(filters, torch.Tensor) else filters
        if isinstance(weights, torch.Tensor):
            weights = (weights if weights.is_complex() else weights.double()).numpy()
        try:
            weights = np.asarray(weights)
        except ValueError:  # rows of unequal lengths
            weights = np.empty((), dtype=object)
        if weights.dtype.kind not in "biuf":
            raise ValueError(
                f"filters={shortened(filters)} must be real numbers, (n, n_fft // 2 + 1): a row of weights for each "
                "filter"
            )
        weights = np.array(weights, dtype=np.float64, order="C")
        bins = self.n_fft // 2 + 1
        if weights.ndim != 2 or weights.shape[0] == 0 or weights.shape[1] != bins:
            raise ValueError(
                f"filters has shape {weights.shape}, and must be (n, n_fft // 2 + 1) = (n, {bins}): a row for each "
                "filter"
            )
        if not np.isfinite(weights).all():
            raise ValueError("filters must be finite, and hold NaN or infinity")
        described = {field.name: field.default for field in arguments_of(type(self)) if field.name != "filters"}
        given = {name: getattr(self, name) for name in described}
        for name, default in described.items():
            if given[name] != default and not (name == "n_mels" and given[name] == len(weights)):
                shown = self.norm_name if name == "norm" else name
                raise ValueError(
                    f"{shown}={given[name]!r} describes mel filters, and filters= gives {len(weights)} others; leave "
                    "it out"
                )
        weights.flags.writeable = False
        digest = hashlib.blake2b(weights.tobytes(), digest_size=16).digest()
        settle(self, filters=weights, filters_key=(weights.shape, digest), sample_rate=rate, n_mels=len(weights))
        settle(self, f_min=None, f_max=None, mel_scale=None, norm=None)

    def definition(self) -> np.ndarray:
        """Return the filter bank that a transform's mel settings define, float64.  Shape: (n_mels, n_fft // 2 + 1)."""
        if self.filters is not None:
            return np.asarray(self.filters)
        return mel_filterbank(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            f_min=self.f_min,
            f_max=self.f_max,
            mel_scale=self.mel_scale,
            norm=self.norm,
        )

    @property
    def frequencies(self) -> torch.Tensor:
        """Peak frequency in Hz of each filter that a transform's mel settings define, float64.  Shape: (n_mels,).

        Raises:
            AttributeError: (a ValueError as well) for filters that were given: they may be of any shape.
        """
        if self.filters is not None:
            raise UnknownAttributeError("frequencies are not known of filters= that were given")
        points = mel_frequencies(self.n_mels + 2, f_min=self.f_min, f_max=self.f_max, mel_scale=self.mel_scale)
        return torch.from_numpy(points[1:-1].copy())


def keep_mel(module: ShortTime, settings: Mapping[str, Any], *, trainable: bool, **others: Any) -> tuple[Mel, Bank]:
    """Keep a transform's mel settings as attributes and as `_mel`, its filters as `mel`; return them and their step."""
    module.trainable_mel = trainable
    mel = pick(Mel, settings, sample_rate=module.rate("the filter bank"), n_fft=module.n_fft, **others)
    module.keep(mel)
    module._mel = mel
    counted = "n_mels" if mel.filters is None else "filters"
    return mel, module.define_bank("mel", mel.definition, trainable=trainable, counted=counted, made=_made(mel))


@functools.lru_cache(maxsize=8)
def _made(mel: Mel) -> tuple[np.ndarray, FilterTiles]:
    """Return the filters that mel settings define, and their non-zero tiles, for all modules with these settings."""
    weights = mel.definition()
    return weights, filter_tiles(weights)
