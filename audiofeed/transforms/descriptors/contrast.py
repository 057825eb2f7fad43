"""Spectral contrast: how far the peaks of each octave stand above its valleys."""

from __future__ import annotations

import functools

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_positive, check_rate, check_share
from audiofeed.arguments.signature import takes
from audiofeed.methods.descriptors.spectral import contrast_in_decibels, extremes
from audiofeed.signal.descriptors.spectral import contrast_bands
from audiofeed.transforms.contract.frame_settings import FeatureOptions, Frames
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import PerClip, PerFrame


class SpectralContrast(ShortTime):
    """Spectral contrast module: peaks over valleys of octave bands in dB, equal to `librosa.feature.spectral_contrast`.

    Jiang et al., "Music type classification by spectral contrast feature" (2002). Row 0 is the band below `f_min`, row
    k the octave from f_min * 2^(k - 1), the last up to half the sample rate. A peak is the mean of the largest
    magnitudes of a band, a valley that of its smallest; which bins those are changes in steps, so there is a gradient
    almost everywhere. As in librosa, peaks lie at most 80 dB below the clip's highest peak, valleys at most 80 dB below
    its highest valley, all channels together; batch-mates do not count. Silence has contrast 0.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.
        f_min: the end of the lowest band and the start of the first octave in Hz, > 0.
        n_bands: octaves above f_min, 1 or more; the last must begin below half the sample rate.
        quantile: the share of a band that is its peak, and its valley, between 0 and 1; one bin at least.
        linear: the plain difference instead of decibels.

    Returns:
        (..., n_bands + 1, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for a setting outside its range, or a band without a bin, saying which.

    Differs from librosa: `hop_length=None` is win_length // 4; a band without a bin is an error (there NaN or an
    IndexError); `f_min` is called fmin there. librosa's range of 80 dB counts over a whole batch given as one array.

    >>> import torch
    >>> SpectralContrast(sample_rate=16000, n_fft=512, n_bands=5)(torch.zeros(2, 1600)).shape
    torch.Size([2, 6, 13])
    """

    rows_are_bins = False

    @takes(Frames, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 1.0,
        f_min: float = 200.0,
        n_bands: int = 6,
        quantile: float = 0.02,
        linear: bool = False,
        **settings: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(settings, sample_rate=check_rate(sample_rate), power=check_positive("power", power))
        self.f_min = check_positive("f_min", f_min)
        self.n_bands = check_count("n_bands", n_bands, "an integer number of octaves, 1 or more")
        if self.f_min * 2 ** (self.n_bands - 1) >= sample_rate / 2:
            raise ValueError(
                f"f_min={f_min!r}, n_bands={n_bands!r} must satisfy f_min * 2^(n_bands - 1) < {sample_rate / 2:g} Hz, "
                f"half of sample_rate={sample_rate!r}"
            )
        self.quantile, self.linear = check_share("quantile", quantile), linear
        bands = contrast_bands(
            sample_rate=float(sample_rate),
            n_fft=self.n_fft,
            f_min=self.f_min,
            n_bands=self.n_bands,
            quantile=self.quantile,
        )
        of_bands = PerFrame(functools.partial(extremes, bands=bands, apart=linear))
        self._steps = (of_bands,) if linear else (of_bands, PerClip(contrast_in_decibels))
