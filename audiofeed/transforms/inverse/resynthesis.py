"""Frames back to a waveform: what every inverse of short frames shares."""

from __future__ import annotations

import torch

from audiofeed.methods.inverse.overlap_add import natural_length
from audiofeed.signal.inverse.synthesis import LEAST_COVER, largest_hop, least_cover
from audiofeed.transforms.contract.frame_settings import Frames, WindowOptions
from audiofeed.transforms.contract.to_waveform import ToWaveform


class SynthesisOptions(WindowOptions, total=False):
    """Keyword arguments of the resynthesis of a waveform from frames."""

    center: bool


class Resynthesis:
    """Resynthesis in inverse transforms: frames that cover every sample of a waveform, and the samples that are theirs.

    Args:
        module: the transform, whose attributes the frames' settings become and which keeps the synthesis window.
        frames: where the frames lie, and their window.

    Raises:
        ValueError: for a window and a hop that leave samples uncovered.
    """

    def __init__(self, module: ToWaveform, frames: Frames) -> None:
        module.keep(frames)
        self.framing, self.bins = frames.framing, frames.n_fft // 2 + 1
        window = frames.analysis_window()
        if least_cover(window, frames.hop_length) < LEAST_COVER:
            best = largest_hop(window)
            remedy = f"use hop_length={best} or less" if best else "use another window"
            raise ValueError(
                f"hop_length={frames.hop_length} must let the squared window={frames.window!r} of "
                f"win_length={frames.win_length} cover every sample, and leaves gaps that cannot be inverted; {remedy}"
            )
        module.define("synthesis_window", frames.analysis_window, values=window)

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples that the resynthesis of an inverse transform makes of clips of `frames` frames."""
        return natural_length(self.framing, frames)

    def bins_of_features(self) -> tuple[int, str]:
        """Return the bins that resynthesis takes and a text of them: see `ToWaveform.bins_of_features`."""
        return self.bins, f"n_fft={self.framing.n_fft} has {self.bins} bins"

    def longest(self, length: int | torch.Tensor | None, frames: int) -> int:
        """Return the samples of the whole result of resynthesis, those of the longest clip."""
        if isinstance(length, torch.Tensor):
            return int(length.max())
        return natural_length(self.framing, frames) if length is None else length
