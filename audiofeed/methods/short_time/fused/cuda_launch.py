"""The CUDA kernel as an operator of torch, `audiofeed::cuda_features`: compilers and exports see its shapes."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.short_time.fused import nvrtc
from audiofeed.methods.short_time.fused.cuda_layout import Plan, plan_for
from audiofeed.methods.short_time.fused.cuda_text import Form
from audiofeed.methods.short_time.fused.kept import kept

MOST_BLOCKS = 2**31 - 1
# compute capabilities of the cards on which benchmarks/gpu_smoke.py found the kernel to be right, which tries any card:
# a wrong address would end the whole process' work on the card, and no comparison beforehand can undo that
PROVEN: Collection[tuple[int, int]] = ()
_FLOATS = ("preemphasis", "floor", "factor", "offset", "root_offset")
_INTS = (
    "time", "n_frames", "n_tiles", "n_values", "margin", "extra", "more", "left_out", "under", "win_length", "before",
    "after",
)  # fmt: skip
_POINTERS = ("samples", "lengths", "window", "turns", "weights", "spans", "affine", "out")


class Job(ctypes.Structure):
    """The CUDA kernel's one argument, as `frames.cu` has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("row_stride", ctypes.c_longlong),
        *((name, ctypes.c_int) for name in _INTS),
        *((name, ctypes.c_float) for name in _FLOATS),
    )


class Launcher(Protocol):
    """What launches a form of the CUDA kernel: `nvrtc.Loaded` on a card, and in the tests a CPU."""

    def launch(self, blocks: int, threads: int, job: ctypes.Structure) -> None: ...


def unreachable(device: torch.device) -> str | None:
    """Return the reason why the CUDA kernel cannot be brought to a device, or None."""
    if device.type != "cuda":
        return f"a tensor on {device.type}"
    if torch.version.cuda is None:
        return "torch was built without CUDA"
    if PROVEN and torch.cuda.get_device_capability(device) in PROVEN:
        return None
    return "no card of this kind has run the CUDA kernel yet"


@functools.lru_cache(maxsize=256)
def launcher(form: Form, device: torch.device) -> Launcher:
    """Return what launches a form of the CUDA kernel on a device: compiled at its first use there, some 0.3 seconds.

    Raises:
        CompilerError: if it cannot be compiled or loaded.
    """
    major, minor = torch.cuda.get_device_capability(device)
    return nvrtc.Loaded(nvrtc.compiled(form.text(), f"sm_{major}{minor}"), "features", device, form.shared)


@functools.lru_cache(maxsize=64)
def turns_on(plan: Plan, device: torch.device) -> torch.Tensor:
    """Return the CUDA kernel's table of turns on a device.  Shape: (turns, 2)."""
    return torch.from_numpy(plan.table()).to(device)


def packed(bank: FilterBank) -> tuple[torch.Tensor, torch.Tensor]:
    """Return filters as the CUDA kernel takes them: the weights of each from its first to its end bin, and where.

    Shape: (weights,) float32, and (n, 4) int32: first bin, end bin, where bin 0 would lie among the weights, 0.

    >>> from audiofeed.plans.tiles import filter_tiles
    >>> filters = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    >>> packed(FilterBank(torch.tensor(filters), filter_tiles(filters)))[1].tolist()
    [[1, 3, -1, 0], [0, 1, 2, 0]]
    """
    filters, tiles = bank.filters, bank.tiles
    n, bins = filters.shape

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        flat = filters.detach().float().reshape(-1)
        if tiles is None:  # anything may be anywhere
            first = np.arange(n) * bins
            spans = np.stack([0 * first, 0 * first + bins, first, 0 * first], axis=1)
        else:
            spans = np.stack([*tiles.spans, np.zeros(n, np.int64)], axis=1)
            flat = flat[torch.from_numpy(tiles.entries).to(filters.device)]
        where = torch.from_numpy(spans.astype(np.int32)).to(filters.device)
        return flat if flat.numel() else flat.new_zeros(1), where

    return kept(filters, "cuda", make)


def form_of(
    n_fft: int,
    hop_length: int,
    *,
    short: bool,
    pad_mode: str,
    remove_dc: bool,
    preemphasis: float,
    power: float,
    root_offset: float,
    filters: bool,
    log: str,
) -> Form | None:
    """Return the form of the CUDA kernel for some settings; None if it cannot take such frames."""
    plan = plan_for(n_fft, hop_length)
    if plan is None:
        return None
    return Form(
        plan, short, pad_mode, remove_dc, preemphasis != 0.0, power == 1.0, root_offset != 0.0, filters, log
    )  # fmt: skip


@torch.library.custom_op("audiofeed::cuda_features", mutates_args=())
def cuda_features(
    samples: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    weights: torch.Tensor | None,
    spans: torch.Tensor | None,
    affine: torch.Tensor | None,
    n_frames: int,
    n_fft: int,
    hop_length: int,
    margin: int,
    extra: int,
    more: int,
    left_out: int,
    under: int,
    win_length: int,
    pad_mode: str,
    remove_dc: bool,
    preemphasis: float,
    power: float,
    root_offset: float,
    log: str,
    floor: float,
    factor: float,
    offset: float,
    before: int,
    after: int,
) -> torch.Tensor:
    """Compute features of short frames by the CUDA kernel, zeros past each row's own frames.

    Args:
        samples, lengths, window: as `launch.fused_features` takes them.
        weights, spans: of filters, see `packed`; None: the features are the powers themselves.
        affine: as `launch.fused_features` takes it, and all that follows.

    Returns:
        float32 (rows, values, n_frames).

    Raises:
        ValueError: if the kernel cannot take such frames.
        CompilerError: if it cannot be compiled, loaded or launched.
    """
    form = form_of(
        n_fft, hop_length, short=samples.dtype == torch.int16, pad_mode=pad_mode, remove_dc=remove_dc,
        preemphasis=preemphasis, power=power, root_offset=root_offset, filters=spans is not None, log=log,
    )  # fmt: skip
    if form is None:
        raise ValueError(f"n_fft={n_fft}, hop_length={hop_length} have no CUDA kernel; use method='fft'")
    rows, time = samples.shape
    n_values = n_fft // 2 + 1 if spans is None else spans.shape[0]
    out = window.new_empty((rows, n_values, n_frames))
    if not out.numel():
        return out
    n_tiles = -(-n_frames // form.plan.frames)
    if rows * n_tiles > MOST_BLOCKS:
        raise ValueError(f"a batch of {rows} rows and {n_frames} frames is too large for the CUDA kernel")
    samples = samples if samples.stride(-1) == 1 else samples.contiguous()
    given: dict[str, torch.Tensor | None] = {
        "samples": samples,
        "lengths": None if lengths is None else lengths.to(samples.device, torch.int64).contiguous(),
        "window": _aligned(window),
        "turns": turns_on(form.plan, samples.device),
        "weights": weights,
        "spans": spans,
        "affine": None if affine is None else affine.contiguous(),
        "out": out,
    }
    job = Job(
        **{name: None if tensor is None else tensor.data_ptr() for name, tensor in given.items()},
        row_stride=samples.stride(0), time=time, n_frames=n_frames, n_tiles=n_tiles, n_values=n_values, margin=margin,
        extra=extra, more=more, left_out=left_out, under=under, win_length=win_length, before=before, after=after,
        preemphasis=preemphasis, floor=floor, factor=factor, offset=offset, root_offset=root_offset,
    )  # fmt: skip
    with torch.cuda.device_of(samples):
        launcher(form, samples.device).launch(rows * n_tiles, form.plan.threads, job)
    return out


def _aligned(window: torch.Tensor) -> torch.Tensor:
    """Return a window from which the CUDA kernel can load two floats at once."""
    window = window.contiguous()
    return window.clone() if window.data_ptr() % 8 else window


@cuda_features.register_fake
def _(  # type: ignore[no-untyped-def]
    samples, lengths, window, weights, spans, affine, n_frames, n_fft, *others: Any
):
    n_values = n_fft // 2 + 1 if spans is None else spans.shape[0]
    return window.new_empty((samples.shape[0], n_values, n_frames))
