"""What a `Chain` may do to the features that it made itself: take further steps along, or write them over.

Without a graph nobody but the chain holds what one member hands to the next. A short-time transform then takes along
the steps of values that follow it (a logarithm, a normalization by constants) and computes them while the frames are
in the cache, and a normalization of clips as soon as one is complete; other members work in the memory of the features.
Where somebody may look on (a hook, a compiler, a gradient, a function that a subclass gives in place of ours), each
member is called as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from audiofeed.methods.frame_steps import ValueStep, constant, through_own
from audiofeed.methods.normalization.clips import Normalization
from audiofeed.methods.waveform.pre_emphasis import Emphasis
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.contract.unseen import is_unseen
from audiofeed.transforms.short_time.pad_frames import PadFrames
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.waveform.pre_emphasis import PreEmphasis

_OF_FRAMES = ("forward", "by_rows", "compute", "finish_rows", "finish_clips")
_OF_WAVEFORMS = ("forward", "compute", "into", "of_clips", "frame_lengths")
_OF_PADDING = ("forward", "run", "compute", "padded", "frame_lengths", "check_features")
_OF_FEATURES = ("forward", "run")


class Carried(NamedTuple):
    """What a chain's member takes along of those that follow it.

    Args:
        members: how many of them are then done.
        steps: steps of values, theirs.
        padding: one that pads by frames, and is done after the steps: `filling` are those of them that came after it,
            which its frames are to go through. Where they do not count it is the last.
        normalization: of the clips after all steps.
        by_bin: what follows best finds the frames of a bin side by side.
    """

    members: int = 0
    steps: tuple[ValueStep, ...] = ()
    padding: PadFrames | None = None
    filling: tuple[ValueStep, ...] = ()
    normalization: Normalization | None = None
    by_bin: bool = False

    def finish(self, features: torch.Tensor, frames: int, lengths: torch.Tensor | None) -> torch.Tensor:
        """Pad features as the members do that a chain's member took along.

        Shape: features (..., bins, frames or more), lengths (batch,) or None -> (..., bins, other frames).
        """
        if self.padding is None:
            return features
        value = features.new_full((features.shape[-2], 1), self.padding.value)
        return self.padding.padded(features, frames, lengths, through_own(self.filling, value))


def carried(member: nn.Module, others: Sequence[nn.Module], given: torch.Tensor) -> Carried:
    """Return what a chain's member takes along with its own steps of those that follow it.

    Args:
        member: makes features of the given waveform.
        others: the members that follow it, in order.
        given: what the member takes.
    """
    if not isinstance(member, ShortTime) or not _is_plain(member, ShortTime, _OF_FRAMES):
        return NOTHING
    if given.device.type != "cpu" or given.dtype == torch.float64 or needs_graph(member, given):
        return NOTHING
    like = constant(0.0, torch.float32)
    found, padding = NOTHING, None
    filling: tuple[ValueStep, ...] = ()
    for number, other in enumerate(others, start=1):
        if isinstance(other, PadFrames) and padding is None and _is_plain(other, PadFrames, _OF_PADDING):
            padding = other
            if other.counts:
                continue
            # later members are to know where the clips end
            if member.can_carry(given, found.steps):
                found = Carried(number, found.steps, padding)
            break
        steps = _value_steps(other, like)
        if steps is None or needs_graph(other, like) or not member.can_carry(given, steps):
            break
        if padding is not None:
            filling = (*filling, *steps)
        found = Carried(number, (*found.steps, *steps), padding, filling)
    following = others[found.members] if found.members < len(others) else None
    if following is not None and found.padding is None and member.can_close() and not needs_graph(following, like):
        normalization = _clip_step(following)
        if normalization is not None:
            return found._replace(members=found.members + 1, normalization=normalization, by_bin=True)
    return found._replace(by_bin=getattr(following, "works_by_bin", False)) if found.members else found


NOTHING = Carried()


def emphasis_for(
    member: nn.Module, following: nn.Module | None, given: torch.Tensor, lengths: torch.Tensor | None
) -> Emphasis | None:
    """Return what a chain's member does if it is pre-emphasis that the following one computes with its frames.

    Args:
        member: takes the given waveform.
        following: takes what that gives; None: there is none.
        given: on a CPU.
        lengths: (batch,) samples of each clip; None: all of them.
    """
    if not isinstance(member, PreEmphasis) or not _is_plain(member, PreEmphasis, _OF_WAVEFORMS):
        return None
    if not isinstance(following, ShortTime) or not _is_plain(following, ShortTime, _OF_FRAMES):
        return None
    if lengths is not None:  # what is wrong with them the member itself says
        known = isinstance(lengths, torch.Tensor) and not lengths.is_floating_point() and lengths.device.type == "cpu"
        if not known or lengths.shape != given.shape[:1] or given.dim() == 1 or int(lengths.max()) > given.shape[-1]:
            return None
    if not following.can_emphasize(given, lengths):
        return None
    return Emphasis(member.coeff, member.first)


def may_overwrite(member: nn.Module, given: torch.Tensor) -> bool:
    """Return whether a chain's member may write over the features that it is given, if nobody else holds them."""
    if not isinstance(member, FeatureTransform) or not _works_in_place(member):
        return False
    return given.device.type == "cpu" and not needs_graph(member, given)


def gives_own(member: nn.Module, given: torch.Tensor, result: torch.Tensor, *, own: bool) -> bool:
    """Return whether the result of a chain's member lies in memory that nobody else holds.

    Args:
        member: was called with `given`.
        own: whether nobody else holds that.
    """
    if isinstance(member, ShortTime):
        return _is_plain(member, ShortTime, _OF_FRAMES)
    if not isinstance(member, FeatureTransform) or not _works_in_place(member):
        return False
    if given.device.type != "cpu" or needs_graph(member, given):
        return False
    return own or result.untyped_storage().data_ptr() != given.untyped_storage().data_ptr()


def _works_in_place(member: FeatureTransform) -> bool:
    if not _is_plain(member, FeatureTransform, _OF_FEATURES):
        return False
    return any(_beside(type(member), "compute", name) for name in ("compute_own", "value_steps"))


def _value_steps(member: nn.Module, like: torch.Tensor) -> tuple[ValueStep, ...] | None:
    """Return the steps that are the whole of a chain's member for features `like` these; None if it has others."""
    if not isinstance(member, FeatureTransform) or not _is_plain(member, FeatureTransform, _OF_FEATURES):
        return None
    if not _beside(type(member), "compute", "value_steps") or not _is_plain(member, FeatureTransform, ("finish",)):
        return None
    return member.value_steps(like)


def _clip_step(member: nn.Module) -> Normalization | None:
    """Return the normalization that is the whole of a chain's member; None if it is another."""
    if not isinstance(member, FeatureTransform) or not _is_plain(member, FeatureTransform, (*_OF_FEATURES, "finish")):
        return None
    return member.clip_step() if _beside(type(member), "compute", "clip_step") else None


def _is_plain(member: nn.Module, base: type[Transform | FeatureTransform], names: Iterable[str]) -> bool:
    """Return whether a chain's member is unseen and has these functions from a base class of ours."""
    return is_unseen(member) and all(getattr(type(member), name) is getattr(base, name) for name in names)


def _beside(kind: type, name: str, other: str) -> bool:
    """Return whether the class that gives a chain's member one function, or one derived from it, gives the other."""
    for base in kind.__mro__:
        if other in vars(base):
            return base is not FeatureTransform
        if name in vars(base):
            return False
    return False
