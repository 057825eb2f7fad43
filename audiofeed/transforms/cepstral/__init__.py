"""Cepstral coefficients, deltas, and mean and variance normalization."""
