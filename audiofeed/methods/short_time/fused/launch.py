"""The fused kernel as an operator of torch, `audiofeed::fused_features`: compilers and exports see its shapes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from audiofeed.methods.short_time.fused import triton_kernel
from audiofeed.methods.short_time.fused.kept import kept
from audiofeed.methods.short_time.fused.layout import Split, split_for

LOGARITHMS = ("", "ln", "log1p")
MOST_FILTERS_AT_ONCE = 128
SHORT_FRAME = 512


def launch_settings(split: Split, n_filters: int) -> dict[str, int]:
    """Return what the fused kernel is launched with: frames and warps of a program, and filters summed at once.

    These were the fastest of all three settings timed on a card, or within three hundredths of it: see
    benchmarks/results/fused_launches_nvidia-h200.md, where 8 warps, which keep all values in registers, take half as
    long again and more. With 4, compilers for the compute capability that was timed, 9.0, spill nothing for frames of
    400 (Whisper's), 512 (Kaldi's) and 1024 samples. For 8.0, 1024 samples spill (64 of 4,608 instructions); for 10.0,
    512 (89 of 3,592) and 1024 samples (56 of 5,160). Neither was timed. See
    tests/methods/short_time/fused_compiled.py.

    >>> launch_settings(split_for(400), 80)
    {'FRAMES': 16, 'BLOCK': 64, 'TAIL': 16, 'num_warps': 4}
    >>> launch_settings(split_for(512), 80)
    {'FRAMES': 8, 'BLOCK': 64, 'TAIL': 16, 'num_warps': 4, 'maxnreg': 128}
    """
    long = split.n_values > SHORT_FRAME
    full = not long and split.half == split.width  # no column of its tiles is empty
    block, tail = blocks_of(n_filters) if n_filters else (16, 0)
    found = {"FRAMES": 8 if long or full else 16, "BLOCK": block, "TAIL": tail, "num_warps": 4}
    return {**found, "maxnreg": 128} if full else found


def blocks_of(n_filters: int) -> tuple[int, int]:
    """Return how many filters the fused kernel sums at once, and how many at last.

    >>> blocks_of(80), blocks_of(23), blocks_of(128), blocks_of(200)
    ((64, 16), (32, 32), (128, 0), (128, 128))
    """
    block = max(16, min(MOST_FILTERS_AT_ONCE, 1 << (n_filters.bit_length() - 1)))
    rest = n_filters % block
    tail = max(16, 1 << (rest - 1).bit_length()) if rest else 0
    if n_filters < block or (n_filters < 2 * block <= block + tail and block < MOST_FILTERS_AT_ONCE):
        return (2 * block if n_filters > block else block,) * 2
    return block, tail


class LaunchError(RuntimeError):
    """The fused kernel could not be compiled, or launched."""


def has_run(split: Split | None, device: torch.device) -> bool:
    """Return whether the fused kernel was launched for frames of this length on a device."""
    return (split, device) in _RUN


_RUN: set[tuple[Split, torch.device]] = set()


@functools.lru_cache(maxsize=32)
def tables_on(split: Split, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Return the fused kernel's tables of both stages and their twiddles on a device, and the order of its bins."""
    columns = torch.from_numpy(split.columns)
    tables = (split.first_stage(), split.twiddles(), split.second_stage())
    return (*(torch.from_numpy(table).to(device) for table in tables), columns.to(device))


def table_of(filters: torch.Tensor, split: Split, rows: int, *, short: bool) -> torch.Tensor:
    """Return filters in the order of the fused kernel's bins, in two parts that bfloat16 holds.

    Shape: (n, bins) -> (high and low part, n filled up, columns).
    """
    return kept(filters, (split, rows, short), lambda: (_table(filters, split, rows, short=short),))[0]


def _table(filters: torch.Tensor, split: Split, rows: int, *, short: bool) -> torch.Tensor:
    columns = tables_on(split, filters.device)[-1]
    filled = F.pad(filters.detach().float(), (0, 1, 0, rows - filters.shape[0]))
    whole = filled[:, columns]  # -1 is the column of zeros
    high = _rounded(whole)
    table = torch.stack([high, _rounded(whole - high)])
    return table.bfloat16() if short else table


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Round tables of the fused kernel to the 8 bits of bfloat16, in float32.  Shape: any -> the same."""
    return ((values.contiguous().view(torch.int32) + 32768) & -65536).view(torch.float32)


@torch.library.custom_op("audiofeed::fused_features", mutates_args=())
def fused_features(
    samples: torch.Tensor,
    lengths: torch.Tensor | None,
    window: torch.Tensor,
    filters: torch.Tensor | None,
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
    """Compute features of short frames by the fused kernel, zeros past each row's own frames.

    Args:
        samples: (rows, time), float32 or int16.
        lengths: (rows,) samples of each row; None: all of them.
        window: (n_fft,), times the scale of int16 samples.
        filters: (n, bins); None: the features are the powers themselves.
        affine: (before + after, 2, values), what is added to each value and what it is divided by, in turn.
        n_frames: of the longest row.
        n_fft, hop_length: of the frames.
        margin, extra, more, left_out: see `signal.framing.Positions`.
        under, win_length: the first sample under the window, and how many are.
        pad_mode: what stands past the ends of a row; "constant" where frames begin inside.
        remove_dc, preemphasis: see `frame_shaping`.
        power: of the magnitude, 1.0 or 2.0.
        root_offset: added to the squared magnitude.
        log: one of `LOGARITHMS`.
        floor, factor, offset: factor * ln(max(values + offset, floor)), or of 1 + values, which `floor` is then below.
        before, after: how many steps of `affine` come before the logarithm, and after it.

    Returns:
        float32 (rows, values, n_frames).
    """
    split = split_for(n_fft)
    if split is None:
        raise ValueError(f"n_fft={n_fft} has no fused kernel; use method='fft'")
    rows, time = samples.shape
    n_filters = 0 if filters is None else filters.shape[0]
    out = window.new_empty((rows, n_filters or n_fft // 2 + 1, n_frames))
    if not out.numel():
        return out
    samples = samples if samples.stride(-1) == 1 else samples.contiguous()
    short = not triton_kernel.interpreted()
    settings = launch_settings(split, n_filters)
    first_stage, twiddles, second_stage, _ = tables_on(split, samples.device)
    n_rows = n_filters // settings["BLOCK"] * settings["BLOCK"] + settings["TAIL"]
    bank = window if filters is None else table_of(filters, split, n_rows, short=short)
    n_tiles = -(-n_frames // settings["FRAMES"])
    with torch.cuda.device_of(samples), _launching(split, samples.device):
        triton_kernel.kernel()[(rows * n_tiles,)](
            samples,
            window if lengths is None else lengths.contiguous(),
            window.contiguous(),
            first_stage,
            twiddles,
            second_stage,
            bank,
            window if affine is None else affine.contiguous(),
            out,
            samples.stride(0),
            time,
            n_frames,
            n_tiles,
            hop_length,
            margin,
            extra,
            more,
            left_out,
            under,
            win_length,
            preemphasis,
            floor,
            factor,
            offset,
            root_offset,
            **form(
                split,
                n_filters,
                pad_mode,
                lengths is not None,
                remove_dc,
                preemphasis,
                power,
                root_offset,
                log,
                before,
                after,
            ),
            **settings,
            SHORT=short,
        )
    return out


@contextlib.contextmanager
def _launching(split: Split, device: torch.device) -> Iterator[None]:
    """Raise what keeps the fused kernel from being compiled or launched as a LaunchError."""
    try:
        yield
    except (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError)):  # the second since 2.8
        raise  # of the device, not of this kernel
    except Exception as error:  # Triton's compilers, drivers and caches raise of every kind
        said = str(error).strip().splitlines() or [""]
        raise LaunchError(f"Triton failed with {type(error).__name__}: {said[0][:200]}") from error
    _RUN.add((split, device))


def form(
    split: Split,
    n_filters: int,
    pad_mode: str,
    ragged: bool,
    remove_dc: bool,
    preemphasis: float,
    power: float,
    root_offset: float,
    log: str,
    before: int,
    after: int,
) -> dict[str, Any]:
    """Return the settings that the fused kernel is compiled for, by its parameters' names."""
    return {
        "N_FFT": split.n_fft,
        "R": split.blocks,
        "RP": split.height,
        "M": split.size,
        "W": split.width,
        "N_FILTERS": n_filters,
        "PAD_MODE": pad_mode,
        "RAGGED": ragged,
        "DC": remove_dc,
        "EMPHASIS": preemphasis != 0.0,
        "ROOT": power == 1.0,
        "ROOT_OFFSET": root_offset != 0.0,
        "LOG": log,
        "BEFORE": before,
        "AFTER": after,
    }


@fused_features.register_fake
def _(samples, lengths, window, filters, affine, n_frames, n_fft, *others):  # type: ignore[no-untyped-def]
    n_values = n_fft // 2 + 1 if filters is None else filters.shape[0]
    return window.new_empty((samples.shape[0], n_values, n_frames))
