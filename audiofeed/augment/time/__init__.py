"""Augmentations of a clip's time and pitch."""
