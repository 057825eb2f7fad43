"""Tempograms: which tempi an onset envelope repeats in, around each frame."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_norm, check_rate
from audiofeed.arguments.setting_groups import argument, pick, settle
from audiofeed.arguments.signature import takes
from audiofeed.methods.frames import Framing
from audiofeed.methods.rhythm import autocorrelation, tempi
from audiofeed.methods.rhythm.onsets import envelope
from audiofeed.methods.short_time.short_time_methods import short_time_spectrum
from audiofeed.parallel.launches import launches
from audiofeed.plans.sizes import smooth_length
from audiofeed.signal.rhythm.tempo import fourier_tempi, lag_tempi, tempo_places, tempo_shares
from audiofeed.signal.windows import Window, get_window
from audiofeed.transforms.contract.derived import Derived, check_source
from audiofeed.transforms.contract.filters import of
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.rhythm.onset import OnsetStrength

# a window of 4 frames has lags 1 to 3, whose tempi reach from 1/3 to 1 a frame, and bins of 0, 1/4 and 1/2 a frame
_SHORTEST_HYBRID = 4


class StretchOptions(TypedDict, total=False):
    """Keyword arguments of the stretches of an onset envelope that a tempogram is computed of."""

    n_fft: int
    hop_length: int
    win_length: int
    window: Window
    onset: Transform | None


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Settings of a tempogram: an onset envelope, and the stretches of it that are looked at."""

    sample_rate: float
    n_fft: int = argument(2048, "samples of a frame of the onset strength; with `onset` its own, and left out here.")
    hop_length: int = argument(512, "samples from frame to frame, 1 or more.")
    win_length: int = argument(384, "frames of the window around each frame, 1 or more.")
    window: Window = argument("hann", "of the stretch, as in `STFT`.")
    onset: Transform = argument(
        None, "a transform from waveforms to (..., 1, frames) to be used for the envelope; None: `OnsetStrength`."
    )

    def __post_init__(self) -> None:
        check_rate(self.sample_rate)
        hop = check_count("hop_length", self.hop_length)
        onset = self.onset
        if onset is None:
            onset = OnsetStrength(sample_rate=self.sample_rate, n_fft=self.n_fft, hop_length=hop)
        elif self.n_fft != 2048:
            raise ValueError(f"n_fft={self.n_fft!r} must be left out with onset=...: it brings its own; set it there")
        elif getattr(onset, "hop_length", hop) != hop:
            raise ValueError(f"hop_length={hop!r} must be that of onset, which has {onset.hop_length!r}")
        check_source("onset", onset, self.sample_rate)
        check_count("win_length", self.win_length, "an integer number of frames, 1 or more")
        settle(self, hop_length=hop, onset=onset)


class OfStretches:
    """Mixin of tempogram modules, which are of stretches of an onset envelope: the envelope, and the columns' axes."""

    def _keep_stretches(self: Any, stretches: Stretches, *, center: bool) -> None:
        """Keep the settings of a tempogram and its window; the envelope is the module's `source`."""
        for name in ("sample_rate", "n_fft", "hop_length", "win_length", "window"):
            setattr(self, name, getattr(stretches, name))
        self.center = center
        self.define("tempo_window", functools.partial(get_window, self.window, self.win_length))

    def _ramp(self: Any, envelope: torch.Tensor) -> autocorrelation.Ramp | None:
        """Return what a tempogram module keeps on a device to ramp its envelopes in few launches; None: elsewhere."""
        if not self.center or not launches(envelope) or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return None
        size, columns = self.win_length, 1 << (envelope.shape[-1] + 2 * smooth_length(2 * self.win_length)).bit_length()
        positions = self.derived_filter(
            f"{columns} positions", functools.partial(autocorrelation.ramp_positions, size // 2, columns), envelope
        )
        definition = of(self.filter_definition("tempo_window"), autocorrelation.ramped_window)
        window = self.derived_filter("ramped window", definition, envelope)
        nothing = self.derived_filter("nothing", functools.partial(np.zeros, (), np.int64), envelope)
        if size < 2 or positions is None or window is None or nothing is None:
            return None
        inside, falling, rising = positions.unbind()
        return autocorrelation.Ramp(inside, falling, rising, nothing, window)

    @property
    def onset(self: Any) -> Transform:
        """Onset envelope transform that a tempogram module is computed of."""
        return self.source

    @property
    def frequencies(self: Any) -> torch.Tensor:
        """Tempi of the rows of a tempogram module (its `tempi`) in Hz, float64."""
        return self.tempi / 60.0

    @property
    def first_center(self: Any) -> float:
        """Sample that column 0 of a tempogram is centered on."""
        return 0.0 if self.center else self.win_length / 2 * self.hop_length

    def centers(self: Any, n_frames: int) -> torch.Tensor:
        """Return the center of each stretch of a tempogram in samples, float64, of shape (n_frames,)."""
        return Transform.centers(self, n_frames)

    def times(self: Any, n_frames: int) -> torch.Tensor:
        """Return the center of each stretch of a tempogram in seconds, float64, of shape (n_frames,)."""
        return Transform.times(self, n_frames)


class Tempogram(OfStretches, Derived):
    """Tempogram as a module: the onset strength's local autocorrelation, equal to `librosa.feature.tempogram`.

    Grosche, Mueller and Kurth, "Cyclic tempogram" (2010). Row k is a lag of k frames; `tempi` has it in beats a minute.

    Args:
        sample_rate: Hz.
        center: stretch f is centered on frame f, and the envelope goes down to 0 in a straight line beyond the clip's
            own ends; False: it starts there, and a clip shorter than the window is filled up with zeros.
        norm: p-norm of each column, > 0 (`math.inf`: maximum 1); None: as it is. Silence stays 0.

    Returns:
        (..., win_length, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        TypeError: for an onset that is not a transform of waveforms.

    Differs from librosa: with `center=False` it refuses envelopes shorter than the window.

    >>> transform = Tempogram(sample_rate=16000, n_fft=1024, hop_length=160, win_length=4)
    >>> transform(torch.zeros(2, 16000)).shape, transform.tempi.tolist()
    (torch.Size([2, 4, 101]), [inf, 6000.0, 3000.0, 2000.0])
    """

    @takes(Stretches)
    def __init__(
        self,
        *,
        sample_rate: float,
        center: bool = True,
        norm: float | None = math.inf,
        **settings: Unpack[StretchOptions],
    ) -> None:
        stretches = pick(Stretches, settings, sample_rate=sample_rate)
        super().__init__(stretches.onset)
        self._keep_stretches(stretches, center=center)
        self.norm = check_norm(norm)
        self._stretches = Framing(n_fft=self.win_length, hop_length=1, center=False, pad_mode="constant")

    @property
    def tempi(self) -> torch.Tensor:
        """Beats a minute of a tempogram's rows: infinite, then of periods 1, 2, ... frames, float64, (win_length,)."""
        rate = self.rate("tempi")
        return torch.from_numpy(lag_tempi(self.win_length, sample_rate=rate, hop_length=self.hop_length))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the columns that a tempogram module makes of clips of `lengths` samples."""
        frames = self.source.frame_lengths(lengths)
        return frames if self.center else self._stretches.count(frames)

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the columns past those of each row of a tempogram module."""
        if self.center and type(self).frame_lengths is Tempogram.frame_lengths:
            return self.source.past_frames(n_frames, lengths)
        return super().past_frames(n_frames, lengths)

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a tempogram module's autocorrelation of stretches of its onset envelope."""
        window = self.filter_like("tempo_window", features)
        strength = envelope(features)
        settings: dict[str, Any] = {"center": self.center, "norm": self.norm, "graph": graph}
        return autocorrelation.tempogram(strength, frames, window, **settings, ramp=self._ramp(strength))


class FourierTempogram(OfStretches, Derived):
    """Fourier tempogram as a module, an STFT of onset strength equal to `librosa.feature.fourier_tempogram`.

    Grosche, Mueller and Kurth, "Cyclic tempogram" (2010). `tempi` has the beats a minute of each row.

    Args:
        sample_rate: Hz.
        center: stretch f is centered on frame f, with zeros beyond the clip's own ends; False: it starts there, and a
            clip shorter than the window is filled up with zeros.

    Returns:
        complex (..., win_length // 2 + 1, frames), from a waveform (..., time) and lengths (batch,); one frame more
        than the envelope for an even win_length.

    Raises:
        TypeError: for an onset that is not a transform of waveforms.

    >>> transform = FourierTempogram(sample_rate=16000, n_fft=1024, hop_length=160, win_length=4)
    >>> transform(torch.zeros(2, 16000)).shape, transform.tempi.tolist()
    (torch.Size([2, 3, 102]), [0.0, 1500.0, 3000.0])
    """

    @takes(Stretches)
    def __init__(self, *, sample_rate: float, center: bool = True, **settings: Unpack[StretchOptions]) -> None:
        stretches = pick(Stretches, settings, sample_rate=sample_rate)
        super().__init__(stretches.onset)
        self._keep_stretches(stretches, center=center)
        self._stretches = Framing(n_fft=self.win_length, hop_length=1, center=center, pad_mode="constant")

    @property
    def tempi(self) -> torch.Tensor:
        """Beats per minute of a Fourier tempogram module's bins, float64, of shape (win_length // 2 + 1,)."""
        rate = self.rate("tempi")
        return torch.from_numpy(fourier_tempi(self.win_length, sample_rate=rate, hop_length=self.hop_length))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the columns that a Fourier tempogram module makes of clips of `lengths` samples."""
        return self._stretches.count(self.source.frame_lengths(lengths))

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a Fourier tempogram module's spectra of stretches of its onset envelope."""
        window = self.filter_like("tempo_window", features)
        return short_time_spectrum(envelope(features), frames, self._stretches, window, graph=graph)


class HybridTempogram(OfStretches, Derived):
    """Hybrid tempogram as a module, equal to librosa 1.0's `librosa.feature.hybrid_tempogram`.

    The geometric mean of a `FourierTempogram`'s magnitude and of a `Tempogram` (maximum 1 in each column) read at the
    Fourier tempogram's tempi by straight lines: what has a tempo's multiples times what has its fractions. Peeters,
    "Rhythm classification using spectral rhythm patterns" (2005). `tempi` has the beats a minute of each row.

    Args:
        sample_rate: Hz.
        center: stretch f is centered on frame f; False: it starts there, and a clip shorter than the window is filled
            up with zeros.

    Returns:
        (..., win_length // 2 + 1, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        TypeError: for an onset that is not a transform of waveforms.
        ValueError: for a win_length below 4.

    >>> transform = HybridTempogram(sample_rate=16000, n_fft=1024, hop_length=160, win_length=4)
    >>> transform(torch.zeros(2, 16000)).shape, transform.tempi.tolist()
    (torch.Size([2, 3, 101]), [0.0, 1500.0, 3000.0])
    """

    @takes(Stretches)
    def __init__(self, *, sample_rate: float, center: bool = True, **settings: Unpack[StretchOptions]) -> None:
        stretches = pick(Stretches, settings, sample_rate=sample_rate)
        if stretches.win_length < _SHORTEST_HYBRID:
            raise ValueError(
                f"win_length={stretches.win_length!r} must be {_SHORTEST_HYBRID} frames or more: the lags of a shorter "
                "window have no tempo in reach that its Fourier bins have"
            )
        super().__init__(stretches.onset)
        self._keep_stretches(stretches, center=center)
        self._stretches = Framing(n_fft=self.win_length, hop_length=1, center=False, pad_mode="constant")
        settled = {"sample_rate": float(sample_rate), "hop_length": self.hop_length}
        lags, bins = lag_tempi(self.win_length, **settled), fourier_tempi(self.win_length, **settled)
        self.define("places", functools.partial(tempo_places, lags, bins))
        self.define("shares", functools.partial(tempo_shares, lags, bins))

    @property
    def tempi(self) -> torch.Tensor:
        """Beats per minute of a hybrid tempogram module's rows, float64, of shape (win_length // 2 + 1,)."""
        rate = self.rate("tempi")
        return torch.from_numpy(fourier_tempi(self.win_length, sample_rate=rate, hop_length=self.hop_length))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the columns that a hybrid tempogram module makes of clips of `lengths` samples."""
        frames = self.source.frame_lengths(lengths)
        return frames if self.center else self._stretches.count(frames)

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a hybrid tempogram module's geometric mean of two tempograms of its onset envelope."""
        strength = envelope(features)
        # a root of float32's rounding is 3e-4 where the mean is 0
        wide = strength if strength.device.type == "mps" else strength.double()
        window, places, shares = (self.filter_like(name, wide) for name in ("tempo_window", "places", "shares"))
        ramp = self._ramp(wide)
        mean = tempi.hybrid_tempogram(wide, frames, window, places, shares, center=self.center, graph=graph, ramp=ramp)
        return mean.to(features.dtype)
