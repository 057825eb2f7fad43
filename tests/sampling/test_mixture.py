"""Several datasets as one: counts that can be told beforehand, every clip equally often, the source in the batch."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

import audiofeed as af
from audiofeed.data.keys import ExampleKey
from audiofeed.sampling.mixture import SourcedItem
from tests.sampling.simulate import epoch_of


class Keyed(Dataset):
    """A dataset that returns the keys it is asked for."""

    takes_keys = True

    def __init__(self, size, shift=0.0, classes=None):
        self.durations = np.arange(1.0, size + 1) + shift
        self.targets = np.arange(size) % 2
        self.epochs = []
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.durations)

    def __getitem__(self, key):
        return {"key": tuple(key) if isinstance(key, ExampleKey) else key}

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


class Examples(Dataset):
    """A dataset of somebody else's that yields `AudioExample`, or whatever is given."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def mixed(**settings):
    return af.Mixture({"large": Keyed(10), "small": Keyed(3, 100)}, **settings)


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, [10, 3]),
        ({"weights": [1, 1]}, [3, 3]),
        ({"weights": {"small": 1, "large": 1}, "until": "all"}, [10, 10]),
        ({"weights": [1, 1], "until": "longest"}, [10, 10]),
        ({"weights": [3, 1], "until": "first"}, [9, 3]),
        ({"weights": [4, 1], "until": "first"}, [10, 2]),
        ({"weights": [4, 1], "until": "all"}, [12, 3]),
        ({"weights": [4, 1], "until": "longest"}, [10, 2]),
        ({"weights": [0.2, 0.1], "until": "longest"}, [10, 5]),
        ({"temperature": 1.0, "until": "all"}, [10, 3]),
        ({"temperature": 2.0, "until": "all"}, [10, 6]),
        ({"temperature": 1e9, "until": "all"}, [10, 10]),
        ({"weights": [1000, 1]}, [10, 1]),
    ],
)
def test_counts_are_known_beforehand(settings, counts):
    mixture = mixed(**settings)
    assert mixture.counts() == dict(zip(["large", "small"], counts, strict=True))
    assert len(mixture) == sum(counts)
    for epoch in range(3):
        drawn = Counter(mixture[ExampleKey(epoch, index)]["source"] for index in range(len(mixture)))
        assert drawn == mixture.counts()
    assert [mixture.source_of(index) for index in (0, counts[0] - 1, counts[0], -1)] == [
        "large", "large", "small", "small",
    ]  # fmt: skip


@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    weights=st.lists(st.floats(0.05, 20), min_size=4, max_size=4),
    until=st.sampled_from(["first", "all", "longest"]),
)
def test_every_clip_comes_equally_often_under_keys_of_its_own(sizes, weights, until):
    mixture = af.Mixture([Keyed(size) for size in sizes], weights=weights[: len(sizes)], until=until)
    epochs = max(sizes)
    keys = Counter()
    for epoch in range(epochs):
        for index in range(len(mixture)):
            item = mixture[ExampleKey(epoch, index)]
            keys[item["source"], item["key"]] += 1
    assert set(keys.values()) == {1}
    for number, size in enumerate(sizes):
        name = str(number)
        of_clip = Counter(key[1] for source, key in keys if source == name)
        total = epochs * mixture.counts()[name]
        assert max(of_clip.values()) - min(of_clip[clip] for clip in range(size)) <= 1
        assert sum(of_clip.values()) == total
        if until == "first":
            assert mixture.counts()[name] <= size
        if until == "all":
            assert mixture.counts()[name] >= size
    if until == "longest":
        longest = int(np.argmax(sizes))
        assert mixture.counts()[str(longest)] == sizes[longest]


@pytest.mark.parametrize("settings", [{"weights": [1, 1]}, {"weights": [10, 6], "until": "all"}])
def test_samplers_see_the_lengths_of_each_epochs_clips(settings):
    mixture = mixed(**settings)
    sampler = af.DurationBatchSampler(mixture, max_seconds=206, jitter=0.0)
    seen = []
    for epoch in range(4):
        assert len(sampler) > 0
        batches = list(sampler)
        keys = [key for batch in batches for key in batch]
        assert sorted(key.example for key in keys) == list(range(len(mixture)))
        items = [[mixture[key] for key in batch] for batch in batches]
        for batch in items:
            longest = max(mixture.datasets[item["source"]].durations[item["key"][1]] for item in batch)
            assert len(batch) * longest <= 206
        assert all(item["key"][0] == epoch for batch in items for item in batch)
        seen.append(sorted(item["key"][1] for batch in items for item in batch if item["source"] == "large"))
        assert mixture.durations_in(epoch)[0] == mixture.datasets["large"].durations[mixture.drawn(epoch)[0][0][0]]
    assert mixture.changes == (settings["weights"] == [1, 1])
    assert (seen[0] != seen[1]) == mixture.changes


def test_a_mixture_is_resumed_on_other_ranks_and_known_again():
    def make(rank, ranks):
        return af.DurationBatchSampler(mixed(weights=[1, 1]), max_seconds=206, rank=rank, world_size=ranks)

    whole = epoch_of(make, [(1, None)])
    assert epoch_of(make, [(2, 1), (1, None)]) == whole
    state = make(0, 1).state_dict()
    for other in (
        mixed(weights=[1, 1], seed=1),
        af.Mixture({"big": Keyed(10), "small": Keyed(3, 100)}, weights=[1, 1]),
    ):
        with pytest.raises(ValueError, match=r"mixture(_seed)? was"):
            af.DurationBatchSampler(other, max_seconds=206).load_state_dict(state)


def test_a_weighted_sampler_over_a_mixture_numbers_repeats_past_the_mixtures_own():
    mixture = mixed(weights=[1, 2], until="all")
    sampler = af.EpochSampler(mixture, weights=np.ones(len(mixture)), draws=3 * len(mixture))
    found = Counter((item["source"], item["key"]) for item in map(mixture.__getitem__, sampler))
    assert set(found.values()) == {1}
    assert len(found) == 3 * len(mixture)


def test_a_plain_loader_works_by_the_length():
    mixture = mixed(weights=[1, 1])
    loader = DataLoader(mixture, batch_size=2, shuffle=True, collate_fn=list)
    parts = []
    for epoch in range(4):
        mixture.set_epoch(epoch)
        items = [item for batch in loader for item in batch]
        assert Counter(item["source"] for item in items) == mixture.counts()
        parts.append(sorted(item["key"] for item in items if item["source"] == "large"))
    # ten clips, three an epoch: nine others, then the last and two again
    assert len({key for part in parts[:3] for key in part}) == 9
    assert {key for part in parts for key in part} == set(range(10))
    assert all(isinstance(key, int) for part in parts for key in part)
    assert mixture.datasets["large"].epochs == [0, 1, 2, 3]
    assert mixture.epoch == 3
    with pytest.raises(ValueError, match="epoch=-1"):
        mixture.set_epoch(-1)


def test_the_source_arrives_in_the_batch():
    wave = torch.ones(50)
    ours = Examples([af.AudioExample(wave, 8000, target=1, fields={"take": 3})])
    pairs = Examples([(wave, 2)])
    dicts = Examples([{"waveform": wave, "label": 4}])
    bare = Examples([wave])
    for mixture, targets, sources in (
        (af.Mixture({"a": ours, "b": pairs}), [1, 2], ["a", "b"]),
        (af.Mixture({"a": dicts, "b": pairs}), [4, 2], ["a", "b"]),
        (af.Mixture([ours, ours, ours]), [1, 1, 1], ["0", "1", "2"]),
        (af.Mixture([bare, bare]), None, ["0", "1"]),
    ):
        (batch,) = DataLoader(mixture, batch_size=4, collate_fn=af.PadCollate())
        assert batch.fields["source"] == sources
        assert (batch.targets is None) if targets is None else batch.targets.tolist() == targets
    fields = mixture_items(af.Mixture([ours, pairs], field="corpus"))
    assert fields[0].fields == {"take": 3, "corpus": "0"}
    assert isinstance(fields[1], SourcedItem)
    assert (fields[1].item[1], fields[1].source, fields[1].field) == (2, "1", "corpus")


def mixture_items(mixture):
    return mixture.__getitems__(range(len(mixture)))


@pytest.mark.parametrize(
    "item", [{"waveform": 1, "source": "x"}, af.AudioExample(torch.ones(3), 8, fields={"source": 2})]
)
def test_a_field_that_is_there_already_is_not_overwritten(item):
    mixture = af.Mixture([Examples([item]), Examples([item])])
    with pytest.raises(ValueError, match=r"item of the dataset '1' has 'source' already.*Mixture\(field="):
        mixture[1]
    af.Mixture([Examples([item]), Examples([item])], field="corpus")[1]


def test_members_with_getitems_are_asked_for_theirs_at_once():
    class Several(Keyed):
        def __getitems__(self, keys):
            self.asked = list(keys)
            return [self[key] for key in keys]

    first, second = Several(4), Several(4)
    mixture = af.Mixture([first, second])
    items = mixture.__getitems__([ExampleKey(1, index) for index in (5, 0, 7, 3)])
    assert [(item["source"], item["key"]) for item in items] == [
        ("1", (1, 1)), ("0", (1, 0)), ("1", (1, 3)), ("0", (1, 3)),
    ]  # fmt: skip
    assert (first.asked, second.asked) == ([(1, 0), (1, 3)], [(1, 1), (1, 3)])


def test_wrapped_members_and_mixtures_in_mixtures_get_keys():
    inner = af.Mixture({"a": Subset(Keyed(5), [4, 2]), "b": ConcatDataset([Keyed(1), Keyed(1)])})
    outer = af.Mixture({"inner": inner, "c": Keyed(2)}, field="outer")
    items = {(item["outer"], item.get("source"), item["key"]) for item in (outer[ExampleKey(3, i)] for i in range(6))}
    assert items == {
        ("inner", "a", (3, 4)), ("inner", "a", (3, 2)), ("inner", "b", (3, 0)),
        ("c", None, (3, 0)), ("c", None, (3, 1)),
    }  # fmt: skip
    assert sorted(outer.durations) == [1, 1, 1, 2, 3, 5]
    assert len(outer.targets) == 6


def test_a_member_that_takes_integers_gets_integers():
    mixture = af.Mixture([Examples([1, 2]), Keyed(1)])
    assert [mixture[ExampleKey(4, index)] for index in range(3)] == [
        SourcedItem(1, "0"), SourcedItem(2, "0"), {"key": (4, 0), "source": "1"},
    ]  # fmt: skip
    assert mixture.durations is None
    assert mixture.targets is None
    assert len(list(af.ClipBatchSampler(mixture, batch_size=2))) == 2


def test_classes_must_be_numbered_alike():
    assert af.Mixture([Keyed(1, classes=["a"]), Keyed(1), Keyed(1, classes=["a", "b"])]).classes == ["a", "b"]
    assert mixed().classes == []
    with pytest.raises(ValueError, match="two datasets with other classes meet"):
        af.Mixture([Keyed(1, classes=["a", "c"]), Subset(Keyed(1, classes=["b"]), [0])])


@pytest.mark.parametrize(
    ("datasets", "settings", "message"),
    [
        ([[1]], {}, "datasets has 1 entries"),
        ([[1], []], {}, "the dataset '1' is empty"),
        ([[1], [2]], {"weights": [1]}, "weights has 1 entries for 2 datasets"),
        ([[1], [2]], {"weights": [1, 0]}, r"weights\[1\]=0"),
        ([[1], [2]], {"weights": {"0": 1, "2": 1}}, r"differs in \['1', '2'\]"),
        ([[1], [2]], {"weights": [1, 1], "temperature": 2.0}, "temperature=2.0 makes shares of sizes"),
        ([[1], [2]], {"temperature": 0.0}, "temperature=0.0"),
        ([[1], [2]], {"until": "last"}, "until='last'"),
    ],
)
def test_wrong_arguments_are_named(datasets, settings, message):
    with pytest.raises(ValueError, match=message):
        af.Mixture(datasets, **settings)


@pytest.mark.parametrize("index", [13, -14])
def test_an_index_out_of_range_is_refused(index):
    for key in (index, ExampleKey(0, index)):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 13 draws"):
            mixed()[key]
    with pytest.raises(IndexError):
        mixed().source_of(index)


@pytest.mark.parametrize(
    ("datasets", "settings", "error", "message"),
    [
        (Examples([1, 2]), {}, TypeError, "datasets is a Examples and must be two or more datasets"),
        (5, {}, TypeError, "datasets is a int"),
        ("ab", {}, TypeError, "datasets is a str"),
        ([[1], [2]], {"weights": 5}, ValueError, "weights=5 must be one number > 0 for each of 2 datasets"),
        ([[1] * 9, [2]], {"temperature": 1e-3, "until": "all"}, ValueError, "2\\*\\*32 draws.*temperature"),
        ([[1] * 9, [2]], {"weights": [1e300, 1e-300], "until": "all"}, ValueError, "2\\*\\*32 draws"),
    ],
)
def test_what_makes_no_mixture_is_refused_with_a_reason(datasets, settings, error, message):
    with pytest.raises(error, match=message):
        af.Mixture(datasets, **settings)


def test_shares_beyond_floating_point_are_still_shares():
    assert af.Mixture([Keyed(9), Keyed(1)], temperature=1e-3).counts() == {"0": 9, "1": 1}
    assert af.Mixture([Keyed(2000), Keyed(1000)], temperature=0.01).counts() == {"0": 2000, "1": 1}
    assert af.Mixture([Keyed(4), Keyed(2)], weights=[1e308, 1e308]).counts() == {"0": 2, "1": 2}


@pytest.mark.parametrize(
    "wrap", [lambda each: each, lambda each: Subset(each, [0, 1]), lambda each: ConcatDataset([each, each])]
)
def test_a_mixture_in_a_mixture_of_the_same_field_is_refused(wrap):
    with pytest.raises(ValueError, match=r"'inner' is a mixture, whose items have 'source' already.*field='group'"):
        af.Mixture({"inner": wrap(mixed()), "other": Keyed(2)})
    both = af.Mixture({"inner": wrap(mixed()), "other": Keyed(2)}, field="group")
    assert {"group", "source"} < set(both[ExampleKey(0, 0)])


def test_passes_by_index_that_show_one_epoch_again_are_warned_of_once():
    mixture = mixed(weights=[1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(4):
            mixture.set_epoch(epoch)
            mixture.__getitems__(range(len(mixture)))
        for _ in range(4):  # keys have the epoch
            mixture.__getitems__([ExampleKey(0, index) for index in range(len(mixture))])
            steady = mixed()
            steady.__getitems__(2 * list(range(len(steady))))
    with pytest.warns(UserWarning, match=r"asked for .* by index in epoch 3.*set_epoch\(n\)"):
        mixture.__getitems__(list(range(len(mixture))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in (3, 9):
            mixture.set_epoch(epoch)
            mixture.__getitems__(3 * list(range(len(mixture))))


WRAPPED = {
    "subset": lambda each: Subset(each, [5, 3, 0, 1]),
    "concat": lambda each: ConcatDataset([Keyed(4), each]),
    "outer mixture": lambda each: af.Mixture([Keyed(4), each], field="outer"),
    "several": lambda each: ConcatDataset([Subset(ConcatDataset([each, each]), range(9))]),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_lengths_and_classes_follow_the_epoch_inside_wrappers(wrap):
    inner = af.Mixture({"large": Keyed(60), "small": Keyed(3, 100)}, weights=[1, 1])
    data = wrap(inner)
    by_length = af.DurationBatchSampler(data, max_seconds=206, jitter=0.0)
    by_class = af.ClipBatchSampler(data, batch_size=3, weights="balanced", draws=200)

    def length(key):
        item = data[key]
        return item["key"][1] + 1 + 100 * (item.get("source") == "small")

    for _ in range(8):
        for batch in by_length:
            assert len(batch) * max(map(length, batch)) <= 206
        found = Counter(data[key]["key"][1] % 2 for batch in by_class for key in batch)
        assert len(found) == 1 or abs(found[0] - found[1]) <= 1


def test_a_mixture_has_epochs_of_any_number():
    mixture = mixed(weights=[1, 1])
    mixture.set_epoch(2**63 - 1)
    assert sorted({item["key"] for item in mixture.__getitems__(range(3))})
    for owner in (mixture, af.EpochSampler(mixture)):
        with pytest.raises(ValueError, match=r"epoch=\d+ must be 0 or more, and below 2\*\*63"):
            owner.set_epoch(2**70)
        with pytest.raises(TypeError, match="epoch='3' must be an integer"):
            owner.set_epoch("3")
