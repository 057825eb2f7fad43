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
    floor: float | None
    top_db: float | None
    top: float | None


@dataclass(frozen=True, kw_only=True)
class Logarithm:
    """Settings that transforms share for a logarithm that is finite for silence."""

    log: str = argument("ln", 'the logarithm: "ln", "log10", "db" (decibels) or "log1p" (ln(1 + x)).')
    offset: float = argument(0.0, "added before the logarithm and its floor, >= 0.")
    floor: float | None = argument(
        1e-10,
        "the smallest value the logarithm sees (of 1 + x with log1p), > 0; at or below it the gradient is 0. Silence "
        "is log(floor), or log(offset) if that is more. None or 0: none, for an offset > 0 or log1p.",
    )
    top_db: float | None = argument(
        None,
        'with log="db": nothing lies more than this below the clip\'s own peak, >= 0, whatever else is in the batch; '
        "None: no limit.",
    )
    top: float | None = argument(
        None,
        "as top_db, for any logarithm and in its own unit, >= 0: 8.0 with log10 is what Whisper has; None: no limit.",
    )

    def __post_init__(self) -> None:
        check_choice("log", self.log, LOGS)
        check_not_negative("offset", self.offset)
        floor = 0.0 if self.floor is None else self.floor
        if floor != 0:
            check_floor("floor", floor)
        elif not (self.offset > 0 or self.log == "log1p"):
            raise ValueError(
                f"floor={self.floor!r} must be a number > 0 with offset={self.offset!r} and log={self.log!r}: the "
                "logarithm of silence would be infinite; give an offset, or a floor such as 1e-10"
            )
        if self.top_db is not None and self.log != "db":
            raise ValueError(
                f"top_db={self.top_db!r} must be None with log={self.log!r}: it limits decibels; use log='db', or pass "
                "top_db=None"
            )
        check_top_db(self.top_db)
        if self.top is not None:
            check_not_negative("top", self.top, "None is no limit")
        if self.top is not None and self.top_db is not None:
            raise ValueError(
                f"top={self.top!r} must be None with top_db={self.top_db!r}: both limit the range below the clip's "
                "peak; pass top_db=None"
            )
        settle(self, offset=float(self.offset), floor=float(floor))

    def step(self, power: float) -> Log:
        """Return the logarithm of values of |z|^power by the settings of transforms; decibels are those of |z|^2."""
        return Log(self.log, floor=self.floor or 0.0, power=power, offset=self.offset)

    @property
    def range(self) -> float | None:
        """Range below each clip's peak by the logarithm settings of transforms, in its unit; None: no limit."""
        return self.top_db if self.top is None else self.top
