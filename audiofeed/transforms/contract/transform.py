"""The contract that every transform keeps: shapes, lengths, precision, filters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch

from audiofeed.signal.samples import INT16_SCALE
from audiofeed.transforms.contract.filters import Filtered


class Transform(Filtered):
    """A module from waveforms to features: `transform(waveform, lengths=None)`.

    A subclass says how many frames a clip has (`frame_lengths`) and computes rows (`_compute`); the rest of the
    contract is kept here: any leading dimensions, rows of their own length, zero past the end, float32 under autocast,
    filters that follow the device and the dtype.
    """

    sample_rate: int | None = None
    # whether `_compute` takes int16 samples as they are, without a graph; a collate then need not convert the batch
    takes_int16 = False
    # whether the result is waveforms too, which another such transform may follow
    gives_waveforms = False

    # ---------------------------------------------------------------- what a subclass gives

    def _compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Features of rows; what stands past a row's frames does not matter.

        Shape: (rows, time), lengths (rows,) -> (rows, bins, frames).
        """
        raise NotImplementedError

    def _finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """What needs a whole clip at once.  Shape: (clips, rows of each, bins, frames), frames (clips,) -> the same."""
        return features

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples.  Shape: any shape of integers -> the same shape."""
        raise NotImplementedError

    # ---------------------------------------------------------------- what a caller uses

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Features of one clip or of a batch.

        Args:
            waveform: real floating point or int16, (..., time) with any leading dimensions. int16 stands for its
                value / 32768. int16, float16 and bfloat16 are computed in float32, and float32 comes back; float64 is
                computed in float64.
            lengths: (batch,) samples of each clip of a padded batch, 1 to time; the batch is the first dimension.
                What stands past a clip's length is not looked at.

        Returns:
            (..., bins, frames). Row i, cut to `frame_lengths(lengths)[i]` frames, equals that clip alone; past it, 0.

        Raises:
            TypeError: for a waveform that is neither real floating point nor int16.
            ValueError: for an empty waveform, or lengths that do not fit it.
        """
        self._check_waveform(waveform)
        graph = self._needs_graph(waveform)
        rows, row_lengths, leading = self._prepare(waveform, lengths, graph=graph)
        with in_full_precision(waveform.device, graph=graph):
            features = self._compute(rows, row_lengths, graph=graph)
            features = self._finish_rows(features, row_lengths, leading, graph=graph)
        return with_leading(features, leading)

    def _prepare(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, list[int]]:
        """Rows of a dtype to compute in, the length of each, and the leading dimensions they came in."""
        if waveform.dtype in (torch.float16, torch.bfloat16):
            waveform = waveform.float()
        elif waveform.dtype == torch.int16 and (graph or not self.takes_int16):
            waveform = waveform.float() * INT16_SCALE
        *leading, time = waveform.shape
        row_lengths = None
        if lengths is not None:
            row_lengths = self._row_lengths(lengths, leading, time).to(waveform.device)
        return waveform.reshape(-1, time), row_lengths, leading

    def _finish_rows(
        self, features: torch.Tensor, lengths: torch.Tensor | None, leading: list[int], *, graph: bool
    ) -> torch.Tensor:
        """Computed rows, finished clip by clip and cleared past their ends."""
        frames = None if lengths is None else self.frame_lengths(lengths)
        batch = leading[0] if leading else 1
        clips = features.unflatten(0, (batch, -1))
        clip_frames = None if frames is None else frames[:: features.shape[0] // batch]
        features = self._finish_clips(clips, clip_frames).flatten(0, 1)
        if frames is None:
            return features
        if not graph and frames.device.type == "cpu":
            for row, count in zip(features, frames.tolist(), strict=True):
                row[:, count:] = 0
            return features
        past = (torch.arange(features.shape[-1], device=features.device) >= frames[:, None])[:, None]
        return features.masked_fill(past, 0) if graph else features.masked_fill_(past, 0)

    def _check_waveform(self, waveform: torch.Tensor) -> None:
        if not isinstance(waveform, torch.Tensor):
            raise TypeError(
                f"waveform is a {type(waveform).__name__}, and must be a torch.Tensor; use torch.as_tensor(waveform)"
            )
        if not waveform.is_floating_point() and waveform.dtype != torch.int16:
            raise TypeError(
                f"waveform has dtype {waveform.dtype}, and must be real floating point, or int16; "
                "scale other integers first (int32: waveform.float() / 2**31), or let GPUSpecCollate do it"
            )
        if waveform.dim() == 0 or waveform.shape[-1] == 0 or waveform.numel() == 0:
            raise ValueError(
                f"waveform has shape {tuple(waveform.shape)}, and must be (..., time) with at least one sample; "
                "leave empty clips out of the batch"
            )

    def _row_lengths(self, lengths: torch.Tensor, leading: list[int], time: int) -> torch.Tensor:
        """One length for each row of the flattened leading dimensions."""
        per_clip = math.prod(leading[1:])
        checked = check_lengths(lengths, leading[0] if leading else 1, time, unit="samples")
        return checked.repeat_interleave(per_clip) if per_clip > 1 else checked


@contextlib.contextmanager
def in_full_precision(device: torch.device, *, graph: bool) -> Iterator[None]:
    """Without autocast, and without autograd where no graph is asked for."""
    with torch.autocast(device.type, enabled=False), torch.set_grad_enabled(graph and torch.is_grad_enabled()):
        yield


def with_leading(rows: torch.Tensor, leading: list[int]) -> torch.Tensor:
    """Rows in the dimensions they came in.

    >>> with_leading(torch.zeros(6, 4, 5), [2, 3]).shape
    torch.Size([2, 3, 4, 5])
    """
    return rows.unflatten(0, leading) if leading else rows.squeeze(0)


def check_lengths(lengths: torch.Tensor, batch: int, most: int, *, unit: str) -> torch.Tensor:
    """Lengths as (batch,) int64, after making sure that they are lengths of that batch.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another shape, or a value outside 1 to `most`.

    >>> check_lengths(torch.tensor([3, 1]), 2, 5, unit="samples")
    tensor([3, 1])
    """
    if not isinstance(lengths, torch.Tensor) or lengths.is_floating_point() or lengths.is_complex():
        found = lengths.dtype if isinstance(lengths, torch.Tensor) else type(lengths).__name__
        raise TypeError(f"lengths is {found}, and must be a tensor of integers: the {unit} of each clip")
    if lengths.numel() != batch or lengths.dim() > 1:
        raise ValueError(
            f"lengths has shape {tuple(lengths.shape)}, and must be ({batch},): one for each entry of the first "
            "dimension"
        )
    # asking a GPU for the values would stop it; the collate has looked at them on the CPU
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = int(lengths.min()), int(lengths.max())
        if low < 1 or high > most:
            raise ValueError(
                f"lengths lie between {low} and {high}, and must lie between 1 and {most}, what the input has; "
                f"leave empty clips out, and give lengths in {unit}, not as ratios"
            )
    return lengths.reshape(-1).long()
