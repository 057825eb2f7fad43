"""The base of transforms by wavelets of constant relative bandwidth: settings, bins, and a tuning for each clip."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import torch

from audiofeed.methods.constant_q.tuning import FRAMES, tunings_of_clips
from audiofeed.parallel.busy_cores import beside_others
from audiofeed.parallel.observed import refuse_trace
from audiofeed.signal.constant_q.tuning import tuning_edges
from audiofeed.signal.filter_responses import FilterResponses
from audiofeed.signal.windows import get_window
from audiofeed.transforms.constant_q.settings import ConstantQ, options_of
from audiofeed.transforms.contract.transform import Transform, in_full_precision

# for how many tunings the kernels are kept, of the 100 that there are
MOST_TUNINGS = 16


class ConstantQTransform(Transform):
    """Base class of constant-Q modules: wavelets `bank`, centered frames, with `tuning=None` a tuning for each clip.

    Args:
        wavelets: the settings of the wavelets.
        others: further settings that the subclass is made with. The arguments of all are kept as attributes.
    """

    def __init__(self, wavelets: ConstantQ, *others: Any) -> None:
        super().__init__(wavelets.sample_rate)
        for settings in (wavelets, *others):
            self.keep(settings)
        self.wavelets, self.bank = wavelets, wavelets.bank
        self._others = others
        self._tuned: dict[float, ConstantQTransform] = {}
        if wavelets.tuning is None:
            self.define("tuning_window", functools.partial(get_window, "hann", FRAMES.n_fft))
            self.define("tuning_edges", tuning_edges)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames of clips of `lengths` samples, in the base class of constant-Q transforms."""
        return self.kernel_bank.frame_lengths(lengths) if self.framing is None else super().frame_lengths(lengths)

    def past_frames(self, n_frames: int, lengths: torch.Tensor) -> torch.Tensor:
        """Compute a mask of the frames past each row's own, in the base class of constant-Q transforms."""
        if self.framing is None and type(self).frame_lengths is ConstantQTransform.frame_lengths:
            return self.kernel_bank.past_frames(n_frames, lengths)
        return super().past_frames(n_frames, lengths)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute frames times the kernel bank, in the base class of constant-Q transforms that have one."""
        return self.kernel_bank.compute(self, waveform, lengths, graph=graph)

    @property
    def frequencies(self) -> torch.Tensor:
        """Center in Hz of each bin of any constant-Q module, float64, (n_bins,); `tuning=None`: of a clip in tune."""
        return torch.from_numpy(self.bank.frequencies.copy())

    def filter_responses(self) -> FilterResponses | None:
        """Return the gains of any constant-Q module's present kernels; None where it has none of its own."""
        bank = getattr(self, "kernel_bank", None)
        return None if bank is None else bank.responses(self)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute any constant-Q transform, with `tuning=None` at each clip's own tuning: see `Transform.forward`."""
        if self.tuning is not None:
            return super().forward(waveform, lengths)
        if torch.compiler.is_compiling():  # what is computed depends on the tunings that are found
            return torch.compiler.disable(self._each_in_tune)(waveform, lengths)
        return self._each_in_tune(waveform, lengths)

    def _each_in_tune(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute any constant-Q transform of each clip at its own tuning, clips of one tuning together."""
        self.check_waveform(waveform)
        tunings = self.estimate(waveform, lengths)
        if waveform.dim() == 1:
            return self._fitted(self.tuned(tunings[0])(waveform, lengths), waveform.shape[-1])
        # by `unbind` and `stack`: the gradient of an index would be a whole batch of zeros for each tuning
        clips: tuple[torch.Tensor, ...] = waveform.unbind()
        features: dict[int, torch.Tensor] = {}
        for tuning in sorted(set(tunings)):
            numbers = [i for i, found in enumerate(tunings) if found == tuning]
            own = None if lengths is None else lengths[numbers]
            with beside_others(waveform.device):
                in_tune = torch.stack([clips[i] for i in numbers])
            fitted = self._fitted(self.tuned(tuning)(in_tune, own), waveform.shape[-1])
            features.update(zip(numbers, fitted.unbind(), strict=True))
        with beside_others(waveform.device):
            return torch.stack([features[i] for i in range(len(clips))])

    def _fitted(self, features: torch.Tensor, time: int) -> torch.Tensor:
        """Pad tuned constant-Q frames to those promised: a transform may fall short of its rate earlier or later."""
        frames = int(self.frame_lengths(torch.tensor(time, device="cpu")))
        if frames == features.shape[-1]:
            return features
        with beside_others(features.device):
            return torch.nn.functional.pad(features, (0, frames - features.shape[-1]))

    def estimate(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> list[float]:
        """Estimate each clip's tuning for any constant-Q transform in fractions of a bin, all its channels together.

        Args:
            waveform: (..., time), of which the first leading dimension is the batch.
            lengths: (batch,) samples of each clip.
        """
        refuse_trace(f"{type(self).__name__}(tuning=None)", "each clip has filters of its own tuning")
        rows, row_lengths, leading = self.rows_of(waveform.detach(), lengths, graph=False)
        batch = leading[0] if leading else 1
        if rows.device.type == "meta":  # shapes without values; that of the result does not depend on them
            return [0.0] * batch
        with in_full_precision(rows.device, graph=False):
            found = tunings_of_clips(
                rows.unflatten(0, (batch, -1)),
                row_lengths,
                self.filter_like("tuning_window", rows),
                self.filter_like("tuning_edges", rows),
                rate=self.rate("tuning"),
                n_chroma=self.bins_per_octave,
            )
        # hundredths of a bin: whatever the dtype they were found in, equal ones share their kernels
        return [round(tuning, 2) for tuning in found.tolist()]

    def tuned(self, tuning: float) -> ConstantQTransform:
        """Return the same constant-Q transform at a given tuning, kept for the next clips that have it."""
        if tuning not in self._tuned:
            while len(self._tuned) >= MOST_TUNINGS:
                del self._tuned[next(iter(self._tuned))]
            wavelets = replace(self.wavelets, tuning=tuning)
            options = options_of(wavelets, *self._others, cls=type(self))
            make: Any = type(self)
            self._tuned[tuning] = make(sample_rate=wavelets.sample_rate, **options)
        return self._tuned[tuning]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_tuned": {}}
