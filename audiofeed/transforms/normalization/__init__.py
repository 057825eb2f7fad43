"""Normalization of features: by constants, by each clip's own mean and deviation, by scale and shift."""
