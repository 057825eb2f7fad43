"""Read the items of a dataset: a registry of known forms, and one form of an item read as one clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from audiofeed.data.example import AudioExample
from audiofeed.feed.tensor_trees import describe, is_named_tuple

WAVEFORM_NAMES = ("waveform", "audio")
RATE_NAMES = ("sample_rate", "sampling_rate")
TARGET_NAMES = ("target", "label", "labels")
CLIP_NAMES = ("key", "id", "path")

# Below this a second tuple entry is a class index or a count; the lowest rate in audio files is 4000 Hz.
LOWEST_RATE = 1000

# the names that webdataset gives a sample's sound: the endings of its file
_SOUND_ENDINGS = {"wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "aiff", "aif", "sph", "w64", "au", "webm"}

_ARRAYS = (torch.Tensor, np.ndarray)
_SEQUENCES = (tuple, list)
_MAPPINGS = (dict, Mapping)  # the abstract class alone takes three times as long to check


class Clip(NamedTuple):
    """Clip read from one dataset item of a batch, taken apart but not checked.

    Args:
        waveform: (time,) or (channel, time); int16, int32, uint8 or floating point.
        sample_rate: Sample rate, Hz; None if unknown.
        target: The target; None if there is none.
        key: The clip's name, a path or an id; None if it has none.
        seed: Seed of the clip's augmentation.
        faults: Read errors of files that the clip replaces.

    >>> Clip(torch.zeros(3), 16000, target=7).target
    7
    """

    waveform: torch.Tensor | np.ndarray
    sample_rate: int | None = None
    target: Any = None
    key: Any = None
    seed: int | None = None
    faults: tuple[Any, ...] = ()


class ItemForm(NamedTuple):
    """Form of a dataset item that a collate can read.

    Args:
        name: Describes the form in error messages.
        matches: Returns True for an item of this form.
        read: Returns the item as a `Clip` or an `AudioExample`.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], Clip | AudioExample]


def register_item_form(name: str, matches: Callable[[Any], bool], read: Callable[[Any], Clip | AudioExample]) -> None:
    """Register a form of dataset item of your own, to be taken by every collate.

    Your forms are tried before the built-in ones, in the order of their registration; registering a name again replaces
    the form. The registry belongs to the process: workers that are forked inherit it, and workers started by spawn or
    forkserver have the forms that the modules they import have registered. So call this at the top level of the module
    that defines your dataset.

    Args:
        name: Describes the form in error messages, "a `Recording` of my corpus" for example.
        matches: Returns True for an item of this form; called with any item of any dataset.
        read: Returns the item as a `Clip` or an `AudioExample`.

    Raises:
        TypeError: `name` is not a string, or `matches` or `read` is not callable.
        ValueError: `name` is empty or that of a built-in form.

    >>> class Recording:
    ...     samples = torch.zeros(8)
    >>> def read(item):
    ...     return Clip(item.samples, sample_rate=8000)
    >>> register_item_form("a Recording", lambda item: isinstance(item, Recording), read)
    >>> read_items([Recording()])[0].sample_rate
    8000
    >>> unregister_item_form("a Recording")
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be a string that describes the form, such as 'a Recording'")
    if not callable(matches) or not callable(read):
        raise TypeError(f"matches={matches!r} and read={read!r} must be callable with an item")
    if not name or name in {form.name for form in _BUILT_IN}:
        raise ValueError(f"name={name!r} must not be {'that of a built-in form' if name else 'empty'}; choose another")
    form = ItemForm(name, matches, read)
    known = [own.name for own in _own_forms]
    if name in known:
        _own_forms[known.index(name)] = form
    else:
        _own_forms.append(form)


def unregister_item_form(name: str) -> None:
    """Remove a form of dataset item that `register_item_form` added.

    Args:
        name: The name that it was registered with.

    Raises:
        ValueError: There is no such form.
    """
    known = [own.name for own in _own_forms]
    if name not in known:
        raise ValueError(f"name={name!r} is not a registered form; registered are {known}")
    del _own_forms[known.index(name)]


def item_forms() -> tuple[ItemForm, ...]:
    """Return the known forms of dataset items in the order in which a collate tries them.

    >>> [form.name for form in item_forms()][-1]
    "torchcodec's AudioDecoder or AudioSamples"
    """
    return (*_own_forms, *_BUILT_IN)


def read_items(items: Any, to_example: Callable[[Any], AudioExample] | None = None) -> list[Clip]:
    """Read a list of dataset items into the clips of a batch.

    Args:
        items: The list that DataLoader passes to a collate function.
        to_example: Turns one item into an `AudioExample`, for other forms than the known ones.

    Returns:
        One clip per item.

    Raises:
        TypeError: `items` is one item, or an item has no known form.
        ValueError: `items` is empty, or an item contradicts itself.

    >>> read_items([(torch.zeros(3), 7)])[0].target
    7
    """
    if not isinstance(items, list) and not (isinstance(items, tuple) and all(map(_is_whole_item, items))):
        raise TypeError(
            f"the collate got {describe(items)}, one item; it takes the list of a batch's items: give DataLoader a "
            "batch_size of 1 or more (batch_size=None turns batching off), or let the dataset yield lists of items"
        )
    if not items:
        raise ValueError("the collate got an empty list; a batch has at least one item: check the batch sampler")
    forms = item_forms()
    return [_read_item(index, item, forms, to_example) for index, item in enumerate(items)]


@runtime_checkable
class _Decoder(Protocol):
    """Protocol of torchcodec's AudioDecoder, a dataset item that newer Hugging Face datasets yield to a collate."""

    def get_all_samples(self) -> Any: ...


@runtime_checkable
class _Samples(Protocol):
    """Protocol of torchcodec's AudioSamples as a dataset item of a collate."""

    data: torch.Tensor
    sample_rate: int
    pts_seconds: float
    duration_seconds: float


class _ItemError(ValueError):
    """Error about a dataset item, without its place in the batch."""


def _is_whole_item(item: Any) -> bool:
    # A tuple of these is a batch; a tuple with a bare waveform is one item.
    return isinstance(item, AudioExample | Mapping | tuple)


def _read_item(
    index: int, item: Any, forms: tuple[ItemForm, ...], to_example: Callable[[Any], AudioExample] | None
) -> Clip:
    if to_example is not None:
        example = to_example(item)
        if not isinstance(example, AudioExample):
            raise TypeError(f"to_example returned {describe(example)} for clip {index}; it must return an AudioExample")
        return _read_example(example)
    for form in forms:
        if form.matches(item):
            break
    else:
        raise TypeError(
            f"clip {index} is {describe(item)}, which is not a known form; the known forms are: "
            f"{'; '.join(form.name for form in forms)}. Give to_example= a function that turns your item into an "
            "AudioExample, or call audiofeed.feed.items.register_item_form"
        )
    try:
        clip = form.read(item)
    except _ItemError as error:
        raise ValueError(f"clip {index} {error}") from None
    if isinstance(clip, AudioExample):
        return _read_example(clip)
    if not isinstance(clip, Clip):
        raise TypeError(
            f"read of the form {form.name!r} returned {describe(clip)} for clip {index}; it must return a Clip or an "
            "AudioExample"
        )
    return clip


def _read_example(item: AudioExample) -> Clip:
    return Clip(item.waveform, item.sample_rate, item.target, item.key, item.seed, item.faults)


def _is_array(item: Any) -> bool:
    return isinstance(item, _ARRAYS)


def _is_array_mapping(item: Any) -> bool:
    return isinstance(item, _MAPPINGS) and "array" in item


def _read_array_mapping(item: Mapping[Any, Any]) -> Clip:
    samples = np.asarray(item["array"]) if isinstance(item["array"], list) else item["array"]
    rate = next((item[name] for name in RATE_NAMES if item.get(name) is not None), None)
    return Clip(samples, None if rate is None else _rate(rate), key=item.get("path"))


def _is_torchcodec(item: Any) -> bool:
    return isinstance(item, _Decoder | _Samples)


def _read_torchcodec(item: Any) -> Clip:
    samples = item.get_all_samples() if isinstance(item, _Decoder) else item
    return Clip(samples.data, _rate(samples.sample_rate))


# What may stand alone, first in a tuple, or as the waveform of a dict.
_SOUNDS = (
    ItemForm("a tensor or NumPy array (time,) or (channel, time)", _is_array, Clip),
    ItemForm("Hugging Face's {'array', 'sampling_rate'}", _is_array_mapping, _read_array_mapping),
    ItemForm("torchcodec's AudioDecoder or AudioSamples", _is_torchcodec, _read_torchcodec),
)


def _is_sound(value: Any) -> bool:
    return _is_array(value) or _is_array_mapping(value) or _is_torchcodec(value)


def _read_sound(value: Any) -> Clip:
    if _is_array(value):
        return Clip(value)
    return _read_array_mapping(value) if _is_array_mapping(value) else _read_torchcodec(value)


def _is_pair(value: Any) -> bool:
    """Return True for (waveform, sample_rate) within an item, as torchaudio.load and webdataset give it."""
    return isinstance(value, _SEQUENCES) and len(value) == 2 and _is_sound(value[0]) and _is_rate(value[1])


def _is_inner(value: Any) -> bool:
    """Return True for an item that stands within another, as in the items of torch's StackDataset."""
    return _is_pair(value) or (not _is_array(value) and any(form.matches(value) for form in item_forms()))


def _read_inner(value: Any) -> Clip:
    """Read an item that stands within another, or the sound of an item, as a clip."""
    if _is_sound(value):
        return _read_sound(value)
    if _is_pair(value):
        return _read_sound(value[0])._replace(sample_rate=_rate(value[1]))
    form = next(form for form in item_forms() if form.matches(value))
    clip = form.read(value)
    return _read_example(clip) if isinstance(clip, AudioExample) else clip


def _with_target(clip: Clip, target: Any) -> Clip:
    """Give a clip the target of the item that it stands in, beside its own if it has one."""
    if target is None:
        return clip
    return clip._replace(target=target if clip.target is None else (clip.target, target))


def _is_tuple(item: Any) -> bool:
    if not isinstance(item, _SEQUENCES) or not item or (is_named_tuple(item) and _as_mapping(item) is not None):
        return False
    # two examples are two clips, not a clip and its target
    return _is_sound(item[0]) or (_is_inner(item[0]) and not any(isinstance(entry, AudioExample) for entry in item[1:]))


def _read_tuple(item: list[Any] | tuple[Any, ...]) -> Clip:
    clip, rest = _read_inner(item[0]), item[1:]
    if len(rest) >= 2 and _is_rate(rest[0]) and (clip.sample_rate is None or _is_sound(item[0])):
        clip, rest = clip._replace(sample_rate=_rate(rest[0])), rest[1:]
    return _with_target(clip, None if not rest else rest[0] if len(rest) == 1 else tuple(rest))


def _as_mapping(item: Any) -> Mapping[Any, Any] | None:
    """Return a dataset item that is a dict or a named tuple with a waveform as a mapping, else None."""
    if isinstance(item, _MAPPINGS):
        return item
    if is_named_tuple(item) and any(name in WAVEFORM_NAMES for name in item._fields):
        return item._asdict()
    return None


def _waveform_name(item: Mapping[Any, Any]) -> str | None:
    for name in WAVEFORM_NAMES:
        if item.get(name) is not None:
            return name
    return None


def _is_mapping(item: Any) -> bool:
    mapping = _as_mapping(item)
    if mapping is None or "array" in mapping:
        return False
    source = _waveform_name(mapping)
    if source is None:
        return False
    return isinstance(mapping[source], list) or _is_sound(mapping[source]) or _is_inner(mapping[source])


def _read_mapping(item: Any) -> Clip:
    mapping = _as_mapping(item)
    assert mapping is not None
    source = _waveform_name(mapping)
    assert source is not None
    found = mapping[source]
    sound = Clip(np.asarray(found)) if _is_numbers(found) else _read_inner(found)
    rate, key = sound.sample_rate, sound.key
    for name in RATE_NAMES:
        if mapping.get(name) is not None:
            stated = _rate(mapping[name])
            if rate is not None and rate != stated:
                raise _ItemError(f"has {name}={stated} beside audio of {rate} Hz; the two must be equal")
            rate = stated
    names = [name for name in CLIP_NAMES if mapping.get(name) is not None]
    if names:
        key = mapping[names[0]]
    sound = sound._replace(sample_rate=rate, key=key)
    targets = [name for name in TARGET_NAMES if name in mapping]
    if len(targets) == 1:
        return _with_target(sound, mapping[targets[0]])
    used = {source, *RATE_NAMES, *names[:1]}
    return _with_target(sound, {name: entry for name, entry in mapping.items() if name not in used} or None)


def _is_numbers(value: Any) -> bool:
    """Return True for a dict's waveform that is a list of numbers."""
    return isinstance(value, list) and not _is_inner(value)


def _one_of(item: Any, kind: Callable[[Any, Any], bool]) -> Any:
    """Return the one name in an item's dict whose entry is of a kind; None if there is none, or several."""
    names = [name for name, entry in item.items() if kind(name, entry)]
    return names[0] if len(names) == 1 else None


def _is_webdataset_sound(name: Any, entry: Any) -> bool:
    return str(name).lower().rpartition(".")[2] in _SOUND_ENDINGS and (_is_sound(entry) or _is_inner(entry))


def _is_webdataset(item: Any) -> bool:
    return isinstance(item, _MAPPINGS) and "__key__" in item and _one_of(item, _is_webdataset_sound) is not None


def _read_webdataset(item: Mapping[Any, Any]) -> Clip:
    source = _one_of(item, _is_webdataset_sound)
    clip = _read_inner(item[source])._replace(key=item["__key__"])
    rest = {name: entry for name, entry in item.items() if name != source and not str(name).startswith("__")}
    return _with_target(clip, next(iter(rest.values())) if len(rest) == 1 else rest or None)


def _is_stacked_example(name: Any, entry: Any) -> bool:
    return isinstance(entry, AudioExample)


def _is_stacked(item: Any) -> bool:
    return (
        isinstance(item, _MAPPINGS) and _waveform_name(item) is None and _one_of(item, _is_stacked_example) is not None
    )


def _read_stacked(item: Mapping[Any, Any]) -> Clip:
    source = _one_of(item, _is_stacked_example)
    rest = {name: entry for name, entry in item.items() if name != source}
    alone = len(rest) == 1 and next(iter(rest)) in TARGET_NAMES
    return _with_target(_read_example(item[source]), next(iter(rest.values())) if alone else rest or None)


def _is_rate(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        is_integer = value.dim() == 0 and not (value.is_floating_point() or value.is_complex())
        return is_integer and int(value) >= LOWEST_RATE
    return isinstance(value, int | np.integer) and int(value) >= LOWEST_RATE


def _rate(value: Any) -> int:
    rate = float(value)
    if not rate.is_integer() or rate < 1:
        raise _ItemError(f"has sample_rate={value!r}; it must be an integer of at least 1, in Hz")
    return int(rate)


# Every worker process has its own; see `register_item_form`.
_own_forms: list[ItemForm] = []
# The most frequent first: of these, no item matches two.
_BUILT_IN = (
    ItemForm("an AudioExample", lambda item: isinstance(item, AudioExample), _read_example),
    ItemForm(
        "(waveform, target) or (waveform, sample_rate, target, ...), where (waveform, sample_rate), an AudioExample or "
        "another item may stand for the waveform",
        _is_tuple,
        _read_tuple,
    ),
    ItemForm("a dict or named tuple with 'waveform' or 'audio'", _is_mapping, _read_mapping),
    ItemForm("a dict of torch's StackDataset with one AudioExample", _is_stacked, _read_stacked),
    ItemForm("a decoded dict of webdataset, with '__key__' and 'wav', 'flac', ...", _is_webdataset, _read_webdataset),
    *_SOUNDS,
)
