"""Augmentations of features and of the filters that make them."""
