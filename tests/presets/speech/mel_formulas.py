"""Mel filters and log-mel spectrograms in float64 NumPy, of nothing in this package."""

from __future__ import annotations

import numpy as np

from tests.transforms.frontends import formulas


def slaney_filters(n_mels: int, n_fft: int, rate: int, top: float) -> np.ndarray:
    """(n_mels, bins): triangles of area 1 on Slaney's scale (Auditory Toolbox, 1998), from 0 Hz."""

    def mel(hz):
        return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4))

    def hertz(mels):
        return np.where(mels < 15, 200 * mels / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))

    edges = hertz(np.linspace(0, float(mel(np.float64(top))), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    low, middle, high = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def htk_filters(n_mels: int, n_fft: int, rate: float, low: float, top: float) -> np.ndarray:
    """(n_mels, bins): triangles of peak 1, straight in Hz, between points even in 2595 log10(1 + f / 700)."""
    ends = 2595 * np.log10(1 + np.array([low, top]) / 700)
    edges = 700 * (10 ** (np.linspace(*ends, n_mels + 2) / 2595) - 1)
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    left, middle, right = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    return np.maximum(0, np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)))


def hann_power(
    x: np.ndarray,
    *,
    n_fft: int,
    hop: int,
    win: int,
    placement: str,
    pad_mode: str = "constant",
    window_at: str = "center",
    symmetric: bool = False,
) -> np.ndarray:
    """|STFT|^2 with a Hann window.  Shape: (time,) -> (bins, frames)."""
    frames = formulas.frames_of(
        x, placement=placement, n_fft=n_fft, hop=hop, win=win, window_at=window_at, pad_mode=pad_mode
    )
    window = formulas.hann(win, symmetric=symmetric)
    return np.abs(formulas.spectrum(formulas.prepared(frames, window, window_at))) ** 2


def whisper(x: np.ndarray, *, n_mels: int = 80, samples: int | None = None, largest: float | None = None) -> np.ndarray:
    """Whisper's log-mel spectrogram, of a clip padded or cut to `samples`; `largest`: one for all clips."""
    if samples is not None:
        x = np.pad(x[:samples], (0, max(0, samples - len(x))))
    power = hann_power(x, n_fft=400, hop=160, win=400, placement="hops", pad_mode="reflect")
    logs = np.log10(np.maximum(slaney_filters(n_mels, 400, 16000, 8000.0) @ power, 1e-10))
    return (np.maximum(logs, (logs.max() if largest is None else largest) - 8) + 4) / 4
