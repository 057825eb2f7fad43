"""Train a mask that takes a voice out of noise, from two files for each example.

    python examples/separation.py

A manifest's row names a noisy recording and the clean one. Both are read as one crop, aligned to the sample: the first
is the waveform of the batch, the other its target, as long as the waveform.
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

RATE, N_FFT, HOP = 8_000, 256, 64


def write_pair(root: Path, take: int) -> dict[str, str]:
    """Write a voice of gliding harmonics, and the same in noise; return the manifest's row of them."""
    rng = np.random.default_rng(take)
    samples = int(RATE * rng.uniform(2.0, 3.0))
    pitch = 150 + 60 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * np.arange(samples) / RATE + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(1.5, 3) * np.arange(samples) / RATE), 0, 1)
    clean = 0.08 * syllables * sum(np.sin(k * phase) for k in range(1, 9))
    noisy = clean + 0.06 * rng.standard_normal(samples)
    row = {"noisy": f"noisy {take}.wav", "clean": f"clean {take}.wav"}
    for name, wave in (("noisy", noisy), ("clean", clean)):
        soundfile.write(root / row[name], np.clip(wave, -1, 1), RATE, subtype="PCM_16")
    return row


class Mask(nn.Module):
    """A mask between 0 and 1 for each bin of a spectrum, from the logarithm of its magnitudes."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = af.STFT(N_FFT, hop_length=HOP)
        self.inverse = af.InverseSTFT(N_FFT, hop_length=HOP)
        bins = N_FFT // 2 + 1
        self.layers = nn.Sequential(
            nn.BatchNorm1d(bins), nn.Conv1d(bins, 128, 5, padding=2), nn.ReLU(), nn.Conv1d(128, bins, 5, padding=2)
        )

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The voice alone.  Shape: (batch, time), (batch,) -> (batch, time)."""
        spectrum = self.stft(waveforms, lengths)
        mask = self.layers(spectrum.abs().add(1e-3).log()).sigmoid()
        return self.inverse(mask * spectrum, waveforms.shape[-1])


def ratio_db(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Signal to distortion ratio of each clip in dB.  Shape: (batch, time) -> (batch,)."""
    return 10 * torch.log10(wanted.square().sum(-1) / (found - wanted).square().sum(-1).clamp(min=1e-9))


def main() -> float:
    """Train on crops of half a second, and return the gain in dB on recordings that were not trained on."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = [write_pair(Path(folder), take) for take in range(56)]
        options = {"root": folder, "path_columns": ["noisy", "clean"]}
        train = af.AudioManifest(rows[:48], crop=af.RandomCrop(0.5), **options)
        test = af.AudioManifest(rows[48:], **options)
        model = Mask()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        collate = af.PadCollate()
        for epoch in range(25):
            train.set_epoch(epoch)
            for batch in DataLoader(train, batch_size=16, shuffle=True, num_workers=2, collate_fn=collate):
                voice = model(batch.waveforms, batch.lengths)
                loss = -ratio_db(voice, batch.targets["clean"] + 1e-4 * torch.randn_like(voice)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 8 == 0:
                print(f"epoch {epoch + 1}: {-loss.item():.1f} dB")
        model.eval()
        with torch.inference_mode():
            (batch,) = DataLoader(test, batch_size=8, collate_fn=collate)
            before = ratio_db(batch.waveforms, batch.targets["clean"])
            after = ratio_db(model(batch.waveforms, batch.lengths), batch.targets["clean"])
    gain = float((after - before).mean())
    print(f"test: {before.mean():.1f} dB before, {after.mean():.1f} dB after, gain {gain:.1f} dB")
    return gain


if __name__ == "__main__":
    main()
