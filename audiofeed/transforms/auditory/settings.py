"""The settings of mel filters."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice, check_count, check_mel_norm, check_rate, check_span
from audiofeed.arguments.setting_groups import argument, pick, settle
from audiofeed.plans.tiles import FilterTiles, filter_tiles
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.scales import MEL_SCALES, mel_frequencies
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Bank


class MelSpanOptions(TypedDict, total=False):
    """Keyword arguments for the settings of the number, span and scale of mel filters."""

    n_mels: int
    f_min: float
    f_max: float | None
    mel_scale: str


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
    mel_scale: str = argument("slaney", '"slaney" (linear below 1 kHz, then logarithmic) or "htk" (logarithmic).')
    norm: str | float | None = argument(
        "slaney", 'of each filter: "slaney" (area 1), None (peak 1), or a number p > 0 (p-norm 1).'
    )

    def __post_init__(self) -> None:
        rate = float(check_rate(self.sample_rate, "the filters lie in Hz"))
        f_min, f_max = check_span(self.f_min, self.f_max, self.sample_rate)
        check_choice("mel_scale", self.mel_scale, MEL_SCALES)
        check_mel_norm("norm", self.norm)
        n_mels = check_count("n_mels", self.n_mels, "an integer number of filters, 1 or more")
        settle(self, sample_rate=rate, f_min=f_min, f_max=f_max, n_mels=n_mels)

    def definition(self) -> np.ndarray:
        """Return the filter bank that a transform's mel settings define, float64.  Shape: (n_mels, n_fft // 2 + 1)."""
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
        """Peak frequency in Hz of each filter that a transform's mel settings define, float64.  Shape: (n_mels,)."""
        points = mel_frequencies(self.n_mels + 2, f_min=self.f_min, f_max=self.f_max, mel_scale=self.mel_scale)
        return torch.from_numpy(points[1:-1].copy())


def keep_mel(module: ShortTime, settings: Mapping[str, Any], *, trainable: bool, **others: Any) -> tuple[Mel, Bank]:
    """Keep a transform's mel settings as attributes, its filters as `mel`; return the settings and the filter step."""
    module.trainable_mel = trainable
    mel = pick(Mel, settings, sample_rate=module.rate("the filter bank"), n_fft=module.n_fft, **others)
    module.keep(mel)
    return mel, module.define_bank("mel", mel.definition, trainable=trainable, counted="n_mels", made=_made(mel))


@functools.lru_cache(maxsize=8)
def _made(mel: Mel) -> tuple[np.ndarray, FilterTiles]:
    """Return the filters that mel settings define, and their non-zero tiles, for all modules with these settings."""
    weights = mel.definition()
    return weights, filter_tiles(weights)
