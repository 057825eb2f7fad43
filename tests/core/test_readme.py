"""What the README shows works as shown, on one screen; its tables, and those of the pages, are as measured."""

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

LARGEST = 8_000  # bytes
LINES = 10  # of code, by which one's own folder trains
CHECKS = """
assert dataset.classes == ["cat", "dog"] and batch.features.shape[1] == 80 and bool(torch.isfinite(loss))
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


def test_the_readme_fits_on_one_screen_with_the_commands_near_its_top():
    assert len(README.encode()) <= LARGEST
    head = README[: README.index("```python")]
    assert "make demo" in head
    assert "make test" in head
    assert README.count("![") == 1
    rows = re.search(r"<!-- begin summary -->\n((?:\|.*\n)+)", README)[1].splitlines()[2:]
    assert [re.match(r"\| ([\w-]+)", row)[1] for row in rows] == ["Log-mel", "CQT", "End", "Front-end", "Resume"]


def test_the_ten_lines_of_the_readme_train_on_a_folder(tmp_path):
    assert len(BLOCKS) == 1
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) == LINES
    write_recordings(tmp_path / "recordings")
    code = BLOCKS[0] + CHECKS
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=None, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_every_path_and_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z][a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    promises = (ROOT / "docs" / "promises.md").read_text()
    paths = set(re.findall(r"(?:pytest|python) ((?:tests|benchmarks|examples)/[\w/.]*)", README + promises))
    paths |= set(re.findall(r"\]\((?!https?:)([^)#]+)", README))
    assert len(paths) > 15
    for path in paths:
        assert (ROOT / path).exists(), path


@pytest.mark.slow
@pytest.mark.torchaudio
def test_the_tables_of_the_readme_and_the_pages_are_those_of_the_results_files():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme_tables.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_catalogue_names_every_transform_that_another_library_has_and_no_name_that_is_not_ours():
    """A transform that nobody else has may be added without a change of the catalogue."""
    catalogue = (ROOT / "docs" / "catalogue.md").read_text()
    section = re.split(r"^#+ Transforms$", catalogue, flags=re.MULTILINE)[1]
    rows = [
        line.split(" | ")[0] for line in section.split("\n#")[0].split("<!--")[0].splitlines() if line.startswith("| `")
    ]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    public = [getattr(audiofeed.transforms, name) for name in audiofeed.transforms.__all__]
    compared = {cls.__name__ for cls in public if re.search(r"librosa\.|torchaudio\.|nnAudio", cls.__doc__ or "")}
    assert len(compared) > 40
    assert compared <= named
    assert named <= {cls.__name__ for cls in public}
