"""Feeds of several libraries, from files to batches of log-mel features: clips per second, memory, and the error.

    python benchmarks/feeds/throughput.py [--corpora "WAV of 1 s" ...] [--rounds 3] [--check]
    python benchmarks/feeds/throughput.py --append --rounds 1      # one more round for the rounds that are there
    python benchmarks/feeds/throughput.py --append --most 50       # what is quiet of one within 50 s; again goes on

Every feed has a process of its own, forked from one that has imported all libraries, and goes through the same files;
in every round each has its turn, so that a noisy minute meets them all, and the ratios are medians of the ratios within
a round. A feed begins when other programs rest, if they do within some seconds, and is timed again if they were busy
meanwhile. What a loader takes to start does not count: epochs are long, and the clock runs in the middle of one. The
memory is what the processes of the feed hold, shared pages counted once (PSS), less what the libraries take that were
imported. A package that is not installed is a line of the table. `--check` exits 1 where ours is below its promise.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import inspect
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
from feeds.ways import ALONE, BY_TORCHAUDIO, KEPT, ON_DISK, OURS, THREADED, WAYS, Source, Way

# batches that start the loader, and seconds for its caches to fill, before the clock runs; then seconds that are timed,
# and seconds in which the memory is looked at after each batch
STARTING, WARMING, TIMED, LOOKING = 4, 0.7, 1.5, 0.3
# a feed is timed again, so many times at most, if other programs took more than this share of a core meanwhile
QUIET, TRIES = 0.1, 4
# seconds that a feed waits for other programs to rest
PATIENCE = 20.0
# clips whose features are held against the definition
CHECKED = 4
# of soundfile's decoding alone on two threads, and of torchaudio in the dataset with as many workers
LEAST_OF_DECODING, LEAST_OF_TORCHAUDIO = 0.85, 2.5
# for which corpora: elsewhere decoding is not what binds
PROMISED = ("FLAC of 4 to 16 s",)
THREADS = 2
DECODERS = ("soundfile", "miniaudio")
PACKAGES = ("torch", "torchaudio", "librosa", *DECODERS, "numpy", "nnaudio2", "lhotse", "webdataset", "spdl")


def total_of(pid: int, file: str, entry: str) -> int:
    """A number that /proc has of a process, summed over it and its children."""
    total, names = 0, [str(pid)]
    while names:
        name = names.pop()
        try:
            names += Path(f"/proc/{name}/task/{name}/children").read_text().split()
            for line in Path(f"/proc/{name}/{file}").read_text().splitlines():
                if line.startswith(entry):
                    total += int(line.split()[1])
        except OSError:  # it has ended
            continue
    return total


def held(pid: int) -> int:
    """Bytes that a process and its children hold, those that it shares with others in parts."""
    return 1024 * total_of(pid, "smaps_rollup", "Pss:")


def mapped_clips(pid: int) -> int:
    """Bytes of those that a process and its children hold which are kept clips, as far as they are mapped."""
    total, names = 0, [str(pid)]
    while names:
        name = names.pop()
        try:
            names += Path(f"/proc/{name}/task/{name}/children").read_text().split()
            is_clips = False
            for line in Path(f"/proc/{name}/smaps").read_text().splitlines():
                if not line.partition(" ")[0].endswith(":"):
                    is_clips = "memfd:audiofeed-clips" in line
                elif is_clips and line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:  # it has ended
            continue
    return 1024 * total


def from_disk(pid: int) -> int:
    """Bytes that a process and its children had the disk read."""
    return total_of(pid, "io", "read_bytes:")


def seconds_of_cores(pid: int) -> tuple[float, float]:
    """Seconds that all cores of the machine have worked, and those of them for a process and its children."""
    with open("/proc/stat") as file:
        spent = [int(number) for number in file.readline().split()[1:8]]
    own, names = 0, [str(pid)]
    while names:
        name = names.pop()
        try:
            names += Path(f"/proc/{name}/task/{name}/children").read_text().split()
            own += sum(map(int, Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2].split()[11:13]))
        except OSError:  # it has ended
            continue
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(spent) - spent[3] - spent[4]) / ticks, own / ticks


def wait_for_rest(until: float) -> None:
    """Wait until other programs leave the cores alone for a moment, at most until a time."""
    while time.monotonic() < until:
        before, own = seconds_of_cores(os.getpid())
        time.sleep(0.4)
        after, own_after = seconds_of_cores(os.getpid())
        if after - before - (own_after - own) <= 0.4 * QUIET:
            return


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
    kept = getattr(once, "kept", 0)
    clips, counted, taken, most, read = 0, 0, 0.0, 0, 0
    worked = own = others = 0.0
    started = begun = time.perf_counter()
    for number, count in enumerate(once(), 1):
        clips += count
        now = time.perf_counter()
        if not counted and number >= STARTING and now > started + WARMING:
            begun, counted, read = now, clips, from_disk(os.getpid())
            worked, own = seconds_of_cores(os.getpid())
        elif counted and not taken and now > begun + TIMED:
            taken, counted = now - begun, clips - counted
            read = from_disk(os.getpid()) - read
            all_since, own_since = seconds_of_cores(os.getpid())
            others = max(0.0, (all_since - worked - (own_since - own)) / taken)
        elif taken:
            # kept clips count once, whether they are mapped or read by position
            most = max(most, held(os.getpid()) - (mapped_clips(os.getpid()) if kept else 0) + kept)
            if now > begun + taken + LOOKING:
                break
    if not taken:
        raise ValueError(f"a pass of {clips} clips is too short for {way.name}")
    found = {"rate": counted / taken, "clips": counted, "memory": most - before, "read": read / counted}
    found |= {"others": others, "kept": kept}
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
        os.sync()  # what is not on the disk yet cannot be dropped from memory
        done.touch()
    return tuple(sorted(str(path) for path in place.iterdir()) for place in places)  # type: ignore[return-value]


def a_round(corpus: Corpus, folder: Path, found: dict[str, Any], until: float) -> None:
    """Every feed for some seconds, but for those that the round has, and those that do not begin in time."""
    paths, shards, features = in_child(lambda: prepared(folder, corpus))
    for way in WAYS:
        if time.monotonic() > until:
            return
        if not missing(way) and way.name not in found:
            source = Source(corpus, paths, shards, features, way.workers, way.cold)
            tries: list[Any] = []
            for _ in range(TRIES):
                wait_for_rest(min(until, time.monotonic() + PATIENCE))
                tries.append(in_child(lambda way=way, source=source: timed(way, source)))  # type: ignore[misc]
                if not tries[-1] or tries[-1]["others"] < QUIET or time.monotonic() > until:
                    break
            best = min(filter(None, tries), key=lambda one: one["others"], default=None)
            if best and best["others"] >= QUIET and until < float("inf"):
                continue  # the next part of the round tries again
            found[way.name] = best
            sys.stderr.write(f"{corpus.name}: {way.name}: {found[way.name]}\n")
    if not all(way.name in found or missing(way) for way in WAYS):
        return
    held_on_disk = [sum(os.path.getsize(path) for path in kind) for kind in (paths, features)]
    found[ON_DISK] = {"audio": held_on_disk[0], "features": held_on_disk[1]}


def is_whole(found: dict[str, Any]) -> bool:
    """Whether every feed has had its turn in a round."""
    return ON_DISK in found


def median(rounds: list[dict[str, Any]], name: str, what: str) -> float:
    """A feed's median over the rounds."""
    return statistics.median(r[name][what] for r in rounds)


def ratio(rounds: list[dict[str, Any]], name: str, other: str) -> float:
    """How many times as many clips a second as another feed: the median of the ratios within a round."""
    return statistics.median(r[name]["rate"] / r[other]["rate"] for r in rounds)


def spread(rounds: list[dict[str, Any]], name: str) -> str:
    """The least and the most clips a second of a feed in any round."""
    rates = [r[name]["rate"] for r in rounds]
    return f"{min(rates):.0f} to {max(rates):.0f}"


def ran(rounds: list[dict[str, Any]], name: str) -> bool:
    """Whether a feed gave a result in every round."""
    return all(r.get(name) for r in rounds)


def section(corpus: Corpus, rounds: list[dict[str, Any]]) -> str:
    """The table of one corpus, and what it comes to."""
    best = max(
        (way.name for way in WAYS if way.feed.__name__ == "audiofeed" and not way.cold),
        key=lambda n: median(rounds, n, "rate"),
    )
    rows = []
    for way in WAYS:
        if missing(way) or not ran(rounds, way.name):
            why = f"{', '.join(missing(way))} not installed" if missing(way) else "it failed"
            rows.append([way.name, why, "", "", "", ""])
            continue
        error = median(rounds, way.name, "error") if "error" in rounds[0][way.name] else None
        rows.append([
            way.name,
            f"{median(rounds, way.name, 'rate'):.0f} ({spread(rounds, way.name)})",
            f"{100 * ratio(rounds, way.name, ALONE):.0f} %",
            f"{ratio(rounds, way.name, best):.2f}",
            f"{median(rounds, way.name, 'memory') / 1e6:.0f}",
            "-" if error is None else f"{error:.0e}",
        ])  # fmt: skip
    audio, features = (rounds[0][ON_DISK][kind] for kind in ("audio", "features"))
    others = [way.name for way in WAYS if not (missing(way) or way.cold or way.name.startswith((OURS, "soundfile")))]
    ratios = {name: ratio(rounds, name, best) for name in others if ran(rounds, name)}
    faster = [f"{name} ({times:.1f} times)" for name, times in ratios.items() if times > 1]
    lines = [
        f"{corpus.files} files, again and again.",
        f"Features on disk would take {features / 1e6:.0f} MB where the audio takes {audio / 1e6:.0f}: "
        f"{100 * features / (features + audio):.0f} % of both is saved.",
        "Faster than our fastest: "
        + (", ".join(faster) or "none")
        + "."
        + (" Features on disk are read from the page cache here, without decoding and computing." if faster else ""),
        *from_memory(rounds, features),
        *at_their_fastest(rounds),
        *from_the_disk(rounds),
    ]
    header = ["", "clips/s", "of decoding, 2 threads", f"{best} = 1", "memory, MB", "error, nats"]
    return f"## {corpus.name}\n\n{' '.join(lines)}\n\n{peers.markdown(header, rows)}\n"


def from_memory(rounds: list[dict[str, Any]], features: int) -> list[str]:
    """What comes of clips that are kept in memory: ours in later epochs beside features on disk, in words.

    Args:
        rounds: The rounds of a corpus.
        features: Bytes of the features on disk.
    """
    names = {n: (f"{KEPT}, {n} workers", f"{ON_DISK}, {n} workers") for n in (0, 2)}
    if not all(ran(rounds, name) for pair in names.values() for name in pair):
        return []
    ratios = {workers: ratio(rounds, *pair) for workers, pair in names.items()}
    kept = median(rounds, names[0][0], "kept")
    lines = [
        f'With `keep="memory"`, from the second epoch on, ours gives {ratios[0]:.2f} times the clips/s of features on '
        f"disk without workers and {ratios[2]:.2f} times with two. It holds {kept / 1e6:.0f} MB of samples, counted "
        f"once in the column of memory; the {features / 1e6:.0f} MB of features that the page cache holds are not "
        "counted. The first epoch, which decodes, is the row without it."
    ]
    if min(ratios.values()) < 1:
        lines.append("What it gives less, its features take, which are computed anew for each batch.")
    return lines


def at_their_fastest(rounds: list[dict[str, Any]]) -> list[str]:
    """What comes of ours and of features on disk, each with the number of workers that suits it best, in words."""
    fastest = []
    for kind in (OURS, ON_DISK):
        names = [way.name for way in WAYS if not way.cold and way.name.startswith(kind) and ran(rounds, way.name)]
        if not names:
            return []
        fastest.append(max(names, key=lambda name: median(rounds, name, "rate")))
    return [
        f"Each at its fastest ({'; '.join(fastest)}), ours gives {ratio(rounds, *fastest):.2f} times the clips/s of "
        "features on disk."
    ]


def threads_of_torch() -> str:
    """Whether torch has workers that are threads, in words."""
    from torch.utils.data import DataLoader

    if "worker_method" in inspect.signature(DataLoader.__init__).parameters:
        return 'This torch has `worker_method="thread"`; no row uses it.'
    return 'This torch has no `worker_method="thread"`, so that no row has such workers.'


def from_the_disk(rounds: list[dict[str, Any]]) -> list[str]:
    """What comes of files that are not in memory: ours beside features, in words."""
    best = []
    for kind in (OURS, ON_DISK):
        names = [way.name for way in WAYS if way.cold and way.name.startswith(kind) and ran(rounds, way.name)]
        if names:
            best.append(max(names, key=lambda name: median(rounds, name, "rate")))
    if len(best) < 2:
        return []
    ours, kept = best
    read = [median(rounds, name, "read") / 1e3 for name in best]
    return [
        f"Of files that are dropped from the page cache before each time that all are read, ours gives "
        f"{ratio(rounds, ours, kept):.2f} times the clips/s of features on disk, and has the disk read {read[0]:.0f} "
        f"kB for a clip where those take {read[1]:.0f}."
    ]


def broken(corpus: Corpus, rounds: list[dict[str, Any]]) -> list[str]:
    """The promises that do not hold for a corpus."""
    found = []
    names = {f"{OURS}, {workers} workers": f"{BY_TORCHAUDIO}, {workers} workers" for workers in (0, 1, 2)}
    names[THREADED] = f"{BY_TORCHAUDIO}, 0 workers"
    for ours, peer in names.items() if corpus.name in PROMISED else ():
        for other, least in ((ALONE, LEAST_OF_DECODING), (peer, LEAST_OF_TORCHAUDIO)):
            if ran(rounds, other) and ran(rounds, ours) and ratio(rounds, ours, other) < least:
                found.append(f"{corpus.name}: {ours} is {ratio(rounds, ours, other):.2f} times {other}, not {least}")
    for workers in (0, 2):
        ours, other = f"{KEPT}, {workers} workers", f"{ON_DISK}, {workers} workers"
        if ran(rounds, ours) and ran(rounds, other) and ratio(rounds, ours, other) < 1:
            found.append(f"{corpus.name}: {ours} is {ratio(rounds, ours, other):.2f} times {other}, not 1")
    return found


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--most",
        type=float,
        default=float("inf"),
        help="seconds after which no other feed begins; keeps quiet ones only",
    )
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
        until = time.monotonic() + arguments.most
        for _ in range(arguments.rounds):
            # what has fewer whole rounds comes first: parts of a round go on where the last one ended
            for name in sorted(arguments.corpora, key=lambda name: sum(map(is_whole, found.get(name, [])))):
                rounds = found.setdefault(name, [])
                if time.monotonic() > until:
                    break
                if not rounds or is_whole(rounds[-1]):
                    rounds.append({})
                a_round(CORPORA[name], folder, rounds[-1], until)
    about = peers.versions(*PACKAGES)
    results.write_text(json.dumps({"machine": peers.machine(), "versions": about, "rounds": found}, indent=1) + "\n")
    found = {name: [r for r in rounds if is_whole(r)] for name, rounds in found.items()}
    found = {name: rounds for name, rounds in found.items() if rounds}
    counts = sorted({len(rounds) for rounds in found.values()})
    beside = [
        one["others"] for rounds in found.values() for r in rounds for one in r.values() if one and "others" in one
    ]
    others = (
        f", beside other programs that took {100 * statistics.median(beside):.0f} % of a core as a rule and "
        f"{100 * max(beside):.0f} % at most"
        if beside
        else ""
    )
    text = (
        f"Log-mel batches of 16 (n_fft 400, hop 160, 80 mels), {THREADS} threads in the main process, webdataset with "
        f"{SHARDS} shards; `error` is of the features of {CHECKED} clips against the float64 definition (lhotse's are "
        "Kaldi's filter bank, another one), `memory` the peak of all processes of a feed beyond the imported "
        f"libraries. `{THREADED}` has no processes: a thread reads ahead and decodes in torch's {THREADS} threads, "
        f"beside the loop that computes the features. {threads_of_torch()}\n\n"
        + "\n".join(section(CORPORA[name], found[name]) for name in CORPORA if name in found)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; "
        f"{' or '.join(map(str, counts))} rounds, medians with the least and the most{others}. "
        "Made by `python benchmarks/feeds/throughput.py`.\n"
    )
    peers.write("feeds.md", text)
    below = [line for name, rounds in found.items() for line in broken(CORPORA[name], rounds)]
    sys.stderr.write("".join(f"below the promise: {line}\n" for line in below))
    return int(arguments.check and bool(below))


if __name__ == "__main__":
    sys.exit(main())
