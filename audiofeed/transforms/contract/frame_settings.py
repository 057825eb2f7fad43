"""Settings that transforms share for their frames: size, hop, window, centering and padding."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from audiofeed.arguments.checks import (
    check_choice,
    check_count,
    check_not_negative,
    check_pad_mode,
)
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.frames import Framing
from audiofeed.signal.framing import CENTERED, PLACEMENTS, WINDOW_PLACES, shaped_basis, window_offset
from audiofeed.signal.windows import Window, get_window, pad_window
from audiofeed.transforms.contract.filters import of
from audiofeed.transforms.contract.method_settings import MethodOptions


class WindowOptions(TypedDict, total=False):
    """Keyword arguments for the window and hop settings that transforms share."""

    hop_length: int | None
    win_length: int | None
    window: Window
    periodic: bool
    window_at: str


class FrameOptions(WindowOptions, total=False):
    """Keyword arguments for the frame settings that transforms share."""

    center: bool
    placement: str | None
    pad_mode: str
    remove_dc: bool
    preemphasis: float


# of `Frames`, what an inverse of frames cannot undo or has no use for
ONE_WAY = ("placement", "remove_dc", "preemphasis")


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Settings that transforms share for the short frames of a waveform and the window that weights them."""

    n_fft: int = argument(2048, "samples of a frame, odd or even, 1 or more.")
    hop_length: int = argument(None, "samples from frame to frame, 1 or more; None: win_length // 4.")
    win_length: int = argument(None, "samples of the window, at most n_fft; None: n_fft.")
    window: Window = dataclasses.field(
        default="hann",
        compare=False,
        metadata={
            "doc": "a name, a (name, parameter) tuple, a Kaiser beta, or win_length samples: see "
            "`audiofeed.signal.get_window`."
        },
    )
    periodic: bool = argument(True, "False for the symmetric window.")
    window_at: str = argument(
        "center", 'where a window shorter than n_fft stands in its frame: "center" (the middle) or "left", as in Kaldi.'
    )
    center: bool = argument(
        True,
        "frame f is centered on sample f * hop_length; False: it starts there, and a clip shorter than n_fft is filled "
        "up with zeros.",
    )
    placement: str | None = argument(
        None,
        'where the frames lie; None: as `center` says. "center" and "start": center=True and False. "hops": centered, '
        "samples // hop_length frames, that is, without the last of an even number of hops (Whisper). "
        '"but_last_sample": those of "center" of the clip without its last sample (onsets and frames). '
        '"vocoder": (n_fft - hop_length) / 2 samples of padding at both ends, samples // hop_length frames of whole '
        'hops (HiFi-GAN). "snip_edges": window f begins at sample f * hop_length, only whole windows inside the clip '
        '(Kaldi, snip_edges on). "keep_edges": window f is centered on sample (f + 1/2) * hop_length, '
        '(samples + hop_length / 2) // hop_length frames (Kaldi, snip_edges off, with pad_mode="symmetric"). A clip '
        'too short for any of them has one frame; "start" and "snip_edges" fill it up with zeros.',
    )
    pad_mode: str = argument(
        "constant",
        'what stands beyond the ends of each clip: "constant" (zeros), "reflect", "symmetric" (reflects the last '
        'sample as well), "replicate" or "circular", for any clip, however short.',
    )
    remove_dc: bool = argument(False, "each frame is taken less its mean under the window, before it is weighted.")
    preemphasis: float = argument(
        0.0,
        "within each frame, after `remove_dc`, each sample less so many times the one before it, the first less so "
        "many times itself, as in Kaldi; 0 to 1; 0: none.",
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
        check_choice("window_at", self.window_at, WINDOW_PLACES)
        placement, center = self._placement(n_fft, win_length, hop)
        if not check_not_negative("preemphasis", self.preemphasis) <= 1:
            raise ValueError(f"preemphasis={self.preemphasis!r} must be a number from 0 to 1; 0.97 is the usual one")
        samples = isinstance(self.window, (list, np.ndarray))
        key = tuple(np.asarray(self.window).tolist()) if samples else self.window
        settle(self, n_fft=n_fft, win_length=win_length, hop_length=hop, window_key=key)
        settle(self, placement=placement, center=center, preemphasis=float(self.preemphasis))

    def _placement(self, n_fft: int, win_length: int, hop_length: int) -> tuple[str, bool]:
        """Return the placement in the frame settings of transforms, and whether frames are centered on whole hops."""
        if self.placement is None:
            return ("center" if self.center else "start"), self.center
        check_choice("placement", self.placement, PLACEMENTS)
        centered = self.placement in CENTERED
        if centered and not self.center:
            raise ValueError(
                f"placement={self.placement!r} must be given without center={self.center!r}: its frames are centered "
                'on multiples of the hop; leave center out, or placement (center=False is placement="start")'
            )
        longest = {"vocoder": ("n_fft", n_fft), "keep_edges": ("win_length", win_length)}.get(self.placement)
        if longest is not None and hop_length > longest[1]:
            raise ValueError(
                f"hop_length={hop_length} must not exceed {longest[0]}={longest[1]} for placement={self.placement!r}, "
                'whose frames reach beyond the ends of a clip; use a smaller hop, or placement="center"'
            )
        return self.placement, centered

    @property
    def framing(self) -> Framing:
        """Position of the frames that the frame settings of transforms describe."""
        return Framing(
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            center=self.center,
            pad_mode=self.pad_mode,
            placement=self.placement,
            win_length=self.win_length,
            window_at=self.window_at,
            remove_dc=self.remove_dc,
            preemphasis=self.preemphasis,
        )

    def analysis_window(self) -> np.ndarray:
        """Return the window in its place in a frame by the frame settings of transforms, float64.  Shape: (n_fft,)."""
        window = get_window(self.window, self.win_length, periodic=self.periodic)
        return pad_window(window, self.n_fft, window_offset(self.n_fft, self.win_length, self.window_at))

    def of_window(self, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[], np.ndarray]:
        """Return the definition of an array that a function makes of the window in the frame settings of transforms."""
        return of(self.analysis_window, function)

    def of_basis(self, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[], np.ndarray]:
        """Return the definition of a basis that a function makes of the window, by the frame settings of transforms.

        What shapes a frame before its window is folded into the basis.
        """
        definition = self.of_window(function)
        if not (self.remove_dc or self.preemphasis):
            return definition
        shape = {"remove_dc": self.remove_dc, "preemphasis": self.preemphasis}
        return of(definition, functools.partial(_folded, self.win_length, self.window_at, shape))


def _folded(win_length: int, window_at: str, shape: dict[str, Any], basis: np.ndarray) -> np.ndarray:
    return shaped_basis(basis, win_length, window_at, **shape)


class ShortTimeOptions(FrameOptions, MethodOptions, total=False):
    """Keyword arguments for the settings shared by short-time transforms whose n_fft may be given by position."""


class FeatureOptions(ShortTimeOptions, total=False):
    """Keyword arguments for the settings shared by transforms that are features of short frames."""

    n_fft: int
