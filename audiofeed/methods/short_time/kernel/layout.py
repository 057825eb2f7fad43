"""Short-time spectra, their powers and what filters make of them, by a kernel: the Python side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frames import Framing, Place, Workspace, mirrored
from audiofeed.methods.short_time.kernel import check, jit
from audiofeed.methods.short_time.kernel.source import ROW, TILE, Recipe, loaded
from audiofeed.methods.spectrum import raise_power

_INSIDE, _BEGINNING, _END, _FIRST_INSIDE, _FIRST_END, _COUNT = range(len(ROW))  # in the order of ROW
_OUT = TILE.index("out")

# the rows and frames that a piece's values belong to, and the values
Piece = tuple[list[Place], torch.Tensor]

# named wherever a tensor is made: a user may have set another default
CPU = torch.device("cpu")


class Frames:
    """The frames of rows, where they lie in memory: inside a row, or in copies of its ends with what stands beyond.

    What computes them returns None where LLVM has no kernel for it after all.
    """

    def __init__(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, framing: Framing, window: torch.Tensor, lanes: int
    ) -> None:
        self.waveform = waveform if waveform.stride(-1) == 1 else waveform.contiguous()
        self.framing, self.lanes = framing, lanes
        self._loaded = loaded(framing.n_fft, lanes)
        self._counts = self._lay_out(lengths)
        self._window = np.zeros(self._loaded, np.float32)
        np.multiply(window.detach().numpy(), np.float32(0.5), out=self._window[: framing.n_fft])

    def _lay_out(self, lengths: torch.Tensor | None) -> np.ndarray:
        """Fill in the table of rows, and copy their ends.  Returns the frames of each row."""
        rows, time = self.waveform.shape
        framing, hop, margin = self.framing, self.framing.hop_length, self.framing.margin
        own = np.array([time]) if lengths is None else lengths.numpy()
        count = np.array([framing.count(time)]) if lengths is None else framing.count(lengths).numpy()
        first_inside = np.minimum(count, -(-margin // hop))
        # a frame lies inside where all that is read for it does
        first_end = np.minimum(np.maximum((own + margin - self._loaded) // hop + 1, first_inside), count)
        most_before, most_after = int(first_inside.max()), int((count - first_end).max())
        n_before = (most_before - 1) * hop + self._loaded if most_before else 0
        n_after = (most_after - 1) * hop + self._loaded if most_after else 0
        if framing.pad_mode == "constant" or margin == 0:
            self._ends = self._with_zeros(own, n_before, n_after, first_end * hop - margin)
        else:
            self._ends = self._mirrored(own, n_before, n_after, first_end * hop - margin)
        size, width = self.waveform.element_size(), n_before + n_after
        row = np.arange(rows)
        self._rows = table = np.zeros((rows, len(ROW)), np.int64)
        beginning = self._ends.ctypes.data + row * (width * size)
        table[:, _INSIDE] = self.waveform.data_ptr() + (row * self.waveform.stride(0) - margin) * size
        table[:, _BEGINNING] = beginning
        table[:, _END] = beginning + (n_before - first_end * hop) * size
        table[:, _FIRST_INSIDE], table[:, _FIRST_END], table[:, _COUNT] = first_inside, first_end, count
        return table[:, _COUNT]

    def _with_zeros(self, own: np.ndarray, n_before: int, n_after: int, starts: np.ndarray) -> np.ndarray:
        """The beginning of each row after `margin` zeros, then its end from `starts` on and zeros after that.

        Shape: own and starts (rows,) or (1,) -> (rows, n_before + n_after).
        """
        samples, margin = self.waveform.detach().numpy(), self.framing.margin
        out = np.zeros((samples.shape[0], n_before + n_after), samples.dtype)
        alike = len(own) == 1
        for row, (length, start) in enumerate(zip(own.tolist(), starts.tolist(), strict=True)):
            of, to = (samples, out) if alike else (samples[row : row + 1], out[row : row + 1])
            n = min(length, n_before - margin)
            if n > 0:
                to[:, margin : margin + n] = of[:, :n]
            n = min(length - start, n_after)
            if n > 0 and start >= 0:  # a row that ends before its first frame lies inside has none at its end
                to[:, n_before : n_before + n] = of[:, start : start + n]
        return out

    def _mirrored(self, own: np.ndarray, n_before: int, n_after: int, starts: np.ndarray) -> np.ndarray:
        """What `_with_zeros` gives, with what the pad mode puts beyond a row in place of zeros."""
        ends = torch.from_numpy(own)[:, None]
        before = (torch.arange(n_before, device=CPU) - self.framing.margin).expand(len(own), -1)
        after = torch.from_numpy(starts)[:, None] + torch.arange(n_after, device=CPU)
        source = mirrored(torch.cat([before, after], dim=1), ends, self.framing.pad_mode)
        return self.waveform.detach().gather(1, source.expand(self.waveform.shape[0], -1)).numpy()

    def spectrum(self) -> torch.Tensor | None:
        """The complex spectrum.  Shape: -> (rows, frames, bins)."""
        out = self._rows_of(self.framing.n_fft // 2 + 1, torch.complex64)
        return out if self._write_frames(out, self._recipe(None)) else None

    def powers(self, power: float) -> torch.Tensor | None:
        """|spectrum|^power.  Shape: -> (rows, frames, bins)."""
        out = self._rows_of(self.framing.n_fft // 2 + 1, torch.float32)
        if not self._write_frames(out, self._recipe(1.0 if power == 1.0 else 2.0)):
            return None
        return out if power in (1.0, 2.0) else raise_power(out, power)

    def filtered(self, bank: FilterBank, log: Log | None, power: float) -> torch.Tensor | None:
        """|spectrum|^power, 1.0 or 2.0, through filters and their logarithm.  Shape: -> (rows, n, frames)."""
        n, frames = bank.filters.shape[0], self.framing.count(self.waveform.shape[-1])
        out = torch.empty(self.waveform.shape[0], n, frames, dtype=torch.float32, device=CPU)
        tiles = self._tiles()
        tiles[:, _OUT] = out.data_ptr() + 4 * (tiles[:, 0] * n * frames + tiles[:, 1])
        return out if self._run(self._recipe(power, filters=True, log=log), tiles, out, bank, frames) else None

    def power_pieces(self, power: float, workspace: Workspace) -> Iterator[Piece] | None:
        """|spectrum|^power, 1.0 or 2.0, some frames at a time.  Shape: -> (frames of the piece, bins)."""
        recipe, bins = self._recipe(power), self.framing.n_fft // 2 + 1
        if jit.kernel(recipe) is None:
            return None

        def pieces() -> Iterator[Piece]:
            for tiles, starts, count in self._pieces():
                out = workspace.take("powers", count, bins)
                tiles[:, _OUT] = out.data_ptr() + 4 * bins * starts
                self._run(recipe, tiles, out)
                yield self._places(tiles, starts, count), out

        return pieces()

    def filtered_pieces(
        self, bank: FilterBank, log: Log | None, power: float, workspace: Workspace
    ) -> Iterator[Piece] | None:
        """What `filtered` gives, some frames at a time.  Shape: -> (frames of the piece, n)."""
        recipe, n = self._recipe(power, filters=True, log=log), bank.filters.shape[0]
        if jit.kernel(recipe) is None:
            return None

        def pieces() -> Iterator[Piece]:
            for tiles, starts, count in self._pieces():
                out = workspace.take("filtered", n, count)
                tiles[:, _OUT] = out.data_ptr() + 4 * starts
                self._run(recipe, tiles, out, bank, count)
                yield self._places(tiles, starts, count), out.t()

        return pieces()

    # ---------------------------------------------------------------- tiles

    def _rows_of(self, bins: int, dtype: torch.dtype) -> torch.Tensor:
        frames = self.framing.count(self.waveform.shape[-1])
        return torch.empty(self.waveform.shape[0], frames, bins, dtype=dtype, device=CPU)

    def _tiles(self) -> np.ndarray:
        """All tiles, row by row, without their places for results.  Shape: (tiles, TILE)."""
        per_row = -(-self._counts // self.lanes)
        row = np.repeat(np.arange(len(self._counts)), per_row)
        first = (np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)) * self.lanes
        return np.stack([row, first, np.zeros_like(row)], axis=1)

    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Tiles of as many frames as stay in cache, where each tile's frames start in the piece, and how many it has.

        Shape: (tiles, TILE), (tiles,).
        """
        tiles = self._tiles()
        kept = np.minimum(self._counts[tiles[:, 0]] - tiles[:, 1], self.lanes)
        step = max(1, self.framing.piece(self.waveform.device) // self.lanes)
        for start in range(0, len(tiles), step):
            own = kept[start : start + step]
            ends = np.cumsum(own)
            yield np.ascontiguousarray(tiles[start : start + step]), ends - own, int(ends[-1])

    def _places(self, tiles: np.ndarray, starts: np.ndarray, count: int) -> list[Place]:
        """The rows and frames of a piece, in their order."""
        begins = np.flatnonzero(np.diff(tiles[:, 0], prepend=-1))
        stops = [*starts[begins[1:]].tolist(), count]
        places = []
        for begin, stop in zip(begins.tolist(), stops, strict=True):
            row, first = int(tiles[begin, 0]), int(tiles[begin, 1])
            places.append((slice(row, row + 1), slice(first, first + stop - int(starts[begin]))))
        return places

    def _write_frames(self, out: torch.Tensor, recipe: Recipe) -> bool:
        """Fill (rows, frames, bins); whether there was a kernel for it."""
        tiles = self._tiles()
        tiles[:, _OUT] = out.data_ptr() + 4 * recipe.n_values * (tiles[:, 0] * out.shape[1] + tiles[:, 1])
        return self._run(recipe, tiles, out)

    def _recipe(self, power: float | None, *, filters: bool = False, log: Log | None = None) -> Recipe:
        return Recipe(
            n_fft=self.framing.n_fft,
            lanes=self.lanes,
            int16=self.waveform.dtype == torch.int16,
            power=power,
            filters=filters,
            floor=None if log is None else log.floor,
            factor=1.0 if log is None else log.factor,
        )

    def _run(
        self, recipe: Recipe, tiles: np.ndarray, out: torch.Tensor, bank: FilterBank | None = None, stride: int = 0
    ) -> bool:
        """Compute tiles whose places are filled in; whether there was a kernel for it."""
        kernel = jit.kernel(recipe)
        if kernel is None:
            return False
        fields = {
            "tiles": tiles.ctypes.data,
            "rows": self._rows.ctypes.data,
            "hop": self.framing.hop_length * self.waveform.element_size(),
            "window": self._window.ctypes.data,
            "spans": 0,
            "weights": 0,
            "n_filters": 0,
            "stride": stride,
        }
        spans = weights = None
        if bank is not None and bank.tiles is not None:
            spans, weights = bank.tiles.spans, bank.filters.detach().numpy().reshape(-1)[bank.tiles.entries]
            fields |= {"spans": spans.ctypes.data, "weights": weights.ctypes.data, "n_filters": spans.shape[1]}
        if check.ENABLED:
            self._check(recipe, tiles, out, stride, spans, 0 if weights is None else weights.size)
        kernel.run(len(tiles), fields)
        return True

    def _check(
        self,
        recipe: Recipe,
        tiles: np.ndarray,
        out: torch.Tensor,
        stride: int,
        spans: np.ndarray | None,
        n_weights: int,
    ) -> None:
        """Follow the addresses of a job before it runs."""
        rows, time = self.waveform.shape
        size, width = self.waveform.element_size(), self._ends.shape[1]
        samples = self.waveform.data_ptr()
        check.check_job(
            recipe,
            tiles,
            self._rows,
            hop=self.framing.hop_length * size,
            waveform=check.stretches("waveform", samples, rows, self.waveform.stride(0) * size, time * size),
            ends=check.stretches("copied ends", self._ends.ctypes.data, rows, width * size, width * size),
            result=check.stretches("result", out.data_ptr(), 1, 0, out.numel() * out.element_size()),
            stride=stride,
            spans=spans,
            n_weights=n_weights,
        )
