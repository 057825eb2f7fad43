"""Train a tagger with several labels a clip, from the column of a CSV file.

    python examples/tagging.py

A cell such as "tone,clicks" becomes a vector of 0 and 1 over the classes, an empty one a vector of zeros. The test set
takes its classes from the training set, so that both number them alike, whatever tags occur in it.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn
from torch.utils.data import DataLoader

import audiofeed as af

RATE = 16_000


def sound(tag: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A sound with a tag: a tone, a rising sweep, hiss or clicks."""
    time = np.arange(samples) / RATE
    if tag == "tone":
        return 0.2 * np.sin(2 * np.pi * rng.uniform(300, 1200) * time)
    if tag == "sweep":
        return 0.2 * np.sin(2 * np.pi * (1500 * time + rng.uniform(1500, 2500) * time**2))
    if tag == "hiss":
        return np.diff(0.03 * rng.standard_normal(samples + 1))
    clicks = np.zeros(samples)
    clicks[rng.integers(0, RATE // 10) :: rng.integers(RATE // 12, RATE // 6)] = 0.9
    return clicks


TAGS = ("tone", "sweep", "hiss", "clicks")


def write_set(root: Path, count: int, seed: int) -> Path:
    """Write clips of any tags together, and a CSV file that lists them; return its path."""
    rng = np.random.default_rng(seed)
    root.mkdir()
    rows = []
    for take in range(count):
        tags = [tag for tag in TAGS if rng.random() < 0.4]
        samples = int(RATE * rng.uniform(0.6, 1.2))
        wave = 0.001 * rng.standard_normal(samples) + sum(sound(tag, samples, rng) for tag in tags)
        soundfile.write(root / f"{take}.wav", np.clip(wave, -1, 1), RATE, subtype="PCM_16")
        rows.append((f"{take}.wav", ",".join(tags), f"room {take % 3}"))
    with open(root / "clips.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "tags", "room"), *rows])
    return root / "clips.csv"


class Tagger(nn.Module):
    """Two convolutions over time; a tag is there if it is anywhere in the clip's own frames."""

    def __init__(self, n_mels: int, tags: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_mels), nn.Conv1d(n_mels, 64, 5, padding=2), nn.ReLU(), nn.Conv1d(64, 64, 5, padding=2)
        )
        self.head = nn.Linear(128, tags)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits.  Shape: (batch, n_mels, frames), (batch, frames) -> (batch, tags)."""
        hidden = self.layers(features).relu() * mask[:, None]
        return self.head(torch.cat([hidden.sum(-1) / mask.sum(-1, keepdim=True), hidden.amax(-1)], dim=-1))


def main() -> float:
    """Train for some epochs, and return the share of tags of the test set that are right."""
    torch.manual_seed(0)
    options = {"target_column": "tags", "target_type": "multi_hot"}
    with tempfile.TemporaryDirectory() as folder:
        train = af.AudioManifest(write_set(Path(folder) / "train", 240, seed=0), **options)
        test = af.AudioManifest(write_set(Path(folder) / "test", 60, seed=1), classes=train, **options)
        print(train, train.classes, train[0].target.tolist(), train[0].fields)
        collate = af.GPUSpecCollate(
            af.LogMelSpectrogram(sample_rate=RATE, n_fft=512, hop_length=160, n_mels=48, floor=1e-6)
        )
        model = Tagger(48, len(train.classes))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for epoch in range(8):
            for batch in DataLoader(train, batch_size=16, shuffle=True, num_workers=2, collate_fn=collate):
                model.to(batch.features.device).train()
                logits = model(batch.features, batch.feature_mask)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 4 == 3:
                print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
        model.eval()
        with torch.inference_mode():
            right = [
                ((model(batch.features, batch.feature_mask) > 0) == (batch.targets > 0.5)).float()
                for batch in DataLoader(test, batch_size=16, collate_fn=collate)
            ]
    accuracy = float(torch.cat(right).mean())
    print(f"test: accuracy {accuracy:.3f} of {len(test)} clips' tags")
    return accuracy


if __name__ == "__main__":
    main()
