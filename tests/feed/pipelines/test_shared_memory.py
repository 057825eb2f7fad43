"""Memory that a worker shares with the training process: values, gaps, sizes, small tensors, and what is left open."""

import io
import multiprocessing
import os
import pickle
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from audiofeed.feed import shared_memory
from audiofeed.feed.collate import PadCollate
from audiofeed.feed.shared_memory import SMALL, light, shared_rows
from audiofeed.parallel.lent_files import can_lend

needs_files = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs files without a name")


@needs_files
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("lengths", [(5, 1, 3), (4096, 10_000, 70_000), (1,)])
def test_rows_stand_in_shared_memory_with_zeros_after_them(dtype, lengths):
    rows = [np.arange(1, n + 1).astype(dtype) for n in lengths]
    shape = (len(rows), max(lengths) + 3)
    shared = shared_rows(iter(rows), shape, torch.from_numpy(rows[0]).dtype)
    expected = np.stack([np.pad(row, (0, shape[1] - len(row))) for row in rows])
    assert shared.is_shared()
    assert shared.dtype == torch.from_numpy(rows[0]).dtype
    np.testing.assert_array_equal(shared.numpy(), expected)
    shared[0, 0] = 7  # it is ordinary memory, which a transform may write in place
    assert shared[0, 0] == 7


@needs_files
def test_a_row_that_is_no_block_of_memory_is_written_as_it_reads():
    backwards = np.arange(9, dtype=np.int16)[::-1]
    assert shared_rows([backwards, backwards[::3]], (2, 9), torch.int16)[0].tolist() == backwards.tolist()


@needs_files
def test_a_short_write_is_gone_on_with(monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(shared_memory.os, "pwrite", lambda file, samples, at: pwrite(file, samples[:1000], at))
    row = np.random.default_rng(0).integers(-9, 9, 10_001).astype(np.int16)
    np.testing.assert_array_equal(shared_rows([row], (1, 10_001), torch.int16)[0].numpy(), row)


@needs_files
def test_no_descriptor_is_left_open_when_memory_runs_out(monkeypatch):
    def full(file, samples, at):
        raise OSError(28, "No space left on device")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(shared_memory.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        shared_rows([np.ones(5, np.int16)], (1, 5), torch.int16)
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_files_have_names_torch_shares_the_batch():
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        assert shared_rows([np.ones(5, np.int16)], (1, 5), torch.int16) is None
    finally:
        torch.multiprocessing.set_sharing_strategy(before)


TENSORS = [
    torch.arange(6).reshape(2, 3),
    torch.tensor(3.5, dtype=torch.bfloat16),
    torch.tensor([True, False]),
    torch.zeros(0, 4),
    torch.arange(12, dtype=torch.float16).reshape(3, 4).t(),
    torch.tensor([1 + 2j]),
]


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: str(tensor.dtype))
def test_a_small_tensor_comes_out_of_the_pickle_as_it_was(tensor):
    file = io.BytesIO()
    ForkingPickler(file).dump(light(tensor))
    found = pickle.loads(file.getvalue())
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)
    assert not found.is_shared()
    found.add_(1) if found.dtype != torch.bool else found.logical_not_()  # it may be written


class Sub(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(SMALL + 1, dtype=torch.uint8),
        torch.zeros(3, requires_grad=True),
        torch.zeros(3).share_memory_(),
        torch.zeros(3).as_subclass(Sub),
        torch.nn.Parameter(torch.zeros(3), requires_grad=False),
        torch.tensor([1 + 2j]).conj(),
        torch.zeros(3).to_sparse(),
        torch.zeros(3, device="meta"),
    ],
    ids=["large", "gradient", "shared", "subclass", "parameter", "conjugate", "sparse", "meta"],
)
def test_any_other_tensor_is_pickled_as_torch_does_it(tensor):
    assert light(tensor) is tensor


def count_files(items):
    """A collate that says how many descriptors the worker has open, and where the batch's tensors lie."""
    batch = PadCollate()(items)
    padded = batch._progress.state.padded
    batch["kinds"] = [padded.waveforms.is_shared(), padded.lengths.is_shared(), padded.targets.is_shared()]
    return batch


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_batches_of_workers_are_those_of_this_process_and_leave_no_descriptor(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(method)
    generator = torch.Generator().manual_seed(0)
    clips = [(torch.randn(20_000 + 37 * i, generator=generator), i) for i in range(24)]
    clips += [(torch.arange(100 + i, dtype=torch.int16), i) for i in range(8)]
    clips += [(torch.ones(2, 50 + i), i) for i in range(3)] + [(torch.ones(2, 9, dtype=torch.int16), 3)]
    expected = [PadCollate()(clips[i : i + 4]) for i in range(0, 36, 4)]
    loader = DataLoader(
        clips, batch_size=4, num_workers=2, collate_fn=count_files, multiprocessing_context=method, timeout=100
    )
    open_files = []
    for batch, there in zip(loader, expected, strict=True):
        assert batch["kinds"] == [True, False, False]
        assert batch._progress.state.padded.waveforms.dtype == there._progress.state.padded.waveforms.dtype
        assert torch.equal(batch.waveforms, there.waveforms)
        assert torch.equal(batch.lengths, there.lengths)
        assert torch.equal(batch.targets, there.targets)
        open_files.append(len(os.listdir("/proc/self/fd")))
    assert max(open_files) - min(open_files) < 12  # prefetched batches, not one file for each that came


def count_lent(items):
    """A collate that says how many files the worker lends."""
    batch = PadCollate()(items)
    batch["lent"] = len(shared_memory._lent)
    return batch


@pytest.mark.skipif(not can_lend(), reason="this system does not tell who has a file open")
@pytest.mark.parametrize("is_kept", [True, False])
def test_batches_that_the_loop_keeps_stay_as_they_are_and_others_give_their_memory_to_the_next(is_kept):
    clips = [(torch.full((20_000 - 31 * i,), 1.0 + i), i) for i in range(96)]
    loader = DataLoader(clips, batch_size=4, num_workers=2, collate_fn=count_lent)
    found, lent = [], []
    for batch in loader:
        assert batch.waveforms.shape[1] * 8 > SMALL
        found.append(batch.waveforms if is_kept else batch.waveforms.clone())
        lent.append(int(batch["lent"]))
        del batch
    for number, (waveforms, expected) in enumerate(
        zip(found, DataLoader(clips, batch_size=4, collate_fn=PadCollate()), strict=True)
    ):
        assert torch.equal(waveforms, expected.waveforms), number
    assert (max(lent) == 12) if is_kept else (max(lent) <= 8), lent
