"""Cepstral coefficients: the cosine transform of a log spectrum on the mel, a linear or the bark scale."""

from __future__ import annotations

import functools
from typing import Any

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_mel_norm, check_power, check_rate, check_span
from audiofeed.arguments.signature import takes
from audiofeed.signal.auditory.filterbanks import bark_filterbank, linear_filterbank
from audiofeed.signal.scales import BARK_SCALES
from audiofeed.transforms.auditory.settings import Mel, MelSpanOptions, keep_mel
from audiofeed.transforms.cepstral.settings import CepstralLogarithm, CepstralOptions, Cosines, keep_cepstrum
from audiofeed.transforms.contract.frame_settings import Frames
from audiofeed.transforms.contract.magnitude_settings import Magnitude
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class MFCCOptions(CepstralOptions, MelSpanOptions, total=False):
    """Keyword arguments of the module for mel-frequency cepstral coefficients."""


class MFCC(ShortTime):
    """Module that computes mel-frequency cepstral coefficients, equal to `librosa.feature.mfcc` of each clip alone.

    Args:
        sample_rate: Hz.
        n_mfcc: number of coefficients, 1 to n_mels.
        power: exponent of the magnitude before the filters, > 0.
        mel_norm: of the filters: "slaney" (area 1), None (peak 1), or a number p > 0 (p-norm 1).
        trainable_mel: the filters are a parameter (`mel`, of shape (n_mels, n_fft // 2 + 1)).

    Returns:
        (..., n_mfcc, frames), from a waveform (..., time) and lengths (batch,).

    Warns:
        UserWarning: for filters too narrow to hold a bin.

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft); more coefficients than
    mels are an error. Differs from `LogMelSpectrogram`: decibels of another power than 2 are 10 log10 too, because
    librosa and torchaudio take them so.

    `torchaudio.transforms.MFCC` of one clip is mel_scale="htk", mel_norm=None, pad_mode="reflect" here, with its
    log_mels=True as log="ln", offset=1e-6, top_db=None. Of a (batch, time) tensor it takes the peak of the whole batch,
    so that a loud clip changes the coefficients of a quiet one; here it is each clip's own.

    >>> import torch
    >>> transform = MFCC(sample_rate=16000, n_mfcc=13, n_fft=400, hop_length=160, n_mels=40)
    >>> transform(torch.zeros(2, 16000)).shape
    torch.Size([2, 13, 101])
    """

    rows_are_bins = False

    @takes(Mel, Cosines, CepstralLogarithm, Frames, Magnitude, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        n_mfcc: int = 20,
        power: float = 2.0,
        mel_norm: str | float | None = "slaney",
        trainable_mel: bool = False,
        **settings: Unpack[MFCCOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        check_mel_norm("mel_norm", mel_norm)
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        mel, bank = keep_mel(self, settings, trainable=trainable_mel, norm=mel_norm, norm_name="mel_norm")
        self.n_mfcc, self.mel_norm = n_mfcc, mel.norm
        self._steps = keep_cepstrum(self, settings, bank, {"n_mfcc": n_mfcc, "n_mels": self.n_mels})


class LFCC(ShortTime):
    """Module for linear-frequency cepstral coefficients, equal to `torchaudio.transforms.LFCC` of each clip alone.

    Args:
        sample_rate: Hz.
        n_lfcc: number of coefficients, 1 to n_filter.
        n_filter: number of triangular filters of one width and peak 1 between f_min and f_max, 1 or more.
        f_min: Hz, the lower edge of the lowest filter, >= 0 and below f_max.
        f_max: Hz, the upper edge of the highest filter, at most sample_rate / 2; None: that.
        power: exponent of the magnitude before the filters, > 0.
        trainable_filters: the filters are a parameter (`filters`, of shape (n_filter, n_fft // 2 + 1)).

    Returns:
        (..., n_lfcc, frames), from a waveform (..., time) and lengths (batch,).

    Warns:
        UserWarning: for filters too narrow to hold a bin.

    Differs from torchaudio: `n_fft` 2048 (400), pad_mode "constant" ("reflect"), and `hop_length=None` is a quarter of
    the window (half). Its log_lf=True is log="ln", offset=1e-6, top_db=None. Its top_db counts from the peak of the
    whole batch, here from each clip's own.

    >>> import torch
    >>> LFCC(sample_rate=16000, n_lfcc=20, n_fft=512, n_filter=64)(torch.zeros(2, 16000)).shape
    torch.Size([2, 20, 126])
    """

    rows_are_bins = False

    @takes(Cosines, CepstralLogarithm, Frames, Magnitude, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        n_lfcc: int = 40,
        n_filter: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        power: float = 2.0,
        trainable_filters: bool = False,
        **settings: Unpack[CepstralOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        self.n_lfcc, self.trainable_filters = n_lfcc, trainable_filters
        self.n_filter = check_count("n_filter", n_filter, "an integer number of filters, 1 or more")
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        span: dict[str, Any] = {"sample_rate": float(sample_rate), "f_min": self.f_min, "f_max": self.f_max}
        definition = functools.partial(linear_filterbank, n_fft=self.n_fft, n_filter=n_filter, **span)
        bank = self.define_bank("filters", definition, trainable=trainable_filters, counted="n_filter")
        self._steps = keep_cepstrum(self, settings, bank, {"n_lfcc": n_lfcc, "n_filter": n_filter})


class BFCC(ShortTime):
    """Module that computes bark-frequency cepstral coefficients: as MFCC, with triangles evenly spaced in bark.

    Args:
        sample_rate: Hz.
        n_bfcc: number of coefficients, 1 to n_barks.
        n_barks: number of triangular filters of peak 1, 1 or more.
        bark_scale: "traunmuller" (1990, with his corrections at both ends), "schroeder" (1979) or "wang" (1992, as in
            PLP).
        f_min: Hz, the lower edge of the lowest filter, >= 0 and below f_max.
        f_max: Hz, the upper edge of the highest filter, at most sample_rate / 2; None: that.
        power: exponent of the magnitude before the filters, > 0.
        trainable_filters: the filters are a parameter (`filters`, of shape (n_barks, n_fft // 2 + 1)).

    Returns:
        (..., n_bfcc, frames), from a waveform (..., time) and lengths (batch,).

    Warns:
        UserWarning: for filters too narrow to hold a bin.

    The filters are torchaudio's former `prototype.functional.barkscale_fbanks`; neither it nor librosa has a BFCC.

    >>> import torch
    >>> BFCC(sample_rate=16000, n_bfcc=13, n_fft=512, n_barks=24)(torch.zeros(2, 16000)).shape
    torch.Size([2, 13, 126])
    """

    rows_are_bins = False

    @takes(Cosines, CepstralLogarithm, Frames, Magnitude, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        n_bfcc: int = 20,
        n_barks: int = 64,
        bark_scale: str = "traunmuller",
        f_min: float = 0.0,
        f_max: float | None = None,
        power: float = 2.0,
        trainable_filters: bool = False,
        **settings: Unpack[CepstralOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        self.n_bfcc, self.trainable_filters = n_bfcc, trainable_filters
        self.n_barks = check_count("n_barks", n_barks, "an integer number of filters, 1 or more")
        self.bark_scale = check_choice("bark_scale", bark_scale, BARK_SCALES)
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        span: dict[str, Any] = {"sample_rate": float(sample_rate), "f_min": self.f_min, "f_max": self.f_max}
        scale: dict[str, Any] = {"n_barks": n_barks, "bark_scale": bark_scale}
        definition = functools.partial(bark_filterbank, n_fft=self.n_fft, **scale, **span)
        bank = self.define_bank("filters", definition, trainable=trainable_filters, counted="n_barks")
        self._steps = keep_cepstrum(self, settings, bank, {"n_bfcc": n_bfcc, "n_barks": n_barks})
