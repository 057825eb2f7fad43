"""Targets of clips that an augmentation mixes: weighted and added, united, or one's in a stretch of the other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.in_time import InTime, Rule
from audiofeed.augment.mixing.partners import Fitting

Labels = Literal["mix", "union", "own"]


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What becomes of targets in an augmentation that mixes clips.

    Args:
        n_classes: Number of classes of targets that are integers, 2 or more; a mapping of them by name where targets
            are a dict; None: there are none.
        labels: "mix", "union" or "own".
    """

    n_classes: int | Mapping[str, int] | None = None
    labels: Labels = "mix"

    def __post_init__(self) -> None:
        check_choice("labels", self.labels, ("mix", "union", "own"))
        given = self.n_classes
        numbers = list(given.values()) if isinstance(given, Mapping) else [given]
        if given is not None and not all(type(n) is int and n >= 2 for n in numbers):
            raise ValueError(f"n_classes={given!r} must be an integer, 2 or more, or a mapping of them by target")

    def of(self, name: str) -> int | None:
        """Return the number of classes of a target in an augmentation's mix, by its name; None if unknown."""
        return self.n_classes.get(name) if isinstance(self.n_classes, Mapping) else self.n_classes


@dataclass(frozen=True, eq=False)
class Mix:
    """How the clips of an augmentation were mixed, for their targets.

    Args:
        settings: What becomes of targets.
        weights: float64 (batch,), the clip's own share, 1 where it was not mixed.
        active: (batch,) bool.
        waveforms: Weights of the waveforms themselves, float64 (batch,) each; None where a stretch was replaced.
        fitting: How the partners were brought to the clips' lengths.
        size: Samples of the padded waveforms, of the clips and of the partners.
        stretch: First and last but one sample of the stretch that was replaced, (batch,) each; None: none.
    """

    settings: LabelSettings
    weights: torch.Tensor
    active: torch.Tensor
    waveforms: tuple[torch.Tensor, torch.Tensor] | None
    fitting: Fitting
    size: tuple[int, int]
    stretch: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def rule(self) -> Rule:
        """What becomes of labels of both in one frame of an augmentation's mix."""
        return "max" if self.settings.labels == "union" else "sum"

    def targets(self, own: Any, others: Any, name: str = "targets") -> Any:
        """Return the targets of an augmentation's mix.

        Args:
            own: Targets of the clips.
            others: Those that the partners are among.
            name: What they are, for an error.

        Raises:
            ValueError: They cannot be mixed; the message says what to do.
        """
        if self.settings.labels == "own" or own is None:
            return own
        if others is None:
            raise ValueError(f"the partners of this mix have no {name}; give labels='own' to keep the clips' own")
        if isinstance(own, InTime):
            return self.in_time(own, others, name)
        if isinstance(own, torch.Tensor) and isinstance(others, torch.Tensor):
            return self._tensor(own, others, name)
        if isinstance(own, Mapping) and isinstance(others, Mapping) and own.keys() <= others.keys():
            return {key: self.targets(entry, others[key], str(key)) for key, entry in own.items()}
        if isinstance(own, tuple) and type(own) is type(others) and len(own) == len(others):
            pairs = enumerate(zip(own, others, strict=True))
            entries = [self.targets(mine, other, f"{name}[{i}]") for i, (mine, other) in pairs]
            return type(own)(*entries) if hasattr(own, "_fields") else tuple(entries)
        raise ValueError(
            f"{name} of the clips are {type(own).__name__} and those of their partners {type(others).__name__}, which "
            "cannot be mixed; give targets that are numbers, one for each clip (target_type=, target_collate=), or "
            "labels='own' to keep the clips' own"
        )

    def in_time(self, own: Any, others: Any, name: str) -> Any:
        """Return targets in time of an augmentation's mix, before they are brought to frames.

        Args:
            own: Those of the clips.
            others: Those that the partners are among.
            name: What they are, for an error.
        """
        if type(own) is not type(others):
            raise ValueError(
                f"{name} of the clips are {type(own).__name__} and those of their partners {type(others).__name__}; "
                "give both datasets the same target_type"
            )
        if self.fitting.fit == "tile":
            raise ValueError(
                f"{name} are events or labels in time, which fit='tile' would have to repeat with a short partner; "
                "give fit='once'"
            )
        partner = others.taken(self.fitting.rows).shifted(-self.fitting.offsets)
        if self.stretch is not None:
            return own.spliced(partner, *self.stretch)
        union = self.settings.labels == "union"
        weight = torch.ones_like(self.weights) if union else self.weights
        return own.mixed(partner, weight, self.active.double() if union else 1 - self.weights, self.rule)

    def _tensor(self, own: torch.Tensor, others: torch.Tensor, name: str) -> torch.Tensor:
        taken = others[self.fitting.rows]
        if own.is_floating_point() and own.dim() > 1 and own.shape[-1] == self.size[0] > 1:
            return self._waveform(own, others, name)
        if own.dtype == torch.bool:
            own, taken = own.float(), taken.float()
        elif not own.is_floating_point():
            n = self.settings.of(name)
            own, taken = _soft(own, n, name), _soft(taken, n, name)
        if own.shape != taken.shape:
            raise ValueError(
                f"{name} of the clips are {tuple(own.shape[1:])} each and those of their partners "
                f"{tuple(taken.shape[1:])}; give both datasets the same classes"
            )
        spread = (-1, *[1] * (own.dim() - 1))
        active = self.active.view(spread)
        if self.settings.labels == "union":
            return torch.where(active, torch.maximum(own, taken.to(own.dtype)), own)
        weight = self.weights.to(own.dtype).view(spread)
        return torch.where(active, weight * own + (1 - weight) * taken.to(own.dtype), own)

    def _waveform(self, own: torch.Tensor, others: torch.Tensor, name: str) -> torch.Tensor:
        """Return target waveforms of an augmentation's mix: the sources of a mixture are mixed as it is."""
        if others.shape[-1] != self.size[1] or own.shape[1:-1] != others.shape[1:-1]:
            raise ValueError(
                f"{name} of the clips are waveforms {tuple(own.shape[1:])} and those of their partners "
                f"{tuple(others.shape[1:])}; give both datasets the same"
            )
        spread = (-1, *[1] * (own.dim() - 1))
        placed = self.fitting.placed(others.to(own.dtype), own.shape[-1])
        if self.stretch is not None:
            mixed = torch.where(within(self.stretch, own), placed, own)
        else:
            assert self.waveforms is not None
            mine, theirs = (weight.to(own.dtype).view(spread) for weight in self.waveforms)
            mixed = mine * own + theirs * placed
        return torch.where(self.active.view(spread), mixed, own)


def within(stretch: tuple[torch.Tensor, torch.Tensor], like: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """Return a mask of an augmentation's clips, True between two places (batch,) along an axis.

    >>> within((torch.tensor([1]), torch.tensor([3])), torch.zeros(1, 4))
    tensor([[False,  True,  True, False]])
    """
    size = like.shape[axis]
    place = torch.arange(size, device=like.device)
    mask = (place >= stretch[0][:, None]) & (place < stretch[1][:, None])
    shape = [1] * like.dim()
    shape[0], shape[axis] = mask.shape[0], size
    return mask.view(shape)


def _soft(classes: torch.Tensor, n: int | None, name: str) -> torch.Tensor:
    """Return integer classes as targets of an augmentation's mix: 1 for the class, 0 for the others."""
    if classes.dim() != 1:
        raise ValueError(
            f"{name} are integers {tuple(classes.shape[1:])} of each clip, which cannot be mixed; give floats (labels "
            "of several classes, 0 and 1), or labels='own' to keep the clips' own"
        )
    if n is None:
        raise ValueError(
            f"{name} are integers, classes of which a mix has a share of each; say how many there are, n_classes=10, "
            "and the targets become (batch, n_classes) float32; or give labels='own' to keep the clips' own"
        )
    if classes.device.type == "cpu" and type(classes) is torch.Tensor and classes.numel():
        low, high = int(classes.min()), int(classes.max())
        if low < 0 or high >= n:
            raise ValueError(
                f"{name} have a class {low if low < 0 else high}, and n_classes={n}; they go from 0 to {n - 1}"
            )
    soft = torch.zeros(classes.shape[0], n, device=classes.device)
    return soft.scatter(1, classes.long()[:, None], 1.0)
