"""The feed: sampler, loader, collate and device loader in one object, with the faults, the statistics and the state."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_integer, shortened, warn_caller
from audiofeed.arguments.devices import as_device
from audiofeed.arguments.signature import complete, takes
from audiofeed.data.datasets import AudioFiles
from audiofeed.data.keys import ExampleKey
from audiofeed.feed.collate import BatchSettings, GPUSpecCollate, PadCollate, PaddingOptions
from audiofeed.loading.batch_work import Prepared
from audiofeed.loading.device_loader import DeviceLoader
from audiofeed.loading.fault_ledger import FaultLedger
from audiofeed.loading.guarded_dataset import GuardedDataset
from audiofeed.loading.loader_parts import parts_of, stateful_sampler
from audiofeed.loading.seeded_dataset import SeededDataset
from audiofeed.loading.stats import Stats
from audiofeed.loading.watch import close_workers, end_if_orphaned
from audiofeed.loading.worker_choice import MEASURED, check_workers, choose_workers
from audiofeed.sampling import ClipBatchSampler, DurationBatchSampler, EvaluationSampler
from audiofeed.sampling.planned_sampler import PlannedSampler

# torch's samplers of single clips
_SINGLE = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler, DistributedSampler)
_LAST_EPOCH = 2**63 - 1  # workers see it as 64 bits

_log = logging.getLogger("audiofeed")


class Feed:
    """Feed of a training loop: batches with features, ready on the device, from a dataset and a transform.

    It is a DataLoader with a sampler, a collate function and a `DeviceLoader`, which are its attributes: take it apart
    where you need something else. The same dataset, seed and epoch give the same examples in the same batches, whatever
    the number of workers, and on any number of ranks together the same examples.

    Every iteration is an epoch; the next has another order, and other crops. `set_epoch` chooses one. `state_dict` is
    the place after the last batch that the loop has had, and another feed goes on from there, also with another number
    of ranks or workers. As a context manager it ends its workers.

    Args:
        dataset: An `AudioFolder`, an `AudioManifest`, a `Mixture`, torch's Subset or ConcatDataset of such, or any
            dataset with a length and items by index that `GPUSpecCollate` takes.
        transform: A module from waveforms to features; None for batches of waveforms.
        batch_size: Clips in a batch, of neighbors in length where lengths are known. Give one of `batch_size`,
            `batch_seconds` and `sampler`.
        batch_seconds: Padded seconds in a batch, as `max_seconds` of `DurationBatchSampler`.
        sampler: A batch sampler of your own, for as many clips as the dataset has; it has `shuffle`, `evaluation`,
            `drop_last`, `seed`, `rank` and `world_size` of its own then, and those of the feed must be left alone.
        shuffle: True draws another order in every epoch. False is `evaluation=True`.
        evaluation: True gives every clip exactly once over all ranks, none twice, longest first, with the same crops in
            every iteration, as `EvaluationSampler` does.
        drop_last: True leaves out what does not fill the batches of all ranks.
        seed: Seed of the order, of what takes the place of items that fail, and of the augmentation of somebody else's
            dataset; the same on all ranks.
        rank: Number of this process; None for torch.distributed's when it is needed, or 0.
        world_size: Number of processes; None for torch.distributed's when it is needed, or 1.
        device: Where batches go, and where features are computed; None is the current accelerator at first use, else
            the CPU.
        workers: Processes that make batches. 0: none; a dataset of ours is then read in a thread of this process, any
            other in the loop. "threads": any dataset is read in a thread of this process. "auto": begins like 0,
            measures the first batches, and takes processes if loading does not hide behind the step and there are cores
            for them; `stats()` and a record of the logger "audiofeed" say what was chosen and why. No value depends on
            it.
        ahead: Batches in work before the loop asks for them, 0 or more.
        prefetch_factor: Batches that each worker makes ahead, 1 or more.
        timeout: Seconds that one read of a file may take before an error names it; None for any time.
        on_error: "raise" passes errors of the dataset on. "skip": an item of it that raises, is None, empty or has NaN
            or infinite samples is replaced by another, the same one whoever asks. A dataset of ours that was made with
            `on_error="skip"` does so by itself, whatever this says.
        max_fault_ratio: Share of the clips asked for (of 100 or more) that may fail; a larger one ends in a
            `FaultLimitError`. None for any share.
        fault_log: A file to which each fault is appended as a line of JSON; None for none.
        output: As in `GPUSpecCollate`.
        augment: As in `GPUSpecCollate`. Items that have no seed of their own get one from `seed` and the sampler's key.
        padding: As in `GPUSpecCollate`.
        layout: As in `GPUSpecCollate`.
        unsynchronized: As in `GPUSpecCollate`.

    Attributes:
        dataset: The dataset; somebody else's in a guard where it is read with `on_error="skip"`, and with seeds where
            its clips are augmented.
        sampler: The batch sampler.
        collate: The collate function.
        loader: The DataLoader.
        device_loader: The `DeviceLoader` around it.
        faults: The `FaultLedger`.

    Raises:
        TypeError: `dataset` has no length or is iterable only, `sampler` yields single clips, or another argument is
            not of its type.
        ValueError: None or several of `batch_size`, `batch_seconds` and `sampler` are given, `sampler` was made for
            another number of clips or comes with a setting that it has itself, or an argument is out of range.
        OSError: `fault_log` cannot be written.
        ReadTimeoutError, WorkerDiedError, FaultLimitError: When iterated.

    >>> clips = [(torch.ones(400 + n), n) for n in range(5)]
    >>> class Energy(torch.nn.Module):
    ...     def forward(self, waveform):
    ...         return waveform.unfold(-1, 4, 4).square().sum(-1).unsqueeze(-2)
    >>> with Feed(clips, Energy(), batch_size=2, shuffle=False, device="cpu", workers=0) as feed:
    ...     [batch.targets.tolist() for batch in feed]
    [[0, 1], [2, 3], [4]]
    """

    @takes(BatchSettings)
    def __init__(
        self,
        dataset: Any,
        transform: torch.nn.Module | None = None,
        *,
        batch_size: int | None = None,
        batch_seconds: float | None = None,
        sampler: Any = None,
        shuffle: bool = True,
        evaluation: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        device: torch.device | str | int | None = None,
        workers: int | Literal["auto", "threads"] = "auto",
        ahead: int = 2,
        prefetch_factor: int = 2,
        timeout: float | None = 300.0,
        on_error: Literal["raise", "skip"] = "raise",
        max_fault_ratio: float | None = 0.1,
        fault_log: str | os.PathLike[str] | None = None,
        output: Literal["batch", "tuple", "tensors"] = "batch",
        augment: Callable[..., Any] | None = None,
        padding: Literal["mask", "silence", "waveform"] | float | None = None,
        layout: Literal["bins_frames", "frames_bins"] = "bins_frames",
        unsynchronized: Literal["error", "allow"] = "error",
        **settings: Unpack[PaddingOptions],
    ) -> None:
        self._check_dataset(dataset)
        for name, value in (("shuffle", shuffle), ("evaluation", evaluation), ("drop_last", drop_last)):
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name}={value!r} must be True or False")
        check_choice("on_error", on_error, ("raise", "skip"))
        self._asked = check_workers(workers)
        self._prefetch = check_count("prefetch_factor", prefetch_factor, "a number of batches, 1 or more")
        check_integer("ahead", ahead, "an integer of at least 0; 0 does everything in the loop", least=0)
        guarded = on_error == "skip"
        if sampler is not None:
            _check_left_to(
                sampler,
                shuffle=(shuffle, True),
                evaluation=(evaluation, False),
                drop_last=(drop_last, False),
                # the guard draws with it what takes the place of items that fail, and augmentation follows from it
                seed=(0 if guarded or augment is not None else seed, 0),
                rank=(rank, None),
                world_size=(world_size, None),
            )
        if evaluation and getattr(augment, "training", False):
            warn_caller(
                "evaluation=True augments the clips of an evaluation, alike in every pass, since augment= is given in "
                "training mode: leave it out, or give augment.eval() if it is not trained with as well"
            )
        # datasets of ours seed their examples themselves
        seeded = augment is not None and not isinstance(dataset, AudioFiles)
        self.dataset = GuardedDataset(dataset, seed, settings.get("to_example")) if guarded else dataset
        if seeded:
            self.dataset = SeededDataset(self.dataset, seed)
        self.sampler = _sampler_of(
            dataset,
            batch_size=batch_size,
            batch_seconds=batch_seconds,
            sampler=sampler,
            evaluation=evaluation or not shuffle,
            drop_last=drop_last,
            # guard and seeds take keys, and give the dataset those that it takes
            common={"rank": rank, "world_size": world_size, "keys": True if guarded or seeded else None},
            seed=seed,
        )
        collate: Any
        if transform is None:
            _check_unused(output=(output, "batch"), augment=(augment, None), padding=(padding, None))
            collate = PadCollate(**settings)
        else:
            collate = GPUSpecCollate(
                transform,
                device=device,
                output=output,
                max_ahead=ahead,
                augment=augment,
                padding=padding,
                layout=layout,
                unsynchronized=unsynchronized,
                **settings,
            )
        self.collate = collate
        self._device = None if device is None else as_device(device)
        self._settled = self._asked != "auto"
        self.loader = self._make_loader(self._asked if isinstance(self._asked, int) else 0)
        self.device_loader = DeviceLoader(self.loader, ahead=ahead, device=device, timeout=timeout)
        self.device_loader._loads_anywhere = self._asked == "threads"
        self.device_loader._told = self._take_note
        self.faults = FaultLedger(max_fault_ratio, fault_log)
        for part in parts_of(self.loader):
            if isinstance(part, AudioFiles):
                self.faults.note_scan(part.faults)
        self._chosen = self.loader.num_workers

    @staticmethod
    def _check_dataset(dataset: Any) -> None:
        if isinstance(dataset, str | os.PathLike):
            raise TypeError(
                f"dataset={str(dataset)!r} is a path, and must be a dataset: audiofeed.AudioFolder({str(dataset)!r}, "
                "sample_rate=16000)"
            )
        if isinstance(dataset, IterableDataset) or not (
            hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        ):
            raise TypeError(
                f"dataset={type(dataset).__name__} has no length and items by index, which a feed draws batches from; "
                "for a stream, give DeviceLoader a DataLoader of it: DeviceLoader(DataLoader(dataset, batch_size=..., "
                "collate_fn=GPUSpecCollate(transform)))"
            )

    def _make_loader(self, workers: int) -> DataLoader[Any]:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        kind = self._device or accelerator or torch.device("cpu")
        return DataLoader(
            self.dataset,
            batch_sampler=self.sampler,
            collate_fn=self.collate,
            worker_init_fn=end_if_orphaned,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=self._prefetch if workers else None,
            pin_memory=accelerator is not None and kind.type in ("cuda", "xpu"),
            # its own, so that the number of workers draws nothing from the numbers of the training loop
            generator=torch.Generator().manual_seed(0),
        )

    # iteration

    def __iter__(self) -> Iterator[Any]:
        """Iterate over an epoch of the feed's batches."""
        if self._settled:
            if self._chosen != self.loader.num_workers:
                # chosen in a pass that could not be left in its course
                self._use(self._chosen)
            return iter(self.device_loader)
        return self._measuring()

    def _measuring(self) -> Iterator[Any]:
        """Iterate over an epoch, and settle the number of workers in its course, at a place that loses no batch."""
        while True:
            batches = iter(self.device_loader)
            for batch in batches:
                yield batch
                # without a state, this pass stays as it began, and the next one takes the workers
                if not self._settled and self._settle() and self._has_state():
                    break
            else:
                return
            # what is in work is dropped, and comes again from where the loop is
            state = self.device_loader.state_dict()
            batches.close()  # type: ignore[attr-defined]
            self._use(self._chosen)
            self.device_loader.load_state_dict(state)

    def _settle(self) -> bool:
        """Choose the feed's workers once enough is measured; return True if that is another number than now."""
        stats = self.device_loader.stats()
        load = self.device_loader._meter.load_seconds
        if stats.batches <= MEASURED:
            if stats.batches == 1:
                self._before = (stats, load)
            return False
        # no value depends on the number of workers, so it must be known whether loading draws from the loop's numbers
        safe = {safety.loading for safety in self.device_loader._safeties.values()} - {None}
        if not safe:
            return False
        before, loaded = self._before
        count = stats.batches - before.batches
        spent = {name: stats.seconds[name] - before.seconds[name] for name in stats.seconds}
        made = sum(spent[name] for name in ("read", "decode", "resample", "collate"))
        seconds = (load - loaded) / count
        choice = choose_workers(
            load=seconds,
            work=max(made / count, seconds),
            step=spent["step"] / count,
            cores=stats.cores,
            threads=self.device_loader._loads_now,
            batches=count,
            draws=False in safe,
        )
        self._settled, self._chosen = True, choice.workers
        self.device_loader._meter.choice = choice.reason
        _log.info(choice.reason)
        return choice.workers > 0

    def _has_state(self) -> bool:
        return stateful_sampler(self.loader) is not None

    def _use(self, workers: int) -> None:
        self.loader = self.device_loader._loader = self._make_loader(workers)
        self.device_loader._safeties.clear()

    def __len__(self) -> int:
        """Return the number of batches of an epoch of the feed on this rank."""
        return len(self.sampler)

    def _take_note(self, prepared: Prepared) -> None:
        self.faults.add(prepared.faults, prepared.clips)

    # state

    @property
    def epoch(self) -> int:
        """Epoch of the feed's sampler: that of the latest iteration, or the one that was set since."""
        return int(self.sampler.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the feed's next iteration, for its sampler and its dataset.

        Args:
            epoch: 0 or more, below 2**63.

        Raises:
            ValueError: It is out of range.
            TypeError: It is not an integer.
        """
        try:
            number = operator.index(epoch)
        except TypeError as error:
            raise TypeError(f"epoch={epoch!r} must be an integer, the number of an epoch") from error
        if not 0 <= number <= _LAST_EPOCH:
            raise ValueError(f"epoch={epoch!r} must be 0 or more, and below 2**63")
        self.device_loader.set_epoch(number)

    def state_dict(self) -> dict[str, Any]:
        """Return the feed's place in its epoch, after the batches that the loop has had.

        Returns:
            A dict that JSON can hold, for `load_state_dict` of a feed of the same dataset and settings with any number
            of workers and ranks.
        """
        return self.device_loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, with the next iteration of the feed, at a place that `state_dict` gave.

        Args:
            state: The state.

        Raises:
            ValueError: It was saved with other clips or settings; the message names what differs.
            TypeError: It is no mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state={shortened(state)} must be the dict that state_dict() of a feed gave")
        self.device_loader.load_state_dict(dict(state))

    def stats(self) -> Stats:
        """Return what each stage of the feed's batches took; `str` of it is a table with the bottleneck."""
        return self.device_loader.stats()

    def reset_stats(self) -> None:
        """Begin the feed's statistics anew, after a warm-up for example."""
        self.device_loader.reset_stats()

    # the end

    def close(self) -> None:
        """End the feed's workers and its unfinished iteration; the next iteration starts new ones."""
        self.device_loader._end_running(
            "this iteration is over, because its feed was closed; feed.state_dict() is its place: begin again from it "
            "with load_state_dict"
        )
        close_workers(self.loader)
        self.device_loader._meter.close()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "a Feed can be neither pickled nor copied: it has threads, and workers; make it anew from its dataset and "
            "settings where it is needed, and carry its place there: load_state_dict(feed.state_dict())"
        )

    def __repr__(self) -> str:
        asked = (
            self._asked if self._asked != "auto" else f"auto: {self.loader.num_workers}" if self._settled else "auto"
        )
        return f"Feed({type(self.dataset).__name__}, {self.sampler!r}, {self.collate!r}, workers={asked})"


complete(Feed)


def _sampler_of(
    dataset: Any,
    *,
    batch_size: int | None,
    batch_seconds: float | None,
    sampler: Any,
    evaluation: bool,
    drop_last: bool,
    common: dict[str, Any],
    seed: int,
) -> Any:
    """Return the batch sampler of a feed, as it was given or made by its settings."""
    given = {"batch_size": batch_size, "batch_seconds": batch_seconds, "sampler": sampler}
    there = [name for name, value in given.items() if value is not None]
    if len(there) != 1:
        found = " and ".join(f"{name}={given[name]!r}" for name in there) or "none of them"
        raise ValueError(
            f"give one of batch_size (clips), batch_seconds (padded seconds) and sampler, and {found} is given; to "
            "limit both clips and seconds, pass sampler=DurationBatchSampler(dataset, max_seconds=..., max_clips=...)"
        )
    if sampler is not None:
        _check_own(sampler, len(dataset))
        return sampler
    if isinstance(dataset, Sequence | np.ndarray | torch.Tensor):
        # a sampler would take it for lengths
        common = {**common, "keys": common["keys"] or False}
        dataset = len(dataset)
    if evaluation:
        if drop_last:
            raise ValueError("drop_last=True leaves clips out, and evaluation takes each once; omit one of them")
        return EvaluationSampler(dataset, batch_size=batch_size, max_seconds=batch_seconds, **common)
    if batch_size is not None:
        return ClipBatchSampler(dataset, batch_size=batch_size, seed=seed, drop_last=drop_last, **common)
    assert batch_seconds is not None
    return DurationBatchSampler(dataset, max_seconds=batch_seconds, seed=seed, drop_last=drop_last, **common)


def _check_left_to(sampler: Any, **given: tuple[Any, Any]) -> None:
    """Raise a ValueError for an argument of a feed that a sampler of one's own decides for itself."""
    odd = [f"{name}={value!r}" for name, (value, default) in given.items() if value is not default and value != default]
    if odd:
        raise ValueError(
            f"{', '.join(odd)} has no effect on sampler={type(sampler).__name__}, which has an order and ranks of its "
            "own; give it to that sampler, or give the feed batch_size or batch_seconds instead of a sampler"
        )


def _check_own(sampler: Any, clips: int) -> None:
    """Check that a sampler that a feed was given yields batches, and of a dataset of as many clips."""
    name = type(sampler).__name__
    if not hasattr(sampler, "__iter__"):
        raise TypeError(f"sampler={name} must yield lists of keys, as ClipBatchSampler does")
    planned = isinstance(sampler, PlannedSampler)
    first = sampler[0] if isinstance(sampler, Sequence) and len(sampler) else None
    single = sampler._single if planned else isinstance(sampler, _SINGLE) or isinstance(first, int | ExampleKey)
    if single:
        raise TypeError(
            f"sampler={name} yields single clips, and must yield batches: lists of keys; give ClipBatchSampler, "
            "EvaluationSampler with batch_size, torch's BatchSampler around yours, or the feed's batch_size alone"
        )
    if planned:
        known = sampler._source.clips
    else:
        inner = getattr(sampler, "sampler", None)
        held = getattr(
            inner, "data_source" if isinstance(inner, SequentialSampler | RandomSampler) else "dataset", None
        )
        known = len(held) if isinstance(inner, _SINGLE) and isinstance(held, Sized) else clips
    if known != clips:
        raise ValueError(
            f"sampler={name} was made for {known} clips, and the dataset has {clips}; make it from the dataset of the "
            "feed, and for a part of that give both torch's Subset"
        )


def _check_unused(**given: tuple[Any, Any]) -> None:
    """Raise a ValueError for an argument of a feed that has no effect without a transform."""
    for name, (value, default) in given.items():
        if value != default:
            raise ValueError(f"{name}={value!r} has no effect without a transform, which gives features; omit it")
