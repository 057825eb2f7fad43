"""Items that cannot be collated, under on_error="skip": left out, named with their cause, and the batch goes on."""

import numpy as np
import pytest
import torch
from feed_datasets import Bands, Named
from torch.utils.data import DataLoader

from audiofeed.data import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate, PadTargets

RATE = 16000
BAD = {
    "None": (None, "is None"),
    "empty": ((torch.zeros(0), 1), "no samples"),
    "NaN": ((torch.tensor([1.0, float("nan")]), 1), "1 NaN or infinite samples"),
    "infinite": ((np.full(3, np.inf), 1), "3 NaN or infinite samples"),
    "text": ("a.wav", "not a known form"),
    "three axes": ((torch.zeros(1, 2, 3), 1), "drop the batch dimension"),
    "complex": ((torch.zeros(3, dtype=torch.complex64), 1), "samples of type"),
    "another rate": ((torch.ones(9), 8000, 1), "sample_rate=8000"),
    "no waveform": ({"label": 1}, "not a known form"),
    "too long": ((torch.ones(5000), 1), "must not be longer"),
    "a rate that is none": ({"audio": torch.ones(3), "sample_rate": "high", "label": 2}, "must be an integer"),
}
GOOD = [(torch.full((20 + n,), 0.1 * n), n) for n in range(3)]


@pytest.mark.parametrize(("item", "cause"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 2])
def test_a_bad_item_is_left_out_and_named(item, cause, place):
    settings = {"pad_to": 4000, "device": "cpu"}
    items = [*GOOD[:place], item, *GOOD[place:]]
    batch = GPUSpecCollate(Bands(), on_error="skip", **settings)(items)
    expected = GPUSpecCollate(Bands(), **settings)(GOOD)
    assert len(batch) == 3
    assert batch.targets.tolist() == [0, 1, 2]
    assert torch.equal(batch.waveforms, expected.waveforms)
    assert torch.equal(batch.features, expected.features)
    (fault,) = batch.faults
    assert isinstance(fault, AudioReadError)
    assert fault.path == f"item {place} of the batch"
    assert cause in fault.cause
    assert f"clip {place}" in fault.cause
    with pytest.raises((TypeError, ValueError), match=f"clip {place}"):
        GPUSpecCollate(Bands(), **settings)(items)


def test_the_default_raises():
    with pytest.raises(TypeError, match="clip 0 is None"):
        PadCollate()([None])
    with pytest.raises(ValueError, match="on_error='ignore'"):
        PadCollate(on_error="ignore")


def test_a_key_names_the_fault_and_those_of_the_item_stay():
    before = AudioReadError.of("other.wav", "broken")
    bad = AudioExample(torch.tensor([float("inf")]), RATE, key="speech/7.wav", faults=(before,))
    batch = PadCollate(on_error="skip")([AudioExample(torch.ones(3), RATE, key="a"), bad])
    assert batch.names == ["a"]
    assert [fault.path for fault in batch.faults] == ["other.wav", "speech/7.wav"]


def test_functions_of_the_users_may_fail_for_one_item():
    def to_example(item):
        return AudioExample(torch.ones(int(4 / item)), 8000, target="ab")

    collate = PadCollate(on_error="skip", to_example=to_example, target_collate=PadTargets(lambda text: [1, 2]))
    batch = collate([1, 0, 2])
    assert batch.lengths.tolist() == [4, 2]
    assert batch.targets.tolist() == [[1, 2], [1, 2]]
    assert [(fault.path, fault.cause) for fault in batch.faults] == [("item 1 of the batch", "division by zero")]


def test_a_batch_without_a_good_item_says_why_once_for_each_cause():
    nan = (torch.full((3,), float("nan")), 1)
    with pytest.raises(ValueError, match=r"leaves no item of a batch of 4: 'item 0 of the batch' and 1 more: it is None"
                       r".*; 'item 2 of the batch' and 1 more: it has 3 NaN") as caught:  # fmt: skip
        PadCollate(on_error="skip")([None, None, nan, nan])
    assert str(caught.value).count("known forms are") == 1


def test_what_is_no_items_fault_is_raised():
    skip = PadCollate(on_error="skip")
    with pytest.raises(ValueError, match="same channels"):
        skip([torch.ones(3), torch.ones(2, 3)])
    with pytest.raises(ValueError, match="an empty list"):
        skip([])
    with pytest.raises(TypeError, match="one item"):
        skip(torch.ones(3))
    # which may be a target in a batch with others, and is no item's fault
    batch = skip([(torch.ones(3), 44100), (torch.ones(3), 7), None])
    assert batch.targets.tolist() == [44100, 7]
    with pytest.raises(ValueError, match="may be its sample rate"):
        skip([(torch.ones(3), 44100), (torch.ones(3), 44100), None])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_goes_on(workers):
    items = [(torch.ones(20), n) if n % 5 else None for n in range(20)]
    collate = GPUSpecCollate(Bands(), device="cpu", on_error="skip")
    batches = list(DataLoader(Named(items), batch_size=4, num_workers=workers, collate_fn=collate))
    assert sorted(n for batch in batches for n in batch.targets.tolist()) == [n for n in range(20) if n % 5]
    assert sum(len(batch.faults) for batch in batches) == 4
