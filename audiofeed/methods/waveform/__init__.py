"""Steps of waveforms before any feature: level and pre-emphasis."""
