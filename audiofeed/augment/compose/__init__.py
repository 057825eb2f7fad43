"""Augmentations of augmentations: one after another, one of several, one now and then."""
