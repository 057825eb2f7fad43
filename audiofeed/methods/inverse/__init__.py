"""Overlap-add, Griffin-Lim and non-negative least squares."""
