"""Memory of kernels: how many are kept, and each address they read or write, checked where that is asked for."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.short_time.kernel import check, guard, jit, layout
from audiofeed.methods.short_time.kernel.source import Recipe
from tests.methods.short_time.kernels import needs_compiler, noise

pytestmark = needs_compiler
MEL = {"sample_rate": 16000, "n_fft": 64, "hop_length": 16, "n_mels": 8}


def recipes(count: int) -> list[Recipe]:
    return [Recipe(n_fft=16, lanes=4, int16=False, power=2.0, filters=True, floor=0.5 + i) for i in range(count)]


def test_the_least_recently_used_kernels_are_freed(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 4)
    first, *others = recipes(7)
    made = {recipe: weakref.ref(jit.kernel(recipe)) for recipe in (first, *others[:3])}
    assert jit.kernel(first) is made[first]()  # used again, so that the second is now the oldest
    for recipe in others[3:]:
        jit.kernel(recipe)
        jit.kernel(first)
    gc.collect()
    assert len(jit._kernels) == 4
    assert made[first]() is not None
    assert [made[recipe]() for recipe in others[:3]] == [None, None, None]


def test_a_kernel_in_use_outlives_its_place(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 1)
    held, *others = (jit.kernel(recipe) for recipe in recipes(3))
    assert held is not None
    assert held.recipe not in jit._kernels
    assert others[-1].recipe in jit._kernels


def test_a_sweep_keeps_few_kernels(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 8)
    x = noise(1, 400)
    swept = [af.LogMelSpectrogram(**MEL, floor=10.0 ** -(1 + i / 4))(x) for i in range(20)]
    again = [af.LogMelSpectrogram(**MEL, floor=10.0 ** -(1 + i / 4))(x) for i in range(20)]
    assert len(jit._kernels) == 8
    assert all(torch.equal(a, b) for a, b in zip(swept, again, strict=True))


SETTINGS = [
    (af.STFT, {"n_fft": 64, "hop_length": 13}),
    (af.Spectrogram, {"n_fft": 50, "hop_length": 60, "center": False}),
    (af.Spectrogram, {"n_fft": 64, "hop_length": 5, "pad_mode": "reflect", "power": 0.7}),
    (af.LogMelSpectrogram, MEL),
    (af.MFCC, {**MEL, "n_mfcc": 4}),
    (af.SpectralCentroid, {"sample_rate": 8000, "n_fft": 64, "hop_length": 16}),
]


@pytest.mark.parametrize(("cls", "settings"), SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
def test_every_address_lies_inside_its_memory(cls, settings, dtype, monkeypatch):
    jobs = []
    followed = check.check_job
    monkeypatch.setattr(check, "check_job", lambda *args, **given: jobs.append(followed(*args, **given)))
    transform = cls(**settings)
    for lengths in ([1], [2, 700, 65, 64, 31], [3000, 1]):
        x = (noise(len(lengths), max(lengths)) * 1000).to(dtype)
        monkeypatch.setattr(check, "ENABLED", False)
        unchecked = transform(x, torch.tensor(lengths))
        monkeypatch.setattr(check, "ENABLED", True)
        assert torch.equal(transform(x, torch.tensor(lengths)), unchecked)
    assert len(jobs) >= 3


@pytest.mark.parametrize(
    ("column", "memory"), [("_INSIDE", "waveform"), ("_END", "copied ends"), ("_BEGINNING", "copied ends")]
)
@pytest.mark.parametrize("shift", [-1, 1])
def test_an_address_of_another_frame_is_noticed(column, memory, shift, monkeypatch):
    """A row's table off by more than a row: the check stops the kernel before it reads there."""
    laid_out = layout.Frames._lay_out

    def slipped(self, lengths):
        counts = laid_out(self, lengths)
        self._rows[:, getattr(layout, column)] += shift * 4 * self.waveform.stride(0)
        return counts

    monkeypatch.setattr(check, "ENABLED", True)
    monkeypatch.setattr(layout.Frames, "_lay_out", slipped)
    with pytest.raises(IndexError, match=f"tile .* not inside the {memory}"):
        af.Spectrogram(64, hop_length=16)(noise(2, 600))


def test_a_result_that_is_too_small_is_noticed(monkeypatch):
    monkeypatch.setattr(check, "ENABLED", True)
    monkeypatch.setattr(layout.Frames, "_rows_of", lambda self, bins, dtype: torch.empty(2, 37, bins, dtype=dtype))
    with pytest.raises(IndexError, match="not inside the result"):
        af.Spectrogram(64, hop_length=16)(noise(2, 600))


def test_spans_outside_the_bins_are_noticed(monkeypatch):
    monkeypatch.setattr(check, "ENABLED", True)
    transform = af.MelSpectrogram(**MEL)
    tiles = transform._bank.tiles
    object.__setattr__(tiles, "spans", tiles.spans + np.array([[0], [40], [0]]))
    with pytest.raises(IndexError, match="spans of 8 filters"):
        transform(noise(2, 600))


PRIVATE = [
    (torch._C._functorch, "is_functorch_wrapped_tensor"),
    (torch._C, "_len_torch_dispatch_stack"),
    (torch.autograd.forward_ad, "_current_level"),
]


@pytest.mark.parametrize(("place", "name"), PRIVATE, ids=[name for _, name in PRIVATE])
def test_without_a_private_part_of_torch_its_fft_computes(place, name, monkeypatch):
    transform, x = af.Spectrogram(64), noise(2, 600)
    expected = af.Spectrogram(64, method="fft")(x)
    monkeypatch.delattr(place, name)
    guard._warn_of_missing.cache_clear()
    with pytest.warns(RuntimeWarning, match=f"has no torch.*{name}"):
        assert torch.equal(transform(x), expected)
    assert torch.equal(transform(x), expected)  # warned of once
    assert name in transform.runs_on(x).reason


def test_a_named_kernel_runs_or_raises():
    x = noise(2, 600)
    transform = af.Spectrogram(64, method="kernel")
    assert torch.equal(transform(x), af.Spectrogram(64)(x))
    assert str(transform.runs_on(x)).startswith("kernel: ")
    with pytest.raises(ValueError, match="method='kernel' cannot be used for this input: float64; use method='auto'"):
        transform(x.double())
    with pytest.raises(ValueError, match="a gradient or a graph is needed"):
        transform(x.requires_grad_())
    with pytest.raises(ValueError, match="method='kernel' cannot be used with n_fft=63: n_fft=63 is odd"):
        af.Spectrogram(63, method="kernel")
    with pytest.raises(ValueError, match="trainable=True: a kernel has no basis"):
        af.STFT(64, method="kernel", trainable=True)


def test_a_transform_says_which_path_an_input_takes():
    transform, x = af.LogMelSpectrogram(**MEL), noise(2, 600)
    assert transform.runs_on(x).method == "kernel"
    assert str(transform.runs_on(x.double())) == "fft: kernel: float64"
    assert "gradient" in transform.runs_on(x.requires_grad_()).reason
    assert transform.runs_on(torch.zeros(2, 600, dtype=torch.int16)).method == "kernel"
    assert af.STFT(63).runs_on(x.detach()).reason == "kernel: n_fft=63 is odd"
    assert af.STFT(64, trainable=True).runs_on(x).method == "conv"
    assert af.STFT(64, method="fft").runs_on(x.detach()).reason == "named by the caller"
