"""How long librosa, nnAudio2 and audiofeed take to turn MusicNet's recordings into 34 types of spectrogram.

    python benchmarks/musicnet/musicnet34.py [--scale 0.0005] [--rounds 3] [--device cuda] [--only "CQT,mel"]

The experiment of nnAudio's paper (IEEE Access 2020). `--scale` is the share of the sound that is computed: that many of
the 330 recordings, one call for each, or a part of one; the hours of all are extrapolated by their 34 hours. With
`--device cuda` librosa is left out. The error is the relative L2 distance to float64, over 10 s of a recording. A run
with `--only` measures those types anew, and keeps what the results file has of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
for place in (str(HERE), str(HERE.parent)):
    if place not in sys.path:
        sys.path.insert(0, place)

import numpy as np  # noqa: E402
import peers  # noqa: E402
import torch  # noqa: E402

from musicnet import kinds, recordings  # noqa: E402

OURS, NNAUDIO, LIBROSA = "audiofeed", "nnAudio2", "librosa"
EXCERPT = 10 * recordings.RATE
# Rests let the threads of one library's pool fall asleep before the next one's turn.
REST = 0.05
TRIES = 4
Call = Callable[[np.ndarray], object]


def of_module(module: torch.nn.Module, device: str, on_device: dict[int, torch.Tensor]) -> Call:
    """A call of a module with a recording that lies on the device, ended when its result is there."""
    module = module.to(device)

    def call(y: np.ndarray) -> torch.Tensor:
        x = on_device.get(id(y))
        found = module(torch.from_numpy(y)[None].to(device) if x is None else x)
        if device != "cpu":
            torch.cuda.synchronize()
        return found

    return call


def seconds_of(call: Call, y: np.ndarray) -> float:
    start = time.perf_counter()
    call(y)
    return time.perf_counter() - start


def contenders(
    kind: kinds.Type, device: str, excerpt: np.ndarray, on_device: dict[int, torch.Tensor]
) -> dict[str, Call]:
    """The libraries that have a type: of nnAudio2's modules the one that is fastest on the excerpt."""
    calls = {OURS: of_module(kind.ours(), device, on_device)}
    if kind.librosa is not None and device == "cpu":
        calls[LIBROSA] = kind.librosa
    found = [of_module(make(), device, on_device) for make in kind.nnaudio]
    if found:
        best = found[0]
        if len(found) > 1:
            # the least of several, in turn: one time alone may be another process's
            tried = [[seconds_of(call, excerpt) for call in found] for _ in range(TRIES)]
            best = found[int(np.argmin(np.min(tried, axis=0)))]
        calls[NNAUDIO] = best
    return calls


def values(found: object) -> np.ndarray:
    """A result as an array, without the dimensions of the batch."""
    if isinstance(found, tuple):
        found = found[0]  # nnAudio2's CFP gives its parts, too
    array = found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
    return array.squeeze()


def error(found: object, expected: np.ndarray) -> float | None:
    """The relative L2 distance over the frames that both have; None if the bins are others."""
    array = values(found)
    frames = min(array.shape[-1], expected.shape[-1])
    if array.shape[:-1] != expected.shape[:-1]:
        return None
    return float(np.linalg.norm(array[..., :frames] - expected[..., :frames]) / np.linalg.norm(expected[..., :frames]))


def exact(kind: kinds.Type, excerpt: np.ndarray) -> np.ndarray:
    """The values in float64: librosa's, and ours where it has none."""
    wide = excerpt.astype(np.float64)
    if kind.librosa is not None:
        return values(kind.librosa(wide))
    return values(kind.ours()(torch.from_numpy(wide)))


def measure(kind: kinds.Type, clips: list[np.ndarray], rounds: int, device: str) -> dict:
    """Seconds for all clips, by library: the median over rounds in which each has its turn, and the errors."""
    excerpt = np.ascontiguousarray(clips[0][:EXCERPT])
    on_device = {id(y): torch.from_numpy(y)[None].to(device) for y in clips}
    calls = contenders(kind, device, excerpt, on_device)
    wanted = exact(kind, excerpt)
    errors = {name: error(call(excerpt), wanted) for name, call in calls.items()}
    for call in calls.values():  # fresh memory and caches, untimed
        call(clips[0])
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        names = list(calls)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(REST)
            taken[name].append(sum(seconds_of(calls[name], y) for y in clips))
    return {
        "type": kind.name,
        "seconds": {name: float(np.median(each)) for name, each in taken.items()},
        "rounds": taken,
        "relative_error": errors,
        "load": os.getloadavg()[0],
    }


def cell(result: dict, name: str, hours: float) -> str:
    """Minutes for all of MusicNet, how many times ours, and the error."""
    if name not in result["seconds"]:
        return "has none"
    seconds, ours = result["seconds"][name], result["seconds"][OURS]
    off = result["relative_error"][name]
    times = "" if name == OURS else f", x{seconds / ours:.1f}"
    return f"{seconds * hours * 60:.2f}{times}, {'other bins' if off is None else f'{off:.0e}'}"


def total(results: list[dict], name: str) -> tuple[int, float, float]:
    """Types that a library has, and the seconds that it and ours took for them."""
    own = [result["seconds"] for result in results if name in result["seconds"]]
    return len(own), sum(seconds[name] for seconds in own), sum(seconds[OURS] for seconds in own)


def report(results: list[dict], seconds: np.ndarray, about: dict) -> str:
    """The table, and what is to be said about it."""
    whole = recordings.HOURS * 3600 / seconds.sum() / 3600  # hours of all for each second measured
    names = [OURS, *(name for name in (LIBROSA, NNAUDIO) if any(name in result["seconds"] for result in results))]
    rows = [[result["type"], *(cell(result, name, whole) for name in names)] for result in results]
    sums = []
    for name in names[1:]:
        count, theirs, ours = total(results, name)
        sums.append(
            f"- The {count} types that {name} has: {name} {theirs * whole:.2f} hours, audiofeed {ours * whole:.2f} "
            f"hours: {theirs / ours:.1f} times faster."
        )
    _, everything, _ = total(results, OURS)
    loads = [result["load"] for result in results if "load" in result]
    drawn = ", ".join(f"{own:.0f}" for own in seconds)
    return (
        "Minutes to turn MusicNet's 330 recordings (34 hours, 44.1 kHz) into each type of spectrogram; how many times "
        "audiofeed's that is; relative L2 error against float64.\n\n"
        + peers.markdown(["", *names], rows)
        + "\n"
        + "\n".join([*sums, f"- All {len(results)} types by audiofeed: {everything * whole:.2f} hours."])
        + f"\n\nExtrapolated: {len(seconds)} of the 330 recordings, or a part of one, was computed ({drawn} s), and "
        "the times multiplied by 34 hours over theirs. Recordings are synthesized, their lengths drawn with a fixed "
        f"seed (log-normal about {recordings.MEDIAN:.0f} s, {recordings.SHORTEST:.0f} to {recordings.LONGEST:.0f} s, "
        "scaled to 34 hours in all). Each is one call, in memory; reading the files is not timed. The error is held "
        "against librosa in float64, and against audiofeed's float64 where librosa has not the type; a peer whose "
        "definition is another one shows that there. Of nnAudio2's CQT1992v2 and CQT2010v2 the faster is timed. "
        f"Median of {about['rounds']} rounds, in turn, {about['threads']} threads, beside other work: load average "
        f"up to {max(loads):.0f}.\n\n{about['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + f". Made by `{about['command']}`.\n"
    )


def main() -> int:
    """Measure the types, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=5e-4, help="share of the 34 hours (default: one minute)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--only", default="", help="types whose name begins with one of these; keeps the others of the results file"
    )
    arguments = parser.parse_args()
    if not 0 < arguments.scale <= 1:
        parser.error(f"--scale {arguments.scale} must be in (0, 1]")
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    seconds = recordings.chosen(arguments.scale)
    clips = [recordings.synthesize(own, seed) for seed, own in enumerate(seconds)]
    begins = tuple(filter(None, arguments.only.split(",")))
    on_card = arguments.device == "cuda"
    card = torch.cuda.get_device_name().lower().replace(" ", "-") if on_card else ""
    given = f" --scale {arguments.scale:.4g}" + (" --device cuda" if on_card else "")
    about = {
        "machine": card or peers.machine(),
        "versions": peers.versions("torch", "nnaudio2", "librosa", "numpy"),
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "seconds": seconds.tolist(),
        "command": f"python benchmarks/musicnet/musicnet34.py{given}",
    }
    file = peers.RESULTS / f"musicnet34{'_' if card else ''}{card}.json"
    known = kept(file, about) if begins else {}
    for kind in kinds.types():
        if not begins or kind.name.startswith(begins):
            known[kind.name] = measure(kind, clips, arguments.rounds, arguments.device)
            took = {name: round(taken, 3) for name, taken in known[kind.name]["seconds"].items()}
            sys.stderr.write(f"{kind.name}: {took} {known[kind.name]['relative_error']}\n")
    results = [known[kind.name] for kind in kinds.types() if kind.name in known]
    file.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    peers.write(file.with_suffix(".md").name, report(results, seconds, about))
    return 0


def kept(file: Path, about: dict) -> dict[str, dict]:
    """What a results file has, by type, if it was measured in the same way on the same machine."""
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    same = all(found[name] == about[name] for name in about)
    return {result["type"]: result for result in found["results"]} if same else {}


if __name__ == "__main__":
    sys.exit(main())
