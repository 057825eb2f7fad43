"""MuLaw and BitDepth: the steps of a telephone line, and of a converter of few bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.ranges import check_integers, shown
from audiofeed.augment.kernels.rows import RowStep, float_bits
from audiofeed.augment.levels.quantization_code import MU, NUMBERS, write_quantization
from audiofeed.methods.short_time.kernel import jit


class BitDepth(Augmentation):
    """Augmentation that rounds each clip to samples of few bits, drawn for it: linear quantization.

    Samples are rounded to multiples of 2^(1 - bits) (to even at a half) and limited to the range of such integers,
    -1 to 1 - 2^(1 - bits). No dither is added; `Dither` before it does.

    The gradient is that of a clamp to -1 to 1, as if nothing had been rounded (straight-through): rounding's own is 0.

    Args:
        bits: Range of the number of bits, integers, 2 to 24, each as likely; or one.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, or a `p` that is no probability.

    >>> BitDepth(3)(torch.tensor([[0.1, 0.3, -0.9, 1.0]]))
    tensor([[ 0.0000,  0.2500, -1.0000,  0.7500]])
    """

    def __init__(self, bits: int | tuple[int, int] = (6, 12), p: float = 1.0) -> None:
        super().__init__(p)
        self.bits = check_integers("bits", bits, "bits", 2, 24)

    def extra_repr(self) -> str:
        """Show the range of this augmentation."""
        return ", ".join(part for part in (shown("bits", self.bits), super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> Any:
        """Draw this augmentation's number of bits of each clip, int64 (batch,)."""
        return _bits(draws, self.bits)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Round the active clips of this augmentation, by a kernel."""
        return _quantization_step(rows, self.drawn(draws), companded=False)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Round the active clips of this augmentation."""
        return _quantized(clips, active, self.drawn(draws), _linear)


class MuLaw(Augmentation):
    """Augmentation that takes each clip through mu-law companding, as a telephone line of G.711 does.

    The magnitude of a sample, companded by log(1 + 255 |x|) / log(256), is rounded to one of 2^(bits - 1) steps from 0
    to full scale, and expanded again. Samples beyond full scale are limited to it. Silence stays silence, which it does
    not in torchaudio's `mu_law_encoding` and `mu_law_decoding`: there 0 becomes 8.6e-5.

    The gradient is that of a clamp to -1 to 1, as if nothing had been rounded (straight-through): rounding's own is 0.

    Args:
        bits: Range of the number of bits, integers, 2 to 16, each as likely; or one. A telephone has 8.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, or a `p` that is no probability.

    >>> MuLaw(4)(torch.tensor([[0.0, 0.01, -0.4, 1.0]]))
    tensor([[ 0.0000,  0.0152, -0.4507,  1.0000]])
    """

    def __init__(self, bits: int | tuple[int, int] = 8, p: float = 1.0) -> None:
        super().__init__(p)
        self.bits = check_integers("bits", bits, "bits", 2, 16)

    def extra_repr(self) -> str:
        """Show the range of this augmentation."""
        return ", ".join(part for part in (shown("bits", self.bits), super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> Any:
        """Draw this augmentation's number of bits of each clip, int64 (batch,)."""
        return _bits(draws, self.bits)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Compand, round and expand the active clips of this augmentation, by a kernel."""
        return _quantization_step(rows, self.drawn(draws), companded=True)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Compand, round and expand the active clips of this augmentation."""
        return _quantized(clips, active, self.drawn(draws), _companded)


def _bits(draws: Draws, bits: tuple[int, int]) -> Any:
    """Draw a number of bits for each clip of an augmentation."""
    low, high = bits
    return low + draws.integers(high - low + 1)


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, companded: bool) -> jit.Machine | None:
    return jit.compiled(write_quantization(lanes, companded))


@functools.lru_cache(maxsize=16)
def _expanded(bits: int) -> np.ndarray:
    """Return what each step of an augmentation's mu-law scale expands to, float32, from 0 to full scale."""
    steps = 2 ** (bits - 1)
    rounded = torch.arange(steps, dtype=torch.float32, device="cpu") / (steps - 1)
    return _expansion(rounded).numpy()


def _quantization_step(rows: np.ndarray, bits: np.ndarray, *, companded: bool) -> RowStep | None:
    """Return the step that rounds an augmentation's clips; None where there is no kernel.

    Args:
        rows: The clips.
        bits: int64 (batch,).
        companded: Whether steps are equal on the mu-law scale.
    """
    machine = _kernel(jit.lanes(), companded)
    if machine is None:
        return None
    own = bits[rows]
    numbers, tables = np.zeros((len(rows), len(NUMBERS)), np.int64), []
    numbers[:, 0] = float_bits(2.0 ** (own - 1))
    for each in np.unique(own).tolist() if companded else ():
        tables.append(_expanded(each))
        numbers[own == each, 1] = tables[-1].ctypes.data
    return RowStep(machine, rows, numbers, keeps=tables)


def _linear(waveforms: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Round an augmentation's waveforms to multiples of 1 / steps, within the range of such integers."""
    return (waveforms * steps).round().clamp(-steps, steps - 1) / steps


def _companded(waveforms: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Round an augmentation's waveforms to steps of equal size on the mu-law scale, 0 and full scale among them."""
    companded = (waveforms.abs().clamp(max=1.0) * MU).log1p() * (1 / math.log1p(MU))
    rounded = (companded * (steps - 1)).round() / (steps - 1)
    return torch.copysign(_expansion(rounded), waveforms)


def _expansion(companded: torch.Tensor) -> torch.Tensor:
    """Return the magnitudes of an augmentation's samples from those on the mu-law scale, 0 to 1."""
    return torch.expm1(companded * math.log1p(MU)) / MU


def _quantized(
    clips: Clips,
    active: torch.Tensor,
    bits: torch.Tensor,
    quantize: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Clips:
    """Quantize the active clips of an augmentation, with the gradient of a clamp.

    Args:
        clips: The clips.
        active: (batch,) bool.
        bits: (batch,) bits of each clip.
        quantize: From waveforms, and the steps between 0 and full scale, which broadcast with them, to waveforms.
    """
    steps = 2.0 ** (bits - 1).to(clips.waveforms.dtype)

    def straight(waveforms: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            values = quantize(waveforms, own)
        if not (waveforms.requires_grad and torch.is_grad_enabled()):
            return values
        within = waveforms.clamp(-1.0, 1.0)
        # the difference of a finite number and itself is 0 exactly
        return values + (within - within.detach())

    if may_look(clips):
        return changed_rows(clips, active, lambda row, waveform: straight(waveform, steps[row]))
    return clips.put(active, straight(clips.waveforms, steps.view(-1, *[1] * (clips.waveforms.dim() - 1))))
