"""Waveforms padded, repeated or cut, to a number of samples or a multiple of one, before any feature."""

from __future__ import annotations

from typing import ClassVar

import torch

from audiofeed.arguments.checks import PAD_MODES, check_choice, check_count, check_integer
from audiofeed.methods.batch_rows import check_waveform
from audiofeed.methods.waveform.padding import Padding
from audiofeed.parallel.observed import is_exporting
from audiofeed.signal.waveform.padding import COPIES, PLACES
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform

_MODES = (*PAD_MODES, COPIES)
_CALLED = {"repeatpad": COPIES, "repeat": "circular", "pad": "constant", "edge": "replicate", "wrap": "circular"}


class PadWaveform(WaveformTransform):
    """Pad, repeat or cut waveforms, as a module: zeros around each clip, then a number of samples or a multiple of one.

    What is added counts as the clip's own from here on: `frame_lengths` has it, and features are made of it as of any
    samples. So Whisper takes its clips, `Chain(PadWaveform(to=480000, longer="crop"), LogMelSpectrogram(...))`. What a
    batch is padded to by its longest clip does not count.

    Args:
        to: samples of a result, 1 or more; None: no such number.
        multiple: the number of samples, or with `to` and longer="keep" what it has beyond that, is brought up to a
            multiple of this, 1 or more; None: of any.
        before: zeros before the first sample, 0 or more.
        after: zeros behind the last sample; below 0, so many samples are taken off, but never the first.
        longer: with `to`: what happens to a clip of more samples: "error", "crop" (its first `to` samples are left), or
            "keep".
        shorter: with `to`: what happens to a clip of fewer samples: "pad", or "keep" (it is only cut where it is
            longer).
        mode: what makes a clip longer, to `to` and to `multiple`: "constant" (zeros), "copies" (as many whole copies of
            it as fit, then zeros: CLAP's "repeatpad"), "circular" (copies, the last one cut: CLAP's "repeat"),
            "reflect", "symmetric" or "replicate", for any clip, however short.
        place: where a clip stands among what makes it longer: "start", or "center".
        counts: what is added behind a clip counts as its own. False: it is zeros, which `frame_lengths` leaves out.

    Returns:
        (..., other time), from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range or without effect; at the call, for a clip longer than `to` unless
            it is to be cropped or kept.

    >>> PadWaveform(to=5)(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 3.0, 0.0, 0.0]
    >>> PadWaveform(to=5, mode="copies")(torch.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0, 1.0, 2.0, 0.0]
    >>> PadWaveform(before=1, after=-1, multiple=4)(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [0.0, 1.0, 2.0, 0.0]
    >>> PadWaveform(multiple=128).frame_lengths(torch.tensor([1, 128, 129])).tolist()
    [128, 128, 256]
    >>> PadWaveform(multiple=128, counts=False).frame_lengths(torch.tensor([1, 128, 129])).tolist()
    [1, 128, 129]
    """

    in_place, keeps_zeros = False, True
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
        shorter: str = "pad",
        mode: str = "constant",
        place: str = "start",
        counts: bool = True,
    ) -> None:
        super().__init__()
        rule = "an integer number of samples, 1 or more"
        self.to_samples = None if to is None else check_count("to", to, rule)
        self.multiple = None if multiple is None else check_count("multiple", multiple, rule)
        self.before = check_integer("before", before, "an integer number of zeros, 0 or more", least=0)
        self.after = check_integer("after", after, "an integer number of zeros, or of samples taken off if below 0")
        if to is not None and multiple is not None and longer != "keep":
            raise ValueError(
                f"to={to!r} and multiple={multiple!r} must not be given both, unless with longer='keep'; leave one out"
            )
        if to is None and multiple is None and before == 0 and after == 0:
            raise ValueError("PadWaveform() has no effect; give one of to, multiple, before and after")
        if self.to_samples is not None and self.before >= self.to_samples:
            raise ValueError(f"before={self.before} zeros must leave room for a sample in to={self.to_samples}")
        self.longer = check_choice("longer", longer, ("error", "crop", "keep"))
        self.shorter = check_choice("shorter", shorter, ("pad", "keep"))
        self.mode = check_choice("mode", mode, _MODES, called=_CALLED)
        self.place, self.counts = check_choice("place", place, PLACES), counts
        self._check_effects()
        self.takes_any_past = self.mode == "constant" and self.place == "start"
        at_least = 0 if self.to_samples is None or shorter == "keep" else self.to_samples
        self._padding = Padding(
            before=self.before,
            after=self.after,
            at_most=self.to_samples if longer != "keep" else None,
            at_least=at_least,
            multiple=self.multiple or 1,
            mode=self.mode,
            place=self.place,
        )

    def _check_effects(self) -> None:
        """Check that every setting of a padded waveform has an effect, and none contradicts another."""
        if self.to_samples is None:
            for name, value, default in (("longer", self.longer, "error"), ("shorter", self.shorter, "pad")):
                if value != default:
                    raise ValueError(f"{name}={value!r} has an effect only with to=; leave it out")
        if self.shorter == "keep" and self.longer != "crop":
            raise ValueError(f"shorter='keep' has an effect only with longer='crop', not {self.longer!r}; leave it out")
        grows = self.multiple is not None or (self.to_samples is not None and self.shorter == "pad")
        for name, value, default in (("mode", self.mode, "constant"), ("place", self.place, "start")):
            if value != default and not grows:
                raise ValueError(f"{name}={value!r} has an effect only with to= or multiple=; leave it out")
        if self.mode == COPIES and self.place == "center":
            raise ValueError("place='center' must be 'start' with mode='copies', which follow the clip")
        if not self.counts and (self.mode != "constant" or self.place != "start"):
            raise ValueError(
                f"counts=False must be True with mode={self.mode!r}, place={self.place!r}: zeros behind a clip alone "
                "can be left out of its length"
            )

    @property
    def adds_padding(self) -> bool:  # type: ignore[override]
        """True if what is added behind a waveform does not count, so that a `Chain` has to tell where clips end."""
        return not self.counts

    @property
    def first_center(self) -> float:
        """Sample of a padded waveform's clip that its first sample is: below 0, so many zeros stand before it.

        Those that stand there because of place="center" are not known, as each clip has its own number.
        """
        return -float(self.before)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Pad a waveform of one clip or of a batch; one that is as long already comes back. See `WaveformTransform`."""
        own = type(self).compute is PadWaveform.compute  # and not that of a class derived from this one
        if lengths is None and own and type(waveform) is torch.Tensor and not torch.compiler.is_compiling():
            check_waveform(waveform)
            if waveform.dtype in (torch.float32, torch.float64) and self._leaves(waveform.shape[-1]):
                return waveform
        return super().forward(waveform, lengths)

    def _leaves(self, time: int) -> bool:
        """Return whether nothing is added to a waveform of so many samples."""
        return self.before == self.after == 0 and self.width_for(time) == time

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        time = waveform.shape[-1]
        self._check_longest(time, lengths)
        same = not is_exporting() and self._leaves(time)  # clips of other lengths are given to an export
        if same and waveform.is_floating_point() and (lengths is None or _all_reach(lengths, time)):
            return waveform
        return super().compute(waveform, lengths, graph=graph)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        self._check_longest(clips.shape[-1], lengths)
        if self.mode != "constant" or self.place != "start":
            out.copy_(self._padding.apply(clips, lengths))
            return
        ends = [clips.shape[-1]] * len(clips) if lengths is None else lengths.tolist()
        for clip, result, end in zip(clips, out, ends, strict=True):
            own = self._padding.own(end)
            result[:, : self.before] = 0
            result[:, self.before : own] = clip[:, : own - self.before]
            result[:, own:] = 0

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return self._padding.apply(clips, lengths)

    def width_for(self, samples: int) -> int:
        return self._padding.size(samples)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        ends = self._padding.size(lengths) if self.counts else self._padding.own(lengths)
        return ends.masked_fill(lengths < 1, 0)  # of no samples nothing is made

    def _check_longest(self, time: int, lengths: torch.Tensor | None) -> None:
        """Check that no waveform has more samples than it is to be padded to, if that is an error."""
        if self.to_samples is None or self.longer != "error":
            return
        if self._padding.whole(time) <= self.to_samples:
            return
        # of a compiled call the values are not known; elsewhere a device is asked for them, as a clip may be too long
        known = lengths is not None and not torch.compiler.is_compiling() and lengths.device.type != "meta"
        longest = self._padding.whole(int(lengths.max()) if known and lengths is not None else time)
        if longest > self.to_samples:
            raise ValueError(
                f"to={self.to_samples} samples must be at least as many as a clip has, and one has {longest}; pass "
                "longer='crop' to keep its first samples, a larger to=, or crop the recordings"
            )


def _all_reach(lengths: torch.Tensor, time: int) -> bool:
    """Return whether no waveform of a batch ends before the last sample, where that can be known at no cost."""
    return lengths.device.type == "cpu" and not torch.compiler.is_compiling() and int(lengths.min()) == time
