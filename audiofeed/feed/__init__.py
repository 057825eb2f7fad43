"""Batches on their way to the device."""

from audiofeed.feed.batch import AudioBatch
from audiofeed.feed.collate import GPUSpecCollate, PadCollate

__all__ = ["AudioBatch", "GPUSpecCollate", "PadCollate"]
