"""A classifier of the clips in a folder of folders, trained on decibels of mels.

    python examples/from_torchaudio.py recordings/

`from_torchaudio_before.py` is this script with torchaudio, and `from_torchaudio.py` with audiofeed.
"""

import sys
from pathlib import Path

import soundfile
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

SETTINGS = {"sample_rate": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 64}
LENGTH = 8_000
mel = af.MelSpectrogram(**SETTINGS, mel_scale="htk", norm=None, pad_mode="reflect")
collate = af.GPUSpecCollate(af.Chain(mel, af.AmplitudeToDB(top_db=80)), output="tuple")


class Sounds(Dataset):
    """The first half second of each WAV file; its folder is its class."""

    def __init__(self, root: str) -> None:
        self.files = sorted(Path(root).glob("*/*.wav"))
        self.classes = sorted({path.parent.name for path in self.files})

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.files[index]
        waveform = torch.from_numpy(soundfile.read(path, LENGTH, dtype="float32", fill_value=0.0)[0])
        return waveform, self.classes.index(path.parent.name)


def make_loader(sounds: Sounds, shuffle: bool) -> DataLoader:
    """Batches of features and targets."""
    return DataLoader(sounds, batch_size=16, shuffle=shuffle, num_workers=2, collate_fn=collate)


def main() -> None:
    """Train, and say how many clips of the training set are told apart."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sounds = Sounds(sys.argv[1])
    model = nn.Sequential(nn.Conv1d(64, 16, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 2))
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4):
        for features, targets in make_loader(sounds, shuffle=True):
            loss = nn.functional.cross_entropy(model(features.to(device) / 40), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = 0
    for features, targets in make_loader(sounds, shuffle=False):
        right += int((model(features.to(device) / 40).argmax(1) == targets.to(device)).sum())
    print(f"accuracy {right / len(sounds):.3f}")


if __name__ == "__main__":
    main()
