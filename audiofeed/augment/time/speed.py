"""Speed: a clip played faster or slower, which changes its length, its tempo and its pitch together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.in_time import with_targets_in_time
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.time.resampling import Grid, resampled, resampled_batch, resampled_lengths, weights

# a range is drawn from in steps of a 200th
_STEPS = 200
_MOST_DENOMINATOR = 1000
_LIMITS = (0.1, 10.0)


class Speed(Augmentation):
    """Augmentation that plays each clip at another speed, drawn for it: speed perturbation (Ko et al. 2015).

    At a factor of 1.1 a clip is shorter by 10 % and higher by 1.65 semitones. It is resampled by a windowed sinc of 32
    zero crossings on either side: flat within 0.001 dB up to 0.8 of the lower Nyquist frequency, 90 dB down beyond it.
    Each clip of a batch has a factor of its own. A clip of n samples has `ceil(n / factor)` afterwards, and events and
    labels at a frame rate are stretched with it. The batch becomes as wide as its widest clip could at the lowest
    factor, whatever is drawn.

    Args:
        factor: Range of the factor, above 1 for faster, 0.1 to 10; or one number. A range is drawn from uniformly in
            steps of 1/200.
        choices: Factors of which one is drawn, each as likely, instead of `factor`. Factors are taken as fractions of a
            common denominator up to 1000, which 0.9, 1.0 and 1.1 are exactly; others are rounded to thousandths.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none or has no step in it, choices that are none, both a factor and choices, or
            a `p` that is no probability.

    >>> clips = Clips(torch.ones(2, 900), torch.tensor([900, 450]), torch.tensor([5, 6]))
    >>> after = Speed(0.9).run(clips)
    >>> after.waveforms.shape, after.lengths.tolist()
    (torch.Size([2, 1000]), [1000, 500])
    >>> Speed(choices=(0.9, 1.0, 1.1))
    Speed(choices=(0.9, 1, 1.1))
    """

    changes = frozenset({"waveforms", "lengths", "targets", "fields"})
    follows = True

    def __init__(
        self, factor: float | Range | None = None, *, choices: Sequence[float] | None = None, p: float = 1.0
    ) -> None:
        super().__init__(p)
        if factor is not None and choices is not None:
            raise ValueError(
                f"factor={factor!r} and choices={choices!r} are two ways to say the same; give one of them"
            )
        self.choices = None if choices is None else _checked(choices)
        self.factor = check_range("factor", (0.9, 1.1) if factor is None else factor, "the speed", *_LIMITS)
        if self.choices is None and self.factor[0] == self.factor[1]:
            self.choices = (self.factor[0],)
        if self.choices is not None:
            self._grid, self._steps = _fractions(self.choices)
        else:
            self._grid, self._steps = Grid.of(_STEPS), _steps_within(self.factor)

    def extra_repr(self) -> str:
        """Show the factors of this augmentation."""
        own = shown("factor", self.factor)
        if self.choices is not None:
            listed = ", ".join(f"{factor:g}" for factor in self.choices)
            own = f"factor={listed}" if len(self.choices) == 1 else f"choices=({listed})"
        return ", ".join(part for part in (own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's factor of each clip, float64 (batch,)."""
        return self._drawn(draws).double() / self._grid.period

    def _drawn(self, draws: Draws) -> torch.Tensor:
        """Draw the factor of each clip of this augmentation, times the grid's period."""
        if self.choices is None:
            low, high = self._steps[0], self._steps[-1]
            return (low + draws.integers(high - low + 1)) * (self._grid.period // _STEPS)
        place = draws.integers(len(self._steps))
        found = torch.full_like(place, self._steps[0])
        for i, step in enumerate(self._steps[1:], start=1):
            found = torch.where(place == i, step, found)
        return found

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Resample the active clips of this augmentation, and stretch their targets in time."""
        grid = self._grid
        steps = torch.where(active, self._drawn(draws), grid.period)
        lengths = resampled_lengths(clips.lengths, steps, grid)
        scale = grid.period // _STEPS if self.choices is None else 1
        limits = (min(self._steps) * scale, max(self._steps) * scale)
        size = max(clips.size, -(-clips.size * grid.period // limits[0]))
        changes = steps != grid.period
        if may_look(clips):
            own = steps.tolist()
            kernels = {step: weights(torch.tensor([step], device="cpu"), grid, step)[0] for step in set(own)}

            def one(row: int, waveform: torch.Tensor) -> torch.Tensor:
                kernel = kernels[own[row]].to(waveform.dtype)
                flat = waveform if waveform.dim() == 2 else waveform[None]
                return resampled(flat, own[row], grid, kernel).view(*waveform.shape[:-1], -1)

            after = changed_rows(clips, changes, one, lengths, size)
        else:
            wide = F.pad(clips.waveforms, (0, size - clips.size))
            flat = clips.waveforms.view(clips.batch, -1, clips.size)
            all_changed = resampled_batch(flat, steps, grid, limits, size).view(wide.shape)
            after = clips.with_values(waveforms=wide, lengths=lengths).put(changes, all_changed)
        factors = grid.period / steps.double()
        return with_targets_in_time(after, lambda targets: targets.stretched(factors))


def _checked(choices: Sequence[float]) -> tuple[float, ...]:
    """Check the factors that an augmentation chooses from."""
    if isinstance(choices, str) or not isinstance(choices, Sequence) or not choices:
        raise ValueError(f"choices={choices!r} must be factors, one or more, as (0.9, 1.0, 1.1)")
    return tuple(check_range("choices", factor, "the speed", *_LIMITS)[0] for factor in choices)


def _fractions(factors: tuple[float, ...]) -> tuple[Grid, tuple[int, ...]]:
    """Return an augmentation's grid for factors of one denominator, and each of them times its period."""
    fractions = [Fraction(factor).limit_denominator(_MOST_DENOMINATOR) for factor in factors]
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    if denominator > _MOST_DENOMINATOR:
        denominator = _MOST_DENOMINATOR
    grid = Grid.of(denominator)
    return grid, tuple(round(fraction * grid.period) for fraction in fractions)


def _steps_within(limits: Range) -> tuple[int, ...]:
    """Return the steps of a 200th that lie in the range of an augmentation's factors."""
    low, high = math.ceil(limits[0] * _STEPS - 1e-6), math.floor(limits[1] * _STEPS + 1e-6)
    if low > high:
        raise ValueError(
            f"factor={limits!r} has no multiple of 1/{_STEPS} in it, which factors of a range are; give one number, or "
            "choices"
        )
    return tuple(range(low, high + 1))
