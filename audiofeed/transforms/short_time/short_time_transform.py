"""What every transform of short frames shares: the frames, the window or the basis, the method, and the steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from audiofeed.arguments.checks import warn_caller, warn_of_empty
from audiofeed.arguments.meta_device import check_has_values
from audiofeed.arguments.setting_groups import pick
from audiofeed.methods.decibels import Log
from audiofeed.methods.frame_steps import Affine, Closing, ValueStep, Wanted, values_after
from audiofeed.methods.frames import Framing
from audiofeed.methods.lengths import keep_outside, marked_later, note_clear
from audiofeed.methods.method_table import Path, Table
from audiofeed.methods.normalization.clips import Normalization
from audiofeed.methods.short_time.kernel_method import can_emphasize, emphasized_powers
from audiofeed.methods.short_time.short_time_methods import SHORT_TIME, short_time_powers, short_time_spectrum
from audiofeed.methods.waveform.pre_emphasis import Emphasis, pre_emphasize
from audiofeed.parallel.launches import launches
from audiofeed.plans.tiles import FilterTiles, filter_tiles
from audiofeed.signal.filter_responses import FilterResponses
from audiofeed.signal.samples import INT16_SCALE
from audiofeed.signal.scales import fft_frequencies
from audiofeed.signal.short_time.fourier import fourier_basis
from audiofeed.transforms.contract.frame_settings import Frames
from audiofeed.transforms.contract.graph import needs_graph
from audiofeed.transforms.contract.magnitude_settings import Magnitude
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.short_time.steps import Bank, Limit, Step, Sums, split


class ShortTime(Transform):
    """Base class of short-time transforms: the complex spectrum of short frames, or steps from |STFT|^power.

    Derive from it for a feature of your own over frames: give `steps`. In a `Stack` equal frames share one STFT.

    Args:
        settings: arguments of `Frames`, of `Magnitude` and of `Execution`; others are left to the subclass.
        sample_rate: Hz; None where nothing depends on it.
        power: of the magnitude that the steps begin with, > 0; None: the complex spectrum.
        basis: from the window to another basis than Fourier's, for the "conv" method.
        methods: the table of methods that can compute the spectrum.

    >>> class Loudest(ShortTime):
    ...     def __init__(self, *, n_fft: int = 400) -> None:
    ...         super().__init__({"n_fft": n_fft}, power=1.0)
    ...     def steps(self):
    ...         return (PerFrame(lambda powers, workspace: powers.amax(-1, keepdim=True)),)
    >>> from audiofeed.transforms.short_time.steps import PerFrame
    >>> Loudest()(torch.ones(2, 1600)).shape
    torch.Size([2, 1, 17])
    """

    takes_int16 = True
    # whether a row of the result stands for a frequency
    rows_are_bins = True
    framing: Framing
    n_fft: int
    win_length: int

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        sample_rate: float | None = None,
        power: float | None = None,
        basis: Callable[[np.ndarray], np.ndarray] = fourier_basis,
        methods: Table[Any] = SHORT_TIME,
    ) -> None:
        super().__init__(sample_rate)
        frames, execution = pick(Frames, settings), pick(Execution, settings)
        self.frames = frames
        self.keep(frames)
        self.keep(execution)
        self.power, self.framing = power, frames.framing
        magnitude = pick(Magnitude, settings)
        if magnitude.root_offset and power is None:
            raise ValueError(
                f"root_offset={magnitude.root_offset!r} must be 0 with power=None: a complex spectrum has no root; use "
                "power=1.0 or 2.0"
            )
        self.root_offset = magnitude.root_offset
        self._steps: Sequence[Step] = ()
        needs = {"trainable": execution.trainable, "n_fft": frames.n_fft, "power": power}
        self._choice = methods.choose(execution.method, **needs)
        self.method, self.method_reason = self._choice.method, self._choice.reason
        if execution.trainable_window and self._choice.filters != "analysis_window":
            raise ValueError(
                f"trainable_window=True trains the window of method='fft', and the method is {self.method!r}, whose "
                "basis holds the window; train the basis (trainable=True), or leave trainable and method as they are"
            )
        # what two transforms must have in common for their spectra to be the same; what is trained is like no other
        trains = execution.trainable or execution.trainable_window
        # a method that computes powers alone is passed over where a member of a stack wants complex values
        candidates = self._choice.candidates
        complex_too = [m for m in candidates if m.cannot(**{**needs, "power": None}) is None]
        ways = tuple(method.name for method in complex_too or candidates)
        self.frames_key = None if trains or execution.precision != "input" else (frames, ways)
        definitions = {"analysis_window": frames.analysis_window, "basis": frames.of_basis(basis)}
        self.define(self._choice.filters, definitions[self._choice.filters], trainable=trains)

    # ---------------------------------------------------------------- what a subclass gives

    def steps(self) -> Sequence[Step]:
        """Return the steps from |STFT|^power to a short-time feature: those kept as `_steps`; none: the powers."""
        return self._steps

    # ---------------------------------------------------------------- filters

    def define_bank(
        self,
        name: str,
        definition: Callable[[], np.ndarray],
        *,
        trainable: bool = False,
        group: int | None = 32,
        counted: str | None = None,
        made: tuple[np.ndarray, FilterTiles] | None = None,
    ) -> Bank:
        """Keep a filter bank over the spectrum's bins in the base class of short-time modules, and return its step.

        Args:
            name: of the parameter or buffer.
            definition: returns the float64 bank, of shape (filters, bins).
            trainable: the bank is a parameter; it may then be non-zero anywhere.
            group: neighboring filters that are multiplied together; None: all of them.
            counted: the argument that counts the filters: those without a bin are then warned of under this name.
            made: the bank and its tiles, where they were computed already.
        """
        weights = definition() if made is None else made[0]
        if counted is not None:
            warn_of_empty(weights, counted, self.n_fft, self.rate("the filter bank"))
        self.define(name, definition, trainable=trainable, values=weights)
        if trainable:
            return Bank(name, None)
        tiles = filter_tiles(weights, group=len(weights) if group is None else group) if made is None else made[1]
        return Bank(name, tiles)

    def define_sums(self, name: str, definition: Callable[[], np.ndarray]) -> Sums:
        """Keep the weights of sums over the spectrum's bins in a short-time module, and return their step.

        Args:
            name: of the buffer.
            definition: returns the float64 weights, of shape (sums, bins).
        """
        weights = definition()
        self.define(name, definition, values=weights)
        return Sums(name, filter_tiles(weights))

    def filter_responses(self) -> FilterResponses | None:
        """Return the weights of any short-time module's first filter bank over FFT bins; None where it has none.

        >>> from audiofeed.transforms.auditory.mel import MelSpectrogram
        >>> MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40).filter_responses().values.shape
        (40, 201)
        """
        for step in self.steps():
            if isinstance(step, Bank):
                check_has_values("transform", self)
                return self.weights_of_powers(getattr(self, step.name).detach().cpu().double().numpy())
        return None

    def weights_of_powers(self, weights: np.ndarray) -> FilterResponses:
        """Return the responses of filters of any short-time module that are weights (filters, bins) of its powers."""
        hertz = fft_frequencies(self.rate("the filter bank"), self.n_fft)
        return FilterResponses(frequencies=hertz, values=weights, quantity=f"weight of |X|^{self.power:g}")

    def analysis(self, waveform: torch.Tensor, name: str | None = None) -> torch.Tensor:
        """Return any short-time module's window, basis or other filter for a waveform; for int16 with the scale."""
        held = self.filter_like(self._choice.filters if name is None else name, waveform)
        return held if waveform.is_floating_point() else self._filters.times(held, INT16_SCALE)

    # ---------------------------------------------------------------- computing

    def rows_of(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, list[int]]:
        """Return waveform rows as any short-time module computes them, after a warning of clips shorter than n_fft."""
        rows, row_lengths, leading = super().rows_of(waveform, lengths, graph=graph)
        if not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            shortest = rows.shape[-1]
            if lengths is not None and lengths.device.type == "cpu":  # a GPU is not waited for
                shortest = min(lengths.reshape(-1).tolist())
            if shortest < self.framing.least:
                least = self.framing.least
                name = "n_fft" if least == self.n_fft else "win_length"
                warn_caller(
                    f"{name}={least} exceeds the samples of a clip, so that each of its frames sees the whole clip "
                    f"and what stands past its ends; use a smaller {name}, or longer clips"
                )
        return rows, row_lengths, leading

    def spectrum(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute the complex spectrum (rows, bins, frames) of any short-time module, of rows as for `compute`."""
        return short_time_spectrum(
            waveform, lengths, self.framing, self.analysis(waveform), graph=graph, choice=self._choice
        )

    def powers(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, wanted: Sequence[Wanted], *, graph: bool
    ) -> list[torch.Tensor]:
        """Compute |STFT|^power of rows through steps of frames in the base class of short-time modules.

        Args:
            waveform, lengths, graph: as for `compute`.
            wanted: powers and steps, as `wanted` gives them.

        Returns:
            For each that is wanted (rows, features, frames).
        """
        return short_time_powers(
            waveform, lengths, self.framing, self.analysis(waveform), wanted=wanted, graph=graph, choice=self._choice
        )

    def wanted(self, like: torch.Tensor) -> Wanted:
        """Return the power and frame steps that any short-time module wants computed of a waveform `like` this one."""
        of_frames, _ = split(self.steps())
        power = 2.0 if self.power is None else self.power
        steps = tuple(value for step in of_frames for value in step.on_frames(self, like))
        return Wanted(power, steps, self.root_offset)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute the complex spectrum, or its powers through steps, in the base class of short-time modules."""
        if lengths is not None and launches(waveform) and not self.framing.where.left_out:
            with marked_later(lengths, functools.partial(self._mark_ends, waveform, lengths)):
                return self._computed(waveform, lengths, graph=graph)
        return self._computed(waveform, lengths, graph=graph)

    def _computed(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if self.power is None:
            return self.spectrum(waveform, lengths, graph=graph)
        return self.powers(waveform, lengths, [self.wanted(waveform)], graph=graph)[0]

    def _mark_ends(self, waveform: torch.Tensor, lengths: torch.Tensor) -> None:
        """Keep the mask of what lies past the ends of rows, which their samples and frames are cleared by, at once.

        The positions are a constant of any short-time module, kept on the device as its filters are.
        """
        if torch.compiler.is_compiling():
            return
        first, width = -self.framing.margin, self.framing.padded_length(waveform.shape[-1])
        most = 1 << (width - 1).bit_length()
        positions = functools.partial(np.arange, first, first + most, dtype=np.int32)
        found = self.derived_filter(f"{most} positions", positions, waveform)
        if found is not None:
            keep_outside(lengths, found[:width] >= lengths[:, None], first)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Transform the waveform of one clip or of a batch into any short-time module's features.

        See `Transform.forward`.
        """
        if not torch.compiler.is_compiling() and self._limits_own(waveform):
            return self.carrying(waveform, lengths, ())
        return super().forward(waveform, lengths)

    def carrying(
        self,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        further: Sequence[ValueStep],
        emphasis: Emphasis | None = None,
        *,
        normalization: Normalization | None = None,
        by_bin: bool = False,
        width: int = 0,
    ) -> torch.Tensor:
        """Compute any short-time module's features as `forward` does, with steps before and after in the same pass.

        Args:
            waveform, lengths: as `forward` takes them; without a graph.
            further: steps of values that the features are taken through, of which it `can_carry` all.
            emphasis: pre-emphasis of the waveform before, which it `can_emphasize`.
            normalization: of the clips after these, which it `can_close`.
            by_bin: the frames of a bin are best laid side by side in memory.
            width: room for so many frames is wanted; where the result has it, anything may stand past its own frames.
        """
        dropped = 0 if emphasis is None else emphasis.dropped
        limit = self._last_limit()
        in_frames = further if limit is None else ()
        affine = tuple(step for step in further if isinstance(step, Affine))
        closing: Closing | None = None
        if limit is not None:
            closing = Closing(rows_of_each=math.prod(waveform.shape[1:-1]), top=limit.top, after=affine)
        elif normalization is not None and normalization.spread is not None:
            closing = normalization.closing(math.prod(waveform.shape[1:-1]))
        room = width if not split(self.steps())[1] else 0

        def finish_clips(features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
            if closing is not None and closing.done:
                return features
            if limit is not None:
                return limit.on_own_clips(features, frames, affine)
            if normalization is not None:
                return normalization.of_own_clips(features, frames)
            return self.finish_clips(features, frames)

        def compute(rows: torch.Tensor, own: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
            wanted = self.wanted(rows)
            steps = (*wanted.steps, *in_frames)
            wanted = wanted._replace(steps=steps, by_bin=by_bin, width=room, closing=closing)
            if emphasis is not None:
                whole = None if own is None else own + dropped
                window = self.analysis(rows)
                found = emphasized_powers(rows, whole, self.framing, window, wanted=wanted, emphasis=emphasis)
                if found is not None:
                    if own is not None and not room:
                        note_clear(own, found)
                    return found
                rows = pre_emphasize(rows, whole, emphasis.coeff, emphasis.first)
            return self.powers(rows, own, [wanted], graph=graph)[0]

        own = None if lengths is None else lengths - dropped
        finishes = limit is not None or normalization is not None or self.finishes_clips()
        return self.by_rows(compute, waveform, own, finish_clips=finish_clips if finishes else None)

    def _limits_own(self, waveform: torch.Tensor) -> bool:
        """Return whether nobody follows any short-time module's own computation, which ends with a limit of clips."""
        if not isinstance(waveform, torch.Tensor) or waveform.device.type != "cpu" or self.precision != "input":
            return False
        own = ("by_rows", "compute", "finish_rows", "finish_clips")
        if any(getattr(type(self), name) is not getattr(ShortTime, name) for name in own):
            return False
        return self.power is not None and self._last_limit() is not None and not needs_graph(self, waveform)

    def _last_limit(self) -> Limit | None:
        """Return the limit that is the only step of clips of any short-time module; None if it has others, or none."""
        of_clips = split(self.steps())[1]
        return of_clips[0] if len(of_clips) == 1 and isinstance(of_clips[0], Limit) else None

    def can_emphasize(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> bool:
        """Return whether pre-emphasis of a waveform can be computed with any short-time module's own frames."""
        if self.power is None or self.precision != "input" or not self._choice.candidates[0].emphasizes:
            return False
        if waveform.device.type != "cpu" or needs_graph(self, waveform):
            return False
        window = self.analysis(waveform)
        return can_emphasize(waveform, lengths, self.framing, window, self.wanted(waveform))

    def can_carry(self, waveform: torch.Tensor, further: Sequence[ValueStep]) -> bool:
        """Return whether steps of values can be computed with any short-time module's own, frame by frame."""
        if self.power is None or self.precision != "input":
            return False
        if split(self.steps())[1] and (self._last_limit() is None or any(isinstance(step, Log) for step in further)):
            return False
        sizes = {step.add.numel() for step in further if isinstance(step, Affine) and step.add.dim()}
        return not sizes or sizes == {values_after(self.wanted(waveform).steps, self.n_fft // 2 + 1)}

    def can_close(self) -> bool:
        """Return whether clips can be normalized with any short-time module's own steps, as soon as one is done."""
        return self.power is not None and self.precision == "input" and not split(self.steps())[1]

    def finishes_clips(self) -> bool:
        """Return whether any short-time module has steps of clips."""
        return type(self).finish_clips is not ShortTime.finish_clips or len(split(self.steps())[1]) > 0

    def finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        """Apply the steps of clips in the base class of short-time modules."""
        for step in split(self.steps())[1]:
            features = step.on_clips(self, features, frames)
        return features

    def runs_on(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Path:
        """Return the method by which any short-time module computes a given call here and now, and the reason.

        Returns:
            The method's name and the reason: what a faster one misses, or why this one was taken.

        >>> from audiofeed.transforms.short_time.stft import STFT
        >>> str(STFT(401).runs_on(torch.zeros(2, 1600, dtype=torch.float64)))
        'fft: kernel: float64'
        """
        self.check_waveform(waveform)
        graph = needs_graph(self, waveform)
        rows, _, _ = self.rows_of(waveform, lengths, graph=graph)
        wanted = None if self.power is None else [self.wanted(rows)]
        return self._choice.path(rows, self.framing, self.analysis(rows), graph=graph, wanted=wanted)

    # ---------------------------------------------------------------- axes

    @property
    def frequencies(self) -> torch.Tensor:
        """Frequency in Hz of each FFT bin of any short-time module whose rows are bins, float64, of shape (bins,).

        Raises:
            AttributeError: (a ValueError as well) for one made without `sample_rate`, and where rows are no bins.

        >>> from audiofeed.transforms.short_time.stft import STFT
        >>> STFT(4, sample_rate=16000).frequencies.tolist()
        [0.0, 4000.0, 8000.0]
        """
        if not self.rows_are_bins:
            return super().frequencies
        return torch.from_numpy(fft_frequencies(self.rate("frequencies"), self.n_fft))
