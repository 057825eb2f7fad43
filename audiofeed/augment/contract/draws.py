"""What an augmentation draws for each clip: numbers that follow from the clip's seed alone."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audiofeed.augment.contract.noise import hashes, uniforms
from audiofeed.augment.kernels import hash as kernel
from audiofeed.augment.kernels.rows import each_row

_STREAM = 0x5851F42D4C957F2D  # Knuth's factor: sets the streams of one seed apart
# of a gamma variate by Marsaglia and Tsang's method, each accepted with a probability above 0.95: all fail in 1e-13 of
# the draws, and the last is taken
_TRIES = 10
# numbers in [0, 1) that are hashed together for a clip: most augmentations draw no more, one after another
_AT_ONCE = 16


def stream_seeds(seeds: torch.Tensor, stream: int | str) -> torch.Tensor:
    """Derive seeds of their own for an augmentation, or for a member of a composed one, from those of the clips.

    Args:
        seeds: int64 (batch,).
        stream: A number, or a name; each gives draws that have nothing to do with the others'.

    Returns:
        int64 (batch,).

    >>> seeds = torch.tensor([1, 2])
    >>> torch.equal(stream_seeds(seeds, "Gain"), stream_seeds(seeds, "Clip"))
    False
    """
    return hashes(seeds + _step_of(stream), 1)[:, 0]


def channel_seeds(seeds: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
    """Derive a seed for each channel of an augmentation's clips, of which the first is that of a mono clip.

    Args:
        seeds: int64 (batch,).
        waveforms: (batch, time) or (batch, channel, time).

    Returns:
        int64 (batch, channels).

    >>> channel_seeds(torch.tensor([1, 2]), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3])
    """
    channels = waveforms.shape[1] if waveforms.dim() == 3 else 1
    return torch.stack([stream_seeds(seeds, channel) for channel in range(channels)], 1)


def member_seeds(seeds: torch.Tensor, members: int) -> torch.Tensor:
    """Derive the seeds of all members of a composed augmentation at once.

    Args:
        seeds: int64 (batch,).
        members: Their number.

    Returns:
        int64 (members, batch), of each member what `stream_seeds` gives for its place.

    >>> seeds = torch.tensor([1, 2])
    >>> torch.equal(member_seeds(seeds, 3)[2], stream_seeds(seeds, 2))
    True
    """
    # products wrap around as those of unsigned integers
    steps = torch.arange(members, device=seeds.device) * _STREAM
    return hashes((seeds + steps[:, None]).view(-1), 1).view(members, -1)


def _number_of(name: str) -> int:
    """Return the number of a name for an augmentation's draws, the same in every process."""
    return zlib.crc32(name.encode())


# a compiler cannot follow it, and takes the number as a constant
_number_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _step_of(stream: int | str) -> int:
    """Return what is added to the seeds of a stream of an augmentation's draws."""
    step = ((_number_of(stream) if isinstance(stream, str) else stream) * _STREAM) % 2**64
    return step - 2**64 if step >= 2**63 else step


@functools.lru_cache(maxsize=256)
def _steps_of(streams: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is added to the seeds for each member of a composed augmentation, and to those for its draws."""
    both = [_step_of(place) for place in range(len(streams))], [_step_of(stream) for stream in streams]
    return np.array(both[0], np.int64), np.array(both[1], np.int64)


def member_draws(seeds: torch.Tensor, streams: Sequence[str]) -> list[tuple[torch.Tensor, HostDraws]] | None:
    """Derive the seeds and the draws of all members of a composed augmentation at once; None where no kernel can.

    Args:
        seeds: int64 (batch,).
        streams: Name of each member's draws.

    Returns:
        Of each member its seeds, and draws from them.
    """
    found = kernel.streams(seeds, *_steps_of(tuple(streams)), _AT_ONCE)
    if found is None:
        return None
    given = torch.from_numpy(found.given).unbind()
    each = zip(given, streams, found.own, found.first, strict=True)
    return [(own, HostDraws(own, stream, (seeds, first))) for own, stream, seeds, first in each]


class Draws:
    """Draws of an augmentation for the clips of a batch, each from its clip's seed, the same on every device.

    Each call draws new numbers: the n-th draw of a clip is the same in any batch. Numbers are float64.

    Args:
        seeds: int64 (batch,).
        stream: Name of the augmentation, so that two of them draw apart.

    >>> together = Draws(torch.tensor([3, 4]), "Gain").uniform(-6.0, 6.0)
    >>> torch.equal(together[1:], Draws(torch.tensor([4]), "Gain").uniform(-6.0, 6.0))
    True
    """

    def __init__(self, seeds: torch.Tensor, stream: int | str) -> None:
        self._given, self._stream = seeds, stream
        self._own: torch.Tensor | None = None
        self._first: torch.Tensor | None = None  # numbers of each clip from its first on
        self._taken = 0

    @property
    def seeds(self) -> torch.Tensor:
        """Seeds of an augmentation's stream of draws, int64 (batch,)."""
        if self._own is None:
            self._own = stream_seeds(self._given, self._stream)
        return self._own

    def on_host(self) -> HostDraws:
        """Return an augmentation's draws that go on from here as arrays, for clips on a CPU."""
        draws = HostDraws(self._given, self._stream)
        draws._taken = self._taken
        return draws

    def skip(self, count: int = 1) -> None:
        """Leave out numbers of an augmentation, so that later ones are what they would be.

        Args:
            count: How many for a clip, 0 or more.
        """
        self._taken += count

    def bits(self, count: int = 1) -> torch.Tensor:
        """Draw 64 random bits for an augmentation of each clip.

        Args:
            count: How many for a clip, 1 or more.

        Returns:
            int64 (batch, count).
        """
        drawn = hashes(self.seeds, count, first=self._taken)
        self._taken += count
        return drawn

    def noise_seeds(self) -> torch.Tensor:
        """Draw seeds for noise of an augmentation, or for another set of draws.

        Returns:
            int64 (batch,).
        """
        return self.bits()[:, 0]

    def uniform(
        self, low: float | torch.Tensor = 0.0, high: float | torch.Tensor = 1.0, count: int | None = None
    ) -> torch.Tensor:
        """Draw numbers for an augmentation, each as likely as the other between two limits.

        Args:
            low: The lower limit, included.
            high: The upper limit, not included unless both are equal.
            count: How many for a clip; None: one, without an axis.

        Returns:
            float64 (batch,) or (batch, count).
        """
        first = self._taken
        self._taken += count or 1
        if self._taken <= _AT_ONCE:
            if self._first is None:
                self._first = uniforms(self.seeds, _AT_ONCE)
            drawn = self._first[:, first] if count is None else self._first[:, first : self._taken]
        else:
            drawn = uniforms(self.seeds, count or 1, first=first)
            if count is None:
                drawn = drawn[:, 0]
        if isinstance(low, float) and isinstance(high, float) and (low, high) == (0.0, 1.0):
            return drawn
        return low + drawn * (high - low)

    def log_uniform(self, low: float, high: float, count: int | None = None) -> torch.Tensor:
        """Draw numbers for an augmentation whose logarithm is uniform: frequencies, rates.

        Args:
            low: The lower limit, above 0.
            high: The upper limit, above 0.
            count: How many for a clip; None: one, without an axis.

        Returns:
            float64 (batch,) or (batch, count).
        """
        return self.uniform(math.log(low), math.log(high), count).exp()

    def integers(self, limit: int | torch.Tensor, count: int | None = None) -> torch.Tensor:
        """Draw integers from 0 to below a limit for an augmentation.

        Args:
            limit: 1 or more; a tensor that broadcasts with the result for limits by clip.
            count: How many for a clip; None: one, without an axis.

        Returns:
            int64 (batch,) or (batch, count).
        """
        # a product with a number below 1 rounds up to the limit itself where the limit is above 2^52
        return torch.clamp((self.uniform(count=count) * limit).floor().long(), max=limit - 1)

    def chosen(self, p: float) -> torch.Tensor:
        """Draw for each clip whether an augmentation is applied.

        Args:
            p: Probability, 0 to 1.

        Returns:
            bool (batch,).
        """
        if p >= 1:
            self.skip()
            return torch.ones_like(self._given, dtype=torch.bool)
        return self.uniform() < p

    def normal(self, count: int | None = None) -> torch.Tensor:
        """Draw normal numbers of mean 0 and variance 1 for an augmentation, by Box and Muller's transform.

        Args:
            count: How many for a clip; None: one, without an axis.

        Returns:
            float64 (batch,) or (batch, count).
        """
        radius = (1.0 - self.uniform(count=count)).log().mul(-2.0).sqrt()
        return radius * (self.uniform(count=count) * (2 * math.pi)).cos()

    def beta(self, alpha: float) -> torch.Tensor:
        """Draw from the symmetric beta distribution Beta(alpha, alpha) for a mix of clips.

        The share of one of two gamma variates (Marsaglia and Tsang 2000; Stuart's boost below 1) in their sum.

        Args:
            alpha: Above 0; 1 is uniform, below 1 prefers the ends, above 1 the middle.

        Returns:
            float64 (batch,), 0 to 1.
        """
        first, second = self._log_gamma_variate(alpha), self._log_gamma_variate(alpha)
        return torch.sigmoid(first - second)

    def _log_gamma_variate(self, alpha: float) -> torch.Tensor:
        """Draw the logarithm of a gamma variate of a mix's shape alpha: below 1 the variate itself could be 0."""
        d = (alpha + 1 if alpha < 1 else alpha) - 1 / 3
        c = 1 / math.sqrt(9 * d)
        x, u = self.normal(_TRIES), 1.0 - self.uniform(count=_TRIES)
        v = (1 + c * x).clamp_min(1e-12) ** 3
        fits = ((1 + c * x) > 0) & (u.log() < 0.5 * x * x + d - d * v + d * v.log())
        fits = torch.cat([fits[:, :-1], torch.ones_like(fits[:, :1])], 1)
        # of equal values the first is found
        found = (d * v).log().gather(1, fits.int().argmax(1, keepdim=True))[:, 0]
        boost = (1.0 - self.uniform()).log() / alpha
        return found + boost if alpha < 1 else found


class HostDraws(Draws):
    """Draws of an augmentation as arrays, for clips on a CPU: the numbers of `Draws`, at a part of the time.

    Other distributions than uniform ones are those of `on_tensors`.

    Args:
        seeds: int64 (batch,), on a CPU, observed by nothing.
        stream: As in `Draws`.
        drawn: Seeds of the stream, int64 (batch,), and its first numbers; None: drawn here.

    >>> seeds = torch.tensor([3, 4])
    >>> (HostDraws(seeds, "Gain").uniform(-6.0, 6.0) == Draws(seeds, "Gain").uniform(-6.0, 6.0).numpy()).all()
    np.True_
    """

    def __init__(
        self, seeds: torch.Tensor, stream: int | str, drawn: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        super().__init__(seeds, stream)
        if drawn is None:
            own = stream_seeds(seeds, stream)
            drawn = own.numpy(), uniforms(own, _AT_ONCE).numpy()
        self._own_array, self._first_array = drawn

    @property
    def seeds(self) -> torch.Tensor:
        """Seeds of an augmentation's stream of draws, int64 (batch,), a tensor."""
        return torch.from_numpy(self._own_array)

    def on_tensors(self) -> Draws:
        """Return an augmentation's draws that go on from here as tensors."""
        draws = Draws(self._given, self._stream)
        draws._own, draws._first = self.seeds, torch.from_numpy(self._first_array)
        draws._taken = self._taken
        return draws

    def rows(self, p: float, gate: torch.Tensor | None) -> np.ndarray:
        """Draw the clips that an augmentation is applied to, as `chosen` does.

        Args:
            p: Probability, 0 to 1.
            gate: (batch,) bool, False for clips to leave out; None: none of them.

        Returns:
            int64, the rows of these clips in the batch, in increasing order.
        """
        if p < 1:
            drawn = self.uniform() < p
            return np.flatnonzero(drawn if gate is None else drawn & gate.numpy())
        self.skip()
        return each_row(len(self._own_array)) if gate is None else np.flatnonzero(gate.numpy())

    def bits(self, count: int = 1) -> Any:
        """Draw 64 random bits for an augmentation of each clip, int64 (batch, count)."""
        drawn = hashes(self.seeds, count, first=self._taken)
        self._taken += count
        return drawn.numpy()

    def uniform(self, low: Any = 0.0, high: Any = 1.0, count: int | None = None) -> Any:
        """Draw numbers for an augmentation as `Draws.uniform` does, float64 (batch,) or (batch, count)."""
        first, self._taken = self._taken, self._taken + (count or 1)
        if self._taken <= _AT_ONCE:
            drawn = self._first_array[:, first : self._taken]
        else:
            drawn = uniforms(self.seeds, count or 1, first=first).numpy()
        drawn = drawn[:, 0] if count is None else drawn
        return drawn if (low, high) == (0.0, 1.0) else low + drawn * (high - low)

    def integers(self, limit: Any, count: int | None = None) -> Any:
        """Draw integers from 0 to below a limit for an augmentation as `Draws.integers` does."""
        return np.minimum((self.uniform(count=count) * limit).astype(np.int64), limit - 1)

    def chosen(self, p: float) -> Any:
        """Draw for each clip whether an augmentation is applied, bool (batch,)."""
        if p >= 1:
            self.skip()
            return np.ones(len(self._own_array), bool)
        return self.uniform() < p
