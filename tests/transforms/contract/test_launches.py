"""Launches of every public transform, preset and the whole collate on a device, held under the table of results."""

from __future__ import annotations

import functools
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from benchmarks.device.calls import BASES, LIMIT, LIMITS, WAITS, Call, of_presets, of_transforms
from benchmarks.device.counts import WAYS, count_collate, counts
from tests.transforms.contract.fake_device import needs_cuda_build

TABLE = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "launches.json"
KEPT: dict[str, Any] = json.loads(TABLE.read_text())["calls"]
CALLS = [call for call in (*of_transforms(), *of_presets()) if call.name not in WAITS]
COLLATE = "GPUSpecCollate(presets.whisper())"
AGAIN = "fewer launches are written down by `python benchmarks/kernels/launches.py --out benchmarks/results`"


@needs_cuda_build
@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_a_call_launches_no_more_than_the_table_says(call):
    # each setting of a preset's members is a transform's, and of these each has a call
    found = counts(call, ways=("lengths", "graph") if call.name.startswith("presets.") else tuple(WAYS))
    kept = KEPT.get(call.name, {"launches": dict.fromkeys(WAYS, LIMIT), "moved": float("inf")})
    limits = kept["launches"]
    for way, count in found.items():
        assert count.waits == 0, f"{way}: the host waits"
        # what the capture of a CUDA graph asks for beside that
        assert count.copies == 0, f"{way}: an array of the host is copied in {sorted(count.operations)}"
        assert count.repeats, f"{way}: another call starts other operations"
        assert count.launches <= limits[way], f"{way}: more than before, in {sorted(count.operations.items())}"
    assert found["lengths"].moved <= 1.01 * kept["moved"]


@needs_cuda_build
def test_a_whole_collate_launches_no_more_than_the_table_says():
    found = count_collate()
    assert found.waits == 0
    assert 0 < found.launches <= KEPT[COLLATE]["launches"]["lengths"]


def test_every_public_transform_and_preset_is_counted():
    names = {call.name for call in CALLS}
    assert {name for name in af.transforms.__all__ if name not in BASES} - set(WAITS) <= names
    assert {f"presets.{name}" for name in af.presets.__all__ if name != "from_extractor"} <= names
    assert set(KEPT) <= names | {COLLATE}
    assert all(set(row["launches"]) == set(WAYS) for name, row in KEPT.items() if name != COLLATE)


def test_the_table_keeps_the_limits():
    over = {name: KEPT[name]["launches"]["lengths"] for name in LIMITS}
    assert {name: found for name, found in over.items() if found > LIMITS[name]} == {}
    # with a gradient, too
    worst = {name: max(KEPT[name]["launches"].values()) for name, limit in LIMITS.items() if limit == LIMIT}
    assert {name: found for name, found in worst.items() if found > LIMIT} == {}
    assert len(worst) >= 7


@needs_cuda_build
def test_constants_that_stay_on_the_device_are_no_launches_of_a_call():
    found = counts(of(Kept), clips=4, ways=("lengths",))["lengths"]
    assert sum(found.kept.values()) >= 2
    assert not any("contract/filters.py" in what for what in found.operations)
    assert found.launches == counts(of(Slips), clips=4, ways=("lengths",))["lengths"].launches + 1


class Slips(af.LogMelSpectrogram):
    """A log-mel spectrogram with a slip after its computation."""

    def slip(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self.slip(super().compute(waveform, lengths, graph=graph))


class Kept(Slips):
    def slip(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.derived_filter("number", functools.partial(np.ones, ()), features)


class Constant(Slips):
    def slip(self, features: torch.Tensor) -> torch.Tensor:
        return features + torch.tensor([1.0, 2.0]).mean().expand(1, 1, 1).to(features.device)


class Item(Slips):
    def slip(self, features: torch.Tensor) -> torch.Tensor:
        return features / features.max().item()


class Loop(Slips):
    def slip(self, features: torch.Tensor) -> torch.Tensor:
        return torch.stack([clip.exp() for clip in features])


def of(cls: type[Slips]) -> Call:
    return Call(name=cls.__name__, make=lambda: cls(sample_rate=16000, n_fft=400, n_mels=80, method="fft"))


@needs_cuda_build
def test_a_constant_of_the_cpu_is_noticed():
    assert counts(of(Slips), clips=4)["lengths"].waits == 0
    assert all(count.waits > 0 for count in counts(of(Constant), clips=4).values())


@needs_cuda_build
def test_a_value_that_is_read_back_is_noticed():
    with pytest.raises(torch._subclasses.fake_tensor.DataDependentOutputException):
        counts(of(Item), clips=4)


@needs_cuda_build
def test_a_loop_over_clips_is_noticed():
    plain, looped = (counts(of(cls), clips=16)["lengths"].launches for cls in (Slips, Loop))
    assert looped == plain + 17
    assert looped > LIMITS["LogMelSpectrogram"] >= plain


@needs_cuda_build
def test_traffic_is_that_of_the_shapes():
    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
            return (x.unfold(-1, 4, 1)[:, ::2] + 1) * 2  # every sample is read once, whatever the windows

    found = counts(Call(name="twice", make=Twice), clips=2)["plain"]
    samples, windows = 2 * 32000 * 4, 2 * 15999 * 4 * 4
    assert found.launches == 2
    assert found.moved == samples + 3 * windows
    assert found.least == samples + windows


def test_the_benchmark_writes_the_page_of_the_table():
    written = importlib.import_module("benchmarks.kernels.launches").table(KEPT)
    ours, kept = written.splitlines()[2:], TABLE.with_suffix(".md").read_text().splitlines()[2:]
    assert ours == kept, AGAIN
