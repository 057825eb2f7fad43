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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

import torch

from audiofeed.data.samples import to_float
from audiofeed.feed.ahead import Completion, Started
from audiofeed.feed.contract import frame_lengths_of, takes_int16
from audiofeed.feed.fields import FEATURE_FIELDS, FIELDS, METADATA, CollateInfo, describe_pending, foreign_message
from audiofeed.feed.padding import Padded, frame_mask
from audiofeed.feed.runtime import Runtime, find_runtime
from audiofeed.feed.trees import describe, map_tensors, pin, tensors_in, to_device


@dataclass(frozen=True, eq=False)
class KeptError:
    """An error of work ahead of its use, kept for the first read."""

    error: Exception
    traceback: TracebackType | None

    @classmethod
    def of(cls, error: Exception) -> KeptError:
        """Keep an error as it was caught."""
        return cls(error, error.__traceback__)

    def again(self) -> Exception:
        """Return the error to raise; each raise shows the same traceback."""
        return self.error.with_traceback(self.traceback)


class State(Protocol):
    """A state of a batch."""

    @property
    def info(self) -> CollateInfo:
        """What is known about the collate."""

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others."""

    @property
    def clips(self) -> int:
        """Number of clips."""

    def advance(self, name: str) -> State | None:
        """Return the next state on the way to a field; None if the field can be read in this one."""

    def read(self, name: str) -> Any:
        """Return the value of a field that needs no further state."""

    def describe(self, name: str) -> str:
        """Describe a field without computing it: type, shape and device, or what is still to be done."""

    def to(self, device: torch.device, non_blocking: bool) -> State | None:
        """Return the state with its tensors on a device; None if there may be something left to compute."""

    def pinned(self) -> State:
        """Return the state with its CPU tensors in page-locked memory, if they may still be copied to a device."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """A padded batch on the CPU, as a worker made it.

    Args:
        padded: The padded batch.
        info: What is known about the collate.
        runtime: The live transform; None where it is not, and for a `PadCollate`.
        started: The work on the next states, if it was started ahead of use.
        error: The error of pinning or starting.
    """

    padded: Padded
    info: CollateInfo
    runtime: Runtime | None = None
    started: Started[Ready] | None = None
    error: KeptError | None = None

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others."""
        return self.padded.faults

    @property
    def clips(self) -> int:
        """Number of clips."""
        return self.padded.lengths.shape[0]

    @property
    def is_untouched(self) -> bool:
        """True if nothing was started and nothing failed."""
        return self.started is None and self.error is None

    def live_runtime(self) -> Runtime | None:
        """Return the runtime if this process may compute with it."""
        return self.runtime if self.runtime is not None and self.runtime.is_here() else None

    def advance(self, name: str) -> State | None:
        """Copy the batch to the device, or take the result of the work that was started ahead.

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
        """Copy the batch to the runtime's device."""
        device = runtime.device()
        with _fixed_modes(device, grad=False):
            # A copy from pinned memory returns at once; from other memory torch blocks if it must.
            moved = self.padded.to(device, non_blocking=device.type in ("cuda", "xpu"))
        return Moved(moved, self.info, runtime)

    def start(self, owner: object) -> Waiting:
        """Start copy and features on a side stream, if that gives the same values and there is a free slot.

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
        """Return a field as it is on the CPU, where the collate does not live.

        Raises:
            RuntimeError: The field is computed by the collate's transform or augmentation.
        """
        if name in METADATA:
            return _carried(self.padded, name)
        if name in FEATURE_FIELDS and self.info.token is None:
            return None
        if name in FEATURE_FIELDS or (name == "waveforms" and self.info.augments):
            raise RuntimeError(foreign_message(name, self.info))
        value = _carried(self.padded, name)
        return to_float(value) if name == "waveforms" else value

    def describe(self, name: str) -> str:
        """Describe a field, or the work that it waits for."""
        if name not in FEATURE_FIELDS:
            return describe(_carried(self.padded, name), device=True)
        if self.info.token is None:
            return "None"
        if self.error is not None and (name == "features" or self.info.knows_lengths):
            return f"{type(self.error.error).__name__}, raised at the first read"
        return describe_pending(name, self.info, "computed at the first read" if self.started is None else "started")

    def to(self, device: torch.device, non_blocking: bool) -> Waiting | None:
        """Return a batch without features on a device, where 16-bit samples arrive as such; None with features."""
        if self.info.token is not None:
            return None
        return replace(self, padded=self.padded.to(device, non_blocking=non_blocking))

    def pinned(self) -> Waiting:
        """Return the batch in page-locked memory; an error of that is kept."""
        if not self.is_untouched:
            return self
        try:
            return replace(self, padded=self.padded.pin_memory()) if torch.accelerator.is_available() else self
        except Exception as error:  # noqa: BLE001  raised at the first read: a DataLoader's thread would garble it
            return replace(self, error=KeptError.of(error))

    def __deepcopy__(self, memo: dict[int, Any]) -> Waiting:
        return Waiting(copy.deepcopy(self.padded, memo), self.info, self.runtime)

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_waiting, (self.padded, self.info)


@dataclass(frozen=True, eq=False)
class Moved:
    """A padded batch on the device.

    Args:
        padded: The padded batch, its samples as the worker sent them until `waveforms` takes their place.
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

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files that were replaced by others."""
        return self.padded.faults

    @property
    def clips(self) -> int:
        """Number of clips."""
        return self.padded.lengths.shape[0]

    def advance(self, name: str) -> Moved | Ready | None:
        """Scale and augment the waveforms, or compute the features from them."""
        if name in METADATA or not self.runtime.is_here():
            return None
        if self.completion is not None:
            self.completion.wait(self.tensors)
        if name == "waveforms":
            return self._prepare() if self._lacks_waveforms() else None
        if name not in FEATURE_FIELDS:
            return None
        if self._reads_samples() or not self._lacks_waveforms():
            return self._transform()
        return self._prepare()

    def read(self, name: str) -> Any:
        """Return a field on the device.

        Raises:
            RuntimeError: The field was not computed yet, and this is a forked process that must not compute it.
        """
        if name in FEATURE_FIELDS or (name == "waveforms" and self.waveforms is None):
            raise RuntimeError(foreign_message(name, self.info))
        return self.waveforms if name == "waveforms" else _carried(self.padded, name)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that a user can reach."""
        padded = self.padded
        return tensors_in([padded.waveforms, padded.lengths, padded.targets, padded.seeds, self.waveforms])

    def describe(self, name: str) -> str:
        """Describe a field, or the work that it waits for."""
        if name in FEATURE_FIELDS:
            return describe_pending(name, self.info, "computed at the first read")
        waveforms_are_there = name == "waveforms" and self.waveforms is not None
        return describe(self.waveforms if waveforms_are_there else _carried(self.padded, name), device=True)

    def to(self, device: torch.device, non_blocking: bool) -> None:
        """Return None: features are computed on the collate's device, and copied from there."""
        return

    def pinned(self) -> Moved:
        """Return the batch as it is: it was copied to its device already."""
        return self

    def _reads_samples(self) -> bool:
        """Return True if the transform takes the samples as the worker sent them, and waveforms were not read yet."""
        runtime = self.runtime
        if self.waveforms is not None or runtime.augment is not None:
            return False
        return self.padded.waveforms.dtype != torch.int16 or takes_int16(runtime.transform)

    def _lacks_waveforms(self) -> bool:
        if self.waveforms is None:
            return True
        return not self.has_gradient and torch.is_grad_enabled() and _is_trained(self.runtime.augment)

    def _prepare(self) -> Moved:
        """Return the state with its waveforms scaled and augmented."""
        augment, padded = self.runtime.augment, self.padded
        grad = augment is not None and torch.is_grad_enabled() and _is_trained(*self.runtime.modules())
        with _fixed_modes(self.runtime.device(), grad=grad):
            waveforms = to_float(padded.waveforms)
            if augment is not None:
                self.runtime.place()
                augmented = augment(waveforms, padded.lengths, padded.seeds)
                if not isinstance(augmented, torch.Tensor) or augmented.shape != waveforms.shape:
                    got = tuple(augmented.shape) if isinstance(augmented, torch.Tensor) else type(augmented).__name__
                    raise ValueError(
                        f"augment returned {got}; it must return waveforms of the shape it was given, "
                        f"{tuple(waveforms.shape)}: pad or crop the result"
                    )
                waveforms = augmented
        if not isinstance(augment, torch.nn.Module):
            # Frees the int16 samples. An augmentation with parameters may have to run again, with a gradient.
            padded = replace(padded, waveforms=waveforms)
        return replace(self, padded=padded, waveforms=waveforms, has_gradient=grad)

    def _transform(self) -> Ready:
        """Return the next state: the batch with its features."""
        runtime, lengths = self.runtime, self.padded.lengths
        # 16-bit samples as they are, if no one read the waveforms yet and the transform takes them
        samples = self.padded.waveforms if self.waveforms is None else self.waveforms
        grad = torch.is_grad_enabled() and _is_trained(*runtime.modules())
        runtime.place()
        with _fixed_modes(runtime.device(), grad=grad):
            frame_lengths = frame_lengths_of(runtime.transform)
            if frame_lengths is None:
                fields = dict.fromkeys(FEATURE_FIELDS, None) | {"features": runtime.transform(samples)}
            else:
                features = runtime.transform(samples, lengths)
                counts = frame_lengths(lengths)
                fields = dict(zip(FEATURE_FIELDS, (features, counts, frame_mask(features, counts)), strict=True))
        return Ready(fields, self.info, self.clips, self.faults, self, grad)


@dataclass(frozen=True, eq=False)
class Ready:
    """A batch with its features, or with fields that were given.

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
    def given(cls, fields: Mapping[str, Any], faults: tuple[Any, ...] = (), info: CollateInfo | None = None) -> Ready:
        """Make a batch from values by field name; a missing one is None.

        Raises:
            ValueError: A name is not a field, or there are no waveforms, lengths or features to count clips by.
        """
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            hint = " (the clips' names are now `names`)" if "keys" in unknown else ""
            raise ValueError(f"{unknown} are not fields of an AudioBatch{hint}; the fields are {', '.join(FIELDS)}")
        counted = next(
            (fields[name] for name in ("waveforms", "lengths", "features") if fields.get(name) is not None), None
        )
        if not isinstance(counted, torch.Tensor) or counted.dim() == 0:
            raise ValueError(
                f"fields has {list(fields)}; a batch needs waveforms, lengths or features with one row per "
                "clip: give at least one of them"
            )
        return cls({name: fields.get(name) for name in FIELDS}, info or CollateInfo(), counted.shape[0], faults)

    def advance(self, name: str) -> Moved | Ready | None:
        """Compute again what was computed without a gradient if one is wanted now; prepare waveforms not read before.

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
        """Return a field."""
        return self.fields[name] if self.moved is None or name in self.fields else self.moved.read(name)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that a user can reach."""
        yield from tensors_in(list(self.fields.values()))
        if self.moved is not None:
            yield from self.moved.tensors()

    def describe(self, name: str) -> str:
        """Describe a field."""
        if name not in self.fields:
            assert self.moved is not None
            return self.moved.describe(name)
        if name in FEATURE_FIELDS and self.fields[name] is None and not self.info.knows_lengths:
            return describe_pending(name, self.info, "")
        return describe(self.fields[name], device=True)

    def to(self, device: torch.device, non_blocking: bool) -> Ready | None:
        """Return fields that were given on a device; None if they may have to be computed again, with a gradient."""
        if self.moved is not None:
            return None
        return Ready.given(to_device(self.fields, device, non_blocking=non_blocking), self.faults, self.info)

    def pinned(self) -> Ready:
        """Return fields that were given in page-locked memory; computed ones are where they belong."""
        if self.moved is not None or not torch.accelerator.is_available():
            return self
        return replace(self, fields=pin(self.fields))

    def detached(self) -> Ready:
        """Return every field without its gradient and with nothing left to compute, for a copy or a pickle."""
        fields = map_tensors({name: self.read(name) for name in FIELDS}, torch.Tensor.detach)
        return Ready.given(fields, self.faults, self.info)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ready:
        ready = self.detached()
        return Ready.given(copy.deepcopy(ready.fields, memo), ready.faults, ready.info)

    def __reduce__(self) -> tuple[Any, ...]:
        ready = self.detached()
        return Ready.given, (ready.fields, ready.faults, ready.info)


def unpickle_waiting(padded: Padded, info: CollateInfo) -> Waiting:
    """Return a batch that came out of a worker, with the live transform if this process has it."""
    return Waiting(padded, info, None if info.token is None else find_runtime(info.token))


def _carried(padded: Padded, name: str) -> Any:
    """Return a field that a worker fills in."""
    return vars(padded)[name]


def _is_trained(*modules: Any) -> bool:
    """Return True if a parameter of the modules requires a gradient; None and functions have no parameters."""
    return any(
        parameter.requires_grad
        for module in modules
        if isinstance(module, torch.nn.Module)
        for parameter in module.parameters()
    )


@contextmanager
def _fixed_modes(device: torch.device, *, grad: bool) -> Iterator[None]:
    """Fix the modes that torch keeps per thread, so that a batch has the same values whichever thread computes it."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            # Tensors made in inference mode cannot be trained on afterwards.
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if torch.amp.is_autocast_available(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        yield
