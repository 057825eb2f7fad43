"""What is measured in samples: runs over the ends of blocks, silence by frames, offsets, formats of few bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.data import read_info
from audiofeed.report import levels as levels_file
from audiofeed.report.levels import _Runs, measure_clip

RATE = 8000


def runs_of(signs):
    """Lengths of the runs that are not zero, the plain way."""
    return [len(list(own)) for sign, own in itertools.groupby(signs) if sign]


@given(
    st.lists(st.sampled_from([0, 1, 1, -1]), max_size=60), st.lists(st.integers(0, 60), max_size=4), st.integers(0, 20)
)
@settings(deadline=None, max_examples=300)
def test_runs_are_counted_over_the_ends_of_blocks(signs, cuts, repeated):
    signs = signs + [1] * repeated
    runs = _Runs()
    edges = [0, *sorted(min(cut, len(signs)) for cut in cuts), len(signs)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            runs.add(np.array(signs[start:end], dtype=np.int8))
    runs.add(np.zeros(0, dtype=np.int8))
    lengths = runs_of(signs)
    assert runs.samples == sum(lengths)
    assert runs.runs == sum(length >= 3 for length in lengths)
    assert runs.longest == max(lengths, default=0)


@pytest.mark.parametrize("block", [160, 1000, 1 << 22])
@pytest.mark.parametrize("span", [(0, 8130), (77, 5000), (8129, 1)])
def test_levels_are_those_of_all_samples(tmp_path, monkeypatch, block, span):
    monkeypatch.setattr(levels_file, "_BLOCK", block)
    draw = np.random.default_rng(1)
    samples = np.round(3000 * draw.standard_normal((8130, 2)) + [400, -700]).clip(-32768, 32767).astype(np.int16)
    samples[900:1900], samples[2000:2010, 1] = draw.integers(-20, 20, (1000, 2)), -32768
    samples[8129] = 5
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    first, frames = span
    found = measure_clip(read_info(tmp_path / "a.wav"), first, frames)
    part = samples[first : first + frames].astype(np.float64) / 32768
    assert found.seconds == frames / RATE
    assert found.peak == np.abs(part).max()
    assert found.rms == pytest.approx(np.sqrt(np.mean(part**2)), rel=1e-12)
    means = part.mean(axis=0)
    assert found.offset == pytest.approx(means[np.abs(means).argmax()], rel=1e-6)
    assert (found.full_scale, found.runs, found.longest_run) == ((10, 1, 10) if frames > 1 else (0, 0, 0))
    cut = [part[i : i + 160] for i in range(0, frames, 160)]
    quiet = [np.mean(own**2) < 1e-6 for own in cut]
    assert found.silent_seconds == pytest.approx(
        sum(len(own) for own, is_quiet in zip(cut, quiet, strict=True) if is_quiet) / RATE
    )
    loud = np.concatenate([own for own, is_quiet in zip(cut, quiet, strict=True) if not is_quiet] or [np.zeros((1, 2))])
    assert found.sounding == pytest.approx(math.sqrt(np.mean(loud**2)), rel=1e-9)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"])
def test_full_scale_is_that_of_the_format(tmp_path, subtype):
    samples = np.tile([0.5, -0.5], 400)
    samples[100:107], samples[300:304] = 1.0, -1.0
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype=subtype)
    found = measure_clip(read_info(tmp_path / "a.wav"), 0, 800)
    assert (found.full_scale, found.runs, found.longest_run) == (11, 2, 7)
    soundfile.write(tmp_path / "b.wav", 0.9 * samples, RATE, subtype=subtype)
    assert measure_clip(read_info(tmp_path / "b.wav"), 0, 800).full_scale == 0


def test_a_run_ends_where_the_sign_changes(tmp_path):
    samples = np.zeros(800)
    samples[100:102], samples[102:104], samples[104:106] = 1.0, -1.0, 1.0
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    found = measure_clip(read_info(tmp_path / "a.wav"), 0, 800)
    assert (found.full_scale, found.runs, found.longest_run) == (6, 0, 2)
