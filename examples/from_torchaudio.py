"""A training script on torchaudio, before and after: the same numbers, for whole batches on the device.

    python examples/from_torchaudio.py

Before, the dataset computes a mel spectrogram in decibels for each clip, in the worker, and a collate function pads
the features. After, the dataset yields the waveform, and the collate computes the features of a batch on the device.
torchaudio's defaults are written out, because ours are librosa's. Clips of one length, and the same values to float32's
rounding; with clips of several lengths the "before" would also need masks for its padding, which `batch` here has.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

RATE, N_MELS = 16_000, 64


class Sounds(Dataset[tuple[torch.Tensor, int]]):
    """Half a second of a rising or a falling tone; `transform` is torchaudio's place for features."""

    def __init__(self, transform: nn.Module | None = None) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 192

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        low, high = 300 + 300 * torch.rand((), generator=generator), 1500 + 1500 * torch.rand((), generator=generator)
        time = torch.linspace(0, 0.5, RATE // 2)
        start, end = (low, high) if index % 2 else (high, low)
        wave = torch.sin(2 * torch.pi * (start * time + (end - start) * time.square()))
        wave = wave + 0.1 * torch.randn(len(time), generator=generator)
        return (wave if self.transform is None else self.transform(wave)), index % 2


def before() -> DataLoader:
    """torchaudio: features in the dataset, clip by clip."""
    import torchaudio.transforms as ta

    transform = nn.Sequential(
        ta.MelSpectrogram(RATE, n_fft=400, hop_length=160, n_mels=N_MELS), ta.AmplitudeToDB(top_db=80)
    )
    return DataLoader(Sounds(transform), batch_size=16)


def after() -> DataLoader:
    """audiofeed: waveforms from the dataset, features of the batch on the device."""
    transform = af.Chain(
        af.MelSpectrogram(
            sample_rate=RATE, n_fft=400, hop_length=160, n_mels=N_MELS, mel_scale="htk", norm=None, pad_mode="reflect"
        ),
        af.AmplitudeToDB(top_db=80.0),
    )
    return DataLoader(Sounds(), batch_size=16, collate_fn=af.GPUSpecCollate(transform, output="tuple"))


def train(loader: DataLoader) -> float:
    """The loop is the same for both. Returns the accuracy over the last epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(N_MELS, 16, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4):
        right = 0
        for features, targets in loader:
            logits = model.to(features.device)(features / 40)
            loss = nn.functional.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += int((logits.argmax(1) == targets).sum())
    return right / len(loader.dataset)


def main() -> None:
    """Compare the features, then train on ours."""
    old, new = next(iter(before()))[0], next(iter(after()))[0]
    print(f"features {tuple(new.shape)}: largest difference {float((old - new.cpu()).abs().max()):.1e} dB")
    print(f"accuracy {train(after()):.3f}")


if __name__ == "__main__":
    main()
