"""ReverbFrom: the rooms of measured impulse responses around the clips."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_group import changed_groups
from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.contract.rows import powers
from audiofeed.augment.contract.sounds import (
    as_float,
    check_rate,
    check_size,
    check_sounds,
    read_sounds,
    warn_of_faults,
)
from audiofeed.augment.filters.long_responses import bank_of, block_size, convolved, spectra_of
from audiofeed.augment.kernels.convolution import KeptRooms
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.methods.lengths import clear_past

# Share of a response's energy (-40 dB) that may be cut off without a word.
_LITTLE = 1e-4
# Clips of a group: an FFT of one row is twice as slow as of several, and of many the spectra leave the cache.
_TOGETHER = 8
_REMEDY = "give the responses' dataset the clips' rate, audiofeed.AudioFolder(..., sample_rate=16000)"


class ReverbFrom(Augmentation):
    """Augmentation that puts each clip into a room, by convolution with an impulse response drawn from a collection.

    The direct sound stays where it is: the peak of a response is lag 0, so that labels in time stay right, and what it
    has before its peak sounds before. The tail beyond the clip's end is cut off. The level is kept: the clip's power,
    over its own samples and channels, is what it was; silence stays silence. The convolution is exact, to float32's
    rounding. (torch-audiomentations, unless told otherwise, leaves the direct sound late by the response's own delay,
    and keeps no level.)

    Responses are held on the device, scaled to 1 at their peaks, which turns one of inverted polarity around. Those of
    several channels are for clips of as many, each channel its own, with one level and one delay for all; of other
    clips every channel hears the response's first channel.

    Args:
        responses: The impulse responses: a tensor (response, time) or (response, channel, time), or any dataset that
            `AddBackground` takes, such as an `AudioFolder`; each is as likely as the other.
        wet: Range of the share of the response in what is heard, 0 (the clip) to 1 (the response alone),
            uniform; or one number. It scales all of the response but its direct sound.
        seconds: What of a response is kept from its peak on, above 0; None: all. The convolution takes longer the
            longer the longest response is. One warning says so where it cuts off more than -40 dB of the energy.
        sample_rate: Hz of responses that do not say it, as tensors; None: that of the clips.
        keep_gb: GB (10^9 bytes) that the responses may take, above 0. If there is room in it for their spectra too,
            these are computed once, else for each batch.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        TypeError: `responses` is no tensor or indexed dataset.
        ValueError: An argument is out of range, a response is silent, `seconds` is given and the rate unknown, or the
            responses take more than `keep_gb`; when called, they have another sample rate than the clips.
        AudioReadError: A file cannot be read, under the dataset's `on_error="raise"`.

    >>> response = torch.zeros(1, 100)
    >>> response[0, 30], response[0, 31] = 0.8, 0.6
    >>> click = torch.zeros(1, 8)
    >>> click[0, 2] = 1.0
    >>> ReverbFrom(response)(click)[0, :5].round(decimals=4).abs()
    tensor([0.0000, 0.0000, 0.8000, 0.6000, 0.0000])
    """

    bank: torch.Tensor | None
    spectra: torch.Tensor | None

    def __init__(
        self,
        responses: Any,
        wet: float | Range = 1.0,
        *,
        seconds: float | None = None,
        sample_rate: int | None = None,
        keep_gb: float = 1.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        name = type(self).__name__
        check_sounds("responses", responses)
        self.wet = check_range("wet", wet, "share", 0.0, 1.0)
        if seconds is not None:
            check_range("seconds", seconds, "seconds", 0.0, open_low=True)
        if sample_rate is not None and (isinstance(sample_rate, bool) or sample_rate < 1):
            raise ValueError(f"sample_rate={sample_rate!r} must be the responses' rate in Hz, 1 or more, or None")
        self.seconds, self.keep_gb = seconds, check_range("keep_gb", keep_gb, "GB", 0.0, open_low=True)[1]
        sounds, rate = read_sounds(responses, name, self.keep_gb)
        if sample_rate is not None and rate is not None and sample_rate != rate:
            raise ValueError(f"sample_rate={sample_rate} Hz, and the responses have {rate} Hz: leave it out")
        self.sample_rate = rate if sample_rate is None else int(sample_rate)
        if seconds is not None and self.sample_rate is None:
            raise ValueError(f"seconds={seconds!r} needs the responses' rate: give sample_rate=, in Hz")
        most = None if seconds is None else max(1, round(seconds * (self.sample_rate or 0)))
        warn_of_faults(name, [fault for sound in sounds for fault in sound.faults])
        for number, sound in enumerate(sounds):
            if not bool(sound.samples.any()):
                raise ValueError(f"item {number} of the responses is silent; remove it")
        several = len({len(sound.samples) for sound in sounds}) > 1
        kept = [as_float(sound.samples[:1] if several else sound.samples) for sound in sounds]
        bank, self.lead, lost = bank_of(kept, most)
        self._warn_of_cut(lost)
        self.count, self.taps, self.size = len(kept), bank.shape[-1], block_size(bank.shape[-1])
        check_size(bank.nbytes, name, self.keep_gb, self.count)
        self._rooms = KeptRooms()
        held = 8 * self.size * bank.shape[0] * bank.shape[1] + bank.nbytes <= self.keep_gb * 1e9
        # as pairs of real numbers, which `.to(dtype)` of a module leaves whole
        spectra = torch.view_as_real(spectra_of(bank, self.size)) if held else None
        self.register_buffer("bank", None if held else bank, persistent=False)
        self.register_buffer("spectra", spectra, persistent=False)

    def _warn_of_cut(self, lost: torch.Tensor) -> None:
        count = int((lost > _LITTLE).sum())
        if count:
            warnings.warn(
                f"{type(self).__name__}'s seconds={self.seconds} cuts off more than -40 dB of the energy of {count} of "
                f"{len(lost)} responses, and up to {10 * float(lost.max().log10()):.1f} dB",
                stacklevel=3,
            )

    def extra_repr(self) -> str:
        """Show the responses and the range of this augmentation."""
        own = [f"{self.count} responses of up to {self.taps} taps", shown("wet", self.wet)]
        return ", ".join(part for part in (*own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> tuple[Any, Any]:
        """Draw this augmentation's response and wet share for each clip, (batch,) each."""
        return draws.integers(self.count), draws.uniform(*self.wet)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Put the active clips into this augmentation's rooms, by a kernel."""
        check_rate(self, clips.sample_rate, self.sample_rate, _REMEDY)
        # the kernel has the spectra once more, in another order
        if self.spectra is None or 2 * self.spectra.nbytes > self.keep_gb * 1e9:
            return None
        rooms = self._rooms.of(self.spectra, self.taps, self.lead, mixes=self.wet != (1.0, 1.0))
        if rooms is None:
            return None
        which, wet = self.drawn(draws)
        channels = 1 if clips.waveforms.dim() == 2 else clips.waveforms.shape[1]
        longest = int(clips.lengths.numpy().max())
        return rooms.step(channels, longest, rows, which, wet)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Put the active clips into this augmentation's rooms."""
        check_rate(self, clips.sample_rate, self.sample_rate, _REMEDY)
        which, wet = self.drawn(draws)
        waveforms, lengths = clips.waveforms, clips.lengths
        if not may_look(clips):
            return clips.put(active, self._in_rooms(waveforms, lengths, which, wet))

        def some(rows: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
            return self._in_rooms(waveforms, lengths[rows], which[rows], wet[rows])

        return changed_groups(clips, active, some, _TOGETHER)

    def _in_rooms(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, which: torch.Tensor, wet: torch.Tensor
    ) -> torch.Tensor:
        spectra = self._spectra(which)
        dry = waveforms.float()
        by_channel = dry if dry.dim() == 3 else dry[:, None]
        if spectra.shape[1] != by_channel.shape[1]:
            spectra = spectra[:, :1]
        found = convolved(by_channel, spectra, self.taps, self.lead).view(dry.shape)
        along = [-1, *[1] * (dry.dim() - 1)]
        if self.wet != (1.0, 1.0):
            found = torch.lerp(dry, found, wet.to(dry.dtype).view(along))
        found = clear_past(found, lengths)
        before, after = powers(dry, lengths), powers(found, lengths)
        heard = (before > 0) & (after > 0)
        # the square root of 0 has no gradient
        gain = (torch.where(heard, before, 1.0) / torch.where(heard, after, 1.0)).sqrt() * heard
        return (found * gain.to(dry.dtype).view(along)).to(waveforms.dtype)

    def _spectra(self, which: torch.Tensor) -> torch.Tensor:
        """Return the spectra of this augmentation's responses of those numbers, (batch, channel, size)."""
        if self.spectra is None:
            assert self.bank is not None
            return spectra_of(self.bank[which].float(), self.size)
        return torch.view_as_complex(self.spectra[which].float())
