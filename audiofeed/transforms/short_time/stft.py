"""The short-time Fourier transform and its powers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from audiofeed.methods.choose import choose_short_time
from audiofeed.methods.frames import PAD_MODES, Framing, Workspace
from audiofeed.methods.short_time import conv, fft
from audiofeed.signal.samples import INT16_SCALE
from audiofeed.signal.scales import fft_frequencies
from audiofeed.signal.short_time.fourier import fourier_basis
from audiofeed.signal.windows import Window, get_window, pad_window
from audiofeed.transforms.contract.checks import check_count, check_rate
from audiofeed.transforms.contract.transform import Transform


def _analysis_window(window: Window, win_length: int, n_fft: int, periodic: bool) -> np.ndarray:
    return pad_window(get_window(window, win_length, periodic=periodic), n_fft)


# from the analysis window to the real and imaginary parts of a basis
Basis = Callable[[np.ndarray], np.ndarray]


def _analysis_basis(basis: Basis, window: Window, win_length: int, n_fft: int, periodic: bool) -> np.ndarray:
    return basis(_analysis_window(window, win_length, n_fft, periodic))


class ShortTime(Transform):
    """What every transform over short frames shares: the settings of the frames, the window, the method.

    A subclass may give another `basis` than Fourier's to the "conv" method.
    """

    takes_int16 = True

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
        method: str = "auto",
        trainable: bool = False,
        trainable_window: bool = False,
        sample_rate: float | None = None,
        basis: Basis = fourier_basis,
    ) -> None:
        super().__init__()
        self.n_fft = check_count("n_fft", n_fft)
        self.win_length = self.n_fft if win_length is None else check_count("win_length", win_length)
        if self.win_length > self.n_fft:
            raise ValueError(
                f"win_length={win_length} must not exceed n_fft={n_fft}; make n_fft at least as long as the window"
            )
        self.hop_length = max(1, self.win_length // 4) if hop_length is None else check_count("hop_length", hop_length)
        if pad_mode not in PAD_MODES:
            known = {"edge": "replicate", "wrap": "circular", "zeros": "constant"}.get(pad_mode)
            raise ValueError(
                f"pad_mode={pad_mode!r} must be one of {PAD_MODES}"
                + (f"; it is called {known!r} here" if known else "")
            )
        if sample_rate is not None:
            check_rate(sample_rate, "frequencies and times are told by it")
        self.window = window
        self.periodic = periodic
        self.center = center
        self.pad_mode = pad_mode
        self.trainable, self.trainable_window = trainable, trainable_window
        self.sample_rate = sample_rate
        choice = choose_short_time(method, trainable=trainable)
        self.method, self.method_reason = choice.method, choice.reason
        if trainable_window and self.method != "fft":
            raise ValueError(
                f"trainable_window=True trains the window of method='fft', and the method is {self.method!r}, whose "
                "basis holds the window; train the basis (trainable=True), or leave trainable and method as they are"
            )
        self._framing = Framing(n_fft=self.n_fft, hop_length=self.hop_length, center=center, pad_mode=pad_mode)
        settings = (window, self.win_length, self.n_fft, periodic)
        samples = tuple(window) if isinstance(window, (list, np.ndarray)) else window
        # what two transforms must have in common for their spectra to be the same; what is trained is like no other
        alike = (self._framing, self.win_length, samples, periodic, self.method)
        self.frames_key = None if trainable or trainable_window else alike
        if self.method == "fft":
            self.define("analysis_window", functools.partial(_analysis_window, *settings), trainable=trainable_window)
        else:
            self.define("basis", functools.partial(_analysis_basis, basis, *settings), trainable=trainable)

    def _analysis(self, name: str, waveform: torch.Tensor) -> torch.Tensor:
        """The window or the basis for a waveform; that of int16 samples brings their scale."""
        held = self.filter_like(name, waveform)
        return held if waveform.is_floating_point() else held * INT16_SCALE

    def _complex(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """The complex spectrum.  Shape: (rows, time) -> complex (rows, bins, frames)."""
        if self.method == "fft":
            window = self._analysis("analysis_window", waveform)
            return fft.short_time_spectrum(waveform, lengths, self._framing, window, graph=graph)
        return conv.short_time_spectrum(
            waveform, lengths, self._framing, self._analysis("basis", waveform), graph=graph
        )

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples.

        >>> STFT(400, hop_length=160).frame_lengths(torch.tensor([16000, 1])).tolist()
        [101, 1]
        """
        return self._framing.count(lengths)

    def times(self, n_frames: int) -> torch.Tensor:
        """The centre of each frame in seconds, float64.  Shape: (n_frames,). Needs `sample_rate`.

        >>> STFT(400, hop_length=160, sample_rate=16000).times(3).tolist()
        [0.0, 0.01, 0.02]
        """
        centre = 0.0 if self.center else self.n_fft / 2
        return (torch.arange(n_frames, dtype=torch.float64) * self.hop_length + centre) / self._need_rate("times")

    @property
    def frequencies(self) -> torch.Tensor:
        """The centre of each bin in Hz, float64.  Shape: (bins,). Needs `sample_rate`."""
        return torch.from_numpy(fft_frequencies(self._need_rate("frequencies"), self.n_fft))

    def _need_rate(self, what: str) -> float:
        if self.sample_rate is None:
            raise ValueError(f"{what} needs the sample rate; make the transform with sample_rate=...")
        return float(self.sample_rate)

    def extra_repr(self) -> str:
        """The settings of the frames."""
        return (
            f"{self.n_fft}, hop_length={self.hop_length}, win_length={self.win_length}, window={self.window!r}, "
            f"center={self.center}, pad_mode={self.pad_mode!r}, method={self.method!r}, trainable={self.trainable}"
            + (", trainable_window=True" if self.trainable_window else "")
        )


class STFT(ShortTime):
    """The complex short-time Fourier transform, equal to `librosa.stft`.

    The window stands in the middle of `n_fft` samples; with `center=True` frame f is centred on sample f * hop_length,
    and each clip is extended past its own ends by `pad_mode`.

    Args:
        n_fft: samples of a frame, odd or even.
        hop_length: samples from frame to frame; None: win_length // 4.
        win_length: samples of the window, at most n_fft; None: n_fft.
        window: a name, a (name, parameter) tuple, a Kaiser beta, or win_length samples: see `get_window`.
        periodic: False for the symmetric window.
        center: False: frame f starts at sample f * hop_length; a clip shorter than n_fft is filled up with zeros.
        pad_mode: "constant" (zeros), "reflect", "replicate" or "circular", for any clip, however short.
        method: "auto", "fft" or "conv" (see `methods`).
        trainable: the basis is a parameter (`basis`, real parts then imaginary parts); with method "conv".
        trainable_window: the window is a parameter (`analysis_window`, of n_fft samples); with method "fft".
        sample_rate: Hz; only `frequencies` and `times` need it.

    Shape:
        waveform (..., time), lengths (batch,) -> complex (..., n_fft // 2 + 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `pad_mode` has torch's names ("replicate" for "edge"), "circular" works, and so does a clip
    shorter than a frame with `center=False`.

    >>> STFT(512, hop_length=128)(torch.zeros(2, 1000)).shape
    torch.Size([2, 257, 8])
    """

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self._complex(waveform, lengths, graph=graph)


class PowerFeature(ShortTime):
    """What is computed frame by frame from |STFT|^power: a subclass gives `_finish`.

    Several of them over the same frames can share one STFT: see `Stack`.
    """

    def __init__(
        self,
        n_fft: int = 2048,
        *,
        power: float | None = 2.0,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        method: str = "auto",
        trainable: bool = False,
        trainable_window: bool = False,
        sample_rate: float | None = None,
    ) -> None:
        super().__init__(
            n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            trainable_window=trainable_window,
            sample_rate=sample_rate,
        )
        if power is not None and not (power > 0 and math.isfinite(power)):
            raise ValueError(f"power={power!r} must be a number > 0, or None for the complex spectrum")
        self.power = None if power is None else float(power)

    def extra_repr(self) -> str:
        """The settings of the frames and the power."""
        return f"{super().extra_repr()}, power={self.power}"

    def _finishing(self, like: torch.Tensor) -> fft.Finish:
        """What makes features of the powers of a waveform `like` this; where filters come first, a `FilterBank`."""
        return self._finish

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Features of frames. With a workspace there is no graph: the powers may be overwritten, the result lie in it.

        Shape: |STFT|^power (..., frames, bins) -> (..., frames, features).
        """
        raise NotImplementedError

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        wanted = [(self._need_power(), self._finishing(waveform))]
        return self._powers(waveform, lengths, wanted, graph=graph)[0]

    def _need_power(self) -> float:
        if self.power is None:
            raise ValueError("power=None must be a number > 0: filters weigh powers; use STFT for complex values")
        return self.power

    def _powers(
        self,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        wanted: Sequence[tuple[float, fft.Finish | None]],
        *,
        graph: bool,
    ) -> list[torch.Tensor]:
        """|STFT|^power through a finish, for each that is wanted.  Shape: (rows, time) -> (rows, features, frames)."""
        if self.method == "fft":
            window = self._analysis("analysis_window", waveform)
            return fft.short_time_powers(waveform, lengths, self._framing, window, wanted=wanted, graph=graph)
        basis = self._analysis("basis", waveform)
        return conv.short_time_powers(waveform, lengths, self._framing, basis, wanted=wanted, graph=graph)


class Spectrogram(PowerFeature):
    """|STFT|^power, or the complex STFT for `power=None`.

    Args:
        power: 2.0 (power), 1.0 (magnitude), any number > 0, or None (complex).
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable, trainable_window,
            sample_rate: as in `STFT`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_fft // 2 + 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    >>> Spectrogram(512, power=1.0)(torch.zeros(1000)).shape
    torch.Size([257, 8])
    """

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if self.power is None:
            return self._complex(waveform, lengths, graph=graph)
        return self._powers(waveform, lengths, [(self.power, None)], graph=graph)[0]

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        return powers
