"""The built pages: links that lead somewhere, pictures with words, a whole page for each name; by `make docs`."""

from __future__ import annotations

import inspect
import re
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.append(str(Path(__file__).resolve().parents[2] / "docs" / "extensions"))

import public_names

LARGEST_SITE = 60  # MB
LARGEST_PAGE = 2.5  # MB


def test_no_link_within_the_site_is_dead(site, pages):
    dead = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            known = pages.get(str(target.relative_to(site))) if target.is_relative_to(site) else None
            if not target.exists():
                dead.append(f"{name}: {link}")
            elif parts.fragment and known and unquote(parts.fragment) not in known.anchors:
                dead.append(f"{name}: {link} (no such place)")
    assert not dead, "\n".join(sorted(set(dead)))


def test_links_to_the_repository_lead_to_files_that_are_there(pages):
    root = Path(__file__).resolve().parents[2]
    links = {link for page in pages.values() for link in page.links}
    paths = {
        found[1]
        for link in links
        if (found := re.search(r"github\.com/audiofeed/audiofeed/(?:blob|tree)/main/([^#]+)", link))
    }
    assert paths
    assert not [path for path in sorted(paths) if not (root / path).exists()]


def test_every_picture_has_words(pages):
    assert any("<img" in page.source for page in pages.values())
    assert not {name: page.without_alt for name, page in pages.items() if page.without_alt}


def test_every_public_name_has_a_page_with_all_arguments_an_example_and_a_see_also(pages):
    lacking = []
    for name in public_names.public_names():
        page = pages.get(f"api/{name.name}.html")
        if page is None:
            lacking.append(f"{name.name}: no page")
            continue
        article = re.search(r"<article.*</article>", page.source, re.DOTALL)[0]
        listed = re.findall(r"<strong>(\w+)</strong>", article)
        shown = re.findall(r'<em class="sig-param">.*?<span class="n"><span class="pre">(\w+)</span>', article)
        lacking += [f"{name.name}: no argument {a}" for a in name.parameters if a not in listed or a not in shown]
        if '<p class="rubric">Example</p>' not in article or "doctest" not in article:
            lacking.append(f"{name.name}: no example")
        if not re.search(r'<p class="rubric">See also</p>\s*<ul.*?<a ', article, re.DOTALL):
            lacking.append(f"{name.name}: no see-also")
    assert not lacking, "\n".join(lacking)


def test_types_are_those_of_the_signature(pages):
    """Not of the class's attributes, which may be None where an argument may not; and no word of a text is one."""
    import audiofeed as af

    text = unescape(re.sub(r"<[^>]*>", "", pages["api/audiofeed.LogMelSpectrogram.html"].source))
    for name, parameter in inspect.signature(af.LogMelSpectrogram).parameters.items():
        assert f"{name} ({parameter.annotation}) \N{EN DASH}" in text, name
    returned = re.search(r"Return type.*?</dd>", pages["api/audiofeed.presets.whisper.html"].source, re.DOTALL)
    assert "Chain" in returned[0]


def test_numbers_of_tables_are_whole(pages):
    cells = re.findall(r"<td.*?</td>", pages["performance.html"].source, re.DOTALL)
    numbers = [cell for cell in cells if re.search(r"\de-\d", cell) and "<code" not in cell]
    assert len(numbers) > 50
    assert not [cell for cell in numbers if re.search(r"(?<!number.>)(?<![\d.])\d[\d.]*e-\d", cell)]


def test_every_command_has_a_page_with_all_options(pages):
    for command in public_names.commands():
        text = unescape(re.sub(r"<[^>]*>", "", pages[f"api/command.{command.name}.html"].source))
        options = set(re.findall(r"--[a-z][a-z-]+", command.text))
        assert options > {"--help"}
        assert not [option for option in options if option not in text]


def test_the_gallery_ran_and_is_heard(pages):
    for name in ("gallery/plot_transforms.html", "gallery/plot_augmentations.html"):
        assert pages[name].source.count("<audio") >= 2, name
        assert pages[name].source.count("_images/sphx_glr_plot") >= 10, name
    listed = pages["gallery/index.html"].source
    assert listed.index("One clip through every transform") < listed.index("Augmentations, heard and seen")


def test_llms_txt_leads_to_pages(site, pages):
    links = re.findall(r"^- \[.*?\]\((.*?)\): ", (site / "llms.txt").read_text(), re.MULTILINE)
    assert len(links) > len(public_names.public_names())
    assert not [link for link in links if link not in pages]
    assert any("llms.txt" in page.links for page in pages.values()), "no page leads to it"


def test_the_site_is_of_modest_size(site, pages):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST_SITE * 1e6
    assert max(len(page.source) for page in pages.values()) < LARGEST_PAGE * 1e6


def test_a_page_shows_the_defaults(pages):
    text = re.sub(r"<[^>]*>", "", pages["api/audiofeed.CQT.html"].source)
    import audiofeed as af

    for name, parameter in inspect.signature(af.CQT).parameters.items():
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        assert f"{name}{default}" in unescape(text)
