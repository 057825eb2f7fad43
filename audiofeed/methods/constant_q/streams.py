"""Sliced constant-Q transforms of clips and of streams: which rows and which slices are computed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from audiofeed.methods.constant_q.sliced_frame import OPEN, Bands, Slices, analyse, count_frames, fill, synthesise
from audiofeed.methods.lengths import clear_past, runs_of
from audiofeed.methods.spectrum import raise_power

# samples of slices that are computed at once without a graph
_MOST_SAMPLES = 2**24


class Frame(Protocol):
    """The slices of long clips, and the bands on the FFT of the slices of any."""

    slices: Slices

    @property
    def n_bins(self) -> int:
        """Number of bands."""

    def geometry(self, frames: int | None, like: torch.Tensor) -> tuple[Slices, Bands]:
        """The slices of a clip of so many frames (None: of clips of several lengths) and the bands on their FFT."""


# ---------------------------------------------------------------- from samples to coefficients


def analyse_clips(
    waveform: torch.Tensor, lengths: torch.Tensor | None, frame: Frame, power: float | None, *, graph: bool
) -> torch.Tensor:
    """Coefficients of rows, or their magnitudes to a power.

    Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bands, frames).
    """
    if lengths is None:
        return _powers(_analyse_rows(waveform, frame, graph=graph), power)
    hop, time = frame.slices.hop_length, waveform.shape[-1]
    frames = count_frames(time, hop)
    if not graph and lengths.device.type == "cpu":
        dtype = waveform.dtype.to_complex() if power is None else waveform.dtype
        out = waveform.new_zeros((len(waveform), frame.n_bins, frames), dtype=dtype)
        for run, length in runs_of(lengths.tolist()):
            found = _analyse_rows(waveform[run, :length], frame, graph=False)
            out[run, :, : found.shape[-1]] = _powers(found, power)
        return out
    x = fill(clear_past(waveform, lengths), (frames - 1) * hop)
    ends = (count_frames(lengths, hop) - 1) * hop
    slices, bands = frame.geometry(None, waveform)
    return _powers(analyse(x, ends, slices, bands, frames=frames, graph=graph), power)


def _analyse_rows(waveform: torch.Tensor, frame: Frame, *, graph: bool) -> torch.Tensor:
    """Complex coefficients of rows of one length.  Shape: (rows, time) -> (rows, bands, frames)."""
    frames = count_frames(waveform.shape[-1], frame.slices.hop_length)
    slices, bands = frame.geometry(frames, waveform)
    end = (frames - 1) * slices.hop_length
    parts = _parts(fill(waveform, end), slices, graph=graph)
    found = [analyse(part, end, slices, bands, frames=frames, graph=graph) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)


def _parts(rows: torch.Tensor, slices: Slices, *, graph: bool) -> tuple[torch.Tensor, ...]:
    """Rows whose slices are computed at once: without a graph a few at a time."""
    return (rows,) if graph else rows.split(max(1, _MOST_SAMPLES // slices.length))


def _powers(coefficients: torch.Tensor, power: float | None) -> torch.Tensor:
    if power is None:
        return coefficients
    return raise_power(coefficients.real.square() + coefficients.imag.square(), power)


# ---------------------------------------------------------------- from coefficients to samples


def synthesise_clips(
    coefficients: torch.Tensor, lengths: torch.Tensor | None, frame: Frame, *, graph: bool
) -> torch.Tensor:
    """Samples as far as the last frame.

    Shape: complex (rows, bands, frames), lengths (rows,) in frames, or None -> (rows, time).
    """
    if lengths is None:
        return _synthesise_rows(coefficients, frame, graph=graph)
    time = (coefficients.shape[-1] - 1) * frame.slices.hop_length + 1
    if not graph and lengths.device.type == "cpu":
        out = coefficients.real.new_zeros(len(coefficients), time)
        for run, count in runs_of(lengths.tolist()):
            found = _synthesise_rows(coefficients[run, :, :count], frame, graph=False)
            out[run, : found.shape[-1]] = found
        return out
    slices, bands = frame.geometry(None, coefficients.real)
    return synthesise(coefficients, lengths - 1, slices, bands, length=time, graph=graph)


def _synthesise_rows(coefficients: torch.Tensor, frame: Frame, *, graph: bool) -> torch.Tensor:
    """Rows of one length.  Shape: complex (rows, bands, frames) -> (rows, time)."""
    end = coefficients.shape[-1] - 1
    slices, bands = frame.geometry(end + 1, coefficients.real)
    length = end * slices.hop_length + 1
    parts = _parts(coefficients, slices, graph=graph)
    found = [synthesise(part, end, slices, bands, length=length, graph=graph) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)


# ---------------------------------------------------------------- streams


@dataclass(frozen=True)
class StreamState:
    """What a stream keeps between chunks; made and read by `stream` alone."""

    kept: torch.Tensor  # (rows, ..., n): what later slices need
    offset: int  # the position of the first that is kept
    seen: int  # positions that came so far
    slices: int  # slices that are done
    leading: tuple[int, ...]

    @classmethod
    def begin(cls, chunk: torch.Tensor, leading: list[int]) -> StreamState:
        """The state before the first chunk."""
        return cls(chunk[..., :0], 0, 0, 0, tuple(leading))

    def joined(self, chunk: torch.Tensor, leading: list[int]) -> torch.Tensor:
        """What is kept, and a chunk after it."""
        if tuple(leading) != self.leading:
            raise ValueError(
                f"the chunk has leading dimensions {tuple(leading)}, and the stream began with {self.leading}; "
                "give each stream a state of its own"
            )
        return torch.cat([self.kept, chunk], dim=-1)

    def ready(self, seen: int, step: int, reach: int) -> int:
        """Slices that can be computed once so many positions are there."""
        return max((seen - reach) // step, self.slices)

    def moved(self, joined: torch.Tensor, *, seen: int, ready: int, step: int, reach: int) -> StreamState:
        """The state after a chunk, which keeps what the slices after those that are ready need."""
        offset = max(0, (ready - 1) * step - reach)
        return StreamState(joined[..., offset - self.offset :].clone(), offset, seen, ready, self.leading)

    def ended(self, seen: int, unit: str) -> StreamState:
        """The state after the last chunk, of which nothing is kept.

        Raises:
            ValueError: for a stream without any position.
        """
        if seen < 1:
            raise ValueError(f"the stream ends without a {unit}; give at least one before or with the last chunk")
        return StreamState(self.kept[..., :0], 0, 0, 0, self.leading)


def analyse_stream(
    joined: torch.Tensor, state: StreamState, seen: int, frame: Frame, power: float | None, *, last: bool, graph: bool
) -> tuple[torch.Tensor, int]:
    """The frames that have become known, and how many slices are done with them.

    Args:
        joined: (rows, n) what the state keeps, and a chunk after it, with which `seen` samples came.

    Shape:
        -> (rows, bands, frames).
    """
    slices, hop, done = frame.slices, frame.slices.hop_length, state.slices
    settings: dict[str, Any] = {"first": done, "offset": state.offset, "graph": graph}
    ready = state.ready(seen, slices.step, slices.transition)
    frames = count_frames(seen, hop) if last else ready * slices.kept
    if last and done == 0 and frames <= slices.most_whole:
        found = _analyse_rows(joined, frame, graph=graph)
    elif last:
        end = (frames - 1) * hop
        x = fill(joined, end - state.offset)
        found = analyse(x, end, *frame.geometry(None, joined), frames=frames, **settings)
    elif ready > done:
        found = analyse(joined, OPEN, *frame.geometry(None, joined), frames=frames, **settings)
    else:
        found = joined.new_zeros((len(joined), frame.n_bins, 0), dtype=joined.dtype.to_complex())
    return _powers(found, power), ready


def synthesise_stream(
    joined: torch.Tensor, state: StreamState, seen: int, frame: Frame, *, last: bool, graph: bool
) -> tuple[torch.Tensor, int]:
    """The samples that have become known, and how many slices are done with them; the last as far as the last frame.

    Args:
        joined: complex (rows, bands, n) what the state keeps, and a chunk after it, with which `seen` frames came.

    Shape:
        -> (rows, time).
    """
    slices, done = frame.slices, state.slices
    settings: dict[str, Any] = {"first": done, "offset": state.offset, "graph": graph}
    ready = state.ready(seen - 1, slices.kept, slices.margin)
    if last and done == 0 and seen <= slices.most_whole:
        found = _synthesise_rows(joined, frame, graph=graph)
    elif last:
        length = (seen - 1) * slices.hop_length + 1
        found = synthesise(joined, seen - 1, *frame.geometry(None, joined.real), length=length, **settings)
    elif ready > done:
        length = ready * slices.step
        found = synthesise(joined, OPEN, *frame.geometry(None, joined.real), length=length, **settings)
    else:
        found = joined.real.new_zeros(len(joined), 0)
    return found, ready
