"""Waveforms as they are, of a stated sample rate: for models that take nothing else."""

from __future__ import annotations

import torch

from audiofeed.transforms.waveform.waveform_transform import WaveformTransform


class Waveform(WaveformTransform):
    """Waveforms as they are, as a module: for a model that takes the samples, whose sample rate a batch is to have.

    A collate pads the clips and refuses those of another sample rate. In a `Chain` it says the rate of what is before
    it: `Chain(NormalizeWaveform(), Waveform(sample_rate=16000))`.

    Args:
        sample_rate: Hz; None: any.

    Returns:
        (..., time), the shape of the waveform, from lengths (batch,) in samples; past them 0.

    Raises:
        ValueError: for a sample rate that is not above 0.

    >>> Waveform(sample_rate=16000)(torch.tensor([1.0, 3.0])).tolist()
    [1.0, 3.0]
    """

    keeps_zeros = True

    def __init__(self, *, sample_rate: float | None = None) -> None:
        super().__init__(sample_rate)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if lengths is None and waveform.is_floating_point():
            return waveform
        return super().compute(waveform, lengths, graph=graph)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        if out.data_ptr() != clips.data_ptr():
            out.copy_(clips)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return clips
