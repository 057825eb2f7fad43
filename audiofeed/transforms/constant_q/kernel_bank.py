"""Kernels of a constant-Q transform: frames at falling rates times kernels, by whatever is fastest for an input."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from audiofeed.methods.constant_q.decimation import Decimation
from audiofeed.methods.constant_q.device.choice import OnDevices
from audiofeed.methods.constant_q.kernel.program import Program, cannot
from audiofeed.methods.constant_q.kernel.run import readable
from audiofeed.methods.constant_q.octaves import (
    BlockKernels,
    Execution,
    constant_q,
    frame_count,
    in_blocks,
)
from audiofeed.methods.constant_q.stages import in_stages, rows_together
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import note_clear, past_of
from audiofeed.parallel.launches import launches
from audiofeed.plans.constant_q.block_basis import BlockBasis, block_bases
from audiofeed.plans.constant_q.decimation import decimation_block, decimation_response
from audiofeed.plans.constant_q.levels import Level
from audiofeed.plans.constant_q.stages import stage_matrices, stages
from audiofeed.signal.constant_q.decimation import decimation_filter, decimation_reach
from audiofeed.signal.filter_responses import FilterResponses, kernel_gains, logarithmic_frequencies
from audiofeed.transforms.constant_q.settings import Kernels
from audiofeed.transforms.contract.transform import Transform


class KernelBank:
    """Kernels of all bins of a constant-Q transform, and the filters between its rates, which the transform keeps.

    Args:
        module: keeps the filters: `kernels`, a parameter if trainable, and `response_2` (`response_4`, ...).
        settings: how the kernels are made.
        levels: the rates, with the bins that are computed at each.
        definition: computes the kernels in float64, those of all bins one after another.
    """

    def __init__(
        self, module: Transform, settings: Kernels, levels: tuple[Level, ...], definition: Callable[[], np.ndarray]
    ) -> None:
        module.method_reason = settings.reason
        self.levels, self.trainable = levels, settings.trainable
        self.blocks: dict[int, BlockKernels] | None = None
        self._bases: dict[int, BlockBasis] | None = None
        self._program: Program | str | None = None
        self._wavelets, self._definition, self.extends = settings.wavelets, definition, settings.layout.padded
        # what the construction computed, until the first call has made its blocks from it
        self._exact: np.ndarray | None = definition()
        module.define("kernels", definition, trainable=self.trainable, values=self._exact)
        self._plan = None if self.trainable else stages(levels, settings.wavelets.hop_length)
        plan = self._plan
        self._on_devices = None if plan is None else OnDevices(levels, plan, settings.wavelets.power, self.exact)
        self._factors = tuple(sorted({level.factor for level in levels} - {1}))
        for factor in self._factors:
            module.define(f"response_{factor}", functools.partial(decimation_response, factor))

    def exact(self) -> np.ndarray:
        """Return the kernels of a constant-Q transform as they are defined, in float64, also where they are trained."""
        known = self._exact  # another thread may release it meanwhile
        return self._definition() if known is None else known

    def release(self) -> None:
        """Give up the exact constant-Q kernels that the construction computed: `exact` then computes them again."""
        self._exact = None

    def decimations(self, module: Transform, like: torch.Tensor) -> dict[int, Decimation]:
        """Return the filters between the levels of constant-Q kernels, by factor, in the dtype and device of `like`."""
        return {
            factor: Decimation(
                response=module.filter_like(f"response_{factor}", like),
                block=decimation_block(factor),
                reach=decimation_reach(factor),
            )
            for factor in self._factors
        }

    def in_blocks(self) -> dict[int, BlockKernels]:
        """Return long bands' constant-Q kernels in blocks by first bin, exact to float32; made when first asked for."""
        if self.blocks is None:
            self.blocks = in_blocks(self._in_bases())
        return self.blocks

    def _in_bases(self) -> dict[int, BlockBasis]:
        if self._bases is None:
            self._bases = block_bases(self.levels, self.exact())
        return self._bases

    def program(self) -> Program | None:
        """Return the program of a constant-Q module's machine code, made when first asked for; None without any."""
        if self._program is None:
            wavelets = self._wavelets
            reason = cannot(self.levels, "constant" if self.extends else wavelets.pad_mode)
            program = Program(self.levels, self.exact(), self._in_bases(), wavelets.power) if reason is None else None
            self._program = program if program is not None and program.works else reason or "LLVM has no code for it"
        return None if isinstance(self._program, str) else self._program

    def responses(self, module: Transform) -> FilterResponses:
        """Return the gains of the present kernels of a constant-Q transform, with the filters between its rates.

        The magnitude that a long sine of amplitude 1 gives.
        """
        rate = module.rate("the kernels")
        values = module.kernels.detach().cpu().double().numpy() if self.trainable else self.exact()
        hertz = logarithmic_frequencies(rate, self._wavelets.bank.frequencies)
        count = max(band.end for level in self.levels for band in level.bands)
        gains, passed, part, start = np.zeros((count, len(hertz))), np.ones(len(hertz)), 1.0, 0
        for level in self.levels:
            if level.factor > 1:
                taps = decimation_filter(level.factor)
                passed = passed * kernel_gains(taps[None], hertz / (rate * part))[0]
            part = level.part
            for band in level.bands:
                pairs = values[start : start + band.size].reshape(len(band.bins), 2, band.taps)
                start += band.size
                kernels = pairs[:, 0] + 1j * pairs[:, 1]
                gains[band.first : band.end] = passed * kernel_gains(kernels, hertz / (rate * part))
        return FilterResponses(frequencies=hertz, values=gains, quantity="gain", logarithmic=True)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames of clips of `lengths` samples that the kernels of a constant-Q module give."""
        return frame_count(lengths, self._at_full_rate if self.extends else self.levels[0])

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past those that the kernels of a constant-Q module give, in two launches.

        Shape: lengths (rows,), of at least one sample -> (rows, n_frames) bool.
        """
        level = self._at_full_rate if self.extends else self.levels[0]
        # frame f is one of a clip whose samples at the level, rounded up, reach its center
        step = level.hop_length * level.factor
        return past_of(n_frames, lengths, -level.factor, step)

    @property
    def _at_full_rate(self) -> Level:
        """Level of the frames of clips that a constant-Q module extends before their rate falls."""
        return Level(factor=1, part=1.0, hop_length=self._wavelets.hop_length, bands=())

    def compute(
        self, module: Transform, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> torch.Tensor:
        """Compute the values of rows by the kernels of a constant-Q transform module: see `Transform.compute`."""
        if not self.extends and self._wavelets.pad_mode == "constant":
            found = self._in_stages(module, waveform, lengths, graph=graph)
            if found is not None:
                return found
        plain = not self.trainable and not graph and waveform.device.type == "cpu" and waveform.dtype == torch.float32
        traced = torch.compiler.is_compiling()
        program = self.program() if plain and not traced else None
        if program is not None and not readable(waveform):
            program = None
        blocks = self.in_blocks() if plain and program is None else {}
        if not traced:
            self.release()
        execution = Execution(
            levels=self.levels,
            hop_length=self._wavelets.hop_length,
            kernels=module.filter_like("kernels", waveform),
            blocks=blocks,
            decimations=self.decimations(module, waveform),
            pad_mode=self._wavelets.pad_mode,
            power=self._wavelets.power,
            program=program,
        )
        if not self.extends:
            return constant_q(waveform, lengths, execution, graph=graph)
        # as far as a frame sees, in hops: what a lower rate leaves out of that lies beyond
        hop = self._wavelets.hop_length
        margin = -(-execution.context // hop)
        count = int(frame_count(waveform.shape[-1], self._at_full_rate))
        framing = Framing(n_fft=2 * margin * hop, hop_length=1, center=True, pad_mode=self._wavelets.pad_mode)
        extended = framing.pad(waveform, lengths)
        ends = None if lengths is None else lengths + 2 * margin * hop
        found = self._in_stages(module, extended, ends, graph=graph)
        if found is None:
            found = constant_q(extended, ends, replace(execution, pad_mode="constant"), graph=graph)
        return found[..., margin : margin + count]

    def _in_stages(
        self, module: Transform, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> torch.Tensor | None:
        """Compute the values of rows, silent past their ends, by kernels of its own or by a product a level, on a GPU.

        By the kernels without a graph, where they were found to be right on the device of a constant-Q module. None
        where kernels train, and where a graph is recorded by a compiler, which takes launches away by itself.
        """
        if self._plan is None or not launches(waveform) or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return None
        if self._on_devices is not None and not graph:
            found = self._on_devices.compute(waveform, lengths, module.derived_filter)
            if found is not None:
                self.release()
                if lengths is not None:
                    note_clear(lengths, found)
                return found
        count = frame_count(waveform.shape[-1], self.levels[0])
        if not rows_together(self._plan, count):
            return None
        matrices = module.derived_filter("stages", self._stage_matrices, waveform)
        if matrices is None:
            return None
        self.release()
        return in_stages(waveform, lengths, self._plan, matrices, count, self._wavelets.power, graph=graph)

    def _stage_matrices(self) -> np.ndarray:
        assert self._plan is not None
        return stage_matrices(self.levels, self._plan, self.exact())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "blocks": None, "_bases": None, "_program": None, "_exact": None}
