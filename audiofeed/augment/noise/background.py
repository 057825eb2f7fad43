"""AddBackground: sounds of another dataset behind the clips, at a ratio to each clip's own power."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation, Fetch, check_read
from audiofeed.augment.contract.by_group import changed_groups
from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.contract.rows import powers
from audiofeed.augment.contract.sounds import (
    as_float,
    check_rate,
    check_sounds,
    cut,
    in_channels,
    read_bank,
    read_piece,
    warn_of_faults,
)
from audiofeed.augment.kernels.background import Pieces, background_step
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.methods.lengths import length_mask

Short = Literal["repeat", "pad"]
# Mean power (-240 dB) below which a sound is silence: float32 has no digits left for the squares of its samples.
_SILENCE = 1e-24


class Choice(NamedTuple):
    """What `AddBackground`, an augmentation, draws for the clips of a batch, (batch,) each.

    Args:
        sound: int64, which sound.
        place: float64, 0 to 1, where it is cut, or where it begins to be repeated.
        epoch: int64, draws the dataset's own crop; None where nothing is read.
        snr_db: float64, ratio of the powers.
    """

    # tensors, of `HostDraws` arrays
    sound: Any
    place: Any
    epoch: Any
    snr_db: Any

    @classmethod
    def of(cls, draws: Draws, count: int, snr_db: Range, *, reads: bool = True) -> Choice:
        """Draw the choice of the augmentation from as many sounds as there are, to read them or not."""
        sound, place = draws.integers(count), draws.uniform()
        epoch = None
        if reads:
            epoch = (draws.bits()[:, 0] >> 2) & ((1 << 61) - 1)
        else:
            draws.skip()
        return cls(sound, place, epoch, draws.uniform(*snr_db))


class AddBackground(Augmentation):
    """Augmentation that adds a sound of another dataset to each clip, at a drawn ratio to the clip's power.

    Which sound (each as likely as the other), where it is cut and the ratio follow from the clip's seed. The ratio is
    kept exactly: both powers are those over the clip's own samples and channels, never over padding.
    (torch-audiomentations measures the padded row: 10 dB asked of a clip in a batch padded to eight times its length
    are 19 dB there.) Silence, as a clip or as a background, has no ratio, and adds nothing. The gradient takes in that
    a louder clip is given a louder background.

    The sounds are read in two ways. By default (`keep=None`) where the batch is made, in the DataLoader's worker:
    folders of any size begin at once and take no memory, each clip costs the decoding of a piece as long as itself,
    however long the file is, and the batch carries the pieces to the device. With `keep="device"` all sounds are held
    in one block on the device: nothing is read in training, which is faster for collections of up to some GB. Both
    give the same clips. What is left out by `p` is not read; left out by `Sometimes` or `OneOf` it is, so set `p` here.

    Args:
        dataset: Where the sounds come from: an `AudioFolder`, an `AudioManifest`, their parts by `select`, torch's
            Subset or ConcatDataset of them, or any indexed dataset of `AudioExample`s, (waveform, sample_rate) tuples
            or tensors (which are taken to have the clips' rate). Its own `on_error` says what becomes of an unreadable
            file: an error that names it, or another sound in its place, and the file in `batch.faults`.
        snr_db: Range of the ratio of the clip's power to the background's, dB, uniform; or one number.
        short: What becomes of a background shorter than its clip: "repeat" repeats it from a drawn sample on; "pad"
            puts it anywhere in the clip, once, with its power still measured over the whole clip.
        keep: None reads in the worker; "device" holds all sounds on the device, of a random crop the one of epoch 0.
        keep_gb: GB (10^9 bytes) that `keep="device"` may take, above 0.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        TypeError: `dataset` has no length or is not indexed, as a path; or an item is of no known form.
        ValueError: An argument is out of range, the dataset is empty, or the sounds take more than `keep_gb`; when
            called, the sounds have another sample rate than the clips.
        AudioReadError: A file cannot be read, under the dataset's `on_error="raise"`.

    >>> clip = torch.ones(1, 8000)
    >>> rain = [torch.linspace(-1, 1, 3000)]
    >>> background = AddBackground(rain, 10.0, keep="device")(clip, seeds=torch.tensor([5])) - clip
    >>> round((background.square().mean() * 10).item(), 3)
    1.0
    """

    def __init__(
        self,
        dataset: Any,
        snr_db: float | Range = (3.0, 30.0),
        *,
        short: Short = "repeat",
        keep: Literal["device"] | None = None,
        keep_gb: float = 1.0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        check_sounds("dataset", dataset)
        self.snr_db = check_range("snr_db", snr_db, "dB")
        check_choice("short", short, ("repeat", "pad"))
        if keep not in (None, "device"):
            raise ValueError(
                f"keep={keep!r} must be None, to read in the worker, or 'device', to hold all sounds there"
            )
        self.keep_gb = check_range("keep_gb", keep_gb, "GB", 0.0, open_low=True)[1]
        self.short: Short = short
        self.keep, self.count = keep, len(dataset)
        self.dataset = dataset if keep is None else None
        self.sample_rate = None
        for name in ("samples", "begins", "counts"):
            self.register_buffer(name, None, persistent=False)
        if keep is not None:
            bank = read_bank(dataset, type(self).__name__, self.keep_gb)
            self.samples, self.begins, self.counts = bank[:3]
            self.sample_rate = bank.sample_rate
            warn_of_faults(type(self).__name__, bank.faults)

    def extra_repr(self) -> str:
        """Show the sounds and the ranges of this augmentation."""
        own = [f"{self.count} sounds", shown("snr_db", self.snr_db)]
        own += [f"short={self.short!r}"] * (self.short != "repeat") + [f"keep={self.keep!r}"] * (self.keep is not None)
        return ", ".join(part for part in (*own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> Choice:
        """Draw this augmentation's sound, place and ratio for each clip."""
        return Choice.of(draws, self.count, self.snr_db, reads=self.keep is None)

    def fetcher(self) -> Fetch | None:
        """Return what reads this augmentation's sounds in a worker; None where they are held on the device."""
        if self.keep is not None:
            return None
        return FetchBackgrounds(self.dataset, self.count, self.short, self.p, self.stream)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Add this augmentation's sounds to the active clips, by a kernel."""
        held = self.keep is not None
        # the dataset's own crop was drawn where the sounds were read
        choice = Choice.of(draws, self.count, self.snr_db, reads=False)
        if held:
            check_rate(self, clips.sample_rate, self.sample_rate, _REMEDY)
        fetched = {} if held else self._fetched(clips)
        channels = 1 if clips.waveforms.dim() == 2 else clips.waveforms.shape[1]
        # numpy takes a fifth of torch's time for so few numbers
        lengths = clips.lengths.numpy()[rows]
        if held:
            pieces = self._pieces_of_bank(lengths, choice, rows, channels)
        else:
            pieces = _pieces_of_read(lengths, fetched, rows, channels)
        if pieces is None:
            one = self._sound_of(clips, choice, fetched)
            own = None if clips.waveforms.dim() == 2 else channels
            pieces = Pieces.of([in_channels(one(row), own) for row in rows.tolist()], channels)
        return None if pieces is None else background_step(rows, pieces, 10.0 ** (-choice.snr_db / 10), _SILENCE)

    def _pieces_of_bank(self, lengths: np.ndarray, choice: Choice, rows: np.ndarray, channels: int) -> Pieces | None:
        """Return this augmentation's sounds as they lie in the bank; None where one is shorter than its clip."""
        which = choice.sound[rows]
        spare = self.counts.numpy()[which] - lengths
        if not len(rows) or spare.min() < 0 or self.samples.shape[0] not in (1, channels):
            return None
        place = (choice.place[rows] * (spare + 1)).astype(np.int64)
        return Pieces.at(self.samples, self.begins.numpy()[which] + np.minimum(place, spare))

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Add this augmentation's sounds to the active clips."""
        choice = self.drawn(draws)
        held = self.keep is not None
        if held:
            check_rate(self, clips.sample_rate, self.sample_rate, _REMEDY)
        fetched = {} if held else self._fetched(clips)
        if may_look(clips):
            return self._by_groups(clips, active, choice, fetched)
        sound = self._held(clips, choice) if held else _wrapped(fetched, clips.size)
        waveforms = clips.waveforms
        own = as_float(in_channels_of_rows(sound, waveforms)).to(waveforms.dtype)
        within = length_mask(clips.size, clips.lengths)
        own = torch.where(within.view(clips.batch, *[1] * (own.dim() - 2), -1), own, 0)
        return clips.put(active, _mixed(waveforms, own.expand_as(waveforms), clips.lengths, choice.snr_db))

    def _by_groups(self, clips: Clips, active: torch.Tensor, choice: Choice, fetched: dict[str, Any]) -> Clips:
        """Add this augmentation's sounds to clips whose lengths may be looked at."""
        one, lengths = self._sound_of(clips, choice, fetched), clips.lengths.tolist()
        channels = None if clips.waveforms.dim() == 2 else clips.waveforms.shape[1]

        def some(rows: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
            sounds = torch.zeros_like(waveforms, requires_grad=False)
            for own, row in zip(sounds, rows.tolist(), strict=True):
                sound = in_channels(one(row), channels)
                # integers stay at their scale, which the ratio takes out
                own[..., : lengths[row]] = sound[0] if channels is None else sound
            return _mixed(waveforms, sounds, clips.lengths[rows], choice.snr_db[rows])

        return changed_groups(clips, active, some)

    def _sound_of(self, clips: Clips, choice: Choice, fetched: dict[str, Any]) -> Callable[[int], torch.Tensor]:
        """Return a function that gives this augmentation's sound for a row, (channel, samples), as long as its clip."""
        lengths, which, place = clips.lengths.tolist(), choice.sound.tolist(), choice.place.tolist()
        if self.keep is None:
            read, place_of = fetched["lengths"].tolist(), fetched["rows"].tolist()
        else:
            begins, counts = self.begins.tolist(), self.counts.tolist()

        def one(row: int) -> torch.Tensor:
            if self.keep is None:
                sound = fetched["sounds"][place_of[row], :, : read[row]]
                return _fitted(sound, lengths[row], 0.0, "repeat")
            sound = self.samples[:, begins[which[row]] : begins[which[row]] + counts[which[row]]]
            return _fitted(sound, lengths[row], place[row], self.short)

        return one

    def _fetched(self, clips: Clips) -> dict[str, Any]:
        fetched = clips.fetched
        if fetched is None:
            # called outside of a collate: read here and now
            fetch = self.fetcher()
            assert fetch is not None
            channels = clips.waveforms.shape[1] if clips.waveforms.dim() == 3 else None
            fetched = fetch(clips.seeds.cpu(), clips.lengths.cpu(), clips.sample_rate, channels)
            warn_of_faults(type(self).__name__, fetched["faults"])
            device = clips.waveforms.device
            fetched = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in fetched.items()}
        check_read(self, fetched["p"])
        return dict(fetched)

    def _held(self, clips: Clips, choice: Choice) -> torch.Tensor:
        """Return this augmentation's sounds from the bank for clips of any length, (batch, channel, size)."""
        begin, count = self.begins[choice.sound][:, None], self.counts[choice.sound][:, None]
        length, place = clips.lengths[:, None], choice.place[:, None]
        t = torch.arange(clips.size, device=length.device)[None]
        spare = count - length
        start = torch.minimum((place * (spare + 1)).long(), spare)
        if self.short == "repeat":
            at = torch.where(spare >= 0, start + t, ((place * count).long() + t) % count)
            sounding = None
        else:
            before = torch.minimum((place * (1 - spare)).long(), -spare)
            at = torch.where(spare >= 0, start + t, t - before)
            sounding = (at >= 0) & (at < count)
        # past the clip's own end anything will do
        found = self.samples[:, begin + torch.minimum(at.clamp_min(0), count - 1)]  # (channel, batch, size)
        if sounding is not None:
            found = torch.where(sounding, found, 0)
        return found.transpose(0, 1)


_REMEDY = "give the dataset the clips' rate, audiofeed.AudioFolder(..., sample_rate=16000)"


def in_channels_of_rows(sounds: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
    """Return the sounds of an augmentation in the shape of the clips, their channels averaged where they differ.

    Args:
        sounds: (batch, channel, time).
        waveforms: (batch, [channel,] time).

    >>> in_channels_of_rows(torch.ones(2, 2, 5), torch.ones(2, 5)).shape
    torch.Size([2, 5])
    """
    if waveforms.dim() == 2:
        return sounds[:, 0] if sounds.shape[1] == 1 else as_float(sounds).mean(1)
    return sounds if sounds.shape[1] in (1, waveforms.shape[1]) else as_float(sounds).mean(1, keepdim=True)


def _mixed(waveforms: torch.Tensor, sounds: torch.Tensor, lengths: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Add sounds to an augmentation's clips at a ratio of powers; both are 0 past the lengths."""
    signal, noise = powers(waveforms, lengths), powers(sounds, lengths)
    heard = (signal > _SILENCE) & (noise > _SILENCE)
    # of silence there is no ratio, and the square root has no gradient
    ratio = torch.where(heard, signal, 1.0) / torch.where(heard, noise, 1.0)
    gain = torch.where(heard, (ratio * 10.0 ** (-snr_db / 10)).sqrt(), 0.0).to(waveforms.dtype)
    return torch.addcmul(waveforms, sounds, gain.view(-1, *[1] * (waveforms.dim() - 1)))


def _fitted(sound: torch.Tensor, samples: int, place: float, short: Short) -> torch.Tensor:
    """Return a sound of an augmentation as long as asked for: cut, repeated or padded at its place."""
    count = sound.shape[-1]
    if count >= samples:
        return cut(sound, samples, place)
    if short == "repeat":
        phase = min(int(place * count), count - 1)
        if phase:
            sound = torch.cat([sound[..., phase:], sound[..., :phase]], -1)
        return sound.repeat(1, -(-samples // count))[..., :samples]
    before = min(int(place * (samples - count + 1)), samples - count)
    return torch.nn.functional.pad(sound, (before, samples - count - before))


def _pieces_of_read(lengths: np.ndarray, fetched: dict[str, Any], rows: np.ndarray, channels: int) -> Pieces | None:
    """Return sounds that were read for an augmentation where they lie; None where one is shorter than its clip."""
    sounds = fetched["sounds"]
    if not len(rows) or sounds.shape[1] not in (1, channels) or (fetched["lengths"].numpy()[rows] < lengths).any():
        return None
    return Pieces.rows_of(sounds, fetched["rows"].numpy()[rows])


def _wrapped(fetched: dict[str, Any], size: int) -> torch.Tensor:
    """Return sounds that were read for an augmentation, repeated where a clip has become longer since."""
    sounds, lengths = fetched["sounds"][fetched["rows"]], fetched["lengths"][:, None, None]
    at = torch.arange(size, device=lengths.device) % lengths
    return sounds.gather(-1, at.expand(-1, sounds.shape[1], -1))


@dataclass(frozen=True)
class FetchBackgrounds:
    """Reads the sounds of `AddBackground`, an augmentation, in a worker: of each file the piece that is needed.

    Args:
        dataset: The sounds.
        count: Their number.
        short: What becomes of a sound shorter than its clip.
        p: Probability that a clip is augmented; nothing is read for the others.
        stream: Name of the augmentation, by which it draws.
    """

    dataset: Any
    count: int
    short: Short
    p: float
    stream: str

    def __call__(
        self, seeds: torch.Tensor, lengths: torch.Tensor, rate: int | None, channels: int | None
    ) -> dict[str, Any]:
        """Read the sounds of an augmentation for the clips of a batch.

        Args:
            seeds: Of the clips, (batch,).
            lengths: Of the clips in samples, (batch,).
            rate: Of the clips, Hz.
            channels: Of the clips; None: they have no such axis.

        Returns:
            `sounds` (read, channel, time), `rows` (batch,) of the sound of each clip, `lengths` (batch,), `p`, and
            `faults`.

        Raises:
            ValueError: A sound has another rate than the clips.
        """
        draws = Draws(seeds, self.stream)
        wanted = draws.chosen(self.p).tolist()
        choice = Choice.of(draws, self.count, (0.0, 0.0))
        assert choice.epoch is not None
        each = zip(
            wanted, choice.sound.tolist(), choice.place.tolist(), choice.epoch.tolist(), lengths.tolist(), strict=True
        )
        rows, found = [0] * len(wanted), list[torch.Tensor]()
        faults: tuple[Any, ...] = ()
        for row, (is_wanted, index, place, epoch, samples) in enumerate(each):
            if not is_wanted:
                continue
            sound = read_piece(self.dataset, index, epoch, samples, place)
            check_rate(self.stream, rate, sound.sample_rate, _REMEDY)
            faults += sound.faults
            rows[row] = len(found)
            found.append(in_channels(_fitted(sound.samples, samples, place, self.short), channels))
        return {
            "sounds": _stacked(found),
            "rows": torch.tensor(rows, device="cpu"),
            "lengths": lengths.clone(),
            "p": self.p,
            "faults": faults,
        }


def _stacked(sounds: list[torch.Tensor]) -> torch.Tensor:
    """Return an augmentation's sounds (channel, time) in one tensor (sounds, channel, time), 0 past their ends."""
    if not sounds:
        return torch.zeros(1, 1, 1, dtype=torch.int16, device="cpu")
    if any(sound.dtype != torch.int16 for sound in sounds):
        sounds = [as_float(sound) for sound in sounds]
    shape = (len(sounds), max(len(sound) for sound in sounds), max(sound.shape[-1] for sound in sounds))
    stacked = torch.zeros(shape, dtype=sounds[0].dtype, device="cpu")
    for row, sound in zip(stacked, sounds, strict=True):
        row[:, : sound.shape[-1]] = sound
    return stacked
