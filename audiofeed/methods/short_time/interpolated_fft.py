"""Short-time spectra at any frequencies: an oversampled FFT, interpolated to rounding.

As exact as the sum it stands for (2e-12 in float64), at the cost of an FFT and a few bins around each frequency instead
of a product with every sample of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from audiofeed.methods.frame_shaping import windowed
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import matmul, products_into
from audiofeed.methods.short_time.fft import packed_pieces, put_back
from audiofeed.methods.spectrum import raise_power, squared_magnitude, squared_magnitude_into
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_like


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Interpolation of FFT tensors of `length` points to short-time spectra at nonuniform frequencies.

    See `plans.short_time.interpolation`.
    """

    length: int
    tiles: tuple[tuple[int, int, int, int], ...]

    def spectrum(self, windowed: torch.Tensor, weights: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Compute the spectrum of windowed frames at nonuniform frequencies by interpolation.

        With a workspace the result lies there, and there is no graph.

        Shape: windowed (frames, n_fft or more, up to `length`), weights (all tiles,) -> complex (frames, bins).
        """
        bins = torch.view_as_real(torch.fft.rfft(windowed, n=self.length)).flatten(-2)  # (frame, 2 * FFT bin)
        start = 0
        parts = []
        out = None if workspace is None else workspace.take("interpolated", len(windowed), self.tiles[-1][1])
        into = products_into(bins)
        for first, end, low, high in self.tiles:
            size = (end - first) * (high - low)
            tile = weights[start : start + size].view(end - first, high - low).t()
            start += size
            if out is None:
                parts.append(matmul(bins[:, low:high], tile))
            else:
                into(out[:, first:end], bins[:, low:high], tile)
        found = torch.cat(parts, dim=1) if out is None else out  # (frame, 2 * bin)
        return torch.view_as_complex(found.unflatten(-1, (-1, 2)))


def short_time_spectrum(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    weights: torch.Tensor,
    interpolation: Interpolation,
    *,
    power: float | None,
    root_offset: float = 0.0,
    graph: bool,
) -> torch.Tensor:
    """Compute short-time spectra of batched waveforms at nonuniform frequencies, by an interpolated FFT.

    The result is the complex transform, or for a power its magnitude raised to it, with `root_offset` added to its
    square.

    Shape: waveform (rows, time), lengths (rows,) or None, window (n_fft,), times the compensation, weights (all
    tiles,) -> (rows, bins, frames), laid out frame by frame.
    """
    if graph:
        frames = windowed(framing.cut(framing.pad(waveform, lengths)), framing, window)  # (row, frame, sample)
        spectrum = interpolation.spectrum(frames.flatten(0, 1), weights, None)
        if power is not None:
            spectrum = raise_power(squared_magnitude(spectrum), power, root_offset)
        return spectrum.unflatten(0, frames.shape[:2]).transpose(1, 2)
    rows, count, bins = waveform.shape[0], framing.count(waveform.shape[-1]), interpolation.tiles[-1][1] // 2
    if framing.fits(waveform):
        parts = [
            _of_rows(windowed(framing.cut(part), framing, window), weights, interpolation, power, root_offset)
            for part in framing.row_parts(framing.pad(waveform, lengths), count)
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2)
    dtype = window.dtype.to_complex() if power is None else window.dtype
    out = kept_like(window, (rows, count, bins), dtype)
    workspace = Workspace(window)
    for places, piece in packed_pieces(workspace, waveform, lengths, framing, window, interpolation.length):
        found = interpolation.spectrum(piece, weights, workspace)
        if power is not None:
            squared = squared_magnitude_into(workspace.take("powers", *found.shape), found)
            found = raise_power(squared, power, root_offset)
        put_back(out, places, found)
    return out.transpose(1, 2)


def _of_rows(
    frames: torch.Tensor, weights: torch.Tensor, interpolation: Interpolation, power: float | None, root_offset: float
) -> torch.Tensor:
    """Compute the short-time spectra of windowed frames by interpolation, without a graph, in memory of their own.

    Shape: (rows, frames, n_fft) -> (rows, frames, bins).
    """
    found = interpolation.spectrum(frames.flatten(0, 1), weights, Workspace(weights))
    if power is not None:
        pairs = torch.view_as_real(found)
        found = raise_power(torch.add(*pairs.mul_(pairs).unbind(-1)), power, root_offset)
    return found.unflatten(0, frames.shape[:2])
