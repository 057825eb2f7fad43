"""Definitions of short-time transforms: bases, frequency grids, windows of reassignment."""
