"""The inverse short-time Fourier transform."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import torch

from audiofeed.methods.choose import choose_short_time
from audiofeed.methods.frames import Framing
from audiofeed.methods.inverse.overlap_add import Synthesis, by_basis, by_fft, inverse_short_time, natural_length
from audiofeed.signal.inverse.synthesis import LEAST_COVER, largest_hop, least_cover, synthesis_basis
from audiofeed.signal.windows import Window, get_window, pad_window
from audiofeed.transforms.contract.checks import check_count
from audiofeed.transforms.contract.to_waveform import ToWaveform


def _window(window: Window, win_length: int, n_fft: int, periodic: bool) -> np.ndarray:
    return pad_window(get_window(window, win_length, periodic=periodic), n_fft)


def _basis(window: Window, win_length: int, n_fft: int, periodic: bool) -> np.ndarray:
    return synthesis_basis(_window(window, win_length, n_fft, periodic))


class Resynthesis(ToWaveform):
    """What every transform from frames to a waveform shares: the settings of the frames, and its length."""

    def __init__(
        self,
        n_fft: int = 2048,
        *,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.n_fft = check_count("n_fft", n_fft)
        self.win_length = self.n_fft if win_length is None else check_count("win_length", win_length)
        if self.win_length > self.n_fft:
            raise ValueError(
                f"win_length={win_length} must not exceed n_fft={n_fft}; make n_fft at least as long as the window"
            )
        self.hop_length = max(1, self.win_length // 4) if hop_length is None else check_count("hop_length", hop_length)
        self.window, self.periodic, self.center = window, periodic, center
        self._settings = (window, self.win_length, self.n_fft, periodic)
        samples = _window(*self._settings)
        if least_cover(samples, self.hop_length) < LEAST_COVER:
            best = largest_hop(samples)
            remedy = f"use hop_length={best} or less" if best else "use another window"
            raise ValueError(
                f"hop_length={self.hop_length} must let the squared window={window!r} of win_length={self.win_length} "
                f"cover every sample, and leaves gaps that cannot be inverted; {remedy}"
            )
        self._framing = Framing(n_fft=self.n_fft, hop_length=self.hop_length, center=center, pad_mode=pad_mode)
        self.define("synthesis_window", functools.partial(_window, *self._settings))

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Samples of clips of `frames` frames, where no length is given.  Shape: integers of any shape -> the same."""
        return natural_length(self._framing, frames)

    def _check_bins(self, features: torch.Tensor) -> None:
        if features.shape[-2] != self.n_fft // 2 + 1:
            raise ValueError(
                f"features has shape {tuple(features.shape)}, and n_fft={self.n_fft} has {self.n_fft // 2 + 1} bins; "
                "the second last dimension is the bins"
            )

    def _longest(self, length: int | torch.Tensor | None, frames: int) -> int:
        """Samples of the whole result."""
        if isinstance(length, torch.Tensor):
            return int(length.max())
        return natural_length(self._framing, frames) if length is None else length

    def extra_repr(self) -> str:
        """The settings of the frames."""
        return (
            f"{self.n_fft}, hop_length={self.hop_length}, win_length={self.win_length}, window={self.window!r}, "
            f"periodic={self.periodic}, center={self.center}"
        )


class InverseSTFT(Resynthesis):
    """The waveform whose short-time Fourier transform lies nearest to a spectrum, equal to `librosa.istft`.

    Frames are inverted, windowed, overlapped and added, and divided by the overlapped squared window (Griffin and Lim
    1984), so that what `STFT` makes of a waveform comes back, with any window and hop that cover every sample.

    Args:
        n_fft: samples of a frame, odd or even.
        hop_length: samples from frame to frame; None: win_length // 4.
        win_length: samples of the window, at most n_fft; None: n_fft.
        window: a name, a (name, parameter) tuple, a Kaiser beta, or win_length samples: see `get_window`.
        periodic: False for the symmetric window.
        center: frames are centered on multiples of the hop, as those of `STFT(center=True)`; False: they start there.
        method: "auto", "fft" or "conv" (see `methods`).
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

    def __init__(
        self,
        n_fft: int = 2048,
        *,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__(
            n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
        )
        self.trainable = trainable
        choice = choose_short_time(method, trainable=trainable)
        self.method, self.method_reason = choice.method, choice.reason
        if self.method == "conv":
            self.define("basis", functools.partial(_basis, *self._settings), trainable=trainable)

    def forward(  # type: ignore[override]  # a length before lengths, as in torch.istft and librosa
        self,
        spectrum: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Waveforms of one spectrum or of a batch.

        Args:
            spectrum: complex (..., bins, frames) with any leading dimensions, of which the first is the batch.
            length: samples of the waveform, or (batch,) samples of each; a batch is as long as its longest. None:
                `sample_lengths` of the frames. Zeros follow where the frames end before.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., time). Row i equals that clip alone, with zeros past its end.

        Raises:
            TypeError: for a spectrum that is not complex, or lengths that are not integers.
            ValueError: for another number of bins, an empty spectrum, or lengths that do not fit it.
        """
        self.check_features(spectrum)
        self._check_bins(spectrum)
        return self._run_to(spectrum, length, lengths)

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows, bins, frames = features.shape
        flat = features.reshape(clips * rows, bins, frames)
        own = None if lengths is None else lengths.repeat_interleave(rows)
        longest = self._longest(cast("int | torch.Tensor | None", settings["length"]), frames)
        window = self.filter_like("synthesis_window", flat.real)
        samples = inverse_short_time(flat, own, self._framing, window, self._synthesis(flat), longest, graph=graph)
        return samples.view(clips, rows, longest)

    def _synthesis(self, spectrum: torch.Tensor) -> Synthesis:
        if self.method == "fft":
            return functools.partial(by_fft, window=self.filter_like("synthesis_window", spectrum.real))
        return functools.partial(by_basis, basis=self.filter_like("basis", spectrum.real))

    def extra_repr(self) -> str:
        """The settings of the frames and the method."""
        return f"{super().extra_repr()}, method={self.method!r}, trainable={self.trainable}"
