"""The inverse short-time Fourier transform."""

from __future__ import annotations

import functools
from typing import cast

import torch
from typing_extensions import Unpack

from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.inverse.overlap_add import INVERSE, Synthesis, inverse_short_time
from audiofeed.signal.inverse.synthesis import synthesis_basis
from audiofeed.transforms.contract.frame_settings import ONE_WAY, Frames
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.inverse.resynthesis import Resynthesis, SynthesisOptions


class InverseOptions(SynthesisOptions, total=False):
    """Keyword arguments of an inverse STFT module."""

    method: str
    trainable: bool


class InverseSTFT(ToWaveform):
    """Inverse STFT as a module: the waveform whose STFT lies nearest to a spectrum, equal to `librosa.istft`.

    Frames are inverted, windowed, overlapped and added, and divided by the overlapped squared window (Griffin and Lim
    1984), so that what `STFT` makes of a waveform comes back, with any window and hop that cover every sample.

    Args:
        n_fft: samples of a frame, odd or even, 1 or more.
        center: frames are centered on multiples of the hop, as those of `STFT(center=True)`; False: they start there.
        method: "auto", "fft" or "conv" (see `audiofeed.methods`); `method_reason` says why.
        trainable: the synthesis basis is a parameter (`basis`, of real parts then imaginary parts); method "conv".

    Returns:
        (..., time), from spectrum complex (..., n_fft // 2 + 1, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, and for a hop that leaves samples uncovered, with the largest that
            does not.

    A sample is 0 where no frame covers it: past the last frame, and, with center=False, under the feet of the first and
    last windows, where the overlapped squared window is at most 64 eps of its peak (8e-6 in float32).

    Differs from librosa: a hop that cannot be inverted is an error; there is no division by less than 64 eps; a single
    centered frame of an even n_fft is one sample, not none. Differs from torch.istft, which refuses windows that start
    with 0 for center=False.

    >>> InverseSTFT(512, hop_length=128)(torch.zeros(2, 257, 9, dtype=torch.complex64)).shape
    torch.Size([2, 1024])
    """

    takes_complex = True
    hint = "give the spectrum that STFT returns; for a magnitude alone there is GriffinLim"

    @takes(Frames, Execution, without=(*ONE_WAY, "pad_mode", "trainable_window", "precision"))
    def __init__(self, n_fft: int = 2048, **settings: Unpack[InverseOptions]) -> None:
        super().__init__()
        frames, execution = pick(Frames, settings, n_fft=n_fft), pick(Execution, settings)
        self._frames = Resynthesis(self, frames)
        self.trainable = execution.trainable
        self._choice = INVERSE.choose(execution.method, trainable=execution.trainable)
        self.method, self.method_reason = self._choice.method, self._choice.reason
        if self._choice.filters == "basis":
            self.define("basis", frames.of_window(synthesis_basis), trainable=execution.trainable)

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples that an inverse STFT module makes of clips of `frames` frames where no length is given."""
        return self._frames.sample_lengths(frames)

    def bins_of_features(self) -> tuple[int, str]:
        return self._frames.bins_of_features()

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows, bins, frames = features.shape
        flat = features.reshape(clips * rows, bins, frames)
        own = None if lengths is None else lengths.repeat_interleave(rows)
        longest = self._frames.longest(cast("int | torch.Tensor | None", settings["length"]), frames)
        window = self.filter_like("synthesis_window", flat.real)
        samples = inverse_short_time(
            flat, own, self._frames.framing, window, self._synthesis(flat), longest, graph=graph
        )
        return samples.view(clips, rows, longest)

    def _synthesis(self, spectrum: torch.Tensor) -> Synthesis:
        (method,) = self._choice.candidates
        return functools.partial(method.run, filters=self.filter_like(method.filters, spectrum.real))
