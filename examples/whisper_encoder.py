"""Fine-tune a Whisper encoder on raw clips: `af.presets.whisper` makes exactly the features it was trained with.

Run `python examples/whisper_encoder.py`; it needs `pip install transformers`. The encoder is made from a configuration
here and starts from random weights; with `WhisperModel.from_pretrained(...).encoder`, and the preset made by
`af.presets.from_extractor(WhisperFeatureExtractor.from_pretrained(...))`, the rest stays as it is. The data are made
here too: clips of one to two seconds of a low or a high hum, and their class.

- `af.presets.whisper(seconds=2)` pads each clip to the length that the encoder hears, before the features, so that
  padding is silence, as Whisper has it. The real one hears `seconds=30`, the default.
- The collate pads the batch, moves it to the device, and computes the features there; the loop is the usual one.
- Whisper's encoder has no mask: its states are averaged over the frames of the clip itself, `batch.lengths` samples.
"""

import argparse
import logging

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

import audiofeed as af

RATE, SECONDS, N_MELS = 16_000, 2, 80
HOP_OF_STATES = 320  # samples: a frame of 160, and the encoder's stride of 2
CLASSES = 4


class Hums(Dataset):
    """Tones with harmonics in noise; the class is the pitch."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed = clips, seed

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        draw = torch.Generator().manual_seed(10_000 * self.seed + index)
        label = int(torch.randint(CLASSES, (), generator=draw))
        time = torch.arange(int(torch.randint(RATE, SECONDS * RATE, (), generator=draw))) / RATE
        pitch = 150 * 1.6**label * float(0.95 + 0.1 * torch.rand((), generator=draw))
        tone = sum(torch.sin(2 * torch.pi * pitch * k * time) / k for k in range(1, 6))
        level = float(10 ** (-2 * torch.rand((), generator=draw)))
        return level * (0.3 * tone + 0.05 * torch.randn(len(time), generator=draw)), label


class Classifier(torch.nn.Module):
    """A Whisper encoder and a linear layer over its mean state."""

    def __init__(self) -> None:
        super().__init__()
        config = WhisperConfig(
            num_mel_bins=N_MELS, d_model=48, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=96,
            max_source_positions=50 * SECONDS,
        )  # fmt: skip
        self.encoder = WhisperEncoder(config)
        self.head = torch.nn.Linear(config.d_model, CLASSES)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        states = self.encoder(features).last_hidden_state  # (batch, state, value)
        own = torch.arange(states.shape[1], device=states.device) < (lengths / HOP_OF_STATES)[:, None]
        return self.head((states * own[..., None]).sum(1) / own.sum(1, keepdim=True))


def difference(transform: torch.nn.Module) -> float:
    """Return the largest difference from what transformers' own extractor makes of the same clips."""
    extractor = WhisperFeatureExtractor(feature_size=N_MELS, chunk_length=SECONDS)
    worst = 0.0
    for waveform, _ in (Hums(4, seed=9)[index] for index in range(4)):
        expected = extractor(waveform.numpy(), sampling_rate=RATE, return_tensors="pt").input_features[0]
        worst = max(worst, float((transform(waveform) - expected).abs().max()))
    return worst


def accuracy(model: Classifier, loader: DataLoader) -> float:
    model.eval()
    with torch.no_grad():
        right = [(model(batch.features, batch.lengths).argmax(-1) == batch.targets).float() for batch in loader]
    model.train()
    return float(torch.cat(right).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="train on one core, even where there is an accelerator")
    arguments = parser.parse_args()
    if arguments.cpu:
        torch.set_num_threads(1)  # the model is so small that threads wait longer for each other than they compute
    torch.manual_seed(0)
    transform = af.presets.whisper(n_mels=N_MELS, seconds=SECONDS)
    print(f"difference from transformers' features {difference(transform):.1e}")
    collate = af.GPUSpecCollate(transform, device="cpu" if arguments.cpu else None)
    loaders = [
        DataLoader(Hums(n, seed), batch_size=32, shuffle=seed == 1, num_workers=arguments.workers, collate_fn=collate)
        for n, seed in ((384, 1), (96, 2))
    ]
    device = next(iter(loaders[1])).features.device
    model = Classifier().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(arguments.epochs):
        for batch in loaders[0]:
            loss = cross_entropy(model(batch.features, batch.lengths), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: accuracy {accuracy(model, loaders[1]):.3f}")


if __name__ == "__main__":
    logging.getLogger("transformers").setLevel(logging.ERROR)
    main()
