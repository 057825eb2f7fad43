"""The phase vocoder: a spectrum read at another speed, its phases advancing as they did."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from audiofeed.parallel.observed import as_long_as_traced, plain_size


def stretch(spectrum: torch.Tensor, rate: float, *, graph: bool) -> torch.Tensor:
    """Stretch batched spectra in time by a phase vocoder, which reads a frame every `rate` frames.

    Result frame t stands at s = t * rate of the input. Its magnitude is interpolated between frames floor(s) and
    floor(s) + 1, and the phase goes on from it by what lies between those two.

    That step is usually written as the advance a of a steady tone in the bin plus the wrapped rest: a + wrap(d - a) of
    the difference d. But wrap takes off whole turns and nothing else, so that the step is d up to whole turns, and hop
    and n_fft drop out. Left in, a is up to pi * hop a frame, and its sum over a clip has few digits left in float32
    (1e6 radians after 10 s: 0.06 radians); d is at most one turn, and is summed in float64.

    Without a graph on a CPU row after row is computed, so that its intermediates stay in cache.

    Shape: complex (rows, bins, frames) -> (rows, bins, ceil(frames / rate)).
    """
    rows, bins, frames = spectrum.shape
    if graph or spectrum.device.type != "cpu":
        return _stretched(spectrum, rate)
    out = spectrum.new_empty(rows, math.ceil(frames / rate), bins).transpose(1, 2)
    for row in range(rows):
        out[row] = _stretched(spectrum[row], rate)
    return out


def _stretched(spectrum: torch.Tensor, rate: float) -> torch.Tensor:
    """Stretch spectra in time by a phase vocoder, all rows at once.

    Shape: complex (..., bins, frames) -> (..., bins, ceil(frames / rate)).
    """
    spectrum = as_long_as_traced(spectrum)
    frames = plain_size(spectrum.shape[-1])
    steps = torch.arange(math.ceil(frames / rate), device=spectrum.device, dtype=torch.float64) * rate
    index = steps.long()
    part = (steps - index).to(spectrum.real.dtype)[:, None]
    by_frame = F.pad(spectrum.transpose(-1, -2), (0, 0, 0, 2))  # past the last frame stands silence, with phase 0
    magnitude, phase = by_frame.abs(), by_frame.angle().double()
    advance = phase[..., 1:, :] - phase[..., :-1, :]  # (..., frame, bin)
    walked = torch.cat([phase[..., :1, :], advance.index_select(-2, index[:-1])], dim=-2).cumsum(-2)
    turns = (walked * (0.5 / math.pi)).detach().round()
    angle = (walked - turns * (2.0 * math.pi)).to(part.dtype)
    between = torch.lerp(magnitude.index_select(-2, index), magnitude.index_select(-2, index + 1), part)
    # faster than torch.polar, which is not vectorised
    return torch.complex(between * angle.cos(), between * angle.sin()).transpose(-1, -2)
