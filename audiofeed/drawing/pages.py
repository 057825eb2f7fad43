"""Fragments of HTML pages for notebooks: escaped, without a style sheet, in the colors of the page, light or dark."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_LONGEST = 120  # characters of a value
_TABLE = "border-collapse:collapse;margin:4px 0;font-size:90%"
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;border:0;background:transparent;color:inherit"
_LINE = "border-bottom:1px solid rgba(128,128,128,0.35)"


def escaped(text: object) -> str:
    """Return any text, a file's name or a label, as it may stand in a page of HTML.

    >>> escaped("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return html.escape(str(text))


def table(rows: Iterable[Sequence[object]], heads: Sequence[str] = ()) -> str:
    """Return rows of plain text as an HTML table of a page, escaped and left-aligned."""
    lines = []
    if heads:
        cells = "".join(f'<th style="{_CELL};{_LINE}">{escaped(head)}</th>' for head in heads)
        lines.append(f"<tr>{cells}</tr>")
    for row in rows:
        cells = "".join(f'<td style="{_CELL}">{escaped(shortened(str(cell)))}</td>' for cell in row)
        lines.append(f'<tr style="background:transparent">{cells}</tr>')
    return f'<table style="{_TABLE}"><tbody>{"".join(lines)}</tbody></table>'


def line(text: object) -> str:
    """Return plain text as a line of a page."""
    return f"<div>{escaped(text)}</div>"


def preformatted(text: str) -> str:
    """Return a table of plain text as it stands on a page, in letters of one width.

    >>> preformatted("a < b")
    '<pre style="color:inherit;background:transparent;margin:4px 0">a &lt; b</pre>'
    """
    return f'<pre style="color:inherit;background:transparent;margin:4px 0">{escaped(text)}</pre>'


def folded(title: object, body: str) -> str:
    """Return a part of a page that is opened by a click on its title.

    Args:
        title: Plain text.
        body: HTML.
    """
    return f'<details style="margin:2px 0 2px 8px"><summary>{escaped(title)}</summary>{body}</details>'


def page(title: object, after: object, *parts: str) -> str:
    """Return a page of its parts.

    Args:
        title: Plain text, bold.
        after: Plain text after it on the same line.
        parts: HTML.
    """
    return f"<div><div><b>{escaped(title)}</b> {escaped(after)}</div>{''.join(parts)}</div>"


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return text of a page's table without its middle where it is too long.

    >>> shortened("abcdefghij", 7)
    'ab...ij'
    """
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept // 2]}...{text[len(text) - kept // 2 :]}"


def guarded(thing: Any, make: Callable[[Any], str]) -> str:
    """Return the page that a function makes of a thing; if that fails, its name and the error: a notebook must go on.

    >>> guarded(3, lambda thing: 1 / 0)
    '<div><div><b>int</b> cannot be shown: ZeroDivisionError: division by zero</div></div>'
    """
    try:
        return make(thing)
    except Exception as error:  # noqa: BLE001  what cannot be shown must not keep a notebook from its next line
        try:
            cause = shortened(f"{type(error).__name__}: {error}")
        except Exception:  # noqa: BLE001  the error's own text may fail, too
            cause = type(error).__name__
        return page(type(thing).__name__, f"cannot be shown: {cause}")
