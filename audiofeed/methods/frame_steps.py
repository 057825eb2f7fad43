"""Steps from a spectrum to a feature, frame by frame: filter banks, logarithms, other functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace

# From (..., frames, values) to (..., frames, other values). A workspace is given where there is no graph: the values
# may then be overwritten, and the result may lie in it.
Function = Callable[[torch.Tensor, "Workspace | None"], torch.Tensor]


@dataclass(frozen=True)
class Apply:
    """Function of frames as a step of a computation, beside filter banks and logarithms."""

    function: Function

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Apply a function to a tensor of frames, as a step beside filter banks and logarithms.

        Shape: (..., frames, values) -> (..., frames, other values).
        """
        return self.function(values, workspace)


# a step of frames; a method may do the first of them in its own way
Step = FilterBank | Log | Apply


class Wanted(NamedTuple):
    """Feature to compute from a short-time spectrum: a power, then steps such as a filter bank.

    It is |z|^power, or (|z|^2 + root_offset)^(power / 2), then steps frame by frame.
    """

    power: float
    steps: tuple[Step, ...] = ()
    root_offset: float = 0.0


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
    squared = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    return through(wanted.steps, raise_power(squared, wanted.power, wanted.root_offset), None).transpose(1, 2)
