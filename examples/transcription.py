"""Train a note transcriber with piano rolls that follow random crops.

    python examples/transcription.py

Recordings of 6 s are written with a piano roll beside each, one column for every hop, as pipelines store them. The
dataset crops both; the rolls in a batch have exactly the frames of the features. Crops start on the grid of the hop, so
that a crop's labels are those of the whole recording, value for value.
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

RATE, HOP, SECONDS = 16_000, 256, 6
NOTES = range(60, 72)


def write_recording(path: Path, seed: int) -> None:
    """Write a recording of decaying notes, and its piano roll (notes, frames) as a .npy file beside it."""
    rng = np.random.default_rng(seed)
    samples = RATE * SECONDS
    wave, roll = np.zeros(samples), np.zeros((len(NOTES), samples // HOP + 1), dtype=np.float32)
    for onset in np.cumsum(rng.uniform(0.05, 0.3, 30)):
        note, length = int(rng.integers(len(NOTES))), float(rng.uniform(0.15, 0.6))
        begin, end = int(onset * RATE), min(samples, int((onset + length) * RATE))
        if begin >= samples:
            break
        time = np.arange(end - begin) / RATE
        frequency = 440 * 2 ** ((NOTES[note] - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * frequency * time) / k for k in (1, 2, 3, 4))
        wave[begin:end] += 0.1 * tone * np.exp(-2 * time)
        roll[note, round(begin / HOP) : round(end / HOP)] = 1
    wave += 0.002 * rng.standard_normal(samples)
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    np.save(path.with_suffix(".npy"), roll)


def make_loader(root: Path, crop: af.RandomCrop | None, shuffle: bool) -> tuple[af.AudioFolder, DataLoader]:
    """A loader of log-mel spectrograms with piano rolls of as many frames."""
    rolls = af.FrameTargets(frame_rate=RATE / HOP, source=".npy")
    dataset = af.AudioFolder(root, target=rolls, crop=crop)
    features = af.LogMelSpectrogram(sample_rate=RATE, n_fft=2048, hop_length=HOP, n_mels=128, f_min=200.0, f_max=3000.0)
    collate = af.GPUSpecCollate(features)
    return dataset, DataLoader(dataset, batch_size=16, shuffle=shuffle, num_workers=2, collate_fn=collate)


def f_measure(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Share of notes in frames that are found and right."""
    return float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()).clamp(min=1))


def main() -> float:
    """Train on crops of 1 s, test on whole recordings, and return the F-measure of notes in frames."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for part, count in (("train", 32), ("test", 6)):
            (Path(folder) / part).mkdir()
            for take in range(count):
                write_recording(Path(folder) / part / f"{take}.wav", seed=take + 100 * (part == "test"))
        crops = af.RandomCrop(samples=RATE // HOP * HOP, grid=HOP)
        dataset, train = make_loader(Path(folder) / "train", crops, shuffle=True)
        _, test = make_loader(Path(folder) / "test", None, shuffle=False)
        model = nn.Sequential(
            nn.BatchNorm1d(128), nn.Conv1d(128, 96, 3, padding=1), nn.ReLU(), nn.Conv1d(96, len(NOTES), 3, padding=1)
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        for epoch in range(40):
            dataset.set_epoch(epoch)
            for batch in train:
                model.to(batch.features.device).train()
                logits = model(batch.features)  # (batch, notes, frames), as batch.targets
                loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % 10 == 9:
                print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
        model.eval()
        with torch.inference_mode():
            pairs = [(model(batch.features) > 0, batch.targets > 0.5) for batch in test]
        measure = f_measure(*(torch.cat(rows) for rows in zip(*pairs, strict=True)))
    print(f"whole recordings: F-measure of notes in frames {measure:.3f}")
    return measure


if __name__ == "__main__":
    main()
