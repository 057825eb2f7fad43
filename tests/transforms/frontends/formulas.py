"""The frames of public training code in float64 NumPy, as that code cuts them: pad, cut, change, weight.

Written from the formulas of each project (torch.stft's centering, Whisper, onsets and frames, HiFi-GAN, Kaldi), and of
nothing in this package: no index is shared with what it tests.
"""

from __future__ import annotations

import numpy as np

NUMPY_MODE = {
    "constant": "constant",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
}


def cut(samples: np.ndarray, size: int, hop: int, count: int) -> np.ndarray:
    """`count` overlapping frames, with zeros where the samples end.  Shape: (time,) -> (count, size)."""
    needed = (count - 1) * hop + size
    samples = np.concatenate([samples, np.zeros(max(0, needed - len(samples)))])
    return np.stack([samples[f * hop : f * hop + size] for f in range(count)])


def extended(x: np.ndarray, before: int, after: int, pad_mode: str) -> np.ndarray:
    return np.pad(x, (before, after), mode=NUMPY_MODE[pad_mode])


def frames_of(
    x: np.ndarray, *, placement: str, n_fft: int, hop: int, win: int, window_at: str, pad_mode: str
) -> np.ndarray:
    """All frames of a clip, (frames, n_fft), before anything is done to them."""
    left = (n_fft - win) // 2 if window_at == "center" else 0
    half = n_fft // 2
    if placement == "but_last_sample":  # onsets and frames: mel(x[:-1])
        x = x[:-1] if len(x) > 1 else x
        placement = "center"
    if placement == "center":  # torch.stft(center=True)
        count = 1 + (len(x) + 2 * half - n_fft) // hop
        return cut(extended(x, half, half, pad_mode), n_fft, hop, count)
    if placement == "hops":  # Whisper: stft(x)[..., :-1] where a hop divides n
        return cut(extended(x, half, n_fft, pad_mode), n_fft, hop, max(1, len(x) // hop))
    if placement == "start":
        return cut(x, n_fft, hop, max(1, 1 + (len(x) - n_fft) // hop))
    if placement == "vocoder":  # HiFi-GAN: F.pad(x, (int((n_fft - hop) / 2),) * 2, "reflect"), center=False
        side = int((n_fft - hop) / 2)
        padded = extended(x, side, side, pad_mode)
        count = 1 + (len(padded) - n_fft) // hop
        if count < 1:  # no code of theirs comes here
            count, padded = 1, extended(x, side, n_fft, pad_mode)
        return cut(padded, n_fft, hop, count)
    # Kaldi: windows of `win` samples, set among zeros of n_fft points
    if placement == "snip_edges":
        windows = cut(x, win, hop, max(1, 1 + (len(x) - win) // hop))
    else:  # feature-window.cc: NumFrames, FirstSampleOfFrame, ExtractWindow
        count = max(1, (len(x) + hop // 2) // hop)
        windows = np.zeros((count, win))
        far = extended(x, win + n_fft, win + n_fft + hop, pad_mode)
        for f in range(count):
            first = hop * f + hop // 2 - win // 2
            windows[f] = far[win + n_fft + first : win + n_fft + first + win]
    return np.pad(windows, [(0, 0), (left, n_fft - win - left)])


def prepared(
    frames: np.ndarray, window: np.ndarray, window_at: str, *, remove_dc: bool = False, preemphasis: float = 0.0
) -> np.ndarray:
    """Kaldi's ProcessWindow: the mean removed, pre-emphasis from the last sample down, the window."""
    n_fft, win = frames.shape[1], len(window)
    left = (n_fft - win) // 2 if window_at == "center" else 0
    out = np.zeros_like(frames)
    for to, frame in zip(out, frames, strict=True):
        own = frame[left : left + win].copy()
        if remove_dc:
            own -= own.sum() / win
        if preemphasis:
            for i in range(win - 1, 0, -1):
                own[i] -= preemphasis * own[i - 1]
            own[0] -= preemphasis * own[0]
        to[left : left + win] = own * window
    return out


def spectrum(frames: np.ndarray) -> np.ndarray:
    """The DFT of each frame.  Shape: (frames, n_fft) -> (bins, frames)."""
    return np.fft.rfft(frames, axis=1).T


def hann(win: int, *, symmetric: bool = False) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / (win - 1 if symmetric else win))
