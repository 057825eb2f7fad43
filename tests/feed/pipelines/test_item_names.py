"""Items whose entries have names: dicts, named tuples and dataclasses, rates by short names."""

from collections import namedtuple
from dataclasses import dataclass, make_dataclass

import numpy as np
import pytest
import torch
from feed_datasets import Bands

from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate

WAVE = torch.arange(6, dtype=torch.float32) / 8


@dataclass
class Take:
    waveform: torch.Tensor
    label: int
    speaker: str = "ann"


def test_a_dataclass_is_read_as_a_dict_of_its_fields():
    batch = PadCollate()([Take(WAVE, 3), Take(WAVE[:4], 5, "bob")])
    assert batch.lengths.tolist() == [6, 4]
    assert batch.targets.tolist() == [3, 5]
    assert batch.fields == {"speaker": ["ann", "bob"]}
    # by its first field, beside a name that is known
    other = make_dataclass("Other", ["x", "sample_rate", "target"])
    assert PadCollate()([other(WAVE.numpy(), 8000, 7)]).sample_rate == 8000
    # inside another item
    assert PadCollate()([(Take(WAVE, 3), 4)]).targets[1].tolist() == [4]
    with pytest.raises(TypeError, match=r"clip 0 is Pair, .*A dataclass has its waveform as 'waveform' or 'audio'"):
        PadCollate()([make_dataclass("Pair", ["x", "y"])(WAVE, 1)])


@pytest.mark.parametrize("name", ["sr", "fs", "samplerate", "rate"])
@pytest.mark.parametrize("make", [dict, lambda **own: namedtuple("Item", own)(**own)], ids=["dict", "named tuple"])
@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor])
def test_the_rate_under_a_short_name_is_checked_and_stays_a_field(name, make, kind):
    item = make(waveform=WAVE, **{name: kind(44100)}, label=1)
    batch = PadCollate()([item, item])
    assert batch.sample_rate == 44100
    assert batch.fields[name].tolist() == [44100, 44100]
    transform = Bands()
    transform.sample_rate = 16000
    with pytest.raises(ValueError, match="clip 0 has sample_rate=44100 and the transform has 16000"):
        GPUSpecCollate(transform, device="cpu")([item])


def test_what_is_no_rate_by_its_value_or_beside_one_is_none():
    batch = PadCollate()([{"waveform": WAVE, "sample_rate": 8000, "sr": 16000, "label": 1}])
    assert (batch.sample_rate, batch.fields["sr"].tolist()) == (8000, [16000])
    for own in ({"rate": 1.2}, {"rate": 1500}, {"fs": 3}, {"sr": "high"}, {"sr": None}):
        assert PadCollate()([{"waveform": WAVE, "label": 1, **own}]).sample_rate is None
    with pytest.raises(ValueError, match="sample_rate=True"):
        PadCollate()([{"waveform": WAVE, "sample_rate": True}])


def test_a_name_that_is_a_number_in_a_tensor_is_that_number():
    items = [{"waveform": WAVE, "id": torch.tensor(3)}, {"waveform": WAVE, "id": np.int64(4)}]
    assert repr(PadCollate()(items).names) == "[3, 4]"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sample_rate": None}, ValueError, "sample_rate=None must be a number of at least 1 Hz"),
        ({"sample_rate": "8000"}, ValueError, "sample_rate='8000' must be a number"),
        ({"sample_rate": float("nan")}, ValueError, "sample_rate=nan must be a number"),
        ({"sample_rate": 8000, "seed": "a"}, TypeError, "seed='a' must be an integer, or None"),
    ],
)
def test_an_example_says_what_is_wrong_with_it(settings, error, message):
    with pytest.raises(error, match=message):
        AudioExample(WAVE, **settings)
