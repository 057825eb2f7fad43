"""Transforms of another transform's features of the same waveform."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.methods.batch_rows import lengths_of_rows, with_leading
from audiofeed.methods.lengths import of_one_call
from audiofeed.methods.precision import in_full_precision
from audiofeed.parallel.clips_in_parts import is_dealt, rows_in_parts
from audiofeed.parallel.launches import launches
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.transform import Transform


class Derived(Transform):
    """Base class of a transform derived from another, its `source`, of the same waveform; a subclass gives `derive`."""

    def __init__(self, source: Transform) -> None:
        super().__init__()
        self.source = source
        self.sample_rate = source.sample_rate

    @property
    def takes_int16(self) -> bool:  # type: ignore[override]
        """True if a derived transform takes int16 samples as they are, that is, if its source does."""
        return self.source.takes_int16

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute the results of a derived transform from its source's features.

        Args:
            features: (rows, bins, frames), 0 past their ends.
            frames: (rows,) frames of each row; None: all of them.
            graph: autograd or a compiler records what is computed.

        Returns:
            (rows, ..., frames of the result).
        """
        raise NotImplementedError

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the features of a derived transform for one clip or a batch. See `Transform.forward`."""
        self.check_waveform(waveform)
        graph = needs_graph(self, waveform)
        *leading, time = waveform.shape
        row_lengths, own = None, lengths
        if lengths is not None:
            row_lengths = of_one_call(lengths_of_rows(lengths, leading, time).to(waveform.device), lengths)
            if launches(waveform) and row_lengths.shape == lengths.shape:
                own = row_lengths  # with which the source keeps its counts and masks for what follows
        # by the source's own call, which may see clips where `compute` sees rows (a tuning that is estimated for each)
        features = self.source(waveform, own)

        def of_clips(features: torch.Tensor, lengths: torch.Tensor | None, leading: list[int]) -> torch.Tensor:
            frames = None if lengths is None else self.source.frame_lengths(lengths)
            with in_full_precision(waveform.device, graph=graph):
                derived = self.derive(features, frames, graph=graph)
                return self.finish_rows(derived, lengths, leading, graph=graph)

        rows = features.reshape(-1, *features.shape[len(leading) :])
        if graph and is_dealt(rows):
            return with_leading(rows_in_parts(of_clips, rows, row_lengths, leading, self.parameters()), leading)
        return with_leading(of_clips(rows, row_lengths, leading), leading)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames that a derived transform makes of clips of `lengths` samples: here, those of its source."""
        return self.source.frame_lengths(lengths)

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past each row's own of a derived transform: here, those of its source."""
        if type(self).frame_lengths is Derived.frame_lengths:
            return self.source.past_frames(n_frames, lengths)
        return super().past_frames(n_frames, lengths)

    def centers(self, n_frames: int) -> torch.Tensor:
        """Return the center of each frame of a derived transform in samples, by its source, float64, (n_frames,)."""
        return self.source.centers(n_frames)

    def times(self, n_frames: int) -> torch.Tensor:
        """Return the center of each frame of a derived transform in seconds, by its source, float64, (n_frames,)."""
        source: Any = self.source
        return source.times(n_frames)


def check_source(name: str, source: object, sample_rate: float) -> Transform:
    """Return the source of a derived transform if it takes waveforms at its sample rate; else an error names it.

    Raises:
        TypeError: for anything else.
        ValueError: for one at another rate.
    """
    if not isinstance(source, Transform):
        raise TypeError(f"{name}={source!r} is a {type(source).__name__}, and must be a transform from waveforms")
    if source.sample_rate is not None and source.sample_rate != sample_rate:
        raise ValueError(f"sample_rate={sample_rate!r} must be that of {name}, which has {source.sample_rate!r}")
    return source
