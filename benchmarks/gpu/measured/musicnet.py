"""The 34 types of spectrogram of `musicnet/musicnet34.py` on the device, over a part of one recording.

    python benchmarks/gpu_smoke.py --only musicnet

All of MusicNet is timed by `python benchmarks/musicnet/musicnet34.py --device cuda`; this says in under a minute
whether each type runs there, how far it is from float64 on the CPU, and what nnAudio2 takes where it is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import time
from typing import Any

import torch
from musicnet import kinds, recordings

from gpu.checks import PASS, Recorder
from gpu.correctness import relative_l2
from gpu.measured.timing import time_call

SECTION = "musicnet"
# of the recording, and of the part that float64 on the CPU has, too
SECONDS, EXCERPT = 20.0, 1.0
# of each timing: twice for 34 types
TIMED = 0.15
# of the whole section
MOST_SECONDS = 45.0
# of float64: sums of up to some thousand terms in float32, a cepstrum's of decibels among them
EXACT = 2e-5
Row = dict[str, Any]


def run(recorder: Recorder, device: torch.device, reserve: float, *, quick: bool) -> list[Row]:
    """Compare each type with float64 on the CPU, and time it and nnAudio2's modules of it."""
    on_card = device.type == "cuda"
    seconds = SECONDS if on_card else EXCERPT
    recording = torch.from_numpy(recordings.synthesize(seconds, 0))[None]
    there = recording.to(device)
    excerpt = recording[:, : int(EXCERPT * recordings.RATE)]
    has_peer = importlib.util.find_spec("nnAudio2") is not None
    rows: list[Row] = []
    ends = time.monotonic() + (MOST_SECONDS if on_card else math.inf)
    for kind in list(kinds.types())[:: 6 if quick else 1]:
        row: Row = {"type": kind.name, "seconds": seconds}
        with recorder.check(SECTION, kind.name) as check, check.needing_scipy(), torch.no_grad():
            if time.monotonic() > ends or not recorder.has_time(reserve):
                row["skipped"] = "the time is spent"
                check.skip(row["skipped"])
                rows.append(row)
                continue
            module = kind.ours().to(device)
            found = module(excerpt.to(device)).cpu().double()
            row["error"] = relative_l2(found, kind.ours().double()(excerpt.double()))
            check.within("of float64 on the CPU, L2", row["error"], EXACT)
            taken = time_call(functools.partial(module, there), device, seconds=TIMED)
            row |= {"median_ms": taken.median_ms, "hours_per_second": seconds / 3600 / (taken.median_ms / 1e3)}
            check.note(f"{taken.median_ms:.3f} ms for {seconds:g} s, {row['hours_per_second']:.1f} h/s")
        if has_peer and kind.nnaudio and check.status == PASS and not quick:
            with recorder.check(SECTION, f"{kind.name}, nnAudio2", loud=False) as check, torch.no_grad():
                times = [
                    time_call(functools.partial(make().to(device), there), device, seconds=TIMED).median_ms
                    for make in kind.nnaudio
                ]
                row["nnaudio_ms"] = min(times)
                check.note(f"{min(times):.3f} ms")
                check.inform()
        rows.append(row)
    return rows
