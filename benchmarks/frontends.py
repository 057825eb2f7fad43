"""Front-ends of public training code beside a plain log-mel spectrogram of the same size, each with its error.

    python benchmarks/frontends.py [--rounds 15] [--check]

The front-ends are those of docs/frontends.md, the errors those against their formulas in float64
(tests/transforms/frontends/public_code.py). Plain is `LogMelSpectrogram` of the same n_fft, hop and number of filters,
timed in the same run. `--check` exits 1 where one takes more than 1.3 times as long, chains of our own transforms
included, or is off by more than 1e-5. A module of another kind in a chain takes what it takes, and promises nothing.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import peers
import torch

import audiofeed as af

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the formulas and the page's recipes lie with the tests
from tests.transforms.frontends import public_code, recipes

CLIPS, SECONDS = 16, 10
MOST, WORST = 1.3, 1e-5


def plain_of(transform: torch.nn.Module) -> torch.nn.Module:
    """Plain log-mel of the same rate, frame, hop and number of filters; log1p of a spectrogram for one of none."""
    (spectrum,) = recipes.spectra_of(transform)
    frames = {"n_fft": spectrum.n_fft, "hop_length": spectrum.hop_length}
    if not hasattr(spectrum, "n_mels"):
        return af.Chain(af.Spectrogram(power=1.0, **frames), af.LogCompression(log="log1p"))
    rate = transform.sample_rate
    return af.LogMelSpectrogram(sample_rate=rate, n_mels=spectrum.n_mels or len(spectrum.mel), **frames)


def is_promised(transform: torch.nn.Module) -> bool:
    """Whether all members of a front-end are audiofeed's own."""
    members = list(transform) if isinstance(transform, af.Chain) else [transform]
    return all(type(member).__module__.startswith("audiofeed.") for member in members)


def error_of(name: str, transform: torch.nn.Module) -> float:
    """The largest relative error of float32 clips, ||found - formula|| / ||formula||."""
    worst = 0.0
    for clip in recipes.clips(int(transform.sample_rate)):
        x = torch.from_numpy(clip).float()
        expected = getattr(public_code, name)(x.double().numpy())
        found = transform(x).double().numpy()
        worst = max(worst, float(np.linalg.norm(found - expected) / np.linalg.norm(expected)))
    return worst


def measure(name: str, transform: torch.nn.Module, threads: int, rounds: int) -> tuple[float, float]:
    """Median time in ms, and the median of its ratios to plain log-mel within a round."""
    torch.set_num_threads(threads)
    x = 0.1 * torch.randn(CLIPS, int(transform.sample_rate) * SECONDS, generator=torch.Generator().manual_seed(0))
    plain = plain_of(transform)
    with torch.no_grad():
        seconds = peers.in_turn({name: lambda: transform(x), "plain": lambda: plain(x)}, rounds=rounds, warm_up=0.05)
    return float(np.median(seconds[name]) * 1e3), peers.ratio(seconds, name, "plain")


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true", help="exit 1 where a ratio or an error is above its promise")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, faults = [], []
    for name, transform in recipes.recipes().items():
        with torch.no_grad():
            error = error_of(name, transform)
        cells = [name, " > ".join(type(step).__name__ for step in transform) if isinstance(transform, af.Chain) else ""]
        for threads in (1, 2):
            ms, ratio = measure(name, transform, threads, arguments.rounds)
            cells.append(f"{ms:.1f} ms, x{ratio:.2f}")
            if ratio > MOST and is_promised(transform):
                faults.append(f"{name}, {threads} threads: {ratio:.2f} times plain log-mel, promised {MOST}")
        if error > WORST:
            faults.append(f"{name}: error {error:.1e}, promised {WORST}")
        rows.append([*cells, f"{error:.1e}"])
    about = peers.versions("torch", "numpy")
    text = (
        f"Front-ends of docs/frontends.md on a CPU, {CLIPS} clips of {SECONDS} s: median time, how many times that of "
        "a plain log-mel spectrogram of the same n_fft, hop and number of filters it is (median of the ratios within a "
        "round), and the relative error of float32 against the formula in float64.\n\n"
        + peers.markdown(["front-end", "chain of", "1 thread", "2 threads", "error"], rows)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {arguments.rounds} rounds. "
        "Made by `python benchmarks/frontends.py`.\n"
    )
    peers.write("frontends.md", text)
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return int(arguments.check and bool(faults))


if __name__ == "__main__":
    sys.exit(main())
