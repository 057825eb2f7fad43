"""Settings that transforms share for the method, the precision and the trained parts of a short-time spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from audiofeed.arguments.checks import (
    check_choice,
)
from audiofeed.arguments.setting_groups import argument

PRECISIONS = ("input", "double")


def _precision() -> Any:
    """Return the argument of short-time transforms for the precision that they compute in."""
    return argument(
        "input",
        '"input", or "double": float32 samples are computed in float64, and float32 comes back. A float32 FFT rounds '
        "to about 1e-7 of a frame's loudest bin, and the logarithm of a band that an MP3 encoder or a resampler has "
        "emptied shows that. It takes several times as long (`benchmarks/features_cpu.py`).",
    )


class PrecisionOptions(TypedDict, total=False):
    """Keyword argument for the precision that short-time transforms share."""

    precision: str


class MethodOptions(PrecisionOptions, total=False):
    """Keyword arguments for the method and training settings that transforms share."""

    method: str
    trainable: bool
    trainable_window: bool


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Settings that transforms share for the method and the trained parts of a short-time spectrum."""

    method: str = argument(
        "auto",
        '"auto", "kernel", "fused" (one Triton kernel on a GPU), "fft" or "conv" (see `audiofeed.methods`); "auto" '
        'takes the fastest that can, for now without "fused": '
        "`method_reason` and `runs_on(waveform)` say which and why.",
    )
    trainable: bool = argument(
        False, 'the basis is a parameter (`basis`, real parts then imaginary parts), computed by "conv".'
    )
    trainable_window: bool = argument(
        False, 'the window is a parameter (`analysis_window`, of n_fft samples), computed by "fft".'
    )
    precision: str = _precision()

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Setting for the precision of short-time transforms whose method cannot be chosen."""

    precision: str = _precision()

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
