"""Sounds that an augmentation takes from a dataset: pieces read one at a time, or whole ones held in one bank."""

from __future__ import annotations

import operator
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset

from audiofeed.signal.samples import INT16_SCALE

# as in feed/: what is lower beside a waveform is a class or a count
_LOWEST_RATE = 1000
_CHUNK = 64


class Sound(NamedTuple):
    """Sound that an augmentation read from a dataset.

    Args:
        samples: (channel, time), int16 or float32.
        sample_rate: Hz; None if the item does not say it.
        faults: Errors of files that it stands in for.
    """

    samples: torch.Tensor
    sample_rate: int | None
    faults: tuple[Any, ...] = ()


def check_sounds(name: str, dataset: Any) -> None:
    """Check that an augmentation can take sounds from a dataset: that it has a length and is indexed.

    Raises:
        TypeError: It is none, such as the path of a folder.
        ValueError: It is empty.

    >>> check_sounds("dataset", [torch.zeros(8)])
    """
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not sized or isinstance(dataset, str | bytes | Mapping):
        raise TypeError(
            f"{name}={dataset!r} must be a dataset with a length that is indexed from 0: audiofeed.AudioFolder(folder, "
            "sample_rate=...), a list of tensors, or the items of a stream as a list"
        )
    if len(dataset) == 0:
        raise ValueError(f"{name} is empty; an augmentation takes its sounds from one item or more")


def sound_of(item: Any, where: str) -> Sound:
    """Return the sound of a dataset's item for an augmentation.

    Args:
        item: An `AudioExample`; a tensor or array, (time,) or (channel, time), of integers of 16 bits or floats; a
            tuple of one and its sample rate in Hz, with anything behind it; or a dict with `waveform`, `audio` or
            `array`.
        where: Names the item in an error.

    Raises:
        TypeError: It is none of these.
        ValueError: It has no samples, or another shape.

    >>> sound_of((torch.zeros(8), 8000, "rain"), "item 0").sample_rate
    8000
    """
    found, rate, faults = item, None, ()
    if isinstance(item, Mapping):
        name = next((name for name in ("waveform", "audio", "array") if item.get(name) is not None), None)
        found = None if name is None else item[name]
        rate = item.get("sample_rate", item.get("sampling_rate"))
    elif isinstance(item, tuple | list) and item:
        found = item[0]
        rate = item[1] if len(item) > 1 and _is_rate(item[1]) else None
    elif hasattr(item, "waveform"):
        found, rate, faults = item.waveform, item.sample_rate, tuple(getattr(item, "faults", ()))
    if found is not item and not isinstance(found, torch.Tensor | np.ndarray) and found is not None:
        inner = sound_of(found, where)
        return inner if rate is None else inner._replace(sample_rate=operator.index(rate))
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(np.ascontiguousarray(found))
    if not isinstance(found, torch.Tensor):
        raise TypeError(
            f"{where} is {type(item).__name__}, which is not a known form of a sound; let the dataset yield an "
            "audiofeed.AudioExample, (waveform, sample_rate), or a tensor"
        )
    if found.dim() not in (1, 2) or found.numel() == 0:
        raise ValueError(
            f"{where} has shape {tuple(found.shape)}; it must be (time,) or (channel, time), and not empty"
        )
    if found.dtype != torch.int16:
        if not found.is_floating_point():
            raise TypeError(f"{where} is {found.dtype}; it must be int16, or floating point with full scale at 1")
        found = found.float()
        if not bool(found.isfinite().all()):
            raise ValueError(f"{where} has NaN or infinite samples; remove or repair it")
    return Sound(found if found.dim() == 2 else found[None], None if rate is None else operator.index(rate), faults)


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= _LOWEST_RATE


def read_piece(dataset: Any, index: int, epoch: int, samples: int, place: float) -> Sound:
    """Read a piece of an item of a dataset for an augmentation; of audio files no more than the piece is read.

    Args:
        dataset: As in `check_sounds`; torch's Subset and ConcatDataset are looked through.
        index: Of the item.
        epoch: Draws the item's own crop, if the dataset has one; 0 or more.
        samples: Length; a shorter item is returned whole.
        place: Where it lies among all places in the item, 0 to 1.

    >>> read_piece([torch.arange(8.0)], 0, 0, 2, 1.0).samples
    tensor([[6., 7.]])
    """
    inner, at = _within(dataset, index)
    if hasattr(inner, "excerpt"):
        return sound_of(inner.excerpt((epoch, at), samples, place), f"item {index} of the dataset")
    sound = sound_of(inner[at], f"item {index} of the dataset")
    return sound._replace(samples=cut(sound.samples, samples, place))


def cut(sound: torch.Tensor, samples: int, place: float) -> torch.Tensor:
    """Cut a piece from a sound of an augmentation, as long as asked for or the whole.

    >>> cut(torch.arange(4), 2, 0.5)
    tensor([1, 2])
    """
    spare = sound.shape[-1] - samples
    if spare <= 0:
        return sound
    start = min(int(place * (spare + 1)), spare)
    return sound[..., start : start + samples]


def _within(dataset: Any, index: int) -> tuple[Any, int]:
    """Return the innermost dataset that holds an augmentation's sound, and the sound's index there."""
    while True:
        if isinstance(dataset, Subset):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        elif isinstance(dataset, ConcatDataset):
            part = bisect_right(dataset.cumulative_sizes, index)
            index -= dataset.cumulative_sizes[part - 1] if part else 0
            dataset = dataset.datasets[part]
        else:
            return dataset, index


def in_channels(sound: torch.Tensor, channels: int | None) -> torch.Tensor:
    """Return a sound for an augmentation's clips of so many channels: as it is, or its mean for all of them.

    Args:
        sound: (channel, time).
        channels: Of the clips; None: they have no such axis.

    Returns:
        (channels, time), or (1, time), which goes to every channel alike.

    >>> in_channels(torch.tensor([[1.0], [3.0]]), None)
    tensor([[2.]])
    """
    if sound.shape[0] in (1, channels):
        return sound
    return as_float(sound).mean(0, keepdim=True)


def as_float(sound: torch.Tensor) -> torch.Tensor:
    """Return a sound of an augmentation as float32 with full scale at 1."""
    return sound.float() * INT16_SCALE if sound.dtype == torch.int16 else sound


class Bank(NamedTuple):
    """Bank of whole sounds for an augmentation, one behind the other.

    Args:
        samples: (channel, time of all), int16 if all sounds are, else float32.
        begins: int64 (sounds,), where each begins.
        counts: int64 (sounds,), samples of each.
        sample_rate: Hz; None if no item says it.
        faults: Errors of files that others stand in for.
    """

    samples: torch.Tensor
    begins: torch.Tensor
    counts: torch.Tensor
    sample_rate: int | None
    faults: tuple[Any, ...]


def read_bank(dataset: Any, name: str, keep_gb: float) -> Bank:
    """Read all sounds of a dataset for an augmentation into one bank.

    Sounds of one number of channels keep them; of several numbers, each becomes its channels' mean.

    Args:
        dataset: As in `check_sounds`.
        name: Of the augmentation, for errors.
        keep_gb: GB (10^9 bytes) that it may take.

    Raises:
        ValueError: It takes more, or the sounds have several sample rates.

    >>> read_bank([torch.zeros(3), torch.ones(2)], "AddBackground", 1.0).begins
    tensor([0, 3])
    """
    sounds, rate = read_sounds(dataset, name, keep_gb)
    several = len({sound.samples.shape[0] for sound in sounds}) > 1
    parts = [in_channels(sound.samples, None if several else sound.samples.shape[0]) for sound in sounds]
    if any(part.dtype != torch.int16 for part in parts):
        parts = [as_float(part) for part in parts]
    counts = torch.tensor([part.shape[-1] for part in parts])
    faults = tuple(fault for sound in sounds for fault in sound.faults)
    return Bank(torch.cat(parts, -1), counts.cumsum(0) - counts, counts, rate, faults)


def read_sounds(dataset: Any, name: str, keep_gb: float) -> tuple[list[Sound], int | None]:
    """Read all sounds of a dataset for an augmentation.

    Args:
        dataset: As in `check_sounds`.
        name: Of the augmentation, for errors.
        keep_gb: GB (10^9 bytes) that they may take.

    Returns:
        The sounds, and their sample rate in Hz, None if no item says it.

    Raises:
        ValueError: They take more, or have several sample rates.

    >>> read_sounds([(torch.zeros(3), 8000)], "ReverbFrom", 1.0)[1]
    8000
    """
    durations, rate = getattr(dataset, "durations", None), getattr(dataset, "sample_rate", None)
    if durations is not None and rate is not None:
        check_size(2.0 * float(np.sum(durations)) * rate, name, keep_gb, len(dataset))
    sounds: list[Sound] = []
    size = 0
    for first in range(0, len(dataset), _CHUNK):
        places = [_within(dataset, index) for index in range(first, min(first + _CHUNK, len(dataset)))]
        for number, item in enumerate(_items(places), first):
            sounds.append(sound_of(item, f"item {number} of the dataset"))
            size += sounds[-1].samples.nbytes
        check_size(size, name, keep_gb, len(dataset))
    rates = sorted({sound.sample_rate for sound in sounds if sound.sample_rate is not None})
    if len(rates) > 1:
        raise ValueError(
            f"{name} needs sounds of one sample rate, and these have {rates} Hz: give the dataset one, "
            "audiofeed.AudioFolder(..., sample_rate=16000)"
        )
    return sounds, rates[0] if rates else None


def _items(places: list[tuple[Any, int]]) -> list[Any]:
    """Return the items at places for an augmentation's bank, those of audio files decoded in several threads."""
    dataset = places[0][0]
    if hasattr(dataset, "excerpt") and all(inner is dataset for inner, _ in places):
        return list(dataset.__getitems__([(0, at) for _, at in places]))
    return [inner[(0, at)] if hasattr(inner, "excerpt") else inner[at] for inner, at in places]


def warn_of_faults(name: str, faults: Iterable[Any]) -> None:
    """Warn once of the files in place of which an augmentation has others.

    >>> warn_of_faults("AddBackground", [])
    """
    by_path = {getattr(fault, "path", None): fault for fault in reversed(list(faults))}
    if by_path:
        first = list(by_path.values())[-1]
        warnings.warn(
            f"{name} takes other sounds in place of {len(by_path)} that cannot be read; the first: {first}",
            stacklevel=4,
        )


def check_size(size: float, name: str, keep_gb: float, count: int) -> None:
    """Check that an augmentation may hold so many bytes of sounds.

    Raises:
        ValueError: It may not.

    >>> check_size(1000, "AddBackground", 1.0, 2)
    """
    if size > keep_gb * 1e9:
        instead = "seconds= to cut them" if name == "ReverbFrom" else "keep=None to read them as they are needed"
        raise ValueError(
            f"{name} may hold keep_gb={keep_gb:g} GB, and {count} sounds take {size / 1e9:.3g} GB or more: pass a "
            f"larger keep_gb, fewer or shorter sounds, a lower sample_rate, or {instead}"
        )


def check_rate(augmentation: object, clips: int | None, sounds: int | None, remedy: str) -> None:
    """Check that the sounds of an augmentation have the clips' sample rate, where both are known.

    Args:
        augmentation: Named in the error.
        clips: Hz of the clips.
        sounds: Hz of the sounds.
        remedy: What to do.

    Raises:
        ValueError: They differ.

    >>> check_rate("AddBackground", 16000, None, "")
    """
    if clips is not None and sounds is not None and clips != sounds:
        name = augmentation if isinstance(augmentation, str) else type(augmentation).__name__
        raise ValueError(f"{name} has sounds of {sounds} Hz, and the clips have {clips} Hz: {remedy}")
