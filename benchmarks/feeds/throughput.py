"""Feeds of several libraries, from files to batches of log-mel features: clips per second, memory, and the error.

    python benchmarks/feeds/throughput.py [--corpora "WAV of 1 s" ...] [--rounds 3] [--check]
    python benchmarks/feeds/throughput.py --append --rounds 1      # one more round for the rounds that are there

Every feed has a process of its own, forked from one that has imported all libraries, and goes through the same files;
in every round each has its turn, so that a noisy minute meets them all, and the ratios are medians of the ratios within
a round. What a loader takes to start does not count: epochs are long, and the clock runs in the middle of one. The
memory is what the processes of the feed hold, shared pages counted once (PSS), less what the libraries take that were
imported. A package that is not installed is a line of the table. `--check` exits 1 where ours is below its promise.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import peers

from feeds.corpora import CORPORA, SHARDS, Corpus, definition, write_features, write_files, write_shards
from feeds.ways import ALONE, BY_TORCHAUDIO, KEPT, ON_DISK, OURS, WAYS, Source, Way

# batches that start the loader, and seconds for its caches to fill, before the clock runs; then seconds that are timed,
# and seconds in which the memory is looked at after each batch
STARTING, WARMING, TIMED, LOOKING = 4, 0.7, 1.5, 0.3
# clips whose features are held against the definition
CHECKED = 4
# of soundfile's decoding alone on two threads, and of torchaudio in the dataset with as many workers
LEAST_OF_DECODING, LEAST_OF_TORCHAUDIO = 0.85, 2.5
# for which corpora: elsewhere decoding is not what binds
PROMISED = ("FLAC of 4 to 16 s",)
THREADS = 2
DECODERS = ("soundfile", "miniaudio")
PACKAGES = ("torch", "torchaudio", "librosa", *DECODERS, "numpy", "nnaudio2", "lhotse", "webdataset", "spdl")


def held(pid: int) -> int:
    """Bytes that a process and its children hold, those that it shares with others in parts."""
    total, names = 0, [str(pid)]
    while names:
        name = names.pop()
        try:
            names += Path(f"/proc/{name}/task/{name}/children").read_text().split()
            for line in Path(f"/proc/{name}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += 1024 * int(line.split()[1])
        except OSError:  # it has ended
            continue
    return total


def in_child(work: Callable[[], Any]) -> Any:
    """What a function gives in a process of its own, forked from this one; None if the process died."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def run() -> None:
        there.send(work())

    process = context.Process(target=run)
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return None
    finally:
        process.join(60)


def timed(way: Way, source: Source) -> dict[str, float]:
    """The rate of a feed, its memory and its error, in this process."""
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    gc.collect()
    before = held(os.getpid())
    once, single = way.feed(source)
    clips, counted, taken, most = 0, 0, 0.0, 0
    started = begun = time.perf_counter()
    for number, count in enumerate(once(), 1):
        clips += count
        now = time.perf_counter()
        if not counted and number >= STARTING and now > started + WARMING:
            begun, counted = now, clips
        elif counted and not taken and now > begun + TIMED:
            taken, counted = now - begun, clips - counted
        elif taken:
            most = max(most, held(os.getpid()))
            if now > begun + taken + LOOKING:
                break
    if not taken:
        raise ValueError(f"a pass of {clips} clips is too short for {way.name}")
    found = {"rate": counted / taken, "clips": counted, "memory": most - before}
    if single is not None:
        whole = [soundfile.read(path, dtype="float32")[0] for path in source.paths[:CHECKED]]
        found["error"] = max(float(abs(single(clip) - definition(clip)).max()) for clip in whole)
    return found


def missing(way: Way) -> list[str]:
    """Packages of a feed that are not installed."""
    return [package for package in way.needs if importlib.util.find_spec(package) is None]


def prepared(folder: Path, corpus: Corpus) -> tuple[list[str], list[str], list[str]]:
    """A corpus's files, its shards and its features on disk, written if they are not there."""
    places = [folder / corpus.ending / str(corpus.files) / kind for kind in ("files", "shards", "features")]
    done = places[0].parent / "done"
    if not done.exists():
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        paths = write_files(places[0], corpus)
        write_shards(places[1], paths)
        features = [definition(soundfile.read(path, dtype="float32")[0]).astype("float32") for path in paths]
        write_features(places[2], paths, features)
        done.touch()
    return tuple(sorted(str(path) for path in place.iterdir()) for place in places)  # type: ignore[return-value]


def a_round(corpus: Corpus, folder: Path) -> dict[str, dict[str, float]]:
    """Every feed for some seconds."""
    paths, shards, features = in_child(lambda: prepared(folder, corpus))
    found = {}
    for way in WAYS:
        if not missing(way):
            source = Source(corpus, paths, shards, features, way.workers)
            found[way.name] = in_child(lambda way=way, source=source: timed(way, source))  # type: ignore[misc]
            sys.stderr.write(f"{corpus.name}: {way.name}: {found[way.name]}\n")
    held_on_disk = [sum(os.path.getsize(path) for path in kind) for kind in (paths, features)]
    found[ON_DISK] = {"audio": held_on_disk[0], "features": held_on_disk[1]}
    return found


def median(rounds: list[dict[str, Any]], name: str, what: str) -> float:
    """A feed's median over the rounds."""
    return statistics.median(r[name][what] for r in rounds)


def ratio(rounds: list[dict[str, Any]], name: str, other: str) -> float:
    """How many times as many clips a second as another feed: the median of the ratios within a round."""
    return statistics.median(r[name]["rate"] / r[other]["rate"] for r in rounds)


def ran(rounds: list[dict[str, Any]], name: str) -> bool:
    """Whether a feed gave a result in every round."""
    return all(r.get(name) for r in rounds)


def section(corpus: Corpus, rounds: list[dict[str, Any]]) -> str:
    """The table of one corpus, and what it comes to."""
    best = max((way.name for way in WAYS if way.feed.__name__ == "audiofeed"), key=lambda n: median(rounds, n, "rate"))
    rows = []
    for way in WAYS:
        if missing(way) or not ran(rounds, way.name):
            why = f"{', '.join(missing(way))} not installed" if missing(way) else "it failed"
            rows.append([way.name, why, "", "", "", ""])
            continue
        error = median(rounds, way.name, "error") if "error" in rounds[0][way.name] else None
        rows.append([
            way.name,
            f"{median(rounds, way.name, 'rate'):.0f}",
            f"{100 * ratio(rounds, way.name, ALONE):.0f} %",
            f"{ratio(rounds, way.name, best):.2f}",
            f"{median(rounds, way.name, 'memory') / 1e6:.0f}",
            "-" if error is None else f"{error:.0e}",
        ])  # fmt: skip
    audio, features = (rounds[0][ON_DISK][kind] for kind in ("audio", "features"))
    others = [way.name for way in WAYS if not (missing(way) or way.name.startswith((OURS, "soundfile")))]
    ratios = {name: ratio(rounds, name, best) for name in others if ran(rounds, name)}
    faster = [f"{name} ({times:.1f} times)" for name, times in ratios.items() if times > 1]
    kept = ""
    if ran(rounds, KEPT):
        on_disk = max(
            (w.name for w in WAYS if w.name.startswith(ON_DISK)), key=lambda name: median(rounds, name, "rate")
        )
        kept = f' With `keep="memory"` ours is {ratio(rounds, KEPT, on_disk):.1f} times the faster of both.'
    lines = [
        f"{corpus.files} files, again and again.",
        f"Features on disk would take {features / 1e6:.0f} MB where the audio takes {audio / 1e6:.0f}: "
        f"{100 * features / (features + audio):.0f} % of both is saved.",
        "Faster than our fastest: "
        + (", ".join(faster) or "none")
        + "."
        + (" Features on disk are read from memory here, without decoding and without computing." if faster else "")
        + kept,
    ]
    header = ["", "clips/s", "of decoding, 2 threads", f"{best} = 1", "memory, MB", "error, nats"]
    return f"## {corpus.name}\n\n{' '.join(lines)}\n\n{peers.markdown(header, rows)}\n"


def broken(corpus: Corpus, rounds: list[dict[str, Any]]) -> list[str]:
    """The promises that do not hold for a corpus."""
    found = []
    for workers in (0, 1, 2) if corpus.name in PROMISED else ():
        ours = f"{OURS}, {workers} workers"
        for other, least in ((ALONE, LEAST_OF_DECODING), (f"{BY_TORCHAUDIO}, {workers} workers", LEAST_OF_TORCHAUDIO)):
            if ran(rounds, other) and ratio(rounds, ours, other) < least:
                found.append(f"{corpus.name}: {ours} is {ratio(rounds, ours, other):.2f} times {other}, not {least}")
    return found


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files are kept for another run")
    parser.add_argument("--append", action="store_true", help="to the rounds in the results")
    parser.add_argument("--prepare", action="store_true", help="write the files and end")
    parser.add_argument("--check", action="store_true", help="exit 1 below the promise")
    arguments = parser.parse_args()
    results = peers.RESULTS / "feeds.json"
    found = json.loads(results.read_text())["rounds"] if arguments.append and results.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        for name in arguments.corpora:
            in_child(lambda name=name: prepared(folder, CORPORA[name]) and None)  # type: ignore[misc]
        if arguments.prepare:
            return 0
        for package in ("librosa.feature", *(package for way in WAYS for package in way.needs)):
            if importlib.util.find_spec(package.partition(".")[0]) is not None:
                importlib.import_module(package)
        for _ in range(arguments.rounds):
            for name in arguments.corpora:
                found.setdefault(name, []).append(a_round(CORPORA[name], folder))
    about = peers.versions(*PACKAGES)
    results.write_text(json.dumps({"machine": peers.machine(), "versions": about, "rounds": found}, indent=1) + "\n")
    counts = sorted({len(rounds) for rounds in found.values()})
    text = (
        f"Log-mel batches of 16 (n_fft 400, hop 160, 80 mels), {THREADS} threads in the main process, webdataset with "
        f"{SHARDS} shards; `error` is of the features of {CHECKED} clips against the float64 definition (lhotse's are "
        "Kaldi's filter bank, another one), `memory` the peak of all processes of a feed beyond the imported "
        "libraries.\n\n"
        + "\n".join(section(CORPORA[name], found[name]) for name in CORPORA if name in found)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; "
        f"{' or '.join(map(str, counts))} rounds. Made by `python benchmarks/feeds/throughput.py`.\n"
    )
    peers.write("feeds.md", text)
    below = [line for name, rounds in found.items() for line in broken(CORPORA[name], rounds)]
    sys.stderr.write("".join(f"below the promise: {line}\n" for line in below))
    return int(arguments.check and bool(below))


if __name__ == "__main__":
    sys.exit(main())
