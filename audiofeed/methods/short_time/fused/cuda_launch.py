"""The CUDA kernel as an operator of torch, `audiofeed::cuda_features`: compilers and exports see its shapes."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.short_time.fused import nvrtc
from audiofeed.methods.short_time.fused.cuda_filters import rounds_of, tables
from audiofeed.methods.short_time.fused.cuda_layout import Plan, plan_for
from audiofeed.methods.short_time.fused.cuda_text import Form, Numbers, form_of
from audiofeed.methods.short_time.fused.kept import kept

MOST_BLOCKS = 2**31 - 1
# compute capabilities of the cards on which benchmarks/gpu_smoke.py found the kernel to be right, which tries any card:
# a wrong address would end the whole process' work on the card, and no comparison beforehand can undo that
PROVEN: Collection[tuple[int, int]] = ((9, 0),)
_FLOATS = ("preemphasis", "floor", "factor", "offset", "root_offset")
_INTS = ("tile_shift", "time", "n_frames", "n_tiles", "margin", "extra", "more", "left_out")
_POINTERS = ("samples", "lengths", "window", "turns", "weights", "spans", "affine", "out")


class Job(ctypes.Structure):
    """The CUDA kernel's one argument, as `frames.cu` has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("row_stride", ctypes.c_longlong),
        ("tile_factor", ctypes.c_uint),
        *((name, ctypes.c_int) for name in _INTS),
        *((name, ctypes.c_float) for name in _FLOATS),
    )


class Launcher(Protocol):
    """What launches a form of the CUDA kernel: `nvrtc.Loaded` on a card, and in the tests a CPU."""

    def launch(self, blocks: int, threads: int, job: ctypes.Structure) -> None: ...


@functools.lru_cache(maxsize=64)
def capability(device: torch.device) -> tuple[int, int]:
    """Return the compute capability of a card, by which the CUDA kernel is compiled and allowed; asked for once.

    It is (0, 0) where no card is there, and a tensor without values stands for one that is.
    """
    return torch.cuda.get_device_capability(device) if torch.cuda.is_available() else (0, 0)


def unreachable(device: torch.device) -> str | None:
    """Return the reason why the CUDA kernel cannot be brought to a device, or None."""
    if device.type != "cuda":
        return f"a tensor on {device.type}"
    if torch.version.cuda is None:
        return "torch was built without CUDA"
    if PROVEN and capability(device) in PROVEN:
        return None
    return "no card of this kind has run the CUDA kernel yet"


@functools.lru_cache(maxsize=256)
def launcher(form: Form, device: torch.device) -> Launcher:
    """Return what launches a form of the CUDA kernel on a device: compiled at its first use there, some 0.3 seconds.

    Raises:
        CompilerError: if it cannot be compiled or loaded.
    """
    major, minor = capability(device)
    return nvrtc.Loaded(nvrtc.compiled(form.text(), f"sm_{major}{minor}"), "features", device, form.shared)


@functools.lru_cache(maxsize=64)
def turns_on(plan: Plan, device: torch.device) -> torch.Tensor:
    """Return the CUDA kernel's table of turns on a device.  Shape: (turns, 2)."""
    return torch.from_numpy(plan.table()).to(device)


def packed(bank: FilterBank, plan: Plan, power: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return filters as the CUDA kernel takes them: the weights of each part's, and their spans, see `cuda_filters`.

    Spectra are twice as large in the kernel, and the weights so much smaller.

    Args:
        bank: the filters.
        plan: of the kernel.
        power: of the magnitude.

    Shape: -> (fours, parts, 4) float32, and (fours, parts, 4) int32.

    >>> import numpy as np
    >>> from audiofeed.plans.tiles import filter_tiles
    >>> filters, plan = np.eye(4, 201), plan_for(400, 160)
    >>> [table.shape for table in packed(FilterBank(torch.tensor(filters), filter_tiles(filters)), plan, 2.0)]
    [torch.Size([1, 10, 4]), torch.Size([1, 10, 4])]
    """
    filters = bank.filters

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        first, end = bank.supports
        rounds = rounds_of(first, end, plan.parts)
        entries, spans = tables(first, end, filters.shape[1], rounds, plan.parts, plan.frames)
        flat = F.pad(filters.detach().float().reshape(-1) * 0.5**power, (0, 1))  # the last is what -1 stands for
        weights = flat[torch.from_numpy(entries).to(filters.device)]
        return weights, torch.from_numpy(spans).to(filters.device)

    return kept(filters, ("cuda", plan, power), make)


def _division(by: int) -> tuple[int, int]:
    """Return a factor and a shift that divide any whole number below 2^31 in the CUDA kernel, without a division.

    >>> factor, shift = _division(94)
    >>> [n * factor >> shift for n in (0, 93, 94, 2**31 - 1)] == [0, 0, 1, (2**31 - 1) // 94]
    True
    """
    shift = 31 + (by - 1).bit_length()
    return -(-(2**shift) // by), shift


@torch.library.custom_op("audiofeed::cuda_features", mutates_args=())
def cuda_features(
    samples: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    weights: torch.Tensor | None,
    spans: torch.Tensor | None,
    affine: torch.Tensor | None,
    rounds: Sequence[int],
    n_values: int,
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
        affine: as `launch.fused_features` takes it.
        rounds: of the filters, see `cuda_filters`.
        n_values: filters, or bins.
        n_frames: as `launch.fused_features` takes it, and all that follows.

    Returns:
        float32 (rows, values, n_frames).

    Raises:
        ValueError: if the kernel cannot take such frames.
        CompilerError: if it cannot be compiled, loaded or launched.
    """
    plan = plan_for(n_fft, hop_length)
    if plan is None:
        raise ValueError(f"n_fft={n_fft}, hop_length={hop_length} have no CUDA kernel; use method='fft'")
    numbers = Numbers(
        n_fft, hop_length, margin, extra, more, left_out, under, win_length, pad_mode, remove_dc, preemphasis, power,
        root_offset, log, floor, factor, offset, before, after,
    )  # fmt: skip
    form = form_of(plan, numbers, short=samples.dtype == torch.int16, n_values=n_values, rounds=tuple(rounds))
    return launch(form, numbers, samples, lengths, window, weights, spans, affine, n_frames)


def launch(
    form: Form,
    numbers: Numbers,
    samples: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    weights: torch.Tensor | None,
    spans: torch.Tensor | None,
    affine: torch.Tensor | None,
    n_frames: int,
) -> torch.Tensor:
    """Compute features of short frames by a form of the CUDA kernel as `cuda_features` does, without torch's dispatch.

    That takes the host as long as the kernel takes a card.

    Shape: samples (rows, time) -> (rows, values, n_frames).
    """
    n_rows, time = samples.shape
    out = window.new_empty((n_rows, form.n_values, n_frames))
    if not out.numel():
        return out
    n_tiles = -(-n_frames // form.plan.frames)
    if n_rows * n_tiles > MOST_BLOCKS:
        raise ValueError(f"a batch of {n_rows} rows and {n_frames} frames is too large for the CUDA kernel")
    device = samples.device
    # each has a name: memory that nobody holds may be another tensor's by the time of the launch
    samples = samples if samples.stride(-1) == 1 else samples.contiguous()
    window = _aligned(window)
    if lengths is not None:
        lengths = lengths.to(device, torch.int64).contiguous()
    affine = None if affine is None else affine.contiguous()
    turns = turns_on(form.plan, device)
    given = (samples, lengths, window, turns, weights, spans, affine, out)
    factor_of_tiles, shift = _division(n_tiles)
    scale = 1.0 if spans is None else 4.0  # of powers, which are twice as large with filters
    job = Job(
        *[None if tensor is None else tensor.data_ptr() for tensor in given],
        samples.stride(0), factor_of_tiles, shift, time, n_frames, n_tiles, numbers.margin, numbers.extra,
        numbers.more, numbers.left_out, numbers.preemphasis, numbers.floor, numbers.factor, numbers.offset,
        scale * numbers.root_offset,
    )  # fmt: skip
    with _on(device):
        launcher(form, device).launch(n_rows * n_tiles, form.plan.threads, job)
    return out


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a device is the current one; most often it is."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def _aligned(window: torch.Tensor) -> torch.Tensor:
    """Return a window from which the CUDA kernel can load two floats at once."""
    window = window.contiguous()
    return window.clone() if window.data_ptr() % 8 else window


@cuda_features.register_fake
def _(  # type: ignore[no-untyped-def]
    samples, lengths, window, weights, spans, affine, rounds, n_values, n_frames, *others: Any
):
    return window.new_empty((samples.shape[0], n_values, n_frames))
