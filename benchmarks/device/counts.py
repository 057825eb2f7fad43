"""Launches and traffic of a call on the device, of which tensors without values tell."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

import audiofeed as af
from audiofeed.methods import spectrum
from audiofeed.transforms.contract import graph
from audiofeed.transforms.short_time import steps
from benchmarks.device.calls import CLIPS, Call
from benchmarks.device.fake_cuda import Notes, bytes_of, fake_cuda, noted, on_cuda

# where host and device meet by intent: filters, kept there from the first call on, and a batch's own tensors
BROUGHT = ("contract/filters.py", "feed/states/tensor_trees.py")
# in the order of the table's columns: (lengths, graph)
WAYS: dict[str, tuple[bool, bool]] = {
    "plain": (False, False),
    "lengths": (True, False),
    "graph": (False, True),
    "graph, lengths": (True, True),
}


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one call does on the device.

    Args:
        launches: operations that start there; views, allocations and copies from the host apart.
        moved: bytes that these read and write, by their shapes.
        least: bytes that any way would have to: the input, the lengths and the result, each once.
        waits: how often the host would wait.
        copies: arrays of the host that are brought to the device, beside `kept`.
        repeats: whether the next call starts the very same operations, as the replay of a CUDA graph has to.
        operations: how often each operation at each line starts.
        kept: what brings constants to the device that a module keeps there from its first call on; no launches.
    """

    launches: int
    moved: int
    least: int
    waits: int
    copies: int
    repeats: bool
    operations: Counter[str]
    kept: Counter[str]


def counts(call: Call, *, clips: int = CLIPS, ways: Sequence[str] = tuple(WAYS)) -> dict[str, Count]:
    """Count what a call does in some of the `WAYS`, in the second of two calls: filters are moved in the first."""
    module = call.build()
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        batch = call.batch(module, clips=clips)
        if isinstance(module, af.InverseCQT):  # it finds its step at the first call, from values
            module(batch[:1, :, :64])
        with unobserved(), fake_cuda():
            on_cuda(module)
            for way in ways:
                with_lengths, gradient = WAYS[way]
                with torch.set_grad_enabled(gradient):
                    x = batch.to("cuda").requires_grad_(gradient)
                    lengths = torch.full((clips,), x.shape[-1] - 7, device="cuda") if with_lengths else None
                    call.run(module, x, lengths)
                    with noted() as notes:
                        result = call.run(module, x, lengths)
                    with noted() as again:
                        call.run(module, x, lengths)
                found[way] = _count(notes, (x, lengths), result, again)
    return found


def count_collate(clips: int = 4, rate: int = 16000) -> Count:
    """Count what a batch of a whole collate does: samples of 16 bits moved, features, lengths and mask."""
    transform = Call(name="collate", make=af.presets.whisper).build()
    collate = af.GPUSpecCollate(transform, device="cuda:0")
    items = [(torch.zeros(rate + 100 * i, dtype=torch.int16), rate, i) for i in range(clips)]
    with unobserved():
        first, second = collate(items), collate(items)
        with fake_cuda(), torch.no_grad():
            on_cuda(transform)
            first.features  # noqa: B018  filters are moved at the first call
            with noted() as notes:
                result = (second.features, second.feature_lengths, second.feature_mask)
                given = (second.lengths, second.targets)
        return _count(notes, given, result)


def _count(notes: Notes, given: Any, result: Any, again: Notes | None = None) -> Count:
    ends = [leaf for leaf in tree_leaves((given, result)) if isinstance(leaf, torch.Tensor)]
    return Count(
        launches=notes.launches,
        moved=notes.read + notes.written,
        least=sum(bytes_of(leaf) for leaf in ends),
        waits=sum(times for what, times in notes.waits.items() if not any(place in what for place in BROUGHT)),
        copies=notes.copies,
        repeats=again is None or again.operations == notes.operations,
        operations=Counter(notes.operations),
        kept=notes.kept,
    )


def as_row(found: dict[str, Count]) -> dict[str, Any]:
    """What the table keeps of a call: launches in each way, and the traffic with lengths and without a graph."""
    with_lengths = found["lengths"]
    return {
        "launches": {way: count.launches for way, count in found.items()},
        "moved": with_lengths.moved,
        "least": with_lengths.least,
    }


@contextmanager
def unobserved() -> Iterator[None]:
    """Tensors without values are observed, and so take the way of a graph; a card's are not."""
    held = graph.observed, steps.observed, spectrum.observed
    graph.observed = steps.observed = spectrum.observed = lambda x: None
    try:
        yield
    finally:
        graph.observed, steps.observed, spectrum.observed = held
