"""Local autocorrelation of an envelope over frames: which periods it repeats in."""

from __future__ import annotations

import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.norms import normalized
from audiofeed.methods.workspace import Workspace
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


def tempogram(
    envelope: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    *,
    center: bool,
    norm: float | None,
    graph: bool,
) -> torch.Tensor:
    """Compute tempograms of batched onset envelopes by local autocorrelation.

    They are the autocorrelation of each windowed stretch of an envelope, at lags from 0 up.

    With `center` stretch f is centered on frame f; else it begins there, and an envelope shorter than the window is
    filled up with zeros.

    Shape: envelope (rows, n), 0 past lengths (rows,), window (size,) -> (rows, size, stretches).
    """
    size = window.shape[0]
    framing = Framing(n_fft=size, hop_length=1, center=False, pad_mode="constant")
    if center:
        count = envelope.shape[-1]
        padded = ramped(envelope, lengths, size // 2)
    else:
        count = framing.count(envelope.shape[-1])
        padded = framing.pad(envelope, lengths)
    stretches = framing.cut(padded)[:, :count]  # (row, stretch, sample), overlapping in memory
    if graph:
        return _autocorrelated(stretches * window, norm).transpose(1, 2)
    if launches(envelope) and count <= framing.piece(envelope.device):
        some = framing.row_parts(padded, count)
        made = [_autocorrelated(framing.cut(part)[:, :count] * window, norm, in_place=True) for part in some]
        return (made[0] if len(made) == 1 else torch.cat(made)).transpose(1, 2)
    out = window.new_empty((len(envelope), size, count))
    workspace = Workspace(window)
    step = framing.piece(envelope.device)
    for row in range(len(envelope)):
        for first in range(0, count, step):
            taken = stretches[row, first : first + step]
            windowed = torch.mul(taken, window, out=workspace.take("stretches", *taken.shape))
            out[row, :, first : first + step] = _autocorrelated(windowed, norm).transpose(0, 1)
    return out


def _autocorrelated(stretches: torch.Tensor, norm: float | None, *, in_place: bool = False) -> torch.Tensor:
    """Compute the linear autocorrelation of windowed stretches of envelopes, scaled by a norm.

    The FFT has 2 * size - 1 points at least.

    Shape: (..., size) -> (..., size).
    """
    size = plain_size(stretches.shape[-1])
    n_fft = smooth_length(2 * size - 1)
    spectrum = torch.fft.rfft(stretches, n=n_fft)
    if in_place:
        spectrum = spectrum.mul_(spectrum.conj())
    else:
        powers = spectrum.real.square() + spectrum.imag.square()
        spectrum = torch.complex(powers, torch.zeros_like(powers))
    correlation = torch.fft.irfft(spectrum, n=n_fft)[..., :size]
    return normalized(correlation, norm, -1)
