"""A check runs, is measured against its tolerance, and is kept whatever happens; the next one runs all the same."""

from __future__ import annotations

import faulthandler
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gpu.journal import Journal

ROOT = Path(__file__).resolve().parents[2]

PASS, FAIL, SKIP, INFO = "pass", "fail", "skip", "info"


@dataclass(frozen=True)
class Measure:
    """One error beside what it may be."""

    what: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within its tolerance; a NaN is not."""
        return self.error <= self.tolerance

    @property
    def share(self) -> float:
        """The error as a share of its tolerance."""
        if self.error == 0:
            return 0.0
        return self.error / self.tolerance if self.tolerance > 0 else float("inf")

    def __str__(self) -> str:
        return f"{self.what}: {self.error:.2e} (at most {self.tolerance:.2e})"


@dataclass
class Check:
    """One named check with all that it measured."""

    section: str
    name: str
    status: str = PASS
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def within(self, what: str, error: float, tolerance: float) -> None:
        """Keep an error, and fail where it is beyond its tolerance or NaN."""
        measure = Measure(what, float(error), float(tolerance))
        self.measures.append(measure)
        if not measure.ok:
            self.problem(str(measure))

    def expect(self, ok: bool, problem: str) -> None:
        """Fail, saying why, where something that must hold does not."""
        if not ok:
            self.problem(problem)

    def problem(self, text: str) -> None:
        """Fail with this reason, and go on."""
        self.problems.append(text)
        self.status = FAIL

    def note(self, text: str) -> None:
        """Keep a fact that decides nothing."""
        self.notes.append(text)

    @contextmanager
    def needing_scipy(self) -> Iterator[None]:
        """Build in the body what may need scipy for its filters: without scipy the check is skipped, saying so."""
        try:
            yield
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("scipy"):
                raise
            self.skip("its filters need scipy, which is not here")

    def skip(self, reason: str) -> None:
        """Say why this could not be checked here."""
        self.status = SKIP
        self.notes.append(reason)

    def inform(self) -> None:
        """Decide nothing: what was found wrong is reported and does not fail the run."""
        self.notes.extend(self.problems)
        self.problems, self.status = [], INFO

    @property
    def worst(self) -> Measure | None:
        """The measure that comes nearest to its tolerance, or exceeds it most."""
        # a NaN compares with nothing, and is the worst there can be
        return max(self.measures, key=lambda m: m.share if m.share == m.share else float("inf"), default=None)

    def as_dict(self) -> dict[str, Any]:
        """What the results file keeps."""
        worst = self.worst
        return {
            "section": self.section,
            "name": self.name,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "measures": len(self.measures),
            "worst": None if worst is None else {**worst.__dict__, "ok": worst.ok},
            "problems": self.problems,
            "notes": self.notes,
        }

    def as_kept(self) -> dict[str, Any]:
        """All of it, for a journal."""
        return {**self.__dict__, "measures": [measure.__dict__ for measure in self.measures]}

    @staticmethod
    def restored(kept: dict[str, Any]) -> Check:
        """The check that was kept."""
        return Check(**{**kept, "measures": [Measure(**measure) for measure in kept["measures"]]})


class DeviceLostError(RuntimeError):
    """The device answers no more in this process; a new process may have it again."""


def _placed(text: str) -> str:
    """A traceback whose files are named from the repository or the installed packages on, not from a machine's root."""
    for folder in (ROOT, Path(torch.__file__).parents[1]):
        text = text.replace(f"{folder}{os.sep}", "")
    return text


class Recorder:
    """Keeps every check, prints progress with the time since the start, and knows when the time is spent.

    Args:
        budget: Seconds for the whole run.
        say: Prints a line.
        journal: Keeps the same in a file; what it holds already is taken over.
        probe: Raises where the device answers no more; asked after a check that failed.
        hangs_after: Seconds after which a check hangs: the process prints its stacks and ends.
    """

    def __init__(
        self,
        budget: float,
        say: Callable[[str], object] = print,
        *,
        journal: Journal | None = None,
        probe: Callable[[], object] = lambda: None,
        hangs_after: float | None = None,
    ) -> None:
        self.budget = budget
        self._say = say
        self._probe = probe
        self._hangs_after = hangs_after
        self._journal = journal or Journal(None, {})
        self.checks = [Check.restored(found) for found in self._journal.checks]
        self._start = time.perf_counter() - self._journal.elapsed
        cut_off = self._journal.cut_off
        if cut_off is not None:
            lost = Check(*cut_off)
            lost.problem("the process ended in this check: it crashed, or hung and was ended")
            self._keep(lost)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def has_time(self, reserve: float = 0.0) -> bool:
        """Whether at least `reserve` seconds of the budget are left."""
        return self.elapsed + reserve < self.budget

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        self._say(f"[{self.elapsed:6.1f} s] {text}")

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == FAIL]

    @contextmanager
    def check(self, section: str, name: str, *, loud: bool = True) -> Iterator[Check]:
        """Run the body as one check; whatever it raises is that check's failure and nobody else's.

        Args:
            section: The part of the run it belongs to.
            name: What is checked.
            loud: Print a line for it even where it passes.
        """
        check = Check(section, name)
        self._journal.begin(section, name)
        if self._hangs_after is not None:  # one timer: each check sets it anew
            faulthandler.dump_traceback_later(self._hangs_after, exit=True)
        started = time.perf_counter()
        try:
            yield check
        except DeviceLostError:
            raise
        except Exception:  # noqa: BLE001  a failed check is recorded with its traceback, and the others still run
            check.problem(_placed(traceback.format_exc().strip()))
        check.seconds = time.perf_counter() - started
        self._keep(check)
        if check.status == FAIL:
            self.say(f"FAIL {section}: {name}: {check.problems[0].splitlines()[-1]}")
        elif loud:
            worst = check.worst
            detail = [] if worst is None else [f"worst {worst}"]
            self.say("; ".join([f"{check.status:4} {section}: {name}", *detail, *check.notes]))
        if check.status == FAIL:
            try:
                self._probe()
            except Exception as error:
                raise DeviceLostError(f"after {section}: {name}") from error

    def has(self, section: str, name: str) -> bool:
        """Whether a process before this one has checked it."""
        return any(check.section == section and check.name == name for check in self.checks)

    def _keep(self, check: Check) -> None:
        self.checks.append(check)
        self._journal.check(check.as_kept(), self.elapsed)
