"""What a loader's batch needs before the loop has it: its copy to the device and its features.

A batch of ours knows its own steps. For one of somebody else's collate, the tensors in its dicts, lists and tuples are
copied, and a transform, if there is one, is called with its waveforms.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from audiofeed.data.samples import to_float
from audiofeed.feed.batch import AudioBatch
from audiofeed.feed.collate import GPUSpecCollate
from audiofeed.feed.padding import Padded
from audiofeed.feed.pair import FeaturesAndTargets
from audiofeed.feed.states.bus import Bus, bytes_of, reaching, traffic
from audiofeed.feed.states.side_streams import Ahead, Started, StreamBackend
from audiofeed.feed.states.state_steps import Progress
from audiofeed.feed.states.states import Waiting
from audiofeed.feed.states.tensor_trees import describe, is_named_tuple, tensors_in, to_device
from audiofeed.feed.transform_contract import frame_lengths_of, takes_int16
from audiofeed.loading.random_draws import GlobalDraws

# entries of a dict that are its waveforms, the first that is there
WAVEFORM_NAMES = ("waveforms", "waveform", "audio", "input_values")


@dataclass
class Prepared:
    """Batch of a loader on its way to the loop, with what it cost.

    Args:
        made: The batch, as far as it is done.
        clips: Number of clips; 0 if that cannot be told.
        samples: Samples of the clips themselves, and with their padding; 0 if that cannot be told.
        sample_rate: Hz; None if unknown.
        faults: Read errors of files that were replaced by others.
        seconds: Of the stages in the process that made the batch.
        moved: Bytes that are copied to a device, and those of them that are padding; 0 where nothing is.
        buses: What they are copied by.
        transfer, features: Seconds of the copy to the device and of the features, in the thread that asked for them.
        started: The work on a side stream that makes the batch.
    """

    made: Any
    clips: int = 0
    samples: tuple[int, int] = (0, 0)
    sample_rate: int | None = None
    faults: tuple[Any, ...] = ()
    seconds: tuple[float, ...] = ()
    moved: tuple[int, int] = (0, 0)
    buses: tuple[Bus, ...] = ()
    transfer: float = 0.0
    features: float = 0.0
    started: Started[Any] | None = None


class BatchWork:
    """Work on the batches of a loader: copies to a device and features, here or ahead of their turn.

    Args:
        transform: Computes features of batches that have none; None leaves them as they are.
        device: Where batches of somebody else's collate go; None is the current accelerator at first use, else the CPU.
        ahead: How many batches may be started on a side stream and not be in the loop yet.
        backend: The streams; None is the device's.
    """

    def __init__(
        self,
        transform: torch.nn.Module | None,
        device: torch.device | None,
        ahead: int,
        backend: StreamBackend | None = None,
    ) -> None:
        # checks the transform, places it, and says what its batches are made with
        self._collate = None if transform is None else GPUSpecCollate(transform, device=device, max_ahead=ahead)
        self._asked = device
        self._ahead = Ahead(ahead, backend)
        self._own_bus = Bus()

    @property
    def _bus(self) -> Bus:
        """Bus of a loader's batches of somebody else's collate."""
        runtime = None if self._collate is None else self._collate._runtime
        return self._own_bus if runtime is None else runtime.bus

    @property
    def transform(self) -> torch.nn.Module | None:
        """Transform of a loader's batches that come without features."""
        return None if self._collate is None else self._collate.transform

    def device(self) -> torch.device:
        """Return the device that a loader's batches of somebody else's collate go to."""
        if self._collate is not None:
            return self._runtime_device()
        if self._asked is None:
            found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            self._asked = found or torch.device("cpu")
        return self._asked

    def _runtime_device(self) -> torch.device:
        assert self._collate is not None
        assert self._collate._runtime is not None
        return self._collate._runtime.device()

    def prepare(self, made: Any) -> Prepared:
        """Copy a loader's batch to the device, or start that on a side stream, with its features where that is safe.

        Args:
            made: The batch as the loader made it.

        Returns:
            The batch, maybe still in work on a side stream; `deliver` hands it to the loop.
        """
        ours = list(batches_in(made))
        if not ours:
            return self._prepare_other(made)
        if self._collate is not None:
            made = self._with_features(made)
            ours = list(batches_in(made))
        padded = [p for p in map(_padded_of, ours) if p is not None]
        moved = [traffic(p, self._device_of(batch)) for batch in ours if (p := _padded_of(batch)) is not None]
        if isinstance(made, AudioBatch) and _has_no_features(made) and self.device().type != "cpu":
            with reaching(self.device()):
                made = made.pin_memory().to(self.device(), non_blocking=True)
        prepared = Prepared(
            made,
            **_counted(padded),
            faults=tuple(fault for batch in ours for fault in batch.faults),
            moved=(sum(whole for whole, _ in moved), sum(padding for _, padding in moved)),
            buses=tuple(bus for bus in map(_bus_of, ours) if bus is not None),
        )
        begun = time.perf_counter()
        for batch in ours:
            batch.pin_memory()
        prepared.transfer = time.perf_counter() - begun
        return prepared

    def compute(self, prepared: Prepared) -> None:
        """Compute the features of a loader's batch on a CPU, in this thread, unless the transform is trained."""
        begun = time.perf_counter()
        if isinstance(prepared.made, _Unfinished) and self.device().type == "cpu" and not _is_trained(self.transform):
            with torch.no_grad():
                prepared.made = self._transformed(prepared.made.moved)
        for batch in batches_in(prepared.made):
            if _is_computable(batch):
                with torch.no_grad():
                    _ = batch.features
        prepared.features += time.perf_counter() - begun

    def training(self, prepared: Prepared) -> tuple[bool, ...]:
        """Return whether each module behind a loader's batch trains, on which it depends what it draws."""
        modules = [] if self.transform is None else [self.transform]
        for batch in batches_in(prepared.made):
            state = batch._progress.state
            modules += state.runtime.modules() if isinstance(state, Waiting) and state.runtime is not None else []
        return tuple(part.training for module in modules for part in module.modules())

    def try_compute(self, prepared: Prepared) -> bool:
        """Compute the features of a loader's batch, or leave all as it was if that draws random numbers of the loop's.

        Returns:
            True if nothing was drawn.
        """
        made = prepared.made
        before = [(batch._progress, batch._progress.state) for batch in batches_in(made)]
        watch = GlobalDraws()
        self.compute(prepared)
        if not watch.drew():
            return True
        watch.restore()
        prepared.made = made
        for progress, state in before:
            progress._state = state
        return False

    def deliver(self, prepared: Prepared) -> Any:
        """Return a loader's batch to the loop, ready on its current stream.

        Features of a transform that is trained are computed at their first read instead, with the parameters and the
        mode of autograd of that time.
        """
        if prepared.started is not None:
            return prepared.started.join(_tensors_of)
        if isinstance(prepared.made, _Unfinished):
            begun = time.perf_counter()
            made = self._transformed(prepared.made.moved)
            prepared.features += time.perf_counter() - begun
            return made
        return prepared.made

    def _device_of(self, batch: AudioBatch) -> torch.device:
        """Return the device that a loader's batch goes to: its collate's, or the loader's if it has no features."""
        state = batch._progress.state
        runtime = state.live_runtime() if isinstance(state, Waiting) else None
        if runtime is not None:
            return runtime.device()
        # read alone, in a dict of several, it stays where it is
        return self.device() if _has_no_features(batch) else torch.device("cpu")

    def _with_features(self, made: Any) -> Any:
        """Return batches of a loader whose features are computed by the transform."""
        assert self._collate is not None
        if isinstance(made, FeaturesAndTargets):
            return FeaturesAndTargets(self._with_features(made.batch))
        if isinstance(made, AudioBatch):
            state = made._progress.state
            if not isinstance(state, Waiting) or state.info.token is not None:
                raise ValueError(
                    f"transform={type(self.transform).__name__} was given to a loader whose batches have features "
                    "already; omit it, or collate with PadCollate()"
                )
            state = replace(state, info=self._collate._info, runtime=self._collate._runtime)
            return type(made)._of(Progress(state))._with_own(made)
        if isinstance(made, dict):
            return {name: self._with_features(entry) for name, entry in made.items()}
        return made

    # batches of somebody else's collate

    def _prepare_other(self, made: Any) -> Prepared:
        device, trained, bus = self.device(), _is_trained(self.transform), self._bus
        moved_bytes = 0 if device.type == "cpu" else bytes_of(made)
        prepared = Prepared(None, **_counted_other(made), moved=(moved_bytes, 0), buses=(bus,))

        def work() -> Any:
            with torch.inference_mode(False), torch.no_grad():
                if bus.supports(device):  # a copy from memory that is not page-locked blocks
                    load = bus.ring.load(made)
                    moved = _moved(load.values, device)
                    load.copied(device)
                else:
                    moved = _moved(made, device)
                return moved if self.transform is None else self._transformed(moved)

        begun = time.perf_counter()
        # Of tensors that nobody finds in it, none would be kept for the loop's stream.
        if not trained and _is_open(made):
            with reaching(device):
                prepared.started = self._ahead.start(prepared, device, work)
        if prepared.started is None:
            with reaching(device), torch.inference_mode(False), torch.no_grad():
                moved = _moved(made, device)
            prepared.made = moved if self.transform is None else _Unfinished(moved)
        prepared.transfer = time.perf_counter() - begun
        return prepared

    def _transformed(self, moved: Any) -> Any:
        """Return a batch of somebody else's collate with features: in the place of its waveforms, or beside them."""
        if isinstance(moved, torch.Tensor):
            return self._features(moved, None)
        if isinstance(moved, Mapping):
            name = next((name for name in WAVEFORM_NAMES if isinstance(moved.get(name), torch.Tensor)), None)
            if name is not None:
                lengths = moved.get("lengths")
                found = {"features": self._features(moved[name], lengths)}
                frames = None if self.transform is None or lengths is None else frame_lengths_of(self.transform)
                if frames is not None and lengths is not None:
                    found["feature_lengths"] = frames(lengths)
                return {**moved, **found}
        elif isinstance(moved, tuple | list) and moved and isinstance(moved[0], torch.Tensor):
            entries = [self._features(moved[0], None), *moved[1:]]
            return type(moved)(*entries) if is_named_tuple(moved) else type(moved)(entries)
        raise TypeError(
            f"transform={type(self.transform).__name__} was given, and the loader yields {describe(moved)}, in which "
            f"no waveforms are known; they must be the tensor itself, the first of a tuple, or a dict's entry "
            f"{', '.join(WAVEFORM_NAMES)}: omit transform= and call it in the loop"
        )

    def _features(self, waveforms: torch.Tensor, lengths: Any) -> Any:
        assert self._collate is not None
        assert self._collate._runtime is not None
        transform = self._collate.transform
        self._collate._runtime.place()
        grad = torch.is_grad_enabled() and _is_trained(transform)
        kind = self.device().type
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.set_grad_enabled(grad))
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
            if not takes_int16(transform):
                waveforms = to_float(waveforms)
            return transform(waveforms) if lengths is None else transform(waveforms, lengths)


@dataclass(frozen=True)
class _Unfinished:
    """Batch of somebody else's collate on the device, whose features are still to be computed."""

    moved: Any


def batches_in(made: Any) -> Iterator[AudioBatch]:
    """Yield each audio batch in what a loader yields: itself, a pair's, or those in a dict, a list or a tuple.

    >>> len(list(batches_in({"a": AudioBatch({"waveforms": torch.zeros(2, 8)}), "b": 3})))
    1
    """
    if isinstance(made, AudioBatch):
        yield made
    elif isinstance(made, FeaturesAndTargets):
        yield made.batch
    elif isinstance(made, dict):
        for entry in made.values():
            yield from batches_in(entry)
    elif isinstance(made, list | tuple):
        for entry in made:
            yield from batches_in(entry)


def _moved(made: Any, device: torch.device) -> Any:
    """Return a batch of somebody else's collate on a device, by its own method if it is of a type of its own."""
    blocking = device.type not in ("cuda", "xpu")
    move = getattr(made, "to", None)
    if not isinstance(made, torch.Tensor | dict | list | tuple) and callable(move):
        return move(device)
    return to_device(made, device, non_blocking=not blocking)


def _is_open(made: Any) -> bool:
    """Return whether the tensors of a batch of somebody else's collate can be found in it."""
    return isinstance(made, torch.Tensor | Mapping | list | tuple)


def _tensors_of(made: Any) -> Iterator[torch.Tensor]:
    """Yield each tensor of a batch of somebody else's collate, a mapping of its own type included."""
    return tensors_in(dict(made) if isinstance(made, Mapping) else made)


def _is_computable(batch: AudioBatch) -> bool:
    """Return whether a batch's features may be computed now by this thread: on a CPU, and with nothing trained."""
    state = batch._progress.state
    runtime = state.live_runtime() if isinstance(state, Waiting) else None
    return runtime is not None and runtime.device().type == "cpu" and not any(map(_is_trained, runtime.modules()))


def _is_trained(module: torch.nn.Module | None) -> bool:
    return module is not None and any(parameter.requires_grad for parameter in module.parameters())


def _has_no_features(batch: AudioBatch) -> bool:
    """Return whether a loader's batch comes from a `PadCollate`, which knows no device."""
    state = batch._progress.state
    return isinstance(state, Waiting) and state.info.token is None


def _bus_of(batch: AudioBatch) -> Bus | None:
    """Return the bus that a loader's batch takes with its collate's runtime; None if it has none."""
    state = batch._progress.state
    runtime = state.live_runtime() if isinstance(state, Waiting) else None
    return None if runtime is None else runtime.bus


def _padded_of(batch: AudioBatch) -> Padded | None:
    state = batch._progress.state
    return state.padded if isinstance(state, Waiting) else None


def _counted(padded: list[Padded]) -> dict[str, Any]:
    seconds = [p.seconds for p in padded if p.seconds]
    return {
        "clips": sum(len(p.lengths) for p in padded),
        "samples": (
            sum(int(p.lengths.sum()) for p in padded),
            sum(len(p.lengths) * p.waveforms.shape[-1] for p in padded),
        ),
        "sample_rate": padded[0].sample_rate if padded else None,
        "seconds": tuple(map(sum, zip(*seconds, strict=True))) if seconds else (),
    }


def _counted_other(made: Any) -> dict[str, Any]:
    tensor = next((tensor for tensor in tensors_in(made) if tensor.dim() > 0), None)
    return {"clips": 0 if tensor is None else tensor.shape[0]}
