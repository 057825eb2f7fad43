"""The constant-Q and the variable-Q transform."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from audiofeed.methods.constant_q.octaves import Blocks, Decimation, Execution, constant_q, frame_count
from audiofeed.plans.constant_q.block_basis import block_basis
from audiofeed.plans.constant_q.decimation import decimation_block, decimation_response
from audiofeed.plans.constant_q.levels import Level, dense_kernels, dense_levels, octave_kernels, octave_levels
from audiofeed.signal.constant_q.halfband import decimation_reach
from audiofeed.signal.constant_q.wavelets import NORMALIZATIONS
from audiofeed.transforms.constant_q.wavelet_transform import WaveletTransform

METHODS = ("octaves", "conv")


class KernelTransform(WaveletTransform):
    """Frames times kernels, by either method; the kernels may be trained."""

    def __init__(self, *, normalization: str, method: str, trainable: bool, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._settle(normalization, method, trainable)
        gains = self.bank.gains(normalization, scale=self.scale)
        if self.method == "octaves":
            levels = octave_levels(self.bank, self.hop_length)
            self._hold(levels, functools.partial(octave_kernels, self.bank, levels, gains, sparsity=self.sparsity))
        else:
            dense = dense_levels(self.bank, self.hop_length)
            self._hold(dense, functools.partial(dense_kernels, self.bank, dense, gains))

    def _settle(self, normalization: str, method: str, trainable: bool) -> None:
        """Check and keep how the kernels are made."""
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization={normalization!r} must be one of {NORMALIZATIONS}")
        if normalization != "librosa" and not self.scale:
            raise ValueError(
                f"scale=False cannot be used with normalization={normalization!r}, which has a scale of its own; "
                "use normalization='librosa'"
            )
        if method not in ("auto", *METHODS):
            raise ValueError(f"method={method!r} must be 'auto', 'octaves' or 'conv'")
        if trainable and self.tuning is None:
            raise ValueError(
                "trainable=True needs a number as tuning: with tuning=None each clip has kernels of its own; use "
                "tuning=0.0"
            )
        self.normalization, self.trainable = normalization, trainable
        self.method = "octaves" if method == "auto" else method
        self.method_reason = "the fastest, and equal to librosa" if method == "auto" else "named by the caller"

    def _hold(self, levels: tuple[Level, ...], kernels: Callable[[], np.ndarray]) -> None:
        """Keep the levels, their kernels and the filters between them."""
        self._levels = levels
        self._blocks: dict[int, Blocks] | None = None
        self.define("kernels", kernels, trainable=self.trainable)
        self._factors = tuple(sorted({level.factor for level in levels} - {1}))
        for factor in self._factors:
            self.define(f"response_{factor}", functools.partial(decimation_response, factor))

    def _decimations(self, like: torch.Tensor) -> dict[int, Decimation]:
        """The filters between the levels, by factor, in the dtype and on the device of `like`."""
        return {
            factor: Decimation(
                response=self.filter_like(f"response_{factor}", like),
                block=decimation_block(factor),
                reach=decimation_reach(factor),
            )
            for factor in self._factors
        }

    def _in_blocks(self) -> dict[int, Blocks]:
        """The kernels of long bands in blocks, exact to float32, by their first bin; made when first asked for."""
        if self._blocks is None:
            kernels, start = self._filters.definitions["kernels"](), 0
            self._blocks = {}
            for level in self._levels:
                for band in level.bands:
                    made = block_basis(kernels[start : start + band.size].reshape(-1, band.taps), level.hop_length)
                    start += band.size
                    if made is not None:
                        self._blocks[band.first] = Blocks(
                            block=made.block,
                            basis=torch.from_numpy(made.basis).float(),
                            weights=torch.from_numpy(made.weights).float(),
                        )
        return self._blocks

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_blocks": None}

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples.

        >>> CQT(sample_rate=22050).frame_lengths(torch.tensor([22050, 1])).tolist()
        [44, 1]
        """
        return frame_count(lengths, self._levels[0])

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        fixed = "kernels" in self._filters.definitions
        in_blocks = fixed and not graph and waveform.device.type == "cpu" and waveform.dtype == torch.float32
        execution = Execution(
            levels=self._levels,
            hop_length=self.hop_length,
            kernels=self.filter_like("kernels", waveform),
            blocks=self._in_blocks() if in_blocks else {},
            decimations=self._decimations(waveform),
            pad_mode=self.pad_mode,
            power=self.power,
        )
        return constant_q(waveform, lengths, execution, graph=graph)


class CQT(KernelTransform):
    """The constant-Q transform, equal to `librosa.cqt`.

    Bin k has the frequency f_min * 2^(k / bins_per_octave) and a bandwidth in proportion; frame f is centred on sample
    f * hop_length. Two methods compute two definitions:

    - "octaves" is librosa's (Schörkhuber and Klapuri 2010): the rate is halved from octave to octave as long as the hop
      is even, by soxr's filter, and every octave meets kernels of its own rate, cut to positive frequencies and
      sparsified.
    - "conv" is the plain definition at the full rate: every frame times every wavelet as it is (`sparsity` does
      nothing). The two differ by what the filters between the octaves and the sparsity leave out: on noise 1 to 3 %.

    Args:
        sample_rate: Hz.
        hop_length: samples from frame to frame, odd or even. Each octave needs a factor 2 of it: where they run out,
            the lower octaves are computed at the last rate, with longer kernels.
        f_min: Hz, of the lowest bin; None: C1, 32.7 Hz.
        n_bins: bins; None: as many as stay below half the sample rate.
        bins_per_octave: bins in an octave.
        tuning: of all frequencies, in fractions of a bin; None: estimated for each clip, as `librosa.estimate_tuning`
            does for that clip alone, all its channels together. The transform waits for the values on the host, and
            keeps kernels for the last 16 tunings that it met.
        filter_scale: length of the wavelets, > 0: below 1 they are shorter, the time is resolved better.
        norm: p-norm of each wavelet: a number > 0, 0 (how many samples are not 0), `math.inf`, `-math.inf`, or None.
        window: of the wavelets: a name, a (name, parameter) tuple, or a Kaiser beta.
        pad_mode: "constant" (zeros), "reflect", "replicate" or "circular": what stands past a clip's ends, at every
            rate.
        sparsity: part of the sum of magnitudes of each wavelet's spectrum that its smallest bins are dropped for, in
            [0, 1).
        scale: each bin is divided by the root of its wavelet's length.
        power: of the magnitude, > 0; None: complex values.
        method: "auto" (that is "octaves"), "octaves" or "conv".
        trainable: the kernels are a parameter (`kernels`, those of all bins one after another), with either method.
        normalization: "librosa" (as `scale` says), or as nnAudio has it "convolutional" (wavelets of the given norm as
            they are) or "wrap" (twice that: a sine has its amplitude).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames), complex for `power=None`.

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: magnitudes unless `power=None`; clips shorter than a factor of early downsampling work;
    `pad_mode` has torch's names; wavelets are exact in float64 (there float32); a batch given to librosa as one array
    has one tuning for all. Where all wavelets are so low that the rate is divided by 4 or more before the first octave,
    librosa's resampler drops what its stages compute of the time before a clip, and a clip that starts loud comes out
    up to 0.4 % otherwise there; here nothing is dropped.

    >>> CQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    """

    ARGUMENTS = (
        "sample_rate",
        "hop_length",
        "f_min",
        "n_bins",
        "bins_per_octave",
        "tuning",
        "filter_scale",
        "norm",
        "window",
        "pad_mode",
        "sparsity",
        "scale",
        "power",
        "method",
        "trainable",
        "normalization",
    )

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_bins: int | None = 84,
        bins_per_octave: int = 12,
        tuning: float | None = 0.0,
        filter_scale: float = 1.0,
        norm: float | None = 1.0,
        window: str | float | tuple = "hann",
        pad_mode: str = "constant",
        sparsity: float = 0.01,
        scale: bool = True,
        power: float | None = 1.0,
        method: str = "auto",
        trainable: bool = False,
        normalization: str = "librosa",
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            hop_length=hop_length,
            f_min=f_min,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
            filter_scale=filter_scale,
            norm=norm,
            window=window,
            pad_mode=pad_mode,
            sparsity=sparsity,
            scale=scale,
            power=power,
            method=method,
            trainable=trainable,
            normalization=normalization,
        )


class VQT(KernelTransform):
    """The variable-Q transform, equal to `librosa.vqt`: as `CQT`, with more bandwidth at low frequencies.

    Args:
        gamma: Hz added to the bandwidth of each bin, >= 0; None: as much as makes it a constant part of the ear's
            (ERB).
        intervals: "equal", "pythagorean", "ji3", "ji5" or "ji7" (just intonation with primes up to 3, 5 or 7), or the
            ratios of an octave's frequencies to its lowest, in [1, 2); with ratios, their number counts as
            `bins_per_octave`.
        sample_rate, hop_length, f_min, n_bins, bins_per_octave, tuning, filter_scale, norm, window, pad_mode, sparsity,
            scale, power, method, trainable, normalization: as in `CQT`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames), complex for `power=None`.

    Raises:
        ValueError: for a setting outside its range, saying which.

    Follows Schörkhuber, Klapuri, Holighaus and Dörfler (2014); differs from librosa as `CQT` does.

    >>> VQT(sample_rate=22050, intervals="ji5", n_bins=60)(torch.zeros(22050)).shape
    torch.Size([60, 44])
    """

    ARGUMENTS = (*CQT.ARGUMENTS, "gamma", "intervals")

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_bins: int | None = 84,
        gamma: float | None = None,
        intervals: str | Sequence[float] = "equal",
        bins_per_octave: int = 12,
        tuning: float | None = 0.0,
        filter_scale: float = 1.0,
        norm: float | None = 1.0,
        window: str | float | tuple = "hann",
        pad_mode: str = "constant",
        sparsity: float = 0.01,
        scale: bool = True,
        power: float | None = 1.0,
        method: str = "auto",
        trainable: bool = False,
        normalization: str = "librosa",
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            hop_length=hop_length,
            f_min=f_min,
            n_bins=n_bins,
            gamma=gamma,
            intervals=intervals,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
            filter_scale=filter_scale,
            norm=norm,
            window=window,
            pad_mode=pad_mode,
            sparsity=sparsity,
            scale=scale,
            power=power,
            method=method,
            trainable=trainable,
            normalization=normalization,
        )
