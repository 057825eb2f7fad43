"""Augmentation of batched waveforms on the device, drawn for each example from its own seed."""

from audiofeed.augment.dither import Dither

__all__ = ["Dither"]
