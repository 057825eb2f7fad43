"""What a class says of itself: each argument has an entry in `help`, and types for callers that match its signature."""

from __future__ import annotations

import inspect
import re

import pytest
import typing_extensions

import audiofeed as af
from audiofeed.arguments import signature

PUBLIC = [getattr(af, name) for name in af.__all__ if inspect.isclass(getattr(af, name))]
CLASSES = [cls for cls in PUBLIC if not issubclass(cls, Exception)]
every = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def entries(text: str) -> dict[str, str]:
    """The entry of each argument in a Google-style docstring, as documentation tools read it."""
    section = re.search(r"^Args:\n((?:    .*\n|\n(?=    ))*)", inspect.cleandoc(text) + "\n", re.MULTILINE)
    found = re.findall(r"^    \*{0,2}(\w+): ((?:.|\n(?=        ))*)", section.group(1), re.MULTILINE) if section else []
    return dict(found)


@every
def test_each_argument_has_an_entry_of_its_own(cls):
    parameters = [p for p in inspect.signature(cls).parameters.values() if p.name != "self"]
    found = entries(cls.__doc__)
    missing = [p.name for p in parameters if p.name not in found]
    assert not missing, f"help({cls.__name__}) has no entry for {missing}"
    assert not set(found) - {p.name for p in parameters}, "an entry for an argument that is not there"
    assert not re.search(r": as in `\w+`\.?$", "\n".join(found.values()), re.MULTILINE) or len(found) < 3


@every
def test_what_a_caller_may_give_is_what_the_signature_has(cls):
    """The TypedDict that type checkers see has the names that the running class takes."""
    init = inspect.unwrap(cls.__init__)
    settings = [p for p in inspect.signature(init).parameters.values() if p.kind is p.VAR_KEYWORD]
    if not settings or "Unpack" not in str(settings[0].annotation):
        return
    name = re.fullmatch(r"Unpack\[(\w+)\]", settings[0].annotation).group(1)
    options = init.__globals__[name]
    own = {p.name for p in inspect.signature(init).parameters.values() if p.kind is not p.VAR_KEYWORD} - {"self"}
    assert typing_extensions.is_typeddict(options)
    assert set(options.__annotations__) | own == set(inspect.signature(cls).parameters)
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.name in options.__annotations__ and parameter.name not in own:
            assert parameter.annotation == options.__annotations__[parameter.name].__forward_arg__
        if parameter.name in options.__annotations__ and parameter.default is None:
            assert "None" in str(options.__annotations__[parameter.name]), f"{parameter.name}=None is the default"


def test_every_class_that_takes_settings_shows_all_of_them():
    assert "kwargs" not in str(inspect.signature(af.LogMelSpectrogram))
    assert all(
        p.kind is not p.VAR_KEYWORD for cls in CLASSES if not issubclass(cls, af.Stack) for p in parameters_of(cls)
    )


def parameters_of(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls).parameters.values())


def test_a_class_completes_what_it_does_not_say_itself():
    def init(self, *, own, f_min, n_fft=2048): ...

    init.documented = {"f_min": "from the group.", "n_fft": "samples."}
    said = (
        "Title.\n\nMore.\n\nArgs:\n    own: mine,\n        in two lines.\n    f_min: said here.\n\nReturns:\n    x.\n"
    )
    text = signature.documented(said, init)
    assert entries(text) == {"own": "mine, in two lines.", "f_min": "said here.", "n_fft": "samples."}
    assert text.startswith("Title.\n\nMore.\n\nArgs:")
    assert text.rstrip().endswith("Returns:\n    x.")
    assert entries(signature.documented("Title.", init))["n_fft"] == "samples."
