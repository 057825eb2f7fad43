"""docs/frameworks.md: all of its Python, block after block, in a process of its own."""

import pytest

BLOCKS = 8
RUN = f"""
import warnings

warnings.simplefilter("ignore")
from tests.pages import run_page

run_page("frameworks.md", blocks={BLOCKS})
print("done")
"""


def test_every_block_runs(run, tmp_path):
    for name in ("lightning", "transformers", "accelerate", "torchdata"):
        pytest.importorskip(name, reason="pip install -e '.[frameworks]'")
    from parts import make_folder

    make_folder(tmp_path / "recordings")
    (tmp_path / "run.py").write_text(f"import os\n\nos.chdir({str(tmp_path)!r})\n{RUN}")
    assert run(tmp_path / "run.py").rstrip().endswith("done")
