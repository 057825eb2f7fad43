"""Onset strength and tempograms."""
