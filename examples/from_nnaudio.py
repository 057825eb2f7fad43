"""A model with an nnAudio layer, before and after: the same features, and the same filters train.

    python examples/from_nnaudio.py

The layer may stay in the model, as here: one class name and a few argument names change. nnAudio's defaults that differ
are written out (it reflects at the ends of a clip; its `norm=1` is our "slaney"). What is new: clips shorter than a
frame, any leading dimensions, lengths of a padded batch, finite gradients on silence, and a state_dict that holds only
what trains.
"""

from __future__ import annotations

import contextlib
import io

import torch
from torch import nn

import audiofeed as af

RATE, N_MELS = 16_000, 32


def before() -> nn.Module:
    """The layer in nnAudio2 (nnAudio's has the same arguments)."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints when imported and when made
        from nnAudio2 import features

        return features.MelSpectrogram(
            sr=RATE, n_fft=512, hop_length=160, n_mels=N_MELS, trainable_mel=True, trainable_STFT=True, verbose=False
        )


def after() -> nn.Module:
    """The layer here."""
    return af.MelSpectrogram(
        sample_rate=RATE,
        n_fft=512,
        hop_length=160,
        n_mels=N_MELS,
        pad_mode="reflect",
        trainable_mel=True,
        trainable=True,
    )


class Classifier(nn.Module):
    """A linear model on log-mel means; the spectrogram is its first layer."""

    def __init__(self, spectrogram: nn.Module) -> None:
        super().__init__()
        self.spectrogram = spectrogram
        self.head = nn.Linear(N_MELS, 2)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Logits.  Shape: (batch, time) -> (batch, 2)."""
        return self.head((self.spectrogram(waveform).abs() + 1e-4).log().mean(-1))


def sounds(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """64 clips of 0.2 s: tones below or above 1 kHz, in noise.  Shape: (64, time), (64,)."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(2, (64,), generator=generator)
    frequency = 300 + 600 * torch.rand(64, generator=generator) + 800 * targets
    time = torch.arange(RATE // 5) / RATE
    noise = 0.3 * torch.randn(64, len(time), generator=generator)
    return torch.sin(2 * torch.pi * frequency[:, None] * time) + noise, targets


def main() -> None:
    """Compare the features, then train the model with our layer, its filters included."""
    waveforms, _ = sounds(seed=0)
    old, new = before(), after()
    with torch.no_grad():
        expected, features = old(waveforms), new(waveforms)
    difference = float((features - expected).norm() / expected.norm())
    print(f"features {tuple(features.shape)}: relative difference {difference:.1e}")
    for layer, name in ((old, "nnAudio2"), (new, "audiofeed")):
        print(f"state_dict of {name}: {', '.join(layer.state_dict())}")
    torch.manual_seed(0)
    model = Classifier(new)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(
        [{"params": model.head.parameters(), "lr": 3e-2}, {"params": new.parameters(), "lr": 1e-5}]
    )
    for seed in range(60):
        waveforms, targets = sounds(seed)
        loss = nn.functional.cross_entropy(model(waveforms), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, start[name])]
    waveforms, targets = sounds(seed=1000)
    print(f"trained: {', '.join(moved)}")
    print(f"accuracy {float((model(waveforms).argmax(1) == targets).float().mean()):.3f}")


if __name__ == "__main__":
    main()
