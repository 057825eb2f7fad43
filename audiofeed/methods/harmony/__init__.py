"""Chroma statistics and generalized cepstra."""
