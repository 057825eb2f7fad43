"""The item of a dataset: one raw waveform with its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any

import torch

from audiofeed.data.errors import AudioReadError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AudioExample:
    """Example that a dataset yields: one raw waveform with its metadata, on its way to the collate.

    Args:
        waveform: (time,) if mono, else (channel, time), at least one sample; int16 as stored in the file, or float32
            with full scale at 1.
        sample_rate: Samples per second, Hz, 1 or more.
        target: The label, or None.
        key: The example's name: a path, with `@start` in seconds if a file gives several examples.
        seed: 63-bit seed of this example in this epoch; augmentation draws from it.
        faults: The files that this example replaces under `on_error="skip"`.
        fields: What else is known about the example, by name, such as the columns of a manifest's row. Each becomes
            an entry of `batch.fields`, collated as targets are.
        start: Seconds from the start of the file to the waveform's first sample, exact where the rate was changed; None
            if it comes from no file.
        start_sample: The same in samples at the file's own rate, rounded to the nearest.
        duration: Seconds of the file that the waveform holds, without the silence of a crop that pads; None stands for
            the waveform's own length.
        classes: Names of the classes that the target's numbers stand for; None if they stand for none.

    Raises:
        TypeError: The waveform is not an int16 or float32 tensor, `seed` is no integer, or `fields` is no mapping with
            names as its keys.
        ValueError: The waveform has another shape or no samples, or the sample rate is below 1.

    >>> example = AudioExample(torch.zeros(16000, dtype=torch.int16), 16000, target=3, key="a.wav")
    >>> example
    AudioExample(waveform=int16 (16000,), sample_rate=16000, target=3, key='a.wav', seed=None)
    >>> example.duration
    1.0
    """

    waveform: torch.Tensor
    sample_rate: int
    target: Any = None
    key: str | None = None
    seed: int | None = None
    faults: tuple[AudioReadError, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    start: float | None = None
    start_sample: int | None = None
    duration: float | None = None
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        waveform = self.waveform
        if not isinstance(waveform, torch.Tensor) or waveform.dtype not in (torch.int16, torch.float32):
            kind = waveform.dtype if isinstance(waveform, torch.Tensor) else type(waveform).__name__
            raise TypeError(f"waveform is {kind}; it must be a torch tensor of int16 or float32: convert it first")
        if waveform.dim() not in (1, 2) or waveform.numel() == 0:
            raise ValueError(
                f"waveform has shape {tuple(waveform.shape)}; it must be (time,) or (channel, time) with at least one "
                "sample: drop the batch dimension"
            )
        rate: Any = self.sample_rate
        if isinstance(rate, (str, bool, type(None))) or not rate >= 1:
            raise ValueError(f"sample_rate={rate!r} must be a number of at least 1 Hz")
        if self.seed is not None and not isinstance(self.seed, (int, Integral)):
            raise TypeError(f"seed={self.seed!r} must be an integer, or None")
        if not isinstance(self.fields, (dict, Mapping)) or not all(isinstance(name, str) for name in self.fields):
            raise TypeError(f"fields={self.fields!r} must be a mapping from names to values, as {{'speaker': 'ann'}}")
        if self.duration is None:
            object.__setattr__(self, "duration", waveform.shape[-1] / self.sample_rate)

    def __repr__(self) -> str:
        dtype = str(self.waveform.dtype).removeprefix("torch.")
        fields = f", fields={dict(self.fields)!r}" if self.fields else ""
        faults = f", faults={len(self.faults)}" if self.faults else ""
        return (
            f"AudioExample(waveform={dtype} {tuple(self.waveform.shape)}, sample_rate={self.sample_rate}, "
            f"target={self.target!r}, key={self.key!r}, seed={self.seed}{fields}{faults})"
        )


_PUT = tuple(getattr(AudioExample, each.name).__set__ for each in fields(AudioExample))


def checked_example(*values: Any) -> AudioExample:
    """Return the example of a dataset that has checked its values, without a second look at each.

    Args:
        values: All that `AudioExample` takes, in its order.

    >>> checked_example(torch.zeros(3), 8000, None, "a", 5, (), {}, 0.0, 0, 3 / 8000, None)
    AudioExample(waveform=float32 (3,), sample_rate=8000, target=None, key='a', seed=5)
    """
    example = AudioExample.__new__(AudioExample)
    for put, value in zip(_PUT, values, strict=True):
        put(example, value)
    return example
