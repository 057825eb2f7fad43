"""Values for the arguments that many transforms share, and the forms in which `alternatives.py` says them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.transforms.contract import effects
from tests.transforms.contract.effects import Effect


@dataclass(frozen=True)
class To:
    """A value to change an argument to.

    Args:
        value: the value, or a function of the base settings that returns it.
        given: settings of both transforms, without which the argument has no effect.
        also: settings of the changed transform alone, without which the value is refused.
        effect: what must change; None: the usual effect of an argument of this name (`effects.usual`).
    """

    value: Any
    given: dict[str, Any] = field(default_factory=dict)
    also: dict[str, Any] = field(default_factory=dict)
    effect: Effect | None = None


@dataclass(frozen=True)
class Base:
    """Settings that alternatives are compared with, for one class.

    Args:
        settings: arguments of the class.
        x: the input; where it has bins, more of them than any setting needs.
        rows: how many of these bins a transform takes; None: the input is a waveform, or is taken whole.
        values: alternatives of this class, instead of those of `VALUES`.
        more: other settings over which all arguments are changed as well.
    """

    settings: dict[str, Any]
    x: torch.Tensor
    rows: Callable[[Any], int] | None = None
    values: dict[str, list[Any]] = field(default_factory=dict)
    more: tuple[dict[str, Any], ...] = ()


# the rate decides no value, but when each frame is, and where bins are
IN_TIMES = [To(16000, effect=effects.tells)]
ALL_NORMS = [2.0, math.inf, None]

# for every class with such an argument that has no values of its own; True and False need no entry
VALUES: dict[str, list[Any]] = {
    "sample_rate": [16000],
    "n_fft": [To(lambda base: base["n_fft"] + 1)],
    "frame_length": [65],
    "hop_length": [17],
    "win_length": [To(lambda base: base["n_fft"] * 5 // 8)],
    "window": ["boxcar"],
    "window_at": [To("left", given={"win_length": 32, "hop_length": 16})],
    # one sample more or less hardly counts in most features: "but_last_sample" is with the STFT
    "placement": ["start", "hops", "vocoder", "snip_edges", "keep_edges"],
    "pad_mode": ["reflect", "symmetric", "replicate", "circular"],
    "preemphasis": [0.9],
    "root_offset": [1.0],
    "power": [1.0, 1.5, 2.0],
    "method": ["conv", To("fft", effect=effects.torchs_fft)],
    "precision": [To("double", effect=effects.less_rounding)],
    "f_min": [300.0],
    "f_max": [3000.0],
    "n_mels": [12],
    "mel_scale": ["htk"],
    "filters": [To(lambda base: torch.eye(base["n_mels"], base["n_fft"] // 2 + 1))],
    "norm": [None, 1.0],
    "log": ["ln", "log10", "db", "log1p"],
    "floor": [1.0],
    "offset": [1.0],
}
