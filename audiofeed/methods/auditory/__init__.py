"""Long filters, pooled energies and per-channel energy normalization."""
