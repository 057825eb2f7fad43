"""The contract of transforms of features, not waveforms: decibels, deltas, inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from audiofeed.arguments.signature import complete, shown
from audiofeed.drawing.reprs import module_repr
from audiofeed.methods.batch_rows import check_lengths
from audiofeed.methods.frame_steps import ValueStep, through_own
from audiofeed.methods.lengths import clear_own_past, clear_past, of_one_call
from audiofeed.methods.normalization.clips import Normalization
from audiofeed.methods.precision import computable, in_full_precision
from audiofeed.parallel.clips_in_parts import compute_in_parts, is_dealt
from audiofeed.transforms.contract.filters import (
    FilterStore,
    apply_cast,
    define,
    filter_like,
    keep,
    reset_parameters,
)
from audiofeed.transforms.contract.graph import needs_graph, refuse_script
from audiofeed.transforms.contract.unknown_attributes import explained


class FeatureTransform(nn.Module):
    """Base class of a feature transform: a module from features (not a waveform) to features or waveforms.

    Called as `transform(features, lengths=None)`, with features (batch, ..., bins, frames). Derive from it for one of
    your own: give `compute` (results of clips) and, where a result has another number of frames, `frame_lengths`. The
    rest of the contract is kept here: any leading dimensions, clips of their own length, zero past the end, float32
    under autocast. Every constructor argument must be kept as an attribute of its name.

    >>> class Root(FeatureTransform):
    ...     keeps_bins = True
    ...     def __init__(self, *, degree: float = 2.0) -> None:
    ...         super().__init__()
    ...         self.degree = degree
    ...     def compute(self, features, lengths, *, graph):
    ...         return features.pow(1 / self.degree)
    >>> Root()(torch.full((2, 1, 3), 4.0), torch.tensor([3, 1])).squeeze(1).tolist()
    [[2.0, 2.0, 2.0], [2.0, 0.0, 0.0]]
    """

    # a collate, which has waveforms, can say so before the first batch
    takes_features = True
    # whether the features are complex (a spectrum) or real
    takes_complex = False
    # what complex or integer features should have been, for the error
    hint = "take its power or magnitude"
    # whether the result has the bins of the features, so that a bin keeps its frequency
    keeps_bins = False
    # whether each value of the result is made of one frame alone, so that what stands past a clip's end may stay there
    # until the result is cleared
    own_frames_alone = False
    # whether it works in the features' own memory only if a bin's frames lie side by side
    works_by_bin = False
    # whether a value takes only a few operations, so that clips with a graph are not dealt out to threads
    is_light = False
    # whether the output is a waveform, so that a transform of waveforms can follow in a Chain
    gives_waveforms = False
    # whether the output is logarithms, of which none is to be taken again
    gives_logarithms = False

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        complete(cls, switches=True)

    def __init__(self) -> None:
        super().__init__()
        self._filters = FilterStore()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a setting, an attribute of a feature transform that `keep` has set."""

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a setting, an attribute of a feature transform, as `keep` does."""

    else:
        __getattr__ = explained
        __prepare_scriptable__ = refuse_script

    # ---------------------------------------------------------------- what a subclass gives

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a feature transform's results for clips; values past the end of a clip's own result do not matter.

        Args:
            features: (clips, rows of each, bins, frames), 0 past `lengths`.
            lengths: (clips,) frames of each clip; None: all of them.
            graph: autograd or a compiler records what is computed; without it the result may be computed in place.

        Returns:
            (clips, rows of each, ..., frames of the result).
        """
        raise NotImplementedError

    def compute_own(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute a feature transform's results without a graph, of features that nobody else holds.

        They may be written over. By default they are not; `Chain` asks for this where it made the features itself. A
        subclass that gives another `compute` is asked for that.

        Args:
            features: (clips, rows of each, bins, frames), 0 past `lengths` unless the class has `own_frames_alone`.
            lengths: (clips,) frames of each clip; None: all of them.

        Returns:
            as `compute`.
        """
        steps = self.value_steps(features)
        return self.compute(features, lengths, graph=False) if steps is None else through_own(steps, features)

    def value_steps(self, like: torch.Tensor) -> tuple[ValueStep, ...] | None:
        """Return the steps that are the whole of a feature transform, if it makes each value of one value alone.

        What computes the features may then take them along. They are those of `compute`, with numbers in the dtype of
        features `like` these; None: it is no such transform.
        """
        return None

    def clip_step(self) -> Normalization | None:
        """Return the normalization of clips that is the whole of a feature transform; None: it is none.

        What computes the features may then take it along. It is that of `compute`.
        """
        return None

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames of any feature transform's results for clips of `lengths` frames: here, as many."""
        return lengths

    # ---------------------------------------------------------------- what a subclass uses

    keep, define, filter_like, _apply = keep, define, filter_like, apply_cast
    reset_parameters = reset_parameters

    # ---------------------------------------------------------------- what a caller uses

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Apply any feature transform to the features of one clip or of a batch.

        Args:
            features: (bins, frames), or (batch, ..., bins, frames) with any leading dimensions, of which the first is
                the batch. float16 and bfloat16 are computed in float32, and float32 comes back.
            lengths: (batch,) frames of each clip of a padded batch, 1 to frames. What stands past them is not looked
                at, and there the result is 0.

        Returns:
            (..., bins, frames), or what the transform makes of them.

        Raises:
            TypeError: for features of another kind (integers; complex for real, or real for complex).
            ValueError: for empty features, or lengths that do not fit them.
        """
        return self.run(features, lengths)

    extra_repr, _repr_html_ = shown, module_repr

    # ---------------------------------------------------------------- the steps of a call

    def run(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, own: bool = False, **settings: object
    ) -> torch.Tensor:
        """Run a feature transform's `forward` with further arguments for `compute`.

        Args:
            own: the features may be written over, where there is no graph: nobody else holds them.
        """
        self.check_features(features)
        graph = needs_graph(self, features)
        features = computable(features)
        *leading, bins, frames = features.shape
        clips = features.reshape(leading[0] if leading else 1, -1, bins, frames)
        if lengths is not None:
            checked = check_lengths(lengths, clips.shape[0], frames, unit="frames")
            lengths = of_one_call(checked.to(clips.device), lengths)
            if not self.own_frames_alone:
                clips = clear_own_past(clips, lengths) if own and not graph else clear_past(clips, lengths)
        of_each: dict[str, torch.Tensor] = {}
        shared = settings
        if settings:  # what each clip has of its own, to be cut as the clips are
            tensors = [(name, given) for name, given in settings.items() if isinstance(given, torch.Tensor)]
            of_each = {name: given for name, given in tensors if len(given) > 1}
            shared = {name: given for name, given in settings.items() if name not in of_each}

        def of_clips(clips: torch.Tensor, lengths: torch.Tensor | None, *given: torch.Tensor) -> torch.Tensor:
            settings = {**shared, **dict(zip(of_each, given, strict=True))} if given else shared
            with in_full_precision(clips.device, graph=graph):
                if own and not graph:
                    result = self.compute_own(clips, lengths)
                else:
                    result = self.compute(clips, lengths, graph=graph, **settings)
                if lengths is None:
                    return result
                return self.finish(result, self.result_lengths(lengths, **settings), graph=graph)

        if graph and is_dealt(clips, light=self.is_light):
            others = (lengths, *of_each.values())
            result = compute_in_parts(of_clips, clips, others, parameters=self.parameters(), light=self.is_light)
        else:
            result = of_clips(clips, lengths, *of_each.values())
        return result.reshape(*leading, *result.shape[2:])

    def finish(self, result: torch.Tensor, ends: torch.Tensor, *, graph: bool) -> torch.Tensor:
        """Return a feature transform's result of clips with 0 past their ends, (clips,) along the last dimension."""
        # it is no memory of the caller: features with lengths were copied, or each value was made anew
        return clear_past(result, ends) if graph or not result.is_contiguous() else clear_own_past(result, ends)

    def result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        """Return the end of each clip's result of any feature transform, along the last dimension."""
        return self.frame_lengths(lengths)

    def check_features(self, features: torch.Tensor) -> None:
        """Check that a feature transform is given (..., bins, frames) of the right kind; errors name the argument."""
        if not isinstance(features, torch.Tensor):
            raise TypeError(
                f"features is a {type(features).__name__}, and must be a torch.Tensor; use torch.as_tensor(features)"
            )
        if self.takes_complex and not features.is_complex():
            raise TypeError(f"features has dtype {features.dtype}, and must be complex: {self.hint}")
        if not self.takes_complex and not features.is_floating_point():
            raise TypeError(f"features has dtype {features.dtype}, and must be real floating point; {self.hint}")
        if features.dim() < 2 or features.numel() == 0:
            raise ValueError(
                f"features has shape {tuple(features.shape)}, and must be (..., bins, frames) with at least one frame"
            )
