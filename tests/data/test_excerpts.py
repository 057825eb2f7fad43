"""Excerpts of a dataset's examples: the same samples as of the whole example, and no more of the file is read."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

import audiofeed as af
from audiofeed.data.clips import example_loader

RATE = 8000


@pytest.fixture
def root(tmp_path):
    for number, seconds in enumerate((3.0, 0.5)):
        noise = np.random.default_rng(number).standard_normal((int(RATE * seconds), 2)) * 0.1
        soundfile.write(tmp_path / f"{number}.wav", noise, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "2.flac", np.random.default_rng(2).standard_normal(RATE) * 0.1, RATE)
    return tmp_path


@pytest.mark.parametrize("settings", [{}, {"sample_rate": 16_000}, {"mono": False, "extensions": ".wav"}, {"crop": 1}])
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_an_excerpt_is_part_of_its_example(root, settings, place):
    if "crop" in settings:
        settings = {"crop": af.RandomCrop(0.9)}
    dataset = af.AudioFolder(root, **settings)
    for index in range(len(dataset)):
        whole = dataset[(7, index)]
        n = whole.waveform.shape[-1]
        for samples in (1, 700, n, n + 5):
            part = dataset.excerpt((7, index), samples, place)
            count = min(samples, n)
            first = min(int(place * (n - count + 1)), n - count)
            expected = whole.waveform[..., first : first + count]
            assert part.waveform.shape == expected.shape
            assert (part.waveform.float() - expected.float()).abs().max() < 1e-6
            assert part.start == pytest.approx(whole.start + first / dataset.sample_rate)
            assert part.duration == pytest.approx(count / dataset.sample_rate)
            assert part.seed == whole.seed


def test_the_silence_of_a_crop_that_pads_is_no_part(root):
    dataset = af.AudioFolder(root, crop=af.RandomCrop(2.0, pad=True))
    assert dataset[(0, 1)].waveform.shape == (2 * RATE,)
    assert dataset.excerpt((0, 1), 2 * RATE, 1.0).waveform.shape == (RATE // 2,)


def test_no_more_of_a_file_is_read_than_the_excerpt(root, monkeypatch):
    asked = []

    def read(path, start, count, info=None):
        asked.append(count)
        return whole(path, start, count, info=info)

    whole = example_loader.read
    monkeypatch.setattr(example_loader, "read", read)
    af.AudioFolder(root).excerpt((0, 0), 100, 0.5)
    assert asked == [100]


def test_an_unreadable_file_follows_the_policy(root):
    skipping, raising = (af.AudioFolder(root, on_error=how) for how in ("skip", "raise"))
    (root / "0.wav").unlink()
    part = skipping.excerpt((0, 0), 100_000, 1.0)
    assert part.faults[0].path.endswith("0.wav")
    assert part.waveform.shape[-1] in (RATE // 2, RATE)
    with pytest.raises(af.AudioReadError, match=r"0\.wav"):
        raising.excerpt((0, 0), 10)


@pytest.mark.parametrize(("samples", "place"), [(0, 0.0), (True, 0.0), (5, -0.1), (5, 1.1), (5, float("nan"))])
def test_wrong_arguments(root, samples, place):
    with pytest.raises(ValueError, match=r"samples=|place="):
        af.AudioFolder(root).excerpt((0, 0), samples, place)


def test_an_index_alone_is_no_key(root):
    with pytest.raises(TypeError, match=r"key=3 must be \(epoch, index\)"):
        af.AudioFolder(root).excerpt(3, 5)
    assert torch.is_tensor(af.AudioFolder(root).excerpt((0, 1, 2), 5).waveform)
