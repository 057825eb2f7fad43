"""Sounds added to the clips of an augmentation by a kernel, at a ratio of their powers."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.background_code import NUMBERS, write_background
from audiofeed.augment.contract.sounds import as_float
from audiofeed.augment.kernels.rows import RowStep, double_bits
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, int16: bool) -> jit.Machine | None:
    return jit.compiled(write_background(lanes, int16))


def background_step(
    rows: list[int], channels: int, sounds: list[torch.Tensor], ratios: torch.Tensor, silence: float
) -> RowStep | None:
    """Return the step that adds sounds to clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        channels: Of the clips.
        sounds: Of these clips, (1 or channels, samples) each, all int16 or all float32, as long as the clip or longer.
        ratios: float64 (batch,), power of the sound over that of the clip.
        silence: Mean power up to which a clip, or a sound, is silence and has no ratio.
    """
    if any(sound.dtype not in (torch.int16, torch.float32) or sound.device.type != "cpu" for sound in sounds):
        return None
    if any(sound.dtype == torch.float32 for sound in sounds):
        sounds = [as_float(sound) for sound in sounds]
    sounds = [sound if sound.stride(-1) == 1 else sound.contiguous() for sound in sounds]
    machine = _kernel(jit.lanes(), bool(sounds) and sounds[0].dtype == torch.int16)
    if machine is None:
        return None
    numbers = np.empty((len(rows), len(NUMBERS)), np.int64)
    numbers[:, 0] = [sound.data_ptr() for sound in sounds]
    numbers[:, 1] = [sound.stride(0) * sound.element_size() if len(sound) == channels > 1 else 0 for sound in sounds]
    numbers[:, 2] = double_bits(ratios)[rows]
    return RowStep(machine, rows, numbers, (int(np.float64(silence).view(np.int64)),), keeps=sounds)
