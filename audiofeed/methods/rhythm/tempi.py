"""Tempograms read at other tempi: on a common axis, and at multiples of each tempo."""

from __future__ import annotations

import math

import torch

from audiofeed.methods.frames import Framing
from audiofeed.methods.rhythm.autocorrelation import Ramp, tempogram
from audiofeed.methods.short_time.short_time_methods import short_time_spectrum
from audiofeed.methods.spectrum import raise_power, squared_magnitude


def read_at(tempogram: torch.Tensor, places: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Read batched tempograms at other tempi, by straight lines between their rows.

    Args:
        tempogram: (rows, tempi, frames), real or complex.
        places, shares: (2, ...) of the wanted tempi: see `signal.rhythm.tempo.tempo_places`.

    Returns:
        (rows, ..., frames).

    >>> read_at(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[0], [1]]), torch.tensor([[0.5], [0.5]])).tolist()
    [[[2.0]]]
    """
    slower, faster = (
        tempogram.index_select(1, place.flatten()) * share.flatten()[:, None]
        for place, share in zip(places.unbind(), shares.unbind(), strict=True)
    )
    return (slower + faster).unflatten(1, places.shape[1:])


def hybrid_tempogram(
    envelope: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    places: torch.Tensor,
    shares: torch.Tensor,
    *,
    center: bool,
    graph: bool,
    ramp: Ramp | None = None,
) -> torch.Tensor:
    """Compute hybrid tempograms of batched onset envelopes, products of local autocorrelation and local spectrum.

    They are the geometric mean of both tempograms' magnitudes at the tempi of the spectrum's bins: a spectrum has
    multiples of a tempo, an autocorrelation its fractions, and the product what both have.

    Args:
        places, shares: of the bins' tempi among those of the lags, (2, size // 2 + 1).
        ramp: as for `tempogram`.

    Shape: envelope (rows, n), 0 past lengths (rows,), window (size,) -> (rows, size // 2 + 1, stretches).
    """
    periodic = tempogram(envelope, lengths, window, center=center, norm=math.inf, graph=graph, ramp=ramp)
    framing = Framing(n_fft=window.shape[0], hop_length=1, center=center, pad_mode="constant")
    # a centered spectrum of even size has a frame more
    spectrum = short_time_spectrum(envelope, lengths, framing, window, graph=graph)[..., : periodic.shape[-1]]
    magnitude = raise_power(squared_magnitude(spectrum), 1.0)
    return raise_power(magnitude * read_at(periodic, places, shares).abs(), 1.0)


def metrogram(
    tempogram: torch.Tensor, places: torch.Tensor, shares: torch.Tensor, *, aggregate: str | None
) -> torch.Tensor:
    """Compute metrograms of batched tempograms: each tempo's value times that at multiples of the tempo.

    Args:
        tempogram: (rows, tempi, frames), real or complex, all of its tempi finite.
        places, shares: of the multiples among the tempi, (2, factors, tempi).
        aggregate: "sum", "mean" or "max" over the tempi; None: each of them.

    Returns:
        (rows, factors, frames), or (rows, factors, tempi, frames).

    >>> places, shares = torch.tensor([[[0, 0]], [[1, 1]]]), torch.tensor([[[0.5, 0.0]], [[0.5, 1.0]]])
    >>> metrogram(torch.tensor([[[2.0], [4.0]]]), places, shares, aggregate="sum").tolist()
    [[[22.0]]]
    """
    products = read_at(tempogram, places, shares) * tempogram[:, None]
    if aggregate is None:
        return products
    if aggregate == "max":
        return products.amax(-2)
    return products.sum(-2) if aggregate == "sum" else products.mean(-2)
