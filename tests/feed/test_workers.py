"""The collates in real workers: no CUDA, no module, live parameters, errors that arrive, nothing that hangs."""

import gc
import io
import multiprocessing
import os
import pickle
from multiprocessing import reduction

import numpy as np
import pytest
import torch
from feed_datasets import Bands, Broken, Named, Pairs, ReadInWorker, sum_targets
from torch import nn
from torch.utils.data import DataLoader

from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate

START_METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(autouse=True)
def no_iterator_of_the_test_before():
    """A forked worker that inherits a dead DataLoader iterator waits for that one's workers, which are not its own."""
    gc.collect()


def load(collate, dataset=None, **settings):
    settings = {"batch_size": 4, "num_workers": 2, "multiprocessing_context": "fork", **settings}
    if settings["num_workers"] == 0:
        del settings["multiprocessing_context"]
    return DataLoader(Pairs() if dataset is None else dataset, collate_fn=collate, **settings)


def touch_only_in(pid):
    def touched(*_, **__):
        if os.getpid() != pid:
            raise AssertionError("the accelerator was asked for in a worker")
        return False

    return touched


def test_a_forked_worker_never_asks_for_an_accelerator(monkeypatch):
    touched = touch_only_in(os.getpid())
    for name in ("_lazy_init", "is_available", "current_device", "device_count", "init"):
        monkeypatch.setattr(torch.cuda, name, touched)
    for name in ("is_available", "current_accelerator", "device_count"):
        monkeypatch.setattr(torch.accelerator, name, touched)
    collate = GPUSpecCollate(Bands())
    for report in load(ReadInWorker(collate)):
        assert report["in_worker"]
        assert report["pid"] != os.getpid()
        assert not report["cuda"]
        assert "batch.features was read in process" in report["message"]
        assert "DataLoader worker" in report["message"]
    # the same calls are seen here: the device is decided in this process
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: (_ for _ in ()).throw(LookupError("asked here")))
    with pytest.raises(LookupError, match="asked here"):
        _ = collate([torch.ones(100)]).features


def test_a_default_device_does_not_move_what_a_worker_makes(monkeypatch):
    """Under fork it reaches the workers."""
    monkeypatch.setattr("audiofeed.feed.padding.in_worker_process", lambda: True)
    with torch.device("meta"):
        batch = PadCollate()(
            [(torch.ones(3, device="cpu"), (1, 2.5, True, np.float32(3))), (np.ones(2), (1, 1, True, 2))]
        )
    tensors = [batch._progress.state.padded.waveforms, batch.lengths, *batch.targets[:3]]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}


@pytest.mark.parametrize("method", START_METHODS)
def test_what_a_worker_sees_of_a_batch(method):
    collate = GPUSpecCollate(Bands(), device="cpu")
    for report, expected in zip(
        load(ReadInWorker(collate), num_workers=1, multiprocessing_context=method),
        load(collate, num_workers=0),
        strict=True,
    ):
        assert "batch.features was read in process" in report["message"]
        assert "GPUSpecCollate(Bands)" in report["message"]
        assert not report["cuda"]
        assert report["shared"]
        assert "computed at the first read, by Bands" in report["repr"]
        assert report["names"] == list(expected)
        assert torch.equal(report["waveforms"], expected.waveforms)
        assert torch.equal(report["lengths"], expected.lengths)


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(50_000_000), requires_grad=False)

    def forward(self, waveform):
        return waveform[:, None] * self.weight[0]


def test_what_is_really_sent_to_a_spawned_worker(monkeypatch):
    sent = []

    def dump(obj, file, protocol=None):
        buffer = io.BytesIO()
        reduction.ForkingPickler(buffer, protocol).dump(obj)
        sent.append(buffer.getbuffer().nbytes)
        file.write(buffer.getvalue())

    monkeypatch.setattr(reduction, "dump", dump)
    collate = GPUSpecCollate(Large(), device="cpu", target_collate=sum_targets)
    batches = list(load(collate, num_workers=1, multiprocessing_context="spawn"))
    assert len(sent) == 2  # how to start, and the process with dataset and collate
    assert max(sent) < 100_000
    assert batches[0].targets["raw"] == [0, 1, 2, 3]
    assert batches[0].features.shape[1] == 1


def test_a_batch_pickled_in_a_worker_carries_no_module():
    collate = GPUSpecCollate(Large(), device="cpu")
    sizes = [size for size, _ in load(PickledSize(collate))]
    assert max(sizes) < 50_000
    assert not any(b"Large" in data and b"Parameter" in data for _, data in load(PickledSize(collate)))


class PickledSize:
    def __init__(self, collate):
        self.collate = collate

    def __call__(self, items):
        data = pickle.dumps(self.collate(items))
        return len(data), data


@pytest.mark.parametrize("method", START_METHODS)
def test_the_gradient_reaches_the_live_parameters(method):
    transform = Bands(trainable=True)
    for batch in load(GPUSpecCollate(transform, device="cpu"), num_workers=1, multiprocessing_context=method):
        batch.features.mean().backward()
    grad = transform.weight.grad
    assert grad is not None
    transform.weight.grad = None
    for batch in load(GPUSpecCollate(transform, device="cpu"), num_workers=0):
        batch.features.mean().backward()
    assert torch.equal(transform.weight.grad, grad)


def test_a_transform_trained_between_epochs_gives_its_trained_features():
    transform = Bands(trainable=True)
    loader = load(GPUSpecCollate(transform, device="cpu"), persistent_workers=True)
    first = [batch.features.detach() for batch in loader]
    optimizer = torch.optim.SGD(transform.parameters(), lr=1e-3)
    for batch in loader:
        optimizer.zero_grad()
        batch.features.mean().backward()
        optimizer.step()
    trained = [(batch.features.detach(), batch.waveforms, batch.lengths) for batch in loader]
    for before, (after, waveforms, lengths) in zip(first, trained, strict=True):
        assert not torch.equal(before, after)
        assert torch.equal(after, transform(waveforms, lengths))


def test_the_first_batch_of_a_loader_that_is_gone():
    batch = next(iter(load(GPUSpecCollate(Bands(), device="cpu"))))
    gc.collect()
    assert batch.features.shape[0] == 4


# A worker told to end while its queue's thread pickles a tensor may abort on its way out (a daemon thread that Python
# ends inside C++), whatever the collate; DataLoader's destructor then says so, and it cannot raise.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("persistent", [True, False])
def test_an_epoch_left_early_does_not_hang(method, persistent):
    collate = GPUSpecCollate(Bands(), device="cpu")
    loader = load(
        collate,
        batch_size=1,
        num_workers=1,
        multiprocessing_context=method,
        persistent_workers=persistent,
        prefetch_factor=4,
    )
    for batch in loader:
        kept = batch
        break
    assert kept.features.shape[0] == 1
    seen = [batch.targets.item() for batch in loader]
    assert seen == list(range(10))
    iterator = iter(loader)
    next(iterator)
    del iterator, loader
    gc.collect()
    for process in multiprocessing.active_children():
        process.join(timeout=20)
        assert not process.is_alive()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_dataset_is_heard(workers):
    with pytest.raises(ValueError, match="item 5 is broken on purpose"):
        for _ in load(GPUSpecCollate(Bands(), device="cpu"), Broken(), num_workers=workers):
            pass


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([(torch.zeros(0), 1)], ValueError, "clip 0 has shape .* no samples"),
        ([{"sound": 3}], TypeError, "known forms"),
        ([(torch.tensor([float("nan")]), 1)], ValueError, "clip 0 has 1 NaN"),
        ([(torch.ones(9), 8000, 1)], ValueError, "sample_rate=8000 and the transform has 16000"),
    ],
)
def test_an_error_of_the_collate_arrives_with_its_type_and_message(items, error, message):
    with pytest.raises(error, match=message):
        list(load(GPUSpecCollate(Bands(), device="cpu"), Named(items), num_workers=1))


def test_a_local_target_collate_works_under_fork():
    batches = list(load(GPUSpecCollate(Bands(), device="cpu", target_collate=lambda targets: max(targets))))
    assert [batch.targets for batch in batches] == [3, 7, 9]


def test_pad_collate_keeps_16_bit_samples_on_the_way():
    items = [torch.tensor([1, 2, 3], dtype=torch.int16), torch.tensor([4], dtype=torch.int16)]
    (batch,) = load(PadCollate(), Named(items), num_workers=1)
    assert isinstance(batch, AudioBatch)
    assert batch._progress.state.padded.waveforms.dtype == torch.int16
    assert torch.equal(batch.waveforms, torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]) / 32768)


def read_in_a_process(connection, collate):
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    batch = collate([torch.ones(100)])
    try:
        connection.send(tuple(batch.features.shape))
    except RuntimeError as error:
        connection.send(str(error))


@pytest.mark.parametrize(
    ("method", "answer"),
    [("fork", (1, 2, 4)), ("spawn", (1, 2, 4)), ("spawn", "only a copy of one that is not trained")],
)
def test_a_process_that_is_no_worker(method, answer):
    """It has its own copy of the module, as a notebook launcher's ranks do; a spawned one has none of a trained one."""
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    transform = Bands(trainable=isinstance(answer, str))
    process = context.Process(target=read_in_a_process, args=(there, GPUSpecCollate(transform, device="cpu")))
    process.start()
    received = here.recv() if here.poll(60) else None
    process.join(60)
    assert answer in received if isinstance(answer, str) else received == answer
