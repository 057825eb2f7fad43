"""The constant-Q kernels of a GPU: equal to float64 on a CPU, compiled for cards not here, checked at first use."""

from __future__ import annotations

import copy
import ctypes
import pickle
import warnings
from unittest import mock

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.constant_q.device import choice, launch, self_check
from audiofeed.methods.constant_q.device.layout import filter_taps, kernel_table, layout_for
from audiofeed.methods.constant_q.device.text import MOST_ITEMS, NARROW, THREADS, WIDE, Form, Phases
from audiofeed.methods.short_time.fused import cuda_launch, nvrtc
from audiofeed.signal.constant_q.decimation import decimation_filter
from tests.methods.constant_q.kernels_on_cpu import COMPILER, ORDERS, kernels_on_cpu
from tests.signals import noise

MISSING = "no C++ compiler (g++ or clang++) to compile the kernels' text with" if COMPILER is None else ""
on_cpu = pytest.mark.skipif(bool(MISSING), reason=MISSING)
needs_nvrtc = pytest.mark.skipif(torch.version.cuda is None, reason="torch for a CPU alone comes without NVRTC")

RATE = {"sample_rate": 22050}
# two bands at the last level, whose hop is odd
TWO_BANDS = {"sample_rate": 16000, "hop_length": 160, "n_bins": 84}
EARLY = {**RATE, "hop_length": 256, "n_bins": 24}
SETTINGS = {
    "84 bins": (af.CQT, RATE),
    "powers": (af.CQT, {**RATE, "n_bins": 40, "power": 2.0, "f_min": 200.0}),
    "another power": (af.CQT, {**RATE, "n_bins": 24, "power": 0.5, "f_min": 800.0}),
    "complex, 36 an octave": (af.CQT, {**RATE, "n_bins": 72, "bins_per_octave": 36, "power": None, "f_min": 1000.0}),
    "VQT": (af.VQT, {**RATE, "gamma": 20.0}),
    "two bands at a level": (af.CQT, {**TWO_BANDS, "power": None}),
    "early downsampling": (af.CQT, EARLY),
    "early downsampling by 4": (af.CQT, {**RATE, "hop_length": 64, "n_bins": 40, "bins_per_octave": 8, "f_min": 65.0}),
    "a clip extended at its own rate": (
        af.CQT,
        {**RATE, "n_bins": 24, "f_min": 500.0, "method": "exact", "pad_mode": "reflect"},
    ),
    "one level": (af.CQT, {**RATE, "n_bins": 12, "f_min": 4000.0, "hop_length": 37}),
    "all at the full rate": (af.CQT, {**RATE, "n_bins": 6, "f_min": 1000.0, "method": "exact"}),
    "harmonics": (af.HarmonicCQT, {**RATE, "n_bins": 24, "harmonics": (1, 2), "f_min": 500.0}),
}


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().square().sum().sqrt() / wanted.abs().square().sum().sqrt())


@on_cpu
@pytest.mark.parametrize("name", SETTINGS)
def test_values_are_those_of_float64(name):
    kind, settings = SETTINGS[name]
    module, exact = kind(**settings), kind(**settings).double()
    n = 9001
    x, lengths = noise(5, n, dtype=torch.float32), torch.tensor([n, 1, n // 2 - 1, 2, 4500])
    with kernels_on_cpu() as runs, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error", RuntimeWarning)
        found = module(x, lengths)
        assert list(self_check.VERDICTS.values()) == [None]
        of_each = runs.launches // 3  # twice in the check, for WIDE and NARROW, and once after it
        assert of_each
        both = [(found, exact(x.double(), lengths)), (module(x), exact(x.double()))]
        assert runs.launches == 4 * of_each
    for found, wanted in both:
        assert found.shape == wanted.shape
        assert found.is_complex() == wanted.is_complex()
        assert relative(found, wanted) < 1e-6
        each = [relative(ours, theirs) for ours, theirs in zip(found, wanted, strict=True)]
        assert max(each[::2]) < 1e-6
        # of a sample or two, which reflection makes nearly constant
        assert max(each) < (1e-3 if settings.get("pad_mode") else 2e-6)


def kernels_of(module, pairs=None):
    """What computes a module's kernels, and their tables."""
    bank = module.kernel_bank
    layout = layout_for(bank.levels, module.power)
    table = torch.from_numpy(kernel_table(bank.levels, layout.form.columns, bank.exact())).float()
    taps = torch.from_numpy(filter_taps(layout.form.factors)).float()
    return launch.OctaveKernels(layout, torch.device("cpu"), pairs), table, taps


@on_cpu
@pytest.mark.parametrize("pairs", [WIDE, NARROW])
@pytest.mark.parametrize("settings", [RATE, EARLY, TWO_BANDS], ids=str)
@pytest.mark.parametrize("n", [1, 3, 20, 513, 8192, 40000])
def test_clips_of_any_length_end_where_they_end(settings, pairs, n):
    """With empty ones, and lengths beyond the end; what lies past an end is NaN."""
    module, exact = af.CQT(**settings), af.CQT(**settings).double()
    own = sorted({n, max(1, n - 1), max(1, n - 4), max(1, n // 3), 1})
    x = noise(len(own) + 2, n, dtype=torch.float32)
    for row, length in enumerate((*own, n, 0)):
        x[row, length:] = torch.nan
    lengths = torch.tensor([*own, n + 5, 0])
    with kernels_on_cpu(), torch.no_grad():
        run, table, taps = kernels_of(module, pairs)
        found = run.compute(x, lengths, table, taps, module.power)
    wanted = exact(torch.where(x.isnan(), 0, x)[:-1].double(), lengths[:-1].clamp(max=n))
    assert not found[-1].any()
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found[:-1].double(), wanted, rtol=0, atol=2e-6 * scale)


@on_cpu
def test_the_order_of_a_blocks_threads_changes_no_bit():
    x, lengths = noise(3, 9000, dtype=torch.float32), torch.tensor([9000, 1, 5000])
    found = []
    for order in range(ORDERS):
        for settings in (TWO_BANDS, EARLY):
            with kernels_on_cpu(order=order), torch.no_grad():
                found.append(af.CQT(**settings)(x, lengths))
                assert list(self_check.VERDICTS.values()) == [None]
    assert all(torch.equal(found[place % 2], other) for place, other in enumerate(found))


# of the text, what is then missing, and the settings whose self-check notices it
BREAKS = {
    "a barrier before the filter": ("    __syncthreads();\n    #pragma unroll 1", "    #pragma unroll 1", TWO_BANDS),
    "a barrier before more phases": ("if (phase > 0) __syncthreads();", "", EARLY),
    "a barrier before the products": ("__syncthreads();\n    multiply(", "multiply(", TWO_BANDS),
    "a barrier before the next chunk": ("if (chunk > 0) __syncthreads();", "", TWO_BANDS),
    "a barrier before the sums": ("  __syncthreads();\n  float* own", "  float* own", TWO_BANDS),
    "a barrier after the sums": ("  __syncthreads();\n  if (frame >= job.n", "  if (frame >= job.n", TWO_BANDS),
    "the last sample of a thread of twelve": ("odd[j] += sums[j];", "odd[j] += j == 11 ? 0.0f : sums[j];", TWO_BANDS),
    "the last sample of a thread of four": ("even[j] += sums", "even[j] += PAIRS + j == 7 ? 0.0f : sums", TWO_BANDS),
    "where a filter begins": ("(first - LEAD)", "(first - LEAD + 1)", TWO_BANDS),
    "the sums of taps": ("even[j] += sums[j], odd[j]", "odd[j]", TWO_BANDS),
    "the other phases": ("other * 3 * W::APART + k", "other * 2 * W::APART + k", TWO_BANDS),
    "where a block is inside": ("FACTOR * W::REACHED <= seen", "0 <= seen", TWO_BANDS),
    "a tap": ("fmaf(four.z", "fmaf(four.y", TWO_BANDS),
    "the end of a level": ("levels[number - 1], length)", "levels[number - 1], job.time)", EARLY),
    "the end of a decimated level": ("length - level.start;", "length;", EARLY),
    "a level that is always filled": ("level.step : 1;", "level.step : 0;", EARLY),
    "the end of four samples": ("x.z = at + 2 < seen ? x.z : 0.0f;", "", TWO_BANDS),
    "the end of frames": ("levels[item.level], length)", "levels[item.level], job.time)", TWO_BANDS),
    "a sample of four": ("sums[i][c] = fmaf(x.w, k[c].w", "sums[i][c] = fmaf(x.w, k[c].z", TWO_BANDS),
    "a warp": ("w < WARPS; ++w", "w < WARPS - 1; ++w", TWO_BANDS),
    "frames past the end": ("is_own ? re : 0.0f", "re", TWO_BANDS),
    "blocks past the end": ("write(job, place + (long long)bin * job.n_frames, 0.0f, 0.0f)", "", TWO_BANDS),
    "the imaginary part": ("hypotf(re, im)", "fabsf(re)", TWO_BANDS),
    "the rows of the clip": ("row * job.row_stride", "0 * job.row_stride", TWO_BANDS),
}  # fmt: skip


@on_cpu
@pytest.mark.parametrize("broken", BREAKS)
def test_broken_kernels_are_noticed_at_their_first_use_and_not_taken(broken):
    *change, settings = BREAKS[broken]
    x = noise(2, 4000, dtype=torch.float32)
    module, other = af.CQT(**settings), af.CQT(**settings)
    with kernels_on_cpu(change=tuple(change), order=1) as runs, torch.no_grad():
        with pytest.warns(RuntimeWarning, match="CUDA kernels of constant-Q transforms are not used on cpu") as said:
            found = module(x)
        assert len([one for one in said if one.category is RuntimeWarning]) == 1
        before = runs.launches
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            # products of torch's have other bits at other addresses
            assert relative(module(x), found) < 1e-6
            assert relative(other(x), found) < 1e-6
        assert runs.launches == before
    exact = af.CQT(**settings).double()(x.double())
    assert relative(found, exact) < 2e-6


@on_cpu
def test_they_are_checked_once_for_each_layout_and_taken_where_they_fit(monkeypatch):
    x, module = noise(2, 4000, dtype=torch.float32), af.CQT(**TWO_BANDS)
    with kernels_on_cpu() as runs, torch.no_grad():
        monkeypatch.setattr(choice, "capturing", lambda: True)
        module(x)
        assert not runs.launches  # a capture is not the first to use them
        monkeypatch.setattr(choice, "capturing", lambda: False)
        first = module(x)
        of_each = runs.launches // 3
        assert of_each == len(module.kernel_bank.levels)
        monkeypatch.setattr(choice, "capturing", lambda: True)
        assert torch.equal(module(x), first)
        assert runs.launches == 4 * of_each
        monkeypatch.setattr(choice, "capturing", lambda: False)
        for same in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), af.CQT(**TWO_BANDS)):
            assert torch.equal(same(x), first)
        assert runs.launches == 7 * of_each
        module(x.double())
        af.CQT(**TWO_BANDS, trainable=True)(x)
        with torch.enable_grad():
            module(x.clone().requires_grad_()).sum().backward()
        torch.func.vmap(module)(x)
        assert runs.launches == 7 * of_each
        module(x.half())  # computed in float32
        assert runs.launches == 8 * of_each


@on_cpu
def test_a_card_that_nobody_has_tried_is_left_to_torch():
    reached = cuda_launch.unreachable
    x, module = noise(2, 4000, dtype=torch.float32), af.CQT(**TWO_BANDS)
    with kernels_on_cpu() as runs, mock.patch.object(cuda_launch, "unreachable", reached), torch.no_grad():
        module(x)
        assert not runs.launches


@on_cpu
def test_views_of_samples():
    whole = noise(6, 9001, dtype=torch.float32)
    x = whole[::2, 1:]
    module = af.CQT(**TWO_BANDS)
    with kernels_on_cpu(), torch.no_grad():
        run, table, taps = kernels_of(module)
        of_view, of_copy, of_columns = (
            run.compute(each, None, table, taps, 1.0) for each in (x, x.contiguous(), x.t().contiguous().t())
        )
    assert torch.equal(of_view, of_copy)
    assert torch.equal(of_columns, of_copy)


@on_cpu
def test_what_cannot_be_compiled_or_launched_is_said_once_and_torch_computes(monkeypatch):
    x, module = noise(2, 4000, dtype=torch.float32), af.CQT(**TWO_BANDS)

    def failing(*given):
        raise nvrtc.CompilerError("the driver says: invalid argument\nmore")

    with kernels_on_cpu() as runs, torch.no_grad():
        module(x)
        monkeypatch.setattr(runs, "launch", failing)
        with pytest.warns(RuntimeWarning, match="not used on cpu.*the driver says: invalid argument;"):
            found = module(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            assert relative(module(x), found) < 1e-6
    with (
        kernels_on_cpu(),
        mock.patch.object(launch, "launcher", failing),
        torch.no_grad(),
        pytest.warns(RuntimeWarning, match="not used on cpu.*the driver says: invalid argument;"),
    ):
        assert relative(af.CQT(**TWO_BANDS)(x), found) < 1e-6


@pytest.mark.parametrize("factor", [2, 4, 32])
def test_three_sums_of_half_the_taps_are_the_filter(factor):
    phases, taps = Phases(factor), decimation_filter(factor)
    table = filter_taps((2, factor) if factor > 2 else (2,))[-phases.size :].reshape(factor, 3, -1)
    x = np.random.default_rng(1).standard_normal(60 * factor + len(taps))
    padded = np.pad(x, 2 * len(taps))
    for output in (0, 2, 30):
        places = factor * output + np.arange(len(taps)) - len(taps) // 2 + 2 * len(taps)
        wanted = [taps @ padded[places], taps @ padded[places + factor]]
        found = np.zeros(2)
        for phase in range(factor):
            first = factor * (output - phases.lead) + phase + 2 * len(taps)
            of_phase = padded[first::factor][: 2 * table.shape[2] + 1]
            even, odd, both = table[phase]
            of_both = both @ of_phase[1::2]
            found += (
                even @ (of_phase[:-1:2] - of_phase[1::2]) + of_both,
                odd @ (of_phase[2::2] - of_phase[1::2]) + of_both,
            )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def test_bands_that_are_too_many_have_no_layout():
    module = af.CQT(**RATE, n_bins=84, bins_per_octave=12, method="exact")
    bands = sum(len(level.bands) for level in module.kernel_bank.levels)
    assert (layout_for(module.kernel_bank.levels, 1.0) is None) == (bands > MOST_ITEMS)
    many = af.CQT(**RATE, n_bins=1200, bins_per_octave=200, f_min=100.0).kernel_bank.levels
    assert layout_for(many, 1.0) is None


def test_lanes_meet_no_bank_of_shared_memory_twice():
    """Eight lanes load 16 bytes each at a time: samples of neighboring threads, and rows of a chunk."""
    for apart in (WIDE, NARROW, 20):
        assert len({lane * apart // 4 % 8 for lane in range(8)}) == 8
    form = Form((2,), 24, "SQUARE")
    assert form.shared <= 48 * 1024
    assert all(Phases(2**k).shared(WIDE) <= 48 * 1024 for k in range(1, 9))
    assert THREADS % 64 == 0


ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_they_compile_without_spills_for_cards_that_are_not_there(architecture):
    pytest.importorskip("triton", reason="triton, which brings the disassembler, is not installed")
    import re

    from benchmarks.kernels.fused_cuda import tool

    for form in (Form((2,), 24, "MAGNITUDE"), Form((2, 32), 16, "COMPLEX")):
        said = tool(nvrtc.compiled(form.text(), architecture), "-res-usage")
        usage = [tuple(map(int, found)) for found in re.findall(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", said)]
        assert len(usage) == len(form.kernels)
        assert max(registers for registers, _, _ in usage) <= 128
        assert all((stack, local) == (0, 0) for _, stack, local in usage)


@on_cpu
def test_fields_of_the_argument_lie_where_the_compiler_has_them():
    checks = [
        f"static_assert(__builtin_offsetof({name}, {field}) == {getattr(kind, field).offset});"
        for name, kind in (("Job", launch.Job), ("Level", launch.LevelNumbers), ("Item", launch.ItemNumbers))
        for field, *_ in kind._fields_
    ]
    assert len(checks) > 20
    with kernels_on_cpu(change=("static const Job*", "\n".join([*checks, "static const Job*"]))):
        launch.launcher(Form((2,), 24, "SQUARE"), torch.device("cpu"))


@needs_nvrtc
def test_the_argument_is_laid_out_as_the_compiler_has_it():
    structures = (("Job", launch.Job), ("Level", launch.LevelNumbers), ("Item", launch.ItemNumbers))
    sizes = [f"static_assert(sizeof({name}) == {ctypes.sizeof(kind)});" for name, kind in structures]
    text = Form((2,), 24, "SQUARE").text()
    nvrtc.compiled(text + "\n".join(sizes), "sm_90")
    with pytest.raises(nvrtc.CompilerError, match="static assertion failed"):
        nvrtc.compiled(text + sizes[0].replace("==", "!="), "sm_90")
