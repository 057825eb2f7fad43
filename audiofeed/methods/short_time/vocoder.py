"""The phase vocoder: a spectrum read at other times, its phases advancing as they did."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like
from audiofeed.parallel.observed import as_long_as_traced, is_exporting, plain_size
from audiofeed.parallel.running_sums import running_sums


def stretch(
    spectrum: torch.Tensor, times: torch.Tensor, lengths: torch.Tensor | None, *, extended: bool, graph: bool
) -> torch.Tensor:
    """Stretch batched spectra in time by a phase vocoder, which reads frames at given times.

    A result frame at time s of the input has the magnitude between frames floor(s) and floor(s) + 1, interpolated, and
    the phase goes on from it by what lies between those two.

    That step is usually written as the advance a of a steady tone in the bin plus the wrapped rest: a + wrap(d - a) of
    the difference d. But wrap takes off whole turns and nothing else, so that the step is d up to whole turns, and hop
    and n_fft drop out. Left in, a is up to pi * hop a frame, and its sum over a clip has few digits left in float32
    (1e6 radians after 10 s: 0.06 radians); d is at most one turn, and is summed in float64.

    Without a graph on a CPU row after row is computed, so that its intermediates stay in cache.

    Args:
        spectrum: complex (rows, bins, frames), 0 past `lengths`.
        times: (frames of the result,) of all rows or (rows, frames of the result), in frames of the input, float64.
        lengths: (rows,) frames of each row, or None.
        extended: past a row's last frame its magnitudes go on in a straight line and its phases stand still; else there
            is silence with phase 0.

    Returns:
        complex (rows, bins, frames of the result).
    """
    rows, bins, _ = spectrum.shape
    if graph or spectrum.device.type != "cpu":
        return _stretched(spectrum, times, lengths, extended)
    out = kept_like(spectrum, (rows, times.shape[-1], bins))
    workspaces = Workspace(spectrum.real), Workspace(times)
    for row in range(rows):
        own, own_times = spectrum[row].transpose(0, 1), times if times.dim() == 1 else times[row]
        if lengths is not None:
            own = own[: int(lengths[row])]
            own_times = own_times[: int((own_times < len(own)).long().cumprod(0).sum())]
        if len(own_times):
            _stretch_into(out[row, : len(own_times)], own, own_times, extended, *workspaces)
    return out.transpose(1, 2)


def _stretch_into(
    out: torch.Tensor,
    spectrum: torch.Tensor,
    times: torch.Tensor,
    extended: bool,
    workspace: Workspace,
    wide: Workspace,
) -> None:
    """Write one row of `stretch`, of its own frames alone, without a graph.

    Shape: complex (frames of the result, bins), (frames, bins), times (frames of the result,).
    """
    frames, bins = spectrum.shape
    count = len(times)
    index = times.long().clamp_(0, frames)
    part = (times - index).to(out.real.dtype)[:, None]
    magnitude, phase = workspace.take("magnitude", frames + 2, bins), wide.take("phase", frames + 2, bins)
    # of parts that lie apart a magnitude takes a third of the time of torch.abs, a phase a quarter of torch.angle
    parts = [workspace.take(name, frames, bins) for name in ("real", "imaginary")]
    real, imaginary = parts[0].copy_(spectrum.real), parts[1].copy_(spectrum.imag)
    torch.hypot(real, imaginary, out=magnitude[:frames])
    phase[:frames] = torch.atan2(imaginary, real, out=imaginary)
    if extended:
        last, before = magnitude[frames - 1], magnitude[max(frames - 2, 0)]
        for past in (1, 2):
            torch.add(last, last - before, alpha=past, out=magnitude[frames + past - 1])
        phase[frames:] = phase[frames - 1]
    else:
        magnitude[frames:] = 0
        phase[frames:] = 0
    walked = wide.take("walked", count, bins)
    torch.index_select(phase, 0, index[:1], out=walked[:1])
    advance = torch.sub(phase[1:], phase[:-1], out=wide.take("advance", frames + 1, bins))
    torch.index_select(advance, 0, index[:-1], out=walked[1:])
    walked.cumsum_(0)
    turns = torch.mul(walked, 0.5 / math.pi, out=wide.take("turns", count, bins)).round_().mul_(2.0 * math.pi)
    angle = workspace.take("angle", count, bins).copy_(walked.sub_(turns))
    between, real = (workspace.take(name, count, bins) for name in ("between", "real"))
    torch.index_select(magnitude, 0, index, out=between)
    torch.index_select(magnitude, 0, index + 1, out=real)
    between.lerp_(real, part)
    torch.cos(angle, out=real).mul_(between)
    imaginary = angle.sin_().mul_(between)
    torch.complex(real, imaginary, out=out)


def _stretched(
    spectrum: torch.Tensor, times: torch.Tensor, lengths: torch.Tensor | None, extended: bool
) -> torch.Tensor:
    """Stretch spectra in time by a phase vocoder, all rows at once; shapes as in `stretch`."""
    spectrum = as_long_as_traced(spectrum)
    frames = plain_size(spectrum.shape[-1])
    index = times.long().clamp(0, frames)  # a time may be rounded to `frames` itself
    part = (times - index).to(spectrum.real.dtype)[..., None]
    by_frame, behind = spectrum.transpose(-1, -2), (0, 0, 0, 2)
    if is_exporting():  # ONNX has no complex numbers to pad
        magnitude, phase = F.pad(by_frame.abs(), behind), F.pad(by_frame.angle().double(), behind)
    else:
        padded = F.pad(by_frame, behind)
        magnitude, phase = padded.abs(), padded.angle().double()
    if extended:
        magnitude, phase = _extended(magnitude, phase, frames if lengths is None else lengths)
    advance = phase[:, 1:] - phase[:, :-1]  # (row, frame, bin)
    walked = running_sums(torch.cat([_at(phase, index[..., :1]), _at(advance, index[..., :-1])], dim=1), 1)
    turns = (walked * (0.5 / math.pi)).detach().round()
    angle = (walked - turns * (2.0 * math.pi)).to(part.dtype)
    between = torch.lerp(_at(magnitude, index), _at(magnitude, index + 1), part)
    # faster than torch.polar, which is not vectorised
    return torch.complex(between * angle.cos(), between * angle.sin()).transpose(-1, -2)


def _at(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take frames of the phase vocoder's input, the same of all rows or some of each.

    Shape: (rows, frames, bins), index (n,) or (rows, n) -> (rows, n, bins).
    """
    if index.dim() == 1:
        return values.index_select(1, index)
    return values.gather(1, index[..., None].expand(*index.shape, values.shape[-1]))


def _extended(
    magnitude: torch.Tensor, phase: torch.Tensor, lengths: torch.Tensor | int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Extend each row past its end for the phase vocoder: magnitudes in a straight line, phases as in the last frame.

    A row of one frame keeps its magnitude.

    Shape: (rows, frames + 2, bins), of which the last 2 are made, lengths (rows,) -> the same.
    """
    if not isinstance(lengths, torch.Tensor):
        last, before = magnitude[:, lengths - 1 : lengths], magnitude[:, max(lengths - 2, 0) : max(lengths - 1, 1)]
        past = torch.arange(1, 3, dtype=magnitude.dtype, device=magnitude.device)[:, None]
        stood = phase[:, lengths - 1 : lengths].expand(-1, 2, -1)
        grown = last + past * (last - before)
        return torch.cat([magnitude[:, :lengths], grown], 1), torch.cat([phase[:, :lengths], stood], 1)
    frames = torch.arange(magnitude.shape[1], device=magnitude.device)
    # one end for each row; a trace follows the number of rows in this form alone
    rows = torch.zeros(magnitude.shape[0], 1, dtype=torch.int64, device=magnitude.device)
    ends = rows + lengths.reshape(-1, 1)
    last, before = _at(magnitude, ends - 1), _at(magnitude, (ends - 2).clamp(min=0))
    past = (frames - ends + 1).clamp(min=0)[..., None]  # (row, frame, 1)
    extended = torch.where(past > 0, last + past * (last - before), magnitude)
    return extended, torch.where(past > 0, _at(phase, ends - 1), phase)
