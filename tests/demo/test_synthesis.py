"""The demo's own sounds are the files that they claim to be."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import soundfile

from audiofeed.demo.synthesis import FORMS, TIMBRES, SoundSet, synthesize


def test_files_have_the_forms_listed(sounds):
    listed = json.loads((sounds.root / "sounds.json").read_text())["files"]
    assert len(listed) == sounds.count == 6 * len(TIMBRES)
    for name, entry in listed.items():
        info = soundfile.info(sounds.root / name)
        found = (info.format.lower(), info.subtype, info.samplerate, info.channels, info.frames)
        assert found == tuple(entry[key] for key in ("extension", "subtype", "sample_rate", "channels", "frames"))
        assert 0.39 < info.duration < 1.21
    assert {(entry["extension"], entry["subtype"]) for entry in listed.values()} == {
        ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("flac", "PCM_24"),
    }  # fmt: skip
    assert len({entry["sample_rate"] for entry in listed.values()}) == 4
    assert len({entry["frames"] for entry in listed.values()}) > 40


def test_every_class_has_the_same_file_formats(sounds):
    listed = json.loads((sounds.root / "sounds.json").read_text())["files"]
    forms = {}
    for name, entry in listed.items():
        key = tuple(entry[part] for part in ("extension", "subtype", "sample_rate", "channels"))
        forms.setdefault(name.split("/")[0], Counter())[key] += 1
    assert set(forms) == set(TIMBRES)
    assert all(counts == forms["bell"] for counts in forms.values())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.extension}-{form.subtype}-{form.channels}")
@pytest.mark.parametrize("timbre", TIMBRES)
def test_sounds_are_loud_enough_and_do_not_clip(timbre, form):
    samples = synthesize(TIMBRES[timbre], form, np.random.default_rng(3))
    assert samples.dtype == np.float32
    assert samples.ndim == form.channels
    assert np.isfinite(samples).all()
    assert 10 ** (-25 / 20) < np.abs(samples).max() <= 1
    if form.channels == 2:
        assert not np.array_equal(samples[:, 0], samples[:, 1])


def test_same_settings_give_the_same_samples(tmp_path, sounds):
    again = SoundSet(tmp_path, per_class=6)
    written = list(again.write())
    assert again.root.name == sounds.root.name
    for path in written:
        # samples, not bytes: a float WAV carries the time of writing
        samples, _ = soundfile.read(path, dtype="int32")
        np.testing.assert_array_equal(
            samples, soundfile.read(sounds.root / path.relative_to(again.root), dtype="int32")[0]
        )
    other = SoundSet(tmp_path, per_class=6, seed=1)
    first = next(iter(other.write()))
    assert first.name == written[0].name
    assert len(soundfile.read(first)[0]) != len(soundfile.read(written[0])[0])


def test_a_set_counts_as_complete_only_when_it_is(tmp_path):
    made = SoundSet(tmp_path, per_class=1)
    assert not made.is_complete()
    writing = made.write()
    paths = [next(writing) for _ in range(made.count)]
    assert not made.is_complete()
    assert list(writing) == []
    assert made.is_complete()
    paths[0].write_bytes(paths[0].read_bytes()[:-2])
    assert not made.is_complete()
    assert len(list(made.write())) == made.count
    assert made.is_complete()
    # one that is being written anew is not
    next(made.write())
    assert not made.is_complete()
    assert len(list(made.write())) == made.count
    paths[-1].unlink()
    assert not made.is_complete()
    (made.root / "sounds.json").write_text("{")
    assert not made.is_complete()
