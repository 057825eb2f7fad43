"""Clips of an augmentation convolved with rooms by a kernel, which keeps their level."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.convolution_code import FIELDS, NUMBERS, write_convolution
from audiofeed.augment.kernels.passes import LARGEST, Passes
from audiofeed.augment.kernels.rows import ONE, RowStep, float_bits, readable
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=16)
def machine_of(passes: Passes, mixes: bool, at_once: bool) -> tuple[jit.Machine | None, np.ndarray]:
    """Return the kernel of an augmentation's blocks, None where it cannot be made, and its roots of unity."""
    return jit.compiled(write_convolution(passes, mixes, at_once)), aligned(passes.twiddles[0])


def aligned(values: np.ndarray) -> np.ndarray:
    """Return float32 values that an augmentation's kernel reads, in memory that begins at a whole vector."""
    memory = np.zeros(values.size * 4 + jit.ALIGNED, np.uint8)
    start = -memory.ctypes.data % jit.ALIGNED
    out = memory[start : start + values.size * 4].view(np.float32)
    out[:] = values.reshape(-1)
    return out


class Rooms:
    """Responses of an augmentation's rooms as a kernel takes them.

    Args:
        spectra: (response, channel, size, 2) float32, real and imaginary parts, of blocks.
        taps: Of the responses.
        lead: The tap that becomes lag 0.
        mixes: Whether a share of the clips themselves is heard.
    """

    def __init__(self, spectra: torch.Tensor, taps: int, lead: int, *, mixes: bool) -> None:
        self.taps, self.lead = taps, lead
        self.channels, self.size = spectra.shape[1], spectra.shape[2]
        self.passes = Passes(jit.lanes(), self.size)
        order = torch.from_numpy(self.passes.order).view(-1, self.passes.lanes)
        laid = spectra.detach()[:, :, order].transpose(-1, -2)  # (response, channel, vector, part, lane)
        self._spectra = aligned((laid / self.size).numpy())
        self._address = self._spectra.ctypes.data
        # by whether a clip is one pair of blocks of one channel: the kernel, what keeps its tables, and their address
        self._machines: dict[bool, tuple[jit.Machine | None, np.ndarray, int]] = {}
        for at_once in (False, True):
            machine, twiddles = machine_of(self.passes, mixes, at_once)
            self._machines[at_once] = machine, twiddles, twiddles.ctypes.data

    def step(self, channels: int, longest: int, rows: np.ndarray, which: np.ndarray, wet: np.ndarray) -> RowStep | None:
        """Return the step that puts clips of an augmentation into rooms; None where there is no kernel.

        Args:
            channels: Of the clips.
            longest: Samples of the longest clip.
            rows: The clips.
            which: int64 (batch,), the response of each clip of the batch.
            wet: (batch,), the share of the response in what is heard.
        """
        spoiled = _whole(self.taps - 1)
        step = self.size - spoiled
        blocks = -(-longest // step)
        pairs = -(-blocks // 2)
        lanes, pitch = self.passes.lanes, 8 * self.size
        machine, twiddles, table = self._machines[pairs == channels == 1]
        if machine is None:
            return None
        padded = _whole(2 * pairs * step + spoiled + 4 * lanes)
        work = _whole(self.passes.work)
        fields = {
            "twiddles": table,
            "margin": spoiled - self.lead,
            "spoiled": spoiled,
            "step": step,
            "work": 4 * padded,
        }
        numbers, own = np.empty((len(rows), len(NUMBERS)), np.int64), which[rows]
        numbers[:, 0] = self._address + own * (self.channels * pitch)
        numbers[:, 1] = pitch if self.channels == channels else 0
        numbers[:, 2] = float_bits(wet)[rows]
        numbers[:, 3] = ONE
        memory = 4 * (padded + work)
        of_all = tuple(fields[name] for name in FIELDS)
        return RowStep(machine, rows, numbers, of_all, memory, (self, twiddles), own, factor=3)


class KeptRooms:
    """Rooms of an augmentation's responses, laid out for the kernel when they are first asked for.

    A copy of the augmentation, and what a worker gets of it, lays them out again.
    """

    def __init__(self) -> None:
        self._of: torch.Tensor | None = None
        self._rooms: Rooms | None = None

    def __reduce__(self) -> tuple[type[KeptRooms], tuple[()]]:
        return KeptRooms, ()

    def of(self, spectra: torch.Tensor | None, taps: int, lead: int, *, mixes: bool) -> Rooms | None:
        """Return the rooms of an augmentation's responses, or None where there is no kernel for them.

        Args:
            spectra: As `Rooms` takes them; None where they are not held.
            taps: Of the responses.
            lead: The tap that becomes lag 0.
            mixes: Whether a share of the clips themselves is heard.
        """
        if spectra is None or not readable(spectra) or spectra.shape[2] > LARGEST:
            return None
        if spectra is not self._of:
            made = machine_of(Passes(jit.lanes(), spectra.shape[2]), mixes, False)[0]
            self._rooms = None if made is None else Rooms(spectra, taps, lead, mixes=mixes)
            self._of = spectra
        return self._rooms


def _whole(floats: int) -> int:
    """Return a number of floats of an augmentation's memory, rounded up to whole vectors of any kind."""
    return -(-floats // 16) * 16
