"""What is done to a waveform before any feature: its level, its mean, pre-emphasis."""
