"""The settings of Kaldi's features: what its options mean, as arguments of the transforms they are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from audiofeed.arguments.checks import check_choice, check_count, check_finite, check_not_negative, check_positive
from audiofeed.arguments.setting_groups import argument
from audiofeed.signal.auditory.vocal_tract import warped_mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram, MelSpectrogram

WINDOWS = ("povey", "hanning", "hamming", "rectangular", "blackman", "hann", "sine")
# what stands for 1.0 where samples are integers of 16 bits
FULL_SCALE = 32768.0
# std::numeric_limits<float>::epsilon(), below which no value goes into a logarithm
EPSILON = 2.0**-23


class KaldiOptions(TypedDict, total=False):
    """Keyword arguments of the presets of Kaldi's features."""

    sample_rate: float
    num_mel_bins: int
    frame_length: float
    frame_shift: float
    window_type: str
    blackman_coeff: float
    preemphasis_coefficient: float
    remove_dc_offset: bool
    round_to_power_of_two: bool
    snip_edges: bool
    low_freq: float
    high_freq: float
    vtln_low: float
    vtln_high: float
    vtln_warp: float
    use_energy: bool
    energy_floor: float
    raw_energy: bool
    htk_compat: bool
    subtract_mean: bool
    mel_floor: float
    full_scale: float


@dataclass(frozen=True, kw_only=True)
class Kaldi:
    """Settings of Kaldi's features, by the names of its options."""

    sample_rate: float = argument(16000, "Hz.")
    num_mel_bins: int = argument(23, "number of filters, 3 or more.")
    frame_length: float = argument(25.0, "ms of a frame, > 0; rounded down to samples, of which there are 2 or more.")
    frame_shift: float = argument(10.0, "ms from frame to frame, > 0; rounded down to samples, 1 or more.")
    window_type: str = argument(
        "povey",
        '"povey" (Hann to the power of 0.85), "hanning" (the symmetric Hann), "hamming", "rectangular", "blackman", '
        '"hann" (the periodic one) or "sine".',
    )
    blackman_coeff: float = argument(0.42, 'the constant term of window_type="blackman".')
    preemphasis_coefficient: float = argument(0.97, "within each frame, 0 to 1; 0 is none.")
    remove_dc_offset: bool = argument(True, "each frame less its mean first.")
    round_to_power_of_two: bool = argument(
        True, "zeros behind the frame up to a power of two for the FFT. False: the frame's own samples."
    )
    snip_edges: bool = argument(
        True,
        "only frames that lie inside the clip, 1 + (n - frame) // shift. False: (n + shift / 2) // shift, and the clip "
        "is reflected at its ends.",
    )
    low_freq: float = argument(20.0, "Hz, the lower edge of the lowest filter, >= 0.")
    high_freq: float = argument(
        0.0, "Hz, the upper edge of the highest filter; 0 or below: so much below half the sample rate."
    )
    vtln_low: float = argument(100.0, "Hz, the lower inflection point of the warped frequencies, above low_freq.")
    vtln_high: float = argument(
        -500.0, "Hz, the upper inflection point; below 0: so much below high_freq. Both matter only with vtln_warp."
    )
    vtln_warp: float = argument(1.0, "factor of the warped frequencies (vocal tract length), > 0; 1.0: not warped.")
    use_energy: bool = argument(False, "the logarithm of each frame's energy is a bin as well: see the function.")
    energy_floor: float = argument(
        1.0, "of the energy of samples of `full_scale`, >= 0; 0.0 is float32's epsilon. With use_energy."
    )
    raw_energy: bool = argument(True, "the energy before pre-emphasis and window. False: after them. With use_energy.")
    htk_compat: bool = argument(False, "the energy (or coefficient 0) comes last, as HTK has it.")
    subtract_mean: bool = argument(False, "each bin less its mean over the clip's frames.")
    mel_floor: float = argument(EPSILON, "the smallest value a logarithm sees, of samples of `full_scale`, > 0.")
    full_scale: float = argument(
        FULL_SCALE,
        "what Kaldi's code is given for a sample of 1.0, > 0: 32768.0 for 16-bit integers, 1.0 where it is given "
        "samples as they are.",
    )

    def __post_init__(self) -> None:
        check_count("num_mel_bins", self.num_mel_bins, "an integer number of filters, 1 or more")
        for name in ("sample_rate", "frame_length", "frame_shift", "vtln_warp", "mel_floor", "full_scale"):
            check_positive(name, getattr(self, name))
        check_choice("window_type", self.window_type, WINDOWS)
        for name in ("blackman_coeff", "high_freq", "vtln_low", "vtln_high"):
            check_finite(name, getattr(self, name))
        for name in ("low_freq", "energy_floor"):
            check_not_negative(name, getattr(self, name))
        if not 0.0 <= self.preemphasis_coefficient <= 1.0:
            raise ValueError(f"preemphasis_coefficient={self.preemphasis_coefficient!r} must be 0 to 1; 0 is none")
        if self.win_length < 2 or self.hop_length < 1:
            raise ValueError(
                f"frame_length={self.frame_length!r} and frame_shift={self.frame_shift!r} ms must be 2 and 1 samples "
                f"or more at sample_rate={self.sample_rate!r}, and are {self.win_length} and {self.hop_length}"
            )
        if self.n_fft % 2:
            raise ValueError(
                f"frame_length={self.frame_length!r} ms must be an even number of samples without "
                f"round_to_power_of_two, and is {self.win_length}; use round_to_power_of_two=True"
            )
        if not self.low_freq < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                f"high_freq={self.high_freq!r} Hz must lie above low_freq={self.low_freq!r} and not above half of "
                f"sample_rate={self.sample_rate!r}; 0.0 is that half"
            )

    # ---------------------------------------------------------------- what the options come to

    @property
    def win_length(self) -> int:
        """Samples of a frame of Kaldi's features."""
        return int(self.sample_rate * self.frame_length * 0.001)

    @property
    def hop_length(self) -> int:
        """Samples from frame to frame of Kaldi's features."""
        return int(self.sample_rate * self.frame_shift * 0.001)

    @property
    def n_fft(self) -> int:
        """Points of the FFT of Kaldi's features."""
        return 1 << (self.win_length - 1).bit_length() if self.round_to_power_of_two else self.win_length

    @property
    def f_max(self) -> float:
        """Hz, the upper edge of the highest filter of Kaldi's features."""
        return self.high_freq if self.high_freq > 0 else self.sample_rate / 2 + self.high_freq

    def log_of_scale(self, power: float = 2.0) -> float:
        """Return what the scale of the samples adds to a logarithm of Kaldi's features."""
        return power * math.log(self.full_scale)

    def window(self) -> dict[str, Any]:
        """Return the window of Kaldi's features as arguments of a transform."""
        n = self.win_length
        at = np.arange(n)
        if self.window_type == "blackman":
            angle, rest = 2 * np.pi * at / (n - 1), 0.5 - self.blackman_coeff
            return {"window": self.blackman_coeff - 0.5 * np.cos(angle) + rest * np.cos(2 * angle)}
        if self.window_type == "sine":
            return {"window": np.sin(np.pi * at / (n - 1))}
        names = {"hanning": "hann", "rectangular": "boxcar"}
        name = names.get(self.window_type, self.window_type)
        return {"window": name, "periodic": self.window_type == "hann"}

    def frames(self, *, shaped: bool = True) -> dict[str, Any]:
        """Return the frames of Kaldi's features as arguments of a transform.

        Args:
            shaped: with pre-emphasis and window; False: as they are, but for the mean.
        """
        frames: dict[str, Any] = {
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "win_length": self.win_length,
            "hop_length": self.hop_length,
            "window_at": "left",
            "remove_dc": self.remove_dc_offset,
        }
        frames |= (
            {"placement": "snip_edges"} if self.snip_edges else {"placement": "keep_edges", "pad_mode": "symmetric"}
        )
        if not shaped:
            return {**frames, "window": "boxcar"}
        return {**frames, "preemphasis": self.preemphasis_coefficient, **self.window()}

    def filters(self) -> dict[str, Any]:
        """Return the filters of Kaldi's features as arguments of a transform."""
        span = {"f_min": float(self.low_freq), "f_max": float(self.f_max)}
        if self.vtln_warp == 1.0:
            return {"n_mels": self.num_mel_bins, "mel_scale": "kaldi", "norm": None, **span}
        top = self.vtln_high if self.vtln_high >= 0 else self.f_max + self.vtln_high
        weights = warped_mel_filterbank(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.num_mel_bins,
            warp=self.vtln_warp,
            low=self.vtln_low,
            high=top,
            **span,
        )
        return {"filters": weights}

    def log_mel(self, *, power: float = 2.0) -> LogMelSpectrogram:
        """Return the logarithms of Kaldi's filter banks, of samples whose full scale is 1."""
        floor = self.mel_floor / self.full_scale**power
        return LogMelSpectrogram(**self.frames(), **self.filters(), power=power, log="ln", floor=floor)

    def mel(self, *, power: float = 2.0) -> MelSpectrogram:
        """Return Kaldi's filter banks without a logarithm, of samples whose full scale is 1."""
        return MelSpectrogram(**self.frames(), **self.filters(), power=power)

    def log_energy(self) -> LogMelSpectrogram:
        """Return the logarithm of each frame's energy of Kaldi's features, of samples whose full scale is 1.

        By Parseval's theorem a frame's energy is a sum of its powers, and so a filter over them.
        """
        weights = np.full((1, self.n_fft // 2 + 1), 2.0 / self.n_fft)
        weights[0, 0] = weights[0, -1] = 1.0 / self.n_fft
        floor = max(EPSILON, self.energy_floor) / self.full_scale**2
        return LogMelSpectrogram(**self.frames(shaped=not self.raw_energy), filters=weights, log="ln", floor=floor)
