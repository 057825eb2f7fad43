"""Train audio models straight from raw files: features on the device, nothing precomputed."""

# the first of all: torch comes with the others, and Ctrl-C may come with torch
from audiofeed import starting as _starting  # noqa: F401

# isort: split
import typing as _typing
from importlib import import_module as _import_module

from audiofeed import augment, presets
from audiofeed.augment import Dither
from audiofeed.data import (
    AudioExample,
    AudioFolder,
    AudioManifest,
    AudioReadError,
    CenterCrop,
    EventTargets,
    FrameTargets,
    RandomCrop,
    Windows,
)
from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate, PadTargets
from audiofeed.loading import DeviceLoader, Feed
from audiofeed.report import write_report
from audiofeed.sampling import ClipBatchSampler, DurationBatchSampler, EpochSampler, EvaluationSampler, Mixture
from audiofeed.transforms import *  # noqa: F403  # each name stands in audiofeed/transforms/__init__.py
from audiofeed.transforms import __all__ as _transforms

if _typing.TYPE_CHECKING:
    from audiofeed import plot

__version__ = "0.1.0"

__all__ = [
    "AudioBatch",
    "AudioExample",
    "AudioFolder",
    "AudioManifest",
    "AudioReadError",
    "CenterCrop",
    "ClipBatchSampler",
    "DeviceLoader",
    "Dither",
    "DurationBatchSampler",
    "EpochSampler",
    "EvaluationSampler",
    "EventTargets",
    "Feed",
    "FrameTargets",
    "GPUSpecCollate",
    "Mixture",
    "PadCollate",
    "PadTargets",
    "RandomCrop",
    "Windows",
    "augment",
    "plot",
    "presets",
    "write_report",
]
__all__ += _transforms

if not _typing.TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> _typing.Any:
        """Import what is not imported with the package, `audiofeed.plot`, when it is first asked for."""
        if name == "plot":
            return _import_module("audiofeed.plot")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
