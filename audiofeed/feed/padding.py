"""One padded CPU batch from clips of unequal length, written once, into shared memory when in a worker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from audiofeed.feed.items import Clip
from audiofeed.feed.targets import map_tensors, to_device
from audiofeed.signal.samples import INT16_SCALE

# Full scale of the integer formats. uint8 is offset binary: 128 is silence.
INT32_SCALE = 1.0 / 2147483648.0
UINT8_ZERO, UINT8_SCALE = 128.0, 1.0 / 128.0

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int16, torch.int32, torch.uint8)

# More channels than any array of microphones, and fewer samples than channels: the axes are swapped.
_IMPLAUSIBLE_CHANNELS = 1000


@dataclass(frozen=True)
class Padded:
    """A batch as the worker made it: int16 where every clip is 16-bit, else float32."""

    waveforms: torch.Tensor  # (batch, time) or (batch, channel, time)
    lengths: torch.Tensor  # (batch,) int64, samples
    targets: Any
    keys: list[Any] | None
    sample_rate: int | None
    seeds: torch.Tensor | None  # (batch,) int64
    faults: tuple[Any, ...] = ()

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Padded:
        """Move every tensor to a device."""
        moved = to_device([self.waveforms, self.lengths, self.targets, self.seeds], device, non_blocking=non_blocking)
        return replace(self, waveforms=moved[0], lengths=moved[1], targets=moved[2], seeds=moved[3])

    def pin_memory(self) -> Padded:
        """Copy every CPU tensor into page-locked memory."""
        tree = [self.waveforms, self.lengths, self.targets, self.seeds]
        pinned = map_tensors(tree, lambda tensor: tensor.pin_memory() if tensor.device.type == "cpu" else tensor)
        return replace(self, waveforms=pinned[0], lengths=pinned[1], targets=pinned[2], seeds=pinned[3])


def pad_clips(clips: Sequence[Clip], targets: Any, sample_rate: int | None = None) -> Padded:
    """Check clips and copy them into one zero-padded batch.

    Args:
        clips: One or more clips, not checked yet.
        targets: Their targets, collated already.
        sample_rate: The rate that the transform was built for, Hz; None takes any.

    Raises:
        TypeError: A waveform is of a type that holds no samples.
        ValueError: A waveform is empty, has NaN or infinite samples, or differs from the rest in rate or channels.

    >>> batch = pad_clips([Clip(torch.ones(2)), Clip(torch.ones(3))], None)
    >>> batch.waveforms
    tensor([[1., 1., 0.], [1., 1., 1.]])
    """
    waveforms = [_as_tensor(index, clip) for index, clip in enumerate(clips)]
    _check_shapes(clips, waveforms)
    rate = _common_rate(clips, sample_rate)
    lengths = [waveform.shape[-1] for waveform in waveforms]
    dtype = torch.int16 if all(waveform.dtype == torch.int16 for waveform in waveforms) else torch.float32
    padded = _empty((len(waveforms), *waveforms[0].shape[:-1], max(lengths)), dtype)
    rows = padded.numpy()
    for row, waveform, length in zip(rows, waveforms, lengths, strict=True):
        _write(row[..., :length], waveform)
        if length < row.shape[-1]:
            row[..., length:] = 0
    # One pass over the whole batch; a sum is finite only if its terms are. Large finite samples may overflow the sum,
    # so the rows decide.
    if dtype == torch.float32 and not math.isfinite(float(padded.sum())):
        _check_finite(clips, rows)
    keys = [clip.key for clip in clips]
    seeds = [clip.seed for clip in clips if clip.seed is not None]
    return Padded(
        waveforms=padded,
        lengths=torch.tensor(lengths, dtype=torch.int64, device="cpu"),
        targets=targets,
        keys=None if all(key is None for key in keys) else keys,
        sample_rate=rate,
        seeds=_seed_tensor(seeds) if len(seeds) == len(clips) else None,
        faults=tuple(fault for clip in clips for fault in clip.faults),
    )


def to_float(waveforms: torch.Tensor) -> torch.Tensor:
    """Scale int16 samples to float32 with full scale at 1; float32 passes as it is.

    >>> to_float(torch.tensor([-32768], dtype=torch.int16))
    tensor([-1.])
    """
    return waveforms.to(torch.float32).mul_(INT16_SCALE) if waveforms.dtype == torch.int16 else waveforms


def _name(index: int, clip: Clip) -> str:
    return f"clip {index}" if clip.key is None else f"clip {index} ({clip.key!r})"


def _as_tensor(index: int, clip: Clip) -> torch.Tensor:
    waveform = clip.waveform
    if isinstance(waveform, np.ndarray) and waveform.dtype.kind in "iuf" and waveform.dtype.itemsize <= 8:
        # torch takes neither foreign byte order nor negative strides, and warns about read-only memory, which memory
        # maps and Arrow columns give.
        waveform = waveform.astype(waveform.dtype.newbyteorder("="), copy=False)
        if not waveform.flags.writeable or min(waveform.strides, default=0) < 0:
            waveform = waveform.copy()
        waveform = torch.from_numpy(waveform)
    if not isinstance(waveform, torch.Tensor) or waveform.dtype not in (*_FLOATS, *_INTEGERS):
        kind = getattr(waveform, "dtype", type(waveform).__name__)
        raise TypeError(
            f"{_name(index, clip)} has samples of type {kind}; samples are int16, int32, uint8 or floating point: "
            "convert the waveform in the dataset"
        )
    if waveform.device.type != "cpu":
        raise ValueError(
            f"{_name(index, clip)} is on {waveform.device}; a dataset yields CPU tensors, and the batch goes to the "
            "device as a whole: leave the waveform where it was read"
        )
    return waveform.detach()


def _check_shapes(clips: Sequence[Clip], waveforms: Sequence[torch.Tensor]) -> None:
    first = waveforms[0]
    for index, (clip, waveform) in enumerate(zip(clips, waveforms, strict=True)):
        shape = tuple(waveform.shape)
        if len(shape) not in (1, 2):
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}; a waveform is (time,) or (channel, time): "
                + ("a clip needs samples" if not shape else "drop the batch dimension")
            )
        if 0 in shape:
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}, no samples; a clip has at least one: leave the file out, or "
                "let the dataset skip it (on_error='skip' in AudioFolder)"
            )
        if len(shape) == 2 and shape[0] >= _IMPLAUSIBLE_CHANNELS and shape[0] > shape[1]:
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}, {shape[0]} channels of {shape[1]} samples; a waveform is "
                "(channel, time): transpose it"
            )
        if shape[:-1] != tuple(first.shape[:-1]):
            raise ValueError(
                f"{_name(index, clip)} has shape {shape} and {_name(0, clips[0])} has {tuple(first.shape)}; all clips "
                "of a batch have the same channels: mix down to mono in the dataset (mono=True in AudioFolder)"
            )


def _common_rate(clips: Sequence[Clip], expected: int | None) -> int | None:
    common, owner = expected, "the transform"
    for index, clip in enumerate(clips):
        rate = clip.sample_rate
        if rate is None or rate == common:
            continue
        if common is not None:
            raise ValueError(
                f"{_name(index, clip)} has sample_rate={rate} and {owner} has {common}; all must be equal: resample in "
                "the dataset (sample_rate= in AudioFolder). The second entry of a tuple of three or more is read as "
                "the rate; if yours is none, give to_example="
            )
        common, owner = rate, _name(index, clip)
    return common


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    # The device is named because torch.set_default_device reaches forked workers, where CUDA must not be touched.
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype, device="cpu")
    # As torch's default_collate does: what leaves a worker must lie in shared memory, and this saves the copy there.
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    return torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape)  # type: ignore[call-overload]


def _write(row: np.ndarray, waveform: torch.Tensor) -> None:
    samples = (waveform.float() if waveform.dtype == torch.bfloat16 else waveform.resolve_neg()).numpy()
    if samples.dtype == row.dtype:
        row[...] = samples
    elif waveform.is_floating_point():
        # A float64 sample beyond float32 becomes inf, which the check that follows reports by clip and sample.
        with np.errstate(over="ignore"):
            row[...] = samples
    elif waveform.dtype == torch.int16:
        np.multiply(samples, np.float32(INT16_SCALE), out=row, casting="unsafe")
    elif waveform.dtype == torch.int32:
        np.multiply(samples, INT32_SCALE, out=row, casting="unsafe")
    else:
        np.multiply(samples - np.float32(UINT8_ZERO), np.float32(UINT8_SCALE), out=row)


def _check_finite(clips: Sequence[Clip], rows: np.ndarray) -> None:
    for index, (clip, row) in enumerate(zip(clips, rows, strict=True)):
        bad = ~np.isfinite(row)
        if bad.any():
            first = int(np.argwhere(bad)[0][-1])
            raise ValueError(
                f"{_name(index, clip)} has {int(bad.sum())} NaN or infinite samples in float32, the first at sample "
                f"{first}; samples must be finite: leave the file out or repair it in the dataset"
            )


def _seed_tensor(seeds: list[int]) -> torch.Tensor:
    # 64-bit seeds without a sign keep their bits.
    signed = [(seed + 2**63) % 2**64 - 2**63 for seed in seeds]
    return torch.tensor(signed, dtype=torch.int64, device="cpu")
