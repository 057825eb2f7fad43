"""A report's elements and pictures: HTML and inline SVG as trees, so that any text is escaped where it is written."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from audiofeed.survey.text import printable

Element = ElementTree.Element
# the first two of Okabe and Ito's colors, which people who do not see all colors tell apart
BLUE, ORANGE = "#0072B2", "#E69F00"
# ten colors along viridis, a map that reads the same to color-blind eyes and in gray
_VIRIDIS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
_MOST_COLUMNS, _MOST_ROWS = 480, 160
# of a picture of a clip, in units of its own: the frame of what is drawn
_WIDTH, _LEFT, _RIGHT = 340, 40, 334


def tag(kind: str, /, *children: Any, **attributes: Any) -> Element:
    """Make an element of a report's page.

    Args:
        kind: The tag.
        *children: Elements, texts (escaped when the page is written), or iterables of these; None is left out.
        **attributes: Values, made text; None leaves one out. An underscore stands for a hyphen, and one at the end of a
            name is taken away.

    >>> ElementTree.tostring(tag("p", "a < b ", tag("b", "c"), class_="x"), "unicode", "html")
    '<p class="x">a &lt; b <b>c</b></p>'
    """
    texts = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    element = ElementTree.Element(kind, {key: clean(str(value)) for key, value in texts.items()})
    _append(element, children)
    return element


def _append(element: Element, children: Iterable[Any]) -> None:
    for child in children:
        if isinstance(child, ElementTree.Element):
            element.append(child)
        elif isinstance(child, str):
            if len(element):
                element[-1].tail = (element[-1].tail or "") + clean(child)
            else:
                element.text = (element.text or "") + clean(child)
        elif child is not None:
            _append(element, child)


def clean(text: str) -> str:
    r"""Return a text that a report's page may hold: control characters and bytes that are no Unicode are escaped.

    >>> print(clean("a\x1b[2J\udcff"))
    a\x1b[2J\udcff
    """
    return printable(text).encode("utf-8", "backslashreplace").decode()


def data_uri(data: bytes, media: str) -> str:
    """Return a file's bytes as an address within a report's page.

    >>> data_uri(b"abc", "image/png")
    'data:image/png;base64,YWJj'
    """
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def histogram(edges: Sequence[str], counts: Sequence[int], label: str, color: str = BLUE) -> Element:
    """Draw a histogram of a report, with its counts in a table below it for those who do not see it.

    Args:
        edges: Names of the edges, one more than bars; a first of "< ..." or a last of "> ..." names a bar without that
            end.
        counts: Heights of the bars.
        label: What is counted along the axis, with its unit.
        color: Of the bars.
    """
    top, bottom, height = 16, 132, max(max(counts), 1)
    step = (_RIGHT - _LEFT) / len(counts)
    bars = []
    for i, count in enumerate(counts):
        tall = (bottom - top) * count / height
        x = _LEFT + i * step
        bars.append(_shape("rect", x=x + 0.5, y=bottom - tall, width=max(0.5, step - 1), height=tall, fill=color))
    every = -(-len(edges) // 7)
    ticks = [
        _text(edge, _LEFT + i * step, bottom + 13, "middle" if i < len(counts) else "end")
        for i, edge in enumerate(edges)
        if i % every == 0
    ]
    svg = tag(
        "svg",
        bars,
        _shape("line", x1=_LEFT, y1=bottom, x2=_RIGHT, y2=bottom, stroke="#333"),
        _text(f"{height:,}", _LEFT - 4, top + 4, "end"),
        _text("0", _LEFT - 4, bottom, "end"),
        ticks,
        _text(label, (_LEFT + _RIGHT) / 2, bottom + 28),
        viewBox=f"0 0 {_WIDTH} 166",
        role="img",
        aria_label=f"Histogram of {sum(counts):,} clips by {label}; the table below has its numbers",
    )
    rows = [
        (low if low.startswith("<") else high if high.startswith(">") else f"{low} to {high}", f"{n:,}")
        for low, high, n in zip(edges, edges[1:], counts, strict=False)
        if n
    ]
    return tag("figure", svg, tag("details", tag("summary", "numbers"), table((label, "clips"), rows)))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], numbers_from: int = 1) -> Element:
    """Make a table of a report's page, its first column heads of rows, in a box that scrolls where it is too wide.

    Args:
        heads: Of the columns.
        rows: Texts or elements of the cells.
        numbers_from: The first column that is aligned to the right.
    """
    head = tag(
        "thead",
        tag(
            "tr",
            [tag("th", text, scope="col", class_="n" if i >= numbers_from else None) for i, text in enumerate(heads)],
        ),
    )
    body = tag("tbody")
    for first, *others in rows:
        cells = [tag("td", cell, class_="n" if i >= numbers_from else None) for i, cell in enumerate(others, 1)]
        body.append(tag("tr", tag("th", first, scope="row"), cells))
    return tag(
        "div", tag("table", head, body), class_="wide", tabindex="0", role="group", aria_label=f"Table: {heads[0]}"
    )


def waveform_picture(waveform: np.ndarray, length: int, sample_rate: int, label: str) -> Element:
    """Draw the waveform of a report's clip as a band from its lowest to its highest sample, with padding hatched.

    Args:
        waveform: (time,), padding included.
        length: Number of samples that are no padding.
        sample_rate: Hz.
        label: What a reader who does not see it is told.
    """
    top, bottom = 4, 60
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    total = len(waveform)
    columns = min(_RIGHT - _LEFT, length)
    starts = np.unique(np.linspace(0, length, columns, endpoint=False).astype(np.int64))
    own = waveform[:length]
    low, high = np.minimum.reduceat(own, starts), np.maximum.reduceat(own, starts)
    x = _LEFT + (_RIGHT - _LEFT) * starts / total
    upper = [f"{a:.1f},{middle - half * min(1.0, b):.1f}" for a, b in zip(x.tolist(), high.tolist(), strict=True)]
    lower = [f"{a:.1f},{middle - half * max(-1.0, b):.1f}" for a, b in zip(x.tolist(), low.tolist(), strict=True)]
    return tag(
        "svg",
        tag("polygon", points=" ".join([*upper, *reversed(lower)]), fill=BLUE, stroke=BLUE, stroke_width="0.5"),
        _padding(length / total, top, bottom),
        _shape("rect", x=_LEFT, y=top, width=_RIGHT - _LEFT, height=bottom - top, fill="none", stroke="#777"),
        _text("1", _LEFT - 4, top + 8, "end"),
        _text("-1", _LEFT - 4, bottom, "end"),
        _time_axis(total / sample_rate, bottom, "s"),
        viewBox=f"0 0 {_WIDTH} 78",
        role="img",
        aria_label=label,
    )


def features_picture(
    values: np.ndarray,
    frames: int | None,
    scale: tuple[float, float],
    seconds: np.ndarray | None,
    frequencies: np.ndarray | None,
    label: str,
) -> Element:
    """Draw the features of a report's clip, one color for each number, with padding hatched.

    Args:
        values: (bins, frames), padding included.
        frames: Number of frames that are no padding; None if that is not known.
        scale: The values of the lowest and the highest color.
        seconds: Centers of the frames, (frames,); None: they are counted.
        frequencies: Hz of the bins, (bins,); None: they are counted.
        label: What a reader who does not see it is told.
    """
    top, bottom = 4, 132
    bins, total = values.shape
    image = png(_colors(_smaller(values), scale)[::-1])
    if seconds is None or total < 2:
        length, unit = float(total), "frame"
    else:
        length, unit = float(seconds[-1] - seconds[0]) * total / (total - 1), "s"
    return tag(
        "svg",
        tag(
            "image",
            href=data_uri(image, "image/png"),
            x=_LEFT,
            y=top,
            width=_RIGHT - _LEFT,
            height=bottom - top,
            preserveAspectRatio="none",
            style="image-rendering:pixelated",
        ),
        None if frames is None else _padding(frames / total, top, bottom),
        _shape("rect", x=_LEFT, y=top, width=_RIGHT - _LEFT, height=bottom - top, fill="none", stroke="#777"),
        [
            _text(text, _LEFT - 4, bottom - (bottom - top) * place + 4, "end")
            for place, text in _bin_ticks(bins, frequencies)
        ],
        _time_axis(length, bottom, unit),
        viewBox=f"0 0 {_WIDTH} 150",
        role="img",
        aria_label=label,
    )


def color_scale(scale: tuple[float, float], unit: str) -> Element:
    """Draw the colors of a report's pictures beside the values that they stand for.

    Args:
        scale: The values of the lowest and the highest color.
        unit: Of the values.
    """
    bar = png(np.arange(256, dtype=np.uint8)[None, :])
    low, high = f"{scale[0]:.3g}", f"{scale[1]:.3g}"
    return tag(
        "p",
        f"Colors: {low} ",
        tag("img", src=data_uri(bar, "image/png"), alt=f"dark to light, from {low} to {high}", class_="scale"),
        f" {high}{' ' * bool(unit)}{unit}. Hatched: padding.",
        class_="key",
    )


def hatching() -> Element:
    """Make the pattern that the padding in a report's pictures is hatched with."""
    return tag(
        "svg",
        tag(
            "defs",
            tag(
                "pattern",
                tag("rect", width=6, height=6, fill="#fff", fill_opacity="0.85"),
                tag("path", d="M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2", stroke="#555", stroke_width="1"),
                id="padding",
                width=6,
                height=6,
                patternUnits="userSpaceOnUse",
            ),
        ),
        width=0,
        height=0,
        aria_hidden="true",
        style="position:absolute",
    )


def png(colors: np.ndarray) -> bytes:
    """Encode a report's picture of color numbers as PNG with the palette of the report.

    Args:
        colors: (rows, columns) uint8, the first row on top.

    >>> png(np.zeros((2, 3), dtype=np.uint8))[1:4]
    b'PNG'
    """
    rows, columns = colors.shape
    anchors = np.array([[int(color[i : i + 2], 16) for i in (0, 2, 4)] for color in _VIRIDIS], dtype=np.float64)
    places = np.linspace(0, len(anchors) - 1, 256)
    palette = np.stack([np.interp(places, np.arange(len(anchors)), anchors[:, i]) for i in range(3)], axis=1)
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)  # each begins with the number of its filter: none
    lines[:, 1:] = colors
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", np.round(palette).astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _smaller(values: np.ndarray) -> np.ndarray:
    """Return means of a report's features over so many neighbors that a picture has no more than it can show."""
    for axis, most in ((0, _MOST_ROWS), (1, _MOST_COLUMNS)):
        if values.shape[axis] > most:
            starts = np.linspace(0, values.shape[axis], most, endpoint=False).astype(np.int64)
            sizes = np.diff(np.append(starts, values.shape[axis]))
            values = np.add.reduceat(values, starts, axis=axis) / (sizes[:, None] if axis == 0 else sizes)
    return values


def _colors(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Return the color numbers of a report's features."""
    low, high = scale
    share = np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _padding(share: float, top: float, bottom: float) -> Element | None:
    """Hatch what follows a share of the width of a report's picture."""
    if share >= 1:
        return None
    x = _LEFT + (_RIGHT - _LEFT) * share
    return tag(
        "g",
        _shape("rect", x=x, y=top, width=_RIGHT - x, height=bottom - top, fill="url(#padding)", class_="padding"),
        _shape("line", x1=x, y1=top, x2=x, y2=bottom, stroke="#000"),
    )


def _time_axis(length: float, bottom: float, unit: str) -> list[Element]:
    """Label the time axis of a report's picture at round places."""
    steps = [base * 10.0**power for power in range(-4, 8) for base in (1, 2, 5)]
    step = next((step for step in steps if length / step <= 5), length)
    places = [i * step for i in range(int(length / step + 1e-9) + 1)]
    texts = [f"{place:g}" for place in places]
    texts[-1] += f" {unit}"
    return [
        _text(
            text, _LEFT + (_RIGHT - _LEFT) * place / length, bottom + 13, "end" if place > 0.95 * length else "middle"
        )
        for place, text in zip(places, texts, strict=True)
    ]


def _bin_ticks(bins: int, frequencies: np.ndarray | None) -> list[tuple[float, str]]:
    """Return places, 0 to 1 from below, and names of the bins that a report's picture labels."""
    if frequencies is None or frequencies.shape != (bins,) or bins < 2:
        return [(0.0, "0"), (1.0, f"{bins} bins")] if bins > 1 else []
    round_ones = [base * 10**power for power in range(1, 6) for base in (1, 2, 5)]
    inside = [f for f in round_ones if frequencies[0] <= f <= frequencies[-1]]
    places = np.interp(inside, frequencies, (np.arange(bins) + 0.5) / bins)
    kept: list[tuple[float, str]] = []
    # a label needs room: from the top, those that are too close are left out
    for place, frequency in sorted(zip(places.tolist(), inside, strict=True), reverse=True):
        if not kept or kept[-1][0] - place >= 0.12:
            kept.append((place, f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency} Hz"))
    return kept


def _text(text: str, x: float, y: float, anchor: str = "middle") -> Element:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _shape(name: str, class_: str | None = None, **attributes: Any) -> Element:
    numbers = {key: f"{value:.1f}" if isinstance(value, float) else value for key, value in attributes.items()}
    return tag(name, class_=class_, **numbers)
