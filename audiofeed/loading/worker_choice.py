"""How many workers a feed takes: asked for, or chosen by a measurement of its first batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

# batches by which loading is compared with the step, after one to warm up
MEASURED = 8
# with loading up to this share of the step, it hides behind it
_HIDES = 0.9
# with fewer cores than this, processes take from the step what they give
_FEW_CORES = 4
# the most that are started without being asked for
_MOST = 16


@dataclass(frozen=True)
class WorkerChoice:
    """Choice of a feed's workers, with the reason.

    Args:
        workers: Number of processes; 0 for none.
        threads: Whether the loop's own process reads ahead in a thread, where there are no workers.
        reason: One line.
    """

    workers: int
    threads: bool
    reason: str


def check_workers(workers: Any) -> int | Literal["auto", "threads"]:
    """Check a feed's argument `workers`, and return it.

    Raises:
        ValueError: It is neither an integer of at least 0, nor "auto", nor "threads".

    >>> check_workers("auto"), check_workers(2)
    ('auto', 2)
    """
    is_number = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 0
    if not is_number and workers not in ("auto", "threads"):
        raise ValueError(
            f"workers={workers!r} must be an integer of at least 0, 'auto' or 'threads'; 0 makes no processes"
        )
    return workers


def choose_workers(
    *, load: float, work: float, step: float, cores: int, threads: bool, batches: int = MEASURED, draws: bool = False
) -> WorkerChoice:
    """Choose a feed's workers by what its first batches took without any.

    Args:
        load: Seconds that a batch takes to load in this process.
        work: Seconds of one core that it takes, in however many threads.
        step: Seconds of the loop's own step on a batch.
        cores: Cores that this process may use.
        threads: Whether batches are loaded in a thread beside the step.
        batches: Number of batches measured, for the reason.
        draws: Whether loading draws from the random numbers of the process, which processes would draw otherwise.

    Returns:
        The choice, with the figures that it is made by.

    >>> choose_workers(load=0.1, work=0.1, step=0.02, cores=8, threads=True).workers
    5
    >>> choose_workers(load=0.1, work=0.1, step=0.2, cores=8, threads=True).workers
    0
    """
    figures = f"a batch loads in {1000 * load:.1f} ms beside a step of {1000 * step:.1f} ms, over {batches} batches"
    beside = "in a thread beside the step" if threads else "in the loop"
    if draws:
        reason = f"{figures}; it draws from this process's random numbers, and workers would draw others"
        return WorkerChoice(0, threads, f"workers='auto' loads in the loop: {reason}")
    if cores < _FEW_CORES:
        reason = f"{figures}; processes of their own would take from the step the cores that they need ({cores} there)"
        return WorkerChoice(0, threads, f"workers='auto' loads {beside}: {reason}")
    if threads and load <= _HIDES * step:
        return WorkerChoice(0, threads, f"workers='auto' loads {beside}: {figures}, and hides behind it")
    if not threads and load < 0.05 * step:
        return WorkerChoice(0, threads, f"workers='auto' loads {beside}: {figures}, which is little")
    needed = math.ceil(work / max(step, 1e-6)) if step else _MOST
    workers = max(1, min(needed, cores - 1, _MOST))
    return WorkerChoice(workers, False, f"workers='auto' takes {workers} of {cores} cores as workers: {figures}")
