"""Every form of an item, read as one clip."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from feed_datasets import Bands
from torch.utils.data import DataLoader, Dataset, StackDataset

from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.items import read_items


class Bare(Dataset):
    """A dataset of the given items."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


WAVE = torch.arange(6, dtype=torch.float32) / 8


class Decoder:
    """torchcodec's AudioDecoder, as far as it is used."""

    def get_all_samples(self):
        return SimpleNamespace(data=WAVE[None], sample_rate=16000)


@dataclass
class Samples:
    """torchcodec's AudioSamples: its fields, and the iteration over them."""

    data: torch.Tensor
    pts_seconds: float = 0.0
    duration_seconds: float = 6 / 16000
    sample_rate: int = 16000

    def __iter__(self):
        return iter((self.data, self.pts_seconds, self.duration_seconds, self.sample_rate))


def only(item):
    return read_items([item])[0]


@pytest.mark.parametrize(
    ("item", "rate", "target", "key"),
    [
        (WAVE, None, None, None),
        (WAVE.numpy(), None, None, None),
        ((WAVE,), None, None, None),
        ((WAVE, 3), None, 3, None),
        ([WAVE, 3], None, 3, None),
        ((WAVE, 16001), None, 16001, None),
        ((WAVE, 16000, None), 16000, None, None),
        ((WAVE, 16000, "yes"), 16000, "yes", None),
        ((WAVE, np.int64(16000), 1), 16000, 1, None),
        ((WAVE, torch.tensor(16000), 1), 16000, 1, None),
        ((WAVE, 16000, "yes", "bob", 2), 16000, ("yes", "bob", 2), None),
        ((WAVE, 7, "yes"), None, (7, "yes"), None),
        ((WAVE, 16000.0, "yes"), None, (16000.0, "yes"), None),
        ((WAVE, True, "yes"), None, (True, "yes"), None),
        ({"waveform": WAVE, "sample_rate": 8000, "target": 1, "key": "a"}, 8000, 1, "a"),
        ({"waveform": WAVE, "label": 1, "id": "b", "speaker": 4}, None, 1, "b"),
        ({"waveform": WAVE.tolist(), "labels": [1, 2], "path": "c"}, None, [1, 2], "c"),
        ({"waveform": WAVE, "text": "hi", "speaker": 4}, None, {"text": "hi", "speaker": 4}, None),
        ({"waveform": WAVE, "label": 0, "target": 1}, None, {"label": 0, "target": 1}, None),
        ({"audio": {"array": WAVE.numpy(), "sampling_rate": 8000, "path": "d.wav"}, "label": 2}, 8000, 2, "d.wav"),
        ({"audio": {"array": WAVE.tolist(), "sampling_rate": 8000, "path": "d.wav"}, "id": "x"}, 8000, None, "x"),
        ({"array": WAVE.numpy(), "sampling_rate": 8000}, 8000, None, None),
        ({"audio": Decoder(), "label": 2}, 16000, 2, None),
        (Decoder(), 16000, None, None),
        (Samples(WAVE[None]), 16000, None, None),
        ((Samples(WAVE[None]), 4), 16000, 4, None),
        ({"audio": Samples(WAVE[None]), "label": 2, "id": "e"}, 16000, 2, "e"),
        ((Decoder(), "yes", 2), 16000, ("yes", 2), None),
        (({"array": WAVE.numpy(), "sampling_rate": 8000}, 5), 8000, 5, None),
        (namedtuple("Item", "audio sampling_rate label")(WAVE, 500, 2), 500, 2, None),
        (AudioExample(WAVE, 16000, target="t", key="k", seed=9), 16000, "t", "k"),
        # webdataset: to_tuple("flac", "cls"), and the decoded dicts
        (((WAVE, 16000), 3), 16000, 3, None),
        ([[WAVE[None], 44100], "yes"], 44100, "yes", None),
        (((WAVE, 16000),), 16000, None, None),
        (((WAVE, 16000), 3, {"speaker": 4}), 16000, (3, {"speaker": 4}), None),
        (((WAVE.numpy(), np.int64(22050)), b"yes"), 22050, b"yes", None),
        (((WAVE, 16000), 8000, "yes"), 16000, (8000, "yes"), None),
        (((WAVE, 5), 3), None, (5, 3), None),
        (((WAVE, 16000, 5), 3), 16000, (5, 3), None),
        ({"__key__": "s/1", "__url__": "a.tar", "flac": (WAVE, 16000), "cls": 3}, 16000, 3, "s/1"),
        ({"__key__": "s/1", "left.WAV": WAVE, "cls": 3, "txt": "hi"}, None, {"cls": 3, "txt": "hi"}, "s/1"),
        ({"__key__": "s/1", "mp3": Decoder(), "json": {"y": 1}}, 16000, {"y": 1}, "s/1"),
        ({"__key__": "s/1", "ogg": (WAVE, 16000)}, 16000, None, "s/1"),
        # items within items, as torch's StackDataset gives them
        ((AudioExample(WAVE, 16000, key="k"), 7), 16000, 7, "k"),
        ((AudioExample(WAVE, 16000, target=1), 7, "x"), 16000, (1, (7, "x")), None),
        (({"waveform": WAVE, "label": 1, "id": "b"}, 2), None, (1, 2), "b"),
        (({"audio": {"array": WAVE.numpy(), "sampling_rate": 8000}}, 2), 8000, 2, None),
        (((AudioExample(WAVE, 16000, key="k"), 7), 8), 16000, (7, 8), "k"),
        ({"audio": AudioExample(WAVE, 16000, target=1, key="k"), "label": 2}, 16000, (1, 2), "k"),
        ({"audio": (WAVE, 16000), "label": 2}, 16000, 2, None),
        ({"audio": [WAVE, 16000], "sample_rate": 16000, "label": 2}, 16000, 2, None),
        ({"waveform": {"waveform": WAVE, "sample_rate": 8000}, "speaker": 4}, 8000, {"speaker": 4}, None),
        ({"x": AudioExample(WAVE, 16000, key="k"), "y": 3}, 16000, {"y": 3}, "k"),
        ({"x": AudioExample(WAVE, 16000, target=1), "label": 3}, 16000, (1, 3), None),
        ((Samples(WAVE[None]), 16000, 4), 16000, 4, None),
    ],
)
def test_each_known_form(item, rate, target, key):
    clip = only(item)
    assert (clip.sample_rate, clip.target, clip.key) == (rate, target, key)
    batch = PadCollate()([item])
    assert torch.equal(batch.waveforms.reshape(-1), WAVE)


def test_an_example_carries_seed_and_faults():
    example = AudioExample(WAVE, 16000, seed=9)
    assert only(example).seed == 9
    assert only(example).faults == ()


@pytest.mark.parametrize("stack", [lambda *parts: StackDataset(*parts), lambda x, y: StackDataset(x=x, y=y)])
def test_a_stacked_dataset(stack):
    """Seed and faults of the example arrive; the other dataset's item is the target."""
    fault = AudioReadError.of("b.wav", "x")
    examples = [AudioExample(WAVE, 16000, key=str(i), seed=i, faults=(fault,) * (i == 1)) for i in range(3)]
    loader = DataLoader(stack(Bare(examples), Bare([5, 6, 7])), batch_size=3, collate_fn=PadCollate())
    (batch,) = loader
    targets = batch.targets["y"] if isinstance(batch.targets, dict) else batch.targets
    assert (batch.names, targets.tolist(), batch.sample_rate) == (["0", "1", "2"], [5, 6, 7], 16000)
    clips = read_items([loader.dataset[i] for i in range(3)])
    assert [(clip.seed, clip.faults) for clip in clips] == [(0, ()), (1, (fault,)), (2, ())]


def test_a_stack_of_torchaudio_like_datasets():
    data = StackDataset(Bare([(WAVE, 16000), (WAVE[:4], 16000)]), Bare(["a", "b"]))
    (batch,) = DataLoader(data, batch_size=2, collate_fn=PadCollate())
    assert (batch.lengths.tolist(), batch.targets, batch.sample_rate) == ([6, 4], ["a", "b"], 16000)


@pytest.mark.parametrize(
    "item",
    [
        (AudioExample(WAVE, 16000), AudioExample(WAVE, 16000)),
        [AudioExample(WAVE, 16000)] * 3,
        {"x": AudioExample(WAVE, 16000), "y": AudioExample(WAVE, 16000)},
        {"__key__": "1", "flac": b"fLaC", "cls": 3},
        {"__key__": "1", "a.flac": WAVE, "b.flac": WAVE},
        {"flac": WAVE, "cls": 3},
        (("a.wav", 16000), 3),
    ],
)
def test_two_clips_or_none_are_no_item(item):
    with pytest.raises(TypeError, match="known forms"):
        read_items([item])


def test_an_item_within_an_item_may_contradict_itself():
    with pytest.raises(ValueError, match=r"clip 1 has sample_rate=0"):
        read_items([WAVE, ({"waveform": WAVE, "sample_rate": 0}, 3)])
    with pytest.raises(ValueError, match=r"clip 0 has sample_rate=8000 beside audio of 16000 Hz"):
        only({"audio": (WAVE, 16000), "sample_rate": 8000})


def test_samples_of_several_channels_keep_them():
    batch = PadCollate()([Samples(torch.stack([WAVE, -WAVE]))])
    assert torch.equal(batch.waveforms, torch.stack([WAVE, -WAVE])[None])
    with pytest.raises(TypeError, match="known forms"):
        only(SimpleNamespace(data=WAVE, sample_rate=16000))
    with pytest.raises(ValueError, match=r"clip 0 has sample_rate=8000 beside audio of 16000 Hz"):
        only({"audio": Samples(WAVE[None]), "sample_rate": 8000})


@pytest.mark.parametrize("item", ["text", 3, None, {"sound": WAVE}, ("a", "b"), [0.5, 0.25], (), {"waveform": "a.wav"}])
def test_an_unknown_form_says_what_it_is_and_what_to_do(item):
    with pytest.raises(TypeError, match=r"clip 0 is .*known forms.*to_example="):
        read_items([item])


def test_the_structure_of_an_unknown_form_is_named():
    with pytest.raises(TypeError, match=r"clip 1 is tuple\(str, float32 tensor \(6,\)\)"):
        read_items([WAVE, ("a", WAVE)])


@pytest.mark.parametrize("item", [WAVE, WAVE.numpy(), (WAVE, 3), {"waveform": WAVE}, AudioExample(WAVE, 16000)])
def test_batching_turned_off_is_said(item):
    with pytest.raises(TypeError, match=r"one item.*batch_size=None turns batching off"):
        GPUSpecCollate(Bands(), device="cpu")(item)


def test_a_tuple_of_whole_items_is_a_batch():
    assert len(PadCollate()(((WAVE, 0), (WAVE, 1)))) == 2


def test_an_empty_batch():
    with pytest.raises(ValueError, match="empty list"):
        read_items([])


def test_rates_that_contradict_each_other():
    with pytest.raises(ValueError, match=r"clip 0 has sample_rate=16000 beside audio of 8000 Hz"):
        only({"audio": {"array": WAVE.numpy(), "sampling_rate": 8000}, "sample_rate": 16000})


@pytest.mark.parametrize("rate", [0, 16000.5, -1])
def test_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match=r"sample_rate=.*integer"):
        only({"waveform": WAVE, "sample_rate": rate})


def test_to_example_takes_over():
    def halve(item):
        return AudioExample(item["wave"] / 2, 16000, target=item["y"])

    batch = PadCollate(to_example=halve)([{"wave": WAVE, "y": 4}])
    assert torch.equal(batch.waveforms[0], WAVE / 2)
    assert batch.targets.tolist() == [4]
    with pytest.raises(TypeError, match="to_example returned int for clip 0"):
        PadCollate(to_example=lambda item: 3)([WAVE])
    with pytest.raises(TypeError, match="to_example=3 must be callable"):
        PadCollate(to_example=3)
