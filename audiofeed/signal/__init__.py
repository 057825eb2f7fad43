"""Definitions of features: windows, scales and filters in float64 NumPy."""

from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.scales import fft_frequencies, hz_to_mel, mel_frequencies, mel_to_hz
from audiofeed.signal.windows import get_window

__all__ = ["fft_frequencies", "get_window", "hz_to_mel", "mel_filterbank", "mel_frequencies", "mel_to_hz"]
