"""Definitions of features: windows, scales and filters in float64 NumPy."""

from audiofeed.signal.auditory.centered_filters import gaussian_filters, rectangular_filters, triangular_filters
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.scales import fft_frequencies, hz_to_mel, mel_frequencies, mel_to_hz
from audiofeed.signal.windows import get_window

__all__ = [
    "fft_frequencies", "gaussian_filters", "get_window", "hz_to_mel", "mel_filterbank", "mel_frequencies", "mel_to_hz",
    "rectangular_filters", "triangular_filters",
]  # fmt: skip
