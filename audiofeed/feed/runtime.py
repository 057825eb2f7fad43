"""What stays in the process that trains: the live transform, its device, and the work done there."""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch.utils.data import get_worker_info

from audiofeed.feed.ahead import Ahead, Started, StreamBackend
from audiofeed.feed.padding import Padded, to_float
from audiofeed.feed.targets import tensors_in

# Weak: a runtime lives as long as its collate or one of its batches does.
_live: weakref.WeakValueDictionary[str, Runtime] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Features:
    """What a transform made of one batch."""

    values: Any
    lengths: Any
    mask: Any


_FEATURE_PARTS = {"features": "values", "feature_lengths": "lengths", "feature_mask": "mask"}


@dataclass
class OnDevice:
    """A batch after its copy to the device, as far as it was needed yet."""

    padded: Padded
    waveforms: torch.Tensor | None = None
    features: Features | None = None

    def read(self, name: str) -> Any:
        """Return a batch's field as far as it is there."""
        if name == "waveforms" and self.waveforms is not None:
            return self.waveforms
        if name not in _FEATURE_PARTS:
            return getattr(self.padded, name)
        return None if self.features is None else getattr(self.features, _FEATURE_PARTS[name])

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that a user can reach."""
        features = self.features
        padded = self.padded
        yield from tensors_in([padded.waveforms, padded.lengths, padded.targets, padded.seeds, self.waveforms])
        if features is not None:
            yield from tensors_in([features.values, features.lengths, features.mask])


class Runtime:
    """The live transform of a collate, found by its token from batches that come out of a worker."""

    def __init__(
        self,
        transform: torch.nn.Module,
        augment: Callable[..., torch.Tensor] | None,
        device: torch.device | None,
        max_ahead: int,
        backend: StreamBackend | None = None,
    ) -> None:
        self.token = uuid.uuid4().hex
        self.transform = transform
        self.augment = augment
        self.asked_device = device
        self._max_ahead = max_ahead
        self._backend = backend
        self._settle()
        _live[self.token] = self

    def _settle(self) -> None:
        """Belong to this process, with nothing started in it yet."""
        self._pid = os.getpid()
        self._device: torch.device | None = None
        self._placing = threading.Lock()
        self.ahead = Ahead(self._max_ahead, self._backend)

    def is_here(self) -> bool:
        """Whether this process may compute features: it built the collate, or was forked from one that did."""
        if self._pid == os.getpid():
            return True
        if get_worker_info() is not None:
            return False
        # A forked process that is no DataLoader worker (a notebook launcher's rank) has its own copy of the module.
        self._settle()
        return True

    def device(self) -> torch.device:
        """The device of the features; ``device=None`` is decided here, at first use in the process that trains."""
        if self._device is None:
            accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            device = self.asked_device or accelerator or torch.device("cpu")
            if device.index is None and accelerator is not None and device.type == accelerator.type:
                # MPS has one device and no function that says so.
                current = getattr(torch.get_device_module(device), "current_device", lambda: 0)
                device = torch.device(device.type, current())
            self._device = device
        return self._device

    def reads_samples(self, batch: OnDevice) -> bool:
        """Whether the features of a batch can be computed of its samples as they lie in the files."""
        as_they_are = batch.padded.waveforms.dtype != torch.int16 or getattr(self.transform, "takes_int16", False)
        return self.augment is None and as_they_are

    def is_trained(self) -> bool:
        """Whether a parameter of the transform or of the augmentation asks for a gradient."""
        return any(parameter.requires_grad for module in self._modules() for parameter in module.parameters())

    def move(self, padded: Padded) -> OnDevice:
        """Copy a batch to the device."""
        device = self.device()
        with _plain(device, grad=False):
            # Pinned memory is copied while the CPU goes on; from other memory torch waits where it must.
            moved = padded.to(device, non_blocking=device.type in ("cuda", "xpu"))
        return OnDevice(moved)

    def add_waveforms(self, batch: OnDevice, *, grad: bool) -> None:
        """Scale and augment the waveforms."""
        padded = batch.padded
        with _plain(self.device(), grad=grad):
            waveforms = to_float(padded.waveforms)
            if self.augment is not None:
                self._place()
                augmented = self.augment(waveforms, padded.lengths, padded.seeds)
                if not isinstance(augmented, torch.Tensor) or augmented.shape != waveforms.shape:
                    got = tuple(augmented.shape) if isinstance(augmented, torch.Tensor) else type(augmented).__name__
                    raise ValueError(
                        f"augment returned {got}; it must return waveforms of the shape it was given, "
                        f"{tuple(waveforms.shape)}: pad or cut what it changes"
                    )
                waveforms = augmented
        batch.waveforms = waveforms
        if not isinstance(self.augment, torch.nn.Module):
            # Frees the int16 samples. An augmentation with parameters may be asked again, with a gradient.
            batch.padded = replace(padded, waveforms=waveforms)

    def add_features(self, batch: OnDevice, *, grad: bool) -> None:
        """Apply the transform to the waveforms."""
        # 16-bit samples as they are, where nobody asked for waveforms yet and the transform takes them
        waveforms = batch.padded.waveforms if batch.waveforms is None else batch.waveforms
        lengths = batch.padded.lengths
        self._place()
        with _plain(self.device(), grad=grad):
            frame_lengths = getattr(self.transform, "frame_lengths", None)
            if frame_lengths is None:
                batch.features = Features(self.transform(waveforms), None, None)
                return
            values = self.transform(waveforms, lengths)
            feature_lengths = frame_lengths(lengths)
            batch.features = Features(values, feature_lengths, frame_mask(values, feature_lengths))

    def start(self, owner: object, padded: Padded) -> Started[OnDevice] | None:
        """Start copy and features ahead of their use, where that gives the same numbers and there is room.

        Args:
            owner: Whoever will read the result.
            padded: The batch, pinned.
        """
        # The parameters that count are those at the time of access, which a later optimizer step may still change.
        if self.is_trained():
            return None

        def work() -> OnDevice:
            batch = self.move(padded)
            if not self.reads_samples(batch):
                self.add_waveforms(batch, grad=False)
            self.add_features(batch, grad=False)
            return batch

        return self.ahead.start(owner, self.device(), work)

    def _modules(self) -> list[torch.nn.Module]:
        return [module for module in (self.transform, self.augment) if isinstance(module, torch.nn.Module)]

    def _place(self) -> None:
        device = self.device()
        with self._placing:
            strays = [
                module
                for module in self._modules()
                if any(tensor.device != device for tensor in chain(module.parameters(), module.buffers()))
            ]
            for module in strays:
                module.to(device)
            if strays and device.type in ("cuda", "xpu"):
                # Other streams will read these tensors too, and they wait for nothing. Once per module.
                torch.get_device_module(device).current_stream(device).synchronize()


def find_runtime(token: str) -> Runtime | None:
    """Return the live runtime with this token, or None where it lives in another process or no more."""
    return _live.get(token)


def frame_mask(values: Any, lengths: Any) -> Any:
    """Mark the frames that belong to each clip.

    Args:
        values: Features (batch, ..., frames), or a dict of them.
        lengths: (batch,) frames, or a dict of such under the same names.

    Shape:
        returned: (batch, frames) bool, or a dict of such.

    >>> frame_mask(torch.zeros(2, 80, 3), torch.tensor([1, 3]))
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    if isinstance(values, dict):
        return {
            name: frame_mask(entry, lengths[name] if isinstance(lengths, dict) else lengths)
            for name, entry in values.items()
        }
    return torch.arange(values.shape[-1], device=values.device) < lengths[:, None]


@contextmanager
def _plain(device: torch.device, *, grad: bool) -> Iterator[None]:
    """Set what torch keeps per thread, so that a batch has the same numbers whichever thread computes it."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            # Tensors made in inference mode could not be trained on afterwards.
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if torch.amp.is_autocast_available(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        yield
