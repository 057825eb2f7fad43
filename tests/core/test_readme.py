"""What the README shows works as shown."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest

import audiofeed.transforms

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

# what "the training loop is the one you had" and "your_dataset" stand for
YOURS = """
import torch
from torch.nn.functional import cross_entropy
head = torch.nn.Linear(80, 2)
def model(features, lengths):
    return head(features.sum(-1) / lengths[:, None])
your_dataset = [(torch.randn(4000 + 100 * i), i) for i in range(10)]
"""
CHECKS = """
assert batch.features.shape[1] == 80 and bool(torch.isfinite(loss))
assert features.shape[:2] == (2, 40) and targets.tolist() == [8, 9]
"""


def write_recordings(folder: Path) -> None:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for take in range(3):
            with wave.open(str(folder / label / f"{take}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                count = 30000 + 7000 * take
                file.writeframes(struct.pack(f"<{count}h", *((37 * i) % 2001 - 1000 for i in range(count))))


def test_the_python_of_the_readme_runs(tmp_path):
    assert len(BLOCKS) == 2
    write_recordings(tmp_path / "recordings")
    code = YOURS + "import audiofeed as af\n" + "\n".join(BLOCKS) + CHECKS
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=None, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_every_path_and_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z][a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for path in set(re.findall(r"(?:pytest|python) ((?:tests|benchmarks)/[\w/.]*)", README)):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
@pytest.mark.torchaudio
def test_the_tables_of_the_readme_are_those_of_the_results_files():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme_tables.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_catalogue_names_every_transform_that_another_library_has_and_no_name_that_is_not_ours():
    """A transform that nobody else has may be added without a change of the README."""
    section = re.split(r"^#+ .*[Cc]atalogue.*$", README, flags=re.MULTILINE)[1]
    rows = [
        line.split(" | ")[0] for line in section.split("\n#")[0].split("<!--")[0].splitlines() if line.startswith("| `")
    ]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    public = [getattr(audiofeed.transforms, name) for name in audiofeed.transforms.__all__]
    compared = {cls.__name__ for cls in public if re.search(r"librosa\.|torchaudio\.|nnAudio", cls.__doc__ or "")}
    assert len(compared) > 40
    assert compared <= named
    assert named <= {cls.__name__ for cls in public}
