"""What samplers take: arrays, datasets and wrappers around them, numbers; keys for ours, integers for others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset, random_split

import audiofeed as af
from audiofeed.data.keys import ExampleKey
from audiofeed.sampling.sources import Source


class Ours(Dataset):
    """Somebody's dataset that takes keys and says so."""

    takes_keys = True

    def __init__(self, seconds):
        self.durations = np.array(seconds, dtype=float)
        self.targets = list(range(len(seconds)))

    def __len__(self):
        return len(self.durations)

    def __getitem__(self, key):
        return tuple(key), float(self.durations[key.example])


class Theirs(Dataset):
    """Somebody's dataset that takes integers alone."""

    def __init__(self, rows=6):
        self.rows = np.arange(rows * 2).reshape(rows, 2)
        self.by_number = dict(enumerate(self.rows))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index], self.by_number[index]


@pytest.mark.parametrize(
    "seconds", [[1, 2, 3], (1.0, 2.0, 3.0), np.array([1, 2, 3], np.float32), torch.tensor([1, 2, 3])]
)
def test_lengths_come_in_any_array(seconds):
    assert Source(seconds, "durations").seconds(0).tolist() == [1.0, 2.0, 3.0]
    assert sorted(key for batch in af.DurationBatchSampler(seconds, max_seconds=3) for key in batch) == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]


def test_the_lengths_of_wrapped_datasets_are_found():
    ours = Ours([5, 4, 3, 2, 1])
    part, rest = random_split(ours, [3, 2], torch.Generator().manual_seed(0))
    both = ConcatDataset([Subset(part, [2, 0]), rest, ours])
    expected = [ours.durations[part.indices[2]], ours.durations[part.indices[0]]]
    expected += [ours.durations[i] for i in rest.indices] + ours.durations.tolist()
    assert Source(both, "durations").seconds(0).tolist() == expected
    assert Source(StackDataset(ours, ours), "durations").seconds(0).tolist() == ours.durations.tolist()


def test_keys_reach_the_innermost_dataset():
    ours = Ours([5, 4, 3, 2, 1])
    both = ConcatDataset([Subset(ours, [4, 2]), ours])
    sampler = af.DurationBatchSampler(both, max_seconds=6, seed=3)
    sampler.set_epoch(2)
    loader = DataLoader(both, batch_sampler=sampler, collate_fn=list)
    items = sorted(item for batch in loader for item in batch)
    # what stands in both parts is drawn as a repeat in the second
    keys = [(2, 4), (2, 2), *((2, i, 1) for i in range(5))]
    assert items == sorted((key, float(5 - key[1])) for key in keys)


@pytest.mark.parametrize(
    "wrap", [lambda each: each, lambda each: Subset(each, [3, 1, 2]), lambda each: ConcatDataset([each])]
)
def test_somebody_elses_dataset_gets_integers(wrap):
    theirs = wrap(Theirs())
    for sampler in (af.ClipBatchSampler(theirs, batch_size=2), af.EvaluationSampler(theirs, batch_size=2)):
        batches = list(sampler)
        assert {type(index) for batch in batches for index in batch} == {int}
        rows = [row for batch in DataLoader(theirs, batch_sampler=sampler, collate_fn=list) for row in batch]
        assert len(rows) == len(theirs)
        assert all(len(row[0]) == 2 for row in rows)
    single = af.EpochSampler(theirs)
    assert {type(index) for index in single} == {int}
    assert type(next(iter(af.EpochSampler(theirs, keys=True)))) is ExampleKey


def test_keys_may_be_turned_off_and_on():
    assert list(af.EpochSampler(2, shuffle=False, keys=False)) == [0, 1]
    assert list(af.EpochSampler(Ours([1, 2]), shuffle=False, keys=False)) == [0, 1]
    assert list(af.EpochSampler(2, shuffle=False)) == [ExampleKey(0, 0), ExampleKey(0, 1)]
    assert af.sampling.takes_keys(Ours([1]))
    assert not af.sampling.takes_keys(ConcatDataset([Ours([1]), Theirs()]))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "durations has no clips"),
        ([1.0, -2.0, -3.0], ValueError, r"durations\[1\]=-2.0 must be .*; so are 1 others"),
        ([1.0, float("nan")], ValueError, r"durations\[1\]=nan"),
        ([[1.0, 2.0]], ValueError, r"shape \(1, 2\)"),
        (["a"], TypeError, "must be lengths in seconds"),
        (None, TypeError, "must be lengths in seconds"),
        (7, ValueError, "durations=7 is a number, and the lengths"),
        (Theirs(), ValueError, "durations is a Theirs whose clips' lengths are not known"),
        (ConcatDataset([Ours([1]), Theirs()]), ValueError, "ConcatDataset whose clips' lengths"),
        (torch.utils.data.SequentialSampler([1]), TypeError, "is a SequentialSampler.*use_distributed_sampler=False"),
        (DataLoader([1]), TypeError, "is a DataLoader"),
    ],
)
def test_what_is_no_source_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        af.DurationBatchSampler(data, max_seconds=10)


def test_a_samplers_settings_are_shown():
    shown = repr(af.DurationBatchSampler([1, 2], max_seconds=10))
    assert shown == (
        "DurationBatchSampler(2 clips, max_seconds=10.0, max_clips=None, quadratic=None, jitter=0.04, shuffle=True, "
        "drop_last=False, seed=0)"
    )


@pytest.mark.parametrize("switch", ["shuffle", "drop_last", "keys"])
def test_texts_are_no_switches(switch):
    # as they come out of a file of settings; any text is true
    for make in (
        lambda **given: af.DurationBatchSampler([1.0, 2.0], max_seconds=4, **given),
        lambda **given: af.ClipBatchSampler(6, batch_size=2, **given),
        lambda **given: af.EpochSampler(6, **given),
    ):
        with pytest.raises(ValueError, match=f"{switch}='no' must be True or False"):
            make(**{switch: "no"})
