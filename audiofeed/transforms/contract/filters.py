"""Filters that a module holds: fixed ones from their float64 definition, trainable ones as parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from audiofeed.transforms.contract.explain import explaining


class Filtered(nn.Module):
    """A module whose fixed filters follow the device and the dtype and never enter the `state_dict`."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in cls.__dict__:
            cls.__init__ = explaining(cls.__init__)  # type: ignore[method-assign]

    def __init__(self) -> None:
        super().__init__()
        # name -> the float64 definition, computed when a dtype or device is first met
        self._definitions: dict[str, Callable[[], np.ndarray]] = {}
        self._other_filters: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def _needs_graph(self, x: torch.Tensor) -> bool:
        """Whether autograd or a compiler is to see what is computed of `x`."""
        return torch.compiler.is_compiling() or (
            torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters()))
        )

    def _define(self, name: str, definition: Callable[[], np.ndarray], *, trainable: bool = False) -> None:
        """Hold a filter defined in float64: a parameter if trainable, else a buffer outside the state_dict."""
        values = torch.from_numpy(np.ascontiguousarray(definition())).to(torch.get_default_dtype())
        if trainable:
            self.register_parameter(name, nn.Parameter(values))
            return
        self._definitions[name] = definition
        self.register_buffer(name, values, persistent=False)

    def _filter(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """The filter in the dtype (float32 for int16) and on the device of `like`.

        A fixed filter comes from its float64 definition, never from a rounded buffer, so that float64 features are
        float64-exact and `.half()` on the whole model does no harm.
        """
        held: torch.Tensor = getattr(self, name)
        dtype = like.dtype if like.is_floating_point() else torch.float32
        if name not in self._definitions:
            return held.to(dtype)
        if held.dtype == dtype and held.device == like.device:
            return held
        key = (name, like.device, dtype)
        if key not in self._other_filters:
            exact = torch.from_numpy(np.ascontiguousarray(self._definitions[name]()))
            self._other_filters[key] = exact.to(dtype=dtype).to(device=like.device)
        return self._other_filters[key]

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        before = {name: getattr(self, name).dtype for name in self._definitions}
        self._other_filters.clear()
        super()._apply(fn, recurse)
        for name, definition in self._definitions.items():
            held = getattr(self, name)
            # a cast would keep the old rounding (float32 values in float64); the definition has them all
            if held.dtype != before[name] and held.dtype.is_floating_point and held.device.type != "meta":
                exact = torch.from_numpy(np.ascontiguousarray(definition()))
                setattr(self, name, exact.to(dtype=held.dtype).to(device=held.device))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_other_filters": {}}
