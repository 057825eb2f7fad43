"""A spectrum stretched in time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import cast

import torch

from audiofeed.arguments.checks import warn_caller
from audiofeed.arguments.librosa_versions import NEWEST, check_compat
from audiofeed.methods.short_time.vocoder import stretch
from audiofeed.parallel.exports import ceil_divided
from audiofeed.parallel.observed import is_exporting, plain_size
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class TimeStretch(FeatureTransform):
    """Module that stretches a complex spectrum in time, faster or slower at the same pitch, by a phase vocoder.

    Equal to `librosa.phase_vocoder` (Ellis, "A phase vocoder in Matlab", 2002), and with compat="librosa-0.11" to
    `torchaudio.functional.phase_vocoder`. `InverseSTFT` makes a waveform of the result. A rate that varies is given to
    `forward` as the times `t_out` that are read.

    Args:
        rate: how much faster, > 0: 2.0 leaves half the frames. None: `forward` is given it, or `t_out`.
        compat: "librosa-1.0" or "librosa-0.11", whose values these are: what follows a clip's last frame. In 1.0
            magnitudes go on as they did between the last two and phases stand still, in 0.11 there is silence. It shows
            in the results within the last frame, one or 1 / rate of them.

    Returns:
        complex (..., bins, ceil(frames / rate)), from spectrum complex (..., bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a rate that is no number > 0, or none at all.

    Differs from librosa and torchaudio: there is no hop_length, n_fft or n_freq, because the advance they compute from
    them changes a phase by whole turns only; in float32 torchaudio sums those turns, and its phases drift. A spectrum
    of one frame keeps its magnitude, where librosa 1.0 gives NaN; a rate by which the last time is rounded to the end
    of the clip, which librosa 1.0 refuses, is taken.

    >>> TimeStretch(1.25)(torch.ones(2, 257, 100, dtype=torch.complex64)).shape
    torch.Size([2, 257, 80])
    """

    takes_complex = True
    hint = "give the spectrum that STFT returns"

    def __init__(self, rate: float | None = None, *, compat: str = NEWEST) -> None:
        super().__init__()
        self.rate = None if rate is None else _checked(rate)
        self.compat = check_compat(compat)

    def forward(  # type: ignore[override]  # a rate before lengths, as in torchaudio
        self,
        spectrum: torch.Tensor,
        rate: float | None = None,
        *,
        t_out: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Stretch one spectrum or a batch of them in time, at a given rate, a varying one, or the module's.

        Args:
            spectrum: complex (..., bins, frames) with any leading dimensions, of which the first is the batch.
            rate: how much faster, > 0; None: that of the module.
            t_out: instead of a rate the time of each frame of the result, in frames of the spectrum, from 0 to below
                their number: (frames of the result,) for all clips, or (batch, frames of the result). With `lengths` a
                clip's result ends before its first time at or past the clip's own end, so that `math.inf` fills up a
                row of few times. The values are read on the host, and no gradient flows to them.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., bins, ceil(frames / rate)), or as many frames as `t_out` has times. Row i, cut to its `frame_lengths`,
            equals that clip alone; past it, 0.

        Raises:
            TypeError: for a spectrum that is not complex.
            ValueError: for a rate that is no number > 0, a rate and times, times outside the spectrum, an empty
                spectrum, or lengths that do not fit it.

        Warns:
            UserWarning: for times that go back: phases advance from frame to frame, and do not fit backwards.

        >>> slower = torch.linspace(0, 9, 30) ** 2 / 9  # at first slowly, then ever faster
        >>> TimeStretch()(torch.ones(2, 257, 10, dtype=torch.complex64), t_out=slower).shape
        torch.Size([2, 257, 30])
        """
        if t_out is None:
            return self.run(spectrum, lengths, rate=self._rate(rate))
        if rate is not None:
            raise ValueError(f"rate={rate!r} must be left out with t_out, which says when every frame is read")
        self.check_features(spectrum)
        t_out = _checked_times(t_out, spectrum, lengths)
        # what all clips share is not cut with them
        return self.run(spectrum, lengths, times=(t_out,) if t_out.dim() == 1 else t_out)

    def frame_lengths(
        self, lengths: torch.Tensor, rate: float | None = None, *, t_out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the frames that a time stretch leaves of clips of `lengths` frames.  Shape: any -> the same.

        >>> TimeStretch(2.0).frame_lengths(torch.tensor([5, 4])).tolist()
        [3, 2]
        >>> TimeStretch().frame_lengths(torch.tensor([5, 4]), t_out=torch.tensor([0.0, 1.0, 4.0])).tolist()
        [3, 2]
        """
        if t_out is None:
            return (lengths.double() / self._rate(rate)).ceil().long()
        return (t_out < lengths[..., None]).long().cumprod(-1).sum(-1)

    def result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        if "times" in settings:
            return self.frame_lengths(lengths, t_out=_times(settings))
        return self.frame_lengths(lengths, cast("float | None", settings.get("rate")))

    def _rate(self, rate: float | None) -> float:
        if rate is not None:
            return _checked(rate)
        if self.rate is None:
            raise ValueError("rate=None must be a number > 0; make the transform with it, or give it with the spectrum")
        return self.rate

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        frames, rows = plain_size(features.shape[-1]), features.shape[1]
        if "times" in settings:
            times = _times(settings).clamp(max=frames)
        else:
            rate = cast("float", settings["rate"])
            count = _stretched(frames, rate)
            times = torch.arange(count, device=features.device, dtype=torch.float64) * rate
        stretched = stretch(
            features.flatten(0, 1),
            times if times.dim() == 1 else times.repeat_interleave(rows, dim=0),
            None if lengths is None else lengths.repeat_interleave(rows),
            extended=self.compat == NEWEST,
            graph=graph,
        )
        return stretched.unflatten(0, features.shape[:2])


def _times(settings: dict[str, object]) -> torch.Tensor:
    """Return the times that a time stretch reads at, those of all clips or of each, from the settings of its call."""
    times = settings["times"]
    return cast("torch.Tensor", times[0] if isinstance(times, tuple) else times)


def _checked_times(times: torch.Tensor, spectrum: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Check the times that a time stretch reads at: in frames, float64, on the spectrum's device."""
    batch, frames = (1 if spectrum.dim() == 2 else spectrum.shape[0]), spectrum.shape[-1]
    times = torch.as_tensor(times)
    if times.dim() not in (1, 2) or not times.shape[-1] or (times.dim() == 2 and len(times) != batch):
        raise ValueError(
            f"t_out has shape {tuple(times.shape)}, and must be (frames of the result,), or with a row for each of "
            f"{batch} clips"
        )
    if times.requires_grad:
        raise ValueError("t_out requires a gradient, and none flows to the times of frames; use t_out.detach()")
    times = times.to(spectrum.device, torch.float64)
    filled = times.isinf() & (times > 0) if lengths is not None else torch.zeros_like(times, dtype=torch.bool)
    wrong = times[~((times >= 0) & (times < frames)) & ~filled]
    if wrong.numel():
        raise ValueError(
            f"t_out={float(wrong[0]):g} must lie in the spectrum, from 0 to below its {frames} frames"
            + ("; math.inf fills up a row of few times" if lengths is not None else "")
        )
    if bool((times.diff() < 0).any()):
        warn_caller("t_out goes back in time, where a phase vocoder's phases do not fit; give times in ascending order")
    return times


def _stretched(frames: int, rate: float) -> int:
    """Return the frames that a spectrum of so many has after stretching, the quotient upwards.

    What is exported counts in integers: ONNX would divide in float32, and 78 / 1.3 be more than 60.

    >>> _stretched(78, 1.3)
    60
    """
    if is_exporting():
        parts = Fraction(rate).limit_denominator(10**9)
        return ceil_divided(frames * parts.denominator, parts.numerator)
    return math.ceil(frames / rate)


def _checked(rate: float) -> float:
    if not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"rate={rate!r} must be a number > 0: 2.0 is twice as fast")
    return float(rate)
