"""Cosine transforms over bins, deltas, and normalization over time."""
