"""Clips of an augmentation convolved with rooms by a kernel, which keeps their level."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.convolution_code import JOB, LARGEST, ROW, Passes, write_convolution
from audiofeed.augment.kernels.rows import changed_rows_of, float_bits, readable, run_rows
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=8)
def _kernel(passes: Passes, mixes: bool) -> tuple[jit.Machine | None, np.ndarray]:
    """Return the kernel of an augmentation's blocks, None where it cannot be made, and its roots of unity."""
    return jit.compiled(write_convolution(passes, mixes)), aligned(passes.twiddles[0])


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
        self.machine, self._twiddles = _kernel(self.passes, mixes)

    def around(
        self, waveforms: torch.Tensor, lengths: list[int], rows: list[int], which: list[int], wet: torch.Tensor
    ) -> torch.Tensor:
        """Return an augmentation's waveforms with some of the clips in rooms.

        Args:
            waveforms: (batch, [channel,] time) float32.
            lengths: Of each clip in samples.
            rows: The clips to change; the others are copied.
            which: The response of each clip.
            wet: (batch,), the share of the response in what is heard.
        """
        x, result = changed_rows_of(waveforms, rows)
        channels = x.shape[1] if x.dim() == 3 else 1
        of_each = self.channels if self.channels == channels else 1
        bits = float_bits(wet)
        pitch = 8 * self.size
        table = [
            (
                x.data_ptr() + 4 * row * x.stride(0),
                result.data_ptr() + 4 * row * result.stride(0),
                lengths[row],
                self._spectra.ctypes.data + which[row] * self.channels * pitch,
                int(bits[row]),
            )
            for row in sorted(rows, key=lambda row: -lengths[row])
        ]
        step, spoiled = self.size - self.taps + 1, self.taps - 1
        longest = max(lengths, default=0)
        pairs = -(--(-longest // step) // 2)
        lanes = self.passes.lanes
        padded = _whole(2 * pairs * step + spoiled + 4 * lanes)
        work = _whole(self.passes.work)
        fields = {
            "channels": channels,
            "source_pitch": 4 * x.stride(1) if x.dim() == 3 else 0,
            "result_pitch": 4 * result.stride(1) if x.dim() == 3 else 0,
            "spectrum_pitch": pitch if of_each > 1 else 0,
            "size": x.shape[-1],
            "twiddles": self._twiddles.ctypes.data,
            "margin": spoiled - self.lead,
            "spoiled": spoiled,
            "step": step,
            "work": 4 * padded,
            "found": 4 * work,
        }
        assert self.machine is not None
        run_rows(
            self.machine,
            np.array(table, np.int64).reshape(-1, len(ROW)),
            len(rows) * channels * longest,
            4 * (padded + work + 2 * self.size + 4 * lanes),
            tuple(fields[name] for name in JOB),
        )
        return result


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
            made = Rooms(spectra, taps, lead, mixes=mixes)
            self._of, self._rooms = spectra, made if made.machine is not None else None
        return self._rooms


def _whole(floats: int) -> int:
    """Return a number of floats of an augmentation's memory, rounded up to whole vectors of any kind."""
    return -(-floats // 16) * 16
