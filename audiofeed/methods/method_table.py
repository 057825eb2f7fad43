"""One table of methods for each operation: what a method can do, or the reason why not.

A new method is one entry in one table, and cannot fall through to another: `Table.choose` knows only what is in it. A
method that the caller names runs, or raises with the reason. "auto" takes the first that can, for each call anew where
that depends on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Operations = TypeVar("Operations")


def _always(*args: Any, **needs: Any) -> None:
    """Return no reason against the choice of a method."""


@dataclass(frozen=True, kw_only=True)
class Method(Generic[Operations]):
    """Method to compute an operation, one of those that a table chooses from.

    Args:
        name: what the caller names it by.
        run: its functions.
        filters: the name of the filters that a transform keeps for it.
        others: the names of what a transform keeps for it besides.
        cannot: from what a transform needs (keyword arguments) to the reason why this method cannot, or None.
        cannot_now: from an input to the reason why this method cannot compute it, or None; `_always` for a method that
            computes any input.
        leaves: from an input to the reason why "auto" leaves it to the next method, though this one may compute it, or
            None; an empty reason is not told.
        reason: why "auto" takes it.
        says: from an input to what is to be said where it is computed, beside the reason.
        emphasizes: whether it can take pre-emphasis of the samples along.
    """

    name: str
    run: Operations
    filters: str = ""
    others: tuple[str, ...] = ()
    cannot: Callable[..., str | None] = _always
    cannot_now: Callable[..., str | None] = _always
    leaves: Callable[..., str | None] = _always
    reason: str = "the first that can"
    says: Callable[..., str] | None = None
    emphasizes: bool = False


@dataclass(frozen=True)
class Path:
    """Method chosen for a given input, and the reason for the choice.

    >>> str(Path("fft", "llvmlite is not installed"))
    'fft: llvmlite is not installed'
    """

    method: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method}: {self.reason}"


@dataclass(frozen=True)
class Choice(Generic[Operations]):
    """Choice of methods that a transform's calls try in order.

    Args:
        candidates: the last of them computes any input, unless the caller named a method that does not.
        reason: why these.
    """

    candidates: tuple[Method[Operations], ...]
    reason: str

    @property
    def method(self) -> str:
        """Name of the chosen method that always can compute its input, the last of the candidates."""
        return self.candidates[-1].name

    @property
    def filters(self) -> str:
        """Name of the filters that all methods of a choice are computed with."""
        return self.candidates[-1].filters

    def has(self, name: str) -> bool:
        """Return whether a method of this name is among those that a choice tries."""
        return any(method.name == name for method in self.candidates)

    def for_input(self, *inputs: Any, **needs: Any) -> Iterator[Operations]:
        """Yield the functions of each chosen method that can compute an input, best first.

        Raises:
            ValueError: if none of them can, with the reason, once all were tried.
        """
        reasons = []
        for method in self.candidates:
            why = self._against(method, *inputs, **needs)
            if why is None:
                yield method.run
                why = method.cannot_now(*inputs, **needs) or "it failed"  # which it may know now
            reasons.append(f"method={method.name!r} cannot be used for this input: {why}")
        raise ValueError("; ".join(reasons) + "; use method='auto'")

    def _against(self, method: Method[Operations], *inputs: Any, **needs: Any) -> str | None:
        left = None if method is self.candidates[-1] else method.leaves(*inputs, **needs)
        return method.cannot_now(*inputs, **needs) if left is None else left

    def path(self, *inputs: Any, **needs: Any) -> Path:
        """Return the method chosen for an input, and the reason for the choice.

        The reason is the one against the better methods, or else the one for the method taken.
        """
        missed = ""
        for method in self.candidates:
            why = self._against(method, *inputs, **needs)
            if why is None:
                said = None if method.says is None else method.says(*inputs, **needs)
                return Path(method.name, missed or said or self.reason)
            missed = f"{method.name}: {why}" if why else missed
        return Path("none", missed)


@dataclass(frozen=True)
class Table(Generic[Operations]):
    """Table of the methods of one operation, from which one is chosen by name or by "auto".

    The method that "auto" prefers comes first.

    >>> table = Table("halving", {m.name: m for m in (Method(name="shift", run=1), Method(name="divide", run=2))})
    >>> table.choose("auto").method, table.choose("divide").reason
    ('shift', 'named by the caller')
    >>> table.choose("guess")
    Traceback (most recent call last):
    ValueError: method='guess' must be 'auto', 'shift' or 'divide'
    """

    operation: str
    methods: dict[str, Method[Operations]] = field(default_factory=dict)

    def choose(self, named: str, **needs: Any) -> Choice[Operations]:
        """Choose the methods that a transform may use for an operation, by name or by "auto".

        Args:
            named: the caller's `method`.
            needs: what the transform needs, as the methods' `cannot` take it.

        Raises:
            ValueError: for an unknown method, or one that cannot do what is needed; it never falls back silently.
        """
        if named == "auto":
            found: list[Method[Operations]] = []
            for method in self.methods.values():
                if method.cannot(**needs) is not None or (found and method.filters != found[0].filters):
                    continue
                found.append(method)
                if method.cannot_now is _always:
                    return Choice(tuple(found), method.reason)
            raise ValueError(f"no method of {self.operation} can do this: {needs}")
        if named not in self.methods:
            *others, last = [repr(name) for name in ("auto", *self.methods)]
            raise ValueError(f"method={named!r} must be {', '.join(others)} or {last}")
        method = self.methods[named]
        why = method.cannot(**needs, named=True)
        if why is not None:
            raise ValueError(f"method={named!r} cannot be used with {why}")
        return Choice((method,), "named by the caller")


def table(operation: str, *methods: Method[Operations]) -> Table[Operations]:
    """Make a table of methods to choose from by their names."""
    return Table(operation, {method.name: method for method in methods})
