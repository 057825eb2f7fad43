"""Rows of a batch: the leading dimensions they come in, and the length of each."""

from __future__ import annotations

import math

import torch


def check_waveform(waveform: torch.Tensor) -> None:
    """Check the rows of a batch of samples: a waveform tensor (..., time), real or int16.

    For anything else it raises an error that names the argument.
    """
    if not isinstance(waveform, torch.Tensor):
        raise TypeError(
            f"waveform is a {type(waveform).__name__}, and must be a torch.Tensor; use torch.as_tensor(waveform)"
        )
    if not waveform.is_floating_point() and waveform.dtype != torch.int16:
        raise TypeError(
            f"waveform has dtype {waveform.dtype}, and must be real floating point, or int16; "
            "scale other integers first (int32: waveform.float() / 2**31), or let GPUSpecCollate do it"
        )
    if waveform.is_nested or waveform.layout != torch.strided:
        found = "a nested tensor" if waveform.is_nested else f"of layout {waveform.layout}"
        raise TypeError(
            f"waveform is {found}, and must be a dense tensor: pad it, and give each row's length as lengths="
        )
    if waveform.dim() == 0 or waveform.shape[-1] == 0 or waveform.numel() == 0:
        raise ValueError(
            f"waveform has shape {tuple(waveform.shape)}, and must be (..., time) with at least one sample; "
            "leave empty clips out of the batch"
        )


def check_lengths(lengths: torch.Tensor, batch: int, most: int, *, unit: str) -> torch.Tensor:
    """Check the lengths of the rows of a batch, and return them as an int64 tensor (batch,).

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another shape, or a value outside 1 to `most`.

    >>> check_lengths(torch.tensor([3, 1]), 2, 5, unit="samples")
    tensor([3, 1])
    """
    is_tensor = isinstance(lengths, torch.Tensor)
    if not is_tensor or lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        found = lengths.dtype if isinstance(lengths, torch.Tensor) else type(lengths).__name__
        raise TypeError(f"lengths is {found}, and must be a tensor of integers: the {unit} of each clip")
    if lengths.numel() != batch or lengths.dim() > 1:
        raise ValueError(
            f"lengths has shape {tuple(lengths.shape)}, and must be ({batch},): one for each entry of the first "
            "dimension"
        )
    # a tensor of this call's own, with which it may keep what it makes of them
    lengths = lengths.reshape(-1)
    # asking a GPU for the values would stop it; the collate has looked at them on the CPU
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
        values = lengths.tolist()
        low, high = min(values), max(values)
        if low < 1 or high > most:
            raise ValueError(
                f"lengths lie between {low} and {high}, and must lie between 1 and {most}, what the input has; "
                f"leave empty clips out, and give lengths in {unit}, not as ratios"
            )
    return lengths.long()


def lengths_of_rows(lengths: torch.Tensor, leading: list[int], time: int) -> torch.Tensor:
    """Return one length for each row of a batch with flattened leading dimensions.

    >>> lengths_of_rows(torch.tensor([9, 5]), [2, 3], 9).tolist()
    [9, 9, 9, 5, 5, 5]
    """
    per_clip = math.prod(leading[1:])
    checked = check_lengths(lengths, leading[0] if leading else 1, time, unit="samples")
    return checked.repeat_interleave(per_clip) if per_clip > 1 else checked


def with_leading(rows: torch.Tensor, leading: list[int]) -> torch.Tensor:
    """Restore the leading dimensions that the flattened rows of a batch came in.

    >>> with_leading(torch.zeros(6, 4, 5), [2, 3]).shape
    torch.Size([2, 3, 4, 5])
    """
    if len(leading) == 1:  # as they are
        return rows
    return split_rows(rows, leading) if leading else rows.squeeze(0)


def clips_of(rows: torch.Tensor, leading: list[int]) -> list[int]:
    """Return the number of clips in the rows of a batch with these leading dimensions, and the rows of each.

    >>> clips_of(torch.zeros(6, 4), [2, 3]), clips_of(torch.zeros(1, 4), [])
    ([2, 3], [1, 1])
    """
    batch = leading[0] if leading else 1
    return [batch, rows.shape[0] // batch]


def split_rows(rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Split the first dimension of batched rows into several of these sizes.

    What `unflatten` does, which an export to ONNX follows for one size of batch only.

    >>> split_rows(torch.zeros(6, 4), [2, 3]).shape
    torch.Size([2, 3, 4])
    """
    return rows.view(*sizes, *rows.shape[1:])
