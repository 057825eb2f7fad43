"""Definitions of constant-Q transforms: wavelets, the low-pass filters between rates, invertible bands."""
