"""Waveforms brought to a length before any feature: cut, repeated, or padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from audiofeed.arguments.checks import PAD_MODES, check_choice, check_count
from audiofeed.methods.waveform.fitting import Fitting
from audiofeed.signal.waveform.fitting import COPIES, PLACES
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform

_MODES = (*PAD_MODES, COPIES)
_CALLED = {"repeatpad": COPIES, "repeat": "circular", "pad": "constant", "edge": "replicate", "wrap": "circular"}


class FitWaveform(WaveformTransform):
    """Fit waveforms to a length, as a module: each clip is cut, repeated or padded by its own samples' number.

    A model whose input is of one length is given `FitWaveform(at_least=480000, at_most=480000)` before its features,
    and one that takes whole hops `FitWaveform(multiple=320)` in their place. What is added is the clip's own from here
    on (its features are the features of what was added), unless counts=False.

    Args:
        at_least: samples of a result, 0 or more: a shorter clip is made longer.
        at_most: samples of a clip that are left, from its first, 1 or more; None: all. It is cut first.
        multiple: the samples of a result beyond `at_least` are brought up to a multiple of this, 1 or more.
        before: zeros that are put before the result of all this, 0 or more.
        after: zeros that are put after it, 0 or more.
        mode: what makes a clip longer: "constant" (zeros), "copies" (as many whole copies of the clip as fit, then
            zeros: CLAP's "repeatpad"), "circular" (copies, the last one cut: CLAP's "repeat"), "reflect", "symmetric"
            or "replicate", for any clip, however short.
        place: where the clip stands in a result that was made longer: "start", or "center".
        counts: what is added behind a clip counts as its own. False: it is zeros, which `frame_lengths` leaves out.

    Returns:
        (..., time of the result), from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range or without effect.

    In a `Chain` the times of frames are those of the fitted waveform.

    >>> FitWaveform(at_least=5, mode="copies")(torch.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0, 1.0, 2.0, 0.0]
    >>> fit = FitWaveform(multiple=320, counts=False)
    >>> fit(torch.ones(2, 1000)).shape, fit.frame_lengths(torch.tensor([1000, 300])).tolist()
    (torch.Size([2, 1280]), [1000, 300])
    """

    in_place, keeps_zeros = False, False

    def __init__(
        self,
        *,
        at_least: int = 0,
        at_most: int | None = None,
        multiple: int = 1,
        before: int = 0,
        after: int = 0,
        mode: str = "constant",
        place: str = "start",
        counts: bool = True,
    ) -> None:
        super().__init__()
        self.at_least, self.before, self.after = (
            _check_samples(name, value)
            for name, value in (("at_least", at_least), ("before", before), ("after", after))
        )
        self.at_most = None if at_most is None else check_count("at_most", at_most)
        self.multiple = check_count("multiple", multiple)
        self.mode = check_choice("mode", mode, _MODES, called=_CALLED)
        self.place, self.counts = check_choice("place", place, PLACES), counts
        if mode == COPIES and place == "center":
            raise ValueError("place='center' must be 'start' with mode='copies', which follow the clip")
        if not counts and (mode != "constant" or place != "start"):
            raise ValueError(
                f"counts=False must be True with mode={mode!r}, place={place!r}: zeros behind a clip alone can be left "
                "out of its length"
            )
        self._fitting = Fitting(
            at_least=self.at_least,
            at_most=self.at_most,
            multiple=self.multiple,
            before=self.before,
            after=self.after,
            mode=self.mode,
            place=self.place,
        )

    @property
    def adds_padding(self) -> bool:
        """True if what is added behind a waveform does not count, so that a `Chain` has to tell where clips end."""
        return not self.counts

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        out.copy_(self._fitting.apply(clips, lengths))

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return self._fitting.apply(clips, lengths)

    def width_for(self, samples: int) -> int:
        return self._fitting.size(samples)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        ends = self._fitting.size(lengths) if self.counts else self.before + self._fitting.kept(lengths)
        return torch.where(lengths > 0, ends, 0)  # what has no samples gets none


def _check_samples(name: str, value: Any) -> int:
    """Check a number of samples that a waveform is fitted to, or that are added, and return it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name}={value!r} must be an integer number of samples, 0 or more")
    return int(value)
