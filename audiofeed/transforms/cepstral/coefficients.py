"""Cepstral coefficients: the cosine transform of a log spectrum on the mel, a linear or the bark scale."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch

from audiofeed.methods.cepstral.cepstrum import over_bins
from audiofeed.methods.decibels import LOGS, Log, clip_peak, limit_range
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frames import Workspace
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.plans.tiles import filter_tiles
from audiofeed.signal.auditory.filterbanks import bark_filterbank, linear_filterbank, mel_filterbank
from audiofeed.signal.cepstral.cepstrum import cepstral_matrix
from audiofeed.signal.scales import BARK_SCALES, MEL_SCALES
from audiofeed.signal.windows import Window
from audiofeed.transforms.contract.checks import check_count, check_rate, check_span, warn_of_empty
from audiofeed.transforms.short_time.stft import PowerFeature


class Cepstrum(PowerFeature):
    """What the cepstral features share: |STFT|^power -> filters -> logarithm -> cosine transform -> lifter.

    A subclass names its filters and its counts, and gives the filter bank.
    """

    # the argument that counts the filters, the one that counts the coefficients, and the filters' own name
    _bands_name = "n_filter"
    _count_name = "n_lfcc"
    _filters_name = "filters"

    def __init__(
        self,
        *,
        sample_rate: float,
        n_bands: int,
        n_coefficients: int,
        filters: Callable[..., np.ndarray],
        f_min: float,
        f_max: float | None,
        dct_type: int,
        norm: str | None,
        lifter: float,
        log: str,
        offset: float,
        floor: float,
        top_db: float | None,
        n_fft: int,
        hop_length: int | None,
        win_length: int | None,
        window: Window,
        periodic: bool,
        center: bool,
        pad_mode: str,
        power: float,
        method: str,
        trainable: bool,
        trainable_filters: bool,
    ) -> None:
        name = type(self).__name__
        if power is None:
            raise ValueError(f"power=None must be a number > 0: the filters of {name} weigh powers")
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(
            n_fft,
            power=power,
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
        check_count(self._bands_name, n_bands, "a whole number of filters, 1 or more")
        check_count(self._count_name, n_coefficients, "a whole number of coefficients, 1 or more")
        if n_coefficients > n_bands:
            raise ValueError(
                f"{self._count_name}={n_coefficients} must not exceed {self._bands_name}={n_bands}: a cosine transform "
                "has as many coefficients as values; use more filters"
            )
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        if not (lifter >= 0 and math.isfinite(lifter)):
            raise ValueError(f"lifter={lifter!r} must be a number >= 0; 0 does not lifter")
        if log not in LOGS:
            raise ValueError(f"log={log!r} must be 'ln', 'log10' or 'db'")
        if not (offset >= 0 and math.isfinite(offset)):
            raise ValueError(f"offset={offset!r} must be a number >= 0: it is added to the filters' output")
        if not (floor >= torch.finfo(torch.float32).tiny and math.isfinite(floor)):
            raise ValueError(f"floor={floor!r} must be a number > 0 that float32 holds (1.2e-38 at least)")
        if top_db is not None and log != "db":
            raise ValueError(f"top_db={top_db!r} must be None with log={log!r}: it limits decibels; pass top_db=None")
        if top_db is not None and not top_db > 0:
            raise ValueError(f"top_db={top_db!r} must be a number > 0, or None")
        self.dct_type, self.norm, self.lifter = dct_type, norm, lifter
        self.log, self.offset, self.floor, self.top_db = log, float(offset), float(floor), top_db
        # decibels are 10 log10 whatever the power, as librosa's and torchaudio's cepstra take them
        self._log = Log(log, floor=self.floor, power=2.0)
        definition = functools.partial(
            filters, sample_rate=float(sample_rate), n_fft=self.n_fft, f_min=self.f_min, f_max=self.f_max
        )
        weights = definition()
        warn_of_empty(weights, self._bands_name, self.n_fft, sample_rate)
        self._bands = None if trainable_filters else filter_tiles(weights)
        self.define(self._filters_name, definition, trainable=trainable_filters)
        self.define(
            "cosines",
            functools.partial(cepstral_matrix, n_coefficients, n_bands, dct_type=dct_type, norm=norm, lifter=lifter),
        )

    @property
    def frequencies(self) -> None:  # type: ignore[override]
        """None: a coefficient stands for no frequency."""
        return

    def _finishing(self, like: torch.Tensor) -> FilterBank:
        filters = self.filter_like(self._filters_name, like)
        if self.offset:
            return FilterBank(filters, self._bands, None, self._rest)
        # with a limit, the clip's peak comes first
        return FilterBank(filters, self._bands, self._log, self._rest if self.top_db is None else None)

    def _rest(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """What comes after the filters, and without an offset after the logarithm."""
        if self.offset:
            in_place = workspace is not None
            values = self._log.of(values.add_(self.offset) if in_place else values + self.offset, in_place=in_place)
        return values if self.top_db is not None else self._transformed(values, workspace)

    def _transformed(self, logs: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """The cosine transform.  Shape: (..., frames, bands) -> (..., frames, coefficients)."""
        cosines = self.filter_like("cosines", logs).t()
        *leading, n_bands = logs.shape
        flat = logs.reshape(-1, n_bands)
        if workspace is None:
            return matmul(flat, cosines).view(*leading, -1)
        out = workspace.take("coefficients", flat.shape[0], cosines.shape[1])
        matmul_into(out, flat, cosines)
        return out.view(*leading, -1)

    def finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        if self.top_db is None:
            return features
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            features = limit_range(features, frames, self.top_db)
        else:
            torch.maximum(features, clip_peak(features, frames) - self.top_db, out=features)
        return over_bins(features, self.filter_like("cosines", features))

    def _settings(self) -> str:
        """The filters' settings, for `repr`."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The settings of the frames, of the filters, of the logarithm and of the cosine transform."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={super().extra_repr()}, {self._settings()}, "
            f"f_min={self.f_min:g}, f_max={self.f_max:g}, dct_type={self.dct_type}, norm={self.norm!r}, "
            f"lifter={self.lifter:g}, log={self.log!r}, offset={self.offset:g}, floor={self.floor:g}, "
            f"top_db={self.top_db}"
        )


class MFCC(Cepstrum):
    """Mel-frequency cepstral coefficients, equal to `librosa.feature.mfcc` of each clip alone.

    Args:
        sample_rate: Hz.
        n_mfcc: number of coefficients, at most n_mels.
        dct_type: 1, 2 or 3, scaled as by `scipy.fft.dct`.
        norm: of the cosine transform: "ortho" or None.
        lifter: > 0: coefficient k (from 0) is weighed by 1 + lifter / 2 sin(pi (k + 1) / lifter); 0: not.
        log: "db" (10 log10, whatever the power), "ln" or "log10".
        offset: added to the mels before the logarithm, >= 0.
        floor: the smallest value the logarithm sees, > 0.
        top_db: with log="db": no mel lies more than this below the clip's own peak; None (and with another log): no
            limit.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude before the filters, > 0.
        n_mels, f_min, f_max, mel_scale, trainable_mel: as in `MelSpectrogram`; `mel_norm`: its `norm`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_mfcc, frames).

    Raises:
        ValueError: for a setting outside its range, saying which. Warns of filters too narrow to hold a bin.

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft); more coefficients than
    mels are an error. Differs from `LogMelSpectrogram`: decibels of another power than 2 are 10 log10 too, because
    librosa and torchaudio take them so.

    `torchaudio.transforms.MFCC` of one clip is mel_scale="htk", mel_norm=None, pad_mode="reflect" here, with its
    log_mels=True as log="ln", offset=1e-6, top_db=None. Of a (batch, time) tensor it takes the peak of the whole batch,
    so that a loud clip changes the coefficients of a quiet one; here it is each clip's own.

    >>> transform = MFCC(sample_rate=16000, n_mfcc=13, n_fft=400, hop_length=160, n_mels=40)
    >>> transform(torch.zeros(2, 16000)).shape
    torch.Size([2, 13, 101])
    """

    _bands_name, _count_name, _filters_name = "n_mels", "n_mfcc", "mel"

    def __init__(
        self,
        *,
        sample_rate: float,
        n_mfcc: int = 20,
        dct_type: int = 2,
        norm: str | None = "ortho",
        lifter: float = 0.0,
        log: str = "db",
        offset: float = 0.0,
        floor: float = 1e-10,
        top_db: float | None = 80.0,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 2.0,
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        mel_norm: str | float | None = "slaney",
        method: str = "auto",
        trainable: bool = False,
        trainable_mel: bool = False,
    ) -> None:
        if mel_scale not in MEL_SCALES:
            raise ValueError(f"mel_scale={mel_scale!r} must be 'slaney' or 'htk'")
        if not (mel_norm in ("slaney", None) or (not isinstance(mel_norm, str) and mel_norm > 0)):
            raise ValueError(f"mel_norm={mel_norm!r} must be 'slaney', None, or a number p > 0")
        super().__init__(
            sample_rate=sample_rate,
            n_bands=n_mels,
            n_coefficients=n_mfcc,
            filters=functools.partial(mel_filterbank, n_mels=n_mels, mel_scale=mel_scale, norm=mel_norm),
            f_min=f_min,
            f_max=f_max,
            dct_type=dct_type,
            norm=norm,
            lifter=lifter,
            log=log,
            offset=offset,
            floor=floor,
            top_db=top_db,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            power=power,
            method=method,
            trainable=trainable,
            trainable_filters=trainable_mel,
        )
        self.n_mfcc, self.n_mels = int(n_mfcc), int(n_mels)
        self.mel_scale, self.mel_norm, self.trainable_mel = mel_scale, mel_norm, trainable_mel

    def _settings(self) -> str:
        return (
            f"n_mfcc={self.n_mfcc}, n_mels={self.n_mels}, mel_scale={self.mel_scale!r}, mel_norm={self.mel_norm!r}, "
            f"trainable_mel={self.trainable_mel}"
        )


class LFCC(Cepstrum):
    """Linear-frequency cepstral coefficients, equal to `torchaudio.transforms.LFCC` of each clip alone.

    Args:
        sample_rate: Hz.
        n_lfcc: number of coefficients, at most n_filter.
        n_filter: number of triangular filters of one width and peak 1 between f_min and f_max.
        f_min, f_max: Hz; `f_max=None` is sample_rate / 2, which it may not exceed.
        dct_type, norm, lifter, log, offset, floor, top_db: as in `MFCC`.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude before the filters, > 0.
        trainable_filters: the filters are a parameter (`filters`, of shape (n_filter, n_fft // 2 + 1)).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_lfcc, frames).

    Raises:
        ValueError: for a setting outside its range, saying which. Warns of filters too narrow to hold a bin.

    Differs from torchaudio: `n_fft` 2048 (400), pad_mode "constant" ("reflect"), and `hop_length=None` is a quarter of
    the window (half). Its log_lf=True is log="ln", offset=1e-6, top_db=None. Its top_db counts from the peak of the
    whole batch, here from each clip's own.

    >>> LFCC(sample_rate=16000, n_lfcc=20, n_fft=512, n_filter=64)(torch.zeros(2, 16000)).shape
    torch.Size([2, 20, 126])
    """

    _bands_name, _count_name = "n_filter", "n_lfcc"

    def __init__(
        self,
        *,
        sample_rate: float,
        n_lfcc: int = 40,
        n_filter: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        dct_type: int = 2,
        norm: str | None = "ortho",
        lifter: float = 0.0,
        log: str = "db",
        offset: float = 0.0,
        floor: float = 1e-10,
        top_db: float | None = 80.0,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 2.0,
        method: str = "auto",
        trainable: bool = False,
        trainable_filters: bool = False,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_bands=n_filter,
            n_coefficients=n_lfcc,
            filters=functools.partial(linear_filterbank, n_filter=n_filter),
            f_min=f_min,
            f_max=f_max,
            dct_type=dct_type,
            norm=norm,
            lifter=lifter,
            log=log,
            offset=offset,
            floor=floor,
            top_db=top_db,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            power=power,
            method=method,
            trainable=trainable,
            trainable_filters=trainable_filters,
        )
        self.n_lfcc, self.n_filter, self.trainable_filters = int(n_lfcc), int(n_filter), trainable_filters

    def _settings(self) -> str:
        return f"n_lfcc={self.n_lfcc}, n_filter={self.n_filter}, trainable_filters={self.trainable_filters}"


class BFCC(Cepstrum):
    """Bark-frequency cepstral coefficients: as MFCC, with triangular filters evenly spaced in bark.

    Args:
        sample_rate: Hz.
        n_bfcc: number of coefficients, at most n_barks.
        n_barks: number of triangular filters of peak 1.
        bark_scale: "traunmuller" (1990, with his corrections at both ends), "schroeder" (1979) or "wang" (1992, as in
            PLP).
        f_min, f_max: the span of the filters in Hz; `f_max=None` is sample_rate / 2, which it may not exceed.
        dct_type, norm, lifter, log, offset, floor, top_db: as in `MFCC`.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude before the filters, > 0.
        trainable_filters: the filters are a parameter (`filters`, of shape (n_barks, n_fft // 2 + 1)).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bfcc, frames).

    Raises:
        ValueError: for a setting outside its range, saying which. Warns of filters too narrow to hold a bin.

    The filters are those of torchaudio's former `prototype.functional.barkscale_fbanks`; there is no such cepstrum in
    librosa or torchaudio.

    >>> BFCC(sample_rate=16000, n_bfcc=13, n_fft=512, n_barks=24)(torch.zeros(2, 16000)).shape
    torch.Size([2, 13, 126])
    """

    _bands_name, _count_name = "n_barks", "n_bfcc"

    def __init__(
        self,
        *,
        sample_rate: float,
        n_bfcc: int = 20,
        n_barks: int = 64,
        bark_scale: str = "traunmuller",
        f_min: float = 0.0,
        f_max: float | None = None,
        dct_type: int = 2,
        norm: str | None = "ortho",
        lifter: float = 0.0,
        log: str = "db",
        offset: float = 0.0,
        floor: float = 1e-10,
        top_db: float | None = 80.0,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 2.0,
        method: str = "auto",
        trainable: bool = False,
        trainable_filters: bool = False,
    ) -> None:
        if bark_scale not in BARK_SCALES:
            raise ValueError(f"bark_scale={bark_scale!r} must be 'traunmuller', 'schroeder' or 'wang'")
        super().__init__(
            sample_rate=sample_rate,
            n_bands=n_barks,
            n_coefficients=n_bfcc,
            filters=functools.partial(bark_filterbank, n_barks=n_barks, bark_scale=bark_scale),
            f_min=f_min,
            f_max=f_max,
            dct_type=dct_type,
            norm=norm,
            lifter=lifter,
            log=log,
            offset=offset,
            floor=floor,
            top_db=top_db,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            power=power,
            method=method,
            trainable=trainable,
            trainable_filters=trainable_filters,
        )
        self.n_bfcc, self.n_barks = int(n_bfcc), int(n_barks)
        self.bark_scale, self.trainable_filters = bark_scale, trainable_filters

    def _settings(self) -> str:
        return (
            f"n_bfcc={self.n_bfcc}, n_barks={self.n_barks}, bark_scale={self.bark_scale!r}, "
            f"trainable_filters={self.trainable_filters}"
        )
