"""SincNet's first layer: band-pass filters whose cutoff frequencies are learned."""

from __future__ import annotations

import functools

import torch

from audiofeed.arguments.checks import check_choice, check_count, check_odd, check_pad_mode, check_rate
from audiofeed.arguments.meta_device import check_has_values
from audiofeed.methods.auditory.long_filters import filtered_waveform
from audiofeed.methods.auditory.sinc import sinc_filters
from audiofeed.methods.bounded_parameters import inside
from audiofeed.methods.frames import Framing
from audiofeed.methods.precision import wide
from audiofeed.signal.auditory.sinc import NORMS, SincStart
from audiofeed.signal.filter_responses import FilterResponses, even_frequencies, kernel_gains
from audiofeed.signal.windows import Window, get_window
from audiofeed.transforms.contract.transform import Transform


class SincFilterbank(Transform):
    """Module of sinc band-pass filters with two learned cutoff frequencies each: the first layer of SincNet.

    Ravanelli and Bengio (2018). A filter is a windowed ideal band-pass; only its lower and upper cutoff train. Whatever
    the optimizer does, min_low_hz <= lower, lower + min_band_hz <= upper, and upper <= sample_rate / 2.

    Args:
        sample_rate: Hz.
        n_filters: number of filters, 1 or more.
        win_length: taps of a filter, odd, 3 or more.
        hop_length: samples from frame to frame, 1 or more; 1 gives every sample, as SincNet has it.
        f_min: Hz, the lower end of the span in which the bands start evenly spaced in mel, before min_low_hz is added.
        f_max: Hz, its upper end, at most sample_rate / 2 - min_low_hz - min_band_hz; None: that.
        min_low_hz: the lowest lower cutoff, >= 0.
        min_band_hz: the narrowest band, > 0.
        window: of the filters, symmetric; see `get_window`.
        norm: "peak" (the middle tap is 1, as in SincNet), or None (gain about 1 within the band).
        center: frame f is centered on sample f * hop_length; False: it starts there.
        pad_mode: past each clip's own ends: "constant" (zeros), "reflect", "replicate" or "circular".
        trainable: the cutoffs are trained (parameters `raw_low` and `raw_high`, of shape (n_filters,); `cutoffs` are
            the present values).

    Returns:
        (..., n_filters, frames); with center=True ceil(time / hop_length) frames, from a waveform (..., time)
        and lengths (batch,).

    Differs from SincNet: the cutoffs stay in their bounds smoothly (there by an absolute value and a clamp, which stops
    the gradient), the window is the symmetric one, and clips are extended at both ends (there center=False).

    >>> SincFilterbank(sample_rate=16000, hop_length=160)(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 100])
    """

    raw_low: torch.Tensor
    raw_high: torch.Tensor

    framing: Framing
    gives_waveforms = True

    def __init__(
        self,
        *,
        sample_rate: float,
        n_filters: int = 80,
        win_length: int = 251,
        hop_length: int = 1,
        f_min: float = 30.0,
        f_max: float | None = None,
        min_low_hz: float = 50.0,
        min_band_hz: float = 50.0,
        window: Window = "hamming",
        norm: str | None = "peak",
        center: bool = True,
        pad_mode: str = "constant",
        trainable: bool = True,
    ) -> None:
        super().__init__(check_rate(sample_rate))
        self._rate = float(sample_rate)
        self.n_filters = check_count("n_filters", n_filters, "an integer number of filters, 1 or more")
        self.win_length = check_odd("win_length", win_length)
        self.hop_length = check_count("hop_length", hop_length)
        self.pad_mode, self.norm = check_pad_mode(pad_mode), check_choice("norm", norm, NORMS)
        if not (min_low_hz >= 0 and min_band_hz > 0 and min_low_hz + min_band_hz < sample_rate / 2):
            raise ValueError(
                f"min_low_hz={min_low_hz!r}, min_band_hz={min_band_hz!r} must satisfy min_low_hz >= 0, min_band_hz > 0 "
                f"and min_low_hz + min_band_hz < {sample_rate / 2:g} Hz, half of sample_rate={sample_rate!r}"
            )
        most = sample_rate / 2 - min_low_hz - min_band_hz
        top = most if f_max is None else f_max
        if not 0 <= f_min < top <= most:
            raise ValueError(
                f"f_min={f_min!r}, f_max={f_max!r} must satisfy 0 <= f_min < f_max <= {most:g} Hz, half of "
                f"sample_rate={sample_rate!r} less min_low_hz={min_low_hz!r} and min_band_hz={min_band_hz!r}"
            )
        get_window(window, self.win_length, periodic=False)  # raises if there is no such window
        self.f_min, self.f_max = float(f_min), float(top)
        self.min_low_hz, self.min_band_hz = float(min_low_hz), float(min_band_hz)
        self.window, self.center = window, center
        self.trainable = trainable
        self.framing = Framing(n_fft=self.win_length, hop_length=self.hop_length, center=center, pad_mode=pad_mode)
        self._given = SincStart(
            n_filters=self.n_filters,
            sample_rate=self._rate,
            f_min=self.f_min,
            f_max=self.f_max,
            min_low_hz=self.min_low_hz,
            min_band_hz=self.min_band_hz,
        )
        if trainable:
            self.define("raw_low", self._given.raw_low, trainable=True)
            self.define("raw_high", self._given.raw_high, trainable=True)
            self.define("taper", functools.partial(get_window, window, self.win_length, periodic=False))
            return
        filters = functools.partial(self._given.filters, win_length=self.win_length, window=window, norm=norm)
        self.define("filters", filters)

    @property
    def cutoffs(self) -> torch.Tensor:
        """Present lower and upper cutoffs of a sinc filter module in Hz. A float64 tensor of shape (2, n_filters)."""
        if not self.trainable:
            return torch.from_numpy(self._given.cutoffs())
        top = self._rate / 2
        raw_low, raw_high = wide(torch.stack([self.raw_low, self.raw_high]))
        low = inside(raw_low, self.min_low_hz, top - self.min_band_hz)
        return torch.stack([low, inside(raw_high, low + self.min_band_hz, top)])

    @property
    def first_center(self) -> float:
        """Sample on which frame 0 of a sinc filter module is centered."""
        return 0.0 if self.center else (self.win_length - 1) / 2

    @property
    def frequencies(self) -> torch.Tensor:
        """Middle of each present band of a sinc filter module in Hz. A float64 tensor of shape (n_filters,)."""
        return self.cutoffs.detach().mean(0)

    def filter_responses(self) -> FilterResponses:
        """Return the gains of a sinc filter module's present filters."""
        check_has_values("transform", self)
        hertz = even_frequencies(self._rate, self.frequencies.tolist())
        with torch.no_grad():
            kernels = self._present_filters(torch.empty(0, dtype=torch.float64)).cpu().numpy()
        return FilterResponses(frequencies=hertz, values=kernel_gains(kernels, hertz / self._rate), quantity="gain")

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return filtered_waveform(waveform, lengths, self.framing, self._present_filters(waveform), graph=graph)

    def _present_filters(self, like: torch.Tensor) -> torch.Tensor:
        if not self.trainable:
            return self.filter_like("filters", like)
        cutoffs = self.cutoffs / self._rate
        return sinc_filters(cutoffs, self.filter_like("taper", cutoffs), norm=self.norm).to(like.dtype)
