"""Rows of a batch: the leading dimensions they come in, the length of each, and the dtype to compute in."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch

from audiofeed.signal.samples import INT16_SCALE


def check_waveform(waveform: torch.Tensor) -> None:
    """Raise an error that names the argument for anything but (..., time) of real or int16 samples."""
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


def lengths_of_rows(lengths: torch.Tensor, leading: list[int], time: int) -> torch.Tensor:
    """One length for each row of the flattened leading dimensions.

    >>> lengths_of_rows(torch.tensor([9, 5]), [2, 3], 9).tolist()
    [9, 9, 9, 5, 5, 5]
    """
    per_clip = math.prod(leading[1:])
    checked = check_lengths(lengths, leading[0] if leading else 1, time, unit="samples")
    return checked.repeat_interleave(per_clip) if per_clip > 1 else checked


def computable(values: torch.Tensor, *, as_int16: bool = False) -> torch.Tensor:
    """Values in the dtype to compute in: float32 for a shorter one, and for int16 samples unless those are taken.

    >>> computable(torch.tensor([-32768, 16384], dtype=torch.int16)).tolist()
    [-1.0, 0.5]
    """
    if values.dtype in (torch.float16, torch.bfloat16):
        return values.float()
    return values.float() * INT16_SCALE if values.dtype == torch.int16 and not as_int16 else values


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
