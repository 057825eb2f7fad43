"""Augmentations one after another, one of several, and some of the time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from audiofeed.arguments.checks import is_number, shortened
from audiofeed.augment.contract.augmentation import STAGES, Augmentation, Fetch, Stage, is_empty, with_steps
from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clip_checks import checked_clips
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws, member_draws, member_seeds, stream_seeds
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.methods.lengths import clear_past


def as_augmentation(given: Any, name: str = "augment") -> Augmentation:
    """Return an augmentation of any form that a collate takes as one of ours.

    Args:
        given: An `Augmentation`; or a callable of (waveforms, lengths, seeds) that returns waveforms of the same shape;
            or a callable of one argument, which is called with `Clips` and returns them.
        name: Name of the argument, for the error.

    Raises:
        TypeError: It is not callable.

    >>> as_augmentation(lambda waveforms, lengths, seeds: -waveforms)(torch.ones(1, 2)).tolist()
    [[-1.0, -1.0]]
    """
    if isinstance(given, Augmentation):
        return given
    if not callable(given) or isinstance(given, type):
        remedy = ""
        if isinstance(given, list | tuple):
            remedy = "; several of them: audiofeed.augment.Compose([...])"
        elif isinstance(given, type):
            remedy = f"; make one: {given.__name__}(...)"
        raise TypeError(
            f"{name}={given!r} must be an augmentation, or callable as augment(waveforms, lengths, seeds) or, with "
            f"audiofeed.augment.Clips, as augment(clips){remedy}"
        )
    in_full = _takes_one(given)
    if not in_full:
        _check_arguments(given, name)
    return Given(given, in_full=in_full)


def _check_arguments(given: Callable[..., Any], name: str) -> None:
    """Check that a function or module given as an augmentation can be called with three arguments."""
    try:
        signature = inspect.signature(given.forward if isinstance(given, torch.nn.Module) else given)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise TypeError(
            f"{name}={shortened(given)} takes {signature}, and is called as augment(waveforms, lengths, seeds); wrap "
            "it: lambda waveforms, lengths, seeds: own(waveforms)"
        ) from error


def _takes_one(given: Callable[..., Any]) -> bool:
    """Return True if a function given as an augmentation takes one argument, and no more where it is positional."""
    try:
        called = given.forward if isinstance(given, torch.nn.Module) else given
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    # a module of one argument takes a tensor, unless it says that it takes clips
    named = not isinstance(given, torch.nn.Module) or any(p.name in ("clips", "batch") for p in positional)
    return len(positional) == 1 and named


class Given(Augmentation):
    """Augmentation by a function or module of somebody's own.

    Args:
        function: Callable as `as_augmentation` takes it.
        in_full: Whether it is called with `Clips`.

    >>> Given(lambda clips: clips, in_full=True).changes >= {"targets", "lengths"}
    True
    """

    def __init__(self, function: Callable[..., Any], *, in_full: bool) -> None:
        super().__init__()
        self.function = function
        self.in_full = in_full
        if in_full:
            self.changes = frozenset({"waveforms", "lengths", "targets", "fields"})

    def run(self, clips: Clips, gate: torch.Tensor | None = None, stage: Stage | None = None) -> Clips:
        """Call the function of this augmentation, in evaluation mode too: it decides for itself."""
        if stage not in (None, "waveforms") or (gate is not None and is_empty(gate)):
            return clips
        return self._in_full(clips, gate) if self.in_full else self._of_waveforms(clips, gate)

    def called(self, waveforms: torch.Tensor, lengths: torch.Tensor, seeds: torch.Tensor | None) -> torch.Tensor:
        """Call the function of this augmentation with a batch's waveforms, and check what it returns.

        Args:
            waveforms: (batch, [channel,] time).
            lengths: (batch,) samples.
            seeds: (batch,), or None where nothing gives them.

        Raises:
            ValueError: It returns anything but a tensor of the waveforms' shape.

        Returns:
            What it returns, 0 past each clip's end.
        """
        found = self.function(waveforms, lengths, seeds)
        if not isinstance(found, torch.Tensor) or found.shape != waveforms.shape:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(
                f"augment returned {got}; it must return waveforms of the shape it was given, "
                f"{tuple(waveforms.shape)}: pad or crop the result, or take one argument, clips, and return "
                "clips.with_values(waveforms=..., lengths=...)"
            )
        # levels of what follows are measured over the clip alone
        return clear_past(found, lengths)

    def _of_waveforms(self, clips: Clips, gate: torch.Tensor | None) -> Clips:
        found = self.called(clips.waveforms, clips.lengths, clips.seeds)
        return clips.with_values(waveforms=found) if gate is None else clips.put(gate, found)

    def _in_full(self, clips: Clips, gate: torch.Tensor | None) -> Clips:
        try:
            found = self.function(clips)
        except (TypeError, AttributeError) as error:
            if "Clips" not in str(error):
                raise
            raise TypeError(
                f"{shortened(self.function)} takes one argument, which is audiofeed.augment.Clips and no tensor "
                f"({error}); let it take (waveforms, lengths, seeds) and return waveforms, or use clips.waveforms and "
                "return clips.with_values(waveforms=...)"
            ) from error
        if not isinstance(found, Clips):
            raise TypeError(
                f"augment returned {type(found).__name__}; a callable of one argument is given audiofeed.augment.Clips "
                "and must return them, as clips.with_values(waveforms=...)"
            )
        if found.waveforms.shape[0] != clips.batch or found.lengths.shape != clips.lengths.shape:
            raise ValueError(
                f"augment returned waveforms {tuple(found.waveforms.shape)} and lengths {tuple(found.lengths.shape)} "
                f"for {clips.batch} clips; each clip must keep its row"
            )
        if gate is not None:
            raise TypeError(
                f"{self.function!r} takes clips in full, and cannot be a member of OneOf or Sometimes, which leave "
                "clips out: let it take (waveforms, lengths, seeds), or derive it from audiofeed.augment.Augmentation"
            )
        _check_targets(found, clips)
        found = checked_clips(found)
        return found.with_values(waveforms=clear_past(found.waveforms, found.lengths))


def _check_targets(found: Clips, clips: Clips) -> None:
    """Check that the targets that a function given as an augmentation returns are one for each clip."""
    if not isinstance(found.targets, torch.Tensor) or found.targets is clips.targets:
        return
    if found.targets.shape[:1] != (clips.batch,):
        raise ValueError(
            f"augment returned targets of shape {tuple(found.targets.shape)} for {clips.batch} clips; each clip must "
            "keep its row"
        )


@dataclass(frozen=True)
class FetchOfMembers:
    """What reads for the members of a composed augmentation, in a worker.

    Args:
        members: One for each member; None for one that reads nothing.
    """

    members: tuple[Fetch | None, ...]

    def __call__(self, seeds: torch.Tensor, lengths: torch.Tensor, rate: int | None, channels: int | None) -> list[Any]:
        """Read for each member of the composed augmentation, by the seeds it will have."""
        return [
            None if fetch is None else fetch(stream_seeds(seeds, place), lengths, rate, channels)
            for place, fetch in enumerate(self.members)
        ]


class Composed(Augmentation):
    """Augmentation made of others, its members; the base of `Compose`, `OneOf` and `Sometimes`.

    Args:
        members: Augmentations, or callables as a collate takes them.
        p: Probability that a clip is augmented at all, 0 to 1.
    """

    def __init__(self, members: Sequence[Any], p: float = 1.0) -> None:
        if not isinstance(members, Iterable) or isinstance(members, Mapping | str):
            raise TypeError(
                f"{type(self).__name__}'s members={shortened(members)} must be a list of augmentations: "
                f"{type(self).__name__}([...])"
            )
        super().__init__(p)
        own = [as_augmentation(member, f"{type(self).__name__}'s member {i}") for i, member in enumerate(members)]
        if not own:
            raise ValueError(f"{type(self).__name__} has no members; give it one augmentation or more")
        self.members = torch.nn.ModuleList(own)
        order = [sorted(STAGES.index(stage) for stage in member.stages) for member in own]
        self._check_order(order)
        self.changes = frozenset().union(*(member.changes for member in own))
        self.follows = any(member.follows for member in own)
        self.alone = all(member.alone for member in own)
        self.always = any(member.always for member in own)

    def _check_order(self, order: list[list[int]]) -> None:
        """Check that no member of the composed augmentation works on what comes before what an earlier one has."""

    @property
    def stages(self) -> frozenset[Stage]:
        """What the members of this augmentation work on."""
        return frozenset().union(*(member.stages for member in self._own()))

    def fetcher(self) -> Fetch | None:
        """Return what reads for the members of this augmentation, in a worker."""
        each = tuple(member.fetcher() for member in self._own())
        return None if all(fetch is None for fetch in each) else FetchOfMembers(each)

    def run(self, clips: Clips, gate: torch.Tensor | None = None, stage: Stage | None = None) -> Clips:
        """Augment the clips of a batch by the members of this augmentation."""
        if not self.training or self.p == 0 or clips.batch == 0:
            return clips
        seeds, fetched = clips.seeds, clips.fetched
        steps: list[RowStep] = []
        for member, own, given, draws in self._given(clips, gate):
            planned = member.planned(given, own, stage, draws)
            if planned is not None:
                # steps in a row are done at once, while a clip lies in the cache
                steps += planned
                continue
            clips, steps = with_steps(clips, steps), []
            given = clips.with_values(seeds=given.seeds, fetched=given.fetched)
            clips = member.run(given, own, stage)
        return with_steps(clips, steps).with_values(seeds=seeds, fetched=fetched)

    def planned(
        self,
        clips: Clips,
        gate: torch.Tensor | None = None,
        stage: Stage | None = None,
        draws: HostDraws | None = None,
    ) -> list[RowStep] | None:
        """Return the steps of this augmentation's members, if all of them have such."""
        if type(self).run is not Composed.run:
            return None
        steps: list[RowStep] = []
        if not self.training or self.p == 0 or clips.batch == 0:
            return steps
        for member, own, given, drawn in self._given(clips, gate):
            planned = member.planned(given, own, stage, drawn)
            if planned is None:
                return None
            steps += planned
        return steps

    def _given(
        self, clips: Clips, gate: torch.Tensor | None
    ) -> Iterator[tuple[Augmentation, torch.Tensor | None, Clips, HostDraws | None]]:
        """Return each member of this augmentation that has clips, and what it is given.

        That is the clips that it may augment (None: all), all clips, and its draws (None: it makes them itself).
        """
        members = self._own()
        drawn = member_draws(clips.seeds, [member.stream for member in members]) if may_look(clips) else None
        if drawn is None:
            each: Sequence[tuple[torch.Tensor, HostDraws | None]]
            each = [(seeds, None) for seeds in member_seeds(clips.seeds, len(members))]
        else:
            each = drawn
        for place, (member, own) in enumerate(zip(members, self._gates(clips, gate), strict=True)):
            if own is None or member.always or not is_empty(own):
                seeds, draws = each[place]
                fetched = None if clips.fetched is None else clips.fetched[place]
                yield member, own, clips.with_values(seeds=seeds, fetched=fetched), draws

    def around(self, transform: torch.nn.Module, clips: Clips, gate: torch.Tensor | None = None) -> torch.nn.Module:
        """Return the transform with this augmentation's members around it."""
        if not self.training or self.p == 0 or clips.batch == 0:
            return transform
        fetched = clips.fetched
        for place, (member, own) in enumerate(zip(self._own(), self._gates(clips, gate), strict=True)):
            given = clips.with_values(
                seeds=stream_seeds(clips.seeds, place), fetched=None if fetched is None else fetched[place]
            )
            transform = member.around(transform, given, own)
        return transform

    def _own(self) -> list[Augmentation]:
        return [cast(Augmentation, member) for member in self.members]

    def _gates(self, clips: Clips, gate: torch.Tensor | None) -> list[torch.Tensor | None]:
        """Return, for each member of this augmentation, the clips (batch,) that it may augment; None: all."""
        draws = Draws(clips.seeds, self.stream)
        active = gate
        if self.p < 1:
            drawn = draws.chosen(self.p)
            active = drawn if gate is None else gate & drawn
        return self._shares(clips, active, draws)

    def _shares(self, clips: Clips, active: torch.Tensor | None, draws: Draws) -> list[torch.Tensor | None]:
        return [active] * len(self.members)


class Compose(Composed):
    """Augmentation that applies others one after another, in the order given.

    Each draws on its own: two of the same class in one `Compose` draw apart. Augmentations of waveforms come first,
    then of filters, then of features; a collate runs the first before its transform and the last after it.

    Args:
        members: Augmentations, or callables of (waveforms, lengths, seeds), or of `Clips`.
        p: Probability that a clip is augmented at all, 0 to 1.

    Raises:
        TypeError: A member is not callable.
        ValueError: There are no members, `p` is no probability, or a member that augments waveforms stands behind one
            that augments features.

    >>> twice = Compose([lambda waveforms, lengths, seeds: 2 * waveforms] * 2)
    >>> twice(torch.ones(1, 3))
    tensor([[4., 4., 4.]])
    """

    def _check_order(self, order: list[list[int]]) -> None:
        """Check that augmentations of features come last in this one."""
        reached = 0
        for place, stages in enumerate(order):
            if stages[0] < reached:
                own = type(self.members[place]).__name__
                raise ValueError(
                    f"{type(self).__name__}'s member {place}, {own}, augments {STAGES[stages[0]]}, and stands behind "
                    f"one that augments {STAGES[reached]}: put it before that one"
                )
            reached = stages[-1]


class OneOf(Composed):
    """Augmentation that applies one of several to each clip, drawn by their weights.

    Args:
        members: Augmentations, or callables of (waveforms, lengths, seeds).
        weights: How likely each is, relative to the others, 0 or more; None: all alike.
        p: Probability that a clip is augmented at all, 0 to 1.

    Raises:
        TypeError: A member is not callable.
        ValueError: There are no members, `p` is no probability, or the weights are not one for each member, finite, 0
            or more and not all 0.

    >>> signs = OneOf([lambda w, n, s: w, lambda w, n, s: -w])(torch.ones(1000, 1))
    >>> abs(signs.mean().item()) < 0.15
    True
    """

    def __init__(self, members: Sequence[Any], *, weights: Sequence[float] | None = None, p: float = 1.0) -> None:
        super().__init__(members, p)
        given = [1.0] * len(self.members)
        if weights is not None:
            several = isinstance(weights, Iterable) and not isinstance(weights, Mapping | str)
            listed = list(weights) if several else []
            given = [float(weight) for weight in listed] if all(map(is_number, listed)) else []
        total = sum(given)
        if len(given) != len(self.members) or min(given) < 0 or not 0 < total < float("inf"):
            raise ValueError(
                f"weights={weights!r} must be one number for each of the {len(self.members)} members, 0 or more and "
                "not all 0"
            )
        self.weights = tuple(weight / total for weight in given)

    def _shares(self, clips: Clips, active: torch.Tensor | None, draws: Draws) -> list[torch.Tensor | None]:
        drawn, shares, begin = draws.uniform(), [], 0.0
        for place, weight in enumerate(self.weights):
            # the last takes what rounding leaves
            end = 2.0 if place == len(self.weights) - 1 else begin + weight
            own = (drawn >= begin) & (drawn < end) if weight else torch.zeros_like(drawn, dtype=torch.bool)
            shares.append(own if active is None else own & active)
            begin = end
        return list(shares)


class Sometimes(Composed):
    """Augmentation that applies another to some of the clips, drawn for each.

    Args:
        augmentation: An augmentation, or a callable of (waveforms, lengths, seeds).
        p: Probability that it is applied to a clip, 0 to 1.

    Raises:
        TypeError: The augmentation is not callable.
        ValueError: `p` is no probability.

    >>> flipped = Sometimes(lambda w, n, s: -w, p=0.25)(torch.ones(1000, 1))
    >>> 0.3 < flipped.mean().item() < 0.7
    True
    """

    def __init__(self, augmentation: Any, p: float = 0.5) -> None:
        super().__init__([augmentation], p)
