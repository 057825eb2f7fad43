"""The pair `features, targets` of a batch: a tuple that computes when it is read, and that frameworks can rebuild."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, SupportsIndex, overload

from audiofeed.feed.batch import AudioBatch
from audiofeed.feed.states.batch_fields import FIELDS


class FeaturesAndTargets(tuple[Any, ...]):
    """Audio batch that unpacks as `features, targets`, from `GPUSpecCollate(output="tuple")`.

    `.batch` has the rest.

    It is a tuple and keeps the conventions of a named one, so that frameworks map over it and build it again, as
    Lightning, Accelerate, transformers, `torch.utils.data` and `torch.utils._pytree` do. Of one that was built again
    from two values, `.batch` has these, the layout and the faults, and says of everything else that it was not kept.

    Args:
        values: The batch, whose features are computed when the first entry is read; or the two values, one by one or in
            one iterable.

    Raises:
        TypeError: There are not two values.

    >>> import torch
    >>> batch = AudioBatch({"features": torch.ones(1, 2, 3), "targets": torch.tensor([7])})
    >>> features, targets = FeaturesAndTargets(batch)
    >>> targets
    tensor([7])
    """

    batch: AudioBatch
    _fields = __match_args__ = ("features", "targets")
    _batch_type: ClassVar[type[AudioBatch]] = AudioBatch

    def __new__(cls, *values: Any) -> FeaturesAndTargets:
        """Make the pair of an audio batch, or of two values as a framework does that builds it again."""
        if len(values) == 1 and isinstance(values[0], AudioBatch):
            batch = values[0]
            # what reads a tuple's memory without asking finds something that says so
            pair = super().__new__(_pair_type(cls, type(batch)), map(_Unread, cls._fields))
            pair.batch = batch
            return pair
        values = tuple(values[0]) if len(values) == 1 else values
        if len(values) != len(cls._fields):
            raise TypeError(f"FeaturesAndTargets got {len(values)} values; give features and targets, or a batch")
        fields = dict(zip(cls._fields, values, strict=True))
        pair = super().__new__(cls, values)
        pair.batch = cls._batch_type(fields)
        pair.batch._shown = {name: name for name in cls._fields}
        pair.batch._left_out = frozenset(FIELDS).difference(cls._fields)
        return pair

    @classmethod
    def _make(cls, values: Iterable[Any]) -> FeaturesAndTargets:
        return cls(*values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **values: Any) -> FeaturesAndTargets:
        unknown = sorted(set(values).difference(self._fields))
        if unknown:
            raise ValueError(f"{unknown} are not entries of FeaturesAndTargets; they are {list(self._fields)}")
        return type(self)(*(self._asdict() | values).values())

    @property
    def features(self) -> Any:
        """Features of the audio batch, the pair's first entry."""
        return self[0]

    @property
    def targets(self) -> Any:
        """Targets of the audio batch, the pair's second entry."""
        return self[1]

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        names = self._fields[index]
        return self.batch[names] if isinstance(names, str) else tuple(self.batch[name] for name in names)

    def __iter__(self) -> Iterator[Any]:
        return (self.batch[name] for name in self._fields)

    # What a tuple does with its memory, done with the values.
    def __add__(self, other: Any) -> Any:
        return tuple(iter(self)) + other

    def __radd__(self, other: Any) -> Any:
        return other + tuple(iter(self))

    def __mul__(self, times: Any) -> Any:
        return tuple(iter(self)) * times

    __rmul__ = __mul__

    # Values are tensors, and the truth of their equality is ambiguous: an entry is itself.
    def __contains__(self, value: object) -> bool:
        return any(entry is value for entry in self)

    def index(self, value: Any, *bounds: Any) -> int:
        """Return the place of a value, the very object, in the audio batch's pair."""
        return [id(entry) for entry in self].index(id(value), *bounds)

    def count(self, value: Any) -> int:
        """Return how often a value, the very object, is in the audio batch's pair."""
        return sum(entry is value for entry in self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def to(self, device: Any = None, non_blocking: bool = False) -> FeaturesAndTargets:
        """Return an audio batch's pair of features and targets on a device, as `AudioBatch.to` does."""
        return type(self)(self.batch.to(device, non_blocking))

    def pin_memory(self, device: Any = None) -> FeaturesAndTargets:
        """Pin an audio batch's features and targets and start ahead, as `AudioBatch.pin_memory` does."""
        self.batch.pin_memory(device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FeaturesAndTargets, (self.batch,)

    def __repr__(self) -> str:
        return f"(features: {self.batch.describe('features')}, targets: {self.batch.describe('targets')})"


class _Unread:
    """Entry of a pair that was not read, which stands where only code in C looks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name} of a FeaturesAndTargets, not read: unpack it, or give tuple(pair)>"


def _pair_type(cls: type[FeaturesAndTargets], batch_type: type[AudioBatch]) -> type[FeaturesAndTargets]:
    """Return the type of pair that builds batches of a type again."""
    if cls._batch_type is batch_type:
        return cls
    if "_pair" not in vars(batch_type):
        body = {"_batch_type": batch_type, "__module__": __name__}
        batch_type._pair = type("FeaturesAndTargets", (FeaturesAndTargets,), body)  # type: ignore[attr-defined]
    pair: type[FeaturesAndTargets] = vars(batch_type)["_pair"]
    return pair
