"""Write the picture of a report for docs/report.md: the demo's sounds, a few broken files, headless Chromium.

python benchmarks/feeds/report_page.py [--out docs/images/report.png]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from audiofeed.demo.synthesis import SoundSet  # noqa: E402
from audiofeed.report import write_report  # noqa: E402
from tests.chromium import Chromium  # noqa: E402

WIDTH, HEIGHT = 1000, 760
# what the picture is of: the head of the page, and the first clips
PARTS = ("body", "#clips")


def main() -> None:
    """Write the picture, and say what it is of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "report.png")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        sounds = SoundSet(Path(folder), per_class=12)
        for _ in sounds.write():
            pass
        data = sounds.root.rename(Path(folder) / "instruments")
        (data / "bell" / "empty.wav").touch()
        (data / "organ" / "page.wav").write_bytes(b"<!DOCTYPE html>")
        # one that was recorded too loud
        first = sorted((data / "bell").glob("*.flac"))[0]
        samples, rate = soundfile.read(first)
        soundfile.write(data / "bell" / "loud.wav", samples * 8, rate)
        page = Path(folder) / "report.html"
        figures = write_report(data, page, crop=1.0, clips=6, device="cpu", speed_seconds=1.0)
        with Chromium() as browser:
            browser.open(page, WIDTH)
            # the same picture wherever it is made
            browser.evaluate("document.querySelector('header code').textContent = 'instruments'")
            for part in PARTS:
                top = browser.evaluate(f"document.querySelector('{part}').getBoundingClientRect().top + scrollY")
                name = out if part == "body" else out.with_stem(f"{out.stem}_clips")
                browser.screenshot(name, {"x": 0, "y": max(0, top), "width": WIDTH, "height": HEIGHT})
                print(f"{name}: {name.stat().st_size / 1000:.0f} kB, of a page of {figures['page_bytes'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
