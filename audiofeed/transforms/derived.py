"""What is computed of another transform's features of the same waveform."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.transforms.base import Transform


class Derived(Transform):
    """A transform from waveforms by way of another, `source`: a subclass gives `_derive`."""

    def __init__(self, source: Transform) -> None:
        super().__init__()
        self.source = source
        self.sample_rate = source.sample_rate

    @property
    def takes_int16(self) -> bool:  # type: ignore[override]
        """Whether the source takes int16 samples as they are."""
        return self.source.takes_int16

    def _derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Of the source's features, 0 past their ends.  Shape: (rows, bins, n), frames (rows,) -> (rows, ..., m)."""
        raise NotImplementedError

    def _compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self.source._compute(waveform, lengths, graph=graph)

    def _finish_rows(
        self, features: torch.Tensor, lengths: torch.Tensor | None, leading: list[int], *, graph: bool
    ) -> torch.Tensor:
        finished = self.source._finish_rows(features, lengths, leading, graph=graph)
        frames = None if lengths is None else self.source.frame_lengths(lengths)
        return super()._finish_rows(self._derive(finished, frames, graph=graph), lengths, leading, graph=graph)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples: here, those of the source."""
        return self.source.frame_lengths(lengths)

    def times(self, n_frames: int) -> torch.Tensor:
        """The centre of each frame in seconds, float64.  Shape: (n_frames,)."""
        source: Any = self.source
        return source.times(n_frames)


def check_source(name: str, source: object, sample_rate: float) -> Transform:
    """A transform from waveforms at that rate, or an error that names it.

    Raises:
        TypeError: for anything else.
        ValueError: for one at another rate.
    """
    if not isinstance(source, Transform):
        raise TypeError(f"{name}={source!r} is a {type(source).__name__}, and must be a transform from waveforms")
    if source.sample_rate is not None and source.sample_rate != sample_rate:
        raise ValueError(f"sample_rate={sample_rate!r} must be that of {name}, which has {source.sample_rate!r}")
    return source
