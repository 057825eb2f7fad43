"""One transform after another, each told where every clip ends."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from audiofeed.arguments.checks import warn_caller
from audiofeed.drawing.reprs import module_repr
from audiofeed.methods.lengths import clear_past
from audiofeed.transforms.compose.own_memory import carried, emphasis_for, gives_own, is_unseen, may_overwrite
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.contract.unknown_attributes import UnknownAttributeError, explained
from audiofeed.transforms.short_time.stack_frames import StackFrames
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform, transformed


class Chain(nn.Sequential):
    """Chain of transforms one after another, which knows lengths through every step.

    `torch.nn.Sequential` drops the lengths after its first member, so that deltas reach past a clip's end and a mean
    counts padding. Here each member is given the lengths of what it takes, and says those of what it gives.

    Transforms from waveforms to waveforms (`RemoveMean`, `PreEmphasis`) stand before the one that makes features of
    them; without a graph on a CPU they work clip by clip, in one pass over the batch.

    Args:
        transforms: modules; the first takes waveforms (or features, and then so does the chain). A module of another
            kind, without `frame_lengths` (a normalization layer, a convolution that keeps its frames), is called with
            the features alone, and what it puts past a clip's end is cleared.

    Returns:
        as the last gives, from as the first takes, lengths (batch,).

    Raises:
        TypeError: for a member that is no module, that takes waveforms where features come, or features where
            waveforms come.
        ValueError: without members, or with members of different sample rates; at the call, for a member without
            `frame_lengths` that changed the number of frames of a padded batch.

    Warns:
        UserWarning: for a member that takes the logarithm of the logarithms that the one before it gives.

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
            self._warn_of_logarithms(i, transforms[i - 1], transforms[i])
        self._check_rates(transforms)
        super().__init__(*transforms)

    if not TYPE_CHECKING:
        __getattr__ = explained

    _repr_html_ = module_repr

    def _check_order(self, i: int, before: nn.Module, member: nn.Module) -> None:
        takes, gives = _taken(member), _given(before)
        if takes is None or takes in gives:
            return
        remedy = (
            f"put {type(member).__name__} first"
            if takes == "waveforms"
            else "put a transform that makes features of them between the two"
        )
        raise TypeError(
            f"Chain's member {i}, {type(member).__name__}, takes {takes}, and member {i - 1}, "
            f"{type(before).__name__}, gives {gives[0]}; {remedy}"
        )

    def _warn_of_logarithms(self, i: int, before: nn.Module, member: nn.Module) -> None:
        """Warn of a chain's member that takes the logarithm of logarithms."""
        first = member[0] if isinstance(member, Chain) else member
        last = before[-1] if isinstance(before, Chain) else before
        again = isinstance(first, FeatureTransform) and first.gives_logarithms
        if again and getattr(last, "gives_logarithms", False):
            warn_caller(
                f"Chain's member {i}, {type(first).__name__}, takes the logarithm of what member {i - 1}, "
                f"{type(last).__name__}, gives, and these are logarithms already; leave one of the two out, or put a "
                "MelSpectrogram in place of a LogMelSpectrogram"
            )

    def _check_rates(self, transforms: tuple[nn.Module, ...]) -> None:
        """Check that a chain's members say one sample rate, as far as none between them may change it."""
        first: tuple[int, Any] | None = None
        for i, member in enumerate(transforms):
            if not isinstance(member, Transform | FeatureTransform | Chain):
                first = None  # a module of another kind may resample
                continue
            if "waveforms" in _given(member) and not getattr(member, "keeps_rate", False):
                first = None  # as a transform that gives waveforms may
                continue
            rate = getattr(member, "sample_rate", None)
            if rate is None:
                continue
            if first is not None and rate != first[1]:
                name, before = type(member).__name__, type(transforms[first[0]]).__name__
                raise ValueError(
                    f"Chain's member {i}, {name}, has sample_rate={rate!r}, and member {first[0]}, {before}, has "
                    f"sample_rate={first[1]!r}; give both the sample rate of the waveforms"
                )
            first = (i, rate)

    @property
    def sample_rate(self) -> Any:
        """Sample rate of a chain of transforms in Hz, as the first member that needs one says; None where none does.

        After a member that may change the rate, which a module of another kind may, no member is asked.
        """
        for member in self:
            rate = getattr(member, "sample_rate", None)
            if rate is not None or not getattr(member, "keeps_rate", False):
                return rate
        return None

    @property
    def keeps_rate(self) -> bool:
        """True if a chain of transforms gives waveforms of the sample rate that it takes, as all its members do."""
        return all(getattr(member, "keeps_rate", False) for member in self)

    @property
    def adds_padding(self) -> bool:
        """True if a chain of transforms gives frames that are not the clips' own, as a member's padding is."""
        return any(getattr(member, "adds_padding", False) for member in self)

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

    def centers(self, n_frames: int) -> Any:
        """Return the center of each frame of a chain in samples, as the member says that makes frames of waveforms.

        Shape: (n_frames,).
        """
        framer, stacks, moved = self._framer(), self._stacks(), self._moved()
        if not stacks:
            centers = framer.centers(n_frames)
            return centers + moved if moved else centers
        # frames come at even distances, and so do stacks of them
        first, second = framer.centers(2).tolist()
        frames = torch.arange(n_frames, dtype=torch.float64)
        for stack in reversed(stacks):
            frames = stack.sources(frames)
        return first + moved + frames * (second - first)

    def times(self, n_frames: int) -> Any:
        """Return the center of each frame of a chain in seconds, as the member says that makes frames of waveforms.

        Shape: (n_frames,).
        """
        if self._stacks() or self._moved():
            return self.centers(n_frames) / self._framer().rate("times")
        return self._framer().times(n_frames)

    def _stacks(self) -> list[StackFrames]:
        """Return what makes one frame of several, in order, behind the member of a chain that makes the frames."""
        found: list[StackFrames] = []
        for member in self:
            if member is self._framer():
                found = []
            elif isinstance(member, Chain):
                found += member._stacks()
            elif isinstance(member, StackFrames):
                found.append(member)
        return found

    def _moved(self) -> float:
        """Return the sample of a chain's waveform that its framing member is given first: below 0 after zeros."""
        moved = 0.0
        framer = None if self.keeps_rate else self._framer()
        for member in self:
            if member is framer:
                break
            if isinstance(member, Chain):
                moved += member._moved()
            elif isinstance(member, WaveformTransform):
                moved += member.first_center
        return moved

    def _framer(self) -> Any:
        """Return the member of a chain that makes the frames: the last transform from waveforms to features."""
        framers = [m for m in self if _taken(m) == "waveforms" and not getattr(m, "keeps_rate", False)]
        return framers[-1] if framers else self[0]

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
        done, result = self._waveform_steps(input, lengths), input
        if done > 1:
            steps = [step for step in itertools.islice(self, done) if isinstance(step, WaveformTransform)]
            result = transformed(steps, input, lengths)
            if lengths is None and any(step.adds_padding for step in steps):
                lengths = _whole(input.shape[0] if input.dim() > 1 else 1, input.shape[-1], input.device)
            for step in steps:
                lengths = None if lengths is None else step.frame_lengths(lengths)
        return self._features(done if done > 1 else 0, result, lengths)

    def _features(self, first: int, result: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Apply the members of a chain of transforms from number `first` on, without copies that nobody would see."""
        # `own`: nobody else holds the result
        i, own = first, False
        members = list(self)  # a chain finds one by its number in the time that a short step takes
        while i < len(members):
            member, given = members[i], result
            if torch.compiler.is_compiling() or not isinstance(given, torch.Tensor):
                result, lengths = self._step(i, given, lengths)
                i += 1
                continue
            emphasis = emphasis_for(member, members[i + 1] if i + 1 < len(members) else None, given, lengths)
            at = i if emphasis is None else i + 1
            along = carried(members[at], members[at + 1 :], given)
            if along.members or emphasis is not None:
                time = given.shape[-1] - (0 if emphasis is None else emphasis.dropped)
                framer: Any = members[at]
                frames = framer.framing.count(time)
                width = 0 if along.padding is None else along.padding.width_for(frames)
                result = framer.carrying(
                    given,
                    lengths,
                    along.steps,
                    emphasis,
                    normalization=along.normalization,
                    by_bin=along.by_bin,
                    width=width,
                )
                for done in range(i, at + 1):
                    lengths = None if lengths is None else result_lengths(members[done], lengths)
                result = along.finish(result, frames, lengths)
                if along.padding is not None:
                    if lengths is None and along.padding.adds_padding:
                        lengths = _whole(given.shape[0] if given.dim() > 1 else 1, frames, given.device)
                    lengths = None if lengths is None else along.padding.frame_lengths(lengths)
                i, own = at + 1 + along.members, True
                continue
            result, lengths = self._step(i, given, lengths, own=own and may_overwrite(member, given))
            i, own = i + 1, gives_own(member, given, result, own=own)
        return result

    def _waveform_steps(self, input: torch.Tensor, lengths: torch.Tensor | None) -> int:
        """Return how many of a chain's first members are waveform steps to be taken in one pass."""
        if torch.compiler.is_compiling() or not isinstance(input, torch.Tensor) or input.device.type != "cpu":
            return 0
        count = 0
        for member in self:
            # a hook is to see what its own member takes and gives
            if not isinstance(member, WaveformTransform) or not is_unseen(member):
                break
            count += 1
        if 0 < count < len(self) and input.is_floating_point():
            # the last may be computed with the frames
            last = emphasis_for(self[count - 1], self[count], input, lengths)
            count -= last is not None
        return count

    def after_first(self, result: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Apply a chain's other members to the result of its first; `lengths` are those that the first was given."""
        if lengths is not None:
            lengths = result_lengths(self[0], lengths)
        return self._features(1, result, lengths)

    def _step(
        self, i: int, given: torch.Tensor, lengths: torch.Tensor | None, *, own: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Apply one member of a chain of transforms, and return its result and the lengths of that.

        Args:
            own: it may write over what it is given.
        """
        member = self[i]
        if own and isinstance(member, FeatureTransform):
            result = member.run(given, lengths, own=True)
        elif isinstance(member, FeatureTransform):
            result = member(given, lengths=lengths)
        elif hasattr(member, "frame_lengths"):
            result = member(given, lengths)
        else:
            result = member(given)
        if lengths is None and getattr(member, "adds_padding", False):
            # from here on a clip ends before its last frame
            clips = given.shape[0] if given.dim() > (1 if _taken(member) == "waveforms" else 2) else 1
            lengths = _whole(clips, given.shape[-1], given.device)
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


def _taken(member: nn.Module) -> str | None:
    """Return what a chain's member takes, "waveforms" or "features"; None for a module that does not say."""
    if isinstance(member, Chain):
        return _taken(member[0])
    if isinstance(member, FeatureTransform):
        return "features"
    return "waveforms" if isinstance(member, Transform) else None


def _given(member: nn.Module) -> tuple[str, ...]:
    """Return what a chain's member gives; rows of samples, such as those of band filters, count as features too."""
    if isinstance(member, Chain):
        return _given(member[-1])
    if isinstance(member, WaveformTransform | ToWaveform):
        return ("waveforms",)
    if isinstance(member, Transform | FeatureTransform) and not member.gives_waveforms:
        return ("features",)
    return ("waveforms", "features")


def _whole(clips: int, length: int, device: torch.device) -> torch.Tensor:
    """Return the lengths of a chain's clips that reach to the end.  Shape: -> (clips,)."""
    return torch.full((clips,), length, device=device)
