"""Rows of their own lengths: masks, clearing, runs; and that they have one home."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import audiofeed
import audiofeed as af
from audiofeed.methods.lengths import clear_own_past, clear_past, length_mask, runs_of


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 9))
def test_a_mask_holds_what_lies_before_the_end(lengths, n):
    mask = length_mask(n, torch.tensor(lengths))
    assert mask.tolist() == [[i < length for i in range(n)] for length in lengths]


@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5), (3, 1, 2, 5)])
@pytest.mark.parametrize("clear", [clear_past, clear_own_past])
def test_what_is_past_the_end_is_zero_whatever_stood_there(shape, clear):
    lengths = torch.tensor([5, 1, 3])
    values = torch.full(shape, 2.0)
    for clip, length in enumerate(lengths.tolist()):
        values[clip, ..., length:] = float("nan")
    found = clear(values, lengths)
    assert (found.data_ptr() == values.data_ptr()) == (clear is clear_own_past)
    for clip, length in enumerate(lengths.tolist()):
        assert torch.all(found[clip, ..., :length] == 2)
        assert torch.all(found[clip, ..., length:] == 0)


def test_the_gradient_past_the_end_is_zero():
    values = torch.tensor([[1.0, float("inf")]], requires_grad=True)
    clear_past(values, torch.tensor([1])).square().sum().backward()
    assert values.grad.tolist() == [[2.0, 0.0]]


@given(st.lists(st.integers(1, 3), max_size=12), st.integers(1, 4))
def test_runs_are_equal_neighbors_of_bounded_number(sizes, most):
    for bound, found in (
        (len(sizes), list(runs_of(sizes))),
        (most, list(runs_of(sizes, lambda size: most))),
        (3, list(runs_of(sizes, lambda size: size))),
    ):
        assert [i for run, _ in found for i in range(run.start, run.stop)] == list(range(len(sizes)))
        assert all(set(sizes[run]) == {size} and run.stop - run.start <= bound for run, size in found)
    # and none is cut without need
    assert all(a != b for (_, a), (_, b) in zip(list(runs_of(sizes)), list(runs_of(sizes))[1:], strict=False))


def test_masks_and_runs_have_one_home():
    package = Path(audiofeed.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            compared = isinstance(node, ast.Compare) and [node.left, *node.comparators]
            if compared and any(isinstance(side, ast.Call) and "arange" in ast.dump(side.func) for side in compared):
                found.add(path)
            if isinstance(node, ast.Attribute | ast.Name) and "groupby" in ast.dump(node):
                found.add(path)
    assert {path.relative_to(package).as_posix() for path in found} == {"methods/lengths.py"}


def test_what_stands_past_the_ends_is_cleared_and_has_no_gradient():
    x = torch.tensor([[1.0, float("nan")], [2.0, 3.0]], requires_grad=True)
    cleared = clear_past(x, torch.tensor([1, 2]))
    assert cleared.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    cleared.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_clips_without_padding_are_handed_on_and_no_transform_writes_into_them():
    x, lengths = torch.randn(2, 4000), torch.tensor([4000, 4000])
    before = x.clone()
    assert clear_past(x, lengths) is x
    for transform in (af.RemoveMean(), af.NormalizePeak(), af.PreEmphasis(), af.CQT(sample_rate=8000, n_bins=12)):
        with torch.no_grad():
            transform(x, lengths)
        assert torch.equal(x, before)
