"""Long kernels hop by hop: the same sums as of whole frames, forwards and backwards; and a plain graph to export."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.arguments.checks import PAD_MODES
from audiofeed.methods.constant_q import octaves
from audiofeed.transforms.constant_q.cqt import CQT

# taps from 40 to 4 hops; the last of them and the odd hop do not divide the kernels
CASES = [("conv", 64), ("conv", 97), ("octaves", 65)]


@functools.cache
def transform(method, hop_length, power, pad_mode, trainable=False):
    return CQT(
        sample_rate=8000,
        n_bins=18,
        f_min=100.0,
        bins_per_octave=6,
        hop_length=hop_length,
        method=method,
        power=power,
        pad_mode=pad_mode,
        trainable=trainable,
    )


def by_frames(call):
    """What comes out when every frame is copied whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octaves, "_LEAST_HOPS", 10**9)
        return call()


@pytest.mark.parametrize(("method", "hop_length"), CASES)
def test_some_kernels_are_long_and_some_are_not(method, hop_length):
    level = transform(method, hop_length, None, "constant").kernel_bank.levels[0]
    chosen = [octaves._is_long(band, level) for band in level.bands]
    assert any(chosen)
    assert not all(chosen)
    assert any(band.taps % hop_length for band, hops in zip(level.bands, chosen, strict=True) if hops)


@pytest.mark.parametrize(("method", "hop_length"), CASES)
@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=3),
    power=st.sampled_from([None, 2.0]),
    pad_mode=st.sampled_from(PAD_MODES),
    seed=st.integers(0, 2**16),
)
def test_hops_and_frames_agree(method, hop_length, lengths, power, pad_mode, seed):
    cqt = transform(method, hop_length, power, pad_mode)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(lengths), max(lengths))))
    expected = by_frames(lambda: cqt(x, torch.tensor(lengths)))
    scale = 1e-12 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(cqt(x, torch.tensor(lengths)), expected, rtol=0, atol=scale)
    with_graph = cqt(x.clone().requires_grad_(), torch.tensor(lengths))
    torch.testing.assert_close(with_graph.detach(), expected, rtol=0, atol=scale)


@pytest.mark.parametrize("piece", [1, 2**14, octaves.blocks.GPU_BLOCK])
def test_gradients_agree(piece, monkeypatch):
    """Of the waveform and of the kernels, however few frames are computed at once."""
    monkeypatch.setattr(octaves.blocks, "GPU_BLOCK", piece)
    cqt = transform("conv", 64, None, "reflect", trainable=True)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3000))).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 18, 47)))

    def gradients():
        loss = (cqt(x).real * weights).sum()
        return torch.autograd.grad(loss, [x, cqt.kernels])

    for ours, expected in zip(gradients(), by_frames(gradients), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("method", ["conv", "octaves"])
@pytest.mark.parametrize("trainable", [True, False])
def test_it_can_be_exported(method, trainable):
    cqt = transform(method, 64, 1.0, "constant", trainable)
    x = torch.randn(2, 4000)
    with torch.no_grad():
        program = torch.export.export(cqt, (x,))
        torch.testing.assert_close(program.module()(x), cqt(x), rtol=1e-4, atol=1e-5)
    graphs = [str(module.graph) for module in program.graph_module.modules() if hasattr(module, "graph")]
    assert not any("as_strided" in graph for graph in graphs)


def test_filters_of_frames_are_exported_for_any_length():
    # as docs/faq.md says it
    mel = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=40)
    lengths = ({1: torch.export.Dim.AUTO},)
    program = torch.export.export(mel, (torch.randn(2, 16_000),), dynamic_shapes=lengths, strict=False)
    longer = torch.randn(2, 24_000)
    torch.testing.assert_close(program.module()(longer), mel(longer), rtol=0, atol=1e-4)
