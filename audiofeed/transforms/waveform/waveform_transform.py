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


class WaveformTransform(Transform):
    """Base class of a transform from waveforms to waveforms, a module to stand before any feature in a `Chain`.

    A subclass gives `into` (one clip, without a graph, on a CPU) and `of_clips` (a batch, with a gradient), and, where
    the result has another number of samples, `frame_lengths`. On a CPU each clip goes through all of a chain's steps
    while it is in cache.
    """

    gives_waveforms = True
    takes_int16 = True
    # samples come as often as before, so that a later transform's sample rate is the waveform's own
    keeps_rate = True
    # whether `into` may write over what it reads
    in_place = True

    def into(self, clip: torch.Tensor, out: torch.Tensor) -> None:
        """Write what a transform from waveforms to waveforms makes of one clip, without a graph.

        Args:
            clip: (channels, samples).
            out: (channels, samples of the result); the clip itself where the class works `in_place`.
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

    def of_clips(clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        with in_full_precision(clips.device, graph=graph):
            if len(steps) > 1 and _by_clips(clips, graph):
                return through(steps, clips, lengths)
            for step in steps:
                clips = step.compute(clips, lengths, graph=graph)
                lengths = None if lengths is None else step.frame_lengths(lengths)
            return clips

    if graph and is_dealt(clips):
        result = compute_in_parts(of_clips, clips, (lengths,), parameters=())
    else:
        result = of_clips(clips, lengths)
    return result.reshape(*leading, result.shape[-1])


def through(steps: Sequence[WaveformTransform], clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Compute transforms from waveforms to waveforms clip by clip, each clip through all steps while it is in cache.

    Shape: (clips, channels, time), floating point or int16 -> (clips, channels, time of the result).
    """
    n_clips, channels, time = clips.shape
    ends = torch.tensor([time, *([time] * n_clips if lengths is None else lengths.tolist())])
    sizes = [ends.tolist()]
    for step in steps:
        ends = step.frame_lengths(ends)
        sizes.append(ends.tolist())
    dtype = clips.dtype if clips.is_floating_point() else torch.float32
    result = clips.new_empty((n_clips, channels, sizes[-1][0]), dtype=dtype)
    workspace = Workspace(result)
    # from the last step that needs other memory than it reads on, all write into the result
    last = max((i for i, step in enumerate(steps) if not step.in_place), default=0)
    for number in range(n_clips):
        source, own, held = clips[number, :, : sizes[0][number + 1]], False, 0
        if not clips.is_floating_point():
            source, own = workspace.take("0", *source.shape).copy_(source).mul_(INT16_SCALE), True
        for i, step in enumerate(steps):
            end = sizes[i + 1][number + 1]
            if i == last:
                out = result[number, :, :end]
            elif own and step.in_place:
                out = source
            else:
                held = 1 - held
                out = workspace.take(str(held), channels, end)
            step.into(source, out)
            source, own = out, True
        result[number, :, sizes[-1][number + 1] :] = 0
    return result


def _by_clips(clips: torch.Tensor, graph: bool) -> bool:
    return not graph and clips.device.type == "cpu"


def over_dims(over: str) -> tuple[int, ...]:
    """Return the dimensions of waveform clips (..., channels, time) that count together, by the argument `over`.

    >>> over_dims("clip"), over_dims("channel")
    ((-2, -1), (-1,))
    """
    return (-2, -1) if check_choice("over", over, OVER) == "clip" else (-1,)
