"""Batches on their way to the device."""

from audiofeed.feed.batch import AudioBatch
from audiofeed.feed.collate import GPUSpecCollate, PadCollate
from audiofeed.feed.items import register_item_form
from audiofeed.feed.targets import PaddedTargets, PadTargets

__all__ = ["AudioBatch", "GPUSpecCollate", "PadCollate", "PadTargets", "PaddedTargets", "register_item_form"]
