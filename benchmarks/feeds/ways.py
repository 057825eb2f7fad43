"""The feeds: files in, padded batches of log-mel features out, by audiofeed and by the usual libraries.

Nothing here is imported before a feed's own process has begun. A feed is a function of its `Source`, and returns one
that goes through all clips once and yields the number of clips of each batch as it is ready, and one that turns single
waveforms into features, for the error; None where there are no features, or others.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from feeds.corpora import FLOOR, HOP, N_FFT, N_MELS, RATE, Corpus

BATCH = 16

Pass = Callable[[], Iterator[int]]
Single = Callable[[np.ndarray], np.ndarray]


class Dropping:
    """An order of clips that drops all files from the page cache before each time that it comes to the first."""

    def __init__(self, order: Sequence[int], paths: Sequence[str]) -> None:
        self.order, self.paths = order, paths

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        for number, index in enumerate(self.order):
            if number % len(self.paths) == 0:
                drop(self.paths)
            yield index


def drop(paths: Sequence[str]) -> None:
    """Drop files from the page cache; they are on the disk."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


@dataclass(frozen=True)
class Source:
    """What a feed reads.

    Args:
        corpus: The kind of files.
        paths: The files.
        shards: The same in tar files.
        features: Their features in `.npy`.
        workers: Processes that load.
        cold: Whether the files are dropped from the page cache each time they have all been read.
    """

    corpus: Corpus
    paths: Sequence[str]
    shards: Sequence[str]
    features: Sequence[str]
    workers: int
    cold: bool = False

    @property
    def order(self) -> list[int]:
        """Which file each clip of a pass is of."""
        return [number % len(self.paths) for number in range(self.corpus.clips)]

    def sampler(self, read: Sequence[str]) -> Sequence[int] | Dropping:
        """The order for a DataLoader, which drops the files that are `read` from the page cache where that is asked."""
        return Dropping(self.order, read) if self.cold else self.order

    def load(self, file: Any, dtype: str = "float32") -> np.ndarray:
        """Decode a file by soundfile, or a random crop of it."""
        if self.corpus.crop is None:
            return soundfile.read(file, dtype=dtype)[0]
        with soundfile.SoundFile(file) as opened:
            frames = int(self.corpus.crop * RATE)
            opened.seek(random.randrange(opened.frames - frames + 1))
            return opened.read(frames, dtype=dtype)


def decoding(threads: int) -> Callable[[Source], tuple[Pass, None]]:
    """Soundfile's decoding alone, batch by batch, on so many threads."""

    def feed(source: Source) -> tuple[Pass, None]:
        def once() -> Iterator[int]:
            with ThreadPoolExecutor(threads) as pool:
                for start in range(0, len(source.order), BATCH):
                    paths = [source.paths[index] for index in source.order[start : start + BATCH]]
                    load = lambda path: source.load(path, source.corpus.dtype)  # noqa: E731
                    yield len(list(pool.map(load, paths) if threads > 1 else map(load, paths)))

        return once, None

    return feed


def audiofeed(source: Source) -> tuple[Pass, Single]:
    """Ours: a plain DataLoader over the files."""
    return _audiofeed(source)


def audiofeed_kept(source: Source) -> tuple[Pass, Single]:
    """Ours, with the decoded clips kept in memory: the epochs after the first, in which they are decoded."""
    return _audiofeed(source, first_pass=True, keep="memory")


def audiofeed_threads(source: Source) -> tuple[Pass, Single]:
    """Ours: a Feed without processes. A thread reads ahead, decoding in torch's threads, beside the loop's features."""
    return _audiofeed(source, threads=True)


def _audiofeed(
    source: Source, *, first_pass: bool = False, threads: bool = False, **settings: Any
) -> tuple[Pass, Single]:
    import audiofeed as af

    transform = af.LogMelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, floor=FLOOR)
    crop = None if source.corpus.crop is None else af.RandomCrop(seconds=source.corpus.crop)
    rows = [{"path": path} for path in source.paths]
    dataset = af.AudioManifest(rows, target_column=None, sample_rate=RATE, crop=crop, **settings)
    for index in range(len(rows) if first_pass else 0):
        dataset[index]
    kept = dataset._loader.kept
    collate = af.GPUSpecCollate(transform, device="cpu")
    order = source.sampler(source.paths)
    loader: Any = DataLoader(dataset, sampler=order, batch_size=BATCH, num_workers=source.workers, collate_fn=collate)
    if threads:
        batches = [source.order[start : start + BATCH] for start in range(0, len(source.order), BATCH)]
        loader = af.Feed(dataset, transform, sampler=batches, device="cpu", workers="threads")

    def once() -> Iterator[int]:
        for batch in loader:
            yield batch.features.shape[0]

    once.kept = 0 if kept is None else kept.size  # type: ignore[attr-defined]
    return once, lambda clip: transform(torch.from_numpy(clip)).numpy()


class Files(Dataset):
    """Files, each decoded by soundfile and given to a function."""

    def __init__(self, source: Source, change: Callable[[np.ndarray], Any], names: Sequence[str] | None = None) -> None:
        self.source, self.change, self.names = source, change, source.paths if names is None else names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        return self.change(self.source.load(self.names[index]))


class Arrays(Files):
    """Features from `.npy` files, or a random part of each."""

    def __getitem__(self, index: int) -> Any:
        crop = self.source.corpus.crop
        if crop is None:
            return torch.from_numpy(np.load(self.names[index]))
        features = np.load(self.names[index], mmap_mode="r")
        frames = int(crop * RATE) // HOP + 1
        start = random.randrange(features.shape[-1] - frames + 1)
        return torch.from_numpy(features[:, start : start + frames].copy())


def padded(items: list[torch.Tensor]) -> torch.Tensor:
    """The usual collate of features of unequal length.  Shape: [(n_mels, frames)] -> (batch, n_mels, frames)."""
    return pad_sequence([item.T for item in items], batch_first=True).transpose(1, 2)


def batches(source: Source, dataset: Files, collate: Callable[[list[Any]], Any], then: Callable[[Any], Any]) -> Pass:
    """A plain DataLoader's pass, with something done to each batch in the loop."""
    order = source.sampler(dataset.names)
    loader = DataLoader(dataset, sampler=order, batch_size=BATCH, num_workers=source.workers, collate_fn=collate)

    def once() -> Iterator[int]:
        for batch in loader:
            yield then(batch).shape[0]

    return once


def _torchaudio() -> Callable[[np.ndarray], torch.Tensor]:
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    return lambda clip: mel(torch.from_numpy(clip)).clamp(min=FLOOR).log()


def torchaudio(source: Source) -> tuple[Pass, Single]:
    """A plain DataLoader whose dataset computes features by torchaudio."""
    feature = _torchaudio()
    once = batches(source, Files(source, feature), padded, lambda features: features)
    return once, lambda clip: feature(clip).numpy()


def nnaudio(source: Source) -> tuple[Pass, Single]:
    """A plain DataLoader of waveforms, and nnAudio2's features of the padded batch in the loop."""
    from nnAudio2.features.mel import MelSpectrogram

    mel = MelSpectrogram(
        sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, pad_mode="constant", verbose=False, trainable_mel=False
    )
    collate = lambda items: pad_sequence(items, batch_first=True)  # noqa: E731
    feature = lambda waveforms: mel(waveforms).clamp(min=FLOOR).log()  # noqa: E731
    once = batches(source, Files(source, torch.from_numpy), collate, feature)
    return once, lambda clip: feature(torch.from_numpy(clip)[None])[0].numpy()


def lhotse(source: Source) -> tuple[Pass, None]:
    """lhotse's cuts with its on-the-fly features: Kaldi's filter bank, as it is used there, so no error here."""
    from lhotse import CutSet, Fbank, FbankConfig, Recording
    from lhotse.dataset import OnTheFlyFeatures, SimpleCutSampler

    cuts = [Recording.from_file(path, recording_id=path).to_cut() for path in source.paths]
    if source.corpus.crop is not None:
        most = [cut.duration - source.corpus.crop for cut in cuts]
        cuts = [
            cut.truncate(offset=random.uniform(0, last), duration=source.corpus.crop)
            for cut, last in zip(cuts, most, strict=True)
        ]
    repeated = CutSet.from_cuts(cuts[i].with_id(str(number)) for number, i in enumerate(source.order))
    strategy = OnTheFlyFeatures(Fbank(FbankConfig(sampling_rate=RATE, num_mel_bins=N_MELS)))

    class Features(Dataset):
        def __getitem__(self, chosen: Any) -> torch.Tensor:
            return strategy(chosen)[0]

    def once() -> Iterator[int]:
        sampler = SimpleCutSampler(repeated, max_cuts=BATCH)
        for features in DataLoader(Features(), sampler=sampler, batch_size=None, num_workers=source.workers):
            yield features.shape[0]

    return once, None


def webdataset(source: Source) -> tuple[Pass, Single]:
    """webdataset's shards of the same files, decoded by soundfile, features by torchaudio in the workers."""
    import webdataset as wds

    feature, ending = _torchaudio(), source.corpus.ending
    load = lambda sample: feature(source.load(io.BytesIO(sample[ending])))  # noqa: E731
    urls = list(source.shards) * (source.corpus.clips // len(source.paths))
    stream = wds.WebDataset(urls, shardshuffle=False).map(load).batched(BATCH, collation_fn=padded)

    def once() -> Iterator[int]:
        for features in DataLoader(stream, batch_size=None, num_workers=source.workers):
            yield features.shape[0]

    return once, lambda clip: feature(clip).numpy()


def spdl(source: Source) -> tuple[Pass, Single]:
    """SPDL's pipeline: decoding by FFmpeg in two threads, torchaudio's features in the same threads."""
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    feature, crop = _torchaudio(), source.corpus.crop
    wanted = spdl.io.get_audio_filter_desc(sample_fmt="fltp", num_channels=1)
    lasting = source.corpus.seconds[0]

    def load(path: str) -> torch.Tensor:
        start = None if crop is None else random.uniform(0, lasting - crop)
        part = None if crop is None or start is None else (start, start + crop)
        return feature(spdl.io.to_numpy(spdl.io.load_audio(path, part, filter_desc=wanted))[0])

    def once() -> Iterator[int]:
        paths = [source.paths[index] for index in source.order]
        builder = PipelineBuilder().add_source(paths).pipe(load, concurrency=2).aggregate(BATCH).pipe(padded)
        pipeline = builder.add_sink(4).build(num_threads=2)
        with pipeline.auto_stop():
            for features in pipeline.get_iterator():
                yield features.shape[0]

    return once, lambda clip: feature(clip).numpy()


def precomputed(source: Source) -> tuple[Pass, None]:
    """Log-mel features of every file on disk, and a plain DataLoader that reads them."""
    dataset = Arrays(source, lambda clip: clip, source.features)
    return batches(source, dataset, padded, lambda features: features), None


@dataclass(frozen=True)
class Way:
    """A row of the table.

    Args:
        name: Of the row.
        feed: Makes the feed.
        workers: Processes that load.
        needs: Packages beside torch and soundfile.
        cold: Whether the files are dropped from the page cache before each time that all are read.
    """

    name: str
    feed: Callable[[Source], tuple[Pass, Single | None]]
    workers: int = 0
    needs: tuple[str, ...] = ()
    cold: bool = False


OURS, BY_TORCHAUDIO, ON_DISK = "audiofeed", "torchaudio in the dataset", "precomputed .npy log-mels on disk"
ALONE = "soundfile decodes, 2 threads"
# the first epoch is the row without it
KEPT = f'{OURS}, keep="memory", later epochs'
THREADED = f"{OURS}, Feed with threads"
COLD = ", files not in memory"
WAYS = [
    Way("soundfile decodes, 1 thread", decoding(1)),
    Way(ALONE, decoding(2)),
    *(Way(f"{OURS}, {n} workers", audiofeed, n) for n in (0, 1, 2)),
    Way(THREADED, audiofeed_threads),
    *(Way(f"{KEPT}, {n} workers", audiofeed_kept, n) for n in (0, 2)),
    *(Way(f"{BY_TORCHAUDIO}, {n} workers", torchaudio, n, ("torchaudio",)) for n in (0, 1, 2)),
    *(Way(f"nnAudio2 in the loop, {n} workers", nnaudio, n, ("nnAudio2",)) for n in (0, 2)),
    *(Way(f"lhotse, features on the fly, {n} workers", lhotse, n, ("lhotse",)) for n in (0, 2)),
    *(Way(f"webdataset + torchaudio, {n} workers", webdataset, n, ("webdataset", "torchaudio")) for n in (0, 2)),
    Way("SPDL + torchaudio, 2 threads", spdl, 0, ("spdl", "torchaudio")),
    *(Way(f"{ON_DISK}, {n} workers", precomputed, n) for n in (0, 2)),
    *(Way(f"{OURS}, {n} workers{COLD}", audiofeed, n, cold=True) for n in (0, 2)),
    *(Way(f"{ON_DISK}, {n} workers{COLD}", precomputed, n, cold=True) for n in (0, 2)),
]
