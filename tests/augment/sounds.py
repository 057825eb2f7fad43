"""Clips that the tests of mixes and of filters train on: noises, and clicks with their labels."""

from __future__ import annotations

import numpy as np
import torch

import audiofeed as af
from audiofeed.data.targets.timed import CutEvents

RATE = 8000
MEL = {"sample_rate": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 16}


class Sounds(torch.utils.data.Dataset):
    """Noises of unequal lengths and levels, with a target made of their index."""

    takes_keys = True

    def __init__(self, n=12, target=lambda index: torch.eye(4)[index % 4], rate=RATE, offset=0, **fields):
        self.n, self.target, self.rate, self.offset, self.fields = n, target, rate, offset, fields

    def __len__(self):
        return self.n

    def wave(self, index):
        generator = torch.Generator().manual_seed(self.offset + index)
        return 0.05 * (1 + index % 3) * torch.randn(2000 + 600 * (index % 5), generator=generator)

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (0, key)
        seed = 1000 * epoch + index + 7
        fields = {name: make(index) for name, make in self.fields.items()}
        return af.AudioExample(
            self.wave(index), self.rate, self.target(index), key=f"{self.offset}/{index}", seed=seed, fields=fields
        )


def of_index(index):
    return int(index % 4)


def batch_of(augment, dataset, rows=range(12), transform=None, **settings):
    collate = af.GPUSpecCollate(transform or af.MelSpectrogram(**MEL), device="cpu", augment=augment, **settings)
    return collate([dataset[row] for row in rows])


def speaker(index):
    return f"speaker {index}"


def number(name):
    return int(name.split("/")[1])


class Clicks(torch.utils.data.Dataset):
    """Clicks of full scale, each of which is an event of its clip's class."""

    def __init__(self, n=8, length=4000, step=0):
        self.n, self.length, self.step = n, length, step

    def __len__(self):
        return self.n

    def places(self, index):
        return np.sort(np.random.default_rng(index).choice(np.arange(3, self.size(index) // 160 - 3), 4, False)) * 160

    def size(self, index):
        return self.length + self.step * (index % 3)

    def __getitem__(self, index):
        wave, places = torch.zeros(self.size(index)), torch.from_numpy(self.places(index))
        wave[places] = 1.0
        target = CutEvents(
            places.double(), places.double(), torch.full((4,), index % 2), len(wave), 2, "activity", "span"
        )
        return af.AudioExample(wave, RATE, target, key=f"c/{index}", seed=index + 5)
