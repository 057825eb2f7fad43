"""The fused kernels for compilers: one operator of torch, `audiofeed::fused_powers`, with its shapes and its gradient.

A compiler keeps it as it is in its graph. What runs then chooses its kernel as a call without a compiler does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Affine, Step, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused.asked import taken_steps
from audiofeed.plans.tiles import tiles_of


@torch.library.custom_op("audiofeed::fused_powers", mutates_args=())
def fused_powers(
    waveform: torch.Tensor,
    window: torch.Tensor,
    filters: torch.Tensor | None,
    lengths: torch.Tensor | None,
    affine: torch.Tensor | None,
    n_frames: int,
    n_fft: int,
    hop_length: int,
    first: Sequence[int],
    end: Sequence[int],
    placement: str,
    pad_mode: str,
    win_length: int,
    window_at: str,
    remove_dc: bool,
    preemphasis: float,
    power: float,
    root_offset: float,
    log: str,
    floor: float,
    log_power: float,
    offset: float,
    before: int,
    after: int,
) -> torch.Tensor:
    """Compute one feature of short-time spectra by a fused kernel, from its settings alone.

    Args:
        waveform, lengths, window: as `fused_method.short_time_powers` takes them.
        filters: (n, bins); None: the features are the powers themselves.
        affine: (before + after, 2, values): what is added to each value and what it is divided by, in turn.
        n_frames: of the longest row.
        first, end: bins of each filter; empty: filters may be anywhere.
        n_fft, hop_length, placement, pad_mode, win_length, window_at, remove_dc, preemphasis: see `Framing`.
        power, root_offset: see `Wanted`.
        log, floor, log_power, offset: see `Log`; "": there is none.
        before, after: how many steps of `affine` come before the logarithm, and after it.

    Returns:
        float32 (rows, values, n_frames).

    Raises:
        ValueError: where no fused kernel can compute it, with the reason.
    """
    framing, wanted = _parsed(
        filters, affine, n_fft, hop_length, first, end, placement, pad_mode, win_length, window_at, remove_dc,
        preemphasis, power, root_offset, log, floor, log_power, offset, before, after,
    )  # fmt: skip
    if not n_frames or not waveform.shape[0]:
        return _shaped(window, waveform, filters, n_frames, n_fft)
    given = (waveform, lengths, framing, window)
    found = fused_method.short_time_powers(*given, wanted=[wanted], graph=False)
    if found is None:
        why = fused_method.cannot_now(waveform, framing, window, graph=False, wanted=[wanted]) or "it failed"
        raise ValueError(f"method='fused' cannot be used for this input: {why}; use method='auto'")
    return found[0]


def _shaped(
    window: torch.Tensor, waveform: torch.Tensor, filters: torch.Tensor | None, n_frames: int, n_fft: int
) -> torch.Tensor:
    n_values = n_fft // 2 + 1 if filters is None else filters.shape[0]
    return window.new_empty((waveform.shape[0], n_values, n_frames))


def _parsed(
    filters: torch.Tensor | None,
    affine: torch.Tensor | None,
    n_fft: int,
    hop_length: int,
    first: Sequence[int],
    end: Sequence[int],
    placement: str,
    pad_mode: str,
    win_length: int,
    window_at: str,
    remove_dc: bool,
    preemphasis: float,
    power: float,
    root_offset: float,
    log: str,
    floor: float,
    log_power: float,
    offset: float,
    before: int,
    after: int,
) -> tuple[Framing, Wanted]:
    framing = Framing(
        n_fft=n_fft, hop_length=hop_length, center=placement == "center", placement=placement, pad_mode=pad_mode,
        win_length=win_length, window_at=window_at, remove_dc=remove_dc, preemphasis=preemphasis,
    )  # fmt: skip
    shifts = [] if affine is None else [Affine(add, divide) for add, divide in affine]
    steps: list[Step] = []
    if filters is not None:
        tiles = tiles_of(tuple(first), tuple(end), filters.shape[1]) if first else None
        steps.append(FilterBank(filters, tiles))
    steps += shifts[:before]
    if log:
        steps.append(Log(log, floor, log_power, offset))
    steps += shifts[before : before + after]
    return framing, Wanted(power, tuple(steps), root_offset)


@fused_powers.register_fake
def _(waveform, window, filters, lengths, affine, n_frames, n_fft, *others):  # type: ignore[no-untyped-def]
    return _shaped(window, waveform, filters, n_frames, n_fft)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    waveform, window, filters, lengths, affine, _, *settings = inputs
    ctx.save_for_backward(waveform, window, filters, lengths, affine)
    ctx.settings = settings


def _backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    waveform, window, filters, lengths, affine = ctx.saved_tensors
    n_fft, hop_length, _, _, *settings = ctx.settings
    framing, wanted = _parsed(filters, affine, n_fft, hop_length, (), (), *settings)  # the FFT asks for no tiles
    each = fused_method.gradients(waveform, window, filters, lengths, framing, wanted, ctx.needs_input_grad[:3], grad)
    return (*each, *[None] * (3 + len(ctx.settings)))


fused_powers.register_autograd(_backward, setup_context=_keep)


def features(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, own: Wanted
) -> torch.Tensor:
    """Ask the operator for one feature, whose steps a fused kernel takes all, while a compiler follows.

    Shape: waveform (rows, time), window (n_fft,) -> (rows, values, frames).
    """
    bank, before, log, after, _ = taken_steps(own.steps)
    under = framing.under_window
    return fused_powers(
        waveform,
        window,
        None if bank is None else bank.filters,
        lengths,
        fused_method.shifts_of(own, framing.n_fft // 2 + 1 if bank is None else bank.filters.shape[0]),
        framing.count(waveform.shape[-1]),
        framing.n_fft,
        framing.hop_length,
        () if bank is None or bank.tiles is None else bank.tiles.supports[0],
        () if bank is None or bank.tiles is None else bank.tiles.supports[1],
        framing.placed,
        framing.pad_mode,
        under.stop - under.start,
        framing.window_at,
        framing.remove_dc,
        framing.preemphasis,
        own.power,
        own.root_offset,
        "" if log is None else log.kind,
        0.0 if log is None else log.floor,
        1.0 if log is None else log.power,
        0.0 if log is None else log.offset,
        len(before),
        len(after),
    )
