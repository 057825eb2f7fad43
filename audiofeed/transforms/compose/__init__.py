"""Transforms one after another, and several of one waveform."""
