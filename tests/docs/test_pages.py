"""Every block of code on every page runs, and what pages name exists."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks_in, blocks_of, pages

SECONDS = 120
LANGUAGES = {"python", "run", "bash", "sh", "console", "text", "diff", "csv", "json", "toml", "yaml", ""}


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str, Path], dict]]:
    """Runs a page in a folder, in a process of its own, under a time limit."""
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg",
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.page_server"],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip

    def run(page: str, folder: Path) -> dict:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps({"page": page, "folder": str(folder), "seconds": SECONDS}) + "\n")
        server.stdin.flush()
        ready, _, _ = select.select([server.stdout], [], [], 2 * SECONDS)
        assert ready, f"no answer about {page}"
        return json.loads(server.stdout.readline())

    with server:
        try:
            yield run
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("page", [page for page in pages() if blocks_of(page)])
def test_every_block_of_a_page_runs(run, page, tmp_path):
    done = run(page, tmp_path)
    assert done["code"] == 0, done["output"]
    if done["missing"]:
        pytest.skip(f"all but the blocks that need {', '.join(done['missing'])} ran: not installed")


def test_a_page_that_fails_is_seen(run, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- run\nx = 1\n-->\n\n```python\nassert x == 2\n```\n")
    done = run(os.path.relpath(page, ROOT), tmp_path)
    assert done["code"] == 1
    assert "line 6" in done["output"]
    for text in ("$ audiofeed scan nothing/\n", "audiofeed demo --no-such-option\n", "audiofeed scan --none\n"):
        page.write_text(f"```bash\n{text}```\n")
        (tmp_path / "again").mkdir()
        assert run(os.path.relpath(page, ROOT), tmp_path / "again")["code"] == 1, text
        (tmp_path / "again").rename(tmp_path / re.sub(r"\W", "", text))


def test_the_quick_start_is_the_ten_lines_of_the_readme():
    first, readme = (
        next(block for block in blocks_of(page) if block.language == "python")
        for page in ("docs/guide/quick_start.md", "README.md")
    )
    assert first.text == readme.text
    assert len([line for line in first.text.splitlines() if line]) <= 10
    assert "backward" in first.text


def test_the_blocks_of_a_page_are_found():
    text = (
        "<!-- needs: torch, no_such -->\n```python\na\n\nb\n```\n1. x\n   ```bash\n   c\n   ```\n"
        ":::{tab}\n```python\nd\n```\n:::"
    )
    found = blocks_in(text)
    assert [(block.language, block.text, block.line) for block in found] == [
        ("python", "a\n\nb", 3), ("bash", "c", 9), ("python", "d", 13),
    ]  # fmt: skip
    assert [block.needs for block in found] == [("torch", "no_such"), (), ()]


@pytest.mark.parametrize("page", pages())
def test_what_a_page_names_exists(page):
    """Files, make targets and extras; and that no block of code hides behind another name of its language."""
    text = (ROOT / page).read_text()
    languages = {block.language for block in blocks_of(page)}
    assert {name for name in languages if not name.startswith("{")} <= LANGUAGES
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^|\$ )make ([a-z][a-z-]*)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    for path in re.findall(r"\b(?:examples|benchmarks|tests)/[\w/.-]*\w", text):
        assert (ROOT / path).exists(), path
    extras = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    for names in re.findall(r"audiofeed\[([\w,-]+)\]|install (?:-e )?[\"']?\.\[([\w,-]+)\]", text):
        for name in "".join(names).split(","):
            assert re.search(rf"^{name} = ", extras, flags=re.MULTILINE), f"[{name}]"
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http", "mailto:")) and "/gallery/" not in link and "/api/" not in link:
            assert ((ROOT / page).parent / link).exists(), link
