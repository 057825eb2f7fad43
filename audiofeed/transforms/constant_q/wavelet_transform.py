"""What every transform by wavelets of constant relative bandwidth shares: settings, frames, tuning per clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audiofeed.arguments.checks import check_count, check_positive, check_rate
from audiofeed.methods.constant_q.tuning import estimate_tuning
from audiofeed.methods.filterbank import Wanted
from audiofeed.methods.frames import PAD_MODES, Framing
from audiofeed.methods.short_time.table import short_time_powers
from audiofeed.signal.constant_q.tuning import pitch_bins, tuning_edges
from audiofeed.signal.constant_q.wavelets import C1, INTERVALS, WaveletBank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.contract.transform import Transform, in_full_precision

# the frames of `librosa.estimate_tuning`
_TUNING_FRAMES = Framing(n_fft=2048, hop_length=512, center=True, pad_mode="constant")
# for how many tunings the kernels are kept, of the 100 that there are
_MOST_TUNINGS = 16


class WaveletTransform(Transform):
    """Settings of the wavelets (`bank`), centred frames, and with `tuning=None` a bank for each clip.

    A subclass names its arguments in `ARGUMENTS`, and keeps each as an attribute of that name.
    """

    ARGUMENTS: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int,
        f_min: float | None,
        n_bins: int | None,
        bins_per_octave: int,
        tuning: float | None,
        filter_scale: float,
        norm: float | None,
        window: str | float | tuple,
        pad_mode: str,
        sparsity: float,
        scale: bool,
        power: float | None,
        gamma: float | None = 0.0,
        intervals: str | Sequence[float] = "equal",
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = check_count("hop_length", hop_length)
        self.f_min = C1 if f_min is None else f_min
        self.tuning = tuning
        self.intervals = intervals if isinstance(intervals, str) else _check_ratios(intervals)
        self.bins_per_octave = check_count("bins_per_octave", bins_per_octave, "a whole number of bins, 1 or more")
        if not isinstance(self.intervals, str):
            self.bins_per_octave = len(self.intervals)
        self.gamma, self.filter_scale, self.norm, self.window = gamma, filter_scale, norm, window
        self.pad_mode, self.sparsity, self.scale, self.power = pad_mode, sparsity, scale, power
        self._check_settings()
        self.n_bins = (
            self._most_bins() if n_bins is None else check_count("n_bins", n_bins, "a whole number of bins, 1 or more")
        )
        self.bank = self._bank(self.n_bins, 0.0 if tuning is None else tuning)
        # whatever tuning may be found, the highest bin must stay below half the rate
        highest = self.bank if tuning is not None else self._bank(self.n_bins, 0.5)
        if highest.cutoff > sample_rate / 2:
            raise ValueError(
                f"n_bins={n_bins} bins from f_min={self.f_min:g} Hz reach {highest.cutoff:.6g} Hz with the bandwidth "
                f"of the highest, and must stay below half of sample_rate={sample_rate}; use at most "
                f"{self._most_bins()} bins (n_bins=None takes that many), or a lower f_min"
            )
        self._tuned: dict[float, WaveletTransform] = {}
        if tuning is None:
            self.define("tuning_window", _tuning_window)
            self.define("tuning_edges", tuning_edges)

    def _check_settings(self) -> None:
        check_rate(self.sample_rate, "the bins lie in Hz")
        check_positive("f_min", self.f_min, "a positive number of Hz")
        check_positive("filter_scale", self.filter_scale, "a number > 0")
        if isinstance(self.intervals, str) and self.intervals not in INTERVALS:
            raise ValueError(f"intervals={self.intervals!r} must be one of {INTERVALS}, or ratios in [1, 2)")
        if self.tuning is not None and not math.isfinite(self.tuning):
            raise ValueError(f"tuning={self.tuning!r} must be a finite number of bins, or None to estimate it")
        if self.gamma is not None and not (self.gamma >= 0 and math.isfinite(self.gamma)):
            raise ValueError(
                f"gamma={self.gamma!r} must be a number of Hz >= 0, or None for bandwidths after the ear's"
            )
        norm = self.norm
        if norm is not None and (isinstance(norm, str) or not (norm >= 0 or norm == -math.inf)):
            raise ValueError(f"norm={norm!r} must be a number >= 0, math.inf, -math.inf, or None")
        if not isinstance(self.window, str | float | int | tuple):
            raise ValueError(
                f"window={self.window!r} must be a name, a (name, parameter) tuple or a Kaiser beta: each wavelet has "
                "a window of its own length"
            )
        get_window(self.window, 16)
        if self.pad_mode not in PAD_MODES:
            known = {"edge": "replicate", "wrap": "circular", "zeros": "constant"}.get(self.pad_mode)
            raise ValueError(
                f"pad_mode={self.pad_mode!r} must be one of {PAD_MODES}"
                + (f"; it is called {known!r} here" if known else "")
            )
        if not 0.0 <= self.sparsity < 1.0:
            raise ValueError(f"sparsity={self.sparsity!r} must lie in [0, 1); use 0.0 to keep all of each wavelet")
        if not isinstance(self.scale, bool):
            raise ValueError(f"scale={self.scale!r} must be True or False")
        if self.power is not None and not (self.power > 0 and math.isfinite(self.power)):
            raise ValueError(f"power={self.power!r} must be a number > 0, or None for complex values")

    def _bank(self, n_bins: int, tuning: float) -> WaveletBank:
        return WaveletBank(
            sample_rate=float(self.sample_rate),  # type: ignore[arg-type]
            f_min=float(self.f_min) * 2.0 ** (tuning / self.bins_per_octave),
            n_bins=n_bins,
            bins_per_octave=self.bins_per_octave,
            intervals=self.intervals,
            gamma=self.gamma,
            filter_scale=float(self.filter_scale),
            norm=self.norm,
            window=self.window,
        )

    def _most_bins(self) -> int:
        """As many bins as stay below half the rate, for any tuning if that is to be estimated."""
        rate = self.rate("bins")
        tuning = 0.5 if self.tuning is None else self.tuning
        most = math.ceil(self.bins_per_octave * max(0.0, math.log2(rate / 2 / self.f_min)) + self.bins_per_octave)
        while most > 0 and self._bank(most, tuning).cutoff > rate / 2:
            most -= 1
        if most == 0:
            raise ValueError(
                f"f_min={self.f_min:g} Hz must leave a bin below half of sample_rate={rate}; use a lower f_min"
            )
        return most

    # ---------------------------------------------------------------- frames and bins

    def times(self, n_frames: int) -> torch.Tensor:
        """The centre of each frame in seconds, float64.  Shape: (n_frames,)."""
        rate = self.rate("bins")
        return torch.arange(n_frames, dtype=torch.float64) * self.hop_length / rate

    @property
    def frequencies(self) -> torch.Tensor:
        """The centre of each bin in Hz, float64; with `tuning=None` those of a clip in tune.  Shape: (bins,)."""
        return torch.from_numpy(self.bank.frequencies.copy())

    # ---------------------------------------------------------------- a tuning for each clip

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Features of one clip or of a batch: see `Transform.forward`."""
        if self.tuning is not None:
            return super().forward(waveform, lengths)
        self.check_waveform(waveform)
        tunings = self._estimate(waveform, lengths)
        if waveform.dim() == 1:
            return self._fitted(self._with_tuning(tunings[0])(waveform, lengths), waveform.shape[-1])
        parts, order = [], []
        for tuning in sorted(set(tunings)):
            clips = [i for i, found in enumerate(tunings) if found == tuning]
            own = None if lengths is None else lengths[clips]
            parts.append(self._fitted(self._with_tuning(tuning)(waveform[clips], own), waveform.shape[-1]))
            order += clips
        return torch.cat(parts)[np.argsort(order).tolist()]

    def _fitted(self, features: torch.Tensor, time: int) -> torch.Tensor:
        """The frames that this transform promises: a tuned one may fall short of its rate earlier or later."""
        frames = int(self.frame_lengths(torch.tensor(time)))
        return torch.nn.functional.pad(features, (0, frames - features.shape[-1]))

    def _estimate(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> list[float]:
        """The tuning of each clip, all its channels together."""
        rows, row_lengths, leading = self.rows_of(waveform.detach(), lengths, graph=False)
        batch = leading[0] if leading else 1
        with in_full_precision(rows.device, graph=False):
            window = self.filter_like("tuning_window", rows)
            powers = short_time_powers(rows, row_lengths, _TUNING_FRAMES, window, wanted=[Wanted(1.0)], graph=False)[0]
            frames = None if row_lengths is None else _TUNING_FRAMES.count(row_lengths[:: len(rows) // batch])
            rate = float(self.sample_rate)  # type: ignore[arg-type]
            found = estimate_tuning(
                powers.unflatten(0, (batch, -1)),
                frames,
                self.filter_like("tuning_edges", rows),
                bins=pitch_bins(sample_rate=rate, n_fft=_TUNING_FRAMES.n_fft),
                hertz=rate / _TUNING_FRAMES.n_fft,
                n_chroma=self.bins_per_octave,
            )
        # hundredths of a bin: whatever the dtype they were found in, equal ones share their kernels
        return [round(tuning, 2) for tuning in found.tolist()]

    def _with_tuning(self, tuning: float) -> WaveletTransform:
        if tuning not in self._tuned:
            while len(self._tuned) >= _MOST_TUNINGS:
                del self._tuned[next(iter(self._tuned))]
            settings = {name: getattr(self, name) for name in self.ARGUMENTS}
            self._tuned[tuning] = type(self)(**{**settings, "tuning": tuning})
        return self._tuned[tuning]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_tuned": {}}

    def extra_repr(self) -> str:
        """All settings."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.ARGUMENTS)


def _tuning_window() -> np.ndarray:
    return get_window("hann", _TUNING_FRAMES.n_fft)


def _check_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    checked = tuple(float(ratio) for ratio in ratios)
    if not checked or not all(1.0 <= ratio < 2.0 for ratio in checked) or len(set(checked)) < len(checked):
        raise ValueError(f"intervals={ratios!r} must be a name, or different ratios in [1, 2)")
    return checked
