"""The table of settings: one row for each transform, with each of its options that takes another way on the device.

To add a transform, add a row to SETTINGS; to add a method, name it in the rows that have it. Until then the smoke fails
and says so. Rows with `quick=True` run in `--quick` too: one for each transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from audiofeed import transforms
from audiofeed.methods.short_time.short_time_methods import SHORT_TIME
from tests.transforms.cases import CASES as CONTRACT

RATE = 16_000

# the methods of short-time spectra that run on a GPU; kernels are made for a CPU, and "fused", which takes float32 and
# no complex spectrum, is what "auto" takes there (and drawn settings of it are checked by kernels/fused.py)
METHODS = ("auto", *(name for name in SHORT_TIME.methods if name not in ("kernel", "fused")))
AUTO = ("auto",)

# Names of audiofeed.transforms that are no transform by themselves, or several (a Stack gives what its members give).
ABSTRACT = ("FeatureTransform", "ShortTime", "Transform", "Stack")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One transform with one set of options, and what is to be expected of it.

    Args:
        transform: Its name in audiofeed.transforms.
        label: What is special about this row; unique among the rows of the transform.
        args, options: What it is built with.
        methods: Each is built with `method=`, and the first is the reference on the CPU; empty: there is no choice.
        cuda_methods: Further ones, that only a CUDA device has; "auto" where the fused kernel must be what it takes.
        inputs: What it takes: a key of INPUTS.
        log: "ln", "log10" or "db" where the values are logarithms of powers, else None.
        trains: The names of the parameters that must get a gradient.
        cases: The inputs to run, of CASES.
        factor, gradient_factor: Widen every tolerance, or the gradients', with the reason in `why`.
        why: The reason for a factor.
        quick: Whether `--quick` runs it.
        build: Makes the module from a method name, for what `args` and `options` cannot say.
    """

    transform: str
    label: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ("fft", "conv")
    cuda_methods: tuple[str, ...] = ()
    inputs: str = "waveform"
    log: str | None = None
    trains: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    factor: float = 1.0
    gradient_factor: float = 1.0
    why: str = ""
    quick: bool = False
    build: Callable[[str | None], torch.nn.Module] | None = None

    @property
    def name(self) -> str:
        """The transform and what is special about the row."""
        return f"{self.transform} {self.label}"

    def methods_on(self, device: torch.device) -> tuple[str | None, ...]:
        """The methods to check on a device; (None,) where there is no choice."""
        return (*self.methods, *(self.cuda_methods if device.type == "cuda" else ())) or (None,)

    def module(self, method: str | None) -> torch.nn.Module:
        """Build the transform, on the CPU in float32."""
        if self.build is not None:
            return self.build(method)
        chosen = {} if method is None else {"method": method}
        module: torch.nn.Module = getattr(transforms, self.transform)(*self.args, **self.options, **chosen)
        return module


@dataclass(frozen=True)
class Case:
    """One input in float64 on the CPU, and whether its gradient is compared or only has to be finite."""

    values: torch.Tensor
    lengths: torch.Tensor | None = None
    compare_gradient: bool = True


# Shapes of leading dimensions and time, then the lengths of a padded batch. What stands past a length is NaN.
_SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "batch": ((3, 6000), None),
    "padded": ((4, 6000), (6000, 4001, 250, 1)),
    "leading": ((2, 2, 3000), None),
    "leading padded": ((3, 2, 3000), (3000, 1700, 1)),
    "one clip": ((4000,), None),
    "short": ((1, 100), None),
    "one sample": ((2, 1), None),
    "silence": ((2, 3000), (3000, 900)),
}
CASES = tuple(_SHAPES)
FEW = ("batch", "padded", "one sample", "silence")


def _tones(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Noise with two tones 20 dB above it: no band so quiet that rounding alone decides its logarithm."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(shape[-1], dtype=torch.float64) / RATE
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return 0.1 * noise + 0.3 * torch.sin(2 * math.pi * 440 * time) + 0.2 * torch.sin(2 * math.pi * 3100 * time)


def _waveform(case: str) -> Case:
    shape, lengths = _SHAPES[case]
    values = torch.zeros(shape, dtype=torch.float64) if case == "silence" else _tones(shape, CASES.index(case))
    return _cut(values, lengths, past=math.nan, compare=case not in ("silence", "one sample"))


def _power(case: str) -> Case:
    """Powers of 9 bins; a hundred samples of the waveform cases are one frame."""
    shape, lengths = _SHAPES[case]
    frames = max(1, shape[-1] // 100)
    generator = torch.Generator().manual_seed(CASES.index(case))
    noise = torch.randn((*shape[:-1], 9, frames), generator=generator, dtype=torch.float64)
    values = torch.zeros_like(noise) if case == "silence" else noise.square()
    cut = None if lengths is None else tuple(max(1, length // 100) for length in lengths)
    return _cut(values, cut, past=1e3, compare=case != "silence")


def _cut(values: torch.Tensor, lengths: tuple[int, ...] | None, *, past: float, compare: bool) -> Case:
    if lengths is None:
        return Case(values, None, compare)
    for row, length in zip(values, lengths, strict=True):
        row[..., length:] = past
    return Case(values, torch.tensor(lengths), compare)


INPUTS: dict[str, Callable[[str], Case]] = {"waveform": _waveform, "power": _power}


def make_case(setting: Setting, case: str) -> Case:
    """Make the input of a case, of the kind that the setting's transform takes."""
    return INPUTS[setting.inputs](case)


def _frames(transform: str, common: Mapping[str, Any], cases: tuple[str, ...] = FEW) -> list[Setting]:
    """Rows for every way to lay frames."""
    ways: dict[str, dict[str, Any]] = {
        **{mode: {"n_fft": 400, "hop_length": 160, "pad_mode": mode} for mode in ("reflect", "replicate", "circular")},
        "not centered": {"n_fft": 400, "hop_length": 160, "center": False},
        "odd n_fft, odd hop": {"n_fft": 405, "hop_length": 147, "pad_mode": "reflect"},
        "window in n_fft": {"n_fft": 512, "win_length": 400, "hop_length": 160, "window": "hamming", "periodic": False},
        "2048/512": {"n_fft": 2048, "hop_length": 512},
    }
    fits = ("reflect", "replicate", "circular", "not centered", "window in n_fft") if transform != "STFT" else ()
    return [Setting(transform=transform, label=way, options={**common, **way_options}, cases=cases,
                    cuda_methods=AUTO if way in fits else ())
            for way, way_options in ways.items()]  # fmt: skip


_STFT = {"n_fft": 400, "hop_length": 160}
_MEL = {"sample_rate": RATE, **_STFT, "n_mels": 40}

SETTINGS: tuple[Setting, ...] = (
    Setting(transform="STFT", label="400/160", options=_STFT, quick=True),
    *_frames("STFT", {}),
    Setting(transform="STFT", label="prime n_fft", options={"n_fft": 401, "hop_length": 100}, cases=FEW,
            factor=4, why="a prime length is done by Bluestein's algorithm, three longer FFTs in a row"),
    Setting(transform="STFT", label="trained", options={**_STFT, "trainable": True}, methods=("conv",),
            trains=("basis",), quick=True),
    Setting(transform="Spectrogram", label="power 2", options=_STFT, quick=True, cuda_methods=AUTO),
    Setting(transform="Spectrogram", label="magnitude", options={**_STFT, "power": 1.0, "pad_mode": "reflect"},
            cuda_methods=AUTO,
            gradient_factor=4, why="the derivative of |z| turns with the phase, which a small z hardly has"),
    Setting(transform="Spectrogram", label="power 0.7", options={**_STFT, "power": 0.7}, cases=FEW,
            gradient_factor=16, why="the derivative of |z|^0.7 grows without bound toward 0"),
    Setting(transform="Spectrogram", label="complex", options={**_STFT, "power": None}, cases=FEW),
    Setting(transform="MelSpectrogram", label="40 mels", options=_MEL, quick=True, cuda_methods=AUTO),
    Setting(transform="MelSpectrogram", label="htk, magnitude", cases=FEW, cuda_methods=AUTO,
            options={**_MEL, "power": 1.0, "mel_scale": "htk", "norm": None, "f_min": 50.0, "f_max": 7000.0}),
    Setting(transform="MelSpectrogram", label="trained mel", options={**_MEL, "trainable_mel": True}, trains=("mel",)),
    Setting(transform="LogMelSpectrogram", label="ln", options=_MEL, log="ln", quick=True,
            cuda_methods=AUTO),
    Setting(transform="LogMelSpectrogram", label="log10", options={**_MEL, "log": "log10"}, log="log10", cases=FEW,
            cuda_methods=AUTO),
    Setting(transform="LogMelSpectrogram", label="dB within 30", options={**_MEL, "log": "db", "top_db": 30.0},
            log="db", cases=("batch", "padded", "leading padded", "silence"), cuda_methods=AUTO),
    Setting(transform="LogMelSpectrogram", label="trained", log="ln", methods=("conv",), trains=("basis", "mel"),
            options={**_MEL, "trainable": True, "trainable_mel": True}, quick=True),
    *(replace(row, log="ln") for row in _frames("LogMelSpectrogram", {"sample_rate": RATE, "n_mels": 40})),
    Setting(transform="AmplitudeToDB", label="power", methods=(), inputs="power", log="db",
            options={"top_db": 30.0}, quick=True),
    Setting(transform="AmplitudeToDB", label="magnitude, own peak", args=("magnitude",), methods=(), inputs="power",
            log="db", options={"ref": "max", "top_db": None}),
)  # fmt: skip


def missing_rows() -> list[str]:
    """Name each public transform that neither a row of SETTINGS nor a case of the tests' contract checks."""
    covered = {setting.transform for setting in SETTINGS} | {case.cls.__name__ for case in CONTRACT}
    return [name for name in transforms.__all__ if name not in covered and name not in ABSTRACT]


def missing_methods() -> list[str]:
    """Name each method that no row of SETTINGS checks."""
    covered = {method for setting in SETTINGS for method in (*setting.methods, *setting.cuda_methods)}
    return [name for name in METHODS if name not in covered]


@dataclass(frozen=True)
class Tolerance:
    """How far values and gradients may lie from float64 on the CPU.

    An FFT's error grows with log n and stays at a few eps; a dense sum of n products strays by sqrt(n) eps at most for
    signals of random sign. A logarithm turns the error of a band 60 dB below its frame's peak, a thousand times eps,
    into nats, so 2^13 eps (1e-3 in float32); quieter bands are held to the linear tolerance. A gradient passes through
    the sums twice.
    """

    l2: float  # relative L2 of linear values
    peak: float  # largest error over largest value
    log: float  # nats, within 60 dB of the frame's peak
    gradient: float  # relative L2


def tolerance(setting: Setting, module: torch.nn.Module, method: str | None, dtype: torch.dtype) -> Tolerance:
    """The tolerance of one setting by one method in one dtype."""
    eps = torch.finfo(dtype).eps * setting.factor
    dense = math.sqrt(getattr(module, "n_fft", 1)) if method not in (None, "fft") else 0.0
    if method in AUTO:
        dense = 2.0**7  # the fused kernel's filters and powers are in two parts of 8 bits each
    l2 = (16 + dense) * eps
    gradient = 2.0**14 * eps if setting.log is not None else 4 * l2
    return Tolerance(l2=l2, peak=4 * l2, log=2.0**13 * eps, gradient=gradient * setting.gradient_factor)
