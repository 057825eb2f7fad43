"""The self-check of the constant-Q kernels for a GPU: before a layout is used there, one small batch beside `stages`.

What is found out, once in a process for each layout and device, stays: nothing, or the reason why the kernels are not
used for it there, which a warning says.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch

from audiofeed.methods.constant_q.device.launch import OctaveKernels
from audiofeed.methods.constant_q.device.layout import Layout, filter_taps, kernel_table
from audiofeed.methods.constant_q.device.text import FRAMES, NARROW, WIDE
from audiofeed.methods.constant_q.octaves import frame_count
from audiofeed.methods.constant_q.stages import in_stages, rows_together
from audiofeed.methods.lengths import past_of
from audiofeed.methods.short_time.fused.nvrtc import CompilerError
from audiofeed.plans.constant_q.levels import Level
from audiofeed.plans.constant_q.stages import Stage, stage_matrices

TOLERATED = 1e-5  # of a bin's largest value
VERDICTS: dict[tuple[Layout, torch.device], str | None] = {}


def reject(layout: Layout, device: torch.device, why: str) -> None:
    """Keep the reason why the constant-Q kernels are not used for a layout on a device, and warn of the first."""
    known = any(other is not None and key[1] == device for key, other in VERDICTS.items())
    VERDICTS[layout, device] = why
    if not known:
        warnings.warn(
            f"the CUDA kernels of constant-Q transforms are not used on {device} by this process: {why}; torch's "
            "matrix products are taken, which are slower",
            RuntimeWarning,
            stacklevel=2,
        )


def passes(
    layout: Layout,
    device: torch.device,
    levels: tuple[Level, ...],
    plan: tuple[Stage, ...],
    kernels: np.ndarray,
    power: float | None,
) -> bool:
    """Return whether the constant-Q kernels compute on a device what stages do; find out where not known.

    Args:
        layout: of the transform.
        levels, plan: of which it is made, and by which stages compute.
        kernels: of the levels: see `levels.octave_kernels`.
        power: of the magnitude; None: complex.
    """
    key = (layout, device)
    if key not in VERDICTS:
        try:
            why = _difference(layout, device, levels, plan, kernels, power)
        except CompilerError as error:
            why = str(error).splitlines()[0][:300]
        if why is None:
            VERDICTS[key] = None
        else:
            reject(layout, device, why)
    return VERDICTS[key] is None


def _difference(
    layout: Layout,
    device: torch.device,
    levels: tuple[Level, ...],
    plan: tuple[Stage, ...],
    kernels: np.ndarray,
    power: float | None,
) -> str | None:
    """Return how the constant-Q kernels differ from stages in float64 on a small batch, or None."""
    samples, lengths = trial(layout, device)
    count = int(frame_count(samples.shape[-1], levels[0]))
    if not rows_together(plan, count):
        return "its frames are too long to compare a batch"
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        matrices = torch.from_numpy(stage_matrices(levels, plan, kernels)).to(device)
        exact = in_stages(samples.double(), lengths, plan, matrices, count, power, graph=False)
        del matrices
        table = torch.from_numpy(kernel_table(levels, layout.form.columns, kernels)).float().to(device)
        taps = torch.from_numpy(filter_taps(layout.form.factors)).float().to(device)
        past = past_of(count, torch.as_tensor(frame_count(lengths, levels[0])))[:, None]
        exact = exact.masked_fill(past, 0)
        most = exact.abs().amax(dim=(0, 2), keepdim=True)
        for pairs in (WIDE, NARROW):
            found = OctaveKernels(layout, device, pairs).compute(samples, lengths, table, taps, power)
            if found is None or found.shape != exact.shape:
                return "its shape is another"
            if bool((found != 0).logical_and(past).any()):
                return "a frame past the end of its row is not 0"
            error = (found.to(exact.dtype) - exact).abs()
            if not bool((error <= TOLERATED * most).all()):
                worst = float((error / most).nan_to_num(math.inf).max())
                return f"it differs from torch's products by {worst:.1e} of a bin's largest value on a small batch"
    return None


def trial(layout: Layout, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise for the self-check of the constant-Q kernels: rows of several lengths, some shorter than a block.

    Shape: -> (4, time) float32, (4,).
    """
    step = layout.hop * layout.factor
    time = ((FRAMES + 6) * step + step // 2) // 4 * 4 + 4
    generator = torch.Generator().manual_seed(layout.hop)
    samples = torch.randn(4, time, generator=generator) / 8
    lengths = torch.tensor([time, max(1, time * 7 // 10 - 3), max(1, step - 1), 1])
    return samples.to(device), lengths.to(device)
