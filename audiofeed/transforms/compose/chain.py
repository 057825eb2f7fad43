"""One transform after another, each told where every clip ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from audiofeed.methods.lengths import clear_past
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.contract.unknown_attributes import UnknownAttributeError, explained


class Chain(nn.Sequential):
    """Chain of transforms one after another, which knows lengths through every step.

    `torch.nn.Sequential` drops the lengths after its first member, so that deltas reach past a clip's end and a mean
    counts padding. Here each member is given the lengths of what it takes, and says those of what it gives.

    Args:
        transforms: modules; the first takes waveforms (or features, and then so does the chain). A module of another
            kind, without `frame_lengths` (a normalization layer, a convolution that keeps its frames), is called with
            the features alone, and what it puts past a clip's end is cleared.

    Returns:
        as the last gives, from as the first takes, lengths (batch,).

    Raises:
        TypeError: for a member that is no module, or that takes waveforms where features come.
        ValueError: without members; at the call, for a member without `frame_lengths` that changed the number of
            frames of a padded batch.

    >>> from audiofeed.transforms.auditory.decibels import AmplitudeToDB
    >>> from audiofeed.transforms.auditory.mel import MelSpectrogram
    >>> chain = Chain(MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40), AmplitudeToDB(top_db=80.0))
    >>> chain(torch.zeros(2, 1600), torch.tensor([1600, 800])).shape
    torch.Size([2, 40, 17])
    """

    def __init__(self, *transforms: nn.Module) -> None:
        for i, transform in enumerate(transforms):
            if not isinstance(transform, nn.Module):
                raise TypeError(
                    f"Chain's member {i} is a {type(transform).__name__}, and must be an nn.Module; "
                    "make a module of a function by a class with forward"
                )
        if not transforms:
            raise ValueError("Chain() must be given one transform or more")
        for i in range(1, len(transforms)):
            self._check_order(i, transforms[i - 1], transforms[i])
        super().__init__(*transforms)

    if not TYPE_CHECKING:
        __getattr__ = explained

    def _check_order(self, i: int, before: nn.Module, member: nn.Module) -> None:
        ours = isinstance(before, Transform | FeatureTransform)
        if isinstance(member, Transform) and ours and not before.gives_waveforms:
            raise TypeError(
                f"Chain's member {i}, {type(member).__name__}, takes waveforms, and member {i - 1}, "
                f"{type(before).__name__}, gives features; put {type(member).__name__} first"
            )

    @property
    def sample_rate(self) -> Any:
        """Sample rate of a chain of transforms in Hz, as its first member says; None where it does not."""
        return getattr(self[0], "sample_rate", None)

    @property
    def takes_int16(self) -> bool:
        """True if a chain of transforms takes int16 samples as they are, that is, if its first member does."""
        return bool(getattr(self[0], "takes_int16", False))

    @property
    def takes_features(self) -> bool:
        """True if a chain of transforms takes features, not waveforms, that is, if its first member does."""
        return bool(getattr(self[0], "takes_features", False))

    @property
    def frequencies(self) -> Any:
        """Hz of each bin that leaves a chain, where no member after the last with bins in Hz changes their number."""
        for i in reversed(range(len(self))):
            found = getattr(self[i], "frequencies", None)
            if found is not None:
                return found
            if not getattr(self[i], "keeps_bins", False):
                break
        raise UnknownAttributeError(
            f"frequencies is not known after {type(self[i]).__name__}, member {i} of the chain; ask the member that "
            "has them"
        )

    def times(self, n_frames: int) -> Any:
        """Return the center of each frame of a chain in seconds, as its first transform says.  Shape: (n_frames,)."""
        first: Any = self[0]
        return first.times(n_frames)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the lengths of a chain's results for clips of `lengths`, through every member transform."""
        for member in self:
            lengths = result_lengths(member, lengths)
        return lengths

    def forward(self, input: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Apply a chain of transforms to one clip or a batch, and return its last member's result.

        Args:
            input: what the first member takes.
            lengths: (batch,) samples (or frames, where the first takes features) of each clip of a padded batch.
        """
        result = input
        for i in range(len(self)):
            result, lengths = self._step(i, result, lengths)
        return result

    def after_first(self, result: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Apply a chain's other members to the result of its first; `lengths` are those that the first was given."""
        if lengths is not None:
            lengths = result_lengths(self[0], lengths)
        for i in range(1, len(self)):
            result, lengths = self._step(i, result, lengths)
        return result

    def _step(
        self, i: int, given: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Apply one member of a chain of transforms, and return its result and the lengths of that."""
        member = self[i]
        if isinstance(member, FeatureTransform):
            result = member(given, lengths=lengths)
        elif hasattr(member, "frame_lengths"):
            result = member(given, lengths)
        else:
            result = member(given)
        if lengths is None or hasattr(member, "frame_lengths"):
            return result, None if lengths is None else result_lengths(member, lengths)
        if given.shape[-1] != result.shape[-1]:
            raise ValueError(
                f"{type(member).__name__}, member {i} of the chain, made {result.shape[-1]} frames of "
                f"{given.shape[-1]}, and has no frame_lengths to say where each clip now ends; give it a method "
                "frame_lengths(lengths), or use torch.nn.Sequential, with which lengths are unknown"
            )
        return clear_past(result, lengths.to(result.device)), lengths


def result_lengths(member: nn.Module, lengths: torch.Tensor) -> torch.Tensor:
    """Return the lengths of one chain member's results; a module that does not say keeps those it is given.

    >>> result_lengths(nn.Identity(), torch.tensor([3])).tolist()
    [3]
    """
    if isinstance(member, FeatureTransform):
        return member.result_lengths(lengths)
    known = getattr(member, "frame_lengths", None)
    return lengths if known is None else known(lengths)
