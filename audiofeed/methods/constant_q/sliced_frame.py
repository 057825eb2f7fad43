"""Non-stationary Gabor frames by FFT, slice by slice: from samples to the bands' coefficients and back.

A slice is a stretch of the signal that is filtered as a whole: one real FFT, and for each band its window and an
inverse FFT of as many points as the slice has frames. The filters ring, and an FFT rings round its ends, so that only
what lies `transition` samples inside a slice is kept; slices overlap by twice that, and what is kept of them lies end
to end.

Before its first and after its last frame a clip is mirrored, in samples and so, conjugated, in coefficients. Nothing
outside the clip needs to be kept, and what was left out comes back by the same mirror.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from audiofeed.methods.frames import Count, mirrored
from audiofeed.parallel.launches import launches
from audiofeed.signal.constant_q.sliced_bands import GaborBands, analysis_weights, band_bins, synthesis_weights

# Complex numbers of the bands' spectra that are computed in one go without a graph: 16 MB in single precision.
PIECE = 2**21
# an end that is not known yet, past any that will be
OPEN = 2**48


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Positions in samples of the slices of a sliced constant-Q frame.

    `length` and `transition` are multiples of `hop_length`.
    """

    hop_length: int
    length: int
    transition: int

    @property
    def step(self) -> int:
        """Samples from one slice to the next in a sliced constant-Q frame.

        They are those kept of each slice.
        """
        return self.length - 2 * self.transition

    @property
    def frames(self) -> int:
        """Coefficients of each band in one FFT slice of a sliced constant-Q frame."""
        return self.length // self.hop_length

    @property
    def margin(self) -> int:
        """Coefficients before and after those that are kept of a slice in a sliced constant-Q frame."""
        return self.transition // self.hop_length

    @property
    def kept(self) -> int:
        """Coefficients of each band that are kept of a slice in a sliced constant-Q frame."""
        return self.step // self.hop_length

    @property
    def most_whole(self) -> int:
        """Most frames of a clip that a sliced constant-Q frame takes as one slice.

        Up to these a clip takes one slice of its own, with its mirror image, in place of the others.
        """
        return self.kept + self.margin

    @property
    def closed(self) -> bool:
        """True if a slice of a sliced constant-Q frame is a clip and its mirror image.

        Such a slice is even.
        """
        return self.transition == 0

    def whole(self, frames: int) -> Slices:
        """Return the one slice of a sliced constant-Q frame that a short clip and its mirror image fill.

        The clip has `frames` frames; the slice closes, and has no transition.

        >>> Slices(hop_length=4, length=64, transition=8).whole(5)
        Slices(hop_length=4, length=32, transition=0)
        """
        return Slices(hop_length=self.hop_length, length=2 * self.hop_length * max(frames - 1, 1), transition=0)


class Bands(NamedTuple):
    """Bands of a sliced constant-Q frame as tensors, on the FFT of slices of one length.

    Args:
        spans: the first bin of each band and how many it has.
        bins, places: (entries,) of every bin of every band, where it lies in a slice's FFT and where in the bands'.
        analysis, synthesis: (entries,) weights on the way there and back.
    """

    spans: tuple[tuple[int, int], ...]
    bins: torch.Tensor
    places: torch.Tensor
    analysis: torch.Tensor
    synthesis: torch.Tensor


def bands_of(bands: GaborBands, slices: Slices, like: torch.Tensor) -> Bands:
    """Return the bands of a sliced constant-Q frame as tensors, on the FFT of its slices.

    They have the dtype and the device of `like`.
    """
    entries = band_bins(bands, slices.length)
    weights = (of(bands, slices.length, slices.hop_length) for of in (analysis_weights, synthesis_weights))
    return Bands(
        entries.spans,
        torch.from_numpy(entries.bins).to(like.device),
        torch.from_numpy(entries.places(slices.frames)).to(like.device),
        *(torch.from_numpy(w).to(dtype=like.dtype).to(device=like.device) for w in weights),
    )


def count_frames(lengths: Count, hop_length: int) -> Count:
    """Return the frames of clips (int or tensor) in a sliced constant-Q frame.

    A clip has one at sample 0, and as many as reach the last sample; an empty clip has none.

    >>> [count_frames(n, 4) for n in (0, 1, 2, 5, 6)]
    [0, 1, 2, 2, 3]
    """
    frames = (lengths + (2 * hop_length - 2)) // hop_length
    if isinstance(frames, torch.Tensor):
        return torch.minimum(frames, lengths)  # never more frames than samples, and none of none
    return frames if lengths > 0 else 0


def extended(x: torch.Tensor, end: int | torch.Tensor, start: int, stop: int, offset: int = 0) -> torch.Tensor:
    """Extend samples or coefficients for a sliced constant-Q frame by their mirror images.

    The result is positions start..stop-1 of an even continuation about position 0 and about `end`; complex values:
    conjugate.

    Args:
        x: (rows, ..., n) positions offset..offset+n-1.
        end: the last position of all rows, or (rows,) of each.

    >>> extended(torch.tensor([[1, 2, 3]]), 2, -2, 6).tolist()
    [[3, 2, 1, 2, 3, 2, 1, 2]]
    """
    if isinstance(end, torch.Tensor):
        return _images(x, torch.arange(start, stop, device=x.device), end, offset)
    first, last = max(start, 0), min(stop, end + 1)
    parts = [x[..., first - offset : last - offset]]
    if start < 0:
        parts.insert(0, _images(x, torch.arange(start, min(0, stop), device=x.device), end, offset))
    if stop > end + 1:
        parts.append(_images(x, torch.arange(max(end + 1, start), stop, device=x.device), end, offset))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _images(x: torch.Tensor, positions: torch.Tensor, end: int | torch.Tensor, offset: int) -> torch.Tensor:
    if isinstance(end, torch.Tensor):
        end = end.view(-1, *[1] * (x.dim() - 1))  # (row, 1..., 1)
        source = mirrored(positions, end + 1, "reflect")
        values = x.gather(-1, (source - offset).expand(*x.shape[:-1], -1))
        period = (2 * end).clamp(min=1)
    else:
        # filled on the device: a number copied there would be waited for
        source = mirrored(positions, torch.full((), end + 1, device=x.device), "reflect")
        values = x.index_select(-1, source - offset)
        period = torch.full((), max(2 * end, 1), device=x.device)
    if not x.is_complex():
        return values
    return torch.where(torch.remainder(positions, period) > end, values.conj(), values)


# ---------------------------------------------------------------- one slice


def to_bands(samples: torch.Tensor, slices: Slices, bands: Bands) -> torch.Tensor:
    """Compute the band coefficients of slices by FFT for a sliced constant-Q frame, with a graph.

    Autograd or a compiler can follow it.

    Shape: (n, length) -> complex (n, bands, frames).
    """
    spectrum = torch.fft.rfft(samples)  # (n, bin)
    count = len(bands.spans)
    entries = spectrum.index_select(-1, bands.bins) * bands.analysis
    empty = entries.new_zeros(samples.shape[0], count * slices.frames)
    spread = empty.index_copy(1, bands.places, entries).view(-1, count, slices.frames)
    found = torch.fft.ifft(spread)
    return _ends_made_real(found) if launches(found) and not found.requires_grad else _ends_real(found)


def from_bands(coefficients: torch.Tensor, slices: Slices, bands: Bands) -> torch.Tensor:
    """Compute samples of slices from band coefficients of a sliced constant-Q frame, with a graph.

    Autograd or a compiler can follow it.

    Shape: complex (n, bands, frames) -> (n, length).
    """
    spread = torch.fft.fft(_ends_real(coefficients)).flatten(1)
    entries = spread.index_select(1, bands.places) * bands.synthesis
    empty = entries.new_zeros(entries.shape[0], slices.length // 2 + 1)
    return torch.fft.irfft(empty.index_add(1, bands.bins, entries), n=slices.length)


def _ends_real(coefficients: torch.Tensor) -> torch.Tensor:
    """Return coefficients of a sliced constant-Q frame, those of its lowest and highest band made real.

    A real signal has no imaginary part in the bands at 0 and at half the sample rate.
    """
    first, last = (torch.complex(c.real, torch.zeros_like(c.real)) for c in (coefficients[:, :1], coefficients[:, -1:]))
    return torch.cat([first, coefficients[:, 1:-1], last], dim=1)


def _ends_made_real(coefficients: torch.Tensor) -> torch.Tensor:
    """Return what `_ends_real` does in the memory of the coefficients, in one launch."""
    if torch.compiler.is_compiling():
        return _ends_real(coefficients)
    coefficients.imag[:, :: max(1, coefficients.shape[1] - 1)].zero_()
    return coefficients


def to_bands_into(out: torch.Tensor, samples: torch.Tensor, slices: Slices, bands: Bands) -> None:
    """Write the valid band coefficients of slices of a sliced constant-Q frame, without a graph.

    Shape: (n, length) -> out complex (n, bands, at most kept): the first of them.
    """
    spectrum = torch.fft.rfft(samples)
    if slices.closed:
        spectrum = spectrum.real.contiguous()  # what is even has a real spectrum
    keep = slice(slices.margin, slices.margin + out.shape[-1])
    for run, entry in _runs(len(samples), slices, bands):
        spread = spectrum.new_zeros(len(samples), run.stop - run.start, slices.frames)
        for band, (first, count) in enumerate(bands.spans[run]):
            for there, here in _pieces(first, count, slices.frames):
                weights = bands.analysis[entry + here.start - first : entry + here.stop - first]
                torch.mul(spectrum[:, here], weights, out=spread[:, band, there])
            entry += count
        out[:, run] = (torch.fft.ihfft(spread) if slices.closed else torch.fft.ifft(spread))[..., keep]
    for band in (0, -1):  # a list of both, as an index, would be copied to the device and waited for
        out[:, band].imag.zero_()


def from_bands_in_place(coefficients: torch.Tensor, slices: Slices, bands: Bands) -> torch.Tensor:
    """Compute samples of slices from coefficients of a sliced constant-Q frame, without a graph.

    Shape: complex (n, bands, frames) -> (n, length).
    """
    total = coefficients.new_zeros(len(coefficients), slices.length // 2 + 1)
    last = len(bands.spans) - 1
    for run, entry in _runs(len(coefficients), slices, bands):
        spread = torch.fft.fft(_without_imaginary_ends(coefficients, run, last))
        for band, (first, count) in enumerate(bands.spans[run]):
            for there, here in _pieces(first, count, slices.frames):
                weights = bands.synthesis[entry + here.start - first : entry + here.stop - first]
                total[:, here] += spread[:, band, there].mul_(weights)
            entry += count
    return torch.fft.irfft(total, n=slices.length)


def from_closed_bands(coefficients: torch.Tensor, slices: Slices, bands: Bands) -> torch.Tensor:
    """Compute samples of closed slices of a sliced constant-Q frame, without a graph.

    They come from the frames of the clip alone, without their mirror image.

    What mirrors itself has a real spectrum but for the imaginary parts of its first and last frame, which are their own
    mirror images: those have the spectra of an impulse in the middle of either half.

    Shape: complex (n, bands, frames / 2 + 1) -> (n, length).
    """
    rows, bins = len(coefficients), slices.length // 2 + 1
    real, imag = (coefficients.real.new_zeros(rows, bins) for _ in range(2))
    signs = real.new_ones(bins)
    signs[1::2] = -1
    last = len(bands.spans) - 1
    for run, entry in _runs(rows, slices, bands):
        spread = torch.fft.hfft(_without_imaginary_ends(coefficients, run, last), n=slices.frames)
        for band, (first, count) in enumerate(bands.spans[run]):
            beginning, ending = (coefficients[:, run.start + band, frame, None].imag for frame in (0, -1))
            for there, here in _pieces(first, count, slices.frames):
                weights = bands.synthesis[entry + here.start - first : entry + here.stop - first]
                real[:, here] += spread[:, band, there].mul_(weights)
                if run.start + band not in (0, last):
                    imag[:, here] += (beginning + ending * signs[here]) * weights
            entry += count
    return torch.fft.irfft(torch.complex(real, imag), n=slices.length)


def _without_imaginary_ends(coefficients: torch.Tensor, run: slice, last: int) -> torch.Tensor:
    """Return a run of bands of a sliced constant-Q frame, its lowest and highest band made real.

    The first and the last of all bands come without imaginary part.
    """
    piece = coefficients[:, run]
    ends = [band - run.start for band in (0, last) if run.start <= band < run.stop]
    if ends:
        piece = piece.clone()
        for band in ends:
            piece[:, band].imag.zero_()
    return piece


def _runs(rows: int, slices: Slices, bands: Bands) -> Iterator[tuple[slice, int]]:
    """Yield runs of neighboring bands of a sliced constant-Q frame that are computed in one go.

    Each comes with its first entry.
    """
    count = len(bands.spans)
    step = max(1, PIECE // (rows * slices.frames))
    starts = [0, *itertools.accumulate(width for _, width in bands.spans)]
    for first in range(0, count, step):
        yield slice(first, min(first + step, count)), starts[first]


def _pieces(first: int, count: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Yield the positions of a band's FFT bins in a slice of a sliced constant-Q frame.

    They are taken modulo the frames, in one piece or two, each with its bins.
    """
    place = first % frames
    head = min(count, frames - place)
    yield slice(place, place + head), slice(first, first + head)
    if count > head:
        yield slice(0, count - head), slice(first + head, first + count)


# ---------------------------------------------------------------- many slices


def analyze(
    x: torch.Tensor,
    end: int | torch.Tensor,
    slices: Slices,
    bands: Bands,
    *,
    frames: int,
    first: int = 0,
    offset: int = 0,
    graph: bool,
) -> torch.Tensor:
    """Compute batched coefficients of a sliced constant-Q frame from samples, slice by slice.

    They are those of frames first * kept..frames-1.

    Args:
        x: (rows, n) samples from position `offset` on, 0 past each row's own end as far as its last frame.
        end: the position of the last frame, of all rows or (rows,) of each.
        first: the first slice that is computed.

    Shape:
        -> complex (rows, bands, frames - first * kept).
    """
    rows, stop = x.shape[0], -(-frames // slices.kept)
    count = frames - first * slices.kept
    if graph or x.device.type != "cpu":  # a GPU waits for Python in a loop over bands
        low, high = first * slices.step - slices.transition, stop * slices.step + slices.transition
        cut = extended(x, end, low, high, offset).unfold(-1, slices.length, slices.step)  # (row, slice, sample)
        found = to_bands(cut.flatten(0, 1), slices, bands)[..., slices.margin : slices.margin + slices.kept]
        return found.unflatten(0, (rows, -1)).transpose(1, 2).flatten(2)[..., :count]
    out = x.new_empty((rows, len(bands.spans), count), dtype=x.dtype.to_complex())
    for i in range(first, stop):
        low = i * slices.step
        cut = extended(x, end, low - slices.transition, low + slices.step + slices.transition, offset)
        to_bands_into(out[..., (i - first) * slices.kept :][..., : slices.kept], cut, slices, bands)
    return out


def synthesize(
    coefficients: torch.Tensor,
    end: int | torch.Tensor,
    slices: Slices,
    bands: Bands,
    *,
    length: int,
    first: int = 0,
    offset: int = 0,
    graph: bool,
) -> torch.Tensor:
    """Synthesize batched samples from the coefficients of a sliced constant-Q frame, slice by slice.

    They are samples first * step..length-1, of which none lies past the last frame.

    Args:
        coefficients: complex (rows, bands, n), frames from `offset` on.
        end: the last frame, of all rows or (rows,) of each.
        first: the first slice that is computed.

    Shape:
        -> (rows, length - first * step).
    """
    at_once = graph or coefficients.device.type != "cpu"
    if slices.closed and not at_once and coefficients.shape[-1] > 1:
        return from_closed_bands(coefficients, slices, bands)[:, :length]
    rows, stop = coefficients.shape[0], -(-length // slices.step)
    count = length - first * slices.step
    keep = slice(slices.transition, slices.transition + slices.step)
    if at_once:
        low, high = first * slices.kept - slices.margin, stop * slices.kept + slices.margin
        cut = extended(coefficients, end, low, high, offset).unfold(-1, slices.frames, slices.kept)
        found = from_bands(cut.transpose(1, 2).flatten(0, 1), slices, bands)[..., keep]
        return found.unflatten(0, (rows, -1)).flatten(1)[:, :count]
    out = coefficients.real.new_empty(rows, count)
    for i in range(first, stop):
        low = i * slices.kept
        cut = extended(coefficients, end, low - slices.margin, low + slices.kept + slices.margin, offset)
        part = out[:, (i - first) * slices.step :][:, : slices.step]
        part.copy_(from_bands_in_place(cut, slices, bands)[:, keep][:, : part.shape[-1]])
    return out


def fill(x: torch.Tensor, end: int) -> torch.Tensor:
    """Append zeros to rows of samples up to the last position that a sliced constant-Q frame needs.

    They stand after the last sample, as far as position `end`.

    Shape: (rows, n) -> (rows, end + 1).
    """
    return F.pad(x, (0, end + 1 - x.shape[-1])) if x.shape[-1] <= end else x
