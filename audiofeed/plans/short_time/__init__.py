"""Plans of short-time transforms: an oversampled FFT and its interpolation."""
