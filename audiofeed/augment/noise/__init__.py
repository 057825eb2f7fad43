"""Augmentations that add noise and other sounds to a clip."""
