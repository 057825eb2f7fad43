"""Chroma, tonal centroids and pitch salience."""
