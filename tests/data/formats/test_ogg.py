"""Ogg: parts of cut streams, appended streams, and positions that are not true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from audiofeed.data import AudioReadError, read, read_info
from audiofeed.data.readers import ogg_pages
from tests.data.formats.ogg_bytes import cut, encode, join, pages, renumber


def check_parts(path: str) -> torch.Tensor:
    whole, _ = read(path)
    theirs = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(whole.numpy(), theirs)
    info = read_info(path)
    for start in [*range(0, len(whole) - 1000, 2503), len(whole) - 900]:
        part = read(path, start, 900, info=info)[0]
        torch.testing.assert_close(part, whole[start : start + 900], rtol=0, atol=0)
    return whole


@pytest.mark.parametrize("drop", [0, 1, 4])
@pytest.mark.parametrize("less", [-1000, 0, 1, 500, 5000])
def test_a_vorbis_stream_cut_without_encoding_anew(tmp_path, write, drop, less):
    """Its first position is below the samples of its page: parts came from up to a second elsewhere."""
    body = join(cut(pages(encode(tmp_path, seconds=12)), drop, less))
    check_parts(write("a.ogg", body))


def test_which_streams_start_early(tmp_path):
    whole = pages(encode(tmp_path, seconds=12))
    for drop, less, early in [(0, 0, False), (0, 1, True), (0, 5000, True), (3, -2000, False)]:
        body = join(cut(whole, drop, less))
        assert ogg_pages.starts_early(lambda at, count, body=body: body[at : at + count]) is early
    assert ogg_pages.starts_early(lambda at, count: b"")  # decoded from the beginning, then


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("times", [1, 40])
def test_appended_recordings_are_refused(tmp_path, write, subtype, times):
    """The second was dropped without a word, and parts near the end of the first came from elsewhere."""
    one = encode(tmp_path, subtype)
    other = join(renumber(pages(encode(tmp_path, subtype, seconds=3, seed=1)), 99))
    assert read_info(write("one.ogg", one)).frames == 96_000
    for name, body in [
        ("other", one + other * times), ("itself", one * (1 + times)), ("short first", other + one * times),
        ("a header alone", one + bytes(pages(other)[0])),
    ]:  # fmt: skip
        with pytest.raises(AudioReadError, match="several recordings one after the other"):
            read_info(write(f"{name}.ogg", body))


def test_a_long_recording_is_not_walked(tmp_path, write, monkeypatch):
    path = write("a.ogg", encode(tmp_path, seconds=30))
    looked = []
    honest = ogg_pages.read_page
    monkeypatch.setattr(ogg_pages, "_WALKED", 1000)
    monkeypatch.setattr(ogg_pages, "read_page", lambda read, at: looked.append(at) or honest(read, at))
    assert read_info(path).frames == 480_000
    monkeypatch.undo()
    assert len(looked) < 100


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("junk behind", lambda p: join(p) + b"junk" * 999),
        ("junk between", lambda p: join(p[:6]) + b"junk" * 999 + join(p[6:])),
        ("no last page", lambda p: join(p[:-1])),
        ("half a page", lambda p: join(p)[:-500]),
        ("an earlier end", lambda p: join([*p[:-1], replace(p[-1], granule=p[-1].granule - 3000)])),
    ],
)
def test_odd_pages(tmp_path, write, name, change):
    check_parts(write("a.ogg", change(pages(encode(tmp_path)))))


@pytest.mark.parametrize("more", [5000, 200_000_000, 1 << 40, 1 << 62])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_last_position_that_is_not_true(tmp_path, write, subtype, more):
    """torch was asked for 2 TB."""
    whole = pages(encode(tmp_path, subtype))
    path = write("a.ogg", join([*whole[:-1], replace(whole[-1], granule=whole[-1].granule + more)]))
    with pytest.raises(AudioReadError, match=r"more than .* bytes can hold|decoding stops"):
        read(path)
    try:
        read_info(path)
    except AudioReadError:
        return
    with pytest.raises(AudioReadError, match=r"truncated|malformed|decoding stops"):
        read(path, read_info(path).frames - 1000, 1000)


def test_the_header_of_a_broken_setup_is_looked_at_before_a_seek(tmp_path, write):
    """A seek in such a file crashed the process; from the beginning libvorbis says what is wrong."""
    whole = pages(encode(tmp_path))
    body = bytearray(whole[1].body)
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(150):
        at = int(rng.integers(60, len(body)))
        broken = body[:at] + bytes([body[at] ^ 1 << int(rng.integers(8))]) + body[at + 1 :]
        path = write("a.ogg", join([whole[0], replace(whole[1], body=bytes(broken)), *whole[2:]]))
        for start in (50_000, 0):
            try:
                read(path, start, 1000)
            except AudioReadError:
                failed += 1
    assert failed > 100
