"""Files of events: each format gives the same events, and each wrong line is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiofeed.data.targets.event_files import Event, event_of, events_in, read_events

EVENTS = [Event(0.5, 1.25, "dog"), Event(2.0, 2.0, "a cat"), Event(2.5, 30.125, "dog")]


@pytest.fixture
def read(write):
    def _read(name: str, text: str, **options):
        return read_events(write(name, text.encode()), **options)

    return _read


def lines(*rows, mark="\t"):
    return "".join(mark.join(map(str, row)) + "\n" for row in rows)


TABLES = {
    "desed.tsv": lines(("filename", "onset", "offset", "event_label"), *(("x.wav", *event) for event in EVENTS)),
    "durations.csv": lines(
        ("recording", "start", "duration", "label"), *(("x.wav", e[0], e[1] - e[0], e[2]) for e in EVENTS), mark=","
    ),
    "upper.tsv": lines(("Path", "OnsetTime", "OffsetTime", "Class"), *(("x.wav", *event) for event in EVENTS)),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_name_recordings(read, name):
    assert read(name, TABLES[name]) == {"x.wav": EVENTS}


@pytest.mark.parametrize("name", ["labels.txt", "labels.lab", "bare.tsv", "dcase.txt"])
def test_files_of_one_recording(read, name):
    text = lines(*EVENTS)
    if name == "labels.txt":  # Audacity's, with the frequencies of a selection
        text = text.replace("a cat\n", "a cat\n\\\t100.0\t2000.0\n")
    if name == "dcase.txt":
        text = lines(("onset", "offset", "event_label")) + text
    assert read(name, text) == {None: EVENTS}


def test_notes_as_numpy_writes_them(read):
    text = "# onset\toffset\tnote\tvelocity\n0.500000\t1.000000\t60.000000\t64.000000\n"
    assert read("x.tsv", text) == {None: [Event(0.5, 1.0, "60")]}
    assert read("x.txt", "OnsetTime\tOffsetTime\tMidiPitch\n0.5\t1\t60\n\n") == {None: [Event(0.5, 1.0, "60")]}


def test_rttm(read):
    text = (
        "; a comment\n"
        "SPKR-INFO meeting 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n"
        "SPEAKER meeting 1 0.5 0.75 <NA> <NA> ann <NA> <NA>\n"
        "SPEAKER other.mix 1 2 1.5 <NA> <NA> bob <NA>\n"
        "SPEAKER meeting 1 1.0 1e-1 <NA> <NA> bob\n"
    )
    with pytest.warns(UserWarning, match="other types than SPEAKER.*: 1 SPKR-INFO"):
        found = read("x.rttm", text)
    assert found["meeting"] == [Event(0.5, 1.25, "ann"), Event(1.0, 1.1, "bob")]
    assert found["other.mix"] == [Event(2.0, 3.5, "bob")]


def test_a_recording_without_events(read):
    text = lines(("filename", "onset", "offset", "event_label"), ("a.wav", "", "", ""), ("b.wav", "nan", "NaN", ""))
    assert read("x.tsv", text) == {"a.wav": [], "b.wav": []}


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("x.rttm", "SPEAKER m 1 0.5\n", "line 1 of .* has 4 fields; RTTM has"),
        ("x.rttm", "SPEAKER m 1 0.5 -1 <NA> <NA> ann\n", "line 1 of .*duration='-1' must be a number of seconds"),
        ("x.txt", "0.5\t0.7\n", "line 1 of .* must have begin, end and label"),
        ("x.txt", "0.5\t0.4\tdog\n", r"line 1 of .*offset=0\.4 lies before onset=0\.5"),
        ("x.tsv", "a\tb\n1\t2\n", r"line 1 of .* has a header with onset, offset and label"),
        ("x.tsv", "onset\toffset\tlabel\n1\t2\tdog\n1_0\t2\tdog\n", "line 3 of .*onset='1_0' must be a number"),
        ("x.tsv", "onset\toffset\tlabel\n1\t2\n", "line 2 of .* has 2 values for 3 columns"),
        ("x.csv", "onset,offset,label\n1,2,\n", "line 2 of .*from 1 s has no label"),
        ("x.csv", "onset,offset,label\n1,inf,a\n", "line 2 of .*offset='inf' must be a number"),
        ("x.csv", 'onset,offset,label\n1,2,"a\n', "of .* is broken"),
        ("x.mid", "", r"must end in one of \.rttm, \.tsv"),
    ],
)
def test_a_wrong_line_is_named(read, name, text, rule):
    with pytest.raises(ValueError, match=rule):
        read(name, text)


def test_files_that_cannot_be_read(tmp_path, write):
    with pytest.raises(FileNotFoundError, match=r"x\.tsv' does not exist"):
        read_events(str(tmp_path / "x.tsv"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_events(write("x.tsv", b"onset\toffset\tlabel\n1\t2\t\xff\n"))


def test_lists_of_events():
    listed = [[0.5, 1.25, "dog"], (2, None, "a cat"), {"onset": 2.5, "end": 30.125, "event_label": "dog"}]
    assert events_in(listed, "row 1") == EVENTS
    assert events_in([], "row 1") == []
    for wrong, rule in (
        ("dog", "must be a list of events"),
        ([3], "event 1: 3 must be"),
        ([(1, 2)], "must be"),
        ([{"onset": 1}], "must have an onset and a label"),
        ([(0.5, 1, True), (True, 2, "x")], "event 2: onset=True must be a number"),
        ([(float("nan"), 1, "x")], "onset=nan must be a number"),
    ):
        with pytest.raises(ValueError, match=f"row 1.*{rule}"):
            events_in(wrong, "row 1")


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.text("ab 7", min_size=1).filter(str.strip))
def test_an_event_is_what_was_written(onset, length, label):
    event = event_of(repr(onset), repr(onset + length), label, "line 1")
    assert event == (onset, onset + length, label.strip())
