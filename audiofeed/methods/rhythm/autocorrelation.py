"""Local autocorrelation of an envelope over frames: which periods it repeats in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.norms import normalized
from audiofeed.methods.spectrum import squared_magnitude
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import first_columns
from audiofeed.parallel.launches import launches
from audiofeed.parallel.observed import plain_size
from audiofeed.plans.sizes import smooth_length


def ramped(envelope: torch.Tensor, lengths: torch.Tensor | None, margin: int) -> torch.Tensor:
    """Extend batched envelopes at both ends by ramps down to 0 for their local autocorrelation.

    Rows are extended past both of their own ends by straight lines, as numpy.pad's "linear_ramp".

    d steps outside stands the end's value times (margin - d) / margin.

    Shape: (rows, n), lengths (rows,) or None -> (rows, margin + n + margin), 0 beyond.

    >>> ramped(torch.tensor([[2.0, 4.0, 9.0]]), torch.tensor([2]), 2).tolist()
    [[0.0, 1.0, 2.0, 4.0, 2.0, 0.0, 0.0]]
    """
    if margin == 0:
        return envelope
    n = envelope.shape[-1]
    ends = torch.full((1, 1), n, device=envelope.device) if lengths is None else lengths[:, None]
    positions = torch.arange(-margin, n + margin, device=envelope.device)
    source = torch.minimum(positions.clamp(min=0), ends - 1)  # (row, position)
    outside = (positions - source).abs()
    slope = (margin - outside).clamp(min=0).to(envelope.dtype) / margin
    return envelope.gather(1, source.expand(envelope.shape[0], -1)) * slope


class Ramp(NamedTuple):
    """Constants on a device, by which envelopes are ramped and windowed for local autocorrelation in few launches.

    Positions are counted from `margin` frames before a row's first. Slopes are counted in steps of 1 / margin, and the
    window has that factor; behind its own samples it is 0 up to the size of the FFT.

    Args:
        inside: the frames that positions stand for, not before the first one.
        falling: what the slope has left at a position, less the number of a row's last frame.
        rising: the largest slope at a position.
        nothing: a 0.
        window: (n_fft,).
    """

    inside: torch.Tensor
    falling: torch.Tensor
    rising: torch.Tensor
    nothing: torch.Tensor
    window: torch.Tensor

    def of(self, envelope: torch.Tensor, lengths: torch.Tensor | None, columns: int) -> torch.Tensor:
        """Extend envelopes as `ramped` does, times margin.  Shape: (rows, n), (rows,) or None -> (rows, columns)."""
        inside, falling, rising = (one[:columns] for one in (self.inside, self.falling, self.rising))
        if lengths is None:
            end = envelope.shape[-1] - 1
            source, left = inside.clamp(max=end).expand(len(envelope), -1), falling + end
        else:
            last = (lengths - 1)[:, None]
            source, left = torch.minimum(inside, last), falling + last
        slope = torch.clamp(left, self.nothing, rising)
        return envelope.gather(1, source) * slope


def ramp_positions(margin: int, columns: int) -> np.ndarray:
    """Compute the positions and slopes of a `Ramp`.

    Returns:
        `inside`, `falling` and `rising`, of shape (3, columns).

    >>> ramp_positions(2, 5).tolist()
    [[0, 0, 0, 1, 2], [4, 3, 2, 1, 0], [0, 1, 2, 2, 2]]
    """
    at = np.arange(-margin, columns - margin)
    return np.stack([np.maximum(at, 0), margin - at, margin + np.minimum(at, 0)])


def ramped_window(window: np.ndarray) -> np.ndarray:
    """Compute the window of a `Ramp` from that of the stretches.

    Shape: (size,) -> (n_fft,).
    """
    size = len(window)
    return np.pad(window / max(1, size // 2), (0, smooth_length(2 * size - 1) - size))


def tempogram(
    envelope: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    *,
    center: bool,
    norm: float | None,
    graph: bool,
    ramp: Ramp | None = None,
) -> torch.Tensor:
    """Compute tempograms of batched onset envelopes by local autocorrelation.

    They are the autocorrelation of each windowed stretch of an envelope, at lags from 0 up.

    With `center` stretch f is centered on frame f; else it begins there, and an envelope shorter than the window is
    filled up with zeros.

    Args:
        ramp: of this window, for `center` on a device where few launches count.

    Shape: envelope (rows, n), 0 past lengths (rows,), window (size,) -> (rows, size, stretches).
    """
    size = window.shape[0]
    if ramp is not None:
        found = _few_launches(envelope, lengths, ramp, size, norm=norm, graph=graph)
        if found is not None:
            return found
    framing = Framing(n_fft=size, hop_length=1, center=False, pad_mode="constant")
    if center:
        count = envelope.shape[-1]
        padded = ramped(envelope, lengths, size // 2)
    else:
        count = framing.count(envelope.shape[-1])
        padded = framing.pad(envelope, lengths)
    stretches = framing.cut(first_columns(padded, framing.span(count)))  # (row, stretch, sample), overlapping in memory
    if graph:
        return _autocorrelated(stretches * window, norm).transpose(1, 2)
    if launches(envelope) and count <= framing.piece(envelope.device):
        some = framing.row_parts(padded, count)
        made = [_autocorrelated(framing.cut(part)[:, :count] * window, norm, in_place=True) for part in some]
        return (made[0] if len(made) == 1 else torch.cat(made)).transpose(1, 2)
    # not kept memory: written lag by lag, fresh pages are faster
    out = window.new_empty((len(envelope), size, count))
    step = min(framing.piece(envelope.device), count)
    # which go on with zeros up to the size of the FFT
    held = Workspace(window).take("stretches", step, smooth_length(2 * size - 1))
    held[:, size:] = 0
    for row in range(len(envelope)):
        for first in range(0, count, step):
            taken = stretches[row, first : first + step]
            windowed = held[: len(taken)]
            torch.mul(taken, window, out=windowed[:, :size])
            found = _autocorrelated(windowed, norm, in_place=True, size=size)
            out[row, :, first : first + step] = found.transpose(0, 1)
    return out


def _few_launches(
    envelope: torch.Tensor, lengths: torch.Tensor | None, ramp: Ramp, size: int, *, norm: float | None, graph: bool
) -> torch.Tensor | None:
    """Compute centered tempograms as `tempogram` does, in few launches; None where a row is more than one piece."""
    count, n_fft = envelope.shape[-1], len(ramp.window)
    framing = Framing(n_fft=n_fft, hop_length=1, center=False, pad_mode="constant")
    if not graph and count > framing.piece(envelope.device):
        return None
    padded = ramp.of(envelope, lengths, count + n_fft - 1)
    made = [
        _autocorrelated(framing.cut(part) * ramp.window, norm, in_place=not graph, size=size)
        for part in ((padded,) if graph else framing.row_parts(padded, count))
    ]
    return (made[0] if len(made) == 1 else torch.cat(made)).transpose(1, 2)


def _autocorrelated(
    stretches: torch.Tensor, norm: float | None, *, in_place: bool = False, size: int | None = None
) -> torch.Tensor:
    """Compute the linear autocorrelation of windowed stretches of envelopes, scaled by a norm.

    The FFT has 2 * size - 1 points at least.

    Args:
        in_place: the powers may lie in the spectrum, without a graph.
        size: of the window, where stretches go on with zeros up to the size of the FFT; None: they do not.

    Shape: (..., size) -> (..., size).
    """
    size = plain_size(stretches.shape[-1]) if size is None else size
    n_fft = smooth_length(2 * size - 1)
    spectrum = torch.fft.rfft(stretches, n=n_fft)
    if launches(stretches):
        spectrum = spectrum.mul_(spectrum.conj()) if in_place else spectrum * spectrum.conj()
    elif in_place:
        pairs = torch.view_as_real(spectrum)
        real, imag = pairs.mul_(pairs).unbind(-1)
        real.add_(imag)
        imag.zero_()
    else:
        powers = squared_magnitude(spectrum)
        spectrum = torch.complex(powers, torch.zeros_like(powers))
    correlation = torch.fft.irfft(spectrum, n=n_fft)[..., :size]
    return normalized(correlation, norm, -1)
