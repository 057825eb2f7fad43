"""Settings of the slices and bands of InvertibleCQT and its inverse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypedDict

from audiofeed.arguments.checks import check_count, check_rate
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.constant_q.sliced_frame import Slices
from audiofeed.plans.sizes import smooth_length
from audiofeed.signal.constant_q.sliced_bands import (
    LEAST_REACH,
    GaborBands,
    constant_q_frequencies,
    gabor_bands,
    largest_band_hop,
)
from audiofeed.signal.constant_q.wavelets import C1
from audiofeed.transforms.constant_q.settings import check_bins


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
