"""Short-time spectra by real FFT: the reference and the default.

Without a graph the frames are computed block by block: a block and everything made of it stays in cache, and only what
the caller keeps is written out. With a graph all frames are one block, because autograd keeps the intermediates anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.spectrum import raise_power, squared_magnitude

# from (rows, frames, bins) powers, which it may overwrite when there is no graph, to (rows, frames, features)
Finish = Callable[[torch.Tensor], torch.Tensor]


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """The complex short-time Fourier transform, zero past each row's frames.

    Shape: waveform (rows, time), lengths (rows,) or None, window (n_fft,) -> complex (rows, bins, frames), a view of
    memory laid out frame by frame, as torch.stft's is.
    """
    if graph:
        spectrum = torch.fft.rfft(framing.cut(framing.pad(waveform, lengths)) * window)
        return spectrum.transpose(-1, -2)
    rows, time = waveform.shape
    frames = framing.count(time)
    out = window.new_empty((rows, frames, framing.n_fft // 2 + 1), dtype=window.dtype.to_complex())
    for row, frame, samples in framing.pieces(waveform, lengths):
        out[row, frame] = torch.fft.rfft(framing.cut(samples) * window)
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
        return (powers if finish is None else finish(powers)).transpose(-1, -2)
    rows, time = waveform.shape
    frames = framing.count(time)
    out: torch.Tensor | None = None
    for row, frame, samples in framing.pieces(waveform, lengths):
        powers = raise_power(squared_magnitude(torch.fft.rfft(framing.cut(samples) * window)), power)
        if finish is None:
            if out is None:
                out = powers.new_empty((rows, frames, powers.shape[-1])).transpose(1, 2)
            out.transpose(1, 2)[row, frame] = powers
        else:
            features = finish(powers)
            if out is None:
                out = features.new_empty((rows, features.shape[-1], frames))
            out[row, :, frame] = features.transpose(1, 2)
    assert out is not None  # a waveform has at least one row and one frame: Transform.forward saw to it
    return out
