"""Features of short-time spectra by kernels as one node of a graph, whose gradient goes back by a kernel, too.

Autograd keeps the waveform, and neither the frames nor the spectrum: the kernel computes the spectrum of each frame
anew. Where somebody follows the gradient's own computation (for a gradient of the gradient, or under vmap), torch's FFT
computes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Step, through
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import in_full_precision
from audiofeed.methods.short_time import fft
from audiofeed.methods.short_time.kernel import limits
from audiofeed.methods.short_time.kernel.gradient_layout import gradient_of
from audiofeed.methods.short_time.kernel.layout import NO_TAIL, FrameLayout, Tail
from audiofeed.methods.spectrum import raise_power, squared_magnitude
from audiofeed.parallel.observed import in_memory


class Feature(NamedTuple):
    """Feature that kernels compute of short-time spectra, and whose gradient they bring back to the waveform.

    Args:
        power: of the magnitude, 1.0 or 2.0.
        root_offset: added to the squared magnitude.
        bank, tail: steps after it.
    """

    power: float
    root_offset: float = 0.0
    bank: FilterBank | None = None
    tail: Tail = NO_TAIL

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps from the powers of a short-time spectrum to the feature, one after another."""
        log = () if self.tail.log is None else (self.tail.log,)
        return (*(() if self.bank is None else (self.bank,)), *self.tail.before, *log, *self.tail.after)


def with_gradient(
    found: torch.Tensor,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    feature: Feature | None,
) -> torch.Tensor:
    """Return a feature that kernels have computed of short-time spectra as one that autograd can go back from.

    Args:
        found: the result of `FrameLayout.filtered`, (rows, n, frames), or of `powers` or `spectrum`, (rows, frames, n),
            zero past each row's frames.
        waveform: (rows, time), which may have a graph.
        lengths: (rows,), or None.
        framing: where the frames lie.
        window: (n_fft,), not trained.
        feature: what was computed; None: the complex spectrum.

    Returns:
        (rows, frames, n), zero past each row's frames.
    """
    by_line = feature is not None and feature.bank is not None
    if waveform.requires_grad:
        found = _ByKernel.apply(waveform, lengths, window, [found], framing, feature)
    return found.transpose(1, 2) if by_line else found


class _ByKernel(torch.autograd.Function):
    """Node of a graph for a feature of short-time spectra that kernels compute, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        window: torch.Tensor,
        found: list[torch.Tensor],
        framing: Framing,
        feature: Feature | None,
    ) -> torch.Tensor:
        """Return what was found, in a list so that autograd sees a new tensor in it."""
        ctx.framing, ctx.feature = framing, feature
        ctx.save_for_backward(waveform, lengths, window)
        return found[0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """Return the gradient of the waveform, by the kernel that goes backward."""
        waveform, lengths, window = ctx.saved_tensors
        feature: Feature | None = ctx.feature
        if feature is not None and feature.bank is not None:
            gradient = gradient.transpose(1, 2)
        result: torch.Tensor | None = None
        if not torch.is_grad_enabled() and in_memory(gradient):
            frames = FrameLayout(waveform.detach(), lengths, ctx.framing, window, limits.lanes_for(ctx.framing.n_fft))
            if feature is None:
                parts = torch.view_as_real(gradient.resolve_conj()).flatten(2)
                result = gradient_of(frames, parts, None)
            else:
                result = gradient_of(frames, gradient, *feature)
        if result is None:
            result = _by_fft(waveform, lengths, ctx.framing, window, feature, gradient)
        return result, None, None, None, None, None


def _by_fft(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    feature: Feature | None,
    gradient: torch.Tensor,
) -> torch.Tensor:
    """Return the gradient of a waveform by torch's FFT and autograd, with a graph if one is recorded.

    Shape: gradient (rows, frames, n) -> (rows, time).
    """
    graph = torch.is_grad_enabled()
    with torch.enable_grad(), in_full_precision(waveform.device, graph=True):
        own = waveform if graph else waveform.detach().requires_grad_()
        spectrum = fft.short_time_spectrum(own, lengths, framing, window, graph=True).transpose(1, 2)
        if feature is not None:
            squared = squared_magnitude(spectrum)
            found = through(feature.steps, raise_power(squared, feature.power, feature.root_offset), None)
        else:
            found = spectrum
        (result,) = torch.autograd.grad(found, own, gradient, create_graph=graph)
    return result
