"""Reassigned frequencies and times of the cells of a spectrogram, and spectrograms with the energy moved there.

A window's derivative and the window times time give two more spectra; the ratios to the plain one are the offsets in
frequency and time (Auger and Flandrin 1995; librosa.reassigned_spectrogram).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from audiofeed.methods.frame_shaping import shaped
from audiofeed.methods.frames import Framing, Place
from audiofeed.methods.short_time.fft import packed_pieces, put_back
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like


class Windows(NamedTuple):
    """Window tensors for reassignment: the analysis window, its derivative, and the window times time.

    Each has n_fft samples.
    """

    plain: torch.Tensor
    derivative: torch.Tensor
    time_weighted: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Reassignment:
    """Options for computing reassigned tensors: coordinates, weak cells, and cells outside a spectrogram.

    The coordinates to reassign, and the treatment of cells with little energy or outside the spectrogram.
    """

    frequencies: bool
    times: bool
    ref_power: float
    fill: bool
    clip: bool


class _Cells(NamedTuple):
    """Energies and offsets of spectrogram cells, as tensors for reassignment.

    Of each cell: |z|^2, whether it is too weak to say where it lies, and its offsets.
    """

    squared: torch.Tensor
    weak: torch.Tensor
    turns: torch.Tensor | None  # from the bin's frequency, in cycles per sample
    samples: torch.Tensor | None  # from the frame's middle


def _cells(frames: torch.Tensor, windows: Windows, how: Reassignment) -> _Cells:
    """Compute the energies and offsets of spectrogram cells for reassignment, from frames without a window.

    Shape: frames (..., n_fft), not windowed -> each (..., bins).
    """
    plain = torch.view_as_real(torch.fft.rfft(frames * windows.plain))
    x, y = plain[..., 0], plain[..., 1]
    squared = x.square() + y.square()
    weak = (squared < how.ref_power) | (squared == 0)
    # what is divided by: never 0, so that no gradient is infinite
    scale = torch.where(weak, torch.ones_like(squared), squared).reciprocal()
    turns = samples = None
    if how.frequencies:  # -Im(z_d / z) = (x_d y - y_d x) / |z|^2 radians per sample
        other = torch.view_as_real(torch.fft.rfft(frames * windows.derivative))
        turns = (other[..., 0] * y - other[..., 1] * x) * scale / (2 * math.pi)
    if how.times:  # Re(z_t / z) = (x_t x + y_t y) / |z|^2 samples
        other = torch.view_as_real(torch.fft.rfft(frames * windows.time_weighted))
        samples = (other[..., 0] * x + other[..., 1] * y) * scale
    return _Cells(squared, weak, turns, samples)


def coordinates(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    windows: Windows,
    how: Reassignment,
    *,
    sample_rate: float,
    graph: bool,
) -> torch.Tensor:
    """Compute reassigned frequencies in Hz, reassigned times in seconds, and magnitudes of spectrogram cells.

    Shape: waveform (rows, time) -> (rows, 3 * bins, frames), laid out frame by frame.
    """
    rows, time = waveform.shape
    count, bins = framing.count(time), framing.n_fft // 2 + 1
    centers = torch.arange(bins, device=waveform.device, dtype=windows.plain.dtype) * (sample_rate / framing.n_fft)
    seconds = _middles(framing, count, windows.plain) / sample_rate  # (frame, 1)
    samples = torch.full((rows,), time, device=waveform.device) if lengths is None else lengths
    ends = samples.to(windows.plain.dtype)[:, None, None] / sample_rate

    def found(cells: _Cells, middle: torch.Tensor, end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reassigned frequencies and times of spectrogram cells.

        Shape: cells (..., bins), middle (..., 1) s, end (..., 1) s -> two of (..., bins).
        """
        hz = centers.expand_as(cells.squared)
        moment = middle.expand_as(cells.squared)
        if cells.turns is not None:
            own = centers + cells.turns * sample_rate
            own = own.clamp(0.0, sample_rate / 2) if how.clip else own
            hz = torch.where(cells.weak, hz if how.fill else torch.full_like(own, math.nan), own)
        if cells.samples is not None:
            own = middle + cells.samples / sample_rate
            weak = moment if how.fill else torch.full_like(own, math.nan)
            if how.clip:
                own, weak = own.clamp(min=0.0).minimum(end), weak.clamp(min=0.0).minimum(end)
            moment = torch.where(cells.weak, weak, own)
        return hz, moment

    if graph:
        cells = _cells(_frames(waveform, lengths, framing), windows, how)
        magnitudes = raise_power(cells.squared, 1.0)
        return torch.cat([*found(cells, seconds, ends), magnitudes], dim=-1).transpose(1, 2)
    out = kept_like(windows.plain, (rows, count, 3, bins))
    for places, frames in _pieces(waveform, lengths, framing, windows):
        cells = _cells(frames, windows, how)
        middle = torch.cat([seconds[frame].repeat(row.stop - row.start, 1) for row, frame in places])
        end = torch.cat([ends[row, 0].repeat_interleave(frame.stop - frame.start, 0) for row, frame in places])
        for i, values in enumerate((*found(cells, middle, end), raise_power(cells.squared, 1.0))):
            put_back(out[:, :, i], places, values)
    return out.flatten(2).transpose(1, 2)


def onto_grid(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    windows: Windows,
    how: Reassignment,
    *,
    power: float,
    graph: bool,
) -> torch.Tensor:
    """Compute reassigned spectrograms, with the power of each cell added to the cell where it lies.

    The gradient is that of the powers; where they lie is taken as it is.

    Shape: waveform (rows, time) -> (rows, bins, frames), laid out frame by frame.
    """
    rows, count, bins = waveform.shape[0], framing.count(waveform.shape[-1]), framing.n_fft // 2 + 1
    device = waveform.device
    own = torch.full((rows,), count, device=device) if lengths is None else framing.count(lengths)
    all_rows, all_frames = torch.arange(rows, device=device), torch.arange(count, device=device)

    def placed(cells: _Cells, row: torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reassigned place of each spectrogram cell, and the power to add there.

        The places are indices into the flat result.

        Shape: row, frame (n,), cells (n, bins) -> two alike.
        """
        with torch.no_grad():
            last = own[row][:, None] - 1
            kept = frame[:, None] <= last
            if not how.fill:
                kept = kept & ~cells.weak
            bin_ = torch.arange(bins, device=device)
            to_bin = bin_ + _steps(cells.turns, framing.n_fft, cells.weak, bins)
            to_frame = frame[:, None] + _steps(cells.samples, 1.0 / framing.hop_length, cells.weak, count)
            near_bin, near_frame = to_bin.clamp(0, bins - 1), torch.minimum(to_frame.clamp(min=0), last)
            if not how.clip:
                kept = kept & (near_bin == to_bin) & (near_frame == to_frame)
            index = (row[:, None] * count + near_frame) * bins + near_bin
        powers = raise_power(cells.squared, power)
        return index.flatten(), torch.where(kept, powers, torch.zeros_like(powers)).flatten()

    if graph:
        frames = _frames(waveform, lengths, framing).flatten(0, 1)
        cells = _cells(frames, windows, how)
        index, values = placed(cells, all_rows[:, None].expand(-1, count).flatten(), all_frames.repeat(rows))
        flat = values.new_zeros(rows * count * bins).index_add(0, index, values)
        return flat.view(rows, count, bins).transpose(1, 2)
    out = windows.plain.new_zeros(rows * count * bins)
    for places, frames in _pieces(waveform, lengths, framing, windows):
        row = torch.cat([all_rows[r].repeat_interleave(f.stop - f.start) for r, f in places])
        frame = torch.cat([all_frames[f].repeat(r.stop - r.start) for r, f in places])
        index, values = placed(_cells(frames, windows, how), row, frame)
        out.scatter_add_(0, index, values)
    return out.view(rows, count, bins).transpose(1, 2)


def _steps(offset: torch.Tensor | None, per_unit: float, weak: torch.Tensor, most: int) -> torch.Tensor | int:
    """Round a reassignment offset to whole spectrogram cells.

    The nearest; `most` or more are as good as `most`.
    """
    if offset is None:
        return 0
    cells = (offset * per_unit).round().clamp(-most, most)
    return torch.where(weak, torch.zeros_like(cells), cells).long()


def _middles(framing: Framing, count: int, like: torch.Tensor) -> torch.Tensor:
    """Return the sample in the middle of each frame, from which reassignment in time starts.

    Shape: (count, 1).
    """
    first = framing.n_fft // 2 - framing.margin
    frames = torch.arange(count, device=like.device, dtype=torch.float64)
    return (frames * framing.hop_length + first)[:, None].to(like.dtype)


def _frames(waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing) -> torch.Tensor:
    """Return all frames without a window for reassignment, shaped by the framing.  Shape: (rows, frames, n_fft)."""
    frames = framing.cut(framing.pad(waveform, lengths))
    return shaped(frames, framing) if framing.shapes else frames


def _pieces(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, windows: Windows
) -> Iterator[tuple[list[Place], torch.Tensor]]:
    """Yield frames without a window for reassignment, piece by piece."""
    return packed_pieces(Workspace(windows.plain), waveform, lengths, framing, torch.ones_like(windows.plain))
