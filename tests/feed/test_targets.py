"""Targets: stacked as default_collate does, or kept as a list."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from audiofeed.feed.states.tensor_trees import map_tensors, tensors_in, to_device
from audiofeed.feed.targets import collate_targets

Point = namedtuple("Point", "x y")


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(
    "targets",
    [
        [1, 2, 3],
        [0.5, 1.0],
        [True, False],
        [torch.tensor([1, 2]), torch.tensor([3, 4])],
        [torch.tensor(1.5), torch.tensor(2.5)],
        [np.array([1.0, 2.0]), np.array([3.0, 4.0])],
        [np.float32(1.5), np.float32(2)],
        [np.int64(4), np.int64(5)],
        [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}],
        [(1, 0.5), (2, 1.5)],
        [(1, {"a": torch.zeros(2)}), (2, {"a": torch.ones(2)})],
        [Point(1, 0.5), Point(2, 1.5)],
        [[1], [2]][:0] or [7],
    ],
)
def test_as_default_collate_where_that_stacks(targets):
    assert same(collate_targets(targets), default_collate(targets))


def test_a_named_tuple_stays_one():
    assert isinstance(collate_targets([Point(1, 2), Point(3, 4)]), Point)
    assert isinstance(collate_targets([(1, 2), (3, 4)]), tuple)


@pytest.mark.parametrize(
    "targets",
    [
        ["yes", "no"],
        [[1, 2], [3]],
        [[1, 2], [3, 4]],
        [None, 3],
        [{"a": 1}, {"b": 1}],
        [(1, 2), (3,)],
        [b"x", b"y"],
        [object, object],
        [1, "a"],
    ],
)
def test_what_does_not_stack_stays_a_list(targets):
    assert collate_targets(targets) == targets


def test_unequal_tensors_stay_a_list_of_tensors():
    assert same(collate_targets([np.array([1, 2]), np.array([3])]), [torch.tensor([1, 2]), torch.tensor([3])])


def test_fields_are_collated_one_by_one():
    collated = collate_targets([("yes", 1, [1, 2]), ("no", 2, [3])])
    assert same(collated, (["yes", "no"], torch.tensor([1, 2]), [[1, 2], [3]]))
    assert collate_targets([None, None]) is None
    assert same(collate_targets([(None, 1), (None, 2)]), (None, torch.tensor([1, 2])))


def test_numbers_of_two_kinds():
    assert same(collate_targets([1, 2.5]), torch.tensor([1.0, 2.5], dtype=torch.float64))
    assert same(collate_targets([torch.tensor(1), torch.tensor(2.5)]), torch.tensor([1.0, 2.5]))


@pytest.mark.parametrize(
    "targets",
    [
        [2**60 + 1, 0.5],
        [torch.tensor(2**24 + 1), torch.tensor(0.5)],
        [np.int64(2**60 + 1), np.float64(0.5)],
        [torch.tensor([2**62 + 1]), torch.tensor([0.5], dtype=torch.float64)],
    ],
)
def test_an_integer_is_not_rounded_among_floats(targets):
    found = collate_targets(targets)
    assert isinstance(found, list)
    assert [int(found[0]), float(found[1])] == [int(targets[0]), 0.5]
    assert torch.is_tensor(collate_targets([targets[0] * 0 + 1024, targets[1]]))


def test_mps_gets_no_float64(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, dtype, **_: asked.append(dtype))
    to_device([torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.int64)], torch.device("mps"))
    assert asked == [torch.float32, torch.int64]


def test_a_copy_to_the_cpu_always_waits(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, dtype, non_blocking: asked.append(non_blocking))
    for device in ("cpu", "cuda"):
        to_device(torch.ones(1), torch.device(device), non_blocking=True)
    assert asked == [False, True]


def test_trees():
    tree = {"a": [torch.ones(1), "x"], "b": Point(torch.zeros(2), 3)}
    doubled = map_tensors(tree, lambda tensor: tensor + 1)
    assert same(doubled, {"a": [torch.full((1,), 2.0), "x"], "b": Point(torch.ones(2), 3)})
    assert isinstance(doubled["b"], Point)
    assert [tensor.numel() for tensor in tensors_in(tree)] == [1, 2]
    assert all(tensor.device.type == "meta" for tensor in tensors_in(to_device(tree, torch.device("meta"))))
