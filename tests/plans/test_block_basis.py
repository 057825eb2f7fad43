"""Kernels in blocks: the same result as the kernels whole, to float32, and only where it is float32 and fixed."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.methods.short_time.kernel import jit
from audiofeed.plans.constant_q.block_basis import block_basis
from audiofeed.transforms.constant_q.cqt import CQT

MANY_BINS = {"sample_rate": 22050, "n_bins": 72, "bins_per_octave": 36, "f_min": 400.0}


@functools.cache
def transform_and_blocks(hop_length, power):
    transform = CQT(**MANY_BINS, hop_length=hop_length, power=power)
    return transform, transform.kernel_bank.in_blocks()


def banded_kernels(n, taps, seed=0):
    """Windowed tones of one octave in random phases, of very different sizes."""
    rng = np.random.default_rng(seed)
    turns = np.linspace(0.5, 1.0, n)[:, None] * np.arange(taps) + rng.uniform(0, 2 * np.pi, (n, 1))
    return np.cos(turns) * np.hanning(taps) * 10.0 ** rng.uniform(-3, 3, (n, 1))


@pytest.fixture(autouse=True, scope="module")
def torch_computes():
    """What machine code does with the blocks is tested beside it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jit, "lanes", lambda: 0)
        yield


@pytest.mark.parametrize("hop_length", [4, 64, 128, 512])
def test_each_kernel_is_met_to_its_own_rounding(hop_length):
    kernels = banded_kernels(72, 1024)
    found = block_basis(kernels, hop_length)
    again = (found.weights.reshape(-1, found.rank, 72).transpose(2, 0, 1) @ found.basis.T).reshape(72, 1024)
    error = np.linalg.norm(again - kernels, axis=1) / np.linalg.norm(kernels, axis=1)
    assert error.max() <= 1.2e-7
    assert found.block % hop_length == 0 or hop_length % found.block == 0
    steps = max(1, hop_length // found.block)
    assert found.block * found.rank * steps + found.weights.size < kernels.size / 1.4


def test_it_is_left_where_it_does_not_pay():
    kernels = banded_kernels(72, 1024)
    assert block_basis(kernels, 441) is None  # no block would serve two frames
    assert block_basis(kernels[:24, :256], 256) is None  # as many degrees of freedom as kernels
    noise = np.random.default_rng(0).standard_normal((72, 1024))
    assert block_basis(noise, 256) is None


@pytest.mark.parametrize("hop_length", [512, 64, 8])
@pytest.mark.parametrize("power", [None, 1.0])
@settings(max_examples=15)
@given(rows=st.integers(1, 4), length=st.integers(1, 30000), seed=st.integers(0, 2**16))
def test_blocks_change_nothing_but_rounding(hop_length, power, rows, length, seed):
    transform, in_blocks = transform_and_blocks(hop_length, power)
    assert len(in_blocks) == 2
    transform.kernel_bank.blocks = in_blocks
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, length))).float()
    exact = transform(x.double())
    found = transform(x)
    scale = max(float(exact.abs().pow(2).sum().sqrt()), float(transform.kernels.norm(dim=0).max() * 1e-3))
    assert float((found - exact).abs().pow(2).sum().sqrt()) <= 2e-6 * scale
    transform.kernel_bank.blocks = {}
    whole = transform(x)
    assert float((found - whole).abs().pow(2).sum().sqrt()) <= 2e-6 * scale
    # the two differ in their last digits, or the blocks were not used
    assert length < 2000 or not torch.equal(found, whole)


def test_float64_and_trained_kernels_stay_whole():
    x = torch.randn(1, 8000)
    fixed = CQT(**MANY_BINS)
    fixed(x.double())
    fixed(x.clone().requires_grad_())
    assert fixed.kernel_bank.blocks is None
    trained = CQT(**MANY_BINS, trainable=True)
    before = trained(x).detach()
    with torch.no_grad():
        trained.kernels.mul_(2.0)
        assert torch.allclose(trained(x), 2.0 * before)
    assert trained.kernel_bank.blocks is None


def test_they_do_not_travel():
    """They are made again where they are needed: neither a checkpoint nor a copy carries them."""
    transform = CQT(**MANY_BINS)
    plain = len(pickle.dumps(transform))
    transform(torch.randn(1, 8000))
    assert transform.kernel_bank.blocks
    assert len(pickle.dumps(transform)) == plain
    assert copy.deepcopy(transform).kernel_bank.blocks is None
    assert not transform.state_dict()
