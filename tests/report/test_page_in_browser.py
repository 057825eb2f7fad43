"""The page of a report in headless Chromium: no complaint, no request, no overflow on a phone, sound that plays."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiofeed.report import write_report
from tests.chromium import NAMES, Chromium, find_chromium

pytestmark = pytest.mark.skipif(find_chromium() is None, reason=f"none of {', '.join(NAMES)} is on PATH")

WIDE = "document.documentElement.scrollWidth"
# elements that reach beyond the window and are in no box that scrolls
OVERFLOWING = """
[...document.querySelectorAll('main *, header *, nav *, footer *')]
  .filter(e => !e.closest('.wide > *') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 90))
"""
SOUNDS = """
Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {
  audio.onloadedmetadata = () => done(audio.duration);
  audio.onerror = () => done(audio.error.message);
  audio.preload = 'metadata'; audio.load();
})))
"""
# the smallest ratio of luminances of a text and what lies behind it, as WCAG counts it
CONTRAST = """
(() => {
  const light = color => {
    const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = color.match(/[\\d.]+/g).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!color.endsWith(', 0)')) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('p, li, td, th, dd, dt, a, h1, h2, h3, summary, code')];
  return Math.min(...texts.map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
})()
"""


@pytest.fixture(scope="module")
def browser():
    with Chromium() as found:
        yield found


@pytest.fixture(scope="module")
def shown(written, tmp_path_factory):
    """A page, and the figures on it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return path, write_report(written, path, device="cpu", speed_seconds=0.1, progress=False)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_without_complaint_request_or_overflow(browser, shown, width):
    path, _ = shown
    browser.open(path, width)
    assert browser.evaluate("innerWidth") == width
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.evaluate(WIDE) <= width
    assert browser.evaluate(OVERFLOWING) == []
    # what is folded away counts, too
    browser.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert browser.evaluate(WIDE) <= width
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.evaluate(CONTRAST) >= 4.5


def test_every_sound_plays_for_the_length_of_its_clip(browser, shown):
    path, figures = shown
    browser.open(path, 1280)
    assert browser.evaluate(SOUNDS) == [pytest.approx(clip["seconds"], abs=0.01) for clip in figures["shown"]]


def test_the_driver_sees_complaints_requests_and_overflow(browser, tmp_path):
    """What the tests above rely on."""
    path = Path(tmp_path / "bad.html")
    path.write_text(
        "<!DOCTYPE html><title>x</title><img src='http://127.0.0.1:9/a.png'><main><p style='width:2000px'>x</p></main>"
        "<script>console.error('oh'); throw Error('ah')</script>"
    )
    browser.open(path, 390)
    told = " ".join(browser.complaints())
    assert "oh" in told
    assert "ah" in told
    assert "http://127.0.0.1:9/a.png" in browser.requests()
    assert browser.evaluate(OVERFLOWING)
