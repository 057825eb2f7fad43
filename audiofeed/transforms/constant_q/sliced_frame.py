"""The bands and slices that an invertible constant-Q transform and its inverse share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch import nn

from audiofeed.arguments.checks import check_count, check_rate
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.constant_q.sliced_frame import Bands, Slices, bands_of
from audiofeed.plans.sizes import smooth_length
from audiofeed.signal.constant_q.sliced_bands import (
    LEAST_REACH,
    GaborBands,
    analysis_weights,
    band_bins,
    constant_q_frequencies,
    gabor_bands,
    largest_band_hop,
    synthesis_weights,
)
from audiofeed.signal.constant_q.wavelets import C1
from audiofeed.transforms.constant_q.settings import check_bins
from audiofeed.transforms.contract.filters import FilterStore, reset_parameters

# lengths of short clips whose bands are kept for the next clip of that length
_MOST_WHOLE = 16


class SliceOptions(TypedDict, total=False):
    """Keyword arguments of the bands and slices in the settings of a sliced constant-Q frame."""

    f_min: float | None
    f_max: float | None
    bins_per_octave: int
    hop_length: int | None
    slice_length: int | None
    transition: int | None


@dataclass(frozen=True, kw_only=True)
class SlicedBands:
    """Settings of a sliced constant-Q frame: bands that cover all frequencies, and slices to compute them in."""

    sample_rate: float
    f_min: float = argument(None, "Hz, of the lowest bin of constant Q; None: C1, 32.7 Hz.")
    f_max: float | None = argument(
        None,
        "Hz; the highest bin of constant Q is the last that does not exceed it, and whose band ends below half the "
        "sample rate; None: half the sample rate.",
    )
    bins_per_octave: int = argument(12, "bins of constant Q in an octave, 1 or more.")
    hop_length: int = argument(
        None,
        "samples from frame to frame, at most sample_rate / (2 * (distance from the highest bin of constant Q to the "
        "next)); None: the largest power of two of these.",
    )
    slice_length: int = argument(
        None,
        "samples of a slice, a multiple of the hop and even, more than 2 * transition; None: about 4 times the "
        "transition. Longer ones waste less, and a stream waits longer for them.",
    )
    transition: int = argument(
        None,
        "samples at either end of a slice that its neighbors give, a multiple of the hop. The bands ring for that "
        "long; with t = transition * (f_min - the frequency a bin below) / sample_rate, what the lowest bins hold "
        "returns 20 (t = 1), 48 (t = 3), 82 (t = 5), 118 (t = 7) or 136 dB (t = 8) above its error, and everything "
        "else better. None: t = 8. At least t = 1.",
    )
    bands: GaborBands = field(init=False, repr=False, compare=False)
    slices: Slices = field(init=False, repr=False)

    def __post_init__(self) -> None:
        settle(self, f_min=C1 if self.f_min is None else self.f_min)
        bands = self._check_bands()
        slices = self._check_slices(bands)
        settle(self, bands=bands, slices=slices, slice_length=slices.length, transition=slices.transition)

    def _check_bands(self) -> GaborBands:
        """Return a sliced constant-Q frame's bands, and settle its hop, or raise an error that names the fault."""
        rate, f_min, f_max = check_rate(self.sample_rate, "the bins lie in Hz"), self.f_min, self.f_max
        check_bins("bins_per_octave", self.bins_per_octave)
        spacing: dict[str, Any] = {"sample_rate": rate, "bins_per_octave": self.bins_per_octave}
        top = rate / 2 if f_max is None else f_max
        if not 0 < f_min <= top <= rate / 2:
            raise ValueError(
                f"f_min={f_min!r}, f_max={f_max!r} must satisfy 0 < f_min <= f_max <= {rate / 2:g} Hz, which is half "
                f"of sample_rate={rate!r}"
            )
        inner = constant_q_frequencies(f_min=f_min, f_max=f_max, **spacing)
        if len(inner) == 0:
            step = 2.0 ** (1.0 / self.bins_per_octave)
            raise ValueError(
                f"f_min={f_min!r} leaves no room below {rate / 2:g} Hz, half of sample_rate={rate!r}, for a band with "
                f"bins_per_octave={self.bins_per_octave}; use f_min={rate / (3 * step - 1):g} or less"
            )
        most = largest_band_hop(inner, **spacing)
        hop = 2 ** (most.bit_length() - 1) if self.hop_length is None else check_count("hop_length", self.hop_length)
        if hop > most:
            raise ValueError(
                f"hop_length={hop} must not exceed {most}: the bin at {inner[-1]:g} Hz changes faster than that; "
                f"use {most} or less, or a lower f_max, or more bins_per_octave"
            )
        settle(self, hop_length=hop)
        return gabor_bands(f_min=f_min, f_max=f_max, hop_length=hop, **spacing)

    def _check_slices(self, bands: GaborBands) -> Slices:
        """Return a sliced constant-Q frame's slices, or raise an error that names the fault."""
        hop = self.hop_length
        even = hop if hop % 2 == 0 else 2 * hop
        if self.transition is None:
            reach = bands.reach(hop)
        else:
            reach = check_count("transition", self.transition)
            least = bands.reach(hop, LEAST_REACH)
            if reach < least or reach % hop:
                raise ValueError(
                    f"transition={reach} must be a multiple of hop_length={hop}, and at least {least} samples: the "
                    f"narrowest band rings for longer; use {hop * math.ceil(max(reach, least) / hop)}, or a higher "
                    "f_min, or fewer bins_per_octave"
                )
        if self.slice_length is None:
            return Slices(hop_length=hop, length=smooth_length(4 * reach, even), transition=reach)
        length = check_count("slice_length", self.slice_length)
        if length <= 2 * reach or length % even:
            better = even * math.ceil(max(length, 2 * reach + 1) / even)
            raise ValueError(
                f"slice_length={length} must be a multiple of {even} (hop_length={hop}, and even) above twice the "
                f"transition of {reach} samples; use {better}, or a shorter transition"
            )
        return Slices(hop_length=hop, length=length, transition=reach)


def _entries(settings: SlicedBands, name: str) -> np.ndarray:
    """Return where a sliced constant-Q frame's bands lie on the FFT of a slice: their `bins`, or their `places`."""
    entries = band_bins(settings.bands, settings.slices.length)
    return entries.bins if name == "bins" else entries.places(settings.slices.frames)


class SlicedFrame(nn.Module):
    """Module of a sliced constant-Q frame's filters for slices and short clips, shared by transform and inverse."""

    def __init__(self, settings: SlicedBands) -> None:
        super().__init__()
        self.settings = settings
        self.slices = settings.slices
        self._filters = FilterStore()
        self._spans = band_bins(settings.bands, self.slices.length).spans
        for name in ("bins", "places"):
            self._filters.define(self, name, functools.partial(_entries, settings, name))
        for name, weights in (("analysis", analysis_weights), ("synthesis", synthesis_weights)):
            definition = functools.partial(weights, settings.bands, self.slices.length, self.slices.hop_length)
            self._filters.define(self, name, definition)
        self._whole: dict[tuple[int, torch.device, torch.dtype], Bands] = {}

    @property
    def n_bins(self) -> int:
        """Number of bands of a sliced constant-Q frame that transform modules share."""
        return len(self._spans)

    @property
    def latency(self) -> int:
        """Latency in samples of a sliced constant-Q frame, the most held back: a slice's step and its transition."""
        return self.slices.step + self.slices.transition

    def geometry(self, frames: int | None, like: torch.Tensor) -> tuple[Slices, Bands]:
        """Return the slices of a sliced constant-Q frame and its bands on their FFT, from the module that keeps them.

        Args:
            frames: of each clip; None: of several lengths.
            like: real, on the device and of the dtype to compute in.
        """
        if frames is None or frames > self.slices.most_whole or torch.compiler.is_compiling():
            bins, places = cast("torch.Tensor", self.bins), cast("torch.Tensor", self.places)
            weights = (self._filters.like(self, name, like) for name in ("analysis", "synthesis"))
            return self.slices, Bands(self._spans, bins, places, *weights)
        slices = self.slices.whole(frames)
        key = (slices.length, like.device, like.dtype)
        if key not in self._whole:
            if len(self._whole) >= _MOST_WHOLE:
                del self._whole[next(iter(self._whole))]
            with torch.inference_mode(False):  # kept for later calls, which may train
                self._whole[key] = bands_of(self.settings.bands, slices, like)
        return slices, self._whole[key]

    reset_parameters = reset_parameters

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        self._whole.clear()
        self._filters.apply(self, lambda: nn.Module._apply(self, fn, recurse))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_whole": {}}
