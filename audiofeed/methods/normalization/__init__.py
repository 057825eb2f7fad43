"""Normalization of features: the moments of a data set, and each clip by its own."""
