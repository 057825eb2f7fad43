"""Definitions of auditory filters: mel, linear and bark triangles, gammatone, sinc and Gabor filters."""
