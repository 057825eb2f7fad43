"""The settings of a per-channel energy normalization that train: where they stay and where they start, in float64."""

from __future__ import annotations

import math

import numpy as np

from audiofeed.signal.bounded_parameters import angle_of

# where trained settings stay
BOUNDS = {"gain": (0.0, 1.0), "bias": (1e-3, 1e3), "power": (0.0, 1.0), "b": (0.0, 1.0)}
# those that move on a logarithmic scale
LOGARITHMIC = ("bias",)


def span_of(name: str) -> tuple[float, float]:
    """Return the bounds on a trained setting in the definition of PCEN, on the setting's own scale.

    >>> span_of("gain"), span_of("bias")
    ((0.0, 1.0), (-6.907755278982137, 6.907755278982137))
    """
    low, high = BOUNDS[name]
    return (math.log(low), math.log(high)) if name in LOGARITHMIC else (low, high)


def starting_angles(name: str, value: float, count: int) -> np.ndarray:
    """Return the float64 parameters (angles) behind a trained PCEN setting that starts at a given value.

    One for each of `count` channels.  Shape: (count,).
    """
    return np.full(count, angle_of(math.log(value) if name in LOGARITHMIC else value, *span_of(name)))


def weight_of(time_constant: float, *, sample_rate: float, hop_length: int) -> float:
    """Return the weight of a new frame that defines PCEN's running average, from a time constant in seconds.

    With it the average's half-power width is that of the time constant. Lostanlen et al. (2019), equation 5.

    >>> weight_of(0.4, sample_rate=22050, hop_length=512)
    0.0563...
    """
    frames = time_constant * sample_rate / hop_length
    return (math.sqrt(1.0 + 4.0 * frames**2) - 1.0) / (2.0 * frames**2)
