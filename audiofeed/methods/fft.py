"""Short-time spectra by real FFT: the reference and the default.

Without a graph the frames are computed piece by piece: a piece and everything made of it stays in cache, in memory that
the next piece takes over, and only what the caller keeps is written out. With a graph all frames are one piece, because
autograd keeps the intermediates anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from audiofeed.methods.frames import Framing, Workspace
from audiofeed.methods.spectrum import raise_power, squared_magnitude_into

# From (rows, frames, bins) powers to (rows, frames, features). A workspace is given where there is no graph: the powers
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
    frames = framing.count(waveform.shape[-1])
    out = window.new_empty((waveform.shape[0], frames, framing.n_fft // 2 + 1), dtype=window.dtype.to_complex())
    workspace = Workspace()
    for row, frame, samples in framing.pieces(workspace, waveform, lengths):
        out[row, frame] = _spectrum(workspace, samples, framing, window)
    return out.transpose(-1, -2)


def short_time_power(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    power: float,
    finish: Finish | None,
    graph: bool,
) -> torch.Tensor:
    """|STFT|^power, taken through `finish` where one is given.

    Shape: waveform (rows, time), window (n_fft,) -> (rows, features, frames); contiguous after `finish`, else laid out
    frame by frame.
    """
    if graph:
        spectrum = torch.fft.rfft(framing.cut(framing.pad(waveform, lengths)) * window)
        powers = raise_power(spectrum.real.square() + spectrum.imag.square(), power)
        return (powers if finish is None else finish(powers, None)).transpose(-1, -2)
    rows, frames = waveform.shape[0], framing.count(waveform.shape[-1])
    out: torch.Tensor | None = None
    workspace = Workspace()
    for row, frame, samples in framing.pieces(workspace, waveform, lengths):
        spectrum = _spectrum(workspace, samples, framing, window)
        powers = workspace.take("powers", tuple(spectrum.shape), window)
        powers = raise_power(squared_magnitude_into(powers, spectrum), power)
        if finish is None:
            if out is None:
                out = powers.new_empty((rows, frames, powers.shape[-1])).transpose(1, 2)
            out.transpose(1, 2)[row, frame] = powers
        else:
            features = finish(powers, workspace)
            if out is None:
                out = features.new_empty((rows, features.shape[-1], frames))
            out[row, :, frame] = features.transpose(1, 2)
    assert out is not None  # a waveform has at least one row and one frame: Transform.forward saw to it
    return out


def _spectrum(workspace: Workspace, samples: torch.Tensor, framing: Framing, window: torch.Tensor) -> torch.Tensor:
    """The spectra of one piece.  Shape: (rows, padded time) -> complex (rows, frames, bins)."""
    frames = framing.cut(samples)
    windowed = workspace.take("windowed", tuple(frames.shape), window)
    # the FFT's own result is allocated: with out= it was slower, 7.3 against 5.9 ms at 2048 points
    return torch.fft.rfft(torch.mul(frames, window, out=windowed))
