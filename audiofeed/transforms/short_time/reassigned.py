"""Spectrograms whose energy stands where it lies, not where the bins and the frames do."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_power, check_rate
from audiofeed.arguments.signature import takes
from audiofeed.methods.short_time import reassignment
from audiofeed.methods.short_time.reassignment import Reassignment, Windows
from audiofeed.signal.short_time.reassignment import derivative, time_weighted
from audiofeed.transforms.contract.frame_settings import FrameOptions, Frames
from audiofeed.transforms.contract.method_settings import Precision, PrecisionOptions
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class ReassignedOptions(FrameOptions, PrecisionOptions, total=False):
    """Keyword arguments of the reassigned spectrogram module."""

    n_fft: int


class Coordinates(NamedTuple):
    """Coordinates of each cell's energy by a reassigned spectrogram module, each (..., n_fft // 2 + 1, frames)."""

    frequencies: torch.Tensor
    times: torch.Tensor
    magnitudes: torch.Tensor


class ReassignedSpectrogram(ShortTime):
    """Module that computes a reassigned spectrogram, with the energy of each cell moved to its true place.

    Steady tones come out one bin wide and clicks one frame wide. `forward` gives the moved energy on the grid of bins
    and frames, for a model; `coordinates` gives each cell's place, equal to `librosa.reassigned_spectrogram`.

    Args:
        sample_rate: Hz.
        power: what is moved: 2.0 (power), 1.0 (magnitude), or any number > 0.
        reassign_frequencies: energy is moved along the frequencies; with False, `reassign_times` must be True.
        reassign_times: energy is moved along time.
        ref_power: cells whose power is less, or 0, cannot say where they lie; >= 0.
        fill_nan: True: such cells stay where they are; False: their coordinates are NaN, and their energy is left out.
        clip: True: what lies outside the clip's own time, or outside 0 to sample_rate / 2, is moved to its edge; False:
            it is left as it is, and out of the grid.

    Returns:
        (..., n_fft // 2 + 1, frames), from a waveform (..., time) and lengths (batch,).

    The gradient of `forward` is that of the powers; where they are moved is taken as it is. On a GPU the order of that
    sum is not fixed, so that repeated calls differ by rounding.

    Differs from librosa: `pad_mode` has torch's names; `ref_power` is a number, not a function; the coordinates of
    float32 waveforms are float32. As in librosa, the time of a click in a frame of even length is half a sample late.
    Follows Flandrin, Auger and Chassande-Mottin, "Time-frequency reassignment" (2002), equations 5.20 and 5.23.

    >>> reassigned = ReassignedSpectrogram(sample_rate=8000, n_fft=256)
    >>> reassigned(torch.zeros(2, 1000)).shape
    torch.Size([2, 129, 16])
    >>> tone = torch.sin(2 * torch.pi * 1007.0 * torch.arange(4000) / 8000)
    >>> f"{reassigned.coordinates(tone).frequencies[32, 30]:.1f} Hz"
    '1007.0 Hz'
    """

    @takes(Frames, Precision)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 2.0,
        reassign_frequencies: bool = True,
        reassign_times: bool = True,
        ref_power: float = 1e-6,
        fill_nan: bool = False,
        clip: bool = True,
        **settings: Unpack[ReassignedOptions],
    ) -> None:
        check_rate(sample_rate, "the coordinates are in Hz and seconds")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power, "what is moved has no phase"))
        if not (reassign_frequencies or reassign_times):
            raise ValueError(
                "reassign_frequencies=False, reassign_times=False must not both be False; "
                "use Spectrogram where nothing is to be moved"
            )
        if callable(ref_power) or not (ref_power >= 0 and math.isfinite(ref_power)):
            raise ValueError(f"ref_power={ref_power!r} must be a number >= 0")
        self.reassign_frequencies, self.reassign_times = reassign_frequencies, reassign_times
        self.ref_power, self.fill_nan, self.clip = float(ref_power), fill_nan, clip
        self._how = Reassignment(
            frequencies=reassign_frequencies, times=reassign_times, ref_power=self.ref_power, fill=fill_nan, clip=clip
        )
        self.define("derivative_window", self.frames.of_window(derivative))
        self.define("time_window", self.frames.of_window(time_weighted))

    def coordinates(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Coordinates:
        """Return a reassigned spectrogram module's frequency (Hz), time (s) and magnitude of each cell.

        Args:
            waveform, lengths: as in `forward`.

        Returns:
            (frequencies, times, magnitudes), each (..., n_fft // 2 + 1, frames), 0 past the frames of a clip. Those of
            cells that cannot say where they lie (see `ref_power`) are NaN, or with `fill_nan` the bin's frequency and
            the frame's time.
        """

        def compute(rows: torch.Tensor, row_lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
            rate, windows = self.rate("coordinates"), self._windows(rows)
            return reassignment.coordinates(
                rows, row_lengths, self.framing, windows, self._how, sample_rate=rate, graph=graph
            )

        return Coordinates(*self.by_rows(compute, waveform, lengths).unflatten(-2, (3, -1)).unbind(-3))

    def _windows(self, waveform: torch.Tensor) -> Windows:
        names = ("analysis_window", "derivative_window", "time_window")
        return Windows(*(self.analysis(waveform, name) for name in names))

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        windows, power = self._windows(waveform), check_power(self.power)
        return reassignment.onto_grid(waveform, lengths, self.framing, windows, self._how, power=power, graph=graph)
