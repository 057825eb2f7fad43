"""Augmentations that mix clips with others, and their targets with theirs."""
