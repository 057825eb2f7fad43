"""A batch takes new entries, and its mapping has a framework's names."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from feed_datasets import Bands, Foreign, Named, Pairs
from torch.utils.data import DataLoader

from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate, PadTargets

ITEMS = [{"waveform": Pairs()[i][0], "label": i, "speaker": 10 + i, "text": "abc"[i]} for i in range(3)]
NAMES = {"features": "input_features", "targets": "labels"}


def make(transform=None, **settings):
    return GPUSpecCollate(transform or Bands(), device="cpu", **settings)(ITEMS)


def moved(batch):
    return batch.to("cpu")


COPIES = [copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch)), moved]


def test_a_new_entry_is_one_of_the_mapping_and_an_attribute():
    batch = make()
    before = list(batch)
    batch["lam"] = 0.3
    batch.update(mixed=torch.ones(3), order=[2, 0, 1])
    assert list(batch) == [*before, "lam", "mixed", "order"]
    assert (batch["lam"], batch.lam, batch.get("lam"), dict(batch)["lam"]) == (0.3,) * 4
    assert "lam" in batch
    assert len(batch) == 3
    assert len(batch.items()) == len(batch.values()) == len(batch.keys()) == 12
    assert "mixed:           float32 (3,) on cpu" in repr(batch)
    assert batch.setdefault("lam", 5) == 0.3
    assert batch.pop("order") == [2, 0, 1]
    del batch["lam"]
    assert "lam" not in batch
    with pytest.raises(KeyError, match="'lam' is not a field"):
        batch["lam"]
    with pytest.raises(KeyError, match="'lam' is not a field"):
        del batch["lam"]
    assert batch.pop("lam", 7) == 7
    assert (lambda features, mixed, **rest: mixed)(**batch) is batch["mixed"]


@pytest.mark.parametrize("copier", COPIES)
def test_entries_travel_with_the_batch(copier):
    batch = make()
    batch["lam"] = torch.tensor([0.25])
    batch["targets"] = torch.tensor([9, 8, 7])
    del batch["names"]
    twin = copier(batch)
    assert list(twin) == list(batch)
    assert torch.equal(twin.lam, batch.lam)
    assert twin["targets"].tolist() == twin.targets.tolist() == [9, 8, 7]
    assert "names" not in twin
    twin["lam"] = 1
    del twin["targets"]
    assert torch.equal(batch["lam"], torch.tensor([0.25]))
    assert "targets" in batch


def test_a_deep_copy_has_entries_of_its_own():
    batch = make()
    batch["features"] = mixed = torch.ones(3, requires_grad=True) * 2
    batch["lam"] = [torch.zeros(1)]
    twin = copy.deepcopy(batch)
    twin.lam[0].add_(1)
    twin.features.add_(1)
    assert (batch.lam[0].item(), mixed.tolist()) == (0, [2, 2, 2])
    assert not twin.features.requires_grad


def test_entries_move_and_replace_fields():
    transform = Bands(trainable=True)
    batch = make(transform)
    mixed = batch.features * 0.5
    batch["features"] = mixed
    assert batch["features"] is batch.features is mixed
    batch["lam"] = {"a": torch.ones(2)}
    there = batch.to("meta")
    assert there.features.device.type == there["lam"]["a"].device.type == "meta"
    assert there.features.requires_grad
    assert "float32 (2,) on meta" in there.describe("lam")
    assert "(3, 2, 31) on meta" in there.describe("features")
    assert not pickle.loads(pickle.dumps(batch)).features.requires_grad
    del batch["features"]
    assert "features" not in batch
    with pytest.raises(KeyError, match=r"'features' is not a field of an AudioBatch; batch\.features has it"):
        batch["features"]


def test_entries_are_pinned(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    batch = AudioBatch({"features": torch.zeros(2), "lam": torch.zeros(1)})
    batch["features"] = torch.ones(2)
    assert batch.pin_memory() is batch
    assert (batch.lam.tolist(), batch.features.tolist()) == ([1], [2, 2])


def test_frameworks_build_it_again_with_its_entries():
    batch = make()
    batch["lam"] = torch.ones(1)
    for rebuilt in (type(batch)(dict(batch.items())), type(batch)(OrderedDict(batch.items()))):
        assert list(rebuilt) == list(batch)
        assert rebuilt.fields["speaker"].tolist() == [10, 11, 12]
        assert torch.equal(rebuilt.lam, batch.lam)


def test_entries_set_in_a_worker_arrive():
    class Lam:
        def __init__(self, collate):
            self.collate = collate

        def __call__(self, items):
            batch = self.collate(items)
            batch["lam"] = torch.tensor(float(len(items)))
            return batch

    collate = Lam(GPUSpecCollate(Bands(), device="cpu"))
    loader = DataLoader(Named(ITEMS), batch_size=2, collate_fn=collate, num_workers=1, multiprocessing_context="fork")
    assert [batch.lam.item() for batch in loader] == [2, 1]


def test_renamed_the_mapping_has_the_names_alone():
    transform = Bands()
    batch = make(transform, rename=NAMES)
    assert list(batch) == list(batch.keys()) == ["input_features", "labels"]
    assert len(batch.items()) == len(batch.values()) == 2
    assert len(batch) == 3
    assert transform.calls == 0
    assert "input_features: computed at the first read" in repr(batch)
    model = dict(**batch)
    assert model["input_features"] is batch.features is batch["input_features"] is batch.input_features
    assert model["labels"].tolist() == batch.targets.tolist() == batch.labels.tolist() == [0, 1, 2]
    assert batch.lengths.tolist() == [700, 837, 974]
    assert batch.fields["text"] == ["a", "b", "c"]
    assert isinstance(batch, AudioBatch)
    assert type(batch).__name__ == "AudioBatch"
    with pytest.raises(KeyError, match=r"it is batch\['labels'\] here, by rename=, and batch\.targets"):
        batch["targets"]
    with pytest.raises(KeyError, match=r"'lengths'.*batch\.lengths has it; the fields are input_features, labels"):
        batch["lengths"]
    assert batch.get("targets") is None


@pytest.mark.parametrize("copier", [*COPIES, lambda batch: type(batch)(dict(batch.items()))])
def test_a_renamed_batch_stays_one(copier):
    batch = make(rename={**NAMES, "speaker": "speaker_ids"})
    batch["lam"] = 2
    twin = copier(batch)
    assert list(twin) == ["input_features", "labels", "speaker_ids", "lam"]
    assert torch.equal(twin["input_features"], batch.features)
    assert torch.equal(twin.features, batch.features)
    assert twin.targets.tolist() == twin["labels"].tolist() == [0, 1, 2]
    assert twin["speaker_ids"].tolist() == twin.fields["speaker"].tolist() == [10, 11, 12]
    assert twin.describe("speaker_ids") == "int64 (3,) on cpu"
    assert (twin["lam"], len(twin)) == (2, 3)
    assert twin.pop("labels").tolist() == [0, 1, 2]  # as Trainer's label smoothing does
    assert "labels" not in twin
    assert "labels" in batch
    again = type(twin)(dict(twin.items()))
    assert list(again) == ["input_features", "speaker_ids", "lam"]


def test_a_renamed_batch_of_targets_alone_counts_its_clips():
    batch = make(rename={"targets": "labels"})
    assert len(type(batch)(dict(batch.items()))) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_names_in_workers(workers):
    collate = GPUSpecCollate(Bands(), device="cpu", rename={**NAMES, "text": "prompt"})
    context = {"multiprocessing_context": "spawn"} if workers else {}
    batches = list(DataLoader(Named(ITEMS), batch_size=3, collate_fn=collate, num_workers=workers, **context))
    assert [list(batch) for batch in batches] == [["input_features", "labels", "prompt"]]
    assert torch.equal(batches[0]["input_features"], make().features)
    assert batches[0]["prompt"] == ["a", "b", "c"]


def test_names_of_a_pad_collate():
    batch = PadCollate(rename={"waveforms": "input_values", "lengths": "n"})(ITEMS)
    assert list(batch) == ["input_values", "n"]
    assert batch["input_values"].shape == (3, 974)


@pytest.mark.parametrize(
    ("rename", "error", "message"),
    [
        (["features"], TypeError, "must map fields of the batch to names"),
        ({"features": 3}, TypeError, "must map fields of the batch to names"),
        ({}, ValueError, "must give a name"),
        ({"features": "x", "targets": "x"}, ValueError, r"must give \['x'\] to one field only"),
    ],
)
def test_names_are_checked(rename, error, message):
    with pytest.raises(error, match=message):
        GPUSpecCollate(Bands(), rename=rename)
    with pytest.raises(error, match=message):
        PadCollate(rename=rename)


def test_a_name_of_nothing_is_an_error_that_lists_what_there_is():
    collate = GPUSpecCollate(Bands(), device="cpu", rename={"feature": "input_features"})
    with pytest.raises(ValueError, match=r"'feature', which is neither a field of a batch \(features, .*speaker, text"):
        collate(ITEMS)
    with pytest.raises(ValueError, match=r"nor one of its clips.*they have none"):
        collate([Pairs()[0]])
    with pytest.raises(ValueError, match="no effect with output='tuple'"):
        GPUSpecCollate(Bands(), output="tuple", rename=NAMES)


def test_lengths_of_padded_targets_are_an_entry_where_there_are_some():
    collate = GPUSpecCollate(Bands(), device="cpu", target_collate=PadTargets(), fields=[])
    batch = collate([(torch.ones(100), [1, 2]), (torch.ones(90), [3])])
    assert list(batch)[-1] == "target_lengths"
    for twin in (batch, type(batch)(dict(batch.items())), *(copier(batch) for copier in COPIES)):
        assert list(twin) == list(batch)
        assert twin.target_lengths.tolist() == twin["target_lengths"].tolist() == [2, 1]
    assert batch.to("meta").target_lengths.device.type == "meta"
    assert make().target_lengths is None
    assert "target_lengths" not in make()
    renamed = GPUSpecCollate(
        Bands(), device="cpu", target_collate=PadTargets(), rename={"target_lengths": "n", "targets": "labels"}
    )
    assert dict(renamed([(torch.ones(9), [1, 2])]))["n"].tolist() == [2]


@pytest.mark.parametrize("transform", [Bands, Foreign])
def test_frames_first(transform):
    plain, turned = make(transform()), make(transform(), layout="frames_bins")
    assert torch.equal(turned.features, plain.features.mT)
    assert (plain.layout, turned.layout) == ("bins_frames", "frames_bins")
    assert pickle.loads(pickle.dumps(turned)).layout == "frames_bins"
    if transform is Bands:
        assert torch.equal(turned.feature_mask, plain.feature_mask)
        assert torch.equal(turned.feature_lengths, plain.feature_lengths)
    stereo = [torch.stack([item["waveform"]] * 2) for item in ITEMS]
    ways = [GPUSpecCollate(transform(), device="cpu", layout=name)(stereo) for name in ("frames_bins", "bins_frames")]
    assert torch.equal(ways[0].features, ways[1].features.mT)
    features, _ = GPUSpecCollate(transform(), device="cpu", layout="frames_bins", output="tuple")(ITEMS)
    assert torch.equal(features, plain.features.mT)


def test_layouts_are_checked():
    with pytest.raises(ValueError, match="layout='frames' must be"):
        GPUSpecCollate(Bands(), layout="frames")

    class Flat(torch.nn.Module):
        def forward(self, waveform):
            return waveform[..., :3]

    with pytest.raises(ValueError, match=r"layout='frames_bins' needs features \(batch, .*gives \(3, 3\)"):
        _ = make(Flat(), layout="frames_bins").features
