"""Augmentation of batched clips on the device, drawn for each example from its own seed."""

from audiofeed.augment.compose.compose import Compose, OneOf, Sometimes
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.levels.dither import Dither
from audiofeed.augment.mixing.cut_mix import CutMix
from audiofeed.augment.mixing.mix_within import MixWithin
from audiofeed.augment.mixing.mixup import Mixup
from audiofeed.augment.spectra.filter_jitter import FilterJitter
from audiofeed.augment.spectra.frequency_shift import FrequencyShift
from audiofeed.augment.spectra.spec_augment import SpecAugment

__all__ = [
    "Augmentation", "Clips", "Compose", "CutMix", "Dither", "FilterJitter", "FrequencyShift", "MixWithin", "Mixup",
    "OneOf", "Sometimes", "SpecAugment",
]  # fmt: skip
