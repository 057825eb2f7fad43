"""The pictures of the performance page, drawn from benchmarks/results when a build begins."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
OURS = "#00224e"  # cividis' dark end, for what is ours
THEIRS = "#a59c74"  # and its light half, for what is not
MARKS = "os^DvPX*<>"


def _figure(rows: int = 1, columns: int = 1, *, height: float) -> Any:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    return plt.subplots(rows, columns, figsize=(8, height), layout="constrained", squeeze=False)


def _plain(axis: Any, steps: tuple[int, ...]) -> None:
    """Ticks of a logarithmic axis at these steps of each decade, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def speed_and_error(path: Path) -> None:
    """Log-mel: the time of each library against its error, a picture for each setting."""
    results = json.loads((RESULTS / "features_cpu.json").read_text())["results"]
    figure, grid = _figure(len(results), height=2.9 * len(results))
    for axes, result in zip(grid[:, 0], results, strict=True):
        for mark, (name, milliseconds) in zip(MARKS, result["median_ms"].items(), strict=False):
            color = OURS if name.startswith("audiofeed") else THEIRS
            axes.plot(milliseconds, result["max_error_nats"][name], mark, color=color, markersize=8, label=name)
        axes.set(title=result["setting"], xscale="log", yscale="log", ylabel="largest error (nats)")
        errors = [result["max_error_nats"][name] for name in result["median_ms"]]
        axes.set_ylim(10 ** math.floor(math.log10(min(errors) / 1.5)), 10 ** math.ceil(math.log10(max(errors) * 1.5)))
        axes.margins(x=0.1)
        _plain(axes.xaxis, (1, 2, 5))
        axes.grid(True, which="major", alpha=0.3)
    grid[-1, 0].set_xlabel("median time (ms)")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def cost_and_length(path: Path) -> None:
    """A constant-Q transform: milliseconds for each second of audio against the length of the clip."""
    text = (RESULTS / "constant_q_scaling.md").read_text()
    rows = re.findall(r"^\| (\d+) s \| [\d.]+ ms \| ([\d.]+) ms \|.*\| (\d+) MB \|", text, re.MULTILINE)
    seconds, cost, memory = zip(*[[float(cell) for cell in row] for row in rows], strict=True)
    figure, grid = _figure(2, height=4.6)
    for axes, values, label in zip(
        grid[:, 0], (cost, memory), ("ms for a second of audio", "peak memory (MB)"), strict=True
    ):
        axes.plot(seconds, values, "o-", color=OURS)
        axes.set(xscale="log", ylabel=label, ylim=(0, 1.15 * max(values)))
        axes.set_xticks(seconds, [f"{second:g}" for second in seconds])
        axes.minorticks_off()
        axes.grid(True, alpha=0.3)
    grid[-1, 0].set_xlabel("length of the clip (s)")
    figure.savefig(path, dpi=110)


def catalogue(path: Path) -> None:
    """How many times audiofeed's time the fastest other library takes, for each transform and setting."""
    results = json.loads((RESULTS / "catalogue_cpu.json").read_text())["results"]
    fastest: dict[str, tuple[float, str]] = {}
    for result in results:
        ours = [name for name in result["ratio"] if name in result["baselines"] or name.startswith("our ")]
        peers = {name: times for name, times in result["ratio"].items() if name not in ours}
        if peers:
            name = min(peers, key=peers.__getitem__)
            known = fastest.get(result["transform"])
            if known is None or peers[name] < known[0]:
                fastest[result["transform"]] = (peers[name], name)
    order = sorted(fastest, key=lambda transform: fastest[transform][0])
    figure, grid = _figure(height=0.26 * len(order) + 1)
    axes = grid[0, 0]
    axes.barh(order, [fastest[transform][0] for transform in order], color=THEIRS)
    for place, transform in enumerate(order):
        times, name = fastest[transform]
        axes.text(times * 1.05, place, f"{times:.1f} ({name})", va="center", fontsize=8)
    axes.axvline(1, color=OURS, linewidth=3)
    axes.set(
        xscale="log", xlabel="times audiofeed's time (at the setting where it is least)", ylim=(-0.6, len(order) - 0.4)
    )
    times = [times for times, _ in fastest.values()]
    axes.set_xlim(min(1, *times), 3 * max(times))
    _plain(axes.xaxis, (1, 2, 5))
    figure.savefig(path, dpi=110)


def draw(folder: Path) -> None:
    """Draw all pictures into a folder."""
    from matplotlib import pyplot as plt

    folder.mkdir(exist_ok=True)
    for make in (speed_and_error, cost_and_length, catalogue):
        make(folder / f"{make.__name__}.png")
    plt.close("all")


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw when a build begins."""
    app.connect("builder-inited", lambda app: draw(Path(app.srcdir) / "drawn"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
