"""Settings of a logarithm that transforms share: its kind, floor and range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from audiofeed.arguments.checks import (
    check_choice,
    check_floor,
    check_not_negative,
    check_top_db,
)
from audiofeed.arguments.setting_groups import argument, settle
from audiofeed.methods.decibels import LOGS, Log


class LogOptions(TypedDict, total=False):
    """Keyword arguments for the logarithm settings that transforms share."""

    log: str
    offset: float
    floor: float
    top_db: float | None


@dataclass(frozen=True, kw_only=True)
class Logarithm:
    """Settings that transforms share for a logarithm that is finite for silence."""

    log: str = argument("ln", 'the logarithm: "ln", "log10" or "db" (decibels).')
    offset: float = argument(0.0, "added before the logarithm, >= 0.")
    floor: float = argument(
        1e-10, "the smallest value the logarithm sees, > 0; at or below it the gradient is 0. Silence is log(floor)."
    )
    top_db: float | None = argument(
        None,
        'with log="db": nothing lies more than this below the clip\'s own peak, >= 0, whatever else is in the batch; '
        "None: no limit.",
    )

    def __post_init__(self) -> None:
        check_choice("log", self.log, LOGS)
        check_not_negative("offset", self.offset)
        check_floor("floor", self.floor)
        if self.top_db is not None and self.log != "db":
            raise ValueError(
                f"top_db={self.top_db!r} must be None with log={self.log!r}: it limits decibels; use log='db', or pass "
                "top_db=None"
            )
        check_top_db(self.top_db)
        settle(self, offset=float(self.offset), floor=float(self.floor))

    def step(self, power: float) -> Log:
        """Return the logarithm of values of |z|^power by the settings of transforms; decibels are those of |z|^2."""
        return Log(self.log, floor=self.floor, power=power)
