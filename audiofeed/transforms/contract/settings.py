"""Settings that transforms share: frames and their window, the method, the logarithm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from audiofeed.arguments.checks import (
    check_choice,
    check_count,
    check_floor,
    check_not_negative,
    check_pad_mode,
    check_top_db,
)
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.decibels import LOGS, Log
from audiofeed.methods.frames import Framing
from audiofeed.signal.windows import Window, get_window, pad_window
from audiofeed.transforms.contract.filters import of


class WindowOptions(TypedDict, total=False):
    """Keyword arguments for the window and hop settings that transforms share."""

    hop_length: int | None
    win_length: int | None
    window: Window
    periodic: bool


class FrameOptions(WindowOptions, total=False):
    """Keyword arguments for the frame settings that transforms share."""

    center: bool
    pad_mode: str


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Settings that transforms share for the short frames of a waveform and the window that weights them."""

    n_fft: int = argument(2048, "samples of a frame, odd or even, 1 or more.")
    hop_length: int = argument(None, "samples from frame to frame, 1 or more; None: win_length // 4.")
    win_length: int = argument(None, "samples of the window, in the middle of the frame, at most n_fft; None: n_fft.")
    window: Window = dataclasses.field(
        default="hann",
        compare=False,
        metadata={
            "doc": "a name, a (name, parameter) tuple, a Kaiser beta, or win_length samples: see "
            "`audiofeed.signal.get_window`."
        },
    )
    periodic: bool = argument(True, "False for the symmetric window.")
    center: bool = argument(
        True,
        "frame f is centered on sample f * hop_length; False: it starts there, and a clip shorter than n_fft is filled "
        "up with zeros.",
    )
    pad_mode: str = argument(
        "constant",
        'what stands beyond the ends of each clip: "constant" (zeros), "reflect", "replicate" or "circular", for any '
        "clip, however short.",
    )
    # the window as a value that can be compared
    window_key: object = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        n_fft = check_count("n_fft", self.n_fft)
        win_length = n_fft if self.win_length is None else check_count("win_length", self.win_length)
        if win_length > n_fft:
            raise ValueError(
                f"win_length={win_length} must not exceed n_fft={n_fft}; make n_fft at least as long as the window"
            )
        hop = max(1, win_length // 4) if self.hop_length is None else check_count("hop_length", self.hop_length)
        check_pad_mode(self.pad_mode)
        samples = isinstance(self.window, (list, np.ndarray))
        key = tuple(np.asarray(self.window).tolist()) if samples else self.window
        settle(self, n_fft=n_fft, win_length=win_length, hop_length=hop, window_key=key)

    @property
    def framing(self) -> Framing:
        """Position of the frames that the frame settings of transforms describe."""
        return Framing(n_fft=self.n_fft, hop_length=self.hop_length, center=self.center, pad_mode=self.pad_mode)

    def analysis_window(self) -> np.ndarray:
        """Return the window in the middle of a frame by the frame settings of transforms, float64.  Shape: (n_fft,)."""
        return pad_window(get_window(self.window, self.win_length, periodic=self.periodic), self.n_fft)

    def of_window(self, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[], np.ndarray]:
        """Return the definition of an array that a function makes of the window in the frame settings of transforms."""
        return of(self.analysis_window, function)


class MethodOptions(TypedDict, total=False):
    """Keyword arguments for the method and training settings that transforms share."""

    method: str
    trainable: bool
    trainable_window: bool


class ShortTimeOptions(FrameOptions, MethodOptions, total=False):
    """Keyword arguments for the settings shared by short-time transforms whose n_fft may be given by position."""


class FeatureOptions(ShortTimeOptions, total=False):
    """Keyword arguments for the settings shared by transforms that are features of short frames."""

    n_fft: int


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Settings that transforms share for the method and the trained parts of a short-time spectrum."""

    method: str = argument(
        "auto",
        '"auto", "kernel", "fft" or "conv" (see `audiofeed.methods`); "auto" takes the fastest that can: '
        "`method_reason` and `runs_on(waveform)` say which and why.",
    )
    trainable: bool = argument(
        False, 'the basis is a parameter (`basis`, real parts then imaginary parts), computed by "conv".'
    )
    trainable_window: bool = argument(
        False, 'the window is a parameter (`analysis_window`, of n_fft samples), computed by "fft".'
    )


class LogOptions(TypedDict, total=False):
    """Keyword arguments for the logarithm settings that transforms share."""

    log: str
    offset: float
    floor: float
    top_db: float | None


@dataclass(frozen=True, kw_only=True)
class Logarithm:
    """Settings that transforms share for a logarithm that is finite for silence."""

    log: str = argument("ln", 'the logarithm: "ln", "log10" or "db" (decibels).')
    offset: float = argument(0.0, "added before the logarithm, >= 0.")
    floor: float = argument(
        1e-10, "the smallest value the logarithm sees, > 0; at or below it the gradient is 0. Silence is log(floor)."
    )
    top_db: float | None = argument(
        None,
        'with log="db": nothing lies more than this below the clip\'s own peak, >= 0, whatever else is in the batch; '
        "None: no limit.",
    )

    def __post_init__(self) -> None:
        check_choice("log", self.log, LOGS)
        check_not_negative("offset", self.offset)
        check_floor("floor", self.floor)
        if self.top_db is not None and self.log != "db":
            raise ValueError(
                f"top_db={self.top_db!r} must be None with log={self.log!r}: it limits decibels; use log='db', or pass "
                "top_db=None"
            )
        check_top_db(self.top_db)
        settle(self, offset=float(self.offset), floor=float(self.floor))

    def step(self, power: float) -> Log:
        """Return the logarithm of values of |z|^power by the settings of transforms; decibels are those of |z|^2."""
        return Log(self.log, floor=self.floor, power=power)
