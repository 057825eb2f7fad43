"""Decibels of a spectrogram, limited clip by clip."""

from __future__ import annotations

import math

import torch
from torch import nn

from audiofeed.methods.decibels import clip_peak, limit_range
from audiofeed.transforms.base import check_lengths


class AmplitudeToDB(nn.Module):
    """Decibels of a power or magnitude spectrogram, with the range limited by each clip's own peak.

    Equal to `librosa.power_to_db` and `librosa.amplitude_to_db` of each clip alone. torchaudio's takes the peak of a
    whole (batch, bins, frames) tensor, so that a loud neighbour raises the floor of a quiet clip; here the first of
    three or more dimensions is the batch.

    Args:
        stype: "power" (10 log10) or "magnitude" (20 log10).
        ref: the value that is 0 dB, > 0, or "max": each clip's own peak.
        amin: the smallest value the logarithm sees, > 0; None: 1e-10 for power, 1e-5 for magnitude.
        top_db: nothing lies more than this below the clip's peak, > 0; None: no limit.

    Shape:
        spectrogram (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames -> the same shape.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for a spectrogram that is complex or of integers.

    >>> AmplitudeToDB()(torch.tensor([[1.0, 100.0]])).tolist()
    [[0.0, 20.0]]
    """

    def __init__(
        self,
        stype: str = "power",
        *,
        ref: float | str = 1.0,
        amin: float | None = None,
        top_db: float | None = 80.0,
    ) -> None:
        super().__init__()
        if stype not in ("power", "magnitude"):
            raise ValueError(f"stype={stype!r} must be 'power' or 'magnitude'")
        if ref != "max" and (isinstance(ref, str) or not ref > 0):
            raise ValueError(f"ref={ref!r} must be a number > 0, or 'max'")
        if amin is not None and not amin > 0:
            raise ValueError(f"amin={amin!r} must be a number > 0, or None")
        if top_db is not None and not top_db > 0:
            raise ValueError(f"top_db={top_db!r} must be a number > 0, or None")
        self.stype, self.ref, self.top_db = stype, ref, top_db
        self.amin = amin if amin is not None else (1e-10 if stype == "power" else 1e-5)

    def forward(self, spectrogram: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Decibels; past a clip's own frames, 0.

        Args:
            spectrogram: real and not negative, (batch, ..., bins, frames) or (bins, frames); half precision comes back
                as float32.
            lengths: (batch,) frames of each clip; what lies past them counts for no peak.
        """
        if not spectrogram.is_floating_point():
            raise TypeError(f"spectrogram has dtype {spectrogram.dtype}, and must be real; take its power or magnitude")
        if spectrogram.dim() < 2 or spectrogram.numel() == 0:
            raise ValueError(f"spectrogram has shape {tuple(spectrogram.shape)}, and must be (..., bins, frames)")
        if spectrogram.dtype in (torch.float16, torch.bfloat16):
            spectrogram = spectrogram.float()
        clips = spectrogram if spectrogram.dim() > 2 else spectrogram[None]
        if lengths is not None:
            lengths = check_lengths(lengths, clips.shape[0], clips.shape[-1], unit="frames").to(clips.device)
        with torch.autocast(clips.device.type, enabled=False):
            factor = 10.0 if self.stype == "power" else 20.0
            decibels = factor * clips.clamp(min=self.amin).log10()
            if self.ref == "max":
                decibels = decibels - factor * clip_peak(clips, lengths).clamp(min=self.amin).log10()
            else:
                decibels = decibels - factor * math.log10(max(self.amin, float(self.ref)))
            if self.top_db is not None:
                decibels = limit_range(decibels, lengths, self.top_db)
            if lengths is not None:
                past = torch.arange(decibels.shape[-1], device=decibels.device) >= lengths[:, None]
                decibels = decibels.masked_fill(past.view(past.shape[0], *[1] * (decibels.dim() - 2), -1), 0)
        return decibels if spectrogram.dim() > 2 else decibels[0]

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames in, frames out."""
        return lengths

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.stype!r}, ref={self.ref!r}, amin={self.amin:g}, top_db={self.top_db}"
