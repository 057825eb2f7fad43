"""Sliced constant-Q transforms of clips and of streams: which rows and which slices are computed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from audiofeed.methods.constant_q.sliced_frame import OPEN, Bands, Slices, analyze, count_frames, fill, synthesize
from audiofeed.methods.lengths import clear_past, runs_of
from audiofeed.methods.spectrum import raise_power, squared_magnitude
from audiofeed.parallel.observed import as_long_as_traced, plain_size

# samples of slices that are computed at once without a graph
_MOST_SAMPLES = 2**24


class Frame(Protocol):
    """Slices and FFT bands of a sliced constant-Q transform of clips and streams.

    The slices are those of long clips, and the bands are on the FFT of the slices of any.
    """

    slices: Slices

    @property
    def n_bins(self) -> int:
        """Number of bands in a sliced constant-Q transform of clips and streams."""

    def geometry(self, frames: int | None, like: torch.Tensor) -> tuple[Slices, Bands]:
        """Return the slices and FFT bands for a constant-Q clip or stream of so many frames.

        None stands for clips of several lengths.
        """


# ---------------------------------------------------------------- from samples to coefficients


def analyze_clips(
    waveform: torch.Tensor, lengths: torch.Tensor | None, frame: Frame, power: float | None, *, graph: bool
) -> torch.Tensor:
    """Compute sliced constant-Q coefficients of whole clips, as opposed to streams.

    The result is coefficients of rows, or their magnitudes to a power.

    Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bands, frames).
    """
    if lengths is None:
        return _powers(_analyze_rows(waveform, frame, graph=graph), power)
    hop, time = frame.slices.hop_length, waveform.shape[-1]
    frames = count_frames(time, hop)
    if not graph and lengths.device.type == "cpu":
        dtype = waveform.dtype.to_complex() if power is None else waveform.dtype
        out = waveform.new_zeros((len(waveform), frame.n_bins, frames), dtype=dtype)
        for run, length in runs_of(lengths.tolist()):
            found = _analyze_rows(waveform[run, :length], frame, graph=False)
            out[run, :, : found.shape[-1]] = _powers(found, power)
        return out
    x = fill(clear_past(waveform, lengths), (frames - 1) * hop)
    ends = (count_frames(lengths, hop) - 1) * hop
    slices, bands = frame.geometry(None, waveform)
    return _powers(analyze(x, ends, slices, bands, frames=frames, graph=graph), power)


def _analyze_rows(waveform: torch.Tensor, frame: Frame, *, graph: bool) -> torch.Tensor:
    """Compute complex sliced constant-Q coefficients of whole clips or short streams of one length.

    Shape: (rows, time) -> (rows, bands, frames).
    """
    waveform = as_long_as_traced(waveform)
    frames = count_frames(plain_size(waveform.shape[-1]), frame.slices.hop_length)
    slices, bands = frame.geometry(frames, waveform)
    end = (frames - 1) * slices.hop_length
    parts = _parts(fill(waveform, end), slices, graph=graph)
    found = [analyze(part, end, slices, bands, frames=frames, graph=graph) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)


def _parts(rows: torch.Tensor, slices: Slices, *, graph: bool) -> tuple[torch.Tensor, ...]:
    """Split rows of clips or streams into those whose constant-Q slices are computed at once.

    Without a graph they are a few at a time.
    """
    return (rows,) if graph else rows.split(max(1, _MOST_SAMPLES // slices.length))


def _powers(coefficients: torch.Tensor, power: float | None) -> torch.Tensor:
    if power is None:
        return coefficients
    return raise_power(squared_magnitude(coefficients), power)


# ---------------------------------------------------------------- from coefficients to samples


def synthesize_clips(
    coefficients: torch.Tensor, lengths: torch.Tensor | None, frame: Frame, *, graph: bool
) -> torch.Tensor:
    """Synthesize whole clips, as opposed to streams, from sliced constant-Q coefficients.

    Samples go as far as the last frame.

    Shape: complex (rows, bands, frames), lengths (rows,) in frames, or None -> (rows, time).
    """
    if lengths is None:
        return _synthesize_rows(coefficients, frame, graph=graph)
    time = (coefficients.shape[-1] - 1) * frame.slices.hop_length + 1
    if not graph and lengths.device.type == "cpu":
        out = coefficients.real.new_zeros(len(coefficients), time)
        for run, count in runs_of(lengths.tolist()):
            found = _synthesize_rows(coefficients[run, :, :count], frame, graph=False)
            out[run, : found.shape[-1]] = found
        return out
    slices, bands = frame.geometry(None, coefficients.real)
    return synthesize(coefficients, lengths - 1, slices, bands, length=time, graph=graph)


def _synthesize_rows(coefficients: torch.Tensor, frame: Frame, *, graph: bool) -> torch.Tensor:
    """Synthesize whole clips or short streams of one length from sliced constant-Q coefficients.

    Shape: complex (rows, bands, frames) -> (rows, time).
    """
    coefficients = as_long_as_traced(coefficients)
    end = plain_size(coefficients.shape[-1]) - 1
    slices, bands = frame.geometry(end + 1, coefficients.real)
    length = end * slices.hop_length + 1
    parts = _parts(coefficients, slices, graph=graph)
    found = [synthesize(part, end, slices, bands, length=length, graph=graph) for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found)


# ---------------------------------------------------------------- streams


@dataclass(frozen=True)
class StreamState:
    """State of a constant-Q stream between chunks.

    It is made and read by `stream` alone.
    """

    kept: torch.Tensor  # (rows, ..., n): what later slices need
    offset: int  # the position of the first that is kept
    seen: int  # positions that came so far
    slices: int  # slices that are done
    leading: tuple[int, ...]

    @classmethod
    def begin(cls, chunk: torch.Tensor, leading: list[int]) -> StreamState:
        """Return the state of a constant-Q stream before its first chunk."""
        return cls(chunk[..., :0], 0, 0, 0, tuple(leading))

    def joined(self, chunk: torch.Tensor, leading: list[int]) -> torch.Tensor:
        """Return the kept part of a constant-Q stream, with a chunk appended."""
        if tuple(leading) != self.leading:
            raise ValueError(
                f"the chunk has leading dimensions {tuple(leading)}, and the stream began with {self.leading}; "
                "give each stream a state of its own"
            )
        return torch.cat([self.kept, chunk], dim=-1)

    def ready(self, seen: int, step: int, reach: int) -> int:
        """Return the number of slices of a constant-Q stream that can be computed.

        They can be once so many positions are there.
        """
        return max((seen - reach) // step, self.slices)

    def moved(self, joined: torch.Tensor, *, seen: int, ready: int, step: int, reach: int) -> StreamState:
        """Return the state of a constant-Q stream after a chunk.

        It keeps what the slices after those that are ready need.
        """
        offset = max(0, (ready - 1) * step - reach)
        return StreamState(joined[..., offset - self.offset :].clone(), offset, seen, ready, self.leading)

    def ended(self, seen: int, unit: str) -> StreamState:
        """Return the state of a constant-Q stream after its last chunk.

        Nothing is kept of it.

        Raises:
            ValueError: for a stream without any position.
        """
        if seen < 1:
            raise ValueError(f"the stream ends without a {unit}; give at least one before or with the last chunk")
        return StreamState(self.kept[..., :0], 0, 0, 0, self.leading)


def analyze_stream(
    joined: torch.Tensor, state: StreamState, seen: int, frame: Frame, power: float | None, *, last: bool, graph: bool
) -> tuple[torch.Tensor, int]:
    """Compute the constant-Q frames of a stream that a new chunk completes.

    The number of slices that are done with them comes second.

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
        found = _analyze_rows(joined, frame, graph=graph)
    elif last:
        end = (frames - 1) * hop
        x = fill(joined, end - state.offset)
        found = analyze(x, end, *frame.geometry(None, joined), frames=frames, **settings)
    elif ready > done:
        found = analyze(joined, OPEN, *frame.geometry(None, joined), frames=frames, **settings)
    else:
        found = joined.new_zeros((len(joined), frame.n_bins, 0), dtype=joined.dtype.to_complex())
    return _powers(found, power), ready


def synthesize_stream(
    joined: torch.Tensor, state: StreamState, seen: int, frame: Frame, *, last: bool, graph: bool
) -> tuple[torch.Tensor, int]:
    """Synthesize the samples of a stream that a new chunk of constant-Q coefficients completes.

    The number of slices that are done with them comes second. The last chunk's samples go as far as the last frame.

    Args:
        joined: complex (rows, bands, n) what the state keeps, and a chunk after it, with which `seen` frames came.

    Shape:
        -> (rows, time).
    """
    slices, done = frame.slices, state.slices
    settings: dict[str, Any] = {"first": done, "offset": state.offset, "graph": graph}
    ready = state.ready(seen - 1, slices.kept, slices.margin)
    if last and done == 0 and seen <= slices.most_whole:
        found = _synthesize_rows(joined, frame, graph=graph)
    elif last:
        length = (seen - 1) * slices.hop_length + 1
        found = synthesize(joined, seen - 1, *frame.geometry(None, joined.real), length=length, **settings)
    elif ready > done:
        length = ready * slices.step
        found = synthesize(joined, OPEN, *frame.geometry(None, joined.real), length=length, **settings)
    else:
        found = joined.real.new_zeros(len(joined), 0)
    return found, ready
