"""The signature and the documentation of a class that takes groups of settings, and its `repr`.

A class that takes groups of settings (see `settings`) is declared with `takes`:

    @takes(Frames, Execution, hop_length=320)
    def __init__(self, *, sample_rate: float, **settings: Unpack[FeatureOptions]) -> None: ...

`inspect.signature`, `help` and editors then show every argument, the class's documentation has an entry for each, and
`settings` holds them all, defaults included.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from torch import nn

from audiofeed.arguments.argument_names import Init, explaining, hint
from audiofeed.arguments.setting_groups import arguments_of

_WIDTH = 116  # of a line of documentation
_SHORT = 8  # samples of a window that are shown
F = TypeVar("F", bound=Callable[..., Any])
_OWN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes(*groups: type, without: tuple[str, ...] = (), **defaults: Any) -> Callable[[Init], Init]:
    """Spell out the arguments of groups of settings in the signature of an `__init__` with `**settings`.

    Args:
        groups: settings with `argument` fields, whose arguments follow the function's own; of two groups that share
            a name, the later says what it is.
        without: arguments of the groups that this function does not take.
        defaults: other defaults than the groups'.

    Returns:
        A decorator; the decorated `__init__` is given every argument of the groups in `settings`.
    """

    def decorate(init: Init) -> Init:
        own = [p for p in inspect.signature(init).parameters.values() if p.kind in _OWN]
        names = {p.name for p in own}
        every = {f.name: f for group in groups for f in arguments_of(group)}
        fields = [f for f in every.values() if f.name not in without and f.name not in names]
        filled = {field.name: defaults.get(field.name, field.default) for field in fields}
        unknown = set(defaults) - set(filled)
        if unknown:
            raise TypeError(f"defaults for {sorted(unknown)} are of no argument of {[g.__name__ for g in groups]}")

        @functools.wraps(init)
        def settled(self: Any, *args: Any, **settings: Any) -> None:
            init(self, *args, **{**filled, **settings})

        types = _given_types(init)
        more = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=filled[f.name],
                annotation=types.get(f.name) or _type(f),
            )
            for f in fields
        ]
        # what may be given by position, then what must be given, the groups, and the rest of the function's own
        first = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD or p.default is p.empty]
        parameters = [*first, *more, *(p for p in own if p not in first)]
        settled.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
        settled.documented = {f.name: f.metadata["doc"] for f in fields}  # type: ignore[attr-defined]
        return cast("Init", settled)

    return decorate


def function_takes(*groups: type, **defaults: Any) -> Callable[[F], F]:
    """Spell out the arguments of groups of settings in the signature and the help of a function with `**settings`.

    Args:
        groups: settings with `argument` fields, whose arguments follow the function's own.
        defaults: other defaults than the groups'.

    Returns:
        A decorator; the decorated function is given every argument of the groups in `settings`.
    """

    def decorate(function: F) -> F:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind in _OWN]
        fields = [f for group in groups for f in arguments_of(group) if f.name not in {p.name for p in own}]
        filled = {field.name: defaults.get(field.name, field.default) for field in fields}
        names = [*(p.name for p in own), *filled]

        @functools.wraps(function)
        def settled(**settings: Any) -> Any:
            for name in settings.keys() - set(names):
                raise TypeError(f"{function.__name__} has no argument {name}={settings[name]!r}; {hint(name, names)}")
            return function(**{**filled, **settings})

        keyword = inspect.Parameter.KEYWORD_ONLY
        more = [inspect.Parameter(f.name, keyword, default=filled[f.name], annotation=_type(f)) for f in fields]
        returned = inspect.signature(function).return_annotation
        settled.__signature__ = inspect.Signature([*own, *more], return_annotation=returned)  # type: ignore[attr-defined]
        settled.documented = {f.name: f.metadata["doc"] for f in fields}  # type: ignore[attr-defined]
        if function.__doc__ is not None:
            settled.__doc__ = documented(function.__doc__, settled)
        return cast("F", settled)

    return decorate


def _given_types(init: Callable[..., None]) -> dict[str, str]:
    """Return the types that a caller may give for arguments, from the `TypedDict` unpacked in the signature."""
    for parameter in inspect.signature(init).parameters.values():
        named = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        options = init.__globals__.get(named.group(1)) if named else None
        if options is not None:
            return {name: getattr(t, "__forward_arg__", str(t)) for name, t in options.__annotations__.items()}
    return {}


def _type(field: dataclasses.Field[Any]) -> str:
    """Return the type of an argument as its signature shows it: with None, if that is the default.

    None may be given whatever it is settled to.
    """
    optional = field.default is None and "None" not in str(field.type)
    return f"{field.type} | None" if optional else str(field.type)


def complete(cls: type, *, switches: bool = False) -> None:
    """Document each argument in a class's `__init__` signature, and let the class answer wrong argument names.

    With `switches`, also what is neither True nor False where it must be.
    """
    init = cls.__dict__.get("__init__")
    if init is None:
        return
    if cls.__doc__ is not None:
        cls.__doc__ = documented(cls.__doc__, init)
    cls.__init__ = explaining(init, switches=switches)  # type: ignore[misc]


# ---------------------------------------------------------------- documentation


def documented(text: str, init: Callable[..., Any]) -> str:
    """Return a class's documentation with an entry for each argument, in the order of the signature.

    What the class says of an argument itself stands before what its group of settings says.
    """
    said: dict[str, str] = getattr(init, "documented", {})
    parameters = [p for p in inspect.signature(init).parameters.values() if p.name != "self"]
    if not said:
        return text
    before, own, after = _split(inspect.cleandoc(text))
    entries = {**said, **own}
    names = [p.name for p in parameters if p.name in entries] + [name for name in own if name not in said]
    lines = [line for name in dict.fromkeys(names) for line in _entry(name, entries[name])]
    return "\n".join([before.rstrip(), "", "Args:", *lines, "", after.lstrip("\n")]).rstrip() + "\n"


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name}: {text}", _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
    )


def _split(text: str) -> tuple[str, dict[str, str], str]:
    """Split a class's documentation around its entries for the arguments of the signature.

    Returns the text before the arguments, the entry of each, and the text after them.
    """
    match = re.search(r"^Args:\n((?:    .*\n|\n(?=    ))*)", text + "\n", re.MULTILINE)
    if match is None:
        before, _, after = text.partition("\n\n")
        return before, {}, after
    entries: dict[str, str] = {}
    name = ""
    for line in match.group(1).splitlines():
        found = re.match(r"    (\w+): (.*)", line)
        if found:
            name = found.group(1)
            entries[name] = found.group(2)
        elif line.strip():
            entries[name] += " " + line.strip()
    return text[: match.start()], entries, text[match.end() :]


# ---------------------------------------------------------------- the settings of a module


def shown(module: nn.Module) -> str:
    """Return a module's settings for its `repr`: each argument of its signature but modules; those stand below."""
    parts = []
    for parameter in inspect.signature(type(module)).parameters.values():
        if parameter.kind not in _OWN:
            continue
        value = getattr(module, attribute_of(type(module), parameter.name))
        if isinstance(value, nn.Module):
            continue
        parts.append(f"{parameter.name}={value_text(value)}")
    return ", ".join(parts)


def attribute_of(cls: type, argument: str) -> str:
    """Return the attribute that holds an argument of a module's signature: that of its name, or of `attribute_names`.

    `nn.Module` has methods of its own (`to`), which no argument may hide.

    >>> attribute_of(nn.Linear, "bias")
    'bias'
    """
    names: dict[str, str] = getattr(cls, "attribute_names", {})
    return names.get(argument, argument)


def value_text(value: Any) -> str:
    """Return a setting's value as a signature's `repr` shows it, long ones by their number.

    >>> value_text([0.5] * 100)
    '<100 values>'
    """
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return f"<{' x '.join(map(str, value.shape))} values>"
    if isinstance(value, (list, tuple, np.ndarray)) and len(value) > _SHORT:
        return f"<{len(value)} values>"
    return repr(value)
