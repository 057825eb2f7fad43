"""Read the items of a dataset as clips, by the known forms and by forms of one's own that are registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audiofeed.data.example import AudioExample
from audiofeed.feed.known_forms import (
    BUILT_IN,
    Clip,
    ItemError,
    ItemForm,
    hint_at,
    item_forms,
    own_forms,
    read_example,
    unsure_rate,
)
from audiofeed.feed.states.tensor_trees import describe

__all__ = ["Clip", "ItemForm", "item_forms", "read_items", "register_item_form", "unregister_item_form"]


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

    >>> import torch
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
    if not name or name in {form.name for form in BUILT_IN}:
        raise ValueError(f"name={name!r} must not be {'that of a built-in form' if name else 'empty'}; choose another")
    form = ItemForm(name, matches, read)
    known = [own.name for own in own_forms]
    if name in known:
        own_forms[known.index(name)] = form
    else:
        own_forms.append(form)


def unregister_item_form(name: str) -> None:
    """Remove a form of dataset item that `register_item_form` added.

    Args:
        name: The name that it was registered with.

    Raises:
        ValueError: There is no such form.

    >>> import torch
    >>> register_item_form("text", lambda item: isinstance(item, str), lambda item: Clip(torch.zeros(len(item))))
    >>> unregister_item_form("text")
    """
    known = [own.name for own in own_forms]
    if name not in known:
        raise ValueError(f"name={name!r} is not a registered form; registered are {known}")
    del own_forms[known.index(name)]


def read_items(
    items: Any,
    to_example: Callable[[Any], AudioExample] | None = None,
    sample_rate: int | None = None,
    *,
    alone: bool = False,
) -> list[Clip]:
    """Read a list of dataset items into the clips of a batch.

    Nothing of an item is dropped: what is no waveform, rate, key or target becomes a field of its clip.

    Args:
        items: The list that DataLoader passes to a collate function.
        to_example: Turns one item into an `AudioExample`, for other forms than the known ones.
        sample_rate: Sample rate of the transform, Hz; None if unknown.
        alone: The item is one of a batch, of which not every pair `(waveform, integer)` has a usual sample rate.

    Returns:
        One clip per item.

    Raises:
        TypeError: `items` is one item, or an item has no known form.
        ValueError: `items` is empty, or an item contradicts itself, or the second entry of every pair
            `(waveform, integer)` is a usual sample rate.

    >>> import torch
    >>> read_items([(torch.zeros(3), 7)])[0].target
    7
    >>> read_items([{"audio": torch.zeros(3), "label": 7, "speaker": "ann"}])[0].fields
    {'speaker': 'ann'}
    """
    if not isinstance(items, list) and not (isinstance(items, tuple) and all(map(_is_whole_item, items))):
        raise TypeError(
            f"the collate got {describe(items)}, one item; it takes the list of a batch's items: give DataLoader a "
            "batch_size of 1 or more (batch_size=None turns batching off), or let the dataset yield lists of items"
        )
    if not items:
        raise ValueError("the collate got an empty list; a batch has at least one item: check the batch sampler")
    forms = item_forms()
    clips = [_read_item(index, item, forms, to_example) for index, item in enumerate(items)]
    if to_example is None and not alone:
        _check_pairs(items, sample_rate)
    return clips


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
        return read_example(example)
    for form in forms:
        if form.matches(item):
            break
    else:
        raise TypeError(
            f"clip {index} is {describe(item)}, which is not a known form; the known forms are: "
            f"{'; '.join(form.name for form in forms)}. {hint_at(item)}Give to_example= a function that turns your "
            "item into an AudioExample, or call audiofeed.feed.items.register_item_form"
        )
    try:
        clip = form.read(item)
    except ItemError as error:
        raise ValueError(f"clip {index} {error}") from None
    if isinstance(clip, AudioExample):
        return read_example(clip)
    if not isinstance(clip, Clip):
        raise TypeError(
            f"read of the form {form.name!r} returned {describe(clip)} for clip {index}; it must return a Clip or an "
            "AudioExample"
        )
    return clip


def _check_pairs(items: list[Any] | tuple[Any, ...], sample_rate: int | None) -> None:
    """Refuse a batch in which the second entry of every pair (waveform, integer) is a usual sample rate.

    One such number among class indices or counts is a target; all of them are what torchaudio.load returns.
    """
    pairs = [(index, unsure_rate(item, sample_rate)) for index, item in enumerate(items)]
    pairs = [
        pair for pair in pairs if pair[1] is not None and not any(own.matches(items[pair[0]]) for own in own_forms)
    ]
    if not pairs or not all(value for _, value in pairs):
        return
    index, value = pairs[0]
    beside = "" if sample_rate is None else f" (the transform has {sample_rate} Hz)"
    raise ValueError(
        f"clip {index} is (waveform, {value}), and {value} may be its sample rate in Hz{beside}, as torchaudio.load "
        f"returns it, or its target; say which it is: yield (waveform, {value}, None) for a sample rate, or "
        f"{{'waveform': waveform, 'target': {value}}} for a target"
    )
