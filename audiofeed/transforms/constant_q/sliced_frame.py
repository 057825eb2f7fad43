"""The bands and slices that an invertible constant-Q transform and its inverse share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from audiofeed.methods.constant_q.sliced_frame import Bands, Slices, bands_of
from audiofeed.signal.constant_q.sliced_bands import (
    analysis_weights,
    band_bins,
    synthesis_weights,
)
from audiofeed.transforms.constant_q.slice_settings import SlicedBands
from audiofeed.transforms.contract.filters import FilterStore, reset_parameters

# lengths of short clips whose bands are kept for the next clip of that length
_MOST_WHOLE = 16


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
