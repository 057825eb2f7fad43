"""Train the demo's model on a tenth of its data, with and without augmentation, and keep the table of test accuracies.

    python benchmarks/augmentation/accuracy.py [--fsdd DIR] [--seeds 3] [--steps 600] [--check]

The sounds are the demo's own and the spoken digits (in `../shared/data/fsdd/recordings` unless `--fsdd` says otherwise;
takes 0 to 4 are the test set). A tenth of the training clips is drawn by the seed, as many of each class, and both runs
of a seed have the same clips, initial weights and number of steps. `--check` exits 1 if augmentation does not raise the
mean accuracy on both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import audiofeed as af
from audiofeed.data import AudioFolder
from audiofeed.demo.model import ClipClassifier
from audiofeed.demo.run import make_features, open_folder
from audiofeed.demo.split import split_folder
from audiofeed.demo.synthesis import SoundSet

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import peers

ROOT = Path(__file__).resolve().parents[2]
SHARE = 10
BATCH = 32
LEARNING_RATE = 4e-3


def make_augmentation(n_classes: int) -> af.augment.Compose:
    """Of waveforms, then of features; mild enough for both sets."""
    return af.augment.Compose(
        [
            af.augment.TimeShift((-0.1, 0.1), unit="seconds", mode="pad"),
            af.augment.Speed((0.9, 1.1), p=0.5),
            af.augment.AddNoise(snr_db=(10, 30), p=0.3),
            af.augment.Gain(gain_db=(-6, 6)),
            af.augment.SpecAugment(time_masks=2, time_width=0.15, freq_masks=2, freq_width=0.12),
            af.augment.MixWithin(on="features", n_classes=n_classes, alpha=0.2, p=0.3),
        ]
    )


def tenth(targets: np.ndarray, seed: int) -> np.ndarray:
    """Which clips train: a tenth of those of each class, at least two."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(targets), dtype=bool)
    for label in np.unique(targets):
        own = rng.permutation(np.flatnonzero(targets == label))
        chosen[own[: max(2, round(len(own) / SHARE))]] = True
    return chosen


def train(training: AudioFolder, n_classes: int, *, seed: int, steps: int, augment: Any) -> nn.Module:
    """The demo's model, trained for a number of steps."""
    torch.manual_seed(seed)
    transform = make_features(training.sample_rate)
    model = ClipClassifier(transform.n_mels, n_classes)
    feed = af.Feed(
        training,
        transform,
        batch_size=min(BATCH, len(training)),
        drop_last=True,
        seed=seed,
        workers=0,
        device="cpu",
        augment=augment,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    epochs = -(-steps // len(feed))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=epochs * len(feed), pct_start=0.25
    )
    model.train()
    for epoch in range(epochs):
        feed.set_epoch(epoch)
        for batch in feed:
            loss = functional.cross_entropy(
                model(batch.features, batch.feature_lengths), batch.targets, label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, test: AudioFolder) -> float:
    """Percent of the test clips that are right."""
    model.eval()
    feed = af.Feed(test, make_features(test.sample_rate), batch_size=64, evaluation=True, workers=0, device="cpu")
    right = sum(int((model(batch.features, batch.feature_lengths).argmax(1) == batch.targets).sum()) for batch in feed)
    return 100 * right / len(test)


def compare(root: Path, pattern: str | None, split: str | None, seeds: int, steps: int) -> dict[str, Any]:
    """Accuracies of both ways over the seeds, on one set of recordings."""
    folder = open_folder(root, pattern, seconds=1.0)
    is_test = split_folder(folder, split, seed=0)
    test, rest = folder.select(is_test), folder.select(~is_test)
    found: dict[str, Any] = {"plain": [], "augmented": [], "seconds": {"plain": 0.0, "augmented": 0.0}}
    for seed in range(seeds):
        training = rest.select(tenth(np.asarray(rest.targets), seed))
        training.crop, training.seed = af.RandomCrop(1.0), seed
        for name in ("plain", "augmented"):
            augment = make_augmentation(len(folder.classes)) if name == "augmented" else None
            start = time.perf_counter()
            model = train(training, len(folder.classes), seed=seed, steps=steps, augment=augment)
            found["seconds"][name] += (time.perf_counter() - start) / seeds
            found[name].append(accuracy(model, test))
            sys.stderr.write(f"{root.name}, seed {seed}, {name}: {found[name][-1]:.1f} %\n")
    found["clips"], found["tested"] = len(training), len(test)
    return found


def row(title: str, found: dict[str, Any]) -> list[str]:
    """A set's row of the table."""
    cells = [
        f"{statistics.mean(found[name]):.1f} ({', '.join(f'{a:.1f}' for a in found[name])})"
        for name in ("plain", "augmented")
    ]
    times = found["seconds"]
    return [title, str(found["clips"]), str(found["tested"]), *cells, f"{times['augmented'] / times['plain']:.2f}"]


def main() -> int:
    """Train on both sets, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fsdd", default=str(ROOT.parent / "shared" / "data" / "fsdd" / "recordings"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as out:
        sounds = SoundSet(Path(out))
        for _ in sounds.write():
            pass
        results["the demo's sounds"] = compare(sounds.root, None, None, asked.seeds, asked.steps)
    if Path(asked.fsdd).is_dir():
        pattern = "{target}_{speaker}_{take}"
        results["spoken digits"] = compare(Path(asked.fsdd), pattern, "take=0-4", asked.seeds, asked.steps)
    else:
        sys.stderr.write(f"no recordings in {asked.fsdd}: only the demo's own sounds were trained on\n")
    header = ["a tenth of", "training clips", "test clips", "without, %", "augmented, %", "time of training"]
    shares = f"after {asked.steps} steps, mean over {asked.seeds} seeds and each of them"
    about = make_augmentation(10)
    text = (
        peers.markdown(header, [row(title, found) for title, found in results.items()])
        + f"\nTest accuracy of the demo's model {shares}; the time is relative to training without. "
        "`python benchmarks/augmentation/accuracy.py` on "
        f"{peers.machine()}, torch {torch.__version__}. The augmentation:\n\n```\n{about}\n```\n"
    )
    peers.write("augmented_accuracy.md", text)
    better = all(statistics.mean(found["augmented"]) > statistics.mean(found["plain"]) for found in results.values())
    return int(asked.check and not better)


if __name__ == "__main__":
    sys.exit(main())
