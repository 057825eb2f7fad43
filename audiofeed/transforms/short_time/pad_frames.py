"""Features padded along time to a number of frames, or to a multiple of one."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from audiofeed.arguments.checks import check_choice, check_count
from audiofeed.methods.frames import Count
from audiofeed.methods.lengths import length_mask
from audiofeed.parallel.exports import ceil_divided
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class PadFrames(FeatureTransform):
    """Pad the frames of features along time, as a module, to a fixed number or to a multiple of a number.

    The frames of a clip stay its true ones: `frame_lengths` does not count what was added, and later members of a
    `Chain` leave it 0. With counts=True it does count, and a later `Normalize` or `Rescale` maps it like any frame: so
    the audio spectrogram transformer has it, PadFrames(to=1024, longer="crop", counts=True) before Normalize.

    Args:
        multiple: the number of frames is brought up to a multiple of this, 1 or more.
        to: frames of every result, 1 or more. One of `multiple` and `to` is to be given.
        value: what the added frames hold, any finite number. Unless they count, all frames past a clip's end hold it,
            those that batch-mates made necessary too; give another value than 0 to the last member of a chain alone.
        longer: with `to`: what happens to a clip of more frames: "error", or "crop" (its first `to` frames are left).
            With `multiple`: "crop" brings the number down to a multiple, of a clip with that many frames or more.
        counts: the added frames count as the clip's own from here on.

    Returns:
        (..., bins, frames), from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range or without effect; at the call, for lengths that do not fit, and for
            a clip longer than `to` unless it is to be cropped.
        TypeError: for features that are complex or of integers.

    >>> PadFrames(multiple=4)(torch.ones(2, 80, 9)).shape, PadFrames(multiple=4).frame_lengths(torch.tensor([9])).item()
    (torch.Size([2, 80, 12]), 9)
    >>> PadFrames(to=5, value=-1.0)(torch.ones(1, 3)).tolist()
    [[1.0, 1.0, 1.0, -1.0, -1.0]]
    """

    keeps_bins, is_light = True, True
    # `to` is a method of every module
    attribute_names: ClassVar[dict[str, str]] = {"to": "to_frames"}

    def __init__(
        self,
        *,
        multiple: int | None = None,
        to: int | None = None,
        value: float = 0.0,
        longer: str = "error",
        counts: bool = False,
    ) -> None:
        super().__init__()
        if (multiple is None) is (to is None):
            given = "neither is given" if to is None else f"both are given: multiple={multiple!r}, to={to!r}"
            raise ValueError(f"one of multiple and to must be given, and {given}; to=1024, say, or multiple=4")
        rule = "an integer number of frames, 1 or more"
        self.multiple = None if multiple is None else check_count("multiple", multiple, rule)
        self.to_frames = None if to is None else check_count("to", to, rule)
        if isinstance(value, bool | str) or value is None or not math.isfinite(value):
            raise ValueError(f"value={value!r} must be a finite number")
        self.value, self.counts = float(value), counts
        self.longer = check_choice("longer", longer, ("error", "crop"))

    @property
    def adds_padding(self) -> bool:
        """True if padded frames do not count, so that a `Chain` has to tell later members where the clips end."""
        return not self.counts

    def compute_own(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        # where frames are added the result is other memory, and nobody else's either
        same = features.shape[-1] == (self.to_frames or self._up(features.shape[-1])) and self.value == 0.0
        return features if same else self.compute(features, lengths, graph=False)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        frames = features.shape[-1]
        target = self.width_for(frames)
        if self.longer != "crop" and frames > target:
            self._check_longest(frames, lengths, target)
        more = target - frames  # below 0: the last are taken off
        if lengths is None or self.value == 0.0:
            return torch.nn.functional.pad(features, (0, more), value=self.value)
        padded = torch.nn.functional.pad(features, (0, more))
        past = ~length_mask(target, torch.minimum(lengths, self.frame_lengths(lengths)))
        return padded.masked_fill(past.view(past.shape[0], *[1] * (padded.dim() - 2), -1), self.value)

    def width_for(self, frames: int) -> int:
        """Return how many frames padded features have where they had `frames`."""
        return self._up(frames) if self.to_frames is None else self.to_frames

    def padded(
        self, features: torch.Tensor, frames: int, lengths: torch.Tensor | None, value: torch.Tensor
    ) -> torch.Tensor:
        """Return features padded by frames that hold a value, in memory of their own, without a graph.

        Args:
            features: (batch, ..., bins, frames) or (bins, frames), which may be written over; they may have room for
                the result.
            frames: their number.
            lengths: (batch,) frames of each clip; None: all of them.
            value: (bins, 1), what the frames hold that are added to a clip. If they count, past those that batch-mates
                need is 0.
        """
        target = self.width_for(frames)
        if frames > target:
            self._check_longest(frames, lengths, target)
        kept, out = min(frames, target), features
        if features.shape[-1] != target:
            out = features.new_empty((*features.shape[:-1], target))
            out[..., :kept] = features[..., :kept]
        if lengths is None:
            out[..., kept:] = value
        else:
            lengths = lengths.reshape(-1)
            clips, ends = out.view(len(lengths), -1, *out.shape[-2:]), self.frame_lengths(lengths)
            for clip, own, end in zip(clips, lengths.tolist(), ends.tolist(), strict=True):
                clip[..., own:end] = value
                clip[..., end:] = 0 if self.counts else value
        return out

    def finish(self, result: torch.Tensor, ends: torch.Tensor, *, graph: bool) -> torch.Tensor:
        # frames that do not count hold `value`
        cut = self.to_frames is None and self.longer == "crop" and self.value == 0.0
        return super().finish(result, ends, graph=graph) if cut or (self.counts and self.value) else result

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        if self.to_frames is None:
            if self.counts:
                return self._up(lengths)
            return torch.minimum(lengths, self._up(lengths)) if self.longer == "crop" else lengths
        if self.counts:
            return torch.full_like(lengths, self.to_frames)
        return lengths.clamp(max=self.to_frames) if self.longer == "crop" else lengths

    def _up(self, frames: Count) -> Count:
        """Return padded frames brought up (or down) to the multiple: an int, or a tensor of them."""
        assert self.multiple is not None
        if self.longer == "crop":
            # up to the first multiple, and down to all others
            many = frames // self.multiple * self.multiple
            if not isinstance(frames, torch.Tensor):
                return max(many, self.multiple)
            return torch.maximum(many, (frames > 0) * self.multiple)
        return ceil_divided(frames, self.multiple) * self.multiple

    def _check_longest(self, frames: int, lengths: torch.Tensor | None, most: int) -> None:
        """Check that no clip has more frames than it is to be padded to, if that is an error."""
        if self.longer == "crop":
            return
        # of a compiled call the values are not known
        known = lengths is not None and not torch.compiler.is_compiling() and lengths.device.type != "meta"
        longest = int(lengths.max()) if known and lengths is not None else frames
        if longest > most:
            raise ValueError(
                f"to={most} frames must be at least as many as a clip has, and one has {longest}; pass "
                "longer='crop' to keep its first frames, a larger to=, or crop the recordings"
            )
