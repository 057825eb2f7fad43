"""The inverse of the constant-Q and of the variable-Q transform."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from typing_extensions import Unpack

from audiofeed.arguments.checks import warn_caller
from audiofeed.arguments.signature import takes
from audiofeed.methods import frames as blocks
from audiofeed.methods.constant_q.octave_synthesis import Synthesis, least_squares, synthesis, synthesise
from audiofeed.methods.frames import Count
from audiofeed.plans.constant_q.invertibility import frame_weights, largest_hops
from audiofeed.transforms.constant_q.cqt import VQT
from audiofeed.transforms.constant_q.settings import Kernels, MethodOptions, SpacingOptions, VariableQ, WaveletOptions
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import in_full_precision

# The steps converge while no eigenvalue is above 4 / 3. With windows and bins evenly spaced the weights see to that;
# for others (a boxcar with long wavelets, uneven intervals) the largest is found by so many steps of the power method,
# which are a few percent short, and brought down where it is too large.
POWER_STEPS = 16
MOST_EIGENVALUE, SAFE_EIGENVALUE = 1.26, 1.2


class InverseCQTOptions(WaveletOptions, SpacingOptions, MethodOptions, total=False):
    """What a caller may say of the transform whose values are inverted."""

    tuning: float


class InverseCQT(ToWaveform):
    """The waveform whose constant-Q or variable-Q transform lies nearest to given values.

    The weighted adjoint of the analysis comes first: every value times its wavelet, added up, octave by octave at the
    analysis's own rates. Where the hop is short it is the inverse but for 3 %, of which most stands at a clip's ends.
    Each of `n_iter` steps then analyzes what was found and adds the inverse of what is missing, which converges to the
    least-squares inverse (the signal of least energy among those that fit). All of it is linear in the values, and has
    a gradient.

    Only what the bins see comes back: no sound below the lowest or above the highest bin, and no more of each bin than
    its frames can hold. A bin is *undersampled in time* where the hop is longer than sample_rate / bandwidth (with a
    Hann window a wavelet's length / 1.5) or than sample_rate / distance to the next bin, in Hz: then its values alias,
    and its sound is lost in part. With 84 bins at 22050 Hz this begins above `hop_length=64`, and the default of 512
    leaves the bins above 480 Hz undersampled; `largest_hop` is the limit, and a longer hop is warned of. What to
    expect, in dB of signal to noise: noise of 70 to 1800 Hz, from its values at 22050 Hz, one second and its ends.

    ====  ============================  ========  ========  =========
    hop   wavelet length at 1800 Hz      n_iter=0  n_iter=2  n_iter=16
          per hop
    ====  ============================  ========  ========  =========
    64    3.4                           31        46        59
    96    2.3                           26        43        57
    128   1.7                           16        28        56
    192   1.1                           9         12        24
    256   0.85                          6         8         13
    512   0.42                          3         4         5
    ====  ============================  ========  ========  =========

    For perfect reconstruction at any number of bins use `InvertibleCQT`, another transform made for it.

    Args:
        sample_rate: Hz.
        tuning: deviation of all frequencies, in fractions of a bin; not None: the values do not tell what was
            estimated for each clip.
        gamma: Hz added to the bandwidth of each bin, >= 0, as `VQT` has it; 0.0 for the values of a `CQT`; None: as
            much as makes it a constant part of the ear's (ERB).
        n_iter: steps after the adjoint, >= 0. A step takes as long as an analysis and an adjoint.

    Returns:
        (..., time), from a complex spectrum (..., n_bins, frames) and lengths (batch,) in frames.

    Raises:
        ValueError: for bins that reach above half the sample rate, with the number of bins that do not.

    Warns:
        UserWarning: for a hop at which bins are undersampled in time, with the remedy.

    The clip is taken to be silent past its ends, as with `pad_mode="constant"`. Of values from another pad mode the
    ends, half the longest wavelet each, come back changed.

    Differs from `librosa.icqt`, which divides by each wavelet's own energy only, uses wavelets of whole frames' length,
    and does not look at what its result's transform is; `length` decides where the clip ended, not only where to cut.

    >>> cqt = {"sample_rate": 22050, "hop_length": 64}
    >>> values = VQT(**cqt, gamma=0.0, power=None)(torch.ones(2, 1000))
    >>> InverseCQT(**cqt)(values, 1000).shape
    torch.Size([2, 1000])
    """

    hop_length: int
    n_bins: int
    takes_complex = True
    hint = "give the values of CQT(power=None); a magnitude alone has lost the phase, and comes from power=1.0 or 2.0"

    @takes(VariableQ, Kernels, without=("pad_mode", "power", "trainable"), gamma=0.0)
    def __init__(self, *, sample_rate: float, n_iter: int = 2, **settings: Unpack[InverseCQTOptions]) -> None:
        super().__init__()
        if settings["tuning"] is None:
            raise ValueError(
                "tuning=None must be a number here: it is estimated from a clip, which is not there yet; use the "
                "tuning that the values were computed with, in fractions of a bin"
            )
        if isinstance(n_iter, bool) or not isinstance(n_iter, int | np.integer) or n_iter < 0:
            raise ValueError(f"n_iter={n_iter!r} must be an integer number of steps, 0 or more; 0 is the adjoint alone")
        self.analysis = VQT(sample_rate=sample_rate, power=None, **settings)
        self.sample_rate, self.n_iter, self.method_reason = sample_rate, int(n_iter), self.analysis.method_reason
        for name in settings:
            setattr(self, name, getattr(self.analysis, name))
        kernels = self.analysis.kernel_bank
        self._early = kernels.levels[0].factor
        weights = frame_weights(self.analysis.bank, kernels.levels, kernels.exact(), self.hop_length)
        self.define("weights", functools.partial(np.array, weights))
        if self.n_iter:
            largest = self._largest_eigenvalue()
            if largest > MOST_EIGENVALUE:
                self.define("weights", functools.partial(np.array, weights * (SAFE_EIGENVALUE / largest)))
        kernels.release()
        hops = largest_hops(self.analysis.bank)
        self.largest_hop = max(1, int(hops.min()))
        self._warn_of_undersampled(hops)

    def _largest_eigenvalue(self) -> float:
        """The largest eigenvalue of analysis and weighted adjoint, from below, of a clip of two longest wavelets."""
        time = 2 * int(self.analysis.bank.lengths.max()) + 4 * self.hop_length
        found = torch.from_numpy(np.random.default_rng(0).standard_normal((1, time))).float()
        size = 1.0
        with in_full_precision(found.device, graph=False):
            by = self._synthesis(found)
            for _ in range(POWER_STEPS):
                values = torch.view_as_real(self.analysis.compute(found, None, graph=False).transpose(1, 2))
                found = synthesise(values.flatten(-2), by, time, None, graph=False)
                size = float(found.norm())
                if size == 0.0:
                    break
                found = found / size
        return size

    def _warn_of_undersampled(self, hops: np.ndarray) -> None:
        short = hops < self.hop_length
        if not short.any():
            return
        lowest = float(self.analysis.bank.frequencies[short].min())
        fewer = "" if short[0] else f", or n_bins={int(short.argmax())}"
        warn_caller(
            f"hop_length={self.hop_length} leaves {int(short.sum())} of {self.n_bins} bins, from {lowest:.0f} Hz up, "
            "undersampled in time: their bandwidth exceeds the frame rate, and their sound does not come back whole; "
            f"use hop_length={self.largest_hop} or less{fewer}, or InvertibleCQT for perfect reconstruction"
        )

    @property
    def frequencies(self) -> torch.Tensor:
        """The center of each bin in Hz, float64, of shape (n_bins,)."""
        return self.analysis.frequencies

    # ---------------------------------------------------------------- lengths

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Samples of clips of `frames` frames, where no length is given: as far as the last frame, at least one.

        >>> InverseCQT(sample_rate=22050, hop_length=64).sample_lengths(torch.tensor([1, 2, 9])).tolist()
        [1, 64, 512]
        """
        return ((frames - 1) * self.hop_length).clamp(min=1) * (frames > 0)

    def _clip_length(self, frames: Count, length: Count | None) -> Count:
        """Samples of the clip that has so many frames: the length asked for if it may be that, or else the longest."""
        longest = frames * self.hop_length - self._early
        if isinstance(longest, torch.Tensor):
            longest = longest.clamp(min=1)
            if length is None:
                return longest
            return torch.where((length >= (frames - 1) * self.hop_length) & (length < longest), length, longest)
        longest = max(1, longest)
        fits = isinstance(length, int) and (frames - 1) * self.hop_length <= length < longest
        return cast("int", length) if fits else longest

    # ---------------------------------------------------------------- synthesis

    def forward(  # type: ignore[override]  # a length before lengths, as in torch.istft and librosa
        self,
        spectrum: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Waveforms of the values of one clip or of a batch.

        Args:
            spectrum: complex (..., bins, frames) with any leading dimensions, of which the first is the batch.
            length: samples of the waveform, or (batch,) samples of each; a batch is as long as its longest. None:
                `sample_lengths` of the frames. Where it is the length that the values were computed from, the end is
                as good as the rest. Zeros follow where the frames end before.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., time). Row i equals that clip alone, with zeros past its end.

        Raises:
            TypeError: for values that are not complex, or lengths that are not integers.
            ValueError: for another number of bins, an empty spectrum, or lengths that do not fit it.
        """
        self.check_features(spectrum)
        if spectrum.shape[-2] != self.n_bins:
            raise ValueError(
                f"spectrum has shape {tuple(spectrum.shape)}, and there are n_bins={self.n_bins} bins; the second last "
                "dimension is the bins, of a CQT of the same settings"
            )
        return self._run_to(spectrum, length, lengths)

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows, _, most = features.shape
        pairs = torch.view_as_real(features.resolve_conj().transpose(-1, -2).contiguous())
        pairs = pairs.reshape(clips * rows, most, -1)  # (row, frame, 2 * bin)
        length = cast("int | torch.Tensor | None", settings["length"])
        if isinstance(length, torch.Tensor):
            wanted = int(length.max())
        else:
            wanted = max(1, (most - 1) * self.hop_length) if length is None else length
        by = self._synthesis(pairs)
        if lengths is None:
            samples = self._of_one_length(pairs, by, cast("int | None", length), wanted, graph=graph)
        else:
            own = lengths.repeat_interleave(rows)
            if isinstance(length, torch.Tensor):
                length = length.to(own.device).repeat_interleave(rows)
            samples = self._of_lengths(pairs, own, by, length, wanted, graph=graph)
        return samples.view(clips, rows, wanted)

    def _synthesis(self, like: torch.Tensor) -> Synthesis:
        kernels, weights = self.analysis.filter_like("kernels", like), self.filter_like("weights", like)
        bank = self.analysis.kernel_bank
        return synthesis(bank.levels, kernels, weights, bank.decimations(self.analysis, like))

    def _of_one_length(
        self, pairs: torch.Tensor, by: Synthesis, length: int | None, wanted: int, *, graph: bool
    ) -> torch.Tensor:
        time = self._clip_length(pairs.shape[1], length)
        if graph or pairs.device.type != "cpu":
            return _fitted(self._solve(pairs, by, time, None, None, graph=graph), wanted)
        out = pairs.new_zeros(len(pairs), wanted)
        for run, _, _ in _runs([(pairs.shape[1], time)] * len(pairs)):
            found = self._solve(pairs[run], by, time, None, None, graph=False)[:, :wanted]
            out[run, : found.shape[1]] = found
        return out

    def _of_lengths(
        self,
        pairs: torch.Tensor,
        frames: torch.Tensor,
        by: Synthesis,
        length: int | torch.Tensor | None,
        wanted: int,
        *,
        graph: bool,
    ) -> torch.Tensor:
        asked = torch.full_like(frames, length) if isinstance(length, int) else length
        times = self._clip_length(frames, asked)
        if graph or pairs.device.type != "cpu":
            longest = self._clip_length(pairs.shape[1], None)
            return _fitted(self._solve(pairs, by, longest, frames, times, graph=graph), wanted)
        out = pairs.new_zeros(len(pairs), wanted)
        for run, count, time in _runs(list(zip(frames.tolist(), times.tolist(), strict=True))):
            found = self._solve(pairs[run, :count], by, time, None, None, graph=False)[:, :wanted]
            out[run, : found.shape[1]] = found
        return out

    def _solve(
        self,
        pairs: torch.Tensor,
        by: Synthesis,
        time: int,
        frames: torch.Tensor | None,
        times: torch.Tensor | None,
        *,
        graph: bool,
    ) -> torch.Tensor:
        """Samples of rows of `time` samples at most: of each row its own `times`, from its own `frames`."""
        count = pairs.shape[1]
        past = None
        if frames is not None:
            past = (torch.arange(count, device=pairs.device) >= frames[:, None])[..., None]

        def forth(samples: torch.Tensor) -> torch.Tensor:
            values = self.analysis.compute(samples, times, graph=graph).transpose(1, 2)[:, :count]
            found = torch.view_as_real(values).flatten(-2)
            return found if past is None else found.masked_fill(past, 0)

        def back(values: torch.Tensor) -> torch.Tensor:
            return synthesise(values, by, time, times, graph=graph)

        return least_squares(pairs, forth, back, self.n_iter)


def _fitted(samples: torch.Tensor, wanted: int) -> torch.Tensor:
    inside = samples[:, :wanted]
    return F.pad(inside, (0, wanted - inside.shape[-1]))


def _runs(sizes: list[tuple[int, int]]) -> Iterator[tuple[slice, int, int]]:
    """(rows, their frames, their samples) for neighboring rows of one size, few enough to stay in cache."""
    first = 0
    for (count, time), group in itertools.groupby(sizes):
        end = first + len(list(group))
        step = max(1, blocks.CPU_BLOCK // time)
        for start in range(first, end, step):
            yield slice(start, min(start + step, end)), count, time
        first = end
