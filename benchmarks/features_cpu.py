"""Log-mel on a CPU: audiofeed, torchaudio, nnAudio2 and librosa in one process, in turn, with the error of each.

    python benchmarks/features_cpu.py [--rounds 15] [--check]

librosa is called clip by clip, as a dataset calls it; "one call" gives it all clips as one array, so that it makes its
filters once. The error is the largest difference in nats between a peer's log-mel and the same computed in float64
(librosa's filters on a float64 FFT), over noise that falls by 60 dB. `--check` exits 1 where a ratio is below its
promise.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import dataclass

import librosa
import numpy as np
import peers
import torch

import audiofeed as af

FLOOR = 1e-10
BARS = {"torchaudio": (1.5, 3.0, 3.0), "nnAudio2": (3.0, 15.0, 10.0), "librosa": (5.0, 5.0, 5.0)}


@dataclass(frozen=True)
class Setting:
    """One front-end, and how much audio it is timed on."""

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    clips: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.sample_rate / 1000:g} kHz, {self.n_fft}/{self.hop_length}, {self.n_mels} mel, "
            f"{self.clips} x {self.seconds:g} s"
        )


SETTINGS = (
    Setting(16000, 400, 160, 80, 16, 10.0),
    Setting(22050, 2048, 512, 128, 16, 10.0),
    Setting(44100, 1024, 256, 128, 16, 5.0),
)


def waveform(setting: Setting) -> torch.Tensor:
    """Noise that falls by 60 dB, so that quiet frames count in the error.  Shape: (clips, time)."""
    time = int(setting.sample_rate * setting.seconds)
    noise = np.random.default_rng(0).standard_normal((setting.clips, time)) * 0.1
    return torch.from_numpy(noise * np.logspace(0, -3, time)).float()


def reference(setting: Setting, x: torch.Tensor, *, pad_mode: str, **mel: object) -> np.ndarray:
    """log-mel in float64 by librosa."""
    y = x.double().numpy()
    spectrum = librosa.stft(y, n_fft=setting.n_fft, hop_length=setting.hop_length, pad_mode=pad_mode)
    filters = librosa.filters.mel(
        sr=setting.sample_rate, n_fft=setting.n_fft, n_mels=setting.n_mels, dtype=np.float64, **mel
    )
    return np.log(np.maximum(np.matmul(filters, np.abs(spectrum) ** 2), FLOOR))


def contenders(setting: Setting, x: torch.Tensor) -> dict:
    """name -> (a call that computes log-mel of x, its own float64 reference)."""
    settings = {"n_fft": setting.n_fft, "hop_length": setting.hop_length, "n_mels": setting.n_mels}
    slaney = reference(setting, x, pad_mode="constant")
    made = {}

    ours = af.LogMelSpectrogram(sample_rate=setting.sample_rate, floor=FLOOR, **settings)
    made["audiofeed"] = (lambda: ours(x), slaney)
    by_torch = af.LogMelSpectrogram(sample_rate=setting.sample_rate, floor=FLOOR, method="fft", **settings)
    made["audiofeed, torch's FFT"] = (lambda: by_torch(x), slaney)
    double = af.LogMelSpectrogram(sample_rate=setting.sample_rate, floor=FLOOR, precision="double", **settings)
    made["audiofeed, double"] = (lambda: double(x), slaney)
    conv = af.LogMelSpectrogram(sample_rate=setting.sample_rate, floor=FLOOR, method="conv", **settings)
    made["audiofeed, conv"] = (lambda: conv(x), slaney)

    import torchaudio

    theirs = torchaudio.transforms.MelSpectrogram(
        setting.sample_rate, norm="slaney", mel_scale="slaney", pad_mode="constant", **settings
    )
    made["torchaudio"] = (lambda: theirs(x).clamp(min=FLOOR).log(), slaney)

    from nnAudio2 import features as nnaudio

    seed = nnaudio.MelSpectrogram(sr=setting.sample_rate, pad_mode="constant", verbose=False, **settings)
    made["nnAudio2"] = (lambda: seed(x).clamp(min=FLOOR).log(), slaney)

    y = x.numpy()

    def by_librosa(clip: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(y=clip, sr=setting.sample_rate, pad_mode="constant", **settings)
        return np.log(np.maximum(mel, FLOOR))

    made["librosa"] = (lambda: np.stack([by_librosa(clip) for clip in y]), slaney)
    made["librosa, one call"] = (lambda: by_librosa(y), slaney)
    return made


def measure(setting: Setting, rounds: int) -> dict:
    """Times, errors and ratios of one setting."""
    x = waveform(setting)
    made = contenders(setting, x)
    with torch.no_grad():
        errors = {}
        for name, (call, expected) in made.items():
            out = np.asarray(call())
            frames = min(out.shape[-1], expected.shape[-1])
            errors[name] = float(np.abs(out[..., :frames] - expected[..., :frames]).max())
        seconds = peers.in_turn({name: call for name, (call, _) in made.items()}, rounds=rounds)
    return {
        "setting": str(setting),
        "median_ms": {name: float(np.median(s) * 1e3) for name, s in seconds.items()},
        "fastest_ms": {name: float(np.min(s) * 1e3) for name, s in seconds.items()},
        "max_error_nats": errors,
        "ratio": {name: peers.ratio(seconds, name, "audiofeed") for name in made if name != "audiofeed"},
    }


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--check", action="store_true", help="exit 1 where a ratio is below its promise")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    measured = [measure(setting, arguments.rounds) for setting in SETTINGS]
    names = list(measured[0]["median_ms"])
    rows = []
    for result in measured:
        cells = [result["setting"]]
        for name in names:
            times = f"x{result['ratio'][name]:.1f}" if name in result["ratio"] else "1"
            cells.append(f"{result['median_ms'][name]:.1f} ms, {times}, {result['max_error_nats'][name]:.1e}")
        rows.append(cells)
    about = peers.versions("torch", "torchaudio", "nnaudio2", "librosa", "numpy")
    text = (
        "Log-mel on a CPU, 2 threads: median time; how many times audiofeed's it is (median of the ratios within a "
        'round); largest error in nats against float64. librosa is called clip by clip, as a dataset does; "one call" '
        'gives it all clips as one array. "torch\'s FFT" is audiofeed without llvmlite, '
        '"double" with precision="double".\n\n'
        + peers.markdown(["", *names], rows)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {arguments.rounds} rounds. "
        "Made by `python benchmarks/features_cpu.py`.\n"
    )
    peers.write("features_cpu.md", text)
    peers.RESULTS.joinpath("features_cpu.json").write_text(
        json.dumps({"machine": peers.machine(), "versions": about, "results": measured}, indent=1) + "\n"
    )
    if not arguments.check:
        return 0
    low = [
        f"{result['setting']}: {peer} x{result['ratio'][peer]:.2f}, promised x{bars[i]}"
        for i, result in enumerate(measured)
        for peer, bars in BARS.items()
        if result["ratio"][peer] < bars[i]
    ]
    sys.stderr.write("".join(f"below its promise: {line}\n" for line in low))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
