"""What is done to each frame before its Fourier transform: its mean removed, pre-emphasis, the window."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from audiofeed.methods.frames import Framing


def windowed(frames: torch.Tensor, framing: Framing, window: torch.Tensor) -> torch.Tensor:
    """Multiply frames by their window, after the DC removal and pre-emphasis of the framing, for an FFT with a graph.

    Shape: frames (..., n_fft), window (n_fft,) -> (..., n_fft).

    >>> framing = Framing(n_fft=3, hop_length=1, center=False, pad_mode="constant", preemphasis=0.5)
    >>> windowed(torch.tensor([2.0, 2.0, 4.0]), framing, torch.ones(3)).tolist()
    [1.0, 1.0, 3.0]
    """
    return (shaped(frames, framing) if framing.shapes else frames) * window


def shaped(frames: torch.Tensor, framing: Framing) -> torch.Tensor:
    """Remove the mean of each frame under its window, and pre-emphasize it, as a framing asks.

    The first sample has no other before it than itself, as in Kaldi. Nothing remains outside the window.

    Shape: (..., n_fft) -> the same.
    """
    under = framing.under_window
    own = frames[..., under]
    if framing.remove_dc:
        own = own - own.mean(-1, keepdim=True)
    if framing.preemphasis:
        own = own - framing.preemphasis * torch.cat([own[..., :1], own[..., :-1]], dim=-1)
    return F.pad(own, (under.start, framing.n_fft - under.stop))


def windowed_into(out: torch.Tensor, frames: torch.Tensor, framing: Framing, window: torch.Tensor) -> None:
    """Write what `windowed` makes of frames into memory for an FFT, without a graph.

    Shape: out and frames (..., n_fft), which share no memory, window (n_fft,).
    """
    if not framing.shapes:
        torch.mul(frames, window, out=out)
        return
    under, emphasis = framing.under_window, framing.preemphasis
    own, to = frames[..., under], out[..., under]
    out[..., : under.start] = 0
    out[..., under.stop :] = 0
    # the mean goes through pre-emphasis as any constant does, as 1 - emphasis of itself
    torch.mul(own[..., :1], 1.0 - emphasis, out=to[..., :1])
    torch.sub(own[..., 1:], own[..., :-1], alpha=emphasis, out=to[..., 1:])
    if framing.remove_dc:
        to.sub_(own.mean(-1, keepdim=True), alpha=1.0 - emphasis)
    to.mul_(window[under])
