"""A reader of one's own: the one of audiofeed/data/README.md, in datasets and in workers however they are started."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import audiofeed.data
from audiofeed.data import AudioFile, AudioFolder, AudioInfo, AudioReadError, Reader, read, read_info, register_reader
from audiofeed.data.readers import READERS, known_extensions

(README_CODE,) = re.findall(
    r"```python\n(.*?)```", (Path(audiofeed.data.__file__).parent / "README.md").read_text(), flags=re.DOTALL
)


@pytest.fixture(autouse=True)
def _registered_for_one_test():
    before = list(READERS)
    yield
    READERS[:] = before


@pytest.fixture
def npy():
    """Register the README's reader."""
    names: dict = {}
    exec(README_CODE, names)
    return names["NpyReader"]


@pytest.fixture
def root(tmp_path):
    """Two arrays of int16 and one of float32, at the README's rate of 16 kHz."""
    rng = np.random.default_rng(0)
    for label, samples in {
        "a": rng.integers(-9999, 9999, 8000).astype(np.int16),
        "b": rng.integers(-9999, 9999, 9000).astype(np.int16),
        "c": rng.standard_normal(7000).astype(np.float32),
    }.items():
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "0.npy", samples)
    return tmp_path


class Raw(Reader):
    """Headerless int16, known by its extension alone."""

    name, extensions = "raw", (".raw16",)

    def info(self, file: AudioFile) -> AudioInfo:
        return AudioInfo(file.path, 8000, 1, file.size // 2, "RAW", "PCM_16", data_offset=0)

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        return torch.frombuffer(bytearray(os.pread(file.fd, 2 * frames, 2 * start)), dtype=torch.int16)


def test_a_folder_finds_and_reads_its_files(npy, root):
    dataset = AudioFolder(root, crop=audiofeed.data.RandomCrop(0.25))
    assert dataset.classes == ["a", "b", "c"]
    assert dataset.sample_rate == 16_000
    assert dataset[0].waveform.dtype == torch.int16
    assert dataset[2].waveform.dtype == torch.float32
    for index in range(3):
        example = dataset[index]
        start, length = dataset.crop.place([8000, 9000, 7000][index], 16_000, seed=example.seed)
        stored = np.load(dataset.paths[index])[start : start + length]
        np.testing.assert_array_equal(example.waveform.numpy(), stored)


def test_its_files_are_resampled_and_mixed_down_like_any(npy, tmp_path):
    time = np.arange(16_000) / 16_000
    np.save(tmp_path / "0.npy", np.stack([np.sin(700 * time), np.sin(900 * time)]).astype(np.float32))
    waveform = AudioFolder(tmp_path, sample_rate=8000)[0].waveform
    expected = (np.sin(700 * time) + np.sin(900 * time))[::2] / 2
    assert waveform.shape == (8000,)
    assert np.abs(waveform.numpy() - expected)[100:-100].max() < 1e-3
    assert AudioFolder(tmp_path, mono=False)[0].waveform.shape == (2, 16_000)


def test_without_it_the_folder_has_no_audio(root):
    with pytest.raises(ValueError, match=r"\.wav"):
        AudioFolder(root)


def test_the_first_bytes_decide_before_the_extension(npy, root, tmp_path):
    disguised = root / "a" / "0.npy"
    disguised.rename(root / "a" / "0.wav")
    assert read_info(root / "a" / "0.wav").format == "NPY"
    flac = str(tmp_path / "flac.npy")
    soundfile.write(flac, np.zeros(500), 8000, format="FLAC")
    assert read_info(flac).format == "FLAC"
    assert read(flac)[0].shape == (500,)


def test_an_extension_decides_where_no_first_bytes_do(write):
    register_reader(Raw())
    path = write("a.RAW16", np.arange(-5, 5, dtype="<i2").tobytes())
    info = read_info(path)
    assert (info.frames, info.size, info.reader.name) == (10, 20, "raw")
    assert read(path, 2, 3)[0].tolist() == [-3, -2, -1]
    assert read(path, 2, 3, info=info)[0].tolist() == [-3, -2, -1]


def test_a_file_of_no_known_format_is_named_with_the_known_ones(npy, write):
    path = write("a.xyz", b"no audio at all")
    with pytest.raises(
        AudioReadError, match=r"begins with b'no audio at '; known formats: npy: \.npy; wav: "
    ) as caught:
        read_info(path)
    assert caught.value.path == path
    assert "soundfile: .flac" in caught.value.cause


def test_a_reader_may_leave_a_file_to_the_next(write_pcm):
    asked = []

    class Shy(Raw):
        name, extensions = "shy", (".wav",)

        def matches(self, head: bytes) -> bool:
            return True

        def info(self, file: AudioFile) -> None:
            asked.append(file.path)

    register_reader(Shy())
    path = write_pcm("a.wav", 100)
    assert read_info(path).reader.name == "wav"
    assert asked == [path]


def test_the_last_one_registered_is_asked_first_and_a_name_is_taken_once(write_pcm):
    class OurWav(Raw):
        name, extensions = "our wav", (".wav",)

        def matches(self, head: bytes) -> bool:
            return head.startswith(b"RIFF")

    first, second = OurWav(), OurWav()
    register_reader(first)
    register_reader(second)
    names = ["our wav", "wav", "miniaudio", "mpeg", "torchcodec", "soundfile"]
    assert [reader.name for reader in READERS] == names
    assert read_info(write_pcm("a.wav", 100)).reader is second
    assert len(known_extensions()) == len(set(known_extensions()))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (torch.zeros(3, dtype=torch.int16), r"\(3,\)"),
        (torch.zeros(1, 4, dtype=torch.int16), r"\(1, 4\)"),
        (torch.zeros(4, dtype=torch.float64), "float64"),
    ],
)
def test_a_reader_that_breaks_its_promise_is_told(write, returned, says):
    class Wrong(Raw):
        def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
            return returned

    register_reader(Wrong())
    with pytest.raises(TypeError, match=rf"Wrong\.read returned.*{says}.*must be"):
        read(write("a.raw16", bytes(8)))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("odd header"), EOFError("too short")])
@pytest.mark.parametrize("method", ["info", "read"])
def test_what_it_raises_names_the_file(write, error, method):
    def fail(*_):
        raise error

    register_reader(type("Failing", (Raw,), {method: fail})())
    path = write("a.raw16", bytes(8))
    with pytest.raises(AudioReadError, match=str(error.args[-1])) as caught:
        read(path)
    assert caught.value.path == path
    assert caught.value.offset == (0 if method == "read" else None)


def test_bad_samples_and_bad_types_are_bad_files(npy, root):
    np.save(root / "c" / "1.npy", np.array([0, 0, np.nan, np.inf], dtype=np.float32))
    with pytest.raises(AudioReadError, match="2 samples are NaN or infinite, the first at frame 2"):
        read(root / "c" / "1.npy")
    np.save(root / "c" / "2.npy", np.zeros(4))
    with pytest.raises(AudioReadError, match="float64"):
        read_info(root / "c" / "2.npy")
    with pytest.warns(UserWarning, match="leaves out 1 of 5 files"):
        dataset = AudioFolder(root, on_error="skip")
    assert len(dataset) == 4


def test_no_descriptor_stays_open(npy, root):
    dataset = AudioFolder(root)
    dataset[0]  # maps the counts of its draws, which stay
    gc.collect()  # an earlier test's memory maps
    before = len(os.listdir("/proc/self/fd"))
    for index in range(3):
        dataset[index]
        read(dataset.paths[index])
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before  # fewer where an earlier test ends meanwhile


@pytest.mark.parametrize(
    ("reader", "error", "says"),
    [
        (Raw, TypeError, "must be an instance"),
        ("raw", TypeError, "must be an instance"),
        (type("NoName", (Raw,), {"name": ""})(), ValueError, "NoName.name=''"),
        (type("OneString", (Raw,), {"extensions": ".a"})(), ValueError, "OneString.extensions='.a'"),
        (type("NoDot", (Raw,), {"extensions": ("a",)})(), ValueError, "NoDot.extensions="),
        (type("Upper", (Raw,), {"extensions": (".A",)})(), ValueError, "Upper.extensions="),
    ],
)
def test_what_cannot_be_registered(reader, error, says):
    before = list(READERS)
    with pytest.raises(error, match=says):
        register_reader(reader)
    assert before == READERS


LOOP = """
import sys

from torch.utils.data import DataLoader

from audiofeed.data import AudioFolder, register_reader
from audiofeed.data.readers import READERS
from npy_reader import NpyReader


def keep(batch):
    return [(example.key, example.waveform.numpy().tobytes(), [reader.name for reader in READERS]) for example in batch]


if __name__ == "__main__":
    register_reader(NpyReader(sample_rate=16_000))  # in this process alone
    dataset = AudioFolder(sys.argv[1])
    for method in ("fork", "spawn", "forkserver"):
        loader = DataLoader(dataset, num_workers=1, collate_fn=keep, multiprocessing_context=method)
        (found,) = {tuple(names) for batch in loader for _, _, names in batch}
        assert ("npy" in found) == (method == "fork"), found
        for batch in loader:
            for key, samples, _ in batch:
                assert samples == dataset[dataset.paths.index(key)].waveform.numpy().tobytes()
        print(method)
"""


def test_workers_read_with_it_however_they_are_started(root, tmp_path_factory):
    """Under spawn and forkserver the worker never registers it; the dataset brings it along."""
    folder = tmp_path_factory.mktemp("user")
    body, call, _ = README_CODE.partition("\nregister_reader(")
    assert call
    (folder / "npy_reader.py").write_text(body)
    (folder / "loop.py").write_text(LOOP)
    path = os.pathsep.join([str(Path(audiofeed.data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "loop.py", str(root)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fork", "spawn", "forkserver"]


def test_a_kept_handle_is_opened_once_and_left(write):
    events = []

    @contextlib.contextmanager
    def opener(path):
        events.append("opened")
        yield path
        events.append("left")

    class Kept(Raw):
        def info(self, file: AudioFile) -> AudioInfo:
            assert file.keep(opener) == file.path
            return super().info(file)

        def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
            assert file.keep(opener) == file.path
            return super().read(file, info, start, frames)

    register_reader(Kept())
    assert read(write("a.raw16", bytes(8)))[0].shape == (4,)
    assert events == ["opened", "left"]
