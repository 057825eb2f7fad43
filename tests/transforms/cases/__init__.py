"""Settings in which every public transform is held to the contract; one without a case fails a test.

Each file of this folder has a list `CASES`; a new file is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

# what a transform takes: the size of an input in tests, and the sizes of clips in a padded batch
SIZE = {"waveform": 500, "power": 40, "magnitude": 40, "features": 40, "spectrum": 40}

_BUILT: dict[int, torch.nn.Module] = {}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One transform with one set of settings, and what is to be expected of it.

    Args:
        cls: the transform; `settings`: its arguments; `make`: builds it where arguments alone cannot say how.
        small: what replaces settings for the numerical gradient; `small_size`: samples or frames given to it.
        takes: "waveform", "power", "magnitude", "features" (real, of either sign) or "spectrum" (complex).
        bins, small_bins: bins of the input, where it is not a waveform.
        state: names of what is trained, and so is in the `state_dict`; `kept`: of what else is there.
        shares: rows of a clip count together (a clip's own peak), so that one channel alone may differ. The reason.
        flat: why there is no gradient with respect to the input.
        kinks: why the numerical gradient is not compared (steps inside the difference quotient).
        not_compiled: why torch.compile(fullgraph=True) is not promised.
        pads: why a clip alone has more frames than are its own, all of them 0.
        may_vanish: why a clip of a few samples or frames may give zeros throughout.
        tolerance: of batch-mates, relative; `why` is the reason where it is not 1e-6.
        others: other values of arguments that no other transform has: see `contract/test_every_argument.py`.
        rounding: of batch-mates, absolute: what rounding leaves where the result is 0; `why` is the reason.
    """

    cls: type
    settings: dict[str, Any] = field(default_factory=dict)
    make: Callable[[dict[str, Any]], torch.nn.Module] | None = None
    small: dict[str, Any] = field(default_factory=dict)
    small_size: int = 30
    takes: str = "waveform"
    bins: int = 0
    small_bins: int = 0
    state: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    shares: str = ""
    flat: str = ""
    kinks: str = ""
    not_compiled: str = ""
    pads: str = ""
    may_vanish: str = ""
    tolerance: float = 1e-6
    rounding: float = 0.0
    why: str = ""
    others: dict[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Samples or frames of a clip in tests."""
        return SIZE[self.takes]

    def build(self, **changes: Any) -> torch.nn.Module:
        """The transform; filters too narrow for a test's few bins are no matter."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            settings = {**self.settings, **changes}
            return self.cls(**settings) if self.make is None else self.make(settings)

    def shared(self) -> torch.nn.Module:
        """The transform, built once for all tests and examples that leave it as it is."""
        if id(self) not in _BUILT:
            _BUILT[id(self)] = self.build()
        return _BUILT[id(self)]

    def input(self, *leading: int, n: int = 0, seed: int = 0, small: bool = False) -> torch.Tensor:
        """A float64 or complex128 input of `n` samples or frames."""
        random = np.random.default_rng(seed)
        if self.takes == "waveform":
            return torch.from_numpy(random.standard_normal((*leading, n or self.size)))
        shape = (*leading, self.small_bins if small else self.bins, n or self.size)
        values = random.standard_normal(shape)
        if self.takes == "spectrum":
            values = values + 1j * random.standard_normal(shape)
        elif self.takes in ("power", "magnitude"):
            values = np.abs(values) ** (2 if self.takes == "power" else 1)
        return torch.from_numpy(values)

    def single(self, *leading: int, n: int = 0, seed: int = 0) -> torch.Tensor:
        """The input in single precision."""
        x = self.input(*leading, n=n, seed=seed)
        return x.to(torch.complex64 if x.is_complex() else torch.float32)

    def lengths(self, *lengths: int) -> torch.Tensor:
        """Lengths of clips, none above the size of this case."""
        return torch.tensor([min(self.size, length) for length in lengths])

    def run(self, transform: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """The transform of x."""
        return transform(x) if lengths is None else transform(x, lengths=lengths)

    def result_lengths(self, transform: Any, lengths: torch.Tensor) -> torch.Tensor:
        """Where the result of each clip ends."""
        if self.takes == "waveform":
            return transform.frame_lengths(lengths)
        return transform.result_lengths(lengths)


def _found() -> list[Case]:
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return [case for module in modules for case in module.CASES]


CASES = _found()
IDS = [f"{case.cls.__name__}-{sum(c.cls is case.cls for c in CASES[:i])}" for i, case in enumerate(CASES)]
