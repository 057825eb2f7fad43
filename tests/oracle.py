"""What librosa computes, in float64, wherever librosa computes it."""

from __future__ import annotations

import inspect
import warnings

import librosa
import numpy as np

# The parity tests run beside either version; where they differ, `compat` names the one that is installed.
NEW = int(librosa.__version__.split(".")[0]) >= 1
COMPAT = "librosa-1.0" if NEW else "librosa-0.11"

NUMPY_MODE = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def stft(y, *, n_fft, hop_length, win_length=None, window="hann", center=True, pad_mode="constant"):
    """`librosa.stft`, or where librosa has no answer its definition: pad the clip, then `librosa.stft(center=False)`.

    librosa refuses "wrap", and clips shorter than a frame without centring. With "reflect" and a hop above a quarter of
    the frame it pads a tail too short to be reflected from, and the last frame differs from its own definition.
    """
    settings = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length, "window": window}
    half = n_fft // 2
    tail_frame = (y.shape[-1] + half - n_fft) // hop_length + 1
    short_tail = pad_mode == "reflect" and y.shape[-1] - (tail_frame * hop_length - half) <= half
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips shorter than a frame, which are right all the same
        if center and pad_mode != "circular" and not short_tail:
            return librosa.stft(y, center=True, pad_mode=NUMPY_MODE[pad_mode], **settings)
        if center:
            y = np.pad(y, [(0, 0)] * (y.ndim - 1) + [(half, half)], mode=NUMPY_MODE[pad_mode])
        missing = max(0, n_fft - y.shape[-1])
        y = np.pad(y, [(0, 0)] * (y.ndim - 1) + [(0, missing)])
        return librosa.stft(y, center=False, **settings)


def with_its_peaks(transform, x):
    """A transform of (channels, time) whose decibels are counted from the peaks that librosa counts them from.

    librosa 1.0 takes each channel's own, as ours does of clips; 0.11 that of the array, as ours of one clip's channels.
    """
    return transform(x) if NEW or x.dim() == 1 else transform(x[None])[0]


def random(*shape, seed=0, scale=1.0) -> np.ndarray:
    """Noise that is the same at every call."""
    return np.random.default_rng(seed).standard_normal(shape) * scale


def defaults(function) -> dict[str, object]:
    """What each argument of a function or class is where it is not given."""
    return {name: argument.default for name, argument in inspect.signature(function).parameters.items()}


def relative_error(ours, reference) -> float:
    """||ours - reference|| / ||reference||, and 0 where both are 0."""
    size = np.linalg.norm(reference)
    distance = np.linalg.norm(np.asarray(ours) - reference)
    return float(distance / size) if size else float(distance)
