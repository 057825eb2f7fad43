"""Definitions of cepstra: cosine transforms, lifters, slope filters."""
