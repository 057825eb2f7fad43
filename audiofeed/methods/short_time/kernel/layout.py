"""Memory layout of frames for a kernel: addresses of the samples, of copied ends, and of the results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import ALIGNED, FilterBank
from audiofeed.methods.frame_steps import Affine, Closing
from audiofeed.methods.frames import Framing, Place, mirrored_ends, mirrored_ends_of_one
from audiofeed.methods.short_time.kernel import address_check, jit
from audiofeed.methods.short_time.kernel.extents import extent_of, extent_of_one, tiles_of, tiles_of_equal
from audiofeed.methods.short_time.kernel.frame_kernel import (
    CLOSING_FIELDS,
    ROW,
    ROW_BEGINNING,
    ROW_COUNT,
    ROW_END,
    ROW_FIRST_END,
    ROW_FIRST_INSIDE,
    ROW_INSIDE,
    TILE_FIRST,
    TILE_OUT,
    TILE_ROW,
    KernelSpec,
    loaded,
)
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.waveform.pre_emphasis import Emphasis, pre_emphasize
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.kept_memory import kept_empty

# a piece of the frames: their rows and numbers, and their values
FramePiece = tuple[list[Place], torch.Tensor]
# tables of tiles are kept for the next batch up to so many frames
FEW_FRAMES = 1 << 15
# how many times as many frames one piece holds as with an FFT, which has the frames and their spectra in cache beside
WIDER = 3
# named wherever a tensor is made: a user may have set another default
CPU = torch.device("cpu")


class Tail(NamedTuple):
    """What kernels do with values at the end of their memory layout: shifts and scales, a logarithm, and others."""

    before: tuple[Affine, ...] = ()
    log: Log | None = None
    after: tuple[Affine, ...] = ()

    def table(self, n_values: int) -> np.ndarray:
        """Return the constants of shifts and scales as a kernel reads them, float32.  Shape: -> (n, n_values, 2)."""
        steps = (*self.before, *self.after)
        found = np.empty((len(steps), n_values, 2), np.float32)
        for i, step in enumerate(steps):
            found[i, :, 0], found[i, :, 1] = step.add.numpy(), step.divide.numpy()
        return found


NO_TAIL = Tail()


class FrameLayout:
    """Memory layout of the frames of rows for kernels, and the calls of kernels that compute them.

    A frame lies inside its row, or in a copy of the row's beginning or end that the pad mode extends. The methods that
    compute return None if LLVM cannot compile the kernel; what they return is 0 past the frames of each row, but for
    pieces.
    """

    def __init__(
        self,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        framing: Framing,
        window: torch.Tensor,
        lanes: int,
        emphasis: Emphasis | None = None,
    ) -> None:
        self.waveform = waveform if waveform.stride(-1) == 1 else waveform.contiguous()
        self.framing, self.lanes, self._emphasis = framing, lanes, emphasis
        self._dropped = 0 if emphasis is None else emphasis.dropped
        self._time = waveform.shape[-1] - self._dropped
        weights = window.detach().numpy()
        self.under = self._reach(weights)
        self.loaded = loaded(self.under.stop - self.under.start, lanes)
        self.counts = self._lay_out(lengths)
        self.window = self._windows(weights)

    @property
    def margin(self) -> int:
        """Samples of frame 0 that a kernel reads and that lie before the clip; below 0 where it begins inside."""
        return self.framing.margin - self.under.start

    def _reach(self, window: np.ndarray) -> slice:
        """Return the samples of a frame that a kernel reads: those under the window, or all if it trained beyond."""
        under = self.framing.under_window
        beyond = under.stop - under.start < len(window) and not self.framing.shapes
        reaches = beyond and (window[: under.start].any() or window[under.stop :].any())
        return slice(0, self.framing.n_fft) if reaches else under

    def _windows(self, window: np.ndarray) -> np.ndarray:
        """Return the tables of a window that a kernel reads: its halves, where it reaches, and the share of a mean."""
        size, win = self.loaded, self.under.stop - self.under.start
        out = np.zeros(2 * size + 1, np.float32)
        np.multiply(window[self.under], np.float32(0.5), out=out[:win])
        out[size : size + win] = 1
        out[-1] = 1 / win
        return out

    def _lay_out(self, lengths: torch.Tensor | None) -> np.ndarray:
        """Lay out the frames of rows in memory for a kernel: fill in the table of rows and copy their ends.

        Returns the frames of each row.
        """
        rows, emphasis = len(self.waveform), self._emphasis
        framing, hop, margin = self.framing, self.framing.hop_length, self.margin
        # the first sample has none before it, which pre-emphasis would need
        begins = margin if emphasis is None or self._dropped else margin + 1
        whole = None if lengths is None else lengths.numpy()
        if whole is None or min(whole.tolist()) == self.waveform.shape[-1]:
            extent = extent_of_one(framing, self._time, margin, begins, self.loaded)
        else:
            own = whole - self._dropped
            extent = extent_of(framing, own, framing.counts(own), margin, begins, self.loaded)
        own, count, first_inside, first_end, n_before, n_after = extent
        copied = self._mirrored if framing.extends else self._with_zeros
        self.own, self.starts = own, first_end * hop - margin
        self.ends = copied(own, n_before, n_after, self.starts)
        if emphasis is not None:  # for what is read before the first frame
            self.ends = np.pad(self.ends, ((0, 0), (1, 0)))
        self.n_before = n_before + (emphasis is not None)
        size, width, row = self.waveform.element_size(), self.ends.shape[1], np.arange(rows)
        self.rows = table = np.empty((rows, len(ROW)), np.int64)
        beginning = self.ends.ctypes.data + (row * width + (emphasis is not None)) * size
        start = row * self.waveform.stride(0) + self._dropped - margin
        table[:, ROW_INSIDE] = self.waveform.data_ptr() + start * size
        table[:, ROW_BEGINNING] = beginning
        table[:, ROW_END] = beginning + (n_before - first_end * hop) * size
        table[:, ROW_FIRST_INSIDE], table[:, ROW_FIRST_END], table[:, ROW_COUNT] = first_inside, first_end, count
        return table[:, ROW_COUNT]

    def _with_zeros(self, own: np.ndarray, n_before: int, n_after: int, starts: np.ndarray) -> np.ndarray:
        """Copy the ends of rows between zeros, for the frames that lie outside in a kernel's memory layout.

        The beginning of each row stands after `margin` zeros, then its end from `starts` on and zeros after that.

        Shape: own and starts (rows,) or (1,) -> (rows, n_before + n_after).
        """
        margin, every, samples = self.margin, slice(None), self.waveform.detach().numpy()
        out = np.zeros((len(samples), n_before + n_after), samples.dtype)
        find = self._emphasized if self._emphasis is not None else lambda rows, start, stop: samples[rows, start:stop]
        same = len(own) == 1
        for row, (length, start) in enumerate(zip(own.tolist(), starts.tolist(), strict=True)):
            some = every if same else slice(row, row + 1)
            to = out[some]
            n = min(length, n_before - margin) if n_before else 0
            if n > 0:
                to[:, margin : margin + n] = find(some, 0, n)
            n = min(length - start, n_after)
            if n > 0 and start >= 0:  # a row that ends before its first frame lies inside has none at its end
                to[:, n_before : n_before + n] = find(some, start, start + n)
        return out

    def _emphasized(self, rows: slice, start: int, stop: int) -> np.ndarray:
        """Return some samples of rows for the copies in a kernel's memory layout, with its pre-emphasis."""
        assert self._emphasis is not None
        samples = self.waveform.detach()[rows]
        begin = max(start + self._dropped - 1, 0)
        some = samples[:, begin : stop + self._dropped]
        found = torch.sub(some[:, 1:], some[:, :-1], alpha=self._emphasis.coeff)
        return (found if start or self._dropped else torch.cat([self._first_samples()[rows], found], dim=1)).numpy()

    def _first_samples(self) -> torch.Tensor:
        """Return the first sample of each row in memory after pre-emphasis.  Shape: -> (rows, 1)."""
        assert self._emphasis is not None
        coeff, first = self._emphasis
        return pre_emphasize(self.waveform.detach()[:, :2], None, coeff, first)[:, :1]

    def _mirrored(self, own: np.ndarray, n_before: int, n_after: int, starts: np.ndarray) -> np.ndarray:
        """Copy the ends of rows, extended by another pad mode than zeros, for a kernel's memory layout of frames.

        The result is that of `_with_zeros`, with the samples of the pad mode in place of zeros.
        """
        places = self.places(own, n_before, n_after, starts)
        source = torch.from_numpy(places).expand(self.waveform.shape[0], -1)
        if self._dropped:
            source = source + self._dropped
        samples = self.waveform.detach()
        found = samples.gather(1, source)
        if self._emphasis is None:
            return found.numpy()
        found = torch.sub(found, samples.gather(1, (source - 1).clamp_(min=0)), alpha=self._emphasis.coeff)
        return (found if self._dropped else torch.where(source > 0, found, self._first_samples())).numpy()

    def places(self, own: np.ndarray, n_before: int, n_after: int, starts: np.ndarray) -> np.ndarray:
        """Return the samples that stand in the ends of rows in a kernel's memory layout, where a pad mode extends them.

        Shape: own and starts (rows,) or (1,) -> the same rows, n_before + n_after.
        """
        find = mirrored_ends if len(own) > 1 else mirrored_ends_of_one
        return find(tuple(own.tolist()), n_before, n_after, tuple(starts.tolist()), self.margin, self.framing.pad_mode)

    def spectrum(self) -> torch.Tensor | None:
        """Compute the complex spectrum of all frames in a memory layout by a kernel.

        Shape: -> (rows, frames, bins).
        """
        out = self._rows_of(self.framing.n_fft // 2 + 1, torch.complex64)
        return out if self._write_frames(out, self.spec(None)) else None

    def powers(self, power: float, root_offset: float = 0.0, tail: Tail = NO_TAIL) -> torch.Tensor | None:
        """Compute |spectrum|^power, or (|spectrum|^2 + root_offset)^(power / 2), of a memory layout by a kernel.

        A tail is for the powers 1.0 and 2.0 alone.

        Shape: -> (rows, frames, bins).
        """
        out = self._rows_of(self.framing.n_fft // 2 + 1, torch.float32)
        spec = self.spec(1.0 if power == 1.0 else 2.0, root_offset, tail=tail)
        if not self._write_frames(out, spec, tail):
            return None
        return out if power in (1.0, 2.0) else raise_power(out, power)

    def filtered(
        self,
        bank: FilterBank,
        tail: Tail,
        power: float,
        root_offset: float = 0.0,
        width: int = 0,
        closing: Closing | None = None,
    ) -> torch.Tensor | None:
        """Compute filtered powers and their tail (a logarithm) of all frames in a memory layout by a kernel.

        The powers are those of `powers`, 1.0 or 2.0. Past the frames, up to a larger `width`, anything may stand.
        Clips are closed as `closing` says, which is then done.

        Shape: -> (rows, n, frames or width).
        """
        n, frames = bank.filters.shape[0], max(width, self.framing.count(self._time))
        out = kept_empty((self.waveform.shape[0], n, frames), torch.float32)
        tiles = self.tiles()
        tiles[:, TILE_OUT] = out.data_ptr() + 4 * (tiles[:, TILE_ROW] * n * frames + tiles[:, TILE_FIRST])
        spec = self.spec(power, root_offset, filters=True, tail=tail, closing=closing)
        return out if self._run(spec, tiles, out, bank, frames, tail, closing) else None

    def powers_by_bin(
        self, power: float, root_offset: float, tail: Tail, closing: Closing | None = None
    ) -> torch.Tensor | None:
        """Compute the powers 1.0 or 2.0 of `powers` in another memory layout by a kernel, bin by bin.

        Clips are closed as `closing` says, which is then done: by a normalization alone.

        Shape: -> (rows, bins, frames).
        """
        bins, frames = self.framing.n_fft // 2 + 1, self.framing.count(self._time)
        out = kept_empty((self.waveform.shape[0], bins, frames), torch.float32)
        tiles = self.tiles()
        tiles[:, TILE_OUT] = out.data_ptr() + 4 * (tiles[:, TILE_ROW] * bins * frames + tiles[:, TILE_FIRST])
        spec = self.spec(power, root_offset, by_bin=True, tail=tail, closing=closing)
        return out if self._run(spec, tiles, out, None, frames, tail, closing) else None

    def power_pieces(
        self, power: float, workspace: Workspace, root_offset: float = 0.0, *, aligned: bool = False
    ) -> Iterator[FramePiece] | None:
        """Return an iterator over |spectrum|^power (1.0 or 2.0) of a memory layout, some frames at a time, by a kernel.

        `aligned`: each frame begins where a product with filters has it: see `filterbank.ALIGNED`.

        Shape: -> (frames of the piece, bins).
        """
        spec, bins = self.spec(power, root_offset), self.framing.n_fft // 2 + 1
        unit = ALIGNED if aligned else 1
        pitch = -(-bins // unit) * unit
        if jit.kernel(spec) is None:
            return None

        def pieces() -> Iterator[FramePiece]:
            for tiles, starts, count in self._pieces():
                out = workspace.take("powers", -(-count // unit) * unit, pitch)[:count, :bins]
                tiles[:, TILE_OUT] = out.data_ptr() + 4 * pitch * starts
                self._run(spec, tiles, out, stride=pitch)
                yield self._places(tiles, starts, count), out

        return pieces()

    def filtered_pieces(
        self, bank: FilterBank, tail: Tail, power: float, workspace: Workspace, root_offset: float = 0.0
    ) -> Iterator[FramePiece] | None:
        """Return an iterator over filtered powers of a memory layout, some frames at a time, by a kernel.

        These are the results of `filtered`.

        Shape: -> (frames of the piece, n).
        """
        spec, n = self.spec(power, root_offset, filters=True, tail=tail), bank.filters.shape[0]
        if jit.kernel(spec) is None:
            return None

        def pieces() -> Iterator[FramePiece]:
            for tiles, starts, count in self._pieces():
                out = workspace.take("filtered", n, count)
                tiles[:, TILE_OUT] = out.data_ptr() + 4 * starts
                self._run(spec, tiles, out, bank, count, tail)
                yield self._places(tiles, starts, count), out.t()

        return pieces()

    # ---------------------------------------------------------------- tiles

    def _rows_of(self, bins: int, dtype: torch.dtype) -> torch.Tensor:
        frames = self.framing.count(self._time)
        return kept_empty((self.waveform.shape[0], frames, bins), dtype)

    def tiles(self) -> np.ndarray:
        """Return all tiles of a kernel's memory layout, row by row, without the addresses of their results.

        Shape: (tiles, TILE).
        """
        if len(self.counts) * int(self.counts[0]) <= FEW_FRAMES and (self.counts == self.counts[0]).all():
            return tiles_of_equal(len(self.counts), int(self.counts[0]), self.lanes).copy()
        return tiles_of(self.counts, self.lanes)

    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Yield pieces of a kernel's memory layout, of as many frames as stay in cache.

        Each has its tiles (tiles, TILE), the start of each in the piece (tiles,), and the frames of the piece.
        """
        tiles = self.tiles()
        kept = np.minimum(self.counts[tiles[:, TILE_ROW]] - tiles[:, TILE_FIRST], self.lanes)
        step = max(1, WIDER * self.framing.piece(self.waveform.device) // self.lanes)
        for start in range(0, len(tiles), step):
            own = kept[start : start + step]
            ends = np.cumsum(own)
            yield np.ascontiguousarray(tiles[start : start + step]), ends - own, int(ends[-1])

    def _places(self, tiles: np.ndarray, starts: np.ndarray, count: int) -> list[Place]:
        """Return the rows and frames of a piece of a kernel's memory layout, in their order."""
        begins = [0, *(np.flatnonzero(np.diff(tiles[:, TILE_ROW])) + 1).tolist()]
        stops = [*starts[begins[1:]].tolist(), count]
        places = []
        for begin, stop in zip(begins, stops, strict=True):
            row, first = int(tiles[begin, TILE_ROW]), int(tiles[begin, TILE_FIRST])
            places.append((slice(row, row + 1), slice(first, first + stop - int(starts[begin]))))
        return places

    def _write_frames(self, out: torch.Tensor, spec: KernelSpec, tail: Tail = NO_TAIL) -> bool:
        """Fill a tensor with the spectra of a memory layout by a kernel; False if there is no kernel.

        Shape: (rows, frames, bins).
        """
        tiles = self.tiles()
        tiles[:, TILE_OUT] = out.data_ptr() + 4 * spec.n_values * (
            tiles[:, TILE_ROW] * out.shape[1] + tiles[:, TILE_FIRST]
        )
        return self._run(spec, tiles, out, tail=tail)

    def spec(
        self,
        power: float | None,
        root_offset: float = 0.0,
        *,
        filters: bool = False,
        by_bin: bool = False,
        tail: Tail = NO_TAIL,
        closing: Closing | None = None,
    ) -> KernelSpec:
        """Return the spec of the kernel that computes a feature of the memory layout: see `KernelSpec`."""
        log = tail.log
        return KernelSpec(
            n_fft=self.framing.n_fft,
            lanes=self.lanes,
            int16=self.waveform.dtype == torch.int16,
            power=power,
            filters=filters,
            by_bin=by_bin,
            closing=() if closing is None else closing.form,
            floor=None if log is None else log.least,
            factor=1.0 if log is None else log.factor,
            offset=0.0 if log is None else log.offset,
            plus=log is not None and log.kind == "log1p",
            before=len(tail.before),
            after=len(tail.after),
            root_offset=root_offset,
            remove_dc=self.framing.remove_dc,
            preemphasis=self.framing.preemphasis,
            emphasis=0.0 if self._emphasis is None else self._emphasis.coeff,
        )

    def _run(
        self,
        spec: KernelSpec,
        tiles: np.ndarray,
        out: torch.Tensor,
        bank: FilterBank | None = None,
        stride: int = 0,
        tail: Tail = NO_TAIL,
        closing: Closing | None = None,
    ) -> bool:
        """Run a kernel on tiles of a memory layout that have the addresses of their results; False if there is none."""
        kernel = jit.kernel(spec)
        if kernel is None:
            return False
        stride = stride or spec.n_values
        affine = tail.table(spec.n_values if bank is None else bank.filters.shape[0])
        fields = {
            "tiles": tiles.ctypes.data,
            "rows": self.rows.ctypes.data,
            "hop": self.framing.hop_length * self.waveform.element_size(),
            "window": self.window.ctypes.data,
            "window_at": self.under.start,
            "n_loaded": self.loaded,
            "stride": stride,
            "affine": affine.ctypes.data,
            "clear_to": self._clear_to(out) if out.dim() == 3 else 0,
            **spec.numbers,
            **dict.fromkeys(("spans", "weights", "n_filters", *CLOSING_FIELDS), 0),
        }
        if closing is not None:
            n_lines = spec.n_bins if bank is None else bank.filters.shape[0]
            held = self._closing(closing, tiles, n_lines)
            if address_check.ENABLED:
                address_check.check_closing(
                    spec, tiles, self.counts, closing.rows_of_each, n_lines * stride * 4, stride, out, held
                )
            fields |= {name: array.ctypes.data for name, array in held.items()}
            fields |= {"rows_of_each": closing.rows_of_each, "out": out.data_ptr(), **closing.numbers}
        spans = weights = None
        if bank is not None and bank.tiles is not None:
            spans, weights = bank.tiles.spans, bank.filters.detach().numpy().reshape(-1)[bank.tiles.entries]
            fields |= {"spans": spans.ctypes.data, "weights": weights.ctypes.data, "n_filters": spans.shape[1]}
        if address_check.ENABLED:
            tables = {"window": self.window, **kernel.tables}
            address_check.check_tables(spec, tables, window_at=self.under.start, n_loaded=self.loaded)
            self._check(spec, tiles, out, stride, spans, 0 if weights is None else weights.size, fields["clear_to"])
        kernel.run(len(tiles), fields)
        if closing is not None:
            closing.done = True
        return True

    def _clear_to(self, out: torch.Tensor) -> int:
        """Return the frames up to which a kernel clears rows of a layout that end before; 0 if none does.

        Rows without a frame, of which a kernel has no tile, are cleared here.  Shape: (rows, ...).
        """
        frames, fewest = self.framing.count(self._time), min(self.counts.tolist())
        for row in np.flatnonzero(self.counts == 0).tolist() if fewest == 0 else ():
            out[row].zero_()
        return frames if fewest < frames else 0

    def _closing(self, closing: Closing, tiles: np.ndarray, n_lines: int) -> dict[str, np.ndarray]:
        """Return the memory in which kernels close clips of a layout, and the tables for it, by the job's names."""
        return {
            "done": np.zeros(len(self.counts) // closing.rows_of_each + 1, np.int64),
            "peaks": np.empty(len(tiles) if closing.top is not None else 0),
            "closing": Tail(closing.after).table(n_lines),
        }

    def _check(
        self,
        spec: KernelSpec,
        tiles: np.ndarray,
        out: torch.Tensor,
        stride: int,
        spans: np.ndarray | None,
        n_weights: int,
        clear_to: int,
    ) -> None:
        """Pass a memory layout of frames, copied ends and results to the check of a kernel job: see `check_job`."""
        address_check.check_job(
            spec,
            tiles,
            self.rows,
            hop=self.framing.hop_length * self.waveform.element_size(),
            n_loaded=self.loaded,
            read=self.memory(),
            result=address_check.memory_of("result", out),
            stride=stride,
            spans=spans,
            n_weights=n_weights,
            clear_to=clear_to,
        )

    def memory(self) -> tuple[address_check.Memory, address_check.Memory, address_check.Memory]:
        """Return the memory that kernels read in a layout: the rows, and the copies of their beginnings and ends."""
        rows, time = self.waveform.shape
        size, width = self.waveform.element_size(), self.ends.shape[1] * self.waveform.element_size()
        copies, before = self.ends.ctypes.data, self.n_before * size
        own = before if self._emphasis is None else before - size  # one more is read, whatever it is
        return (
            address_check.memory_of_rows(
                "waveform", self.waveform.data_ptr(), rows, self.waveform.stride(0) * size, time * size
            ),
            address_check.memory_of_rows("copied beginnings", copies, rows, width, before),
            address_check.memory_of_rows("copied ends", copies + own, rows, width, width - own),
        )
