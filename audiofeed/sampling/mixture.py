"""Several datasets as one in sampling/, in given shares, with the name of its source in every example."""

from __future__ import annotations

import dataclasses
import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from audiofeed.arguments.checks import check_choice, check_positive
from audiofeed.data.example import AudioExample
from audiofeed.data.keys import ExampleKey, carry_keys, key_of, parts_within, radix_of, repeats_apart
from audiofeed.data.targets.classes import check_alike, member_datasets
from audiofeed.sampling.draws import repeats_of
from audiofeed.sampling.sources import Source, changes_of, column_of, digest, takes_keys
from audiofeed.sampling.streams import check_epoch, permutation

_PASS = 6  # the purpose of a random stream
_MOST_DRAWS = 2**32
_WARNED = -(2**62)
_UNTIL = ("first", "all", "longest")


@dataclasses.dataclass(frozen=True, slots=True)
class SourcedItem:
    """Item of a mixture's member that is neither an `AudioExample` nor a dict, with the name of the member.

    `GPUSpecCollate` and `PadCollate` read the item as if it stood alone and add the field.

    Args:
        item: The member's item.
        source: Name of the member.
        field: Name of the field that holds it.

    >>> SourcedItem(5, "noise").source
    'noise'
    """

    item: Any
    source: str
    field: str = "source"


class Mixture(Dataset[Any]):
    """Several datasets as one map-style dataset, each with its share of an epoch.

    An epoch has a whole number of draws of each dataset, in `counts`, the same in every epoch. Each of its clips comes
    equally often: where a dataset has more clips than draws, one epoch goes on with those that the last left out;
    where it has fewer, clips come again, with repeat numbers and so with other crops.

    It goes into any sampler of audiofeed, and by its length into a plain `DataLoader(shuffle=True)`; call `set_epoch`
    there, which passes the epoch on to the members. An example has the name of its dataset in its fields, so that it
    arrives as `batch.fields["source"]`. A dict of somebody else's dataset gets it as a further entry, and any other
    item comes as a `SourcedItem`.

    Args:
        datasets: Two or more datasets, by name or in a list, which is named "0", "1" and so on.
        weights: Share of each dataset among the draws, by name or in order, numbers > 0 in any unit; None for shares by
            size.
        until: When an epoch ends: "first", when the first dataset has been gone through, so that none is repeated;
            "all", when all have been; "longest", when the one of most clips has been.
        temperature: Shares are the sizes to the power of 1 / temperature, > 0: 1 for the sizes themselves, more for
            shares more alike. Instead of weights; None for 1.
        seed: Seed of the choice where a dataset has more clips than draws.
        field: Name of the field for the source.

    Raises:
        ValueError: There are less than two datasets, one is empty, weights do not fit them or come with a temperature,
            an epoch would have 2**32 draws or more, `until` is unknown, two datasets number their classes differently,
            or a dataset is a mixture with the same `field`.
        TypeError: `datasets` is one dataset, or nothing that holds some.

    >>> mixture = Mixture({"music": [1, 2, 3, 4], "noise": [5]}, weights={"music": 2, "noise": 1}, until="all")
    >>> mixture, mixture[5]
    (Mixture(6 draws: 4 of 'music' (4 clips), 2 of 'noise' (1 clip)),
     SourcedItem(item=5, source='noise', field='source'))
    """

    def __init__(
        self,
        datasets: Mapping[str, Any] | Sequence[Any],
        *,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        until: str = "first",
        temperature: float | None = None,
        seed: int = 0,
        field: str = "source",
    ) -> None:
        if isinstance(datasets, (Dataset, str, bytes)) or not isinstance(datasets, Iterable):
            raise TypeError(
                f"datasets is a {type(datasets).__name__} and must be two or more datasets, by name or in a list, such "
                "as Mixture({'music': music, 'noise': noise})"
            )
        named = (
            datasets if isinstance(datasets, Mapping) else {str(number): each for number, each in enumerate(datasets)}
        )
        self.datasets = {str(name): carry_keys(dataset) for name, dataset in named.items()}
        if len(self.datasets) < 2:
            raise ValueError(f"datasets has {len(self.datasets)} entries; a mixture needs two or more")
        self._sizes = np.array([len(dataset) for dataset in self.datasets.values()], dtype=np.int64)
        if not self._sizes.all():
            empty = list(self.datasets)[int(np.argmin(self._sizes))]
            raise ValueError(f"the dataset {empty!r} is empty; leave it out of the mixture")
        self.until = check_choice("until", until, _UNTIL)
        self.seed = operator.index(seed)
        self.field = field
        self._shares = self._read_shares(weights, temperature)
        self._draws = self._count_draws()
        self._ends = np.cumsum(self._draws)
        self._sources = [Source(dataset, name, lengths="known") for name, dataset in self.datasets.items()]
        self._keyed = [takes_keys(dataset) for dataset in self.datasets.values()]
        self._names = list(self.datasets)
        self._check_fields()
        # how often a clip may come in an epoch: a piece of two passes may have it twice
        rounds, rest = np.divmod(self._draws, self._sizes)
        self._rounds = (
            rounds + np.where(rest == 0, 0, np.where(self._sizes % np.maximum(rest, 1) == 0, 1, 2))
        ).tolist()
        self._members = self._told_apart()
        self._changes = bool(rest.any()) or any(map(changes_of, self._members))
        self.classes = self._common_classes()
        # shared, so that a worker that is already running sees a new epoch
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._asked = torch.zeros((), dtype=torch.int64).share_memory_()
        self._plan: tuple[int, list[tuple[np.ndarray, np.ndarray]]] | None = None

    def _check_fields(self) -> None:
        """Check that no member is a mixture itself that gives its items the same field."""
        for name, dataset in self.datasets.items():
            waiting, seen = [dataset], set()
            while waiting:
                item = waiting.pop()
                if id(item) in seen:
                    continue
                seen.add(id(item))
                if isinstance(item, Mixture) and item.field == self.field:
                    raise ValueError(
                        f"the dataset {name!r} is a mixture, whose items have {self.field!r} already; pass another "
                        "name for the source's field, such as Mixture(field='group')"
                    )
                waiting += parts_within(item)

    def _told_apart(self) -> list[Any]:
        """Return the mixture's members, those that hold the same examples such that they draw other repeats of them."""
        members = list(self.datasets.values())
        radices = [rounds * radix_of(member) for rounds, member in zip(self._rounds, members, strict=True)]
        apart = repeats_apart(members, radices)
        # an outer dataset that holds the same examples elsewhere tells its parts apart by it
        self.draw_radix = apart[0][0] * radices[0]
        self._apart = apart
        return members

    def _read_shares(self, weights: Any, temperature: float | None) -> np.ndarray:
        """Return the share of each member of the mixture, their sum 1."""
        if weights is None:
            power = 1.0 / check_positive("temperature", 1.0 if temperature is None else temperature)
            sizes = self._sizes.astype(np.float64)
            with np.errstate(over="ignore"):
                shares = sizes**power
            if not np.isfinite(shares.sum()):
                shares = (sizes / sizes.max()) ** power
            return shares / shares.sum()
        if temperature is not None:
            raise ValueError(
                f"temperature={temperature!r} makes shares of sizes, and weights gives them; pass only one"
            )
        if isinstance(weights, Mapping):
            odd = set(map(str, weights)) ^ set(self.datasets)
            if odd:
                raise ValueError(f"weights must name each of {list(self.datasets)}, and differs in {sorted(odd)}")
            weights = [dict(zip(map(str, weights), weights.values(), strict=True))[name] for name in self.datasets]
        if isinstance(weights, (str, bytes)) or not isinstance(weights, Iterable):
            raise ValueError(
                f"weights={weights!r} must be one number > 0 for each of {len(self.datasets)} datasets, by name or in "
                "order"
            )
        values = [check_positive(f"weights[{number}]", value) for number, value in enumerate(weights)]
        if len(values) != len(self.datasets):
            raise ValueError(f"weights has {len(values)} entries for {len(self.datasets)} datasets; give one for each")
        if np.isinf(sum(values)):
            values = [value / max(values) for value in values]
        return np.array(values) / sum(values)

    def _count_draws(self) -> np.ndarray:
        """Count the draws of each member of the mixture in an epoch."""
        with np.errstate(divide="ignore", over="ignore"):
            totals = self._sizes / self._shares
        leads = {"first": np.argmin(totals), "all": np.argmax(totals), "longest": np.argmax(self._sizes)}
        lead = int(leads[self.until])
        # a share of 1/3 of 10 is not to become 3.3333333333333335 and 4 with "all"
        with np.errstate(invalid="ignore", over="ignore"):
            exact = np.round(self._shares * totals[lead], 9)
        if not exact.sum() < _MOST_DRAWS:
            raise ValueError(
                f"until={self.until!r} with shares of {', '.join(f'{share:.3g}' for share in self._shares.tolist())} "
                "makes an epoch of 2**32 draws or more; bring the weights nearer to one another or raise the "
                "temperature, or pass until='first'"
            )
        draws = np.floor(exact) if self.until == "first" else np.ceil(exact) if self.until == "all" else np.rint(exact)
        draws[lead] = self._sizes[lead]
        return np.maximum(draws, 1).astype(np.int64)

    def _common_classes(self) -> list[str]:
        """Return the classes of the mixture's members that have some, which must be numbered alike."""
        kept: list[list[str]] = []
        for member in self._members:
            kept += [classes for each in member_datasets(member) if (classes := getattr(each, "classes", None))]
        longest = max(kept, key=len, default=[])
        for classes in kept:
            check_alike(longest, classes)
        return longest

    # the plan of an epoch

    @property
    def takes_keys(self) -> bool:
        """Whether the mixture takes a sampler's keys: always, whatever its members take."""
        return True

    @property
    def changes(self) -> bool:
        """Whether the clips of the mixture are others in every epoch, as some dataset has more than it has draws."""
        return self._changes

    def counts(self) -> dict[str, int]:
        """Return the number of draws of each dataset of the mixture in an epoch, by name."""
        return dict(zip(self._names, self._draws.tolist(), strict=True))

    def drawn(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return what an epoch draws of each dataset of the mixture.

        Args:
            epoch: Number of the epoch, 0 or more.

        Returns:
            For each dataset the index of its clip for each draw, and how often that came before in the epoch: two
            (draw,) int64 arrays. The draws of one dataset after those of another are the indices of the mixture.
        """
        plan = self._plan
        if plan is None or plan[0] != epoch:
            # threads of a loader may be in two epochs
            plan = self._plan = (epoch, [self._drawn_of(member, epoch) for member in range(len(self._members))])
        return plan[1]

    def _drawn_of(self, member: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        size, draws = int(self._sizes[member]), int(self._draws[member])
        rounds, rest = divmod(draws, size)
        index = np.tile(np.arange(size), rounds)
        repeat = np.repeat(np.arange(rounds), size)
        if rest:
            # an endless row of passes, each in an order of its own, of which every epoch takes the next piece
            begin, offset = divmod(epoch * rest, size)
            passes, places = np.divmod(np.arange(rest, dtype=np.int64) + offset, size)
            orders = {at: permutation(size, self.seed, member, begin + at, _PASS) for at in np.unique(passes).tolist()}
            piece = np.concatenate([orders[at][places[passes == at]] for at in sorted(orders)])
            index = np.append(index, piece)
            repeat = np.append(repeat, rounds + repeats_of(piece))
        return index, repeat

    def durations_in(self, epoch: int) -> np.ndarray | None:
        """Return the length in seconds of each of the mixture's examples in an epoch; None if not all are known.

        Args:
            epoch: Number of the epoch, 0 or more.
        """
        if not all(source.has_seconds for source in self._sources):
            return None
        parts = []
        for source, (index, _) in zip(self._sources, self.drawn(epoch), strict=True):
            seconds = source.seconds(epoch)
            assert seconds is not None
            parts.append(seconds[index])
        return np.concatenate(parts)

    def all_durations(self) -> np.ndarray:
        """Return the lengths in seconds of all clips of the mixture's datasets, one after the other."""
        return np.concatenate([source.longest for source in self._sources])

    def fingerprint(self) -> dict[str, Any]:
        """Return what a state keeps of the mixture, to know it again: numbers and texts by name."""
        members = [
            f"{name}:{draws} of {source.fingerprint}"
            for name, draws, source in zip(self._names, self._draws.tolist(), self._sources, strict=True)
        ]
        return {"mixture": digest(np.frombuffer("\n".join(members).encode(), np.uint8)), "mixture_seed": self.seed}

    # as a dataset

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        # a worker that is started anew computes the plan again
        return {**self.__dict__, "_plan": None}

    def __repr__(self) -> str:
        parts = [
            f"{draws} of {name!r} ({size} clip{'s' * (size != 1)})"
            for name, draws, size in zip(self._names, self._draws.tolist(), self._sizes.tolist(), strict=True)
        ]
        return f"Mixture({len(self)} draws: {', '.join(parts)})"

    @property
    def durations(self) -> np.ndarray | None:
        """Length in seconds of each of the mixture's examples in the current epoch; None if not all are known."""
        return self.durations_in(self.epoch)

    @property
    def targets(self) -> np.ndarray | None:
        """Target of each of the mixture's examples in the current epoch; None if not all datasets have targets."""
        return self.targets_in(self.epoch)

    def targets_in(self, epoch: int) -> np.ndarray | None:
        """Return the target of each of the mixture's examples in an epoch; None if not all datasets have targets.

        Args:
            epoch: Number of the epoch, 0 or more.
        """
        columns = [column_of(member, "targets", epoch) for member in self._members]
        if any(column is None for column in columns):
            return None
        pairs = zip(columns, self.drawn(epoch), strict=True)
        return np.concatenate([column[index] for column, (index, _) in pairs if column is not None])

    @property
    def epoch(self) -> int:
        """The mixture's epoch, which an index without one stands for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the mixture and of its datasets, in workers already running too.

        A sampler of audiofeed needs no such call: its keys have the epoch.

        Args:
            epoch: Number of the epoch, 0 or more.

        Raises:
            ValueError: `epoch` is negative, or 2**63 or more.
            TypeError: It is not an integer.
        """
        number = check_epoch(epoch)
        self._epoch.fill_(number)
        if int(self._asked) >= 0:
            self._asked.zero_()
        for member in self._members:
            set_epoch = getattr(member, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(number)

    def source_of(self, index: int) -> str:
        """Return the name of the dataset that an index of the mixture belongs to, in every epoch.

        Args:
            index: 0 to len - 1, or negative from the end.

        Raises:
            IndexError: `index` is out of range.
        """
        return self._names[self._split(index)[0]]

    def _split(self, index: int) -> tuple[int, int]:
        """Return the member that an index belongs to, and the number of its draw there."""
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for {len(self)} draws of a mixture")
        number %= len(self)
        member = int(np.searchsorted(self._ends, number, side="right"))
        return member, number - int(self._ends[member] - self._draws[member])

    def _key_in(self, key: Any) -> tuple[int, Any]:
        """Return the member of a key of the mixture, and the key of the member's example."""
        if not isinstance(key, tuple):
            member, draw = self._split(key)
            self._count_asked()
            return member, int(self.drawn(self.epoch)[member][0][draw])
        key = key_of(key)
        member, draw = self._split(key.example)
        index, repeat = self.drawn(key.epoch)[member]
        if not self._keyed[member]:
            return member, int(index[draw])
        # a sampler with weights may draw a draw again: its repeats count on after those of the mixture
        step, offset = self._apart[member]
        again = (key.repeat * step + offset) * self._rounds[member]
        return member, ExampleKey(key.epoch, int(index[draw]), int(repeat[draw]) + again)

    def _count_asked(self) -> None:
        """Count an example that the mixture is asked for by an index alone, and warn where an epoch is gone past."""
        if not self._changes:
            return
        asked = int(self._asked)
        if asked < 0:  # warned before, in whichever process
            return
        self._asked += 1
        # half an epoch more than one: somebody may look at a few before
        if asked < 1.5 * len(self):
            return
        self._asked.fill_(_WARNED)
        warnings.warn(
            f"a mixture of {len(self)} draws has been asked for {asked} by index in epoch {self.epoch}: every pass "
            "shows the same part of each dataset until set_epoch(n) is called. Call it before each pass, or use a "
            "sampler whose keys carry the epoch, such as EpochSampler",
            stacklevel=4,
        )

    def __getitem__(self, key: Any) -> Any:
        member, inner = self._key_in(key)
        return self._named(self._members[member][inner], member)

    def __getitems__(self, keys: Iterable[Any]) -> list[Any]:
        """Return several examples of the mixture, each dataset's by its own `__getitems__` if it has one.

        Args:
            keys: Indices or keys.
        """
        places = [self._key_in(key) for key in keys]
        found: list[Any] = [None] * len(places)
        for member, dataset in enumerate(self._members):
            numbers = [number for number, place in enumerate(places) if place[0] == member]
            inner = [places[number][1] for number in numbers]
            several = getattr(dataset, "__getitems__", None)
            items = several(inner) if several is not None and inner else [dataset[each] for each in inner]
            for number, item in zip(numbers, items, strict=True):
                found[number] = self._named(item, member)
        return found

    def _named(self, item: Any, member: int) -> Any:
        """Give an item of a member the name of its source."""
        name = self._names[member]
        held = item.fields if isinstance(item, AudioExample) else item
        if isinstance(held, Mapping) and self.field in held:
            raise ValueError(
                f"an item of the dataset {name!r} has {self.field!r} already; pass another name for the source's "
                "field, such as Mixture(field='dataset')"
            )
        if isinstance(item, AudioExample):
            return dataclasses.replace(item, fields={**item.fields, self.field: name})
        if isinstance(item, Mapping):
            return {**item, self.field: name}
        return SourcedItem(item, name, self.field)
