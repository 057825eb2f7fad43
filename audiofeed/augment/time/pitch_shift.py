"""PitchShift: a clip at another pitch, as long as before."""

from __future__ import annotations

import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.time.resampling import Grid, resampled, resampled_batch, weights
from audiofeed.augment.time.stretching import frame_of, stretched

# the ratio of frequencies is a multiple of 1 / _PERIOD: within 3.5 cents of any, an octave down, and 1.8 near 1
_PERIOD = 500
# samples of frames that are computed at once on a device
_AT_ONCE = 2**24


class PitchShift(Augmentation):
    """Augmentation that shifts the pitch of each clip by an interval drawn for it; its length and its times stay.

    A clip is stretched by a phase vocoder (frames of about 64 ms, phases locked about peaks, onsets kept) and resampled
    to its length by a windowed sinc. The ratio of frequencies is a multiple of 1/500: the pitch is within 3.5 cents of
    what is drawn an octave down, and within 1.8 near 0. A steady tone keeps its level, and what is beside it is 80 dB
    down; a click stays within 2 ms of its place up to 4 semitones; noise comes out 2 to 6 dB softer. Formants move with
    the pitch, as they do in librosa and torchaudio. Each clip of a batch has an interval of its own.

    The gradient takes the vocoder's turns of phases as given: it is that of a linear filter.

    Args:
        semitones: Range of the interval, uniform, above 0 for higher, -12 to 12; or one number.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, or a `p` that is no probability; when called without a sample rate.

    >>> tone = torch.sin(0.1 * torch.arange(8000.0))[None]
    >>> higher = PitchShift(12)(tone, sample_rate=16_000)
    >>> crossings = lambda clip: int((clip[:, 1:] * clip[:, :-1] < 0).sum())
    >>> higher.shape, crossings(tone), crossings(higher)
    (torch.Size([1, 8000]), 254, 509)
    """

    follows = True

    def __init__(self, semitones: float | Range = (-4.0, 4.0), p: float = 1.0) -> None:
        super().__init__(p)
        self.semitones = check_range("semitones", semitones, "semitones", -12.0, 12.0)
        low, high = (round(_PERIOD * 2 ** (limit / 12)) for limit in self.semitones)
        self._limits = (low, high)
        self._grid = Grid.of(_PERIOD)

    def extra_repr(self) -> str:
        """Show the range of this augmentation."""
        return ", ".join(part for part in (shown("semitones", self.semitones), super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's interval of each clip, semitones, float64 (batch,)."""
        return draws.uniform(*self.semitones)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Shift the pitch of the active clips of this augmentation."""
        if clips.waveforms.dtype.itemsize < 4:
            # no FFT of such
            wide = self.change(clips.with_values(waveforms=clips.waveforms.float()), active, draws)
            return clips.put(active, wide.waveforms)
        grid, n_fft = self._grid, frame_of(clips.rate(self))
        steps = (_PERIOD * 2.0 ** (self.drawn(draws) / 12)).round().long().clamp(*self._limits)
        changes = active & (steps != _PERIOD)
        if may_look(clips):
            own = steps.tolist()
            kernels: dict[tuple[int, int], torch.Tensor] = {}

            def one(row: int, waveform: torch.Tensor) -> torch.Tensor:
                flat = waveform if waveform.dim() == 2 else waveform[None]
                n, step = flat.shape[-1], own[row]
                # beyond its end, what the last samples' filters take in
                length = -(-n * step // _PERIOD) + grid.reach(step)
                longer = stretched(flat[None], steps[row : row + 1].double() / _PERIOD, length, n_fft)[0]
                key = step, grid.needed(n)
                if key not in kernels:
                    kernels[key] = weights(steps[row : row + 1], grid, *key)[0]
                return resampled(longer, step, grid, kernels[key].to(waveform.dtype))[:, :n].view(waveform.shape)

            return changed_rows(clips, changes & (clips.lengths > 0), one)
        flat = clips.waveforms.reshape(clips.batch, -1, clips.size)
        length = -(-clips.size * self._limits[1] // _PERIOD) + grid.reach(self._limits[1])
        rows = max(1, _AT_ONCE // (flat.shape[1] * 4 * (length + n_fft)))
        shifted = [
            resampled_batch(
                stretched(part, step.double() / _PERIOD, length, n_fft), step, grid, self._limits, clips.size
            )
            for part, step in zip(flat.split(rows), steps.split(rows), strict=True)
        ]
        return clips.put(changes, torch.cat(shifted).view(clips.waveforms.shape))
