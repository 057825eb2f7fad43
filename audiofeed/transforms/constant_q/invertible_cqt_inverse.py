"""The inverse of the invertible constant-Q transform."""

from __future__ import annotations

import math
from typing import cast

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.sliced_frame import fill
from audiofeed.methods.constant_q.sliced_transform import StreamState, synthesize_clips, synthesize_stream
from audiofeed.transforms.constant_q.slice_settings import SlicedBands, SliceOptions
from audiofeed.transforms.constant_q.sliced_frame import SlicedFrame
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import in_full_precision, with_leading


class InvertibleCQTInverse(ToWaveform):
    """Inverse of the invertible CQT as a module: the waveform of which `InvertibleCQT` made these coefficients.

    `InvertibleCQT.inverse_transform()` is this module with its settings.

    Args:
        sample_rate: Hz.

    Returns:
        (..., time), from complex coefficients (..., n_bins, frames) and lengths (batch,) in frames.

    Raises:
        ValueError: as `InvertibleCQT`.

    Coefficients that no waveform has (a model's) are synthesized by the same bands; what the imaginary parts of the
    first and last bin hold is not looked at, since those bands are real.

    >>> from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
    >>> cqt = InvertibleCQT(sample_rate=16000, f_min=200.0)
    >>> cqt.inverse_transform()(cqt(torch.ones(2, 1000)), 1000).shape
    torch.Size([2, 1000])
    """

    takes_complex = True
    hint = "give the coefficients of InvertibleCQT(power=None)"

    @takes(SlicedBands)
    def __init__(self, *, sample_rate: float, **settings: Unpack[SliceOptions]) -> None:
        super().__init__()
        self._share(SlicedFrame(pick(SlicedBands, settings, sample_rate=sample_rate)))

    @classmethod
    def of_frame(cls, frame: SlicedFrame) -> InvertibleCQTInverse:
        """Return an inverse module of the invertible CQT with the bands of a transform, which both then share."""
        inverse = cls.__new__(cls)
        ToWaveform.__init__(inverse)
        inverse._share(frame)
        return inverse

    def _share(self, frame: SlicedFrame) -> None:
        self.sample_rate = frame.settings.sample_rate
        self.keep(frame.settings)
        self.frame = frame

    @property
    def n_bins(self) -> int:
        """Number of bins of the coefficients that the inverse module of the invertible CQT takes."""
        return self.frame.n_bins

    @property
    def latency(self) -> int:
        """Latency in samples of the invertible CQT's inverse, the most it holds back: a slice's step and transition."""
        return self.frame.latency

    # ---------------------------------------------------------------- synthesis

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples that the invertible CQT's inverse makes of `frames` frames if no length is given.

        As far as the last frame: up to hop_length - 1 past the end of the clip, of zeros.
        """
        return ((frames - 1) * self.hop_length + 1) * (frames > 0)

    def bins_of_features(self) -> tuple[int, str]:
        return self.n_bins, f"there are {self.n_bins} bins, as of an InvertibleCQT of the same settings"

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows = features.shape[:2]
        own, length = None if lengths is None else lengths.repeat_interleave(rows), settings["length"]
        if isinstance(length, torch.Tensor):
            length = int(length.max())
        samples = synthesize_clips(features.flatten(0, 1), own, self.frame, graph=graph)
        wanted = samples.shape[-1] if length is None else cast("int", length)
        return fill(samples[:, :wanted], wanted - 1).view(clips, rows, wanted)

    def stream(
        self,
        chunk: torch.Tensor,
        state: StreamState | None = None,
        *,
        last: bool = False,
        length: int | None = None,
    ) -> tuple[torch.Tensor, StreamState]:
        """Return the samples of the invertible CQT's inverse that a streamed chunk of coefficients has made known.

        Args:
            chunk: complex (..., bins, frames) of any number of frames, also none.
            state, last: as in `InvertibleCQT.stream`.
            length: with the last chunk, samples of the whole waveform; None: as far as the last frame.

        Returns:
            (..., time) of zero or more samples, which laid end to end are what `forward` gives of all frames, and the
            state for the next call. Up to `latency` samples are held back.

        Raises:
            TypeError, ValueError: as `forward`; for a chunk of other leading dimensions than the first, an empty
                stream, or a length that ends before what was already given.
        """
        if chunk.numel():
            self.check_features(chunk)
        self.check_bins(chunk)
        graph = needs_graph(self, chunk)
        *leading, bins, _ = chunk.shape
        joined = chunk.reshape(math.prod(leading), bins, -1)
        state = StreamState.begin(joined, leading) if state is None else state
        joined, seen, slices = state.joined(joined, leading), state.seen + chunk.shape[-1], self.frame.slices
        ended = state.ended(seen, "frame") if last else None
        given = state.slices * slices.step
        wanted = check_count("length", length) if last and length is not None else (seen - 1) * self.hop_length + 1
        if last and wanted < given:
            raise ValueError(f"length={length} must be at least {given}, the samples that were already given")
        with in_full_precision(chunk.device, graph=graph):
            found, ready = synthesize_stream(joined, state, seen, self.frame, last=last, graph=graph)
            if last:
                found = fill(found[:, : wanted - given], wanted - given - 1)
        following = ended or state.moved(joined, seen=seen, ready=ready, step=slices.kept, reach=slices.margin)
        return with_leading(found, leading), following
