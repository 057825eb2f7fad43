"""How far constant-Q transforms lie from their definition: audiofeed's methods, librosa of two versions, and nnAudio2.

    python benchmarks/exactness.py [--librosa PYTHON] [--check]

The definition is written here in NumPy, in float64 and at the full rate: the clip convolved with each bin's whole
wavelet. Most implementations compute low octaves at lower rates, through filters that are not ideal,
and leave out what is small in a wavelet's spectrum; the distance is what that costs. `--librosa` names the Python of an
environment with another librosa, such as `.venv-librosa/bin/python` after `make beside-librosa`, which is run there.
`--check` exits 1 where `method="exact"` is farther than 1e-5 in any bin, or the default than librosa 1.0 by half.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers

HOP, SECONDS, CLIPS = 512, 10, 4
C1, A0 = 32.70319566257483, 27.5
# Hz, bins, bins in an octave, the lowest bin in Hz
SETTINGS = (
    (22050, 84, 12, C1),
    (22050, 100, 12, C1),
    (16000, 60, 12, C1),
    (22050, 252, 36, C1),
    (44100, 88, 12, A0),
)
KINDS = ("CQT", "VQT")
# the limits of --check: of any bin, and of the default over librosa 1.0
MOST_OF_EXACT, MOST_OVER_LIBROSA = 1e-5, 1.5


def noise(rate: int, clips: int) -> np.ndarray:
    """White noise, loud to its ends.  Shape: (clips, time)."""
    return np.random.default_rng(0).standard_normal((clips, rate * SECONDS)) * 0.1


def bandwidth(per_octave: int) -> float:
    """Half the width of a bin, relative to its frequency: between its neighbors, of their sum."""
    step = 2 ** (2 / per_octave)
    return (step - 1) / (step + 1)


def gamma(kind: str, per_octave: int) -> float:
    """What a VQT's bandwidths have more than a CQT's, in Hz: that of the ear's filters (Glasberg and Moore)."""
    return bandwidth(per_octave) * 24.7 / 0.108 if kind == "VQT" else 0.0


def defined(kind: str, y: np.ndarray, rate: int, bins: int, per_octave: int, f_min: float) -> np.ndarray:
    """The magnitudes of the undecimated transform of one clip.  Shape: (time,) -> (bins, frames).

    Bin k is at f = f_min 2^(k / per_octave). Its wavelet has L = rate / (alpha f + gamma) samples, alpha half its
    relative width: a periodic Hann window over the exponential of f, of sum 1, around sample 0. A value is sqrt(L)
    times the convolution of the clip and the wavelet at the middle of the frame, with zeros beyond the clip.
    """
    alpha, offset = bandwidth(per_octave), gamma(kind, per_octave)
    frames = 1 + len(y) // HOP
    longest = int(np.ceil(rate / (alpha * f_min + offset)))
    size = 1 << int(np.ceil(np.log2(len(y) + 2 * longest)))
    spectrum = np.fft.fft(y, size)
    out = np.empty((bins, frames))
    for k in range(bins):
        frequency = f_min * 2 ** (k / per_octave)
        length = rate / (alpha * frequency + offset)
        at = np.arange(np.floor(-length / 2), np.floor(length / 2))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(at.size) / at.size)
        wavelet = np.zeros(size, complex)
        wavelet[at.astype(int)] = window / window.sum() * np.exp(2j * np.pi * frequency * at / rate)
        products = np.fft.ifft(spectrum * np.fft.fft(wavelet))
        out[k] = np.sqrt(length) * np.abs(products[: frames * HOP : HOP])
    return out


def quiet(make: Callable[[], Any]) -> Any:
    """What a constructor makes, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


Peer = Callable[[np.ndarray], np.ndarray]


def of_audiofeed(kind: str, rate: int, bins: int, per_octave: int, f_min: float) -> dict[str, Peer]:
    """Name -> from clips (clips, time) to magnitudes (clips, bins, frames)."""
    import torch

    import audiofeed as af

    cls = getattr(af, kind)
    settings = {"sample_rate": rate, "n_bins": bins, "bins_per_octave": per_octave, "f_min": f_min, "hop_length": HOP}
    ways = {
        "audiofeed": {},
        'compat="librosa-0.11"': {"compat": "librosa-0.11"},
        'method="exact"': {"method": "exact"},
    }

    def peer(transform: torch.nn.Module) -> Peer:
        def call(y: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return transform(torch.from_numpy(y)).numpy()

        return call

    return {name: peer(cls(**settings, **way)) for name, way in ways.items()}


def of_librosa(kind: str, rate: int, bins: int, per_octave: int, f_min: float) -> dict[str, Peer]:
    """The same for the librosa of this environment."""
    import librosa

    function = getattr(librosa, kind.lower())
    settings = {"sr": rate, "n_bins": bins, "bins_per_octave": per_octave, "fmin": f_min, "hop_length": HOP}
    return {f"librosa {librosa.__version__}": lambda y: np.abs(function(y, **settings))}


def of_nnaudio(kind: str, rate: int, bins: int, per_octave: int, f_min: float) -> dict[str, Peer]:
    """The same for nnAudio2, which computes in float32."""
    import torch
    from nnAudio2 import features

    settings = {"sr": rate, "n_bins": bins, "bins_per_octave": per_octave, "fmin": f_min, "hop_length": HOP}
    if kind == "CQT":
        classes: dict[str, dict[str, Any]] = {"CQT1992v2": {}, "CQT2010v2": {}}
    else:
        classes = {"VQT": {"gamma": gamma(kind, per_octave)}}

    def peer(transform: torch.nn.Module) -> Peer:
        def call(y: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return transform(torch.from_numpy(y.astype(np.float32, copy=False))).numpy()

        return call

    found = {}
    for name, more in classes.items():
        made = quiet(
            lambda name=name, more=more: getattr(features, name)(
                **settings, **more, pad_mode="constant", verbose=False
            ).eval()
        )
        found[f"nnAudio2 {name}"] = peer(made)
    return found


def distances(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Of all values, and of the bin where it is largest: the norm of the difference in parts of the definition's."""
    apart = found - expected
    of_bins = np.linalg.norm(apart, axis=-1) / np.linalg.norm(expected, axis=-1)
    return float(np.linalg.norm(apart) / np.linalg.norm(expected)), float(of_bins.max())


def answer(request: str) -> int:
    """Write the magnitudes and the median seconds of this environment's librosa: what `--librosa` runs elsewhere."""
    kind, *setting = json.loads(Path(request, "setting.json").read_text())
    y, single = np.load(Path(request, "exact.npy")), np.load(Path(request, "single.npy"))
    ((name, call),) = of_librosa(kind, *setting).items()
    np.save(Path(request, "found.npy"), call(y[None])[0])
    taken = []
    call(single)
    for _ in range(5):
        start = time.perf_counter()
        call(single)
        taken.append(time.perf_counter() - start)
    Path(request, "found.json").write_text(json.dumps([name, statistics.median(taken)]))
    return 0


def asked(
    python: str, kind: str, setting: tuple, exact: np.ndarray, single: np.ndarray
) -> tuple[str, float, np.ndarray]:
    """The name, the seconds and the magnitudes of the librosa in another environment."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "setting.json").write_text(json.dumps([kind, *setting]))
        np.save(Path(folder, "exact.npy"), exact)
        np.save(Path(folder, "single.npy"), single)
        subprocess.run([python, __file__, "--answer", folder], check=True)
        name, seconds = json.loads(Path(folder, "found.json").read_text())
        return name, seconds, np.load(Path(folder, "found.npy"))


def main() -> int:
    """Measure every setting, write the tables, and with --check hold them against the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--librosa", metavar="PYTHON", help="Python of an environment with another librosa")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch, for the times")
    parser.add_argument("--check", action="store_true", help="exit 1 beyond the limits")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        return answer(options.answer)
    import torch

    torch.set_num_threads(options.threads)
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for kind in KINDS:
        for setting in SETTINGS:
            rate, bins, per_octave, f_min = setting
            name = f"{kind}, {bins} bins, {per_octave} in an octave from {f_min:.1f} Hz, at {rate} Hz"
            clips = noise(rate, CLIPS)
            single = clips.astype(np.float32)
            expected = defined(kind, clips[0], *setting)
            calls = {**of_audiofeed(kind, *setting), **of_librosa(kind, *setting), **of_nnaudio(kind, *setting)}
            taken = peers.in_turn(
                {peer: lambda call=call, y=single: call(y) for peer, call in calls.items()},
                rounds=options.rounds,
                timed=1,
            )
            row = {
                peer: (*distances(call(clips[:1])[0], expected), statistics.median(taken[peer]))
                for peer, call in calls.items()
            }
            if options.librosa:
                peer, seconds, theirs = asked(options.librosa, kind, setting, clips[0], single)
                row[peer] = (*distances(theirs, expected), seconds)
            found[name] = row
            sys.stderr.write(f"{name}: {row}\n")
    about = peers.versions("torch", "librosa", "nnaudio2", "numpy", "scipy")
    write(
        found,
        about,
        f"{options.threads} thread{'s' if options.threads > 1 else ''} of torch, the median of {options.rounds} rounds",
    )
    return int(options.check and not within(found))


def within(found: dict[str, dict[str, tuple[float, float, float]]]) -> bool:
    """Whether the distances are inside the limits of `--check`."""
    for row in found.values():
        theirs = [row[peer][0] for peer in row if peer.startswith("librosa") and not peer.startswith("librosa 0")]
        if row['method="exact"'][1] > MOST_OF_EXACT or any(row["audiofeed"][0] > MOST_OVER_LIBROSA * d for d in theirs):
            return False
    return True


def write(found: dict[str, dict[str, tuple[float, float, float]]], about: dict[str, str], how: str) -> None:
    """The tables: distances, and times."""
    names = sorted({peer for row in found.values() for peer in row}, key=_place)
    shown = [f"`{peer}`" if "=" in peer else peer for peer in names]

    def cells(show: Callable[[tuple[float, float, float]], str]) -> list[list[str]]:
        return [[name, *(show(row[peer]) if peer in row else "" for peer in names)] for name, row in found.items()]

    text = (
        "How far the magnitudes of constant-Q transforms lie from the definition, computed in float64 at the full "
        "rate: of all values together, and of the bin where it is most, in percent of the definition's norm.\n\n"
        + peers.markdown(["", *shown], cells(lambda cell: f"{percent(cell[0])}, {percent(cell[1])}"))
        + f"\nWhite noise of {SECONDS} s, hop {HOP}, zeros beyond its ends; float64, but for nnAudio2, which computes "
        "in float32. Of each wavelet's spectrum librosa leaves out what sums to 1 % of it (`sparsity`), and so does "
        'audiofeed, but for `method="exact"`.\n\n'
        + f"Milliseconds for {CLIPS} such clips in float32, {how} (a librosa of another environment: by itself, in its "
        "process). They depend on the machine and on what else it does; the distances do not.\n\n"
        + peers.markdown(["", *shown], cells(lambda cell: f"{1e3 * cell[2]:.0f}"))
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}. Made by `python "
        "benchmarks/exactness.py --librosa .venv-librosa/bin/python`.\n"
    )
    peers.write("exactness.md", text)


def percent(share: float) -> str:
    """A share in percent, to two digits."""
    return f"{100 * share:.2g}" if share >= 1e-4 else f"{100 * share:.0e}"


def _place(peer: str) -> tuple[int, str]:
    """Where a column stands: ours, librosa's, nnAudio2's."""
    order = ("audiofeed", "compat", "method", "librosa", "nnAudio2")
    return next(i for i, start in enumerate(order) if peer.startswith(start)), peer


if __name__ == "__main__":
    sys.exit(main())
