"""Arguments that many transforms share, each checked once: the argument, its value, the rule, the remedy."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAD_MODES = ("constant", "reflect", "replicate", "circular", "symmetric")

# Hz. A rate beyond comes from a broken header or a slip, and resampling from it or to it takes gigabytes; slow sensors
# recorded as sound have 100 Hz and more, and converters for bats and for radio a few MHz
LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000

_FEW = 3  # values that are listed with an "or"
_PACKAGE = Path(__file__).parents[1]


def check_count(name: str, value: object, rule: str = "an integer number of samples, 1 or more") -> int:
    """Check that an argument is a count, 1 or more; raise a ValueError that names it otherwise.

    The count is given by the caller and returned as an int.

    >>> check_count("n_fft", 400)
    400
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}={value!r} must be {rule}")
    return int(value)


def check_integer(name: str, value: object, rule: str = "an integer", *, least: int | None = None) -> int:
    """Check that an argument is an integer, of either sign or no smaller than `least`, and return it as an int.

    >>> check_integer("after", -1)
    -1
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        raise ValueError(f"{name}={value!r} must be {rule}")
    return int(value)


def check_switch(name: str, value: object) -> None:
    """Check that an argument is True or False, or 1 or 0 for them; raise a ValueError that names it otherwise.

    >>> check_switch("center", False)
    """
    if not (isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1))):
        raise ValueError(f"{name}={shortened(value)} must be True or False")


def check_odd(name: str, value: int) -> int:
    """Check that an argument is an odd count of taps, 3 or more; raise a ValueError that names it otherwise.

    The taps lie around a middle one.

    >>> check_odd("win_length", 251)
    251
    """
    if check_count(name, value) % 2 == 0 or value < 3:
        raise ValueError(f"{name}={value} must be odd, 3 or more: a filter has a middle tap; use {max(3, value + 1)}")
    return int(value)


def check_positive(name: str, value: float, rule: str = "a finite number > 0") -> float:
    """Check that an argument is a finite number above 0; raise a ValueError that names it otherwise.

    >>> check_positive("p", 2)
    2.0
    """
    if not is_number(value) or not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}={shortened(value)} must be {rule}")
    return float(value)


def check_finite(name: str, value: float, rule: str = "a finite number") -> float:
    """Check that an argument is a finite number of either sign; raise a ValueError that names it otherwise.

    >>> check_finite("add", -4)
    -4.0
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        raise ValueError(f"{name} has shape {shape}, and must be {rule}")
    if not is_number(value):
        raise ValueError(f"{name}={shortened(value)} must be {rule}")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be {rule}")
    return float(value)


def is_number(value: object) -> bool:
    """Return True if an argument is one real number, of Python's types, NumPy's or torch's, and no truth value.

    >>> is_number(np.float32(0.5)), is_number("0.5"), is_number([0.5]), is_number(True)
    (True, False, False, False)
    """
    if isinstance(value, (bool, np.bool_)) or not hasattr(type(value), "__float__"):
        return False
    return not getattr(value, "shape", ()) and not isinstance(value, np.complexfloating)


def shortened(value: object, most: int = 60) -> str:
    """Return the repr of an argument's value for an error, cut where it is long.

    >>> shortened(list(range(100)), most=12)
    '[0, 1, 2, 3,...'
    """
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[:most]}..."


def check_path(name: str, value: object, what: str) -> str:
    """Check that an argument is the path of a file or folder, and return it as text; raise a TypeError otherwise.

    >>> check_path("root", Path("clips"), "a folder of audio files")
    'clips'
    """
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{name}={shortened(value)} must be the path of {what}, as text or a pathlib.Path")
    return os.fsdecode(value)


def check_share(name: str, value: float) -> float:
    """Check that an argument is a number between 0 and 1; raise a ValueError that names it otherwise.

    >>> check_share("quantile", 0.02)
    0.02
    """
    if not is_number(value) or not 0 < value < 1:
        raise ValueError(f"{name}={value!r} must lie between 0 and 1, both excluded")
    return float(value)


def check_rate(sample_rate: float | None, why: str = "the result depends on it") -> float:
    """Check the argument `sample_rate` of a class that cannot do without it, and return it as it was given.

    >>> check_rate(16000)
    16000
    """
    check_positive("sample_rate", sample_rate, f"a positive number of Hz: {why}")  # type: ignore[arg-type]
    return sample_rate  # type: ignore[return-value]


def check_span(
    f_min: float, f_max: float | None, sample_rate: float, *, default: float | None = None
) -> tuple[float, float]:
    """Check the arguments `f_min` and `f_max`, the lowest and highest frequency in Hz, and return both.

    `f_max=None` is `default`, or else half the rate.

    >>> check_span(20.0, None, 16000)
    (20.0, 8000.0)
    """
    half = sample_rate / 2
    top = f_max if f_max is not None else half if default is None else default
    if not (is_number(f_min) and is_number(top) and 0 <= f_min < top <= half):
        raise ValueError(
            f"f_min={f_min!r}, f_max={f_max!r} must satisfy 0 <= f_min < f_max <= {half:g} Hz, half of "
            f"sample_rate={sample_rate!r}"
        )
    return float(f_min), float(top)


def check_choice(
    name: str, value: object, known: Sequence[object], *, called: Mapping[str, str] | None = None, remedy: str = ""
) -> Any:
    """Check that an argument is one of the known values; raise a ValueError that lists them otherwise.

    `called` has other libraries' names for ours.

    >>> check_choice("log", "db", ("ln", "log10", "db"))
    'db'
    """
    if isinstance(value, (str, type(None))) and value in known:
        return value
    *others, last = [repr(each) for each in known]
    listed = f"{', '.join(others)} or {last}" if others else last
    if len(known) > _FEW:
        listed = f"one of {', '.join([*others, last])}"
    ours = (called or {}).get(value) if isinstance(value, str) else None
    hint = f"; it is called {ours!r} here" if ours else f"; {remedy}" if remedy else ""
    raise ValueError(f"{name}={value!r} must be {listed}{hint}")


def check_not_negative(name: str, value: float, remedy: str = "") -> float:
    """Check that an argument is a finite number, 0 or more; raise a ValueError that names it otherwise.

    >>> check_not_negative("gamma", 0)
    0.0
    """
    if not is_number(value) or not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name}={shortened(value)} must be a number >= 0" + (f"; {remedy}" if remedy else ""))
    return float(value)


def check_floor(name: str, value: float) -> float:
    """Check that an argument is a number above 0 that float32 holds; raise a ValueError that names it otherwise.

    >>> check_floor("amin", 1e-10)
    1e-10
    """
    if not is_number(value) or not (value >= np.finfo(np.float32).tiny and math.isfinite(value)):
        raise ValueError(f"{name}={shortened(value)} must be a number > 0 that float32 holds (1.2e-38 at least)")
    return float(value)


def check_norm(norm: float | None) -> float | None:
    """Check the argument `norm` and return it: the p of a p-norm, or None for no normalization.

    >>> check_norm(math.inf)
    inf
    """
    if norm is None:
        return None
    if not is_number(norm) or not norm > 0:
        raise ValueError(f"norm={shortened(norm)} must be a number > 0 (1, 2, math.inf), or None")
    return float(norm)


def check_top_db(top_db: float | None) -> None:
    """Check the argument `top_db`: a range in decibels, of which 0 leaves the peak alone, or None for no limit.

    >>> check_top_db(80.0)
    """
    if top_db is not None and not (is_number(top_db) and top_db >= 0):
        raise ValueError(f"top_db={shortened(top_db)} must be a number >= 0, or None")


def check_power(power: float | None, remedy: str = "use STFT for complex values") -> float:
    """Check the argument `power` and return it: the exponent of a magnitude that filters weigh.

    >>> check_power(2)
    2.0
    """
    if power is None:
        raise ValueError(f"power=None must be a number > 0: it is the exponent of a magnitude; {remedy}")
    return check_positive("power", power)


def check_power_or_complex(power: float | None) -> float | None:
    """Check the argument `power` and return it: the exponent of a magnitude, or None for complex values.

    >>> check_power_or_complex(None) is None
    True
    """
    if power is None:
        return None
    return check_positive("power", power, "a number > 0, or None for complex values")


def check_mel_norm(name: str, norm: str | float | None) -> None:
    """Check an argument for the normalization of filters; raise a ValueError that names it otherwise.

    >>> check_mel_norm("mel_norm", "slaney")
    """
    is_known = norm is None or (isinstance(norm, str) and norm == "slaney")
    if not is_known and not (is_number(norm) and norm > 0):  # type: ignore[operator]
        raise ValueError(f"{name}={shortened(norm)} must be 'slaney', None, or a number p > 0")


def check_different(name: str, values: Sequence[float], example: str) -> tuple[float, ...]:
    """Check that an argument is one or more different numbers above 0; raise a ValueError that names them if not.

    >>> check_different("harmonics", [0.5, 1, 2], "(0.5, 1, 2, 3)")
    (0.5, 1, 2)
    """
    rule = f"different numbers > 0, such as {example}"
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"{name}={shortened(values)} must be a sequence of {rule}")
    checked = tuple(values)
    for value in checked:
        check_positive(name, value, f"{rule}: it holds {value!r}")
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"{name}={values!r} must be one or more {rule}")
    return checked


def warn_of_empty(weights: np.ndarray, name: str, n_fft: int, sample_rate: float) -> None:
    """Check a filter bank's weights, and warn of argument values that leave filters without a frequency bin.

    Shape: weights (filters, bins).
    """
    empty = int((~weights.any(axis=1)).sum())
    if empty:
        warn_caller(
            f"{empty} of {name}={len(weights)} filters hold no bin of n_fft={n_fft} at sample_rate={sample_rate}, and "
            "will be 0 throughout; use fewer filters, a larger n_fft, or a higher f_min"
        )


def warn_caller(message: str) -> None:
    """Warn of an argument that passed its check, at the line of the user's code that led here.

    That line is found however many of ours and of torch's lie between.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _is_between(path: str) -> bool:
    return _PACKAGE in Path(path).parents or "/torch/nn/modules/" in Path(path).as_posix()


def check_pad_mode(pad_mode: str) -> str:
    """Check the `pad_mode` that is among the frame settings that transforms share.

    One of the pad modes is returned; anything else is a ValueError that knows NumPy's names.

    >>> check_pad_mode("reflect")
    'reflect'
    """
    return check_choice(
        "pad_mode", pad_mode, PAD_MODES, called={"edge": "replicate", "wrap": "circular", "zeros": "constant"}
    )
