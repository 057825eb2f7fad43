"""Time stretching of an augmentation's clips by a phase vocoder that measures each phase step where it is needed.

A frame of the result at time u, the center of its window, has the spectrum of the clip's frame at u / factor. Its
phases are turned such that each bin goes on from the frame before it, a hop earlier in the result, by what it advances
in the clip within a hop up to there: two frames of the clip exactly a hop apart are compared, so that no phase is
unwrapped and a steady tone keeps its frequency exactly. Where a bin sets in (a hop before it had less than a tenth of
the power, or half where the frame as a whole had no more) it starts with the clip's own phase, which keeps an onset an
onset. All bins about a peak of the spectrum are turned as the peak is (identity phase locking: Laroche and Dolson 1999)
so that a tone keeps its level.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from audiofeed.methods.inverse.overlap_add import overlap_add
from audiofeed.methods.spectrum import squared_magnitude
from audiofeed.parallel.running_sums import running_sums

_SECONDS = 0.064
# a Fourier transform up to this length gives each row of a batch the same bits as alone
_LONGEST = 8192
# a bin sets in where it had less than the first share of its power a hop before; where a frame grows, the second
_ONSET, _GROWTH = 0.1, 0.5
_SHORTEST = 256
# factors from a half to two reach so many hops beyond a clip's ends
_MARGIN = 12


def frame_of(sample_rate: int) -> int:
    """Return the samples of a frame of an augmentation's vocoder: a power of two, about 64 ms.

    >>> frame_of(16_000), frame_of(44_100)
    (1024, 2048)
    """
    return min(_LONGEST, max(_SHORTEST, 2 ** round(math.log2(_SECONDS * sample_rate))))


def stretched(waveforms: torch.Tensor, factors: torch.Tensor, length: int, n_fft: int) -> torch.Tensor:
    """Stretch an augmentation's clips to other lengths at their pitch.

    The gradient takes the turns of the phases as given: it is that of a linear filter.

    Args:
        waveforms: (batch, channel, time), zero past each clip's end.
        factors: float64 (batch,), 0.5 to 2, above 1 for longer.
        length: Samples of the result.
        n_fft: Samples of a frame, a power of two.

    Returns:
        (batch, channel, length).
    """
    batch, channels, _ = waveforms.shape
    hop, device = n_fft // 4, waveforms.device
    frames = -(-length // hop) + 3  # from one before the first sample to one after the last
    at = ((torch.arange(frames, device=device) - 1) * hop / factors[:, None]).round().long()
    window = torch.hann_window(n_fft, device=device, dtype=waveforms.dtype)
    padded = F.pad(waveforms, (_MARGIN * hop, _MARGIN * hop))
    first = (at + (_MARGIN * hop - n_fft // 2)).clamp_max(padded.shape[-1] - n_fft)  # (row, frame)
    spectrum = torch.fft.rfft(_pieces(padded, first, n_fft) * window)
    with torch.no_grad():
        turns = _turns(spectrum, torch.fft.rfft(_pieces(padded, first - hop, n_fft) * window))
    turned = spectrum * torch.complex(turns.cos(), turns.sin())
    pieces = torch.fft.irfft(turned, n=n_fft) * (window / 1.5)  # the squares of four windows add up to 1.5
    added = overlap_add(pieces, hop)
    return added[:, 3 * hop : 3 * hop + length].view(batch, channels, length)


def _pieces(waveforms: torch.Tensor, first: torch.Tensor, n_fft: int) -> torch.Tensor:
    """Take the pieces of an augmentation's clips that begin at given samples.

    Shape: (batch, channel, time), first (batch, frames) -> (batch * channel, frames, n_fft).
    """
    batch, channels, _ = waveforms.shape
    if batch == 1 and not waveforms.requires_grad:
        # for one clip whole pieces are copied; the gradient of that would be as large as all pieces there are
        return waveforms[0].unfold(-1, n_fft, 1)[:, first[0]]
    index = (first[..., None] + torch.arange(n_fft, device=first.device)).view(batch, 1, -1)
    return waveforms.gather(-1, index.expand(-1, channels, -1)).view(batch * channels, -1, n_fft)


def _peak_of(power: torch.Tensor) -> torch.Tensor:
    """Return the nearest peak of each bin of a frame of an augmentation's vocoder: a bin above two on either side.

    Shape: (rows, frames, bins) -> int64 of the same.
    """
    bins = power.shape[-1]
    # asked so that NaN, too, is a peak: a frame without one would have no place to gather from
    lower, place = F.max_pool1d(power, 5, 1, 2) > power, torch.arange(bins, device=power.device)
    below = torch.where(lower, -bins, place).cummax(-1).values
    above = torch.where(lower, 2 * bins, place).flip(-1).cummin(-1).values.flip(-1)
    return torch.where(place - below <= above - place, below, above)


def _turns(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Compute by how much an augmentation's vocoder turns the phase of each bin of each frame, in radians.

    Shape: complex (rows, frames, bins) twice -> (rows, frames, bins).
    """
    phase = now.angle()
    steps = (phase - before.angle()).double()
    walked = running_sums(steps, 1)
    power, former = squared_magnitude(now), squared_magnitude(before)
    grows = former.sum(-1, keepdim=True) < _GROWTH * power.sum(-1, keepdim=True)
    onset = (former < _ONSET * power) | (grows & (former < _GROWTH * power))
    onset[:, 0] = True
    place = torch.arange(now.shape[1], device=now.device)[:, None]
    last = torch.where(onset, place, 0).cummax(1).values
    ahead = walked - phase.double()  # what a bin would be turned by, but for where it set in
    turns = (ahead - ahead.gather(1, last)).gather(-1, _peak_of(power))
    return (turns - (turns * (0.5 / math.pi)).round() * (2 * math.pi)).to(phase.dtype)
