"""From a mel spectrogram back to the bins of a spectrum."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_rate
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.inverse.nnls import clamped_spectra, nearest_spectra
from audiofeed.signal.inverse.nnls import overlap_ratios, overlap_sums, overlapping_pairs
from audiofeed.signal.scales import fft_frequencies
from audiofeed.transforms.auditory.settings import Mel, MelOptions
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from audiofeed.transforms.contract.filters import of


class InverseMel(FeatureTransform):
    """Inverse mel as a module: the spectrum >= 0 whose mel spectrogram lies nearest to a given one.

    This is non-negative least squares. Of all spectra that are equally near it is the smallest (in the sum of squares),
    so that it is one result, whatever the machine, and not that of a search that stops somewhere. It undoes the filters
    alone: the mels of powers give powers, which `GriffinLim(power=2.0)` takes, the mels of magnitudes give magnitudes.

    With `solver="lstsq"` it is the smallest least-squares spectrum of either sign, and 0 where that is negative: one
    matrix product, and not as near.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame of the spectrum, 1 or more.
        n_mels: number of filters, the bins of the input, 1 or more.
        solver: "nnls" (the nearest spectrum that is not negative) or "lstsq" (torchaudio's).

    Returns:
        (..., n_fft // 2 + 1, frames), from mel (..., n_mels, frames), lengths (batch,) in frames.

    "nnls" is computed in float64, and there is a gradient. Differs from librosa.feature.inverse.mel_to_stft, which
    searches by L-BFGS-B and takes the root; from torchaudio's InverseMelScale, which is our "lstsq".

    >>> InverseMel(sample_rate=16000, n_fft=512, n_mels=40)(torch.ones(2, 40, 9)).shape
    torch.Size([2, 257, 9])
    """

    hint = "give the mel spectrogram of powers or magnitudes, not decibels"

    @takes(Mel)
    def __init__(
        self, *, sample_rate: float, n_fft: int = 2048, solver: str = "nnls", **settings: Unpack[MelOptions]
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate(sample_rate, "the filters lie in Hz")
        self.n_fft = check_count("n_fft", n_fft)
        mel = pick(Mel, settings, sample_rate=sample_rate, n_fft=self.n_fft)
        self.keep(mel)
        self.solver = check_choice("solver", solver, ("nnls", "lstsq"))
        filters = mel.definition()
        if not filters.any() and mel.filters is not None:
            raise ValueError("filters must have a weight that is not 0, and are 0 throughout")
        if not filters.any():
            raise ValueError(
                f"n_fft={n_fft} must be long enough that a filter holds a bin; all n_mels={self.n_mels} between "
                f"{self.f_min:g} and {self.f_max:g} Hz are empty"
            )
        if solver == "lstsq":
            self.define("pseudoinverse", of(mel.definition, np.linalg.pinv))
            return
        self.define("mel", mel.definition, values=filters)
        ratios, sums = overlapping_pairs(filters)
        self.define("ratios", of(mel.definition, overlap_ratios), values=ratios)
        self.define("sums", of(mel.definition, overlap_sums), values=sums)

    @property
    def frequencies(self) -> torch.Tensor:
        """Center in Hz of each bin of the spectrum that an inverse mel module returns, float64.  Shape: (bins,)."""
        return torch.from_numpy(fft_frequencies(self.sample_rate, self.n_fft))

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        mels, frames = features.shape[-2:]
        if mels != self.n_mels:
            raise ValueError(
                f"features has shape (..., {mels}, {frames}), and must have n_mels={self.n_mels} bins; "
                "the second last dimension is the mels"
            )
        if self.solver == "lstsq":
            return clamped_spectra(features, self.filter_like("pseudoinverse", features), graph=graph)
        exact = torch.empty((), dtype=torch.float64, device=features.device)
        tables = [self.filter_like(name, exact) for name in ("mel", "ratios", "sums")]
        return nearest_spectra(features, *tables, graph=graph)
