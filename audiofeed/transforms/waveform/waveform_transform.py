"""The contract of transforms from waveforms to waveforms, and several of them in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.methods.batch_rows import check_lengths, check_waveform
from audiofeed.methods.lengths import clear_past
from audiofeed.methods.precision import computable, in_full_precision
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.clips_in_parts import compute_in_parts, is_dealt
from audiofeed.signal.samples import INT16_SCALE
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.transform import Transform

OVER = ("clip", "channel")
# Samples that go through all steps in one go on a CPU: with fewer the steps' calls take longer than their work, with
# more the samples leave the cache from one step to the next.
_BLOCK = 2**20


class WaveformTransform(Transform):
    """Base class of a transform from waveforms to waveforms, a module to stand before any feature in a `Chain`.

    A subclass gives `into` (clips without a graph, on a CPU) and `of_clips` (a batch, with a gradient), and, where the
    result has another number of samples, `frame_lengths`. On a CPU some clips at a time go through all of a chain's
    steps while they are in cache.
    """

    gives_waveforms = True
    takes_int16 = True
    # samples come as often as before, so that a later transform's sample rate is the waveform's own
    keeps_rate = True
    is_light = True
    # one sample after another, for `times`
    hop_length = 1
    # whether `into` may write over what it reads
    in_place = True
    # whether `into` may be given anything past the ends of clips, and whether it leaves 0 where it finds 0
    takes_any_past, keeps_zeros = False, False
    # whether a result is longer than its clip, by zeros that `frame_lengths` does not count
    adds_padding = False

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        """Write what a transform from waveforms to waveforms makes of some clips, without a graph.

        Args:
            clips: (clips, channels, time), 0 past `lengths` unless the class `takes_any_past`.
            out: (clips, channels, time of the result); `clips` itself where the class works `in_place`.
            lengths: (clips,) samples of each clip; None: all of them.
        """
        raise NotImplementedError

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute the result of a transform from waveforms to waveforms by operations that have a gradient.

        Args:
            clips: (clips, channels, time), 0 past `lengths`.
            lengths: (clips,) samples of each clip; None: all of them.

        Returns:
            (clips, channels, time of the result); past a clip's own length anything may stand.
        """
        raise NotImplementedError

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a transform from waveforms to waveforms of clips (clips, channels, time), as `of_clips` has them."""
        if _by_clips(waveform, graph):
            return through((self,), waveform, lengths)
        if lengths is None:
            return self.of_clips(waveform, None)
        result = self.of_clips(clear_past(waveform, lengths), lengths)
        return clear_past(result, self.frame_lengths(lengths))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the samples that a transform from waveforms to waveforms makes of so many: here, as many."""
        return lengths

    def width_for(self, samples: int) -> int:
        """Return how many samples long the result of a transform from waveforms to waveforms is, of so many."""
        return int(self.frame_lengths(torch.tensor([samples], device="cpu"))[0])

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Transform the waveform of one clip or of a batch into waveforms, before any feature.

        Args:
            waveform: real floating point or int16, (..., time) with any leading dimensions, of which the first is the
                batch. int16 stands for its value / 32768. float16 and bfloat16 are computed in float32.
            lengths: (batch,) samples of each clip of a padded batch, 1 to time. What stands past them is not looked at.

        Returns:
            (..., time). Row i, cut to `frame_lengths(lengths)[i]` samples, equals that clip alone; past it, 0.

        Raises:
            TypeError: for a waveform that is neither real floating point nor int16.
            ValueError: for an empty waveform, or lengths that do not fit it.
        """
        return transformed((self,), waveform, lengths)


def transformed(
    steps: Sequence[WaveformTransform], waveform: torch.Tensor, lengths: torch.Tensor | None
) -> torch.Tensor:
    """Compute several transforms from waveforms to waveforms, one after another. See `WaveformTransform.forward`."""
    check_waveform(waveform)
    graph = needs_graph(steps[0], waveform)
    *leading, time = waveform.shape
    clips = computable(waveform, as_int16=_by_clips(waveform, graph)).reshape(leading[0] if leading else 1, -1, time)
    if lengths is not None:
        lengths = check_lengths(lengths, clips.shape[0], time, unit="samples").to(clips.device)
    elif _pad_between(steps):
        lengths = torch.full((clips.shape[0],), time, device=clips.device)  # later steps are to know where clips end

    def of_clips(clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        with in_full_precision(clips.device, graph=graph):
            if len(steps) > 1 and _by_clips(clips, graph):
                return through(steps, clips, lengths)
            for step in steps:
                clips = step.compute(clips, lengths, graph=graph)
                lengths = None if lengths is None else step.frame_lengths(lengths)
            return clips

    if graph and is_dealt(clips, light=True):
        result = compute_in_parts(of_clips, clips, (lengths,), parameters=(), light=True)
    else:
        result = of_clips(clips, lengths)
    return result.reshape(*leading, result.shape[-1])


def through(steps: Sequence[WaveformTransform], clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Compute transforms from waveforms to waveforms without a graph, some clips at a time through all steps.

    Shape: (clips, channels, time), floating point or int16 -> (clips, channels, time of the result).
    """
    n_clips, channels, time = clips.shape
    width = _width_after(steps, time)
    dtype = clips.dtype if clips.is_floating_point() else torch.float32
    result = clips.new_empty((n_clips, channels, width), dtype=dtype)
    workspace = Workspace(result)
    count = max(1, _BLOCK // (channels * time))
    for first in range(0, n_clips, count):
        some = slice(first, first + count)
        own = None if lengths is None else lengths[some]
        end = time if own is None else int(own.max())
        if own is not None and int(own.min()) == end and not _pad_between(steps):
            own = None
        out = result[some, :, : _width_after(steps, end)]
        _block_through(steps, clips[some, :, :end], own, out, workspace)
        result[some, :, out.shape[-1] :] = 0
    return result


def _block_through(
    steps: Sequence[WaveformTransform],
    clips: torch.Tensor,
    lengths: torch.Tensor | None,
    result: torch.Tensor,
    workspace: Workspace,
) -> None:
    """Compute waveform steps of some clips, the last of them in the memory of the result.

    Shape: clips (clips, channels, time of the longest) -> result (clips, channels, time of the longest result).
    """
    source, own, held = clips, False, 0
    dirty = lengths is not None
    if not clips.is_floating_point() or (dirty and not steps[0].takes_any_past):
        # where all steps work in place, that place is the result's
        copy = result if all(step.in_place for step in steps) else workspace.take("0", *clips.shape)
        source, own = copy.copy_(clips), True
        if not clips.is_floating_point():
            source.mul_(INT16_SCALE)
    # from the last step that needs other memory than it reads on, all write into the result
    last = max((i for i, step in enumerate(steps) if not step.in_place), default=0)
    for i, step in enumerate(steps):
        if lengths is not None and dirty and not step.takes_any_past:
            _clear(source, lengths)
            dirty = False
        if i == last:
            out = result
        elif own and step.in_place:
            out = source
        else:
            held = 1 - held
            out = workspace.take(str(held), *source.shape[:-1], step.width_for(source.shape[-1]))
        step.into(source, out, lengths)
        if lengths is not None:
            lengths = step.frame_lengths(lengths)
            dirty = dirty or not step.keeps_zeros
        source, own = out, True
    if lengths is not None and dirty:
        _clear(source, lengths)


def _clear(clips: torch.Tensor, lengths: torch.Tensor) -> None:
    """Set the samples of waveform clips past their ends to 0."""
    for clip, end in zip(clips, lengths.tolist(), strict=True):
        if end < clip.shape[-1]:
            clip[:, end:].zero_()


def _pad_between(steps: Sequence[WaveformTransform]) -> bool:
    """Return whether a waveform step is given zeros that are not the clip's own by one before it."""
    return any(step.adds_padding for step in steps[:-1])


def _width_after(steps: Sequence[WaveformTransform], samples: int) -> int:
    """Return how many samples waveform steps make of so many."""
    for step in steps:
        samples = step.width_for(samples)
    return samples


def _by_clips(clips: torch.Tensor, graph: bool) -> bool:
    return not graph and clips.device.type == "cpu"


def over_dims(over: str) -> tuple[int, ...]:
    """Return the dimensions of waveform clips (..., channels, time) that count together, by the argument `over`.

    >>> over_dims("clip"), over_dims("channel")
    ((-2, -1), (-1,))
    """
    return (-2, -1) if check_choice("over", over, OVER) == "clip" else (-1,)
