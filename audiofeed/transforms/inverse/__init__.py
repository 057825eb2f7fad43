"""From spectra, mel spectrograms and cepstra back to what they were computed from."""
