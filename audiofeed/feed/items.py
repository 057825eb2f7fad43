"""What a dataset may yield: each known form of an item, read as one clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from audiofeed.data.example import AudioExample

WAVEFORM_KEYS = ("waveform", "audio")
RATE_KEYS = ("sample_rate", "sampling_rate")
TARGET_KEYS = ("target", "label", "labels")
NAME_KEYS = ("key", "id", "path")

# Below this a second tuple entry is a class index or a count; the slowest rate in audio files is 4000 Hz.
LOWEST_RATE = 1000

KNOWN_FORMS = (
    "a tensor or NumPy array (time,) or (channel, time); (waveform, target); (waveform, sample_rate, target, ...); "
    "a dict with 'waveform' or 'audio' (Hugging Face's {'array', 'sampling_rate'} included); an AudioExample"
)


class Clip(NamedTuple):
    """One item of a batch, taken apart but not checked."""

    waveform: torch.Tensor | np.ndarray
    sample_rate: int | None = None
    target: Any = None
    key: Any = None
    seed: int | None = None
    faults: tuple[Any, ...] = ()


def read_items(items: Any, to_example: Callable[[Any], AudioExample] | None = None) -> list[Clip]:
    """Take a batch of dataset items apart.

    Args:
        items: The list that DataLoader hands to a collate function.
        to_example: Turns one item into an AudioExample, for forms not known here.

    Raises:
        TypeError: ``items`` is one item, or an item has no known form.
        ValueError: ``items`` is empty.

    >>> read_items([(torch.zeros(3), 7)])[0].target
    7
    """
    if not isinstance(items, list) and not (isinstance(items, tuple) and all(map(_is_whole_item, items))):
        raise TypeError(
            f"the collate got {structure(items)}, one item; it takes the list of a batch's items: give DataLoader a "
            "batch_size of 1 or more (batch_size=None turns batching off), or let the dataset yield lists of items"
        )
    if not items:
        raise ValueError("the collate got an empty list; a batch has at least one item: look at the batch sampler")
    return [_read_item(index, item, to_example) for index, item in enumerate(items)]


def structure(item: Any) -> str:
    """Say what an item is made of, in one line and without its numbers.

    >>> structure((torch.zeros(2, 5), "dog"))
    'tuple(float32 tensor (2, 5), str)'
    """
    if isinstance(item, torch.Tensor):
        return f"{str(item.dtype).removeprefix('torch.')} tensor {tuple(item.shape)}"
    if isinstance(item, np.ndarray):
        return f"{item.dtype} array {item.shape}"
    if isinstance(item, Mapping):
        return f"{type(item).__name__} with keys {list(item)[:12]}"
    if isinstance(item, list | tuple):
        inner = ", ".join(structure(entry) for entry in item[:6]) + (", ..." if len(item) > 6 else "")
        return f"{type(item).__name__}({inner})"
    return type(item).__name__


def _is_whole_item(item: Any) -> bool:
    # A tuple of these is a batch; a tuple that holds a bare waveform is itself one item.
    return isinstance(item, AudioExample | Mapping | tuple)


def _read_item(index: int, item: Any, to_example: Callable[[Any], AudioExample] | None) -> Clip:
    if to_example is not None:
        example = to_example(item)
        if not isinstance(example, AudioExample):
            raise TypeError(
                f"to_example returned {structure(example)} for clip {index}; it must return an AudioExample"
            )
        item = example
    if isinstance(item, AudioExample):
        return Clip(item.waveform, item.sample_rate, item.target, item.key, item.seed, item.faults)
    if isinstance(item, tuple) and any(name in WAVEFORM_KEYS for name in getattr(item, "_fields", ())):
        item = item._asdict()  # type: ignore[attr-defined]
    clip = None
    if isinstance(item, Mapping):
        clip = _read_mapping(index, item)
    elif isinstance(item, list | tuple):
        clip = _read_tuple(item)
    else:
        sound = _read_sound(item)
        clip = None if sound is None else Clip(*sound)
    if clip is None:
        raise TypeError(
            f"clip {index} is {structure(item)}, which is no known form; the known forms are: {KNOWN_FORMS}. "
            "Give to_example= a function that turns your item into an AudioExample"
        )
    return clip


def _read_sound(value: Any) -> tuple[Any, int | None, None, Any] | None:
    """Read (waveform, sample_rate, no target, key) from what holds samples, or None where nothing does."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value, None, None, None
    if isinstance(value, Mapping) and "array" in value:
        samples = value["array"]
        if isinstance(samples, list):
            samples = np.asarray(samples)
        rate = next((value[name] for name in RATE_KEYS if value.get(name) is not None), None)
        return samples, None if rate is None else _rate(rate), None, value.get("path")
    if hasattr(value, "get_all_samples"):  # torchcodec's AudioDecoder, which newer Hugging Face datasets yield
        decoded = value.get_all_samples()
        return decoded.data, _rate(decoded.sample_rate), None, None
    return None


def _read_tuple(item: list[Any] | tuple[Any, ...]) -> Clip | None:
    sound = _read_sound(item[0]) if item else None
    if sound is None:
        return None
    waveform, rate, _, key = sound
    rest = tuple(item[1:])
    if len(rest) >= 2 and _is_rate(rest[0]):
        rate, rest = _rate(rest[0]), rest[1:]
    target = None if not rest else rest[0] if len(rest) == 1 else rest
    return Clip(waveform, rate, target, key)


def _read_mapping(index: int, item: Mapping[Any, Any]) -> Clip | None:
    if "array" in item:
        sound = _read_sound(item)
        return None if sound is None else Clip(*sound)
    source = next((name for name in WAVEFORM_KEYS if item.get(name) is not None), None)
    if source is None:
        return None
    value = np.asarray(item[source]) if isinstance(item[source], list) else item[source]
    sound = _read_sound(value)
    if sound is None:
        return None
    waveform, rate, _, key = sound
    used = {source}
    for name in RATE_KEYS:
        if item.get(name) is not None:
            stated = _rate(item[name])
            if rate is not None and rate != stated:
                raise ValueError(f"clip {index} has {name}={stated} beside audio of {rate} Hz; the two must agree")
            rate = stated
        used.add(name)
    names = [name for name in NAME_KEYS if item.get(name) is not None]
    if names:
        key = item[names[0]]
        used.add(names[0])
    targets = [name for name in TARGET_KEYS if name in item]
    if len(targets) == 1:
        return Clip(waveform, rate, item[targets[0]], key)
    rest = {name: entry for name, entry in item.items() if name not in used}
    return Clip(waveform, rate, rest or None, key)


def _is_rate(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        is_integer = value.dim() == 0 and not (value.is_floating_point() or value.is_complex())
        return is_integer and int(value) >= LOWEST_RATE
    return isinstance(value, int | np.integer) and int(value) >= LOWEST_RATE


def _rate(value: Any) -> int:
    rate = float(value)
    if not rate.is_integer() or rate < 1:
        raise ValueError(f"sample_rate={value!r} must be a whole number of Hz, at least 1")
    return int(rate)
