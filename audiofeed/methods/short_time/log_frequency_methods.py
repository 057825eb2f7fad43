"""The methods of short-time spectra at chosen frequencies."""

from __future__ import annotations

from collections.abc import Callable

import torch

from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.method_table import Method, Table, table
from audiofeed.methods.short_time import conv, interpolated_fft
from audiofeed.methods.short_time.interpolated_fft import Interpolation
from audiofeed.methods.short_time.short_time_methods import SHORT_TIME


def by_interpolation(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    compensation: torch.Tensor,
    weights: torch.Tensor,
    *,
    plan: Interpolation,
    power: float | None,
    root_offset: float = 0.0,
    graph: bool,
) -> torch.Tensor:
    """Compute log-frequency short-time spectra, or their powers, interpolated between the bins of an FFT.

    The result is the complex transform, or for a power its magnitude raised to it.

    Args:
        compensation, weights: see `plans.short_time.interpolation`; the plan is theirs.

    Shape: (rows, time) -> (rows, bins, frames).
    """
    return interpolated_fft.short_time_spectrum(
        waveform,
        lengths,
        framing,
        window * compensation,
        weights,
        plan,
        power=power,
        root_offset=root_offset,
        graph=graph,
    )


def by_basis(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    basis: torch.Tensor,
    *,
    plan: Interpolation,
    power: float | None,
    root_offset: float = 0.0,
    graph: bool,
) -> torch.Tensor:
    """Compute log-frequency short-time spectra, or their powers, by a dense basis (2 * bins, n_fft).

    The result is the complex transform, or for a power its magnitude raised to it.

    Shape: (rows, time) -> (rows, bins, frames).
    """
    if power is None:
        return conv.short_time_spectrum(waveform, lengths, framing, basis, graph=graph)
    wanted = [Wanted(power, root_offset=root_offset)]
    return conv.short_time_powers(waveform, lengths, framing, basis, wanted=wanted, graph=graph)[0]


LOG_FREQUENCY: Table[Callable[..., torch.Tensor]] = table(
    "short-time spectra at chosen frequencies",
    Method(
        name="fft",
        run=by_interpolation,
        filters="analysis_window",
        others=("compensation", "interpolation"),
        cannot=SHORT_TIME.methods["fft"].cannot,
        reason="the fastest: an FFT, interpolated to rounding",
    ),
    Method(
        name="conv",
        run=by_basis,
        filters="basis",
        reason="trainable=True: the basis is a parameter of a convolution",
    ),
)
