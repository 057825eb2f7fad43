"""Frequency scales: Hz to mel or bark and back, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz at 3 mels per 200 Hz, then logarithmic with a step of
# log(6.4) / 27 per mel, so that 27 mels lead from 1 kHz to 6.4 kHz.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0

MEL_SCALES = ("slaney", "htk", "kaldi")

# asinh scales as (barks, Hz): z = barks * asinh(f / Hz)
_ASINH_BARKS = {"schroeder": (7.0, 650.0), "wang": (6.0, 600.0)}
# Traunmüller's z = 26.81 f / (1960 + f) - 0.53 is stretched by these factors below and above these barks, where it
# would leave the measured critical bands
_LOW_BARK, _LOW_STRETCH = 2.0, 0.85
_HIGH_BARK, _HIGH_STRETCH = 20.1, 1.22
BARK_SCALES = ("traunmuller", *_ASINH_BARKS)


def _check_scale(mel_scale: str) -> None:
    if mel_scale not in MEL_SCALES:
        raise ValueError(f"mel_scale={mel_scale!r} must be 'slaney', 'htk' or 'kaldi'")


def hz_to_mel(frequencies: npt.ArrayLike, *, mel_scale: str = "slaney") -> np.ndarray:
    """Convert frequencies in Hz to the mel scale, in float64, like `librosa.hz_to_mel`.

    Args:
        frequencies: Hz, >= 0, of any shape.
        mel_scale: "slaney", "htk", which is 2595 log10(1 + f / 700), or "kaldi", which is 1127 ln(1 + f / 700).

    Returns:
        float64 array of the same shape.

    >>> hz_to_mel([0.0, 1000.0]).round(6).tolist()
    [0.0, 15.0]
    """
    _check_scale(mel_scale)
    hz = np.asarray(frequencies, dtype=np.float64)
    if mel_scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    if mel_scale == "kaldi":
        return 1127.0 * np.log1p(hz / 700.0)
    logarithmic = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz >= _BREAK_HZ, logarithmic, hz / _LINEAR_HZ_PER_MEL)


def mel_to_hz(mels: npt.ArrayLike, *, mel_scale: str = "slaney") -> np.ndarray:
    """Convert the mel scale to frequencies in Hz, in float64, like `librosa.mel_to_hz`.

    The inverse of `hz_to_mel`.

    Args:
        mels: places on the mel scale, >= 0, of any shape.
        mel_scale: "slaney", "htk" or "kaldi".

    Returns:
        float64 array of the same shape.

    >>> mel_to_hz([0.0, 15.0]).round(6).tolist()
    [0.0, 1000.0]
    """
    _check_scale(mel_scale)
    mel = np.asarray(mels, dtype=np.float64)
    if mel_scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    if mel_scale == "kaldi":
        return 700.0 * np.expm1(mel / 1127.0)
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel >= _BREAK_MEL, logarithmic, mel * _LINEAR_HZ_PER_MEL)


def mel_frequencies(n: int, *, f_min: float, f_max: float, mel_scale: str = "slaney") -> np.ndarray:
    """Return frequencies in Hz that are evenly spaced on the mel scale, in float64.

    Args:
        n: how many.
        f_min: Hz, the first.
        f_max: Hz, the last.
        mel_scale: "slaney", "htk" or "kaldi".

    Returns:
        float64 array of shape (n,).

    >>> mel_frequencies(3, f_min=0.0, f_max=400.0).round(3).tolist()
    [0.0, 200.0, 400.0]
    """
    ends = hz_to_mel([f_min, f_max], mel_scale=mel_scale)
    return mel_to_hz(np.linspace(ends[0], ends[1], n), mel_scale=mel_scale)


def _check_bark(bark_scale: str) -> None:
    if bark_scale not in BARK_SCALES:
        raise ValueError(f"bark_scale={bark_scale!r} must be 'traunmuller', 'schroeder' or 'wang'")


def hz_to_bark(frequencies: npt.ArrayLike, *, bark_scale: str = "traunmuller") -> np.ndarray:
    """Convert frequencies in Hz to the bark scale (critical bands), in float64.

    Frequencies are >= 0.

    Args:
        bark_scale: "traunmuller" (Traunmüller 1990, JASA 88, with his corrections below 2 and above 20.1 bark),
            "schroeder" (Schroeder, Atal and Hall 1979: 7 asinh(f / 650)) or "wang" (Wang, Sekey and Gersho 1992, and
            Hermansky's PLP: 6 asinh(f / 600)).

    >>> [float(hz_to_bark(1000.0, bark_scale=scale).round(3)) for scale in BARK_SCALES]
    [8.527, 8.511, 7.703]
    """
    _check_bark(bark_scale)
    hz = np.asarray(frequencies, dtype=np.float64)
    if bark_scale != "traunmuller":
        barks, unit = _ASINH_BARKS[bark_scale]
        return barks * np.arcsinh(hz / unit)
    bark = 26.81 * hz / (1960.0 + hz) - 0.53
    low = _LOW_BARK + _LOW_STRETCH * (bark - _LOW_BARK)
    high = _HIGH_BARK + _HIGH_STRETCH * (bark - _HIGH_BARK)
    return np.where(bark < _LOW_BARK, low, np.where(bark > _HIGH_BARK, high, bark))


def bark_to_hz(barks: npt.ArrayLike, *, bark_scale: str = "traunmuller") -> np.ndarray:
    """Convert the bark scale to frequencies in Hz, in float64.

    The inverse of `hz_to_bark`.

    >>> bark_to_hz(hz_to_bark([50.0, 1000.0, 15000.0])).round(6).tolist()
    [50.0, 1000.0, 15000.0]
    """
    _check_bark(bark_scale)
    bark = np.asarray(barks, dtype=np.float64)
    if bark_scale != "traunmuller":
        scale, unit = _ASINH_BARKS[bark_scale]
        return unit * np.sinh(bark / scale)
    low = _LOW_BARK + (bark - _LOW_BARK) / _LOW_STRETCH
    high = _HIGH_BARK + (bark - _HIGH_BARK) / _HIGH_STRETCH
    plain = np.where(bark < _LOW_BARK, low, np.where(bark > _HIGH_BARK, high, bark))
    return 1960.0 * (plain + 0.53) / (26.28 - plain)


def bark_frequencies(n: int, *, f_min: float, f_max: float, bark_scale: str = "traunmuller") -> np.ndarray:
    """Return frequencies in Hz that are evenly spaced on the bark scale, in float64.

    `n` of them from `f_min` to `f_max`.

    >>> bark_frequencies(3, f_min=100.0, f_max=1000.0, bark_scale="wang").round(1).tolist()
    [100.0, 474.0, 1000.0]
    """
    ends = hz_to_bark([f_min, f_max], bark_scale=bark_scale)
    return bark_to_hz(np.linspace(ends[0], ends[1], n), bark_scale=bark_scale)


def fft_frequencies(sample_rate: float, n_fft: int) -> np.ndarray:
    """Return the center frequencies of FFT bins on the scale of Hz, in float64.

    Those of the `n_fft // 2 + 1` bins of a real FFT.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.

    Returns:
        float64 array of shape (n_fft // 2 + 1,).

    >>> fft_frequencies(8000, 4).tolist()
    [0.0, 2000.0, 4000.0]
    """
    return np.fft.rfftfreq(n_fft, d=1.0 / sample_rate)
