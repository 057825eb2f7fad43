"""Impulse responses of rooms as a bank of an augmentation, and their convolution with clips by FFT in blocks.

On a CPU a clip gets the same bits in any batch: all that is computed for it are complex FFTs of one size, one behind
the other in memory that is aligned alike, by one thread (`contract/by_group.py`). Two blocks of a clip travel as the
real and the imaginary part of one: the response is real, so that neither touches the other, and no spectrum has to be
taken apart.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from audiofeed.parallel.thread_pool import alone

# A block as long as so many responses: shorter ones spend more on the overlap, longer ones leave the cache.
_RESPONSES = 4
_SHORTEST = 1024


def block_size(taps: int) -> int:
    """Return the size of an FFT block for responses of so many taps in an augmentation, from these alone.

    >>> block_size(8000), block_size(1)
    (32768, 1024)
    """
    return 1 << (max(_SHORTEST, _RESPONSES * taps) - 1).bit_length()


def bank_of(responses: Sequence[torch.Tensor], most: int | None) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Return impulse responses for an augmentation in one tensor, aligned and 1 at their peaks, and what is cut off.

    Args:
        responses: Each (channel, time), floating point, all of one number of channels, none of them silent.
        most: Taps kept from the peak on; None: all.

    Returns:
        (responses, channel, taps) float32, in which all peaks, the largest absolute values in any channel, stand at
        the same tap and are 1; that tap; and the share of each response's energy that was cut off, float64.

    >>> bank_of([torch.tensor([[0.0, -2.0, -1.0]]), torch.tensor([[1.0, 0.5]])], None)[0]
    tensor([[[-0.0000, 1.0000, 0.5000]],
    <BLANKLINE>
            [[0.0000, 1.0000, 0.5000]]])
    """
    peaks = [int(response.abs().amax(0).argmax()) for response in responses]
    before, after = max(peaks), 0
    for response, peak in zip(responses, peaks, strict=True):
        after = max(after, response.shape[-1] - peak)
    after = after if most is None else min(after, most)
    kept, lost = [], []
    for response, peak in zip(responses, peaks, strict=True):
        end = min(response.shape[-1], peak + after)
        channel = response.abs()[:, peak].argmax()
        scaled = response.double() / response[channel, peak].double()
        kept.append(F.pad(scaled[:, :end].float(), (before - peak, after - (end - peak))))
        energy = scaled.square()
        lost.append(energy[:, end:].sum() / energy.sum())
    return torch.stack(kept), before, torch.stack(lost)


def spectra_of(bank: torch.Tensor, size: int) -> torch.Tensor:
    """Return the spectra of an augmentation's responses for blocks of a size.

    Args:
        bank: (responses, channel, taps).
        size: Of a block.

    Returns:
        complex64 (responses, channel, size).

    >>> spectra_of(torch.ones(1, 1, 2), 4)[0, 0, 0]
    tensor(2.+0.j)
    """
    with alone() if bank.device.type == "cpu" else contextlib.nullcontext():
        return torch.fft.fft(bank.to(torch.complex64), n=size)


def convolved(waveforms: torch.Tensor, spectra: torch.Tensor, taps: int, lead: int) -> torch.Tensor:
    """Convolve an augmentation's clips with a response each, cut to the clips: by overlapping FFT blocks.

    Args:
        waveforms: (batch, channel, time), float32.
        spectra: complex64 (batch, 1 or channel, size), as `spectra_of` makes them.
        taps: Of the responses.
        lead: The tap that becomes lag 0.

    Returns:
        float32 (batch, channel, time).

    >>> spectra = spectra_of(torch.tensor([[[0.0, 1.0, 0.5]]]), 1024)
    >>> convolved(torch.tensor([[[1.0, 0.0, 0.0]]]), spectra, 3, 1).round(decimals=4) + 0
    tensor([[[1.0000, 0.5000, 0.0000]]])
    """
    batch, channels, time = waveforms.shape
    size = spectra.shape[-1]
    step = size - taps + 1
    pairs = math.ceil(math.ceil(time / step) / 2)
    # output sample t of the clip is sample t + lead of the whole convolution; a block's first taps - 1 are spoiled
    padded = F.pad(waveforms, (taps - 1 - lead, 2 * pairs * step - time + lead))
    blocks = padded.unfold(-1, size, step)  # (batch, channel, block, size)
    found = _filtered(blocks.flatten(0, 1), spectra.expand(-1, channels, -1).flatten(0, 1), step)
    return found.unflatten(0, (batch, channels))[..., :time]


def _filtered(blocks: torch.Tensor, spectra: torch.Tensor, step: int) -> torch.Tensor:
    """Filter blocks (rows, block, size) of an augmentation's clips, and return them joined, (rows, time)."""
    both = torch.complex(blocks[:, 0::2], blocks[:, 1::2])  # (rows, pair, size)
    both = torch.fft.fft(both)
    both = both * spectra[:, None] if both.requires_grad else both.mul_(spectra[:, None])
    found = torch.fft.ifft(both)[..., -step:]
    return torch.stack([found.real, found.imag], 2).flatten(1)
