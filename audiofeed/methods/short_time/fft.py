"""Short-time spectra by torch's real FFT: the reference.

Without a graph the frames are computed piece by piece: a piece and everything made of it stays in cache, in memory that
the next piece takes over, and only what the caller keeps is written out. With a graph all frames are one piece, because
autograd keeps the intermediates anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_shaping import windowed, windowed_into
from audiofeed.methods.frame_steps import Apply, Step, Wanted, through
from audiofeed.methods.frames import Framing, Place
from audiofeed.methods.precision import matmul
from audiofeed.methods.spectrum import may_overwrite, raise_power, squared_magnitude, squared_magnitude_into
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like
from audiofeed.parallel.launches import launches


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """Compute complex short-time spectra of batched waveforms by torch's FFT, zero past each row's frames.

    Shape: waveform (rows, time), lengths (rows,) or None, window (n_fft,) -> complex (rows, bins, frames), a view of
    memory laid out frame by frame, as torch.stft's is.
    """
    frames, bins = framing.count(waveform.shape[-1]), framing.n_fft // 2 + 1
    if graph or framing.fits(waveform):
        padded = framing.pad(waveform, lengths)
        parts = (padded,) if graph else framing.row_parts(padded, frames)
        spectra = [torch.fft.rfft(windowed(framing.cut(part), framing, window)) for part in parts]
        return (spectra[0] if len(spectra) == 1 else torch.cat(spectra)).transpose(-1, -2)
    out = kept_like(window, (waveform.shape[0], frames, bins), window.dtype.to_complex())
    for places, piece in packed_pieces(Workspace(window), waveform, lengths, framing, window):
        put_back(out, places, torch.fft.rfft(piece))
    return out.transpose(-1, -2)


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor]:
    """Compute one or several powers of |STFT| by torch's FFT, each taken through its steps.

    Shape: waveform (rows, time), window (n_fft,) -> each (rows, features, frames); contiguous after a step, else laid
    out frame by frame.
    """
    if framing.fits(waveform) or (graph and launches(waveform)):
        return _few_launches(waveform, lengths, framing, window, wanted=wanted, graph=graph)
    if graph:
        spectrum = torch.fft.rfft(windowed(framing.cut(framing.pad(waveform, lengths)), framing, window))
        squared = squared_magnitude(spectrum)
        return [features.transpose(-1, -2) for features in finished(squared, wanted, None)]
    workspace = Workspace(window)
    pieces = _finished_pieces(workspace, waveform, lengths, framing, window, wanted)
    return gathered(pieces, wanted, waveform.shape[0], framing.count(waveform.shape[-1]))


def _few_launches(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor]:
    """Compute powers of |STFT| by torch's FFT of all rows at once, as `short_time_powers` does, on a GPU."""
    padded = framing.pad(waveform, lengths)
    if graph:
        return _of_pairs(_pairs(padded, framing, window), wanted, None)
    found: list[list[torch.Tensor]] = [[] for _ in wanted]
    for part in framing.row_parts(padded, framing.count(waveform.shape[-1])):
        # memory of their own for the steps of each part, as all results are kept
        made = _of_pairs(_pairs(part, framing, window), wanted, lambda: Workspace(window))
        for features, own in zip(found, made, strict=True):
            features.append(own)
    return [features[0] if len(features) == 1 else torch.cat(features) for features in found]


def _pairs(padded: torch.Tensor, framing: Framing, window: torch.Tensor) -> torch.Tensor:
    """Compute the real and imaginary parts of an FFT.  Shape: (rows, padded time) -> (rows, frames, bins, 2)."""
    return torch.view_as_real(torch.fft.rfft(windowed(framing.cut(padded), framing, window)))


def _of_pairs(
    pairs: torch.Tensor, wanted: Sequence[Wanted], workspaces: Callable[[], Workspace] | None
) -> list[torch.Tensor]:
    """Compute powers of an FFT from its real and imaginary parts, in whose memory without a graph.

    Args:
        workspaces: makes the memory of each one's steps, without a graph.

    Shape: (rows, frames, bins, 2) -> each (rows, features, frames).
    """
    squares = pairs.square() if workspaces is None else pairs.mul_(pairs)
    if len(wanted) == 1 and wanted[0].power == 2.0 and not wanted[0].root_offset:
        bank, *further = wanted[0].steps or (None,)
        if isinstance(bank, FilterBank) and bank.of_parts is not None and _by_rows(bank, further):
            workspace = None if workspaces is None else workspaces()
            return [_filtered_rows(squares.flatten(-2), bank.of_parts, further, workspace)]
    squared = torch.add(*squares.unbind(-1))
    found = []
    for i, one in enumerate(wanted):
        own = squared if _is_own(squared, i, wanted, graph=workspaces is None) else squared.clone()
        workspace = None if workspaces is None else workspaces()
        found.append(_by_row(raise_power(own, one.power, one.root_offset), one.steps, workspace))
    return found


def _by_rows(bank: FilterBank, further: Sequence[Step]) -> bool:
    return not bank.is_narrow and not any(isinstance(step, Apply) for step in further)


def _by_row(values: torch.Tensor, steps: Sequence[Step], workspace: Workspace | None) -> torch.Tensor:
    """Take powers of an FFT through steps, a filter bank row by row: the result then lies as it is wanted.

    Shape: (rows, frames, bins) -> (rows, features, frames).
    """
    bank, *further = steps or (None,)
    if isinstance(bank, FilterBank) and _by_rows(bank, further):
        return _filtered_rows(values, bank.filters, further, workspace)
    found = through(steps, values, workspace).transpose(1, 2)
    return found.contiguous() if steps and workspace is not None else found


def _filtered_rows(
    values: torch.Tensor, filters: torch.Tensor, further: Sequence[Step], workspace: Workspace | None
) -> torch.Tensor:
    """Take powers of an FFT through filters and steps of values.

    Shape: (rows, frames, n) -> (rows, filters, frames).
    """
    found = matmul(filters.expand(values.shape[0], -1, -1), values.transpose(1, 2))
    return through(further, found.transpose(1, 2), workspace).transpose(1, 2)


def gathered(
    pieces: Iterator[tuple[list[Place], Iterable[torch.Tensor]]], wanted: Sequence[Wanted], rows: int, frames: int
) -> list[torch.Tensor]:
    """Gather short-time features, computed from the FFT of pieces of frames, row by row.

    The pieces may come from kernels as well.

    Shape: each (frames of the piece, features) -> for each that is wanted (rows, features, frames).
    """
    outs: list[torch.Tensor] = []  # each (row, frame, feature), whatever its memory's order
    for places, found in pieces:
        for i, features in enumerate(found):
            if i == len(outs) and not wanted[i].steps:
                outs.append(kept_like(features, (rows, frames, features.shape[-1])))
            elif i == len(outs):
                outs.append(kept_like(features, (rows, features.shape[-1], frames)).transpose(1, 2))
            put_back(outs[i], places, features)
    return [out.transpose(1, 2) for out in outs]


def _finished_pieces(
    workspace: Workspace,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    wanted: Sequence[Wanted],
) -> Iterator[tuple[list[Place], Iterable[torch.Tensor]]]:
    """Yield the wanted powers of |STFT| by torch's FFT, piece by piece of frames.

    Consume each piece before requesting the next.

    Shape: -> each (frames of the piece, features).
    """
    for places, piece in packed_pieces(workspace, waveform, lengths, framing, window):
        # allocated by torch even when given out=, and then copied; one size for all pieces lets it reuse the memory,
        # if the last one is let go of before the next is asked for
        spectrum = torch.fft.rfft(piece)
        squared = squared_magnitude_into(workspace.take("powers", *spectrum.shape), spectrum)
        del spectrum
        yield places, finished(squared, wanted, workspace)


def finished(squared: torch.Tensor, wanted: Sequence[Wanted], workspace: Workspace | None) -> Iterator[torch.Tensor]:
    """Yield each wanted power of |STFT| through its steps, from the squared magnitudes of an FFT.

    With a workspace, each result is to be used up before the next is asked for, and the squares are lost with the last.

    Shape: (..., frames, bins) -> each (..., frames, features).
    """
    for one, values in _raised(squared, wanted, workspace):
        yield through(one.steps, values, workspace)


def finished_by_row(squared: torch.Tensor, wanted: Sequence[Wanted]) -> list[torch.Tensor]:
    """Take squared magnitudes through the steps of each wanted power, a filter bank row by row, with a graph.

    It spares squares that lie bin by bin a copy that lies frame by frame, forward and backward.

    Shape: (rows, frames, bins) -> each (rows, features, frames).
    """
    return [_by_row(values, one.steps, None) for one, values in _raised(squared, wanted, None)]


def _raised(
    squared: torch.Tensor, wanted: Sequence[Wanted], workspace: Workspace | None
) -> Iterator[tuple[Wanted, torch.Tensor]]:
    """Yield each wanted power of |STFT| from the squared magnitudes of an FFT, as `finished` needs them.

    Shape: (..., frames, bins) -> each the same.
    """
    for i, one in enumerate(wanted):
        own = squared
        if not _is_own(squared, i, wanted, graph=workspace is None):
            own = squared.clone() if workspace is None else workspace.take("own powers", *squared.shape).copy_(squared)
        yield one, raise_power(own, one.power, one.root_offset)


def _is_own(squared: torch.Tensor, i: int, wanted: Sequence[Wanted], *, graph: bool) -> bool:
    """Return whether the i-th that is wanted of squares of an FFT can take them as they are.

    Without a graph raising to a power and the steps overwrite them, so that only the last one can. With a graph the
    squares are a result themselves or kept for the gradient, and no power may overwrite them, not even the last.
    """
    if not graph:
        return i == len(wanted) - 1
    is_plain = wanted[i].power == 2.0 and not wanted[i].root_offset
    return is_plain or len(wanted) == 1 or not may_overwrite(squared)


def packed_pieces(
    workspace: Workspace,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    length: int | None = None,
) -> Iterator[tuple[list[Place], torch.Tensor]]:
    """Yield windowed frames for an FFT, packed into pieces of one size, whatever rows they come from.

    Only the last piece is smaller. A piece is to be used up before the next is asked for: both lie in the same memory.

    Args:
        length: of the FFT, to which the frames go on with zeros; None: n_fft.

    Shape: waveform (rows, time) -> (frames of the piece, length).
    """
    total = waveform.shape[0] * framing.count(waveform.shape[-1])
    size = min(framing.piece(waveform.device), total)
    piece = workspace.take("piece", size, framing.n_fft if length is None else length)
    if length is not None:
        piece[:, framing.n_fft :] = 0
    inside = piece[:, : framing.n_fft]
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
            windowed_into(inside[filled:end].view(taken.shape), taken, framing, window)
            places.append((slice(run.start + row, run.start + row + rows), slice(first, stop)))
            row, first = (row + rows, 0) if stop == count else (row, stop)
            filled = end
            if filled == size:
                yield places, piece
                places, filled = [], 0
    if filled:
        yield places, piece[:filled]


def put_back(out: torch.Tensor, places: list[Place], values: torch.Tensor) -> None:
    """Write the FFT of a packed piece of frames, or features of it, back to the rows and frames it came from.

    Shape: out (rows, frames, n), values (frames, n).
    """
    start = 0
    for rows, frames in places:
        shape = (rows.stop - rows.start, frames.stop - frames.start)
        end = start + shape[0] * shape[1]
        out[rows, frames] = values[start:end].view(*shape, -1)
        start = end
