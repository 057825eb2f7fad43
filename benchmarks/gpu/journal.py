"""What a run has found so far, in a file: a card or a process lost in one check loses no other check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of JSON lines, one for each step: a start that finds it goes on after its last line.

    Args:
        path: The file; None keeps nothing.
        run: What is run; a file of another run is begun anew.
    """

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        self._path = path
        self._lines: list[dict[str, Any]] = []
        if path is None:
            return
        if path.exists():
            self._lines = _read(path)
        if not self._lines or self._lines[0] != {"run": run}:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")
            self._lines = []
            self._write({"run": run})

    def begin(self, section: str, name: str) -> None:
        """A check begins."""
        self._write({"begin": [section, name]})

    def check(self, found: dict[str, Any], elapsed: float) -> None:
        """A check ended with this; `elapsed` seconds of the run are spent."""
        self._write({"check": found, "elapsed": elapsed})

    def start(self, section: str) -> None:
        """A section starts."""
        self._write({"start": section})

    def finish(self, section: str, tables: dict[str, Any]) -> None:
        """A section is done, or given up; `tables` are what it measured."""
        self._write({"finish": section, "tables": tables})

    def remove(self) -> None:
        """The run is at its end: the results hold everything."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks that ended, in their order."""
        return [line["check"] for line in self._lines if "check" in line]

    @property
    def cut_off(self) -> tuple[str, str] | None:
        """Section and name of the check in which the process ended, if it did."""
        last: tuple[str, str] | None = None
        for line in self._lines:
            if "begin" in line:
                last = (line["begin"][0], line["begin"][1])
            elif "check" in line and (line["check"]["section"], line["check"]["name"]) == last:
                last = None
        return last

    @property
    def elapsed(self) -> float:
        """Seconds of the run that were spent at the last check."""
        return max((line["elapsed"] for line in self._lines if "elapsed" in line), default=0.0)

    @property
    def started(self) -> set[str]:
        """Sections that started."""
        return {line["start"] for line in self._lines if "start" in line}

    @property
    def finished(self) -> dict[str, dict[str, Any]]:
        """The tables of each section that is done or given up."""
        return {line["finish"]: line["tables"] for line in self._lines if "finish" in line}

    def _write(self, line: dict[str, Any]) -> None:
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _read(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:  # the last line of a process that ended in the middle of it
            break
    return lines
