"""Does it help to train the transform? Regress the frequency of a raw sine wave through fixed and trained bases.

    python examples/trainable_bases.py [--epochs 60] [--step 2] [--seed 0]

The experiment of nnAudio (Cheuk et al., IEEE Access 2020, section V), at a rate that two CPU cores train in minutes:
sines of 0.2 s from 200 Hz to half the rate, in steps of 2 Hz; a model sees the logarithm of a spectrogram and says the
frequency, as a part of half the rate. Every spectrogram is computed once with the values it starts with, and once with
its basis trained along with the model; all else is the same, the model's first weights included. The table shows the
mean squared error on sines that were not trained on.

What differs from the paper, and makes our ratios other ones: 8 kHz for 44.1 kHz, and so 1,520 sines to train on for
87,400 (each with a new phase in every epoch, for ten phases), and frames of 256 samples; the fewer frequencies leave
a trained basis less to learn from, and the short frames leave a fixed one less to tell them apart by.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

RATE = 8_000
SAMPLES = RATE // 5
# fixed / trained test errors of the paper's linear models, at 44.1 kHz with 109,250 sines
PUBLISHED = {"STFT": (1.9e-5, 3.8e-6), "mel": (2.4e-3, 1.2e-5), "CQT": (1.0e-2, 4.1e-6)}


class Sines(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Sine waves and their frequencies as parts of half the rate; every fifth is for the test, with a phase of its own.

    A sine for training has a new phase whenever it is asked for.
    """

    def __init__(self, *, step: float, test: bool, seed: int) -> None:
        frequencies = torch.arange(200, RATE / 2, step)
        order = torch.randperm(len(frequencies), generator=torch.Generator().manual_seed(seed))
        self.frequencies = frequencies[order[: len(order) // 5] if test else order[len(order) // 5 :]]
        phases = torch.rand(len(self.frequencies), generator=torch.Generator().manual_seed(seed))
        self.phases = phases if test else None

    def __len__(self) -> int:
        return len(self.frequencies)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        turns = torch.rand(()) if self.phases is None else self.phases[index]
        frequency = self.frequencies[index]
        wave = torch.sin(2 * torch.pi * (frequency / RATE * torch.arange(SAMPLES) + turns))
        return wave, frequency / (RATE / 2)


class Linear(nn.Module):
    """One weight for each bin, over the mean of the frames."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.weights = nn.Linear(bins, 1)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """A part of half the rate.  Shape: (batch, bins, frames) -> (batch,)."""
        return torch.sigmoid(self.weights(log(spectrogram).mean(-1))).squeeze(-1)


class CNN(nn.Module):
    """Two convolutions over the bins, then a linear layer."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv1d(8, 8, 5, stride=2, padding=2), nn.ReLU()
        )
        self.weights = nn.Linear(8 * ((bins + 3) // 4), 1)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """A part of half the rate.  Shape: (batch, bins, frames) -> (batch,)."""
        hidden = self.convolutions(log(spectrogram).mean(-1)[:, None])
        return torch.sigmoid(self.weights(hidden.flatten(1))).squeeze(-1)


def log(spectrogram: torch.Tensor) -> torch.Tensor:
    """The logarithm of magnitudes that may be 0, or negative once the mel filters have been trained."""
    return (spectrogram.abs() + 1e-3).log()


def spectrograms() -> dict[str, Callable[[bool], nn.Module]]:
    """name -> a function from whether it trains to the transform."""
    frames = {"n_fft": 256, "hop_length": 128}
    mel = {"sample_rate": RATE, **frames, "n_mels": 64, "norm": None, "power": 1.0}
    return {
        "STFT": lambda train: af.Spectrogram(**frames, power=1.0, method="conv", trainable=train),
        "mel": lambda train: af.MelSpectrogram(**mel, method="conv", trainable=train, trainable_mel=train),
        "CQT": lambda train: af.CQT(
            sample_rate=RATE, hop_length=128, f_min=180.0, n_bins=50, method="conv", trainable=train
        ),
    }


def error(transform: nn.Module, model: nn.Module, loader: DataLoader) -> float:
    """The mean squared error over a loader's batches."""
    with torch.no_grad():
        parts = [(model(features) - wanted).square() for features, wanted in loader]
    return float(torch.cat(parts).mean())


def train(make: Callable[[bool], nn.Module], kind: type[nn.Module], *, trainable: bool, arguments) -> float:
    """Train a model, and the transform if asked, and return the error on the test sines."""
    torch.manual_seed(arguments.seed)
    transform = make(trainable)
    model = kind(transform(torch.zeros(1, SAMPLES)).shape[-2])
    collate = af.GPUSpecCollate(transform, output="tuple")
    split = {"step": arguments.step, "seed": arguments.seed}
    loader = DataLoader(Sines(**split, test=False), batch_size=64, shuffle=True, collate_fn=collate)
    test = DataLoader(Sines(**split, test=True), batch_size=256, collate_fn=collate)
    optimizer = torch.optim.Adam([*model.parameters(), *transform.parameters()])
    steps = arguments.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=arguments.rate, total_steps=steps)
    for _ in range(arguments.epochs):
        for features, wanted in loader:
            loss = (model(features) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return error(transform, model, test)


def main() -> None:
    """Train every pair and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--step", type=float, default=2.0, help="Hz from sine to sine")
    parser.add_argument("--rate", type=float, default=3e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'spectrogram':12}{'model':8}{'fixed':>10}{'trained':>10}{'ratio':>8}{'published':>11}{'seconds':>9}")
    for name, make in spectrograms().items():
        for kind in (Linear, CNN):
            start = time.perf_counter()
            fixed = train(make, kind, trainable=False, arguments=arguments)
            trained = train(make, kind, trainable=True, arguments=arguments)
            paper = f"{PUBLISHED[name][0] / PUBLISHED[name][1]:.0f}" if kind is Linear else ""
            print(
                f"{name:12}{kind.__name__:8}{fixed:10.1e}{trained:10.1e}{fixed / trained:8.1f}{paper:>11}"
                f"{time.perf_counter() - start:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
