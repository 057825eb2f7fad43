"""Augmentation of batched clips on the device, drawn for each example from its own seed."""

from audiofeed.augment.compose.compose import Compose, OneOf, Sometimes
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.filters.filter import Filter
from audiofeed.augment.filters.reverb import ReverbFrom
from audiofeed.augment.levels.clip import Clip
from audiofeed.augment.levels.dither import Dither
from audiofeed.augment.levels.gain import Gain, Polarity
from audiofeed.augment.levels.quantization import BitDepth, MuLaw
from audiofeed.augment.mixing.cut_mix import CutMix
from audiofeed.augment.mixing.mix_within import MixWithin
from audiofeed.augment.mixing.mixup import Mixup
from audiofeed.augment.noise.add_noise import AddNoise
from audiofeed.augment.noise.background import AddBackground
from audiofeed.augment.spectra.filter_jitter import FilterJitter
from audiofeed.augment.spectra.frequency_shift import FrequencyShift
from audiofeed.augment.spectra.spec_augment import SpecAugment
from audiofeed.augment.time.drop_chunks import DropChunks
from audiofeed.augment.time.pitch_shift import PitchShift
from audiofeed.augment.time.speed import Speed
from audiofeed.augment.time.time_shift import TimeShift

__all__ = [
    "AddBackground",
    "AddNoise",
    "Augmentation",
    "BitDepth",
    "Clip",
    "Clips",
    "Compose",
    "CutMix",
    "Dither",
    "DropChunks",
    "Filter",
    "FilterJitter",
    "FrequencyShift",
    "Gain",
    "MixWithin",
    "Mixup",
    "MuLaw",
    "OneOf",
    "PitchShift",
    "Polarity",
    "ReverbFrom",
    "Sometimes",
    "SpecAugment",
    "Speed",
    "TimeShift",
]
