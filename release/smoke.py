"""Use an installed audiofeed as a stranger would, outside of its checkout, and write what worked and what did not.

`python smoke.py RESULT.json [--version V] [--with PACKAGE] [--without PACKAGE]`, beside `stored_log_mel.json`, with
nothing else of the checkout. It needs what the package itself depends on, and nothing more.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("stored_log_mel.json")
SAMPLE_RATE = 16_000
SETTINGS = {"n_fft": 400, "hop_length": 160, "n_mels": 80}
# of float32 against float64, in nats; results/matrix.json has the errors that were found
TOLERANCE = 1e-4
SECONDS_AT_MOST = 300  # for what is started here

# what the README leaves to its reader: a model, a loss, labels
_YOURS = """\
import torch
import audiofeed as af
from torch.nn.functional import cross_entropy
head = torch.nn.Linear(80, 2)
def model(features, lengths):
    return head(features.sum(-1) / lengths[:, None])
"""
_CHECKS = """\
assert batch.features.shape[1] == 80 and bool(torch.isfinite(batch.features).all())
assert bool(torch.isfinite(loss)) and sorted(batch.targets.tolist()) == [0, 0, 0, 1, 1, 1]
"""


def chirp() -> Any:
    """Return a second of a rising tone, a steady one and noise, in 16-bit steps: the same bits on any machine.

    The noise keeps every band loud enough that its logarithm does not show float32's own noise.
    """
    import numpy as np

    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = 0.5 * np.sin(2 * np.pi * (100 * time_s + 1500 * time_s**2)) + 0.05 * np.sin(2 * np.pi * 3000 * time_s)
    tone += np.random.RandomState(0).uniform(-0.1, 0.1, SAMPLE_RATE)  # the generator whose numbers are frozen
    return (np.round(tone * 2**15) / 2**15).astype(np.float32)


class Smoke:
    """The steps; each is a method whose exception is its failure.

    Args:
        folder: an empty folder to work in.
        options: what is said of this environment: its version, what is there and what is not.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.recordings = folder / "recordings"

    def write_recordings(self) -> None:
        """Two classes of three clips each, of three lengths, in three formats."""
        import numpy as np
        import soundfile

        for label in ("cat", "dog"):
            (self.recordings / label).mkdir(parents=True)
            for take, ending in enumerate(("wav", "flac", "ogg")):
                clip = np.resize(chirp(), SAMPLE_RATE + 7000 * take)
                soundfile.write(self.recordings / label / f"{take}.{ending}", clip, SAMPLE_RATE)

    def imports(self) -> None:
        """It is the installed package that is imported, of the version that was asked for."""
        import audiofeed

        place = Path(audiofeed.__file__).resolve()
        purelib = Path(sysconfig.get_path("purelib")).resolve()
        assert purelib in place.parents, f"{place} is imported, which is not below {purelib}"
        assert importlib.metadata.version("audiofeed") == audiofeed.__version__
        if self.options.version is not None:
            assert audiofeed.__version__ == self.options.version, audiofeed.__version__

    def has_what_it_should(self) -> None:
        """Packages that were asked for import, and those that were removed are gone."""
        for package in self.options.present:
            importlib.import_module(package)
        for package in self.options.absent:
            assert importlib.util.find_spec(package) is None, f"{package} is installed"

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run the installed command: what it printed."""
        name = "audiofeed.exe" if os.name == "nt" else "audiofeed"
        return self.run([str(Path(sysconfig.get_path("scripts")) / name), *arguments], code)

    def run(self, command: list[str], code: int = 0) -> str:
        """Run a command within the folder, under a time limit: what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, encoding="utf-8", timeout=SECONDS_AT_MOST,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command} ended with {done.returncode}: {said[-4000:]}"
        return said

    def has_a_command(self) -> None:
        """The command `audiofeed` says its version and its help, and what is here."""
        import audiofeed

        assert self.command("--version").strip() == f"audiofeed {audiofeed.__version__}"
        assert "scan" in self.command("--help")
        lines = json.loads(self.command("info", "--json"))
        assert lines["audiofeed"] == audiofeed.__version__
        for package in self.options.absent:
            assert lines[package] == "not installed", lines[package]
        # the triton of torch 2.6 needs setuptools without saying so; it is for GPUs
        broken = {name: text for name, text in lines.items() if "does not import" in text and name != "triton"}
        assert not broken, broken
        by_kernel = "log-mel by kernel" in lines["on the CPU"]
        assert by_kernel == ("llvmlite" not in self.options.absent), lines["on the CPU"]

    def runs_the_readme(self) -> None:
        """The README's example, as it stands in the installed metadata, trains from a folder of recordings."""
        text = importlib.metadata.metadata("audiofeed").get_payload()
        blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        block = next(block for block in blocks if "AudioFolder(" in block and "GPUSpecCollate(" in block)
        # workers that are spawned import the file
        script = _YOURS + '\nif __name__ == "__main__":\n' + textwrap.indent(block + _CHECKS, "    ")
        (self.folder / "drop_in.py").write_text(script, encoding="utf-8")
        self.run([sys.executable, "-W", "error::UserWarning:audiofeed", "drop_in.py"])

    def equals_the_stored_values(self) -> str:
        """Log-mel by each method equals librosa's in float64, to the float32 that it computes in."""
        import torch

        import audiofeed as af

        waveform = torch.from_numpy(chirp())
        stored = json.loads(STORED.read_text(encoding="utf-8"))
        expected = torch.tensor(list(stored.values()), dtype=torch.float64).T
        errors = {}
        for method in ("auto", "fft", "conv"):
            transform = af.LogMelSpectrogram(sample_rate=SAMPLE_RATE, method=method, **SETTINGS)
            found = transform(waveform)[:, [int(frame) for frame in stored]]
            errors[method] = float((found.double() - expected).abs().max())
        said = ", ".join(f"{method} {error:.1e}" for method, error in errors.items())
        assert max(errors.values()) < TOLERANCE, said
        return said

    def trains(self) -> None:
        """One step with trained filters has finite gradients, to the samples too, and lowers the loss."""
        import torch

        import audiofeed as af

        torch.manual_seed(0)
        waveform = torch.from_numpy(chirp())[None].repeat(2, 1).requires_grad_()
        front = af.LogMelSpectrogram(sample_rate=SAMPLE_RATE, trainable_mel=True, **SETTINGS)
        head = torch.nn.Linear(80, 1)
        parameters = [*front.parameters(), *head.parameters()]
        assert len(parameters) > 2, "no filters are trained"

        def loss() -> torch.Tensor:
            return head(front(waveform).mean(-1)).square().mean()

        before = loss()
        before.backward()
        gradients = [waveform.grad, *(parameter.grad for parameter in parameters)]
        assert all(g is not None and bool(torch.isfinite(g).all()) and bool(g.abs().sum() > 0) for g in gradients)
        size = torch.stack([parameter.grad.square().sum() for parameter in parameters]).sum()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 0.1 * before / size * parameter.grad
        assert float(loss()) < float(before), (float(before), float(loss()))

    def gives_the_same_from_workers(self) -> None:
        """Workers that are spawned give the bits that the process itself gives, resampled and cropped."""
        import torch
        from torch.utils.data import DataLoader

        import audiofeed as af

        dataset = af.AudioFolder(self.recordings, sample_rate=8_000, crop=af.RandomCrop(seconds=0.5))
        collate = af.GPUSpecCollate(af.LogMelSpectrogram(sample_rate=8_000, n_fft=256, n_mels=40), device="cpu")
        batches = []
        for settings in ({"num_workers": 0}, {"num_workers": 1, "multiprocessing_context": "spawn", "timeout": 120}):
            dataset.set_epoch(0)
            batches.append(list(DataLoader(dataset, batch_size=3, collate_fn=collate, **settings)))
        assert len(batches[0]) == len(batches[1]) == 2
        for here, there in zip(*batches, strict=True):
            assert torch.equal(here.features, there.features)
            assert torch.equal(here.targets, there.targets)
            assert here.names == there.names

    def scans(self) -> None:
        """`audiofeed scan` counts the files, writes a manifest that opens, and names a bad file."""
        import audiofeed as af

        assert "6" in self.command("scan", "recordings", "--write", "recordings.csv")
        assert len(af.AudioManifest(self.folder / "recordings.csv")) == 6
        cut = (self.recordings / "cat" / "0.wav").read_bytes()[:30]
        (self.folder / "bad").mkdir()
        (self.folder / "bad" / "cut.wav").write_bytes(cut)
        assert "cut.wav" in self.command("scan", "bad", code=1)

    def takes_torchaudio(self) -> None:
        """torchaudio's mel spectrogram runs in the collate, and ours has its values."""
        import torch
        import torchaudio

        import audiofeed as af

        waveform = torch.from_numpy(chirp())
        theirs = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE, **SETTINGS, pad_mode="constant")
        ours = af.MelSpectrogram(sample_rate=SAMPLE_RATE, mel_scale="htk", norm=None, **SETTINGS)
        batch = af.GPUSpecCollate(theirs, device="cpu")([(waveform, 1), (waveform, 0)])
        expected = batch.features[0]
        error = float((ours(waveform) - expected).abs().max() / expected.max())
        assert error < 1e-5, f"{error:.1e} of the peak"

    def equals_librosa(self) -> str:
        """Log-mel equals that of the librosa which is installed beside it."""
        import librosa
        import numpy as np
        import torch

        import audiofeed as af

        mel = librosa.feature.melspectrogram(y=chirp().astype(np.float64), sr=SAMPLE_RATE, dtype=np.float64, **SETTINGS)
        ours = af.LogMelSpectrogram(sample_rate=SAMPLE_RATE, **SETTINGS)(torch.from_numpy(chirp()))
        error = float(np.abs(ours.double().numpy() - np.log(np.maximum(mel, 1e-10))).max())
        assert error < TOLERANCE, f"{error:.1e} off librosa {librosa.__version__}"
        return f"{error:.1e}"

    def steps(self) -> list[Callable[[], str | None]]:
        """The steps of this environment, in their order."""
        found = [
            self.imports, self.has_what_it_should, self.has_a_command, self.equals_the_stored_values, self.trains,
            self.write_recordings, self.runs_the_readme, self.gives_the_same_from_workers, self.scans,
        ]  # fmt: skip
        found += [self.takes_torchaudio] if "torchaudio" in self.options.present else []
        found += [self.equals_librosa] if "librosa" in self.options.present else []
        return [step for step in found if not self.options.step or step.__name__ in self.options.step]


def versions() -> dict[str, str]:
    """The versions of what decides the outcome, as far as it is installed."""
    found = {"python": sys.version.split()[0]}
    names = ("audiofeed", "torch", "numpy", "scipy", "llvmlite", "soundfile", "miniaudio", "soxr")
    for name in (*names, "torchaudio", "librosa"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main(arguments: list[str] | None = None) -> int:
    """Take all steps, whether or not one fails; 1 if one does.

    Args:
        arguments: of the command line; None takes the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="file to write")
    parser.add_argument("--version", help="that the package must have")
    parser.add_argument("--with", dest="present", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--without", dest="absent", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--step", action="append", metavar="NAME", help="only this one; may be given again")
    options = parser.parse_args(arguments)
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for step in Smoke(Path(folder), options).steps():
            start = time.perf_counter()
            found = error = None
            try:
                found = step()
            except Exception:
                error = traceback.format_exc()
            seconds = round(time.perf_counter() - start, 2)
            done.append({"step": step.__name__, "seconds": seconds, "found": found, "error": error})
    failed = [one for one in done if one["error"] is not None]
    said = {"versions": versions(), "steps": done}
    options.result.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    for one in failed:
        print(one["step"], one["error"], sep="\n", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
