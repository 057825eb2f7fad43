"""What torch's profiler sees of a call, against what the tests' harness counts of it without a card."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import torch

from audiofeed.methods.short_time.fused import cuda_launch
from gpu.checks import Recorder
from gpu.measured.launches import launched
from gpu.measured.timing import copy_rate

SECTION = "harness"
# An operation is one or a few kernels (a padding fills and copies, an FFT of a long frame takes two or three), or none
# (a copy that the profiler calls so). Farther apart they count different things.
MOST_KERNELS, LEAST_KERNELS = 4.0, 0.5
NAMES = (
    "LogMelSpectrogram", "MelSpectrogram", "Spectrogram", "STFT", "MFCC", "CQT", "Tempogram", "LogFrequencySpectrogram",
    "NormalizeClips", "Deltas",
)  # fmt: skip
Row = dict[str, Any]


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> list[Row]:
    """Count each call with lengths in both ways, and hold its traffic by shapes to the time it takes."""
    if not torch.backends.cuda.is_built():
        with recorder.check(SECTION, "tensors without values on CUDA") as check:
            check.skip("this torch is built without CUDA, and makes no tensors there")
        return []
    from benchmarks.device.calls import of_transforms
    from benchmarks.device.counts import counts

    rows: list[Row] = []
    ceiling = copy_rate(device)
    clips = 32 if device.type == "cuda" else 2
    for call in of_transforms():
        if call.name not in (NAMES[:2] if quick else NAMES):
            continue
        with recorder.check(SECTION, call.name) as check:
            module = None
            with check.needing_scipy():
                module = call.build()
            if module is None:
                continue
            found = counts(call, clips=clips, ways=["lengths"])["lengths"]
            module = module.to(device)
            x = call.batch(module, clips=clips).to(device)
            lengths = torch.full((clips,), x.shape[-1] - 7, device=device)
            once = functools.partial(call.run, module, x, lengths)
            # what it counts are torch's operations: a kernel of ours takes the place of many
            with torch.no_grad(), mock.patch.object(cuda_launch, "PROVEN", ()):
                for _ in range(2):
                    once()
                seen = launched(once, device)
            row: Row = {"call": call.name, "operations": found.launches, "waits": found.waits, **seen,
                        "moved_mb": found.moved / 1e6, "least_mb": found.least / 1e6}  # fmt: skip
            kernels = row["kernels"] + row["copies"] + row["fills"]
            if device.type == "cuda":
                ratio = kernels / max(1, found.launches)
                check.expect(
                    LEAST_KERNELS <= ratio <= MOST_KERNELS,
                    f"{kernels} kernels, copies and fills for {found.launches} operations that the harness counts",
                )
                if row["busy_us"]:
                    row["share_of_copy"] = found.moved / (row["busy_us"] / 1e6) / ceiling
            rows.append(row)
            check.expect(found.waits == 0, f"the harness counts {found.waits} waits")
            check.note(f"{found.launches} operations by the harness, {kernels} by the profiler; "
                       f"{row['moved_mb']:.1f} MB by shapes in {row['busy_us']:.0f} us")  # fmt: skip
    return rows
