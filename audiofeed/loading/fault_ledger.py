"""The ledger of a feed's faults: which files could not be read, why and how often; and how many stop the feed."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch.distributed as dist

from audiofeed.arguments.checks import check_path, check_share
from audiofeed.data.errors import AudioReadError

# a share of fewer clips than these says nothing about a corpus
_FEWEST = 100
_SHOWN = 20  # faults on a page


@dataclass(frozen=True)
class Fault:
    """Fault in a feed's ledger: a file that could not be read, or an item of somebody's dataset that is none.

    Args:
        path: The file, or what the item is called; None if the error does not name it.
        offset: The first frame that was asked for, the first time; None if the whole file fails.
        cause: The reason.
        count: How often that happened.

    >>> ledger = FaultLedger()
    >>> ledger.add([AudioReadError.of("a.wav", "truncated")], clips=8)
    >>> [(fault.path, fault.cause) for fault in ledger]
    [('a.wav', 'truncated')]
    """

    path: str | None
    offset: int | None
    cause: str
    count: int = 1


class FaultLimitError(RuntimeError):
    """Error of a feed of which more clips could not be read than `max_fault_ratio` allows.

    >>> ledger = FaultLedger(max_ratio=0.01)
    >>> try:
    ...     ledger.add([AudioReadError.of("a.wav", "truncated")] * 2, clips=98)
    ... except FaultLimitError as error:
    ...     print(str(error).split(",")[0])
    2 of 100 clips asked for could not be read
    """


class FaultLedger(Sequence[Fault]):
    """Ledger of a feed's faults: a list of them, each file and cause once, in the order in which they came.

    Args:
        max_ratio: Share of the clips asked for that may fail, 0 to 1, both excluded; None for any number.
        path: A file that each fault is appended to, as a line of JSON; None for none. A disk that is full, or any
            other error in writing, is warned of once, and training goes on.

    >>> ledger = FaultLedger()
    >>> ledger.add([AudioReadError.of("a.wav", "truncated")] * 2, clips=8)
    >>> ledger[0], ledger.total
    (Fault(path='a.wav', offset=None, cause='truncated', count=2), 2)
    """

    def __init__(self, max_ratio: float | None = None, path: str | os.PathLike[str] | None = None) -> None:
        self.max_ratio = None if max_ratio is None else check_share("max_fault_ratio", max_ratio)
        self._path = None if path is None else _writable(path)
        # a file that is broken fails wherever a crop of it begins
        self._found: dict[tuple[str | None, str], Fault] = {}
        self._failed = 0
        self._asked = 0

    @overload
    def __getitem__(self, index: int) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> list[Fault]: ...
    def __getitem__(self, index: int | slice) -> Fault | list[Fault]:
        return list(self)[index]

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._found.values()))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def total(self) -> int:
        """Number of failures in the feed's ledger, each file as often as it failed."""
        return sum(fault.count for fault in self._found.values())

    @property
    def ratio(self) -> float:
        """Share of the clips that the feed asked for so far that could not be read, without those found at the scan."""
        return self._failed / self._asked if self._asked else 0.0

    def note_scan(self, faults: Iterable[Any]) -> None:
        """Write what a dataset's scan left out into the feed's ledger; it does not count as asked for."""
        self._write(faults)

    def add(self, faults: Iterable[Any], clips: int) -> None:
        """Write the faults of a batch into the feed's ledger.

        Args:
            faults: Errors of clips in whose place others were taken.
            clips: Clips of the batch.

        Raises:
            FaultLimitError: Of 100 clips or more asked for, too many could not be read.
        """
        faults = list(faults)
        self._failed += len(faults)
        self._asked += clips + len(faults)
        if faults:
            self._write(faults)
            self._check()

    def gather(self) -> list[Fault]:
        """Return the faults of all ranks, those of the same file and cause counted together; every rank must call it.

        Returns:
            This feed's own faults where torch.distributed does not run.
        """
        own = list(self)
        every: list[Any] = [own]
        if dist.is_available() and dist.is_initialized():
            every = [None] * dist.get_world_size()
            dist.all_gather_object(every, own)
        found: dict[tuple[str | None, str], Fault] = {}
        for fault in (fault for of_rank in every for fault in of_rank):
            _count(found, fault)
        return list(found.values())

    def _write(self, faults: Iterable[Any]) -> None:
        found = [_fault_of(fault) for fault in faults]
        for fault in found:
            _count(self._found, fault)
        if self._path is None or not found:
            return
        lines = "".join(json.dumps(asdict(fault)) + "\n" for fault in found)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            path, self._path = self._path, None
            warnings.warn(
                f"fault_log={str(path)!r} cannot be written: {error.strerror or error}; faults are kept in memory "
                "(feed.faults) and no more are written there",
                stacklevel=2,
            )

    def _check(self) -> None:
        if self.max_ratio is None or self._asked < _FEWEST or self.ratio <= self.max_ratio:
            return
        causes = Counter[str]()
        for fault in self:
            causes[fault.cause] += fault.count
        cause, often = causes.most_common(1)[0]
        first = next(fault for fault in self if fault.cause == cause)
        raise FaultLimitError(
            f"{self._failed} of {self._asked} clips asked for could not be read, {100 * self.ratio:.1f} %, and "
            f"max_fault_ratio={self.max_ratio:g} allows {100 * self.max_ratio:g} %; most often ({often} times) "
            f"{cause!r}, first of {first.path!r}; the others are in feed.faults: repair or remove the files, or raise "
            "max_fault_ratio"
        )

    def __repr__(self) -> str:
        return f"FaultLedger({self._counts()})"

    def _counts(self) -> str:
        faults, failures = len(self), self.total
        return f"{faults} fault{'s' * (faults != 1)}, {failures} failure{'s' * (failures != 1)}"

    def _repr_html_(self) -> str:
        """Return the page that a notebook shows of a fault ledger: its first faults, escaped."""
        from audiofeed.drawing.pages import guarded, page, table

        heads = ("times", "path", "offset", "cause")

        def rows(ledger: FaultLedger) -> list[tuple[object, ...]]:
            shown = itertools.islice(ledger, _SHOWN)
            return [(fault.count, fault.path, fault.offset, fault.cause) for fault in shown]

        return guarded(self, lambda ledger: page("FaultLedger", ledger._counts(), table(rows(ledger), heads)))


def _count(found: dict[tuple[str | None, str], Fault], fault: Fault) -> None:
    """Count a fault among those of the ledger that were found before."""
    before = found.get((fault.path, fault.cause))
    found[fault.path, fault.cause] = fault if before is None else replace(before, count=before.count + fault.count)


def _fault_of(error: Any) -> Fault:
    if isinstance(error, AudioReadError):
        return Fault(error.path, error.offset, error.cause or str(error))
    return Fault(None, None, f"{type(error).__name__}: {error}")


def _writable(path: str | os.PathLike[str]) -> Path:
    """Check that faults can be written to a path before any is there, and return it."""
    log = Path(check_path("fault_log", path, "a file that faults are written to"))
    folder = log.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"fault_log={str(log)!r} cannot be written: make the folder {str(folder)!r} first")
    if log.is_dir() or not os.access(log if log.exists() else folder, os.W_OK):
        why = "it is a folder" if log.is_dir() else "this process may not write there"
        raise PermissionError(f"fault_log={str(log)!r} cannot be written: {why}; give another file")
    return log
