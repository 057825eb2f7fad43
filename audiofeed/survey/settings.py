"""What a survey of a corpus is asked for, and the error for what it cannot do."""

from __future__ import annotations

from dataclasses import dataclass


class ScanError(Exception):
    """Error for settings of a survey that cannot be met; the message is one line with the change to make."""


@dataclass(frozen=True, kw_only=True)
class SurveySettings:
    """Settings of a survey: the arguments of the command `audiofeed scan`.

    Args:
        source: A folder of audio files, or a manifest (.csv, .tsv, .jsonl, .ndjson, .parquet).
        target_pattern: Takes file names apart for `write`, as in `AudioFolder(target=...)`; None takes folders' names.
        write: The manifest to write, with the headers of its files; None writes none.
        bad: The file for the list of bad files and their reasons; None for none.
        index: Keeps what the scan finds between runs, as in `AudioFolder(index=...)`.
        duplicates: Whether to look for files of the same bytes.
        batch_size: Clips in the batches that are counted, 1 or more; None for 32.
        batch_seconds: Padded seconds in the batches by duration that are counted, above 0; None for those of
            `batch_size` clips of mean length, or the longest clip.
        sample_rate: Hz that the batches' sizes are for; None for the rate that most files have.
        plot: The picture of the durations to write; None for none.
        json: Whether to print JSON in place of text.
    """

    source: str
    target_pattern: str | None = None
    write: str | None = None
    bad: str | None = None
    index: str | None = None
    duplicates: bool = False
    batch_size: int | None = None
    batch_seconds: float | None = None
    sample_rate: int | None = None
    plot: str | None = None
    json: bool = False
