"""Train on several workers of Ray, stop in the middle of an epoch, and go on with another number of workers.

    python examples/ray_train.py --recordings FOLDER --results FOLDER [--workers 2] [--epochs 2] [--stop-after STEPS]

Every worker builds its dataset, sampler, transform and collate in `train_loop`, so nothing of them is pickled. A
checkpoint has the model with its trained transform, the optimizer and the sampler's `state_dict`: started again with
the same `--results`, the rest of the epoch is the same clips with the same crops, on one worker or on four.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import audiofeed as af


class Classifier(nn.Module):
    """A linear classifier of mean features. The transform is registered, so DDP trains one for all workers."""

    def __init__(self, transform: nn.Module, classes: int) -> None:
        super().__init__()
        self.transform = transform
        self.head = nn.Linear(40, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(features.mean(-1))
        return logits


def count_classes(dataset: Any) -> int:
    """Return the number of classes: apart from `torch`, as cloudpickle takes both in one function for torch.classes."""
    return len(dataset.classes)


def train_loop(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    dataset = af.AudioFolder(config["recordings"], sample_rate=16_000, crop=af.RandomCrop(seconds=0.1))
    # rank and number of ranks are those of the process group that Ray has set up
    sampler = af.ClipBatchSampler(dataset, batch_size=config["batch_size"], seed=0)
    transform = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=40, trainable=True)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=af.GPUSpecCollate(transform), num_workers=1)
    # the transform is moved with the model; the loader needs no prepare_data_loader, which would put a sampler of its
    # own in, and make plain dicts of batches that are on the device already
    model = prepare_model(Classifier(transform, classes=count_classes(dataset)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    # of this run, where Ray started failed workers again; else of the run that is gone on with
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None and config["checkpoint"]:
        checkpoint = Checkpoint.from_directory(config["checkpoint"])
    if checkpoint:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"), weights_only=True)
        getattr(model, "module", model).load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        sampler.load_state_dict(state["sampler"])

    rank = ray.train.get_context().get_world_rank()
    steps = 0
    for epoch in range(sampler.epoch, config["epochs"]):
        sampler.set_epoch(epoch)
        for taken, batch in enumerate(loader, start=1):
            loss = cross_entropy(model(batch.features), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            entry = {"epoch": epoch, "loss": loss.item(), "names": [Path(name).stem for name in batch.names]}
            with Path(config["results"], f"log.{rank}.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")
            stop = steps == config["stop_after"]
            if stop or taken == config["checkpoint_every"]:
                report(model, optimizer, sampler.state_dict(taken=taken), entry)
            if stop:
                return
    report(model, optimizer, sampler.state_dict(), {"epoch": config["epochs"]})


def report(model: nn.Module, optimizer: Any, sampler: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Give Ray a checkpoint, which is the same on every worker: that of the first."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            weights = getattr(model, "module", model).state_dict()
            state = {"model": weights, "optimizer": optimizer.state_dict(), "sampler": sampler}
            torch.save(state, Path(folder, "state.pt"))
            checkpoint = Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", required=True, help="folder of recordings, a folder in it for each class")
    parser.add_argument(
        "--results", required=True, help="folder for checkpoints and logs; named again, training goes on"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4, help="clips of a batch on each worker")
    parser.add_argument("--stop-after", type=int, default=0, help="steps after which to stop, as a scheduler would")
    parser.add_argument("--checkpoint-every", type=int, default=100, help="steps")
    options = parser.parse_args()
    results = Path(options.results).resolve()
    results.mkdir(parents=True, exist_ok=True)

    ray.init(num_cpus=options.workers, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    try:
        last = results / "last.txt"
        trainer = TorchTrainer(
            train_loop,
            train_loop_config={
                "recordings": str(Path(options.recordings).resolve()),
                "results": str(results),
                "batch_size": options.batch_size,
                "epochs": options.epochs,
                "stop_after": options.stop_after,
                "checkpoint_every": options.checkpoint_every,
                "checkpoint": last.read_text() if last.exists() else None,
            },
            scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=torch.cuda.is_available()),
            run_config=RunConfig(storage_path=str(results)),
        )
        result = trainer.fit()
        last.write_text(result.checkpoint.path)
        print(f"epoch {result.metrics['epoch']}, checkpoint {result.checkpoint.path}")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
