"""A report as one HTML page that needs no other file, no network and no script."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from audiofeed.report.clip_cards import clips_section
from audiofeed.report.drawing import Element, hatching, tag
from audiofeed.report.findings import findings
from audiofeed.report.sections import (
    batches_section,
    classes_section,
    faults_section,
    files_section,
    lengths_section,
    levels_section,
    speed_section,
)
from audiofeed.report.shown_clips import ShownBatch

# nothing is loaded, whatever a file is called
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_STYLE = """
:root { color-scheme: light; --line: #c4c9cf; --soft: #f3f5f7; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; color: #1b1f23; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
p, ul, dl { margin: .4rem 0 .8rem; }
a { color: #0b5394; }
code { font-size: .9em; background: var(--soft); padding: .05rem .2rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none; }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; }
dl.tiles div { background: var(--soft); padding: .5rem .7rem; border-left: 4px solid #0072B2; }
dt { font-size: .85rem; } dd { margin: 0; font-size: 1.15rem; font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: 0; } figure h3 { margin-top: 0; }
svg { display: block; width: 100%; max-width: 34rem; height: auto; font: 10.5px system-ui, sans-serif; fill: #1b1f23; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .92rem; margin: .3rem 0 .8rem; overflow-wrap: normal; }
th, td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tbody th { font-weight: 400; min-width: 8rem; overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { display: inline-block; height: .7rem; background: #0072B2; }
article { border: 1px solid var(--line); padding: .6rem; break-inside: avoid; }
article h3 { margin: 0 0 .2rem; font-size: .95rem; }
article p { font-size: .85rem; margin: .2rem 0; }
audio { width: 100%; height: 2.2rem; }
summary { cursor: pointer; font-size: .9rem; }
.scale { width: 8rem; height: .8rem; vertical-align: middle; }
.binds { background: #fff4d6; border-left: 4px solid #E69F00; padding: .5rem .7rem; font-weight: 600; }
footer { margin-top: 2.5rem; font-size: .85rem; border-top: 1px solid var(--line); }
@media print { body { max-width: none; font-size: 10pt; } audio, nav, summary { display: none; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; } .wide { overflow: visible; } }
"""


def page(figures: Mapping[str, Any], batch: ShownBatch | None) -> bytes:
    """Write the page of a report.

    Args:
        figures: As `write_report` returns them.
        batch: The clips that it shows; None without any.

    Returns:
        HTML in UTF-8.
    """
    name = os.path.basename(os.path.abspath(figures["source"]))
    sections = [
        ("found", "What to look at", findings(figures, batch)),
        ("files", "Files", files_section(figures)),
        ("lengths", "Lengths", lengths_section(figures)),
        ("levels", "Levels, clipping, silence", levels_section(figures)),
        ("classes", "Classes", classes_section(figures)),
        ("clips", "Clips as a batch has them", clips_section(figures, batch)),
        ("faults", "Bad files and duplicates", faults_section(figures)),
        ("batches", "What batches cost", batches_section(figures)),
        ("speed", "Speed", speed_section(figures)),
    ]
    style = ElementTree.Element("style")
    style.text = _STYLE
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: audiofeed report"),
        # without one, a browser asks the server for /favicon.ico
        tag("link", rel="icon", href="data:,"),
        style,
    )
    body = tag(
        "body",
        hatching(),
        tag("header", tag("h1", f"{name}, as a model will see it"), _introduction(figures)),
        tag(
            "nav",
            tag("ul", [tag("li", tag("a", title, href=f"#{key}")) for key, title, _ in sections]),
            aria_label="Sections",
        ),
        tag(
            "main",
            [
                tag("section", tag("h2", title, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title")
                for key, title, content in sections
            ],
        ),
        tag(
            "footer",
            tag(
                "p",
                f"Written by audiofeed {_version()} on {time.strftime('%Y-%m-%d %H:%M')}, seed "
                f"{figures['seed']}. The page holds all that it shows and asks no server.",
            ),
        ),
    )
    tree = tag("html", head, body, lang="en")
    return b"<!DOCTYPE html>\n" + ElementTree.tostring(tree, "unicode", "html").encode() + b"\n"


def _introduction(figures: Mapping[str, Any]) -> list[Element]:
    # without the settings that are left alone
    crop = re.sub(r", \w+=(None|False)", "", figures["crop"] or "whole clips")
    return [
        tag("p", "Data: ", tag("code", figures["source"])),
        tag(
            "p",
            f"Batches: {figures['batch_sample_rate']:,} Hz, channels averaged, {crop}, features by ",
            tag("code", figures["transform"]),
            ".",
        ),
        tag(
            "details", tag("summary", "the transform's settings"), tag("p", tag("code", figures["transform_settings"]))
        ),
    ]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("audiofeed")
    except PackageNotFoundError:  # a checkout that was not installed
        return ""
