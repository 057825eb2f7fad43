"""A waveform brought to a length, in float64: cut, repeated, or padded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiofeed.signal.framing import mirrored

# what continues a clip beside the pad modes of frames
COPIES = "copies"
PLACES = ("start", "center")


def fitted(
    waveform: npt.ArrayLike,
    *,
    at_least: int = 0,
    at_most: int | None = None,
    multiple: int = 1,
    before: int = 0,
    after: int = 0,
    mode: str = "constant",
    place: str = "start",
) -> np.ndarray:
    """Return a waveform brought to a length, in float64: cut at its end first, then made longer.

    Args:
        waveform: (time,).
        at_least: samples that it has at least.
        at_most: samples of it that are left, from the first; None: all.
        multiple: the samples beyond `at_least` are brought up to a multiple of this.
        before, after: zeros before and after the result of all this.
        mode: what is added: a pad mode of frames, or "copies" (as many whole copies as fit, then zeros).
        place: "start" or "center", where the clip stands among what is added.

    >>> fitted([1.0, 2.0, 3.0], at_least=8, mode="copies").tolist()
    [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 0.0, 0.0]
    >>> fitted([1.0, 2.0, 3.0], multiple=5, mode="reflect").tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    samples = np.asarray(waveform, dtype=np.float64)[:at_most]
    n = len(samples)
    size = at_least + -(-max(n - at_least, 0) // multiple) * multiple
    position = np.arange(size) - ((size - n) // 2 if place == "center" else 0)
    if mode == COPIES:
        found = np.where(position < size // n * n, samples[position % n], 0.0)
    elif mode == "constant":
        found = np.where((position >= 0) & (position < n), samples[np.clip(position, 0, n - 1)], 0.0)
    else:
        found = samples[mirrored(position, n, mode)]
    return np.pad(found, (before, after))
