"""Train the tagger of tagging.py with mixup and SpecAugment, and the same one without.

    python examples/augmented_tagging.py

Half of the clips are mixed with another of the training set, which the workers read, and their tags are united: both
sound in the mix. Then bands of time and frequency are masked, within each clip's true frames. All of it is drawn from
the clips' own seeds, so that the run is the same with any number of workers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from tagging import RATE, Tagger, write_set
from torch import nn
from torch.utils.data import DataLoader

import audiofeed as af

EPOCHS = 60


def augmentation(train: af.AudioManifest) -> af.augment.Compose:
    """Mixup with clips of the training set, then SpecAugment."""
    return af.augment.Compose(
        [
            af.augment.Mixup(train, alpha=5.0, by="energy", labels="union", p=0.5),
            af.augment.SpecAugment(time_width=0.1, freq_width=8, fill="mean"),
        ]
    )


def accuracy(train: af.AudioManifest, test: af.AudioManifest, augment: af.augment.Compose | None) -> float:
    """Train for some epochs, and return the share of tags of the test set that are right."""
    torch.manual_seed(0)
    mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=512, hop_length=160, n_mels=48, floor=1e-6)
    collate = af.GPUSpecCollate(mel, augment=augment)
    sampler = af.EpochSampler(train, seed=0)
    loader = DataLoader(
        train, batch_size=8, sampler=sampler, num_workers=2, persistent_workers=True, collate_fn=collate
    )
    model = Tagger(48, len(train.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for batch in loader:
            model.to(batch.features.device).train()
            logits = model(batch.features, batch.feature_mask)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if augment is not None:
        shares, partners = batch.fields["mix_weight"], batch.fields["mix_partner"]
        mixed = [i for i, share in enumerate(shares.tolist()) if share < 1]
        first = mixed[0]
        print(f"{len(mixed)} mixes in a batch of {len(batch)}: {batch.names[first]} and {partners[first]}")
    model.eval()
    plain = af.GPUSpecCollate(mel)  # a collate of its own for the test, or augment.eval()
    with torch.inference_mode():
        right = [
            ((model(batch.features, batch.feature_mask) > 0) == (batch.targets > 0.5)).float()
            for batch in DataLoader(test, batch_size=16, collate_fn=plain)
        ]
    return float(torch.cat(right).mean())


def main() -> None:
    """Train with and without augmentation on few clips, and print both accuracies."""
    options = {"target_column": "tags", "target_type": "multi_hot"}
    with tempfile.TemporaryDirectory() as folder:
        train = af.AudioManifest(write_set(Path(folder) / "train", 20, seed=0), **options)
        test = af.AudioManifest(write_set(Path(folder) / "test", 100, seed=1), classes=train, **options)
        without = accuracy(train, test, None)
        with_augmentation = accuracy(train, test, augmentation(train))
    print(f"{len(train)} clips without augmentation: accuracy {without:.3f}")
    print(f"{len(train)} clips with mixup and SpecAugment: accuracy {with_augmentation:.3f}")


if __name__ == "__main__":
    main()
