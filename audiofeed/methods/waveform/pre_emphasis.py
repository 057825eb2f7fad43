"""Pre-emphasis of waveforms: each sample less a share of the one before it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import pad


class Emphasis(NamedTuple):
    """Pre-emphasis of waveforms as a kernel computes it with their frames: see `pre_emphasize`."""

    coeff: float
    first: str

    @property
    def dropped(self) -> int:
        """Samples at the beginning of waveforms that pre-emphasis leaves out."""
        return int(self.first == "drop")


def pre_emphasize_into(
    out: torch.Tensor, clips: torch.Tensor, lengths: torch.Tensor | None, coeff: float, first: str
) -> None:
    """Write the waveforms of some clips after pre-emphasis, without a graph. See `pre_emphasize`.

    Shape: clips (clips, channels, time), anything past their ends -> out, of the result; it is other memory than the
    clips.
    """
    if clips.shape[-1] == 1:
        out.copy_(pre_emphasize(clips, None, coeff, first))
        return
    torch.sub(clips[..., 1:], clips[..., :-1], alpha=coeff, out=out if first == "drop" else out[..., 1:])
    if first != "drop":
        out[..., 0] = _first(clips, lengths, coeff, first)
    elif lengths is not None:
        out[..., 0] = torch.where(lengths[:, None] > 1, out[..., 0], -coeff * clips[..., 0])


def pre_emphasize(clips: torch.Tensor, lengths: torch.Tensor | None, coeff: float, first: str) -> torch.Tensor:
    """Compute the waveforms of a batch after pre-emphasis; every operation has a gradient.

    Shape: (clips, channels, time), 0 past lengths (clips,) -> the same; for first="drop" one sample shorter, but one at
    least. Past a clip's length anything may stand.
    """
    if first == "drop":
        # a single sample is taken to be followed by 0
        follows = clips[..., 1:] if clips.shape[-1] > 1 else torch.zeros_like(clips)
        return follows - coeff * clips[..., : follows.shape[-1]]
    body = clips - coeff * pad(clips[..., :-1], (1, 0))
    if first == "keep":
        return body
    return torch.cat([_first(clips, lengths, coeff, first)[..., None], body[..., 1:]], dim=-1)


def _first(clips: torch.Tensor, lengths: torch.Tensor | None, coeff: float, first: str) -> torch.Tensor:
    """Return the first sample of waveforms after pre-emphasis.  Shape: (..., time) -> (...)."""
    own = clips[..., 0]
    if first == "keep":
        return own
    if first == "replicate":
        return own * (1.0 - coeff)
    second = clips[..., 1] if clips.shape[-1] > 1 else own
    if lengths is not None:
        second = torch.where(lengths.view(-1, *[1] * (own.dim() - 1)) > 1, second, own)
    return 3.0 * own - second
