"""The methods of short-time spectra, at frequencies of an FFT's bins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.method_table import Choice, Method, table
from audiofeed.methods.short_time import conv, fft, fused_method, kernel_method


@dataclass(frozen=True)
class Spectra:
    """Functions of a method in the table of short-time spectra: the complex spectrum, and its powers through steps.

    A function returns None where it failed.
    """

    spectrum: Callable[..., torch.Tensor | None]
    powers: Callable[..., list[torch.Tensor] | None]


def _fft_cannot(*, trainable: bool, **needs: object) -> str | None:
    return "trainable=True: an FFT has no basis to train; use method='conv' or 'auto'" if trainable else None


SHORT_TIME = table(
    "short-time spectra",
    Method(
        name="kernel",
        run=Spectra(kernel_method.short_time_spectrum, kernel_method.short_time_powers),
        filters="analysis_window",
        cannot=kernel_method.cannot,
        cannot_now=kernel_method.cannot_now,
        says=kernel_method.says,
        emphasizes=True,
    ),
    Method(
        name="fused",
        run=Spectra(fused_method.short_time_spectrum, fused_method.short_time_powers),
        filters="analysis_window",
        cannot=fused_method.cannot,
        cannot_now=fused_method.cannot_now,
        leaves=fused_method.leaves,
    ),
    Method(
        name="fft",
        run=Spectra(fft.short_time_spectrum, fft.short_time_powers),
        filters="analysis_window",
        cannot=_fft_cannot,
        reason="the fastest that computes the definition with a fixed basis: a kernel where it can (on a GPU the fused "
        "one, where no graph is recorded), else torch's FFT",
    ),
    Method(
        name="conv",
        run=Spectra(conv.short_time_spectrum, conv.short_time_powers),
        filters="basis",
        reason="trainable=True: the basis is a parameter of a convolution",
    ),
)
AUTO = SHORT_TIME.choose("auto", trainable=False)


def short_time_spectrum(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    filters: torch.Tensor,
    *,
    graph: bool,
    choice: Choice[Spectra] = AUTO,
) -> torch.Tensor:
    """Compute the complex short-time Fourier transform by the first method of the table that can.

    Args:
        waveform: (rows, time).
        lengths: (rows,) samples of each row; None: all of them.
        framing: where the frames lie.
        filters: the window (n_fft,) or the basis (2 * bins, n_fft), as the choice's methods have it.
        graph: autograd or a compiler records what is computed.
        choice: the methods to try; without one, the fastest with a fixed window.

    Returns:
        complex (rows, bins, frames).
    """
    for run in choice.for_input(waveform, framing, filters, graph=graph):
        found = run.spectrum(waveform, lengths, framing, filters, graph=graph)
        if found is not None:
            return found
    raise AssertionError("for_input raises where no method can")


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    filters: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
    choice: Choice[Spectra] = AUTO,
) -> list[torch.Tensor]:
    """Compute powers of |STFT| through steps, by the first method of the table that can.

    See `short_time_spectrum`.

    Returns:
        For each that is wanted (rows, features, frames).
    """
    if not graph and choice.has("fused"):
        known = fused_method.by_known_kernel(waveform, lengths, framing, filters, wanted)
        if known is not None:
            return known
    for run in choice.for_input(waveform, framing, filters, graph=graph, wanted=wanted):
        found = run.powers(waveform, lengths, framing, filters, wanted=wanted, graph=graph)
        if found is not None:
            return found
    raise AssertionError("for_input raises where no method can")
