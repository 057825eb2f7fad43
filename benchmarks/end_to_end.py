"""Files in, log-mel batches out, in one process: clips per second of audiofeed and of the usual ways.

    python benchmarks/end_to_end.py [--formats FLAC MP3 Vorbis] [--clips 200] [--rounds 5] [--check]

Files of 4 to 16 s at 16 kHz are written to a temporary folder in each format: noise shaped like speech, so that a
decoder has something to do. Every way reads all of them once in each round, in turn. Beside the ways that end in
features stand those that only decode: libsndfile, the decoder that audiofeed takes for the format, and audiofeed's
dataset, on one thread and on two. `--check` exits 1 where audiofeed is below its promise for a format: so many times
torchaudio in the dataset, and such a share of libsndfile's decoding alone on two threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import miniaudio
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
# format -> ending, libsndfile's container and subtype, and what its samples are read as
FORMATS = {
    "FLAC": ("flac", "FLAC", "PCM_16", "int16"),
    "MP3": ("mp3", "MP3", "MPEG_LAYER_III", "float32"),
    "Vorbis": ("ogg", "OGG", "VORBIS", "float32"),
}
# decoders that audiofeed has beside libsndfile
DECODERS: dict[str, Callable[[str], object]] = {"FLAC": miniaudio.flac_read_file_s16}
# of torchaudio in the dataset, and of libsndfile's decoding alone on two threads, less what a noisy machine takes
LEAST = {"FLAC": (2.5, 1.0), "MP3": (1.7, 0.6), "Vorbis": (1.6, 0.65)}
OF_ONE, OF_TWO = "libsndfile decodes, 1 thread", "libsndfile decodes, 2 threads"
OUR_ONE, OUR_TWO = "audiofeed's dataset decodes, 1 thread", "audiofeed's dataset decodes, 2 threads"


def write_clips(folder: Path, clips: int, format_: str) -> None:
    """Speech-like noise: a falling spectrum under a syllable-like envelope."""
    ending, container, subtype, _ = FORMATS[format_]
    rng = np.random.default_rng(0)
    for i in range(clips):
        time_axis = int(RATE * rng.uniform(4, 16))
        spectrum = np.fft.rfft(rng.standard_normal(time_axis))
        frequency = np.fft.rfftfreq(time_axis, 1 / RATE)
        noise = np.fft.irfft(spectrum / (1 + (frequency / 500) ** 1.5), time_axis)
        envelope = np.abs(np.sin(2 * np.pi * 2.5 * np.arange(time_axis) / RATE)) ** 2 + 0.01
        clip = noise * envelope
        clip *= 0.5 / np.abs(clip).max()
        with soundfile.SoundFile(folder / f"{i:04d}.{ending}", "w", RATE, 1, format=container, subtype=subtype) as file:
            for start in range(0, time_axis, RATE):  # libvorbis overflows its stack on long blocks
                file.write(clip[start : start + RATE])


def decoding(paths: list[str], decode: Callable[[str], object], threads: int) -> Callable[[], None]:
    """A way that decodes all files and does nothing with them, batch by batch as audiofeed's dataset does."""

    def run() -> None:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            if threads == 1:
                list(map(decode, batch))
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(decode, batch))

    return run


def by_dataset(dataset: af.AudioFolder, threads: int) -> Callable[[], None]:
    """The same by audiofeed's dataset, examples and all."""

    def run() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        for start in range(0, len(dataset), BATCH):
            dataset.__getitems__(range(start, min(start + BATCH, len(dataset))))
        torch.set_num_threads(before)

    return run


class Decoded(Dataset):
    """Waveforms by soundfile, as audiofeed reads them, or something made of each in float32."""

    def __init__(self, paths: list[str], dtype: str, feature=None) -> None:
        self.paths, self.dtype, self.feature = paths, dtype, feature

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        if self.feature is None:
            return torch.from_numpy(soundfile.read(self.paths[index], dtype=self.dtype)[0])
        return self.feature(soundfile.read(self.paths[index], dtype="float32")[0])


def padded(items: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The usual collate of features of unequal length.  Shape: [(n_mels, frames)] -> (batch, n_mels, frames)."""
    lengths = torch.tensor([item.shape[-1] for item in items])
    return pad_sequence([item.T for item in items], batch_first=True).transpose(1, 2), lengths


def ways(folder: Path, format_: str) -> dict[str, Callable[[], None]]:
    """Name -> what goes through all files once: those that decode, then those whose batches hold log-mel features."""
    paths = sorted(str(path) for path in folder.iterdir())
    dtype = FORMATS[format_][-1]
    with_torchaudio = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )

    def by_libsndfile(path: str) -> np.ndarray:
        return soundfile.read(path, dtype=dtype)[0]

    def by_torchaudio(y: np.ndarray) -> torch.Tensor:
        return with_torchaudio(torch.from_numpy(y)).clamp(min=FLOOR).log()

    def by_librosa(y: np.ndarray) -> torch.Tensor:
        mel = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS)
        return torch.from_numpy(np.log(np.maximum(mel, FLOOR)))

    def naive(items: list[torch.Tensor]) -> torch.Tensor:
        return with_torchaudio(pad_sequence(items, batch_first=True)).clamp(min=FLOOR).log()

    collate, dataset = ours(folder)

    def loader(data, collate_fn):
        return lambda: consume(DataLoader(data, batch_size=BATCH, collate_fn=collate_fn))

    made = {OF_ONE: decoding(paths, by_libsndfile, 1), OF_TWO: decoding(paths, by_libsndfile, 2)}
    if format_ in DECODERS:
        for threads in (1, 2):
            made[_decoder(format_, threads)] = decoding(paths, DECODERS[format_], threads)
    return {
        **made,
        OUR_ONE: by_dataset(dataset, 1),
        OUR_TWO: by_dataset(dataset, 2),
        "audiofeed": loader(dataset, collate),
        "audiofeed, soundfile in the dataset": loader(Decoded(paths, dtype), collate),
        "torchaudio in the dataset": loader(Decoded(paths, dtype, by_torchaudio), padded),
        "librosa in the dataset": loader(Decoded(paths, dtype, by_librosa), padded),
        "torchaudio on the padded batch": loader(Decoded(paths, dtype, torch.from_numpy), naive),
    }


def ours(folder: Path) -> tuple[af.GPUSpecCollate, af.AudioFolder]:
    """The collate function and the dataset of audiofeed."""
    transform = af.LogMelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, floor=FLOOR)
    return af.GPUSpecCollate(transform, device="cpu"), af.AudioFolder(folder, sample_rate=RATE)


def _decoder(format_: str, threads: int) -> str:
    """The row of the decoder that audiofeed takes for a format: libsndfile, if there is no other."""
    if format_ not in DECODERS:
        return OF_ONE if threads == 1 else OF_TWO
    return f"miniaudio decodes, {threads} thread{'s' if threads > 1 else ''}"


def consume(loader: Iterable) -> None:
    """One pass, each batch's features computed."""
    for batch in loader:
        if isinstance(batch, af.AudioBatch):
            batch.features  # noqa: B018  computed at first access


def seconds_of(way: Callable[[], None]) -> float:
    """Seconds for one pass."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def largest_error(folder: Path) -> float:
    """Nats between audiofeed's features and librosa's in float64 of the same samples, over the first batch."""
    collate, dataset = ours(folder)
    batch = next(iter(DataLoader(dataset, batch_size=BATCH, collate_fn=collate)))
    worst = 0.0
    for i, path in enumerate(sorted(folder.iterdir())[:BATCH]):
        y = soundfile.read(path, dtype="float32")[0].astype(np.float64)
        mel = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, dtype=np.float64)
        expected = np.log(np.maximum(mel, FLOOR))
        worst = max(worst, float(np.abs(batch.features[i, :, : expected.shape[-1]].numpy() - expected).max()))
    return worst


def measured(format_: str, clips: int, rounds: int) -> dict[str, object]:
    """Rates and ratios for one format."""
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        write_clips(folder, clips, format_)
        error = largest_error(folder)
        made = ways(folder, format_)
        for way in made.values():
            way()
        seconds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, way in made.items():
                seconds[name].append(seconds_of(way))
    return {
        "clips_per_second": {name: clips / statistics.median(taken) for name, taken in seconds.items()},
        "over_torchaudio": peers.ratio(seconds, "torchaudio in the dataset", "audiofeed"),
        "of_decoding": peers.ratio(seconds, OF_ONE, "audiofeed"),
        "of_decoding_on_two_threads": peers.ratio(seconds, OF_TWO, "audiofeed"),
        # what the dataset takes beside its decoder
        "own_cost": peers.ratio(seconds, OUR_ONE, _decoder(format_, 1)) - 1,
        "own_cost_on_two_threads": peers.ratio(seconds, OUR_TWO, _decoder(format_, 2)) - 1,
        "max_error_nats": error,
    }


def section(format_: str, found: dict, clips: int) -> str:
    """The table of one format, and what it comes to."""
    rates = found["clips_per_second"]
    rows = [
        [way, f"{rate:.0f}", f"{100 * rate / rates[OF_TWO]:.0f} %", f"{rate / rates['audiofeed']:.2f}"]
        for way, rate in rates.items()
    ]
    return (
        f"{clips} {format_} files of 4 to 16 s at 16 kHz to log-mel batches of {BATCH}, one process, 2 threads unless "
        "a row says 1: median of the rounds.\n\n"
        + peers.markdown(["", "clips/s", "of libsndfile, 2 threads", "audiofeed = 1"], rows)
        + f"\n{format_}: audiofeed is {found['over_torchaudio']:.2f} times torchaudio in the dataset, "
        f"{100 * found['of_decoding']:.0f} % of libsndfile's decoding alone on one thread and "
        f"{100 * found['of_decoding_on_two_threads']:.0f} % on two; its dataset takes {100 * found['own_cost']:+.0f} % "
        f"beside its decoder on one thread and {100 * found['own_cost_on_two_threads']:+.0f} % on two (medians of the "
        f"ratios within a round). Its largest error is {found['max_error_nats']:.1e} nats against float64.\n\n"
    )


def main() -> int:
    """Measure, write the tables, and with --check hold them against the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit 1 below the promise")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    found = {format_: measured(format_, arguments.clips, arguments.rounds) for format_ in arguments.formats}
    about = peers.versions("torch", "torchaudio", "librosa", "soundfile", "miniaudio", "numpy")
    text = "".join(section(format_, of_format, arguments.clips) for format_, of_format in found.items()) + (
        f"{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}, libsndfile "
        f"{soundfile.__libsndfile_version__}; {arguments.rounds} rounds. Made by `python benchmarks/end_to_end.py`.\n"
    )
    peers.write("end_to_end.md", text)
    result = {"machine": peers.machine(), "versions": about, "formats": found}
    peers.RESULTS.joinpath("end_to_end.json").write_text(json.dumps(result, indent=1) + "\n")
    below = [
        format_
        for format_, of in found.items()
        if of["over_torchaudio"] < LEAST[format_][0] or of["of_decoding_on_two_threads"] < LEAST[format_][1]
    ]
    if arguments.check and below:
        promised = {name: LEAST[name] for name in below}
        sys.stderr.write(f"below the promise, times torchaudio and share of decoding: {promised}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
