"""Waveforms through banks of long filters at a small hop, by FFT in blocks.

A bank of 80 filters of 401 taps at every sample is 64,000 operations a sample as a convolution; by overlapping blocks
of FFTs it is about 3,000. Without a graph a few blocks at a time are computed, so that they stay in cache; with one all
blocks are computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from audiofeed.methods import frames
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import clear_past, past_of
from audiofeed.methods.precision import conv1d, matmul
from audiofeed.methods.spectrum import squared_magnitude
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import ceil_divided
from audiofeed.parallel.launches import launches
from audiofeed.parallel.observed import as_long_as_traced, is_exporting, plain_size

# From this hop on, each tap of each frame by itself is less work than every sample by FFT.
DENSE_HOP = 4


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Overlapping FFT blocks in which long filters are applied to padded waveforms.

    A block makes `frames` frames: block k begins at sample k * frames * hop_length.
    """

    size: int
    frames: int
    hop_length: int

    @classmethod
    def of(cls, support: int, hop_length: int, length: int) -> Blocks:
        """Return the overlapping FFT blocks in which long filters are applied to rows of one length.

        A frame needs `support` samples, and a padded row has `length` samples. Four times the support leaves a quarter
        or less to the overlap and keeps a block of 40 spectra in cache. A shorter row needs no more than its own
        length.
        """
        size = 1 << (max(support, min(4 * support, length)) - 1).bit_length()
        return cls(size=size, frames=(size - support) // hop_length + 1, hop_length=hop_length)

    @property
    def step(self) -> int:
        """Number of samples from one FFT block of long filters to the next."""
        return self.frames * self.hop_length

    def cut(self, padded: torch.Tensor, n_frames: int) -> torch.Tensor:
        """Cut padded waveforms into the overlapping FFT blocks that long filters are applied to.

        They are the blocks that make `n_frames` frames.

        Shape: (rows, padded time) -> (rows, blocks, size).
        """
        count = -(-n_frames // self.frames)
        missing = (count - 1) * self.step + self.size - padded.shape[-1]
        return F.pad(padded, (0, max(0, missing))).unfold(-1, self.size, self.step)[:, :count]

    def join(self, blocks: torch.Tensor, n_frames: int) -> torch.Tensor:
        """Join the frames that long filters made of the FFT blocks of each row.

        Shape: (rows, blocks, n, frames of each) -> (rows, n, frames).
        """
        return blocks.transpose(1, 2).flatten(2)[..., :n_frames]


@dataclass(frozen=True, kw_only=True)
class PooledBlocks:
    """FFT blocks in which long filters and then low-passes are applied, one hop of a low-pass at a time.

    Args:
        blocks: what makes the frames.
        hops: of a low-pass, the last filled up with zeros.
        reach: samples of a filter on each side of its middle.
        margin: samples of a low-pass on each side of its middle.
    """

    blocks: Blocks
    hops: int
    reach: int
    margin: int

    @classmethod
    def of(cls, taps: int, pool_taps: int, hop_length: int, time: int) -> PooledBlocks:
        """Return the blocks for filters and low-passes of so many taps, odd, and rows of `time` samples."""
        reach, margin = (taps - 1) // 2, (pool_taps - 1) // 2
        hops = -(-pool_taps // hop_length)
        blocks = Blocks.of(taps - 1 + hops * hop_length, hop_length, time + 2 * (reach + margin))
        return cls(blocks=blocks, hops=hops, reach=reach, margin=margin)

    @property
    def used(self) -> int:
        """Number of samples of each filtered block that a low-pass sees."""
        return (self.blocks.frames + self.hops - 1) * self.blocks.hop_length

    @property
    def ahead(self) -> int:
        """Number of samples of the first filtered and low-passed frame that lie before a row."""
        return self.reach + self.margin

    def count(self, time: int) -> int:
        """Return the number of blocks of filtered and low-passed rows of `time` samples."""
        return ceil_divided(ceil_divided(time, self.blocks.hop_length), self.blocks.frames)

    def padded(self, time: int) -> int:
        """Return the samples that rows of `time` samples are padded to, to be filtered and low-passed in blocks."""
        return (self.count(time) - 1) * self.blocks.step + self.blocks.size

    def by_hop(self, pools: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return low-passes of filtered blocks hop by hop: a frame is the sum of products with consecutive hops.

        Shape: (n, hops * hop_length or more) -> (n, hop_length, hops), in the dtype of `like`.
        """
        hop = self.blocks.hop_length
        weights = pools[:, : self.hops * hop].unflatten(-1, (self.hops, hop)).transpose(1, 2)
        return weights.to(like.dtype, memory_format=torch.contiguous_format)


# From blocks (m, size) and where their rows begin and end in them, (m,) each, to frames (m, n, frames of a block)
Compute = Callable[..., torch.Tensor]


def filtered_waveform(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, filters: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Apply a bank of long filters to batched waveforms, by overlapping FFT blocks at a small hop.

    Every filter is slid along each row.

    Shape: (rows, time), (n, taps) -> (rows, n, frames).
    """
    n, taps = map(plain_size, filters.shape)
    waveform = as_long_as_traced(waveform)
    if framing.hop_length >= DENSE_HOP or is_exporting():
        return _dense(waveform, lengths, framing, filters, graph=graph)
    length = max(plain_size(waveform.shape[-1]) + 2 * framing.margin, taps)
    blocks = Blocks.of(taps, framing.hop_length, length)
    # (n, bins): a product with it slides, not convolves
    spectra = torch.fft.rfft(filters, n=blocks.size).conj().resolve_conj()

    def compute(samples: torch.Tensor, begin: torch.Tensor | None, end: torch.Tensor | None) -> torch.Tensor:
        every = torch.fft.irfft(torch.fft.rfft(samples)[:, None] * spectra, n=blocks.size)  # (m, n, size)
        return every[..., : blocks.step : blocks.hop_length]

    n_frames = framing.count(waveform.shape[-1])
    together = len(waveform) if graph else rows_together(waveform, n_frames, blocks, n)
    if together:
        padded = framing.pad(waveform, lengths)
        parts = [padded] if together >= len(waveform) else padded.split(together)
        joined = [_joined(blocks.cut(part, n_frames), blocks, n_frames, compute, None, None) for part in parts]
        return joined[0] if len(joined) == 1 else torch.cat(joined)
    out = filters.new_empty(waveform.shape[0], n, framing.count(waveform.shape[-1]))
    for rows, count, padded in framing.padded_runs(Workspace(filters), waveform, lengths):
        for row, first, made in _some_at_a_time(padded, count, blocks, compute, n, margin=0):
            out[rows.start + row, :, first : first + made.shape[-1]] = made
    return out


def _dense(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, filters: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    if graph:
        return conv1d(framing.pad(waveform, lengths), filters, framing.hop_length)
    out = filters.new_empty(waveform.shape[0], filters.shape[0], framing.count(waveform.shape[-1]))
    workspace = Workspace(filters)
    for rows, count, padded in framing.padded_runs(workspace, waveform, lengths):
        out[rows, :, :count] = conv1d(padded, filters, framing.hop_length)
    return out


def pooled_energies(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    filters: torch.Tensor,
    pools: torch.Tensor,
    hop_length: int,
    *,
    graph: bool,
) -> torch.Tensor:
    """Compute the low-passed energies of batched waveforms through long complex filters, by FFT blocks.

    They are |row through each complex filter|^2, through that filter's own low-pass, every `hop_length` samples. A row
    is 0 outside its own samples, and so are its energies: frame f is centered on sample f * hop_length.

    Shape: waveform (rows, time), filters (2, n, taps), pools (n, pool taps), taps odd -> (rows, n, frames).
    """
    if is_exporting():
        return _dense_energies(waveform, lengths, filters, pools, hop_length)
    _, n, taps = map(plain_size, filters.shape)
    pool_taps = plain_size(pools.shape[-1])
    waveform = as_long_as_traced(waveform)
    time = plain_size(waveform.shape[-1])
    # the low-pass in pieces of one hop: a frame is the sum of so many products of consecutive hops
    pooled = PooledBlocks.of(taps, pool_taps, hop_length, time)
    blocks, n_hops, margin = pooled.blocks, pooled.hops, pooled.margin
    weights = pooled.by_hop(F.pad(pools, (0, n_hops * hop_length - pool_taps)), pools)
    spectra = torch.fft.fft(torch.complex(filters[0], filters[1]), n=blocks.size).conj().resolve_conj()  # (n, size)

    def compute(samples: torch.Tensor, begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        response = torch.fft.ifft(torch.fft.fft(samples)[:, None] * spectra)  # (m, n, size)
        # looking at the positions on the host would wait for a GPU
        if graph or begin.device.type != "cpu":
            energy = squared_magnitude(response)
            at = torch.arange(blocks.size, device=samples.device)
            own = (at >= begin[:, None]) & (at < end[:, None])  # (m, size)
            energy = torch.where(own[:, None], energy, 0.0)
        else:
            parts = torch.view_as_real(response)
            parts.mul_(parts)
            energy = parts[..., 0] + parts[..., 1]  # one vectorised addition; a sum over a dimension of two is none
            for one, low, high in zip(energy, begin.tolist(), end.tolist(), strict=True):
                one[:, : max(0, low)] = 0
                one[:, max(0, high) :] = 0
        by_hop = energy[..., : pooled.used].unflatten(-1, (-1, hop_length))  # (m, n, hop, sample of a hop)
        products = matmul(by_hop, weights.expand(samples.shape[0], -1, -1, -1))  # (m, n, hop, hop of the low-pass)
        total = products[:, :, : blocks.frames, 0]
        for j in range(1, n_hops):
            total = total + products[:, :, j : j + blocks.frames, j]
        return total

    framing = Framing(n_fft=2 * pooled.ahead + 1, hop_length=hop_length, center=True, pad_mode="constant")
    n_frames = framing.count(time)
    together = len(waveform) if graph else rows_together(waveform, n_frames, blocks, 2 * n)
    if together and together >= len(waveform):
        padded = framing.pad(waveform, lengths)
        return _all_at_once(padded, lengths, n_frames, blocks, compute, margin=margin, time=time)
    if together:
        padded = framing.pad(waveform, lengths)
        parts = []
        for first in range(0, len(waveform), together):
            own = None if lengths is None else lengths[first : first + together]
            some = padded[first : first + together]
            parts.append(_all_at_once(some, own, n_frames, blocks, compute, margin=margin, time=time))
        return torch.cat(parts)
    # zeros, because what comes after may mix the frames of a row: 0 times what memory holds could be a NaN
    out = pools.new_zeros(waveform.shape[0], n, framing.count(time))
    for rows, count, padded in framing.padded_runs(Workspace(pools), waveform, lengths):
        own_time = padded.shape[-1] - 2 * framing.margin
        ends = None if lengths is None or lengths.device.type == "cpu" else lengths[rows]
        made = _some_at_a_time(padded, count, blocks, compute, n, margin=margin, time=own_time, ends=ends)
        for row, first, found in made:
            out[rows.start + row, :, first : first + found.shape[-1]] = found
    return out


def _dense_energies(
    waveform: torch.Tensor, lengths: torch.Tensor | None, filters: torch.Tensor, pools: torch.Tensor, hop_length: int
) -> torch.Tensor:
    """Compute low-passed energies of long filters by two convolutions, which an export follows for any length.

    Shapes as in `pooled_energies`.
    """
    _, n, taps = filters.shape
    if lengths is not None:
        waveform = clear_past(waveform, lengths)
    ahead, reach = taps // 2, pools.shape[-1] // 2
    response = conv1d(F.pad(waveform, (ahead, ahead)), filters.flatten(0, 1), 1)  # (row, 2 n, time)
    energy = response[:, :n].square() + response[:, n:].square()
    if lengths is not None:
        energy = energy.masked_fill(past_of(waveform.shape[-1], lengths)[:, None], 0.0)
    return F.conv1d(F.pad(energy, (reach, reach)), pools[:, None], stride=hop_length, groups=n)


def rows_together(waveform: torch.Tensor, n_frames: int, blocks: Blocks, n: int) -> int:
    """Return how many rows of waveforms are computed at once by `n` long filters; 0: not on this device, or not one."""
    if not launches(waveform):
        return 0
    return frames.GPU_BLOCK * 4 // (-(-n_frames // blocks.frames) * blocks.size * n)


def _all_at_once(
    padded: torch.Tensor,
    lengths: torch.Tensor | None,
    n_frames: int,
    blocks: Blocks,
    compute: Compute,
    *,
    margin: int,
    time: int = 0,
) -> torch.Tensor:
    """Compute the frames of long filters from the FFT blocks of all rows at once, for autograd to see."""
    samples = blocks.cut(padded, n_frames)  # (row, block, size)
    rows, count, _ = samples.shape
    offset = margin - torch.arange(count, device=padded.device) * blocks.step
    ends = torch.full((rows,), time, device=padded.device) if lengths is None else lengths
    begin = offset.expand(rows, -1).reshape(-1)
    end = (offset + ends[:, None]).reshape(-1)
    return _joined(samples, blocks, n_frames, compute, begin, end)


def _joined(
    samples: torch.Tensor,
    blocks: Blocks,
    n_frames: int,
    compute: Compute,
    begin: torch.Tensor | None,
    end: torch.Tensor | None,
) -> torch.Tensor:
    """Compute the frames that long filters make of FFT blocks, and join those of each row.

    Shape: samples (rows, blocks, size), begin and end (rows * blocks,) or None -> (rows, n, frames).
    """
    rows, count, size = samples.shape
    made = compute(samples.reshape(rows * count, size), begin, end)
    return blocks.join(made.unflatten(0, (rows, count)), n_frames)


def _some_at_a_time(
    padded: torch.Tensor,
    n_frames: int,
    blocks: Blocks,
    compute: Compute,
    n: int,
    *,
    margin: int,
    time: int = 0,
    ends: torch.Tensor | None = None,
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield the frames of long filters row by row, a few FFT blocks at a time, without a graph.

    Each item is (row, first frame, frames).
    """
    samples = blocks.cut(padded, n_frames)
    budget = frames.CPU_BLOCK // 4 if padded.device.type == "cpu" else frames.GPU_BLOCK
    step = max(1, math.ceil(budget / (n * blocks.size)))
    for row in range(samples.shape[0]):
        for first in range(0, samples.shape[1], step):
            some = samples[row, first : first + step]
            begin = margin - torch.arange(first, first + len(some), device=padded.device) * blocks.step
            end = begin + (time if ends is None else ends[row])
            made = compute(some, begin, end)  # (block, n, frames of a block)
            left = n_frames - first * blocks.frames
            yield row, first * blocks.frames, made.transpose(0, 1).flatten(1)[:, :left]
