"""The base of all samplers in sampling/: epochs, ranks, a state that resumes on any number of ranks, iteration."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from audiofeed.arguments.checks import check_switch, warn_caller
from audiofeed.data.keys import ExampleKey
from audiofeed.sampling.dealing import Batches, Spare, Steps, deal
from audiofeed.sampling.ranks import check_dealt_once, check_rank, check_same, current_rank
from audiofeed.sampling.sources import Source
from audiofeed.sampling.streams import check_epoch

_STEPS = 2  # the purpose of a random stream: the order of steps
_VERSION = 1


@dataclass(frozen=True)
class Place:
    """Place in the plan of a sampler: an epoch, and how many steps were taken on how many ranks, one after the other.

    Args:
        epoch: The epoch, 0 or more.
        taken: (world size, steps) pairs, in order.

    >>> Place(3, ((2, 10),)).on(2, 5), Place(3, ((2, 10),)).on(4, 5)
    (Place(epoch=3, taken=((2, 15),)), Place(epoch=3, taken=((2, 10), (4, 5))))
    """

    epoch: int
    taken: tuple[tuple[int, int], ...] = ()

    def on(self, world_size: int, steps: int) -> Place:
        """Return the sampler's place after further steps on a number of ranks."""
        if not steps:
            return self
        taken = self.taken
        if taken and taken[-1][0] == world_size:
            taken, steps = taken[:-1], steps + taken[-1][1]
        return Place(self.epoch, (*taken, (world_size, steps)))


class PlannedSampler(Sampler[Any]):
    """Base of the samplers: what an epoch draws is a plan, computed from the lengths, the settings, seed and epoch.

    A plan is the same in every process, whoever computes it, and a state is a place in it. So the rest of an epoch can
    be dealt to another number of ranks than its beginning, and every clip still comes exactly once.

    Which epoch an iteration gives:

    - the one that `set_epoch` set, until it was handed out to its end (so an iteration that is left in the middle
      begins again);
    - where nobody sets epochs, the next with every `iter()`, whether or not the last was iterated to its end;
    - after `load_state_dict`, the rest of the epoch that the state was saved in; if nothing was left of it, the next
      (of an `EvaluationSampler`, the same again). `set_epoch` of that same epoch keeps the place.

    An iterator takes its epoch when it is asked for its first item, and keeps its own place from then on, so that
    several may be under way. `len` is the number of steps of the whole epoch on this rank.

    Args:
        source: The clips.
        settings: What the plan depends on, by name: plain numbers and texts, kept in the state.
        seed: Seed of the plan, any integer; the same on all ranks.
        shuffle: Whether steps come in random order.
        drop_last: As in the samplers.
        rank: Number of this process, or None for that of torch.distributed whenever it is needed.
        world_size: Number of processes, or None likewise.

    Raises:
        ValueError: `rank` or `world_size` is out of range, or one is given without the other.
        TypeError: `seed` is not an integer.
    """

    # what comes after an epoch: the next, or for evaluation the same again
    _moves_on = True
    # whether an item is a key, or a list of keys
    _single = False
    _spare: Spare = "repeat"

    def __init__(
        self,
        source: Source,
        *,
        settings: Mapping[str, Any],
        seed: int,
        shuffle: bool,
        drop_last: bool,
        rank: int | None,
        world_size: int | None,
    ) -> None:
        try:
            self.seed = operator.index(seed)
        except TypeError as error:
            raise TypeError(f"seed={seed!r} must be an integer, the same on all ranks") from error
        for name, switch in (("shuffle", shuffle), ("drop_last", drop_last)):
            check_switch(name, switch)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self._source = source
        self._settings = {
            "sampler": type(self).__name__,
            **settings,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "seed": self.seed,
        }
        self._given_rank = check_rank(rank, world_size)
        self._next = 0
        self._set = False  # whether set_epoch set the epoch to come
        self._epoch = 0
        self._loaded: Place | None = None
        self._iterator: PlanIterator | None = None
        self._kept: tuple[Any, Steps] | None = None
        self._kept_batches: tuple[int, Batches] | None = None
        self._warned = False
        # datasets behind wrappers that pass no keys on, which a loader has found: they are told the epoch
        self._followers: tuple[Any, ...] = ()

    # the plan

    def _batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, before they are dealt: a pure function of the sampler's settings."""
        raise NotImplementedError

    def _steps(self, place: Place, world_size: int) -> Steps:
        """Return the steps that follow a place; its last segment is gone through again if it has this world size."""
        key = (place, world_size)
        kept = self._kept
        if kept is not None and kept[0] == key:
            return kept[1]
        planned = self._kept_batches
        if planned is None or planned[0] != place.epoch:
            planned = self._kept_batches = (place.epoch, self._batches(place.epoch))
        batches = planned[1]
        steps = self._deal(batches, world_size, place.epoch, 0)
        for segment, (ranks, taken) in enumerate(place.taken):
            if segment or ranks != world_size:
                steps = self._deal(batches, ranks, place.epoch, segment)
            if taken > len(steps.table):
                raise ValueError(
                    f"the state has {taken} steps on {ranks} ranks in epoch {place.epoch}, and there are "
                    f"{len(steps.table)}; it was saved by another version of the plan"
                )
            batches = steps.after(taken)
            if segment + 1 == len(place.taken) and ranks == world_size:
                steps = Steps(steps.batches, steps.table[taken:], steps.filled)
            elif segment + 1 == len(place.taken):
                steps = self._deal(batches, world_size, place.epoch, segment + 1)
        self._kept = (key, steps)
        return steps

    def _deal(self, batches: Batches, world_size: int, epoch: int, segment: int) -> Steps:
        stream = (self.seed, _STEPS, epoch, segment) if self.shuffle else None
        spare: Spare = "drop" if self.drop_last else self._spare
        return deal(batches, world_size, stream=stream, drop_first=self.drop_last and not segment, spare=spare)

    # epochs

    @property
    def epoch(self) -> int:
        """The sampler's epoch: that of its latest iterator, or the one that `set_epoch` or a state has set since."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.set_epoch(epoch)

    @property
    def sampler(self) -> PlannedSampler:
        """The sampler itself: Lightning and Accelerate look there for the `set_epoch` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the sampler's next iteration; the place in a state that was loaded for it is kept.

        Args:
            epoch: Number of the epoch, 0 or more.

        Raises:
            ValueError: `epoch` is negative, or 2**63 or more.
            TypeError: It is not an integer.
        """
        number = check_epoch(epoch)
        loaded = self._loaded
        if loaded is not None and loaded.epoch != number:
            if loaded.taken and number != loaded.epoch + 1:
                warn_caller(
                    f"set_epoch({number}) drops the place that a state was loaded for, in epoch {loaded.epoch}; after "
                    f"a resume, call set_epoch({loaded.epoch})"
                )
            self._loaded = None
        if self._iterator is not None and self._iterator.place is not None and self._iterator.place.epoch != number:
            self._iterator = None
        self._next = self._epoch = number
        self._set = True

    def _coming(self) -> Place:
        """Return the place at which an iterator would begin now."""
        if self._loaded is None:
            return Place(self._next)
        if (self._moves_on and self._set) or not self._is_over(self._loaded):
            return self._loaded
        # of an evaluation nothing comes after its epoch but the same again
        return Place(self._loaded.epoch + self._moves_on)

    def _is_over(self, place: Place) -> bool:
        return bool(place.taken) and not len(self._steps(place, place.taken[-1][0]).table)

    def _begin(self, place: Place) -> None:
        """Note that an iterator has begun at a place."""
        self._loaded = None
        self._epoch = place.epoch
        if not self._set or self._next != place.epoch:
            self._next, self._set = place.epoch + self._moves_on, False
        for follower in self._followers:
            follower.set_epoch(place.epoch)

    def _end(self, epoch: int) -> None:
        """Note that an iterator has handed out the last of an epoch."""
        if self._set and self._next == epoch and self._moves_on:
            self._next, self._set = epoch + 1, False

    # iteration

    def __iter__(self) -> PlanIterator:
        check_dealt_once(current_rank(self._given_rank)[1], type(self).__name__)
        self._iterator = PlanIterator(self)
        return self._iterator

    def __len__(self) -> int:
        place = self._coming()
        if self._iterator is not None and self._loaded is None:
            place = self._iterator.start
        rank, world_size = current_rank(self._given_rank)
        column = self._steps(place, world_size).table[:, rank]
        return sum(steps for _, steps in place.taken) + int((column >= 0).sum())

    def check_ranks(self) -> None:
        """Check that the samplers of all ranks were made from the same clips and settings and are at the same place.

        Ranks that scan their files by themselves may find other lists (a file that one of them cannot read is enough),
        and would then draw some clips twice and others never. Call it on every rank, once the process group runs.

        Raises:
            ValueError: Some ranks differ from rank 0; all ranks raise it.
        """
        place = self._coming()
        check_same({**self._source.fingerprint, **self._settings, "place": (place.epoch, place.taken)})

    # state

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Return the sampler's place in its plan, the same on all ranks after the same step.

        Args:
            taken: How many items the training has taken of the latest iterator since that began or was resumed; None
                for as many as it handed out. A loader that fetches ahead, as one with workers does, knows how many of
                them were used.

        Returns:
            A dict that JSON can hold, of a few hundred bytes.

        Raises:
            ValueError: `taken` is negative, or more than were handed out.
        """
        if self._iterator is None or self._loaded is not None:
            return self._state_of(self._coming(), 0, taken)
        return self._iterator.state_dict(taken)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state: the sampler's next iteration gives the rest of that epoch, on any number of ranks.

        Args:
            state_dict: What `state_dict` returned, on any rank.

        Raises:
            ValueError: The state was saved with other clips or settings; the message names what differs.
        """
        place = self._place_of(state_dict)
        self._loaded = place
        self._next = self._epoch = place.epoch
        self._set = False

    def _state_of(self, place: Place, handed: int, taken: int | None, world_size: int = 1) -> dict[str, Any]:
        if taken is not None and not 0 <= operator.index(taken) <= handed:
            raise ValueError(f"taken={taken} must be 0 to {handed}, which this iterator has handed out")
        place = place.on(world_size, handed if taken is None else operator.index(taken))
        return {
            "version": _VERSION,
            "epoch": place.epoch,
            "taken": [list(segment) for segment in place.taken],
            "data": dict(self._source.fingerprint),
            "settings": dict(self._settings),
        }

    def _place_of(self, state: Mapping[str, Any]) -> Place:
        """Return the place of a state, checked against this sampler."""
        try:
            version, epoch, taken = state["version"], state["epoch"], state["taken"]
            theirs = {**state["data"], **state["settings"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"the state is none of a {type(self).__name__}: {error!r} while reading it") from error
        ours = {**self._source.fingerprint, **self._settings}
        differs = [
            f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}"
            for name in {**theirs, **ours}
            if theirs.get(name) != ours.get(name)
        ]
        if version != _VERSION:
            differs.insert(0, f"version was {version!r} and is {_VERSION!r}")
        if differs:
            raise ValueError(
                f"the state does not fit this {type(self).__name__}: {'; '.join(differs)}. Resume with the clips and "
                "settings that it was saved with, or begin an epoch with set_epoch"
            )
        try:
            pairs = tuple((operator.index(ranks), operator.index(steps)) for ranks, steps in taken)
            place = Place(check_epoch(epoch), pairs)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the state is none of a {type(self).__name__}: epoch={epoch!r}, taken={taken!r}: {error}"
            ) from error
        if any(ranks < 1 or steps < 0 for ranks, steps in place.taken):
            raise ValueError(
                f"the state is none of a {type(self).__name__}: taken={taken!r} must be pairs of a number of ranks, 1 "
                "or more, and a number of steps, 0 or more"
            )
        return place

    def __getstate__(self) -> dict[str, Any]:
        # a copy begins where this one would begin next; plans are computed again
        return {**self.__dict__, "_iterator": None, "_kept": None, "_kept_batches": None, "_followers": ()}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._settings.items() if name != "sampler")
        return f"{type(self).__name__}({self._source.clips} clips, {shown})"


class PlanIterator(Iterator[Any]):
    """Iterator over a sampler's steps on one rank, with a state of its own.

    Args:
        sampler: The sampler, asked for the epoch when the first item is.
    """

    def __init__(self, sampler: PlannedSampler) -> None:
        self._sampler = sampler
        self.place: Place | None = None
        self._start: Place | None = None
        self._handed = 0
        self._world_size = 1
        self._batches: Batches | None = None
        self._column = np.zeros(0, dtype=np.int64)

    @property
    def start(self) -> Place:
        """The place at which the sampler's iterator began."""
        return self.place if self.place is not None else self._sampler._coming()

    def __iter__(self) -> PlanIterator:
        return self

    def _begin(self, place: Place) -> None:
        sampler = self._sampler
        rank, self._world_size = current_rank(sampler._given_rank)
        steps = sampler._steps(place, self._world_size)
        if not len(steps.table) and not place.taken:
            raise ValueError(
                f"drop_last=True leaves no step of epoch {place.epoch} for {self._world_size} ranks; use fewer ranks "
                "or smaller batches, or keep what is short"
            )
        if steps.filled and not sampler._warned:
            sampler._warned = True
            warn_caller(
                f"{steps.filled} clips are drawn again at the end of epoch {place.epoch}, under further repeat "
                f"numbers, so that all {self._world_size} ranks take the same number of steps; drop_last=True leaves "
                "clips out instead"
            )
        column = steps.table[:, rank]
        self._batches, self._column = steps.batches, column[column >= 0]
        self.place, self._handed = place, 0
        sampler._begin(place)
        if not len(self._column):
            sampler._end(place.epoch)

    def __next__(self) -> Any:
        if self.place is None:
            self._begin(self._sampler._coming())
        assert self.place is not None
        assert self._batches is not None
        if self._handed >= len(self._column):
            raise StopIteration
        indices, repeats = self._batches.clips(int(self._column[self._handed]))
        self._handed += 1
        if self._handed == len(self._column):
            self._sampler._end(self.place.epoch)
        epoch = self.place.epoch
        items: list[Any] = indices
        if self._sampler._source.with_keys:
            items = [ExampleKey(epoch, index, repeat) for index, repeat in zip(indices, repeats, strict=True)]
        return items[0] if self._sampler._single else items

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Return the place of this iterator in the sampler's plan.

        Args:
            taken: As in the sampler's `state_dict`.
        """
        return self._sampler._state_of(self.start, self._handed, taken, self._world_size)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with this iterator from a state of the sampler.

        Args:
            state_dict: As in the sampler's `load_state_dict`.

        Raises:
            ValueError: The state was saved with other clips or settings.
        """
        self._begin(self._sampler._place_of(state_dict))
