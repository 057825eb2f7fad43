"""Pad clips of unequal length, to the longest or to a fixed length, into one CPU batch, written once.

In a worker it is written into shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.data.samples import bad_samples
from audiofeed.data.shared.batch_rows import batch_of_rows, in_worker_process
from audiofeed.feed.items import Clip
from audiofeed.feed.shared_memory import light, sent, shared_rows
from audiofeed.feed.states.tensor_trees import map_tensors, pin, to_device
from audiofeed.methods.lengths import length_mask
from audiofeed.parallel.kept_memory import kept_empty
from audiofeed.signal.samples import INT16_SCALE

# Full scale of the integer formats. uint8 is offset binary: 128 is silence.
INT32_SCALE = 1.0 / 2147483648.0
UINT8_ZERO, UINT8_SCALE = 128.0, 1.0 / 128.0

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int16, torch.int32, torch.uint8)

# More channels than any microphone array has; with fewer samples than channels, the axes are swapped.
_IMPLAUSIBLE_CHANNELS = 1000


@dataclass(frozen=True)
class Padded:
    """Batch of padded clips: int16 if every clip is, else float32.

    Args:
        waveforms: (batch, time) or (batch, channel, time), zero past the end of each clip.
        lengths: (batch,) int64, samples of each clip.
        targets: The collated targets.
        names: Name of each clip, None where a clip has none; None if no clip has one.
        sample_rate: Sample rate of every clip, Hz; None if unknown.
        seeds: (batch,) int64; None unless every clip has a seed.
        faults: Read errors of files that were replaced by others.
        target_lengths: (batch,) int64, entries of each clip's target; None unless the targets were padded.
        fields: What else the clips have, collated, by name.
        seconds: What each stage took in the process that made the batch: those of `data.stopwatch.STAGES`, and the
            collate; empty if nobody measured.
        sources: Where among targets and fields the target waveforms lie: the field's name, and the keys from there.
        fetched: What was read for the augmentation of these clips, a tree of tensors; None if it reads nothing.
    """

    waveforms: torch.Tensor
    lengths: torch.Tensor
    targets: Any
    names: list[Any] | None
    sample_rate: int | None
    seeds: torch.Tensor | None
    faults: tuple[Any, ...] = ()
    target_lengths: Any = None
    fields: Mapping[Any, Any] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()
    sources: tuple[tuple[Any, ...], ...] = ()
    fetched: Any = None

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Padded:
        """Return the batch of padded clips with every tensor on a device."""
        return self.with_tensors(to_device(self.tensors(), device, non_blocking=non_blocking))

    def pin_memory(self) -> Padded:
        """Return the batch of padded clips with every CPU tensor in page-locked memory."""
        return self.with_tensors(pin(self.tensors()))

    def light(self) -> Padded:
        """Return the batch of padded clips for a pickle, in which small tensors are their numbers.

        As a handle of shared memory each would take a file and a connection between the processes.
        """
        others = {name: map_tensors(getattr(self, name), light) for name in _ON_DEVICE[1:]}
        return replace(self, waveforms=sent(self.waveforms), **others)

    def tensors(self) -> list[Any]:
        """Return what is or may hold tensors in the batch of padded clips."""
        return [getattr(self, name) for name in _ON_DEVICE]

    def with_tensors(self, tensors: list[Any]) -> Padded:
        """Return the batch of padded clips with others in the place of what `tensors` gave."""
        return replace(self, **dict(zip(_ON_DEVICE, tensors, strict=True)))


_ON_DEVICE = ("waveforms", "lengths", "targets", "target_lengths", "fields", "seeds", "fetched")


def check_pad_to(pad_to: Any, longer: Any) -> None:
    """Check the fixed length of a padded batch, and what is done with longer clips.

    Raises:
        TypeError: `pad_to` is neither an integer, nor a float, nor None.
        ValueError: `pad_to` is not above 0 and finite, or `longer` is neither "error" nor "crop".

    >>> check_pad_to(1.0, "crop")
    """
    if pad_to is not None:
        if isinstance(pad_to, bool) or not isinstance(pad_to, int | float | np.integer | np.floating):
            raise TypeError(f"pad_to={pad_to!r} must be seconds (a float) or samples (an integer), or None")
        if not (math.isfinite(pad_to) and pad_to > 0):
            raise ValueError(f"pad_to={pad_to!r} must be above 0: seconds as a float, samples as an integer")
    check_choice("longer", longer, ("error", "crop"))


def check_pad_to_multiple_of(multiple: Any, pad_to: Any) -> None:
    """Check the samples that the length of a padded batch is to be a multiple of.

    Raises:
        TypeError: It is neither an integer, nor a float, nor None.
        ValueError: It is not above 0 and finite, or `pad_to` gives the length already.

    >>> check_pad_to_multiple_of(16000, None)
    """
    if multiple is None:
        return
    if isinstance(multiple, bool) or not isinstance(multiple, int | float | np.integer | np.floating):
        raise TypeError(f"pad_to_multiple_of={multiple!r} must be seconds (a float) or samples (an integer), or None")
    if not (math.isfinite(multiple) and multiple > 0):
        raise ValueError(f"pad_to_multiple_of={multiple!r} must be above 0: seconds as a float, samples as an integer")
    if pad_to is not None:
        raise ValueError(
            f"pad_to_multiple_of={multiple!r} must be left out beside pad_to={pad_to!r}, which gives every batch one "
            "length; leave out one of the two"
        )


def pad_clips(
    clips: Sequence[Clip],
    targets: Any,
    sample_rate: int | None = None,
    *,
    pad_to: float | None = None,
    longer: Literal["error", "crop"] = "error",
    mono: bool = False,
    pad_to_multiple_of: float | None = None,
) -> Padded:
    """Pad clips with zeros: check them and copy them into one batch.

    Args:
        clips: One or more clips.
        targets: Their collated targets.
        sample_rate: Sample rate that the transform was made for, Hz; None takes any.
        pad_to: Length of the batch, a float in seconds, an integer in samples; None for the longest clip's.
        longer: "error" refuses a clip longer than that, "crop" takes its beginning.
        mono: True averages the channels of each clip; a single one keeps its samples as they are.
        pad_to_multiple_of: The length of the batch is the longest clip's, and more up to a multiple of this: a float in
            seconds, an integer in samples; None: no more.

    Returns:
        The batch on the CPU, in shared memory if called in a DataLoader worker.

    Raises:
        TypeError: A waveform has a type that is not a type of samples.
        ValueError: A waveform is empty, has NaN or infinite samples, or differs from the others in sample rate or
            channels; or a clip is longer than `pad_to` under "error"; or a length is in seconds and no sample rate is
            known.

    >>> batch = pad_clips([Clip(torch.ones(2)), Clip(torch.ones(3))], None)
    >>> batch.waveforms
    tensor([[1., 1., 0.], [1., 1., 1.]])
    """
    waveforms = [_as_tensor(index, clip) for index, clip in enumerate(clips)]
    _check_shapes(clips, waveforms, mono)
    if mono:
        waveforms = [_mixed_down(waveform) for waveform in waveforms]
    rate = _common_rate(clips, sample_rate)
    if pad_to is None:
        size = max(waveform.shape[-1] for waveform in waveforms)
        if pad_to_multiple_of is not None:
            multiple = _samples_of("pad_to_multiple_of", pad_to_multiple_of, rate)
            size = -(-size // multiple) * multiple
    else:
        size = _samples_of("pad_to", pad_to, rate)
        waveforms = [
            _fitted(index, clip, waveform, size, longer)
            for index, (clip, waveform) in enumerate(zip(clips, waveforms, strict=True))
        ]
    lengths = [waveform.shape[-1] for waveform in waveforms]
    dtype = torch.int16 if all(waveform.dtype == torch.int16 for waveform in waveforms) else torch.float32
    shape = (len(waveforms), *waveforms[0].shape[:-1], size)
    padded = batch_of_rows(waveforms, shape) if dtype == torch.int16 else None
    if padded is None and in_worker_process():
        padded = _shared(clips, waveforms, shape, dtype)
    if padded is None:
        padded = _padded(clips, waveforms, shape, dtype)
    names = [clip.key for clip in clips]
    return Padded(
        waveforms=padded,
        lengths=torch.from_numpy(np.array(lengths, dtype=np.int64)),
        targets=targets,
        names=None if all(name is None for name in names) else names,
        sample_rate=rate,
        seeds=seeds_of([clip.seed for clip in clips]),
        faults=tuple(fault for clip in clips for fault in clip.faults),
    )


def frame_mask(values: Any, lengths: Any) -> Any:
    """Mark the frames of a padded batch that belong to each clip, and not to its padding.

    Args:
        values: Features (batch, ..., frames), or a dict of them.
        lengths: Frames of each clip (batch,), or a dict of them with the same names.

    Returns:
        (batch, frames) bool, True for a frame of the clip itself; a dict of them if `values` is one.

    >>> frame_mask(torch.zeros(2, 80, 3), torch.tensor([1, 3]))
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    if isinstance(values, dict):
        return {
            name: frame_mask(entry, lengths[name] if isinstance(lengths, dict) else lengths)
            for name, entry in values.items()
        }
    return length_mask(values.shape[-1], lengths)


def _name(index: int, clip: Clip) -> str:
    return f"clip {index}" if clip.key is None else f"clip {index} ({clip.key!r})"


def _as_tensor(index: int, clip: Clip) -> torch.Tensor:
    waveform = clip.waveform
    if type(waveform) is torch.Tensor and waveform.dtype is torch.int16 and waveform.is_cpu and _is_dense(waveform):
        return waveform  # as our datasets have it
    if isinstance(waveform, np.ndarray) and waveform.dtype.kind in "iuf" and waveform.dtype.itemsize <= 8:
        # torch takes neither foreign byte order nor negative strides, and warns about the read-only memory of memory
        # maps and Arrow columns.
        waveform = waveform.astype(waveform.dtype.newbyteorder("="), copy=False)
        if not waveform.flags.writeable or min(waveform.strides, default=0) < 0:
            waveform = waveform.copy()
        waveform = torch.from_numpy(waveform)
    if not isinstance(waveform, torch.Tensor) or waveform.dtype not in (*_FLOATS, *_INTEGERS):
        has_dtype = isinstance(waveform, torch.Tensor | np.ndarray)
        raise TypeError(
            f"{_name(index, clip)} has samples of type {waveform.dtype if has_dtype else type(waveform).__name__}; "
            "samples must be int16, int32, uint8 or floating point: convert the waveform in the dataset"
        )
    if not _is_dense(waveform):
        kind = "a nested tensor" if waveform.is_nested else f"of layout {waveform.layout}"
        raise TypeError(f"{_name(index, clip)} is {kind}; a waveform must be a dense tensor: call its to_dense()")
    if waveform.device.type != "cpu":
        raise ValueError(
            f"{_name(index, clip)} is on {waveform.device}; a dataset must yield CPU tensors, because the batch is "
            "copied to the device as a whole: leave the waveform on the CPU"
        )
    return waveform.detach()


def _is_dense(waveform: torch.Tensor) -> bool:
    return waveform.layout is torch.strided and not waveform.is_nested


def _mixed_down(waveform: torch.Tensor) -> torch.Tensor:
    """Return a clip without the axis of its channels."""
    if waveform.dim() == 1:
        return waveform
    if waveform.shape[0] == 1:
        return waveform[0]
    # the mean of integers is none; each type is scaled as it is where it stays
    floats = torch.empty(waveform.shape, dtype=torch.float32, device="cpu")
    _write(floats.numpy(), waveform)
    return floats.mean(0)


def _check_shapes(clips: Sequence[Clip], waveforms: Sequence[torch.Tensor], mono: bool) -> None:
    first = waveforms[0]
    for index, (clip, waveform) in enumerate(zip(clips, waveforms, strict=True)):
        shape = tuple(waveform.shape)
        if len(shape) not in (1, 2):
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}; a waveform must be (time,) or (channel, time): "
                + ("a clip needs at least one sample" if not shape else "drop the batch dimension")
            )
        if 0 in shape:
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}, no samples; a clip must have at least one: remove the file, "
                "or let the dataset skip it (on_error='skip' in AudioFolder)"
            )
        if len(shape) == 2 and shape[0] >= _IMPLAUSIBLE_CHANNELS and shape[0] > shape[1]:
            raise ValueError(
                f"{_name(index, clip)} has shape {shape}, {shape[0]} channels of {shape[1]} samples; a waveform "
                "must be (channel, time): transpose it"
            )
        if not mono and shape[:-1] != tuple(first.shape[:-1]):
            raise ValueError(
                f"{_name(index, clip)} has shape {shape} and {_name(0, clips[0])} has {tuple(first.shape)}; all clips "
                "of a batch must have the same channels: mix down to mono (mono=True in AudioFolder, or in the collate)"
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
                "the dataset (sample_rate= in AudioFolder). The second entry of a tuple of three or more is taken for "
                "the sample rate; if yours is something else, give to_example="
            )
        common, owner = rate, _name(index, clip)
    return common


def _samples_of(name: str, length: float, rate: int | None) -> int:
    """Return the samples of a length of a batch, by the name of its argument."""
    if not isinstance(length, float | np.floating):
        return int(length)
    if rate is None:
        raise ValueError(
            f"{name}={length!r} is in seconds, and neither the transform nor a clip has a sample rate; give samples, "
            "as an integer, or a dataset that yields the sample rate"
        )
    return max(1, math.floor(length * rate + 0.5))


def _fitted(
    index: int, clip: Clip, waveform: torch.Tensor, size: int, longer: Literal["error", "crop"]
) -> torch.Tensor:
    if waveform.shape[-1] <= size:
        return waveform
    if longer == "error":
        raise ValueError(
            f"{_name(index, clip)} has {waveform.shape[-1]} samples, and pad_to is {size}; a clip must not be longer: "
            "crop it in the dataset (crop= in AudioFolder), or give longer='crop' to take its beginning"
        )
    return waveform[..., :size]


def _padded(
    clips: Sequence[Clip], waveforms: Sequence[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    """Return the samples of all clips in one tensor, zero past the end of each."""
    if in_worker_process():  # As in torch's default_collate: tensors leave a worker by shared memory; it saves a copy.
        storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
        # The device is named because torch.set_default_device reaches forked workers, where CUDA must not be touched.
        padded = torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape)  # type: ignore[call-overload]
    else:
        padded = kept_empty(shape, dtype)
    rows, finite = padded.numpy(), True
    for row, waveform in zip(rows, waveforms, strict=True):
        length = waveform.shape[-1]
        _write(row[..., :length], waveform)
        if length < row.shape[-1]:
            row[..., length:] = 0
        finite = finite and _may_be_finite(row[..., :length])
    if not finite:
        _check_finite(clips, rows)
    return padded


def _shared(
    clips: Sequence[Clip], waveforms: Sequence[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor | None:
    """Return what `_padded` does, in memory that the training process can map; None if it cannot map a file."""
    samples = []
    for waveform in waveforms:
        if waveform.dtype != dtype or waveform.is_neg():
            converted = torch.empty(waveform.shape, dtype=dtype, device="cpu")
            _write(converted.numpy(), waveform)
            waveform = converted
        samples.append(waveform.numpy())
    if not all(map(_may_be_finite, samples)):
        _check_finite(clips, samples)
    return shared_rows((row for own in samples for row in own.reshape(-1, own.shape[-1])), shape, dtype)


def _write(row: np.ndarray, waveform: torch.Tensor) -> None:
    samples = (waveform.float() if waveform.dtype == torch.bfloat16 else waveform.resolve_neg()).numpy()
    if samples.dtype == row.dtype:
        row[...] = samples
    elif waveform.is_floating_point():
        # A float64 sample beyond float32 becomes inf, which the check for finite samples then reports.
        with np.errstate(over="ignore"):
            row[...] = samples
    elif waveform.dtype == torch.int16:
        np.multiply(samples, np.float32(INT16_SCALE), out=row, casting="unsafe")
    elif waveform.dtype == torch.int32:
        np.multiply(samples, INT32_SCALE, out=row, casting="unsafe")
    else:
        np.multiply(samples - np.float32(UINT8_ZERO), np.float32(UINT8_SCALE), out=row)


def _may_be_finite(samples: np.ndarray) -> bool:
    """Return False if a sample may be NaN or infinite: a sum is finite only if its terms are.

    Large finite samples may overflow the sum, so that each has to be looked at. NumPy sums with one thread: torch's
    would spin beside those that decode the next batch.
    """
    if samples.dtype == np.int16:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(float(samples.sum()))


def _check_finite(clips: Sequence[Clip], rows: Iterable[np.ndarray]) -> None:
    for index, (clip, row) in enumerate(zip(clips, rows, strict=True)):
        count, first = bad_samples(row)
        if count:
            raise ValueError(
                f"{_name(index, clip)} has {count} NaN or infinite samples in float32, the first at sample {first}; "
                "samples must be finite: remove the file or repair it in the dataset"
            )


def seeds_of(seeds: Sequence[int | None]) -> torch.Tensor | None:
    """Return the seeds of a padded batch's clips as a tensor; None unless every clip has one.

    Shape: (batch,) int64.

    >>> seeds_of([1, 2**64 - 1]), seeds_of([1, None])
    (tensor([ 1, -1]), None)
    """
    if None in seeds:
        return None
    # Unsigned 64-bit seeds keep their bits.
    signed = [(seed + 2**63) % 2**64 - 2**63 for seed in seeds]  # type: ignore[operator]
    return torch.from_numpy(np.array(signed, dtype=np.int64))
