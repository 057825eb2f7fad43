"""The inverse of the invertible constant-Q transform, which holds the bands and slices that both share."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from audiofeed.arguments.checks import check_count, check_rate
from audiofeed.methods.constant_q.sliced_frame import OPEN, Bands, Slices, fill, synthesise
from audiofeed.plans.sizes import smooth_length
from audiofeed.signal.constant_q.sliced_bands import (
    LEAST_REACH,
    BandBins,
    GaborBands,
    analysis_weights,
    band_bins,
    constant_q_frequencies,
    gabor_bands,
    largest_hop,
    synthesis_weights,
)
from audiofeed.transforms.contract.filters import needs_graph
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import in_full_precision, with_leading

# the lowest C of a piano
C1 = 32.70319566257483
# lengths of short clips whose bands are held for the next clip of that length
MOST_WHOLE = 16
# samples of slices that are held at once without a graph
MOST_SAMPLES = 2**24


@dataclass(frozen=True)
class StreamState:
    """What a stream keeps between chunks; made and read by `stream` alone."""

    kept: torch.Tensor  # (rows, ..., n): what later slices need
    offset: int  # the position of the first that is kept
    seen: int  # positions that came so far
    slices: int  # slices that are done
    leading: tuple[int, ...]

    def joined(self, chunk: torch.Tensor, leading: list[int]) -> torch.Tensor:
        """What is kept, and a chunk after it."""
        if tuple(leading) != self.leading:
            raise ValueError(
                f"the chunk has leading dimensions {tuple(leading)}, and the stream began with {self.leading}; "
                "give each stream a state of its own"
            )
        return torch.cat([self.kept, chunk], dim=-1)


def _checked_bands(
    sample_rate: float, f_min: float, f_max: float | None, bins_per_octave: int, hop_length: int | None
) -> tuple[GaborBands, int]:
    """The bands that are asked for and the hop, or an error that names what cannot be."""
    check_rate(sample_rate, "the bins lie in Hz")
    check_count("bins_per_octave", bins_per_octave, "a whole number of bins, 1 or more")
    top = sample_rate / 2 if f_max is None else f_max
    if not 0 < f_min <= top <= sample_rate / 2:
        raise ValueError(
            f"f_min={f_min!r}, f_max={f_max!r} must satisfy 0 < f_min <= f_max <= {sample_rate / 2:g} Hz, "
            f"which is half of sample_rate={sample_rate!r}"
        )
    inner = constant_q_frequencies(sample_rate=sample_rate, f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave)
    if len(inner) == 0:
        step = 2.0 ** (1.0 / bins_per_octave)
        raise ValueError(
            f"f_min={f_min!r} leaves no room below {sample_rate / 2:g} Hz, half of sample_rate={sample_rate!r}, for a "
            f"band with bins_per_octave={bins_per_octave}; use f_min={sample_rate / (3 * step - 1):g} or less"
        )
    most = largest_hop(inner, sample_rate=sample_rate, bins_per_octave=bins_per_octave)
    hop = 2 ** (most.bit_length() - 1) if hop_length is None else check_count("hop_length", hop_length)
    if hop > most:
        raise ValueError(
            f"hop_length={hop_length} must not exceed {most}: the bin at {inner[-1]:g} Hz changes faster than that; "
            f"use {most} or less, or a lower f_max, or more bins_per_octave"
        )
    bands = gabor_bands(
        sample_rate=sample_rate, f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave, hop_length=hop
    )
    return bands, hop


def _checked_slices(bands: GaborBands, hop: int, slice_length: int | None, transition: int | None) -> Slices:
    """The slices that are asked for, or an error that names what cannot be."""
    even = hop if hop % 2 == 0 else 2 * hop
    if transition is None:
        reach = bands.reach(hop)
    else:
        reach = check_count("transition", transition)
        least = bands.reach(hop, LEAST_REACH)
        if reach < least or reach % hop:
            raise ValueError(
                f"transition={transition} must be a multiple of hop_length={hop}, and at least {least} samples: the "
                f"narrowest band rings for longer; use {hop * math.ceil(max(reach, least) / hop)}, or a higher f_min, "
                "or fewer bins_per_octave"
            )
    if slice_length is None:
        return Slices(hop_length=hop, length=smooth_length(4 * reach, even), transition=reach)
    length = check_count("slice_length", slice_length)
    if length <= 2 * reach or length % even:
        better = even * math.ceil(max(length, 2 * reach + 1) / even)
        raise ValueError(
            f"slice_length={slice_length} must be a multiple of {even} (hop_length={hop}, and even) above twice the "
            f"transition of {reach} samples; use {better}, or a shorter transition"
        )
    return Slices(hop_length=hop, length=length, transition=reach)


def _places(entries: BandBins, frames: int) -> np.ndarray:
    """Where each entry stands in the spectra of the bands, laid end to end."""
    return entries.bands * frames + entries.bins % frames


def runs_of(lengths: torch.Tensor) -> Iterator[tuple[slice, int]]:
    """Neighbouring rows of one length, and that length.

    >>> list(runs_of(torch.tensor([3, 3, 1])))
    [(slice(0, 2, None), 3), (slice(2, 3, None), 1)]
    """
    first = 0
    for length, group in itertools.groupby(lengths.tolist()):
        end = first + len(list(group))
        yield slice(first, end), length
        first = end


def begun(state: StreamState | None, chunk: torch.Tensor, leading: list[int]) -> StreamState:
    """The state given, or that of a stream that begins with a chunk."""
    return StreamState(chunk[..., :0], 0, 0, 0, tuple(leading)) if state is None else state


def ended(state: StreamState, joined: torch.Tensor, seen: int) -> StreamState:
    """The state after the last chunk, of which nothing is kept."""
    return StreamState(joined[..., :0], 0, 0, 0, state.leading)


def check_seen(seen: int, unit: str) -> None:
    if seen < 1:
        raise ValueError(f"the stream ends without a {unit}; give at least one before or with the last chunk")


class InvertibleCQTInverse(ToWaveform):
    """The waveform of which `InvertibleCQT` made these coefficients.

    Args:
        sample_rate, f_min, f_max, bins_per_octave, hop_length, slice_length, transition: as in `InvertibleCQT`.
            `InvertibleCQT.inverse_transform()` is this module with its settings.

    Shape:
        coefficients complex (..., bins, frames), lengths (batch,) in frames -> (..., time).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Coefficients that no waveform has (a model's) are synthesised by the same bands; what the imaginary parts of the
    first and last bin hold is not looked at, since those bands are real.

    >>> from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
    >>> cqt = InvertibleCQT(sample_rate=16000, f_min=200.0)
    >>> cqt.inverse_transform()(cqt(torch.ones(2, 1000)), 1000).shape
    torch.Size([2, 1000])
    """

    takes_complex = True
    hint = "give the coefficients of InvertibleCQT(power=None)"

    def __init__(
        self,
        *,
        sample_rate: float,
        f_min: float | None = None,
        f_max: float | None = None,
        bins_per_octave: int = 12,
        hop_length: int | None = None,
        slice_length: int | None = None,
        transition: int | None = None,
    ) -> None:
        super().__init__()
        f_min = C1 if f_min is None else f_min
        self.sample_rate, self.bins_per_octave = sample_rate, bins_per_octave
        self.f_min, self.f_max = f_min, f_max
        self._bands, self.hop_length = _checked_bands(sample_rate, f_min, f_max, bins_per_octave, hop_length)
        self._slices = _checked_slices(self._bands, self.hop_length, slice_length, transition)
        self.slice_length, self.transition = self._slices.length, self._slices.transition
        entries = band_bins(self._bands, self.slice_length)
        self._spans = tuple(zip(entries.firsts.tolist(), entries.counts.tolist(), strict=True))
        self.register_buffer("bins", torch.from_numpy(entries.bins), persistent=False)
        self.register_buffer("places", torch.from_numpy(_places(entries, self._slices.frames)), persistent=False)
        settings = (self._bands, self.slice_length, self.hop_length)
        self.define("analysis", functools.partial(analysis_weights, *settings))
        self.define("synthesis", functools.partial(synthesis_weights, *settings))
        self._whole: dict[tuple[int, torch.device, torch.dtype], Bands] = {}

    # ---------------------------------------------------------------- the frame, which the analysis shares

    @property
    def n_bins(self) -> int:
        """Bins of the coefficients."""
        return len(self._spans)

    @property
    def latency(self) -> int:
        """Samples that a stream may be ahead of what it has given: a slice's step and its transition."""
        return self._slices.step + self._slices.transition

    def _geometry(self, frames: int | None, like: torch.Tensor) -> tuple[Slices, Bands]:
        """The slices of clips of `frames` frames (None: of several lengths) and their bands, for the real `like`."""
        if frames is None or frames > self._slices.most_whole or torch.compiler.is_compiling():
            bins, places = cast("torch.Tensor", self.bins), cast("torch.Tensor", self.places)
            weights = self.filter_like("analysis", like), self.filter_like("synthesis", like)
            return self._slices, Bands(self._spans, bins, places, *weights)
        slices = self._slices.whole(frames)
        key = (slices.length, like.device, like.dtype)
        if key not in self._whole:
            if len(self._whole) >= MOST_WHOLE:
                del self._whole[next(iter(self._whole))]
            self._whole[key] = self._bands_of(slices, like)
        return slices, self._whole[key]

    def _bands_of(self, slices: Slices, like: torch.Tensor) -> Bands:
        entries = band_bins(self._bands, slices.length)
        weights = (of(self._bands, slices.length, self.hop_length) for of in (analysis_weights, synthesis_weights))
        return Bands(
            tuple(zip(entries.firsts.tolist(), entries.counts.tolist(), strict=True)),
            torch.from_numpy(entries.bins).to(like.device),
            torch.from_numpy(_places(entries, slices.frames)).to(like.device),
            *(torch.from_numpy(w).to(dtype=like.dtype).to(device=like.device) for w in weights),
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._whole.clear()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_whole": {}}

    # ---------------------------------------------------------------- synthesis

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Samples of clips of `frames` frames, where no length is given: as far as the last frame.

        Shape: integers of any shape -> the same.
        """
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
        slices, bands = self._geometry(None, flat.real)
        return synthesise(flat, own - 1, slices, bands, length=time, graph=graph)

    def _rows(self, flat: torch.Tensor, *, graph: bool) -> torch.Tensor:
        """Rows of one length.  Shape: complex (rows, bands, frames) -> (rows, time)."""
        frames = flat.shape[-1]
        slices, bands = self._geometry(frames, flat.real)
        settings: dict[str, Any] = {"length": (frames - 1) * self.hop_length + 1, "graph": graph}
        if graph:
            return synthesise(flat, frames - 1, slices, bands, **settings)
        few = max(1, MOST_SAMPLES // slices.length)
        parts = [synthesise(part, frames - 1, slices, bands, **settings) for part in flat.split(few)]
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
        state = begun(state, joined, leading)
        joined, seen, slices = state.joined(joined, leading), state.seen + chunk.shape[-1], self._slices
        done = state.slices
        with in_full_precision(chunk.device, graph=graph):
            if last:
                check_seen(seen, "frame")
                natural = (seen - 1) * self.hop_length + 1
                wanted = natural if length is None else check_count("length", length)
                if wanted < done * slices.step:
                    raise ValueError(
                        f"length={length} must be at least {done * slices.step}, the samples that were already given"
                    )
                if done == 0 and seen <= slices.most_whole:
                    found = self._rows(joined, graph=graph)
                else:
                    slices, bands = self._geometry(None, joined.real)
                    settings: dict[str, Any] = {"first": done, "offset": state.offset, "graph": graph}
                    found = synthesise(joined, seen - 1, slices, bands, length=natural, **settings)
                wanted -= done * slices.step
                return with_leading(fill(found[:, :wanted], wanted - 1), leading), ended(state, joined, seen)
            ready = max((seen - 1 - slices.margin) // slices.kept, done)
            slices, bands = self._geometry(None, joined.real)
            found = joined.real.new_zeros(len(joined), 0)
            if ready > done:
                settings = {"first": done, "offset": state.offset, "graph": graph}
                found = synthesise(joined, OPEN, slices, bands, length=ready * slices.step, **settings)
        offset = max(0, (ready - 1) * slices.kept - slices.margin)
        kept = joined[..., offset - state.offset :].clone()
        return with_leading(found, leading), StreamState(kept, offset, seen, ready, tuple(leading))

    def extra_repr(self) -> str:
        """The bands and the slices."""
        f_max = None if self.f_max is None else f"{self.f_max:g}"
        return (
            f"sample_rate={self.sample_rate:g}, f_min={self.f_min:g}, f_max={f_max}, "
            f"bins_per_octave={self.bins_per_octave}, hop_length={self.hop_length}, "
            f"slice_length={self.slice_length}, transition={self.transition}"
        )
