"""What stands in the features past each clip's end: zeros, the transform's value of silence, a number, or the frames of
zero samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from audiofeed.feed.padding import frame_mask
from audiofeed.feed.states.tensor_trees import map_tensors
from audiofeed.feed.transform_contract import frame_lengths_of

Padding = Literal["mask", "silence", "waveform"] | float
_KINDS = ("mask", "silence", "waveform")


def check_padding(padding: Any, pad_to: Any, transform: torch.nn.Module) -> Padding:
    """Check a collate's padding of features, and return what None stands for.

    Args:
        padding: As in `GPUSpecCollate`.
        pad_to: As in `GPUSpecCollate`.
        transform: The module that computes features.

    Raises:
        ValueError: `padding` is neither one of the kinds nor a finite number; or it needs to know where a clip ends in
            the features, and the transform has no `frame_lengths`.

    >>> check_padding(None, 1.0, torch.nn.Identity())
    'waveform'
    """
    if padding is None:
        return "mask" if pad_to is None else "waveform"
    is_number = isinstance(padding, int | float) and not isinstance(padding, bool)
    if not (padding in _KINDS if isinstance(padding, str) else is_number and abs(padding) < float("inf")):
        raise ValueError(f"padding={padding!r} must be one of {', '.join(map(repr, _KINDS))}, or a finite number")
    if padding not in ("mask", "waveform") and frame_lengths_of(transform) is None:
        raise ValueError(
            f"padding={padding!r} needs to know where a clip ends in its features, and {type(transform).__name__} has "
            "no frame_lengths; give padding='waveform', or add frame_lengths(lengths) to the transform"
        )
    return padding


@dataclass(frozen=True, eq=False)
class FeaturePadding:
    """Padding of the features of one collate, with the value of silence that it keeps.

    Args:
        kind: "mask", "silence", "waveform" or a number, as in `GPUSpecCollate`.
    """

    kind: Padding = "mask"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_silence", _Silence())

    def compute(
        self,
        transform: torch.nn.Module,
        samples: torch.Tensor,
        lengths: torch.Tensor,
        plain: torch.nn.Module | None = None,
    ) -> tuple[Any, Any, Any]:
        """Compute the features of a padded batch, with what stands past each clip's end.

        Args:
            transform: Has `frame_lengths`.
            samples: (batch, time) or (batch, channel, time), zero past each clip's end.
            lengths: (batch,) int64, samples of each clip.
            plain: What gives the value of silence, where the transform is augmented for these clips alone.

        Returns:
            Features; frames of each clip itself (batch,); the mask of these frames (batch, frames). Each is a dict if
            the transform gives one.
        """
        count = frame_lengths_of(transform)
        assert count is not None
        own = count(lengths)
        whole = torch.full_like(lengths, samples.shape[-1]) if self.kind == "waveform" else lengths
        features = transform(samples, whole)
        mask = frame_mask(features, own)
        if self.kind == "silence":
            silence: _Silence = self._silence  # type: ignore[attr-defined]
            features = _map(_put, features, mask, silence.of(plain or transform, samples))
        elif self.kind not in ("mask", "waveform"):
            features = _map(lambda values, kept: values.masked_fill(~_spread(kept, values), self.kind), features, mask)
        return features, own, mask


class _Silence:
    """Value of silence by bin, of one transform: computed once, and again when a parameter or a buffer has changed."""

    def __init__(self) -> None:
        self._known: tuple[Any, Any] = (None, None)
        self._lock = threading.Lock()

    def of(self, transform: torch.nn.Module, samples: torch.Tensor) -> Any:
        """Return the features of a silent frame, ([channel,] bins, 1), without a gradient."""
        trained = any(parameter.requires_grad for parameter in transform.parameters())
        with self._lock:
            if trained or self._known[0] != _values_behind(transform, samples):
                value = _silent_frame(transform, samples)
                if not trained and samples.device.type in ("cuda", "xpu"):
                    # Other streams will read it without waiting for this one. Once per transform.
                    torch.get_device_module(samples.device).current_stream(samples.device).synchronize()
                self._known = (_values_behind(transform, samples), value)
            return self._known[1]


def _silent_frame(transform: torch.nn.Module, samples: torch.Tensor) -> Any:
    silent = torch.zeros_like(samples[:1], dtype=torch.float32)
    lengths = torch.full((1,), silent.shape[-1], dtype=torch.int64, device=samples.device)
    # statistics of a batch that a module keeps in training must not count this clip
    may_change = transform.training and samples.device.type != "meta"
    kept = [(buffer, buffer.clone()) for buffer in transform.buffers()] if may_change else []
    with torch.no_grad():
        features = transform(silent, lengths)
        for buffer, value in kept:
            if not torch.equal(buffer, value):  # a batch norm does not count its changes in the version
                buffer.copy_(value)
    return map_tensors(features, lambda values: values[0, ..., values.shape[-1] // 2, None].clone())


def _values_behind(transform: torch.nn.Module, samples: torch.Tensor) -> Any:
    """Return what changes when the value of silence does: the device, channels, and each tensor's count of changes."""
    tensors = [*transform.parameters(), *transform.buffers()]
    # of inference tensors torch keeps no count
    counts = tuple((id(tensor), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)
    return samples.device, samples.shape[1:-1], transform.training, counts


def _put(values: torch.Tensor, kept: torch.Tensor, silence: torch.Tensor) -> torch.Tensor:
    return torch.where(_spread(kept, values), values, silence.to(values.dtype))


def _spread(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return a mask (batch, frames) with the axes of features (batch, ..., frames)."""
    return mask.reshape(mask.shape[0], *[1] * (values.dim() - 2), mask.shape[-1])


def _map(change: Callable[..., torch.Tensor], first: Any, *others: Any) -> Any:
    """Apply a function to the features of a dict of any depth, and to what belongs to each by name."""
    if isinstance(first, dict):
        return {name: _map(change, first[name], *(other[name] for other in others)) for name in first}
    return change(first, *others)


def in_layout(features: Any, layout: Literal["bins_frames", "frames_bins"]) -> Any:
    """Return features (batch, ..., bins, frames), or a dict of them, in the layout that a batch asks for.

    Raises:
        ValueError: The layout is "frames_bins" and features have fewer than three axes.

    >>> in_layout(torch.zeros(2, 80, 9), "frames_bins").shape
    torch.Size([2, 9, 80])
    """
    if layout == "bins_frames":
        return features

    def swapped(values: torch.Tensor) -> torch.Tensor:
        if values.dim() < 3:
            raise ValueError(
                f"layout='frames_bins' needs features (batch, ..., bins, frames), and the transform gives "
                f"{tuple(values.shape)}; leave the layout as it is"
            )
        return values.transpose(-1, -2)

    return map_tensors(features, swapped)
