"""Mixup: each clip mixed with one of a dataset, and its target with that one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Fetch, check_read
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.examples import Examples
from audiofeed.augment.contract.in_time import InTime
from audiofeed.augment.mixing.labels import Labels, LabelSettings, Mix
from audiofeed.augment.mixing.mixing import Mixing, with_mix
from audiofeed.augment.mixing.partners import Fit, Fitting, level_weights
from audiofeed.signal.samples import INT16_SCALE

By = Literal["amplitude", "energy"]


class Mixup(Mixing):
    """Augmentation that mixes each clip with one of a dataset, and their targets: mixup, between-class learning.

    The partner is drawn by the clip's seed and read in the worker, so that a clip has the same partner and the same
    crop of it in any batch, at any number of workers and ranks. It is read, padded and collated as the batch's own
    examples are. `MixWithin` reads nothing, and mixes the clips of a batch with each other.

    `batch.fields["mix_weight"]` is the clip's own share, float32 (batch,), 1 where it was not mixed, and
    `batch.fields["mix_partner"]` the partners' names, None where there is none. Other fields are the clip's own, but
    for those in time. In evaluation mode (`.eval()`) nothing is mixed, and targets stay as they are.

    Follows Zhang et al. 2018 (ICLR) and, for by="energy", Tokozume et al. 2018 (ICLR). AST's mixup is alpha=10 and
    p=0.5 with targets of several classes, PANNs' is alpha=1. Theirs draw from the global generator.

    Args:
        dataset: Map-style dataset, with a length; the one that is trained on, or another.
        alpha: The clip's share is drawn from Beta(alpha, alpha), above 0. 1: every share alike; below: mostly one of
            the two; above: about half.
        n_classes: Number of classes of targets that are integers, 2 or more; they become (batch, n_classes) float32. A
            mapping of them by name where targets are a dict. None: no target is an integer.
        labels: What becomes of targets. "mix": they are weighted by the shares and added. "union": the larger of the
            two is taken, as for tags. "own": they stay the clip's.
        by: What the share is one of. "amplitude": the mix is share * clip + (1 - share) * partner. "energy": of the
            energy, over the clip's true length; the mix is as loud as the clip.
        fit: What becomes of a shorter partner. "tile": it is repeated to the clip's end. "once": it is heard once. A
            longer one is cut at a drawn place.
        p: Probability that a clip is mixed, 0 to 1. Partners of the others are not read.

    Raises:
        TypeError: The dataset has no length, or no examples by index.
        ValueError: An argument is out of range; or, when called, a target cannot be mixed, or the partner has another
            sample rate or other channels.

    >>> class Tones(torch.utils.data.Dataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return torch.full((4,), 0.1 + index), torch.eye(2)[index]
    >>> Mixup(Tones(), alpha=0.4)
    Mixup(2 clips, alpha=0.4, labels='mix', by='amplitude', fit='tile')
    """

    def __init__(
        self,
        dataset: Any,
        *,
        alpha: float = 1.0,
        n_classes: int | Mapping[str, int] | None = None,
        labels: Labels = "mix",
        by: By = "amplitude",
        fit: Fit = "tile",
        p: float = 1.0,
    ) -> None:
        super().__init__(alpha, LabelSettings(n_classes=n_classes, labels=labels), p)
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(
                f"dataset={type(dataset).__name__} must have a length and examples by index; an iterable one has "
                "neither: give MixWithin, which mixes the clips of a batch"
            )
        if len(dataset) < 1:
            raise ValueError(f"dataset={type(dataset).__name__} has no examples; give one that has some")
        check_choice("by", by, ("amplitude", "energy"))
        check_choice("fit", fit, ("tile", "once"))
        self.dataset, self.by, self.fit = dataset, by, fit

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        return f"{len(self.dataset)} clips, {super().extra_repr()}, by={self.by!r}, fit={self.fit!r}"

    def fetcher(self) -> Fetch:
        """Return what names the partners of this augmentation's clips, in a worker."""
        return PartnersBySeed(self.dataset, self.p, self.stream)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Mix the waveforms of this augmentation's clips, and their targets."""
        if clips.fetched is None:
            raise ValueError(
                f"{type(self).__name__} has its partners read in a collate's worker, and these clips were not there: "
                "give it to GPUSpecCollate(augment=...) or Feed(augment=...)"
            )
        check_read(self, clips.fetched["p"])
        given = clips.fetched["partners"]
        share, places = draws_of(self, draws, active)
        if given["waveforms"] is None:
            none = torch.zeros_like(active)
            fitting = Fitting(clips.lengths, clips.lengths, rows_of(clips), places, none, self.fit)
            return mixed_within(self, clips, torch.ones_like(share), fitting, clips, given["names"], mixes=False)
        rows = given["rows"].to(active.device)
        active = active & (rows >= 0)
        share, rows = torch.where(active, share, 1.0), rows.clamp_min(0)
        partners = _as_channels_of(clips, given)
        fitting = Fitting(clips.lengths, partners.lengths[rows], rows, places, active, self.fit)
        return mixed_within(self, clips, share, fitting, partners, given["names"])


@dataclass(frozen=True)
class PartnersBySeed:
    """Names the partners of an augmentation's mix by the seeds of its clips, for the worker to read them.

    Args:
        dataset: The dataset.
        p: Probability that a clip is mixed at all.
        stream: Name of the augmentation's draws.
    """

    dataset: Any
    p: float
    stream: str

    def __call__(
        self, seeds: torch.Tensor, lengths: torch.Tensor, rate: int | None, channels: int | None
    ) -> dict[str, Any]:
        """Return the examples for the clips of an augmentation that are mixed, `partners`, and `p`."""
        active = Draws(seeds, self.stream).chosen(self.p)
        draws = Draws(seeds, "partners of Mixup")
        indices, epochs = draws.integers(len(self.dataset)), draws.integers(2**31)
        rows = torch.where(active, active.cumsum(0) - 1, -1)
        return {"partners": Examples(self.dataset, indices[active], epochs[active], rows), "p": self.p}


def rows_of(clips: Clips) -> torch.Tensor:
    """Return the rows of an augmentation's clips, int64 (batch,)."""
    return torch.arange(clips.batch, device=clips.lengths.device)


def draws_of(mixing: Mixing, draws: Draws, active: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the shares of an augmentation's mix, and the numbers by which partners are cut, each (batch,)."""
    places = draws.uniform()
    return mixing.share(draws, active), places


def mixed_within(
    mixing: Any,
    clips: Clips,
    share: torch.Tensor,
    fitting: Fitting,
    partners: Clips,
    names: Any,
    *,
    mixes: bool = True,
) -> Clips:
    """Mix the waveforms of an augmentation's clips with those of their partners, and the targets.

    Args:
        mixing: The augmentation; has `settings` and `by`.
        clips: The clips.
        share: float64 (batch,), the clip's own.
        fitting: How partners are brought to the clips' lengths.
        partners: What the partners are among.
        names: The partners' names, for the batch.
        mixes: False where no clip has a partner.
    """
    mine, theirs, waveforms = share, 1 - share, clips.waveforms
    if mixes:
        placed = fitting.placed(partners.waveforms, clips.size)
        if mixing.by == "energy":
            mine, theirs = level_weights(share, waveforms, placed, clips.lengths)
        spread = (-1, *[1] * (waveforms.dim() - 1))
        mixed = torch.addcmul(
            mine.to(waveforms.dtype).view(spread) * waveforms, theirs.to(waveforms.dtype).view(spread), placed
        )
        waveforms = clips.put(fitting.active, mixed).waveforms
    mix = Mix(mixing.settings, share, fitting.active, (mine, theirs), fitting, (clips.size, partners.size))
    return clips.with_values(waveforms=waveforms, **mixed_targets(mix, clips, partners, names))


def mixed_targets(mix: Mix, clips: Clips, partners: Clips, names: Any) -> dict[str, Any]:
    """Return the targets and the fields of an augmentation's mix, by these names.

    Args:
        mix: How the clips were mixed.
        clips: The clips.
        partners: What the partners are among.
        names: The partners' names, for the batch.
    """
    fields = dict(clips.fields)
    if mix.settings.labels != "own":
        for name, entry in fields.items():
            if isinstance(entry, InTime):
                fields[name] = mix.targets(entry, partners.fields.get(name), f"fields[{name!r}]")
    return {
        "targets": mix.targets(clips.targets, partners.targets),
        "fields": with_mix(fields, mix.weights, names),
    }


def _as_channels_of(clips: Clips, given: Mapping[str, Any]) -> Clips:
    """Return the partners of an augmentation's clips as clips, with as many channels as these have."""
    waveforms, wanted = given["waveforms"], clips.waveforms
    if waveforms.dtype == torch.int16:
        waveforms = waveforms.to(wanted.dtype) * INT16_SCALE
    waveforms = waveforms.to(wanted.dtype)
    if wanted.dim() == 3 and waveforms.dim() == 2:
        waveforms = waveforms[:, None]
    if wanted.dim() == 3 and waveforms.shape[1] == 1:
        waveforms = waveforms.expand(-1, wanted.shape[1], -1)
    if waveforms.shape[1:-1] != wanted.shape[1:-1]:
        raise ValueError(
            f"the clips are {tuple(wanted.shape[1:-1])} channels and their partners {tuple(waveforms.shape[1:-1])}; "
            "mix both down (mono=True in the dataset or the collate)"
        )
    return Clips(
        waveforms,
        given["lengths"],
        torch.zeros_like(given["lengths"]),
        clips.sample_rate,
        targets=given["targets"],
        fields=given["fields"],
    )
