"""Collates in other processes: called by a dataset in a worker, and pickled to another training process."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from feed_datasets import Bands, Pairs
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from audiofeed.feed.in_worker import WorkerBatch
from audiofeed.feed.pair import FeaturesAndTargets


class BatchesByIndex(Dataset):
    """Batches by a map-style dataset, as lhotse's are: its sampler yields what is in them."""

    def __init__(self, collate):
        self.collate = collate

    def __len__(self):
        return 3

    def __getitem__(self, index):
        batch = self.collate([Pairs()[2 * index], Pairs()[2 * index + 1]])
        return (batch, index) if index == 2 else batch


class Batches(IterableDataset):
    """The same batches by an iterable dataset, as webdataset's are."""

    def __init__(self, collate):
        self.collate = collate

    def __iter__(self):
        return iter(BatchesByIndex(self.collate)[index] for index in range(3))


@pytest.mark.parametrize("dataset", [BatchesByIndex, Batches])
@pytest.mark.parametrize("output", ["batch", "tuple", "tensors"])
@pytest.mark.parametrize(("workers", "method"), [(0, None), (1, "fork"), (1, "forkserver")])
def test_a_collate_called_by_the_dataset(dataset, output, workers, method):
    if (method, output) == ("forkserver", "tensors"):
        pytest.skip("as the other two, and starting one takes seconds")
    calls = GPUSpecCollate(Bands(), device="cpu")
    expected = [calls([Pairs()[2 * index], Pairs()[2 * index + 1]]) for index in range(3)]
    collate = GPUSpecCollate(Bands(), device="cpu", output=output)
    loader = DataLoader(dataset(collate), batch_size=None, num_workers=workers, multiprocessing_context=method)
    # torch makes a list of the dataset's own tuple
    batches = [batch[0] if isinstance(batch, list) else batch for batch in loader]
    assert len(batches) == 3
    for batch, wanted in zip(batches, expected, strict=True):
        assert type(batch) is (FeaturesAndTargets if output == "tuple" else type(batch))
        features, targets = batch if output == "tuple" else (batch.features, batch.targets)
        assert torch.equal(features, wanted.features)
        assert torch.equal(targets, wanted.targets)
        whole = batch.batch if output == "tuple" else batch
        assert isinstance(whole, AudioBatch)
        if output == "tuple" and workers == 0:  # torch has built it again, of its two entries
            with pytest.raises(AttributeError, match="lengths is not known"):
                _ = whole.lengths
        else:
            assert torch.equal(whole.lengths, wanted.lengths)
    assert collate.transform.calls >= 3


def test_the_gradient_reaches_a_transform_whose_collate_the_dataset_calls():
    collate = GPUSpecCollate(Bands(trainable=True), device="cpu")
    for batch in DataLoader(Batches(collate), batch_size=None, num_workers=1):
        (batch[0] if isinstance(batch, list) else batch).features.sum().backward()
    assert collate.transform.weight.grad.abs().sum() > 0


class Looks:
    """What is seen of a batch in the worker, as an entry of it."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, items):
        batch = self.collate(items)
        seen = [type(batch).__name__, len(batch), batch.lengths.tolist(), batch["targets"].tolist(), "names" in batch]
        batch["note"] = 1
        batch["gone"] = 2
        del batch["gone"]
        batch = copy.deepcopy(copy.copy(batch))
        seen += [list(batch)[-1], batch.note, repr(batch).split("(")[0]]
        batch["seen"] = seen
        return batch


def test_a_batch_in_its_worker():
    collate = Looks(GPUSpecCollate(Bands(), device="cpu"))
    for workers, name in ((0, "AudioBatch"), (1, "WorkerBatch")):
        (batch,) = DataLoader(Pairs(2), batch_size=2, num_workers=workers, collate_fn=collate)
        assert isinstance(batch, AudioBatch)
        assert not isinstance(batch, WorkerBatch)
        assert batch["seen"] == [name, 2, [700, 837], [0, 1], True, "note", 1, "AudioBatch"]
        assert "gone" not in batch


SCRIPT = """
import pickle, sys, torch
from torch.utils.data import DataLoader
from feed_datasets import Pairs
if __name__ == "__main__":
    model, collate, again = pickle.load(open(sys.argv[1], "rb"))
    batch = collate([(torch.ones(100), 3)])
    print(tuple(batch.features.shape), batch.features.device, batch.features.requires_grad)
    print(model.transform is collate.transform is again.transform)
    batch.features.sum().backward()
    print(model.transform.weight.grad.abs().sum() > 0)
    loader = DataLoader(Pairs(4), batch_size=2, num_workers=1, collate_fn=collate, multiprocessing_context="spawn")
    print([tuple(batch.features.shape) for batch in loader])
"""


def test_a_pickle_takes_the_transform_along_as_the_one_of_the_model(tmp_path):
    """As Ray's closures are pickled: the model and the collate keep sharing it, and workers find it again."""
    model = nn.Module()
    model.transform = Bands(trainable=True)
    collate = GPUSpecCollate(model.transform, device="cpu", padding="silence", max_ahead=3, unsynchronized="allow")
    (tmp_path / "pickle").write_bytes(pickle.dumps((model, collate, copy.copy(collate))))
    (tmp_path / "run.py").write_text(SCRIPT)
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[3])]
    result = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "pickle")],
        capture_output=True, text=True, timeout=120, env={"PYTHONPATH": ":".join(folders), "PATH": ""}, check=False,
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[:3] == ["(1, 2, 4) cpu True", "True", "tensor(True)"], result.stderr
    assert lines[3] == "[(2, 2, 27), (2, 2, 35)]", (lines, result.stderr)
    twin = collate.__getstate__()["_carried"].runtime("other")
    assert (twin.max_ahead, twin.padding.kind, twin.unsynchronized) == (3, "silence", "allow")


def features_in_a_process(connection, collate):
    batch = collate([(torch.ones(100), 3)])
    try:
        connection.send((batch.features.tolist(), collate.transform.weight.is_shared()))
    except RuntimeError as error:
        connection.send(str(error))


class Large(Bands):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(9_000_000), requires_grad=False)


class Unpicklable(Bands):
    def __init__(self):
        super().__init__()
        self.function = lambda: 1


@pytest.mark.parametrize(
    ("transform", "answer"),
    [
        (Bands(), None),
        (Bands(trainable=True), "is not trained"),
        (Large(), "at most 32 MB"),
        (Unpicklable(), "Or read"),
    ],
)
def test_a_process_started_by_spawn_has_a_copy_of_what_is_not_trained(transform, answer):
    """As ddp_spawn's ranks are: of a small transform without training, else an error that says what to do."""
    collate = GPUSpecCollate(transform, device="cpu")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=features_in_a_process, args=(there, collate), daemon=True)
    process.start()
    received = here.recv() if here.poll(60) else "nothing"
    process.join(60)
    if answer is None:
        assert received == (collate([(torch.ones(100), 3)]).features.tolist(), False)
    else:
        assert answer in received
        assert "build the transform and the GPUSpecCollate there: in the function given to" in received


def test_pad_collate_is_pickled_as_it_is():
    assert pickle.loads(pickle.dumps(PadCollate(mono=True)))([torch.ones(1, 3)]).waveforms.shape == (1, 3)
