"""How long it takes to read part of a file, beside soundfile, and how far the samples differ from soundfile's.

    python benchmarks/reading.py

writes benchmarks/results/reading.md and reading.json. Every peer runs in this process, in turn, round after round, so
that a busy machine slows all alike; the ratios are the point. A row whose samples are not soundfile's is not reported.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import scipy.signal
import soundfile
import soxr
import torch

import audiofeed.data as data
from audiofeed.data.listing import scan as scan_module
from audiofeed.data.resample import resample_crop, resampled_frames

RATE = 16_000
SECONDS = 30
ROUNDS = 200
RESULTS = Path(__file__).parent / "results"


def speech_like(frames: int) -> np.ndarray:
    """Noise with speech's tilt and bursts, so that lossless and lossy encoders have their usual work; float64."""
    rng = np.random.default_rng(0)
    noise = scipy.signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(frames))
    syllables = np.clip(np.sin(2 * np.pi * 3.0 * np.arange(frames) / RATE), 0.02, 1.0)
    return 0.3 * noise * syllables / np.abs(noise).max()


def timings(peers: dict[str, Callable[[], Any]], rounds: int = ROUNDS, budget: float = 0.001) -> dict[str, np.ndarray]:
    """Return each peer's times of a call in microseconds, one a round, the peers taking turns within a round."""
    calls = {}
    for name, call in peers.items():
        call()
        trials = []
        for _ in range(5):
            begun = time.perf_counter()
            call()
            trials.append(time.perf_counter() - begun)
        # the best of five: a call interrupted once would otherwise be timed one by one, caches cold
        calls[name] = max(1, int(budget / max(min(trials), 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            begun = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - begun) / calls[name])
    return {name: 1e6 * np.array(values) for name, values in times.items()}


def by_soundfile(path: str, start: int, frames: int, dtype: str) -> np.ndarray:
    with soundfile.SoundFile(path) as file:
        if start:
            file.seek(start)
        return file.read(frames, dtype=dtype)


def table(title: str, reference: str, times: dict[str, np.ndarray], errors: dict[str, float]) -> dict[str, Any]:
    rows = [
        {
            "peer": name,
            "median_us": round(float(np.median(values)), 1),
            "fastest_tenth_us": round(float(np.quantile(values, 0.1)), 1),
            # within a round the peers share what else the machine is doing
            "times_reference": round(float(np.median(values / times[reference])), 3),
            "error": errors.get(name),
        }
        for name, values in times.items()
    ]
    return {"title": title, "reference": reference, "rows": rows}


def reading(folder: str) -> list[dict[str, Any]]:
    """Crops and whole files against soundfile."""
    samples = speech_like(SECONDS * RATE)
    files = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "mp3": ("MP3", None)}
    tables = []
    for ending, (container, subtype) in files.items():
        Path(folder, ending).mkdir()
        path = str(Path(folder, ending, f"clip.{ending}"))
        soundfile.write(path, samples, RATE, format=container, subtype=subtype)
        info = data.read_info(path)
        dataset = data.AudioFolder(Path(folder, ending), crop=data.RandomCrop(2.0))
        dtype = "int16" if info.subtype == "PCM_16" else "float32"
        whole = soundfile.read(path, dtype=dtype)[0]
        spans = {"2 s crop": (10 * RATE + 7, 2 * RATE), "whole file": (0, info.frames)}
        for what, (start, frames) in spans.items():

            def ours_known(path: str = path, start: int = start, frames: int = frames, info: Any = info) -> np.ndarray:
                return data.read(path, start, frames, info=info)[0].numpy()

            def ours(path: str = path, start: int = start, frames: int = frames) -> np.ndarray:
                return data.read(path, start, frames)[0].numpy()

            def theirs(path: str = path, start: int = start, frames: int = frames, dtype: str = dtype) -> np.ndarray:
                return by_soundfile(path, start, frames, dtype)

            def theirs_float(path: str = path, start: int = start, frames: int = frames) -> np.ndarray:
                return by_soundfile(path, start, frames, "float32")

            peers: dict[str, Callable[[], Any]] = {f"soundfile {dtype}": theirs}
            if dtype != "float32":
                peers["soundfile float32"] = theirs_float
            peers |= {"read, header known": ours_known, "read": ours}
            if what == "2 s crop":
                peers["dataset[i]"] = lambda dataset=dataset: dataset[0]
            truth = whole[start : start + frames].astype(np.float64)
            errors: dict[str, float] = {
                name: float(np.abs(peers[name]().astype(np.float64) - truth).max())
                for name in peers
                if name not in ("soundfile float32", "dataset[i]") or (dtype == "float32" and name != "dataset[i]")
            }
            if "soundfile float32" in peers and dtype == "int16":
                errors["soundfile float32"] = float(np.abs(theirs_float() * 32768.0 - truth).max())
            if "dataset[i]" in peers:
                example = dataset[0]
                begin, length = dataset.crop.place(info.frames, RATE, seed=example.seed)  # type: ignore[union-attr]
                errors["dataset[i]"] = float(
                    np.abs(example.waveform.numpy().astype(np.float64) - whole[begin : begin + length]).max()
                )
            for name in ("read, header known", "read", "dataset[i]"):
                if (errors.get(name) or 0.0) > 1e-6:
                    raise SystemExit(f"{ending} {what}: {name} differs from soundfile by {errors[name]}")
            tables.append(table(f"{what}, {container} {info.subtype}", f"soundfile {dtype}", timings(peers), errors))
    return tables


def scanning(folder: str) -> list[dict[str, Any]]:
    """Headers of many files from this disk, and as if each open waited 2 ms: scan, and its two ways by themselves."""
    short = speech_like(RATE)
    tables = []
    for container in ("WAV", "FLAC"):
        place = Path(folder, f"many-{container}")
        place.mkdir()
        paths = [str(place / f"{i:04d}.{container.lower()}") for i in range(512)]
        for path in paths:
            soundfile.write(path, short, RATE, format=container, subtype="PCM_16")

        def serial(paths: list[str] = paths) -> list[Any]:
            return [data.read_info(path) for path in paths]

        def eight(paths: list[str] = paths) -> list[Any]:
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(scan_module.scan, [paths[i : i + 16] for i in range(0, len(paths), 16)]))

        def adaptive(paths: list[str] = paths) -> list[Any]:
            return scan_module.scan(paths, progress=False)

        peers = {"one after another": serial, "8 threads": eight, "scan": adaptive}

        times = timings(peers, rounds=7)
        tables.append(table(f"headers of 512 {container} files, local disk", "one after another", times, {}))
        if container == "WAV":
            honest = os.open

            def slow(*args: Any, honest: Callable[..., int] = honest) -> int:
                time.sleep(0.002)
                return honest(*args)

            os.open = slow
            try:
                times = timings(peers, rounds=3)
            finally:
                os.open = honest
            tables.append(table("headers of 512 WAV files, 2 ms to open each", "one after another", times, {}))
    return tables


def torch_sinc(clip: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """torchaudio's windowed-sinc resampler at its default width, as a torch convolution, where torchaudio imports."""
    from torchaudio.functional import resample

    return resample(clip, rate, new_rate)


def resampling() -> list[dict[str, Any]]:
    """Resamplers on a 2 s crop of a 30 s clip: time, and error against an ideal band-limited signal.

    The clip is a sum of sines below 0.85 of the lower Nyquist frequency, so its values at the new rate are known.
    """
    tables = []
    for rate, new_rate in ((44_100, 16_000), (48_000, 16_000), (8_000, 16_000)):
        rng = np.random.default_rng(0)
        edge = 0.85 * min(rate, new_rate) / 2
        sines = [(rng.uniform(50, edge), rng.uniform(0, 2 * np.pi)) for _ in range(40)]

        def at(instants: np.ndarray, sines: list[tuple[float, float]] = sines) -> np.ndarray:
            return 0.02 * sum(np.sin(2 * np.pi * f * instants + p) for f, p in sines)

        frames = SECONDS * rate
        clip = torch.from_numpy(at(np.arange(frames) / rate).astype(np.float32))
        start, length = 10 * new_rate + 7, 2 * new_rate
        truth = at(np.arange(start, start + length) / new_rate)
        level = float(np.sqrt((truth**2).mean()))
        piece = clip[10 * rate - rate // 10 : 12 * rate + rate // 10].contiguous()
        skip = new_rate // 10 + 7

        def ours(
            clip: torch.Tensor = clip, r: int = rate, n: int = new_rate, s: int = start, k: int = length
        ) -> np.ndarray:
            return resample_crop(lambda b, c: clip[b : b + c], len(clip), r, n, s, k).numpy()

        def whole_soxr(clip: torch.Tensor = clip, r: int = rate, n: int = new_rate, s: int = start, k: int = length):
            return soxr.resample(clip.numpy(), r, n, quality="HQ")[s : s + k]

        def poly(piece: torch.Tensor = piece, r: int = rate, n: int = new_rate, s: int = skip, k: int = length):
            common = int(np.gcd(r, n))
            return scipy.signal.resample_poly(piece.numpy(), n // common, r // common)[s : s + k]

        def sinc(piece: torch.Tensor = piece, r: int = rate, n: int = new_rate, s: int = skip, k: int = length):
            return torch_sinc(piece, r, n)[s : s + k].numpy()

        assert resampled_frames(frames, rate, new_rate) == SECONDS * new_rate
        peers: dict[str, Callable[[], np.ndarray]] = {
            "soxr HQ, the crop and its context (ours)": ours,
            "soxr HQ, the whole clip": whole_soxr,
            "scipy resample_poly, the crop and 0.1 s": poly,
        }
        try:
            sinc()
        except (ImportError, OSError) as error:
            print(f"torchaudio left out: {error}", file=sys.stderr)
        else:
            peers["torchaudio sinc, the crop and 0.1 s"] = sinc
        errors = {name: float(np.sqrt(((call() - truth) ** 2).mean())) / level for name, call in peers.items()}
        tables.append(
            table(
                f"2 s of a 30 s clip, {rate} Hz to {new_rate} Hz", next(iter(peers)), timings(peers, rounds=20), errors
            )
        )
    return tables


def markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Reading", "",
        "Written by `python benchmarks/reading.py`. " + report["setting"], "",
        "Error: of reading, the largest difference to soundfile's samples of the whole file, in the file's own unit (1",
        "is one step of 16 bits, or full scale of a lossy file); of resampling, the root mean square against the exact",
        "band-limited signal, relative.",
    ]  # fmt: skip
    for part in report["tables"]:
        lines += [
            "",
            f"## {part['title']}",
            "",
            f"| | median µs | fastest tenth µs | times {part['reference']} | error |",
        ]
        lines.append("|---|--:|--:|--:|--:|")
        for row in part["rows"]:
            error = "" if row["error"] is None else f"{row['error']:.1e}" if row["error"] else "0"
            times = f"{row['median_us']:.1f} | {row['fastest_tenth_us']:.1f} | {row['times_reference']:.2f}"
            lines.append(f"| {row['peer']} | {times} | {error} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    setting = (
        f"30 s mono clips at 16 kHz, files in the page cache, one thread; torch {torch.__version__}, "
        f"soundfile {soundfile.__version__} ({soundfile.__libsndfile_version__}), soxr {soxr.__version__}, "
        f"scipy {scipy.__version__}, {os.cpu_count()} cores. "
        "The ratio is the median over rounds of the ratio within a round."
    )
    with tempfile.TemporaryDirectory() as folder:
        tables = reading(folder) + scanning(folder) + resampling()
    report = {"setting": setting, "tables": tables}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reading.json").write_text(json.dumps(report, indent=1) + "\n")
    text = markdown(report)
    (RESULTS / "reading.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
