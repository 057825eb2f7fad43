"""The site that `make docs` has built, page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--site", type=Path, help="the folder of the built site, whose pages are then looked at")


@dataclass
class Page(HTMLParser):
    """What a page of the site refers to, and what may be referred to in it."""

    path: Path
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    without_alt: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.source = self.path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        if tag == "img" and not (given.get("alt") or "").strip():
            self.without_alt.append(str(given.get("src")))


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Path:
    """The folder of the built site."""
    folder = request.config.getoption("--site", default=None)
    if folder is None:
        pytest.skip("looks at the built site: make docs")
    return folder.resolve()


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, Page]:
    """Its pages by their path in the site."""
    found = {
        str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    }
    assert "index.html" in found
    return found
