"""Filters of a module: fixed ones from their float64 definition, trained ones as parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from audiofeed.arguments.setting_groups import arguments_of
from audiofeed.parallel.launches import capturing
from audiofeed.parallel.observed import observed

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
    buffer: float64 features are float64-exact, and `.half()` on the whole model does no harm, because a buffer is held
    in float32 or float64, the dtypes that are computed in. Nor is it lost where a framework makes a module's memory
    anew (`to_empty`, from the meta device too). All are normal tensors, under `torch.inference_mode` too: a forward
    there must not be in the way of a later training.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self._starts: dict[str, Definition] = {}
        self._others: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}
        self._constants: dict[tuple[str, torch.dtype], Callable[[torch.device], torch.Tensor]] = {}
        self._product: tuple[torch.Tensor, int, float, torch.Tensor] | None = None

    def define(
        self,
        module: nn.Module,
        name: str,
        definition: Definition,
        *,
        trainable: bool = False,
        values: np.ndarray | None = None,
    ) -> None:
        """Register a filter in a module's store: a parameter if trainable, else a buffer, of its `values` if known.

        It lies on torch's default device. A buffer of integers (places, indices) keeps its dtype.
        """
        array = definition() if values is None else values
        with torch.inference_mode(False):
            dtype = torch.get_default_dtype()
            # where tensors are made by default; asking for it by name takes five times as long
            exact = _tensor(array, dtype if trainable else _held_in(dtype)).to(torch.empty(0).device)
            if trainable:
                self._starts[name] = definition
                module.register_parameter(name, nn.Parameter(exact))
                return
        self.definitions[name] = definition
        self._offer(name)
        module.register_buffer(name, exact, persistent=False)

    def like(self, module: nn.Module, name: str, like: torch.Tensor) -> torch.Tensor:
        """Return a filter from a module's store, in the dtype (float32 for int16) and on the device of `like`."""
        held: torch.Tensor = getattr(module, name)
        dtype = like.dtype if like.is_floating_point() else torch.float32
        if name not in self.definitions:
            return held.to(dtype)
        if held.dtype == dtype and held.device == like.device:
            return held
        if torch.compiler.is_compiling():
            # by `view_as` the compiler knows its shape
            return self._constants[name, dtype](like.device).view_as(held)
        return self.other(name, dtype, like.device)

    def other(self, name: str, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Return a fixed filter of the store in another dtype or on another device, kept for the next call."""
        return self._kept(name, self.definitions[name], dtype, device)

    def _kept(self, name: str, definition: Definition, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        key = (name, device, dtype)
        found = self._others.get(key)
        if found is None:
            with torch.inference_mode(False):
                found = _tensor(definition(), dtype).to(device=device)
            if type(found) is torch.Tensor:  # not one of a dispatch mode (a fake tensor), which ends with the mode
                self._others[key] = found
        return found

    def derived(
        self, name: str, definition: Definition, like: torch.Tensor, dtype: torch.dtype | None = None
    ) -> torch.Tensor | None:
        """Return what a store's module makes of its fixed filters for one way of computing, kept for the next call.

        It is no buffer: most modules never compute in that way. None where it is not at hand and cannot be brought to
        the device, as a CUDA graph is being captured.
        """
        if dtype is None:
            dtype = like.dtype if like.is_floating_point() else torch.float32
        if like.is_cuda and (name, like.device, dtype) not in self._others and capturing():
            return None
        return self._kept(name, definition, dtype, like.device)

    def times(self, held: torch.Tensor, factor: float) -> torch.Tensor:
        """Return a filter of a module's store times a number; on a CPU the last product is kept for the next call."""
        plain = held.is_cpu and not torch.compiler.is_compiling() and observed(held) is None
        if not plain or held.requires_grad or held.is_inference():
            return held * factor
        known = self._product
        if known is None or known[0] is not held or known[1:3] != (held._version, factor):
            with torch.inference_mode(False):
                known = self._product = (held, held._version, factor, held * factor)
        return known[3]

    def apply(self, module: nn.Module, cast: Callable[[], Any]) -> None:
        """Move or cast a module by `cast`; its filters then have the values of their definition, whatever `cast` did.

        A trained filter keeps the values that it is given; only one that comes from the meta device, and so has none,
        has those that it begins with.
        """
        before = {name: getattr(module, name) for name in self.definitions}
        without_values = [name for name in self._starts if getattr(module, name).device.type == "meta"]
        self._others.clear()
        self._product = None
        with torch.inference_mode(False), torch.no_grad():
            cast()
            for name, was in before.items():
                held = getattr(module, name)
                if held is not was and type(held) is torch.Tensor and type(was) is torch.Tensor:
                    setattr(module, name, self._defined(name, held, was))
            for name in without_values:
                _fill(getattr(module, name), self._starts[name])

    def _defined(self, name: str, held: torch.Tensor, was: torch.Tensor) -> torch.Tensor:
        """Return a fixed filter with its defined values in the memory that a cast of its module made, where it can."""
        dtype = _held_in(held.dtype)
        if held.device.type == "meta":
            return held.to(dtype)
        known = was.device.type != "meta" and was.dtype == dtype
        values = was if known else _tensor(self.definitions[name](), dtype)
        return held.copy_(values) if held.dtype == dtype else values.to(device=held.device)

    def reset(self, module: nn.Module) -> None:
        """Set the filters of a module, fixed and trained, to the values of their definitions."""
        with torch.inference_mode(False), torch.no_grad():
            for name, definition in {**self.definitions, **self._starts}.items():
                _fill(getattr(module, name), definition)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_others": {}, "_constants": {}, "_product": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in self.definitions:
            self._offer(name)

    def _offer(self, name: str) -> None:
        """Offer a compiler a fixed filter of the store in each dtype as a constant, which it computes once itself."""
        for dtype in (torch.float32, torch.float64):
            self._constants[name, dtype] = _as_constant(self, name, dtype)


def _as_constant(store: FilterStore, name: str, dtype: torch.dtype) -> Callable[[torch.device], torch.Tensor]:
    """Return a store's `other` as a function whose result a compiler takes as a constant, because a filter is one.

    What `torch.compiler.assume_constant_result` does, without importing the compiler with the package.
    """

    def other(device: torch.device) -> torch.Tensor:
        return store.other(name, dtype, device)

    # a compiler tells constants apart by the names that the code of their functions has
    own_name = f"filter_{id(store)}_{name}_{str(dtype).removeprefix('torch.')}"
    other.__code__ = other.__code__.replace(co_name=own_name)
    other._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return other


def _held_in(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that a fixed filter is held in where its module has this one: that which is computed in."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _fill(held: torch.Tensor, definition: Definition) -> None:
    """Fill a filter's memory with its defined values, where it is plain memory."""
    if type(held) in (torch.Tensor, nn.Parameter) and held.device.type != "meta":
        held.copy_(_tensor(definition(), torch.float64))


# torch's cast of a large array waits for all its threads
_IN_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def _tensor(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Return a filter's defined values in a dtype, in memory of their own: the definition may keep its array.

    Integers stay what they are.
    """
    if values.dtype.kind in "iub":
        return torch.from_numpy(np.array(values, order="C"))
    if torch.compiler.is_compiling():  # which follows NumPy only so far
        return torch.from_numpy(np.array(values, order="C")).to(dtype)
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


def filter_definition(self: Any, name: str) -> Definition:
    """Return the float64 definition of a fixed filter that a transform module keeps."""
    return self._filters.definitions[name]


def derived_filter(
    self: Any, name: str, definition: Definition, like: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor | None:
    """Return what a transform module makes of its filters for one way of computing, or None: see `FilterStore`."""
    return self._filters.derived(name, definition, like, dtype)


def apply_cast(self: Any, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
    """Move or cast a transform module like `nn.Module._apply`, with fixed filters made again from their definition."""
    self._filters.apply(self, lambda: nn.Module._apply(self, fn, recurse))
    return self


def reset_parameters(self: Any) -> None:
    """Set all filters of a transform module, trained ones too, to their definition, as some frameworks ask."""
    self._filters.reset(self)
