"""`audiofeed report` and `write_report`: figures to the digit, whatever files are called or hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import audiofeed as af
from audiofeed.report import write_report
from audiofeed.report.run import ReportError
from audiofeed.survey.run import run_survey
from audiofeed.survey.settings import SurveySettings
from tests.report.conftest import HOSTILE, RATE, alternating

ROOT = Path(__file__).resolve().parents[2]


class Reader(HTMLParser):
    """What a browser would find: texts, tags, and the attributes that load something."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


def quick(source, out="report.html", **settings):
    return write_report(source, out, **{"device": "cpu", "speed_seconds": 0, "progress": False, **settings})


def test_figures_to_the_digit(data):
    figures = quick(data)
    assert (figures["files"], figures["good"], figures["bad"], figures["clips"]) == (9, 7, 2, 7)
    # a second, two halves of one, two of two, silence and what is no number
    assert figures["hours"] * 3600 == pytest.approx(8.0)
    assert figures["batch_sample_rate"] == RATE
    assert {name: found["clips"] for name, found in figures["labels"].items()} == {"loud": 3, "quiet": 3, "<b>odd": 1}
    assert {name: round(found["hours"] * 3600, 9) for name, found in figures["labels"].items()} == {
        "loud": 2.0,
        "quiet": 4.0,
        "<b>odd": 2.0,
    }
    levels = figures["levels"]
    assert (levels["clips"], levels["of_clips"]) == (6, 7)
    assert levels["hours"] * 3600 == pytest.approx(7.0)
    # 5 + 2 + 4 samples, of which the 2 are no clipping
    assert (levels["full_scale_samples"], levels["full_scale_clips"]) == (11, 1)
    assert (levels["clipped_runs"], levels["longest_run"]) == (2, 5)
    assert levels["clipped"] == [{"clip": "loud/clipped.wav", "runs": 2, "samples": 11, "longest": 5}]
    assert levels["silent"] == ["quiet/silent.wav"]
    assert levels["silence_share"] == pytest.approx(3.0 / 7.0)
    assert levels["largest_offset"] == pytest.approx(3277 / 32768)
    assert [found["clip"] for found in levels["shifted"]] == ["loud/offset.wav"]
    peaks = sorted(-200.0 if level is None else round(level, 3) for level in levels["peak_db"])
    assert peaks == [-200.0, -19.999, -12.041, -12.041, -12.041, 0.0]
    quarter, tenth = 20 * np.log10(0.25), 20 * np.log10(3277 / 32768)
    clipped = alternating(1.0) / 32768.0
    clipped[101:106], clipped[200:202], clipped[301:305] = 32767 / 32768, 32767 / 32768, -1.0
    expected = [-200.0, quarter - 3.0103, quarter - 3.0103, quarter - 3.0103, tenth, 10 * np.log10(np.mean(clipped**2))]
    rms = [-200.0 if level is None else level for level in levels["rms_db"]]
    np.testing.assert_allclose(sorted(rms), sorted(expected), atol=1e-3)
    # over what sounds, the clips of a half of silence are a quarter again; the channel of silence counts
    sounding = sorted(-200.0 if level is None else level for level in levels["sounding_db"])
    np.testing.assert_allclose(sounding, sorted([-200.0, quarter, quarter, *expected[3:]]), atol=1e-3)
    assert [fault["path"] for fault in figures["unread"]] == ["data/quiet/nan.wav"]
    assert {fault["path"] for fault in figures["bad_files"]} == {"data/quiet/text.wav", "data/loud/empty.wav"}
    assert figures["duplicates"] == [sorted([f"data/<b>odd/{HOSTILE}", "data/quiet/half.wav"])]
    assert json.loads(json.dumps(figures)) == figures


def test_the_page_shows_the_figures(data, report):
    code, out, err = report(data, "--out", "page.html")
    assert (code, err) == (0, "")
    assert out.startswith("page.html: ")
    assert "about 7 clips, 3 bad files" in out
    page = Reader(Path("page.html").read_bytes())
    for shown in (
        "data, as a model will see it",
        "9 files, 7 of them with a good header",
        "good files6bad files3",
        "6 of 7 clips were measured, the others cannot be read",
        "2 files of 9 cannot be opened",
        "1 file with a good header failed when the samples were read.",
        "1 clip of 6 measured is clipped, in 2 runs of samples at full scale.",
        "1 clip has an offset of 0.01 of full scale or more",
        "42.9 % of the time is silence",
        "1 file has the same bytes as another",
        "the file is empty (0 bytes)",
        "nan.wav",
    ):
        assert shown in page.text, shown
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td class="n">([^<]*)</td>', Path("page.html").read_text()))
    expected = {"samples at full scale": "11", "runs of 3 or more of these": "2", "longest run": "5 samples"}
    assert expected.items() <= rows.items()


def test_levels_beyond_full_scale_and_very_short_clips_are_not_rounded_away(data):
    soundfile.write("data/loud/beyond.wav", np.full(RATE, 2.0, dtype=np.float32), RATE, subtype="FLOAT")
    soundfile.write("data/loud/one.wav", np.full(1, 0.5), RATE, subtype="PCM_16")
    quick(data)
    text = Path("report.html").read_text()
    assert text.count('<th scope="row">&gt; 0</th><td class="n">1</td>') == 3  # peak, RMS, RMS of what sounds
    assert '<th scope="row">&lt; -70</th><td class="n">1</td>' in text
    assert '<th scope="row">shortest</th><td class="n">0.125 ms</td>' in text


def test_one_class_and_batches_that_no_sampler_helps_are_told_of(data):
    shutil.rmtree("data/loud")
    shutil.rmtree("data/<b>odd")
    Path("data/to come").mkdir()
    quick(data)
    text = Reader(Path("report.html").read_bytes()).text
    assert "All labels are of one class, 'quiet': a classifier has nothing to tell apart." in text
    assert "1 class has no good file: to come." in text
    assert "1 class; the largest has 100.0 % of the labels" in text
    assert "of a batch in random order is padding; a crop of one length makes it none." in text


def test_names_are_text_and_nothing_is_loaded(data):
    quick(data)
    raw = Path("report.html").read_bytes()
    page = Reader(raw)
    assert "script" not in page.tags
    assert "b" not in page.tags
    # escaped controls, which would turn the text around or move a cursor
    assert "<script>alert(1)<&'é\\u202e\\x1b.wav" in page.text
    assert "<b>odd" in page.text
    assert b"\x1b" not in raw
    loading = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "data")]
    assert len(loading) > 12
    assert all(value.startswith(("data:", "#")) for value in loading)
    assert not re.search(rb"url\((?!#)|@import", raw)
    assert ("html", "lang", "en") in page.attributes
    pictures = [(tag, dict_of) for tag, dict_of in starts(raw) if tag == "svg" and "aria-hidden" not in dict_of]
    assert len(pictures) > 12
    assert all(attributes["role"] == "img" and attributes["aria-label"] for _, attributes in pictures)
    assert all(attributes.get("alt") for tag, attributes in starts(raw) if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in starts(raw) if tag == "audio")
    assert all(attributes.get("scope") for tag, attributes in starts(raw) if tag == "th")


def starts(page):
    """(tag, its attributes) of every element."""
    found = []

    class Starts(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    Starts().feed(page.decode())
    return found


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes are posix's")
def test_a_name_that_is_no_unicode(data, report):
    os.rename(data / "quiet/half.wav", os.fsencode(data / "quiet") + b"/\xff\xfe.wav")
    code, _, _ = report(data)
    assert code == 0
    assert "\\udcff\\udcfe.wav" in Path("report.html").read_text(encoding="utf-8")


def test_a_batch_is_shown_as_the_collate_makes_it(data):
    transform = af.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=80, n_mels=20)
    figures = quick(data, transform=transform, crop=1.5, clips=4, seed=3)
    assert len(figures["shown"]) == 4
    longest = max(clip["seconds"] for clip in figures["shown"])
    frames = transform.frame_lengths(torch.tensor([round(longest * RATE)]))
    for clip in figures["shown"]:
        assert clip["seconds"] == min(clip["clip_seconds"], 1.5)
        assert 0 <= clip["start"] <= clip["clip_seconds"] - clip["seconds"]
        assert clip["padding"] == pytest.approx(1 - clip["seconds"] / longest)
        assert clip["frames"] == int(transform.frame_lengths(torch.tensor([round(clip["seconds"] * RATE)])))
        assert clip["of_frames"] == int(frames)
    page = Path("report.html").read_text()
    # both the waveform and the features of each clip that is shorter
    padded = sum(clip["padding"] > 0 for clip in figures["shown"])
    assert padded
    assert page.count('class="padding"') == 2 * padded
    # as `audiofeed scan` counts it, of lengths after the crop
    (largest,) = {(cost["largest_clips"], cost["largest_seconds"]) for cost in figures["batches"][:2]}
    assert largest == (7, 7 * 1.5)
    assert figures["batches"][0]["waveforms_mb"] == pytest.approx(7 * 1.5 * RATE * 4 / 1e6)
    own = int(transform.frame_lengths(torch.tensor([12_000])))
    assert figures["batches"][0]["features_mb"] == pytest.approx(7 * own * 20 * 4 / 1e6)


def test_batch_settings_cost_what_the_scan_says(data, capsys):
    figures = quick(data, batch_size=3, batch_seconds=6.0)
    run_survey(SurveySettings(source=str(data), json=True, batch_size=3, batch_seconds=6.0))
    scanned = json.loads(capsys.readouterr().out)["batches"]
    for cost, own in zip(scanned, figures["batches"], strict=True):
        assert {name: own[name] for name in cost} == cost


def test_manifest_parts_and_labels(data, report):
    rows = [
        {"path": "data/quiet/half.wav", "start": 0.0, "duration": 1.0, "label": "sound", "note": "x"},
        {"path": "data/quiet/half.wav", "start": 1.0, "duration": 1.0, "label": "none", "note": "y"},
        {"path": "data/loud/clipped.wav", "start": 0.5, "duration": None, "label": "sound", "note": "z"},
    ]
    Path("set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = quick("set.jsonl", clips=3)
    assert figures["levels"]["silent"] == ["data/quiet/half.wav@1.000"]
    assert figures["levels"]["clipped"] == []  # all of it lies before
    assert {name: found["clips"] for name, found in figures["labels"].items()} == {"sound": 2, "none": 1}
    assert {(clip["clip"], clip["label"], clip["seconds"]) for clip in figures["shown"]} == {
        ("data/quiet/half.wav@0.000", "sound", 1.0),
        ("data/quiet/half.wav@1.000", "none", 1.0),
        ("data/loud/clipped.wav@0.500", "sound", 0.5),
    }
    # a folder within a folder reads the same files
    os.mkdir("below")
    shutil.move("set.jsonl", "below/set.jsonl")
    with pytest.raises(ReportError, match="no file that can be read"):
        quick("below/set.jsonl")


def test_the_same_seed_gives_the_same_page_and_another_does_not(data):
    def made(seed):
        quick(data, seed=seed, clips=3, crop=0.4)
        return re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d, seed \d+", "", Path("report.html").read_text())

    chosen = {tuple(clip["clip"] for clip in quick(data, seed=seed, clips=3)["shown"]) for seed in range(3)}
    assert len(chosen) > 1
    first = made(0)
    assert first == made(0)
    assert first != made(1)


def test_the_test_of_speed_names_what_binds(data):
    figures = quick(data, speed_seconds=0.2)
    tests = figures["speed"]["tests"]
    assert [test["workers"] for test in tests] == [0, 2]
    assert figures["speed"]["none"] == ""
    for test in tests:
        assert test["clips_per_second"] > 1
        assert list(test["ms_per_clip"]) == ["read", "decode", "resample", "collate", "transfer", "features"]
        assert test["ms_per_clip"]["read"] > 0
        assert test["epoch_seconds"] == pytest.approx(7 / test["clips_per_second"])
        assert "the step" not in test["bottleneck"]
        # the number of the sentence is the number of the table
        told = float(re.search(r"([\d.]+) clips/s", test["bottleneck"])[1])
        assert told == pytest.approx(test["clips_per_second"], abs=0.51)
    page = Reader(Path("report.html").read_bytes()).text
    best = max(tests, key=lambda test: test["clips_per_second"])
    assert f"With {best['workers']} workers: {best['bottleneck']}." in page


class Slow(torch.nn.Module):
    """Features that take far longer than all else."""

    def forward(self, waveform):
        time.sleep(0.05)
        return waveform.unsqueeze(-2)


def test_slow_features_bind(data):
    figures = quick(data, transform=Slow(), speed_seconds=0.2, clips=2)
    for test in figures["speed"]["tests"]:
        assert test["bottleneck"].startswith("the computation of features binds")


class Refuses(torch.nn.Module):
    def forward(self, waveform):
        raise ValueError("no <b>clip</b> pleases me")


def test_a_transform_that_refuses_the_batch_is_told_of(data):
    figures = quick(data, transform=Refuses(), clips=2, speed_seconds=0.1)
    assert figures["shown"][0]["frames"] is None
    page = Reader(Path("report.html").read_bytes()).text
    assert page.count("no <b>clip</b> pleases me") >= 3  # above, by the clips, by the speed
    assert "With 0 workers it ended" in page


def test_batches_beyond_the_memory_are_not_made(data, monkeypatch):
    monkeypatch.setattr("audiofeed.report.gather._MOST_MB", 0.4)
    figures = quick(data, speed_seconds=5)
    assert figures["speed"]["tests"] == []
    assert "its largest batch would take" in figures["speed"]["none"]


def test_long_clips_are_shown_by_their_middle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("long")
    noise = np.random.default_rng(0).standard_normal(40 * 44_100) * 0.2
    for i in range(2):
        soundfile.write(f"long/{i}.wav", np.roll(noise, i), 44_100)
    figures = quick("long", measure_hours=0.001)
    assert (figures["levels"]["clips"], figures["levels"]["of_clips"]) == (1, 2)
    assert [clip["seconds"] for clip in figures["shown"]] == [30.0, 30.0]
    assert [clip["start"] for clip in figures["shown"]] == [5.0, 5.0]
    # noise is the hardest to compress: so many clips make the page no larger
    assert figures["page_bytes"] == os.path.getsize("report.html") < 60_000 + 2 * 470_000
    assert "the sound is its first" in Path("report.html").read_text()


def test_settings_that_cannot_be_met(data, report, tmp_path):
    for options, parts in (
        (["--transform", "wisper"], ["'wisper'", "did you mean whisper?"]),
        (["--transform", "whisper", "--sample-rate", 8000], ["--sample-rate 8000", "16000 Hz"]),
        (["--batch-seconds", 1], ["--batch-seconds 1", "longest clip"]),
        (["--out", "no/where.html"], ["--out 'no/where.html'", "does not exist"]),
        (["--target-pattern", "{x}"], ["--target-pattern", "{target}"]),
    ):
        code, out, err = report(data, *options)
        assert (code, out) == (2, "")
        assert err.startswith("audiofeed report: ")
        assert err.count("\n") == 1
        assert all(part in err for part in parts), err
    assert report("nowhere")[0] == 2
    assert not list(Path().glob("*.html*"))
    for settings in (
        {"clips": -1},
        {"seed": 1.5},
        {"measure_hours": 0},
        {"speed_seconds": -1},
        {"crop": -2.0},
        {"batch_size": 0},
        {"sample_rate": 0},
        {"sample_rate": 5},
        {"batch_seconds": float("nan")},
    ):
        (name,) = settings
        with pytest.raises(ValueError, match="seconds" if name == "crop" else name):
            quick(data, **settings)
    for settings in ({"transform": 3}, {"crop": "1"}):
        with pytest.raises(TypeError, match=next(iter(settings))):
            quick(data, **settings)
    with pytest.raises(ReportError, match="--device 'nonsense'"):
        quick(data, device="nonsense")


def test_no_good_file_is_an_error_that_says_why(tmp_path, monkeypatch, report):
    monkeypatch.chdir(tmp_path)
    os.mkdir("bad")
    Path("bad/a.wav").touch()
    Path("bad/b.wav").touch()
    code, _, err = report("bad")
    assert code == 2
    assert "'bad' has no file that can be read" in err
    assert "2 of 2: the file is empty (0 bytes)" in err
    soundfile.write("bad/c.wav", np.full(80, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    code, _, err = report("bad")
    assert code == 2
    assert "no file of 'bad' can be read; the first, 'bad/c.wav'" in err
    assert sorted(path.name for path in Path().iterdir()) == ["bad"]


def test_a_clip_that_cannot_be_read_is_told_of_wherever_it_is_met(data):
    """Measured first, or not measured and then chosen to be shown, in whose place the dataset would give another."""
    met = set()
    for seed in range(12):
        figures = quick(data, measure_hours=1e-9, seed=seed, clips=7)
        assert figures["levels"]["clips"] == 1
        assert [fault["path"] for fault in figures["unread"]] == ["data/quiet/nan.wav"]
        assert len({clip["clip"] for clip in figures["shown"]}) == len(figures["shown"]) == 6
        assert "quiet/nan.wav" not in {clip["clip"] for clip in figures["shown"]}
        met.add(int(np.random.default_rng(seed).permutation(7)[0]))
        if {0, 5} <= met:
            break
    assert {0, 5} <= met  # a good one, and the sixth path, which is not


def test_windows_and_other_crops(data):
    figures = quick(data, crop=af.Windows(0.5, 0.5), clips=7)
    assert {clip["seconds"] for clip in figures["shown"]} == {0.5}
    assert {clip["clip"] for clip in figures["shown"]} >= {"loud/clipped.wav", "quiet/half.wav"}
    # 2 + 1 + 1 + 4 + 4 + 2 + 2 windows, of 32 in a batch
    assert figures["batches"][0]["largest_clips"] == 16


@pytest.mark.parametrize("arguments", [["report", "data", "--speed-seconds", "0"], ["info"]])
def test_a_reader_of_the_pipe_that_has_gone_is_no_traceback(data, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "audiofeed", *arguments],
            stdout=closed,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")
