"""Fine-tune an audio spectrogram transformer on raw clips: `af.presets.ast` makes the features it was trained with.

Run `python examples/spectrogram_transformer.py`; it needs `pip install transformers`. The model (AST) is made from a
configuration here and starts from random weights; with `ASTForAudioClassification.from_pretrained(...)`, and the preset
made by `af.presets.from_extractor(ASTFeatureExtractor.from_pretrained(...))`, the rest stays as it is. The data are
made here: clips of half a second to a second of noise, a sweep, a hum or clicks.

- `af.presets.ast(frames=128)` pads or cuts the features to the frames that the model takes; the real one takes 1,024,
  the default.
- `layout="frames_bins"` and `rename` give the batch the form and the names of the model's arguments, and
  `model(**batch)` has its loss.
- SpecAugment, mixup and noise go into the collate: see `examples/tagging.py`.
"""

import argparse
import logging
import warnings

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

import audiofeed as af

RATE, FRAMES, N_MELS = 16_000, 128, 64
KINDS = ("hiss", "sweep", "hum", "clicks")


class Sounds(Dataset):
    """Clips of four kinds, and the number of the kind."""

    def __init__(self, clips: int, seed: int) -> None:
        self.clips, self.seed = clips, seed

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        draw = torch.Generator().manual_seed(10_000 * self.seed + index)
        label = int(torch.randint(len(KINDS), (), generator=draw))
        n = int(torch.randint(RATE // 2, RATE, (), generator=draw))
        time, random = torch.arange(n) / RATE, float(torch.rand((), generator=draw))
        if KINDS[label] == "hiss":
            sound = torch.randn(n, generator=draw)
        elif KINDS[label] == "sweep":
            sound = torch.sin(2 * torch.pi * (300 + 2500 * random * time) * time)
        elif KINDS[label] == "hum":
            sound = sum(torch.sin(2 * torch.pi * (100 + 80 * random) * k * time) / k for k in range(1, 8))
        else:
            sound = (torch.arange(n) % int(RATE * (0.05 + 0.1 * random)) < 20).float()
        return 0.2 * sound + 0.01 * torch.randn(n, generator=draw), label


def small_ast() -> ASTForAudioClassification:
    config = ASTConfig(
        hidden_size=48, num_hidden_layers=1, num_attention_heads=4, intermediate_size=96, max_length=FRAMES,
        num_mel_bins=N_MELS, patch_size=16, frequency_stride=16, time_stride=16, num_labels=len(KINDS),
    )  # fmt: skip
    return ASTForAudioClassification(config)


def difference(transform: torch.nn.Module) -> float:
    """Return the largest difference from what transformers' own extractor makes of the same clips."""
    extractor = ASTFeatureExtractor(num_mel_bins=N_MELS, max_length=FRAMES)
    worst = 0.0
    for waveform, _ in (Sounds(4, seed=9)[index] for index in range(4)):
        expected = extractor(waveform.numpy(), sampling_rate=RATE, return_tensors="pt").input_values[0]
        worst = max(worst, float((transform(waveform).T - expected).abs().max()))
    return worst


def accuracy(model: ASTForAudioClassification, loader: DataLoader) -> float:
    model.eval()
    with torch.no_grad():
        right = [(model(**batch).logits.argmax(-1) == batch["labels"]).float() for batch in loader]
    model.train()
    return float(torch.cat(right).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="train on one core, even where there is an accelerator")
    arguments = parser.parse_args()
    if arguments.cpu:
        torch.set_num_threads(1)  # the model is so small that threads wait longer for each other than they compute
    torch.manual_seed(0)
    transform = af.presets.ast(n_mels=N_MELS, frames=FRAMES)
    print(f"difference from transformers' features {difference(transform):.1e}")
    collate = af.GPUSpecCollate(
        transform,
        device="cpu" if arguments.cpu else None,
        layout="frames_bins",
        rename={"features": "input_values", "targets": "labels"},
    )
    loaders = [
        DataLoader(Sounds(n, seed), batch_size=16, shuffle=seed == 1, num_workers=arguments.workers, collate_fn=collate)
        for n, seed in ((384, 1), (96, 2))
    ]
    model = small_ast().to(next(iter(loaders[1]))["input_values"].device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3)
    for epoch in range(arguments.epochs):
        for batch in loaders[0]:
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: accuracy {accuracy(model, loaders[1]):.3f}")


if __name__ == "__main__":
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch.utils.data")
    main()
