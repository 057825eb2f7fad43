"""A training script that has its own dataset, before and after: only the collate_fn is new.

    python examples/own_dataset.py

The dataset yields (waveform, target) with waveforms of unequal length: here tones and noise, made up as they are asked
for. The model is fed log-mel spectrograms that nobody precomputed, and it is told how many frames are real.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

RATE = 16_000


class TonesAndNoise(Dataset[tuple[torch.Tensor, int]]):
    """Clips of 0.3 to 0.9 s: class 0 a tone, class 1 noise."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index >= len(self):
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        time = int(RATE * (0.3 + 0.6 * torch.rand((), generator=generator)))
        noise = torch.randn(time, generator=generator)
        if index % 2:
            return 0.1 * noise, 1
        frequency = 200 + 3000 * torch.rand((), generator=generator)
        return torch.sin(2 * torch.pi * frequency * torch.arange(time) / RATE) + 0.3 * noise, 0


class Classifier(nn.Module):
    """Two convolutions over time, and the mean over a clip's own frames."""

    def __init__(self, n_mels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(n_mels, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 32, 3, padding=1))
        self.head = nn.Linear(32, classes)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits.  Shape: (batch, n_mels, frames), (batch, frames) -> (batch, classes)."""
        hidden = self.layers(features) * mask[:, None]
        return self.head(hidden.sum(-1) / mask.sum(-1, keepdim=True))


def main() -> float:
    """Train for two epochs and return the accuracy in the second."""
    torch.manual_seed(0)
    features = af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=40)
    collate = af.GPUSpecCollate(features)
    loader = DataLoader(TonesAndNoise(), batch_size=16, shuffle=True, num_workers=2, collate_fn=collate)
    model = Classifier(n_mels=40, classes=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    accuracy = 0.0
    for epoch in range(2):
        right = 0
        for batch in loader:
            model.to(batch.features.device)
            logits = model(batch.features, batch.feature_mask)
            loss = nn.functional.cross_entropy(logits, batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += int((logits.argmax(-1) == batch.targets).sum())
        accuracy = right / 256
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
