"""The ranks of a distributed run scan by themselves: find out before training if their lists of files differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.distributed as dist
from torch.utils.data import get_worker_info

from audiofeed.data.errors import AudioReadError

# a message to the other ranks names this many bad files
_NAMED = 3


def check_same_list(
    source: Mapping[str, Any], fingerprint: Callable[[], str], faults: Sequence[AudioReadError]
) -> None:
    """Check that the ranks of torch.distributed that make a dataset of one source found the same list of files in it.

    No rank waits for another, so one may make a dataset that the others do not: each leaves a note in the run's store
    and compares it with the one that came first. The n-th dataset of a source is compared with the n-th of the others.
    In a worker, or where no group of processes runs, nothing is done.

    Args:
        source: What the dataset was made of, by the name of its class, then its settings; equal on all ranks that
            should find the same.
        fingerprint: Returns that of the list of clips that this rank found.
        faults: The files that this rank left out.

    Raises:
        RuntimeError: Another rank found another list. It is raised on the ranks that come later; a launcher such as
            torchrun then ends all.

    >>> check_same_list({"AudioFolder": "speech"}, lambda: "3-5d41", [])  # one process
    """
    store = _store()
    if store is None:
        return
    settings = {name: _plain(value) for name, value in source.items()}
    text = json.dumps(settings)
    number = store.add(f"audiofeed/made by {dist.get_rank()}/{text}", 1)
    key = f"audiofeed/{number}/{text}"
    left_out = [f"{fault.path!r} ({fault.cause})" for fault in faults[:_NAMED]]
    own = {"rank": dist.get_rank(), "list": fingerprint(), "left_out": left_out, "bad": len(faults)}
    first = json.loads(store.compare_set(key, "", json.dumps(own)))
    if first["list"] == own["list"]:
        return
    name, place = next(iter(settings.items()))
    raise RuntimeError(
        f"the ranks found different files in {name}({place}): {_described(own)}, {_described(first)}. They would train "
        "on some examples twice and never on others; make the files alike on all machines, or scan once and give all "
        "ranks the manifest (audiofeed scan --write)"
    )


def _store() -> Any:
    """Return the store that the ranks share for their lists of files, or None."""
    # a worker that was forked has its parent's connection, which is not its own
    if not dist.is_available() or get_worker_info() is not None or not dist.is_initialized():
        return None
    if dist.get_world_size() < 2:
        return None
    try:
        return dist.distributed_c10d._get_default_store()
    except (AttributeError, RuntimeError, ValueError):  # a backend without one, such as MPI
        return None


def _plain(setting: Any) -> str:
    """Return a setting of a dataset as a text that is the same on all ranks that have it."""
    text = repr(setting)
    # an address differs in every process
    return f"{type(setting).__name__} {getattr(setting, '__qualname__', '')}" if " at 0x" in text else text


def _described(note: dict[str, Any]) -> str:
    """Describe the list of files that a rank found."""
    count = note["list"].partition("-")[0]
    if not note["bad"]:
        return f"rank {note['rank']} has {count} examples"
    more = ", ..." if note["bad"] > len(note["left_out"]) else ""
    return f"rank {note['rank']} has {count} examples and left out {', '.join(note['left_out'])}{more}"
