"""The base of every augmentation: when it is applied, by whose seeds, and what it is called with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clip_checks import check_values, checked_clips
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.feature_trees import all_frames
from audiofeed.augment.contract.ranges import check_probability
from audiofeed.augment.contract.sources import source_at, with_source_at
from audiofeed.augment.kernels.masks import of_features
from audiofeed.augment.kernels.rows import Rows, RowStep, done, readable
from audiofeed.drawing.reprs import module_repr
from audiofeed.parallel.observed import observed

Stage = Literal["waveforms", "filters", "features"]
STAGES: tuple[Stage, ...] = ("waveforms", "filters", "features")

# reads in a worker what an augmentation needs for clips: fetch(seeds, lengths, sample_rate, channels) -> tensors
Fetch = Callable[[torch.Tensor, torch.Tensor, "int | None", "int | None"], Any]


class Augmentation(torch.nn.Module):
    """Augmentation of a batch's clips on the device; the base of those in `audiofeed/augment/`.

    All that it draws for a clip follows from the clip's seed, so a clip is augmented alike in any batch, at any number
    of workers and ranks, and anew in each epoch. In evaluation mode (`.eval()`) it does nothing. It reads nothing back
    from the device.

    Give it to a collate, `GPUSpecCollate(transform, augment=...)`, or call it with tensors or with `Clips`. One of your
    own derives from it, names what it changes beside waveforms, and defines `change`.

    Args:
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Attributes:
        stage: What it augments: "waveforms", the "filters" of the transform, or "features".
        changes: Names of what it changes: "waveforms", "lengths", "targets", "fields", "features".
        always: Whether it is called, too, where it was drawn for no clip: to give targets their form, for example.
        follows: Whether target waveforms, the sources of a mixture, are changed as the clip is: where it moves in time
            or changes its level or sign. Noise, rooms and filters are heard in the clip alone, as something to undo.
        parts_sources: Whether it is refused for clips with target waveforms, which it would have to change otherwise.
        alone: Whether what becomes of a clip depends on the clip and its seed alone; one that mixes the clips of a
            batch with each other says False.

    Raises:
        ValueError: `p` is no probability; or, when called, the seeds are not one for each clip.

    >>> class Halve(Augmentation):
    ...     def change(self, clips, active, draws):
    ...         return clips.put(active, clips.waveforms / 2)
    >>> Halve()(torch.ones(2, 4), torch.tensor([4, 2]), torch.tensor([5, 6]))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000],
            [0.5000, 0.5000, 0.0000, 0.0000]])
    """

    stage: Stage = "waveforms"
    changes: frozenset[str] = frozenset({"waveforms"})
    follows: bool = False
    parts_sources: bool = False
    alone: bool = True
    always: bool = False

    def __init__(self, p: float = 1.0) -> None:
        super().__init__()
        self.p = check_probability("p", p)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Augment clips; an augmentation of your own defines this.

        Args:
            clips: The clips; at least one.
            active: (batch,) bool, True for the clips that are to be augmented. The others stay as they are:
                `clips.put(active, waveforms)` sees to it. There may be none.
            draws: What is drawn for each clip.

        Returns:
            The clips.
        """
        raise NotImplementedError(f"{type(self).__name__} must define change(clips, active, draws)")

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Return this augmentation's work on the active clips as a step of a kernel; None: `change` does it.

        It must not look at the samples: steps of augmentations before it may not be done yet.

        Args:
            clips: The clips, on a CPU, without a graph; at least one.
            rows: int64, those of the active clips, in increasing order.
            draws: What is drawn for each clip.
        """
        return None

    def planned(
        self,
        clips: Clips,
        gate: torch.Tensor | None = None,
        stage: Stage | None = None,
        draws: HostDraws | None = None,
    ) -> list[RowStep] | None:
        """Return what `run` would do as steps of kernels, which another may do later; None: only `run` can.

        Args:
            clips: The clips, of which the samples are not looked at.
            gate: As in `run`.
            stage: As in `run`.
            draws: Those of this augmentation for the clips; None: drawn here.
        """
        # first of all: a compiler follows no further
        if not may_look(clips) or type(self).run is not Augmentation.run or not _keeps(type(self)):  # type: ignore[arg-type]
            return None
        if self._idles(clips, stage):
            return []
        if clips.sources and (self.follows or self.parts_sources):
            return None
        values = clips.features if self.stage == "features" else clips.waveforms
        if not isinstance(values, torch.Tensor) or values.device.type != "cpu" or not readable(values):
            return None
        draws = HostDraws(clips.seeds, self.stream) if draws is None else draws
        rows = draws.rows(self.p, gate)
        if not len(rows) and not self.always:
            return []
        step = self.row_step(clips, rows, draws)
        return None if step is None else [step]

    def fetcher(self) -> Fetch | None:
        """Return what reads, in a worker, what this augmentation needs for a batch; None: it needs nothing.

        A function that can be pickled, called as `fetch(seeds, lengths, sample_rate, channels)` with the clips' seeds
        (batch,) and lengths (batch,) on the CPU, and their rate and number of channels (None for clips without the
        axis). What it returns, a tree of tensors, is `clips.fetched` on the device; `contract.examples.Examples` in it
        are read, padded and collated as the batch's own examples are, and an entry `faults` of a dict, a tuple of read
        errors, goes to `batch.faults`.
        """
        return None

    def around(self, transform: torch.nn.Module, clips: Clips, gate: torch.Tensor | None = None) -> torch.nn.Module:
        """Return the transform with this augmentation of its filters for these clips.

        Args:
            transform: The transform of the collate.
            clips: The clips, their waveforms augmented.
            gate: (batch,) bool, False for clips to leave out; None: none of them.

        Returns:
            A module with the transform's contract; the transform itself where nothing is changed.
        """
        return transform

    @property
    def stream(self) -> str:
        """Name of this augmentation's draws: what reads for it in a worker draws by the same."""
        return type(self).__name__

    @property
    def stages(self) -> frozenset[Stage]:
        """What this augmentation, or the members of a composed one, works on."""
        return frozenset({self.stage})

    def run(self, clips: Clips, gate: torch.Tensor | None = None, stage: Stage | None = None) -> Clips:
        """Augment the clips of a batch.

        Args:
            clips: The clips.
            gate: (batch,) bool, False for clips to leave out; None: none of them.
            stage: Do only what belongs to this stage; None: all.

        Returns:
            The clips.
        """
        if self._idles(clips, stage):
            return clips
        steps = self.planned(clips, gate, stage)
        if steps is not None:
            return with_steps(clips, steps)
        if clips.sources and self.parts_sources:
            raise ValueError(
                f"{type(self).__name__} would part the clips from their target waveforms, "
                f"{['.'.join(map(str, path)) for path in clips.sources]}, which it cannot change alike: do it in the "
                "dataset, before they are mixed"
            )
        draws, active = self._active(clips, gate)
        if self._leaves_out(gate) and is_empty(active) and not self.always:
            return clips
        after = self.change(clips, active, draws)
        for path in clips.sources if self.follows else ():
            # the same draws again
            draws = Draws(clips.seeds, self.stream)
            draws.chosen(self.p)
            own = clips.with_values(waveforms=source_at(clips, path), targets=None, fields={}, sources=())
            after = with_source_at(after, path, self.change(own, active, draws).waveforms)
        return after

    def _idles(self, clips: Clips, stage: Stage | None) -> bool:
        """Return True if this augmentation has nothing to do with clips."""
        return not self.training or self.p == 0 or clips.batch == 0 or stage not in (None, self.stage)

    def _leaves_out(self, gate: torch.Tensor | None) -> bool:
        """Return True if this augmentation may be drawn for no clip of a batch."""
        return gate is not None or self.p < 1

    def _active(self, clips: Clips, gate: torch.Tensor | None) -> tuple[Draws, torch.Tensor]:
        """Return this augmentation's draws, and the clips (batch,) that it augments."""
        draws = Draws(clips.seeds, self.stream)
        active = draws.chosen(self.p)
        return draws, active if gate is None else active & gate

    def forward(
        self,
        waveforms: torch.Tensor | Clips,
        lengths: torch.Tensor | None = None,
        seeds: torch.Tensor | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Any:
        """Augment the waveforms or the features of a batch.

        Args:
            waveforms: (batch, time) or (batch, channel, time), zero past each clip's end; for an augmentation of
                features (batch, ..., bins, frames); or `Clips`.
            lengths: (batch,) samples, or frames, of each clip; past them stays 0. None: all are as long as the batch.
            seeds: (batch,) int64; None: drawn from torch's generator.
            sample_rate: Hz, 1 or more, where the augmentation needs it.

        Returns:
            As given: a tensor of the same shape, or `Clips`.

        Raises:
            TypeError: A tensor is given, and the augmentation changes more than it; `Clips` stand beside arguments; or
                waveforms are not of floating point, or lengths or seeds not of integers.
            ValueError: Lengths or seeds are not one for each clip; `Clips` have no features to augment; or, on a CPU,
                lengths reach past the tensor.
        """
        if isinstance(waveforms, Clips):
            if lengths is not None or seeds is not None or sample_rate is not None:
                raise TypeError("Clips have their own lengths, seeds and sample rate; give them alone")
            if "features" in self.stages and waveforms.features is None:
                raise ValueError(
                    f"{type(self).__name__} augments features, and these clips have none: Clips(..., features=...)"
                )
            return self.run(checked_clips(waveforms))
        name = "features" if self.stage == "features" else "waveforms"
        others = self.changes - {name}
        if others or self.stages != {self.stage} or self.stage == "filters":
            raise TypeError(
                f"{type(self).__name__} changes {sorted(self.changes)}, which a call with one tensor cannot return: "
                "call it with audiofeed.augment.Clips(waveforms, lengths, seeds, ...), or give it to a collate"
            )
        clips = clips_of(waveforms, lengths, seeds, sample_rate, features=name == "features")
        return getattr(self.run(clips), name)

    _repr_html_ = module_repr

    def extra_repr(self) -> str:
        """Show the probability of the augmentation where it is not 1."""
        return "" if self.p == 1 else f"p={self.p:g}"


def with_steps(clips: Clips, steps: list[RowStep]) -> Clips:
    """Return the clips after steps of augmentations, done by kernels.

    Args:
        clips: The clips, as they were when the steps were planned.
        steps: As `Augmentation.planned` returns them.
    """
    if not steps:
        return clips
    jobs = {}
    for name in ("waveforms", "features"):
        own = [step for step in steps if step.of == name]
        if own and name == "waveforms":
            jobs[name] = Rows(clips.waveforms, clips.lengths.numpy(), own)
        elif own:
            jobs[name] = of_features(clips.features, all_frames(clips.features, clips.feature_lengths).numpy(), own)
    found = dict(zip(jobs, done(*jobs.values()), strict=True))
    if "features" in found:
        found["features"] = found["features"].view(clips.features.shape)
    return clips.with_values(**found)


@functools.lru_cache(maxsize=256)
def _keeps(kind: type) -> bool:
    """Return True if no class of an augmentation's defines `change` anew behind the one that defines `row_step`."""
    names = ("row_step", "change")
    owners = [next(place for place, cls in enumerate(kind.__mro__) if each in vars(cls)) for each in names]
    return kind.__mro__[owners[0]] is not Augmentation and owners[0] <= owners[1]


def check_read(augmentation: Augmentation, p: float) -> None:
    """Check that a worker has read for as many clips as an augmentation is now drawn for.

    Args:
        augmentation: The augmentation.
        p: Its probability when the collate was made, by which the worker reads.

    Raises:
        ValueError: It has been raised since.

    >>> check_read(Augmentation(p=0.2), 0.5)
    """
    if augmentation.p > p:
        raise ValueError(
            f"{type(augmentation).__name__} has p={augmentation.p:g}, and the collate was made when it was {p:g}, so "
            "that what some clips need was not read: make the collate anew, or lower p afterwards only"
        )


def is_empty(active: torch.Tensor) -> bool:
    """Return True if an augmentation was drawn for no clip of a batch; on another device than the CPU nobody looks.

    >>> is_empty(torch.tensor([False]))
    True
    """
    return active.device.type == "cpu" and observed(active) is None and not bool(active.any())


def clips_of(
    values: torch.Tensor,
    lengths: torch.Tensor | None,
    seeds: torch.Tensor | None,
    sample_rate: int | None,
    *,
    features: bool = False,
) -> Clips:
    """Make clips for an augmentation out of the tensors of a call.

    Args:
        values: (batch, [channel,] time), or features (batch, ..., bins, frames).
        lengths: (batch,) samples or frames; None: all.
        seeds: (batch,); None: drawn from torch's generator.
        sample_rate: Hz, or None.
        features: Whether the values are features.

    Raises:
        TypeError: A tensor is of another type than it must be.
        ValueError: The lengths or seeds are not one for each clip, or the values have fewer axes than they must.

    >>> clips_of(torch.zeros(2, 8), None, None, None).lengths
    tensor([8, 8])
    """
    check_values("features" if features else "waveforms", values)
    least = 3 if features else 2
    if values.dim() < least or (not features and values.dim() > 3):
        form = "(batch, ..., bins, frames)" if features else "(batch, time) or (batch, channel, time)"
        raise ValueError(f"a tensor of shape {tuple(values.shape)} must be {form}: give a single clip as clip[None]")
    batch, device = values.shape[0], values.device
    if lengths is None:
        lengths = torch.full((batch,), values.shape[-1], dtype=torch.int64, device=device)
    elif isinstance(lengths, torch.Tensor):
        lengths = lengths.to(device)
    if seeds is None:
        seeds = drawn_seeds(batch).to(device)
    elif isinstance(seeds, torch.Tensor):
        seeds = seeds.to(device)
    if not features:
        return checked_clips(Clips(values, lengths, seeds, sample_rate))
    nothing, none = values.new_zeros(batch, 0), torch.zeros(batch, dtype=torch.int64, device=device)
    if values.is_complex():
        nothing = nothing.real
    return checked_clips(Clips(nothing, none, seeds, sample_rate, features=values, feature_lengths=lengths))


def drawn_seeds(batch: int) -> torch.Tensor:
    """Draw seeds for an augmentation's clips from torch's generator, where nothing else gives them.

    Args:
        batch: Number of clips.

    Returns:
        int64 (batch,) on the CPU.

    >>> drawn_seeds(3).shape
    torch.Size([3])
    """
    return torch.randint(2**62, (batch,), device="cpu")
