"""What the demo shows and leaves behind: progress bars, a table, metrics.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class EpochBars:
    """Progress bar per epoch in the demo's report, with loss and accuracy.

    Args:
        progress: Where the bars are drawn.
        epochs: How many there will be.
    """

    def __init__(self, progress: Progress, epochs: int) -> None:
        self._progress = progress
        self._epochs = epochs
        self._task: Any = None

    def epoch(self, number: int, batches: int) -> None:
        """Begin the progress bar of an epoch in the demo's report, counted from 1."""
        width = len(str(self._epochs))
        self._task = self._progress.add_task(f"epoch {number:{width}}/{self._epochs}", total=batches, figures="")

    def batch(self, loss: float, accuracy: float) -> None:
        """Report a batch as done on the demo's progress bar, with loss and accuracy."""
        self._progress.update(self._task, advance=1, figures=f"loss {loss:.3f}  accuracy {100 * accuracy:5.1f} %")


class Report:
    """Report of the demo to the user on standard output.

    Args:
        console: Where to write; None makes one.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = Console(highlight=False) if console is None else console

    def say(self, text: str) -> None:
        """Write a line of the demo's report as it is."""
        self._console.print(text, markup=False, soft_wrap=True)

    def follow(self, paths: Iterable[Path], total: int, doing: str) -> None:
        """Report the demo's files that are being written, with a progress bar.

        Args:
            paths: Yields a path when its file is done.
            total: How many there will be.
            doing: Stands before the bar.
        """
        with self._progress(doing) as progress:
            task = progress.add_task(doing, total=total, figures="")
            for _ in paths:
                progress.advance(task)

    @contextmanager
    def epochs(self, count: int) -> Iterator[EpochBars]:
        """Show a progress bar per epoch of the demo in a ``with`` block of its report.

        Args:
            count: How many epochs there will be.
        """
        with self._progress("epoch") as progress:
            yield EpochBars(progress, count)

    def table(self, metrics: Mapping[str, Any]) -> None:
        """Show the demo's results in a table at the end of its report.

        Args:
            metrics: As `audiofeed.demo.run` gathers them.
        """
        from rich.table import Table

        table = Table(title="audiofeed demo", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column(justify="right")
        right, clips = metrics["test_right"], metrics["test_clips"]
        table.add_row("test accuracy", f"{100 * metrics['accuracy']:.1f} %", f"{right} of {clips} clips")
        table.add_row("training speed", f"{metrics['clips_per_second']:,.0f} clips/s", "")
        table.add_row("", f"{metrics['audio_seconds_per_second']:,.0f} s of audio/s", "", end_section=True)
        seconds, shares = metrics["training_seconds_by_part"], metrics["training_percent_by_part"]
        for name in seconds:
            table.add_row(name, f"{shares[name]:.1f} %", f"{seconds[name]:.2f} s", end_section=name == "other")
        table.add_row("training", "100.0 %", f"{metrics['seconds']['training']:.2f} s", end_section=True)
        for name, beside in metrics["seconds_beside_the_model"].items():
            table.add_row(f"beside it: {name}", "", f"{beside:.2f} s", end_section=name == "features")
        table.add_row("all, from the scan on", "", f"{metrics['seconds']['total']:.2f} s")
        self._console.print(table)
        self.say(metrics["bottleneck"])

    def _progress(self, doing: str) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        return Progress(*columns, console=self._console, refresh_per_second=5)


def write_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    """Write the results that the demo reports as JSON, whole or not at all.

    Args:
        metrics: What `json` can hold.
        path: The file; its folder exists.

    Raises:
        OSError: The file cannot be written.
    """
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(metrics, indent=2) + "\n")
    os.replace(partial, path)
