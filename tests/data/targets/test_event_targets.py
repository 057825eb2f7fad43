"""EventTargets: the same targets from columns, lists, files of each format, one file for all, and functions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import audiofeed as af

RATE = 8000
EVENTS = {
    "a.wav": [(0.1, 0.35, "dog"), (0.30001, 0.9, "cat"), (0.5, 0.5, "dog")],
    "b.wav": [(0.0, 1.0, "owl")],
    "c.wav": [],
}


@pytest.fixture
def root(write_pcm, tmp_path):
    for name in EVENTS:
        write_pcm(f"set/{name}", RATE, rate=RATE)
    return tmp_path / "set"


def write_beside(root: Path, ending: str) -> None:
    for name, events in EVENTS.items():
        path = root / (Path(name).stem + ending)
        if ending == ".rttm":
            text = "".join(f"SPEAKER {path.stem} 1 {a} {b - a:.9f} <NA> <NA> {c} <NA> <NA>\n" for a, b, c in events)
        else:
            text = "".join(f"{a}\t{b}\t{c}\n" for a, b, c in events)
            if ending == ".tsv":
                text = "onset\toffset\tevent_label\n" + text
        path.write_text(text)


def rows():
    return [
        {"path": name, "onset": a, "offset": b, "event_label": c, "place": "yard"}
        for name, events in EVENTS.items()
        for a, b, c in events or [(None, None, None)]
    ]


def from_columns(root, settings):
    return af.AudioManifest(rows(), root=root, target_type=settings)


def from_tsv(root, settings):
    path = root / "all.tsv"
    names = list(rows()[0])
    cells = [["" if row[name] is None else str(row[name]) for name in names] for row in rows()]
    path.write_text("\n".join("\t".join(row) for row in [names, *cells]))
    return af.AudioManifest(path, target_type=settings)


def from_jsonl(root, settings):
    path = root / "all.jsonl"
    path.write_text("\n".join(json.dumps({"path": name, "label": events}) for name, events in EVENTS.items()))
    return af.AudioManifest(path, target_type=settings)


def from_paths(ending):
    def made(root, settings):
        write_beside(root, ending)
        listed = [{"path": name, "target": Path(name).stem + ending} for name in EVENTS]
        return af.AudioManifest(listed, root=root, target_type=settings)

    return made


def from_beside(ending):
    def made(root, settings):
        write_beside(root, ending)
        return af.AudioFolder(root, target=af.EventTargets(source=ending, marks=settings.marks, rule=settings.rule))

    return made


def from_one(name):
    def made(root, settings):
        if name.endswith(".rttm"):
            text = "".join(
                f"SPEAKER {Path(path).stem} 1 {a} {b - a:.9f} <NA> <NA> {c} <NA> <NA>\n"
                for path, events in EVENTS.items()
                for a, b, c in events
            )
        else:
            text = "filename,onset,offset,label\n" + "".join(
                f"{path},{a},{b},{c}\n" for path, events in EVENTS.items() for a, b, c in events or [("", "", "")]
            )
        (root / name).write_text(text)
        target = af.EventTargets(source=root / name, marks=settings.marks, rule=settings.rule)
        if not name.endswith(".rttm"):
            return af.AudioFolder(root, target=target)
        with pytest.warns(UserWarning, match=r"has no line for 1 of 3 recordings, .*c\.wav"):
            return af.AudioFolder(root, target=target)

    return made


def from_function(root, settings):
    target = af.EventTargets(source=lambda path: EVENTS[Path(path).name], marks=settings.marks, rule=settings.rule)
    return af.AudioFolder(root, target=target)


SOURCES = {
    "columns": from_columns,
    "a manifest .tsv": from_tsv,
    "lists": from_jsonl,
    **{f"paths to {ending}": from_paths(ending) for ending in (".tsv", ".rttm", ".txt")},
    **{f"{ending} beside": from_beside(ending) for ending in (".tsv", ".rttm", ".txt")},
    "one .rttm": from_one("all.rttm"),
    "one .csv": from_one("all.csv"),
    "a function": from_function,
}


def rolls(dataset, **options):
    collate = af.GPUSpecCollate(af.Spectrogram(256, hop_length=80, **options), device="cpu")
    return collate([dataset[i] for i in range(len(dataset))]).targets


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same(root, source):
    dataset = SOURCES[source](root, af.EventTargets(marks=("activity", "onset", "offset")))
    assert dataset.classes == ["cat", "dog", "owl"]
    assert [dataset.row(i)["label"] for i in range(3)] == [
        [(pytest.approx(a), pytest.approx(b), c) for a, b, c in events] for events in EVENTS.values()
    ]
    found = rolls(dataset)
    assert found["activity"].shape == (3, 3, 101)
    expected = np.zeros((3, 3, 101))
    expected[0, 1, 10:36] = expected[0, 0, 30:91] = expected[0, 1, 50] = expected[1, 2] = 1
    # cells reach from 5 ms before to 5 ms after a center: the one about 0.35 s ends after the event does
    expected[0, 1, 35] = expected[0, 0, 90] = 1
    assert torch.equal(found["activity"], torch.tensor(expected, dtype=torch.float32))
    onsets = [tuple(place) for place in torch.nonzero(found["onset"]).tolist()]
    assert onsets == [(0, 0, 30), (0, 1, 10), (0, 1, 50), (1, 2, 0)]
    offsets = [tuple(place) for place in torch.nonzero(found["offset"]).tolist()]
    assert offsets == [(0, 0, 90), (0, 1, 35), (0, 1, 50), (1, 2, 100)]


def test_the_rule_of_centers(root):
    found = rolls(from_columns(root, af.EventTargets(rule="center")))
    assert torch.nonzero(found[0, 1]).flatten().tolist() == [*range(10, 35), 50]
    assert torch.nonzero(found[0, 0]).flatten().tolist() == list(range(31, 90))
    assert found[1, 2, :100].all()
    assert not found[2].any()


def test_fields_of_gathered_rows(root):
    listed = rows()
    for number, row in enumerate(listed):
        row["confidence"] = number
        row["nothing"], row["vector"] = float("nan"), np.array([1, 2])
    dataset = af.AudioManifest(listed, root=root, target_type=af.EventTargets(), fields=["nothing", "vector"])
    assert np.isnan(dataset.fields[0]["nothing"])
    assert dataset.fields[0]["vector"].tolist() == [1, 2]
    dataset = af.AudioManifest(listed, root=root, target_type=af.EventTargets(), fields=["place", "confidence"])
    assert dataset.fields[0] == {"place": "yard", "confidence": [0, 1, 2]}
    assert dataset.fields[1] == {"place": "yard", "confidence": 3}
    assert len(dataset) == 3


def test_events_of_parts(root):
    """Two parts of a recording are two examples, with times from the file or from the part."""
    listed = [
        {"path": "a.wav", "start": 0.25, "duration": 0.5, "onset": 0.5, "offset": 0.6, "label": "x"},
        {"path": "a.wav", "start": 0.5, "duration": 0.5, "onset": 0.5, "offset": 0.6, "label": "y"},
        {"path": "a.wav", "start": 0.5, "duration": 0.5, "onset": 0.9, "offset": 0.95, "label": "x"},
    ]
    dataset = af.AudioManifest(listed, root=root, target_type=af.EventTargets())
    assert len(dataset) == 2
    assert [dataset[i].target.onsets.tolist() for i in range(2)] == [[2000], [0, 3200]]
    listed[2]["onset"], listed[2]["offset"] = 0.4, 0.45
    with pytest.warns(UserWarning, match="2 of 3 events lie outside"):
        dataset = af.AudioManifest(listed, root=root, target_type=af.EventTargets(origin="part"))
    assert dataset[1].target.onsets.tolist() == [3200]
    assert dataset[0].target.onsets.tolist() == []


def test_columns_by_other_names(root):
    listed = [{"path": "a.wav", "start": 0.25, "stop": 0.5, "what": "dog"}]
    settings = af.EventTargets(onset="start", offset="stop", label="what")
    dataset = af.AudioManifest(listed, root=root, target_type=settings)
    assert dataset.durations.tolist() == [1.0]
    assert dataset[0].target.onsets.tolist() == [2000]
    with pytest.raises(ValueError, match="label='which' is not a column of the list"):
        af.AudioManifest(listed, root=root, target_type=af.EventTargets(onset="start", label="which"))
    durations = [{"path": "a.wav", "onset": 0.25, "duration": 0.5, "label": "dog"}]
    dataset = af.AudioManifest(durations, root=root, target_type=af.EventTargets())
    assert [dataset.durations.tolist(), dataset[0].target.offsets.tolist()] == [[1.0], [6000]]


@pytest.mark.parametrize(
    "names",
    [
        ("filename", "onset", "offset", "event_label"),
        ("path", "start", "end", "label"),
        ("Path", "Onset", "duration", "note"),
        ("path", "begin", "stop", "class"),
    ],
)
def test_columns_as_data_sets_have_them(root, names):
    path, _, offset, _ = names
    ends = 0.25 if offset == "duration" else 0.5
    (root / "rows.tsv").write_text("\t".join(names) + f"\na.wav\t0.25\t{ends}\tdog\na.wav\t0.75\t{ends + 0.5}\tcat\n")
    path = {"filename": "filename"}.get(path, "path")
    dataset = af.AudioManifest(root / "rows.tsv", path_column=path, target_type=af.EventTargets())
    assert dataset.durations.tolist() == [1.0]
    assert dataset[0].target.onsets.tolist() == [2000, 6000]
    assert dataset[0].target.offsets.tolist()[0] == 4000
    assert [dataset.classes, dataset[0].fields] == [["cat", "dog"], {}]


def test_a_start_without_an_end_names_a_part(root):
    rows = [{"path": "a.wav", "start": 0.25, "label": [(0.5, 0.6, "dog")]}]
    dataset = af.AudioManifest(rows, root=root, target_type=af.EventTargets())
    assert [dataset.durations.tolist(), dataset[0].target.onsets.tolist()] == [[0.75], [2000]]


def test_classes_given(root):
    dataset = af.AudioManifest(rows(), root=root, target_type=af.EventTargets(), classes=["owl", "cat", "dog", "fox"])
    assert rolls(dataset).shape == (3, 4, 101)
    assert dataset[1].target.labels.tolist() == [0]
    with pytest.raises(ValueError, match=r"row 1 of the list: the label 'dog' is not one of the 1 classes"):
        af.AudioManifest(rows(), root=root, target_type=af.EventTargets(), classes=["cat"])
    assert dataset.select([1])[0].target.labels.tolist() == [0]


def test_an_event_after_the_end_is_not_lost_in_silence(root):
    listed = [{"path": "a.wav", "onset": 3.5, "offset": 4, "label": "x"}]
    with pytest.warns(UserWarning, match=r"1 of 1 events lie outside .*row 1 of the list from 3\.5 to 4 s.* to 1 s"):
        af.AudioManifest(listed, root=root, target_type=af.EventTargets())
    at_the_end = [{"path": "a.wav", "onset": 1.0, "offset": 1.0, "label": "x"}, {"path": "b.wav"}]
    with pytest.warns(UserWarning, match="1 of 1 events lie outside"):
        assert len(af.AudioManifest(at_the_end, root=root, target_type=af.EventTargets())) == 2


def test_an_event_outside_of_its_part_is_not_lost_in_silence(root):
    part = {"path": "a.wav", "start": 0.25, "duration": 0.5}
    heard = [{**part, "onset": 0.1, "offset": 0.3, "label": "x"}, {**part, "onset": 0.74, "offset": 2, "label": "x"}]
    assert len(af.AudioManifest(heard, root=root, target_type=af.EventTargets())[0].target.onsets) == 2
    for onset, offset in ((0.1, 0.25), (0.75, 0.8)):
        rows = [*heard, {**part, "onset": onset, "offset": offset, "label": "x"}]
        with pytest.warns(UserWarning, match=r"1 of 3 events lie outside .* is heard from 0\.25 to 0\.75 s"):
            af.AudioManifest(rows, root=root, target_type=af.EventTargets())
    rows = [{**part, "onset": 0.6, "offset": 0.7, "label": "x"}]
    with pytest.warns(UserWarning, match=r"1 of 1 events lie outside .* is heard from 0 to 0\.5 s"):
        af.AudioManifest(rows, root=root, target_type=af.EventTargets(origin="part"))
    # a file's events beside each of its parts are those of the other parts, too
    listed = [{**part, "target": [(0.0, 0.1, "x"), (0.3, 0.4, "x")]}]
    assert len(af.AudioManifest(listed, root=root, target_type=af.EventTargets())[0].target.onsets) == 1


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"marks": "sound"}, "marks='sound' must be one of"),
        ({"marks": ()}, "marks="),
        ({"marks": ("onset", "onset")}, "marks="),
        ({"rule": "half"}, "rule='half' must be"),
        ({"origin": "row"}, "origin='row' must be"),
    ],
)
def test_settings_that_are_none(settings, rule):
    with pytest.raises(ValueError, match=rule):
        af.EventTargets(**settings)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"source": 3}, "source=3 must be an ending, a path, a function"),
        ({"onset": 3}, "onset=3 must be the name of a column"),
        ({"offset": ("end",)}, r"offset=\('end',\) must be the name of a column"),
        ({"label": b"note"}, "label=b'note' must be the name of a column"),
    ],
)
def test_settings_of_another_type(settings, rule):
    with pytest.raises(TypeError, match=rule):
        af.EventTargets(**settings)


def test_sources_that_do_not_fit(root, tmp_path):
    with pytest.raises(ValueError, match="has no source"):
        af.AudioFolder(root, target=af.EventTargets())
    with pytest.raises(TypeError, match=r"target=.*EventTargets.* is a class; give it its settings"):
        af.AudioFolder(root, target=af.EventTargets)
    with pytest.raises(FileNotFoundError, match=r"a\.rttm' does not exist"):
        af.AudioFolder(root, target=af.EventTargets(source=".rttm"))
    (root / "all.txt").write_text("0\t1\tdog\n")
    with pytest.raises(ValueError, match="does not name recordings, and is to hold the events of 3"):
        af.AudioFolder(root, target=af.EventTargets(source=root / "all.txt"))
    (root / "all.csv").write_text("filename,onset,offset,label\nz.wav,0,1,dog\n")
    with pytest.raises(ValueError, match=r"has events of 1 recordings, 'z\.wav' for one, and of none of the 3 here"):
        af.AudioFolder(root, target=af.EventTargets(source=root / "all.csv"))
    with pytest.raises(ValueError, match="there are no classes"):
        af.AudioFolder(root, target=af.EventTargets(source=lambda path: []))
    with pytest.raises(ValueError, match=r"a\.wav, event 1: 3 must be"):
        af.AudioFolder(root, target=af.EventTargets(source=lambda path: [3]))


def test_two_recordings_of_one_name(write_pcm, tmp_path):
    for folder in "xy":
        write_pcm(f"set/{folder}/a.wav", 800, rate=RATE)
    table = tmp_path / "all.csv"
    table.write_text("filename,onset,offset,label\na.wav,0,0.01,dog\n")
    with pytest.raises(ValueError, match="have the same name; name them by their paths"):
        af.AudioFolder(tmp_path / "set", target=af.EventTargets(source=table))
    table.write_text("filename,onset,offset,label\nx/a.wav,0,0.01,dog\ny/a.wav,0.02,0.03,cat\n")
    dataset = af.AudioFolder(tmp_path / "set", target=af.EventTargets(source=table))
    assert [dataset[i].target.onsets.tolist() for i in range(2)] == [[0], [160]]


def test_a_dataset_of_your_own_cuts_by_itself():
    settings = af.EventTargets()
    cut = settings.cut([(0.1, 0.2, "b"), (5, 6, "a")], classes=["a", "b"], start=0.05, samples=1600, sample_rate=RATE)
    batch = af.GPUSpecCollate(af.Spectrogram(160, hop_length=80), device="cpu")(
        [
            (torch.zeros(1600), cut),
            (torch.zeros(800), settings.cut([], classes=["a", "b"], start=0, samples=800, sample_rate=RATE)),
        ]
    )
    assert torch.nonzero(batch.targets).tolist() == [[0, 1, frame] for frame in range(5, 16)]
    with pytest.raises(ValueError, match="the events: the label 'z' is not one of the 2 classes"):
        settings.cut([(0, 1, "z")], classes=["a", "b"], start=0, samples=1, sample_rate=RATE)
