"""Settings that transforms share for the magnitude of a short-time spectrum: a small term under its root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from audiofeed.arguments.checks import check_not_negative
from audiofeed.arguments.setting_groups import argument, settle


class MagnitudeOptions(TypedDict, total=False):
    """Keyword argument for the magnitude settings that short-time transforms share."""

    root_offset: float


@dataclass(frozen=True, kw_only=True)
class Magnitude:
    """Settings that transforms share for the magnitude of a short-time spectrum."""

    root_offset: float = argument(
        0.0,
        "added to the squared magnitude before its root, >= 0: (re^2 + im^2 + root_offset)^(power / 2), as vocoders "
        "have it with 1e-9 and power=1.0.",
    )

    def __post_init__(self) -> None:
        settle(self, root_offset=check_not_negative("root_offset", self.root_offset, "0 adds nothing"))
