"""Definitions of spectral descriptors: moments, polynomial fits, contrast bands."""
