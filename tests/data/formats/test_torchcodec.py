"""Files that only FFmpeg decodes, by torchcodec; most of it where both are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave

import pytest
import torch

import audiofeed as af
from audiofeed.data import AudioReadError, read, read_info
from audiofeed.data.readers import torchcodec_reader

FILES = {
    "aac.m4a": ["-c:a", "aac"],
    "raw.aac": ["-c:a", "aac"],
    "stereo.m4a": ["-ac", "2", "-c:a", "aac"],
    "lossless.m4a": ["-c:a", "alac"],
    "vorbis.mka": ["-c:a", "libvorbis"],
    "opus.webm": ["-c:a", "libopus", "-ar", "48000"],
    "media.wma": ["-c:a", "wmav2"],
}


@pytest.fixture(scope="session")
def ffmpeg():
    if shutil.which("ffmpeg") is None or not torchcodec_reader.is_installed():
        pytest.skip("needs ffmpeg and torchcodec")


@pytest.fixture(scope="session")
def folder(ffmpeg, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ffmpeg")
    for name, options in FILES.items():
        source = ["-f", "lavfi", "-i", "anoisesrc=duration=1.3:sample_rate=16000:seed=1"]
        subprocess.run(["ffmpeg", "-loglevel", "error", *source, *options, str(folder / name)], check=True)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_samples_are_ffmpegs_and_a_part_is_that_part_of_the_whole(folder, name):
    info = read_info(folder / name)
    whole, rate = read(folder / name)
    raw = subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", str(folder / name), "-f", "f32le", "-"], capture_output=True, check=True
    ).stdout
    expected = torch.frombuffer(bytearray(raw), dtype=torch.float32).view(-1, info.channels).T
    assert (info.channels, info.frames, info.sample_rate) == (expected.shape[0], whole.shape[-1], rate)
    # Windows Media: FFmpeg's own program gives a last block of padding besides
    torch.testing.assert_close(whole.view(info.channels, -1), expected[:, : info.frames], rtol=0, atol=2e-6)
    for start, frames in [(0, 1), (777, 5000), (info.frames - 1, 1), (1, info.frames - 1)]:
        part, _ = read(folder / name, start, frames, info=info)
        assert torch.equal(part, whole[..., start : start + frames])


def test_a_folder_has_them(folder):
    dataset = af.AudioFolder(folder, sample_rate=16000, crop=af.RandomCrop(0.5))
    assert {path.rsplit("/", 1)[-1] for path in dataset.paths} == set(FILES) - {"opus.webm"}
    assert all(example.waveform.shape == (8000,) for example in dataset)


def test_a_broken_file_is_an_error_of_that_file(folder, tmp_path):
    (tmp_path / "cut.m4a").write_bytes((folder / "aac.m4a").read_bytes()[:600])
    with pytest.raises(AudioReadError, match="FFmpeg"):
        read(tmp_path / "cut.m4a")


MP4 = b"\x00\x00\x00\x1cftypM4A \x00\x00\x02\x00" + bytes(64)


@pytest.mark.parametrize("name", ["a.m4a", "a.wav", "a"])
def test_without_torchcodec_the_error_says_what_to_install(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    (tmp_path / name).write_bytes(MP4)
    with pytest.raises(AudioReadError, match=r"FFmpeg is needed.*pip install 'audiofeed\[torchcodec\]'"):
        read(tmp_path / name)


def test_without_torchcodec_a_folder_does_not_look_for_them(monkeypatch):
    monkeypatch.setattr(torchcodec_reader, "is_installed", lambda: False)
    assert ".m4a" not in af.data.readers.registry.known_extensions()
    monkeypatch.setattr(torchcodec_reader, "is_installed", lambda: True)
    assert ".m4a" in af.data.readers.registry.known_extensions()


def test_a_folder_says_what_to_install_for_the_files_that_it_passes_over(monkeypatch, tmp_path):
    monkeypatch.setattr(torchcodec_reader, "is_installed", lambda: False)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", None))
        file.writeframes(bytes(400))
    (tmp_path / "b.m4a").write_bytes(MP4)
    with pytest.warns(UserWarning, match=r"1 \.m4a;.* for \.m4a: pip install 'audiofeed\[torchcodec\]'"):
        assert len(af.AudioFolder(tmp_path)) == 1


@pytest.mark.parametrize(
    ("head", "known"),
    [
        (MP4, True),
        (b"\x1a\x45\xdf\xa3" + bytes(30), True),
        (b"#!AMR\n" + bytes(30), True),
        (b"\xff\xf1\x50\x40\x01\x7f\xfc" + bytes(4) + b"\xff\xf1", True),  # AAC, a frame of 11 bytes
        (b"\xff\xf1\x50\x40\x01\x7f\xfc" + bytes(30), False),
        (b"\xff\xfb\x90\x64" + bytes(400), False),  # MP3
        (b"RIFF\x00\x00\x00\x00WAVE", False),
        (b"", False),
    ],
)
def test_first_bytes(head, known):
    assert torchcodec_reader.TorchcodecReader().matches(head) is known
