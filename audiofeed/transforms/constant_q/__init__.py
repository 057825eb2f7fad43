"""Constant-Q and variable-Q transforms, their harmonic, hybrid and invertible kin, and inverses."""
