"""A lower sample rate by overlap-save: the length of its blocks, and the filter's response at their bins."""

from __future__ import annotations

import functools
import math

import numpy as np

from audiofeed.signal.constant_q.decimation import FACTORS, decimation_filter, decimation_reach

# Overlap-save in blocks of 4096 samples halves a batch of 10 s clips in about the least time (2048: as much, 8192: 1.2
# times; a product with a Toeplitz matrix instead: 1.8 times).
_LEAST_BLOCK = 4096


def decimation_block(factor: int) -> int:
    """Plan the length of the overlap-save blocks for decimation to a lower constant-Q sample rate.

    In samples, of which `decimation_reach` on either side only lead in and out.

    >>> [decimation_block(factor) for factor in (2, 256)]
    [4096, 262144]
    """
    return max(_LEAST_BLOCK, 2 ** math.ceil(math.log2(8 * decimation_reach(factor))))


# Filtering and keeping every factor-th sample, in a block of B samples: the spectrum times the real response H, and an
# inverse FFT of B / factor points, which reads just the bins below the new Nyquist frequency. The other bins, which it
# would have to fold onto these, the filter has weakened by 126 dB or more.
@functools.lru_cache(maxsize=2 * len(FACTORS))
def decimation_response(factor: int, block: int | None = None) -> np.ndarray:
    """Return the filter's response at the FFT bins of a planned block of constant-Q decimation.

    At the bins 0..block / (2 factor) of the block's real FFT, each twice: for real and imaginary parts. It brings the
    1 / factor between the lengths of the two FFTs.

    Args:
        factor: between the rates.
        block: samples of a block; None: `decimation_block(factor)`.

    >>> decimation_response(2).shape
    (2050,)
    """
    taps = decimation_filter(factor)
    block = decimation_block(factor) if block is None else block
    centered = np.zeros(block)
    reach = len(taps) // 2
    centered[: reach + 1] = taps[reach:]
    centered[-reach:] = taps[:reach]
    response = np.repeat(np.fft.rfft(centered).real[: block // (2 * factor) + 1] / factor, 2)
    response.setflags(write=False)  # one array for all who ask
    return response
