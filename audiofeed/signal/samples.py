"""The scale of stored samples."""

from __future__ import annotations

# Full scale of 16-bit samples is 1. A power of two: scaling a window instead of the samples changes no bit.
INT16_SCALE = 2.0**-15
