"""LEAF: Gabor filters, low-passes and compression, all of which are learned."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice, check_count, check_floor, check_odd, check_rate, check_span
from audiofeed.arguments.meta_device import check_has_values
from audiofeed.methods.auditory import leaf_launches
from audiofeed.methods.auditory.leaf import gabor_filters, gaussian_pools
from audiofeed.methods.auditory.long_filters import PooledBlocks, pooled_energies, rows_together
from audiofeed.methods.bounded_parameters import inside
from audiofeed.methods.lengths import keep_outside, past_of
from audiofeed.methods.precision import wide
from audiofeed.parallel.exports import ceil_divided
from audiofeed.parallel.launches import launches
from audiofeed.signal.auditory.leaf import CENTER_BOUNDS, GaborStart, deviation_bounds, pool_bounds
from audiofeed.signal.filter_responses import FilterResponses, even_frequencies, kernel_gains
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.contract.filters import of
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.contract.unseen import is_unseen

COMPRESSIONS = ("pcen", "log", None)


class GaborFilterbank(Transform):
    """Module of LEAF, a front-end learned whole: Gabor filters, squared modulus, Gaussian low-passes, compression.

    Zeghidour et al. (2021). Each filter has a center frequency in 0 to sample_rate / 2 and a bandwidth (full width at
    half maximum) of sample_rate / win_length to sample_rate / 4, each low-pass a width of 2 / win_length to 1/2 of half
    its length; whatever the optimizer does, they stay there. They start as wide as mel filters are.

    Args:
        sample_rate: Hz.
        n_filters: number of filters.
        win_length: taps of the filters and of the low-passes, odd; None: 25 ms (401 at 16 kHz).
        hop_length: samples from frame to frame; None: 10 ms (160 at 16 kHz).
        f_min: Hz, the lower end of the span in which the center frequencies start evenly spaced in mel, >= 0.
        f_max: Hz, its upper end, at most sample_rate / 2; None: 0.975 * sample_rate / 2 (7800 Hz at 16 kHz).
        pool_width: standard deviation of the low-passes at the start, in units of half their length, within 2 /
            win_length and 0.5.
        compression: "pcen" (`PCEN` with one of each setting for each filter, and the paper's start: gain 0.96, bias 2,
            power 0.5, b 0.04, eps 1e-12, initial "first"), "log" (natural), or None.
        floor: the smallest energy that leaves the low-passes, > 0. Below it there is no gradient.
        trainable: all of this is trained: `raw_centre`, `raw_deviation`, `raw_pool`, and those of `pcen`.

    Returns:
        (..., n_filters, frames), with ceil(time / hop_length) frames: frame f is centered on sample f *
        hop_length, and a clip is 0 outside its own samples, from a waveform (..., time) and lengths (batch,).

    Differs from the published code: values stay in their bounds smoothly (there they are clamped, which stops the
    gradient), frame 0 is centered on the first sample (there it depends on the clip's length), and the bandwidths start
    from mel filters themselves rather than from their bins in an FFT.

    >>> GaborFilterbank(sample_rate=16000)(torch.zeros(2, 16000)).shape
    torch.Size([2, 40, 100])
    """

    raw_centre: torch.Tensor
    raw_deviation: torch.Tensor
    raw_pool: torch.Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_filters: int = 40,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 60.0,
        f_max: float | None = None,
        pool_width: float = 0.4,
        compression: str | None = "pcen",
        floor: float = 1e-5,
        trainable: bool = True,
    ) -> None:
        super().__init__(check_rate(sample_rate))
        self._rate = float(sample_rate)
        self.n_filters = check_count("n_filters", n_filters, "an integer number of filters, 1 or more")
        milliseconds_25 = max(3, int(sample_rate * 0.025) // 2 * 2 + 1)
        self.win_length = milliseconds_25 if win_length is None else check_odd("win_length", win_length)
        milliseconds_10 = max(1, int(sample_rate * 0.01))
        self.hop_length = milliseconds_10 if hop_length is None else check_count("hop_length", hop_length)
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate, default=0.975 * sample_rate / 2)
        narrowest, widest = pool_bounds(self.win_length)
        if not narrowest <= pool_width <= widest:
            raise ValueError(
                f"pool_width={pool_width!r} must lie between {narrowest:g}, 2 / win_length, and {widest:g}; "
                "0.4 is about a Hann window"
            )
        self.pool_width = float(pool_width)
        self.compression = check_choice("compression", compression, COMPRESSIONS)
        self.floor = check_floor("floor", floor)
        self.trainable = trainable
        self._given = GaborStart(
            n_filters=self.n_filters,
            sample_rate=float(sample_rate),
            f_min=self.f_min,
            f_max=self.f_max,
            win_length=self.win_length,
            pool_width=self.pool_width,
        )
        for name in ("raw_centre", "raw_deviation", "raw_pool") if trainable else ("filters", "pools"):
            self.define(name, getattr(self._given, name), trainable=trainable)
        self.pcen = None
        if compression == "pcen":
            self.pcen = PCEN(
                sample_rate=sample_rate,
                hop_length=self.hop_length,
                gain=0.96,
                bias=2.0,
                power=0.5,
                b=0.04,
                eps=1e-12,
                initial="first",
                trainable=trainable,
                n_bins=self.n_filters if trainable else None,
            )

    @property
    def centres(self) -> torch.Tensor:
        """Present center frequencies of a LEAF module's Gabor filters in cycles per sample, float64, (n_filters,)."""
        if not self.trainable:
            return torch.from_numpy(self._given.values()[0])
        return inside(wide(self.raw_centre), *CENTER_BOUNDS)

    @property
    def deviations(self) -> torch.Tensor:
        """Present standard deviations of a LEAF module's Gabor filters in samples, float64, (n_filters,)."""
        if not self.trainable:
            return torch.from_numpy(self._given.values()[1])
        return inside(wide(self.raw_deviation), *deviation_bounds(self.win_length))

    @property
    def pool_widths(self) -> torch.Tensor:
        """Present standard deviations of a LEAF module's low-passes in units of half their length, (n_filters,)."""
        if not self.trainable:
            return torch.from_numpy(self._given.pool_widths())
        return inside(wide(self.raw_pool), *pool_bounds(self.win_length))

    @property
    def frequencies(self) -> torch.Tensor:
        """Present center frequencies of a LEAF module's Gabor filters in Hz. A float64 tensor of shape (n_filters,)."""
        return self.centres.detach() * self._rate

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the number of frames that a LEAF module makes of clips of `lengths` samples.

        >>> GaborFilterbank(sample_rate=16000).frame_lengths(torch.tensor([16000, 1])).tolist()
        [100, 1]
        """
        return ceil_divided(lengths, self.hop_length)

    def filter_responses(self) -> FilterResponses:
        """Return the gains of a LEAF module's present Gabor filters, before the low-passes and the compression."""
        check_has_values("transform", self)
        hertz = even_frequencies(self._rate, self.frequencies.tolist())
        with torch.no_grad():
            filters, _ = self._present_filters(torch.empty(0, dtype=torch.float64))
        kernels = torch.complex(filters[0], filters[1]).cpu().numpy()
        return FilterResponses(frequencies=hertz, values=kernel_gains(kernels, hertz / self._rate), quantity="gain")

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past the last of each row of a LEAF module."""
        return past_of(n_frames, lengths, 0, self.hop_length)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if launches(waveform) and not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            found = self._few_launches(waveform, lengths, graph=graph)
            if found is not None:
                return found
        filters, pools = self._present_filters(waveform)
        energies = pooled_energies(waveform, lengths, filters, pools, self.hop_length, graph=graph)
        energies = energies.clamp(min=self.floor) if graph else energies.clamp_(min=self.floor)
        if self.pcen is not None:
            # a running average looks back only: what lies past a row's end does not come into its frames
            return self.pcen(energies)
        if self.compression is None:
            return energies
        return energies.log() if graph else energies.log_()

    def _few_launches(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool
    ) -> torch.Tensor | None:
        """Compute a LEAF module's features on a device where each launch costs; None where that takes too much memory.

        None, too, where a CUDA graph is captured before the constants that it needs are on the device.
        """
        time = waveform.shape[-1]
        pooled = PooledBlocks.of(self.win_length, self.win_length, self.hop_length, time)
        count, steps = pooled.count(time), pooled.blocks.frames
        together = len(waveform) if graph else rows_together(waveform, count * steps, pooled.blocks, 2 * self.n_filters)
        runs = 1 << (count - 1).bit_length()
        pcen = self.pcen
        alone = pcen is not None and (not self.trainable or type(pcen) is not PCEN or not is_unseen(pcen))
        alone = alone or 2 * self.n_filters * (steps + count) * count * steps > leaf_launches.MOST_POWERS
        width = 1 << pooled.padded(time).bit_length()
        nothing = self.derived_filter("nothing", functools.partial(np.zeros, ()), waveform)
        positions = self.derived_filter(
            f"{width} positions", functools.partial(leaf_launches.samples_of_positions, -pooled.ahead, width), waveform
        )
        powers = None
        if pcen is not None and not alone:
            made = functools.partial(leaf_launches.run_powers, runs, steps)
            powers = self.derived_filter(f"powers of {runs} runs of {steps}", made, waveform)
        found = self._present_banks(pooled, waveform, at_once=powers is not None)
        if not together or nothing is None or positions is None or found is None:
            return None
        own, settings = found
        samples = positions[: pooled.padded(time)]
        if lengths is None:
            outside = (samples >= time)[None]
        else:
            outside = samples >= lengths[:, None]
            keep_outside(lengths, outside, -pooled.ahead)
        made_of = functools.partial(leaf_launches.energies, pooled=pooled, own=own, nothing=nothing, floor=self.floor)
        parts = [
            made_of(waveform[rows], lengths, outside if lengths is None else outside[rows], graph=graph)
            for rows in (slice(first, first + together) for first in range(0, len(waveform), together))
        ]
        energies = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)  # (filter, row, run, step)
        n_frames = ceil_divided(time, self.hop_length)
        if pcen is not None and powers is not None:
            used = powers[:, :, : steps + count, : count * steps]
            normal = leaf_launches.normalized_runs(energies, settings.to(waveform.dtype), used, eps=pcen.eps)
            return normal[..., :n_frames].transpose(0, 1)
        energies = energies.flatten(-2)[..., :n_frames].transpose(0, 1).contiguous()
        if pcen is not None:
            return pcen(energies)
        if self.compression is None:
            return energies
        return energies.log() if graph else energies.log_()

    def _present_banks(
        self, pooled: PooledBlocks, like: torch.Tensor, *, at_once: bool
    ) -> tuple[leaf_launches.Banks, torch.Tensor] | None:
        """Return a LEAF module's present filters and low-passes for few launches, and with `at_once` those of PCEN.

        The settings are as for `leaf_launches.normalized_runs`.  Shape: -> (settings, n_filters).
        """
        size = pooled.blocks.size
        if not self.trainable:
            made = of(self.filter_definition("filters"), functools.partial(leaf_launches.fixed_spectra, size))
            spectra = self.derived_filter(f"{size} bins", made, like)
            made = of(self.filter_definition("pools"), functools.partial(leaf_launches.filled_up, pooled))
            pools = self.derived_filter("pools filled up", made, like)
            if spectra is None or pools is None:
                return None
            return leaf_launches.Banks(torch.view_as_complex(spectra), pooled.by_hop(pools, like)), pools
        dtype = torch.float32 if like.device.type == "mps" else torch.float64  # as `wide` has it
        names, spans = leaf_launches.spans_of(self.win_length, at_once=at_once, rounding=torch.finfo(like.dtype).eps)
        needed: dict[str, Callable[[], np.ndarray]] = {
            f"spans to {like.dtype}, {at_once}": functools.partial(leaf_launches.between, spans),
            "twice": functools.partial(np.full, (1, 1), 2.0),
            "nothing": functools.partial(np.zeros, ()),
            f"{size} taps": functools.partial(leaf_launches.tap_positions, self.win_length, size),
        }
        held = [self.derived_filter(name, definition, like, dtype) for name, definition in needed.items()]
        if any(one is None for one in held):
            return None
        between, twice, nothing, taps = cast("list[torch.Tensor]", held)
        angles = [getattr(self if hasattr(self, name) else self.pcen, name) for name in names]
        settings = leaf_launches.inside_all(angles, twice, between)
        return leaf_launches.banks(settings[:3], taps, nothing, pooled, like), settings[3:]

    def _present_filters(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the present Gabor filters and low-passes of a LEAF module."""
        if not self.trainable:
            return self.filter_like("filters", like), self.filter_like("pools", like)
        filters = gabor_filters(self.centres, self.deviations, self.win_length)
        return filters.to(like.dtype), gaussian_pools(self.pool_widths, self.win_length).to(like.dtype)
