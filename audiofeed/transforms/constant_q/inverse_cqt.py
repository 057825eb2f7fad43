"""The inverse of the constant-Q and of the variable-Q transform."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import warn_caller
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.least_squares import LeastSquares
from audiofeed.methods.constant_q.octave_synthesis import synthesis
from audiofeed.plans.constant_q.invertibility import frame_weights, largest_hops
from audiofeed.transforms.constant_q.cqt import VQT
from audiofeed.transforms.constant_q.settings import (
    Kernels,
    MethodOptions,
    OctaveOptions,
    SpacingOptions,
    VariableQ,
    WaveletOptions,
)
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.contract.transform import in_full_precision


class InverseCQTOptions(WaveletOptions, OctaveOptions, SpacingOptions, MethodOptions, total=False):
    """Keyword arguments of an inverse CQT module, those of the transform whose values are inverted."""

    tuning: float


class InverseCQT(ToWaveform):
    """Inverse CQT or VQT as a module: the waveform whose transform lies nearest to given values.

    The weighted adjoint of the analysis comes first: every value times its wavelet, added up, octave by octave at the
    analysis's own rates. Where the hop is short it is the inverse but for 3 %, of which most stands at a clip's ends.
    Each of `n_iter` steps then analyzes what was found and adds the inverse of what is missing, which converges to the
    least-squares inverse (the signal of least energy among those that fit). It is linear, and has a gradient.

    Only what the bins see comes back: no sound below the lowest or above the highest bin, and no more of each bin than
    its frames can hold. A bin is *undersampled in time* where the hop is longer than sample_rate / bandwidth (with a
    Hann window a wavelet's length / 1.5) or than sample_rate / distance to the next bin, in Hz: then its values alias,
    and its sound is lost in part. With 84 bins at 22050 Hz this begins above `hop_length=64`, and the default of 512
    leaves the bins above 480 Hz undersampled; `largest_hop` is the limit, and a longer hop is warned of. What to
    expect, in dB of signal to noise: noise of 70 to 1800 Hz, from its values at 22050 Hz, one second and its ends.

    ====  ============================  ========  ========  =========
    hop   wavelet at 1800 Hz, per hop   n_iter=0  n_iter=2  n_iter=16
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
        if self.analysis.kernel_bank.extends:
            raise ValueError(
                f"method={settings['method']!r} extends clips before their rate falls, which has no adjoint here; use "
                "'conv', whose values it has"
            )
        self.sample_rate, self.n_iter, self.method_reason = sample_rate, int(n_iter), self.analysis.method_reason
        for name in settings:
            setattr(self, name, getattr(self.analysis, name))
        kernels = self.analysis.kernel_bank
        weights = frame_weights(self.analysis.bank, kernels.levels, kernels.exact(), self.hop_length)
        self.define("weights", functools.partial(np.array, weights))
        if self.n_iter:
            like = torch.zeros(0, dtype=torch.float32, device="cpu")
            # in values, also where the module is made on the meta device
            with torch.device(like.device), in_full_precision(like.device, graph=False):
                scale = self._least_squares(like).scale(2 * int(self.analysis.bank.lengths.max()) + 4 * self.hop_length)
            self.define("weights", functools.partial(np.array, weights * scale))
        kernels.release()
        hops = largest_hops(self.analysis.bank)
        self.largest_hop = max(1, int(hops.min()))
        self._warn_of_undersampled(hops)

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
        """Center of each bin that an inverse CQT module takes in Hz, float64, of shape (n_bins,)."""
        return self.analysis.frequencies

    # ---------------------------------------------------------------- lengths

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples of an inverse CQT for `frames` without a given length: to the last frame, at least one.

        >>> InverseCQT(sample_rate=22050, hop_length=64).sample_lengths(torch.tensor([1, 2, 9])).tolist()
        [1, 64, 512]
        """
        return ((frames - 1) * self.hop_length).clamp(min=1) * (frames > 0)

    def bins_of_features(self) -> tuple[int, str]:
        return self.n_bins, f"there are n_bins={self.n_bins} bins, as of a CQT of the same settings"

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        length = cast("int | torch.Tensor | None", settings["length"])
        return self._least_squares(features.real).invert(features, lengths, length, graph=graph)

    def _least_squares(self, like: torch.Tensor) -> LeastSquares:
        bank = self.analysis.kernel_bank
        kernels, weights = self.analysis.filter_like("kernels", like), self.filter_like("weights", like)
        return LeastSquares(
            analysis=self.analysis.compute,
            synthesis=synthesis(bank.levels, kernels, weights, bank.decimations(self.analysis, like)),
            hop_length=self.hop_length,
            early=bank.levels[0].factor,
            n_iter=self.n_iter,
        )
