"""The same numbers, to the last bit, whatever the workers: count, start method, persistence, output, dataset, epoch."""

from functools import cache

import pytest
import torch
from feed_datasets import Batches, EachOutput, Either, Pairs
from torch.utils.data import DataLoader

from audiofeed.data import AudioFolder, RandomCrop
from audiofeed.feed import GPUSpecCollate
from audiofeed.transforms import LogMelSpectrogram

SECONDS = 0.2
EPOCHS = 2


@pytest.fixture(scope="module")
def transform():
    return LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80)


@pytest.fixture(scope="module")
def datasets(wav_folder):
    folder = AudioFolder(wav_folder, crop=RandomCrop(SECONDS))
    return {"folder": folder, "pairs": Pairs()}


def numbers(made, output):
    """Everything of a batch, read as its output is read."""
    if output == "tuple":
        features, targets = made
        batch = made.batch
    else:
        batch = made
        features, targets = batch.features, batch.targets
    return {
        "features": features,
        "targets": targets,
        "lengths": batch.lengths,
        "feature_lengths": batch.feature_lengths,
        "feature_mask": batch.feature_mask,
        "waveforms": batch.waveforms,
    }


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


@pytest.fixture(scope="module")
def reference(transform, datasets):
    """By dataset and output, each epoch's batches from the plainest loader: num_workers=0."""

    @cache
    def epochs(name, output):
        batches = Batches({name: 10}, ("folder",), named=False)
        collate = GPUSpecCollate(transform, device="cpu", output=output)
        loader = DataLoader(datasets[name], batch_sampler=batches, collate_fn=collate)
        return [[numbers(made, output) for made in loader] for _ in range(EPOCHS)]

    return epochs


CASES = [("folder", "batch"), ("folder", "tuple"), ("pairs", "batch"), ("pairs", "tuple")]


def test_the_reference_is_worth_comparing_with(reference, transform, datasets):
    """Unequal lengths, another crop each epoch, and features equal to the transform's own of each clip alone."""
    folder = reference("folder", "batch")
    first = torch.cat([batch["lengths"] for batch in folder[0]])
    assert len(first.unique()) > 3
    assert first.max() == SECONDS * 16000
    assert not torch.equal(folder[0][0]["features"], folder[1][0]["features"])
    for name, output in CASES:
        for epoch, other in zip(reference(name, output), reference(name, "batch"), strict=True):
            for batch, twin in zip(epoch, other, strict=True):
                assert_same_bits(batch, twin)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1)).tolist()
    for row, index in enumerate(order[:4]):
        example = datasets["folder"][1, index]
        batch = folder[1][0]
        frames = batch["feature_lengths"][row]
        waveform = example.waveform.float() / 32768
        assert torch.equal(batch["waveforms"][row, : batch["lengths"][row]], waveform)
        torch.testing.assert_close(batch["features"][row, :, :frames], transform(waveform), rtol=1e-4, atol=1e-4)
        assert batch["targets"][row] == example.target


@pytest.mark.parametrize(("name", "output"), CASES)
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_forked_workers(reference, transform, datasets, name, output, persistent, workers):
    loader = DataLoader(
        datasets[name],
        batch_sampler=Batches({name: 10}, ("folder",), named=False),
        collate_fn=GPUSpecCollate(transform, device="cpu", output=output),
        num_workers=workers,
        persistent_workers=persistent,
        multiprocessing_context="fork",
    )
    for expected in reference(name, output):
        for made, batch in zip(loader, expected, strict=True):
            assert_same_bits(numbers(made, output), batch)


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_started_workers(reference, transform, datasets, method, workers, persistent):
    """Both datasets and both outputs through one set of workers, since each of them takes seconds to import torch."""
    outputs = {output: GPUSpecCollate(transform, device="cpu", output=output) for output in ("batch", "tuple")}
    loader = DataLoader(
        Either(datasets),
        batch_sampler=Batches({"folder": 10, "pairs": 10}, ("folder",), named=True),
        collate_fn=EachOutput(outputs),
        num_workers=workers,
        persistent_workers=persistent,
        multiprocessing_context=method,
    )
    for epoch in range(EPOCHS):
        made = list(loader)
        assert len(made) == 6
        for output in outputs:
            expected = [batch for name in ("folder", "pairs") for batch in reference(name, output)[epoch]]
            for both, batch in zip(made, expected, strict=True):
                assert_same_bits(numbers(both[output], output), batch)
