"""What the page on targets shows works as shown."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "targets.md").read_text()


def test_the_python_of_the_page_runs(write_pcm, tmp_path, monkeypatch):
    for name in "abc":
        write_pcm(f"recordings/{name}.wav", 16000, rate=16000)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, "targets.md", "exec"), names)


def test_the_examples_that_it_names_exist():
    named = re.findall(r"examples/\w+\.py", PAGE)
    assert len(named) == 3
    assert all((ROOT / name).exists() for name in named)
