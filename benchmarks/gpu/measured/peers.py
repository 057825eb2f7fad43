"""What is measured: each method of ours and the plain ways to a log-mel spectrogram, all with one definition."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.short_time.fourier import fourier_basis
from audiofeed.signal.windows import get_window
from audiofeed.transforms import LogMelSpectrogram
from gpu.settings import METHODS

FLOOR = 1e-10
# clips that the error is taken over
JUDGED = 4
Call = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Config:
    """One log-mel spectrogram and one batch."""

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    clips: int
    seconds: float

    @property
    def name(self) -> str:
        """Rate, frames and filters."""
        return f"{self.sample_rate / 1000:g} kHz, {self.n_fft}/{self.hop_length}, {self.n_mels} mels"

    @property
    def batch(self) -> str:
        """The batch's size."""
        return f"{self.clips} x {self.seconds:g} s"

    @property
    def hours(self) -> float:
        """Hours of audio in a batch."""
        return self.clips * self.seconds / 3600

    def mel_weights(self) -> torch.Tensor:
        """The filters in float64, (n_mels, bins)."""
        return torch.from_numpy(mel_filterbank(sample_rate=self.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels))

    def transform(self, method: str) -> LogMelSpectrogram:
        """Our transform."""
        return LogMelSpectrogram(
            sample_rate=self.sample_rate, n_fft=self.n_fft, hop_length=self.hop_length, n_mels=self.n_mels,
            floor=FLOOR, method=method,
        )  # fmt: skip


CONFIGS = (
    Config(16_000, 400, 160, 80, 16, 10.0),
    Config(16_000, 400, 160, 80, 64, 30.0),
    Config(22_050, 2048, 512, 128, 16, 10.0),
    Config(44_100, 1024, 256, 128, 16, 10.0),
)


def speech_like(config: Config, device: torch.device) -> torch.Tensor:
    """Quiet voiced sound: 40 harmonics that fall by 12 dB an octave, four syllables a second, over -80 dB of noise."""
    samples = int(config.seconds * config.sample_rate)
    time = torch.arange(samples, dtype=torch.float64) / config.sample_rate
    clip = torch.zeros_like(time)
    for harmonic in range(1, 41):
        clip += torch.sin(2 * math.pi * 140.0 * harmonic * time) / harmonic**2
    clip *= 0.05 * torch.sin(2 * math.pi * 2.0 * time).square()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(config.clips, samples, generator=generator)
    rows = torch.stack([clip.float().roll(997 * row) for row in range(config.clips)])
    return (rows + 1e-4 * noise).to(device)


def ways(config: Config, device: torch.device) -> Iterator[tuple[str, Call | str]]:
    """Name and callable of each way, or the reason why it cannot run here."""
    for method in METHODS:
        try:
            transform = config.transform(method).to(device)
        except ValueError as error:
            yield method, str(error)
        else:
            yield method, _without_graph(transform)
            yield f"{method}, with lengths", _without_graph(_with_lengths(transform, config, device))
    yield "torch.stft + matmul + log", torch_stft(config, device)
    yield "unfold + DFT matmul, full float32", unfold_matmul(config, device)
    yield "torchaudio", _torchaudio(config, device)
    yield "nnAudio2", _nnaudio2(config, device)
    yield "flashmel + log", _flashmel(config, device, log=True)
    yield "flashmel, mel without log", _flashmel(config, device, log=False)


def torch_stft(config: Config, device: torch.device, dtype: torch.dtype = torch.float32) -> Call:
    """The way most people write it."""
    window = torch.from_numpy(get_window("hann", config.n_fft)).to(dtype).to(device)
    mel = config.mel_weights().to(dtype).to(device)

    def call(waveform: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            waveform, config.n_fft, config.hop_length, window=window, center=True, pad_mode="constant",
            return_complex=True,
        )  # fmt: skip
        return (mel @ spectrum.abs().square()).clamp(min=FLOOR).log()

    return _without_graph(call)


def unfold_matmul(config: Config, device: torch.device) -> Call:
    """Frames times a dense Fourier basis, with products in full float32 whatever is allowed."""
    basis = torch.from_numpy(fourier_basis(get_window("hann", config.n_fft))).float().t().contiguous().to(device)
    mel = config.mel_weights().float().t().contiguous().to(device)
    half = config.n_fft // 2

    def call(waveform: torch.Tensor) -> torch.Tensor:
        with full_precision():
            frames = F.pad(waveform, (half, half)).unfold(-1, config.n_fft, config.hop_length)
            real, imag = (frames @ basis).chunk(2, dim=-1)
            return ((real.square() + imag.square()) @ mel).clamp(min=FLOOR).log().transpose(1, 2)

    return _without_graph(call)


def _torchaudio(config: Config, device: torch.device) -> Call | str:
    try:
        functions = importlib.import_module("torchaudio.transforms")
    except (ImportError, OSError, RuntimeError) as error:  # beside another torch it fails in any of these ways
        return f"torchaudio does not import: {type(error).__name__}: {error}"
    module = functions.MelSpectrogram(
        config.sample_rate, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels,
        pad_mode="constant", norm="slaney", mel_scale="slaney",
    ).to(device)  # fmt: skip
    return _without_graph(lambda waveform: module(waveform).clamp(min=FLOOR).log())


def _with_lengths(transform: LogMelSpectrogram, config: Config, device: torch.device) -> Call:
    """The clips are from half to all of the batch long; those that are judged are all of it."""
    longest = int(config.seconds * config.sample_rate)
    lengths = torch.linspace(longest, longest // 2, config.clips).long()
    lengths[:JUDGED] = longest
    lengths = lengths.to(device)
    return lambda waveform: transform(waveform, lengths)


def _nnaudio2(config: Config, device: torch.device) -> Call | str:
    try:
        features = importlib.import_module("nnAudio2.features")
    except ImportError as error:
        return f"nnAudio2 does not import: {error}"
    with contextlib.redirect_stdout(io.StringIO()):
        module = features.MelSpectrogram(
            sr=config.sample_rate, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels,
            pad_mode="constant", verbose=False,
        ).to(device)  # fmt: skip
    return _without_graph(lambda waveform: module(waveform).clamp(min=FLOOR).log())


def _flashmel(config: Config, device: torch.device, *, log: bool) -> Call | str:
    if device.type != "cuda":
        return "flashmel needs CUDA"
    try:
        module = importlib.import_module("flashmel").MelSpectrogram(
            config.sample_rate, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels,
            pad_mode="constant", norm="slaney", mel_scale="slaney",
        ).to(device)  # fmt: skip
        module(torch.zeros(1, config.n_fft * 2, device=device))  # compiles its kernel
    except (ImportError, OSError, RuntimeError) as error:
        return f"flashmel does not run: {type(error).__name__}: {error}"[:300]
    if not log:
        return _without_graph(module)
    return _without_graph(lambda waveform: module(waveform).clamp(min=FLOOR).log())


def _without_graph(call: Call) -> Call:
    def plain(waveform: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return call(waveform)

    return plain


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in float32, as a fresh process has them."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)
