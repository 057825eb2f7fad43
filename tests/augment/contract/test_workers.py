"""A batch is augmented alike whether it is made in this process, in workers, or by a Feed's threads."""

from __future__ import annotations

import threading

import pytest
import torch

import audiofeed as af
from tests.augment.cases.every import CASES
from tests.augment.contract.test_contract import RATE, Noises


class Each:
    """A collate that gives the batch of every augmentation's collate, or of some, so that one loader serves for all."""

    def __init__(self, *names: str) -> None:
        mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=20)
        self.collates = {
            name: af.GPUSpecCollate(mel, device="cpu", augment=CASES[name].make()) for name in names or CASES
        }

    def __call__(self, items):
        return {name: collate(items) for name, collate in self.collates.items()}


def passes(**settings) -> list[dict[str, dict[str, torch.Tensor]]]:
    loader = torch.utils.data.DataLoader(Noises(), batch_size=4, collate_fn=Each(), timeout=0, **settings)
    fields = ("features", "feature_lengths", "waveforms", "lengths", "targets")
    return [
        {name: {field: getattr(batch, field) for field in fields} for name, batch in batches.items()}
        for batches in loader
    ]


@pytest.fixture(scope="module")
def here():
    return passes()


@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 2, "multiprocessing_context": "spawn"}])
def test_workers_give_the_same_bits(here, settings):
    for ours, theirs in zip(here, passes(**settings), strict=True):
        for name in CASES:
            for field, value in ours[name].items():
                assert torch.equal(value, theirs[name][field]), (name, field)


class Read(Noises):
    """Noises that note which threads read them, as somebody else's dataset, which a feed reads in none unless asked."""

    takes_keys = False

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __getitem__(self, key):
        self.threads.add(threading.get_ident())
        return super().__getitem__(key)


@pytest.mark.parametrize("workers", [0, "threads"])
@pytest.mark.parametrize("name", CASES)
def test_a_feed_gives_the_same_bits(here, name, workers):
    mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=20)
    dataset = Read()
    settings = {"batch_size": 4, "shuffle": False, "workers": workers, "device": "cpu", "augment": CASES[name].make()}
    with af.Feed(dataset, mel, **settings) as feed:
        for ours, batch in zip(here, feed, strict=True):
            for field, value in ours[name].items():
                assert torch.equal(value, getattr(batch, field)), field
    assert (threading.get_ident() in dataset.threads) == (workers == 0)
    assert len(dataset.threads) == 1
