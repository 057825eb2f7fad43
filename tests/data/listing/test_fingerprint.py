"""The fingerprint of a list of clips: alike for like lists, different for any difference."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from audiofeed.data.fingerprint import fingerprint, relative_to_common
from audiofeed.data.listing.columns import PackedStrings

PATHS = ["/data/a/1.wav", "/data/a/2.wav", "/data/b/\udce9.wav"]


@dataclasses.dataclass
class Event:
    onset: float
    label: str


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2, 3], np.array([1, 2, 3], dtype=np.int32)),
        ([1, 2, 3], (1, 2, 3)),
        ([1, 2, 3], torch.tensor([1, 2, 3])),
        ([True, False, True], np.array([True, False, True])),
        ([0.5, 2.0, 3.0], np.array([0.5, 2.0, 3.0], dtype=np.float32)),
        ([0.0, 2.0, 3.0], [-0.0, 2.0, 3.0]),
        (["a", "b", "c"], PackedStrings(["a", "b", "c"])),
        (["a", "b", "c"], np.array(["a", "b", "c"])),
        ([[1], [2, 3], []], [np.array([1]), torch.tensor([2, 3]), []]),
        ([{"x": 1, "y": 2}] * 3, [{"y": 2, "x": 1}] * 3),
    ],
)
def test_equal_values_of_other_types_are_alike(one, other):
    assert fingerprint([5, 6, 7], targets=one) == fingerprint([5, 6, 7], targets=other)


def test_every_difference_is_seen():
    base = {"lengths": [5, 6, 7], "paths": PATHS, "targets": ["x", "y", "z"], "further": {"rate": 8000}}
    others = [
        {"lengths": [5, 6, 8]},
        {"lengths": [6, 5, 7]},
        {"paths": [*PATHS[:2], "/data/b/e.wav"]},
        {"paths": None},
        {"paths": [PATHS[1], PATHS[0], PATHS[2]]},
        {"targets": None},
        {"targets": ["xy", "", "z"]},
        {"targets": ["x", "y", None]},
        {"targets": [["x"], "y", "z"]},
        {"targets": [0, 1, 2]},
        {"targets": [0.0, 1.0, 2.0]},
        {"targets": [2**70, 1, 2]},
        {"targets": [float("nan"), 1.0, 2.0]},
        {"targets": [Event(0.1, "x"), None, None]},
        {"targets": [Event(0.2, "x"), None, None]},
        {"targets": [torch.ones(2), None, None]},
        {"targets": [torch.ones(1, 2), None, None]},
        {"further": {"rate": 16000}},
        {"further": {"rates": 8000}},
    ]
    found = [fingerprint(**base)] + [fingerprint(**{**base, **other}) for other in others]
    assert len(set(found)) == len(found)
    assert all(text.startswith("3-") and len(text) == 34 for text in found)
    assert fingerprint([5, 6]).startswith("2-")


def test_a_corpus_may_lie_elsewhere():
    here = fingerprint([5, 6, 7], paths=PATHS)
    assert here == fingerprint([5, 6, 7], paths=[path.replace("/data/", "/mnt/disk 2/deep/") for path in PATHS])
    assert here == fingerprint([5, 6, 7], paths=[path.removeprefix("/data/") for path in PATHS])
    # one more folder within is another list
    assert here != fingerprint([5, 6, 7], paths=[path.replace("/a/", "/a/c/") for path in PATHS])
    assert relative_to_common(["/x/ab.wav", "/x/ac.wav"]) == ["ab.wav", "ac.wav"]
    assert relative_to_common(["x.wav"]) == ["x.wav"]
    assert relative_to_common([]) == []


def test_an_object_without_value_counts_by_its_type():
    # not by its address, which differs in every process
    assert fingerprint([1], targets=[object()]) == fingerprint([1], targets=[object()])


def test_another_process_finds_the_same():
    code = (
        "from audiofeed.data.fingerprint import fingerprint\n"
        "print(fingerprint([1, 2], paths=['a/b', 'a/c'], targets=[{'k': {'x', 'y'}}, 'y'], further={'s': 1}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == fingerprint(
        [1, 2], paths=["a/b", "a/c"], targets=[{"k": {"x", "y"}}, "y"], further={"s": 1}
    )


@pytest.mark.parametrize("name", ["paths", "targets"])
def test_columns_of_another_length_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} has 1 values for 2 lengths"):
        fingerprint([1, 2], **{name: ["a"]})
