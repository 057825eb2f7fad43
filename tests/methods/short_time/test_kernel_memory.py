"""Memory of kernels: how many are kept, and each address they read or write, checked where that is asked for."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.short_time.kernel import address_check, frame_kernel, jit, layout
from audiofeed.methods.short_time.kernel.frame_kernel import KernelSpec
from audiofeed.parallel import observed
from audiofeed.transforms.contract import transform as transforms
from tests.methods.short_time.kernels import needs_compiler, noise

pytestmark = needs_compiler
MEL = {"sample_rate": 16000, "n_fft": 64, "hop_length": 16, "n_mels": 8}


def specs(count: int) -> list[KernelSpec]:
    return [KernelSpec(n_fft=16 + 4 * i, lanes=4, int16=False, power=2.0, filters=True) for i in range(count)]


def test_the_least_recently_used_kernels_are_freed(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 4)
    first, *others = specs(7)
    made = {spec: weakref.ref(jit.kernel(spec)) for spec in (first, *others[:3])}
    assert jit.kernel(first) is made[first]()  # used again, so that the second is now the oldest
    for spec in others[3:]:
        jit.kernel(spec)
        jit.kernel(first)
    gc.collect()
    assert len(jit._kernels) == 4
    assert made[first]() is not None
    assert [made[spec]() for spec in others[:3]] == [None, None, None]


def test_a_kernel_in_use_outlives_its_place(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 1)
    held, *others = (jit.kernel(spec) for spec in specs(3))
    assert held is not None
    assert held.spec not in jit._kernels
    assert others[-1].spec in jit._kernels


def test_a_sweep_keeps_few_kernels(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 8)
    x = noise(1, 400)
    swept = [af.LogMelSpectrogram(**{**MEL, "n_fft": 64 + 4 * i})(x) for i in range(20)]
    again = [af.LogMelSpectrogram(**{**MEL, "n_fft": 64 + 4 * i})(x) for i in range(20)]
    assert len(jit._kernels) == 8
    assert all(torch.equal(a, b) for a, b in zip(swept, again, strict=True))


def test_floors_and_kinds_of_logarithm_share_one_kernel(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    x = noise(2, 900) * torch.logspace(0, -6, 900)
    floors, logs = [10.0 ** -(i / 4) for i in range(60)], ("ln", "log10", "db")
    swept = [af.LogMelSpectrogram(**MEL, floor=floors[i], log=logs[i % 3]) for i in range(60)]
    found = [transform(x) for transform in swept]
    assert len(jit._kernels) == 1
    for transform, values, floor in zip(swept, found, floors, strict=True):
        torch.testing.assert_close(values, transform(x.double()).float(), rtol=1e-4, atol=1e-4)
        least = torch.tensor(floor).log() * {"ln": 1, "log10": 0.4342945, "db": 4.342945}[transform.log]
        assert values.min() >= least - 1e-4
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda transform: transform(x), swept * 3))
    assert all(torch.equal(a, b) for a, b in zip(at_once, found * 3, strict=True))
    af.MelSpectrogram(**MEL)(x)
    assert len(jit._kernels) == 2


def test_every_number_of_a_spec_goes_by_the_job():
    """A float32's own bits, which a form has not."""
    spec = KernelSpec(n_fft=16, lanes=4, int16=False, power=2.0, filters=True, floor=0.1, factor=-2.5, offset=0.1)
    assert spec.numbers == {"floor": 0x3DCCCCCD, "factor": -0x3FE00000, "offset": 0x3DCCCCCD}
    assert set(frame_kernel.NUMBERS) <= set(frame_kernel.FIELDS)
    assert spec.form == replace(spec, floor=3.0, factor=7.0, offset=0.0).form
    plain = replace(spec, floor=None)
    assert plain.form is plain
    assert plain.form != spec.form


def test_threads_that_sweep_at_once_run_no_kernel_that_was_freed(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(jit, "MOST_KERNELS", 2)
    x = noise(1, 400)
    swept = [af.LogMelSpectrogram(**{**MEL, "n_fft": 64 + 4 * i}) for i in range(6)]
    expected = [transform(x) for transform in swept]
    wrong = []

    def sweep(shift):
        for i in range(12):
            at = (i + shift) % len(swept)
            if not torch.equal(swept[at](x), expected[at]):
                wrong.append(at)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(4)))
    assert wrong == []
    jit.kernel(specs(1)[0])
    assert len(jit._kernels) == 2


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
    followed = address_check.check_job
    monkeypatch.setattr(address_check, "check_job", lambda *args, **given: jobs.append(followed(*args, **given)))
    transform = cls(**settings)
    for lengths in ([1], [2, 700, 65, 64, 31], [3000, 1]):
        x = (noise(len(lengths), max(lengths)) * 1000).to(dtype)
        monkeypatch.setattr(address_check, "ENABLED", False)
        unchecked = transform(x, torch.tensor(lengths))
        monkeypatch.setattr(address_check, "ENABLED", True)
        assert torch.equal(transform(x, torch.tensor(lengths)), unchecked)
    assert len(jobs) >= 3


@pytest.mark.parametrize(
    ("column", "memory"), [("INSIDE", "waveform"), ("END", "copied ends"), ("BEGINNING", "copied beginnings")]
)
@pytest.mark.parametrize("frames", [-1, 1])
def test_an_address_that_is_off_by_a_frame_is_noticed(column, memory, frames, monkeypatch):
    """The check stops the kernel before it reads there, and tells the tile, the bytes and the memory."""
    laid_out = layout.FrameLayout._lay_out

    def slipped(self, lengths):
        counts = laid_out(self, lengths)
        self.rows[:, getattr(frame_kernel, f"ROW_{column}")] += frames * 4 * self.framing.hop_length
        return counts

    monkeypatch.setattr(layout.FrameLayout, "_lay_out", slipped)
    with pytest.raises(IndexError, match=rf"tile \d+, row \d: bytes 0x\w+ to 0x\w+ are not inside the {memory}, 0x"):
        af.Spectrogram(64, hop_length=16)(noise(2, 600))


def test_a_result_that_is_too_small_is_noticed(monkeypatch):
    monkeypatch.setattr(layout.FrameLayout, "_rows_of", lambda self, bins, dtype: torch.empty(2, 37, bins, dtype=dtype))
    with pytest.raises(IndexError, match="not inside the result"):
        af.Spectrogram(64, hop_length=16)(noise(2, 600))


def test_spans_outside_the_bins_are_noticed(monkeypatch):
    transform = af.MelSpectrogram(**MEL)
    (bank,) = transform.steps()
    spoiled = replace(bank.tiles, spans=bank.tiles.spans + np.array([[0], [40], [0]]))
    monkeypatch.setattr(transform, "_steps", (replace(bank, tiles=spoiled),))
    with pytest.raises(IndexError, match="spans of 8 filters"):
        transform(noise(2, 600))


@pytest.mark.parametrize("name", ["window", "twiddles", "turns"])
def test_a_table_that_is_too_short_is_noticed(name, monkeypatch):
    transform, x = af.Spectrogram(50), noise(2, 600)
    init = layout.FrameLayout.__init__

    def shortened(self, *args):
        init(self, *args)
        if name == "window":
            self.window = self.window[:-1]
            return
        tables = jit.kernel(self.spec(2.0)).tables
        monkeypatch.setitem(tables, name, tables[name][:-2])

    transform(x)
    monkeypatch.setattr(layout.FrameLayout, "__init__", shortened)
    with pytest.raises(IndexError, match=f"{name} has .* values of float32, and the kernel reads"):
        transform(x)


def test_a_tile_of_no_row_is_noticed(monkeypatch):
    tiles = layout.FrameLayout.tiles
    monkeypatch.setattr(layout.FrameLayout, "tiles", lambda self: tiles(self) + np.array([1, 0, 0]))
    with pytest.raises(IndexError, match="tile 3 is of none of the 2 rows"):
        af.Spectrogram(64, hop_length=16)(noise(2, 600))


@pytest.mark.parametrize("fault", [{"step": 60}, {"size": 64}, {"shift": 4}])
def test_memory_of_threads_that_is_too_small_is_noticed(fault):
    spec = KernelSpec(n_fft=64, lanes=16, int16=False, power=2.0)
    needed = 2 * spec.vectors * 4 * spec.lanes
    memory = np.empty(3 * needed + 64 - fault.get("size", 0) * 2, np.uint8)
    begin = memory.ctypes.data + -memory.ctypes.data % 64
    with pytest.raises(IndexError, match="threads"):
        address_check.check_memory(spec, memory, begin + fault.get("shift", 0), needed - fault.get("step", 0), 3)


def test_the_switch_is_off_unless_it_is_asked_for():
    """For speed; and it is read from the environment when the package is imported."""
    code = "from audiofeed.methods.short_time.kernel import address_check; print(address_check.ENABLED)"
    for value, expected in (("0", "False"), ("1", "True")):
        env = {**os.environ, address_check.SWITCH: value}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
        assert done.stdout.strip() == expected
    with address_check.checking():
        assert address_check.ENABLED


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
    observed._warn_of_missing.cache_clear()
    # close, not equal: an FFT's bits depend on the number of threads, and so on who else wants the cores
    with pytest.warns(RuntimeWarning, match=f"has no torch.*{name}"):
        torch.testing.assert_close(transform(x), expected)
    torch.testing.assert_close(transform(x), expected)  # warned of once
    assert name in transform.runs_on(x).reason


def test_a_named_kernel_runs_or_raises():
    x = noise(2, 600)
    transform = af.Spectrogram(64, method="kernel")
    assert torch.equal(transform(x), af.Spectrogram(64)(x))
    assert str(transform.runs_on(x)).startswith("kernel: ")
    with pytest.raises(ValueError, match="method='kernel' cannot be used for this input: float64; use method='auto'"):
        transform(x.double())
    assert torch.equal(transform(x.clone().requires_grad_()), transform(x))
    trained = af.Spectrogram(64, method="kernel", trainable_window=True)
    with pytest.raises(ValueError, match="method='kernel' cannot be used for this input: the window is trained"):
        trained(x)
    with pytest.raises(ValueError, match="method='kernel' cannot be used with n_fft=63: n_fft=63 is odd"):
        af.Spectrogram(63, method="kernel")
    with pytest.raises(ValueError, match="trainable=True: a kernel has no basis"):
        af.STFT(64, method="kernel", trainable=True)


def test_a_transform_says_which_path_an_input_takes():
    transform, x, outside = af.LogMelSpectrogram(**MEL), noise(2, 600), []
    assert transform.runs_on(x).method == "kernel"
    assert str(transform.runs_on(x.double())) == "fft: kernel: float64"
    assert transform.runs_on(x.requires_grad_()).method == "kernel"
    assert str(af.STFT(64, trainable_window=True).runs_on(x)) == "fft: kernel: the window is trained"
    with torch.no_grad():
        assert af.STFT(64, trainable_window=True).runs_on(x).method == "kernel"
    torch.func.grad(lambda scale: outside.append(str(transform.runs_on(x))) or scale * 1.0)(torch.ones(()))
    assert outside == ["fft: kernel: a functorch transform"]
    assert transform.runs_on(torch.zeros(2, 600, dtype=torch.int16)).method == "kernel"
    assert af.STFT(63).runs_on(x.detach()).reason == "kernel: n_fft=63 is odd"
    assert af.STFT(64, trainable=True).runs_on(x).method == "conv"
    assert af.STFT(64, method="fft").runs_on(x.detach()).reason == "named by the caller"


def filled_with_nan(shape, dtype):
    return torch.full(tuple(shape), float("nan"), dtype=dtype)


@pytest.mark.parametrize(
    "transform",
    [
        af.LogMelSpectrogram(**MEL),
        af.Spectrogram(64, hop_length=16),
        af.Chain(af.Spectrogram(64, hop_length=16), af.NormalizeClips()),
        af.STFT(64, hop_length=16),
    ],
    ids=["by filter", "by frame", "by bin", "complex"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_clears_what_lies_past_the_frames_of_each_row(transform, threads, monkeypatch):
    """Whatever stood in the memory of the result, and nobody clears it a second time."""
    lengths = torch.tensor([3000, 1, 700, 2999, 64, 31])
    x, before = noise(6, 3000), torch.get_num_threads()
    alone = [transform(clip[None, :n])[0] for clip, n in zip(x, lengths.tolist(), strict=True)]
    cleared = []
    with monkeypatch.context() as patch:
        patch.setattr(layout, "kept_empty", filled_with_nan)
        patch.setattr(address_check, "ENABLED", True)
        patch.setattr(transforms, "clear_own_past", lambda features, own: cleared.append(own) or features)
        torch.set_num_threads(threads)
        try:
            found = transform(x, lengths)
        finally:
            torch.set_num_threads(before)
    for values, own in zip(found, alone, strict=True):
        n = own.shape[-1]
        torch.testing.assert_close(values[..., :n], own, rtol=0, atol=1e-4)
        assert not values[..., n:].any()
    assert len(cleared) == isinstance(transform, af.Chain)


class Louder(af.Spectrogram):
    """A transform of a user's own, which writes to what it inherits."""

    def compute(self, waveform, lengths, *, graph):
        return super().compute(waveform, lengths, graph=graph).add_(1.0)


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_features_that_were_written_to_are_cleared_again(quiet):
    x, lengths = noise(2, 600), torch.tensor([600, 200])
    with quiet():
        found = Louder(64, hop_length=16)(x, lengths)
        plain = af.Spectrogram(64, hop_length=16)(x, lengths)
    assert torch.equal(found[1, :, :13], plain[1, :, :13] + 1.0)
    assert not found[1, :, 13:].any()


def test_rows_without_a_frame_are_cleared_too(monkeypatch):
    """A kernel has no tile of them."""
    framing = af.Spectrogram(64, hop_length=16).framing
    monkeypatch.setattr(layout, "kept_empty", filled_with_nan)
    frames = layout.FrameLayout(noise(3, 300), torch.tensor([300, 0, 40]), framing, torch.ones(64), jit.lanes())
    powers = frames.powers(2.0)
    assert frames.counts.tolist() == [19, 0, 3]
    assert [int(row.isfinite().all(1).sum()) for row in powers] == [19, 19, 19]
    assert not powers[1].any()
    assert not powers[2, 3:].any()


def test_clearing_outside_the_result_is_noticed(monkeypatch):
    real = layout.FrameLayout._clear_to
    monkeypatch.setattr(address_check, "ENABLED", True)
    monkeypatch.setattr(layout.FrameLayout, "_clear_to", lambda self, out: real(self, out) + 2)
    with pytest.raises(IndexError, match="not inside the result"):
        af.MelSpectrogram(**MEL)(noise(2, 600), torch.tensor([600, 500]))
