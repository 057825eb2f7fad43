"""Waveforms less their mean, and over their standard deviation, before any feature."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_choice, check_not_negative
from audiofeed.methods.standardization import EPS_TO, Spread, standardize, standardize_into
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform, over_dims


class RemoveMean(WaveformTransform):
    """Waveform mean removal (of a DC offset) as a module: each clip less the mean of its samples.

    It stands before any feature: `Chain(RemoveMean(), LogMelSpectrogram(...))`. Batch-mates and padding do not count.

    Args:
        over: "channel" (each channel less its own mean) or "clip" (all channels less one).

    Returns:
        (..., time), the shape of the waveform, from lengths (batch,) in samples.

    Raises:
        ValueError: for another `over`.

    A waveform (2, time) is two clips, and (1, 2, time) the two channels of one.

    >>> RemoveMean()(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [-1.0, 0.0, 1.0]
    """

    def __init__(self, *, over: str = "channel") -> None:
        super().__init__()
        self.over, self._dims = over, over_dims(over)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        standardize_into(out, clips, lengths, self._dims, None)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return standardize(clips, lengths, self._dims, None)


class NormalizeWaveform(WaveformTransform):
    """Waveform normalization by mean and variance, as a module: each clip has mean 0 and standard deviation 1.

    It stands before any feature, or is all that a model of waveforms needs. Batch-mates and padding do not count. With
    the defaults it is what `transformers.Wav2Vec2FeatureExtractor` does with do_normalize=True.

    Args:
        unbiased: the variance is the sum of squares over n - 1, as `torch.std` has it; False: over n, as NumPy.
        eps: added to the divisor, >= 0.
        eps_to: "variance" (the divisor is the root of the variance plus `eps`) or "std" (the standard deviation plus
            `eps`).
        over: "channel" (each channel by its own values) or "clip" (all channels together).

    Returns:
        (..., time), the shape of the waveform, from lengths (batch,) in samples. A clip that does not change is 0.

    Raises:
        ValueError: for a setting outside its range.

    A waveform (2, time) is two clips, and (1, 2, time) the two channels of one.

    >>> NormalizeWaveform()(torch.tensor([1.0, 3.0])).round().tolist()
    [-1.0, 1.0]
    """

    keeps_zeros = True

    def __init__(
        self, *, unbiased: bool = False, eps: float = 1e-7, eps_to: str = "variance", over: str = "channel"
    ) -> None:
        super().__init__()
        self.unbiased, self.eps = unbiased, check_not_negative("eps", eps)
        self.eps_to, self.over = check_choice("eps_to", eps_to, EPS_TO), over
        self._dims = over_dims(over)
        self._spread = Spread(unbiased=bool(unbiased), eps=self.eps, eps_to=eps_to)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        standardize_into(out, clips, lengths, self._dims, self._spread)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return standardize(clips, lengths, self._dims, self._spread)
