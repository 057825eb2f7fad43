"""Batches and pairs as frameworks take them apart and build them again: nothing is lost, or its reading says so."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from feed_datasets import Bands
from torch.utils._pytree import tree_map
from torch.utils.data import default_convert
from torch.utils.data._utils.pin_memory import pin_memory

from audiofeed.data import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.pair import FeaturesAndTargets

FAULT = AudioReadError.of("bad.wav", "no samples")
ITEMS = [
    AudioExample(torch.ones(300), 16000, target=3, key="a", fields={"speaker": 7, "text": "one"}),
    AudioExample(torch.ones(200), 16000, target=5, key="b", faults=(FAULT,), fields={"speaker": 8, "text": "two"}),
]


def lightning_rebuild(data, change):
    """`lightning_utilities.core.apply_func.apply_to_collection`, in short."""
    if isinstance(data, torch.Tensor):
        return change(data)
    if hasattr(data, "items"):
        return type(data)(OrderedDict((name, lightning_rebuild(value, change)) for name, value in data.items()))
    if isinstance(data, tuple) and hasattr(data, "_asdict") and hasattr(data, "_fields"):
        return type(data)(*[lightning_rebuild(entry, change) for entry in data])
    if isinstance(data, list | tuple):
        return type(data)([lightning_rebuild(entry, change) for entry in data])
    return data


REBUILDS = {
    "one by one": lambda pair: type(pair)(*[entry.double() for entry in pair]),
    "of a list": lambda pair: type(pair)([entry.double() for entry in pair]),
    "of a generator": lambda pair: type(pair)(entry.double() for entry in pair),
    "tree_map": lambda pair: tree_map(torch.Tensor.double, pair),
    "lightning": lambda pair: lightning_rebuild(pair, torch.Tensor.double),
    "_make": lambda pair: type(pair)._make(entry.double() for entry in pair),
    "_replace": lambda pair: pair._replace(features=pair[0].double(), targets=pair.targets.double()),
}


def pair_of(**settings):
    return GPUSpecCollate(Bands(), device="cpu", output="tuple", **settings)(ITEMS)


@pytest.mark.parametrize("rebuild", REBUILDS.values(), ids=REBUILDS)
def test_a_pair_is_rebuilt_with_its_layout_and_faults(rebuild):
    pair = pair_of(layout="frames_bins")
    expected = [entry.double() for entry in pair]
    for twin in (rebuild(pair), rebuild(rebuild(pair)), pickle.loads(pickle.dumps(rebuild(pair)))):
        assert isinstance(twin, FeaturesAndTargets)
        features, targets = twin
        assert features.dtype == torch.float64
        assert torch.equal(features, expected[0])
        assert torch.equal(twin.targets, targets)
        assert targets.tolist() == [3, 5]
        assert twin.batch.features is features
        assert [str(fault) for fault in twin.batch.faults] == [str(FAULT)]
        assert twin.batch.layout == "frames_bins"
        assert list(twin.batch) == ["features", "targets"]
        with pytest.raises(AttributeError, match=r"batch\.names is not known: a framework built this batch again"):
            _ = twin.batch.names


def test_a_pair_is_a_tuple_and_computes_when_it_is_read():
    pair = pair_of()
    assert isinstance(pair, tuple)
    for use in (len, type, repr, FeaturesAndTargets.__hash__, copy.copy, lambda pair: pair.to("cpu")):
        use(pair)
    assert "computed at the first read" in repr(pair)
    assert "not read" in tuple.__repr__(pair)  # what code in C would see
    features, targets = pair
    assert features is pair[0] is pair.features is next(iter(pair)) is pair._asdict()["features"]
    for joined in (pair + (1,), (*pair, 1), pair * 2):  # noqa: RUF005  the operator is what is tried
        assert joined[0] is features
        assert joined[1] is targets
    assert ((1,) + pair)[1] is features  # noqa: RUF005  the operator is what is tried
    assert next(reversed(pair)) is targets
    assert features in pair
    assert torch.ones(1) not in pair
    assert (pair.index(targets), pair.count(features), pair.count(1)) == (1, 1, 0)
    assert (lambda *entries: entries[0])(*pair) is features
    match pair:
        case (first, _):
            assert first is features
    assert pin_memory(pair) is pair


@pytest.mark.parametrize("values", [(), (1, 2, 3), ([1],)])
def test_a_pair_of_other_than_two_is_refused(values):
    with pytest.raises(TypeError, match="give features and targets, or a batch"):
        FeaturesAndTargets(*values)
    with pytest.raises(ValueError, match=r"\['names'\] are not entries"):
        pair_of()._replace(names=1)


@pytest.mark.parametrize("settings", [{}, {"layout": "frames_bins"}, {"rename": {"features": "x", "targets": "y"}}])
@pytest.mark.parametrize("cls", [GPUSpecCollate, PadCollate])
def test_faults_and_layout_stay_with_a_batch(cls, settings):
    if cls is PadCollate:
        settings = {"rename": {"waveforms": "x"}} if "rename" in settings else {}
        batch = PadCollate(**settings)(ITEMS)
    else:
        batch = GPUSpecCollate(Bands(), device="cpu", **settings)(ITEMS)
    for change in (
        copy.copy,
        copy.deepcopy,
        lambda batch: pickle.loads(pickle.dumps(batch)),
        lambda batch: batch.to("cpu"),
        lambda batch: batch.pin_memory(),
        lambda batch: type(batch)(dict(batch)),
        lambda batch: lightning_rebuild(batch, torch.Tensor.bfloat16),
        default_convert,
        pin_memory,
    ):
        twin = change(batch)
        for again in (twin, change(twin), pickle.loads(pickle.dumps(twin)), twin.to("cpu")):
            assert [fault.path for fault in again.faults] == ["bad.wav"]
            assert again.layout == settings.get("layout", "bins_frames")
            assert list(again) == list(batch)


def test_what_a_renamed_batch_was_rebuilt_without_is_said():
    batch = GPUSpecCollate(Bands(), device="cpu", rename={"features": "x", "targets": "y", "faults": "bad"})(ITEMS)
    assert batch["bad"] == batch.faults == (FAULT,)
    twin = type(batch)(dict(batch))
    assert twin.features is batch.features
    assert [*twin["bad"]] == [FAULT]
    assert "x:" in repr(twin)
    for name in ("names", "lengths", "sample_rate"):
        with pytest.raises(AttributeError, match=rf"batch\.{name} is not known: .* x, y, bad"):
            getattr(twin, name)
    with pytest.raises(AttributeError, match="is not known"):
        _ = pickle.loads(pickle.dumps(twin)).names


def test_a_type_with_faults_is_gone_with_its_batch():
    import gc

    before = len(type(PadCollate()([torch.ones(3)])).__subclasses__())
    for _ in range(50):
        GPUSpecCollate(Bands(), device="cpu", output="tuple")(ITEMS)
    gc.collect()
    assert len(type(PadCollate()([torch.ones(3)])).__subclasses__()) <= before + 1


class Shape:
    """What Accelerate puts in the place of a tensor to send its description."""

    def __init__(self, tensor):
        self.shape = tensor.shape


def test_tensors_only_for_dispatching():
    collate = GPUSpecCollate(Bands(), device="cpu", output="tensors")
    batch = collate(ITEMS)
    names = ["features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "speaker"]
    assert list(batch) == names
    assert all(isinstance(value, torch.Tensor) and len(value) == 2 for value in batch.values())
    assert batch.names == ["a", "b"]
    assert batch.fields["text"] == ["one", "two"]
    joined = type(batch)({name: torch.cat([batch[name]] * 2) for name in batch})
    assert (len(joined), joined["speaker"].tolist()) == (4, [7, 8, 7, 8])
    described = pickle.loads(pickle.dumps(type(batch)({name: Shape(batch[name]) for name in batch})))
    assert (len(described), list(described)) == (2, names)
    assert len(type(batch)({name: joined[name][:3] for name in joined})) == 3
    with pytest.raises(AttributeError, match="names is not known"):
        _ = joined.names


def test_what_is_no_tensor_is_refused_or_left_to_the_batch():
    collate = GPUSpecCollate(Bands(), device="cpu", output="tensors")
    with pytest.raises(ValueError, match="needs targets that are tensors"):
        collate([(torch.ones(9), "dog")])
    with pytest.raises(ValueError, match=r"\['lengths'\] of the clips' own have the names of fields"):
        collate([{"audio": torch.ones(9), "target": 1, "lengths": 3}])
    assert "targets" not in collate([torch.ones(9)])
    with pytest.raises(ValueError, match="entries have their own"):
        GPUSpecCollate(Bands(), output="tensors", rename={"features": "x"})
