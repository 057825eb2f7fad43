"""Train with Lightning: `python with_lightning.py CASE RECORDINGS OUTPUT`."""

import sys
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from parts import Model, digest, leave_group, log_mel, make_collate, make_sampler, open_folder, seen, weights, write
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

warnings.simplefilter("ignore")


class Trained(lightning.LightningModule):
    """Builds its loader in `train_dataloader`, which every rank calls, with a transform that the module has."""

    def __init__(self, root, output, *, kind="batch", stateful=False, trainable=False, workers=0):
        super().__init__()
        self.root, self.output, self.kind, self.stateful, self.workers = root, output, kind, stateful, workers
        self.model = Model()
        self.transform = log_mel(trainable=trainable)
        self.seen = []

    def train_dataloader(self):
        dataset = open_folder(self.root)
        return (StatefulDataLoader if self.stateful else DataLoader)(
            dataset,
            batch_sampler=make_sampler(dataset),
            collate_fn=make_collate(self.transform, output=self.kind),
            num_workers=self.workers,
        )

    def training_step(self, batch, index):
        features, targets = (batch.features, batch.targets) if self.kind == "batch" else batch
        if self.kind == "batch" and features.dtype == torch.float32:
            self.seen.append([self.current_epoch, *seen(batch)])
        else:
            self.seen.append([self.current_epoch, str(features.dtype), digest(features.float())])
        return cross_entropy(self.model(features).float(), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)

    def on_train_end(self):
        write(
            self.output,
            "seen",
            {"seen": self.seen, "weights": weights(self), "type": type(self.trainer.strategy).__name__},
        )


def trainer(**settings):
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return lightning.Trainer(accelerator="cpu", num_sanity_val_steps=0, **{**quiet, **settings})


def precisions(root, output):
    for kind in ("batch", "tuple"):
        for precision in ("32-true", "bf16-true", "64-true", "bf16-mixed"):
            module = Trained(root, output, kind=kind)
            trainer(max_steps=2, precision=precision).fit(module)
            write(output, f"{kind} {precision}", module.seen)


def resume(root, output):
    """Stop after 8 of 12 steps, in the second epoch, and go on from the checkpoint in another module."""
    whole = Trained(root, output, stateful=True, workers=1)
    trainer(max_epochs=2).fit(whole)
    first = Trained(root, output, stateful=True, workers=1)
    keep = ModelCheckpoint(dirpath=output, filename="middle", every_n_train_steps=8, save_top_k=-1)
    trainer(max_steps=8, max_epochs=2, callbacks=[keep], enable_checkpointing=True).fit(first)
    second = Trained(root, output, stateful=True, workers=1)
    trainer(max_epochs=2).fit(second, ckpt_path=str(next(Path(output).glob("middle*.ckpt"))), weights_only=False)
    write(output, "resume", [whole.seen, first.seen, second.seen, weights(whole), weights(second)])


def ranks(strategy, root, output):
    module = Trained(root, output, trainable=True)
    trainer(max_epochs=2, strategy=strategy, devices=2, use_distributed_sampler=False).fit(module)


if __name__ == "__main__":
    torch.set_num_threads(1)
    case, root, output = sys.argv[1:]
    if case == "one":
        module = Trained(root, output, workers=1)
        trainer(max_epochs=2).fit(module)
        precisions(root, output)
        resume(root, output)
        write(output, "epochs", module.seen)
    else:
        ranks(case, root, output)
        leave_group()
