"""Sounds added to the clips of an augmentation by a kernel, at a ratio of their powers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.augment.contract.sounds import as_float
from audiofeed.augment.kernels.background_code import NUMBERS, write_background
from audiofeed.augment.kernels.rows import ONE, RowStep, double_bits
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, int16: bool) -> jit.Machine | None:
    return jit.compiled(write_background(lanes, int16))


@dataclass(frozen=True, eq=False)
class Pieces:
    """Sounds of an augmentation's clips where they lie in memory, each as long as its clip or longer.

    Args:
        addresses: int64 (clips,), of the first sample of each.
        pitches: int64 (clips,) or one number: bytes from one channel to the next; 0: one channel for all.
        int16: Whether samples are integers of 16 bits, else float32.
        keeps: What the addresses point into.
    """

    addresses: np.ndarray
    pitches: np.ndarray | int
    int16: bool
    keeps: Any

    @classmethod
    def of(cls, sounds: list[torch.Tensor], channels: int) -> Pieces | None:
        """Return an augmentation's sounds (1 or channels, samples) as pieces; None if a kernel cannot read them."""
        if not all(map(_can_read, sounds)):
            return None
        if any(sound.dtype == torch.float32 for sound in sounds):
            sounds = [as_float(sound) for sound in sounds]
        sounds = [sound if sound.stride(-1) == 1 else sound.contiguous() for sound in sounds]
        pitches = [sound.stride(0) * sound.element_size() if sound.shape[0] == channels > 1 else 0 for sound in sounds]
        addresses = np.array([sound.data_ptr() for sound in sounds], np.int64)
        int16 = bool(sounds) and sounds[0].dtype == torch.int16
        return cls(addresses, np.array(pitches, np.int64), int16, sounds)

    @classmethod
    def at(cls, bank: torch.Tensor, begins: np.ndarray) -> Pieces | None:
        """Return pieces of an augmentation's bank (channel, time) by their first samples; None if it cannot be read."""
        if not _can_read(bank) or bank.stride(-1) != 1:
            return None
        size = bank.element_size()
        pitch = bank.stride(0) * size if bank.shape[0] > 1 else 0
        return cls(bank.data_ptr() + size * begins, pitch, bank.dtype == torch.int16, bank)

    @classmethod
    def rows_of(cls, sounds: torch.Tensor, rows: np.ndarray) -> Pieces | None:
        """Return rows of an augmentation's sounds (sound, channel, time) as pieces; None if they cannot be read."""
        if not _can_read(sounds) or sounds.stride(-1) != 1:
            return None
        size = sounds.element_size()
        pitch = sounds.stride(1) * size if sounds.shape[1] > 1 else 0
        return cls(sounds.data_ptr() + sounds.stride(0) * size * rows, pitch, sounds.dtype == torch.int16, sounds)


def _can_read(sound: torch.Tensor) -> bool:
    """Return True if an augmentation's kernel can read a sound."""
    return sound.dtype in (torch.int16, torch.float32) and sound.device.type == "cpu"


def background_step(rows: np.ndarray, pieces: Pieces, ratios: np.ndarray, silence: float) -> RowStep | None:
    """Return the step that adds sounds to clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        pieces: Their sounds.
        ratios: float64 (batch,), power of the sound over that of the clip.
        silence: Mean power up to which a clip, or a sound, is silence and has no ratio.
    """
    machine = _kernel(jit.lanes(), pieces.int16)
    if machine is None:
        return None
    numbers = np.empty((len(rows), len(NUMBERS)), np.int64)
    numbers[:, 0], numbers[:, 1], numbers[:, 2] = pieces.addresses, pieces.pitches, double_bits(ratios)[rows]
    numbers[:, 3] = ONE
    fields = (int(np.float64(silence).view(np.int64)),)
    sound = 0, 2 if pieces.int16 else 4
    return RowStep(machine, rows, numbers, fields, keeps=pieces.keeps, factor=3, sound=sound)
