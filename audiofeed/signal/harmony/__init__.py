"""Definitions of pitch classes, the tonal centroid, and combined frequency and periodicity."""
