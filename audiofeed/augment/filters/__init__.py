"""Augmentations that filter a clip: rooms, and filters of a few coefficients."""
