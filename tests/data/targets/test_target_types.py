"""What a manifest's column of targets becomes: by its type, in every format, with every wrong cell named."""

from __future__ import annotations

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.data.listing.tables import Table
from audiofeed.data.targets.target_types import typed_targets


@pytest.fixture
def made(write_pcm, tmp_path):
    """Make a dataset whose targets are some values, from a list, or from a file of some format."""

    def _made(values, ending=None, **options):
        if not (tmp_path / "x.wav").exists():  # one written anew is another file
            write_pcm("x.wav", 80)
        rows = [{"path": "x.wav", "target": value} for value in values]
        if ending is None:
            return af.AudioManifest(rows, root=tmp_path, **options)
        path = tmp_path / f"rows.{ending}"
        if ending == "csv":
            with open(path, "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerows([["path", "target"], *(["x.wav", value] for value in values)])
        elif ending == "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        else:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return af.AudioManifest(path, **options)

    return _made


def targets_of(dataset):
    return [dataset[i].target for i in range(len(dataset))]


def collated(dataset):
    return af.PadCollate()([dataset[i] for i in range(len(dataset))]).targets


@pytest.mark.parametrize("ending", [None, "csv", "jsonl", "parquet"])
def test_a_transcript_stays_text(made, ending):
    texts = ["He said: ja, nein", "Grüße  aus\tRom", "7"]
    data = made(texts, ending, target_type="text")
    assert targets_of(data) == texts == list(data.targets) == collated(data)
    assert data.classes == []
    assert data.row(2)["label"] == "7"


def test_a_text_may_be_empty_but_not_missing(made):
    assert targets_of(made(["", "a"], "csv", target_type="text")) == ["", "a"]
    assert targets_of(made([7, "a"], target_type="text")) == ["7", "a"]
    for missing in (None, float("nan"), ["a"], True):
        with pytest.raises(ValueError, match=r"row 2 of the list: target=.* must be text"):
            made(["a", missing], target_type="text")


@pytest.mark.parametrize("ending", [None, "csv", "jsonl", "parquet"])
def test_tags_become_a_vector_over_the_classes(made, ending):
    data = made(["dog, bark", "", "cat", "bark,bark"], ending, target_type="multi_hot")
    assert data.classes == ["bark", "cat", "dog"]
    expected = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert torch.equal(collated(data), expected)
    assert torch.equal(torch.stack(list(data.targets)), expected)
    assert [data.row(i)["label"] for i in range(2)] == [["bark", "dog"], []]
    part = data.select([2, 0])
    assert torch.equal(torch.stack(targets_of(part)), expected[[2, 0]])


@pytest.mark.parametrize("ending", [None, "jsonl", "parquet"])
def test_lists_of_tags(made, ending):
    data = made([["dog", "bark"], [], ["bark"]], ending, target_type="multi_hot", classes=["bark", "dog", "owl"])
    assert collated(data).tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert made([[3, 10], [3]], target_type="multi_hot").classes == ["3", "10"]
    with pytest.raises(ValueError, match=r"row 2 of the list: .*holds 0\.5, which names no class; .*'number'"):
        made([["a"], [0.5]], target_type="multi_hot")
    with pytest.raises(ValueError, match=r"row 1 of the list: .*must be text, or a list of labels"):
        made([{"a": 1}], target_type="multi_hot")


def test_a_separator(made):
    assert collated(made(["a|b", "b"], "csv", target_type="multi_hot", separator="|")).tolist() == [[1, 1], [0, 1]]
    with pytest.warns(
        UserWarning, match=r"'target' of .*rows\.csv is split at ',', so that 'a;b' is.* pass separator=';'"
    ):
        made(["a;b", "b"], "csv", target_type="multi_hot")
    with pytest.warns(UserWarning, match=r"is split at spaces, so that 'a,' is one class; pass separator=','"):
        made(["b", "a, b"], "csv", target_type="sequence")
    # punctuation, and what phones and letters are named, are names; so is what a list names
    assert made(["a | b , a/b", "b"], target_type="sequence").classes == [",", "a", "a/b", "b", "|"]
    assert made([["a,"], ["b"]], target_type="sequence").classes == ["a,", "b"]
    assert made(["a, b"], target_type="sequence", classes=["a,", "b"])[0].target.tolist() == [0, 1]
    for separator, kind, rule in (
        ("", "multi_hot", "must be the text"),
        (";", "text", "not of 'text'"),
        (";", None, "None"),
    ):
        with pytest.raises(ValueError, match=f"separator='{separator}'.*{rule}"):
            made(["a"], target_type=kind, separator=separator)


@pytest.mark.parametrize("ending", [None, "csv", "jsonl"])
def test_sequences_of_integers_and_of_names(made, ending):
    data = made(["3 1  2", "7"], ending, target_type="sequence")
    assert [target.tolist() for target in targets_of(data)] == [[3, 1, 2], [7]]
    assert targets_of(data)[0].dtype == torch.int64
    assert data.classes == []
    named = made(["SIL AH B", "B"], ending, target_type="sequence", classes=["SIL", "B", "AH"])
    assert [target.tolist() for target in targets_of(named)] == [[0, 2, 1], [1]]
    assert named.row(0)["label"] == ["SIL", "AH", "B"]
    commas = made(["3,1", "7,5"], ending, target_type="sequence", separator=",")
    assert collated(commas).tolist() == [[3, 1], [7, 5]]


def test_lists_of_integers_are_sequences(made):
    data = made([[5, 6], [7], []], "jsonl", target_type="sequence")
    assert [target.tolist() for target in targets_of(data)] == [[5, 6], [7], []]
    assert data.select([2, 1])[1].target.tolist() == [7]


def test_lists_of_equal_length_stack(made):
    floats, integers = made([[0.5, 1], [0.0, 2.0]], "jsonl"), made([[1, 2], [3, 4]], "parquet")
    assert torch.equal(collated(floats), torch.tensor([[0.5, 1.0], [0.0, 2.0]]))
    assert torch.equal(collated(integers), torch.tensor([[1, 2], [3, 4]]))
    assert torch.equal(floats.select([1])[0].target, torch.tensor([0.0, 2.0]))
    assert targets_of(made([[1, 2], [3]], "jsonl")) == [[1, 2], [3]]
    assert targets_of(made([["a", "b"], ["c", "d"]], "jsonl")) == [["a", "b"], ["c", "d"]]


def test_numbers(made):
    assert targets_of(made(["3", "4"], "csv", target_type="number")) == [3, 4]
    assert targets_of(made(["3", "4.5"], "csv", target_type="number")) == [3.0, 4.5]
    assert targets_of(made([3, 4.5], target_type="number")) == [3.0, 4.5]
    assert collated(made([[0.5, 1.0], [1, 2]], target_type="number")).tolist() == [[0.5, 1.0], [1.0, 2.0]]
    for ending, values in (("csv", ["3", "x"]), (None, [3, "4"]), ("jsonl", [[1], [2, 3]])):
        with pytest.raises(ValueError, match=r"(line|row) [123] of .*must be a number"):
            made(values, ending, target_type="number")
    with pytest.raises(ValueError, match="target is empty"):
        made(["3", ""], "csv", target_type="number")
    with pytest.raises(ValueError, match=r"row 1 of the list: .*digits than can be read"):
        typed_targets(Table("the list", "row", [1], [{"t": "1e999"}], text=True), "t", "number", None, None, "")


def test_a_function_of_the_cell(made):
    assert targets_of(made(["a b", "c"], "csv", target_type=str.split)) == [["a", "b"], ["c"]]
    assert made(
        ["x_yes", "x_no"], "csv", target_type=lambda text: text[2:], classes=["no", "yes"]
    ).targets.tolist() == [1, 0]
    with pytest.raises(
        ValueError, match=r"line 3 of .*target='b' makes target_type=.* fail: ValueError: invalid literal"
    ):
        made(["1", "b"], "csv", target_type=int)


def test_a_column_of_transcripts_is_not_made_classes_in_silence(made):
    sentences = [f"this is sentence {i}" for i in range(12)]
    with pytest.warns(UserWarning, match="12 different values in 12 rows.*target_type='text'"):
        made(sentences, "csv")
    words = [f"word{i}" for i in range(120)]
    with pytest.warns(UserWarning, match="120 different values in 120 rows"):
        made(words, "csv")
    # said on purpose, or few, or often the same: no word
    assert len(made(words, "csv", target_type="class").classes) == 120
    assert len(made(words[:20], "csv").classes) == 20
    assert len(made(sentences * 2, "csv").classes) == 12


@pytest.mark.parametrize("kind", ["classes", "multihot", 3, af.EventTargets])
def test_a_type_that_there_is_not(made, kind):
    with pytest.raises(ValueError, match="target_type="):
        made(["a"], target_type=kind)


@pytest.mark.parametrize("kind", ["text", "number"])
def test_classes_do_not_fit_every_type(made, kind):
    with pytest.raises(ValueError, match=f"target_type='{kind}' keeps"):
        made(["1"], target_type=kind, classes=["1"])


@given(st.lists(st.sets(st.sampled_from(["a", "bb", "c c", "7", "ü"])), min_size=1, max_size=6).filter(any))
def test_what_is_written_is_what_is_read(rows):
    table = Table("t.csv", "line", list(range(len(rows))), [{"t": ", ".join(sorted(row))} for row in rows], text=True)
    column = typed_targets(table, "t", "multi_hot", None, None, "a table")
    assert column.classes == sorted({name for row in rows for name in row})
    for clip, row in enumerate(rows):
        assert set(column.label(clip)) == row
        assert int(column.whole(clip).sum()) == len(row)


def test_columns_reach_the_example_and_are_chosen(write_pcm, tmp_path):
    write_pcm("x.wav", 80)
    rows = [{"path": "x.wav", "target": "a", "speaker": "ann", "take": 3}]
    assert af.AudioManifest(rows, root=tmp_path)[0].fields == {"speaker": "ann", "take": 3}
    chosen = af.AudioManifest(rows, root=tmp_path, fields=["take"])
    assert [chosen[0].fields, chosen.fields.names] == [{"take": 3}, ["take"]]
    assert af.AudioManifest(rows, root=tmp_path, fields=[])[0].fields == {}
    with pytest.raises(ValueError, match=r"fields=\['tack'\] names 'tack', which is none of \['speaker', 'take'\]"):
        af.AudioManifest(rows, root=tmp_path, fields=["tack"])
    with pytest.raises(ValueError, match="must be a list of names"):
        af.AudioManifest(rows, root=tmp_path, fields="take")
    write_pcm("named/7_ann.wav", 80)
    folder = af.AudioFolder(tmp_path / "named", target="{target}_{speaker}")
    assert folder[0].fields == {"speaker": "ann"}
    assert af.AudioFolder(tmp_path / "named", target="{target}_{speaker}", fields=[])[0].fields == {}
