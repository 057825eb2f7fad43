"""The states of a batch: `Waiting` on the CPU, `Moved` to the device, `Ready` with features.

Each state is a frozen value. Its one method that leads on, `advance(name)`, returns the next state on the way to a
field, or None if the field can be read here with `read(name)`. Nothing is computed before a field needs it:

    Waiting -> Moved          copy the padded batch to the device
    Waiting -> Ready          take the result of work that was started ahead
    Moved -> Moved            scale and augment the waveforms, if the field needs them
    Moved -> Ready            compute the features
    Ready -> Moved or Ready   the same again with a gradient; waveforms that no one had read before

A state knows whether its values were computed with a gradient, and `Waiting` keeps the error of work that failed ahead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from audiofeed.data.samples import to_float
from audiofeed.feed.augmenting import around, augmented, augmented_features
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.batch_fields import (
    FEATURE_FIELDS,
    FIELDS,
    METADATA,
    CollateInfo,
    count_clips,
    describe_pending,
    foreign_message,
)
from audiofeed.feed.states.feature_padding import in_layout
from audiofeed.feed.states.kept_error import KeptError
from audiofeed.feed.states.modes import fixed_modes
from audiofeed.feed.states.pinned_ring import Load
from audiofeed.feed.states.runtime import Runtime, find_runtime
from audiofeed.feed.states.side_streams import Completion, Started
from audiofeed.feed.states.tensor_trees import describe, map_tensors, pin, tensors_in, to_device
from audiofeed.feed.timed_targets import framed_names, in_frames, waits_for_frames
from audiofeed.feed.transform_contract import frame_lengths_of, takes_int16
from audiofeed.parallel.native_threads import note_worker


class State(Protocol):
    """Protocol of a batch's states: waiting, moved and ready."""

    @property
    def info(self) -> CollateInfo:
        """Facts about the collate, known in every state of a batch."""

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others, known in every state of a batch."""

    @property
    def clips(self) -> int:
        """Number of clips, known in every state of a batch."""

    def advance(self, name: str) -> State | None:
        """Return a batch's next state on the way to a field; None if the field can be read in this one."""

    def read(self, name: str) -> Any:
        """Return the value of a field that needs no further state of the batch."""

    def describe(self, name: str) -> str:
        """Describe a field in a batch's state by type, shape and device, or the work to do; computes nothing."""

    def to(self, device: torch.device, non_blocking: bool) -> State | None:
        """Return the batch's state with its tensors on a device; None if something may be left to compute."""

    def pinned(self) -> State:
        """Return the batch's state in page-locked memory, if its CPU tensors may still be copied to a device."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """Waiting state of a batch: padded on the CPU, as a worker made it.

    Args:
        padded: The padded batch; without its values but the lengths if `load` has them.
        info: What is known about the collate.
        runtime: The live transform; None where it is not, and for a `PadCollate`.
        started: The work on the next states, if it was started ahead of use.
        error: The error of pinning or starting.
        load: Its values in a page-locked buffer, until they are copied; None if `padded` has them.
    """

    padded: Padded
    info: CollateInfo
    runtime: Runtime | None = None
    started: Started[Ready] | None = None
    error: KeptError | None = None
    load: Load | None = None

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others in a batch waiting on the CPU."""
        return self.padded.faults

    @property
    def clips(self) -> int:
        """Number of clips in a padded batch waiting on the CPU."""
        return self.padded.lengths.shape[0]

    @property
    def is_untouched(self) -> bool:
        """True if nothing was started and nothing failed in the waiting state of a batch."""
        return self.started is None and self.error is None

    def live_runtime(self) -> Runtime | None:
        """Return the runtime of a batch in the waiting state if this process may compute with it."""
        return self.runtime if self.runtime is not None and self.runtime.is_here() else None

    def advance(self, name: str) -> State | None:
        """Advance from the waiting state: copy the batch to the device, or take the result of work started ahead.

        Raises:
            Exception: The error that was kept.
        """
        if name in METADATA:
            return None
        if self.error is not None:
            raise self.error.again()
        runtime = self.live_runtime()
        if runtime is None:
            return None
        if self.started is None:
            return self.move(runtime)
        ready = self.started.join(Ready.tensors)
        runtime.ahead.start_next()
        assert ready.moved is not None
        return replace(ready, moved=replace(ready.moved, completion=self.started.completion))

    def move(self, runtime: Runtime) -> Moved:
        """Copy a waiting batch to the runtime's device, and return its moved state."""
        device = runtime.device()
        with fixed_modes(device, grad=False):
            moved = runtime.bus.move(self.padded, self.load, device)
        return Moved(moved, self.info, runtime)

    def start(self, owner: object) -> Waiting:
        """Start copy and features of a waiting batch toward its ready state, on a side stream.

        Nothing is started unless that gives the same values and there is a free slot.

        Args:
            owner: The object that will read the result.
        """
        runtime = self.live_runtime()
        # A parameter that is trained may still be changed by an optimizer step before the batch is read.
        if runtime is None or _is_trained(*runtime.modules()):
            return self
        here = runtime

        def work() -> Ready:
            state: State = self.move(here)
            with torch.no_grad():
                while (following := state.advance("features")) is not None:
                    state = following
            assert isinstance(state, Ready)
            return state

        started = here.ahead.start(owner, here.device(), work)
        return self if started is None else replace(self, started=started)

    def read(self, name: str) -> Any:
        """Return a field of a batch in the waiting state, as it is on the CPU.

        The collate does not live in this process.

        Raises:
            RuntimeError: The field is computed by the collate's transform or augmentation.
        """
        if name in METADATA:
            return _carried(self.padded, name)
        if name in FEATURE_FIELDS and self.info.token is None:
            return None
        if name in FEATURE_FIELDS or name in self.info.augmented or name in self.info.with_features:
            raise RuntimeError(foreign_message(name, self.info))
        value = _carried(self.held(), name)
        return to_float(value) if name == "waveforms" else value

    def describe(self, name: str) -> str:
        """Describe a field of a batch in the waiting state, or the work that it waits for."""
        if name not in FEATURE_FIELDS:
            if self.load is not None and self.started is not None:
                return self.started.result.describe(name)
            return describe(_carried(self.held(), name), device=True)
        if self.info.token is None:
            return "None"
        if self.error is not None and (name == "features" or self.info.knows_lengths):
            return f"{type(self.error.error).__name__}, raised at the first read"
        return describe_pending(name, self.info, "computed at the first read" if self.started is None else "started")

    def to(self, device: torch.device, non_blocking: bool) -> Waiting | None:
        """Return a waiting batch state on a device, 16-bit samples as such; None if it has features to compute."""
        if self.info.token is not None:
            return None
        return replace(self, padded=self.padded.to(device, non_blocking=non_blocking))

    def pinned(self) -> Waiting:
        """Return the waiting state of a batch in page-locked memory; an error of that is kept.

        It is in a buffer of its collate's ring if nobody but the collate reads it before it is copied.
        """
        if not self.is_untouched or self.load is not None:
            return self
        try:
            if not torch.accelerator.is_available():
                return self
            runtime = self.live_runtime()
            if runtime is None:
                return replace(self, padded=self.padded.pin_memory())
            device = runtime.device()
            if runtime.bus.supports(device):
                padded, load = runtime.bus.load(self.padded)
                return replace(self, padded=padded, load=load)
            # to other devices nothing is copied beside the host, from page-locked memory or not
            return replace(self, padded=self.padded.pin_memory()) if runtime.ahead.supports(device) else self
        except Exception as error:  # noqa: BLE001  raised at the first read: a DataLoader's thread would garble it
            return replace(self, error=KeptError.of(error))

    def held(self) -> Padded:
        """Return a waiting batch with its values, as far as they are on the host."""
        if self.load is None or self.load.is_gone:
            return self.padded
        return self.padded.with_tensors(self.load.values)

    def __deepcopy__(self, memo: dict[int, Any]) -> Waiting:
        return Waiting(copy.deepcopy(self.held(), memo), self.info, self.runtime)

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_waiting, (self.held().light(), self.info)


@dataclass(frozen=True, eq=False)
class Moved:
    """Moved state of a batch: padded, on the device, before its features are ready.

    Args:
        padded: The padded batch, its samples as the worker sent them until `waveforms` takes their place.
        source: The batch as the worker sent it, where it may have to be augmented again; None elsewhere.
        info: What is known about the collate.
        runtime: The live transform.
        waveforms: float32, scaled and augmented; None until a field needs them.
        has_gradient: Whether the waveforms were computed with a gradient.
        completion: The end of the work on a side stream that makes these tensors; None if there was none.
    """

    padded: Padded
    info: CollateInfo
    runtime: Runtime
    waveforms: torch.Tensor | None = None
    has_gradient: bool = False
    completion: Completion | None = None
    source: Padded | None = None

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others in a batch moved to the device."""
        return self.padded.faults

    @property
    def clips(self) -> int:
        """Number of clips in a padded batch in the moved state."""
        return self.padded.lengths.shape[0]

    def advance(self, name: str) -> Moved | Ready | None:
        """Advance a batch from the moved state: scale and augment the waveforms, or compute the features."""
        if name in METADATA or not self.runtime.is_here():
            return None
        if self.completion is not None:
            self.completion.wait(self.tensors)
        if name == "waveforms" or name in self.info.augmented:
            if self._lacks_waveforms():
                return self._prepare()
            if name == "waveforms":
                return None
        if name not in (*FEATURE_FIELDS, *self.info.with_features) and not waits_for_frames(self.padded, name):
            return None
        if self._reads_samples() or not self._lacks_waveforms():
            return self._transform()
        return self._prepare()

    def read(self, name: str) -> Any:
        """Return a field on the device, of a batch in the moved state.

        Raises:
            RuntimeError: The field was not computed yet, and this is a forked process that must not compute it.
        """
        waits = name == "waveforms" or name in self.info.augmented
        if name in FEATURE_FIELDS or name in self.info.with_features or (waits and self.waveforms is None):
            raise RuntimeError(foreign_message(name, self.info))
        return self.waveforms if name == "waveforms" else _carried(self.padded, name)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that a user can reach in the moved state of a batch."""
        kept = [] if self.source is None else self.source.tensors()
        return tensors_in([*self.padded.tensors(), *kept, self.waveforms])

    def describe(self, name: str) -> str:
        """Describe a field of a batch in the moved state, or the work that it waits for."""
        if name in FEATURE_FIELDS:
            return describe_pending(name, self.info, "computed at the first read")
        waveforms_are_there = name == "waveforms" and self.waveforms is not None
        return describe(self.waveforms if waveforms_are_there else _carried(self.padded, name), device=True)

    def to(self, device: torch.device, non_blocking: bool) -> None:
        """Return None in a batch's moved state: features are computed on the collate's device and copied from there."""
        return

    def pinned(self) -> Moved:
        """Return the moved state of a batch as it is: it was copied to its device already."""
        return self

    def _reads_samples(self) -> bool:
        """Return True if the transform takes a moved batch's samples as sent, with waveforms not read yet."""
        runtime = self.runtime
        if self.waveforms is not None or self.info.augmented:
            return False
        return self.padded.waveforms.dtype != torch.int16 or takes_int16(runtime.transform)

    def _lacks_waveforms(self) -> bool:
        if self.waveforms is None:
            return True
        return not self.has_gradient and torch.is_grad_enabled() and _is_trained(self.runtime.augment)

    def _prepare(self) -> Moved:
        """Return the moved state of a batch with its waveforms scaled and augmented."""
        augment, source = self.runtime.augment, self.source or self.padded
        grad = augment is not None and torch.is_grad_enabled() and _is_trained(*self.runtime.modules())
        if grad:
            self.runtime.check_ranks()
        with fixed_modes(self.runtime.device(), grad=grad, modules=self.runtime.modules()):
            padded = replace(source, waveforms=to_float(source.waveforms))
            if augment is not None:
                self.runtime.place()
                padded = augmented(augment, padded, padded.waveforms)
        # An augmentation with parameters may have to run again, with a gradient; nothing else needs the int16 samples.
        kept = source if isinstance(augment, torch.nn.Module) else None
        return replace(self, padded=padded, source=kept, waveforms=padded.waveforms, has_gradient=grad)

    def _transform(self) -> Ready:
        """Return the ready state that follows a moved one: the batch with its features."""
        runtime, lengths = self.runtime, self.padded.lengths
        # 16-bit samples as they are, if no one read the waveforms yet and the transform takes them
        samples = self.padded.waveforms if self.waveforms is None else self.waveforms
        grad = torch.is_grad_enabled() and _is_trained(*runtime.modules())
        if grad:
            runtime.check_ranks()
        runtime.place()
        with fixed_modes(runtime.device(), grad=grad, modules=runtime.modules()):
            transform = around(runtime.augment, runtime.transform, self.padded, samples)
            if frame_lengths_of(transform) is None:
                found = (transform(samples), None, None)
            else:
                found = runtime.padding.compute(transform, samples, lengths, plain=runtime.transform)
            fields = dict(zip(FEATURE_FIELDS, found, strict=True))
            fields |= in_frames(self.padded, transform, fields)
            fields = augmented_features(runtime.augment, self.padded, fields, framed_names(self.padded))
            fields["features"] = in_layout(fields["features"], self.info.layout)
        return Ready(fields, self.info, self.clips, self.faults, self, grad)


@dataclass(frozen=True, eq=False)
class Ready:
    """Ready state of a batch: with its features, or with fields that were given.

    Args:
        fields: The features with their lengths and mask; every field if they were given.
        info: What is known about the collate.
        clips: Number of clips.
        faults: Read errors of files that were replaced by others.
        moved: The state that the features were computed from, which has the other fields; None if fields were given.
        has_gradient: Whether the features were computed with a gradient.
    """

    fields: Mapping[str, Any]
    info: CollateInfo
    clips: int
    faults: tuple[Any, ...] = ()
    moved: Moved | None = None
    has_gradient: bool = False

    @classmethod
    def given(
        cls,
        fields: Mapping[str, Any],
        faults: tuple[Any, ...] = (),
        info: CollateInfo | None = None,
        clips: int | None = None,
    ) -> Ready:
        """Make the ready state of a batch from values by field name; a missing one is None, and `fields` empty.

        Raises:
            ValueError: `clips` is None, and there are no waveforms, lengths or features to count clips by.
        """
        complete = {name: fields.get(name) for name in FIELDS}
        if complete["fields"] is None:
            complete["fields"] = {}
        return cls(complete, info or CollateInfo(), count_clips(fields) if clips is None else clips, faults)

    def advance(self, name: str) -> Moved | Ready | None:
        """Advance a batch from the ready state: compute it again if a gradient is wanted now and was not before.

        Prepares waveforms not read before.

        If the work was started ahead, each stream that reads waits for it here.
        """
        if self.moved is None or name in METADATA:
            return None
        if self.moved.completion is not None:
            self.moved.completion.wait(self.tensors)
        if name == "waveforms":
            prepared = self.moved.advance(name)
            return replace(self, moved=prepared) if isinstance(prepared, Moved) else None
        if name not in FEATURE_FIELDS or self.has_gradient or not torch.is_grad_enabled():
            return None
        return self.moved.advance(name) if _is_trained(*self.moved.runtime.modules()) else None

    def read(self, name: str) -> Any:
        """Return a field of a batch in the ready state."""
        return self.fields[name] if self.moved is None or name in self.fields else self.moved.read(name)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that a user can reach in the ready state of a batch."""
        yield from tensors_in(list(self.fields.values()))
        if self.moved is not None:
            yield from self.moved.tensors()

    def describe(self, name: str) -> str:
        """Describe a field of a batch in the ready state."""
        if name not in self.fields:
            assert self.moved is not None
            return self.moved.describe(name)
        if name in FEATURE_FIELDS and self.fields[name] is None and not self.info.knows_lengths:
            return describe_pending(name, self.info, "")
        return describe(self.fields[name], device=True)

    def to(self, device: torch.device, non_blocking: bool) -> Ready | None:
        """Return the ready state of given fields on a device; None if they may be computed again.

        Computed fields may have to be computed again, with a gradient.
        """
        if self.moved is not None:
            return None
        fields = to_device(self.fields, device, non_blocking=non_blocking)
        return Ready.given(fields, self.faults, self.info, self.clips)

    def pinned(self) -> Ready:
        """Return a batch's ready state with given fields in page-locked memory, and computed ones as they are."""
        if self.moved is not None or not torch.accelerator.is_available():
            return self
        return replace(self, fields=pin(self.fields))

    def detached(self) -> Ready:
        """Return the ready state of a batch without gradients, for a copy or a pickle.

        It has every field, with nothing left to compute.
        """
        fields = map_tensors({name: self.read(name) for name in FIELDS}, torch.Tensor.detach)
        return Ready.given(fields, self.faults, self.info, self.clips)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ready:
        ready = self.detached()
        return Ready.given(copy.deepcopy(ready.fields, memo), ready.faults, ready.info, ready.clips)

    def __reduce__(self) -> tuple[Any, ...]:
        ready = self.detached()
        return Ready.given, (ready.fields, ready.faults, ready.info, ready.clips)


def unpickle_waiting(padded: Padded, info: CollateInfo) -> Waiting:
    """Return the waiting state of a batch from a worker, with the live transform if this process has it."""
    note_worker()
    return Waiting(padded, info, None if info.token is None else find_runtime(info.token))


def _carried(padded: Padded, name: str) -> Any:
    """Return a field that a worker fills in, from a waiting or moved state of the batch."""
    return vars(padded)[name]


def _is_trained(*modules: Any) -> bool:
    """Return True if a parameter behind a batch's state requires a gradient; None and functions have none."""
    return any(
        parameter.requires_grad
        for module in modules
        if isinstance(module, torch.nn.Module)
        for parameter in module.parameters()
    )
