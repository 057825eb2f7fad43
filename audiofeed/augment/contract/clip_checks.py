"""Checks of what an augmentation is called with: tensors of the right kind, and lengths within them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from audiofeed.arguments.checks import check_rate
from audiofeed.augment.contract.clips import Clips
from audiofeed.parallel.observed import observed


def checked_clips(clips: Clips) -> Clips:
    """Check clips that an augmentation is given, and return them with lengths and seeds of int64.

    Args:
        clips: The clips.

    Raises:
        TypeError: Waveforms or features are not of floating point, or lengths or seeds not of integers.
        ValueError: Lengths or seeds are not one for each clip; or, on a CPU, lengths reach past the tensor.

    >>> checked_clips(Clips(torch.zeros(1, 4), torch.tensor([4], dtype=torch.int32), torch.tensor([0]))).lengths
    tensor([4])
    """
    check_values("waveforms", clips.waveforms)
    if not 2 <= clips.waveforms.dim() <= 3:
        raise ValueError(
            f"waveforms has shape {tuple(clips.waveforms.shape)}, and must be (batch, time) or (batch, channel, time)"
        )
    if clips.sample_rate is not None:
        check_rate(clips.sample_rate, "augmentations count seconds and Hz by it")
    values: dict[str, Any] = {
        "seeds": _integers("seeds", clips.seeds, clips.batch),
        "lengths": checked_lengths(clips.lengths, clips.batch, clips.size, "samples"),
    }
    if isinstance(clips.features, torch.Tensor):
        check_values("features", clips.features)
        if isinstance(clips.feature_lengths, torch.Tensor):
            size = clips.features.shape[-1]
            values["feature_lengths"] = checked_lengths(clips.feature_lengths, clips.batch, size, "frames")
    elif isinstance(clips.features, Mapping):
        for entry in clips.features.values():
            check_values("features", entry)
    return clips.with_values(**values)


def check_values(name: str, values: torch.Tensor) -> None:
    """Check that the waveforms or features of an augmentation are a tensor of floating point.

    Args:
        name: The argument's name.
        values: What was given for it.

    Raises:
        TypeError: They are not; features may be complex, too.

    >>> check_values("waveforms", torch.zeros(1, 4))
    """
    if not isinstance(values, torch.Tensor):
        raise TypeError(
            f"{name} is a {type(values).__name__}, and must be a torch.Tensor; use torch.as_tensor({name}), or give "
            "the augmentation to a collate: GPUSpecCollate(transform, augment=...)"
        )
    if not values.is_floating_point() and not (name == "features" and values.is_complex()):
        scaled = f": int16 as {name}.float() / 2**15, as a collate does" if name == "waveforms" else ""
        raise TypeError(f"{name} has dtype {values.dtype}, and must be of floating point{scaled}")


def checked_lengths(lengths: torch.Tensor, batch: int, size: int, unit: str) -> torch.Tensor:
    """Check the lengths of an augmentation's clips, and return them as int64.

    Args:
        lengths: (batch,); 0 is a clip that has nothing.
        batch: The number of clips.
        size: Samples or frames that every clip is padded to.
        unit: What is counted, "samples" or "frames".

    Raises:
        TypeError: They are no tensor of integers.
        ValueError: They are not one for each clip; or, on a CPU, one is below 0 or past the size.

    >>> checked_lengths(torch.tensor([3, 0]), 2, 3, "frames")
    tensor([3, 0])
    """
    found = _integers("lengths", lengths, batch)
    # asking another device would stop it
    if found.device.type == "cpu" and observed(found) is None and batch:
        low, high = int(found.min()), int(found.max())
        if low < 0 or high > size:
            raise ValueError(
                f"lengths lie between {low} and {high}, and must lie between 0 and {size}, the {unit} that there are; "
                f"give lengths in {unit}, not as ratios" + (", nor in samples" if unit == "frames" else "")
            )
    return found


def _integers(name: str, values: torch.Tensor, batch: int) -> torch.Tensor:
    """Return lengths or seeds of an augmentation's clips as int64, one for each clip."""
    is_tensor = isinstance(values, torch.Tensor)
    if not is_tensor or values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        found = values.dtype if isinstance(values, torch.Tensor) else type(values).__name__
        raise TypeError(
            f"{name} is {found}, and must be a tensor of integers (batch,), one for each clip: "
            f"torch.tensor([...]), or {name}=None"
        )
    if values.shape != (batch,):
        raise ValueError(f"{name} has shape {tuple(values.shape)}; it must be ({batch},), one for each clip")
    # products of smaller integers wrap elsewhere: other draws
    return values.long()
