"""Augmentation on a batch's way: what a worker adds for it, and where the training process applies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from audiofeed.augment.compose.compose import Given, as_augmentation
from audiofeed.augment.contract.augmentation import Augmentation, Fetch, drawn_seeds
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.examples import Examples
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.tensor_trees import is_named_tuple
from audiofeed.sampling.sources import takes_keys

# what an augmentation may change in a padded batch before the transform
_PADDED = ("waveforms", "lengths", "targets", "fields")

# pads further items as a collate does: the batch of the good ones, None if there are none, which these are,
# and the faults of the others
PadSome = Callable[[Sequence[Any]], "tuple[Padded | None, Sequence[int], tuple[Any, ...]]"]


@dataclass(frozen=True)
class WorkerPart:
    """What a collate's worker adds to a padded batch for the augmentation, which lives in the training process.

    Args:
        fetch: Reads what the augmentation needs; None: nothing.
        draws_seeds: Whether clips that have no seed get one from torch's generator.
    """

    fetch: Fetch | None = None
    draws_seeds: bool = False

    @classmethod
    def of(cls, augment: Any) -> WorkerPart:
        """Return the part of a collate's augmentation that a worker does."""
        if augment is None:
            return cls()
        augmentation = as_augmentation(augment)
        # a function of (waveforms, lengths, seeds) is told by None that nothing gives them
        plain = isinstance(augmentation, Given) and not augmentation.in_full
        return cls(augmentation.fetcher(), draws_seeds=not plain)

    def add_to(self, padded: Padded, pad: PadSome) -> Padded:
        """Return the padded batch with seeds, and with what was read for the augmentation.

        Args:
            padded: The batch.
            pad: Pads and collates further items, as the batch's own.
        """
        if not self.draws_seeds:
            return padded
        if padded.seeds is None:
            padded = replace(padded, seeds=drawn_seeds(padded.lengths.shape[0]))
        if self.fetch is None:
            return padded
        channels = padded.waveforms.shape[1] if padded.waveforms.dim() == 3 else None
        assert padded.seeds is not None
        fetched = self.fetch(padded.seeds, padded.lengths, padded.sample_rate, channels)
        faults: list[Any] = []
        fetched, told = _apart(_read(fetched, padded, pad, faults))
        return replace(padded, fetched=fetched, faults=(*padded.faults, *faults, *told))


def _read(tree: Any, padded: Padded, pad: PadSome, faults: list[Any]) -> Any:
    """Read the examples that an augmentation's fetch has named, in a tree of what it fetched, for a padded batch."""
    if isinstance(tree, Examples):
        return _collated(tree, padded, pad, faults)
    if isinstance(tree, Mapping):
        return {name: _read(entry, padded, pad, faults) for name, entry in tree.items()}
    if is_named_tuple(tree):
        return type(tree)(*(_read(entry, padded, pad, faults) for entry in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(_read(entry, padded, pad, faults) for entry in tree)
    return tree


def _collated(examples: Examples, padded: Padded, pad: PadSome, faults: list[Any]) -> dict[str, Any]:
    dataset, batch = examples.dataset, examples.rows.shape[0]
    keys: list[Any] = examples.indices.tolist()
    if takes_keys(dataset):
        keys = list(zip(examples.epochs.tolist(), keys, strict=True))
    items = dataset.__getitems__(keys) if keys and hasattr(dataset, "__getitems__") else [dataset[key] for key in keys]
    found, good, bad = pad(items)
    faults += bad
    if found is None:
        nothing: dict[str, Any] = {
            "waveforms": None,
            "lengths": None,
            "targets": None,
            "fields": {},
            "names": [None] * batch,
        }
        return {**nothing, "rows": torch.full_like(examples.rows, -1)}
    rates = (found.sample_rate, padded.sample_rate)
    if None not in rates and rates[0] != rates[1]:
        raise ValueError(
            f"the clips have sample_rate={rates[1]} and those that an augmentation reads for them have {rates[0]}; "
            "give both datasets the same sample_rate="
        )
    # where each item lies among those that could be padded
    places = {number: place for place, number in enumerate(good)}
    rows = [places.get(row, -1) for row in examples.rows.tolist()]
    names = [None if row < 0 or found.names is None else found.names[row] for row in rows]
    return {
        "waveforms": found.waveforms,
        "lengths": found.lengths,
        "targets": found.targets,
        "fields": found.fields,
        "names": names,
        "rows": torch.tensor(rows, dtype=torch.int64, device="cpu"),
    }


def _apart(fetched: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what was read for an augmentation, and apart from it the faults that it tells of."""
    faults: tuple[Any, ...] = ()
    if isinstance(fetched, dict):
        faults = tuple(fetched.get("faults", ()))
        fetched = {name: entry for name, entry in fetched.items() if name != "faults"}
    elif isinstance(fetched, list):
        parts = [_apart(entry) for entry in fetched]
        fetched = [part for part, _ in parts]
        faults = tuple(fault for _, own in parts for fault in own)
    return fetched, faults


def changed_fields(augment: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of a batch's fields that an augmentation changes before the transform, and after it.

    Args:
        augment: As a collate takes it; None changes nothing.

    >>> changed_fields(None)
    (frozenset(), frozenset())
    """
    if augment is None:
        return frozenset(), frozenset()
    augmentation = as_augmentation(augment)
    before = augmentation.changes - {"features"} if "waveforms" in augmentation.stages else frozenset()
    after = augmentation.changes - {"features", *_PADDED[:2]} if "features" in augmentation.stages else frozenset()
    if augmentation.follows:
        before |= {"targets", "fields"}
    # a batch's own waveforms are those that the transform was given
    return before | ({"waveforms"} if before else frozenset()), after


def augmented(augment: Any, padded: Padded, waveforms: torch.Tensor) -> Padded:
    """Return a padded batch on the device with its waveforms augmented, and what follows them.

    Args:
        augment: As a collate takes it.
        padded: The batch.
        waveforms: Its waveforms, float32.
    """
    augmentation = as_augmentation(augment)
    if isinstance(augmentation, Given) and not augmentation.in_full:
        # given the seeds as they are, which may be None
        return replace(padded, waveforms=augmentation.called(waveforms, padded.lengths, padded.seeds))
    clips = augmentation.run(_clips(padded, waveforms), stage="waveforms")
    return replace(padded, **{name: getattr(clips, name) for name in _PADDED})


def around(augment: Any, transform: torch.nn.Module, padded: Padded, waveforms: torch.Tensor) -> torch.nn.Module:
    """Return the transform of a padded batch with the augmentation of its filters.

    Args:
        augment: As a collate takes it; None changes nothing.
        transform: The collate's transform.
        padded: The batch.
        waveforms: Its waveforms.
    """
    if not isinstance(augment, Augmentation) or "filters" not in augment.stages:
        return transform
    return augment.around(transform, _clips(padded, waveforms))


def augmented_features(augment: Any, padded: Padded, fields: dict[str, Any], framed: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a batch that are known with its features, augmented.

    Args:
        augment: As a collate takes it; None changes nothing.
        padded: The batch.
        fields: Its features, their lengths, and what else is known with them, by name.
        framed: Names of targets and of entries of its fields whose last axis is the features' frames.
    """
    if not isinstance(augment, Augmentation) or "features" not in augment.stages:
        return fields
    given = replace(padded, **{name: fields[name] for name in ("targets", "fields") if name in fields})
    clips = replace(
        _clips(given, given.waveforms),
        features=fields["features"],
        feature_lengths=fields["feature_lengths"],
        framed=framed,
    )
    clips = augment.run(clips, stage="features")
    # what follows is read with the features
    also: dict[str, Any] = {
        name: getattr(clips, name) for name in ("targets", "fields") if name in fields or name in augment.changes
    }
    return {**fields, **also, "features": clips.features}


def _clips(padded: Padded, waveforms: torch.Tensor) -> Clips:
    assert padded.seeds is not None  # `WorkerPart` sees to it
    return Clips(
        waveforms,
        padded.lengths,
        padded.seeds,
        padded.sample_rate,
        padded.targets,
        padded.fields,
        padded.names,
        sources=padded.sources,
        fetched=padded.fetched,
    )
