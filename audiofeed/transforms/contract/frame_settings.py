"""Settings that transforms share for their frames: size, hop, window, centering and padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from audiofeed.arguments.checks import (
    check_count,
    check_pad_mode,
)
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.frames import Framing
from audiofeed.signal.windows import Window, get_window, pad_window
from audiofeed.transforms.contract.filters import of
from audiofeed.transforms.contract.method_settings import MethodOptions


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


class ShortTimeOptions(FrameOptions, MethodOptions, total=False):
    """Keyword arguments for the settings shared by short-time transforms whose n_fft may be given by position."""


class FeatureOptions(ShortTimeOptions, total=False):
    """Keyword arguments for the settings shared by transforms that are features of short frames."""

    n_fft: int
