"""What is called on the device: every public transform, every preset, and a whole collate, in settings of use."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import audiofeed as af
from audiofeed.transforms import __all__ as transforms

CLIPS, SECONDS, RATE = 32, 2, 16000
# what others are derived from: they have no call of their own
BASES = ("FeatureTransform", "ShortTime", "Transform")
MEL: dict[str, Any] = {"sample_rate": RATE, "n_fft": 400, "hop_length": 160, "n_mels": 80}
POWERS: dict[str, Any] = {"n_fft": 400, "hop_length": 160}

# arguments beside the sample rate
SETTINGS: dict[str, dict[str, Any]] = {
    "AmplitudeToDB": {"top_db": 80.0},
    # by default the tuning is measured first, and the filters that are right for a clip are made on the host
    "ChromaCENS": {"tuning": 0.0},
    "ChromaCQT": {"tuning": 0.0},
    "ChromaVQT": {"intervals": "ji5"},
    "FrameWaveform": {"frame_length": 400, "hop_length": 160},
    "FuseFrames": {"size": 2},
    "GriffinLim": {**POWERS, "n_iter": 4},
    "InverseMFCC": {"n_mels": 80},
    "InverseMel": {"n_fft": 400, "n_mels": 80},
    "InverseSTFT": POWERS,
    "LogMelSpectrogram": {**MEL, "method": "fft"},
    "MelSpectrogram": {**MEL, "method": "fft"},
    "MFCC": {**MEL, "method": "fft"},
    "Normalize": {"mean": 0.5, "std": 2.0},
    "PadFrames": {"multiple": 16},
    "PadWaveform": {"multiple": 1600},
    "ProjectBins": {"matrix": np.eye(80)[:40]},
    "STFT": POWERS,
    "Spectrogram": {**POWERS, "method": "fft"},
    "StackFrames": {"size": 3},
    "TimeStretch": {"rate": 1.25},
}
# bins of the features that others than transforms of waveforms take, and whether they are complex
FEATURES: dict[str, tuple[int, bool]] = {
    "GriffinLim": (201, False),
    "InverseMFCC": (20, False),
    "InverseSTFT": (201, True),
    "TimeStretch": (201, True),
    "InverseCQT": (84, True),
    "InvertibleCQTInverse": (0, True),
}
COMPOSED: dict[str, Callable[[], torch.nn.Module]] = {
    "Chain": lambda: af.Chain(af.PreEmphasis(), af.LogMelSpectrogram(**MEL), af.NormalizeClips()),
    "Concat": lambda: af.Concat(level=af.RMS(400, hop_length=160), mel=af.LogMelSpectrogram(**MEL)),
    "Stack": lambda: af.Stack(mel=af.LogMelSpectrogram(**MEL), cepstra=af.MFCC(**MEL)),
}
# computed from values, which the host looks at: no count of launches, and why
WAITS = {
    "InverseMel": "its steps are as many as the values need",
}
# launches of a call with lengths and without a graph, at most
LIMITS = {
    "LogMelSpectrogram": 10,
    "CQT": 30,
    "VQT": 30,
    "LogFrequencySTFT": 40,
    "LogFrequencySpectrogram": 40,
    "SincFilterbank": 40,
    "InvertibleCQT": 40,
    "GaborFilterbank": 40,
    "Tempogram": 40,
    "FourierTempogram": 40,
}
# of any other that the table of results does not have yet
LIMIT = 40
# further settings of use of those with limits of their own
VARIANTS: dict[str, Callable[[], torch.nn.Module]] = {
    "LogMelSpectrogram, reflect": lambda: af.LogMelSpectrogram(**MEL, pad_mode="reflect", method="fft"),
    "LogMelSpectrogram, db": lambda: af.LogMelSpectrogram(**MEL, log="db", method="fft"),
    "CQT, 252 bins, 36 per octave": lambda: af.CQT(sample_rate=44100, n_bins=252, bins_per_octave=36),
    "CQT, exact": lambda: af.CQT(sample_rate=RATE, method="exact"),
    "CQT, complex": lambda: af.CQT(sample_rate=RATE, n_bins=72, power=None),
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One module and the batch that it is given.

    Args:
        name: of the public class or of the preset, and what is set.
        make: builds the module.
        bins: of the features that it takes; 0: it takes waveforms.
        complex_: whether these features are complex.
        settings: of the class, for who reads the table.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    bins: int = 0
    complex_: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self) -> torch.nn.Module:
        """The module; what construction warns of is no matter here."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return self.make()

    def batch(self, module: torch.nn.Module, *, clips: int = CLIPS, seconds: float = SECONDS) -> torch.Tensor:
        """An input on the CPU, random."""
        if not (self.bins or self.complex_):
            rate = getattr(module, "sample_rate", None) or RATE
            return torch.randn(clips, int(seconds * rate))
        bins = self.bins or module.frame.n_bins
        shape = (clips, bins, int(seconds * 50) + 1)
        return torch.randn(shape, dtype=torch.complex64) if self.complex_ else torch.rand(shape)

    def run(self, module: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor | None) -> Any:
        """The module of x."""
        return module(x) if lengths is None else module(x, lengths=lengths)


def of_transforms() -> Iterator[Call]:
    """A call of every public transform, and those in further settings."""
    for name in transforms:
        if name in BASES:
            continue
        cls = getattr(af, name)
        settings = dict(SETTINGS.get(name, {}))
        parameters = inspect.signature(cls).parameters
        if "sample_rate" in parameters and name not in COMPOSED:
            settings.setdefault("sample_rate", 22050 if "CQT" in name or "VQT" in name else RATE)
        usual = 80 if issubclass(cls, af.FeatureTransform) else 0
        bins, complex_ = FEATURES.get(name, (usual, False))
        make = COMPOSED.get(name) or (lambda cls=cls, settings=settings: cls(**settings))
        yield Call(name=name, make=make, bins=bins, complex_=complex_, settings=settings)
    for name, make in VARIANTS.items():
        yield Call(name=name, make=make)


def of_presets() -> Iterator[Call]:
    """A call of every preset as it is by default."""
    for name in af.presets.__all__:
        if name != "from_extractor":
            yield Call(name=f"presets.{name}", make=getattr(af.presets, name))
