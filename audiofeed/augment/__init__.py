"""Augmentation of batched clips on the device, drawn for each example from its own seed."""

from audiofeed.augment.compose.compose import Compose, OneOf, Sometimes
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.levels.dither import Dither
from audiofeed.augment.spectra.spec_augment import SpecAugment

__all__ = ["Augmentation", "Clips", "Compose", "Dither", "OneOf", "Sometimes", "SpecAugment"]
