"""Transforms from waveforms to waveforms, before any feature: level, mean, pre-emphasis."""
