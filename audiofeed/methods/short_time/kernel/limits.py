"""The frames that kernels compute: how long they may be, and how many at once."""

from __future__ import annotations

import functools

from audiofeed.methods.short_time.kernel import jit
from audiofeed.methods.short_time.kernel.frame_kernel import can_compute

# Both halves of a thread's memory fit into a core's own cache up to here; longer frames take half the lanes.
LONG_FRAME = 2048
# A thread works in 64 bytes for each sample of a frame: here in 16 MB. Up to 2**17 kernels took 0.25 to 0.55 of the
# time of torch's FFT; longer frames were not timed.
LONGEST_FRAME = 2**18


def lanes_for(n_fft: int) -> int:
    """Return the frames that a kernel computes at once within the limits on their length; 0 without a kernel."""
    return 0 if n_fft > LONGEST_FRAME else _lanes(n_fft, jit.lanes())


@functools.lru_cache(maxsize=256)
def _lanes(n_fft: int, most: int) -> int:
    lanes = min(most, 8) if n_fft > LONG_FRAME else most
    while lanes >= 4 and not can_compute(n_fft, lanes):
        lanes //= 2
    return lanes if lanes >= 4 else 0


def missing(n_fft: int) -> str | None:
    """Return the reason why frames of a length are outside the limits of kernels, or None.

    The reason may also be that there is no compiler.
    """
    if lanes_for(n_fft):
        return None
    if n_fft > LONGEST_FRAME:
        return f"frames are longer than {LONGEST_FRAME} samples"
    if not jit.lanes():
        return jit.missing()
    if n_fft % 2:
        return f"n_fft={n_fft} is odd"
    return f"n_fft={n_fft} is too short, or n_fft / 2 has a prime factor above 13"
