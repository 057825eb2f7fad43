"""Each way to extend the package takes as many files as CONTRIBUTING.md says: done here, in a temporary folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
# title -> (whether that is the most, the number of files)
STATED = {
    title: (bool(most), int(number))
    for title, most, number in re.findall(r"^### (.+): (at most )?(\d+) files?$", CONTRIBUTING, flags=re.MULTILINE)
}
(OUR_READER,) = re.findall(r"```python\n(.*?)```", (ROOT / "audiofeed/data/README.md").read_text(), flags=re.DOTALL)
(OUR_FORM,) = re.findall(r"```python\n(.*?)```", (ROOT / "audiofeed/feed/README.md").read_text(), flags=re.DOTALL)


@dataclass(frozen=True)
class Extension:
    """One way to extend the package.

    Args:
        title: Its heading in CONTRIBUTING.md.
        use: A script that fails unless the extension works; it does not count.
        files: The whole text of each file that is new, by its path.
        changes: (old, new) passages for each file that is there already; needs `in_the_package`.
        in_the_package: True for a folder that begins as a copy of the repository, False for an empty one beside it.
    """

    title: str
    use: str
    files: dict[str, str]
    changes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    in_the_package: bool = False


EXTENSIONS = [
    Extension(
        title="A reader of your own",
        files={"npy_reader.py": OUR_READER},
        use="""
import os

import numpy as np
from torch.utils.data import DataLoader

import audiofeed as af
import npy_reader

for label in ("cat", "dog"):
    os.makedirs(f"recordings/{label}")
    for take in range(2):
        np.save(f"recordings/{label}/{take}.npy", np.arange(9000, dtype=np.int16))

if __name__ == "__main__":
    dataset = af.AudioFolder("recordings", crop=af.RandomCrop(0.25))
    mel = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=40)
    collate = af.GPUSpecCollate(mel, device="cpu")
    (batch,) = DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=collate)
    assert batch.features.shape == (4, 40, 26), batch.features.shape
    assert batch.targets.tolist() == [0, 0, 1, 1]
""",
    ),
    Extension(
        title="An item form of your own",
        files={"sessions.py": OUR_FORM},
        use="""
from torch.utils.data import DataLoader

import audiofeed as af
import sessions

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        loader = DataLoader(
            sessions.Session(),
            batch_size=3,
            num_workers=1,
            multiprocessing_context=method,
            collate_fn=af.GPUSpecCollate(af.Spectrogram(64, hop_length=10), device="cpu"),
        )
        (batch,) = loader
        assert batch.features.shape == (3, 33, 11), batch.features.shape
        assert batch.targets.tolist() == [0, 1, 2]
        assert batch.sample_rate == 8000
""",
    ),
    Extension(
        title="A transform of your own",
        in_the_package=True,
        files={
            "audiofeed/transforms/auditory/root.py": '''"""Roots of features."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_positive
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class RootCompression(FeatureTransform):
    """The root of a spectrogram.

    Args:
        degree: of the root, > 0.

    Returns:
        (..., bins, frames), from features of that shape.

    >>> RootCompression()(torch.full((2, 3), 4.0)).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    keeps_bins = True

    def __init__(self, *, degree: float = 2.0) -> None:
        super().__init__()
        self.degree = check_positive("degree", degree)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """The root of clips."""
        return features.clamp(min=1e-12).pow(1.0 / self.degree)
'''
        },
        changes={
            "audiofeed/transforms/__init__.py": [
                (
                    "from audiofeed.transforms.auditory.sinc import SincFilterbank",
                    "from audiofeed.transforms.auditory.root import RootCompression\n"
                    "from audiofeed.transforms.auditory.sinc import SincFilterbank",
                ),
                ('"RMS", ', '"RMS", "RootCompression", '),
            ],
            "tests/transforms/cases/auditory.py": [
                (
                    "from tests.transforms.cases import Case",
                    "from audiofeed.transforms.auditory.root import RootCompression\n"
                    "from tests.transforms.cases import Case",
                ),
                (
                    "CASES = [\n",
                    'CASES = [\n    Case(cls=RootCompression, takes="power", bins=5, small_bins=2, '
                    'others={"degree": [3.0]}),\n',
                ),
            ],
        },
        use="""
import doctest
import subprocess
import sys

import audiofeed as af
from audiofeed.transforms.auditory import root

assert doctest.testmod(root) == (0, 1)
assert "RootCompression" in af.__all__ and af.RootCompression(degree=3.0).degree == 3.0
files = ["tests/transforms/contract", "tests/core/test_layout.py", "tests/docs/test_coming_from.py"]
chosen = "RootCompression or root or public or every or page"
done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen])
assert done.returncode == 0
""",
    ),
    Extension(
        title="A method of your own",
        in_the_package=True,
        files={
            "audiofeed/methods/short_time/double.py": '''"""Short-time spectra by FFT in float64, whatever the dtype."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiofeed.methods.frame_steps import Wanted, through
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time import fft
from audiofeed.methods.spectrum import raise_power


def short_time_spectrum(
    waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, *, graph: bool
) -> torch.Tensor:
    """See `fft.short_time_spectrum`."""
    exact = fft.short_time_spectrum(waveform.double(), lengths, framing, window.double(), graph=graph)
    return exact.to(window.dtype.to_complex())


def short_time_powers(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    framing: Framing,
    window: torch.Tensor,
    *,
    wanted: Sequence[Wanted],
    graph: bool,
) -> list[torch.Tensor]:
    """See `fft.short_time_powers`."""
    spectrum = short_time_spectrum(waveform, lengths, framing, window, graph=graph)
    squared = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    return [
        through(w.steps, raise_power(squared + w.root_offset, w.power), None).transpose(1, 2) for w in wanted
    ]
'''
        },
        changes={
            "audiofeed/methods/short_time/short_time_methods.py": [
                (
                    "from audiofeed.methods.short_time import conv, fft, fused_method, kernel_method",
                    "from audiofeed.methods.short_time import conv, double, fft, fused_method, kernel_method",
                ),
                (
                    '    Method(\n        name="conv",',
                    '    Method(\n        name="double",\n'
                    "        run=Spectra(double.short_time_spectrum, double.short_time_powers),\n"
                    '        filters="analysis_window",\n        cannot=_fft_cannot,\n    ),\n'
                    '    Method(\n        name="conv",',
                ),
            ],
        },
        use="""
import torch

import audiofeed as af

x, lengths = torch.randn(2, 900), torch.tensor([900, 500])
for cls, settings in ((af.STFT, {}), (af.Spectrogram, {"power": 1.0}), (af.MFCC, {"sample_rate": 8000, "n_mels": 20})):
    named, usual = cls(n_fft=128, method="double", **settings), cls(n_fft=128, method="fft", **settings)
    torch.testing.assert_close(named(x, lengths), usual(x, lengths), rtol=1e-4, atol=1e-4)
    assert named.method == "double" and str(named.runs_on(x)) == "double: named by the caller"
    assert cls(n_fft=128, **settings).method == "fft"
for named, match in (("treble", "'fft', 'double' or 'conv'"), ("double", "trainable=True")):
    try:
        af.STFT(128, method=named, trainable=True)
    except ValueError as error:
        assert match in str(error), error
    else:
        raise AssertionError(named)
""",
    ),
]


def make(extension: Extension, folder: Path) -> int:
    """Write the extension's files and return their number."""
    if extension.in_the_package:
        for name in ("audiofeed", "tests", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "Makefile", "pyproject.toml", "CONTRIBUTING.md"):
            shutil.copy(ROOT / name, folder / name)
    for name, text in extension.files.items():
        path = folder / name
        assert not path.exists(), f"{name} is there already: change it with `changes`"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, passages in extension.changes.items():
        text = (folder / name).read_text()
        for old, new in passages:
            assert text.count(old) == 1, f"{name} has {text.count(old)} passages {old!r}"
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return len(extension.files.keys() | extension.changes.keys())


@pytest.mark.slow
@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.title)
def test_an_extension_takes_as_many_files_as_contributing_says(extension, tmp_path, chosen_marks):
    number = make(extension, tmp_path)
    at_most, stated = STATED[extension.title]
    assert number <= stated if at_most else number == stated
    (tmp_path / "use.py").write_text(extension.use)
    package = tmp_path if extension.in_the_package else ROOT
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "use.py"],
        cwd=tmp_path,
        env={**os.environ, **chosen_marks, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_extension_here_has_its_steps_in_contributing():
    assert EXTENSIONS
    for extension in EXTENSIONS:
        assert extension.title in STATED
        steps = CONTRIBUTING.split(f"### {extension.title}:")[1].split("\n### ")[0]
        assert len(re.findall(r"^\d+\. ", steps, flags=re.MULTILINE)) == STATED[extension.title][1]
