"""Classes of two datasets: numbered alike by classes=, and never apart without a word."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, StackDataset, Subset, TensorDataset

import audiofeed as af
from audiofeed.data.targets.classes import ClassNames, check_alike, given_classes, number_alike


@pytest.fixture
def folder(write_pcm, tmp_path):
    """Make a folder of one recording for each of some classes."""

    def _folder(name: str, classes: str):
        for label in classes:
            write_pcm(f"{name}/{label}/x.wav", 800)
        return tmp_path / name

    return _folder


@pytest.fixture
def manifest(write_pcm, tmp_path):
    def _manifest(labels, **options):
        if not (tmp_path / "x.wav").exists():  # one written anew is another file
            write_pcm("x.wav", 800)
        rows = [{"path": "x.wav", "target": label} for label in labels]
        return af.AudioManifest(rows, root=tmp_path, **options)

    return _manifest


@pytest.mark.parametrize("given", ["list", "dataset", "subset", "select"])
def test_a_second_dataset_numbers_as_the_first(folder, given):
    train = af.AudioFolder(folder("train", "abcd"))
    classes = {
        "list": lambda: ["a", "b", "c", "d"],
        "dataset": lambda: train,
        "subset": lambda: Subset(train, [0]),
        "select": lambda: train.select([1]),
    }[given]()
    valid = af.AudioFolder(folder("valid", "bd"), classes=classes)
    assert valid.classes == ["a", "b", "c", "d"]
    assert valid.targets.tolist() == [1, 3]
    assert [valid.row(0)["label"], valid.class_to_index["d"]] == ["b", 3]
    assert len(train + valid) == 6


def test_the_order_given_is_the_order_of_numbers(folder, manifest):
    assert af.AudioFolder(folder("train", "abc"), classes=["c", "a", "b", "z"]).targets.tolist() == [1, 2, 0]
    assert manifest([60, 62], classes=range(21, 109)).targets.tolist() == [39, 41]
    assert manifest(["10", "2"], classes=["10", "2"]).targets.tolist() == [0, 1]


def test_a_label_that_is_none_of_the_classes_is_named(folder, manifest):
    with pytest.raises(
        ValueError, match=r"valid/e/x\.wav: the label 'e' is not one of the 2 classes given \('a', 'b'\)"
    ):
        af.AudioFolder(folder("valid", "be"), classes=["a", "b"])
    with pytest.raises(ValueError, match="row 2 of the list: the label 'dog' is not one of the 1 classes"):
        manifest(["cat", "dog"], classes=["cat"])
    with pytest.raises(ValueError, match="row 2 of the list: the label 'dog'"):
        manifest(["cat", "cat,dog"], classes=["cat"], target_type="multi_hot")
    with pytest.raises(ValueError, match="the label is 3, and classes= numbers labels that are text"):
        af.AudioFolder(folder("numbers", "a"), target=lambda path: 3, classes=["a"])
    with pytest.raises(ValueError, match="classes= is given, but the list has no column of targets"):
        manifest(["cat"], classes=["cat"], target_column=None)


@pytest.mark.parametrize(
    ("classes", "error", "rule"),
    [
        ("ab", TypeError, "must be a list of names, or a dataset"),
        (3, TypeError, "must be a list of names"),
        ([1.5], TypeError, "1.5; a class is named by text or an integer"),
        (["a", "b", "a"], ValueError, "names 'a' twice"),
        ([], ValueError, "classes is empty"),
        ("names.txt", TypeError, "of a file, give the list of its lines"),
        ({"a", "b"}, TypeError, r"is a set, whose order differs from run to run.*sorted\(classes\)"),
        (frozenset("a"), TypeError, "is a set"),
        ({"a": 1, "b": 2}, ValueError, "must give the names the numbers 0 to 1, each once"),
        ({"a": 0, "b": 0}, ValueError, "must give the names the numbers 0 to 1, each once"),
        ({"a": False, "b": 1}, ValueError, "must give the names the numbers 0 to 1, each once"),
        ({"a": "cat"}, ValueError, "must give the names the numbers 0 to 0, each once"),
    ],
)
def test_classes_that_are_none(classes, error, rule):
    with pytest.raises(error, match=rule):
        given_classes(classes)


def test_a_dataset_without_classes_has_none_to_give(manifest):
    with pytest.raises(ValueError, match="has no classes"):
        manifest(["a"], classes=manifest([1, 2]))


def test_datasets_that_number_apart_do_not_meet(folder):
    first = af.AudioFolder(folder("first", "abc"))
    with pytest.warns(UserWarning, match=r"the class 'b' is 0 in AudioFolder.*second.* and 1 in AudioFolder.*first"):
        second = af.AudioFolder(folder("second", "bc"))
    with pytest.raises(
        ValueError, match=r"target 0 stands for 'a' in .*first.* and for 'b' in .*second.*same classes="
    ):
        first + second
    collate = af.PadCollate()
    with pytest.raises(ValueError, match="two datasets with other classes meet"):
        collate([first[0], second[0]])
    mixture = ConcatDataset([first, second])
    with pytest.raises(ValueError, match="two datasets with other classes meet"):
        list(DataLoader(mixture, batch_size=5, collate_fn=af.GPUSpecCollate(af.Spectrogram(64), device="cpu")))
    with pytest.raises(ValueError, match="two datasets with other classes meet"):
        collate([(first[0], 1), (second[0], 2)])
    stacked = StackDataset(sound=mixture, number=list(range(5)))
    with pytest.raises(ValueError, match="two datasets with other classes meet"):
        collate([stacked[0], stacked[4]])


def test_batches_of_one_dataset_each_do_not_number_apart_unseen(folder, recwarn):
    """Where no batch holds examples of both, the collate remembers; names that are not shared say nothing before."""
    first, second = af.AudioFolder(folder("first", "abc")), af.AudioFolder(folder("second", "xy"))
    collate = af.PadCollate()
    collate([first[0]])
    with pytest.warns(UserWarning, match=r"in two batches .* stands for 'a' in .*first.* and for 'x' in .*second"):
        collate([second[0]])
    for index in (0, 1):  # once
        collate([second[index]])
        collate([first[index]])
    assert len(recwarn) == 0


def test_batches_in_a_worker_do_not_number_apart_unseen(folder):
    """A worker's warning is seen on its standard error; here, where warnings are errors, as one."""
    mixture = ConcatDataset([af.AudioFolder(folder("first", "abc")), af.AudioFolder(folder("second", "xy"))])
    loader = DataLoader(mixture, batch_size=1, num_workers=1, collate_fn=af.PadCollate())
    with pytest.raises(UserWarning, match="two batches of one collate two datasets with other classes meet"):
        list(loader)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_see_one_dataset_each_do_not_number_apart_unseen(folder, method, capfd):
    """Neither worker's batches have examples of both datasets, and the first worker says so, once."""
    parts = [af.AudioFolder(folder(name, classes)) for name, classes in (("first", "abc"), ("second", "xyz"))]
    mixture = Subset(ConcatDataset([Subset(part, range(3)) for part in parts]), range(6))
    loader = DataLoader(
        mixture, batch_size=3, num_workers=2, collate_fn=af.PadCollate(), multiprocessing_context=method
    )
    try:
        assert [batch.targets.tolist() for batch in loader] == [[0, 1, 2], [0, 1, 2]]
    except UserWarning as error:  # pytest makes warnings errors, and a fork keeps that
        said = str(error)
    else:
        said = capfd.readouterr().err
    assert said.count("UserWarning: in two batches of one collate") == 1
    assert "target 0 stands for 'a' in AudioFolder" in said
    assert "for 'x' in AudioFolder" in said


def test_two_that_go_on_differently_after_a_shorter_one(folder):
    """Both are alike with the shorter, which was seen first."""
    several = [af.AudioFolder(folder(name, name)) for name in ("a", "ab", "ac")]
    with pytest.raises(ValueError, match=r"target 1 stands for 'b' in .* and for 'c'"):
        af.PadCollate()([dataset[0] for dataset in several])
    collate = af.PadCollate()
    collate([several[0][0]])
    collate([several[1][0]])
    with pytest.warns(UserWarning, match=r"target 1 stands for 'b' in .* and for 'c'"):
        collate([several[2][0]])


def test_classes_of_several_datasets_together(folder):
    first, second = af.AudioFolder(folder("first", "abc")), af.AudioFolder(folder("second", "ab"))
    mixture = ConcatDataset([second, Subset(first, [0])])
    assert given_classes(Subset(mixture, [1])) is first.classes
    assert af.AudioFolder(folder("third", "c"), classes=mixture)[0].target == 2
    odd = ConcatDataset([first, af.AudioFolder(folder("fourth", "xyz"))])
    with pytest.raises(ValueError, match=r"target 0 stands for 'a' in .* and for 'x'"):
        given_classes(odd)
    with pytest.raises(TypeError, match=r"TensorDataset.* must be a list of names, or a dataset"):
        given_classes(ConcatDataset([first, TensorDataset(torch.zeros(2))]))


def test_classes_with_numbers_of_their_own():
    assert given_classes({"yes": 1, "no": 0}) == ["no", "yes"]
    assert given_classes({"yes": np.int64(1), "no": np.int64(0)}) == ["no", "yes"]


def test_more_classes_at_the_end_number_alike(folder):
    first, second = af.AudioFolder(folder("first", "abc")), af.AudioFolder(folder("second", "ab"))
    batch = af.PadCollate()([(first + second)[i] for i in (0, 4)])
    assert batch.targets.tolist() == [0, 1]
    assert number_alike(["a"], [])
    assert number_alike(["a", "b"], ["a"])
    assert not number_alike(["a"], ["b"])
    check_alike(["a"], ["a"])


def test_datasets_without_classes_meet(manifest):
    numbers, names = manifest([1, 2]), manifest(["a", "b"])
    assert len(numbers + numbers) == 4
    assert af.PadCollate()([numbers[0], names[0]]).targets.tolist() == [1, 0]


def test_nothing_is_said_of_other_tasks_or_of_datasets_that_are_gone(folder):
    first = af.AudioFolder(folder("first", "abc"))
    other_task = af.AudioFolder(folder("other", "xyz"))
    del first
    gc.collect()
    second = af.AudioFolder(folder("second", "bc"))
    assert [len(other_task), len(second)] == [3, 2]


def test_classes_survive_a_copy_and_a_worker(folder):
    data = af.AudioFolder(folder("first", "abc"))
    for other in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        assert isinstance(other.classes, ClassNames)
        assert [other.classes, other.classes.owner] == [data.classes, data.classes.owner]
        assert other[1].target == 1
    loader = DataLoader(data, batch_size=3, num_workers=1, collate_fn=af.PadCollate(), multiprocessing_context="spawn")
    assert [batch.targets.tolist() for batch in loader] == [[0, 1, 2]]


def test_an_example_names_its_classes(folder, manifest):
    data = af.AudioFolder(folder("first", "abc"))
    assert data[0].classes is data.classes
    assert manifest([1])[0].classes is None
    assert torch.equal(data[0].waveform, data[0].waveform)
