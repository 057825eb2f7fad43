"""The contract of transforms of waveforms: shapes, lengths, precision, filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from audiofeed.arguments.checks import check_rate
from audiofeed.arguments.signature import complete, shown
from audiofeed.drawing.reprs import module_repr
from audiofeed.methods.batch_rows import check_waveform, clips_of, lengths_of_rows, split_rows, with_leading
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import (
    clear_own_past,
    clear_past,
    clear_where,
    is_clear,
    keep_outside,
    of_one_call,
    past_of,
)
from audiofeed.methods.precision import computable, in_full_precision
from audiofeed.parallel.clips_in_parts import is_dealt, rows_in_parts
from audiofeed.parallel.launches import launches
from audiofeed.signal.filter_responses import FilterResponses
from audiofeed.transforms.contract.filters import (
    FilterStore,
    apply_cast,
    define,
    derived_filter,
    filter_definition,
    filter_like,
    keep,
    reset_parameters,
)
from audiofeed.transforms.contract.graph import needs_graph, refuse_script
from audiofeed.transforms.contract.unknown_attributes import UnknownAttributeError, explained


class Transform(nn.Module):
    """Base class of a transform of waveforms, a module from waveforms to features.

    Called as `transform(waveform, lengths=None)`. Derive from it for a transform of your own: give `compute` (features
    of rows) and, unless `framing` says it, `frame_lengths`. The rest of the contract is kept here: any leading
    dimensions, rows of their own length, zero past the end, float32 under autocast, filters that follow the device and
    the dtype. Every constructor argument must be kept as an attribute of its name, for `repr`.

    Args:
        sample_rate: Hz; None where nothing depends on it.

    >>> class Envelope(Transform):
    ...     def __init__(self, *, hop_length: int = 100) -> None:
    ...         super().__init__()
    ...         self.hop_length = hop_length
    ...     def frame_lengths(self, lengths):
    ...         return lengths // self.hop_length
    ...     def compute(self, waveform, lengths, *, graph):
    ...         return waveform.abs().unfold(-1, self.hop_length, self.hop_length).amax(-1)[:, None]
    >>> Envelope()(torch.ones(2, 3, 450), torch.tensor([450, 250])).sum(-1).squeeze(-1).tolist()
    [[4.0, 4.0, 4.0], [2.0, 2.0, 2.0]]
    """

    # whether `compute` takes int16 samples as they are, without a graph; a collate then need not convert the batch
    takes_int16 = False
    # "double": computed in float64 whatever the dtype of the waveform, whose dtype the result has
    precision = "input"
    # whether a value takes only a few operations, so that clips with a graph are not dealt out to threads
    is_light = False
    # whether the output is a waveform, so that another transform of waveforms can follow in a Chain
    gives_waveforms = False
    # whether the output is logarithms, of which none is to be taken again
    gives_logarithms = False
    sample_rate: float | None = None
    # where the frames lie, if the transform has frames
    framing: Framing | None = None

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        complete(cls, switches=True)

    def __init__(self, sample_rate: float | None = None) -> None:
        super().__init__()
        if sample_rate is not None:
            check_rate(sample_rate, "it is needed for `frequencies` and `times`")
        self.sample_rate = sample_rate
        self._filters = FilterStore()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a setting, an attribute of a transform of waveforms that `keep` has set."""

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a setting, an attribute of a transform of waveforms, as `keep` does."""

    else:
        __getattr__ = explained
        __prepare_scriptable__ = refuse_script

    # ---------------------------------------------------------------- what a subclass gives

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute the features of a transform of waveforms for rows; values past a row's own frames do not matter.

        Args:
            waveform: (rows, time), floating point, or int16 where the class `takes_int16` and there is no graph.
            lengths: (rows,) samples of each row; None: all of them.
            graph: autograd or a compiler records what is computed; without it the result may be computed in place.

        Returns:
            (rows, bins, frames).
        """
        raise NotImplementedError

    def finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply the last step of any transform of waveforms, which may need a whole clip at once (its peak).

        Args:
            features: (clips, rows of each, bins, frames), as is the result.
            frames: (clips,) frames of each clip; None: all of them.
        """
        return features

    def finishes_clips(self) -> bool:
        """Return whether any transform of waveforms has a last step of clips, for which it has `finish_clips`."""
        return type(self).finish_clips is not Transform.finish_clips

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past each row's own, of any transform of waveforms, (rows, n_frames)."""
        if self.framing is None or type(self).frame_lengths is not Transform.frame_lengths:
            return past_of(n_frames, self.frame_lengths(lengths))
        return self.framing.past(n_frames, lengths)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames that any transform of waveforms makes of `lengths` samples.  Shape: any -> the same."""
        if self.framing is None:
            raise NotImplementedError(f"{type(self).__name__} must have frame_lengths(lengths)")
        return self.framing.count(lengths)

    def filter_responses(self) -> FilterResponses | None:
        """Return how strongly each filter of a transform of waveforms answers each frequency; None: it has no filters.

        `af.plot.filters` draws them. Trained filters are those of the moment.
        """
        return None

    # ---------------------------------------------------------------- what a subclass uses

    keep, define, filter_like, _apply = keep, define, filter_like, apply_cast
    derived_filter, filter_definition = derived_filter, filter_definition
    reset_parameters = reset_parameters

    def rate(self, what: str) -> float:
        """Return the sample rate of a transform of waveforms, or raise a ValueError that names `what` needs it."""
        if self.sample_rate is None:
            raise UnknownAttributeError(f"{what} needs the sample rate; make the transform with sample_rate=...")
        return float(self.sample_rate)

    # ---------------------------------------------------------------- what a caller uses

    @property
    def frequencies(self) -> torch.Tensor:
        """Frequency in Hz of each bin of any transform of waveforms, float64, of shape (bins,).

        Raises:
            AttributeError: (a ValueError as well) where they are not known: rows stand for none, or need `sample_rate`.
        """
        raise UnknownAttributeError(
            f"{type(self).__name__} has no frequencies: its rows stand for none; ask with hasattr, or take the "
            "frequencies of a transform whose rows are bins"
        )

    @property
    def first_center(self) -> float:
        """Sample on which frame 0 of any transform of waveforms is centered."""
        return 0.0 if self.framing is None else self.framing.where.first_center

    def centers(self, n_frames: int) -> torch.Tensor:
        """Return the center of each frame of any transform of waveforms in samples, float64, of shape (n_frames,).

        Args:
            n_frames: number of frames, from the first.
        """
        return torch.arange(n_frames, dtype=torch.float64) * self.hop_length + self.first_center

    def times(self, n_frames: int) -> torch.Tensor:
        """Return the center of each frame of any transform of waveforms in seconds, float64, of shape (n_frames,).

        Raises:
            ValueError: if the transform was made without `sample_rate`.
        """
        return self.centers(n_frames) / self.rate("times")

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Transform the waveform of one clip or of a batch into features.

        Args:
            waveform: real floating point or int16, (..., time) with any leading dimensions. int16 stands for its
                value / 32768. int16, float16 and bfloat16 are computed in float32, and float32 comes back; float64 is
                computed in float64.
            lengths: (batch,) samples of each clip of a padded batch, 1 to time; the batch is the first dimension.
                What stands past a clip's length is not looked at.

        Returns:
            (..., bins, frames). Row i, cut to `frame_lengths(lengths)[i]` frames, equals that clip alone; past it, 0.

        Raises:
            TypeError: for a waveform that is neither real floating point nor int16.
            ValueError: for an empty waveform, or lengths that do not fit it.
        """
        return self.by_rows(self.compute, waveform, lengths)

    extra_repr, _repr_html_ = shown, module_repr

    # ---------------------------------------------------------------- the steps of a call

    check_waveform = staticmethod(check_waveform)

    def by_rows(
        self,
        compute: Callable[..., torch.Tensor],
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        *,
        finish_clips: Callable[..., torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Run any transform of waveforms as `forward` does, with other functions in place of its own."""
        self.check_waveform(waveform)
        graph = needs_graph(self, waveform)
        rows, row_lengths, leading = self.rows_of(waveform, lengths, graph=graph)
        others = {} if finish_clips is None else {"finish_clips": finish_clips}

        def of_clips(rows: torch.Tensor, lengths: torch.Tensor | None, leading: list[int]) -> torch.Tensor:
            with in_full_precision(waveform.device, graph=graph):
                features = compute(rows, lengths, graph=graph)
                return self.finish_rows(features, lengths, leading, graph=graph, **others)

        if graph and is_dealt(rows, light=self.is_light):
            features = rows_in_parts(of_clips, rows, row_lengths, leading, self.parameters(), light=self.is_light)
        else:
            features = of_clips(rows, row_lengths, leading)
        if self.precision == "double" and waveform.dtype != torch.float64:
            features = features.to(torch.complex64 if features.is_complex() else torch.float32)
        return with_leading(features, leading)

    def rows_of(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, list[int]]:
        """Return waveform rows in the dtype that a transform computes in, their lengths, and the leading dimensions."""
        double = self.precision == "double"
        waveform = computable(waveform, as_int16=self.takes_int16 and not graph and not double)
        if double:
            waveform = waveform.double()
        *leading, time = waveform.shape
        row_lengths = None
        if lengths is not None:
            row_lengths = of_one_call(lengths_of_rows(lengths, leading, time).to(waveform.device), lengths)
        return waveform.reshape(-1, time), row_lengths, leading

    def finish_rows(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor | None,
        leading: list[int],
        *,
        graph: bool,
        finish_clips: Callable[..., torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Finish the computed rows of a transform of waveforms clip by clip, and clear them past their ends."""
        if lengths is None and finish_clips is None and not self.finishes_clips():
            return features
        alone = finish_clips is None and not self.finishes_clips()
        if lengths is not None and alone and is_clear(lengths, features):
            return features
        batch, rows_of_each = clips_of(features, leading)
        few = lengths is not None and launches(features)
        if lengths is not None and alone and few:
            return clear_where(features, self.past_frames(features.shape[-1], lengths), graph=graph)
        frames = None if lengths is None else self.frame_lengths(lengths)
        clips = split_rows(features, [batch, rows_of_each])
        clip_frames = frames if frames is None or rows_of_each == 1 else frames[::rows_of_each]
        if lengths is not None and few and clip_frames is not None and clip_frames is frames:
            keep_outside(frames, self.past_frames(features.shape[-1], lengths), 0)
        features = (finish_clips or self.finish_clips)(clips, clip_frames).flatten(0, 1)
        if frames is None:
            return features
        return clear_past(features, frames) if graph else clear_own_past(features, frames)
