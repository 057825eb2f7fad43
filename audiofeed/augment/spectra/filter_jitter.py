"""Random band limits of mel filters, drawn for each clip, while the transform computes the features."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from audiofeed.augment.contract.augmentation import Augmentation, is_empty
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.ranges import Range, check_range
from audiofeed.methods.auditory.mel_filters import mel_filters
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Step, Wanted, through
from audiofeed.methods.precision import matmul
from audiofeed.parallel.observed import observed
from audiofeed.plans.tiles import FilterTiles, filter_tiles
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.stack import Stack
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Bank, split


class FilterJitter(Augmentation):
    """Augmentation of the mel filters of a transform, whose lower and upper limit are drawn for each clip.

    The spectrum is computed once; the filters are laid out anew between the drawn limits, and the features keep their
    shape. It works with transforms of mel filters (`MelSpectrogram`, `LogMelSpectrogram`, `MFCC`, `OnsetStrength`), and
    with a `Chain` or a `Stack` of which one has such filters. `frequencies` stay those of the transform.

    EfficientAT trains with f_min=(0, 9), f_max=(-1000, 1000), and draws once for a batch, so that all its clips have
    the same limits; here each has its own.

    Args:
        f_min: Range that is added to the transform's lower limit, in Hz, or one number.
        f_max: Range that is added to its upper limit, in Hz, or one number. The sum must stay up to half the sample
            rate.
        p: Probability that a clip is augmented, 0 to 1.

    Raises:
        ValueError: An argument is out of range; or, with a transform, its limits and these are no band.
        TypeError: The transform has no mel filters, or trains them.

    >>> from audiofeed.transforms.auditory.mel import LogMelSpectrogram
    >>> transform = LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40, f_max=7000.0)
    >>> clips = Clips(torch.ones(2, 1600), torch.tensor([1600, 800]), torch.tensor([1, 2]))
    >>> FilterJitter(f_max=(-500, 500)).around(transform, clips)(clips.waveforms, clips.lengths).shape
    torch.Size([2, 40, 17])
    """

    stage = "filters"
    changes = frozenset({"features"})

    def __init__(
        self, *, f_min: float | Range = (0.0, 9.0), f_max: float | Range = (-1000.0, 0.0), p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.f_min = check_range("f_min", f_min, "Hz")
        self.f_max = check_range("f_max", f_max, "Hz")

    def extra_repr(self) -> str:
        """Show the ranges of this augmentation."""
        return ", ".join([f"f_min={self.f_min}, f_max={self.f_max}", *filter(None, [super().extra_repr()])])

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Raise a TypeError: this augmentation is one of a transform, not of clips."""
        raise TypeError(
            "FilterJitter augments the filters of a transform, and not clips: give it to a collate, "
            "GPUSpecCollate(transform, augment=...), or call its around(transform, clips)"
        )

    def around(self, transform: nn.Module, clips: Clips, gate: torch.Tensor | None = None) -> nn.Module:
        """Return the transform with the filters of this augmentation, drawn for these clips.

        Args:
            transform: One of mel filters, or a `Chain` or `Stack` with one.
            clips: The clips.
            gate: (batch,) bool, False for clips whose filters stay; None: none of them.
        """
        if not self.training or self.p == 0 or clips.batch == 0:
            return transform
        draws = Draws(clips.seeds, type(self).__name__)
        active = draws.chosen(self.p)
        if gate is not None:
            active = active & gate
        if is_empty(active):
            return transform
        moved = [torch.where(active, draws.uniform(*limits), 0.0) for limits in (self.f_min, self.f_max)]
        found: list[OwnFilters] = []
        inner = self._around(transform, moved[0], moved[1], active, found)
        if not found:
            raise TypeError(
                f"FilterJitter works with transforms of mel filters (MelSpectrogram, LogMelSpectrogram, MFCC, "
                f"OnsetStrength), and a Chain or Stack with one; {type(transform).__name__} is none, or its filters "
                "were given (filters=), are trained (trainable_mel=True), or are jittered already"
            )
        return Jittered(transform, inner)

    def _around(
        self,
        transform: nn.Module,
        low: torch.Tensor,
        high: torch.Tensor,
        active: torch.Tensor,
        found: list[OwnFilters],
    ) -> nn.Module:
        if has_mel_filters(transform):
            self._check(transform)
            found.append(OwnFilters(transform, low, high, active))
            return found[-1]
        if not isinstance(transform, Chain | Stack):
            return transform
        own = copy.copy(transform)
        members = {name: self._around(member, low, high, active, found) for name, member in transform.named_children()}
        vars(own)["_modules"] = members
        return own

    def _check(self, transform: Any) -> None:
        """Check that any limits this augmentation may draw are a band of the transform's spectrum."""
        lows = [transform.f_min + moved for moved in self.f_min]
        highs = [transform.f_max + moved for moved in self.f_max]
        top = transform.sample_rate / 2
        if min(lows) < 0 or max(highs) > top or max(lows) >= min(highs):
            raise ValueError(
                f"f_min={self.f_min} and f_max={self.f_max} make limits from {min(lows):g}..{max(lows):g} to "
                f"{min(highs):g}..{max(highs):g} Hz of {type(transform).__name__}(f_min={transform.f_min:g}, "
                f"f_max={transform.f_max:g}); they must be from 0 up to {top:g} Hz, half the sample rate, the lower "
                "below the upper: take narrower ranges, or a lower f_max of the transform"
            )


def has_mel_filters(transform: nn.Module) -> bool:
    """Return True for a transform whose mel filters an augmentation can lay out anew.

    >>> has_mel_filters(nn.Identity())
    False
    """
    if not isinstance(transform, ShortTime) or type(transform).steps is not ShortTime.steps:
        return False
    mel, steps = getattr(transform, "_mel", None), transform.steps()
    bank = steps[0] if steps else None
    return mel is not None and mel.filters is None and isinstance(bank, Bank) and bank.tiles is not None


class Jittered(nn.Module):
    """Transform with filters of an augmentation: it computes by one module, and answers for its frames by another.

    Args:
        transform: The transform itself.
        inner: The same with filters for the clips of one batch.
    """

    def __init__(self, transform: nn.Module, inner: nn.Module) -> None:
        super().__init__()
        self.transform, self.inner = transform, inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("transform"), name)

    def __getitem__(self, name: Any) -> Any:
        """Return a member of the transform of this augmentation, of a Stack by its name."""
        return self.transform[name]  # type: ignore[index]

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        """Compute the features of the clips that this augmentation's filters were drawn for."""
        return self.inner(waveform, lengths)


class OwnFilters(nn.Module):
    """Transform of mel filters with limits of their own for each clip of an augmentation's batch.

    Args:
        transform: One that `has_mel_filters`.
        low: float64 (batch,), added to its lower limit, Hz.
        high: float64 (batch,), added to its upper limit, Hz.
        active: (batch,) bool, False for clips with the transform's own filters.
    """

    def __init__(self, transform: Any, low: torch.Tensor, high: torch.Tensor, active: torch.Tensor) -> None:
        super().__init__()
        self.transform = transform
        self.low, self.high, self.active = low, high, active

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames that the transform of this augmentation makes."""
        return self.transform.frame_lengths(lengths)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the features of each clip through its own filters."""
        clips = self.active.shape[0]
        if waveform.dim() < 2 or waveform.shape[0] != clips:
            raise ValueError(
                f"a waveform of shape {tuple(waveform.shape)} is not of the {clips} clips that FilterJitter drew "
                "filters for; call around(transform, clips) with the clips that are to be transformed"
            )
        if self.active.device.type == "cpu" and observed(waveform) is None and observed(self.active) is None:
            return self._one_by_one(waveform, lengths)
        return self._at_once(waveform, lengths)

    def _one_by_one(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute the features of an augmentation's clips on a CPU, each as its transform with such limits does."""
        found = []
        for row, (active, low, high) in enumerate(
            zip(self.active.tolist(), self.low.tolist(), self.high.tolist(), strict=True)
        ):
            own = slice(row, row + 1)
            transform = _with_limits(self.transform, low, high) if active else self.transform
            found.append(transform(waveform[own], None if lengths is None else lengths[own]))
        return torch.cat(found)

    def _at_once(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute the features of an augmentation's clips by one product of spectra and filters."""
        transform = self.transform
        weights = self.weights()

        def compute(rows: torch.Tensor, own: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
            plain = Wanted(transform.power, (), transform.root_offset)
            powers = transform.powers(rows, own, [plain], graph=graph)[0]
            filters = weights.to(powers.dtype).repeat_interleave(rows.shape[0] // weights.shape[0], 0)
            values = matmul(powers.transpose(1, 2), filters.transpose(1, 2))
            of_frames, _ = split(transform.steps())
            rest = [value for step in of_frames[1:] for value in step.on_frames(transform, rows)]
            return through(rest, values, None).transpose(1, 2)

        return transform.by_rows(compute, waveform, lengths)

    def weights(self) -> torch.Tensor:
        """Return the filters of each of an augmentation's clips, float64 (batch, filters, bins)."""
        mel = self.transform._mel
        return mel_filters(
            mel.f_min + self.low,
            mel.f_max + self.high,
            sample_rate=mel.sample_rate,
            n_fft=mel.n_fft,
            n_mels=mel.n_mels,
            mel_scale=mel.mel_scale,
            norm=mel.norm,
        )


@dataclass(frozen=True, eq=False)
class GivenBank:
    """Step of a short-time module through filters that an augmentation gives; as `steps.Bank`, for one clip.

    Args:
        weights: (filters, bins).
        tiles: Where they are not 0.
    """

    weights: torch.Tensor
    tiles: FilterTiles

    def on_frames(self, module: Transform, like: torch.Tensor) -> Sequence[Step]:
        """Return the filters of an augmentation in a waveform's dtype."""
        dtype = like.dtype if like.is_floating_point() else torch.float32
        return (FilterBank(self.weights.to(dtype), self.tiles),)


def _with_limits(transform: Any, low: float, high: float) -> Any:
    """Return a transform whose mel filters an augmentation has given other limits, for one clip."""
    mel = transform._mel
    weights = dataclasses.replace(mel, f_min=mel.f_min + low, f_max=mel.f_max + high).definition()
    own = copy.copy(transform)
    bank = GivenBank(torch.from_numpy(weights), filter_tiles(weights))
    vars(own)["_steps"] = (bank, *transform.steps()[1:])
    return own
