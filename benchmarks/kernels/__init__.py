"""Kernels for a card, checked and timed there: each file is a command of its own."""
