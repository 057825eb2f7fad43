"""What one rank of a distributed run does, for processes that a forkserver starts: keys, crops and steps to a file."""

from __future__ import annotations

import json
import multiprocessing
import warnings
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import audiofeed as af


def fingerprint(waveform: torch.Tensor) -> int:
    return zlib.crc32(waveform.contiguous().numpy().tobytes())


def seen_in(batch: af.AudioBatch) -> list[tuple[str, int]]:
    """The name and the samples of each clip of a batch."""
    return [
        (name, fingerprint(waveform[:n]))
        for name, waveform, n in zip(batch.names or [], batch.waveforms, batch.lengths.tolist(), strict=True)
    ]


def train(rank: int, world_size: int, folder: str, settings: dict[str, Any]) -> None:
    """Go through an epoch, in step with the other ranks at every batch, from a state and up to a number of steps."""
    multiprocessing.set_start_method("fork", force=True)  # of the workers: those of a forkserver import everything anew
    torch.set_num_threads(1)
    here = Path(folder)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{here / 'rendezvous'}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that are left out
        dataset = af.AudioFolder(
            settings["root"], crop=af.RandomCrop(seconds=settings["crop"]), on_error=settings.get("on_error", "raise")
        )
    dist.barrier()
    for path in settings.get("spoilt_after_the_scan", []):
        Path(path).write_bytes(b"")
    batches: list[list[tuple[str, int]]] = []
    with af.Feed(
        dataset, device="cpu", workers=settings["workers"], max_fault_ratio=0.5, timeout=60, **settings["batches"]
    ) as feed:
        if "state" in settings:
            feed.load_state_dict(settings["state"])
        for batch in feed:
            batches.append(seen_in(batch))
            steps = torch.ones(())
            dist.all_reduce(steps)  # hangs where a rank has no batch left
            assert steps == world_size
            if len(batches) == settings.get("steps"):
                break
        result = {
            "batches": batches,
            "state": feed.state_dict(),
            "faults": [(fault.path, fault.cause, fault.count) for fault in feed.faults],
            "of_all_ranks": [(fault.path, fault.cause, fault.count) for fault in feed.faults.gather()],
        }
    (here / f"rank{rank}.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()
