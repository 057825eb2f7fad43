"""Decibels of a spectrogram, limited clip by clip."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_choice, check_finite, check_not_negative, check_positive, check_top_db
from audiofeed.methods.decibels import TINY, to_decibels
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class AmplitudeToDB(FeatureTransform):
    """Module that converts a power or magnitude spectrogram to decibels, limited in range by each clip's own peak.

    Equal to `librosa.power_to_db` and `librosa.amplitude_to_db` of each clip alone. torchaudio's takes the peak of a
    whole (batch, bins, frames) tensor, so that a loud neighbor raises the floor of a quiet clip; here the first of
    three or more dimensions is the batch. So a spectrogram (2, bins, frames) is that of two clips, each with a peak of
    its own; the two channels of one clip, which share their peak, are (1, 2, bins, frames).

    Args:
        stype: "power" (10 log10) or "magnitude" (20 log10).
        ref: the value that is 0 dB, > 0, or "max": each clip's own peak.
        amin: the smallest value the logarithm sees, > 0, or 0 with an offset; None: 1e-10 for power, 1e-5 for
            magnitude.
        offset: added to each value before the logarithm and `amin`, >= 0.
        top_db: nothing lies more than this below the clip's peak, >= 0; None: no limit.

    Returns:
        the same shape, from spectrogram (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for a spectrogram that is complex or of integers.

    >>> AmplitudeToDB()(torch.tensor([[1.0, 100.0]])).tolist()
    [[0.0, 20.0]]
    """

    keeps_bins, gives_logarithms = True, True

    def __init__(
        self,
        stype: str = "power",
        *,
        ref: float | str = 1.0,
        amin: float | None = None,
        offset: float = 0.0,
        top_db: float | None = 80.0,
    ) -> None:
        super().__init__()
        check_choice("stype", stype, ("power", "magnitude"))
        if ref != "max":
            rule = "a number > 0, or 'max' (each clip's own peak, where librosa has ref=np.max)"
            check_positive("ref", check_finite("ref", ref, rule), rule)  # type: ignore[arg-type]
        self.offset = check_not_negative("offset", offset)
        if amin is not None and not (amin == 0 and offset > 0):
            check_positive("amin", amin, "a number > 0, or None, or 0 with an offset > 0")
        check_top_db(top_db)
        self.stype, self.ref, self.top_db = stype, ref, top_db
        self.amin = amin if amin is not None else (1e-10 if stype == "power" else 1e-5)

    def compute_own(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return self._decibels(features, lengths, graph=False, own=True)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self._decibels(features, lengths, graph=graph, own=False)

    def _decibels(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, own: bool
    ) -> torch.Tensor:
        factor, ref = 10.0 if self.stype == "power" else 20.0, None if self.ref == "max" else float(self.ref)
        return to_decibels(
            features,
            lengths,
            factor=factor,
            ref=ref,
            amin=max(self.amin, TINY),
            offset=self.offset,
            top_db=self.top_db,
            graph=graph,
            own=own,
        )
