"""AudioManifest: every kind of source, parts of files, and rows that are wrong."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from audiofeed.data import AudioFolder, AudioManifest, AudioReadError, CenterCrop, RandomCrop, Windows, read
from audiofeed.data.resample import resample_crop
from audiofeed.data.targets.event_targets import EventTargets

ROWS = [
    {"path": "a.wav", "start": 0.0, "duration": 0.05, "target": "yes", "speaker": "ann"},
    {"path": "sub/b.wav", "start": 0.025, "duration": 0.05, "target": "no", "speaker": "bob"},
    {"path": "a.wav", "start": 0.1, "duration": None, "target": "yes", "speaker": "ann"},
    {"path": "sub/b.wav", "start": None, "duration": None, "target": "maybe", "speaker": "bob"},
]


@pytest.fixture
def root(write_pcm, tmp_path):
    write_pcm("set/a.wav", 1600)
    write_pcm("set/sub/b.wav", 2400)
    return str(tmp_path / "set")


def write_rows(root, ending, rows):
    path = os.path.join(root, f"rows.{ending}")
    names = list(rows[0])
    if ending in ("csv", "tsv"):
        mark = "," if ending == "csv" else "\t"
        text = "\n".join(
            [mark.join(names)] + [mark.join("" if r[n] is None else str(r[n]) for n in names) for r in rows]
        )
        with open(path, "w", encoding="utf-8-sig") as file:
            file.write(text + "\n")
    elif ending in ("jsonl", "ndjson"):
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n\n".join(json.dumps(row) for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "parquet", "list", "iterator"])
def test_every_source_gives_the_same(root, ending):
    if ending in ("list", "iterator"):
        dataset = AudioManifest(ROWS if ending == "list" else iter(ROWS), root=root)
    else:
        dataset = AudioManifest(write_rows(root, ending, ROWS))
    a, b = (read(os.path.join(root, name))[0] for name in ("a.wav", "sub/b.wav"))
    for i, expected in enumerate([a[:400], b[200:600], a[800:], b]):
        assert torch.equal(dataset[i].waveform, expected)
    assert dataset.durations.tolist() == [0.05, 0.05, 0.1, 0.3]
    assert dataset.classes == ["maybe", "no", "yes"]
    assert dataset.targets.tolist() == [2, 1, 2, 0]
    assert dataset[1].target == 1
    assert dataset.fields["speaker"] == ["ann", "bob", "ann", "bob"]
    assert dataset.fields.names == ["speaker"]
    keys = [dataset[i].key.removeprefix(root + os.sep) for i in range(4)]
    assert keys == ["a.wav@0.000-0.050", "sub/b.wav@0.025-0.075", "a.wav@0.100", "sub/b.wav"]
    assert dataset.row(2)["start"] == 0.1
    assert [len(dataset.select(lambda row: row["label"] == "yes")), repr(dataset)[:13]] == [2, "AudioManifest"]


def test_where_relative_paths_start(root, monkeypatch, tmp_path):
    rows = [{"path": "a.wav", "target": 1}]
    assert AudioManifest(write_rows(root, "csv", rows)).paths == [os.path.join(root, "a.wav")]
    (tmp_path / "other").mkdir()
    elsewhere = write_rows(str(tmp_path / "other"), "csv", rows)
    with pytest.raises(AudioReadError, match=r"other/a\.wav.*No such file.*line 2 of .*rows\.csv"):
        AudioManifest(elsewhere)
    assert AudioManifest(elsewhere, root=root).paths == [os.path.join(root, "a.wav")]
    monkeypatch.chdir(root)
    assert AudioManifest(rows).paths == ["a.wav"]
    absolute = [{"path": os.path.join(root, "a.wav"), "target": 1}]
    assert AudioManifest(absolute, root="/nowhere").paths == [os.path.join(root, "a.wav")]


def test_columns_by_other_names(root):
    rows = [{"audio_filepath": "a.wav", "text": "hello", "lang": "en"}]
    dataset = AudioManifest(rows, root=root, path_column="audio_filepath", target_column="text")
    assert (dataset.classes, dataset.fields[0]) == (["hello"], {"lang": "en"})
    with pytest.raises(
        ValueError, match=r"row 1 of the list has no column 'path'.*call the one with the files so, or .*path_column="
    ):
        AudioManifest(rows, root=root)


def test_targets(root):
    def targets(values, ending="list"):
        rows = [{"path": "a.wav", "target": value} for value in values]
        dataset = AudioManifest(rows, root=root) if ending == "list" else AudioManifest(write_rows(root, ending, rows))
        return list(dataset.targets), dataset.classes

    assert targets(["7", "-3", "10"], "csv") == ([7, -3, 10], [])
    assert targets(["7", "3", "x"], "csv") == ([1, 0, 2], ["3", "7", "x"])
    assert targets(["7", "10"]) == ([0, 1], ["7", "10"])  # strings where the format has integers are names
    assert targets([7, 3]) == ([7, 3], [])
    assert targets([[1, 2], [3]], "jsonl") == ([[1, 2], [3]], [])
    assert targets([0.5, 1.0]) == ([0.5, 1.0], [])
    assert targets([None, None], "csv") == ([None, None], [])
    with pytest.raises(ValueError, match=r"line 3 of .*target is empty"):
        targets(["7", None], "csv")
    with pytest.raises(ValueError, match="row 2 of the list: target=3 is not text"):
        targets(["a", 3])


def test_columns_that_some_rows_lack(root):
    dataset = AudioManifest([{"path": "a.wav", "x": 1}, {"path": "a.wav", "y": "s"}], root=root, target_column=None)
    assert (dataset.fields[0], dataset.fields[1]) == ({"x": 1, "y": None}, {"x": None, "y": "s"})


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"path": ""}, "path='' must be the path"),
        ({"path": 3}, "path=3 must be the path"),
        ({"path": "a.wav", "start": -0.1}, r"start=-0\.1 must be a number of seconds, 0 or more"),
        ({"path": "a.wav", "start": "soon"}, "start='soon' must be a number"),
        ({"path": "a.wav", "start": True}, "start=True must be a number"),
        ({"path": "a.wav", "start": float("inf")}, "start=inf must be a number"),
        ({"path": float("nan")}, "path=nan must be the path"),
        ({"path": "a.wav", "start": 1e308}, r"start=1e\+308 must lie before the end of .*a\.wav"),
        ({"path": "a.wav", "start": int("9" * 400)}, r"start=9{60}\.\.\. \(400 long\) must be a number"),
        ({"path": "a.wav", "start": 10**5000}, "start=an integer of 16610 bits must be a number"),
        ({"path": "a.wav", "start": "1" * 5000}, r"start='1{59}\.\.\. \(5002 long\) must be a number"),
        ({"path": "a.wav", "start": "1_0"}, "start='1_0' must be a number"),
        ({"path": "a.wav", "duration": 1e308}, r"duration=1e\+308 .*after the end of .*a\.wav"),
        ({"path": "a.wav", "start": 1e-320, "duration": "-1e400"}, "duration='-1e400' must be a number"),
        ({"path": "a.wav", "speaker": "x\ud800y"}, r"'speaker' is 'x\\ud800y', which is not Unicode text"),
        ({"path": "\udfff.wav"}, r"'path' is '\\udfff\.wav', which is not Unicode text"),
        ({"path": "a.wav", "duration": 0}, "duration=0 must be a number of seconds, above 0"),
        ({"path": "a.wav", "start": 0.2}, r"start=0\.2 must lie before the end of .*a\.wav.*0\.200 s long"),
        ({"path": "a.wav", "start": 0.1, "duration": 0.12}, r"duration=0\.12 .* 0\.220 s, after the end of .*a\.wav"),
        (["a.wav"], "must be a dict"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named(root, row, rule):
    with pytest.raises((ValueError, TypeError), match=f"row 2 of the list.*{rule}"):
        AudioManifest([{"path": "a.wav"}, row], root=root, on_error="skip", target_column=None)


def test_a_duration_rounded_to_hundredths_ends_with_the_file(root):
    dataset = AudioManifest([{"path": "a.wav", "start": 0.1, "duration": 0.11}], root=root, target_column=None)
    assert len(dataset[0].waveform) == 800


def test_an_end_that_is_not_read_is_said(root, recwarn):
    row = {"path": "a.wav", "start": 0.05, "End": 0.1, "label": "x"}
    with pytest.warns(UserWarning, match=r"reaches to the end of its file, and its column 'End' is only a field"):
        part = AudioManifest([row], root=root)[0]
    assert part.fields == {"End": 0.1}
    assert part.duration > 0.1
    AudioManifest([{**row, "duration": 0.05}, {**row, "duration": None}], root=root)
    AudioManifest([{"path": "a.wav", "start": None, "end": 0.1, "label": "x"}], root=root)
    AudioManifest([{"path": "a.wav", "end": 0.1, "label": "x"}], root=root)
    AudioManifest([{**row, "event_label": "dog"}], root=root, target_type=EventTargets())
    assert len(recwarn) == 0


def test_broken_tables(root, write, tmp_path):
    def refused(name, body, rule, error=ValueError):
        with pytest.raises(error, match=rule):
            AudioManifest(write(name, body))

    refused("a.csv", b"path,target\na.wav,1\nb.wav\n", "line 3 of .* has 1 values for 2 columns")
    refused("a.csv", b"path,target\na.wav,1,2\n", "line 2 of .* has 3 values for 2 columns")
    refused("a.csv", b'path\n"a.wav\n', "broken")
    refused("a.csv", b"path\n\xff\xfe.wav\n", "not UTF-8")
    refused("a.csv", b"path\n", "no rows")
    refused("a.csv", b"", "no rows")
    refused("a.jsonl", b'{"path": "a.wav"}\n\n{"path"\n', "line 3 of .* is not JSON")
    refused("a.jsonl", b"[1]\n", r"line 1 of .* '\[1\]'")
    refused("a.jsonl", b'{"path": "\xff"}\n', "not UTF-8")
    refused("a.parquet", b"none", "not a Parquet file")
    refused("a.txt", b"a.wav", r"\.csv, \.tsv")
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        AudioManifest(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="no rows"):
        AudioManifest([])


def test_parquet_without_pyarrow(root, monkeypatch):
    path = write_rows(root, "parquet", [{"path": "a.wav"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install audiofeed\[parquet\]"):
        AudioManifest(path)


def test_a_bad_file_is_one_fault_whatever_the_rows(root, write):
    bad = write("set/bad.wav", b"none")
    rows = [{"path": name, "target": t} for name, t in [("bad.wav", "x"), ("a.wav", "y"), ("bad.wav", "z")]]
    with pytest.raises(AudioReadError, match=r"bad\.wav.*\(row 1 of the list\)"):
        AudioManifest(rows, root=root)
    with pytest.warns(UserWarning, match="1 of 2 files"):
        dataset = AudioManifest(rows, root=root, on_error="skip")
    assert (len(dataset), [fault.path for fault in dataset.faults]) == (1, [bad])
    assert (dataset.classes, dataset[0].target) == (["x", "y", "z"], 1)


def test_crops_see_nothing_beyond_the_part(root):
    rows = [{"path": "a.wav", "start": 0.05, "duration": 0.1, "label": "x"}]
    part = read(os.path.join(root, "a.wav"), 400, 800)[0]
    windows = AudioManifest(rows, root=root, crop=Windows(0.04, 0.03))
    assert [windows[i].key.rsplit("@")[1] for i in range(len(windows))] == ["0.050", "0.080", "0.110"]
    for i in range(3):
        assert torch.equal(windows[i].waveform, part[240 * i : 240 * i + 320])
    random = AudioManifest(rows, root=root, crop=RandomCrop(0.05))
    seen = {random[epoch, 0].waveform.numpy().tobytes() for epoch in range(50)}
    assert seen <= {part[i : i + 400].numpy().tobytes() for i in range(401)}
    assert random[0].key.endswith("@0.050-0.150")
    resampled = AudioManifest(rows, root=root, sample_rate=16000)[0].waveform
    expected = resample_crop(lambda s, n: part[s : s + n], 800, 8000, 16000, 0, 1600)
    np.testing.assert_array_equal(resampled.numpy(), expected.numpy())


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (8000, 16000), (16000, 8000), (48000, 16000)])
def test_a_part_is_resampled_with_silence_around_it(write_pcm, rate, new_rate):
    """As the docstring says: other values near its ends, the file's own values everywhere else."""
    path = write_pcm("set/long.wav", 2 * rate, rate=rate)
    rows = [{"path": path, "target": 0}, {"path": path, "start": 0.5, "duration": 1.0, "target": 0}]
    dataset = AudioManifest(rows, sample_rate=new_rate)
    whole, part = dataset[0].waveform[new_rate // 2 : 3 * new_rate // 2], dataset[1].waveform
    near = 80 * new_rate // min(rate, new_rate)
    difference = (whole - part).abs() / whole.square().mean().sqrt()
    assert difference[near:-near].max() < 1e-3
    assert difference[:near].max() > 1e-2
    # a wider part and its middle
    wide = [{"path": path, "start": 0.5 - 0.02, "duration": 1.04, "target": 0}]
    middle = AudioManifest(wide, sample_rate=new_rate, crop=CenterCrop(1.0))[0].waveform
    torch.testing.assert_close(middle, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "name", ["loop.wav", "x" * 300 + ".wav", "d/" * 3000 + "a.wav", "a\0b.wav", "a.wav/b.wav", "sub"]
)
def test_a_path_that_leads_nowhere_is_a_fault(root, name):
    os.symlink(os.path.join(root, "loop.wav"), os.path.join(root, "loop.wav"))
    rows = [{"path": name, "target": "x"}, {"path": "a.wav", "target": "y"}]
    with pytest.raises(AudioReadError, match="row 1 of the list"):
        AudioManifest(rows, root=root)
    with pytest.warns(UserWarning, match="leaves out 1 of 2 files"):
        assert len(AudioManifest(rows, root=root, on_error="skip")) == 1


def test_paths_that_are_none():
    with pytest.raises(TypeError, match="root=5 must be the path of a folder"):
        AudioFolder(5)
    with pytest.raises(TypeError, match="source=5 must be a manifest's path, or a list"):
        AudioManifest(5)
    with pytest.raises(TypeError, match="root=5 must be the path of the folder"):
        AudioManifest([{"path": "a.wav"}], root=5)
