"""Spectral descriptors, levels and zero crossings, frame by frame."""
