"""What the page on pipelines shows works as shown."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "pipelines.md").read_text()


def test_the_python_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, "pipelines.md", "exec"), names)


def test_the_examples_that_it_names_exist():
    named = re.findall(r"examples/\w+\.py", PAGE)
    assert len(named) == 2
    assert all((Path(__file__).resolve().parents[3] / name).exists() for name in named)
