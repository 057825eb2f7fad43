"""Combined frequency and periodicity: where a spectrum and a cepstrum agree on a pitch."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_positive, check_rate
from audiofeed.arguments.signature import takes
from audiofeed.methods.frame_steps import Wanted
from audiofeed.methods.harmony.cfp import OUTPUTS, Periodicity, parts
from audiofeed.signal.harmony.cfp import cepstrum_filterbank, cfp_frequencies, spectrum_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.contract.frame_settings import FrameOptions, Frames
from audiofeed.transforms.contract.method_settings import Precision, PrecisionOptions
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import PerFrame


class CFPParts(NamedTuple):
    """Outputs of the combined frequency and periodicity (CFP) module, each (..., n_bins, frames)."""

    salience: torch.Tensor
    spectrum: torch.Tensor
    frequency: torch.Tensor
    periodicity: torch.Tensor


class CFPOptions(FrameOptions, PrecisionOptions, total=False):
    """Keyword arguments of a combined frequency and periodicity (CFP) module."""


class CFP(ShortTime):
    """Combined frequency and periodicity (CFP) as a module, a pitch salience for several voices by Su and Yang (2015).

    A tone has a peak at its pitch both in the spectrum, whose false peaks are overtones, and in the cepstrum, whose
    false peaks are undertones: the product of the two keeps the pitch. With three gammas the frequency part is the
    generalized cepstrum of the generalized cepstrum, which is a spectrum again, the periodicity part the cepstrum.

    Args:
        sample_rate: Hz.
        n_fft: points of the spectra, odd or even; None: sample_rate / 2, so that bins are 2 Hz apart, and at least
            win_length.
        f_min: Hz, the lowest pitch, below which the spectrum counts as 0; its period is at most n_fft / 2.
        f_max: Hz, the highest pitch, below whose period the cepstrum counts as 0; at most sample_rate / 2.
        bins_per_octave: filters in an octave, > 0.
        gammas: exponents of the spectrum's magnitude, of the cepstrum, of the spectrum's again, and so on, two or more
            and each >= 0; 0 takes the logarithm.
        output: "salience" (frequency times periodicity), or one of its parts: "spectrum" (the magnitudes), "frequency",
            "periodicity". `parts` gives all of them.
        window: as in `STFT`, scaled to norm 1.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Differs from nnAudio's `CFP` (its fr, fs, window_size, fc, tc, g and NumPerOct are here n_fft = fs / fr,
    sample_rate, win_length, f_min, 1 / f_max, gammas and bins_per_octave): bins and quefrencies stand at their own
    frequencies, and count where a filter has its peak; both halves of a cepstrum are cut alike; the first and the last
    band are neither 0 nor missing. As there, a high band that lies between two quefrencies is 0 in the periodicity, and
    so in the salience: with the defaults at 16 kHz, 17 bands from 508 Hz on.

    >>> cfp = CFP(sample_rate=16000)
    >>> cfp(torch.zeros(2, 3200)).shape
    torch.Size([2, 175, 11])
    """

    @takes(
        Frames,
        Precision,
        without=("n_fft",),
        hop_length=320,
        win_length=2049,
        window="blackmanharris",
        periodic=False,
    )
    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int | None = None,
        f_min: float = 80.0,
        f_max: float = 1000.0,
        bins_per_octave: float = 48,
        gammas: Sequence[float] = (0.24, 0.6, 1.0),
        output: str = "salience",
        **settings: Unpack[CFPOptions],
    ) -> None:
        check_rate(sample_rate, "the pitches are in Hz")
        if n_fft is None:
            n_fft = max(round(sample_rate / 2), check_count("win_length", settings["win_length"]))
        super().__init__({**settings, "n_fft": n_fft}, sample_rate=sample_rate, power=1.0)
        lowest = 2 * sample_rate / self.n_fft
        if not lowest <= f_min < f_max <= sample_rate / 2:
            raise ValueError(
                f"f_min={f_min!r}, f_max={f_max!r} must satisfy {lowest:g} <= f_min < f_max <= {sample_rate / 2:g} Hz: "
                f"the period of f_min must fit twice into n_fft={self.n_fft}, and f_max lie below half the sample rate"
            )
        check_positive("bins_per_octave", bins_per_octave, "a number > 0")
        self.gammas = tuple(float(gamma) for gamma in gammas)
        if len(self.gammas) < 2 or not all(gamma >= 0 and math.isfinite(gamma) for gamma in self.gammas):
            raise ValueError(
                f"gammas={gammas!r} must be two or more numbers >= 0: one for the spectrum, one for the cepstrum, ..."
            )
        self.f_min, self.f_max, self.bins_per_octave = float(f_min), float(f_max), bins_per_octave
        self.output = check_choice("output", output, OUTPUTS)
        span: dict[str, Any] = {"f_min": self.f_min, "f_max": self.f_max, "bins_per_octave": bins_per_octave}
        self._grid = cfp_frequencies(**span)
        self.n_bins = len(self._grid)
        bins: dict[str, Any] = {"sample_rate": float(sample_rate), "n_fft": self.n_fft}
        banks = {"spectrum_filters": spectrum_filterbank, "cepstrum_filters": cepstrum_filterbank}
        tiles = [self.define_bank(name, functools.partial(bank, **bins, **span)).tiles for name, bank in banks.items()]
        how = Periodicity(
            n_fft=self.n_fft,
            scale=1.0 / float(np.linalg.norm(get_window(self.window, self.win_length, periodic=self.periodic))),
            gammas=self.gammas,
            spectrum_from=round(f_min * self.n_fft / sample_rate),
            cepstrum_from=round(sample_rate / f_max),
            tiles=(tiles[0], tiles[1]),
        )
        self._steps = (PerFrame(functools.partial(parts, how=how, output=self.output), tuple(banks)),)
        self._all_parts = PerFrame(functools.partial(parts, how=how, output=None), tuple(banks))

    @property
    def frequencies(self) -> torch.Tensor:
        """Pitch in Hz of each bin of a combined frequency and periodicity (CFP) module, float64.  Shape: (n_bins,)."""
        return torch.from_numpy(self._grid.copy())

    def parts(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> CFPParts:
        """Return the salience and all parts of a combined frequency and periodicity (CFP) module, in one pass.

        Args:
            waveform, lengths: as in `forward`.

        Returns:
            (salience, spectrum, frequency, periodicity), each (..., n_bins, frames), 0 past the frames of a clip.
        """

        def compute(rows: torch.Tensor, row_lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
            wanted = Wanted(1.0, tuple(self._all_parts.on_frames(self, rows)))
            return self.powers(rows, row_lengths, [wanted], graph=graph)[0]

        found = self.by_rows(compute, waveform, lengths)
        return CFPParts(*found.unflatten(-2, (len(OUTPUTS), -1)).unbind(-3))
