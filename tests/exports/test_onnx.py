"""Transforms exported to ONNX for clips of any number and length, and run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import pytest
import torch
from torch import nn
from torch.export import Dim

import audiofeed as af
from audiofeed.methods import frames
from tests.transforms.cases import CASES, IDS

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

# What a user may put in front of a model, and what was wrong or refused in an export once
EXPORTED = [
    "MelSpectrogram-0",
    "LogMelSpectrogram-0",
    "LogMelSpectrogram-3",
    "MFCC-0",
    "LFCC-0",
    "BFCC-0",
    "Gammatonegram-0",
    "PCEN-0",
    "PCEN-1",
    "SincFilterbank-0",
    "GaborFilterbank-1",
    "Deltas-0",
    "CMVN-0",
    "Concat-0",
    "Chain-0",
    "CQT-0",
    "CQT-1",
    "CQT-3",
    "CQT-4",
    "HybridCQT-1",
    "ChromaCENS-0",
    "SpectralCentroid-0",
    "SpectralFlatness-0",
    "RMS-0",
    "RMS-1",
    "ZeroCrossingRate-0",
    "Chroma-0",
    "GriffinLim-0",
    "Normalize-0",
    "NormalizeClips-0",
    "PadFrames-0",
    "PadFrames-4",
    "PadFrames-5",
    "StackFrames-0",
    "StackFrames-2",
    "FrameWaveform-0",
    "OnsetStrength-0",
    "OnsetStrength-1",
    "Tempogram-0",
    "Tempogram-1",
    "ReassignedSpectrogram-0",
    "LogFrequencySpectrogram-0",
    "STFT-0",
    "Spectrogram-0",
    "NormalizeRMS-0",
    "PreEmphasis-0",
    "PadWaveform-0",
]


def exported(model, *inputs, dims=None):
    """A session of ONNX Runtime for a model, open in the number of clips and in their length."""
    if dims is None:
        dims = tuple({0: Dim.AUTO, x.ndim - 1: Dim.AUTO} for x in inputs)
    # torch and onnxscript warn of their own, and print what they do
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(model, inputs, dynamo=True, verbose=False, dynamic_shapes=dims)
        finally:
            logging.disable(logging.NOTSET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options, ["CPUExecutionProvider"])


def served(session, *inputs):
    names = [each.name for each in session.get_inputs()]
    return torch.from_numpy(session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))[0])


def pairs(values):
    """Complex values as ONNX has them."""
    return torch.view_as_real(values) if values.is_complex() else values


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_transform_has_its_values_for_any_number_and_length_of_clips(name):
    """Shorter and longer than what was exported, of odd sizes, and many times as long."""
    case = CASES[IDS.index(name)]
    transform, size = case.build(), case.size
    session = exported(transform, case.single(2))
    for batch, n in ((2, size), (1, size + 7), (3, size * 3 // 2), (2, size // 3), (1, size * 6)):
        x = case.single(batch, n=n, seed=n)
        with torch.no_grad():
            own = pairs(case.run(transform, x)).double()
            exact = pairs(case.run(case.build().double(), x.double()))
        found = served(session, x).double()
        assert found.shape == exact.shape
        peak, rounding = exact.abs().max(), (own - exact).abs().max()
        # ONNX Runtime's FFT has fewer digits than ours, and what a transform makes of rounding it makes of that
        assert (found - exact).abs().max() <= max(1e-5 * peak, 20 * rounding)


class WithLengths(nn.Module):
    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, waveform, lengths):
        return self.transform(waveform, lengths=lengths)


# complex values, rows cleared at another rate, convolutions in place of FFT blocks, runs of frames
PADDED = ["STFT-0", "CQT-0", "CQT-3", "GaborFilterbank-1", "SincFilterbank-0", "PCEN-0", "Tempogram-1", "MFCC-0"]


@pytest.mark.parametrize("name", PADDED)
def test_an_exported_transform_has_its_values_for_the_clips_of_a_padded_batch(name):
    case = CASES[IDS.index(name)]
    model, size = WithLengths(case.build()), case.size
    dims = ({0: Dim.AUTO, 1 if case.single(2).ndim == 2 else 2: Dim.AUTO}, {0: Dim.AUTO})
    session = exported(model, case.single(2), torch.tensor([size, size // 2]), dims=dims)
    for lengths in ([size, size // 2], [size * 2 + 7, size, size // 3], [size - 3]):
        x, ends = case.single(len(lengths), n=max(lengths), seed=1), torch.tensor(lengths)
        expected = pairs(model(x, ends).detach())
        found = served(session, x, ends)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


PRESETS = ["whisper", "qwen3_asr", "vibevoice", "crepe", "kaldi_fbank", "nemo", "vggish", "gemma3n"]


@pytest.mark.parametrize("name", PRESETS)
def test_an_exported_preset_has_its_values_for_the_clips_of_a_padded_batch(name):
    preset = getattr(af.presets, name)().eval()
    model = WithLengths(preset)
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(2, 40_000, generator=generator) / 10, torch.tensor([40_000, 33_000])
    session = exported(model, *example, dims=({0: Dim.AUTO, 1: Dim.AUTO}, {0: Dim.AUTO}))
    for lengths in ([40_000, 33_000], [20_777], [60_001, 34_000, 20_000]):
        x = torch.randn(len(lengths), max(lengths), generator=generator) / 10
        ends = torch.tensor(lengths)
        with torch.no_grad():
            expected = model(x, ends)
        found = served(session, x, ends)
        assert found.shape == expected.shape
        # a logarithm near its floor makes that of the digits that ONNX Runtime's FFT has less
        torch.testing.assert_close(found, expected, rtol=0, atol=3e-3 * float(expected.abs().max()))


def test_an_example_to_which_nothing_is_added_stands_for_clips_that_are_made_longer():
    pad = af.PadWaveform(multiple=160)
    session = exported(pad, torch.randn(2, 480))
    for batch, n in ((1, 480), (2, 481), (3, 100)):
        x = torch.randn(batch, n)
        assert torch.equal(served(session, x), pad(x))


class Denoiser(nn.Module):
    """A spectrum weighted by itself, and heard again."""

    def __init__(self):
        super().__init__()
        self.spectrum, self.inverse = af.STFT(n_fft=128, hop_length=32), af.InverseSTFT(n_fft=128, hop_length=32)

    def forward(self, waveform):
        spectrum = self.spectrum(waveform)
        return self.inverse(spectrum * torch.sigmoid(spectrum.abs()))


class Stretcher(nn.Module):
    def __init__(self):
        super().__init__()
        self.spectrum, self.stretch = af.STFT(n_fft=128, hop_length=50), af.TimeStretch(rate=1.3)

    def forward(self, waveform):
        return self.stretch(self.spectrum(waveform)).abs()


@pytest.mark.parametrize("model", [Denoiser, Stretcher])
def test_complex_spectra_inside_of_an_exported_model(model):
    module = model()
    session = exported(module, torch.randn(2, 2000))
    for batch, n in ((2, 2000), (1, 3883), (3, 777), (1, 3850)):  # of 3850 samples 78 frames: 60 of 1.3 times the speed
        x = torch.randn(batch, n)
        expected = module(x).detach()
        found = served(session, x)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("offset", [1e-8, 1e-9, 1e-10, 3e-13])
@pytest.mark.parametrize("log", ["ln", "log10"])
def test_what_keeps_the_logarithm_of_silence_finite_is_exported(log, offset):
    """onnxscript's optimizer takes a term of 1e-8 or less for 0 and leaves it out."""
    mel = af.LogMelSpectrogram(
        sample_rate=8000, n_fft=128, hop_length=64, n_mels=8, log=log, offset=offset, floor=1e-30
    )
    session = exported(mel, torch.randn(2, 800))
    loud = torch.cat([torch.zeros(1, 900), torch.randn(1, 900)])
    for x in (torch.zeros(1, 900), loud, 1e-6 * loud):
        torch.testing.assert_close(served(session, x), mel(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("in_few_launches", [False, True])
@pytest.mark.parametrize("method", ["conv", "fft"])
def test_a_clip_shorter_than_a_frame_is_filled_up(monkeypatch, method, in_few_launches):
    """Also as it is padded where launches count."""
    if in_few_launches:
        monkeypatch.setattr(frames, "launches", lambda x: torch.compiler.is_compiling())
    settings = {"n_fft": 256, "hop_length": 64, "n_mels": 8, "center": False, "method": method}
    mel = af.LogMelSpectrogram(sample_rate=8000, **settings)
    session = exported(mel, torch.randn(2, 2000))
    for batch, n in ((1, 100), (2, 255), (2, 256), (1, 257), (3, 5000)):
        x = torch.randn(batch, n)
        torch.testing.assert_close(served(session, x), mel(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["conv", "fft"])
def test_the_convolution_needs_no_operator_for_a_fourier_transform(method):
    """It is missing from runtimes of some devices."""
    mel = af.LogMelSpectrogram(sample_rate=8000, n_fft=128, hop_length=64, n_mels=8, method=method)
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(mel, (torch.randn(2, 800),), dynamo=True, verbose=False)
    operators = {node.op_type for node in program.model_proto.graph.node}
    assert ("DFT" in operators) == (method == "fft")
    assert ("Conv" in operators) == (method == "conv")
