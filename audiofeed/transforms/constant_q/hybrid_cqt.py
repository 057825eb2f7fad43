"""Cheaper relatives of the constant-Q transform: magnitudes from one spectrum, for all bins or for the high ones."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.methods.filterbank import Apply, Wanted
from audiofeed.methods.frames import Framing, Workspace
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.methods.short_time.table import short_time_powers
from audiofeed.methods.spectrum import raise_power
from audiofeed.signal.constant_q.wavelets import WaveletBank, least_power_of_two, wavelet_spectra
from audiofeed.signal.windows import get_window
from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.wavelet_transform import WaveletTransform

ARGUMENTS = (
    "sample_rate",
    "hop_length",
    "f_min",
    "n_bins",
    "bins_per_octave",
    "tuning",
    "filter_scale",
    "norm",
    "window",
    "pad_mode",
    "sparsity",
    "scale",
    "power",
)
# bins that are multiplied together, with the span of FFT bins that any of them reaches
_GROUP = 12


def spectral_weights(bank: WaveletBank, n_fft: int, sparsity: float, scale: bool) -> np.ndarray:
    """How much of each FFT bin's magnitude each wavelet takes, in float64.  Shape: (bins, n_fft // 2 + 1)."""
    weights = np.abs(wavelet_spectra(bank, range(bank.n_bins), 1.0, n_fft, sparsity))
    gains = bank.lengths if scale else bank.lengths**1.5
    return weights * (gains / n_fft**1.5)[:, None]


def spans(weights: np.ndarray) -> tuple[tuple[int, int, int, int], ...]:
    """(first bin, end bin, first FFT bin, end FFT bin) of groups of rows, where their weights are not 0."""
    found = []
    for first in range(0, len(weights), _GROUP):
        used = np.flatnonzero(weights[first : first + _GROUP].any(axis=0))
        end = min(first + _GROUP, len(weights))
        found.append((first, end, int(used[0]), int(used[-1]) + 1) if used.size else (first, end, 0, 1))
    return tuple(found)


def packed_weights(
    bank: WaveletBank, n_fft: int, sparsity: float, scale: bool, tiles: tuple[tuple[int, int, int, int], ...]
) -> np.ndarray:
    """The weights inside the spans, one after another.  Shape: (all tiles,)."""
    weights = spectral_weights(bank, n_fft, sparsity, scale)
    return np.concatenate([weights[first:end, low:high].ravel() for first, end, low, high in tiles])


class PseudoCQT(WaveletTransform):
    """Magnitudes of one short-time spectrum, weighed by those of constant-Q wavelets: `librosa.pseudo_cqt`.

    All bins share one Hann window, as long as the longest wavelet: low bins are as in a constant-Q transform, high ones
    are as blurred in time as the low ones.

    Args:
        sample_rate, hop_length, f_min, n_bins, bins_per_octave, tuning, filter_scale, norm, window, pad_mode, sparsity,
            scale: as in `CQT`.
        power: of the result, > 0.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa as `CQT` does.

    >>> PseudoCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    """

    ARGUMENTS = ARGUMENTS

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_bins: int | None = 84,
        bins_per_octave: int = 12,
        tuning: float | None = 0.0,
        filter_scale: float = 1.0,
        norm: float | None = 1.0,
        window: str | float | tuple = "hann",
        pad_mode: str = "constant",
        sparsity: float = 0.01,
        scale: bool = True,
        power: float = 1.0,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            hop_length=hop_length,
            f_min=f_min,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
            filter_scale=filter_scale,
            norm=norm,
            window=window,
            pad_mode=pad_mode,
            sparsity=sparsity,
            scale=scale,
            power=check_magnitude(power),
        )
        n_fft = max(least_power_of_two(float(self.bank.lengths.max())), 2 * least_power_of_two(self.hop_length))
        self.n_fft = n_fft
        self._framing = Framing(n_fft=n_fft, hop_length=self.hop_length, center=True, pad_mode=pad_mode)
        settings = (self.bank, n_fft, sparsity, scale)
        self._tiles = spans(spectral_weights(*settings))
        self.define("analysis_window", functools.partial(get_window, "hann", n_fft))
        self.define("weights", functools.partial(packed_weights, *settings, self._tiles))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples."""
        return self._framing.count(lengths)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        window = self.filter_like("analysis_window", waveform)
        wanted = [Wanted(1.0, (Apply(self._finish),))]
        return short_time_powers(waveform, lengths, self._framing, window, wanted=wanted, graph=graph)[0]

    def _finish(self, magnitudes: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Shape: (..., frames, FFT bins) -> (..., frames, bins)."""
        *leading, n = magnitudes.shape
        flat, weights = magnitudes.reshape(-1, n), self.filter_like("weights", magnitudes)
        out = None if workspace is None else workspace.take("bins", len(flat), self.n_bins)
        parts, start = [], 0
        for first, end, low, high in self._tiles:
            size = (end - first) * (high - low)
            tile = weights[start : start + size].view(end - first, high - low).t()
            start += size
            if out is None:
                parts.append(matmul(flat[:, low:high], tile))
            else:
                matmul_into(out[:, first:end], flat[:, low:high], tile)
        found = torch.cat(parts, dim=1) if out is None else out
        return _raised(found, self.power, in_place=out is not None).view(*leading, -1)


class HybridCQT(WaveletTransform):
    """Magnitudes of the constant-Q transform, `librosa.hybrid_cqt`: high bins by `PseudoCQT`, the others by `CQT`.

    High are the bins whose wavelets, rounded up to a power of two, are shorter than two hops.

    Args:
        sample_rate, hop_length, f_min, n_bins, bins_per_octave, tuning, filter_scale, norm, window, pad_mode, sparsity,
            scale: as in `CQT`.
        power: of the magnitude, > 0.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa as `CQT` does.

    >>> HybridCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    """

    ARGUMENTS = ARGUMENTS

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_bins: int | None = 84,
        bins_per_octave: int = 12,
        tuning: float | None = 0.0,
        filter_scale: float = 1.0,
        norm: float | None = 1.0,
        window: str | float | tuple = "hann",
        pad_mode: str = "constant",
        sparsity: float = 0.01,
        scale: bool = True,
        power: float = 1.0,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            hop_length=hop_length,
            f_min=f_min,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
            filter_scale=filter_scale,
            norm=norm,
            window=window,
            pad_mode=pad_mode,
            sparsity=sparsity,
            scale=scale,
            power=check_magnitude(power),
        )
        high = np.array([least_power_of_two(length) < 2 * self.hop_length for length in self.bank.lengths])
        self.n_pseudo = int(high.sum())
        same = {name: getattr(self, name) for name in ARGUMENTS if name not in ("f_min", "n_bins", "tuning")}
        self.full: CQT | None = None
        self.pseudo: PseudoCQT | None = None
        if self.n_pseudo < self.n_bins:
            self.full = CQT(f_min=self.bank.f_min, n_bins=self.n_bins - self.n_pseudo, **same)
        if self.n_pseudo:
            lowest = float(self.bank.frequencies[high].min())
            self.pseudo = PseudoCQT(f_min=lowest, n_bins=self.n_pseudo, **same)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples: those that both parts have."""
        counts = [part.frame_lengths(lengths) for part in (self.full, self.pseudo) if part is not None]
        return torch.minimum(counts[0], counts[-1])

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        parts = [part.compute(waveform, lengths, graph=graph) for part in (self.full, self.pseudo) if part is not None]
        frames = min(part.shape[-1] for part in parts)
        return torch.cat([part[..., :frames] for part in parts], dim=1)


def check_magnitude(power: float) -> float:
    """The exponent of what has magnitudes only."""
    if power is None:
        raise ValueError("power=None must be a number > 0: there are no complex values here; use CQT for them")
    return power


def _raised(magnitudes: torch.Tensor, power: float | None, *, in_place: bool) -> torch.Tensor:
    """Magnitudes to a power, with gradient 0 (not NaN) where they are 0."""
    if power == 1.0:
        return magnitudes
    assert power is not None
    return magnitudes.pow_(power) if in_place else raise_power(magnitudes.square(), power)
