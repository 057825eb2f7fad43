"""LEAF in few launches, for a device where each of them costs: all settings at once, then its energies and its PCEN.

What follows from sizes alone is given as constants, which a module keeps on the device. Channels come first, so that a
product by each channel's own matrix needs no copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from audiofeed.methods.auditory.long_filters import PooledBlocks
from audiofeed.methods.precision import matmul, matmul_added
from audiofeed.signal.auditory.leaf import CENTER_BOUNDS, deviation_bounds, pool_bounds
from audiofeed.signal.auditory.pcen import span_of

# a tap so far from the middle that no Gaussian reaches it, and a power so high that nothing below 1 is left of it
_FAR_TAP, _FAR_POWER = 1e15, 1e30
# past the end of every clip
_NOWHERE = np.iinfo(np.int32).max
# values of the two tables of runs that a batch's average may take
MOST_POWERS = 2**24


def between(spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Compute the middles and the negative halves of the spans that LEAF's settings stay in.

    Of an angle a, low + (high - low) sin(a)^2 is the middle less half of the span times cos(2 a).

    Returns:
        (2, spans, 1).

    >>> between([(1.0, 3.0)]).ravel().tolist()
    [2.0, -1.0]
    """
    low, high = np.array(spans).T
    return np.stack([(low + high) / 2, (low - high) / 2])[..., None]


def spans_of(win_length: int, *, at_once: bool, rounding: float) -> tuple[list[str], list[tuple[float, float]]]:
    """Return the parameters behind LEAF's settings in the order of `inside_all`, and the spans of these settings.

    Args:
        at_once: with those of PCEN.
        rounding: of the dtype that the average is computed in; no less is taken from an average with each frame, so
            that of high powers nothing is left.
    """
    names = ["raw_centre", "raw_deviation", "raw_pool"]
    spans = [CENTER_BOUNDS, deviation_bounds(win_length), pool_bounds(win_length)]
    if not at_once:
        return names, spans
    low, high = span_of("b")
    names += ["raw_b", "raw_b", "raw_gain", "raw_bias", "raw_power"]
    spans += [(1.0 - max(low, rounding), 1.0 - high), *(span_of(name) for name in ("b", "gain", "bias", "power"))]
    return names, spans


def fixed_spectra(size: int, filters: np.ndarray) -> np.ndarray:
    """Compute the spectra of `Banks` from fixed filters, as real and imaginary parts.

    Shape: (2, n, taps) -> (n, size, 2).
    """
    spectra = np.fft.fft(filters[0] + 1j * filters[1], n=size).conj()
    return np.stack([spectra.real, spectra.imag], axis=-1)


def filled_up(pooled: PooledBlocks, pools: np.ndarray) -> np.ndarray:
    """Fill fixed low-passes up with zeros to `pooled.hops` hops.  Shape: (n, taps) -> (n, hops * hop_length)."""
    return np.pad(pools, ((0, 0), (0, pooled.hops * pooled.blocks.hop_length - pools.shape[1])))


def inside_all(angles: Sequence[torch.Tensor], twice: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Compute LEAF's bounded settings from the parameters behind them, all at once: see `bounded_parameters.inside`.

    Args:
        angles: each (n,).
        twice: the number 2 as a tensor (1, 1), in the dtype that is computed in.
        spans: see `between`.

    Returns:
        (settings, n).
    """
    middle, half = spans
    return torch.addcmul(middle, half, (torch.stack(list(angles)) * twice).cos())


def tap_positions(win_length: int, size: int) -> np.ndarray:
    """Compute the positions of the taps of LEAF's filters and low-passes, for an FFT of `size` points.

    Returns:
        (3, 1, size + 1): the taps of the Gabor filters in samples and of the low-passes in halves of their length, both
        over the root of 2, and the filters' negative angles a cycle per sample. The last of the first row gives a
        filter's factor: 1 / sqrt(2 pi), which is to be divided by a deviation as a position is.

    >>> tap_positions(3, 4).shape
    (3, 1, 5)
    """
    t = np.arange(win_length) - (win_length - 1) / 2
    found = np.full((3, 1, size + 1), _FAR_TAP)
    found[0, 0, :win_length] = t / math.sqrt(2.0)
    found[0, 0, -1] = 1 / math.sqrt(2.0 * math.pi)
    found[1, 0, :win_length] = t / ((win_length - 1) / 2) / math.sqrt(2.0)
    found[2, 0] = 0.0
    found[2, 0, :win_length] = -2.0 * math.pi * t
    return found


class Banks(NamedTuple):
    """LEAF's filters as spectra, and its low-passes hop by hop.

    Args:
        spectra: complex (n, size), a product with which slides the filters.
        weights: (n, hop_length, hops of a low-pass).
    """

    spectra: torch.Tensor
    weights: torch.Tensor


def banks(
    settings: torch.Tensor, taps: torch.Tensor, nothing: torch.Tensor, pooled: PooledBlocks, like: torch.Tensor
) -> Banks:
    """Compute LEAF's filters and low-passes from its present settings: `gabor_filters` and `gaussian_pools` at once.

    Args:
        settings: center frequencies, deviations and widths of the low-passes, (3, n).
        taps: see `tap_positions`.
        nothing: a 0 in the dtype of the settings.
        like: has the dtype of the result.
    """
    size = pooled.blocks.size
    places = taps[:2] / settings[1:, :, None]  # (2, n, size + 1)
    gaussians = torch.addcmul(nothing, places, places, value=-1).exp()
    envelopes = gaussians[0, :, :size] * places[0, :, size:]
    filters = torch.polar(envelopes, settings[0, :, None] * taps[2, :, :size])
    # not scaled, the inverse FFT of a filter's conjugate is the conjugate of its spectrum
    spectra = torch.fft.ifft(filters.to(like.dtype.to_complex()), norm="forward")
    return Banks(spectra, pooled.by_hop(gaussians[1], like))


def energies(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    outside: torch.Tensor,
    pooled: PooledBlocks,
    own: Banks,
    nothing: torch.Tensor,
    *,
    floor: float,
    graph: bool,
) -> torch.Tensor:
    """Compute the low-passed energies of batched waveforms through long complex filters, in few launches.

    Args:
        outside: whether positions lie before a row or past its end, from `pooled.ahead` samples before it on.
        nothing: a 0 of the waveform's dtype.
        floor: the least energy.

    Shape: waveform (rows, time), outside (rows or 1, padded time) -> (n, rows, blocks, frames of each), which may be
    more frames than a row has.
    """
    blocks, hop = pooled.blocks, pooled.blocks.hop_length
    rows, count = len(waveform), pooled.count(waveform.shape[-1])
    padded = F.pad(waveform, (pooled.ahead, pooled.padded(waveform.shape[-1]) - pooled.ahead - waveform.shape[-1]))
    if lengths is not None:
        padded = padded.masked_fill_(outside, 0)
    spectrum = torch.fft.fft(padded.unfold(-1, blocks.size, blocks.step))
    response = torch.fft.ifft(spectrum * own.spectra[:, None, None])  # (n, row, block, sample)
    n, used = len(response), pooled.used
    past = outside[:, pooled.reach :].unfold(-1, used, blocks.step)[:, :count]
    sizes = torch.where(past, nothing, response[..., :used].abs())
    powers = sizes.square() if graph else sizes.square_()
    products = matmul(powers.view(n, -1, hop), own.weights).view(n, rows, count, -1)
    # a frame is the sum of so many products of consecutive hops: one of each hop, and of each part of the low-pass
    hops = own.weights.shape[-1]
    total = products.unfold(-1, (hops - 1) * (hops + 1) + 1, hops)[..., :: hops + 1].sum(-1)
    return total.clamp(min=floor) if graph else total.clamp_(min=floor)


def run_powers(runs: int, steps: int) -> np.ndarray:
    """Compute the powers of decay and weight of LEAF's running average over `runs` runs of `steps` frames each.

    What entered at the i-th frame of a run has decayed j - i times at its j-th: `steps` rows, of which the columns of
    the first run count. What left run q at its end has decayed (r - 1 - q) steps + j + 1 times at frame j of run r:
    `runs` rows. The first frame of all counts whole, others by the weight: the second table's first row.

    Returns:
        (2, 1, steps + runs, runs * steps).

    >>> run_powers(1, 2)[0, 0].tolist()
    [[0.0, 1.0], [1e+30, 0.0], [1e+30, 1e+30]]
    """
    source = np.concatenate([np.arange(steps), steps * np.arange(1, runs + 1) - 1])[:, None]
    apart = (np.arange(runs * steps) - source).astype(float)
    apart[apart < 0] = _FAR_POWER
    ends = np.arange(runs)
    apart[steps + ends, steps * (ends + 1) - 1] = _FAR_POWER  # is in the run itself
    weights = np.ones_like(apart)
    weights[:, 0] = 0.0
    return np.stack([apart, weights])[:, None]


def normalized_runs(x: torch.Tensor, settings: torch.Tensor, powers: torch.Tensor, *, eps: float) -> torch.Tensor:
    """Apply LEAF's PCEN, whose average starts with the first frame, to energies in runs of frames.

    It is `pcen.normalized`.

    Args:
        settings: what is left of the average after a frame, weight, gain, logarithm of the bias, and power, (5, n).
        powers: see `run_powers`.

    Shape: x (n, rows, runs, steps) -> (n, rows, runs * steps).
    """
    n, rows, runs, steps = x.shape
    decayed, weights = settings[:2, :, None, None] ** powers
    gain, log_bias, power = settings[2:, :, None, None]
    weighted = (x * weights[:, :1].unflatten(-1, (runs, steps))).view(n, -1, steps)
    within = matmul(weighted, decayed[:, :steps, :steps])  # (n, row and run, step)
    ends = within[..., -1].view(n, rows, runs)
    average = matmul_added(within.view(n, rows, -1), ends, decayed[:, steps:])
    bias = log_bias.exp()
    adapted = x.view(n, rows, -1) / ((average + eps) ** gain * bias)
    return torch.special.xlog1py(power, adapted).expm1() * bias**power


def samples_of_positions(first: int, count: int) -> np.ndarray:
    """Return the sample that each position stands for, from `first` on; before a clip one that lies past every end.

    >>> samples_of_positions(-1, 3).tolist()
    [2147483647, 0, 1]
    """
    at = np.arange(first, first + count, dtype=np.int32)
    return np.where(at < 0, _NOWHERE, at)
