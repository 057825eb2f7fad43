"""Frames stacked: several consecutive frames of features become one, as recognizers take them at a lower rate."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from audiofeed.arguments.checks import check_choice, check_count
from audiofeed.methods.frames import Count
from audiofeed.parallel.exports import ceil_divided
from audiofeed.transforms.contract.feature_transform import FeatureTransform

EDGES = ("drop", "zeros", "replicate")


class StackFrames(FeatureTransform):
    """Stack the frames of features along time, as a module: `size` consecutive frames become one of as many more bins.

    The bins of the first frame of a stack come first, then those of the next. It is the low frame rate (LFR) of FunASR
    with size=7, hop=6, edges="replicate", and the pairs of frames of SeamlessM4T and Granite with size=2.

    Args:
        size: frames of a stack, 1 or more.
        hop: frames from stack to stack, 1 or more; None: size, so that each frame lies in one stack.
        edges: "drop": stack f begins at frame f * hop, and what does not fill a stack at the end of a clip is left out
            (a clip shorter than a stack has one, filled up with zeros). "zeros": as many stacks as begin inside the
            clip, past whose end there are zeros. "replicate": as many, each centered, and the clip's first and last
            frame are repeated beyond its ends.

        apart: the frames of a stack stay apart, in a dimension of their own: patches of an image, as VGGish, YAMNet and
            MusiCNN take them.

    Returns:
        (..., size * bins, other frames), with `apart` (..., size, bins, other frames), from features (batch, ..., bins,
        frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> frames = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    >>> StackFrames(2)(frames).tolist()
    [[1.0], [10.0], [2.0], [20.0]]
    >>> StackFrames(3, hop=2, edges="replicate")(frames)[:, 1].tolist()
    [2.0, 20.0, 3.0, 30.0, 3.0, 30.0]
    """

    is_light = True

    def __init__(self, size: int, *, hop: int | None = None, edges: str = "drop", apart: bool = False) -> None:
        super().__init__()
        rule = "an integer number of frames, 1 or more"
        self.size = check_count("size", size, rule)
        self.hop = self.size if hop is None else check_count("hop", hop, rule)
        self.edges, self.apart = check_choice("edges", edges, EDGES), apart
        if edges == "drop" and self.hop > self.size:
            raise ValueError(
                f"hop={self.hop} must not exceed size={self.size} with edges='drop': whole frames would be left out "
                "between the stacks; use edges='zeros' or a smaller hop"
            )

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        count = self.frame_lengths(features.shape[-1])
        if self.edges == "replicate":
            frames = self._repeated(features, lengths, count)
        else:
            needed = (count - 1) * self.hop + self.size
            frames = F.pad(features, (0, needed - features.shape[-1])).unfold(-1, self.size, self.hop)
        stacks = frames.movedim(-1, -3)  # (clip, row, place in the stack, bin, stack)
        return stacks.contiguous() if self.apart else stacks.flatten(-3, -2)

    def _repeated(self, features: torch.Tensor, lengths: torch.Tensor | None, count: int) -> torch.Tensor:
        """Return centered stacks of frames.  Shape: (clips, rows, bins, frames) -> (clips, rows, bins, count, size)."""
        device, shape = features.device, features.shape[:-1]
        of_stack = torch.arange(self.size, device=device) - (self.size - 1) // 2
        wanted = (torch.arange(count, device=device)[:, None] * self.hop + of_stack).flatten()
        if lengths is None:
            found = features.index_select(-1, wanted.clamp(0, features.shape[-1] - 1))
        else:
            own = torch.minimum(wanted.clamp(min=0), lengths.to(device)[:, None] - 1)
            found = features.gather(-1, own[:, None, None].expand(*shape, -1))
        return found.unflatten(-1, (count, self.size))

    def frame_lengths(self, lengths: Count) -> Count:
        if self.edges != "drop":
            return ceil_divided(lengths, self.hop)
        whole = 1 + (lengths - self.size) // self.hop
        return whole.clamp(min=1) if isinstance(whole, torch.Tensor) else max(1, whole)

    def sources(self, frames: torch.Tensor) -> torch.Tensor:
        """Return where stacks of frames have their middle, in frames of what is stacked, for a `Chain`'s `centers`."""
        start = -((self.size - 1) // 2) if self.edges == "replicate" else 0
        return frames * self.hop + start + (self.size - 1) / 2
