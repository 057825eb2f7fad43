"""Every argument of every public transform has an effect; one that is new fails here until it has another value."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.arguments.signature import attribute_of
from tests.transforms.cases import CASES
from tests.transforms.contract.alternatives import OF, VALUES, Base, To
from tests.transforms.contract.effects import Pair, usual

# what others derive from, and what is made of other transforms: see test_composition.py
WITHOUT_SETTINGS = {"Transform", "FeatureTransform", "ShortTime", "Chain", "Concat", "Stack"}
CLASSES = [getattr(af.transforms, name) for name in af.transforms.__all__ if name not in WITHOUT_SETTINGS]
# arguments that may name a transform, which is then the attribute
MADE = {"chroma", "tempogram"}
FAULTS = (AssertionError, AttributeError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
HOME = "`others` of its case, or to OF or VALUES in tests/transforms/contract/alternatives.py"


def base_of(cls: type) -> Base:
    """The settings that arguments are changed from: those of `OF`, or of the transform's first case."""
    if cls in OF:
        return OF[cls]
    case = next(case for case in CASES if case.cls is cls)
    return Base(dict(case.settings), case.single(2), values={name: list(found) for name, found in case.others.items()})


def built(cls: type, settings: dict[str, Any]) -> torch.nn.Module:
    """Without a warning of filters too narrow for so few bins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cls(**settings)


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def alternatives(cls: type, base: Base, argument: inspect.Parameter) -> list[To]:
    """Other values of an argument than that of the base settings."""
    name, default = argument.name, argument.default
    table = base.values.get(name, VALUES.get(name))
    if table is None and isinstance(default, bool):
        table = [True, False]
    if table is None:
        raise LookupError(f"{cls.__name__}({name}=...) has no other value: add one to {HOME}")
    found = [value if isinstance(value, To) else To(value) for value in table]
    current = base.settings.get(name, default)
    others = [to for to in found if not same(to.value, to.given.get(name, current))]
    if not others:
        raise LookupError(f"{cls.__name__}({name}={current!r}) has no value but its own: add one to {HOME}")
    return others


def changes(cls: type, base: Base) -> Iterator[tuple[str, To, Pair]]:
    """Every change of an argument to another value, as the transforms before and after it."""
    for argument in inspect.signature(cls).parameters.values():
        assert argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD), f"{cls.__name__} hides {argument}"
        name = argument.name
        for to in alternatives(cls, base, argument):
            for more in ({}, *base.more):
                settings = {**base.settings, **more, **to.given}
                if name in more:
                    continue
                value = to.value(settings) if inspect.isfunction(to.value) else to.value
                changed = {**settings, name: value, **to.also}
                yield (
                    name,
                    To(value, to.given, to.also, to.effect),
                    Pair(
                        lambda settings=settings: built(cls, settings),
                        lambda changed=changed: built(cls, changed),
                        base.x,
                        base.rows,
                    ),
                )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_has_an_effect(cls):
    faults = []
    for name, to, pair in changes(cls, base_of(cls)):
        try:
            (to.effect or usual(name))(pair)
        except FAULTS as fault:
            faults.append(f"{cls.__name__}({name}={to.value!r}), given {to.given}: {type(fault).__name__}: {fault}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_is_an_attribute(cls):
    """It holds what was given; where that is None, what None stands for, if anything."""
    wrong = []
    for name, to, pair in changes(cls, base_of(cls)):
        found = getattr(pair.after, attribute_of(cls, name), LookupError)
        if found is LookupError or (to.value is not None and name not in MADE and not np.array_equal(found, to.value)):
            wrong.append(f"{cls.__name__}({name}={to.value!r}).{name} is {found!r}")
    assert not wrong, "\n".join(wrong)


class Louder(af.STFT):
    """An STFT with arguments of its own, of which one has no effect."""

    def __init__(self, n_fft: int = 64, *, gain: float = 1.0, loud: bool = False) -> None:
        super().__init__(n_fft)


def test_a_new_argument_is_noticed_and_so_is_one_without_an_effect():
    base = Base({"n_fft": 64}, OF[af.STFT].x)
    with pytest.raises(
        LookupError,
        match=rf"Louder\(gain=...\) has no other value: add one to {HOME}",
    ):
        list(changes(Louder, base))
    base = Base({"n_fft": 64}, OF[af.STFT].x, values={"gain": [2.0]})
    found = {name: pair for name, _, pair in changes(Louder, base)}
    assert found.keys() == {"n_fft", "gain", "loud"}
    usual("n_fft")(found["n_fft"])
    for name in ("gain", "loud"):
        with pytest.raises(AssertionError, match="the values are the same"):
            usual(name)(found[name])
