"""A constant-Q transform with an exact inverse, for whole clips and for streams."""

from __future__ import annotations

import math

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_power_or_complex
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.sliced_frame import count_frames
from audiofeed.methods.constant_q.sliced_transform import StreamState, analyze_clips, analyze_stream
from audiofeed.methods.lengths import past_of
from audiofeed.transforms.constant_q.invertible_cqt_inverse import InvertibleCQTInverse
from audiofeed.transforms.constant_q.slice_settings import SlicedBands, SliceOptions
from audiofeed.transforms.constant_q.sliced_frame import SlicedFrame
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.transform import Transform, in_full_precision, with_leading


class InvertibleCQT(Transform):
    """Invertible CQT as a module with an exact inverse: a non-stationary Gabor frame, computed slice by slice.

    Bin k of constant Q is the waveform filtered by a band that rises from the frequency of the bin below to its own and
    falls to that of the bin above. Between them the bands cover everything from 0 to half the sample rate: below the
    lowest and above the highest bin of constant Q, others fill up the rest. All have the same hop, so that the
    coefficients are one grid; it is short, because the highest bin is wide. Their magnitude is continuous and the same
    wherever a slice begins: a steady tone of amplitude A at a bin's frequency has magnitude A there and 0 in all other
    bins, and the phase of the tone at each frame. Before its first and after its last frame a clip is mirrored.

    Args:
        sample_rate: Hz.
        power: None (complex), 1.0 (magnitude), 2.0 (power) or any number > 0; only complex coefficients invert.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,); complex for `power=None`.

    Raises:
        ValueError: for bands without room below half the sample rate; for a hop, a slice or a transition that the bands
            do not allow, with the nearest that they do.

    Frame n is centered on sample n * hop_length, and the last stands at or after the last sample, less than a hop away.
    `inverse` returns the waveform, `inverse_transform()` is that as a module, `stream` takes a waveform in chunks.
    A clip no longer than `latency` is one slice, its mirror image beside it, without any error of transition.

    Follows Holighaus, Dörfler, Velasco and Grill, "A framework for invertible, real-time constant-Q transforms" (2013)
    and Velasco et al. (2011), with smoother bands that are their own dual, one hop for all, and slices that overlap by
    as much as the bands ring, in place of slices that are windowed: what is kept of neighbors is one transform, not
    two layers, and sums to no modulation. Differs from `librosa.cqt`, whose kernels are Hann windows in time: these are
    half as wide in frequency, and twice as long.

    >>> cqt = InvertibleCQT(sample_rate=22050, f_min=110.0)
    >>> coefficients = cqt(torch.ones(2, 3000))
    >>> coefficients.shape, cqt.hop_length
    (torch.Size([2, 82, 189]), 16)
    >>> bool((cqt.inverse(coefficients, 3000) - 1).abs().max() < 1e-5)
    True
    """

    @takes(SlicedBands)
    def __init__(self, *, sample_rate: float, power: float | None = None, **settings: Unpack[SliceOptions]) -> None:
        bands = pick(SlicedBands, settings, sample_rate=sample_rate)
        super().__init__(sample_rate)
        self.keep(bands)
        self.power = check_power_or_complex(power)
        self.frame = SlicedFrame(bands)

    @property
    def n_bins(self) -> int:
        """Number of bins of an invertible CQT module, with those that fill up the rest."""
        return self.frame.n_bins

    @property
    def constant_q(self) -> slice:
        """Slice of those bins of an invertible CQT module that are constant-Q bins."""
        bands = self.frame.settings.bands
        return slice(bands.first, bands.first + bands.count)

    @property
    def frequencies(self) -> torch.Tensor:
        """Frequency of each bin of an invertible CQT in Hz, from 0 to sample_rate / 2, float64, of shape (n_bins,)."""
        return torch.from_numpy(self.frame.settings.bands.centers.copy())

    @property
    def latency(self) -> int:
        """Latency of an invertible CQT's stream in samples, the most it holds back: a slice's step and transition."""
        return self.frame.latency

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames that an invertible CQT module makes of clips of `lengths` samples.

        >>> InvertibleCQT(sample_rate=22050, f_min=110.0).frame_lengths(torch.tensor([1, 17, 18])).tolist()
        [1, 2, 3]
        """
        return count_frames(lengths, self.hop_length)

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past each row's own of an invertible CQT module, in two launches."""
        # frame f is one of a clip that has the sample after the center of the frame before
        start, hop = 2 - self.hop_length, self.hop_length
        return past_of(n_frames, lengths, start - 1, hop)

    def inverse_transform(self) -> InvertibleCQTInverse:
        """Return the module that inverts this invertible CQT, with a `stream` of its own; they share the bands."""
        return InvertibleCQTInverse.of_frame(self.frame)

    def inverse(
        self,
        coefficients: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Invert invertible CQT coefficients by `InvertibleCQTInverse`; `lengths` in frames, `length` in samples."""
        return self.inverse_transform()(coefficients, length, lengths=lengths)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return analyze_clips(waveform, lengths, self.frame, self.power, graph=graph)

    def stream(
        self, chunk: torch.Tensor, state: StreamState | None = None, *, last: bool = False
    ) -> tuple[torch.Tensor, StreamState]:
        """Return the frames of a streamed invertible CQT that have become known with a chunk of a waveform.

        Args:
            chunk: (..., time) of any number of samples, also none.
            state: what the call before returned; None: the stream begins.
            last: the stream ends with this chunk.

        Returns:
            (..., bins, frames) of zero or more frames, which laid end to end are what `forward` gives of all samples,
            and the state for the next call. Up to `latency` samples are held back.

        Raises:
            TypeError, ValueError: as `forward`; for leading dimensions unlike the first chunk's, or an empty stream.

        >>> cqt = InvertibleCQT(sample_rate=16000, f_min=400.0)
        >>> first, state = cqt.stream(torch.ones(20000))
        >>> rest, _ = cqt.stream(torch.ones(5001), state, last=True)
        >>> first.shape[-1] + rest.shape[-1] == cqt(torch.ones(25001)).shape[-1]
        True
        """
        graph = needs_graph(self, chunk)
        leading = list(chunk.shape[:-1])
        if chunk.numel():
            self.check_waveform(chunk)
            joined, _, _ = self.rows_of(chunk, None, graph=graph)
        else:
            dtype = torch.float64 if chunk.dtype == torch.float64 else torch.float32
            joined = chunk.new_zeros((math.prod(leading), 0), dtype=dtype)
        state = StreamState.begin(joined, leading) if state is None else state
        joined, seen, slices = state.joined(joined, leading), state.seen + chunk.shape[-1], self.frame.slices
        ended = state.ended(seen, "sample") if last else None
        with in_full_precision(chunk.device, graph=graph):
            found, ready = analyze_stream(joined, state, seen, self.frame, self.power, last=last, graph=graph)
        following = ended or state.moved(joined, seen=seen, ready=ready, step=slices.step, reach=slices.transition)
        return with_leading(found, leading), following
