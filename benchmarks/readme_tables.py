"""Put the measured tables, and the defaults of three libraries, between the markers of README.md.

python benchmarks/readme_tables.py           # writes README.md
python benchmarks/readme_tables.py --check   # exits 1 where README.md is not what the results files say
"""

from __future__ import annotations

import argparse
import inspect
import re
import subprocess
import sys
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


def filled(text: str) -> str:
    """README with every marked part made anew."""
    parts = {
        "demo": lambda: from_result("demo.md"),
        "fsdd": lambda: from_result("fsdd.md"),
        "defaults": defaults,
        "features_cpu": lambda: from_result("features_cpu.md"),
        "catalogue_cpu": lambda: from_result("catalogue_cpu.md"),
        "constant_q_scaling": lambda: from_result("constant_q_scaling.md"),
        "exactness": exactness,
        "trainable_bases": lambda: from_result("trainable_bases.md"),
        "end_to_end": lambda: from_result("end_to_end.md"),
        "reading": reading,
        "gpu": gpu,
    }
    for name, make in parts.items():
        pattern = rf"<!-- begin {name} -->\n.*?<!-- end {name} -->"
        if not re.search(pattern, text, flags=re.DOTALL):
            raise SystemExit(f"README.md has no part marked {name!r}")
        new = f"<!-- begin {name} -->\n{make().strip()}\n<!-- end {name} -->"
        text = re.sub(pattern, lambda _, new=new: new, text, flags=re.DOTALL)
    return text


def main() -> int:
    """Write README.md, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    old = readme.read_text()
    new = filled(old)
    if check:
        if new != old:
            sys.stderr.write("README.md differs from the results files; run python benchmarks/readme_tables.py\n")
        return int(new != old)
    readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
