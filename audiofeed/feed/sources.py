"""Where a batch's fields come from: values that are there, or a worker's tensors and the work still to be done."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch.utils.data import get_worker_info

from audiofeed.feed.ahead import Started
from audiofeed.feed.padding import Padded, to_float
from audiofeed.feed.runtime import OnDevice, Runtime, find_runtime
from audiofeed.feed.targets import map_tensors, to_device

FIELDS = ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "keys", "sample_rate")
FEATURE_FIELDS = ("features", "feature_lengths", "feature_mask")


class Source(Protocol):
    """What a batch asks for its fields."""

    @property
    def faults(self) -> tuple[Any, ...]:
        """The read errors of files that clips stand in for."""

    def clips(self) -> int:
        """How many clips there are."""

    def read(self, name: str) -> Any:
        """Return a field's value, computing it if need be."""

    def peek(self, name: str) -> Any:
        """Return a field's value as far as it is there, computing nothing."""

    def describe(self, name: str) -> str:
        """Say shape, type and place of a field without its numbers, computing nothing."""

    def to(self, device: torch.device, non_blocking: bool) -> Source:
        """Return the same fields on a device."""

    def pin(self) -> None:
        """Pin what is on the CPU; keep an error for later."""

    def packed(self) -> Source:
        """Return what a pickle of the batch carries."""


@dataclass(frozen=True)
class Recipe:
    """What a batch in a worker knows of its collate: names and settings, no module."""

    token: str | None = None  # None: a PadCollate's, with no features at all
    transform_name: str = ""
    knows_lengths: bool = True
    augments: bool = False


class Computed:
    """Fields that are there."""

    def __init__(self, fields: Mapping[str, Any], faults: tuple[Any, ...] = (), recipe: Recipe | None = None) -> None:
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            raise ValueError(f"{unknown} are no fields of an AudioBatch; the fields are {', '.join(FIELDS)}")
        self._fields = {name: fields.get(name) for name in FIELDS}
        self.faults = faults
        self._recipe = recipe
        counted = next(
            (self._fields[name] for name in ("waveforms", "lengths", "features") if self._fields[name] is not None),
            None,
        )
        if not isinstance(counted, torch.Tensor) or counted.dim() == 0:
            raise ValueError(
                f"fields has {list(fields)}; a batch needs waveforms, lengths or features with one row per "
                "clip: give at least one of them"
            )
        self._clips = counted.shape[0]

    def clips(self) -> int:
        return self._clips

    def read(self, name: str) -> Any:
        return self._fields[name]

    peek = read

    def describe(self, name: str) -> str:
        if name in FEATURE_FIELDS[1:] and self._fields[name] is None and self._recipe is not None:
            return describe_unknown_lengths(self._recipe)
        return describe_value(self._fields[name])

    def to(self, device: torch.device, non_blocking: bool) -> Computed:
        moved = to_device(self._fields, device, non_blocking=non_blocking)
        return Computed(moved, self.faults, self._recipe)

    def pin(self) -> None:
        if torch.accelerator.is_available():
            self._fields = map_tensors(self._fields, _pin)

    def packed(self) -> Computed:
        detached = map_tensors(self._fields, torch.Tensor.detach)
        return Computed(detached, self.faults, self._recipe)

    def __deepcopy__(self, memo: dict[int, Any]) -> Computed:
        packed = self.packed()
        return Computed(copy.deepcopy(packed._fields, memo), self.faults, self._recipe)


class Lazy:
    """A worker's CPU tensors, and what the training process makes of them, each step once.

    Args:
        padded: The batch as collated.
        recipe: What is known of the collate.
        runtime: The live transform, where this process has it.
    """

    def __init__(self, padded: Padded, recipe: Recipe, runtime: Runtime | None) -> None:
        self._padded = padded
        self._recipe = recipe
        self._runtime = runtime
        self._lock = threading.RLock()
        self._started: Started[OnDevice] | None = None
        self._done: OnDevice | None = None
        self._waveforms_have_grad = False
        self._features_have_grad = False
        self._error: Exception | None = None
        self._error_traceback: Any = None

    @property
    def faults(self) -> tuple[Any, ...]:
        return self._padded.faults

    def clips(self) -> int:
        return self._padded.lengths.shape[0]

    def read(self, name: str) -> Any:
        if name in ("keys", "sample_rate"):
            return getattr(self._padded, name)
        with self._lock:
            if self._error is not None:
                raise self._error.with_traceback(self._error_traceback)
            runtime = self._runtime if self._runtime is not None and self._runtime.is_here() else None
            if runtime is None:
                return self._read_alone(name)
            done = self._on_device(runtime)
            if name not in ("lengths", "targets"):
                self._compute(runtime, done, name)
            # What has left the CPU is not held there.
            waveforms = done.padded.waveforms if done.waveforms is None else done.waveforms
            self._padded = replace(self._padded, waveforms=waveforms)
            return done.read(name)

    def peek(self, name: str) -> Any:
        return getattr(self._padded, name, None)

    def describe(self, name: str) -> str:
        done = self._done
        if name in FEATURE_FIELDS:
            recipe = self._recipe
            if recipe.token is None:
                return "None"
            if name != "features" and not recipe.knows_lengths:
                return describe_unknown_lengths(recipe)
            if done is not None and done.features is not None:
                return describe_value(done.read(name))
            if self._error is not None:
                return f"{type(self._error).__name__}, raised at the first read"
            state = "started" if self._started is not None else "computed at the first read"
            return f"{state}, by {recipe.transform_name}" if name == "features" else state
        return describe_value(self.peek(name) if done is None else done.read(name))

    def to(self, device: torch.device, non_blocking: bool) -> Source:
        if self._recipe.token is None:
            # Nothing is computed yet, so 16-bit samples travel as such.
            return Lazy(self._padded.to(device, non_blocking=non_blocking), self._recipe, None)
        return Elsewhere(self, device, non_blocking)

    def pin(self) -> None:
        with self._lock:
            if self._done is not None or self._started is not None or self._error is not None:
                return
            try:
                if not torch.accelerator.is_available():
                    return
                self._padded = self._padded.pin_memory()
            except Exception as error:  # noqa: BLE001  raised at the first read: a DataLoader's thread would garble it
                self._error, self._error_traceback = error, error.__traceback__
                return
            self._start()

    def start_late(self) -> bool:
        """Start copy and features in a place that was given back; False if the batch is or was read already."""
        # Not to wait for: two readers that each start the other's batch would wait for ever.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._done is not None or self._started is not None or self._error is not None:
                return False
            self._start()
            return True
        finally:
            self._lock.release()

    def _start(self) -> None:
        try:
            if self._runtime is not None and self._runtime.is_here():
                self._started = self._runtime.start(self, self._padded)
        except Exception as error:  # noqa: BLE001  raised at the first read of this batch, which may be another's turn
            self._error, self._error_traceback = error, error.__traceback__

    def packed(self) -> Source:
        """Return what a pickle carries: everything computed where that can be done, else the worker's tensors."""
        if self._recipe.token is None or self._runtime is None or not self._runtime.is_here():
            return self
        return self._computed().packed()

    def _computed(self) -> Computed:
        return Computed({name: self.read(name) for name in FIELDS}, self.faults, self._recipe)

    def _on_device(self, runtime: Runtime) -> OnDevice:
        if self._started is not None:
            first = self._done is None
            # Each time: a read from another stream has to wait on that stream too.
            self._done = self._started.join(OnDevice.tensors)
            if first:
                self._pass_on(runtime)
        elif self._done is None:
            self._done = runtime.move(self._padded)
        return self._done

    @staticmethod
    def _pass_on(runtime: Runtime) -> None:
        """Let the batch that has waited longest have the place that was just given back."""
        while isinstance(waiting := runtime.ahead.next_waiting(), Lazy):
            if waiting.start_late():
                return

    def _compute(self, runtime: Runtime, done: OnDevice, name: str) -> None:
        """Compute what a field needs and is not there, or is there without the gradient that is now asked for."""
        grad = torch.is_grad_enabled() and runtime.is_trained()
        if done.waveforms is None and name != "waveforms" and runtime.reads_samples(done):
            pass  # whoever reads the waveforms later finds the samples still there
        elif done.waveforms is None or (grad and not self._waveforms_have_grad and self._recipe.augments):
            runtime.add_waveforms(done, grad=grad)
            self._waveforms_have_grad = grad
        if name != "waveforms" and (done.features is None or (grad and not self._features_have_grad)):
            runtime.add_features(done, grad=grad)
            self._features_have_grad = grad

    def _read_alone(self, name: str) -> Any:
        """Read a field where the collate does not live."""
        recipe = self._recipe
        if name in FEATURE_FIELDS and recipe.token is None:
            return None
        if name in FEATURE_FIELDS or (name == "waveforms" and recipe.augments):
            raise RuntimeError(_foreign_message(name, recipe))
        value = getattr(self._padded, name)
        return to_float(value) if name == "waveforms" else value

    def __getstate__(self) -> dict[str, Any]:
        return {"padded": self._padded, "recipe": self._recipe}

    def __setstate__(self, state: dict[str, Any]) -> None:
        recipe: Recipe = state["recipe"]
        runtime = None if recipe.token is None else find_runtime(recipe.token)
        Lazy.__init__(self, state["padded"], recipe, runtime)

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        with self._lock:
            if self._done is None and self._started is None and self._error is None:
                return Lazy(copy.deepcopy(self._padded, memo), self._recipe, self._runtime)
            return copy.deepcopy(self._computed(), memo)


class Elsewhere:
    """Another source's fields, moved to a device when they are read."""

    def __init__(self, origin: Source, device: torch.device, non_blocking: bool) -> None:
        self._origin = origin
        self._device = device
        self._non_blocking = non_blocking
        self._moved: dict[str, tuple[Any, Any]] = {}

    @property
    def faults(self) -> tuple[Any, ...]:
        return self._origin.faults

    def clips(self) -> int:
        return self._origin.clips()

    def read(self, name: str) -> Any:
        value = self._origin.read(name)
        # The origin gives another value where one without a gradient was asked for again with one.
        if name not in self._moved or self._moved[name][0] is not value:
            self._moved[name] = (value, to_device(value, self._device, non_blocking=self._non_blocking))
        return self._moved[name][1]

    def peek(self, name: str) -> Any:
        return self._moved[name][1] if name in self._moved else self._origin.peek(name)

    def describe(self, name: str) -> str:
        if name in self._moved:
            return describe_value(self._moved[name][1])
        return f"{self._origin.describe(name)}, to be read on {self._device}"

    def to(self, device: torch.device, non_blocking: bool) -> Source:
        return Elsewhere(self._origin, device, non_blocking)

    def pin(self) -> None:
        self._origin.pin()

    def packed(self) -> Source:
        packed = self._origin.packed()
        return (
            packed.to(self._device, False) if isinstance(packed, Computed) else Elsewhere(packed, self._device, False)
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        return copy.deepcopy(self._origin, memo).to(self._device, self._non_blocking)


def make_device(device: Any) -> torch.device:
    """Read a device from what training frameworks pass.

    >>> make_device("cpu")
    device(type='cpu')
    """
    if isinstance(device, torch.dtype | torch.Tensor):
        raise TypeError(
            f"AudioBatch.to got {device if isinstance(device, torch.dtype) else 'a tensor'}; it takes a device: "
            "convert the dtype of a field itself, batch.features.to(dtype)"
        )
    return torch.device(device)


def describe_value(value: Any) -> str:
    """Say shape, type and place of a value without its numbers.

    >>> describe_value({"a": torch.zeros(2, 3), "b": ["x", "y"]})
    '{a: float32 (2, 3) on cpu, b: list of 2}'
    """
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} on {value.device}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {describe_value(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(describe_value(entry) for entry in value) + ")"
    if isinstance(value, list):
        return f"list of {len(value)}"
    return "None" if value is None else type(value).__name__


def describe_unknown_lengths(recipe: Recipe) -> str:
    """Say why a batch has no frame counts."""
    return f"unknown: {recipe.transform_name} has no frame_lengths"


def _pin(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor


def _foreign_message(name: str, recipe: Recipe) -> str:
    worker = get_worker_info()
    place = f"process {os.getpid()}" + ("" if worker is None else f", DataLoader worker {worker.id}")
    return (
        f"batch.{name} was read in {place}, where the GPUSpecCollate({recipe.transform_name}) that made this batch "
        "does not live. Features are computed in the process that built the collate, because a worker must not touch "
        f"the GPU: read batch.{name} in the training loop. To use batches in another process, build a GPUSpecCollate "
        "there, or read batch.features before the batch is pickled, and it carries them"
    )
