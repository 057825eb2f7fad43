"""Whether a GPU's own kernels compute a batch's constant-Q transform, and what a transform keeps for each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiofeed.methods.constant_q.device.layout import Layout, filter_taps, kernel_table, layout_for
from audiofeed.parallel.launches import capturing
from audiofeed.parallel.observed import in_memory
from audiofeed.plans.constant_q.levels import Level
from audiofeed.plans.constant_q.stages import Stage

if TYPE_CHECKING:
    from audiofeed.methods.constant_q.device.launch import OctaveKernels

# returns a table in float32 on the device of a batch, kept by its name; None: it cannot be brought there now
Tables = Callable[[str, Callable[[], np.ndarray], torch.Tensor], "torch.Tensor | None"]


class OnDevices:
    """Constant-Q kernels of one transform on the GPUs where it has computed.

    Args:
        levels: as `levels.octave_levels` plans them.
        plan: stages of the levels, which the kernels are compared with.
        power: of the magnitude; None: complex.
        exact: returns the kernels of the levels in float64.
    """

    def __init__(
        self, levels: tuple[Level, ...], plan: tuple[Stage, ...], power: float | None, exact: Callable[[], np.ndarray]
    ) -> None:
        self._levels, self._plan, self._power, self._exact = levels, plan, power, exact
        self._layout = layout_for(levels, power)
        self._ready: dict[torch.device, OctaveKernels | None] = {}

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, tables: Tables) -> torch.Tensor | None:
        """Compute constant-Q features without a graph of rows that are silent past their ends, where the kernels can.

        They are 0 past each row's own frames.

        Args:
            waveform: on a GPU.
            tables: brings what is made of the transform's filters to a device.

        Returns:
            None where they cannot, or have not been found to be right yet.

        Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bins, frames).
        """
        layout, device = self._layout, waveform.device
        if layout is None or waveform.dtype != torch.float32 or not waveform.shape[-1] or not in_memory(waveform):
            return None
        if device not in self._ready and not self._prepare(layout, device):
            return None
        ready = self._ready[device]
        if ready is None:
            return None
        kernels = tables("kernels for a GPU", self._kernels, waveform)
        taps = tables("taps for a GPU", self._taps, waveform)
        if kernels is None or taps is None:
            return None
        from audiofeed.methods.constant_q.device import self_check

        try:
            return ready.compute(waveform, lengths, kernels, taps, self._power)
        except self_check.CompilerError as error:
            self_check.reject(layout, device, str(error).splitlines()[0][:300])
            self._ready[device] = None
            return None

    def _prepare(self, layout: Layout, device: torch.device) -> bool:
        """Find out whether the constant-Q kernels are right on a device; return whether that is known now."""
        from audiofeed.methods.constant_q.device import launch, self_check
        from audiofeed.methods.short_time.fused import cuda_launch

        if cuda_launch.unreachable(device) is not None:
            return False
        if (layout, device) not in self_check.VERDICTS and capturing():
            return False
        right = self_check.passes(layout, device, self._levels, self._plan, self._exact(), self._power)
        self._ready[device] = launch.OctaveKernels(layout, device) if right else None
        return True

    def _kernels(self) -> np.ndarray:
        assert self._layout is not None
        return kernel_table(self._levels, self._layout.form.columns, self._exact())

    def _taps(self) -> np.ndarray:
        assert self._layout is not None
        return filter_taps(self._layout.form.factors)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": {}}
