"""Short-time spectra: STFT, spectrograms, log-frequency and reassigned spectrograms, time stretching."""
