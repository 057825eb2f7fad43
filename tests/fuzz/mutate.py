"""Changes to a file, drawn from a seed: bits, sizes, cuts, copies, and pages of Ogg with right checksums."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from tests.data.formats import ogg_bytes

_INTERESTING = [0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 127, 128, 255]
_SIZES = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFEFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFE, 0xFFFFFFFF,
]  # fmt: skip
_WIDE = [0, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def mutate(files: dict[str, bytes], name: str, seed: int) -> bytes:
    """One to four changes of a file; the same seed gives the same bytes."""
    rng = np.random.default_rng([seed, sum(name.encode())])
    body = bytearray(files[name])
    if name in ("vorbis", "opus") and rng.random() < 0.6:
        return _change_pages(bytes(body), rng)
    for _ in range(int(rng.integers(1, 5))):
        if len(body) < 10:
            break
        _change(body, rng, files)
    return bytes(body)


def _place(body: bytearray, rng: np.random.Generator, width: int) -> int:
    # most of what decides stands at the beginning
    reach = min(len(body), 120) if rng.random() < 0.7 else len(body)
    return int(rng.integers(0, max(1, reach - width)))


def _change(body: bytearray, rng: np.random.Generator, files: dict[str, bytes]) -> None:
    kind = rng.integers(10)
    at = _place(body, rng, 8)
    if kind <= 2:
        body[at] ^= 1 << int(rng.integers(8))
    elif kind == 3:
        body[at] = int(rng.choice(_INTERESTING))
    elif kind <= 5:
        value = int(rng.choice(_SIZES)) if rng.random() < 0.7 else len(body) * int(rng.integers(1, 4)) - at
        body[at : at + 4] = struct.pack("<I" if rng.random() < 0.6 else ">I", value & 0xFFFFFFFF)
    elif kind == 6:
        body[at : at + 8] = struct.pack("<Q" if rng.random() < 0.6 else ">Q", _WIDE[int(rng.integers(len(_WIDE)))])
    elif kind == 7:
        del body[int(rng.integers(8, len(body))) :]
    elif kind == 8:
        length = int(rng.integers(1, 200))
        if rng.random() < 0.5:
            del body[at : at + length]
        else:
            body[at:at] = body[at : at + length]
    else:
        other = files[list(files)[int(rng.integers(len(files)))]]
        begin = int(rng.integers(len(other)))
        body += other[begin : begin + 500] if rng.random() < 0.5 else bytes(int(rng.integers(1, 300)))


def _change_pages(body: bytes, rng: np.random.Generator) -> bytes:
    """Change a page of Ogg and let its checksum be right: libogg drops every other page unseen."""
    pages = ogg_bytes.pages(body)
    for _ in range(int(rng.integers(1, 3))):
        n = int(rng.integers(len(pages)))
        page = pages[n]
        kind = rng.integers(6)
        if kind <= 2:
            data = bytearray(page.body)
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            page = replace(page, body=bytes(data))
        elif kind == 3:
            granule = int(rng.choice([-1, 0, 1, 1 << 20, 1 << 32, 1 << 40, (1 << 62)]))
            page = replace(page, granule=granule if rng.random() < 0.5 else max(0, page.granule - 500))
        elif kind == 4:
            page = replace(page, flags=int(rng.integers(8)), sequence=int(rng.integers(9)))
        elif len(pages) > 3:
            del pages[n]
            continue
        pages[n] = page
    return ogg_bytes.join(pages)
