"""Per-channel energy normalization: loudness adapted to what was heard before."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.arguments.checks import check_count, check_not_negative, check_positive, check_rate
from audiofeed.methods.auditory.pcen import Value, local_maximum, normalized, normalized_in_blocks, present
from audiofeed.methods.precision import computable
from audiofeed.signal.auditory.pcen import BOUNDS, starting_angles, weight_of
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class PCEN(FeatureTransform):
    """Module for per-channel energy normalization (PCEN) of magnitudes or powers, equal to `librosa.pcen` of each clip.

    out = (S / (eps + M)^gain + bias)^power - bias^power, where M is a running average of each bin,
    M[t] = (1 - b) M[t - 1] + b S[t]. After Wang et al. (2017) and Lostanlen et al. (2019).

    The defaults are meant for samples in the range of 32-bit integers: multiply the spectrogram of samples within
    [-1, 1] by 2^31 (magnitude) or 2^62 (power) first, or lower `eps` and `bias`.

    Args:
        sample_rate: Hz.
        hop_length: samples from frame to frame of the spectrogram.
        gain: how much of the average is taken out, >= 0.
        bias: added before the compression, >= 0. 0: a plain power.
        power: exponent of the compression, >= 0. 0: log(1 + S / (eps + M)^gain).
        time_constant: of the average, in seconds, > 0; with `b` it counts for nothing.
        eps: added to the average, > 0.
        b: weight of the new frame in the average, in (0, 1]; None: from `time_constant`.
        max_size: the average is taken over the largest of so many neighboring bins, 1 or more.
        initial: M before the first frame, a number >= 0 (librosa's is 1), or "first": the first frame.
        trainable: gain, bias, power and b are trained; they stay in (0, 1), (0.001, 1000), (0, 1) and (0, 1) whatever
            the optimizer does. `raw_gain`, `raw_bias`, `raw_power` and `raw_b` are the parameters; `gain`, `bias`,
            `power` and `b` are their present values.
        n_bins: with trainable=True: one of each setting for each of so many bins; None: one for all.

    Returns:
        the same shape, from spectrogram (batch, ..., bins, frames) or (bins, frames) of numbers >= 0, lengths (batch,).

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for a spectrogram that is complex or of integers.

    Differs from librosa: b=0 is refused (it has no initial state there), and `initial` is a setting.

    >>> PCEN(sample_rate=16000, hop_length=160)(torch.ones(2, 40, 100)).shape
    torch.Size([2, 40, 100])
    """

    raw_gain: torch.Tensor
    raw_bias: torch.Tensor
    raw_power: torch.Tensor
    raw_b: torch.Tensor

    keeps_bins = True

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        gain: float = 0.98,
        bias: float = 2.0,
        power: float = 0.5,
        time_constant: float = 0.4,
        eps: float = 1e-6,
        b: float | None = None,
        max_size: int = 1,
        initial: float | str = 1.0,
        trainable: bool = False,
        n_bins: int | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate(sample_rate, "the time constant is in seconds")
        self.hop_length = check_count("hop_length", hop_length)
        self.max_size = check_count("max_size", max_size, "an integer number of bins, 1 or more")
        given = {"gain": gain, "bias": bias, "power": power}
        self._given = {name: check_not_negative(name, value) for name, value in given.items()}
        self.time_constant, self.eps = check_positive("time_constant", time_constant), check_positive("eps", eps)
        if b is not None and not 0 < b <= 1:
            raise ValueError(f"b={b!r} must lie in (0, 1], or be None: from time_constant={time_constant!r}")
        if initial != "first" and (isinstance(initial, str) or not (initial >= 0 and math.isfinite(initial))):
            raise ValueError(f"initial={initial!r} must be a number >= 0, or 'first'")
        if n_bins is not None and not trainable:
            raise ValueError(f"n_bins={n_bins!r} must be None with trainable=False: one setting holds for all bins")
        self.n_bins = (
            n_bins if n_bins is None else check_count("n_bins", n_bins, "an integer number of bins, 1 or more")
        )
        self.initial, self.trainable = initial, trainable
        self._start = None if initial == "first" else float(initial)
        self._given["b"] = (
            weight_of(time_constant, sample_rate=sample_rate, hop_length=self.hop_length) if b is None else float(b)
        )
        self._b = b
        if not trainable:
            return
        for name, value in self._given.items():
            low, high = BOUNDS[name]
            if not low < value < high:
                raise ValueError(
                    f"{name}={value!r} must lie between {low:g} and {high:g}, without them, with trainable=True; "
                    f"start a little inside"
                )
            start = functools.partial(starting_angles, name, value, self.n_bins or 1)
            self.define(f"raw_{name}", start, trainable=True)

    @property
    def gain(self) -> Value:
        """Present gain of a PCEN module. A number, or if it trains a tensor of shape (n_bins or 1,)."""
        return self._present("gain")

    @property
    def bias(self) -> Value:
        """Present bias of a PCEN module. A number, or if it trains a tensor of shape (n_bins or 1,)."""
        return self._present("bias")

    @property
    def power(self) -> Value:
        """Present power of a PCEN module. A number, or if it trains a tensor of shape (n_bins or 1,)."""
        return self._present("power")

    @property
    def b(self) -> Value:
        """Present weight of a PCEN module's new frame. A number, or if it trains a tensor of shape (n_bins or 1,)."""
        return self._present("b")

    def _present(self, name: str) -> Value:
        return present(name, getattr(self, f"raw_{name}")) if self.trainable else self._given[name]

    def stream(self, features: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalize the next frames of a stream with a PCEN module, and return the state for those after them.

        Chunk after chunk gives what the whole would. With a graph the state is part of it: `state.detach()` cuts it.

        Args:
            features: (..., bins, frames).
            state: (..., bins) from the call before; None at the start of the stream.

        >>> pcen = PCEN(sample_rate=16000, hop_length=160)
        >>> x = torch.rand(40, 100)
        >>> first, state = pcen.stream(x[:, :30])
        >>> torch.allclose(torch.cat([first, pcen.stream(x[:, 30:], state)[0]], -1), pcen(x), atol=1e-5)
        True
        """
        self.check_features(features)
        if state is not None and state.shape != features.shape[:-1]:
            raise ValueError(
                f"state has shape {tuple(state.shape)}, and must be {tuple(features.shape[:-1])}, as the features are; "
                "give the state that the chunk before returned, or None at the start"
            )
        features = computable(features)
        with torch.autocast(features.device.type, enabled=False):
            return self._normalized(features, state)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if graph or self.trainable:
            return self._normalized(features, None)[0]
        reference = local_maximum(features, self.max_size)
        return normalized_in_blocks(features, reference, self._start, eps=self.eps, **self._given)

    def _normalized(self, features: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a PCEN module's result and last running average.  Shape: (..., bins, frames) -> same, (..., bins)."""
        if self.n_bins not in (None, features.shape[-2]):
            raise ValueError(
                f"features has {features.shape[-2]} bins, and must have n_bins={self.n_bins} of them, one for each "
                "trained setting"
            )
        settings = {name: self._present(name) for name in BOUNDS}
        start, reference = self._start if state is None else state, local_maximum(features, self.max_size)
        return normalized(features, reference, start, eps=self.eps, **settings)

    def extra_repr(self) -> str:
        """Return the settings of a PCEN module as text; those that train as they began."""
        given = self._given
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, gain={given['gain']:g}, "
            f"bias={given['bias']:g}, power={given['power']:g}, time_constant={self.time_constant:g}, "
            f"eps={self.eps:g}, b={self._b}, max_size={self.max_size}, initial={self.initial!r}, "
            f"trainable={self.trainable}, n_bins={self.n_bins}"
        )
