"""The shape of a spectrum, frame by frame, in one number: centroid, bandwidth, rolloff, flatness; and a polynomial."""

from __future__ import annotations

import functools

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_floor, check_positive, check_rate, check_share
from audiofeed.arguments.signature import takes
from audiofeed.methods.descriptors import spectral
from audiofeed.signal.descriptors.spectral import moment_weights, polynomial_fit
from audiofeed.signal.scales import fft_frequencies
from audiofeed.transforms.contract.frame_settings import FeatureOptions, FrameOptions, Frames, ShortTimeOptions
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import PerFrame


class RolloffOptions(FrameOptions, total=False):
    """Keyword arguments of the spectral rolloff module, through which no gradient flows."""

    n_fft: int
    method: str
    precision: str


class SpectralCentroid(ShortTime):
    """Spectral centroid of each frame in Hz as a module, equal to `librosa.feature.spectral_centroid`.

    It is the mean frequency, weighted by magnitude. A silent frame has centroid 0, with finite gradient.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft), and `power` can be chosen.
    torchaudio's has no row dimension, is NaN for silence, and spaces its frequencies from 0 to sample_rate // 2
    whatever n_fft, which is off for odd ones.

    >>> import torch
    >>> SpectralCentroid(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(self, *, sample_rate: float, power: float = 1.0, **settings: Unpack[FeatureOptions]) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        weights = functools.partial(moment_weights, sample_rate=float(sample_rate), n_fft=self.n_fft)
        self._steps = (self.define_sums("weights", weights), PerFrame(spectral.centroid))


class SpectralBandwidth(ShortTime):
    """Spectral bandwidth of each frame in Hz as a module, equal to `librosa.feature.spectral_bandwidth`.

    The spread (sum_k S[k] |f[k] - centroid|^p)^(1/p), S of sum 1 with `norm`. Silence has 0, with finite gradient.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.
        p: exponent of the distance, > 0; 2 is a standard deviation.
        norm: False: magnitudes as they are, so that the result grows with the level.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> import torch
    >>> SpectralBandwidth(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 1.0,
        p: float = 2.0,
        norm: bool = True,
        **settings: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        self.p, self.norm = check_positive("p", p), norm
        self.define("weights", functools.partial(moment_weights, sample_rate=float(sample_rate), n_fft=self.n_fft))
        of_frames = functools.partial(spectral.bandwidth, p=self.p, norm=norm)
        self._steps = (PerFrame(of_frames, ("weights",), multiplies=True),)


class SpectralRolloff(ShortTime):
    """Spectral rolloff of each frame in Hz as a module, equal to `librosa.feature.spectral_rolloff`.

    It is the frequency below which lies most of a frame. It is one of the bins' frequencies: a step function of the
    waveform, so no gradient flows through it and nothing is trained. Where a sum comes within rounding of the share,
    float32 and float64 may differ by a bin. A silent frame has rolloff 0.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.
        roll_percent: the share of the sum of magnitudes, between 0 and 1.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> import torch
    >>> SpectralRolloff(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution, without=("trainable", "trainable_window"))
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 1.0,
        roll_percent: float = 0.85,
        **settings: Unpack[RolloffOptions],
    ) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        self.roll_percent = check_share("roll_percent", roll_percent)
        self.define("hertz", functools.partial(fft_frequencies, float(sample_rate), self.n_fft))
        self._steps = (PerFrame(functools.partial(spectral.rolloff, share=self.roll_percent), ("hertz",)),)


class SpectralFlatness(ShortTime):
    """Spectral flatness of each frame, 0 to 1 (noise), as a module equal to `librosa.feature.spectral_flatness`.

    The geometric over the arithmetic mean of max(|STFT|^power, amin). A silent frame has flatness 1, with gradient 0.

    Args:
        n_fft: samples of a frame, odd or even, 1 or more.
        power: exponent of the magnitude, > 0.
        amin: no power counts as smaller than this, > 0.
        sample_rate: Hz; only `times` needs it.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4.

    >>> import torch
    >>> SpectralFlatness(512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(
        self,
        n_fft: int = 2048,
        *,
        power: float = 2.0,
        amin: float = 1e-10,
        sample_rate: float | None = None,
        **settings: Unpack[ShortTimeOptions],
    ) -> None:
        super().__init__({**settings, "n_fft": n_fft}, sample_rate=sample_rate, power=check_positive("power", power))
        self.amin = check_floor("amin", amin)
        self._steps = (PerFrame(functools.partial(spectral.flatness, amin=self.amin)),)


class PolyFeatures(ShortTime):
    """Spectral polynomial fitted to each frame as a module, equal to `librosa.feature.poly_features`.

    Coefficients of the least-squares polynomial in frequency (Hz), highest power first: linear in the spectrum, so one
    product with a fixed matrix. Those of high powers are tiny (that of f^2 is of the order of 1 / Hz^2).

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.
        order: degree of the polynomial, 0 or more and below the number of bins.

    Returns:
        (..., order + 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: `hop_length=None` is win_length // 4, and `power` can be chosen.

    >>> import torch
    >>> PolyFeatures(sample_rate=16000, n_fft=512)(torch.zeros(2, 1600)).shape
    torch.Size([2, 2, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(
        self, *, sample_rate: float, power: float = 1.0, order: int = 1, **settings: Unpack[FeatureOptions]
    ) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        bins = self.n_fft // 2 + 1
        rule = f"an integer, 0 or more and below the {bins} bins of n_fft={self.n_fft}"
        self.order = 0 if order == 0 and not isinstance(order, bool) else check_count("order", order, rule)
        if self.order >= bins:
            raise ValueError(f"order={order!r} must be {rule}")
        fit = functools.partial(polynomial_fit, sample_rate=float(sample_rate), n_fft=self.n_fft, order=self.order)
        self._steps = (self.define_sums("fit", fit),)
