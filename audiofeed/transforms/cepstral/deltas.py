"""Deltas: how features change over time."""

from __future__ import annotations

import functools

import torch

from audiofeed.arguments.checks import check_choice, check_count
from audiofeed.methods.cepstral.deltas import EDGES, MODES, deltas
from audiofeed.signal.cepstral.deltas import slope_filter, slope_filters
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class Deltas(FeatureTransform):
    """Module for deltas, each bin's slope over neighboring frames, equal to `librosa.feature.delta` of each clip alone.

    A polynomial of degree `order` is fitted to `win_length` frames (Savitzky and Golay 1964), and its derivative of
    that order taken; at the ends of a clip, its own true ends, `mode` says what the filter sees.

    Args:
        win_length: frames of the fit, odd, 3 or more, above `order`. (librosa: `width`.)
        order: of the derivative, 1 or more.
        mode: "interp" (half a window at each end repeats the slope of the whole window beside it), or the clip is
            continued by "nearest" (its last frame), "mirror" (without repeating that), "wrap" or "constant" (zeros).
        append: the result is the features, and below them their deltas of order 1 to `order`: (order + 1) * bins, what
            recognizers take. False: the deltas of that order alone.

    Returns:
        the same shape, or (..., (order + 1) * bins, frames) with append=True, from features (batch, ..., bins,
        frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    Differs from librosa: a clip shorter than the window works with "interp" too, and has one value throughout, by a fit
    to all of its frames (0 where it has no more than `order`).

    `torchaudio.transforms.ComputeDeltas(w, mode)` is order=1 with win_length=w, and "nearest" for its "replicate" (the
    default there, with w=5), "mirror" for "reflect", "wrap" for "circular". Its deltas of deltas are this module used
    twice, which is not the same as order=2.

    >>> Deltas()(torch.arange(12.0).expand(2, 13, 12)).shape
    torch.Size([2, 13, 12])
    >>> Deltas(order=2, append=True)(torch.zeros(2, 13, 100)).shape
    torch.Size([2, 39, 100])
    """

    def __init__(self, win_length: int = 9, *, order: int = 1, mode: str = "interp", append: bool = False) -> None:
        super().__init__()
        self.win_length = check_count("win_length", win_length, "an odd number of frames, 3 or more")
        if self.win_length < 3 or self.win_length % 2 == 0:
            raise ValueError(f"win_length={win_length} must be an odd number of frames, 3 or more")
        self.order = check_count("order", order, "an integer, 1 or more: the derivative that is taken")
        if self.order >= self.win_length:
            raise ValueError(
                f"order={order} must be below win_length={win_length}: a fit of that degree takes more frames"
            )
        check_choice("mode", mode, MODES, called={here: scipy for scipy, here in EDGES.items()})
        self.mode, self.append = mode, append
        self.keeps_bins = not append
        self._orders = range(1, self.order + 1) if append else range(self.order, self.order + 1)
        # as numbers, not tensors: they are multiplied with whole blocks, in any dtype
        self._weights = {n: slope_filter(self.win_length, n).tolist() for n in self._orders}
        for n in self._orders:
            self.define(f"short_{n}", functools.partial(slope_filters, self.win_length, n))

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        found = [
            deltas(
                features,
                lengths,
                self._weights[n],
                self.filter_like(f"short_{n}", features),
                mode=self.mode,
                graph=graph,
            )
            for n in self._orders
        ]
        return torch.cat([features, *found], dim=-2) if self.append else found[0]
