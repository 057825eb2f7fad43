"""The least-squares inverse of a constant-Q transform, by steps of its analysis and its weighted adjoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from audiofeed.methods import frames as blocks
from audiofeed.methods.constant_q.octave_synthesis import OctaveSynthesis, synthesize
from audiofeed.methods.frames import Count
from audiofeed.methods.lengths import length_mask, runs_of
from audiofeed.parallel.observed import as_long_as_traced, plain_size

# From samples (rows, time) and the lengths of rows to complex values (rows, bins, frames)
Analysis = Callable[..., torch.Tensor]

# The steps converge while no eigenvalue is above 4 / 3. With windows and bins evenly spaced the weights see to that;
# for others (a boxcar with long wavelets, uneven intervals) the largest is found by so many steps of the power method,
# which are a few percent short, and brought down where it is too large.
POWER_STEPS = 16
MOST_EIGENVALUE, SAFE_EIGENVALUE = 1.26, 1.2


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Least-squares inverse of a constant-Q transform, by its analysis and weighted adjoint.

    Args:
        hop_length: of the analysis; `early`: the factor by which it lowers the rate before its first level.
        analysis: called with `graph`, as `octaves.constant_q` is.
        n_iter: steps after the adjoint.
    """

    analysis: Analysis
    synthesis: OctaveSynthesis
    hop_length: int
    early: int
    n_iter: int

    def invert(
        self, values: torch.Tensor, lengths: torch.Tensor | None, length: int | torch.Tensor | None, *, graph: bool
    ) -> torch.Tensor:
        """Compute waveforms of clips from batched constant-Q values by least squares.

        Args:
            lengths: (clips,) frames of each; None: all.
            length: samples asked for, or (clips,) of each; None: as far as the last frame.

        Shape:
            complex (clips, rows of each, bins, frames) -> (clips, rows of each, time).
        """
        values = as_long_as_traced(values)
        clips, rows, _, most = values.shape
        most = plain_size(most)
        pairs = torch.view_as_real(values.resolve_conj().transpose(-1, -2).contiguous())
        pairs = pairs.reshape(clips * rows, most, -1)  # (row, frame, 2 * bin)
        if isinstance(length, torch.Tensor):
            wanted = int(length.max())
            length = length.to(pairs.device).repeat_interleave(rows)
        else:
            wanted = max(1, (most - 1) * self.hop_length) if length is None else length
        frames = None if lengths is None else lengths.repeat_interleave(rows)
        if graph or pairs.device.type != "cpu":
            if frames is None:
                found = self._solve(pairs, self._clip_length(most, length), None, None, graph=graph)
            else:
                times = self._clip_length(frames, length)
                found = self._solve(pairs, self._clip_length(most, None), frames, times, graph=graph)
            out = F.pad(found[:, :wanted], (0, max(0, wanted - found.shape[-1])))
        else:
            # neighboring rows of one size, few enough to stay in cache
            if frames is None:
                sizes = [(most, self._clip_length(most, length))] * len(pairs)
            else:
                sizes = list(zip(frames.tolist(), self._clip_length(frames, length).tolist(), strict=True))
            out = pairs.new_zeros(len(pairs), wanted)
            for run, (count, time) in runs_of(sizes, lambda size: max(1, blocks.CPU_BLOCK // size[1])):
                found = self._solve(pairs[run, :count], time, None, None, graph=False)[:, :wanted]
                out[run, : found.shape[1]] = found
        return out.view(clips, rows, wanted)

    def _clip_length(self, frames: Count, length: int | torch.Tensor | None) -> Count:
        """Return the samples that constant-Q least squares finds for a clip of so many frames.

        They are the length asked for if it may be that, or else the longest.
        """
        longest, least = frames * self.hop_length - self.early, (frames - 1) * self.hop_length
        if isinstance(longest, torch.Tensor):
            longest = longest.clamp(min=1)
            if length is None:
                return longest
            asked = torch.full_like(longest, length) if isinstance(length, int) else length
            return torch.where((asked >= least) & (asked < longest), asked, longest)
        longest = max(1, longest)
        return length if isinstance(length, int) and least <= length < longest else longest

    def _solve(
        self, pairs: torch.Tensor, time: int, frames: torch.Tensor | None, times: torch.Tensor | None, *, graph: bool
    ) -> torch.Tensor:
        """Solve for the rows of samples in the least-squares inverse of a constant-Q transform.

        The rows have `time` samples at most: of each row its own `times`, from its own `frames`.
        """
        count = pairs.shape[1]
        past = None if frames is None else ~length_mask(count, frames)[..., None]

        def forth(samples: torch.Tensor) -> torch.Tensor:
            found = self._analyze(samples, times, graph=graph)[:, :count]
            return found if past is None else found.masked_fill(past, 0)

        def back(values: torch.Tensor) -> torch.Tensor:
            return synthesize(values, self.synthesis, time, times, graph=graph)

        return least_squares(pairs, forth, back, self.n_iter)

    def _analyze(self, samples: torch.Tensor, times: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Apply the constant-Q analysis to samples in a step of the least-squares inverse.

        The values come back as pairs (rows, frames, 2 * bins).
        """
        return torch.view_as_real(self.analysis(samples, times, graph=graph).transpose(1, 2)).flatten(-2)

    def scale(self, time: int) -> float:
        """Return the factor for the adjoint's weights with which constant-Q least squares converges.

        Args:
            time: samples of the clip that it is looked for with.
        """
        found = torch.from_numpy(np.random.default_rng(0).standard_normal((1, time))).float()
        largest = 1.0
        for _ in range(POWER_STEPS):
            values = self._analyze(found, None, graph=False)
            found = synthesize(values, self.synthesis, time, None, graph=False)
            largest = float(found.norm())
            if largest == 0.0:
                break
            found = found / largest
        return SAFE_EIGENVALUE / largest if largest > MOST_EIGENVALUE else 1.0


# S = (weighted adjoint) (analysis) has eigenvalues from 0 (what no bin sees) to about 1. A step y + b - S y leaves
# 1 - eigenvalue of the error: in a band with frames enough next to nothing. Small eigenvalues, of bins with a long hop,
# need many steps; Nesterov's (1983) extrapolation from step to step makes n of them do what n^2 would. Its factors are
# fixed numbers, so that the inverse is linear in the values and has a gradient on silence, which conjugate gradients
# have not, at 1 to 3 dB less for as many steps.
def least_squares(
    pairs: torch.Tensor,
    analysis: Callable[[torch.Tensor], torch.Tensor],
    adjoint: Callable[[torch.Tensor], torch.Tensor],
    n_iter: int,
) -> torch.Tensor:
    """Compute samples from constant-Q values by steps of weighted least squares.

    From step to step their analysis comes nearer to the values.

    Args:
        analysis: from samples to values as they are given; `adjoint`: the weighted one.
        n_iter: steps after the adjoint.

    Shape: pairs (rows, frames, 2 * bins) -> (rows, time).
    """
    first = adjoint(pairs)
    found = ahead = first
    for step in range(1, n_iter + 1):
        following = ahead + (first - adjoint(analysis(ahead)))
        ahead = following + (following - found) * ((step - 1) / (step + 2))
        found = following
    return found
