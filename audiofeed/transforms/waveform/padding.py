"""Waveforms padded with zeros or cut, to a number of samples or a multiple of one, before any feature."""

from __future__ import annotations

from typing import ClassVar

import torch

from audiofeed.arguments.checks import check_choice, check_count, check_integer
from audiofeed.methods.frames import Count
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform


class PadWaveform(WaveformTransform):
    """Pad waveforms with zeros, as a module: before and behind each clip, then to a number of samples or a multiple.

    The zeros count as the clip's own from here on: `frame_lengths` has them, and features are made of them as of any
    silence. So Whisper takes its clips, `Chain(PadWaveform(to=480000, longer="crop"), LogMelSpectrogram(...))`. What a
    batch is padded to by its longest clip does not count.

    Args:
        to: samples of every result, 1 or more; None: no such number.
        multiple: the number of samples is brought up to a multiple of this, 1 or more; None: of any.
        before: zeros before the first sample, 0 or more.
        after: zeros behind the last sample; below 0, so many samples are taken off, but never the first.
        longer: with `to`: what happens to a clip of more samples: "error", or "crop" (its first `to` samples are left).

    Returns:
        (..., other time), from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range or without effect; at the call, for a clip longer than `to` unless
            it is to be cropped.

    >>> PadWaveform(to=5)(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 3.0, 0.0, 0.0]
    >>> PadWaveform(before=1, after=-1, multiple=4)(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [0.0, 1.0, 2.0, 0.0]
    >>> PadWaveform(multiple=128).frame_lengths(torch.tensor([1, 128, 129])).tolist()
    [128, 128, 256]
    """

    in_place, takes_any_past, keeps_zeros = False, True, True
    # `to` is a method of every module
    attribute_names: ClassVar[dict[str, str]] = {"to": "to_samples"}

    def __init__(
        self,
        *,
        to: int | None = None,
        multiple: int | None = None,
        before: int = 0,
        after: int = 0,
        longer: str = "error",
    ) -> None:
        super().__init__()
        if to is not None and multiple is not None:
            raise ValueError(f"to={to!r} and multiple={multiple!r} must not be given both; leave one out")
        rule = "an integer number of samples, 1 or more"
        self.to_samples = None if to is None else check_count("to", to, rule)
        self.multiple = None if multiple is None else check_count("multiple", multiple, rule)
        self.before = check_integer("before", before, "an integer number of zeros, 0 or more", least=0)
        self.after = check_integer("after", after, "an integer number of zeros, or of samples taken off if below 0")
        if to is None and multiple is None and before == 0 and after == 0:
            raise ValueError("PadWaveform() has no effect; give one of to, multiple, before and after")
        if self.to_samples is not None and self.before >= self.to_samples:
            raise ValueError(f"before={self.before} zeros must leave room for a sample in to={self.to_samples}")
        self.longer = check_choice("longer", longer, ("error", "crop"))
        if longer != "error" and to is None:
            raise ValueError(f"longer={longer!r} has an effect only with to=; leave it out")

    @property
    def first_center(self) -> float:
        """Sample of a padded waveform's clip that its first sample is: below 0, so many zeros stand before it."""
        return -float(self.before)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        self._check_longest(waveform.shape[-1], lengths)
        same = self.before == self.after == 0 and self._target(waveform.shape[-1]) == waveform.shape[-1]
        if same and waveform.is_floating_point() and (lengths is None or _all_reach(lengths, waveform.shape[-1])):
            return waveform
        return super().compute(waveform, lengths, graph=graph)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        self._check_longest(clips.shape[-1], lengths)
        ends = [clips.shape[-1]] * len(clips) if lengths is None else lengths.tolist()
        for clip, result, end in zip(clips, out, ends, strict=True):
            kept = min(self._kept(end), result.shape[-1] - self.before)
            result[:, : self.before] = 0
            result[:, self.before : self.before + kept] = clip[:, :kept]
            result[:, self.before + kept :] = 0

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        time = clips.shape[-1]
        if lengths is not None and self.after < 0:
            # what is taken off a clip that is shorter than its batch-mates
            kept = self._kept(lengths).view(-1, *[1] * (clips.dim() - 1))
            clips = clips.masked_fill(torch.arange(time, device=clips.device) >= kept, 0)
        width = self._target(time)
        if self.after < 0:
            clips = clips[..., : self._kept(time)]
        if self.to_samples is not None:
            clips = clips[..., : self.to_samples - self.before]
        # of what is left after each cut, so that a trace follows the length
        return torch.nn.functional.pad(clips, (self.before, width - self.before - clips.shape[-1]))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        # of no samples nothing is made
        return self._target(lengths).masked_fill(lengths < 1, 0)

    def _kept(self, samples: Count) -> Count:
        """Return how many of so many samples of a padded waveform are left: all, or less those taken off its end."""
        if self.after >= 0:
            return samples
        if isinstance(samples, torch.Tensor):
            return torch.minimum(samples, (samples + self.after).clamp(min=1))
        return min(samples, max(1, samples + self.after))

    def _target(self, samples: Count) -> Count:
        """Return how many samples a padded waveform has that had so many: an int, or a tensor of them."""
        whole = self._kept(samples) + self.before + max(0, self.after)
        if self.to_samples is not None:
            return torch.full_like(whole, self.to_samples) if isinstance(whole, torch.Tensor) else self.to_samples
        return whole if self.multiple is None else -(-whole // self.multiple) * self.multiple

    def _check_longest(self, time: int, lengths: torch.Tensor | None) -> None:
        """Check that no waveform has more samples than it is to be padded to, if that is an error."""
        if self.to_samples is None or self.longer == "crop":
            return
        # of a compiled call the values are not known
        known = lengths is not None and not torch.compiler.is_compiling() and lengths.device.type != "meta"
        longest = int(lengths.max()) if known and lengths is not None else time
        longest = self._kept(longest) + self.before + max(0, self.after)
        if longest > self.to_samples:
            raise ValueError(
                f"to={self.to_samples} samples must be at least as many as a clip has, and one has {longest}; pass "
                "longer='crop' to keep its first samples, a larger to=, or crop the recordings"
            )


def _all_reach(lengths: torch.Tensor, time: int) -> bool:
    """Return whether no waveform of a batch ends before the last sample, where that can be known at no cost."""
    return lengths.device.type == "cpu" and not torch.compiler.is_compiling() and int(lengths.min()) == time
