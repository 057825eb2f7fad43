"""The steps from |STFT|^power to a feature: first frame by frame, then, where one needs it, clip by clip.

A feature lists its steps in `ShortTime.steps`. Steps of frames are computed piece by piece while the powers are in the
cache, or by a kernel; from the first step of clips on, each step sees whole clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch

from audiofeed.methods.cepstral.cepstrum import over_bins
from audiofeed.methods.decibels import Log, clip_peak, limit_own_range, limit_range
from audiofeed.methods.filterbank import FilterBank, WeightedSums, filtered
from audiofeed.methods.frame_steps import Affine, Apply, through_own
from audiofeed.methods.frame_steps import Step as FrameValue
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.methods.short_time.kernel.lines import lines_of
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.launches import launches
from audiofeed.parallel.observed import observed
from audiofeed.plans.tiles import FilterTiles
from audiofeed.transforms.contract.filters import of
from audiofeed.transforms.contract.transform import Transform


class FrameStep(Protocol):
    """Protocol of a short-time feature's step of frames: (..., frames, values) -> (..., frames, other values)."""

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return a frame step's computations for a waveform `like` this one, with filters of its dtype and device."""


class ClipStep(Protocol):
    """Protocol of a short-time step of clips: (clips, rows of each, values, frames) -> the same of other values."""

    def on_clips(self, module: Transform, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply a short-time module's step of clips that have `frames` (clips,) frames each; None: all of them."""


Step = FrameStep | ClipStep


def _twice(filters: np.ndarray) -> np.ndarray:
    return np.repeat(filters, 2, axis=1)


@dataclass(frozen=True)
class Bank:
    """Step through a filter bank that a short-time module keeps by name; `tiles`: where it is not 0, None: anywhere."""

    name: str
    tiles: FilterTiles | None

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return the filter bank step of a short-time module, in a waveform's dtype."""
        of_parts = None
        if self.tiles is not None and launches(like) and not torch.compiler.is_compiling():
            definition = of(module.filter_definition(self.name), _twice)
            of_parts = module.derived_filter(f"{self.name} of parts", definition, like)
        return (FilterBank(module.filter_like(self.name, like), self.tiles, of_parts),)


@dataclass(frozen=True)
class Sums:
    """Step of a short-time module to a few weighted sums over all bins, of weights that it keeps under a name."""

    name: str
    tiles: FilterTiles

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return the step of a short-time module to weighted sums, for frames one after another."""
        weights = module.filter_like(self.name, like)
        if like.device.type == "cpu":  # whose kernels compute them without storing the bins
            return (WeightedSums(weights, self.tiles),)
        return (Apply(lambda values, workspace: filtered(values, weights, workspace, None)),)


@dataclass(frozen=True)
class Logarithms:
    """Step of a short-time module that takes a logarithm."""

    log: Log

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return the logarithm step of a short-time module."""
        return (self.log,)


@dataclass(frozen=True)
class Limit:
    """Step of a short-time module after which nothing lies more than `top` below each clip's own peak."""

    top: float

    def on_clips(self, module: Transform, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply the step of a short-time module that limits the decibels of clips."""
        if torch.is_grad_enabled() or observed(features) is not None:
            return limit_range(features, frames, self.top)
        return torch.maximum(features, clip_peak(features, frames) - self.top, out=features)

    def on_own_clips(
        self, features: torch.Tensor, frames: torch.Tensor | None, further: Sequence[Affine]
    ) -> torch.Tensor:
        """Apply the step that limits the decibels of clips, and `further` shifts and scales, in place, without a graph.

        Args:
            features, frames: as for `on_clips`.
            further: steps after it.
        """
        lines = lines_of(features, frames)
        if lines is None:
            return through_own(further, limit_own_range(features, frames, self.top))
        peaks = lines.peaks().amax(dim=(1, 2, 3)).float()
        least = peaks[:, None, None] - self.top
        numbers = [number for step in further for number in (step.add, step.divide)]
        lines.apply("least", *["affine"] * len(further), numbers=(least, *numbers))
        return features


@dataclass(frozen=True)
class Matrix:
    """Step of a short-time module that multiplies each frame by a matrix, which the module keeps under a name."""

    name: str

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return the matrix product step of a short-time module, for frames one after another."""
        matrix = module.filter_like(self.name, like).t()

        def product(values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
            *leading, n = values.shape
            flat = values.reshape(-1, n)
            if workspace is None:
                return matmul(flat, matrix).view(*leading, -1)
            out = workspace.take("coefficients", flat.shape[0], matrix.shape[1])
            matmul_into(out, flat, matrix)
            return out.view(*leading, -1)

        return (Apply(product),)

    def on_clips(self, module: Transform, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply the matrix product step of a short-time module to the values of whole clips."""
        return over_bins(features, module.filter_like(self.name, features))


@dataclass(frozen=True)
class PerFrame:
    """Step of a short-time module that applies a given function to frames.

    Args:
        function: of frames, of the filters, and of a workspace (no graph, frames may be overwritten) or None.
        filters: the names under which the module keeps them.
        multiplies: whether the function begins with a product of all frames: see `frame_steps.Apply`.
    """

    function: Callable[..., torch.Tensor]
    filters: tuple[str, ...] = ()
    multiplies: bool = False

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[FrameValue]:
        """Return the step of a short-time module that is a function of frames, with filters of a waveform's dtype."""
        held = [module.filter_like(name, like) for name in self.filters]
        return (Apply(lambda values, workspace: self.function(values, *held, workspace), self.multiplies),)


@dataclass(frozen=True)
class PerClip:
    """Step of a short-time module by a function of whole clips, its filters under these names, and frame counts."""

    function: Callable[..., torch.Tensor]
    filters: tuple[str, ...] = ()

    def on_clips(self, module: Transform, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply the step of a short-time module that is a function of whole clips."""
        return self.function(features, *(module.filter_like(name, features) for name in self.filters), frames)


def split(steps: Sequence[Step]) -> tuple[Sequence[FrameStep], Sequence[ClipStep]]:
    """Split a short-time module's steps into those of frames and, from the first that sees clips alone, of clips.

    >>> [len(part) for part in split((Matrix("a"), Limit(80.0), Matrix("b")))]
    [1, 2]
    """
    # by the attribute: asking a Protocol takes longer than a short clip's features
    first = next((i for i, step in enumerate(steps) if not hasattr(step, "on_frames")), len(steps))
    return cast("Sequence[FrameStep]", steps[:first]), cast("Sequence[ClipStep]", steps[first:])
