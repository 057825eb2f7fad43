"""MuLaw and BitDepth: the steps of a telephone line, and of a converter of few bits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.ranges import check_integers, shown

# of G.711
_MU = 255.0


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

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's number of bits of each clip, int64 (batch,)."""
        return _bits(draws, self.bits)

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

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's number of bits of each clip, int64 (batch,)."""
        return _bits(draws, self.bits)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Compand, round and expand the active clips of this augmentation."""
        return _quantized(clips, active, self.drawn(draws), _companded)


def _bits(draws: Draws, bits: tuple[int, int]) -> torch.Tensor:
    """Draw a number of bits for each clip of an augmentation."""
    low, high = bits
    return low + draws.integers(high - low + 1)


def _linear(waveforms: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Round an augmentation's waveforms to multiples of 1 / steps, within the range of such integers."""
    return (waveforms * steps).round().clamp(-steps, steps - 1) / steps


def _companded(waveforms: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Round an augmentation's waveforms to steps of equal size on the mu-law scale, 0 and full scale among them."""
    companded = (waveforms.abs().clamp(max=1.0) * _MU).log1p() * (1 / math.log1p(_MU))
    rounded = (companded * (steps - 1)).round() / (steps - 1)
    return torch.copysign(torch.expm1(rounded * math.log1p(_MU)) / _MU, waveforms)


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
