"""AudioFolder: what it finds, what it names, what it refuses."""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading

import numpy as np
import pytest
import soundfile
import soxr
import torch

from audiofeed.data import AudioFolder, AudioReadError, CenterCrop, RandomCrop, Windows, read
from audiofeed.data.keys import ExampleKey
from audiofeed.data.listing import scan as scan_module


@pytest.fixture
def root(write_pcm, tmp_path):
    """Twelve clips of 100 to 1200 frames in folders 2, 10 and 9."""
    for i in range(12):
        write_pcm(f"set/{(2, 10, 9)[i % 3]}/clip{i:02d}_s{i % 2}.wav", 100 * (i + 1))
    return str(tmp_path / "set")


def test_headers_folders_and_order(root):
    dataset = AudioFolder(root)
    assert len(dataset) == 12
    assert dataset.paths == sorted(os.path.join(d, f) for d, _, names in os.walk(root) for f in names)
    frames = [soundfile.info(path).frames for path in dataset.paths]
    assert dataset.durations.dtype == np.float64
    np.testing.assert_array_equal(dataset.durations, np.array(frames) / 8000)
    assert dataset.classes == ["2", "9", "10"]
    assert dataset.class_to_index == {"2": 0, "9": 1, "10": 2}
    folders = [os.path.basename(os.path.dirname(path)) for path in dataset.paths]
    assert [dataset.classes[t] for t in dataset.targets] == folders
    assert dataset.sample_rate == 8000
    assert set(dataset.sample_rates) == {8000}
    assert dataset.faults == []


def test_an_item(root):
    dataset = AudioFolder(root, seed=5)
    example = dataset[3]
    expected, rate = read(dataset.paths[3])
    assert torch.equal(example.waveform, expected)
    assert example.waveform.dtype == torch.int16
    assert (example.sample_rate, example.key, example.target) == (rate, dataset.paths[3], int(dataset.targets[3]))
    assert type(example.target) is int
    assert example.seed == AudioFolder(root, seed=5)[3].seed != AudioFolder(root, seed=6)[3].seed
    assert example.faults == ()


def test_every_kind_of_key(root):
    dataset = AudioFolder(root, crop=RandomCrop(0.005))
    one = dataset[7]
    for key in ((0, 7), (np.int32(0), torch.tensor(7)), (0, -5), (0, 7, 0), ExampleKey(0, 7)):
        again = dataset[key]
        assert again.seed == one.seed
        assert torch.equal(again.waveform, one.waveform)
    # an index alone is counted, whatever its type
    for repeat, key in enumerate((np.int64(7), torch.tensor(7), -5), 1):
        assert dataset[key].seed == dataset[0, 7, repeat].seed
    assert len({dataset[0, 7, repeat].seed for repeat in range(4)}) == 4
    dataset.set_epoch(1)
    assert dataset.epoch == 1
    assert dataset[7].seed == dataset[1, 7].seed
    assert dataset[0, 7].seed == one.seed
    for key in (12, -13, (0, 12)):
        with pytest.raises(IndexError, match="12 examples"):
            dataset[key]
    for key in ("3", 1.0, slice(3), (0, 1, 2, 3), [0, 1]):
        with pytest.raises(TypeError, match="epoch, index"):
            dataset[key]
    for epoch in (lambda: dataset.set_epoch(-1), lambda: dataset[-1, 0]):
        with pytest.raises(ValueError, match=r"epoch=-1.*0 or more"):
            epoch()


def test_nested_folders_are_labels_with_their_path(write_pcm, tmp_path):
    write_pcm("set/a/x/1.wav", 100)
    write_pcm("set/b/x/1.wav", 100)
    assert AudioFolder(tmp_path / "set").classes == ["a/x", "b/x"]


def test_files_in_the_root_have_no_target(write_pcm, tmp_path):
    write_pcm("set/1.wav", 100)
    dataset = AudioFolder(tmp_path / "set")
    assert (dataset.classes, dataset.targets, dataset[0].target) == ([], [None], None)
    write_pcm("set/sub/2.wav", 100)
    with pytest.raises(ValueError, match=r"1\.wav.*2\.wav.*pattern"):
        AudioFolder(tmp_path / "set")
    assert len(AudioFolder(tmp_path / "set", target=lambda path: 0)) == 2


def test_a_pattern(root):
    dataset = AudioFolder(root, target="clip{take}_{target}")
    assert dataset.classes == ["s0", "s1"]
    assert dataset.fields.names == ["take"]
    for i, path in enumerate(dataset.paths):
        stem = os.path.basename(path)[:-4]
        assert f"clip{dataset.fields[i]['take']}_{dataset.classes[dataset.targets[i]]}" == stem
    assert dataset.fields["take"] == [dataset.fields[i]["take"] for i in range(12)]
    with pytest.raises(KeyError, match="take"):
        dataset.fields["speaker"]
    with pytest.raises(ValueError, match=r"\{target\}x.*clip\d\d_s\d\.wav"):
        AudioFolder(root, target="{target}x")


@pytest.mark.parametrize(
    "pattern", ["{speaker}", "{target}_{target}", "{target!r}", "{target:d}", "{target}{}", "{target"]
)
def test_a_pattern_that_is_none(root, pattern):
    with pytest.raises(ValueError, match="target="):
        AudioFolder(root, target=pattern)


def test_a_function_of_the_path(root):
    assert AudioFolder(root, target=lambda path: 40 + len(path) % 2).targets.dtype == np.int64
    assert AudioFolder(root, target=lambda path: os.path.basename(path)[7:9]).classes == ["s0", "s1"]
    lists = AudioFolder(root, target=lambda path: [1, 2])
    assert lists[0].target == [1, 2]
    assert lists.classes == []
    with pytest.raises(TypeError, match="target=3"):
        AudioFolder(root, target=3)


def test_extensions_and_hidden_files(write, write_pcm, tmp_path):
    write_pcm("set/a.WAV", 100)
    write_pcm("set/b.snip", 100)
    write("set/._a.wav", b"resource fork")
    write("set/.hidden/c.wav", b"x")
    write("set/notes.txt", b"x")
    names = lambda d: [os.path.basename(path) for path in d.paths]  # noqa: E731
    with pytest.warns(UserWarning, match=r"passes over 2 files.*1 \.snip, 1 \.txt"):
        assert names(AudioFolder(tmp_path / "set")) == ["a.WAV"]
    for extensions in ("snip", [".SNIP"], (".snip", "none")):
        assert names(AudioFolder(tmp_path / "set", extensions=extensions)) == ["b.snip"]
    with pytest.raises(ValueError, match=r"\.flac.*3 other files"):
        AudioFolder(tmp_path / "set", extensions=".flac")
    for extensions in ((), "."):
        with pytest.raises(ValueError, match="extensions="):
            AudioFolder(tmp_path / "set", extensions=extensions)


def test_a_root_that_is_none(write_pcm, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        AudioFolder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"a\.wav.*AudioManifest"):
        AudioFolder(write_pcm("a.wav", 100))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty.*\.wav.*0 other files"):
        AudioFolder(tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ({"sample_rate": 0}, ValueError, "sample_rate=0"),
        ({"sample_rate": 16e3}, ValueError, r"sample_rate=16000\.0"),
        ({"sample_rate": True}, ValueError, "sample_rate=True"),
        ({"sample_rate": np.bool_(True)}, ValueError, "sample_rate="),
        ({"sample_rate": np.float64(8000)}, ValueError, "sample_rate="),
        ({"sample_rate": "8000"}, ValueError, "sample_rate='8000'"),
        ({"sample_rate": np.int64(-8000)}, ValueError, "sample_rate="),
        ({"seed": 1.5}, TypeError, r"seed=1\.5 must be an integer"),
        ({"seed": "7"}, TypeError, "seed='7'"),
        ({"on_error": "ignore"}, ValueError, "on_error='ignore'"),
        ({"crop": 2.0}, TypeError, r"crop=2\.0"),
        ({"crop": RandomCrop}, TypeError, r"crop=RandomCrop is a class; give it its settings: RandomCrop\(\.\.\.\)"),
        ({"fields": 5}, TypeError, "fields=5 must be a list of names"),
        ({"index": 5}, TypeError, "index=5 must be the path of a file"),
    ],
)
def test_arguments_out_of_range(root, arguments, error, rule):
    with pytest.raises(error, match=rule):
        AudioFolder(root, **arguments)


@pytest.mark.parametrize("rate", [np.int64(16000), np.uint16(16000), torch.tensor(16000)])
def test_a_rate_of_any_integer_type(root, rate):
    dataset = AudioFolder(root, sample_rate=rate)
    assert type(dataset.sample_rate) is int
    assert type(dataset[0].sample_rate) is int
    assert torch.equal(dataset[3].waveform, AudioFolder(root, sample_rate=16000)[3].waveform)


def test_a_seed_of_any_integer_type(root):
    seeds = [AudioFolder(root, seed=seed)[2].seed for seed in (7, np.int32(7), torch.tensor(7))]
    assert len(set(seeds)) == 1


def test_no_seed_is_one_drawn_from_torch(root):
    torch.manual_seed(3)
    first, second = (AudioFolder(root, seed=None, crop=RandomCrop(0.005)) for _ in range(2))
    torch.manual_seed(3)
    again = AudioFolder(root, seed=None, crop=RandomCrop(0.005))
    assert type(first.seed) is int
    assert first.seed == again.seed != second.seed
    assert torch.equal(first[7].waveform, again[7].waveform)
    assert pickle.loads(pickle.dumps(first))[0, 7].seed == first[0, 7].seed


# crops


def test_crops(root):
    whole = AudioFolder(root)
    for crop in (RandomCrop(0.05), CenterCrop(0.05)):
        dataset = AudioFolder(root, crop=crop)
        for i in range(12):
            clip = whole[i].waveform
            start, length = crop.place(len(clip), 8000, seed=dataset[0, i].seed)
            assert torch.equal(dataset[0, i].waveform, clip[start : start + length])
            # a shorter clip comes whole and unpadded
            assert len(dataset[0, i].waveform) == min(400, len(clip)) == round(dataset.durations[i] * 8000)
            assert dataset[i].key == whole[i].key


def test_a_random_crop_moves_from_epoch_to_epoch(root):
    dataset = AudioFolder(root, crop=RandomCrop(0.005))
    starts = {dataset[epoch, 11].waveform.numpy().tobytes() for epoch in range(20)}
    assert len(starts) > 15


def test_windows_make_several_examples_of_a_clip(root):
    dataset = AudioFolder(root, crop=Windows(0.025, 0.025))
    whole = AudioFolder(root)
    assert len(dataset) == sum(max(1, round(d * 8000) // 200) for d in whole.durations)
    assert len(dataset.paths) == len(dataset.targets) == len(dataset.durations) == len(dataset)
    clips = {path: whole[i].waveform for i, path in enumerate(whole.paths)}
    keys = set()
    for i in range(len(dataset)):
        example = dataset[i]
        path, start = example.key.rsplit("@")
        assert path == dataset.paths[i]
        begin = round(float(start) * 8000)
        assert torch.equal(example.waveform, clips[path][begin : begin + 200])
        assert dataset.durations[i] * 8000 == len(example.waveform)
        keys.add(example.key)
    assert len(keys) == len(dataset)


@pytest.mark.parametrize("crop", [Windows(0.001), Windows(0.0004), Windows(0.002, 0.001)])
def test_keys_of_short_windows_are_distinct(write_pcm, tmp_path, crop):
    write_pcm("set/a.wav", 22050, rate=22050)
    dataset = AudioFolder(tmp_path / "set", crop=crop)
    assert len({dataset[i].key for i in range(len(dataset))}) == len(dataset)


# rates and channels


def test_resampling(root):
    dataset = AudioFolder(root, sample_rate=22050)
    assert dataset.sample_rate == 22050
    for i in range(12):
        clip = read(dataset.paths[i])[0].float().numpy() / 32768
        example = dataset[i]
        length = int(np.floor(len(clip) * 22050 / 8000 + 0.5))
        assert (example.sample_rate, example.waveform.dtype, len(example.waveform)) == (22050, torch.float32, length)
        assert dataset.durations[i] == length / 22050
        expected = soxr.resample(clip, 8000, 22050, quality="HQ")[:length]
        np.testing.assert_allclose(example.waveform.numpy()[: len(expected)], expected, atol=2e-6)


def test_a_resampled_crop(root):
    whole = AudioFolder(root, sample_rate=16000)
    dataset = AudioFolder(root, sample_rate=16000, crop=RandomCrop(0.05))
    for i in range(12):
        clip = whole[i].waveform
        start, length = dataset.crop.place(len(clip), 16000, seed=dataset[0, i].seed)
        assert length == min(800, len(clip))
        torch.testing.assert_close(dataset[0, i].waveform, clip[start : start + length], atol=2e-6, rtol=0)


def test_mixed_rates(write_pcm, tmp_path):
    write_pcm("set/a.wav", 800, rate=8000)
    write_pcm("set/b.wav", 1600, rate=16000)
    with pytest.raises(ValueError, match=r"a\.wav' has 8000 Hz.*b\.wav' has 16000 Hz.*sample_rate="):
        AudioFolder(tmp_path / "set")
    dataset = AudioFolder(tmp_path / "set", sample_rate=16000)
    assert [len(dataset[i].waveform) for i in range(2)] == [1600, 1600]
    assert [dataset[i].waveform.dtype for i in range(2)] == [torch.float32, torch.int16]
    assert dataset.sample_rates.tolist() == [8000, 16000]


def test_channels(write_pcm, tmp_path):
    path = write_pcm("set/a.wav", 800, channels=2)
    both = read(path)[0]
    mono = AudioFolder(tmp_path / "set")[0].waveform
    assert mono.dtype == torch.float32
    torch.testing.assert_close(mono, both.double().mean(0).div(32768).float(), rtol=0, atol=1e-7)
    assert torch.equal(AudioFolder(tmp_path / "set", mono=False)[0].waveform, both)
    assert AudioFolder(tmp_path / "set", mono=False, sample_rate=16000)[0].waveform.shape == (2, 1600)
    single = write_pcm("set/b.wav", 800)
    assert AudioFolder(tmp_path / "set")[1].waveform.dtype == torch.int16
    with pytest.raises(ValueError, match=r"1 in '.*b\.wav', 2 in '.*a\.wav'.*mono=True"):
        AudioFolder(tmp_path / "set", mono=False)
    os.remove(path)
    assert AudioFolder(tmp_path / "set", mono=False)[0].waveform.shape == read(single)[0].shape


# bad files


def test_a_bad_file_at_the_scan(root, write):
    bad = write("set/10/broken.wav", b"no audio at all")
    with pytest.raises(AudioReadError) as caught:
        AudioFolder(root)
    assert caught.value.path == bad
    with pytest.warns(UserWarning, match=r"1 of 13 files.*broken\.wav") as told:
        dataset = AudioFolder(root, on_error="skip")
    assert len(told) == 1
    assert told[0].filename == __file__
    assert len(dataset) == 12
    assert bad not in dataset.paths
    (fault,) = dataset.faults
    assert (fault.path, fault.offset) == (bad, None)
    assert "Format not recognized" in fault.cause
    assert "torchcodec;" in fault.cause  # a reader without an ending of its own


def test_a_bad_file_keeps_the_classes(root, write):
    """The only file of a class is bad: the others' indices stay."""
    write("set/1/broken.wav", b"x")
    with pytest.warns(UserWarning, match="1 of 13"):
        assert AudioFolder(root, on_error="skip").classes == ["1", "2", "9", "10"]


def test_nothing_but_bad_files(write, tmp_path):
    for name in ("a", "b"):
        write(f"set/{name}.wav", b"x")
    with pytest.raises(AudioReadError, match=r"a\.wav.*none of the 2 files"):
        AudioFolder(tmp_path / "set", on_error="skip")


def test_a_file_that_turns_bad(root):
    strict = AudioFolder(root, crop=RandomCrop(0.005))
    lenient = AudioFolder(root, crop=RandomCrop(0.005), on_error="skip")
    bad = strict.paths[4]
    before = {key: lenient[0, key] for key in range(12)}
    os.truncate(bad, 60)
    with pytest.raises(AudioReadError) as caught:
        strict[4]
    assert caught.value.path == bad
    stand_ins = set()
    for epoch in range(8):
        first, again = lenient[epoch, 4], pickle.loads(pickle.dumps(lenient))[epoch, 4]
        assert (first.key, first.seed) == (again.key, again.seed)
        assert torch.equal(first.waveform, again.waveform)
        assert first.key != bad
        assert first.faults[0].path == bad
        stand_ins.add(first.key)
    assert len(stand_ins) > 2
    for key in range(12):
        if key != 4:
            assert torch.equal(lenient[0, key].waveform, before[key].waveform)
            assert lenient[0, key].faults == ()


def test_when_everything_turns_bad_it_ends(root):
    dataset = AudioFolder(root, on_error="skip")
    for path in dataset.paths:
        os.remove(path)
    with pytest.raises(AudioReadError, match="16 files before it") as caught:
        dataset[0]
    assert caught.value.path in dataset.paths


# selection and pickling


def test_select(root):
    dataset = AudioFolder(root, target="clip{take}_{target}", crop=RandomCrop(0.01))
    test = dataset.select(lambda row: int(row["take"]) < 4)
    train = dataset.select([i for i in range(12) if int(dataset.fields[i]["take"]) >= 4])
    assert sorted(test.paths + train.paths) == dataset.paths
    assert (len(test), len(train)) == (4, 8)
    assert type(test) is AudioFolder
    assert test.classes == train.classes == dataset.classes
    for i, path in enumerate(test.paths):
        whole = dataset.paths.index(path)
        assert test[i].target == dataset[whole].target == test.targets[i]
        assert test.fields[i] == dataset.fields[whole]
        assert test.durations[i] == dataset.durations[whole]
    test.set_epoch(3)
    assert (test.epoch, train.epoch, dataset.epoch) == (3, 0, 0)
    mask = np.arange(12) % 2 == 0
    assert dataset.select(mask).paths == dataset.paths[::2]
    assert dataset.select(torch.tensor([5, -1])).paths == [dataset.paths[5], dataset.paths[11]]
    assert dataset.select(mask).select([0]).paths == dataset.paths[:1]
    assert len(dataset) == 12


def test_a_selection_that_is_none(root):
    dataset = AudioFolder(root)
    with pytest.raises(ValueError, match="empty"):
        dataset.select(lambda row: False)
    with pytest.raises(ValueError, match="mask"):
        dataset.select(np.ones(11, dtype=bool))
    with pytest.raises(IndexError, match="12"):
        dataset.select([12])


def test_rows(root):
    dataset = AudioFolder(root, target="clip{take}_{target}")
    row = dataset.row(2)
    assert row["path"] == dataset.paths[2]
    assert row["label"] == dataset.classes[row["target"]]
    assert row["take"] == dataset.fields[2]["take"]
    assert (row["start"], row["duration"]) == (0.0, dataset.durations[2])


def test_a_pickle_is_small_and_the_same(fsdd):
    dataset = AudioFolder(fsdd, target="{target}_{speaker}_{take}", crop=RandomCrop(0.25))
    assert len(dataset) == 3000
    assert dataset.classes == [str(digit) for digit in range(10)]
    data = pickle.dumps(dataset)
    assert len(data) < 200 * len(dataset)
    again = pickle.loads(data)
    for key in ((0, 0), (3, 2999), (7, 1234)):
        assert torch.equal(again[key].waveform, dataset[key].waveform)
        assert again[key].key == dataset[key].key
    assert repr(again) == repr(dataset) == "AudioFolder(3000 examples, 0.21 h, 8000 Hz, 10 classes)"


# the progress bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_bar(root, monkeypatch):
    monkeypatch.setattr(scan_module, "_CHUNK", 3)
    for stream, progress, patience, drawn in [
        (Terminal(), None, 1.0, False),  # a quick scan
        (Terminal(), None, -1.0, True),
        (Terminal(), False, -1.0, False),
        (io.StringIO(), None, -1.0, False),  # no terminal
        (io.StringIO(), True, 1.0, True),
    ]:
        monkeypatch.setattr("audiofeed.progress._PATIENCE", patience)
        monkeypatch.setattr(sys, "stderr", stream)
        assert len(AudioFolder(root, progress=progress)) == 12
        monkeypatch.undo()
        monkeypatch.setattr(scan_module, "_CHUNK", 3)
        assert ("reading headers" in stream.getvalue()) == drawn
        if drawn:
            assert "12/12" in stream.getvalue()


@pytest.mark.parametrize("slow", [False, True])
def test_a_slow_scan_goes_on_in_threads_and_keeps_the_order(root, monkeypatch, slow):
    expected = AudioFolder(root)
    honest, threads = scan_module.read_info, set()

    def watched(path):
        threads.add(threading.current_thread().name.split("_")[0])
        return honest(path)

    monkeypatch.setattr(scan_module, "read_info", watched)
    monkeypatch.setattr(scan_module, "_CHUNK", 1)
    monkeypatch.setattr(scan_module, "_SLOW", -1.0 if slow else 1e9)
    threaded = AudioFolder(root)
    assert threads == {"MainThread", "audiofeed-scan"} if slow else {"MainThread"}
    assert threaded.paths == expected.paths
    np.testing.assert_array_equal(threaded.durations, expected.durations)


def test_another_crop_for_a_part(root):
    dataset = AudioFolder(root, crop=CenterCrop(0.005))
    part = dataset.select([4, 9])
    part.crop = RandomCrop(0.01)
    assert dataset.crop == CenterCrop(0.005)
    assert part.durations.tolist() == AudioFolder(root, crop=RandomCrop(0.01)).durations[[4, 9]].tolist()
    assert len({part[epoch, 1].start for epoch in range(20)}) > 5
    assert len(part[0, 1].waveform) == part.durations[1] * 8000 == 80
    with pytest.raises(ValueError, match="number of examples"):
        part.crop = Windows(0.005)
    with pytest.raises(TypeError, match="crop=3"):
        part.crop = 3
    windows = AudioFolder(root, crop=Windows(0.005))
    with pytest.raises(ValueError, match="make the dataset anew"):
        windows.crop = None
    part.crop = None
    assert part.durations.tolist() == AudioFolder(root).durations[[4, 9]].tolist()


@pytest.mark.parametrize("switch", ["mono", "progress"])
def test_texts_are_no_switches(root, switch):
    # as they come out of a file of settings; any text is true
    with pytest.raises(ValueError, match=f"{switch}='no' must be True or False"):
        AudioFolder(root, **{switch: "no"})
