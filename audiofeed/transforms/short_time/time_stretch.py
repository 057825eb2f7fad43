"""A spectrum stretched in time."""

from __future__ import annotations

import math
from typing import cast

import torch

from audiofeed.methods.short_time.vocoder import stretch
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class TimeStretch(FeatureTransform):
    """Module that stretches a complex spectrum in time, faster or slower at the same pitch, by a phase vocoder.

    Equal to `librosa.phase_vocoder` and `torchaudio.functional.phase_vocoder` (Ellis, "A phase vocoder in Matlab",
    2002). `InverseSTFT` makes a waveform of the result.

    Args:
        rate: how much faster, > 0: 2.0 leaves half the frames. None: `forward` is given it.

    Returns:
        complex (..., bins, ceil(frames / rate)), from spectrum complex (..., bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a rate that is no number > 0, or none at all.

    Differs from librosa and torchaudio: there is no hop_length, n_fft or n_freq, because the advance they compute from
    them changes a phase by whole turns only; in float32 torchaudio sums those turns, and its phases drift.

    >>> TimeStretch(1.25)(torch.ones(2, 257, 100, dtype=torch.complex64)).shape
    torch.Size([2, 257, 80])
    """

    takes_complex = True
    hint = "give the spectrum that STFT returns"

    def __init__(self, rate: float | None = None) -> None:
        super().__init__()
        self.rate = None if rate is None else _checked(rate)

    def forward(  # type: ignore[override]  # a rate before lengths, as in torchaudio
        self, spectrum: torch.Tensor, rate: float | None = None, *, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Stretch one spectrum or a batch of them in time, at a given rate or the module's.

        Args:
            spectrum: complex (..., bins, frames) with any leading dimensions, of which the first is the batch.
            rate: how much faster, > 0; None: that of the module.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., bins, ceil(frames / rate)). Row i, cut to its `frame_lengths`, equals that clip alone; past it, 0.

        Raises:
            TypeError: for a spectrum that is not complex.
            ValueError: for a rate that is no number > 0, an empty spectrum, or lengths that do not fit it.
        """
        return self.run(spectrum, lengths, rate=self._rate(rate))

    def frame_lengths(self, lengths: torch.Tensor, rate: float | None = None) -> torch.Tensor:
        """Return the frames that a time stretch leaves of clips of `lengths` frames.  Shape: any -> the same.

        >>> TimeStretch(2.0).frame_lengths(torch.tensor([5, 4])).tolist()
        [3, 2]
        """
        return (lengths.double() / self._rate(rate)).ceil().long()

    def result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        return self.frame_lengths(lengths, cast("float | None", settings.get("rate")))

    def _rate(self, rate: float | None) -> float:
        if rate is not None:
            return _checked(rate)
        if self.rate is None:
            raise ValueError("rate=None must be a number > 0; make the transform with it, or give it with the spectrum")
        return self.rate

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        stretched = stretch(features.flatten(0, 1), cast("float", settings["rate"]), graph=graph)
        return stretched.unflatten(0, features.shape[:2])


def _checked(rate: float) -> float:
    if not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"rate={rate!r} must be a number > 0: 2.0 is twice as fast")
    return float(rate)
