"""AudioBatch: a mapping of nine fields whose features are computed once, when read."""

import copy
import io
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import pytest
import torch
from feed_datasets import Bands, Foreign, Pairs
from torch import nn

from audiofeed.data.example import AudioExample
from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate

FIELDS = [
    "features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "names", "fields", "sample_rate",
]  # fmt: skip
ITEMS = [Pairs()[index] for index in range(3)]


def make(transform=None, **settings):
    return GPUSpecCollate(transform or Bands(), device="cpu", **settings)(ITEMS)


def test_a_batch_is_not_unpacked_as_its_names():
    batch = make()
    with pytest.raises(TypeError, match=r'batch\.features and batch\.targets, .*output="tuple"'):
        _features, _targets = batch
    with pytest.raises(TypeError, match="mapping of fields"):
        for _features, *_rest in [batch]:
            pass
    in_a_loop = []
    for name in batch:
        in_a_loop.append(name)
    assert in_a_loop == [*batch] == list(batch) == FIELDS
    assert tuple(batch) == tuple(dict(batch)) == tuple(FIELDS)


def test_a_mapping_of_its_fields():
    batch = make()
    assert isinstance(batch, Mapping)
    assert not isinstance(batch, dict)
    assert list(batch) == list(batch.keys()) == list(dict(batch)) == FIELDS
    assert len(batch) == 3
    assert len(batch.keys()) == len(batch.items()) == len(batch.values()) == len(list(batch.items())) == 9
    assert dict(batch)["features"] is batch["features"] is batch.features is batch.get("features")
    assert batch["names"] is None
    assert batch.get("feature") is None
    assert batch.get("feature", 5) == 5
    assert batch
    assert batch == batch
    assert batch != make()
    assert len({batch, batch}) == 1


def test_call_with_stars():
    def model(features, targets, **rest):
        return features, targets, rest

    batch = make()
    features, targets, rest = model(**batch)
    assert torch.equal(features, batch.features)
    assert torch.equal(targets, torch.tensor([0, 1, 2]))
    assert sorted([*rest, "features", "targets"]) == sorted(FIELDS)


def test_what_computes_nothing():
    transform = Bands()
    batch = make(transform)
    assert "features" in batch
    assert "feature" not in batch
    _ = repr(batch), len(batch), list(batch), batch.lengths, batch.targets, batch.waveforms, batch.names
    _ = batch.sample_rate, batch.to("cpu"), batch.get("nothing"), len(batch.items())
    assert transform.calls == 0
    _ = batch.features, batch.feature_lengths, batch["feature_mask"], dict(batch), copy.copy(batch).features
    assert transform.calls == 1


def test_values():
    transform = Bands()
    batch = make(transform)
    lengths = torch.tensor([700, 837, 974])
    assert torch.equal(batch.lengths, lengths)
    assert torch.equal(batch.feature_lengths, transform.frame_lengths(lengths))
    assert batch.feature_mask.shape == (3, batch.features.shape[-1])
    assert torch.equal(batch.feature_mask.sum(-1), batch.feature_lengths)
    assert batch.feature_mask[0, : batch.feature_lengths[0]].all()
    assert batch.sample_rate == 16000
    with torch.no_grad():
        assert torch.equal(batch.features, transform(batch.waveforms, lengths))


def test_names_are_the_clips_and_keys_the_fields():
    examples = [AudioExample(torch.ones(100), 16000, key=name) for name in ("a", "b")]
    batch = PadCollate()(examples)
    assert batch.names == ["a", "b"]
    assert batch["names"] == ["a", "b"]
    assert batch.names[1] == "b"
    assert list(batch.keys()) == FIELDS
    assert make().names is None
    assert PadCollate()([examples[0], torch.ones(5)]).names == ["a", None]
    names = (lambda **fields: fields["names"])(**batch)
    assert names == ["a", "b"]


def test_keys_as_they_were_once_used_are_answered_with_names():
    batch = make()
    with pytest.raises(KeyError, match=r"'keys' is not a field.*batch\['names'\]"):
        batch["keys"]
    with pytest.raises(ValueError, match=r"\['keys'\] are not fields.*`names`"):
        AudioBatch({"features": torch.ones(1), "keys": ["a"]})
    with pytest.raises(TypeError, match="method"):
        batch.keys[0]


def test_wrong_names_list_the_fields():
    batch = make()
    with pytest.raises(KeyError, match=r"'feature' is not a field.*features, feature_lengths"):
        batch["feature"]
    with pytest.raises(AttributeError, match="no attribute 'label'; its fields are features"):
        _ = batch.label
    for place in (0, slice(2), torch.tensor([0, 1]), [0, 1]):
        with pytest.raises(KeyError, match=r"is not a field of an AudioBatch; .*index a field of them.*features\[:2\]"):
            batch[place]


def test_what_a_tensor_has_and_a_batch_has_not_says_where_it_is():
    batch = make()
    with pytest.raises(AttributeError, match=r"no attribute 'cuda'; use batch\.to\('cuda'\)"):
        batch.cuda()
    with pytest.raises(AttributeError, match=r"no attribute 'shape'; a field has it: batch\.features\.shape"):
        _ = batch.shape
    with pytest.raises(AttributeError, match=r"batch\.features cannot be set; batch\['features'\] = "):
        batch.features = torch.ones(2)
    with pytest.raises(AttributeError, match=r"batch\.mine cannot be set; batch\['mine'\] = "):
        batch.mine = 3
    with pytest.raises(ValueError, match="needs waveforms, lengths or features"):
        AudioBatch({"targets": torch.ones(1)})


def test_an_error_of_the_transform_keeps_its_type():
    class Wrong(nn.Module):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def forward(self, waveform):
            raise self.error

    with pytest.raises(AttributeError, match="inner"):
        _ = make(Wrong(AttributeError("inner"))).features
    with pytest.raises(KeyError, match="inner"):
        make(Wrong(KeyError("inner"))).get("features")


def test_repr_has_shapes_and_no_numbers():
    batch = make()
    text = repr(batch)
    assert text.startswith("AudioBatch(3 clips at 16000 Hz\n")
    assert "features:        computed at the first read, by Bands" in text
    assert "waveforms:       float32 (3, 974) on cpu" in text
    assert "targets:         int64 (3,) on cpu" in text
    _ = batch.features
    assert "features:        float32 (3, 2, 31) on cpu" in repr(batch)
    assert "feature_mask:    bool (3, 31) on cpu" in repr(batch)
    assert "tensor(" not in repr(batch)
    assert repr(PadCollate()(ITEMS)).count("None") == 4


def test_unknown_lengths_are_said():
    batch = make(Foreign())
    assert "feature_lengths: unknown: Foreign has no frame_lengths" in repr(batch)
    assert batch.feature_lengths is None
    assert batch.feature_mask is None
    assert batch.features.shape[:2] == (3, 1)
    assert "feature_lengths: unknown" in repr(pickle.loads(pickle.dumps(batch)))
    assert "lengths unknown" in repr(GPUSpecCollate(Foreign()))


def lightning_to(data, device):
    """Lightning's move_data_to_device: whatever has .to is asked, then tensors within collections."""
    assert callable(data.to)
    return data.to(device)


@pytest.mark.parametrize("before", [True, False])
def test_to_another_device(before):
    batch = make()
    if before:
        _ = batch.features
    ways = [lightning_to(batch, torch.device("meta")), batch.to("meta", non_blocking=True), batch.to("cpu").to("meta")]
    for moved in ways:
        assert isinstance(moved, AudioBatch)
        for name in ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets"):
            assert moved[name].device.type == "meta", name
            assert batch[name].device.type == "cpu"
        assert "on meta" in repr(moved)
        assert moved.sample_rate == 16000
    assert batch.to(None) is batch
    assert batch.to("cpu").features is batch.features


def test_to_takes_a_device_only():
    with pytest.raises(TypeError, match="takes a device"):
        make().to(torch.float16)


def test_to_is_lazy_and_keeps_the_gradient():
    transform = Bands(trainable=True)
    batch = make(transform)
    moved = batch.to(torch.device("cpu"))
    with torch.no_grad():
        transform.weight.mul_(2)
    assert torch.equal(moved.features, transform(batch.waveforms, batch.lengths))
    moved.features.sum().backward()
    assert transform.weight.grad is not None


def test_as_hugging_face_and_lightning_rebuild_it():
    batch = make()
    for rebuilt in (
        type(batch)(dict(batch.items())),
        type(batch)(OrderedDict(batch.items())),
    ):
        assert torch.equal(rebuilt.features, batch.features)
        assert len(rebuilt) == 3
        assert rebuilt.to("meta").features.device.type == "meta"


def test_pad_collate_has_waveforms_only():
    batch = PadCollate()([(torch.tensor([1, 2], dtype=torch.int16), 3)])
    assert batch.features is None
    assert batch.feature_lengths is None
    assert batch.waveforms.tolist() == [[1 / 32768, 2 / 32768]]
    assert batch.to("meta").waveforms.dtype == torch.float32
    assert batch.targets.tolist() == [3]
    loaded = pickle.loads(pickle.dumps(batch))
    assert torch.equal(loaded.waveforms, batch.waveforms)
    assert torch.equal(copy.deepcopy(batch).waveforms, batch.waveforms)


def test_the_gradient_follows_the_grad_mode():
    fixed = make(Bands())
    assert not fixed.features.requires_grad
    trained = Bands(trainable=True)
    batch = make(trained)
    with torch.no_grad():
        before = batch.features
    assert not before.requires_grad
    after = batch.features
    assert after.requires_grad
    assert batch.features is after
    assert torch.equal(before, after)
    assert trained.calls == 2
    with torch.no_grad():
        assert batch.features is after


def test_inference_mode_leaves_usable_features():
    batch = make(Bands())
    with torch.inference_mode():
        features = batch.features
    assert not features.is_inference()
    gain = nn.Parameter(torch.ones(()))
    (features * gain).sum().backward()
    assert gain.grad is not None


def test_autocast_changes_nothing():
    plain = make(Bands()).features
    batch = make(Bands())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(batch.features, plain)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_copies_carry_features_detached(copier):
    transform = Bands(trainable=True)
    batch = make(transform)
    expected = batch.features
    twin = copier(batch)
    assert torch.equal(twin.features, expected)
    assert not twin.features.requires_grad
    assert twin.features.data_ptr() != expected.data_ptr()
    assert torch.equal(twin.waveforms, batch.waveforms)
    assert torch.equal(copier(batch.to("cpu")).features, expected)
    assert transform.calls == 1


def test_a_deep_copy_of_an_unread_batch_stays_unread():
    transform = Bands(trainable=True)
    twin = copy.deepcopy(make(transform))
    assert transform.calls == 0
    assert twin.features.requires_grad


def test_the_batch_outlives_its_collate():
    assert GPUSpecCollate(Bands(), device="cpu")(ITEMS).features.shape[0] == 3


LOAD = """
import sys, torch
batch = torch.load(sys.argv[1], weights_only=False)
print(batch.features.shape, batch.targets.tolist())
"""


def test_a_saved_batch_loads_where_there_is_no_collate(tmp_path):
    torch.save(make(), tmp_path / "batch.pt")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "batch.pt")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "torch.Size([3, 2, 31]) [0, 1, 2]\n"


COMPUTE = """
import pickle, sys, torch
collate = pickle.load(open(sys.argv[1], "rb"))
batch = collate([(torch.ones(100), 3)])
assert batch.waveforms.shape == (1, 100) and batch.targets.tolist() == [3]
for read in (lambda: batch.features, lambda: batch.to("cpu")["feature_mask"], lambda: collate.transform):
    try:
        read()
    except RuntimeError as error:
        print(error)
"""


def test_a_collate_in_a_foreign_process_says_what_to_do(tmp_path, monkeypatch):
    # as to a process that is being started, where there is too much to carry
    monkeypatch.setattr("audiofeed.feed.collate.Carried.of", lambda runtime: None)
    (tmp_path / "collate").write_bytes(pickle.dumps(GPUSpecCollate(Bands())))
    command = [sys.executable, "-c", COMPUTE, str(tmp_path / "collate")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second, third = result.stdout.splitlines()
    assert "batch.features was read in process" in first
    assert "GPUSpecCollate(Bands) that made this batch does not live" in first
    assert "build the transform and the GPUSpecCollate there" in first
    assert "batch.feature_mask was read" in second
    assert "unpickled in a process where its transform does not live" in third


def test_a_tuple_to_unpack():
    collate = GPUSpecCollate(Bands(), device="cpu", output="tuple")
    pair = collate(ITEMS)
    assert isinstance(pair, Sequence)
    assert "computed at the first read" in repr(pair)
    features, targets = pair
    assert features is pair[0] is pair[-2] is pair.batch.features
    assert targets is pair[1] is pair.batch.targets
    assert len(pair) == 2
    assert pair[:2] == (features, targets)
    with pytest.raises(IndexError):
        pair[2]
    assert [entry.device.type for entry in pair.to("meta")] == ["meta", "meta"]
    assert torch.equal(pickle.loads(pickle.dumps(pair))[0], features)
    assert pair.pin_memory() is pair


def test_each_channel_has_its_features():
    batch = GPUSpecCollate(Bands(), device="cpu")([torch.ones(2, 100), torch.ones(2, 64)])
    assert batch.features.shape == (2, 2, 2, 4)
    assert batch.feature_mask.shape == (2, 4)
    assert batch.features[1, ..., 1:].eq(0).all()


def test_features_by_name():
    class Stack(Bands):
        def forward(self, waveform, lengths=None):
            return {"a": super().forward(waveform, lengths), "b": super().forward(waveform, lengths)}

    batch = make(Stack())
    assert torch.equal(batch.feature_mask["a"], make().feature_mask)
    assert batch.to("meta").features["b"].device.type == "meta"
    assert "{a: float32 (3, 2, 31) on cpu" in repr(batch)


def test_it_saves_into_memory_and_back():
    buffer = io.BytesIO()
    batch = make()
    torch.save(batch, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False).features, batch.features)
