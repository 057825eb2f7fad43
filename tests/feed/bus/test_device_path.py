"""The way to a device as an adversary reads it: streams of others, what is no plain tensor, no device at all."""

from __future__ import annotations

from collections import UserDict

import pytest
import torch
from slow_card import Streams

from audiofeed.data.samples import to_float
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.states import bus, side_streams
from audiofeed.feed.states.side_streams import DeviceStreams
from audiofeed.loading import DeviceLoader, Feed
from tests.transforms.contract.fake_device import fake_cuda, needs_cuda_build, noted


class Level(torch.nn.Module):
    """A transform of somebody else's, of floats."""

    def forward(self, waveform):
        assert waveform.dtype == torch.float32
        return waveform.abs().mean(-1, keepdim=True)


def kept_of(tensor, monkeypatch):
    """The dense tensors whose memory is kept for a stream."""
    found = []
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda part, stream: found.append(part))
    DeviceStreams().keep(tensor, "stream")
    return found


@needs_cuda_build
def test_memory_is_kept_of_dense_tensors_on_the_device_alone(monkeypatch):
    with fake_cuda():
        there = torch.empty(3, device="cuda")
        assert [part is there for part in kept_of(there, monkeypatch)] == [True]
        # what a transform leaves on the host has no stream; torch would raise
        assert kept_of(torch.empty(3), monkeypatch) == []


@pytest.mark.filterwarnings("ignore:Sparse")
def test_memory_of_sparse_tensors_is_kept_by_their_dense_parts():
    square = torch.eye(3)
    ways = (square, square.to_sparse(), square.to_sparse_csr(), square.to_sparse_csc(), square.to_sparse_bsr(1))
    parts = [side_streams._parts(tensor) for tensor in ways]
    assert [len(found) for found in parts] == [1, 2, 3, 3, 3]
    assert all(part.layout == torch.strided for found in parts for part in found)
    assert all(any(part.sum() == 3 for part in found) for found in parts)


def load(batches, transform=None):
    """A device loader on fake streams, its batches, and the streams."""
    loader = DeviceLoader(batches, transform=transform, device="cpu")
    loader._work._ahead._backend = streams = Streams()
    return list(loader), streams


def test_tensors_of_a_mapping_of_its_own_type_are_kept_for_the_loops_stream():
    class Encoding(UserDict):
        """As transformers' BatchEncoding."""

        def to(self, device):
            return Encoding({name: value.to(device) for name, value in self.data.items()})

    given = Encoding(input_values=torch.ones(2, 8), labels=torch.tensor([1, 2]))
    (found,), streams = load([given])
    assert type(found) is Encoding
    assert streams.started == 1
    assert [id(tensor) for tensor in streams.kept] == [id(tensor) for tensor in found.values()]


def test_a_batch_in_which_nobody_finds_the_tensors_is_copied_on_the_loops_own_stream():
    class Graph:
        def __init__(self, edges):
            self.edges = edges

        def to(self, device):
            return Graph(self.edges.to(device))

    (found,), streams = load([Graph(torch.ones(3))])
    assert torch.equal(found.edges, torch.ones(3))
    assert streams.started == 0


def test_16_bit_samples_of_somebody_elses_collate_are_scaled_for_a_transform_of_floats():
    samples = torch.tensor([[16384, -16384], [-32768, 0]], dtype=torch.int16)
    (found,), _ = load([{"audio": samples}], Level())
    assert found["features"].tolist() == [[0.5], [0.5]]
    assert found["audio"].dtype == torch.int16


@needs_cuda_build
@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_16_bit_samples_are_scaled_on_the_device_in_one_launch(default):
    torch.set_default_dtype(default)
    try:
        with fake_cuda():
            samples = torch.empty(2, 80, dtype=torch.int16, device="cuda")
            with noted() as notes:
                found = to_float(samples)
        assert (found.dtype, found.device.type) == (torch.float32, "cuda")
        assert notes.launches == 1
        assert not notes.waits
        assert (notes.read, notes.written) == (2 * 80 * 2, 2 * 80 * 4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_scale_is_exact_in_either_way():
    samples = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
    by_device = samples * torch.tensor(2.0**-15)
    assert torch.equal(to_float(samples), by_device)


ITEMS = [(torch.ones(80), 0), (torch.ones(60), 1)]
ASKED = {
    "collate": lambda: GPUSpecCollate(Level(), device="cuda")(ITEMS).features,
    "feed": lambda: next(iter(Feed(ITEMS, Level(), batch_size=2, device="cuda", workers=0))).features,
    "loader": lambda: next(iter(DeviceLoader([PadCollate()(ITEMS)], Level(), device="cuda"))).features,
    "padded": lambda: next(iter(DeviceLoader([PadCollate()(ITEMS)], device="cuda"))),
    "somebody else's": lambda: next(iter(DeviceLoader([{"audio": torch.ones(2, 8)}], device="cuda:0"))),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA, and here it is")
@pytest.mark.parametrize("how", ASKED)
def test_a_device_that_is_not_there_is_named(how):
    with pytest.raises(RuntimeError, match=r"device='cuda.*was asked for, and torch sees no such device in this"):
        ASKED[how]()


def test_an_error_of_a_device_that_is_there_is_its_own(monkeypatch):
    monkeypatch.setattr(bus, "_is_there", lambda device: True)
    with (
        pytest.raises(RuntimeError, match=r"^no memory left$"),
        bus.reaching(torch.device("cuda", 1)),
    ):
        raise RuntimeError("no memory left")
    with pytest.raises(RuntimeError, match=r"^of the host$"), bus.reaching(torch.device("cpu")):
        raise RuntimeError("of the host")
