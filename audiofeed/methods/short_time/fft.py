"""Short-time spectra by real FFT: the reference and the default.

Without a graph the frames of float32 or int16 samples on a CPU go through a kernel, where there is one: see `compiled`.
Others are computed piece by piece: a piece and everything made of it stays in cache, in memory that the next piece
takes over, and only what the caller keeps is written out. With a graph all frames are one piece, because autograd keeps
the intermediates anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeGuard

import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frames import Framing, Place, Workspace
from audiofeed.methods.short_time.kernel.layout import Frames, Piece, frames_of
from audiofeed.methods.spectrum import raise_power, squared_magnitude_into

# From (..., frames, bins) powers to (..., frames, features). A workspace is given where there is no graph: the powers
# may then be overwritten, and the features may lie in it.
Finish = Callable[[torch.Tensor, "Workspace | None"], torch.Tensor]


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """The complex short-time Fourier transform, zero past each row's frames.

    Shape: waveform (rows, time), lengths (rows,) or None, window (n_fft,) -> complex (rows, bins, frames), a view of
    memory laid out frame by frame, as torch.stft's is.
    """
    if graph:
        return torch.fft.rfft(framing.cut(framing.pad(waveform, lengths)) * window).transpose(-1, -2)
    compiled = frames_of(waveform, lengths, framing, window)
    if compiled is not None and (spectrum := compiled.spectrum()) is not None:
        return spectrum.transpose(-1, -2)
    frames, bins = framing.count(waveform.shape[-1]), framing.n_fft // 2 + 1
    out = window.new_empty((waveform.shape[0], frames, bins), dtype=window.dtype.to_complex())
    for places, windowed in packed_pieces(Workspace(window), waveform, lengths, framing, window):
        put_back(out, places, torch.fft.rfft(windowed))
    return out.transpose(-1, -2)


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[tuple[float, Finish | None]],
    graph: bool,
) -> list[torch.Tensor]:
    """One or several powers of |STFT|, each taken through its finish where it has one.

    Shape: waveform (rows, time), window (n_fft,) -> each (rows, features, frames); contiguous after a finish, else laid
    out frame by frame.
    """
    if graph:
        spectrum = torch.fft.rfft(framing.cut(framing.pad(waveform, lengths)) * window)
        squared = spectrum.real.square() + spectrum.imag.square()
        return [features.transpose(-1, -2) for features in finished(squared, wanted, None)]
    compiled = frames_of(waveform, lengths, framing, window)
    if compiled is not None and (whole := _whole(compiled, wanted)) is not None:
        return [whole.transpose(1, 2)]
    rows, frames = waveform.shape[0], framing.count(waveform.shape[-1])
    outs: list[torch.Tensor] = []  # each (row, frame, feature), whatever its memory's order
    workspace = Workspace(window)
    for places, found in _finished_pieces(compiled, workspace, waveform, lengths, framing, window, wanted):
        for i, features in enumerate(found):
            if i == len(outs) and wanted[i][1] is None:
                outs.append(features.new_empty((rows, frames, features.shape[-1])))
            elif i == len(outs):
                outs.append(features.new_empty((rows, features.shape[-1], frames)).transpose(1, 2))
            put_back(outs[i], places, features)
    return [out.transpose(1, 2) for out in outs]


def _whole(frames: Frames, wanted: Sequence[tuple[float, Finish | None]]) -> torch.Tensor | None:
    """The one feature that is wanted, where a kernel makes it without a finish.  Shape: -> (rows, frames, features)."""
    power, finish = wanted[0]
    if len(wanted) > 1:
        return None
    if finish is None:
        return frames.powers(power)
    if not _in_kernel(finish, power) or finish.rest is not None:
        return None
    features = frames.filtered(finish, power)
    return None if features is None else features.transpose(1, 2)


# Weights for each bin up to which a kernel's filters are faster than a product of its powers. Mel filters have two.
FEW_WEIGHTS = 8


def _in_kernel(finish: Finish | None, power: float) -> TypeGuard[FilterBank]:
    """Whether a kernel computes the powers and their filters; of others it computes the powers."""
    if power not in (1.0, 2.0) or not isinstance(finish, FilterBank) or finish.bands is None:
        return False
    return finish.bands.entries.size <= FEW_WEIGHTS * finish.filters.shape[1]


def _finished_pieces(
    compiled: Frames | None,
    workspace: Workspace,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    wanted: Sequence[tuple[float, Finish | None]],
) -> Iterator[tuple[list[Place], Iterable[torch.Tensor]]]:
    """What is wanted of some frames at a time; one is to be used up before the next.

    Shape: -> each (frames of the piece, features).
    """
    power, finish = wanted[0]
    pieces: Iterator[Piece] | None = None
    if compiled is not None and len(wanted) == 1 and _in_kernel(finish, power):
        pieces = compiled.filtered_pieces(finish, power, workspace)
        for places, values in pieces or ():
            yield places, [values if finish.rest is None else finish.rest(values, workspace)]
    elif compiled is not None:
        alone = len(wanted) == 1 and power in (1.0, 2.0)
        pieces = compiled.power_pieces(power if alone else 2.0, workspace)
        for places, values in pieces or ():
            if alone:
                yield places, [values if finish is None else finish(values, workspace)]
            else:
                yield places, finished(values, wanted, workspace)
    if pieces is not None:
        return
    for places, windowed in packed_pieces(workspace, waveform, lengths, framing, window):
        # allocated by torch even when given out=, and then copied; one size for all pieces lets it reuse the memory,
        # if the last one is let go of before the next is asked for
        spectrum = torch.fft.rfft(windowed)
        squared = squared_magnitude_into(workspace.take("powers", *spectrum.shape), spectrum)
        del spectrum
        yield places, finished(squared, wanted, workspace)


def finished(
    squared: torch.Tensor, wanted: Sequence[tuple[float, Finish | None]], workspace: Workspace | None
) -> Iterator[torch.Tensor]:
    """What is wanted of |STFT|^2, one after another.

    With a workspace, each result is to be used up before the next is asked for, and the squares are lost with the last.

    Shape: (..., frames, bins) -> each (..., frames, features).
    """
    for i, (power, finish) in enumerate(wanted):
        own = squared  # which raising to a power may overwrite, and a finish with a workspace may too
        if i < len(wanted) - 1 and workspace is not None:
            own = workspace.take("own powers", *squared.shape).copy_(squared)
        elif i < len(wanted) - 1 and power != 2.0:
            own = squared.clone()
        powers = raise_power(own, power)
        yield powers if finish is None else finish(powers, workspace)


def packed_pieces(
    workspace: Workspace,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
) -> Iterator[tuple[list[Place], torch.Tensor]]:
    """All frames, windowed and packed into pieces of one size, whatever rows they come from; only the last is smaller.

    A piece is to be used up before the next is asked for: both lie in the same memory.

    Shape: waveform (rows, time) -> (frames of the piece, n_fft).
    """
    total = waveform.shape[0] * framing.count(waveform.shape[-1])
    size = min(framing.piece(waveform.device), total)
    piece = workspace.take("piece", size, framing.n_fft)
    filled = 0
    places: list[Place] = []
    for run, count, padded in framing.padded_runs(workspace, waveform, lengths):
        frames = framing.cut(padded)  # (row, frame, sample)
        row, first = 0, 0  # the next frame of the run to be packed
        while row < len(frames):
            whole_rows = min((size - filled) // count, len(frames) - row) if first == 0 else 0
            rows, stop = (whole_rows, count) if whole_rows else (1, min(count, first + size - filled))
            taken = frames[row : row + rows, first:stop]
            end = filled + rows * (stop - first)
            torch.mul(taken, window, out=piece[filled:end].view(taken.shape))
            places.append((slice(run.start + row, run.start + row + rows), slice(first, stop)))
            row, first = (row + rows, 0) if stop == count else (row, stop)
            filled = end
            if filled == size:
                yield places, piece
                places, filled = [], 0
    if filled:
        yield places, piece[:filled]


def put_back(out: torch.Tensor, places: list[Place], values: torch.Tensor) -> None:
    """Write what was computed of a piece where it belongs.  Shape: out (rows, frames, n), values (frames, n)."""
    start = 0
    for rows, frames in places:
        shape = (rows.stop - rows.start, frames.stop - frames.start)
        end = start + shape[0] * shape[1]
        out[rows, frames] = values[start:end].view(*shape, -1)
        start = end
