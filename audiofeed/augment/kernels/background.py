"""Sounds added to the clips of an augmentation by a kernel, at a ratio of their powers."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from audiofeed.augment.kernels.background_code import JOB, ROW, write_background
from audiofeed.augment.kernels.rows import changed_rows_of, double_bits, run_rows
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, int16: bool) -> jit.Machine | None:
    return jit.compiled(write_background(lanes, int16))


def with_sounds(
    waveforms: torch.Tensor,
    lengths: list[int],
    rows: list[int],
    sound_of: Callable[[int], torch.Tensor],
    ratios: torch.Tensor,
    silence: float,
) -> torch.Tensor | None:
    """Return an augmentation's waveforms with sounds added to some of the clips; None where there is no kernel.

    Args:
        waveforms: (batch, [channel,] time) float32.
        lengths: Of each clip in samples.
        rows: The clips to change; the others are copied.
        sound_of: Called with a clip's row; returns its sound, (1 or channel, samples), int16 or float32, as long as the
            clip or longer.
        ratios: float64 (batch,), power of the sound over that of the clip.
        silence: Mean power up to which a clip, or a sound, is silence and has no ratio.
    """
    sounds = [sound_of(row) for row in rows]
    sounds = [sound if sound.stride(-1) == 1 else sound.contiguous() for sound in sounds]
    if any(sound.dtype not in (torch.int16, torch.float32) for sound in sounds):
        return None
    machines = {sound.dtype: _kernel(jit.lanes(), sound.dtype == torch.int16) for sound in sounds}
    if None in machines.values():
        return None
    x, result = changed_rows_of(waveforms, rows)
    channels = x.shape[1] if x.dim() == 3 else 1
    bits = double_bits(ratios)
    for dtype, machine in machines.items():
        table = [
            (
                x.data_ptr() + 4 * row * x.stride(0),
                result.data_ptr() + 4 * row * result.stride(0),
                lengths[row],
                sound.data_ptr(),
                sound.stride(0) * sound.element_size() if len(sound) > 1 else 0,
                int(bits[row]),
            )
            for row, sound in zip(rows, sounds, strict=True)
            if sound.dtype == dtype
        ]
        fields = {
            "channels": channels,
            "source_pitch": 4 * x.stride(1) if x.dim() == 3 else 0,
            "result_pitch": 4 * result.stride(1) if x.dim() == 3 else 0,
            "size": x.shape[-1],
            "silence": int(np.float64(silence).view(np.int64)),
        }
        assert machine is not None
        run_rows(
            machine,
            np.array(table, np.int64).reshape(-1, len(ROW)),
            len(table) * channels * x.shape[-1],
            fields=tuple(fields[name] for name in JOB),
        )
    return result
