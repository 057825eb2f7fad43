"""How much memory is free for a dataset's decoded clips, in a container too."""

from __future__ import annotations

import os
import re
from pathlib import Path

# names of the limit and of the use, in a control group of version 2 and in one of version 1
_GROUPS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def free_memory(meminfo: str = "/proc/meminfo", groups: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """Return the bytes of memory that a dataset's clips can take before something else must go.

    What the system calls available, or less where a control group, as of a container or a job, leaves less. Files that
    the system keeps in memory for its own use count as free. Elsewhere than on Linux: half of all memory.

    Args:
        meminfo: The kernel's file of memory figures.
        groups: Where control groups are mounted.
        own: The kernel's file that names this process's control groups.

    Returns:
        Bytes, 0 or more.

    >>> free_memory() > 0
    True
    """
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path(meminfo).read_text())
    except OSError:
        found = None
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for folder in _folders(groups, own):
        for limit, use in _GROUPS:
            try:
                most, used = (folder / limit).read_text().strip(), int((folder / use).read_text())
                cached = re.search(r"^(?:total_)?inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.M)
            except (OSError, ValueError):
                continue
            if most.isdigit():  # "max" is no limit
                free = min(free, int(most) - used + (int(cached[1]) if cached else 0))
    return max(0, free)


def _folders(groups: str, own: str) -> list[Path]:
    """Return the folders of the control groups that bound this process's memory, as far as they can be seen."""
    roots = [Path(groups), Path(groups) / "memory"]
    try:
        lines = Path(own).read_text().splitlines()
    except OSError:
        return roots
    found = list(roots)
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds in ("", "memory"):
            inside = Path(path.lstrip("/"))
            for part in [inside, *inside.parents]:
                found.append(roots[kinds == "memory"] / part)
    return list(dict.fromkeys(found))
