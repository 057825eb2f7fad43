"""Gradients that go back through kernels: their values, and who gets them from torch's FFT instead.

The definition is autograd's own way through torch's FFT in float64. A gradient of float32 may lie so far from it as
rounding moves what it is multiplied with: a few parts in 10^7 of the largest of each row, and more where a root of a
power near 0, or a logarithm, divides by what was rounded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

import audiofeed as af
from audiofeed.arguments.checks import PAD_MODES
from audiofeed.methods.decibels import Log
from audiofeed.methods.frame_steps import Affine, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time import kernel_gradient
from audiofeed.methods.short_time.kernel import gradient_layout, jit, layout
from audiofeed.methods.short_time.kernel.frame_kernel import KernelSpec
from audiofeed.methods.short_time.kernel.gradient_kernel import GradientSpec
from audiofeed.methods.short_time.short_time_methods import short_time_powers
from audiofeed.parallel import busy_cores
from audiofeed.signal.framing import PLACEMENTS
from tests.methods.short_time.kernels import needs_compiler, noise

pytestmark = needs_compiler

LIMIT = 2e-6  # of the largest in the row
MEL = {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 40}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nobody else wants the cores: clips of a batch are not dealt out, and each call is one node."""
    monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
    monkeypatch.setattr(busy_cores, "_look", lambda: False)


@pytest.fixture
def by_fft(monkeypatch):
    """The gradients that torch's FFT computed in place of a kernel."""
    found = []
    real = kernel_gradient._by_fft

    def spied(*args):
        found.append(real(*args))
        return found[-1]

    monkeypatch.setattr(kernel_gradient, "_by_fft", spied)
    return found


@pytest.fixture
def went_back(monkeypatch):
    """The specs of the kernels that went backward, in their order."""
    found = []
    run = jit.Kernel.run

    def spied(kernel, n_tiles, fields):
        if isinstance(kernel.spec, GradientSpec):
            found.append(kernel.spec)
        run(kernel, n_tiles, fields)

    monkeypatch.setattr(jit.Kernel, "run", spied)
    return found


def gradient(transform, x, lengths=None, *, seed=0):
    """The gradient of samples from one drawn for the features."""
    x = x.detach().clone().requires_grad_()
    out = transform(x, lengths)
    rng = np.random.default_rng(seed)
    drawn = torch.from_numpy(rng.standard_normal((2, *out.shape)))
    weight = torch.complex(*drawn) if out.is_complex() else drawn[0]
    out.backward(weight.to(out.dtype))
    return x.grad


def worst_row(found, expected, summed=None):
    """The largest error of a row in parts of the row's largest value, or of the largest that was summed up to it."""
    error, size = ((values.double()).abs().amax(-1) for values in (found - expected, expected))
    size = size if summed is None else torch.maximum(size, summed.abs().amax(-1))
    assert torch.all(error[size == 0] == 0)
    return (error / torch.where(size == 0, 1.0, size)).max().item()


@pytest.mark.parametrize("lanes", [4, 8, 16])
@settings(max_examples=10)
@given(
    half=st.sampled_from([25, 200]),
    hop_length=st.integers(1, 300),
    window=st.floats(0.2, 1.0),
    window_at=st.sampled_from(["center", "left"]),
    placement=st.sampled_from(PLACEMENTS),
    pad_mode=st.sampled_from(PAD_MODES),
    shaping=st.sampled_from([{}, {"remove_dc": True}, {"preemphasis": 0.97}, {"remove_dc": True, "preemphasis": 0.9}]),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    power=st.sampled_from([None, 1.0, 2.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_gradient_equals_that_of_the_definition(
    lanes, half, hop_length, window, window_at, placement, pad_mode, shaping, lengths, power, seed
):
    win_length = max(2, round(2 * half * window))
    hop_length = min(hop_length, win_length) if placement not in ("center", "start") else hop_length
    hop_length += 8 * (len(lengths) > 1 and hop_length < 8 < win_length - 8)
    # an offset, so that no root is taken of what is rounding alone
    offset = {"root_offset": 1e-2} if power == 1.0 else {}
    options = {
        "hop_length": hop_length,
        "win_length": win_length,
        "window_at": window_at,
        "placement": placement,
        "pad_mode": pad_mode,
        "power": power,
        "window": "hamming",  # which is 0 nowhere
        **offset,
    }
    transform = af.Spectrogram(2 * half, **options, **shaping)
    x, own = noise(len(lengths), max(lengths), seed=seed), torch.tensor(lengths)
    past = torch.arange(x.shape[1]) >= own[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "lanes", lambda: lanes)
        found = gradient(transform, x.masked_fill(past, float("nan")), own)
    exact = x.double().masked_fill(past, 0.0)
    # a mean that is removed may leave nothing of a short clip: what is rounded is as large as without its removal
    summed = gradient(af.Spectrogram(2 * half, **options), exact, own)
    assert worst_row(found, gradient(transform, exact, own), summed) <= LIMIT
    assert torch.all(found[past] == 0)


@pytest.mark.parametrize(("half", "lanes"), [(8, 4), (49, 8), (121, 16), (169, 4), (256, 16), (693, 8), (2048, 16)])
def test_gradients_of_frames_of_any_length(half, lanes, monkeypatch, went_back):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    transform, x = af.Spectrogram(2 * half, power=1.0, root_offset=1e-2), noise(2, 7000)
    assert worst_row(gradient(transform, x), gradient(transform, x.double())) <= LIMIT
    assert {spec.lanes for spec in went_back} == {8 if half == 2048 else lanes}


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("log", [None, "ln", "log10", "db", "log1p"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gradients_through_filters_and_logarithms(lanes, log, power, monkeypatch, went_back):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    # it falls below the floor of the logarithm, past which nothing goes back
    x, lengths = noise(3, 2500) * torch.logspace(0, -4, 2500), torch.tensor([2500, 1100, 7])
    options = {**MEL, "power": power, "root_offset": 1e-3 if power == 1.0 else 0.0}
    if log is None:
        transform = af.MelSpectrogram(**options)
    else:
        transform = af.LogMelSpectrogram(**options, log=log, floor=1e-2, offset=3e-3)
    assert worst_row(gradient(transform, x, lengths), gradient(transform, x.double(), lengths)) <= 4e-6
    assert {(spec.of.power, spec.of.filters, spec.by_line) for spec in went_back} == {(power, True, True)}


def test_gradients_of_front_ends_of_known_models(went_back):
    x = 0.3 * noise(2, 9000)
    whisper = {"log": "log10", "floor": 1e-10, "top": 8.0}
    vocoder = {"placement": "vocoder", "pad_mode": "reflect", "power": 1.0, "root_offset": 1e-9, "floor": 1e-5}
    kaldi = {"placement": "snip_edges", "remove_dc": True, "preemphasis": 0.97, "window": "povey", "floor": 1e-7}
    for options in (whisper, vocoder, kaldi):
        options = {"sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, **options}
        expected = gradient(af.LogMelSpectrogram(**options), x.double())
        # up to 1.3e-4 by MKL with AVX-512
        by_torch = worst_row(gradient(af.LogMelSpectrogram(**options, method="fft"), x), expected)
        assert worst_row(gradient(af.LogMelSpectrogram(**options), x), expected) <= max(LIMIT, 2 * by_torch) <= 5e-4
    assert len(went_back) == 3  # one run of units each


def test_shifts_and_scales_on_both_sides_of_a_logarithm(went_back):
    framing = Framing(n_fft=64, hop_length=16, center=True, pad_mode="reflect")
    results = []
    for dtype in (torch.float32, torch.float64):
        x = noise(2, 900).to(dtype).requires_grad_()
        ones = torch.linspace(1, 2, 33, dtype=dtype)
        steps = (Affine(ones, 3 * ones), Log("db", floor=1e-2, power=2.0), Affine(-ones, 2 * ones), Affine(ones, ones))
        window = torch.hann_window(64, dtype=dtype)
        (out,) = short_time_powers(x, None, framing, window, wanted=[Wanted(2.0, steps)], graph=True)
        for order in (out, out.contiguous()):
            order.backward(noise(*out.shape).to(dtype), retain_graph=True)
        results.append(x.grad)
    assert worst_row(*results) <= LIMIT
    assert {(spec.of.before, spec.of.after) for spec in went_back} == {(1, 2)}


def test_both_layouts_of_a_gradient_are_read_as_they_are(went_back):
    transform, x = af.Spectrogram(64, hop_length=16), noise(2, 900)
    found = {}
    for order in ("by frame", "by bin", "expanded", "strided"):
        y = x.clone().requires_grad_()
        out = transform(y)
        weight = noise(2, 57, 33).transpose(1, 2)
        if order == "by bin":
            weight = weight.contiguous()
        elif order == "expanded":
            weight = torch.ones(()).expand(out.shape)
        elif order == "strided":
            weight = torch.stack([weight, weight], dim=-1)[..., 0]
        out.backward(weight)
        found[order] = y.grad
    assert [spec.by_line for spec in went_back] == [False, True, False, False]
    assert torch.equal(found["by frame"], found["by bin"])
    assert torch.equal(found["by frame"], found["strided"])
    assert worst_row(found["expanded"], torch.autograd.grad(transform(y.double()).sum(), y)[0]) <= LIMIT


@pytest.mark.parametrize("hop_length", [3, 160, 500])
def test_a_gradient_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(hop_length):
    transform = af.LogMelSpectrogram(**{**MEL, "hop_length": hop_length}, pad_mode="reflect")
    x, lengths = noise(4, 16000), torch.tensor([16000, 15999, 9000, 300])
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found.append(gradient(transform, x, lengths))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    frames = transform.frame_lengths(lengths).tolist()
    out = transform(x, lengths)
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((2, *out.shape)))[0].float()
    for row, length in enumerate(lengths.tolist()):
        alone = x[row, :length].clone().requires_grad_()
        transform(alone).backward(weight[row, :, : frames[row]])
        assert torch.equal(alone.grad, found[0][row, :length])


def test_units_of_one_run_reach_no_sample_of_each_other():
    for n_fft, hop_length in ((400, 1), (400, 7), (64, 160), (4096, 32)):
        transform = af.Spectrogram(n_fft, hop_length=hop_length)
        frames = kernel_gradient.FrameLayout(
            noise(2, 30000), torch.tensor([30000, 2000]), transform.framing, transform.analysis_window, 8
        )
        of_each, runs = gradient_layout.units_of(frames)
        taken = []
        for units in runs:
            for row in (0, 1):
                first = units[units[:, 0] == row, 1]
                ends = np.minimum(first + of_each, frames.counts[row])
                assert np.all(first[1:] * hop_length >= (ends[:-1] - 1) * hop_length + frames.loaded)
                taken += [(row, f) for a, b in zip(first, ends, strict=True) for f in range(a, b)]
        assert sorted(taken) == [(row, f) for row in (0, 1) for f in range(frames.counts[row])]


def test_units_that_meet_are_noticed(monkeypatch):
    units_of = gradient_layout.units_of

    def as_one_run(frames):
        of_each, runs = units_of(frames)
        return of_each, [np.concatenate(runs)]

    monkeypatch.setattr(gradient_layout, "units_of", as_one_run)
    with pytest.raises(IndexError, match="reach the same samples"):
        gradient(af.Spectrogram(64, hop_length=16), noise(2, 6000))


@pytest.mark.parametrize("table", ["into", "reach"])
def test_addresses_outside_a_gradient_are_noticed(table, monkeypatch):
    check = gradient_layout.address_check.check_gradient

    def slipped(units, runs, rows, into, **given):
        if table == "into":
            into = into + 4
        else:
            given["reach"] = given["reach"] + 4
        check(units, runs, rows, into, **given)

    monkeypatch.setattr(gradient_layout.address_check, "check_gradient", slipped)
    with pytest.raises(IndexError, match=r"are not inside the (gradient|features' gradient)"):
        gradient(af.Spectrogram(64, hop_length=16, center=False), noise(2, 64 + 160))


def test_silence_has_a_gradient_of_numbers():
    x = torch.zeros(2, 4000)
    x[1, 2000:] = 0.1 * noise(2000)
    for transform in (
        af.Spectrogram(400, power=1.0),
        af.LogMelSpectrogram(**MEL, power=1.0, floor=1e-30),
        af.LogMelSpectrogram(**MEL, log="log1p", floor=0.0),
    ):
        found = gradient(transform, x)
        assert torch.isfinite(found).all()
        assert torch.all(found[0] == 0)
        assert found[1].abs().max() > 0


def test_what_is_trained_is_followed_by_autograd(went_back):
    x = noise(2, 2000)
    for options in ({"trainable_mel": True}, {"trainable_window": True}, {"trainable": True}):
        transform = af.LogMelSpectrogram(**MEL, floor=1e-3, **options)
        (parameter,) = transform.parameters()
        for wave in (x, x.requires_grad_()):
            grads = []
            for dtype in (torch.float32, torch.float64):
                (found,) = torch.autograd.grad(transform(wave.to(dtype)).square().mean(), parameter)
                grads.append(found.flatten())
            assert worst_row(*grads) <= 1e-5
        x = x.detach()
    # the spectrum goes back by a kernel where only what follows it is trained, and the waveform wants a gradient
    assert {(spec.of.power, spec.of.filters) for spec in went_back} <= {(2.0, False)}


def test_frames_past_a_clips_end_are_numbers_to_what_is_trained(monkeypatch):
    """What is computed of them is multiplied by a gradient of 0, which of no number is none."""
    monkeypatch.setattr(layout, "kept_empty", lambda shape, dtype: torch.full(shape, torch.nan, dtype=dtype))
    transform, x = af.MelSpectrogram(**MEL, trainable_mel=True), noise(2, 4000)
    lengths = torch.tensor([4000, 900])
    for wave in (x, x.requires_grad_()):
        out = transform(wave, lengths)
        (found,) = torch.autograd.grad(out.square().mean(), transform.mel)
        (expected,) = torch.autograd.grad(transform(wave.double(), lengths).square().mean(), transform.mel)
        assert worst_row(found.flatten(), expected.flatten()) <= 1e-5


def test_trained_shifts_get_their_gradient():
    framing, window = Framing(n_fft=64, hop_length=16, center=True, pad_mode="constant"), torch.hann_window(64)
    shift = torch.ones(33, requires_grad=True)
    steps = (Affine(shift, torch.full((33,), 2.0)), Log("ln", floor=1e-2, power=2.0))
    x = noise(2, 900).requires_grad_()
    (out,) = short_time_powers(x, None, framing, window, wanted=[Wanted(2.0, steps)], graph=True)
    (found,) = torch.autograd.grad(out.sum(), shift)
    powers = af.Spectrogram(64, hop_length=16)(x.detach())
    torch.testing.assert_close(found, (1 / (powers + 1)).sum((0, 2)), rtol=1e-5, atol=1e-5)


def test_several_features_share_a_spectrum_and_its_way_back(went_back):
    stack = af.Stack(a=af.Spectrogram(400, power=1.0), b=af.MelSpectrogram(**{**MEL, "hop_length": 100}))
    results = []
    for dtype in (torch.float32, torch.float64):
        x = noise(2, 2000).to(dtype).requires_grad_()
        out = stack(x)
        (out["a"].square().mean() + out["b"].square().mean()).backward()
        results.append(x.grad)
    assert worst_row(*results) <= LIMIT
    assert {(spec.of.power, spec.of.filters) for spec in went_back} == {(2.0, False)}
    assert len(went_back) <= 2


# ---------------------------------------------------------------- what torch's FFT computes


def test_a_gradient_of_a_gradient_is_that_of_the_definition(by_fft):
    transform = af.LogMelSpectrogram(**MEL, floor=1e-3)
    results = []
    for dtype in (torch.float32, torch.float64):
        x = noise(2, 2000).to(dtype).requires_grad_()
        (first,) = torch.autograd.grad(transform(x).square().mean(), x, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), x)[0])
    assert worst_row(*results) <= 1e-5
    assert len(by_fft) == 1


def test_gradcheck_in_float64():
    transform = af.MelSpectrogram(sample_rate=8000, n_fft=16, hop_length=8, n_mels=3)
    x = noise(2, 40).double().requires_grad_()
    assert torch.autograd.gradcheck(transform, x)
    assert torch.autograd.gradgradcheck(transform, x)


def test_gradients_that_come_as_a_batch(by_fft):
    transform, x = af.Spectrogram(64, hop_length=16), noise(2, 600).requires_grad_()
    out = transform(x)
    weights = noise(3, *out.shape)
    (together,) = torch.autograd.grad(out, x, weights, is_grads_batched=True, retain_graph=True)
    assert len(by_fft) == 1
    one_by_one = [torch.autograd.grad(out, x, weight, retain_graph=True)[0] for weight in weights]
    torch.testing.assert_close(together, torch.stack(one_by_one), rtol=1e-4, atol=1e-3)
    assert len(by_fft) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_functional_transforms_and_compilers_take_the_fft(by_fft, went_back):
    transform, x = af.Spectrogram(64, hop_length=16), noise(3, 600)

    def loss(x):
        return transform(x).square().mean()

    expected = gradient_of(loss, x)
    went_back.clear()
    torch.testing.assert_close(torch.func.vmap(loss)(x), torch.stack([loss(row) for row in x]))
    found = {
        "grad": torch.func.grad(loss)(x),
        "compile": gradient_of(torch.compile(loss, backend="aot_eager"), x),
    }
    for name, values in found.items():
        assert worst_row(values, expected) <= 1e-5, name
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, x))).tangent
    torch.testing.assert_close(tangent, (x * expected).sum())
    assert (by_fft, went_back) == ([], [])


def gradient_of(loss, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def test_without_a_kernel_backward_the_fft_goes(by_fft, monkeypatch):
    """Where LLVM stumbles over the kernel that goes backward alone."""
    monkeypatch.setattr(jit, "_kernels", {})
    monkeypatch.setattr(GradientSpec, "write", lambda self: 1 / 0)
    x, transform = noise(2, 2000), af.LogMelSpectrogram(**MEL, floor=1e-3)
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError"):
        found = gradient(transform, x)
    assert len(by_fft) == 1
    assert worst_row(found, gradient(transform, x.double())) <= 1e-5


# ---------------------------------------------------------------- a graph like any other


def test_a_result_may_be_changed_in_place():
    transform, x = af.LogMelSpectrogram(**MEL), noise(2, 2000)
    results = []
    for change in (lambda out: out.mul_(2).add_(1), lambda out: out * 2 + 1):
        y = x.clone().requires_grad_()
        change(transform(y)).square().mean().backward()
        results.append(y.grad)
    assert torch.equal(*results)


def test_samples_changed_before_the_way_back_are_noticed():
    x = noise(2, 2000).requires_grad_()
    y = x * 1.0
    out = af.Spectrogram(400)(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_graph_that_is_kept_is_gone_through_twice():
    x = noise(2, 2000).requires_grad_()
    loss = af.LogMelSpectrogram(**MEL)(x).mean()
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    loss.backward()
    assert torch.equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_checkpoints_half_precision_and_other_orders_of_memory():
    from torch.utils.checkpoint import checkpoint

    transform, x = af.LogMelSpectrogram(**MEL, floor=1e-3), noise(2, 2000)
    expected = gradient_of(lambda y: transform(y).mean(), x)
    assert torch.equal(gradient_of(lambda y: checkpoint(transform, y, use_reentrant=False).mean(), x), expected)
    assert torch.equal(gradient_of(lambda y: transform(y.t().contiguous().t()).mean(), x), expected)
    assert torch.equal(gradient_of(lambda y: transform(y[:, None]).mean(), x), expected)
    one = gradient_of(lambda y: transform(y.expand(3, -1)).mean(), x[0])
    assert worst_row(one, gradient_of(lambda y: transform(y).mean(), x[0].double())) <= 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = gradient_of(lambda y: transform(y).mean(), x.bfloat16())
    assert low.dtype == torch.bfloat16
    # equal to the gradient of the samples that were rounded, itself rounded
    assert torch.equal(low, gradient_of(lambda y: transform(y).mean(), x.bfloat16().float()).bfloat16())


def test_a_form_serves_all_floors_and_both_layouts_have_their_own():
    of = KernelSpec(n_fft=16, lanes=4, int16=False, power=2.0, filters=True, floor=0.1)
    spec = GradientSpec(of, by_line=True)
    assert spec.form == GradientSpec(replace(of, floor=0.7, factor=3.0), by_line=True).form
    assert spec.form != GradientSpec(of, by_line=False).form
