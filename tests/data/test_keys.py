"""Keys of examples: tuples that get through whatever indexes with an integer."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset, random_split

from audiofeed.data.keys import ExampleKey, carry_keys, key_of, radix_of


class Asked(Dataset):
    """A dataset that gives back the key that it was asked for."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, key):
        return type(key).__name__, tuple(key) if isinstance(key, tuple) else key


class Wrapped(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return 3 * len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index % len(self.dataset)]


def test_a_key_is_the_plain_tuple():
    key, again = ExampleKey(2, 7), ExampleKey(2, 7, 3)
    assert key == (2, 7)
    assert hash(key) == hash((2, 7))
    assert len(key) == 2
    assert tuple(key) == (2, 7)
    assert again == (2, 7, 3)
    assert again != key
    assert ExampleKey(2, 7, 0) == key
    assert {(2, 7): "seen"}[key] == "seen"
    assert (key.epoch, key.example, key.repeat) == (2, 7, 0)
    assert (again.epoch, again.example, again.repeat) == (2, 7, 3)
    assert (key + key[:1]) == (2, 7, 2)
    assert key < (2, 8) < again.at(9)
    assert key.index(7) == 1  # tuple's own
    assert repr(again) == "ExampleKey(2, 7, 3)"


def test_a_key_of_numpy_integers_holds_plain_ones():
    key = ExampleKey(np.int64(1), torch.tensor(2), np.int32(3))
    assert [type(part) for part in key] == [int, int, int]
    assert key == (1, 2, 3)


def test_a_key_is_an_integer_to_whatever_indexes():
    key = ExampleKey(2, 7, 1)
    assert operator.index(key) == int(key) == 7
    assert list(range(100, 110))[key] == 107
    for moved, index in ((key - 5, 2), (key + 5, 12), (5 + key, 12), (key % 4, 3), (key - np.int64(5), 2)):
        assert isinstance(moved, ExampleKey)
        assert moved == (2, index, 1)
    # a NumPy integer on the left does not take the key for an array
    assert isinstance(np.int64(5) + key, ExampleKey)
    assert np.int64(5) + key == (2, 12, 1)
    assert (np.int64(8) > key) is True
    assert (np.int64(7) < key) is False
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        for other in (6, 7, 8, np.int64(7)):
            assert compare(key, other) == compare(7, other)
            assert compare(other, key) == compare(other, 7)
    for broken in (lambda: key + 1.5, lambda: key - "1", lambda: key < None, lambda: key <= 1.0, lambda: key - key[:2]):
        with pytest.raises(TypeError):
            broken()


def test_a_key_travels_small():
    keys = [ExampleKey(3, 1000 * i, i % 2) for i in range(64)]
    for back in (pickle.loads(pickle.dumps(keys)), copy.deepcopy(keys), [copy.copy(key) for key in keys]):
        assert back == keys
        assert {type(key) for key in back} == {ExampleKey}
    assert len(pickle.dumps(keys)) < 64 * 18 + 100


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ((-1, 7), ValueError, r"key=\(-1, 7\): epoch=-1 of a key must be 0 or more"),
        ((1, 7, -2), ValueError, "repeat=-2"),
        ((1, 7.5), TypeError, r"key=\(1, 7.5\).*float.*must be \(epoch, index\)"),
        ((1,), TypeError, r"key=\(1,\) must be an index, \(epoch, index\) or"),
        ((1, 2, 3, 4), TypeError, "key="),
    ],
)
def test_what_is_no_key_is_refused(parts, error, said):
    with pytest.raises(error, match=said):
        key_of(parts)


def test_keys_through_concat_dataset():
    joined = ConcatDataset([Asked(5), Asked(3), Asked(4)])
    assert [joined[ExampleKey(2, i, 1)][1] for i in (0, 4, 5, 7, 8, 11, -1)] == [
        (2, 0, 1), (2, 4, 1), (2, 0, 1), (2, 2, 1), (2, 0, 1), (2, 3, 1), (2, 3, 1),
    ]  # fmt: skip
    with pytest.raises(IndexError):
        joined[ExampleKey(2, 12)]


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda indices: range(3, 9, 2)])
def test_keys_through_subset(kind):
    subset = Subset(Asked(10), kind([3, 5, 7]))
    before = [int(i) for i in subset.indices], len(subset)
    assert carry_keys(subset) is subset
    assert ([int(i) for i in subset.indices], len(subset)) == before
    assert subset[ExampleKey(2, 1)] == ("ExampleKey", (2, 5))
    assert subset[ExampleKey(2, -1, 4)][1] == (2, 7, 4)
    assert subset.__getitems__([ExampleKey(2, 0), ExampleKey(2, 2)]) == [("ExampleKey", (2, i)) for i in (3, 7)]
    assert int(subset[1][1]) == 5
    assert [int(i) for i in subset.indices[1:]] == [5, 7]
    again = subset.indices
    assert carry_keys(subset).indices is again  # only once
    assert pickle.loads(pickle.dumps(subset))[ExampleKey(2, 1)] == ("ExampleKey", (2, 5))
    if kind is list:
        assert isinstance(subset.indices, list)
        assert subset.indices == [3, 5, 7]
        assert subset[(2, 1)] == ("ExampleKey", (2, 5))  # a sampler's plain tuple too
    if kind is np.array:
        assert subset.indices.mean() == 5
        assert repr(subset.indices).count("5") == 1


def test_keys_through_everything_at_once():
    parts = random_split(Asked(20), [12, 8], generator=torch.Generator().manual_seed(0))
    nested = ConcatDataset([Subset(parts[0], [1, 0]), Wrapped(parts[1])])
    carry_keys(nested)
    assert nested[ExampleKey(4, 0, 2)][1] == (4, parts[0].indices[1], 2)
    assert nested[ExampleKey(4, 3)][1] == (4, parts[1].indices[1])
    assert nested[ExampleKey(4, 2 + 8 + 3)][1] == (4, parts[1].indices[3])  # the wrapper's second round
    stacked = carry_keys(StackDataset(a=Subset(Asked(9), [8, 6]), b=Asked(2)))
    assert stacked[ExampleKey(1, 1)] == {"a": ("ExampleKey", (1, 6)), "b": ("ExampleKey", (1, 1))}


def test_examples_that_stand_twice_in_concat_dataset():
    whole = Asked(6)
    joined = ConcatDataset([whole, Asked(2), whole, Subset(whole, [5, 1])])
    assert carry_keys(carry_keys(joined)) is joined
    keys = [joined[ExampleKey(1, index, repeat)][1] for repeat in range(3) for index in range(16)]
    of_whole = [key for key, index in zip(keys, 3 * list(range(16)), strict=True) if index not in (6, 7)]
    assert [ExampleKey(*key).repeat for key in keys[:16]] == [0] * 8 + [1] * 6 + [2] * 2
    assert len(set(of_whole)) == len(of_whole) == 3 * 14
    assert joined[8] == ("int", 0)  # integers are counted by the dataset
    assert joined.datasets[2].n == 6
    assert pickle.loads(pickle.dumps(joined))[ExampleKey(1, 8)] == ("ExampleKey", (1, 0, 1))
    # a split that is put together again holds nothing twice
    halves = carry_keys(ConcatDataset(random_split(whole, [3, 3])))
    assert {ExampleKey(*halves[ExampleKey(1, index)][1]).repeat for index in range(6)} == {0}


def test_a_circle_of_wrappers_ends():
    circle = Wrapped(None)
    circle.dataset = circle
    assert carry_keys(circle) is circle


def test_keys_through_workers():
    subset = carry_keys(Subset(ConcatDataset([Asked(5), Asked(5)]), range(9, -1, -1)))
    keys = [ExampleKey(3, i, i % 2) for i in range(10)]
    loader = DataLoader(subset, sampler=keys, batch_size=4, num_workers=1, collate_fn=list, timeout=60)
    found = [item[1] for batch in loader for item in batch]
    assert found == [tuple(ExampleKey(3, (9 - i) % 5, i % 2)) for i in range(10)]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_indices_that_a_subset_repeats_are_repeats(kind):
    subset = carry_keys(Subset(Asked(6), kind([5, 5, 1, 5])))
    for each in (subset, pickle.loads(pickle.dumps(subset)), copy.deepcopy(subset)):
        found = [each[ExampleKey(1, place, repeat)][1] for repeat in range(2) for place in range(4)]
        assert found == [(1, 5), (1, 5, 1), (1, 1), (1, 5, 2), (1, 5, 3), (1, 5, 4), (1, 1, 3), (1, 5, 5)]
    assert radix_of(subset) == 3
    assert subset[0][0] != "ExampleKey"


def test_an_index_list_that_was_changed_is_counted_anew():
    subset = carry_keys(Subset(Asked(6), [5, 4]))
    subset.indices.append(5)
    assert subset[ExampleKey(1, 2)][1] == (1, 5, 1)


def test_parts_of_other_numbers_of_repeats_stay_apart():
    whole = Asked(6)
    joined = carry_keys(ConcatDataset([Subset(whole, [0, 0]), whole, Wrapped(Subset(whole, [0]))]))
    found = [joined[ExampleKey(1, index, repeat)][1] for repeat in range(9) for index in (0, 1, 2, 8)]
    assert len(set(found)) == len(found)
    assert joined.datasets[1].__getitems__([ExampleKey(1, 3), 3]) == [joined[ExampleKey(1, 5)], ("int", 3)]


def test_datasets_that_draw_alike_are_one():
    class Alike(Asked):
        draw_identity = (0, 17)

    joined = carry_keys(ConcatDataset([Alike(2), Alike(2), Asked(2)]))
    assert [joined[ExampleKey(1, index)][1] for index in range(6)] == [
        (1, 0), (1, 1), (1, 0, 1), (1, 1, 1), (1, 0), (1, 1),
    ]  # fmt: skip
