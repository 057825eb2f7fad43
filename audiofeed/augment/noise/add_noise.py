"""AddNoise: white or colored noise, at a ratio to the clip's own power."""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, deal_without_graph, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws, channel_seeds
from audiofeed.augment.contract.noise import normal_pairs
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.contract.rows import powers
from audiofeed.augment.kernels.background import Pieces, background_step
from audiofeed.augment.kernels.noise import ratio_step
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.augment.noise.colored import bin_weights, colored_noise, shaped_noise
from audiofeed.methods.lengths import clear_past
from audiofeed.parallel.kept_memory import kept_empty

COLORS = {"violet": -2.0, "blue": -1.0, "white": 0.0, "pink": 1.0, "brown": 2.0}
Color = str | float
_WHITE = (0.0, 0.0)


class AddNoise(Augmentation):
    """Augmentation that adds noise to each clip, of a drawn color, at a drawn ratio to the clip's power.

    The ratio is kept exactly: the power of the clip and of its noise are measured over the clip's own samples in all
    its channels, never over padding. (torch-audiomentations measures the padded row: 10 dB asked of a clip in a batch
    padded to eight times its length are 19 dB there.) Each channel has noise of its own. Silence stays silence, since
    no noise has a ratio to it; `Dither` adds noise at a level.

    The power of the noise goes with 1 / frequency^exponent, from 1/819 of the sample rate up (20 Hz at 16 kHz); below
    it is flat, and there is no constant part. The gradient takes in that a louder clip is given louder noise.

    Args:
        snr_db: Range of the ratio of signal to noise, dB, uniform; or one number.
        color: "violet", "blue", "white", "pink" or "brown", which are the exponents -2, -1, 0, 1 and 2 of the slope of
            the noise's power; or an exponent, -4 to 4; or a range of either, whose exponents are drawn uniformly.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, a color that is unknown, or a `p` that is no probability.

    >>> clip = torch.ones(1, 8000)
    >>> noise = AddNoise(20.0)(clip, seeds=torch.tensor([5])) - clip
    >>> round((noise.square().mean() * 100).item(), 3)
    1.0
    >>> AddNoise((3, 30), color=("white", "brown"))
    AddNoise(snr_db=(3, 30), color=(0, 2))
    """

    def __init__(
        self, snr_db: float | Range = (3.0, 30.0), *, color: Color | tuple[Color, Color] = "white", p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.snr_db = check_range("snr_db", snr_db, "dB")
        self.color = _exponents(color)

    def extra_repr(self) -> str:
        """Show the ranges of this augmentation."""
        own = [shown("snr_db", self.snr_db), shown("color", self.color), super().extra_repr()]
        return ", ".join(part for part in own if part)

    def drawn(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw this augmentation's ratio in dB, exponent, and seed of the noise, (batch,) each, for the clips."""
        return draws.uniform(*self.snr_db), draws.uniform(*self.color), draws.noise_seeds()

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Add this augmentation's noise to the active clips, by a kernel, which makes the white noise, too."""
        ratios, exponents, seeds = self.drawn(draws.on_tensors())
        own, shares = channel_seeds(seeds, clips.waveforms), 10.0 ** (-ratios.numpy() / 10)
        if self.color == _WHITE:
            return ratio_step(rows, own, shares, clips.size)
        noise = kept_empty((len(rows), own.shape[1], clips.size), torch.float32)
        lengths, weights = clips.lengths.tolist(), bin_weights(exponents)

        def work(number: int) -> None:
            row = rows[number]
            if lengths[row]:
                made = shaped_noise(own[row], weights[row : row + 1], lengths[row])
                noise[number, :, : lengths[row]] = made

        deal_without_graph(work, len(rows))
        pieces = Pieces.of(list(noise), own.shape[1])
        return None if pieces is None else background_step(rows, pieces, shares, 0.0)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Add this augmentation's noise to the active clips."""
        ratios, exponents, seeds = self.drawn(draws)
        if may_look(clips):

            def one(row: int, waveform: torch.Tensor) -> torch.Tensor:
                own = slice(row, row + 1)
                return self._noisy(waveform[None], None, seeds[own], exponents[own], ratios[own])[0]

            return changed_rows(clips, active & (clips.lengths > 0), one)
        return clips.put(active, self._noisy(clips.waveforms, clips.lengths, seeds, exponents, ratios))

    def _noisy(
        self,
        waveforms: torch.Tensor,
        lengths: torch.Tensor | None,
        seeds: torch.Tensor,
        exponents: torch.Tensor,
        ratios: torch.Tensor,
    ) -> torch.Tensor:
        """Add this augmentation's noise to clips that are all as long as `lengths`, or as the tensor."""
        each, n = channel_seeds(seeds, waveforms), waveforms.shape[-1]
        channels, own = each.shape[1], each.flatten()
        if self.color == _WHITE:
            noise = torch.stack(normal_pairs(own, -(-n // 2)), -1).flatten(1)[:, :n]
        else:
            noise = colored_noise(own, exponents.repeat_interleave(channels), n)
        noise = noise.view(waveforms.shape)
        if lengths is None:
            lengths = torch.full_like(seeds, n)
        else:
            noise = clear_past(noise, lengths)
        # the root of 0 has no slope
        power, power_of_noise = powers(waveforms, lengths), powers(noise, lengths)
        audible = (power > 0) & (power_of_noise > 0)
        ratio = torch.where(audible, power, 1.0) / torch.where(audible, power_of_noise, 1.0)
        factors = torch.where(audible, ratio.sqrt() * 10.0 ** (-ratios / 20), 0.0).to(waveforms.dtype)
        return waveforms + noise.to(waveforms.dtype) * factors.view(-1, *[1] * (waveforms.dim() - 1))


def _exponents(color: Color | tuple[Color, Color]) -> Range:
    """Return the range of exponents that an augmentation's color means."""
    pair = color if isinstance(color, tuple | list) else (color, color)
    unknown = [each for each in pair if isinstance(each, str) and each not in COLORS]
    if unknown:
        raise ValueError(
            f"color={color!r} must be {', '.join(map(repr, COLORS))}, an exponent, or a range of them; "
            f"{unknown[0]!r} is none"
        )
    return check_range("color", tuple(COLORS[e] if isinstance(e, str) else e for e in pair), "the slope", -4.0, 4.0)  # type: ignore[arg-type]
