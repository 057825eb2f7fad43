"""Groups of settings: frozen values that check themselves, of which each field is an argument of a class.

Each argument is said once: its name, its default, its check and its entry in the documentation. A `TypedDict` beside a
group has the types that a caller may give, for type checkers and editors. A class names the groups that it takes (see
`signature.takes`) and builds their values with `pick`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar, cast

S = TypeVar("S")


def argument(default: Any, doc: str) -> Any:
    """Declare a field of a settings group as an argument of a transform, with its default and documentation."""
    return dataclasses.field(default=default, metadata={"doc": doc})


def arguments_of(group: type) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a settings group that are arguments.

    >>> from audiofeed.transforms.contract.method_settings import Execution
    >>> [field.name for field in arguments_of(Execution)]
    ['method', 'trainable', 'trainable_window', 'precision']
    """
    return _arguments_of(group)


@functools.cache
def _arguments_of(group: Hashable) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a settings group that are arguments, found once for each group."""
    return tuple(field for field in dataclasses.fields(cast(type, group)) if "doc" in field.metadata)


def pick(group: type[S], given: Mapping[str, Any], **others: Any) -> S:
    """Build the settings of a group from those of the given arguments that belong to it, and from others.

    >>> from audiofeed.transforms.contract.frame_settings import Frames
    >>> pick(Frames, {"n_fft": 400, "n_mels": 80}, center=False).hop_length
    100
    """
    own = {field.name for field in arguments_of(group)}
    return group(**{**{name: value for name, value in given.items() if name in own}, **others})


def settle(settings: Any, **values: Any) -> None:
    """Replace arguments in a frozen settings group by their checked values, while the group is made."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)
