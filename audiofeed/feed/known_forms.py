"""Known forms of a dataset item: how each is recognized and taken apart into waveform, rate, key, target and fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from audiofeed.data.example import AudioExample
from audiofeed.feed.states.tensor_trees import describe, is_named_tuple
from audiofeed.sampling.mixture import SourcedItem

WAVEFORM_NAMES = ("waveform", "audio")
RATE_NAMES = ("sample_rate", "sampling_rate")
# of a rate in a named tuple of no known name, and in a dict beside which nothing else says the rate
SHORT_RATE_NAMES = ("sr", "fs", "rate", "samplerate")
TARGET_NAMES = ("target", "label", "labels")
CLIP_NAMES = ("key", "id", "path")

# Below this a second tuple entry is a class index or a count; the lowest rate in audio files is 4000 Hz.
LOWEST_RATE = 1000
# what the second entry of (waveform, integer) is more likely to be than a target
USUAL_RATES = frozenset(
    (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
)

# the names that webdataset gives a sample's sound: the endings of its file
_SOUND_ENDINGS = {"wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "aiff", "aif", "sph", "w64", "au", "webm"}

_ARRAYS = (torch.Tensor, np.ndarray)
_SEQUENCES = (tuple, list)
_MAPPINGS = (dict, Mapping)  # the abstract class alone takes three times as long to check
_NO_FIELDS: Mapping[Any, Any] = {}


class Clip(NamedTuple):
    """Clip read from one dataset item of a batch, taken apart but not checked.

    Args:
        waveform: (time,) or (channel, time); int16, int32, uint8 or floating point.
        sample_rate: Sample rate, Hz; None if unknown.
        target: The target; None if there is none.
        key: The clip's name, a path or an id; None if it has none.
        seed: Seed of the clip's augmentation.
        faults: Read errors of files that the clip replaces.
        fields: What else the item has, by name.

    >>> Clip(torch.zeros(3), 16000, target=7).target
    7
    """

    waveform: torch.Tensor | np.ndarray
    sample_rate: int | None = None
    target: Any = None
    key: Any = None
    seed: int | None = None
    faults: tuple[Any, ...] = ()
    fields: Mapping[Any, Any] = _NO_FIELDS


class ItemForm(NamedTuple):
    """Form of a dataset item that a collate can read.

    Args:
        name: Describes the form in error messages.
        matches: Returns True for an item of this form.
        read: Returns the item as a `Clip` or an `AudioExample`.

    >>> def read(item):
    ...     return Clip(np.frombuffer(item, "<i2"))
    >>> form = ItemForm("bytes of samples", lambda item: isinstance(item, bytes), read)
    >>> form.matches(b"12"), form.read(b"12").waveform.shape
    (True, (1,))
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], Clip | AudioExample]


class ItemError(ValueError):
    """Error about a dataset item, raised by its form without the item's place in the batch."""


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


def item_forms() -> tuple[ItemForm, ...]:
    """Return the known forms of dataset items in the order in which a collate tries them.

    >>> [form.name for form in item_forms()][-1]
    "torchcodec's AudioDecoder or AudioSamples"
    """
    return (*own_forms, *BUILT_IN)


def read_example(item: AudioExample) -> Clip:
    """Read an `AudioExample`, the form of a dataset item of ours, as a clip.

    >>> read_example(AudioExample(torch.zeros(3), 8000, key="a", fields={"take": 2})).fields
    {'take': 2}
    """
    return Clip(item.waveform, item.sample_rate, item.target, item.key, item.seed, item.faults, item.fields)


def unsure_rate(item: Any, sample_rate: int | None) -> int | None:
    """Return the integer of a dataset item (waveform, integer) that may be a sample rate as well as a target.

    Args:
        item: Any item.
        sample_rate: Sample rate of the transform, Hz; None if unknown.

    Returns:
        The integer; 0 for a pair whose second entry is a target; None for any other item.

    >>> [unsure_rate(item, 4000) for item in ((torch.ones(3), 44100), (torch.ones(3), 4000), (torch.ones(3), 7))]
    [44100, 4000, 0]
    """
    if not isinstance(item, _SEQUENCES) or len(item) != 2 or is_named_tuple(item) or not _is_array(item[0]):
        return None
    return int(item[1]) if _is_rate(item[1]) and int(item[1]) in (*USUAL_RATES, sample_rate) else 0


def _is_array(item: Any) -> bool:
    return isinstance(item, _ARRAYS)


def _is_array_mapping(item: Any) -> bool:
    return isinstance(item, _MAPPINGS) and "array" in item


def _read_array_mapping(item: Mapping[Any, Any]) -> Clip:
    samples = _samples_of(item["array"]) if isinstance(item["array"], list) else item["array"]
    # the file's path is the clip's name here, as before an id beside it
    clip, rest = _told_apart(item, "array", Clip(samples), ("path", "key", "id"))
    target, fields = _target_of(rest)
    return _with(clip, None if target is rest and not any(name in rest for name in TARGET_NAMES) else target, fields)


def _is_torchcodec(item: Any) -> bool:
    return isinstance(item, _Decoder | _Samples)


def _read_torchcodec(item: Any) -> Clip:
    if isinstance(item, _Decoder):
        samples = item.get_all_samples()
        return Clip(samples.data, _rate(samples.sample_rate))
    # where the samples lie in their file; their duration is that of the waveform
    return Clip(item.data, _rate(item.sample_rate), fields={"pts_seconds": item.pts_seconds})


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
    if _is_pair(value) and _as_mapping(value) is None:
        return _with_rate(_read_sound(value[0]), "its second entry", value[1])
    form = next(form for form in item_forms() if form.matches(value))
    clip = form.read(value)
    return read_example(clip) if isinstance(clip, AudioExample) else clip


def _with(clip: Clip, target: Any, fields: Mapping[Any, Any]) -> Clip:
    """Give a clip the target and the fields of the item that it stands in, beside its own if it has some."""
    if target is not None:
        clip = clip._replace(target=target if clip.target is None else (clip.target, target))
    if not clip.fields:
        return clip._replace(fields=fields)
    both = dict(clip.fields)
    for name, entry in fields.items():
        both[name] = (both[name], entry) if name in both and both[name] is not entry else entry
    return clip._replace(fields=both)


def _with_key(clip: Clip, key: Any, name_of_own: str) -> Clip:
    """Give a clip the key of the item that it stands in; a key of its own becomes a field."""
    if isinstance(key, np.generic) or (isinstance(key, torch.Tensor) and key.dim() == 0):
        key = key.item()
    if clip.key is not None and clip.key != key:
        clip = _with(clip, None, {name_of_own: clip.key})
    return clip._replace(key=key)


def _with_rate(clip: Clip, name: str, value: Any) -> Clip:
    stated = _rate(value)
    if clip.sample_rate is not None and clip.sample_rate != stated:
        raise ItemError(f"has {name}={stated} beside audio of {clip.sample_rate} Hz; the two must be equal")
    return clip._replace(sample_rate=stated)


def _told_apart(
    mapping: Mapping[Any, Any], source: Any, clip: Clip, names: tuple[str, ...] = CLIP_NAMES
) -> tuple[Clip, dict[Any, Any]]:
    """Give a clip the rate and the key that an item's dict has, and return it with all other entries of the dict."""
    for name in RATE_NAMES:
        if mapping.get(name) is not None:
            clip = _with_rate(clip, name, mapping[name])
    if not any(mapping.get(name) is not None for name in RATE_NAMES):
        # it stays a field, as the name may be another's
        short = next((name for name in SHORT_RATE_NAMES if name in mapping and _is_rate(mapping[name])), None)
        if short is not None and (short != "rate" or int(mapping[short]) in USUAL_RATES):
            clip = _with_rate(clip, short, mapping[short])
    named = [name for name in names if name in mapping and mapping[name] is not None and name != source]
    if named:
        clip = _with_key(clip, mapping[named[0]], "path" if _is_array_mapping(mapping[source]) else "key")
    used = {source, *RATE_NAMES, *named[:1]}
    return clip, {name: entry for name, entry in mapping.items() if name not in used}


def _target_of(rest: dict[Any, Any]) -> tuple[Any, dict[Any, Any]]:
    """Return the target among an item's entries, and the fields, which are all others.

    Without one entry that is the target by its name, all of them together are the target, and each is a field too.
    """
    named = [name for name in TARGET_NAMES if name in rest]
    if len(named) != 1:
        return rest or None, rest
    return rest[named[0]], {name: entry for name, entry in rest.items() if name != named[0]}


def _is_tuple(item: Any) -> bool:
    if not isinstance(item, _SEQUENCES) or not item or _as_mapping(item) is not None:
        return False
    # two examples are two clips, not a clip and its target
    return _is_sound(item[0]) or (_is_inner(item[0]) and not any(isinstance(entry, AudioExample) for entry in item[1:]))


def _read_tuple(item: list[Any] | tuple[Any, ...]) -> Clip:
    clip, rest = _read_inner(item[0]), item[1:]
    names: tuple[str, ...] = getattr(item, "_fields", ())[1:]
    # an entry of a named tuple that is named otherwise is no rate, whatever its value
    may_be_rate = not names or names[0].lower() in SHORT_RATE_NAMES
    if len(rest) >= 2 and may_be_rate and _is_rate(rest[0]) and (clip.sample_rate is None or _is_sound(item[0])):
        clip, rest, names = _with_rate(clip, "its second entry", rest[0]), rest[1:], names[1:]
    target = None if not rest else rest[0] if len(rest) == 1 else tuple(rest)
    return _with(clip, target, dict(zip(names, rest, strict=True)) if len(names) > 1 else {})


def _as_mapping(item: Any) -> Mapping[Any, Any] | None:
    """Return a dataset item that is a dict, or a named tuple or dataclass of known names, as a mapping, else None."""
    if isinstance(item, _MAPPINGS):
        return item
    names = _entry_names(item)
    if names is not None and _waveform_name(item) is not None:
        return {name: getattr(item, name) for name in names}
    return None


def _entry_names(item: Any) -> tuple[str, ...] | None:
    """Return the names of the entries of an item that is a named tuple or a dataclass of the user's, else None."""
    if is_named_tuple(item):
        names: tuple[str, ...] = item._fields
        return names
    if not dataclasses.is_dataclass(item) or isinstance(item, (type, AudioExample, SourcedItem)):
        return None
    return None if _is_torchcodec(item) else tuple(entry.name for entry in dataclasses.fields(item))


def _waveform_name(item: Any) -> Any:
    """Return the name of the waveform in an item's dict, named tuple or dataclass; None if there is none."""
    names = None if isinstance(item, _MAPPINGS) else _entry_names(item)
    if names is None:
        return next((name for name in WAVEFORM_NAMES if item.get(name) is not None), None)
    known = {*RATE_NAMES, *TARGET_NAMES, *CLIP_NAMES}
    if any(name in WAVEFORM_NAMES for name in names):
        return next((name for name in WAVEFORM_NAMES if getattr(item, name, None) is not None), None)
    # with any name known, the first entry is the waveform whatever its name
    return names[0] if names and _is_sound(getattr(item, names[0])) and known.intersection(names[1:]) else None


def _is_mapping(item: Any) -> bool:
    mapping = _as_mapping(item)
    if mapping is None or "array" in mapping:
        return False
    source = _waveform_name(item)
    if source is None:
        return False
    return isinstance(mapping[source], list) or _is_sound(mapping[source]) or _is_inner(mapping[source])


def _read_mapping(item: Any) -> Clip:
    mapping = _as_mapping(item)
    assert mapping is not None
    source = _waveform_name(item)
    found = mapping[source]
    clip, rest = _told_apart(mapping, source, Clip(_samples_of(found)) if _is_numbers(found) else _read_inner(found))
    return _with(clip, *_target_of(rest))


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
    clip = _with_key(_read_inner(item[source]), item["__key__"], "key")
    rest = {name: entry for name, entry in item.items() if name not in (source, "__key__")}
    payload = {name: entry for name, entry in rest.items() if not str(name).startswith("__")}
    if len(payload) == 1:
        (name,) = payload
        return _with(clip, payload[name], {other: entry for other, entry in rest.items() if other != name})
    return _with(clip, payload or None, rest)


def _is_stacked_example(name: Any, entry: Any) -> bool:
    return isinstance(entry, AudioExample)


def _is_stacked(item: Any) -> bool:
    return (
        isinstance(item, _MAPPINGS) and _waveform_name(item) is None and _one_of(item, _is_stacked_example) is not None
    )


def _read_stacked(item: Mapping[Any, Any]) -> Clip:
    source = _one_of(item, _is_stacked_example)
    rest = {name: entry for name, entry in item.items() if name != source}
    if len(rest) == 1 and next(iter(rest)) in TARGET_NAMES:
        return _with(read_example(item[source]), next(iter(rest.values())), {})
    return _with(read_example(item[source]), rest or None, rest)


def _is_rate(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        is_integer = value.dim() == 0 and not (value.is_floating_point() or value.is_complex())
        return is_integer and int(value) >= LOWEST_RATE
    return isinstance(value, int | np.integer) and int(value) >= LOWEST_RATE


def _rate(value: Any) -> int:
    try:
        rate = 0.0 if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # text, None, or a tensor of several
        rate = 0.0
    if not rate.is_integer() or rate < 1:
        raise ItemError(f"has sample_rate={value!r}; it must be an integer of at least 1, in Hz")
    return int(rate)


def _samples_of(numbers: list[Any]) -> np.ndarray:
    """Return a waveform that an item has as a list of numbers, or of one list for each channel."""
    try:
        return np.asarray(numbers)
    except ValueError:
        raise ItemError(
            f"has {describe(numbers)} for its waveform, which is no array; give one list of numbers, or a list for "
            "each channel, all equally long"
        ) from None


def hint_at(item: Any) -> str:
    """Return what a dataset item of no known form lacks, where that can be seen; "" where not.

    >>> hint_at({"audio": "a.wav", "label": 1})
    "Its 'audio' is a path: read files with AudioManifest or AudioFolder, or decode them in the dataset. "
    """
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return "A dataclass has its waveform as 'waveform' or 'audio', or as its first field beside a target or rate. "
    if not isinstance(item, _MAPPINGS):
        return ""
    if "__key__" in item:
        sounds = [name for name in item if str(name).lower().rpartition(".")[2] in _SOUND_ENDINGS]
        raw = [name for name in sounds if isinstance(item[name], bytes)]
        if raw:
            return f"Its {raw[0]!r} is not decoded: add .decode(webdataset.torch_audio) to the dataset. "
        if len(sounds) > 1:
            return f"It has several sounds, {sounds}, and one must be the waveform: rename that to 'waveform'. "
        return ""
    for name in WAVEFORM_NAMES:
        entry = item.get(name)
        if isinstance(entry, _MAPPINGS) and {"bytes", "path"}.intersection(entry):
            return f"Its {name!r} is not decoded: use cast_column({name!r}, datasets.Audio()). "
        if isinstance(entry, str | bytes | PathLike):
            what = "the bytes of a file" if isinstance(entry, bytes) else "a path"
            return (
                f"Its {name!r} is {what}: read files with AudioManifest or AudioFolder, or decode them in the dataset. "
            )
    return ""


def _is_sourced(item: Any) -> bool:
    return isinstance(item, SourcedItem) and (_is_sound(item.item) or _is_inner(item.item))


def _read_sourced(item: SourcedItem) -> Clip:
    return _with(_read_inner(item.item), None, {item.field: item.source})


# Every worker process has its own; see `register_item_form`.
own_forms: list[ItemForm] = []
# The most frequent first: of these, no item matches two.
BUILT_IN = (
    ItemForm("an AudioExample", lambda item: isinstance(item, AudioExample), read_example),
    ItemForm(
        "(waveform, target) or (waveform, sample_rate, target, ...), where (waveform, sample_rate), an AudioExample or "
        "another item may stand for the waveform",
        _is_tuple,
        _read_tuple,
    ),
    ItemForm("a dict, named tuple or dataclass with 'waveform' or 'audio'", _is_mapping, _read_mapping),
    ItemForm("a dict of torch's StackDataset with one AudioExample", _is_stacked, _read_stacked),
    ItemForm("an item of a Mixture", _is_sourced, _read_sourced),
    ItemForm("a decoded dict of webdataset, with '__key__' and 'wav', 'flac', ...", _is_webdataset, _read_webdataset),
    *_SOUNDS,
)


def checked_names(rename: Any) -> dict[str, str]:
    """Return the names of a batch's fields for a model, checked."""
    if not isinstance(rename, Mapping) or not all(isinstance(name, str) for pair in rename.items() for name in pair):
        raise TypeError(f"rename={rename!r} must map fields of the batch to names, as {{'features': 'input_features'}}")
    names = list(rename.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ValueError(f"rename={dict(rename)!r} must give " + (f"{twice} to one field only" if twice else "a name"))
    return dict(rename)
