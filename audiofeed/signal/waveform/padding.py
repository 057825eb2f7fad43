"""A waveform padded, repeated or cut to a number of samples, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiofeed.signal.framing import mirrored

# what makes a clip longer beside the pad modes of frames
COPIES = "copies"
PLACES = ("start", "center")


def padded(
    waveform: npt.ArrayLike,
    *,
    before: int = 0,
    after: int = 0,
    at_most: int | None = None,
    at_least: int = 0,
    multiple: int = 1,
    mode: str = "constant",
    place: str = "start",
) -> np.ndarray:
    """Return a waveform with zeros around it, then cut at its end, then made longer, in float64.

    Args:
        waveform: (time,).
        before, after: zeros around it; `after` below 0: so many samples are taken off its end, but never the first.
        at_most: samples that are left, from the first; None: all.
        at_least: samples of the result.
        multiple: the samples beyond `at_least` are brought up to a multiple of this.
        mode: what is added: a pad mode of frames, or "copies" (as many whole copies as fit, then zeros).
        place: "start" or "center", where the waveform stands in a longer result.

    >>> padded([1.0, 2.0, 3.0], at_least=8, mode="copies").tolist()
    [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 0.0, 0.0]
    >>> padded([1.0, 2.0, 3.0], before=1, after=-1, multiple=4, mode="reflect").tolist()
    [0.0, 1.0, 2.0, 1.0]
    """
    samples = np.asarray(waveform, dtype=np.float64)
    if after < 0:
        samples = samples[: max(1, len(samples) + after)]
    samples = np.pad(samples, (before, max(0, after)))[:at_most]
    n = len(samples)
    size = at_least + -(-max(n - at_least, 0) // multiple) * multiple
    position = np.arange(size) - ((size - n) // 2 if place == "center" else 0)
    if mode == COPIES:
        return np.where(position < size // n * n, samples[position % n], 0.0)
    if mode == "constant":
        return np.where((position >= 0) & (position < n), samples[np.clip(position, 0, n - 1)], 0.0)
    return samples[mirrored(position, n, mode)]
