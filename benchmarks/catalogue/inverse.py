"""Contests of the transforms back to waveforms and spectra."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import torch
import torchaudio

from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from benchmarks.catalogue import COMPAT, Contest

RATE, CLIPS, SECONDS = 16000, 16, 10


def _spectrum(clips: int, seconds: float, config: dict[str, int]) -> np.ndarray:
    """Spectra laid out clip by clip and frame by frame, as those of torch.stft and of librosa.stft of one clip."""
    noise = np.random.default_rng(0).standard_normal((clips, int(RATE * seconds)))
    return np.ascontiguousarray(librosa.stft(noise, **config).swapaxes(1, 2)).swapaxes(1, 2)


def contests() -> Iterator[Contest]:
    """One contest for each transform."""
    yield _inverse_stft({"n_fft": 400, "hop_length": 160})
    yield _inverse_stft({"n_fft": 1024, "hop_length": 256})
    yield _time_stretch()
    yield _griffin_lim()
    yield from _inverse_mel()


def _inverse_stft(config: dict[str, int]) -> Contest:
    exact = _spectrum(CLIPS, SECONDS, config)
    single = exact.astype(np.complex64)
    tensor = torch.from_numpy(single)
    ours = InverseSTFT(**config)
    window = torch.hann_window(config["n_fft"])
    theirs = torchaudio.transforms.InverseSpectrogram(**config)
    return Contest(
        transform="InverseSTFT",
        setting=f"{config['n_fft']}/{config['hop_length']}, {CLIPS} clips of {SECONDS} s at {RATE} Hz",
        calls={
            "audiofeed": lambda: ours(tensor),
            "torchaudio": lambda: theirs(tensor),
            "torch.istft": lambda: torch.istft(tensor, window=window, **config),
            "librosa": lambda: librosa.istft(single, **config),
        },
        expected=librosa.istft(exact, **config),
        note="nnAudio2's iSTFT is a convolution with kernels of n_fft x n_fft",
    )


def _time_stretch() -> Contest:
    config, rate = {"n_fft": 1024, "hop_length": 256}, 1.3
    exact = _spectrum(CLIPS, SECONDS, config)
    single = exact.astype(np.complex64)
    tensor = torch.from_numpy(single)
    ours = TimeStretch(rate, compat=COMPAT)
    theirs = torchaudio.transforms.TimeStretch(hop_length=256, n_freq=513, fixed_rate=rate)
    return Contest(
        transform="TimeStretch",
        setting=f"1024/256, rate {rate}, {CLIPS} clips of {SECONDS} s at {RATE} Hz",
        calls={
            "audiofeed": lambda: ours(tensor),
            "torchaudio": lambda: theirs(tensor),
            "librosa": lambda: librosa.phase_vocoder(single, rate=rate, hop_length=256),
        },
        expected=librosa.phase_vocoder(exact, rate=rate, hop_length=256),
        note="the peers add up whole turns in float32, which loses the phase",
    )


def _griffin_lim() -> Contest:
    """From zero phases and for a few iterations, so that all of them are to give one signal; 4 clips of 5 s."""
    config, n_iter = {"n_fft": 1024, "hop_length": 256}, 8
    exact = np.abs(_spectrum(4, 5, config))
    single = exact.astype(np.float32)
    tensor = torch.from_numpy(single)
    ours = GriffinLim(**config, n_iter=n_iter, momentum=0.99, rand_init=False)
    theirs = torchaudio.transforms.GriffinLim(**config, n_iter=n_iter, momentum=0.99, power=1.0, rand_init=False)

    def reference(magnitude: np.ndarray) -> np.ndarray:
        return librosa.griffinlim(magnitude, n_iter=n_iter, momentum=0.99, init=None, dtype=magnitude.dtype, **config)

    return Contest(
        transform="GriffinLim",
        setting=f"1024/256, {n_iter} iterations, 4 clips of 5 s at {RATE} Hz",
        calls={
            "audiofeed": lambda: ours(tensor),
            "torchaudio": lambda: theirs(tensor),
            "librosa": lambda: reference(single),
        },
        expected=reference(exact),
        definitions={"torchaudio": None},
        note="torchaudio reflects the ends; iterations amplify rounding; nnAudio2's fails on torch 2",
    )


def _inverse_mel() -> Iterator[Contest]:
    bank = {"sample_rate": RATE, "n_mels": 80}
    filters = mel_filterbank(n_fft=512, **bank)
    powers = np.abs(_spectrum(2, 5, {"n_fft": 512, "hop_length": 160})) ** 2
    mel = np.einsum("mb,cbf->cmf", filters, powers)
    single = mel.astype(np.float32)
    tensor = torch.from_numpy(single)
    ours, clipped = InverseMel(n_fft=512, **bank), InverseMel(n_fft=512, solver="lstsq", **bank)
    theirs = torchaudio.transforms.InverseMelScale(257, norm="slaney", mel_scale="slaney", driver="gelsd", **bank)
    # what is compared is how near the mels of the results come, since many spectra have the same mels
    yield Contest(
        transform="InverseMel",
        setting=f"nnls, 80 mels of 257 bins, 2 clips of 5 s at {RATE} Hz",
        calls={
            "audiofeed": lambda: np.einsum("mb,cbf->cmf", filters, ours(tensor).numpy()),
            "librosa": lambda: np.einsum("mb,cbf->cmf", filters, librosa.util.nnls(filters.astype(np.float32), single)),
        },
        expected=mel,
    )
    yield Contest(
        transform="InverseMel",
        setting=f"lstsq, 80 mels of 257 bins, 2 clips of 5 s at {RATE} Hz",
        calls={
            "audiofeed": lambda: np.einsum("mb,cbf->cmf", filters, clipped(tensor).numpy()),
            "torchaudio": lambda: np.einsum("mb,cbf->cmf", filters, theirs(tensor).numpy()),
        },
        expected=mel,
        note="lstsq, torchaudio's problem, has no constraint and puts 0 where a result is negative: hence its distance",
    )
