"""Classes of a dataset's targets: their names, their numbers, and whether two datasets number them alike."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import ChainDataset, ConcatDataset, Subset

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.listing.columns import pack

# a message names this many classes
_NAMED = 6


class ClassNames(list[str]):
    """Names of a dataset's classes in the order of their numbers: a list, of which several datasets share one.

    Args:
        names: The names, each once.
        owner: Describes the dataset whose classes they are, for messages.

    >>> ClassNames(["no", "yes"], "a folder").numbers
    {'no': 0, 'yes': 1}
    """

    def __init__(self, names: Iterable[str] = (), owner: str = "a list") -> None:
        super().__init__(names)
        self.owner = owner

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each class by its name, as a dataset's targets have it."""
        return {name: number for number, name in enumerate(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return ClassNames, (list(self), self.owner)


# Of every list of classes in use, so that two that number a name differently are noticed when the second is made: no
# other place sees both a training and a validation set.
_in_use: weakref.WeakValueDictionary[int, ClassNames] = weakref.WeakValueDictionary()


def given_classes(classes: Any) -> ClassNames | None:
    """Read the argument `classes` of a dataset: names in the order of their numbers, or a dataset that has some.

    Args:
        classes: A sequence of names (integers stand for their digits), a dict of their numbers by name, a dataset with
            `classes` (or torch's Subset or ConcatDataset of such), or None.

    Returns:
        The names; those of a dataset are its own list. None for None.

    Raises:
        TypeError: `classes` is something else, or a set, which has no order.
        ValueError: There are no classes, one occurs twice, the numbers of a dict are not 0, 1, 2 and so on, or the
            datasets of a ConcatDataset number their classes differently.

    >>> given_classes(range(3))
    ['0', '1', '2']
    """
    if classes is None or isinstance(classes, ClassNames):
        return classes
    found = classes
    while not hasattr(found, "classes") and hasattr(found, "dataset"):
        found = found.dataset  # torch's Subset, and wrappers made like it
    if isinstance(found, ConcatDataset | ChainDataset) and not hasattr(found, "classes"):
        return _of_members(found)
    if hasattr(found, "classes"):
        if not found.classes:
            raise ValueError(f"classes={classes!r} has no classes; its targets are not named: pass a list of names")
        return found.classes if isinstance(found.classes, ClassNames) else given_classes(list(found.classes))
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable):
        hint = "; of a file, give the list of its lines" if isinstance(classes, (str, bytes)) else ""
        raise TypeError(f"classes={classes!r} must be a list of names, or a dataset that has classes{hint}")
    if isinstance(classes, (set, frozenset)):
        raise TypeError(
            f"classes={classes!r} is a set, whose order differs from run to run, and the order numbers the classes; "
            "give a list, such as sorted(classes)"
        )
    if isinstance(classes, Mapping):
        classes = _by_number(classes)
    names = []
    for name in classes:
        if isinstance(name, bool) or not isinstance(name, (str, int, np.integer)):
            raise TypeError(f"classes holds {name!r}; a class is named by text or an integer")
        names.append(str(name))
    twice = (
        next((name for i, name in enumerate(names) if name in names[:i]), None)
        if len(set(names)) < len(names)
        else None
    )
    if twice is not None:
        raise ValueError(f"classes names {twice!r} twice; name each class once")
    if not names:
        raise ValueError("classes is empty; name at least one class, or pass None to take those of the labels")
    return ClassNames(names)


def _of_members(dataset: Any) -> ClassNames:
    """Return the classes of a ConcatDataset: the longest of its datasets' lists, which all others must begin."""
    several = [given_classes(member) for member in member_datasets(dataset)]
    longest = max((names for names in several if names is not None), key=len)
    for names in several:
        check_alike(longest, names or ())
    return longest


def member_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the datasets that torch's Subset, ConcatDataset and ChainDataset hold, each of which may have classes.

    Args:
        dataset: Any dataset; one that is none of those is its own only member.

    >>> list(member_datasets(Subset(ConcatDataset([[1], [2]]), [0])))
    [[1], [2]]
    """
    if isinstance(dataset, Subset):
        yield from member_datasets(dataset.dataset)
    elif isinstance(dataset, ConcatDataset | ChainDataset):
        for member in dataset.datasets:
            yield from member_datasets(member)
    else:
        yield dataset


def _by_number(numbers: Mapping[Any, Any]) -> list[Any]:
    """Return the names of classes in the order of the numbers that a dict has for them."""
    known = {number: name for name, number in numbers.items() if not isinstance(number, bool)}
    if len(known) < len(numbers) or set(known) != set(range(len(known))):
        raise ValueError(
            f"classes={numbers!r} must give the names the numbers 0 to {len(numbers) - 1}, each once; or give a list"
        )
    return [known[number] for number in range(len(known))]


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Sort the names of classes: as numbers if all of them are integers ("2" before "10"), else as text.

    Args:
        names: The names.

    Returns:
        Each of them once.

    >>> sorted_classes(["10", "2", "10"]), sorted_classes(["b", "a"])
    (['2', '10'], ['a', 'b'])
    """
    found = set(names)
    # Python makes no integers of more than 4300 digits
    numbers = all(re.fullmatch(r"-?[0-9]{1,4300}", name) for name in found)
    # the name itself breaks the tie between "7" and "07"
    return sorted(found, key=(lambda name: (int(name), name)) if numbers else None)


def number_classes(
    names: Sequence[str], classes: ClassNames | None, place: Callable[[int], str], owner: str
) -> tuple[np.ndarray, ClassNames]:
    """Number the names of classes, by the classes given or by all names in order.

    Args:
        names: Names of classes, one for each label.
        classes: The classes; None for the sorted names.
        place: Describes where a label stands, by its index, for messages.
        owner: Describes the dataset, for messages.

    Returns:
        int64 numbers, one for each name, and the classes.

    Raises:
        ValueError: A name is not one of the classes given.

    >>> number_classes(["b", "a"], None, str, "a list")
    (array([1, 0]), ['a', 'b'])
    """
    known = ClassNames(sorted_classes(names), owner) if classes is None else classes
    numbers = known.numbers
    odd = next((i for i, name in enumerate(names) if name not in numbers), None)
    if odd is not None:
        raise ValueError(
            f"{place(odd)}: the label {names[odd]!r} is not one of the {len(known)} classes given ({_listed(known)}); "
            "add it to classes=, or leave such rows out"
        )
    return np.array([numbers[name] for name in names], dtype=np.int64), known


def index_classes(
    labels: Sequence[Any],
    classes: ClassNames | None = None,
    place: Callable[[int], str] = lambda index: f"label {index}",
    owner: str = "a list",
) -> tuple[Sequence[Any] | np.ndarray, list[str]]:
    """Turn labels of clips into targets, and collect the classes if the labels are strings.

    Strings become indices into the classes; labels that are integers become an int64 array; all other labels are kept
    as they are.

    Args:
        labels: One per clip.
        classes: The classes; None for the sorted labels, as numbers if all of them are integers ("2" before "10").
        place: Describes where a label stands, by its index, for messages.
        owner: Describes the dataset, for messages.

    Returns:
        The targets, one per clip, and the classes (empty if the labels are not strings).

    Raises:
        ValueError: A label is not one of the classes given, or classes are given and the labels are no strings.

    >>> index_classes(["10", "2", "10"])
    (array([1, 0, 1]), ['2', '10'])
    >>> index_classes([5, 3])
    (array([5, 3]), [])
    """
    if labels and all(isinstance(label, str) for label in labels):
        return number_classes(labels, classes, place, owner)
    if classes is not None and labels:
        odd = next(i for i, label in enumerate(labels) if not isinstance(label, str))
        raise ValueError(
            f"{place(odd)}: the label is {labels[odd]!r}, and classes= numbers labels that are text; omit classes=, or "
            "name the labels"
        )
    return pack(labels), []


def number_alike(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return True if two datasets number their classes alike: one has the other's, and perhaps more at the end.

    Args:
        first: Classes of one dataset.
        second: Classes of the other.

    >>> number_alike(["a", "b"], ["a", "b", "c"]), number_alike(["a", "c"], ["a", "b", "c"])
    (True, False)
    """
    return first is second or all(one == other for one, other in zip(first, second, strict=False))


def check_alike(first: Sequence[str], second: Sequence[str]) -> None:
    """Check that two datasets whose examples meet number their classes alike.

    Args:
        first: Classes of one dataset.
        second: Classes of the other.

    Raises:
        ValueError: A number stands for different classes.

    >>> check_alike(["a", "b"], ["a", "b"])
    """
    if number_alike(first, second):
        return
    number = next(i for i, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    raise ValueError(
        f"two datasets with other classes meet: target {number} stands for {first[number]!r} in "
        f"{getattr(first, 'owner', 'one')} ({_listed(first)}) and for {second[number]!r} in "
        f"{getattr(second, 'owner', 'the other')} ({_listed(second)}); make both with the same classes=, a list or the "
        "other dataset"
    )


def notice(classes: Sequence[str]) -> None:
    """Notice the classes of a new dataset: warn if another one that is in use numbers one of their names differently.

    Args:
        classes: Its classes.

    >>> notice(ClassNames(["no such class elsewhere"]))
    """
    if not isinstance(classes, ClassNames) or not classes or id(classes) in _in_use:
        return
    numbers = classes.numbers
    for other in list(_in_use.values()):
        name = next((name for i, name in enumerate(other) if numbers.get(name, i) != i), None)
        if name is not None:
            warn_caller(
                f"the class {name!r} is {numbers[name]} in {classes.owner} ({_listed(classes)}) and "
                f"{other.numbers[name]} in {other.owner} ({_listed(other)}); if one model sees both, make the second "
                "with classes= of the first"
            )
            break
    _in_use[id(classes)] = classes


def _listed(classes: Sequence[str]) -> str:
    """Describe the classes of a dataset in a message, the first few of them by name."""
    names = ", ".join(map(repr, classes[:_NAMED]))
    return names if len(classes) <= _NAMED else f"{names}, ... {len(classes)} in all"
