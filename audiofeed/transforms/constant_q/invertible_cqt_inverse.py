"""The inverse of the invertible constant-Q transform."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count
from audiofeed.arguments.settings import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.sliced_frame import OPEN, fill, synthesise
from audiofeed.transforms.constant_q.sliced_frame import (
    SlicedBands,
    SlicedFrame,
    SliceOptions,
    StreamState,
    a_few,
    runs_of,
)
from audiofeed.transforms.contract.filters import needs_graph
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import in_full_precision, with_leading


class InvertibleCQTInverse(ToWaveform):
    """The waveform of which `InvertibleCQT` made these coefficients.

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
        """The inverse with bands that a transform already has, which both then share."""
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
        """Bins of the coefficients."""
        return self.frame.n_bins

    @property
    def latency(self) -> int:
        """Samples that a stream may be ahead of what it has given: a slice's step and its transition."""
        return self.frame.latency

    # ---------------------------------------------------------------- synthesis

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Samples of clips of `frames` frames, where no length is given: as far as the last frame."""
        return ((frames - 1) * self.hop_length + 1) * (frames > 0)

    def forward(  # type: ignore[override]  # a length before lengths, as in torch.istft and librosa
        self,
        coefficients: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Waveforms of the coefficients of one clip or of a batch.

        Args:
            coefficients: complex (..., bins, frames) with any leading dimensions, of which the first is the batch.
            length: samples of the waveform, or (batch,) samples of each; a batch is as long as its longest. None: as
                far as the last frame, which is up to hop_length - 1 samples past the end, of zeros. Zeros follow where
                the frames end before.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., time). Row i equals that clip alone, with zeros past its end.

        Raises:
            TypeError: for coefficients that are not complex, or lengths that are not integers.
            ValueError: for another number of bins, empty coefficients, or lengths that do not fit them.
        """
        self.check_features(coefficients)
        self._check_bins(coefficients)
        return self._run_to(coefficients, length, lengths)

    def _check_bins(self, coefficients: torch.Tensor) -> None:
        if coefficients.shape[-2] != self.n_bins:
            raise ValueError(
                f"coefficients has shape {tuple(coefficients.shape)}, and there are {self.n_bins} bins; the second "
                "last dimension is the bins, of an InvertibleCQT of the same settings"
            )

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows = features.shape[:2]
        flat = features.flatten(0, 1)
        length = settings["length"]
        if isinstance(length, torch.Tensor):
            length = int(length.max())
        samples = self._natural(flat, lengths, rows, graph=graph)
        wanted = samples.shape[-1] if length is None else cast("int", length)
        return fill(samples[:, :wanted], wanted - 1).view(clips, rows, wanted)

    def _natural(self, flat: torch.Tensor, lengths: torch.Tensor | None, rows: int, *, graph: bool) -> torch.Tensor:
        """Samples as far as the last frame.  Shape: complex (clips * rows, bands, frames) -> (clips * rows, time)."""
        most = flat.shape[-1]
        if lengths is None:
            return self._rows(flat, graph=graph)
        own = lengths.repeat_interleave(rows)
        time = (most - 1) * self.hop_length + 1
        if not graph and own.device.type == "cpu":
            out = flat.real.new_zeros(len(flat), time)
            for run, count in runs_of(own):
                found = self._rows(flat[run, :, :count], graph=False)
                out[run, : found.shape[-1]] = found
            return out
        slices, bands = self.frame.geometry(None, flat.real)
        return synthesise(flat, own - 1, slices, bands, length=time, graph=graph)

    def _rows(self, flat: torch.Tensor, *, graph: bool) -> torch.Tensor:
        """Rows of one length.  Shape: complex (rows, bands, frames) -> (rows, time)."""
        frames = flat.shape[-1]
        slices, bands = self.frame.geometry(frames, flat.real)
        settings: dict[str, Any] = {"length": (frames - 1) * self.hop_length + 1, "graph": graph}
        if graph:
            return synthesise(flat, frames - 1, slices, bands, **settings)
        parts = [synthesise(part, frames - 1, slices, bands, **settings) for part in a_few(flat, slices)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def stream(
        self,
        chunk: torch.Tensor,
        state: StreamState | None = None,
        *,
        last: bool = False,
        length: int | None = None,
    ) -> tuple[torch.Tensor, StreamState]:
        """The samples that have become known with a chunk of coefficients.

        Args:
            chunk: complex (..., bins, frames) of any number of frames, also none.
            state: what the call before returned; None: the stream begins.
            last: the stream ends with this chunk.
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
        self._check_bins(chunk)
        graph = needs_graph(self, chunk)
        *leading, bins, _ = chunk.shape
        joined = chunk.reshape(math.prod(leading), bins, -1)
        state = StreamState.begin(joined, leading) if state is None else state
        joined, seen, slices = state.joined(joined, leading), state.seen + chunk.shape[-1], self.frame.slices
        done = state.slices
        settings: dict[str, Any] = {"first": done, "offset": state.offset, "graph": graph}
        with in_full_precision(chunk.device, graph=graph):
            if last:
                ended = state.ended(seen, "frame")
                natural = (seen - 1) * self.hop_length + 1
                wanted = natural if length is None else check_count("length", length)
                if wanted < done * slices.step:
                    raise ValueError(
                        f"length={length} must be at least {done * slices.step}, the samples that were already given"
                    )
                if done == 0 and seen <= slices.most_whole:
                    found = self._rows(joined, graph=graph)
                else:
                    slices, bands = self.frame.geometry(None, joined.real)
                    found = synthesise(joined, seen - 1, slices, bands, length=natural, **settings)
                wanted -= done * slices.step
                return with_leading(fill(found[:, :wanted], wanted - 1), leading), ended
            ready = max((seen - 1 - slices.margin) // slices.kept, done)
            found = joined.real.new_zeros(len(joined), 0)
            if ready > done:
                slices, bands = self.frame.geometry(None, joined.real)
                found = synthesise(joined, OPEN, slices, bands, length=ready * slices.step, **settings)
        offset = max(0, (ready - 1) * slices.kept - slices.margin)
        return with_leading(found, leading), state.moved(joined, offset=offset, seen=seen, slices=ready)
