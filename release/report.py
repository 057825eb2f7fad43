"""The report of a release: a table of the environments, and all that was found in them as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from release.environments import Outcome

_COLUMNS = ("python", "torch", "numpy", "torchaudio", "librosa", "llvmlite")


def write(outcomes: Sequence[Outcome], folder: Path, version: str) -> Path:
    """Write `matrix.json` and `matrix.md`; return the latter.

    Args:
        outcomes: What came of each environment.
        folder: Where to.
        version: Of the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "audiofeed": version,
        "system": f"{platform.system()}, {platform.machine()}",
        "environments": [asdict(outcome) for outcome in outcomes],
    }
    (folder / "matrix.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    path = folder / "matrix.md"
    path.write_text(as_markdown(outcomes, version, said["system"]), encoding="utf-8")
    return path


def as_markdown(outcomes: Sequence[Outcome], version: str, system: str) -> str:
    """Return the table of a release's environments, as Markdown."""
    head = ["environment", *_COLUMNS, "seconds", "outcome"]
    lines = [
        f"# audiofeed {version} in clean environments",
        "",
        f"Written by `make release`, on {system}. The seconds include the installation.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]
    for one in outcomes:
        outcome = f"{one.state}: {one.reason}" if one.reason else one.state
        cells = [one.name, *(one.versions.get(name, "-") for name in _COLUMNS), f"{one.seconds:.0f}", outcome]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    steps = {step["step"]: step for outcome in outcomes for step in outcome.steps}
    lines += ["", "Tried in each: " + ", ".join(name.replace("_", " ") for name in steps) + ".", ""]
    return "\n".join(lines)
