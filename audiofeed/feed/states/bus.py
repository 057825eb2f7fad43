"""The bus between host and device, as a collate's batches take it: what was copied, and the buffers it went through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from audiofeed.feed.padding import Padded
from audiofeed.feed.states.pinned_ring import Load, PinnedMemory, PinnedRing
from audiofeed.feed.states.tensor_trees import tensors_in
from audiofeed.parallel.observed import beside_modes


@dataclass(frozen=True)
class BusStats:
    """Statistics of the bus from host to device under a collate or a loader; all 0 where features are on the CPU.

    Args:
        batches: Batches that were copied to a device.
        clips: Clips in them.
        moved_bytes: Bytes that were copied: samples with their padding (two for each of a 16-bit file, else four),
            lengths, targets, fields, and what an augmentation reads.
        padding_bytes: Those of the samples that are padding.
        buffers: Page-locked buffers that the ring has now.
        buffer_bytes: Bytes of these buffers.
        pins: Buffers that were made since the ring was; batches beyond these were copied through one that was there.
        reuses: Batches that had a buffer which was there.
        apart: Batches for which the ring had no buffer within its limits, and whose memory torch page-locked.

    >>> stats = BusStats(batches=2, clips=4, moved_bytes=4096, padding_bytes=1024, buffers=1, buffer_bytes=65536,
    ...                  pins=1, reuses=1)
    >>> stats.bytes_per_clip, stats.padding_per_clip
    (1024.0, 256.0)
    >>> print(stats)
    1024 bytes a clip to the device, 25.0 % of them padding; 1 page-locked buffer of 0.1 MiB, 1 made, 1 used again
    """

    batches: int = 0
    clips: int = 0
    moved_bytes: int = 0
    padding_bytes: int = 0
    buffers: int = 0
    buffer_bytes: int = 0
    pins: int = 0
    reuses: int = 0
    apart: int = 0

    @property
    def bytes_per_clip(self) -> float:
        """Bytes that were copied over the bus for a clip, padding included; 0.0 if there were none."""
        return self.moved_bytes / self.clips if self.clips else 0.0

    @property
    def padding_per_clip(self) -> float:
        """Bytes of padding that were copied over the bus for a clip; 0.0 if there were none."""
        return self.padding_bytes / self.clips if self.clips else 0.0

    def __str__(self) -> str:
        if not self.moved_bytes:
            return "nothing was copied to a device"
        per = f"{self.bytes_per_clip:.0f} bytes a clip" if self.clips else f"{self.moved_bytes} bytes"
        text = f"{per} to the device, {100 * self.padding_bytes / self.moved_bytes:.1f} % of them padding"
        if self.pins:
            text += (
                f"; {self.buffers} page-locked buffer{'s' * (self.buffers != 1)} of {self.buffer_bytes / 2**20:.1f} "
                f"MiB, {self.pins} made, {self.reuses} used again"
            )
        if self.apart:
            text += (
                f"; {self.apart} batches had no buffer within the limits of the ring, and torch page-locked their "
                "memory: smaller batches, or fewer of them ahead (prefetch_factor=, num_workers=), would have one"
            )
        return text


class Bus:
    """Bus of a collate's batches from the host to their device, through a ring of page-locked buffers.

    Args:
        memory: The page-locked memory; None is the device's.
    """

    def __init__(self, memory: PinnedMemory | None = None) -> None:
        self.ring = PinnedRing(memory)
        self._lock = threading.Lock()
        self._batches = self._clips = self._moved = self._padding = 0

    def supports(self, device: torch.device) -> bool:
        """Return True if batches go to a device through the bus's ring of page-locked buffers."""
        return self.ring.memory.supports(device)

    def load(self, padded: Padded) -> tuple[Padded, Load]:
        """Bring a padded batch into a page-locked buffer of the bus.

        Args:
            padded: The batch on the CPU.

        Returns:
            The same batch without its values, but for its lengths, which are counted with; and the values.
        """
        load = self.ring.load(padded.tensors())
        return padded.with_tensors([*load.shapes[:1], padded.lengths, *load.shapes[2:]]), load

    def move(self, padded: Padded, load: Load | None, device: torch.device) -> Padded:
        """Copy a padded batch over the bus to a device, on the caller's current stream of it.

        Args:
            padded: The batch.
            load: Its values in page-locked memory; None if they are its own.
            device: Where to.
        """
        if load is None and device.type == "cpu":
            return padded  # it is there
        # A copy from page-locked memory returns at once; from other memory torch blocks if it must.
        beside = device.type in ("cuda", "xpu")
        if load is None:
            with reaching(device):
                moved = padded.to(device, non_blocking=beside)
        else:
            try:
                moved = padded.with_tensors(load.values).to(device, non_blocking=beside)
            except BaseException:
                load.touched(device)  # it may be tried again
                raise
            load.copied(device)
        copied, padding = traffic(padded, device)
        if copied:
            with self._lock:
                self._batches, self._clips = self._batches + 1, self._clips + len(padded.lengths)
                self._moved, self._padding = self._moved + copied, self._padding + padding
        return moved

    def stats(self) -> BusStats:
        """Return what went over the bus so far, and its buffers."""
        sizes = self.ring.sizes
        with self._lock:
            return BusStats(
                batches=self._batches,
                clips=self._clips,
                moved_bytes=self._moved,
                padding_bytes=self._padding,
                buffers=len(sizes),
                buffer_bytes=sum(sizes),
                pins=self.ring.pins,
                reuses=self.ring.reuses,
                apart=self.ring.apart,
            )


@contextmanager
def reaching(device: torch.device) -> Iterator[None]:
    """Copy over the bus to a device in the body; where there is no such device here, the error says so.

    Raises:
        RuntimeError: The body failed, and torch has no device of that kind here.
    """
    try:
        yield
    except (AssertionError, AttributeError, RuntimeError) as error:
        if device.type in ("cpu", "meta") or _is_there(device):
            raise
        raise RuntimeError(
            f"device={str(device)!r} was asked for, and torch sees no such device in this process: {error}. Give "
            "device='cpu', or device=None for what there is; or install a torch that is built for the device's driver "
            "(torch.cuda.is_available() says whether it is), and look at CUDA_VISIBLE_DEVICES"
        ) from error


def _is_there(device: torch.device) -> bool:
    try:
        return bool(torch.get_device_module(device).is_available())
    except (AttributeError, RuntimeError):  # a kind of device that this torch knows nothing of
        return False


def traffic(padded: Padded, device: torch.device) -> tuple[int, int]:
    """Count the bytes that a padded batch takes over the bus to a device, and those of its samples' padding.

    Both are 0 to a CPU.

    >>> batch = Padded(torch.zeros(2, 8, dtype=torch.int16), torch.tensor([8, 4]), None, None, None, None)
    >>> traffic(batch, torch.device("cuda")), traffic(batch, torch.device("cpu"))
    ((48, 8), (0, 0))
    """
    if device.type == "cpu":
        return 0, 0
    samples = padded.waveforms
    rows = samples.numel() // max(1, samples.shape[-1])
    channels = rows // max(1, len(padded.lengths))
    with beside_modes():  # the lengths have values where a mode (that of fake tensors) makes sums without
        padding = samples.numel() - channels * int(padded.lengths.sum())
    return bytes_of(padded.tensors()), padding * samples.element_size()


def bytes_of(tree: Any) -> int:
    """Count the bytes of the tensors in a batch's tree that a copy over the bus takes, those on a device left out.

    >>> bytes_of([torch.zeros(3), {"a": torch.zeros(2, dtype=torch.int16)}])
    16
    """
    return sum(
        tensor.numel() * tensor.element_size() for tensor in tensors_in(tree) if tensor.device.type in ("cpu", "meta")
    )
