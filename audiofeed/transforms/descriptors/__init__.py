"""Spectral shape, contrast, level and zero crossings."""
