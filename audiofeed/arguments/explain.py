"""What a transform says of itself: its whole signature, an entry for each argument, its settings, and other names.

A transform that takes groups of settings (see `settings`) is declared with `takes`:

    @takes(Frames, Execution, hop_length=320)
    def __init__(self, *, sample_rate: float, **settings: Unpack[FeatureOptions]) -> None: ...

`inspect.signature`, `help` and editors then show every argument, the class's documentation has an entry for each, and
`settings` holds them all, defaults included.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from torch import nn

from audiofeed.arguments.settings import arguments_of

# from librosa's, torchaudio's and nnAudio's names to ours, and what else there is to say
_CALLED = {
    "sr": "sample_rate",
    "fs": "sample_rate",
    "fmin": "f_min",
    "fmax": "f_max",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "window_fn": "window",
    "normalization_type": "normalization",
    "trainable_STFT": "trainable",
    "trainable_CQT": "trainable",
    "freq_bins": "n_bins",
}
# from a name to the argument that takes its place, where a class has that one, and how
_REPLACED = {
    "htk": ("mel_scale", "htk=True is mel_scale='htk' here"),
    "melkwargs": ("n_fft", "its entries are arguments of their own here"),
    "speckwargs": ("n_fft", "its entries are arguments of their own here"),
    "wkwargs": ("window", "a window's parameters stand beside its name: window=('kaiser', 8.6)"),
    "output_format": ("power", "power=1.0 gives magnitudes, power=2.0 powers, and power=None complex values"),
}
_NEEDLESS = {
    "dtype": "the result has the dtype of what is given",
    "device": "a module goes to a device with .to(device)",
    "verbose": "nothing is printed here",
}
_WIDTH = 116  # of a line of documentation
_SHORT = 8  # samples of a window that are shown
_OWN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


# an `__init__`, of which a decorator keeps the signature that type checkers see
Init = TypeVar("Init", bound=Callable[..., None])


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


def _given_types(init: Callable[..., None]) -> dict[str, str]:
    """What a caller may give, by the `TypedDict` that is unpacked in the signature."""
    for parameter in inspect.signature(init).parameters.values():
        named = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        options = init.__globals__.get(named.group(1)) if named else None
        if options is not None:
            return {name: getattr(t, "__forward_arg__", str(t)) for name, t in options.__annotations__.items()}
    return {}


def _type(field: dataclasses.Field[Any]) -> str:
    """What a caller may give: None too, where that is the default, whatever it is settled to."""
    optional = field.default is None and "None" not in str(field.type)
    return f"{field.type} | None" if optional else str(field.type)


def complete(cls: type[nn.Module]) -> None:
    """Let a class answer wrong argument names, and document each argument of its `__init__`."""
    init = cls.__dict__.get("__init__")
    if init is None:
        return
    if cls.__doc__ is not None:
        cls.__doc__ = documented(cls.__doc__, init)
    cls.__init__ = explaining(init)  # type: ignore[method-assign]


# ---------------------------------------------------------------- documentation


def documented(text: str, init: Callable[..., None]) -> str:
    """A class's documentation with an entry for each argument, in the order of the signature.

    What the class says of an argument itself stands before what its group of settings says.
    """
    said: dict[str, str] = getattr(init, "documented", {})
    parameters = list(inspect.signature(init).parameters.values())[1:]
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
    """What stands before the arguments, the entry of each, and what stands after them."""
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
    """The settings of a module for its `repr`: every argument but modules, which stand below it."""
    parts = []
    for parameter in inspect.signature(type(module)).parameters.values():
        if parameter.kind not in _OWN:
            continue
        value = getattr(module, parameter.name)
        if isinstance(value, nn.Module):
            continue
        text = _value(value)
        parts.append(text if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else f"{parameter.name}={text}")
    return ", ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple, np.ndarray)) and len(value) > _SHORT:
        return f"<{len(value)} values>"
    return repr(value)


# ---------------------------------------------------------------- other libraries' names


def explaining(init: Init) -> Init:
    """An `__init__` that says what an argument is called here, where it is given another library's name.

    >>> @explaining
    ... def __init__(self, *, sample_rate): ...
    >>> __init__(None, sr=8000)
    Traceback (most recent call last):
    TypeError: NoneType has no argument sr=8000; it is called sample_rate here
    """
    parameters = inspect.signature(init).parameters.values()
    named = [p.name for p in parameters if p.kind in _OWN][1:]
    positional = sum(p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters) - 1
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    takes_more = any(p.kind == p.VAR_POSITIONAL for p in parameters)

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **settings: Any) -> None:
        for name in () if takes_any else settings:
            if name not in named:
                raise TypeError(
                    f"{type(self).__name__} has no argument {name}={settings[name]!r}; {_hint(name, named)}"
                )
        if len(args) > positional and not takes_more:
            value = type(args[positional]).__name__ if takes_any else repr(args[positional])
            example = f"{named[positional] if positional < len(named) else 'name'}={value}"
            count = f"{positional or 'no'} argument{'s' if positional > 1 else ''}"
            raise TypeError(
                f"{type(self).__name__} takes {count} without a name and was given {len(args)}; "
                f"write the others as name=value ({example}, ...)"
            )
        init(self, *args, **settings)

    return cast("Init", checked)


def _hint(name: str, named: list[str]) -> str:
    if _CALLED.get(name) in named:
        return f"it is called {_CALLED[name]} here"
    argument, remedy = _REPLACED.get(name, (None, ""))
    if argument in named:
        return remedy
    if name in _NEEDLESS:
        return _NEEDLESS[name]
    close = difflib.get_close_matches(name, named, n=1)
    return f"do you mean {close[0]}?" if close else f"the arguments are {', '.join(named)}"
