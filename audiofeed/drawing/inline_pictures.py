"""Pictures inside a page of HTML, without matplotlib: curves as SVG, and features as a small PNG."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

# viridis at even steps: the same to color-blind eyes and in gray
_VIRIDIS = np.array([
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
    (170, 220, 50), (253, 231, 37),
])  # fmt: skip
# of the 256 colors of a small picture; the last two are what is padding, nearly transparent, and what lies between
_LEVELS, _PADDED, _BETWEEN = 254, 254, 255
_WIDTH, _HEIGHT, _BELOW = 480, 110, 16
_MOST_CURVES = 48
_ROWS, _COLUMNS = 64, 120  # the most of a clip in a small picture
_GAP = 2


def shades(levels: np.ndarray) -> np.ndarray:
    """Return the inline pictures' colors for levels from 0 to 1, as (..., 3) bytes.

    >>> shades(np.array([0.0, 1.0])).tolist()
    [[68, 1, 84], [253, 231, 37]]
    """
    steps = np.linspace(0, 1, len(_VIRIDIS))
    channels = [np.interp(levels, steps, _VIRIDIS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def curves_svg(frequencies: np.ndarray, values: np.ndarray, *, logarithmic: bool = False) -> str:
    """Draw the responses of filters over frequency as an inline SVG picture, in the colors of the page.

    Args:
        frequencies: Hz, rising, (n,).
        values: (filters, n).
        logarithmic: Whether the axis is.

    Returns:
        The element. It says how many filters it leaves out, where there are too many to tell apart.
    """
    count = len(values)
    every = -(-count // _MOST_CURVES)
    shown = values[::every]
    inside = frequencies > 0 if logarithmic else np.ones(len(frequencies), dtype=bool)
    if logarithmic:
        used = np.flatnonzero(inside & values.any(axis=0))
        inside &= frequencies >= frequencies[used[0]] / 2**0.5 if used.size else True
    hertz, shown = frequencies[inside], shown[:, inside]
    low, high = hertz[0], hertz[-1]
    span = np.log(high / low) if logarithmic else high - low
    x = (np.log(hertz / low) if logarithmic else hertz - low) / (span or 1.0) * _WIDTH
    least, most = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    y = (most - shown) / ((most - least) or 1.0) * (_HEIGHT - 4) + 2
    colors = shades(0.2 + 0.65 * np.arange(len(shown)) / max(len(shown) - 1, 1))
    lines = []
    for row, of_row, color in zip(shown, y, colors, strict=True):
        points = _points(x, of_row, np.abs(row) > 0.005 * max(most, -least))
        red, green, blue = color.tolist()
        lines += [f'<polyline points="{text}" stroke="rgb({red},{green},{blue})"/>' for text in points]
    note = f"{count} filters" if every == 1 else f"{count} filters, one of {every} drawn"
    labels = "".join(
        f'<text x="{at:.0f}" y="{_HEIGHT + 12}" text-anchor="{anchor}">{text}</text>'
        for at, anchor, text in (
            (0, "start", f"{low:.0f} Hz"), (_WIDTH / 2, "middle", note), (_WIDTH, "end", f"{high:.0f} Hz"),
        )
    )  # fmt: skip
    return (
        f'<svg role="img" aria-label="Responses of {note} from {low:.0f} to {high:.0f} Hz" width="{_WIDTH}" '
        f'height="{_HEIGHT + _BELOW}" viewBox="0 0 {_WIDTH} {_HEIGHT + _BELOW}" style="max-width:100%">'
        f'<g fill="none" stroke-width="1">{"".join(lines)}</g>'
        f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="currentColor" stroke-opacity="0.5"/>'
        f'<g fill="currentColor" font-size="10" font-family="sans-serif">{labels}</g></svg>'
    )


def _points(x: np.ndarray, y: np.ndarray, used: np.ndarray) -> list[str]:
    """Return the points of an inline picture's curve where it is used, in pieces; of each pixel's width a few."""
    # one point to either side, so that a piece begins and ends on the axis
    wide = used.copy()
    wide[:-1] |= used[1:]
    wide[1:] |= used[:-1]
    places = np.flatnonzero(wide)
    pieces = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if places.size else []
    found = []
    for piece in pieces:
        # at the same half pixel the point that is farthest from the others is that of the largest value
        columns = np.round(x[piece] * 2).astype(int)
        order = np.lexsort((y[piece], columns))
        first = np.unique(columns[order], return_index=True)[1]
        kept = np.sort(piece[order[first]])
        found.append(" ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in kept))
    return found


def features_png(clips: Sequence[np.ndarray], lengths: Sequence[int]) -> str:
    """Draw features of clips side by side, low bins below, as the data URI of a small PNG picture for a page.

    Args:
        clips: (bins, frames) of each, real, already thinned out (`thinned`); bins and frames are those of all.
        lengths: Frames of each that are the clip's own; the others are transparent.

    Returns:
        The URI; "" where no value is finite.
    """
    own = [clip[:, :length] for clip, length in zip(clips, lengths, strict=True)]
    finite = np.concatenate([values[np.isfinite(values)] for values in own] or [np.empty(0)])
    if not finite.size:
        return ""
    low, high = float(finite.min()), float(finite.max())
    bins = clips[0].shape[0]
    gap = np.full((bins, _GAP), _BETWEEN, dtype=np.uint8)
    parts: list[np.ndarray] = []
    for clip, values in zip(clips, own, strict=True):
        pixels = np.full(clip.shape, _PADDED, dtype=np.uint8)
        shown = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        pixels[:, : values.shape[1]] = np.round((shown - low) / ((high - low) or 1.0) * (_LEVELS - 1))
        parts += [pixels, gap]
    image = np.concatenate(parts[:-1], axis=1)[::-1]
    return "data:image/png;base64," + base64.b64encode(_png(image)).decode()


def thinned(bins: int, frames: int) -> tuple[int, int]:
    """Return which bins and frames a small picture of features on a page takes: every so many.

    >>> thinned(128, 1000)
    (2, 9)
    """
    return max(1, -(-bins // _ROWS)), max(1, -(-frames // _COLUMNS))


def _png(image: np.ndarray) -> bytes:
    """Return the PNG file of an inline picture, (rows, columns) of colors from 0 to 255."""
    rows, columns = image.shape
    palette = np.concatenate([shades(np.arange(_LEVELS) / (_LEVELS - 1)), [[128, 128, 128], [0, 0, 0]]]).astype(
        np.uint8
    )
    # each row begins with its filter: none
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), image], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"tRNS", bytes([255] * _LEVELS + [70, 0])),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
