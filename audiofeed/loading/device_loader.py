"""The loader around any other one: batches ready on the device, the next ones already in work."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from audiofeed.arguments.checks import check_positive
from audiofeed.arguments.devices import as_device
from audiofeed.loading.batch_work import BatchWork, Prepared
from audiofeed.loading.guarded_dataset import GuardedDataset
from audiofeed.loading.loader_parts import has_own_state, set_epoch, stateful_sampler
from audiofeed.loading.meter import Meter
from audiofeed.loading.pipeline import END, Pipeline, Safety, spare_cores
from audiofeed.loading.seeded_dataset import SeededDataset
from audiofeed.loading.stats import Stats
from audiofeed.loading.watch import (
    SEVERED,
    ReadTimeoutError,
    SharedMemoryFullError,
    Watch,
    WorkerDiedError,
    drop_dead_workers,
    end_workers,
)
from audiofeed.loading.wrapped_datasets import follow_epochs
from audiofeed.parallel.interrupts import held_interrupts
from audiofeed.sampling.sources import takes_keys

_VERSION = 1


@dataclass
class Pass:
    """Pass of a loop over a device loader, as far as it has come: what a state counts.

    Args:
        batches: Batches that the loop has had.
        clips: Clips in them.
        note: The loader's own state after the last of them, if it has one.
        epoch: Epoch of the loader's sampler at the first of them; None if it has none.
    """

    batches: int = 0
    clips: int = 0
    note: Any = None
    epoch: Any = None

    def count(self, clips: int, note: Any, epoch: Any) -> None:
        """Count a batch that the device loader hands to the loop."""
        if not self.batches:  # another that is set later is the next pass's
            self.epoch = epoch
        self.batches, self.clips, self.note = self.batches + 1, self.clips + clips, note


@dataclass
class Running:
    """Pass over a device loader that somebody may still ask for batches.

    Args:
        pipeline: What makes its batches; None before the first is asked for.
        ended: Why it gives no more, though the epoch is not over; empty while it does.
    """

    pipeline: Pipeline | None = None
    ended: str = ""

    def check(self) -> None:
        """Raise a RuntimeError if the device loader has ended the pass."""
        if self.ended:
            raise RuntimeError(self.ended)


class DeviceLoader:
    """Loader around any other one that has the next batches in work while the training loop uses this one.

    On CUDA and XPU, copies and features of the next `ahead` batches run on a side stream. On a CPU with more than one
    core, one background thread computes the features of the next batch while the model works on this one. Each batch
    is ready on the current stream when the loop has it, and equal, to the last bit, to that of the loader alone.

    What must not be done ahead of its turn stays where it was: features of a transform that is trained are computed at
    their first read, with the parameters and the mode of autograd of that time, and a loader or a transform that draws
    from the random numbers of the process (which two batches in the loop's own thread show) stays in the loop. Datasets
    of somebody else's without workers are read in the loop's thread, too.

    One iteration at a time: where the loader has a state, or workers that persist, both of which belong to one place in
    the epoch, a new iteration ends an unfinished older one, which raises a RuntimeError when it is asked for more.

    Everything else of the loader (`dataset`, `batch_sampler`, `sampler`, `num_workers`, ...) is reached as before.

    Args:
        loader: A DataLoader with any collate function, a StatefulDataLoader, or any other iterable of batches: tensors,
            dicts, lists and tuples of them, or batches of ours.
        transform: A module from waveforms to features, for batches without: those of a `PadCollate`, a tensor, a tuple
            that begins with one (features take its place), or a dict with `waveforms`, `waveform`, `audio` or
            `input_values` (features stand beside them, by the entry `lengths` if there is one). None: batches are as
            the loader makes them.
        ahead: Number of batches in work before the loop asks for them, 0 or more; 0 does everything in the loop.
        device: Where batches of somebody else's collate go, and where `transform` computes; None is the current
            accelerator at first use, else the CPU. Batches of a `GPUSpecCollate` go to that collate's device.
        timeout: Seconds that one read of a file may take, > 0, before a `ReadTimeoutError` names the file and the
            worker; of datasets that do not tell what they read, seconds without a batch. None waits for ever, and
            `ahead=0` and what is read in the loop's own thread cannot be watched.

    Raises:
        TypeError: `loader` cannot be iterated, or `transform` is not a module or takes features.
        ValueError: `ahead` is not an integer of at least 0, or `timeout` is not above 0; or, when iterated, `transform`
            is given and batches have features already.
        RuntimeError: When iterated: a newer iteration has ended this one, or an item raised StopIteration.
        WorkerDiedError: When iterated: a worker was killed; it names which, how, and what it was reading.

    >>> from torch.utils.data import DataLoader
    >>> loader = DeviceLoader(DataLoader(torch.arange(6.0).reshape(3, 2), batch_size=2), device="cpu")
    >>> [batch.tolist() for batch in loader], len(loader)
    ([[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]], 2)
    """

    def __init__(
        self,
        loader: Any,
        transform: torch.nn.Module | None = None,
        ahead: int = 2,
        *,
        device: torch.device | str | int | None = None,
        timeout: float | None = None,
    ) -> None:
        if not hasattr(loader, "__iter__"):
            raise TypeError(
                f"loader={type(loader).__name__} cannot be iterated; give a DataLoader, or a list of batches"
            )
        if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 0:
            raise ValueError(f"ahead={ahead!r} must be an integer of at least 0; 0 does everything in the loop")
        self._loader = loader
        self._ahead = ahead
        self._timeout = None if timeout is None else check_positive("timeout", timeout, "seconds > 0, or None")
        self._work = BatchWork(transform, None if device is None else as_device(device), ahead)
        self._safeties: dict[Any, Safety] = {}
        self._meter = Meter()
        self._pass = Pass()
        self._running: Running | None = None
        # a feed's own: what it is told of each batch, and whether any dataset may be read in a thread
        self._told: Callable[[Prepared], None] = lambda prepared: None
        self._loads_anywhere = False
        self._loads_now = False

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the loader's batches, ready on the device."""
        if self._has_one_place():
            self._end_running(
                "this iteration is over, because a newer one of the same loader has begun: its state and its workers "
                "are at one place of the epoch; leave the older loop first, or look at other batches with a second feed"
            )
        drop_dead_workers(self._loader)
        follow_epochs(self._loader)
        # workers are started, and a seed is drawn for them, as the loader alone does it: here and now
        self._meter.workers = int(getattr(self._loader, "num_workers", 0))
        starts_workers = self._meter.workers > 0 and getattr(self._loader, "_iterator", None) is None
        # Ctrl-C of a whole group is the training process's to answer, by a worker that is just starting, too
        context = getattr(self._loader, "multiprocessing_context", None)
        start_method = None if context is None else context.get_start_method()
        with held_interrupts(start_method) if starts_workers else contextlib.nullcontext():
            source = iter(self._loader)
        self._pass = Pass()
        self._running = Running()
        return self._batches(source, self._pass, self._running)

    def _batches(self, source: Iterator[Any], here: Pass, running: Running) -> Iterator[Any]:
        running.check()
        watch = Watch(self._loader, self._timeout)

        def look(waited: float) -> None:
            running.check()
            watch.look(source, waited)

        pipeline = running.pipeline = self._pipeline(source, look)
        meter, is_broken = self._meter, False
        meter.begin_pass()
        try:
            while True:
                running.check()
                meter.begin_wait()
                try:
                    found = pipeline.next()
                except (RuntimeError, *SEVERED) as error:
                    try:
                        named = watch.explained(error, source)
                    except RuntimeError as told:  # torch's handler of SIGCHLD came in between
                        named = watch.explained(told, source)
                    is_broken = isinstance(named, ReadTimeoutError | SharedMemoryFullError | WorkerDiedError)
                    if named is error:
                        raise
                    raise named from error
                if found is END:
                    meter.end_wait(None)
                    return
                prepared, note = found
                made = self._work.deliver(prepared)
                meter.end_wait(prepared)
                self._told(prepared)
                here.count(prepared.clips, note, _epoch_of(self._loader))
                del found, prepared, note  # the loop's batch is the loop's alone
                yield made
                del made
        finally:
            if not running.ended:  # what is measured is the newer one's
                meter.end()
            if self._running is running:
                self._running = None
            running.pipeline = None  # or both hold each other, and the workers
            try:
                if is_broken:
                    end_workers(source, self._loader)
            finally:
                pipeline.close(*([1.0] if is_broken else []))

    def _has_one_place(self) -> bool:
        """Return whether two iterations of the loader would take batches, or the state, from each other."""
        loader = self._loader
        shares_workers = bool(getattr(loader, "persistent_workers", False)) and int(loader.num_workers) > 0
        return shares_workers or self._has_state()

    def _end_running(self, why: str) -> None:
        """End the device loader's unfinished iteration, if there is one; asked for more, it says why."""
        running, self._running = self._running, None
        if running is None:
            return
        running.ended = why
        self._meter.end()
        if running.pipeline is not None and not running.pipeline.close():
            # its thread hangs in a read of the workers that the next iteration would have
            end_workers(getattr(self._loader, "_iterator", None), self._loader)

    def _pipeline(self, source: Iterator[Any], look: Callable[[float], None]) -> Pipeline:
        loader = self._loader
        has_workers = int(getattr(loader, "num_workers", 0)) > 0
        ours = isinstance(loader, DataLoader) and _is_ours(loader.dataset)
        self._loads_now = has_workers or ours or self._loads_anywhere
        return Pipeline(
            source,
            self._work,
            self._safeties,
            ahead=self._ahead,
            loads=self._loads_now,
            loaded=self._meter.add_load,
            computes=spare_cores() > 0,
            after_load=loader.state_dict if has_own_state(loader) else lambda: None,
            look=look,
        )

    def __len__(self) -> int:
        """Return the number of the loader's batches in an epoch."""
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        # not found here: the loader's own; names with an underscore are nobody else's business
        if name.startswith("_"):
            raise AttributeError(f"a DeviceLoader has no attribute {name!r}")
        return getattr(self._loader, name)

    def __repr__(self) -> str:
        transform = self._work.transform
        kind = "" if transform is None else f", {type(transform).__name__}"
        return f"DeviceLoader({type(self._loader).__name__}{kind}, ahead={self._ahead})"

    @property
    def loader(self) -> Any:
        """Loader that this device loader was made around."""
        return self._loader

    def stats(self) -> Stats:
        """Return what each stage of the device loader's batches took so far; `str` of it is a table."""
        return self._meter.stats()

    def reset_stats(self) -> None:
        """Begin the device loader's statistics anew, after a warm-up for example."""
        self._meter.reset()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of all parts of the loader that have one: its samplers, its dataset and what they wrap.

        Args:
            epoch: 0 or more.
        """
        here = self._pass
        if here.note is None and here.batches and here.epoch != epoch:
            self._pass = Pass()  # of which a sampler has nothing any more, even if that epoch is set again
        if not set_epoch(self._loader, epoch):
            warnings.warn(
                f"set_epoch({epoch}) has no effect: neither the loader nor its dataset or samplers have it; crops and "
                "order follow from the epoch with a dataset of audiofeed's and one of its samplers",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the place of the device loader in its epoch, after the batches that the loop has had.

        What is loaded ahead and was not yet yielded counts as not taken.

        Returns:
            A dict for `load_state_dict`, of what the sampler (or a loader with a state of its own) keeps.

        Raises:
            TypeError: Neither the loader nor one of its samplers has a state.
        """
        here = self._pass
        if has_own_state(self._loader):
            return {"version": _VERSION, "loader": self._loader.state_dict() if here.note is None else here.note}
        sampler, single = self._stateful()
        # a sampler whose epoch was set since has nothing of this pass any more
        taken = 0 if here.epoch != _epoch_of(self._loader) else here.clips if single else here.batches
        return {"version": _VERSION, "sampler": sampler.state_dict(taken=taken)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, with the next iteration of the device loader, at a place that `state_dict` gave.

        Args:
            state: The state.

        Raises:
            TypeError: Neither the loader nor one of its samplers has a state.
            ValueError: The state is that of a loader of another kind, or of another version.
        """
        kind = "loader" if has_own_state(self._loader) else "sampler"
        taker = self._loader if kind == "loader" else self._stateful()[0]
        if not isinstance(state, dict) or state.get("version") != _VERSION or kind not in state:
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(
                f"state has {found} and must have 'version' {_VERSION} and {kind!r}, as state_dict() of this loader "
                "gives; it is of another loader"
            )
        taker.load_state_dict(state[kind])
        self._pass = Pass(epoch=_epoch_of(self._loader))

    def _has_state(self) -> bool:
        return has_own_state(self._loader) or stateful_sampler(self._loader) is not None

    def _stateful(self) -> tuple[Any, bool]:
        found = stateful_sampler(self._loader)
        if found is None:
            raise TypeError(
                f"{type(self._loader).__name__} and its samplers have no state_dict; give it a sampler of audiofeed's "
                "(batch_sampler=ClipBatchSampler(...)), one whose state_dict(taken=...) counts the batches that were "
                "used, or torchdata's StatefulDataLoader"
            )
        return found


def _is_ours(dataset: Any) -> bool:
    """Return whether a device loader's dataset is one of ours, or made of such, which a thread of any kind may read."""
    while isinstance(dataset, (GuardedDataset, SeededDataset)):
        dataset = dataset.dataset
    return takes_keys(dataset)


def _epoch_of(loader: Any) -> Any:
    """Return the epoch of a device loader's sampler; None if it has none."""
    found = stateful_sampler(loader)
    return None if found is None else getattr(found[0], "epoch", None)
