"""Tempograms: which tempi an onset envelope repeats in, around each frame."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.arguments.checks import check_count, check_rate
from audiofeed.methods.frames import Framing
from audiofeed.methods.rhythm import autocorrelation
from audiofeed.methods.short_time import fft
from audiofeed.signal.rhythm.tempo import fourier_tempi, lag_tempi
from audiofeed.signal.windows import Window, get_window
from audiofeed.transforms.contract.derived import Derived, check_source
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.harmony.chroma import check_norm
from audiofeed.transforms.rhythm.onset import OnsetStrength


class OfOnsets(Derived):
    """What is computed of an onset envelope, some frames at a time."""

    def __init__(
        self,
        sample_rate: float,
        n_fft: int,
        hop_length: int,
        win_length: int,
        center: bool,
        window: Window,
        onset: Transform | None,
    ) -> None:
        check_rate(sample_rate)
        own_hop = check_count("hop_length", hop_length)
        if onset is None:
            onset = OnsetStrength(sample_rate=sample_rate, n_fft=n_fft, hop_length=own_hop)
        elif n_fft != 2048:
            raise ValueError(f"n_fft={n_fft!r} must be left out with onset=...: it brings its own; set it there")
        elif getattr(onset, "hop_length", own_hop) != own_hop:
            raise ValueError(f"hop_length={hop_length!r} must be that of onset, which has {onset.hop_length!r}")
        super().__init__(check_source("onset", onset, sample_rate))
        self.sample_rate = sample_rate
        self.hop_length = own_hop
        self.win_length = check_count("win_length", win_length, "an integer number of frames, 1 or more")
        self.center, self.window = center, window
        self.define("tempo_window", functools.partial(get_window, window, self.win_length))

    def _envelope(self, features: torch.Tensor) -> torch.Tensor:
        if features.shape[-2] != 1:
            raise ValueError(f"onset has {features.shape[-2]} rows, and must have 1: the strength of each frame")
        return features[:, 0]

    @property
    def frequencies(self) -> torch.Tensor:
        """`tempi` in Hz, float64."""
        return self.tempi / 60.0

    @property
    def tempi(self) -> torch.Tensor:
        """Beats per minute of each row, float64."""
        raise NotImplementedError

    def times(self, n_frames: int) -> torch.Tensor:
        """The center of each stretch in seconds, float64.  Shape: (n_frames,)."""
        center = 0.0 if self.center else self.win_length / 2
        return (
            (torch.arange(n_frames, dtype=torch.float64) + center)
            * self.hop_length
            / float(check_rate(self.sample_rate))
        )

    def extra_repr(self) -> str:
        """The settings; the onset envelope stands below."""
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, win_length={self.win_length}, "
            f"center={self.center}, window={self.window!r}"
        )


class Tempogram(OfOnsets):
    """The autocorrelation of the onset strength around each frame, equal to `librosa.feature.tempogram`.

    Grosche, Mueller and Kurth, "Cyclic tempogram" (2010). Row k is a lag of k frames; `tempi` has it in beats a minute.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame of the onset strength; with `onset` its own, and left out here.
        hop_length: samples from frame to frame.
        win_length: frames of the window that is correlated with itself, and lags of the result.
        center: stretch f is centered on frame f, and the envelope goes down to 0 in a straight line beyond the clip's
            own ends; False: it starts there, and a clip shorter than the window is filled up with zeros.
        window: of the stretch, as in `STFT`.
        norm: p-norm of each column, > 0 (`math.inf`: maximum 1); None: as it is. Silence stays 0.
        onset: a transform from waveforms to (..., 1, frames) to be used for the envelope; None: `OnsetStrength`.

    Returns:
        (..., win_length, frames), from a waveform (..., time) and lengths (batch,).

        TypeError: for an onset that is no transform from waveforms.

    Differs from librosa: with `center=False` it refuses envelopes shorter than the window.

    >>> Tempogram(sample_rate=16000, n_fft=1024, win_length=100)(torch.zeros(2, 16000)).shape
    torch.Size([2, 100, 32])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int = 512,
        win_length: int = 384,
        center: bool = True,
        window: Window = "hann",
        norm: float | None = math.inf,
        onset: Transform | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, win_length, center, window, onset)
        self.norm = check_norm(norm)
        self._framing = Framing(n_fft=self.win_length, hop_length=1, center=False, pad_mode="constant")

    @property
    def tempi(self) -> torch.Tensor:
        """Beats per minute whose period is 0, 1, 2, ... frames, float64; infinite for 0.  Shape: (win_length,).

        >>> Tempogram(sample_rate=16000, hop_length=160, win_length=4).tempi.tolist()
        [inf, 6000.0, 3000.0, 2000.0]
        """
        rate = float(check_rate(self.sample_rate))
        return torch.from_numpy(lag_tempi(self.win_length, sample_rate=rate, hop_length=self.hop_length))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Columns of clips of `lengths` samples."""
        frames = self.source.frame_lengths(lengths)
        return frames if self.center else self._framing.count(frames)

    def _derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        window = self.filter_like("tempo_window", features)
        return autocorrelation.tempogram(
            self._envelope(features), frames, window, center=self.center, norm=self.norm, graph=graph
        )

    def extra_repr(self) -> str:
        """The settings; the onset envelope stands below."""
        return f"{super().extra_repr()}, norm={self.norm}"


class FourierTempogram(OfOnsets):
    """The short-time Fourier transform of the onset strength, equal to `librosa.feature.fourier_tempogram`.

    Grosche, Mueller and Kurth, "Cyclic tempogram" (2010). `tempi` has the beats a minute of each row.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame of the onset strength; with `onset` its own, and left out here.
        hop_length: samples from frame to frame.
        win_length: frames of the window of the transform.
        center: stretch f is centered on frame f, with zeros beyond the clip's own ends; False: it starts there, and a
            clip shorter than the window is filled up with zeros.
        window: of the stretch, as in `STFT`.
        onset: a transform from waveforms to (..., 1, frames) to be used for the envelope; None: `OnsetStrength`.

    Returns:
        complex (..., win_length // 2 + 1, frames), one frame more than the envelope for an even win_length,
        from a waveform (..., time) and lengths (batch,).

        TypeError: for an onset that is no transform from waveforms.

    >>> FourierTempogram(sample_rate=16000, n_fft=1024, win_length=100)(torch.zeros(2, 16000)).shape
    torch.Size([2, 51, 33])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int = 512,
        win_length: int = 384,
        center: bool = True,
        window: Window = "hann",
        onset: Transform | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, win_length, center, window, onset)
        self._framing = Framing(n_fft=self.win_length, hop_length=1, center=center, pad_mode="constant")

    @property
    def tempi(self) -> torch.Tensor:
        """Beats per minute of each bin, float64.  Shape: (win_length // 2 + 1,).

        >>> FourierTempogram(sample_rate=16000, hop_length=160, win_length=4).tempi.tolist()
        [0.0, 1500.0, 3000.0]
        """
        rate = float(check_rate(self.sample_rate))
        return torch.from_numpy(fourier_tempi(self.win_length, sample_rate=rate, hop_length=self.hop_length))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Columns of clips of `lengths` samples."""
        return self._framing.count(self.source.frame_lengths(lengths))

    def _derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        window = self.filter_like("tempo_window", features)
        return fft.short_time_spectrum(self._envelope(features), frames, self._framing, window, graph=graph)
