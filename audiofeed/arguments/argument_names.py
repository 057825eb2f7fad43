"""Other libraries' argument names: a call with one of them is answered with the name here."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from audiofeed.arguments.checks import check_switch, is_number, shortened

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
_OWN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

# an `__init__`, of which a decorator keeps the signature that type checkers see
Init = TypeVar("Init", bound=Callable[..., None])


def explaining(init: Init, *, switches: bool = False) -> Init:
    """Wrap an `__init__` to answer another library's name of an argument with the name used here.

    With `switches`, an argument that is True or False by its annotation and default must be that.

    >>> @explaining
    ... def __init__(self, *, sample_rate): ...
    >>> __init__(None, sr=8000)
    Traceback (most recent call last):
    TypeError: NoneType has no argument sr=8000; it is called sample_rate here
    """
    parameters = inspect.signature(init).parameters.values()
    named = [p.name for p in parameters if p.kind in _OWN][1:]
    positional = sum(p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters) - 1
    # "false" and "no", as they come out of a file of settings, are true
    checked_names = [
        p.name for p in parameters if switches and isinstance(p.default, bool) and p.annotation in ("bool", bool)
    ]
    kinds = {p.name: str(p.annotation) for p in parameters} if switches else {}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    takes_more = any(p.kind == p.VAR_POSITIONAL for p in parameters)

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **settings: Any) -> None:
        for name in () if takes_any else settings:
            if name not in named:
                raise TypeError(f"{type(self).__name__} has no argument {name}={settings[name]!r}; {hint(name, named)}")
        if len(args) > positional and not takes_more:
            value = type(args[positional]).__name__ if takes_any else repr(args[positional])
            example = f"{named[positional] if positional < len(named) else 'name'}={value}"
            count = f"{positional or 'no'} argument{'s' if positional > 1 else ''}"
            raise TypeError(
                f"{type(self).__name__} takes {count} without a name and was given {len(args)}; "
                f"write the others as name=value ({example}, ...)"
            )
        for name in checked_names:
            if name in settings:
                check_switch(name, settings[name])
        try:
            init(self, *args, **settings)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            # what a comparison or an operation says of a list or a text in a number's place names no argument
            wrong = _misfits(kinds, settings, str(error))
            if not wrong:
                raise
            raise ValueError(wrong[0]) from error

    return cast("Init", checked)


def _misfits(kinds: Mapping[str, str], settings: Mapping[str, Any], said: str) -> list[str]:
    """Return what is wrong with arguments by their types, of those that an error does not name."""
    found = {name: _misfit(kinds[name], value) for name, value in settings.items() if name in kinds}
    return [f"{name}={shortened(settings[name])} {rule}" for name, rule in found.items() if rule and name not in said]


def _misfit(kind: str, value: Any) -> str:
    """Return the rule that an argument's value breaks by its type alone, "" where it breaks none.

    >>> _misfit("float | None", [1]), _misfit("float", 2)
    ('must be a number or None', '')
    """
    base, optional = kind.removesuffix(" | None"), kind.endswith(" | None")
    if value is None and optional:
        return ""
    fits = is_number(value) if base in ("float", "int") else isinstance(value, str) if base == "str" else True
    named = {"float": "a number", "int": "an integer", "str": "a string"}
    return "" if fits else f"must be {named[base]}{' or None' if optional else ''}"


def hint(name: str, named: list[str]) -> str:
    """Return what a caller who gave an argument of an unknown name may have meant, of the arguments there are.

    >>> hint("sr", ["sample_rate"])
    'it is called sample_rate here'
    """
    if _CALLED.get(name) in named:
        return f"it is called {_CALLED[name]} here"
    argument, remedy = _REPLACED.get(name, (None, ""))
    if argument in named:
        return remedy
    if name in _NEEDLESS:
        return _NEEDLESS[name]
    close = difflib.get_close_matches(name, named, n=1)
    return f"do you mean {close[0]}?" if close else f"the arguments are {', '.join(named)}"
