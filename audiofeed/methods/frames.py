"""Frames: their number and positions, the samples past the ends of a row, and the pieces computed together."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from audiofeed.methods.lengths import (
    clear_own_past,
    clear_past,
    kept_with,
    of_one_call,
    outside_at,
    past_of,
    runs_of,
)
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import Count, ceil_divided, first_columns
from audiofeed.parallel.launches import AT_ONCE, launches
from audiofeed.parallel.observed import as_long_as_traced, is_exporting, observed, plain_size
from audiofeed.signal.framing import BY_WINDOW, INSIDE, Positions, positions, window_offset

# How many samples of frames one piece may hold. On a CPU 3 MB of float32 are small enough for the cache and large
# enough that the calls it takes do not count: at 400, 1024 and 2048 points pieces of 1 MB took 1.1 to 1.2 times as
# long, of 16 MB 1.2 to 1.7 times. On a GPU a piece only bounds the memory of the intermediates.
CPU_BLOCK = 3 * 2**18
GPU_BLOCK = 2**25

# rows and frames of the result, in the order in which they lie in a piece
Place = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Frame size, hop, placement and padding by which batched waveforms are cut into frames, and what shapes them.

    They are the positions of the frames of a short-time transform.

    Args:
        n_fft: samples of a frame.
        hop_length: samples from frame to frame.
        center: frame f is centered on sample f * hop_length; False: it starts there.
        pad_mode: what stands beyond the ends of a clip: see `arguments.checks.PAD_MODES`.
        placement: where the frames lie, in place of `center`: see `signal.framing`.
        win_length: samples of the window; None: n_fft.
        window_at: "center" or "left" of the frame.
        remove_dc, preemphasis: what shapes a frame before its window: see `frame_shaping`.

    Attributes:
        where: positions of the frames.
        placed: their placement by its name, where `center` alone says it, too.
        margin: samples of the first frame that lie before the first sample of a clip.
        extends: samples of the clip, not zeros, stand beyond its ends.

    >>> Framing(n_fft=400, hop_length=160, center=True, pad_mode="constant").count(16000)
    101
    """

    n_fft: int
    hop_length: int
    center: bool
    pad_mode: str
    placement: str | None = None
    win_length: int | None = None
    window_at: str = "center"
    remove_dc: bool = False
    preemphasis: float = 0.0
    # derived, once
    where: Positions = field(init=False, repr=False, compare=False)
    placed: str = field(init=False, repr=False, compare=False)
    margin: int = field(init=False, repr=False, compare=False)
    extends: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        placed = self.placement or ("center" if self.center else "start")
        where = positions(
            placed,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window_at=self.window_at,
        )
        extends = self.pad_mode != "constant" and placed not in INSIDE
        for name, value in (("where", where), ("placed", placed), ("margin", where.margin), ("extends", extends)):
            object.__setattr__(self, name, value)

    @property
    def shapes(self) -> bool:
        """True if a frame cut from a waveform is changed before its window: see `frame_shaping`."""
        return self.remove_dc or self.preemphasis != 0.0

    @property
    def under_window(self) -> slice:
        """Samples of a frame cut from a waveform that stand under its window."""
        win = self.n_fft if self.win_length is None else self.win_length
        offset = window_offset(self.n_fft, win, self.window_at)
        return slice(offset, offset + win)

    @property
    def least(self) -> int:
        """Samples of a clip from which on a frame cut from it need not see all of it, and more than it."""
        win = self.n_fft if self.win_length is None else self.win_length
        return win if self.placed in BY_WINDOW else self.n_fft

    def count(self, length: Count) -> Count:
        """Return the number of frames that a clip of `length` samples is cut into; 0 for an empty clip.

        The length is an int, or a tensor of them.

        A clip that ends within the first frame is filled up with zeros and has that one frame.
        """
        kept = kept_with(length)
        if kept is None or not isinstance(length, torch.Tensor):
            return self._counted(length)
        if self not in kept:
            kept[self] = of_one_call(self._counted(length))
        found: Count = kept[self]
        return found

    def _counted(self, length: Count) -> Count:
        """Count frames as `count` does, which keeps the count of the clips of one call."""
        if isinstance(length, torch.Tensor) and length.device.type == "cpu" and observed(length) is None:
            # a few numbers, which NumPy counts in a fifth of the time
            some = length.numpy()
            return torch.from_numpy(np.asarray(self.counts(some), dtype=some.dtype))
        # what is added in front of the division is added in one operation, which counts on a GPU
        frames = (self.seen(length) + self._ahead) // self.hop_length
        if not isinstance(frames, torch.Tensor):
            return max(frames, 1) if length > 0 else 0
        if not self.where.left_out and self.hop_length - 1 <= self._ahead < 2 * self.hop_length - 1:
            # one frame of one sample, and one more at most with each: never more frames than samples, 0 of none
            return torch.minimum(frames, length)
        return frames.clamp(min=1) * (length > 0)

    def counts(self, lengths: np.ndarray) -> np.ndarray:
        """Count frames as `count` does, of clips of so many samples.  Shape: any -> the same, int64."""
        left_out = self.where.left_out
        seen = np.maximum(lengths - left_out, 1) if left_out else lengths
        frames = np.maximum((seen + self._ahead) // self.hop_length, 1)
        found: np.ndarray = frames * (lengths > 0)
        return found

    @property
    def _ahead(self) -> int:
        """Samples that are added to those of a clip before its frames are counted by division."""
        return self.where.extra + self.where.more * self.hop_length

    def span(self, count: int) -> int:
        """Return the samples that so many frames take, from the first of one to the last of another.

        >>> Framing(n_fft=400, hop_length=160, center=True, pad_mode="constant").span(3)
        720
        """
        return (count - 1) * self.hop_length + self.n_fft

    def past(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past the last of each clip, of at least one sample, in two or three launches.

        It is `arange(n_frames) >= count(lengths)`, asked of each frame: whether the clip is long enough for it.

        Shape: lengths (rows,) -> (rows, n_frames) bool.

        >>> Framing(n_fft=4, hop_length=2, center=True, pad_mode="constant").past(3, torch.tensor([1, 2, 4])).tolist()
        [[False, True, True], [False, False, True], [False, False, False]]
        """
        # frame f needs this many samples, less what `_ahead` adds and no frame sees
        first, hop = self.hop_length - self._ahead + self.where.left_out, self.hop_length
        if self.where.left_out and 2 * hop - self._ahead <= 1:
            return past_of(n_frames, self.count(lengths))
        # where the samples of a clip were masked, they tell whether the last that a frame needs is one of them
        known = outside_at(lengths, first - 1, hop, n_frames) if first <= 1 else None
        if known is not None:
            return known
        needed = torch.arange(first, first + n_frames * hop, hop, device=lengths.device)
        if first > 1:
            needed[:1].fill_(1)  # an assignment of a number would wait for the device
        return needed > lengths[:, None]

    def pad(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Pad batched waveforms past both ends of each row, so that they can be cut into frames.

        Frame f of each row starts at column f * hop_length.

        Shape: waveform (rows, time), lengths (rows,) or None -> (rows, margin + time + margin), at least n_fft long;
        for a placement other than that of `center`, as many columns as the frames take.
        """
        waveform, lengths = self._seen(waveform, lengths)
        time = waveform.shape[-1]
        if launches(waveform):
            return self._of_frames(self._padded(waveform, lengths), time)
        if lengths is not None:
            waveform = clear_past(waveform, lengths)
        right = self._right(time)
        if self.margin == 0 and right == 0 and not is_exporting():  # which takes shorter clips, too
            return self._of_frames(waveform, time)
        padded = F.pad(waveform, (self.margin, right))
        if self.extends:
            columns, values = self._ends(waveform, lengths)
            padded = padded.scatter(1, columns, values)
        return self._of_frames(padded, time)

    def _padded(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute padded rows to be cut into frames as `pad` does, in few launches."""
        time = waveform.shape[-1]
        margin, reach, right = self.margin, self.where.reach, self._right(time)
        if lengths is None and self.extends and max(margin, reach) < time:
            # where the samples past the ends come from follows from shapes alone
            ends = [beyond(waveform, margin, self.pad_mode, -1), waveform, beyond(waveform, reach, self.pad_mode, 1)]
            if right > reach:
                ends.append(waveform.new_zeros(len(waveform), right - reach))
            return torch.cat(ends, dim=1)
        if margin == 0 and right == 0 and not is_exporting():
            return waveform if lengths is None else clear_past(waveform, lengths)
        # new memory, which may be written to, with a graph, too
        padded = F.pad(waveform, (margin, right))
        if lengths is not None:
            padded = padded.masked_fill_(past_of(padded.shape[1], lengths, first=-margin), 0)
        if self.extends:
            columns, values = self._ends(waveform, lengths)
            padded = padded.scatter_(1, columns, values)
        return padded

    def pad_into(self, workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Pad batched waveforms to be cut into frames, without a graph and in reused memory.

        It is the result of `pad`, in memory that the next call reuses; the same shapes. The samples may be of another
        dtype than the workspace; they are converted, not scaled.
        """
        waveform, lengths = self._seen(waveform, lengths)
        rows, time = waveform.shape
        margin, right = self.margin, self._right(time)
        end = margin + time
        padded = workspace.take("padded", rows, end + right)
        padded[:, margin:end] = waveform
        if self.extends and lengths is None and max(margin, right) < time:
            # a row that is this long fills its frames, and whence the samples past its ends come is plain
            padded[:, :margin] = beyond(waveform, margin, self.pad_mode, -1)
            padded[:, end:] = beyond(waveform, right, self.pad_mode, 1)
            return self._of_frames(padded, time)
        padded[:, :margin] = 0
        padded[:, end:] = 0
        if lengths is not None:
            clear_own_past(padded[:, margin:], lengths)
        if self.extends:
            columns, values = self._ends(waveform, lengths)
            padded.scatter_(1, columns, values.to(padded.dtype))
        return self._of_frames(padded, time)

    def padded_runs(
        self, workspace: Workspace, waveform: torch.Tensor, lengths: torch.Tensor | None
    ) -> Iterator[tuple[slice, int, torch.Tensor]]:
        """Yield padded waveforms in runs of rows that have the same number of frames.

        Each item is (rows, frames of each, their padded samples).

        Where the lengths are known without asking a GPU, each row is cut to its own, so that nothing is computed of its
        padding. A run is to be used up before the next is asked for: both lie in the same memory.

        Shape: waveform (rows, time), lengths (rows,) or None -> samples (rows of the run, padded time).
        """
        rows, time = waveform.shape
        count = self.count(time)
        step = max(1, self.piece(waveform.device) // count)
        if lengths is None or lengths.device.type != "cpu":
            for first in range(0, rows, step):
                run = slice(first, min(first + step, rows))
                own = None if lengths is None else lengths[run]
                yield run, count, self.pad_into(workspace, waveform[run], own)
            return
        for run, length in runs_of(lengths.tolist(), lambda _: step):
            yield run, self.count(length), self.pad_into(workspace, waveform[run, :length], None)

    def piece(self, device: torch.device) -> int:
        """Return the number of frames that are computed together, as one piece."""
        return max(1, (CPU_BLOCK if device.type in AT_ONCE else GPU_BLOCK) // self.n_fft)

    def padded_length(self, time: int) -> int:
        """Return how many columns padded rows of `time` samples have before those of no frame are left out."""
        return self.margin + time + self._right(time)

    def row_parts(self, padded: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        """Split padded rows into as many as are cut into frames and computed together: on a GPU, in few launches.

        Shape: (rows, padded time), each of `count` frames -> each (some rows, padded time).
        """
        rows, most = len(padded), max(1, self.piece(padded.device) // count)
        return (padded,) if rows <= most else padded.split(ceil_divided(rows, ceil_divided(rows, most)))

    def fits(self, waveform: torch.Tensor) -> bool:
        """Return whether the frames of a row are one piece on a GPU, so that it is computed in few launches."""
        return launches(waveform) and self.count(waveform.shape[-1]) <= self.piece(waveform.device)

    def _right(self, time: int) -> int:
        """Return the samples to pad after the last of a clip, so that its frames are filled.

        They are those that a frame reaches past the end, and more if a frame would not be filled.
        """
        return max(self.where.reach, self.n_fft - self.margin - time)

    def seen(self, length: Count) -> Count:
        """Return the samples of a clip that its frames look at: for most placements, all.  Shape: any -> the same."""
        if not self.where.left_out:
            return length
        left = length - self.where.left_out
        return left.clamp(min=1) if isinstance(left, torch.Tensor) else max(left, 1)

    def _seen(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return batched waveforms and their lengths without the samples that no frame looks at."""
        if not self.where.left_out:
            return waveform, lengths
        return first_columns(waveform, self.seen(waveform.shape[-1])), None if lengths is None else self.seen(lengths)

    def _of_frames(self, padded: torch.Tensor, time: int) -> torch.Tensor:
        """Return the columns of padded waveforms that belong to frames, where the placement leaves any others.

        Shape: (rows, columns) -> (rows, columns of the frames), a view.
        """
        if self.placed in ("center", "but_last_sample", "start"):
            return padded
        return first_columns(as_long_as_traced(padded), self.span(self.count(plain_size(time))))

    def _ends(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the columns to pad at both ends of each row's own samples before framing, with their values.

        These are the padded columns just before and just after the samples.

        Shape: waveform (rows, time) -> two of (rows, margin + reach).
        """
        rows, time = waveform.shape
        if launches(waveform):
            return self._few_ends(waveform, lengths)
        before = torch.arange(self.margin, device=waveform.device) - self.margin
        after = torch.arange(self.where.reach, device=waveform.device)
        ends = torch.full((1, 1), time, device=waveform.device) if lengths is None else lengths[:, None]
        places = torch.cat([before.expand(ends.shape[0], -1), ends + after], dim=1)
        source = mirrored(places, ends, self.pad_mode).expand(rows, -1)
        return (places + self.margin).expand(rows, -1), waveform.gather(1, source)

    def _few_ends(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `_ends` returns, in few launches: the places are counted in padded columns from the start."""
        rows, time = waveform.shape
        margin, reach = self.margin, self.where.reach
        steps = torch.arange(margin + reach, device=waveform.device)
        ends = torch.full((1, 1), time, device=waveform.device) if lengths is None else lengths[:, None]
        places = torch.cat([steps[:margin].expand(len(ends), -1), steps[margin:] + ends], dim=1)
        if self.pad_mode in ("reflect", "symmetric"):
            # a triangle wave over the distance from the last sample: up to it and back again
            twice = int(self.pad_mode == "symmetric")
            period = (2 * (ends - (1 - twice))).clamp(min=1)
            folded = torch.remainder(places - margin, period)
            source = torch.minimum(folded, (period - twice) - folded)
        else:
            source = mirrored(places - margin, ends, self.pad_mode)
        return places.expand(rows, -1), waveform.gather(1, source.expand(rows, -1))

    def cut(self, padded: torch.Tensor) -> torch.Tensor:
        """Cut padded waveforms into all of their overlapping frames as a view, no copy.

        Shape: (rows, padded time) -> (rows, frames, n_fft).
        """
        return padded.unfold(-1, self.n_fft, self.hop_length)


def beyond(waveform: torch.Tensor, size: int, pad_mode: str, side: int) -> torch.Tensor:
    """Return what stands before (side -1) or after (side 1) rows that are cut into frames, of fewer samples than they.

    Shape: (rows, time) -> (rows, size).

    >>> x = torch.tensor([[1, 2, 3]])
    >>> beyond(x, 2, "reflect", -1).tolist(), beyond(x, 2, "circular", 1).tolist()
    ([[3, 2]], [[1, 2]])
    """
    time = waveform.shape[-1]
    if pad_mode == "replicate":
        end = waveform[:, :1] if side < 0 else waveform[:, time - 1 :]
        return end.expand(-1, size)
    if pad_mode == "circular":
        return waveform[:, time - size :] if side < 0 else waveform[:, :size]
    left_out = int(pad_mode == "reflect")
    if side < 0:
        return waveform[:, left_out : left_out + size].flip(-1)
    return waveform[:, time - left_out - size : time - left_out].flip(-1)


def mirrored(positions: torch.Tensor, length: torch.Tensor, pad_mode: str) -> torch.Tensor:
    """Return the index of the sample that pads each position past the ends of a row cut into frames.

    The position lies outside 0..length-1, at any distance; the modes are as numpy.pad defines them.

    >>> mirrored(torch.tensor([-2, -1, 3, 4]), torch.tensor(3), "reflect").tolist()
    [2, 1, 1, 0]
    """
    if pad_mode == "replicate":
        return torch.minimum(positions.clamp(min=0), length - 1)
    if pad_mode == "circular":
        return torch.remainder(positions, length)
    # reflection without the end sample repeats every 2 (length - 1) samples, with it every 2 length; a single sample
    # repeats itself
    twice = int(pad_mode == "symmetric")
    period = (2 * (length - 1 + twice)).clamp(min=1)
    folded = torch.remainder(positions, period)
    return torch.where(folded < length, folded, period - twice - folded)


def mirrored_ends(
    own: tuple[int, ...], n_before: int, n_after: int, starts: tuple[int, ...], margin: int, pad_mode: str
) -> np.ndarray:
    """Return the index of each sample in copies of the beginnings and ends of rows that are cut into frames.

    A beginning is from `margin` samples before the row on, an end from its start on; past the row's ends stand samples
    of it, as `mirrored` says.

    Shape: own, the samples of each row, and starts (rows,) -> (rows, n_before + n_after).

    >>> mirrored_ends((4,), 3, 2, (3,), 1, "reflect").tolist()
    [[1, 0, 1, 3, 2]]
    """
    ends = torch.tensor(own, device="cpu")[:, None]
    before = (torch.arange(n_before, device="cpu") - margin).expand(len(own), -1)
    after = torch.tensor(starts, device="cpu")[:, None] + torch.arange(n_after, device="cpu")
    return mirrored(torch.cat([before, after], dim=1), ends, pad_mode).numpy()


# for batches of one length, which come again; some 10 kB each
mirrored_ends_of_one = functools.lru_cache(maxsize=16)(mirrored_ends)
