"""Columns of headers in a manifest: taken for the files that have not changed, and only for those."""

from __future__ import annotations

import csv
import json
import os
import time
import warnings

import numpy as np
import pytest

from audiofeed.data import AudioFolder, AudioManifest, AudioReadError, WavReader
from audiofeed.data.listing.scanned_columns import HEADER_COLUMNS, header_cells
from audiofeed.data.readers import read_info
from audiofeed.data.readers.registry import READERS

DAY = 86_400 * 10**9


@pytest.fixture
def rows(write_pcm, tmp_path):
    """The rows of six clips, written a day ago, with their headers."""
    past = time.time_ns() - DAY
    found = []
    for i in range(6):
        path = write_pcm(f"clip{i}.wav", 100 * (i + 1))
        os.utime(path, ns=(past, past))
        found.append({"path": f"clip{i}.wav", "speaker": "ann", **header_cells(read_info(path), True), "target": i})
    return found


def write(rows, path):
    if path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_one_header_of_each_format_is_read(rows, opened, tmp_path, ending):
    dataset = AudioManifest(write(rows, tmp_path / f"set{ending}"))
    assert opened == ["clip0.wav"]
    plain = AudioManifest([{"path": row["path"], "target": row["target"]} for row in rows], root=tmp_path)
    assert [dataset._table.files.info(i) for i in range(6)] == [plain._table.files.info(i) for i in range(6)]
    assert dataset._table.files.info(5).reader is plain._table.files.info(5).reader
    assert all(one.waveform.equal(other.waveform) for one, other in zip(dataset, plain, strict=True))
    # the columns of headers are no fields, unless they are asked for
    assert dataset.fields.names == ["speaker"]
    assert AudioManifest(tmp_path / f"set{ending}", fields=["frames"]).fields.names == ["frames"]


def test_parts_of_files(rows, opened, tmp_path):
    parts = [{**rows[5], "start": 0.01 * i, "duration": 0.01} for i in range(3)]
    np.testing.assert_allclose(AudioManifest(parts, root=tmp_path).durations, 0.01)
    assert opened == ["clip5.wav"]


def test_a_file_that_changed_is_named_and_read_again(rows, opened, write_pcm, tmp_path):
    table = write(rows, tmp_path / "set.csv")
    write_pcm("clip3.wav", 400)  # the same size, another time
    write_pcm("clip4.wav", 5000)
    with pytest.warns(UserWarning, match=r"2 of 6 files changed since they were scanned for .*set\.csv.*clip3") as told:
        dataset = AudioManifest(table)
    assert (len(told), told[0].filename) == (1, __file__)
    assert opened == ["clip0.wav", "clip3.wav", "clip4.wav"]
    assert dataset.durations[4] == 5000 / 8000
    assert dataset[3].waveform.shape == (400,)
    os.remove(tmp_path / "clip5.wav")
    changed = pytest.warns(UserWarning, match="2 of 6 files changed")
    with changed, pytest.raises(AudioReadError, match=r"clip5\.wav.*No such file.*line 7 of"):
        AudioManifest(table)


def test_without_one_of_the_columns_all_headers_are_read(rows, opened, tmp_path):
    for name in HEADER_COLUMNS:
        opened.clear()
        part = [{key: value for key, value in row.items() if key != name} for row in rows]
        dataset = AudioManifest(part, root=tmp_path)
        assert len(opened) == 6
        assert set(dataset.fields.names) == {"speaker", *HEADER_COLUMNS} - {name}


def test_an_empty_cell_means_that_the_header_is_read(rows, opened, tmp_path):
    rows[2]["mtime_ns"], rows[4]["size"] = None, ""
    assert len(AudioManifest(rows, root=tmp_path)) == 6
    assert opened == ["clip0.wav", "clip2.wav", "clip4.wav"]


@pytest.mark.parametrize(
    ("name", "value"), [("frames", "many"), ("frames", "0"), ("size", 1.5), ("mtime_ns", 2**64), ("channels", -1)]
)
def test_a_cell_that_is_no_header_names_its_place(rows, tmp_path, name, value):
    rows[2][name] = value
    with pytest.raises(ValueError, match=rf"row 3 of the list: {name}=.* must be an integer"):
        AudioManifest(rows, root=tmp_path)


def test_numbers_as_pandas_writes_them_beside_a_gap(rows, opened, tmp_path):
    for row in rows:
        row["frames"] = float(row["frames"])
    assert AudioManifest(rows, root=tmp_path).durations[5] == 600 / 8000
    assert len(opened) == 1


def test_headers_that_are_read_otherwise_here_are_left_aside(rows, opened, tmp_path):
    for row in rows:
        row["data_offset"] = 40  # as another version might have found
    dataset = AudioManifest(rows, root=tmp_path)
    assert len(opened) == 6
    assert dataset._table.files.info(0).data_offset == 44
    opened.clear()
    before = list(READERS)
    try:
        READERS[:] = [reader for reader in READERS if reader.name != "wav"]
        AudioManifest([{**row, "data_offset": 44} for row in rows], root=tmp_path)
        assert len(opened) == 6
    finally:
        READERS[:] = before


def test_a_file_that_lacks_bytes_is_warned_of_every_time(write, wav, tmp_path):
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", bytes(200), 204)))
    info = read_info(path)
    assert info.missing == 4
    assert header_cells(info, True)["size"] is None
    with pytest.warns(UserWarning, match="fewer bytes of samples"):
        AudioManifest([{"path": path, "target": 0, **header_cells(info, True)}])


def test_an_index_stands_behind_the_columns(rows, opened, tmp_path):
    table = write([{**row, "size": ""} if i > 3 else row for i, row in enumerate(rows)], tmp_path / "set.csv")
    AudioManifest(table, index=tmp_path / "scan.index")
    assert opened == ["clip0.wav", "clip4.wav", "clip5.wav"]
    opened.clear()
    AudioManifest(table, index=tmp_path / "scan.index")
    assert opened == ["clip0.wav"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AudioFolder(tmp_path, extensions=".wav", index=tmp_path / "scan.index")


def test_a_strict_reader_is_not_gone_around(rows, opened, tmp_path):
    before = list(READERS)
    try:
        READERS[:] = [WavReader(strict=True) if reader.name == "wav" else reader for reader in READERS]
        dataset = AudioManifest(rows, root=tmp_path)
        assert dataset._table.files.info(5).reader is next(reader for reader in READERS if reader.name == "wav")
    finally:
        READERS[:] = before
