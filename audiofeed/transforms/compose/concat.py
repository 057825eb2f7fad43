"""Several features of one waveform in one tensor, one above another."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from audiofeed.parallel.observed import plain_size
from audiofeed.transforms.compose.stack import Stack


class Concat(Stack):
    """Concatenation of the features of several transforms of one waveform along their bins, first above second.

    As `Stack`, whose dictionary it makes one tensor of; the members must have as many frames as each other. Kaldi's log
    energy stands so above its filter banks.

    Args:
        transforms: name=transform; each takes the waveform, and says its `frame_lengths`.

    Returns:
        (..., all bins, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        TypeError: for a member that is no module.
        ValueError: without members, for a name that the class has for itself, for a member without `frame_lengths`; at
            the call, for members whose numbers of frames differ.

    >>> from audiofeed.transforms.auditory.mel import LogMelSpectrogram
    >>> from audiofeed.transforms.descriptors.waveform import RMS
    >>> mel = LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=40)
    >>> Concat(level=RMS(400, hop_length=160), mel=mel)(torch.zeros(2, 1600)).shape
    torch.Size([2, 41, 11])
    """

    def __init__(self, **transforms: nn.Module) -> None:
        super().__init__(**transforms)
        for name, transform in self.items():
            if not hasattr(transform, "frame_lengths"):
                raise ValueError(
                    f"{name} is a {type(transform).__name__}, and must have a method frame_lengths(lengths)"
                )

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the frames of concatenated features for clips of `lengths` samples."""
        return self._first.frame_lengths(lengths)

    def centers(self, n_frames: int) -> Any:
        """Return the center of each frame of concatenated features in samples, as the first member has it."""
        return self._first.centers(n_frames)

    def times(self, n_frames: int) -> Any:
        """Return the center of each frame of concatenated features in seconds, as the first member has it."""
        return self._first.times(n_frames)

    @property
    def _first(self) -> Any:
        """The first member of concatenated features."""
        return next(iter(self.values()))

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        """Compute all features of one clip or a batch, one above another. See `Transform.forward`."""
        found = super().forward(waveform, lengths)
        frames = {name: plain_size(features.shape[-1]) for name, features in found.items()}
        # compared with one another: a size that an export leaves open cannot be put into a set
        if any(count != frames[next(iter(frames))] for count in frames.values()):
            raise ValueError(f"the members of a Concat must have as many frames as each other, and have {frames}")
        return torch.cat(list(found.values()), dim=-2)
