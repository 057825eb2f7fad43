"""A transform may be called from several threads at once, as a server does."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import audiofeed as af
from tests.signals import single_noise as noise

MEL = {"sample_rate": 8000, "n_fft": 256, "hop_length": 64, "n_mels": 20}
OCTAVES = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 15, "bins_per_octave": 5, "hop_length": 32}


@pytest.fixture
def impatient():
    """Threads that take turns a hundred times as often as they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: af.LogMelSpectrogram(**MEL),
        lambda: af.MelSpectrogram(**MEL, method="conv"),
        # kernels for each clip's own tuning, of which a few are kept
        lambda: af.CQT(**OCTAVES, tuning=None),
        lambda: af.Stack(mel=af.MelSpectrogram(**MEL), cepstrum=af.MFCC(**MEL, n_mfcc=7)),
    ],
    ids=["kernel", "conv", "tuning", "stack"],
)
def test_three_threads_have_the_results_of_one(make, impatient):
    transform, other = make(), make()
    clips = [noise(2, 300 + 211 * n, seed=n) for n in range(9)]
    # float32 and float64 in turns, so that each thread asks for filters that another has just made
    clips = [clip.double() if n % 2 else clip for n, clip in enumerate(clips)]
    expected = [other(clip) for clip in clips]

    def run(first):
        return [(number, transform(clips[number])) for turn in range(4) for number in turns(first + turn)]

    def turns(start):
        return [(start * 3 + step) % len(clips) for step in range(len(clips))]

    with ThreadPoolExecutor(3) as threads:
        results = [result for found in threads.map(run, range(3)) for result in found]
    assert len(results) == 3 * 4 * len(clips)
    for number, found in results:
        torch.testing.assert_close(found, expected[number], rtol=0, atol=0)
