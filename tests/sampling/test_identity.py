"""A sampler's state knows the files and the seed it was saved for, and its keys never draw one crop twice."""

from __future__ import annotations

import copy
import itertools
import pickle
import shutil
import wave
from collections import Counter

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Dataset, StackDataset, Subset

import audiofeed as af
from audiofeed.sampling.sources import Source, identity_of, takes_keys


def write(path, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.arange(int(8000 * seconds), dtype="<i2").tobytes())


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        write(tmp_path / "corpus" / str(number % 2) / f"{number}.wav")
    return tmp_path / "corpus"


def cropped(folder, **settings):
    return af.AudioFolder(folder, crop=af.RandomCrop(0.1), progress=False, **settings)


WRAPS = {
    "alone": lambda each: each,
    "subset": lambda each: Subset(each, [3, 1, 2]),
    "nested": lambda each: Subset(Subset(each, [3, 1, 2]), [2, 0]),
    "concat": lambda each: ConcatDataset([Subset(each, [0, 1]), each]),
    "stack": lambda each: StackDataset(a=each, b=each),
    "mixture": lambda each: af.Mixture({"a": each, "b": Subset(each, [1, 2])}, until="all"),
    "mixture within": lambda each: Subset(af.Mixture([each, Subset(each, [1, 2])]), range(5)),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_state_of_other_files_or_another_seed_is_refused(folder, tmp_path, wrap):
    state = af.ClipBatchSampler(wrap(cropped(folder)), batch_size=2).state_dict()
    renamed, elsewhere = tmp_path / "renamed", tmp_path / "other disk" / "deeper"
    shutil.copytree(folder, renamed)
    shutil.copytree(folder, elsewhere)
    # one deleted and one added: the same number of clips, of the same length after the crop
    (renamed / "0" / "2.wav").rename(renamed / "0" / "21.wav")
    for other in (cropped(renamed), cropped(folder, seed=1), cropped(folder).select(range(11, -1, -1))):
        with pytest.raises(ValueError, match=r"(files|dataset_seed|mixture|subset) was .* and is"):
            af.ClipBatchSampler(wrap(other), batch_size=2).load_state_dict(state)
    for same in (cropped(folder), cropped(elsewhere)):
        af.ClipBatchSampler(wrap(same), batch_size=2).load_state_dict(state)


def test_a_state_of_other_indices_or_parts_is_refused(folder):
    one, other = cropped(folder), cropped(folder, seed=1)
    for kept, now in (
        (Subset(one, [0, 1]), Subset(one, [1, 0])),
        (Subset(Subset(one, [0, 1, 2]), [0, 1]), Subset(Subset(one, [0, 2, 1]), [0, 1])),
        (ConcatDataset([one, other]), ConcatDataset([other, one])),
    ):
        state = af.EpochSampler(kept).state_dict()
        with pytest.raises(ValueError, match=r"(files|subset) was '[\w-]+' and is '[\w-]+'"):
            af.EpochSampler(now).load_state_dict(state)


def test_check_ranks_compares_files_and_seed(folder, monkeypatch):
    seen = {}
    monkeypatch.setattr("audiofeed.sampling.planned_sampler.check_same", seen.update)
    dataset = cropped(folder, seed=4)
    af.EpochSampler(dataset).check_ranks()
    assert (seen["files"], seen["dataset_seed"]) == (dataset.fingerprint, 4)


def test_files_are_hashed_once_when_a_state_is_asked_for(folder, monkeypatch):
    hashed = []
    original = type(cropped(folder)).fingerprint.fget
    monkeypatch.setattr(
        af.data.datasets.AudioFiles, "fingerprint", property(lambda self: hashed.append(1) or original(self))
    )
    dataset = cropped(folder)
    sampler = af.ClipBatchSampler(ConcatDataset([dataset, Subset(dataset, [1])]), batch_size=2)
    iterator = iter(sampler)
    next(iterator)
    assert len(sampler) == 7
    assert not hashed
    for _ in range(3):
        sampler.load_state_dict(sampler.state_dict())
    assert len(hashed) == 1
    for again in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert again.state_dict() == sampler.state_dict()
        assert again._source._dataset is None  # a copy without another copy of the data
    assert len(hashed) == 1


def test_somebody_elses_dataset_is_known_by_its_size_alone():
    assert identity_of(Subset([1, 2, 3], [0, 1])) == {}
    circle = Subset([1], [0])
    circle.dataset = circle
    assert identity_of(circle) == {}
    assert Source(5, "data", lengths="none").fingerprint == {"clips": 5, "durations": None}


# crops


class Keys(Dataset):
    """Returns the keys that its dataset would read by, with the name of what they would draw from."""

    takes_keys = True

    def __init__(self, size, alike=None):
        self.size = size
        if alike is not None:
            self.draw_identity = alike

    def __len__(self):
        return self.size

    def __getitem__(self, key):
        return {"key": (getattr(self, "draw_identity", id(self)), *key[:2], key.repeat)}


def twice(size):
    return [Keys(size, alike=(0, 5)), Keys(size, alike=(0, 5))]


BASE = Keys(10)
REPEATED = {
    "indices again": lambda: Subset(BASE, [0, 0, 1, 1, 2]),
    "array of indices": lambda: Subset(BASE, np.array([0, 0, 1, -1, 2])),
    "subset of subset": lambda: Subset(Subset(BASE, [4, 4, 5]), [0, 0, 1, 2, 2, 2]),
    "same seed and files": lambda: ConcatDataset(twice(4)),
    "mixture of all and a part": lambda: af.Mixture({"all": BASE, "rare": Subset(BASE, [0, 1, 2])}, until="all"),
    "shares": lambda: af.Mixture({"all": BASE, "rare": Subset(BASE, [0, 1, 2])}, weights=[1, 2], until="all"),
    "mixture of one": lambda: af.Mixture({"x": BASE, "y": BASE}),
    "mixture that changes": lambda: af.Mixture({"x": BASE, "y": BASE, "z": Keys(3)}, weights=[1, 2, 2]),
    "two mixtures": lambda: ConcatDataset([af.Mixture([BASE, Keys(2)]), af.Mixture([BASE, Keys(3)], weights=[1, 7])]),
    "mixtures of one and its part": lambda: ConcatDataset(
        [af.Mixture([BASE, Subset(BASE, [1, 1, 2])], until="all"), Subset(BASE, [1, 2, 2]), BASE]
    ),
    "parts of other numbers": lambda: ConcatDataset([Subset(BASE, [0, 0, 0]), BASE, Subset(BASE, [0, 0, 1])]),
    "disjoint parts": lambda: ConcatDataset([Subset(BASE, [0, 0, 0]), Subset(BASE, [1, 2, 2]), Subset(BASE, [3])]),
    "parts of concats": lambda: ConcatDataset([ConcatDataset([BASE, BASE]), Subset(ConcatDataset([BASE]), [9, 9])]),
    "mixture in a mixture": lambda: af.Mixture([af.Mixture([BASE, BASE]), BASE], field="outer"),
}


@pytest.mark.parametrize("make", REPEATED.values(), ids=REPEATED)
def test_no_key_reaches_an_example_twice(make):
    data = make()
    samplers = [af.EpochSampler(data), af.EpochSampler(data, weights=np.ones(len(data)), draws=3 * len(data))]
    for sampler in samplers:
        for _ in range(4):
            found = Counter(data[key]["key"] for key in sampler)
            assert max(found.values()) == 1
            assert found.total() == len(sampler)
    # made again, or carried again, it is the same
    again = make()
    af.EpochSampler(again)
    keys = list(itertools.islice(af.EpochSampler(again), 5))
    assert [again[key]["key"][1:] for key in keys] == [data[key]["key"][1:] for key in keys]


def test_crops_differ_where_a_clip_stands_twice(folder):
    for data in (
        Subset(cropped(folder), [0, 0, 1]),
        ConcatDataset([cropped(folder), cropped(folder)]),
        af.Mixture({"x": cropped(folder), "y": cropped(folder)}),
    ):
        clips = [data[key] for batch in af.ClipBatchSampler(data, batch_size=4) for key in batch]
        # the waveform counts the samples of its file
        starts = Counter((clip.key, clip.waveform.flatten()[0].item()) for clip in clips)
        assert max(starts.values()) == 1
        assert takes_keys(data)
