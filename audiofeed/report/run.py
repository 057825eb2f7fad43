"""One report of a data set, from files to a page: `audiofeed.write_report`."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

from audiofeed.arguments.checks import HIGHEST_RATE, LOWEST_RATE, check_count, check_integer, check_positive
from audiofeed.data import RandomCrop
from audiofeed.data.crops import Crop
from audiofeed.survey.settings import ScanError


class ReportError(ValueError):
    """Error for a report that cannot be made; the message is one line with the change to make."""


def write_report(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] = "report.html",
    *,
    transform: str | torch.nn.Module = "mel",
    crop: float | Crop | None = None,
    sample_rate: int | None = None,
    target_pattern: str | None = None,
    index: str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    batch_seconds: float | None = None,
    clips: int = 20,
    seed: int = 0,
    device: torch.device | str | None = None,
    measure_hours: float = 2.0,
    speed_seconds: float = 2.0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Write the report of a data set as a model will see it: one HTML page that needs no other file and no network.

    The page has counts, lengths, levels, clipping, silence, classes, bad files, duplicates, some clips with sound,
    waveform and features as they lie in a batch, what batches would cost, and a test of speed that names the
    bottleneck. It is the command `audiofeed report` (docs/report.md). Broken files are listed on it. For the same data,
    settings and seed it is the same but for measured times.

    Args:
        source: A folder of audio files, or a manifest (.csv, .tsv, .jsonl, .ndjson, .parquet), as `audiofeed scan`
            takes it.
        out: The page; one that is there is replaced when the new one is whole.
        transform: From waveforms to features: a module, or a text that names a transform or preset, with settings or
            without, such as "mel" (log-mel of 80 bins every 10 ms), "whisper" or "MelSpectrogram(n_mels=64)". A text is
            read and never evaluated.
        crop: What a batch has of each clip: seconds of a `RandomCrop`, above 0, or a crop; None for whole clips, of
            which the page shows the middle 30 s if they are longer.
        sample_rate: Hz of the batches, 100 to 10,000,000; None for the transform's own, or that of most hours.
        target_pattern: Takes file names apart, as in `AudioFolder(target=...)`; None takes classes from folders.
        index: Keeps what the scan finds between runs, as in `AudioFolder(index=...)`.
        batch_size: Clips in a batch, 1 or more; None for 32.
        batch_seconds: Padded seconds in a batch by duration, above 0; None for those of `batch_size` clips of mean
            length. If it is given and `batch_size` is not, the test of speed makes such batches.
        clips: How many clips are shown, drawn at random, 0 or more.
        seed: Decides which clips are shown and measured, and their crops, 0 or more.
        device: Where features are computed; None for the accelerator, else the CPU.
        measure_hours: Hours of audio whose samples are measured, of clips drawn at random, above 0.
        speed_seconds: How long each of the two tests of speed takes, 0 or more; 0 makes none.
        progress: True draws progress bars; None draws one on a terminal for what takes over a second.

    Returns:
        The page's figures, as JSON can hold them.

    Raises:
        ValueError: There is no good file, or a setting cannot be met (both a `ReportError`) or is out of range.
        TypeError: `transform` is neither a text nor a module, or `crop` neither a number nor a crop.

    >>> import tempfile, wave
    >>> root = tempfile.TemporaryDirectory()
    >>> with wave.open(f"{root.name}/a.wav", "wb") as file:
    ...     file.setparams((1, 2, 8000, 0, "NONE", None))
    ...     _ = file.writeframes(bytes(16000))
    >>> figures = write_report(root.name, f"{root.name}/report.html", device="cpu", speed_seconds=0)
    >>> figures["clips"], figures["levels"]["silence_share"], figures["shown"][0]["frames"]
    (1, 1.0, 101)
    >>> root.cleanup()
    """
    # here, since `import audiofeed` has this file
    from audiofeed.report.gather import Asked, check_device, gather
    from audiofeed.report.page import page
    from audiofeed.report.transform_text import read_transform
    from audiofeed.survey.corpus import open_corpus
    from audiofeed.survey.written import write_whole

    if not isinstance(transform, (str, torch.nn.Module)):
        raise TypeError(f"transform={transform!r} must be the text of a transform, such as 'mel', or a module")
    check_integer("clips", clips, "a number of clips, 0 or more", least=0)
    check_integer("seed", seed, "an integer, 0 or more", least=0)
    check_positive("measure_hours", measure_hours, "a number of hours above 0")
    if speed_seconds != 0:
        check_positive("speed_seconds", speed_seconds, "a number of seconds, 0 or more")
    placed = RandomCrop(crop) if isinstance(crop, (int, float)) else crop
    if not (placed is None or (hasattr(placed, "count") and hasattr(placed, "place"))):
        raise TypeError(f"crop={crop!r} must be a number of seconds, a crop such as CenterCrop(2.0), or None")
    if batch_size is not None:
        check_count("batch_size", batch_size, "an integer, 1 or more")
    if sample_rate is not None:
        rule = f"an integer number of Hz, {LOWEST_RATE} to {HIGHEST_RATE}"
        if check_count("sample_rate", sample_rate, rule) < LOWEST_RATE or sample_rate > HIGHEST_RATE:
            raise ValueError(f"sample_rate={sample_rate!r} must be {rule}")
    if batch_seconds is not None:
        check_positive("batch_seconds", batch_seconds, "a number of seconds above 0")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            named = read_transform(transform) if isinstance(transform, str) else transform
            check_device(device)
            where = os.fsdecode(out)
            if not os.path.isdir(os.path.dirname(os.path.abspath(where))):
                raise ScanError(f"--out {where!r} lies in a folder that does not exist; make the folder first")
            corpus = open_corpus(
                os.fsdecode(source),
                target_pattern,
                None if index is None else os.fsdecode(index),
                targets=False,
                progress=progress,
            )
            asked = Asked(
                crop=placed,
                sample_rate=sample_rate,
                batch_size=batch_size,
                batch_seconds=batch_seconds,
                clips=clips,
                seed=seed,
                device=device,
                measure_hours=measure_hours,
                speed_seconds=speed_seconds,
                progress=progress,
            )
            figures, batch = gather(corpus, named, asked)
        told = [warning for warning in warned if issubclass(warning.category, UserWarning)]
        figures["warnings"] = list(dict.fromkeys(str(warning.message) for warning in told))
        for warning in warned:
            if warning not in told:  # about code, and nothing that the page's reader could act on
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        data = page(figures, batch)
        write_whole(where, data, "--out")
    except ScanError as error:
        raise ReportError(str(error)) from error
    return {**figures, "out": where, "page_bytes": len(data)}
