"""Train with transformers' Trainer on a Dataset and on a stream: `python with_trainer.py RECORDINGS OUTPUT`."""

import sys
import warnings
from pathlib import Path

import datasets
import soundfile
import torch
from parts import BATCH, Model, digest, leave_group, log_mel, make_collate, make_sampler, open_folder, weights, write
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

warnings.simplefilter("ignore")
datasets.disable_progress_bars()
root, output = sys.argv[1:]
PATHS = sorted(Path(root).rglob("*.wav"), key=lambda path: path.stem)


class Decoder:
    """Has what torchcodec's AudioDecoder has, which the Audio column of datasets yields: samples (1, time)."""

    def __init__(self, path):
        self.path = path

    def get_all_samples(self):
        samples, rate = soundfile.read(self.path, dtype="float32")
        return type("Samples", (), {"data": torch.from_numpy(samples)[None], "sample_rate": rate})()


class Classifier(nn.Module):
    """A model under the names of transformers, which keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.seen = []

    def forward(self, input_features, labels=None):
        self.seen.append([digest(input_features), labels.tolist(), list(input_features.shape)])
        logits = self.model(input_features)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


def arguments(**settings):
    return TrainingArguments(
        output_dir=output, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", seed=0,
        per_device_train_batch_size=BATCH, remove_unused_columns=False, learning_rate=0.05,
        lr_scheduler_type="constant", dataloader_num_workers=1, logging_strategy="no", **settings,
    )  # fmt: skip


def hub_collate():
    """The mean of the channel is taken in the collate: Audio gives (1, time)."""
    names = {"features": "input_features", "targets": "labels"}
    return make_collate(rename=names, mono=True, pad_to=0.5)


def decoded(rows):
    return {"audio": [Decoder(path) for path in rows["audio"]], "label": rows["label"]}


def rows():
    return [{"path": str(path), "label": int(path.parent.name == "high")} for path in PATHS]


def stream():
    for row in rows():
        samples, rate = soundfile.read(row["path"], dtype="float32")
        yield {"audio": {"array": samples[None].tolist(), "sampling_rate": rate}, "label": row["label"]}


def hub(kind):
    """One epoch over a map-style Dataset with decoders, or over a stream of {"array", "sampling_rate"}."""
    if kind == "map":
        columns = {"audio": [row["path"] for row in rows()], "label": [row["label"] for row in rows()]}
        dataset = datasets.Dataset.from_dict(columns).with_transform(decoded)
        settings = {"num_train_epochs": 1}
    else:
        dataset, settings = datasets.IterableDataset.from_generator(stream), {"max_steps": 3}
    model = Classifier()
    Trainer(model=model, args=arguments(**settings), data_collator=hub_collate(), train_dataset=dataset).train()
    write(output, kind, {"seen": model.seen, "weights": weights(model)})


class Epochs(DataLoader):
    """Trainer tells the loader its epoch, also when it goes on from a checkpoint."""

    def set_epoch(self, epoch):
        self.batch_sampler.set_epoch(epoch)


class OurTrainer(Trainer):
    """With our sampler, which deals to the ranks by itself: the loader is not prepared."""

    def get_train_dataloader(self):
        return Epochs(
            self.train_dataset,
            batch_sampler=make_sampler(self.train_dataset),
            collate_fn=self.data_collator,
            num_workers=1,
        )


def ours():
    """Two epochs of our dataset, and the same with a stop in the middle of the second."""
    results = []
    for resume in (False, True):
        model = Classifier()
        settings = {"num_train_epochs": 2}
        collate = make_collate(log_mel(), rename={"features": "input_features", "targets": "labels"})
        args = arguments(**settings)
        args.save_strategy, args.save_steps = "steps", len(make_sampler(open_folder(root))) + 1
        trainer = OurTrainer(model=model, args=args, data_collator=collate, train_dataset=open_folder(root))
        path = Path(output, f"checkpoint-{args.save_steps}") if resume else None
        trainer.train(resume_from_checkpoint=str(path) if path else None)
        results.append([model.seen, weights(model.model), args.save_steps])
    write(output, "ours", results)


if __name__ == "__main__":
    torch.set_num_threads(1)
    hub("map")
    hub("stream")
    ours()
    leave_group()
