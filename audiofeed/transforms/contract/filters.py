"""Filters of a module: fixed ones from their float64 definition, trained ones as parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from audiofeed.arguments.setting_groups import arguments_of

Definition = Callable[[], np.ndarray]


def of(definition: Definition, function: Callable[[np.ndarray], np.ndarray]) -> Definition:
    """Return the definition of a transform's filter that a function makes of another definition's array.

    >>> of(functools.partial(np.ones, 2), np.cumsum)().tolist()
    [1.0, 2.0]
    """
    return functools.partial(_of, definition, function)


def _of(definition: Definition, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return function(definition())


class FilterStore:
    """Store of a module's fixed filters: their float64 definitions, and copies in other dtypes and on other devices.

    A fixed filter is a buffer outside the `state_dict`, and always comes from its definition, never from a rounded
    buffer: float64 features are float64-exact, and `.half()` on the whole model does no harm.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self._others: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def define(
        self,
        module: nn.Module,
        name: str,
        definition: Definition,
        *,
        trainable: bool = False,
        values: np.ndarray | None = None,
    ) -> None:
        """Register a filter in a module's store: a parameter if trainable, else a buffer, of its `values` if known."""
        exact = _tensor(definition() if values is None else values, torch.get_default_dtype())
        if trainable:
            module.register_parameter(name, nn.Parameter(exact))
            return
        self.definitions[name] = definition
        module.register_buffer(name, exact, persistent=False)

    def like(self, module: nn.Module, name: str, like: torch.Tensor) -> torch.Tensor:
        """Return a filter from a module's store, in the dtype (float32 for int16) and on the device of `like`."""
        held: torch.Tensor = getattr(module, name)
        dtype = like.dtype if like.is_floating_point() else torch.float32
        if name not in self.definitions:
            return held.to(dtype)
        if held.dtype == dtype and held.device == like.device:
            return held
        key = (name, like.device, dtype)
        if key not in self._others:
            self._others[key] = _tensor(self.definitions[name](), dtype).to(device=like.device)
        return self._others[key]

    def apply(self, module: nn.Module, cast: Callable[[], Any]) -> None:
        """Move or cast a module by `cast`, with fixed filters whose dtype changed made again from their definition."""
        before = {name: getattr(module, name).dtype for name in self.definitions}
        self._others.clear()
        cast()
        for name, definition in self.definitions.items():
            held = getattr(module, name)
            # a cast would keep the old rounding (float32 values in float64); the definition has them all
            if held.dtype != before[name] and held.dtype.is_floating_point and held.device.type != "meta":
                setattr(module, name, _tensor(definition(), held.dtype).to(device=held.device))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_others": {}}


# torch's cast of a large array waits for all its threads
_IN_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def _tensor(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Return a filter's defined values in a dtype, in memory of their own: the definition may keep its array."""
    if torch.compiler.is_compiling():  # which follows NumPy only so far
        return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
    return torch.from_numpy(np.array(values, dtype=_IN_NUMPY.get(dtype), order="C")).to(dtype)


# ---------------------------------------------------------------- methods of every module that holds a `FilterStore`


def keep(self: Any, settings: Any) -> None:
    """Keep the values of settings as attributes of their names in a module that holds filters."""
    # plain values all, for which `nn.Module.__setattr__` would take ten times as long
    vars(self).update({field.name: getattr(settings, field.name) for field in arguments_of(type(settings))})


def define(
    self: Any, name: str, definition: Definition, *, trainable: bool = False, values: np.ndarray | None = None
) -> None:
    """Keep a transform's filter, defined in float64: a parameter if trainable, else a buffer outside the `state_dict`.

    Args:
        name: of the parameter or buffer.
        definition: returns the float64 array; must be picklable.
        trainable: the filter is a parameter.
        values: what the definition returns, where it was computed already.
    """
    self._filters.define(self, name, definition, trainable=trainable, values=values)


def filter_like(self: Any, name: str, like: torch.Tensor) -> torch.Tensor:
    """Return a filter that a transform module keeps, in the dtype and on the device of `like`. float32 for int16."""
    return self._filters.like(self, name, like)


def apply_cast(self: Any, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
    """Move or cast a transform module like `nn.Module._apply`, with fixed filters made again from their definition."""
    self._filters.apply(self, lambda: nn.Module._apply(self, fn, recurse))
    return self
