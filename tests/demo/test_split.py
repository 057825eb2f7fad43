"""Which clips test, by field and by hash."""

from __future__ import annotations

import numpy as np
import pytest

from audiofeed.data import AudioFolder
from audiofeed.demo.settings import DemoError
from audiofeed.demo.split import FieldValues, split_by_hash, split_folder


@pytest.fixture
def folder(tmp_path):
    import soundfile

    for digit in "01":
        for speaker in ("ann", "jean-luc"):
            for take in ("0", "1", "07", "12"):
                soundfile.write(tmp_path / f"{digit}_{speaker}_{take}.wav", np.zeros(80), 8000)
    return AudioFolder(tmp_path, target="{target}_{speaker}_{take}")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("take=0-4", {"0", "1"}),
        ("take=0,7", {"0", "07"}),
        ("take=7-12, 1", {"1", "07", "12"}),
        ("take=07", {"07"}),
    ],
)
def test_values_and_ranges(folder, text, chosen):
    mask = split_folder(folder, text, seed=0)
    assert {take for take, test in zip(folder.fields["take"], mask, strict=True) if test} == chosen
    assert {take for take, test in zip(folder.fields["take"], mask, strict=True) if not test}.isdisjoint(chosen)


def test_a_name_with_a_hyphen_is_no_range(folder):
    mask = split_folder(folder, "speaker=jean-luc", seed=0)
    assert [speaker == "jean-luc" for speaker in folder.fields["speaker"]] == mask.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("take", "FIELD=VALUES"),
        ("take=", "FIELD=VALUES"),
        ("=3", "FIELD=VALUES"),
        ("take=1,,2", "FIELD=VALUES"),
        ("take=4-1", "ends before it begins"),
        ("tak=1", "the fields are speaker, take"),
        ("take=99", "none of the 16 clips.*values are 0, 1, 07, 12"),
        ("take=0-99", "all of the 16 clips"),
    ],
)
def test_mistakes_are_explained(folder, text, message):
    with pytest.raises(DemoError, match=message):
        split_folder(folder, text, seed=0)


def test_a_class_without_training_clips_is_refused(folder):
    part = folder.select([i for i in range(16) if folder.targets[i] == 0 or folder.fields[i]["take"] == "0"])
    with pytest.raises(DemoError, match="no training clip of class '1'"):
        split_folder(part, "take=0", seed=0)


def test_hash_takes_a_fifth_of_each_class():
    keys = [f"{label}/{i}.wav" for label in "abc" for i in range(10 if label == "a" else 50)]
    targets = [ord(key[0]) - 97 for key in keys]
    mask = split_by_hash(keys, targets, seed=0)
    assert [int(mask[np.array(targets) == t].sum()) for t in range(3)] == [2, 10, 10]
    assert (split_by_hash(keys, targets, seed=0) == mask).all()
    assert (split_by_hash(keys, targets, seed=1) != mask).any()
    order = np.random.default_rng(0).permutation(len(keys))
    shuffled = split_by_hash([keys[i] for i in order], [targets[i] for i in order], seed=0)
    assert (shuffled == mask[order]).all()
    # it is no plain cut of the sorted names
    assert not mask[10:20].all()


def test_hash_does_not_depend_on_where_the_folder_is(folder, tmp_path_factory):
    import shutil

    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    shutil.copytree(folder.root, moved)
    again = AudioFolder(moved, target="{target}_{speaker}_{take}")
    assert (split_folder(again, None, seed=3) == split_folder(folder, None, seed=3)).all()


def test_a_single_clip_of_a_class_trains():
    assert split_by_hash(["a", "b", "c"], [0, 0, 1], seed=0).tolist()[2] is False


def test_ranges_read_numbers_with_zeros():
    chosen = FieldValues.parse("take=0-4,x1")
    assert [value for value in ("0", "004", "5", "-1", "x1", "²") if chosen.holds(value)] == ["0", "004", "x1"]
