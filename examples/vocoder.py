"""Train a small vocoder, waveforms from mel spectrograms, by a mel loss: gradients through a transform.

    python examples/vocoder.py

The features of a batch are the generator's input. The loss is the distance between the log-mel spectrograms of what it
makes and of the recording; both transforms lay their frames as HiFi-GAN does, so that n samples have n // 256 frames.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn
from torch.utils.data import DataLoader

import audiofeed as af

RATE, HOP, N_MELS = 22_050, 256, 80
CROP = 32 * HOP


def write_voice(path: Path, take: int) -> None:
    """Write a second of harmonics whose pitch and loudness glide."""
    rng = np.random.default_rng(take)
    time = np.arange(RATE) / RATE
    pitch = rng.uniform(120, 300) * 2 ** (0.3 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    loudness = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(2, 5) * time + rng.uniform(0, 6))
    voice = loudness * sum(np.sin(k * phase) / k for k in range(1, 12)) + 0.01 * rng.standard_normal(RATE)
    soundfile.write(path, 0.25 * voice, RATE, subtype="PCM_16")


class Generator(nn.Module):
    """Waveforms from log-mel spectrograms, by three convolutions that lengthen them 8, 8 and 4 times."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(N_MELS, channels, 5, padding=2)]
        for factor in (8, 8, 4):
            layers += [
                nn.LeakyReLU(0.1),
                nn.ConvTranspose1d(channels, channels // 2, 2 * factor, factor, padding=factor // 2),
                nn.LeakyReLU(0.1),
                nn.Conv1d(channels // 2, channels // 2, 7, padding=3),
            ]
            channels //= 2
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(0.1), nn.Conv1d(channels, 1, 7, padding=3), nn.Tanh())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Make waveforms.  Shape: (batch, N_MELS, frames) -> (batch, HOP * frames)."""
        return self.layers(0.2 * features + 1).squeeze(1)


def main() -> tuple[float, float]:
    """Train on crops of a third of a second; return the mel loss on other recordings before and after."""
    torch.manual_seed(0)
    mel = {
        "sample_rate": RATE,
        "n_fft": 1024,
        "hop_length": HOP,
        "placement": "vocoder",
        "pad_mode": "reflect",
        "power": 1.0,
        "root_offset": 1e-9,
        "n_mels": N_MELS,
        "floor": 1e-5,
    }
    heard = af.LogMelSpectrogram(**mel)  # of the loss: up to half the rate
    generator = Generator()
    optimizer = torch.optim.AdamW(generator.parameters(), lr=2e-3, betas=(0.8, 0.99))
    collate = af.GPUSpecCollate(af.LogMelSpectrogram(f_max=8000.0, **mel), device="cpu")

    def loss_of(batch: af.AudioBatch) -> torch.Tensor:
        return (heard(generator(batch.features)) - heard(batch.waveforms)).abs().mean()

    with tempfile.TemporaryDirectory() as folder:
        for name, takes in (("train", range(48)), ("test", range(48, 56))):
            (Path(folder) / name).mkdir()
            for take in takes:
                write_voice(Path(folder) / name / f"{take}.wav", take)
        train = af.AudioFolder(Path(folder) / "train", crop=af.RandomCrop(samples=CROP))
        test = af.AudioFolder(Path(folder) / "test", crop=af.CenterCrop(2 * CROP / RATE))

        @torch.no_grad()
        def evaluate() -> float:
            (batch,) = DataLoader(test, batch_size=8, collate_fn=collate)
            return float(loss_of(batch))

        before = evaluate()
        for epoch in range(14):
            train.set_epoch(epoch)
            for batch in DataLoader(train, batch_size=16, shuffle=True, num_workers=2, collate_fn=collate):
                loss = loss_of(batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 5 == 0:
                print(f"epoch {epoch + 1}: mel loss {loss.item():.2f}")
        after = evaluate()
    print(f"test: mel loss {before:.2f} before, {after:.2f} after")
    return before, after


if __name__ == "__main__":
    main()
