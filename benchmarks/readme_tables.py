"""Put the measured tables, and the defaults of three libraries, between the markers of README.md and of pages of docs/.

python benchmarks/readme_tables.py           # writes the pages
python benchmarks/readme_tables.py --check   # exits 1 where a page is not what the results files say
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import peers

import audiofeed as af

ROOT = Path(__file__).resolve().parents[1]


def from_result(name: str) -> str:
    """A results file, or that there is none yet."""
    path = peers.RESULTS / name
    return path.read_text() if path.exists() else "not measured yet\n"


def reading() -> str:
    """The part of the reading results that most datasets live on; the file has the other formats and the resamplers."""
    path = peers.RESULTS / "reading.md"
    if not path.exists():
        return "not measured yet\n"
    about, *sections = path.read_text().split("\n## ")
    title, _, table = next(part for part in sections if part.startswith("2 s crop, WAV")).partition("\n")
    setting = about.strip().splitlines()[2]
    return f"A {title.strip()} of 30 s, read from the page cache:\n{table.rstrip()}\n\n{setting}\n"


def exactness() -> str:
    """The distances of constant-Q transforms from the definition; the file has the times, too."""
    path = peers.RESULTS / "exactness.md"
    if not path.exists():
        return "not measured yet\n"
    distances, _, rest = path.read_text().partition("Milliseconds")
    return f"{distances.rstrip()}\n\n{rest.rstrip().splitlines()[-1]}\n"


def gpu() -> str:
    """The table of the newest GPU results."""
    script = ROOT / "benchmarks" / "gpu_smoke.py"
    return subprocess.run([sys.executable, script, "--readme"], capture_output=True, text=True, check=True).stdout


def defaults() -> str:
    """Defaults read from the signatures themselves."""
    import librosa
    import torchaudio.transforms as ta

    ours, theirs = of(af.LogMelSpectrogram), {**of(librosa.stft), **of(librosa.feature.melspectrogram)}
    filters = of(librosa.filters.mel)
    tas = of(ta.MelSpectrogram)
    rows = [
        ["sample_rate", "none: must be given", f"{theirs['sr']}", f"{tas['sample_rate']}"],
        ["n_fft", ours["n_fft"], theirs["n_fft"], tas["n_fft"]],
        ["win_length=None", "n_fft", "n_fft", "n_fft"],
        [
            "hop_length",
            "None: win_length // 4",
            f"stft None: win_length // 4; melspectrogram {theirs['hop_length']}",
            "None: win_length // 2",
        ],
        ["window", repr(ours["window"]) + ", periodic", repr(theirs["window"]) + ", periodic", "hann, periodic"],
        ["center", ours["center"], theirs["center"], tas["center"]],
        ["pad_mode", repr(ours["pad_mode"]), repr(theirs["pad_mode"]), repr(tas["pad_mode"])],
        ["power", ours["power"], theirs["power"], tas["power"]],
        ["n_mels", ours["n_mels"], filters["n_mels"], tas["n_mels"]],
        ["f_min (fmin)", ours["f_min"], filters["fmin"], tas["f_min"]],
        ["f_max (fmax)", "None: sample_rate / 2", "None: sr / 2", "None: sample_rate // 2"],
        ["mel_scale", repr(ours["mel_scale"]), f"htk={filters['htk']}: slaney", repr(tas["mel_scale"])],
        ["norm", repr(ours["norm"]), repr(filters["norm"]), tas["norm"]],
        ["floor (amin)", ours["floor"], of(librosa.power_to_db)["amin"], "1e-10, fixed"],
        [
            "AmplitudeToDB's top_db",
            f"{of(af.AmplitudeToDB)['top_db']}, by each clip's peak",
            f"{of(librosa.power_to_db)['top_db']}, by each channel's peak (0.11: the array's)",
            f"{of(ta.AmplitudeToDB)['top_db']}; if set, by the whole batch's peak for (batch, bins, frames)",
        ],
        [
            "a CQT's octave at half the rate",
            f"with its top at most a fifth of the rate: compat={of(af.CQT)['compat']!r}",
            "with its top at most a fifth of the rate (0.11: at every even hop)",
            "no CQT",
        ],
        [
            "past the last frame of a TimeStretch",
            f"magnitudes go on: compat={of(af.TimeStretch)['compat']!r}",
            "magnitudes go on (0.11: silence)",
            "silence",
        ],
    ]
    header = ["", "audiofeed", "librosa 1.0", "torchaudio 2.11"]
    return peers.markdown(header, [[str(cell) for cell in row] for row in rows])


def of(function: Any) -> dict[str, Any]:
    """The defaults in a signature."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def loaded(name: str) -> Any:
    """A results file in JSON."""
    return json.loads((peers.RESULTS / name).read_text())


def summary() -> str:
    """The README's five rows: each from its results file, the peer and the error beside it."""
    frames = loaded("features_cpu.json")["results"][0]
    constant_q = next(row for row in loaded("catalogue_cpu.json")["results"] if row["transform"] == "CQT")
    flac = loaded("end_to_end.json")["formats"]["FLAC"]
    whisper = {by: loaded("presets.json")["results"][f"whisper: {by}"] for by in ("audiofeed", "transformers")}
    whisper_ms = {by: 1000 * statistics.median(result["seconds"]) for by, result in whisper.items()}
    batches = from_result("batches.md")
    (sampler,) = re.findall(r"^\| DurationBatchSampler \| (.*) \|$", batches, re.MULTILINE)
    (clips,) = re.findall(r"^([\d,]+) log-normal clips", batches, re.MULTILINE)
    _, _, restored, state, _ = sampler.split(" | ")
    (peer,) = re.findall(r"^lhotse resumes after .* of the ([\d,]+) .* in ([\d.]+ s)", batches, re.MULTILINE)
    ms, error = frames["median_ms"], frames["max_error_nats"]
    cqt_ms, cqt_error = constant_q["median_ms"], constant_q["relative_error"]
    speed = flac["clips_per_second"]
    rows = [
        [
            f"Log-mel, {frames['setting']}",
            f"{ms['audiofeed']:.1f} ms",
            f"torchaudio {ms['torchaudio']:.1f} ms",
            f"{frames['ratio']['torchaudio']:.1f}",
            f"{error['audiofeed']:.1e} nats, {error['torchaudio']:.1e}",
        ],
        [
            f"CQT, {constant_q['setting']}",
            f"{cqt_ms['audiofeed']:.1f} ms",
            f"librosa {cqt_ms['librosa']:.1f} ms",
            f"{constant_q['ratio']['librosa']:.1f}",
            f"{cqt_error['audiofeed']:.0e}, {cqt_error['librosa']:.0e}",
        ],
        [
            "End to end: FLAC files to log-mel batches",
            f"{speed['audiofeed']:.0f} clips/s",
            f"torchaudio in the dataset {speed['torchaudio in the dataset']:.0f} clips/s",
            f"{flac['over_torchaudio']:.1f}",
            f"{flac['max_error_nats']:.1e} nats",
        ],
        [
            "Front-end of Whisper, a clip of 30 s, 1 thread",
            f"{whisper_ms['audiofeed']:.2f} ms",
            f"transformers {whisper_ms['transformers']:.2f} ms",
            f"{whisper['transformers']['ratio']:.1f}",
            f"{whisper['audiofeed']['error']:.0e}, {whisper['transformers']['error']:.0e}",
        ],
        [
            f"Resume within an epoch of {clips} clips, on another number of ranks",
            f"{restored} s, {state} bytes",
            f"lhotse, {peer[0]} clips, as many ranks: {peer[1]}",
            "",
            "the same batches",
        ],
    ]
    about = loaded("features_cpu.json")
    table = peers.markdown(["", "audiofeed", "beside it", "times", "error: ours, theirs"], rows)
    (of_whisper,) = re.findall(r"^(.* cores?); python", from_result("presets.md"), re.MULTILINE)
    machines = {
        "log-mel": about["machine"],
        "CQT": loaded("catalogue_cpu.json")["machine"],
        "end to end": loaded("end_to_end.json")["machine"],
        "the front-end of Whisper": of_whisper,
    }
    on = [
        f"{', '.join(what for what, of in machines.items() if of == machine)} on {machine}"
        for machine in dict.fromkeys(machines.values())
    ]
    where = f"a CPU: {about['machine']}" if len(on) == 1 else f"CPUs: {'; '.join(on)}"
    return f"{table}\nMeasured on {where}; torch {about['versions']['torch']}. Errors are distances from float64.\n"


def card() -> str:
    """The README's rows of the newest run on a card: the largest batch, each beside its fastest peer."""
    from gpu.results import newest

    found = newest(peers.RESULTS)
    if found is None or not found.get("beside"):
        return "On a GPU, the CUDA kernels are not measured yet.\n"
    times = {row["config"] + ", " + row["batch"]: {} for row in found["features"]}
    times |= {row["setting"]: {} for row in found["constant_q"]}
    for row in [*found["features"], *found["constant_q"]]:
        if "median_ms" in row:
            times[row.get("setting") or row["config"] + ", " + row["batch"]][row["way"]] = row
    rows = []
    for title, ours, batch in (("log-mel", "auto", ", 64 x 30 s"), ("constant Q", "audiofeed", " 84 bins, 64 x 30 s")):
        for setting, ways in times.items():
            named = f"{title}, {setting}"
            beside = {row["way"]: row["times"] for row in found["beside"] if row["setting"] == named}
            if not setting.endswith(batch) or ours not in ways or not beside:
                continue
            peer = min(beside, key=lambda way: beside[way])
            own = ways[ours]
            error = f"{own['max_error_nats']:.1e} nats" if "max_error_nats" in own else f"{own['error']:.0e}"
            rows.append([named[0].upper() + named[1:], f"{own['median_ms']:.2f} ms",
                         f"{peer} {ways[peer]['median_ms']:.2f} ms", f"{beside[peer]:.1f}", error])  # fmt: skip
    heads = ["", "audiofeed", "the fastest beside it", "times", "error"]
    return f"On one {found['environment']['card']}, torch {found['environment']['torch']}:\n\n" + peers.markdown(
        heads, rows
    )


def result_files() -> str:
    """All results that are written to be read."""
    rows = []
    for path in sorted(peers.RESULTS.glob("*.md")):
        made = re.findall(r"`(python benchmarks/[^`]*)`", path.read_text())
        rows.append([f"[{path.name}](../benchmarks/results/{path.name})", f"`{made[-1]}`" if made else ""])
    return peers.markdown(["file", "command"], rows)


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"summary": summary, "card": card},
    "docs/defaults.md": {"defaults": defaults},
    "docs/performance.md": {
        "features_cpu": partial(from_result, "features_cpu.md"),
        "catalogue_cpu": partial(from_result, "catalogue_cpu.md"),
        "constant_q_scaling": partial(from_result, "constant_q_scaling.md"),
        "exactness": exactness,
        "end_to_end": partial(from_result, "end_to_end.md"),
        "reading": reading,
        "gpu": gpu,
        "presets": partial(from_result, "presets.md"),
        "frontends": partial(from_result, "frontends.md"),
        "batches": lambda: from_result("batches.md").partition("\n\n")[2],
        "trainable_bases": partial(from_result, "trainable_bases.md"),
        "demo": partial(from_result, "demo.md"),
        "fsdd": partial(from_result, "fsdd.md"),
        "results": result_files,
    },
}


def filled(page: str, text: str) -> str:
    """A page with every marked part made anew, its links seen from where it lies."""
    parts = PAGES[page]
    for name, make in parts.items():
        pattern = rf"<!-- begin {name} -->\n.*?<!-- end {name} -->"
        if not re.search(pattern, text, flags=re.DOTALL):
            raise SystemExit(f"{page} has no part marked {name!r}")
        made = make().strip()
        if page.startswith("docs/"):
            made = made.replace("](benchmarks/", "](../benchmarks/")
        text = re.sub(
            pattern, lambda _, new=f"<!-- begin {name} -->\n{made}\n<!-- end {name} -->": new, text, flags=re.DOTALL
        )
    unknown = set(re.findall(r"<!-- begin (\w+) -->", text)) - set(parts)
    if unknown:
        raise SystemExit(f"{page} has parts marked {sorted(unknown)}, which nothing fills")
    return text


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    differ = []
    for page in PAGES:
        old = (ROOT / page).read_text()
        new = filled(page, old)
        if new != old:
            differ.append(page)
            if not check:
                (ROOT / page).write_text(new)
    if check and differ:
        sys.stderr.write(f"{', '.join(differ)} differ from the results files; run python benchmarks/readme_tables.py\n")
    return int(check and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
