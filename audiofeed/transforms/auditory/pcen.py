"""Per-channel energy normalization: loudness adapted to what was heard before."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch

from audiofeed.arguments.checks import check_count, check_not_negative, check_positive, check_rate
from audiofeed.methods.auditory.pcen import Value, compressed, local_maximum, normalized_in_blocks, running_average
from audiofeed.methods.bounded import inside
from audiofeed.signal.bounds import angle_of
from audiofeed.transforms.contract.feature_transform import FeatureTransform

# where trained settings stay; the bias moves on a logarithmic scale
_GAIN = (0.0, 1.0)
_BIAS = (1e-3, 1e3)
_POWER = (0.0, 1.0)
_WEIGHT = (0.0, 1.0)


def _angles(value: float, low: float, high: float, count: int) -> np.ndarray:
    return np.full(count, angle_of(value, low, high))


class PCEN(FeatureTransform):
    """Per-channel energy normalization of a magnitude or power spectrogram, equal to `librosa.pcen` of each clip.

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
        the same shape, from spectrogram (batch, ..., bins, frames) or (bins, frames) of numbers >= 0, lengths
        (batch,).

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
        if b is None:
            # the half-power width of the average is then that of time_constant (Lostanlen et al., eq. 5)
            frames = time_constant * sample_rate / self.hop_length
            weight = (math.sqrt(1.0 + 4.0 * frames**2) - 1.0) / (2.0 * frames**2)
        else:
            weight = float(b)
        self._given["b"] = weight
        self._b = b
        if trainable:
            spans = {"gain": _GAIN, "bias": _BIAS, "power": _POWER, "b": _WEIGHT}
            for name, (low, high) in spans.items():
                value = self._given[name]
                if not low < value < high:
                    raise ValueError(
                        f"{name}={value!r} must lie between {low:g} and {high:g}, without them, with trainable=True; "
                        f"start a little inside"
                    )
                if name == "bias":
                    value, low, high = math.log(value), math.log(low), math.log(high)
                start = functools.partial(_angles, value, low, high, self.n_bins or 1)
                self.define(f"raw_{name}", start, trainable=True)

    @property
    def gain(self) -> Value:
        """The present gain: a number, or if it trains a tensor of shape (n_bins or 1,)."""
        return inside(self.raw_gain, *_GAIN) if self.trainable else self._given["gain"]

    @property
    def bias(self) -> Value:
        """The present bias: a number, or if it trains a tensor of shape (n_bins or 1,)."""
        if not self.trainable:
            return self._given["bias"]
        return inside(self.raw_bias, math.log(_BIAS[0]), math.log(_BIAS[1])).exp()

    @property
    def power(self) -> Value:
        """The present power: a number, or if it trains a tensor of shape (n_bins or 1,)."""
        return inside(self.raw_power, *_POWER) if self.trainable else self._given["power"]

    @property
    def b(self) -> Value:
        """The present weight of a new frame: a number, or if it trains a tensor of shape (n_bins or 1,)."""
        return inside(self.raw_b, *_WEIGHT) if self.trainable else self._given["b"]

    def stream(self, features: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The next frames of a stream, and the state to give with those after them.

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
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        with torch.autocast(features.device.type, enabled=False):
            return self._normalized(features, state)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if graph or self.trainable:
            return self._normalized(features, None)[0]
        start = None if self.initial == "first" else float(self.initial)
        given = self._given
        return normalized_in_blocks(
            features,
            self._reference(features),
            weight=given["b"],
            start=start,
            gain=given["gain"],
            bias=given["bias"],
            power=given["power"],
            eps=self.eps,
        )

    def _reference(self, features: torch.Tensor) -> torch.Tensor:
        """What the average is taken of."""
        return features if self.max_size == 1 else local_maximum(features, self.max_size)

    def _normalized(self, features: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The result and the last average.  Shape: (..., bins, frames) -> the same, (..., bins)."""
        if self.n_bins not in (None, features.shape[-2]):
            raise ValueError(
                f"features has {features.shape[-2]} bins, and must have n_bins={self.n_bins} of them, one for each "
                "trained setting"
            )
        reference = self._reference(features)
        if state is not None:
            start: torch.Tensor | float = state.to(reference)
        else:
            start = reference[..., 0] if self.initial == "first" else float(self.initial)
        settings = [self._setting(value, features) for value in (self.gain, self.bias, self.power, self.b)]
        gain, bias, power, weight = settings
        average = running_average(reference, weight, start)
        return compressed(features, average, gain, bias, power, self.eps), average[..., -1]

    @staticmethod
    def _setting(value: Value, like: torch.Tensor) -> Value:
        """A number, or a tensor of shape (bins or 1, 1) in the dtype of the features."""
        return value.to(like.dtype)[:, None] if isinstance(value, torch.Tensor) else value

    def extra_repr(self) -> str:
        """The settings; those that train as they began."""
        given = self._given
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, gain={given['gain']:g}, "
            f"bias={given['bias']:g}, power={given['power']:g}, time_constant={self.time_constant:g}, "
            f"eps={self.eps:g}, b={self._b}, max_size={self.max_size}, initial={self.initial!r}, "
            f"trainable={self.trainable}, n_bins={self.n_bins}"
        )
