"""Mel and log-mel spectrograms, gammatone, sinc and Gabor filter banks, PCEN, decibels."""
