"""Augmentations of a clip's level and of the values of its samples."""
