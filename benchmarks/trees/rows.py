"""The rows: one call each of what a user calls by a public name, on input that a fixed seed gives.

A row is made by public names alone, so that the same line makes it in both trees. Its error is the relative L2 distance
to the same call of float64 input in the tree after, whose float64 values the tests hold against the definitions.
"""

from __future__ import annotations

import itertools
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

Call = Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class Row:
    """A call that is timed.

    Args:
        make: the call, of the package of one tree; what it does is not timed.
        source: its input in float64, of a seed; None for a call that computes nothing of a tensor.
        exact: whether float64 input gives the definition, so that the row has an error.
        quiet: whether gradients are off.
    """

    make: Callable[[Any], Call]
    source: Callable[[int], torch.Tensor] | None = None
    exact: bool = True
    quiet: bool = True


@lru_cache(maxsize=2)
def noise(seed: int, *shape: int) -> torch.Tensor:
    """White noise."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape) * 0.1)


def powers(seed: int, *shape: int) -> torch.Tensor:
    """Power spectra of noise, as large as those of 32-bit samples, which PCEN expects."""
    return noise(seed, *shape) ** 2 * 2.0**31


def spectra(seed: int, clips: int, samples: int, n_fft: int, hop_length: int) -> torch.Tensor:
    """Complex spectra of noise."""
    x = noise(seed, clips, samples)
    return torch.stft(
        x, n_fft, hop_length, window=torch.hann_window(n_fft).double(), return_complex=True, pad_mode="constant"
    )


def transform(name: str, *, then: Callable[[Any], Any] | None = None, **settings: Any) -> Callable[[Any], Call]:
    """A transform by its public name, called of a batch."""

    def make(af: Any) -> Call:
        made = getattr(af, name)(**settings)
        return made if then is None else lambda x: then(made(x))

    return make


def gradient(name: str, **settings: Any) -> Callable[[Any], Call]:
    """Forward and backward to the waveform."""

    def make(af: Any) -> Call:
        made = getattr(af, name)(**settings)

        def call(x: torch.Tensor) -> torch.Tensor:
            x = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(made(x).sum(), x)
            return found

        return call

    return make


def training_step(name: str, **settings: Any) -> Callable[[Any], Call]:
    """Forward, backward and a step of what a transform trains; the result is what it has then."""

    def make(af: Any) -> Call:
        made = getattr(af, name)(trainable=True, **settings)
        first = [parameter.detach().clone() for parameter in made.parameters()]

        def call(x: torch.Tensor) -> torch.Tensor:
            own = list(made.to(x.dtype).parameters())
            for parameter, value in zip(own, first, strict=True):
                parameter.data.copy_(value)
            found = torch.autograd.grad(made(x).square().mean(), own)
            torch._foreach_add_([parameter.data for parameter in own], found, alpha=-0.1)
            return torch.cat([parameter.detach().flatten() for parameter in own])

        return call

    return make


def construction(name: str, **settings: Any) -> Callable[[Any], Call]:
    """A constructor, each time of another sample rate, so that no cache has what it computes."""

    def make(af: Any) -> Call:
        rates = itertools.count(22050)
        return lambda _: getattr(af, name)(sample_rate=next(rates), **settings)

    return make


def reading(clips: int, seconds: float) -> Callable[[Any], Call]:
    """Files read, padded, and turned into log-mel, batch by batch in one process."""

    def make(af: Any) -> Call:
        import soundfile

        folder = tempfile.TemporaryDirectory(prefix="trees-")
        for i, clip in enumerate(noise(0, clips, int(16000 * seconds)).numpy()):
            soundfile.write(Path(folder.name) / f"{i}.flac", clip, 16000, subtype="PCM_16")
        dataset = af.AudioFolder(folder.name, sample_rate=16000)
        collate = af.GPUSpecCollate(af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80))
        loader = torch.utils.data.DataLoader(dataset, batch_size=16, collate_fn=collate)

        weakref.finalize(dataset, folder.cleanup)

        def call(_: torch.Tensor) -> float:
            return sum(float(batch.features.sum()) for batch in loader)

        return call

    return make


def rows() -> dict[str, Row]:
    """All rows by name."""
    made: dict[str, Row] = {}
    frames = ({"n_fft": 400, "hop_length": 160}, {"n_fft": 2048, "hop_length": 512})
    at_16, at_22 = (lambda seed: noise(seed, 16, 160000)), (lambda seed: noise(seed, 16, 220500))

    def add(name: str, make: Callable[[Any], Call], source: Any, **more: Any) -> None:
        made[name] = Row(make, source, **more)

    for rate, mels, frame, x in ((16000, 80, frames[0], at_16), (22050, 128, frames[1], at_22)):
        size = f"{frame['n_fft']}/{frame['hop_length']}"
        mel = {"sample_rate": rate, "n_mels": mels, **frame}
        add(f"Spectrogram {size}", transform("Spectrogram", **frame), x)
        add(f"STFT {size}", transform("STFT", **frame), x)
        add(f"MelSpectrogram {size}", transform("MelSpectrogram", **mel), x)
        add(f"LogMelSpectrogram {size}", transform("LogMelSpectrogram", floor=1e-10, **mel), x)
        name = f"LogMelSpectrogram {size} conv"
        add(name, transform("LogMelSpectrogram", floor=1e-10, method="conv", **mel), x)
        # torch's FFT in both trees: without a graph, the tree before takes a kernel where "fft" is named
        name = f"LogMelSpectrogram {size} fft backward"
        add(name, gradient("LogMelSpectrogram", floor=1e-10, method="fft", **mel), x, quiet=False)
        add(f"LogMelSpectrogram {size} backward", gradient("LogMelSpectrogram", floor=1e-10, **mel), x, quiet=False)
        add(f"MFCC {size}", transform("MFCC", n_mfcc=20, **mel), x)
        add(f"Gammatonegram {size}", transform("Gammatonegram", sample_rate=rate, norm="n_fft", **frame), x)
    # as examples/trainable_bases.py trains them
    step = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 40}
    add("MelSpectrogram trained", training_step("MelSpectrogram", **step), at_16, quiet=False)
    add("LFCC", transform("LFCC", sample_rate=16000, n_fft=512, hop_length=160, pad_mode="reflect"), at_16)
    add("BFCC", transform("BFCC", sample_rate=16000, n_fft=512, hop_length=160), at_16)

    features = lambda seed: 100 * noise(seed, 64, 80, 1001)  # noqa: E731
    for mode in ("interp", "nearest"):
        add(f"Deltas {mode}", transform("Deltas", mode=mode), features)
    for norm_vars in (False, True):
        name = f"CMVN window norm_vars={norm_vars}"
        add(name, transform("CMVN", window=300, center=True, norm_vars=norm_vars), features)
    add("CMVN", transform("CMVN"), features)
    add("InverseMFCC", transform("InverseMFCC", n_mels=128), lambda seed: 50 * noise(seed, 16, 20, 1001))
    add("AmplitudeToDB", transform("AmplitudeToDB"), lambda seed: powers(seed, 16, 128, 431))
    add("PCEN", transform("PCEN", sample_rate=22050), lambda seed: powers(seed, 16, 128, 431))
    add("PCEN power=0.25", transform("PCEN", sample_rate=22050, power=0.25), lambda seed: powers(seed, 16, 80, 1001))
    add("PCEN max_size=3", transform("PCEN", sample_rate=22050, max_size=3), lambda seed: powers(seed, 16, 128, 431))
    for hop, x in ((1, lambda seed: noise(seed, 4, 16000)), (160, at_16)):
        add(f"SincFilterbank hop {hop}", transform("SincFilterbank", sample_rate=16000, hop_length=hop), x)
    add(
        "GaborFilterbank",
        transform("GaborFilterbank", sample_rate=16000, compression="log"),
        lambda seed: noise(seed, 2, 32000),
    )

    eight, four = (lambda seed: noise(seed, 8, 220500)), (lambda seed: noise(seed, 4, 220500))
    add("CQT", transform("CQT", sample_rate=22050), eight)
    add("CQT backward", gradient("CQT", sample_rate=22050), eight, quiet=False)
    add(
        "CQT 252",
        transform("CQT", sample_rate=44100, n_bins=252, bins_per_octave=36),
        lambda seed: noise(seed, 4, 441000),
    )
    add("CQT of 10 min", transform("CQT", sample_rate=22050), lambda seed: noise(seed, 1, 13_230_000))
    for name in ("VQT", "HybridCQT", "PseudoCQT"):
        add(name, transform(name, sample_rate=22050), eight)
    add("HarmonicCQT", transform("HarmonicCQT", sample_rate=22050, n_bins=72), four)
    add("ChromaCQT", transform("ChromaCQT", sample_rate=22050, tuning=0.0), four)
    add("ChromaVQT", transform("ChromaVQT", sample_rate=22050, intervals="ji5"), four)
    add("ChromaCENS", transform("ChromaCENS", sample_rate=22050, tuning=0.0), four)
    add("CFP", transform("CFP", sample_rate=16000), lambda seed: noise(seed, 4, 160000))

    def inverse_cqt(af: Any) -> Call:
        forward = af.CQT(sample_rate=22050, power=None)
        ours, known = af.InverseCQT(sample_rate=22050), {}

        def call(x: torch.Tensor) -> torch.Tensor:
            if known.get("waveform") is not x:  # computed once, and not timed
                known.update(waveform=x, spectra=forward(x))
            return ours(known["spectra"], x.shape[-1])

        return call

    add("InverseCQT", inverse_cqt, eight)
    rated = ("SpectralCentroid", "SpectralBandwidth", "SpectralRolloff", "SpectralContrast", "PolyFeatures", "Chroma")
    for name in (*rated, "OnsetStrength", "Tempogram", "FourierTempogram", "Tonnetz"):
        add(name, transform(name, sample_rate=22050), at_22)
    for name in ("SpectralFlatness", "RMS", "ZeroCrossingRate"):
        add(name, transform(name), at_22)
    for n_bins in (256, 1025):
        settings = {"sample_rate": 16000, "n_fft": 2048, "f_min": 50.0, "f_max": 6000.0, "n_bins": n_bins}
        add(f"LogFrequencySpectrogram {n_bins}", transform("LogFrequencySpectrogram", power=1.0, **settings), at_16)

    def reassigned(af: Any) -> Call:
        ours = af.ReassignedSpectrogram(sample_rate=16000, n_fft=2048, ref_power=1e-4)
        return lambda x: torch.stack(ours.coordinates(x)).nan_to_num(0.0)

    add("ReassignedSpectrogram.coordinates", reassigned, at_16)

    for n_fft, hop in ((400, 160), (1024, 256)):
        name, of = f"InverseSTFT {n_fft}/{hop}", (lambda seed, n=n_fft, h=hop: spectra(seed, 16, 160000, n, h))
        add(name, transform("InverseSTFT", n_fft=n_fft, hop_length=hop), of)
    add("TimeStretch", transform("TimeStretch", rate=1.3), lambda seed: spectra(seed, 16, 160000, 1024, 256))
    lim = {"n_fft": 1024, "hop_length": 256, "n_iter": 8, "momentum": 0.99, "rand_init": False}
    add("GriffinLim", transform("GriffinLim", **lim), lambda seed: spectra(seed, 4, 80000, 1024, 256).abs())
    for solver in ("nnls", "lstsq"):
        inverse_mel = transform("InverseMel", n_fft=512, sample_rate=16000, n_mels=80, solver=solver)
        add(f"InverseMel {solver}", inverse_mel, lambda seed: 1e-3 * powers(seed, 2, 80, 501) / 2.0**21, exact=False)

    add("files to LogMelSpectrogram", reading(48, 4.0), None, exact=False)
    add("construction of MelSpectrogram", construction("MelSpectrogram"), None, exact=False)
    add("construction of LogMelSpectrogram", construction("LogMelSpectrogram"), None, exact=False)
    add("construction of CQT", construction("CQT"), None, exact=False)
    add("construction of MFCC", construction("MFCC"), None, exact=False)
    # of the tree after alone
    for name in ("HybridTempogram", "Metrogram"):
        add(name, transform(name, sample_rate=22050), at_22)
    return made
