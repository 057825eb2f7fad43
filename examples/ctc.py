"""Speech recognition in small: CTC with texts, from raw clips of unequal length.

    python examples/ctc.py

The dataset yields dicts with a waveform and its text. `PadTargets` makes padded ids of the texts with any tokenizer, in
the DataLoader's workers, and the batch has what `ctc_loss` takes: `targets`, `target_lengths` and `feature_lengths`.
What else an item has, here the speaker, arrives as `batch.fields`.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn.functional import ctc_loss
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

RATE = 16_000
LETTERS = "abcdefgh"
BLANK = 0


class Words(Dataset[dict[str, object]]):
    """Words of two to five letters; a letter is a pitch, higher for some speakers, and of any length."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips = clips
        self.seed = seed

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> dict[str, object]:
        draw = torch.Generator().manual_seed(10_000 * self.seed + index)
        speaker = index % 3
        letters = torch.randint(len(LETTERS), (int(torch.randint(2, 6, (), generator=draw)),), generator=draw)
        tones = []
        for letter in letters:
            time = torch.arange(int(RATE * (0.08 + 0.08 * torch.rand((), generator=draw)))) / RATE
            pitch = 300 * 1.3 ** int(letter) * (1 + 0.03 * speaker)
            tones += [torch.sin(2 * torch.pi * pitch * time), torch.zeros(int(0.03 * RATE))]
        waveform = 0.3 * torch.cat(tones)
        return {
            "waveform": waveform + 0.01 * torch.randn(waveform.shape, generator=draw),
            "sample_rate": RATE,
            "text": "".join(LETTERS[letter] for letter in letters),
            "speaker": speaker,
        }


def tokenize(text: str) -> list[int]:
    """Return ids, 1 and up; 0 is the blank of CTC."""
    return [1 + LETTERS.index(letter) for letter in text]


class Recognizer(nn.Module):
    """Convolutions over time, and a score for the blank and each letter at every second frame."""

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_mels, 64, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv1d(64, 64, 5, padding=2), nn.ReLU(),
            nn.Conv1d(64, 1 + len(LETTERS), 1),
        )  # fmt: skip

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and their lengths.  Shape: (batch, n_mels, frames) -> (batch, frames / 2, letters + 1)."""
        scores = self.layers((features + 6) / 4)
        return scores.transpose(1, 2).log_softmax(-1), (lengths + 1) // 2


def spelled(scores: torch.Tensor, lengths: torch.Tensor) -> list[str]:
    """Return the likeliest letters: repeats are one, and blanks none."""
    texts = []
    for row, length in zip(scores.argmax(-1), lengths, strict=True):
        ids = row[:length].unique_consecutive().tolist()
        texts.append("".join(LETTERS[i - 1] for i in ids if i != BLANK))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    collate = af.GPUSpecCollate(
        af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=40),
        target_field="text",
        target_collate=af.PadTargets(tokenize),
        padding="silence",  # the convolutions see past a clip's end what they see in a pause
    )
    loader = DataLoader(Words(512, seed=1), batch_size=16, shuffle=True, num_workers=2, collate_fn=collate)
    model = Recognizer(n_mels=40)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(arguments.epochs):
        total = 0.0
        for batch in loader:
            model.to(batch.features.device)
            scores, lengths = model(batch.features, batch.feature_lengths)
            loss = ctc_loss(scores.transpose(0, 1), batch.targets, lengths, batch.target_lengths, blank=BLANK)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")
    held_out = Words(96, seed=2)
    (batch,) = DataLoader(held_out, batch_size=96, collate_fn=collate)
    with torch.no_grad():
        found = spelled(*model(batch.features, batch.feature_lengths))
    right = [text == row["text"] for text, row in zip(found, (held_out[i] for i in range(96)), strict=True)]
    print(f"words of new clips: accuracy {sum(right) / 96:.3f}")
    for speaker in range(3):
        own = [one for one, other in zip(right, batch.fields["speaker"].tolist(), strict=True) if other == speaker]
        print(f"  speaker {speaker}: {sum(own)} of {len(own)}")


if __name__ == "__main__":
    main()
