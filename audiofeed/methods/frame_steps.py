"""Steps from a spectrum to a feature, frame by frame: filter banks, logarithms, other functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.spectrum import raise_power, squared_magnitude
from audiofeed.methods.standardization import Spread
from audiofeed.methods.workspace import Workspace

# From (..., frames, values) to (..., frames, other values). A workspace is given where there is no graph: the values
# may then be overwritten, and the result may lie in it.
Function = Callable[[torch.Tensor, "Workspace | None"], torch.Tensor]


@dataclass(frozen=True)
class Apply:
    """Function of frames as a step of a computation, beside filter banks and logarithms.

    Args:
        function: of frames.
        multiplies: whether it begins with a product of frames that lie as `filterbank.ALIGNED` says.
    """

    function: Function
    multiplies: bool = False

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Apply a function to a tensor of frames, as a step beside filter banks and logarithms.

        Shape: (..., frames, values) -> (..., frames, other values).
        """
        return self.function(values, workspace)


@dataclass(frozen=True, eq=False)
class Affine:
    """Shift and scale of frames' values by constants, as a step of a computation: (values + add) / divide.

    Args:
        add, divide: of one value, or of one for each bin, (bins,).
    """

    add: torch.Tensor
    divide: torch.Tensor

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Shift and scale a tensor of frames by constants; in place with a workspace.

        Shape: (..., frames, bins) -> the same.
        """
        if workspace is None:
            return (values + self.add) / self.divide
        return values.add_(self.add).div_(self.divide)


@functools.lru_cache(maxsize=256)
def constant(value: float, dtype: torch.dtype) -> torch.Tensor:
    """Return a constant of a step on the CPU, made once; where something observes what is computed, make another.

    >>> constant(4.0, torch.float32) is constant(4.0, torch.float32)
    True
    """
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=dtype, device="cpu")


# a step of frames; a method may do the first of them in its own way
Step = FilterBank | Log | Affine | Apply
# a step that makes each value of a feature of one value alone
ValueStep = Log | Affine


def values_after(steps: Sequence[Step], n_values: int) -> int | None:
    """Return how many values steps make of a frame of `n_values`; None where only their computation tells.

    >>> values_after((Log("ln", floor=1.0, power=2.0),), 5)
    5
    """
    found: int | None = n_values
    for step in steps:
        if isinstance(step, FilterBank):
            found = step.filters.shape[0]
        elif isinstance(step, Apply):
            found = None
    return found


def through_own(steps: Sequence[ValueStep], features: torch.Tensor) -> torch.Tensor:
    """Apply steps of values such as a logarithm to a feature tensor that nobody else holds, in place.

    Shape: (..., bins, frames) -> the same.

    >>> through_own((Affine(torch.tensor(1.0), torch.tensor([2.0, 4.0])),), torch.ones(2, 1)).tolist()
    [[1.0], [0.5]]
    """
    through(steps, features.transpose(-1, -2), Workspace(features))
    return features


@dataclass(eq=False, kw_only=True)
class Closing:
    """What is done with all values of a clip after the steps of its frames: a limit, or a normalization.

    Args:
        rows_of_each: rows of each clip.
        top: nothing lies more than this below the clip's own peak; None: no limit, but a normalization.
        after: shifts and scales after the limit.
        over: "bin" or "clip", what has a mean and a deviation of its own.
        spread: the divisor of the normalization.
        done: set by the method that has done it.
    """

    rows_of_each: int
    top: float | None = None
    after: tuple[Affine, ...] = ()
    over: str = "bin"
    spread: Spread | None = None
    done: bool = False

    @property
    def form(self) -> tuple[str, ...]:
        """What closes a clip, without the numbers: see `KernelSpec`."""
        if self.spread is None:
            return ("limit", *["affine"] * len(self.after))
        return self.over, "unbiased" if self.spread.unbiased else "biased", self.spread.eps_to

    @property
    def numbers(self) -> dict[str, int]:
        """The bits of the numbers that close a clip, for the job of a kernel."""
        eps = 0.0 if self.spread is None else self.spread.eps
        return {"top": int(np.float32(self.top or 0.0).view(np.int32)), "eps": int(np.float64(eps).view(np.int64))}


class Wanted(NamedTuple):
    """Feature to compute from a short-time spectrum: a power, then steps such as a filter bank.

    It is |z|^power, or (|z|^2 + root_offset)^(power / 2), then steps frame by frame. `by_bin`: a bin's frames are best
    laid side by side in memory, where there are steps. `width`: room for so many frames is wanted, whatever stands past
    those that there are. `closing`: what is done with whole clips after the steps. A method may leave the last three
    out.
    """

    power: float
    steps: tuple[Step, ...] = ()
    root_offset: float = 0.0
    by_bin: bool = False
    width: int = 0
    closing: Closing | None = None


def through(steps: Sequence[Step], values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
    """Apply steps such as a filter bank and a logarithm to a tensor of frames, one after another.

    >>> through((Log("ln", floor=1.0, power=2.0),), torch.ones(2, 3), None).sum().item()
    0.0
    """
    for step in steps:
        values = step.apply(values, workspace)
    return values


def of_spectrum(spectrum: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """Compute a feature of a complex spectrum tensor: its power, then steps such as a filter bank.

    Shape: complex (rows, bins, frames) -> (rows, features, frames).

    >>> of_spectrum(torch.full((1, 2, 3), 3 + 4j), Wanted(1.0))[0, 0].tolist()
    [5.0, 5.0, 5.0]
    """
    squared = squared_magnitude(spectrum).transpose(1, 2)
    return through(wanted.steps, raise_power(squared, wanted.power, wanted.root_offset), None).transpose(1, 2)
