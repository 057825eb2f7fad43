"""Signals that are the same at every call."""

from __future__ import annotations

import numpy as np
import torch


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """White noise of variance 1."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def single_noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """The same in float32."""
    return noise(*shape, seed=seed, dtype=torch.float32)


def band_noise(*shape: int, low: float, high: float, sample_rate: float = 8000, seed: int = 0) -> torch.Tensor:
    """The part of white noise between two frequencies in Hz."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(shape))
    frequencies = np.fft.rfftfreq(shape[-1], 1 / sample_rate)
    return torch.from_numpy(
        np.fft.irfft(np.where((frequencies >= low) & (frequencies <= high), spectrum, 0), shape[-1])
    )
