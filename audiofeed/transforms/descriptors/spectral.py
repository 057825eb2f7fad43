"""The shape of a spectrum, frame by frame, in one number: centroid, bandwidth, rolloff, flatness; and a polynomial."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.methods.descriptors import spectral as descriptors
from audiofeed.methods.filterbank import filtered
from audiofeed.methods.frames import Workspace
from audiofeed.signal.descriptors.spectral import moment_weights, polynomial_fit
from audiofeed.signal.scales import fft_frequencies
from audiofeed.signal.windows import Window
from audiofeed.transforms.contract.checks import check_count, check_positive, check_rate, check_share
from audiofeed.transforms.short_time.stft import PowerFeature


class SpectralDescriptor(PowerFeature):
    """What describes a spectrum without being one: its rows have no frequency each."""

    @property
    def frequencies(self) -> torch.Tensor:
        """Not there: a descriptor's rows are no bins."""
        raise AttributeError(f"{type(self).__name__} has no frequencies: its rows are no bins of a spectrum")

    def extra_repr(self) -> str:
        """The settings of the frames."""
        return f"sample_rate={self.sample_rate}, n_fft={super().extra_repr()}"


class SpectralCentroid(SpectralDescriptor):
    """The mean frequency of each frame in Hz, weighed by magnitude: equal to `librosa.feature.spectral_centroid`.

    A silent frame has centroid 0, with finite gradient.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude, > 0.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft), and `power` can be chosen.
    torchaudio's has no row dimension, is NaN for silence, and spaces its frequencies from 0 to sample_rate // 2
    whatever n_fft, which is off for odd ones.

    >>> SpectralCentroid(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 1.0,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__(
            n_fft,
            power=check_positive("power", power),
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=check_rate(sample_rate),
        )
        weights = functools.partial(moment_weights, sample_rate=float(sample_rate), n_fft=self.n_fft)
        self.define("weights", weights)

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        return descriptors.centroid(powers, self.filter_like("weights", powers), workspace)


class SpectralBandwidth(SpectralDescriptor):
    """The spread of each frame about its centroid in Hz: equal to `librosa.feature.spectral_bandwidth`.

    (sum_k S[k] |f[k] - centroid|^p)^(1/p), S of sum 1 with `norm`. A silent frame has 0, with finite gradient.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude, > 0.
        p: exponent of the distance, > 0; 2 is a standard deviation.
        norm: False: magnitudes as they are, so that the result grows with the level.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> SpectralBandwidth(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 1.0,
        p: float = 2.0,
        norm: bool = True,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__(
            n_fft,
            power=check_positive("power", power),
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=check_rate(sample_rate),
        )
        self.p, self.norm = check_positive("p", p), norm
        weights = functools.partial(moment_weights, sample_rate=float(sample_rate), n_fft=self.n_fft)
        self.define("weights", weights)

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        weights = self.filter_like("weights", powers)
        return descriptors.bandwidth(powers, weights, workspace, p=self.p, norm=self.norm)

    def extra_repr(self) -> str:
        """The settings of the frames and of the moment."""
        return f"{super().extra_repr()}, p={self.p:g}, norm={self.norm}"


class SpectralRolloff(SpectralDescriptor):
    """The frequency in Hz below which lies most of each frame: equal to `librosa.feature.spectral_rolloff`.

    It is one of the bins' frequencies: a step function of the waveform, so no gradient flows through it. Where a sum
    comes within rounding of the share, float32 and float64 may differ by a bin. A silent frame has rolloff 0.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method: as in `STFT`.
        power: exponent of the magnitude, > 0.
        roll_percent: the share of the sum of magnitudes, between 0 and 1.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> SpectralRolloff(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 1.0,
        roll_percent: float = 0.85,
        method: str = "auto",
    ) -> None:
        super().__init__(
            n_fft,
            power=check_positive("power", power),
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            sample_rate=check_rate(sample_rate),
        )
        self.roll_percent = check_share("roll_percent", roll_percent)
        self.define("hertz", functools.partial(fft_frequencies, float(sample_rate), self.n_fft))

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        return descriptors.rolloff(powers, self.filter_like("hertz", powers), workspace, share=self.roll_percent)

    def extra_repr(self) -> str:
        """The settings of the frames and the share."""
        return f"{super().extra_repr()}, roll_percent={self.roll_percent:g}"


class SpectralFlatness(SpectralDescriptor):
    """How much like noise each frame is, from 0 to 1: equal to `librosa.feature.spectral_flatness`.

    The geometric over the arithmetic mean of max(|STFT|^power, amin). A silent frame has flatness 1, with gradient 0.

    Args:
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable, sample_rate: as in `STFT`.
        power: exponent of the magnitude, > 0.
        amin: no power counts as smaller than this, > 0.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4.

    >>> SpectralFlatness(512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

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
        power: float = 2.0,
        amin: float = 1e-10,
        method: str = "auto",
        trainable: bool = False,
        sample_rate: float | None = None,
    ) -> None:
        super().__init__(
            n_fft,
            power=check_positive("power", power),
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=sample_rate,
        )
        if not (amin >= torch.finfo(torch.float32).tiny and math.isfinite(amin)):
            raise ValueError(f"amin={amin!r} must be a number > 0 that float32 holds (1.2e-38 at least)")
        self.amin = float(amin)

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        return descriptors.flatness(powers, workspace, amin=self.amin)

    def extra_repr(self) -> str:
        """The settings of the frames and the floor."""
        return f"{super().extra_repr()}, amin={self.amin:g}"


class PolyFeatures(SpectralDescriptor):
    """Coefficients of a polynomial fitted to each frame: equal to `librosa.feature.poly_features`.

    The least-squares polynomial in frequency (Hz), highest power first. A fit is linear in the spectrum, so it is one
    product with a fixed matrix. Coefficients of high powers are tiny (that of f^2 is of the order of 1 / Hz^2).

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude, > 0.
        order: degree of the polynomial, 0 or more and below the number of bins.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., order + 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> PolyFeatures(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 2, 13])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 1.0,
        order: int = 1,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__(
            n_fft,
            power=check_positive("power", power),
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=check_rate(sample_rate),
        )
        bins = self.n_fft // 2 + 1
        rule = f"a whole number, 0 or more and below the {bins} bins of n_fft={n_fft}"
        self.order = 0 if order == 0 and not isinstance(order, bool) else check_count("order", order, rule)
        if self.order >= bins:
            raise ValueError(f"order={order!r} must be {rule}")
        fit = functools.partial(polynomial_fit, sample_rate=float(sample_rate), n_fft=self.n_fft, order=self.order)
        self.define("fit", fit)

    def _finish(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        return filtered(powers, self.filter_like("fit", powers), workspace, None, "coefficients")

    def extra_repr(self) -> str:
        """The settings of the frames and the degree."""
        return f"{super().extra_repr()}, order={self.order}"
