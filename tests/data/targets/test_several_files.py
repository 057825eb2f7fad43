"""Several files in one example: a mixture and its sources, read as one crop and aligned to the sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import audiofeed as af
from audiofeed.data import AudioReadError, read

RATE = 8000
SOURCES = ("vocals", "drums")


@pytest.fixture
def root(write_pcm, tmp_path):
    rng = np.random.default_rng(0)
    for take, samples in enumerate((8000, 12000, 3000)):
        sources = [rng.integers(-9000, 9000, samples).astype(np.int16) for _ in SOURCES]
        for name, source in zip(SOURCES, sources, strict=True):
            write_pcm(f"set/{name} {take}.wav", source, rate=RATE)
        write_pcm(f"set/mix {take}.wav", sources[0] + sources[1], rate=RATE)
    return tmp_path / "set"


def rows(**more):
    return [{"mixture": f"mix {t}.wav", **{s: f"{s} {t}.wav" for s in SOURCES}, **more} for t in range(3)]


def made(root, listed=None, **options):
    return af.AudioManifest(listed or rows(), root=root, path_columns=("mixture", *SOURCES), **options)


CROPS = [
    None,
    af.RandomCrop(0.4),
    af.RandomCrop(samples=5000, pad=True),
    af.Windows(0.2, last="keep"),
    af.CenterCrop(0.5),
]


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_sources_add_up_to_the_mixture(root, crop, workers):
    data = made(root, crop=crop)
    collate = af.GPUSpecCollate(af.Spectrogram(256), device="cpu")
    for batch in DataLoader(data, batch_size=3, collate_fn=collate, num_workers=workers):
        assert set(batch.targets) == set(SOURCES)
        assert batch.targets["vocals"].shape == batch.waveforms.shape
        assert batch.targets["vocals"].dtype == torch.float32
        assert torch.equal(batch.targets["vocals"] + batch.targets["drums"], batch.waveforms)
        assert batch.targets["vocals"].any()


def test_names_by_a_dict_and_beside_targets(root):
    data = af.AudioManifest(
        rows(target="yes", take=3),
        root=root,
        path_columns={"noisy": "mixture", "clean": "vocals"},
        crop=af.RandomCrop(0.1),
    )
    assert [data[0].target, data.classes, set(data[0].fields)] == [0, ["yes"], {"clean", "take", "drums"}]
    assert data[0].fields["clean"].waveform.shape == data[0].waveform.shape
    alone = af.AudioManifest(rows(), root=root, path_columns=["drums"], target_column=None)
    assert alone[0].target is None
    assert torch.equal(alone[0].waveform, read(str(root / "drums 0.wav"))[0])


def test_a_part_of_each_file(root):
    data = made(root, rows(start=0.125, duration=0.25), crop=af.RandomCrop(0.1))
    example = data[0]
    first = example.start_sample
    assert first >= 1000
    whole = read(str(root / "drums 0.wav"))[0].float() / 32768
    assert torch.equal(example.target["drums"].waveform, whole[first : first + 800])


def test_files_of_another_rate_are_aligned(write_pcm, tmp_path):
    """A slow sine at three rates: after resampling it is the same at every sample of any crop."""
    for name, rate in (("a", 8000), ("b", 16000), ("c", 11025)):
        wave = 12000 * np.sin(2 * np.pi * 50 * np.arange(2 * rate) / rate)
        write_pcm(f"set/{name}.wav", wave.astype(np.int16), rate=rate)
    listed = [{"x": "a.wav", "y": "b.wav", "z": "c.wav"}]
    options = {"root": tmp_path / "set", "path_columns": ["x", "y", "z"]}
    data = af.AudioManifest(listed, sample_rate=16000, crop=af.RandomCrop(0.3), **options)
    for epoch in range(10):
        example = data[epoch, 0]
        for other in example.target.values():
            assert (other.waveform - example.waveform)[200:-200].abs().max() < 2e-3
    with pytest.raises(ValueError, match="sample_rate=None needs files of one rate"):
        af.AudioManifest(listed, **options)


def test_files_of_several_lengths(root, write_pcm):
    write_pcm("set/drums 1.wav", 12000 - 500, rate=RATE)
    with pytest.warns(
        UserWarning, match=r"the files of 1 of 3 examples differ in length, by up to 500 samples.*row 2 of"
    ):
        data = made(root)
    assert data.durations.tolist() == [1.0, 11500 / RATE, 3000 / RATE]
    assert {len(data[1].waveform)} == {wave.waveform.shape[-1] for wave in data[1].target.values()} == {11500}
    write_pcm("set/drums 1.wav", 12000 - 900, rate=RATE)
    with pytest.raises(
        ValueError, match=r"row 2 of the list: the files of one example must be equally long.*'.*mix 1\.wav' 1\.5"
    ):
        made(root)


def test_channels(write_pcm, tmp_path):
    write_pcm("set/a.wav", 800, channels=2)
    write_pcm("set/b.wav", 800, channels=2)
    listed = [{"x": "a.wav", "y": "b.wav"}]
    data = af.AudioManifest(listed, root=tmp_path / "set", path_columns=["x", "y"], mono=False)
    batch = af.PadCollate()([data[0], data[0]])
    assert batch.targets["y"].shape == batch.waveforms.shape == (2, 2, 800)
    write_pcm("set/b.wav", 800, channels=1)
    with pytest.raises(ValueError, match="mono=False needs files with the same number of channels"):
        af.AudioManifest(listed, root=tmp_path / "set", path_columns=["x", "y"], mono=False)


def test_a_bad_source_is_a_bad_example(root):
    (root / "drums 1.wav").write_bytes(b"x")
    with pytest.raises(AudioReadError, match=r"drums 1\.wav.*row 2 of the list"):
        made(root)
    with pytest.warns(UserWarning, match="leaves out 1 of 9 files"):
        data = made(root, on_error="skip")
    assert [path.rpartition("/")[2] for path in data.paths] == ["mix 0.wav", "mix 2.wav"]


def test_columns_that_do_not_fit(root):
    with pytest.raises(ValueError, match="path_columns names 'bass', which is not a column"):
        af.AudioManifest(rows(), root=root, path_columns=["mixture", "bass"])
    with pytest.raises(ValueError, match="both name the paths"):
        af.AudioManifest(rows(), root=root, path_column="mixture", path_columns=["mixture"])
    for wrong in ("mixture", [], {}):
        with pytest.raises(ValueError, match="must be a list of one or more columns"):
            af.AudioManifest(rows(), root=root, path_columns=wrong)
    with pytest.raises(ValueError, match="has one name twice"):
        af.AudioManifest(rows(), root=root, path_columns=["mixture", "mixture"])
