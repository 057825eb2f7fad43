"""A waveform from magnitudes alone."""

from __future__ import annotations

from typing import cast

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_count, check_not_negative, check_positive, warn_caller
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.inverse.griffin_lim import Progress, Search, griffin_lim, random_phases
from audiofeed.methods.inverse.overlap_add import natural_length
from audiofeed.methods.spectrum import raise_power
from audiofeed.transforms.contract.frame_settings import ONE_WAY, Frames
from audiofeed.transforms.contract.to_waveform import ToWaveform
from audiofeed.transforms.inverse.resynthesis import Resynthesis, SynthesisOptions


class GriffinLimOptions(SynthesisOptions, total=False):
    """Keyword arguments of the Griffin-Lim module."""

    pad_mode: str


class GriffinLim(ToWaveform):
    """Griffin-Lim as a module: a waveform whose spectrogram comes near to a given one, by the fast algorithm.

    Perraudin, Balazs and Sondergaard (2013), as `librosa.griffinlim` and `torchaudio.transforms.GriffinLim` do it.

    Args:
        n_fft: samples of a frame, odd or even, 1 or more.
        center: frames are centered on multiples of the hop, as those of `STFT(center=True)`; False: they start there.
        n_iter: iterations, 1 or more.
        power: the exponent of the magnitude in the input, > 0: 1.0 for magnitudes, 2.0 for powers.
        momentum: how far an iteration goes beyond plain Griffin-Lim's (0), 0 or more; above 1 it may not converge.
        rand_init: False: all phases begin at 0, not at random ones.
        seed: of the random phases, 0 to 2^63 - 1, for every clip; `forward` takes one for each clip.
        pad_mode: what stands beyond the ends of the signal while it is searched for, as in `STFT`.
        progress: called in every iteration with its number from 1, `n_iter`, and, for each row of the batch, how far
            the magnitudes of its signal are from the given ones, relative; None: nothing is called.

    Returns:
        (..., time), from magnitude (..., n_fft // 2 + 1, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, and for a hop that leaves samples uncovered.

    Warns:
        UserWarning: for a momentum above 1.

    The phases that a clip begins with depend on its seed, the frame and the bin alone: not on its place in the batch,
    its channel, its padding, or the device.

    Differs from librosa and torchaudio: momentum is 0.9, not 0.99, which after 32 iterations leaves speech 5 to 20 %
    nearer to its magnitudes; the phases are reproducible. From torchaudio: power is 1, not 2, and pad_mode "constant"
    (librosa's), not "reflect".

    >>> GriffinLim(512, hop_length=128, n_iter=2)(torch.ones(2, 257, 9)).shape
    torch.Size([2, 1024])
    """

    hint = "give magnitudes; for a complex spectrum there is InverseSTFT"

    @takes(Frames, without=ONE_WAY)
    def __init__(
        self,
        n_fft: int = 2048,
        *,
        n_iter: int = 32,
        power: float = 1.0,
        momentum: float = 0.9,
        rand_init: bool = True,
        seed: int = 0,
        progress: Progress | None = None,
        **settings: Unpack[GriffinLimOptions],
    ) -> None:
        super().__init__()
        self._frames = Resynthesis(self, pick(Frames, settings, n_fft=n_fft))
        self.n_iter = check_count("n_iter", n_iter, "an integer number of iterations, 1 or more")
        self.power = check_positive("power", power, "a number > 0: 1.0 for magnitudes, 2.0 for powers")
        self.momentum = check_not_negative("momentum", momentum, "0 is plain Griffin-Lim")
        if self.momentum > 1:
            warn_caller(f"momentum={momentum} exceeds 1, so that the search may not converge; use 0.99 or less")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ValueError(f"seed={seed!r} must be an integer from 0 to 2^63 - 1; to forward give one for each clip")
        if progress is not None and not callable(progress):
            raise ValueError(f"progress={progress!r} must be a function of (iteration, n_iter, distances), or None")
        self.rand_init, self.seed, self.progress = rand_init, seed, progress

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples that a Griffin-Lim module makes of clips of `frames` frames where no length is given."""
        return self._frames.sample_lengths(frames)

    def bins_of_features(self) -> tuple[int, str]:
        return self._frames.bins_of_features()

    def forward(  # type: ignore[override]
        self,
        features: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        seed: int | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return waveforms of one spectrogram or of a batch by a Griffin-Lim module: see `ToWaveform.forward`.

        Args:
            features: real magnitudes (..., bins, frames), 0 or more.
            length: samples of the waveform, or (batch,) samples of each; None: `sample_lengths` of the frames. The
                signal is looked for at that length where its frames are as many; else it is cut, or filled up with 0.
            lengths: (batch,) frames of each clip of a padded batch.
            seed: of the random phases, for all clips, or (batch,) one for each; None: that of the module.

        Raises:
            TypeError, ValueError: as `ToWaveform.forward`, and for seeds that are not integers, or do not fit.
        """
        self.check_features(features)
        return self._run_to(features, length, lengths, seeds=self._check_seed(seed, features))

    def _check_seed(self, seed: int | torch.Tensor | None, features: torch.Tensor) -> torch.Tensor:
        """Check the seeds given to a Griffin-Lim module, (1,) or (batch,), and move them to the features' device."""
        if not isinstance(seed, torch.Tensor):
            # filled on the device: a number copied there would be waited for
            return torch.full((1,), self.seed if seed is None else seed, dtype=torch.int64, device=features.device)
        batch = features.shape[0] if features.dim() > 2 else 1
        if seed.is_floating_point() or seed.is_complex() or seed.dtype == torch.bool:
            raise TypeError(f"seed is {seed.dtype}, and must be integers: one for each clip")
        if seed.dim() > 1 or seed.numel() not in (1, batch):
            raise ValueError(f"seed has shape {tuple(seed.shape)}, and must be ({batch},): one for each clip")
        return seed.reshape(-1).to(features.device, torch.int64)

    def compute(
        self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool, **settings: object
    ) -> torch.Tensor:
        clips, rows, bins, frames = features.shape
        length = cast("int | torch.Tensor | None", settings["length"])
        magnitude = features.reshape(clips * rows, bins, frames).clamp(min=0)
        if self.power != 1.0:
            magnitude = raise_power(magnitude, 2.0 / self.power)
        samples, most = self._searched(lengths, length, frames)
        search = Search(
            framing=self._frames.framing,
            window=self.filter_like("synthesis_window", magnitude),
            samples=samples.repeat_interleave(rows) if isinstance(samples, torch.Tensor) else samples,
            most=most,
            frames=None if lengths is None else lengths.repeat_interleave(rows),
            n_iter=self.n_iter,
            momentum=self.momentum,
            progress=self.progress,
        )
        found = griffin_lim(magnitude, self._phases(magnitude, rows, settings), search, graph=graph)
        longest = self._frames.longest(length, frames)
        found = torch.nn.functional.pad(found[:, :longest], (0, max(0, longest - most)))
        return found.view(clips, rows, longest)

    def _searched(
        self, lengths: torch.Tensor | None, length: int | torch.Tensor | None, frames: int
    ) -> tuple[int | torch.Tensor, int]:
        """Return the samples that Griffin-Lim searches for: those asked for, as far as they have these frames."""
        span = self.hop_length - 1
        least = natural_length(self._frames.framing, frames)
        if lengths is None:
            count = least if length is None else min(max(cast("int", length), least), least + span)
            return count, count
        own = self.sample_lengths(lengths)
        if length is None:
            return own, least
        if isinstance(length, torch.Tensor):
            asked = length.to(own.device)
            return torch.minimum(torch.maximum(asked, own), own + span), least + span
        return torch.minimum(own.clamp(min=length), own + span), least + span

    def _phases(self, magnitude: torch.Tensor, rows: int, settings: dict[str, object]) -> torch.Tensor:
        """Return the phases that a Griffin-Lim module begins with.  Shape: (rows of all clips, frames, bins)."""
        total, bins, frames = magnitude.shape
        if not self.rand_init:
            return magnitude.new_zeros(1, 1, 1).expand(total, frames, bins)
        seeds = cast("torch.Tensor", settings["seeds"])
        phases = random_phases(seeds, frames, bins, magnitude.dtype)
        repeated = phases if len(seeds) == 1 else phases.repeat_interleave(rows, dim=0)
        return repeated.expand(total, frames, bins)
