"""Tables of manifests as people and tools write them: padded, in another case, broken, and with numbers as text."""

from __future__ import annotations

import datetime
import json
import os
import pickle

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from audiofeed.data import AudioManifest
from audiofeed.data.listing.columns import PackedStrings
from audiofeed.data.listing.tables import read_table


@pytest.fixture
def root(write_pcm, tmp_path):
    write_pcm("set/a.wav", 1600)
    write_pcm("set/ b.wav", 1600)
    return str(tmp_path / "set")


@pytest.fixture
def table(root, write):
    """Write a table beside the recordings and read it as a manifest."""

    def _table(text: str | bytes, ending: str = "csv", **options):
        return AudioManifest(write(f"set/t.{ending}", text.encode() if isinstance(text, str) else text), **options)

    return _table


def seen(dataset):
    return list(dataset.targets), dataset.classes, [len(dataset[i].waveform) for i in range(len(dataset))]


# names of columns


@pytest.mark.parametrize(
    "text",
    [
        "path,start,duration,target\na.wav,0.05,0.1,yes\na.wav,,0.05,no\n",
        "path, start, duration, target\na.wav, 0.05, 0.1, yes\na.wav, , 0.05, no\n",
        'path , "start", duration , target \n"a.wav", 0.05 , 0.1 , yes \na.wav ,, 0.05 , no\n',
        "Path,Start,Duration,Target\na.wav,0.05,0.1,yes\na.wav,,0.05,no\n",
        "TARGET,PATH,DURATION,START\nyes,a.wav,0.1,0.05\nno,a.wav,0.05,\n",
        "path,start,duration,label\na.wav,0.05,0.1,yes\na.wav,,0.05,no\n",
        "path,start,duration, Labels\na.wav,0.05,0.1, yes\na.wav,,0.05, no\n",
        "\n\npath,start,duration,target\n\na.wav,0.05,0.1,yes\n   \na.wav,nan,0.05,no\n",
        "path,start,duration,target\r\na.wav,0.05,0.1,yes\r\na.wav,,0.05,no\r\n",
        "path,start,duration,target\ra.wav,0.05,0.1,yes\ra.wav,,0.05,no\r",
        "path,start,duration,target,,\na.wav,0.05,0.1,yes,,\na.wav,,0.05,no,,\n",
    ],
)
def test_a_header_is_read_whatever_its_case_and_spaces(table, text):
    for options in ({}, {"sample_rate": 8000}):
        assert seen(table(text, **options)) == ([1, 0], ["no", "yes"], [800, 400])
    assert seen(table(text.replace(", ", "\t").replace(",", "\t"), "tsv")) == ([1, 0], ["no", "yes"], [800, 400])


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "list"])
def test_names_of_columns_in_other_formats(root, table, ending):
    rows = [{"Path": "a.wav", " START": 0.05, "Duration ": 0.1, "Label": "yes", "Speaker": "ann"}]
    if ending == "list":
        dataset = AudioManifest(rows, root=root)
    elif ending == "jsonl":
        dataset = table(json.dumps(rows[0]), "jsonl")
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), os.path.join(root, "t.parquet"))
        dataset = AudioManifest(os.path.join(root, "t.parquet"))
    assert seen(dataset) == ([0], ["yes"], [800])
    assert dataset.fields[0] == {"Speaker": "ann"}


def test_spaces_that_belong_to_a_value_stay(table):
    dataset = table("path,text\n b.wav, hello \n", target_column="text")
    assert (dataset.classes, len(dataset[0].waveform)) == (["hello"], 1600)
    assert table("path,target,text\na.wav,1, hello \n").fields[0] == {"text": " hello "}
    assert table('path, target, text\na.wav, 1, "x, y"\n').fields[0] == {"text": "x, y"}


def test_a_target_beside_labels_keeps_both(table):
    dataset = table("path,labels,label,target\na.wav,x,y,z\n")
    assert (dataset.classes, dataset.fields[0]) == (["z"], {"labels": "x", "label": "y"})
    dataset = table("path,labels,label\na.wav,x,y\n")
    assert (dataset.classes, dataset.fields[0]) == (["y"], {"labels": "x"})
    dataset = table("path,labels,label\na.wav,x,y\n", target_column="Labels ")
    assert (dataset.classes, dataset.fields[0]) == (["x"], {"label": "y"})


@pytest.mark.parametrize(
    ("text", "ending", "rule"),
    [
        ("path,target,target\na.wav,1,2\n", "csv", "line 1 of .* names the column 'target' twice"),
        ("path, target,target \na.wav,1,2\n", "csv", "line 1 of .* names the column 'target' twice"),
        ("path,speaker,speaker,target\na.wav,1,2,3\n", "csv", "names the column 'speaker' twice"),
        ("path,target,Target\na.wav,1,2\n", "csv", "has the columns 'target' and 'Target'.*rename"),
        ("path\tStart\tstart\na.wav\t1\t2\n", "tsv", "has the columns 'Start' and 'start'"),
        ('{"path": "a.wav", "target": 1, "target": 2}', "jsonl", "line 1 of .* names the column 'target' twice"),
        ('{"path": "a.wav", "x": {"y": 1, "y": 2}}', "jsonl", "line 1 of .* names the column 'y' twice"),
        ('{"path": "a.wav", "t": "12:30", "t" : 1}', "jsonl", "names the column 't' twice"),
        ('{"t" :1, "path": "a.wav", "t": 2}', "jsonl", "names the column 't' twice"),
        ('{"path": "a.wav", "x": [{"y": 1, "y": "://"}]}', "jsonl", "names the column 'y' twice"),
        ('{"path": "a.wav", "target": 1}\n{"path": "a.wav", "Target": 2}', "jsonl", "columns 'target' and 'Target'"),
        ("path,target,,\na.wav,1,,\na.wav,1,,x\n", "csv", "line 3 of .*: column 4 holds 'x' and has no name"),
        ("path,class\na.wav,1\n", "csv", "target_column='kind' is not a column of .*'path', 'class'"),
    ],
)
def test_columns_of_one_name_are_refused(table, text, ending, rule):
    with pytest.raises(ValueError, match=rule):
        table(text, ending, target_column="kind" if "kind" in rule else "target")


def test_a_parquet_column_that_occurs_twice(root):
    both = pyarrow.Table.from_arrays([pyarrow.array(["a.wav"]), pyarrow.array([1]), pyarrow.array([2])], list("pxx"))
    pyarrow.parquet.write_table(both, os.path.join(root, "t.parquet"))
    with pytest.raises(ValueError, match=r"t\.parquet names the column 'x' twice"):
        AudioManifest(os.path.join(root, "t.parquet"), path_column="p")


@pytest.mark.parametrize("text", ["path\na.wav\n", "path,start,kind\na.wav,,x\na.wav,,y\n"])
def test_a_manifest_without_targets_says_so_once(table, text):
    with pytest.warns(
        UserWarning, match=r"t\.csv has no column 'target' or 'label' or 'labels'.*target_column="
    ) as told:
        dataset = table(text)
    assert len(told) == 1
    assert all(target is None for target in dataset.targets)
    assert len(table(text, target_column=None)) == len(dataset)  # said by the user


def test_the_warning_names_the_line_that_makes_the_manifest(root):
    with pytest.warns(UserWarning, match="every target is None") as told:
        AudioManifest([{"path": "a.wav"}], root=root)
    assert told[0].filename == __file__


# targets


@pytest.mark.parametrize(
    ("values", "targets"),
    [
        (["1.0", "3.7"], [1.0, 3.7]),
        (["1.0", "2.0"], [1.0, 2.0]),
        (["1", "2.5", "-3"], [1.0, 2.5, -3.0]),
        (["1e-3", ".5", "+2."], [0.001, 0.5, 2.0]),
        ([" 1", "-2 "], [1, -2]),
        (["+1", "0"], [1, 0]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_numbers_stay_numbers(table, values, targets, ending):
    mark = "\t" if ending == "tsv" else ","
    dataset = table(f"path{mark}target\n" + "".join(f"a.wav{mark}{value}\n" for value in values), ending)
    assert (list(dataset.targets), dataset.classes) == (targets, [])
    assert {type(target) for target in (dataset[0].target, dataset[1].target)} == {type(targets[0])}


@pytest.mark.parametrize(
    "values", [["1.0", "x"], ["1.0.0", "2.0.0"], ["nan", "1"], ["inf", "1"], ["1_0", "2"], ["0x1", "2"]]
)
def test_what_is_no_number_stays_text(table, values):
    dataset = table("path,target\n" + "".join(f"a.wav,{value}\n" for value in values))
    assert sorted(values) == sorted(dataset.classes)


def test_classes_by_request(root, table):
    dataset = table("path,target\na.wav,10\na.wav,9\na.wav,10\n", target_type="class")
    assert (list(dataset.targets), dataset.classes) == ([1, 0, 1], ["9", "10"])
    assert table("path,target\na.wav,1.0\n", target_type="class").classes == ["1.0"]
    for values, classes in [([3, 1], ["1", "3"]), ([True, False], ["False", "True"]), ([1, "a"], ["1", "a"])]:
        rows = [{"path": "a.wav", "target": value} for value in values]
        assert AudioManifest(rows, root=root, target_type="class").classes == classes
    with pytest.raises(ValueError, match=r"row 1 of the list: target=\[1\] cannot name a class"):
        AudioManifest([{"path": "a.wav", "target": [1]}], root=root, target_type="class")
    with pytest.raises(ValueError, match="target_type='numbers' must be one of 'class', 'text', 'number'"):
        AudioManifest([{"path": "a.wav", "target": 1}], root=root, target_type="numbers")


def test_targets_of_too_many_digits_are_named(table):
    for digits in ("1" * 5000, "1e400", "-1.5e999"):
        with pytest.raises(ValueError, match=r"line 3 of .*t\.csv: target='-?1.* digits than can be read"):
            table(f"path,target\na.wav,1\na.wav,{digits}\n")
    assert table("path,target\na.wav," + "1" * 5000 + "\n", target_type="class").classes == ["1" * 5000]


# what pandas writes and gives


class NAType:
    """pandas.NA: not equal to itself, and without a truth value."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("empty", [None, float("nan"), np.float64("nan"), np.float32("nan"), NAType(), "", " ", "NaN"])
def test_an_empty_cell_of_pandas(root, empty):
    rows = [{"path": "a.wav", "start": empty, "duration": 0.1, "target": 1.0},
            {"path": "a.wav", "start": 0.1, "duration": empty, "target": 2.0}]  # fmt: skip
    dataset = AudioManifest(rows, root=root)
    assert seen(dataset) == ([1.0, 2.0], [], [800, 800])


@pytest.mark.parametrize("empty", [None, float("nan"), np.float64("nan"), NAType()])
def test_a_missing_target_of_pandas(root, empty):
    rows = [{"path": "a.wav", "target": 1.0}, {"path": "a.wav", "target": empty}]
    with pytest.raises(ValueError, match="row 2 of the list: target is empty, but other rows have one"):
        AudioManifest(rows, root=root)
    assert list(AudioManifest(rows[1:], root=root).targets) == [None]


# broken tables: one kind of error, with the file and the line


@pytest.mark.parametrize(
    ("text", "ending", "rule"),
    [
        ('path,target\na.wav,1\n"a.wav,2\na.wav,3\n', "csv", r"line 3 of .*t\.csv is broken"),
        ('path,target\na.wav,"x\ny\nz"\na.wav\n', "csv", r"line 5 of .*t\.csv has 1 values for 2 columns"),
        ("path,target\na.wav," + "x" * 200_000 + "\n", "csv", r"line 2 of .*t\.csv is broken: field larger"),
        ('path\n"a.wav"x\n', "csv", r"line 2 of .*t\.csv is broken"),
        ('path,start,target\na.wav,0,1\na.wav,1e308,"a\nb"\n', "csv", r"line 3 of .*: start='?1e"),
        (b"path,target\na.wav,1\na.wav,\xff\n", "csv", r"line 3 of .*t\.csv is not UTF-8.*save it as UTF-8"),
        ("path\ttarget\na.wav\t1\n".encode("utf-16"), "tsv", r"line 1 of .*t\.tsv is not UTF-8"),
        (b'{"path": "a.wav"}\n{"path": "\xe9.wav"}\n', "jsonl", r"line 2 of .*t\.jsonl is not UTF-8"),
        ('{"path": "a.wav"}\n' + '{"x":' * 100_000, "jsonl", r"line 2 of .*t\.jsonl is not JSON.*nested too deeply"),
        ("[" * 100_000, "jsonl", r"line 1 of .*t\.jsonl is not JSON.*nested too deeply"),
        ('{"path": "a.wav", "n": ' + "1" * 5000 + "}", "jsonl", "line 1 of .*: column 'n' is an integer of more than"),
        ('{"path": "a.wav", "who": "\\ud800"}', "jsonl", r"line 1 of .*t\.jsonl: 'who' is .*which is not Unicode"),
        ('{"path": "a.wav", "\\udc00x": 1}', "jsonl", r"line 1 of .*t\.jsonl: .*which is not Unicode"),
        ('{"path": "a.wav", }', "jsonl", r"line 1 of .*t\.jsonl is not JSON: .* at character 1[89]"),
        ('{"path": "a.wav", "start": 1e999, "target": 1}', "jsonl", r"line 1 of .*: start=inf must be a number"),
        ('{"path": "a.wav", "start": ' + "9" * 400 + "}", "jsonl", r"line 1 of .*: start=9+\.\.\. \(400 long\)"),
    ],
)  # fmt: skip
def test_a_broken_table_is_named_with_its_line(table, text, ending, rule):
    with pytest.raises(ValueError, match=rule):
        table(text, ending)


@pytest.mark.parametrize(
    "text", ['"12:30"', '"a\\":b"', '{"y" : [{"y": 1}, {"y": 2}]}', '"\\"x\\": 1"', '{"path": {"path": null}}']
)
def test_colons_in_values_are_no_names(table, text):
    dataset = table(f'{{"path" : "a.wav", "target":1, "x": {text}}}', "jsonl")
    assert dataset.fields[0] == {"x": json.loads(text)}


@pytest.mark.parametrize("text", ["3", "null", "[1]", '"a.wav"', "true"])
def test_a_line_that_is_no_object(table, text):
    with pytest.raises(ValueError, match=r"line 1 of .* it must be an object with a path"):
        table(text, "jsonl")


def test_a_pair_of_escapes_is_one_character(table):
    assert table('{"path": "a.wav", "target": "\\ud83d\\ude00"}', "jsonl").classes == ["\N{GRINNING FACE}"]


def test_names_with_bytes_that_are_no_text_survive(root, tmp_path):
    name = os.fsdecode(b"\xc3\x28\xff.wav")
    os.rename(os.path.join(root, "a.wav"), os.path.join(root, name))
    dataset = AudioManifest([{"path": name, "target": 1, "from": name}], root=root)
    assert (dataset.paths, dataset.fields[0]) == ([os.path.join(root, name)], {"from": name})
    assert len(pickle.loads(pickle.dumps(dataset))[0].waveform) == 1600


@pytest.mark.parametrize("strings", [["\udcc3\udca9", "é"], ["\ud800"], ["a", "\udfff", ""], ["\udcff\udc80"]])
def test_packed_strings_come_back_as_they_were(strings):
    assert list(PackedStrings(strings)) == strings


# Parquet


def test_damaged_pages_are_named(root):
    path = os.path.join(root, "t.parquet")
    rows = pyarrow.table(
        {"path": ["a.wav"] * 2000, "target": list(range(2000)), "note": [f"{i:x}" * 5 for i in range(2000)]}
    )
    pyarrow.parquet.write_table(rows, path, row_group_size=1000, compression="snappy", use_dictionary=False)
    assert len(AudioManifest(path)) == 2000
    place = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(2)
    with open(path, "r+b") as file:
        file.seek(place.data_page_offset + 40)
        file.write(b"\xff" * 600)
    with pytest.raises(ValueError, match=r"column 'note' in rows 1001 to 2000 of .*t\.parquet cannot be read"):
        AudioManifest(path)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pyarrow.array([1_600_000_000_123_456_789, None], pyarrow.timestamp("ns")), "2020-09-13 12:26:40.123456789"),
        (pyarrow.array([123_456_789, None], pyarrow.timestamp("ns", "UTC")), "1970-01-01 00:00:00.123456789Z"),
        (pyarrow.array([86_399_123_456_789, None], pyarrow.time64("ns")), "23:59:59.123456789"),
        (pyarrow.array([1_001, None], pyarrow.duration("ns")), "1001"),
        (pyarrow.array([10**12, None], pyarrow.timestamp("s")), 10**15),
        (pyarrow.array([1_600_000_000_000_001_000, None], pyarrow.timestamp("ns")),
         datetime.datetime(2020, 9, 13, 12, 26, 40, 1)),
        (pyarrow.array([2_000, None], pyarrow.duration("ns")), datetime.timedelta(microseconds=2)),
        (pyarrow.array([1_600_000_000, None], pyarrow.timestamp("s")), datetime.datetime(2020, 9, 13, 12, 26, 40)),
    ],
)  # fmt: skip
def test_times_that_python_cannot_hold_come_as_text(root, column, expected):
    path = os.path.join(root, "t.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.wav"] * 2, "target": [1, 2], "when": column}), path)
    assert AudioManifest(path).fields["when"] == [expected, None]


def test_a_parquet_column_that_is_no_text(root):
    path = os.path.join(root, "t.parquet")
    broken = pyarrow.array([b"x", b"\xff"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.wav"] * 2, "note": broken}), path)
    with pytest.raises(ValueError, match=r"row 2 of .*t\.parquet: note is not UTF-8 text"):
        AudioManifest(path)


def test_a_table_knows_its_columns():
    rows = read_table([{"path": "a", "x": 1}, {"path": "b", "y": 2}])
    assert rows.columns() == ["path", "x", "y"]
    assert [rows.find(name) for name in (" PATH ", "y", "z")] == ["path", "y", None]
