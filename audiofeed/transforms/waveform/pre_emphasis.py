"""Pre-emphasis of waveforms before any feature."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_choice, check_finite
from audiofeed.methods.waveform.pre_emphasis import pre_emphasize, pre_emphasize_into
from audiofeed.signal.waveform.pre_emphasis import FIRST_SAMPLES
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform


class PreEmphasis(WaveformTransform):
    """Pre-emphasis of waveforms as a module: y[n] = x[n] - coeff x[n - 1], over the whole clip.

    It stands before any feature: `Chain(PreEmphasis(0.97), LogMelSpectrogram(...))`. Values are those of
    `torchaudio.transforms.Preemphasis` with the default, and of `librosa.effects.preemphasis` with
    first="extrapolate".

    Args:
        coeff: share of the sample before that is taken off, any finite number; mostly 0.95 to 0.97.
        first: what the first sample becomes. "keep": it stays x[0] (torchaudio, NeMo). "replicate": (1 - coeff) x[0]
            (Kaldi, HTK). "extrapolate": 3 x[0] - x[1] (librosa). "drop": it goes, y[n] = x[n + 1] - coeff x[n], and
            each clip is one sample shorter (a convolution without padding, as EfficientAT has it).

    Returns:
        (..., time), or (..., time - 1) for first="drop", from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range.

    A clip of a single sample stays one: "drop" then takes the sample after it for 0, "extrapolate" for its equal.

    >>> PreEmphasis(0.5)(torch.tensor([1.0, 2.0, 4.0])).tolist()
    [1.0, 1.5, 3.0]
    >>> PreEmphasis(0.5, first="drop").frame_lengths(torch.tensor([16000, 1])).tolist()
    [15999, 1]
    """

    in_place, takes_any_past = False, True

    def __init__(self, coeff: float = 0.97, *, first: str = "keep") -> None:
        super().__init__()
        self.coeff = check_finite("coeff", coeff, "a finite number, mostly 0.95 to 0.97")
        self.first = check_choice("first", first, FIRST_SAMPLES)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        pre_emphasize_into(out, clips, lengths, self.coeff, self.first)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return pre_emphasize(clips, lengths, self.coeff, self.first)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        if self.first != "drop":
            return lengths
        return torch.minimum(lengths, (lengths - 1).clamp(min=1))
