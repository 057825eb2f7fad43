"""Files in, log-mel batches out, in one process: clips per second of audiofeed and of the usual ways.

    python benchmarks/end_to_end.py [--clips 200] [--rounds 5] [--check]

FLAC files of 4 to 16 s at 16 kHz are written to a temporary folder: noise shaped like speech, so that FLAC has
something to decode. Every way reads all of them once in each round, in turn. `--check` exits 1 where audiofeed is below
1.3 times torchaudio in the dataset, or below 65 % of decoding alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import librosa
import numpy as np
import peers
import soundfile
import torch
import torchaudio
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

import audiofeed as af

RATE, N_FFT, HOP, N_MELS, FLOOR = 16000, 400, 160, 80, 1e-10
BATCH = 16


def write_clips(folder: Path, clips: int) -> None:
    """Speech-like noise: a falling spectrum under a syllable-like envelope."""
    rng = np.random.default_rng(0)
    for i in range(clips):
        time_axis = int(RATE * rng.uniform(4, 16))
        spectrum = np.fft.rfft(rng.standard_normal(time_axis))
        frequency = np.fft.rfftfreq(time_axis, 1 / RATE)
        noise = np.fft.irfft(spectrum / (1 + (frequency / 500) ** 1.5), time_axis)
        envelope = np.abs(np.sin(2 * np.pi * 2.5 * np.arange(time_axis) / RATE)) ** 2 + 0.01
        clip = noise * envelope
        soundfile.write(folder / f"{i:04d}.flac", 0.5 * clip / np.abs(clip).max(), RATE, subtype="PCM_16")


class Decoded(Dataset):
    """Waveforms by soundfile, and optionally something made of each."""

    def __init__(self, paths: list[str], feature=None) -> None:
        self.paths, self.feature = paths, feature

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        if self.feature is None:
            return torch.from_numpy(soundfile.read(self.paths[index], dtype="int16")[0])
        return self.feature(soundfile.read(self.paths[index], dtype="float32")[0])


def padded(items: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The usual collate of features of unequal length.  Shape: [(n_mels, frames)] -> (batch, n_mels, frames)."""
    lengths = torch.tensor([item.shape[-1] for item in items])
    return pad_sequence([item.T for item in items], batch_first=True).transpose(1, 2), lengths


def ways(folder: Path) -> dict:
    """name -> a loader factory whose batches hold log-mel features, or for decoding nothing but waveforms."""
    paths = sorted(map(str, folder.glob("*.flac")))
    with_torchaudio = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )

    def by_torchaudio(y: np.ndarray) -> torch.Tensor:
        return with_torchaudio(torch.from_numpy(y)).clamp(min=FLOOR).log()

    def by_librosa(y: np.ndarray) -> torch.Tensor:
        mel = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS)
        return torch.from_numpy(np.log(np.maximum(mel, FLOOR)))

    def naive(items: list[torch.Tensor]) -> torch.Tensor:
        return with_torchaudio(pad_sequence(items, batch_first=True)).clamp(min=FLOOR).log()

    transform = af.LogMelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, floor=FLOOR)
    collate = af.GPUSpecCollate(transform, device="cpu")
    dataset = af.AudioFolder(folder, sample_rate=RATE)

    def loader(data, collate_fn):
        return DataLoader(data, batch_size=BATCH, collate_fn=collate_fn)

    return {
        "decode only": lambda: loader(Decoded(paths), list),
        "audiofeed": lambda: loader(dataset, collate),
        "audiofeed, soundfile in the dataset": lambda: loader(Decoded(paths), collate),
        "torchaudio in the dataset": lambda: loader(Decoded(paths, by_torchaudio), padded),
        "librosa in the dataset": lambda: loader(Decoded(paths, by_librosa), padded),
        "torchaudio on the padded batch": lambda: loader(Decoded(paths, torch.from_numpy), naive),
    }


def consume(loader) -> float:
    """Seconds for one pass, each batch's features computed."""
    start = time.perf_counter()
    for batch in loader:
        if isinstance(batch, af.AudioBatch):
            batch.features  # noqa: B018  computed at first access
    return time.perf_counter() - start


def largest_error(folder: Path) -> float:
    """Nats between audiofeed's features and librosa's in float64, over the first batch."""
    made = ways(folder)
    batch = next(iter(made["audiofeed"]()))
    worst = 0.0
    for i, path in enumerate(sorted(folder.glob("*.flac"))[:BATCH]):
        y = soundfile.read(path, dtype="float64")[0]
        mel = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, dtype=np.float64)
        expected = np.log(np.maximum(mel, FLOOR))
        worst = max(worst, float(np.abs(batch.features[i, :, : expected.shape[-1]].numpy() - expected).max()))
    return worst


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit 1 below the promise")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        write_clips(folder, arguments.clips)
        error = largest_error(folder)
        made = ways(folder)
        for factory in made.values():
            consume(factory())
        seconds: dict[str, list[float]] = {way: [] for way in made}
        for _ in range(arguments.rounds):
            for way, factory in made.items():
                seconds[way].append(consume(factory()))
    rates = {way: arguments.clips / statistics.median(s) for way, s in seconds.items()}
    over_torchaudio = peers.ratio(seconds, "torchaudio in the dataset", "audiofeed")
    of_decoding = 1 / peers.ratio(seconds, "audiofeed", "decode only")
    about = peers.versions("torch", "torchaudio", "librosa", "soundfile", "numpy")
    rows = [
        [way, f"{rate:.0f}", f"{100 * rate / rates['decode only']:.0f} %", f"{rate / rates['audiofeed']:.2f}"]
        for way, rate in rates.items()
    ]
    text = (
        f"{arguments.clips} FLAC files of 4 to 16 s at 16 kHz to log-mel batches of {BATCH}, one process, 2 threads: "
        "median of the rounds.\n\n"
        + peers.markdown(["", "clips/s", "of decoding", "audiofeed = 1"], rows)
        + f"\naudiofeed is {over_torchaudio:.2f} times torchaudio in the dataset and {100 * of_decoding:.0f} % of "
        f"decoding alone (medians of the ratios within a round); its largest error is {error:.1e} nats against "
        "float64.\n"
        f"{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {arguments.rounds} rounds. "
        "Made by `python benchmarks/end_to_end.py`.\n"
    )
    peers.write("end_to_end.md", text)
    result = {
        "machine": peers.machine(),
        "versions": about,
        "clips_per_second": rates,
        "over_torchaudio": over_torchaudio,
        "of_decoding": of_decoding,
        "max_error_nats": error,
    }
    peers.RESULTS.joinpath("end_to_end.json").write_text(json.dumps(result, indent=1) + "\n")
    if arguments.check and (over_torchaudio < 1.3 or of_decoding < 0.65):
        sys.stderr.write("below the promise of 1.3 times torchaudio and 65 % of decoding\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
