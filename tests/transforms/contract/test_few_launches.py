"""The ways of computing that a GPU takes, for few launches, on tensors of a CPU: the values of the ways of a CPU."""

from __future__ import annotations

import warnings

import pytest
import torch

import audiofeed as af
from audiofeed.parallel import launches
from tests.transforms.cases import CASES, IDS, Case

# beside a decimation that drops what its filter leaves above the lower rate, 126 dB down, and one that folds it
CLOSE = 2e-7


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """Call it: from then on CPU tensors are computed as a GPU's are."""
    return lambda: monkeypatch.setattr(launches, "AT_ONCE", [])


def outcome(case: Case, module: torch.nn.Module, *, lengths: bool, gradient: bool) -> list[torch.Tensor]:
    x = case.input(3).requires_grad_(gradient)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        values = case.run(module, x, case.lengths(case.size, 30, 7) if lengths else None)
    found = [values.detach()]
    if gradient:
        real = torch.view_as_real(values) if values.is_complex() else values
        weights = torch.linspace(0.5, 1.5, real.numel(), dtype=real.dtype).view(real.shape)
        (real * weights).sum().backward()
        found.append(x.grad)
    return found


@pytest.mark.parametrize(("name", "case"), list(zip(IDS, CASES, strict=True)), ids=IDS)
def test_few_launches_give_the_same_values_and_gradients(name, case, monkeypatch):
    module = case.build().double()
    for lengths, gradient in ((False, False), (True, False), *([] if case.flat else [(True, True)])):
        expected = outcome(case, module, lengths=lengths, gradient=gradient)
        with monkeypatch.context() as patched:
            patched.setattr(launches, "AT_ONCE", [])
            found = outcome(case, module, lengths=lengths, gradient=gradient)
        for ours, theirs in zip(found, expected, strict=True):
            size = float(theirs.abs().max()) or 1.0
            torch.testing.assert_close(ours, theirs, rtol=CLOSE, atol=CLOSE * size)


SETTINGS = [
    {"sample_rate": 22050},
    {"sample_rate": 22050, "n_bins": 24, "f_min": 60.0},  # early downsampling
    {"sample_rate": 22050, "method": "exact", "pad_mode": "reflect"},
    {"sample_rate": 16000, "n_bins": 72, "hop_length": 160, "power": None},
    {"sample_rate": 22050, "n_bins": 12, "f_min": 60.0, "hop_length": 1024, "power": 2.0},
]


@pytest.mark.parametrize("n", [20001, 20])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_octaves_by_one_product_a_level_equal_those_one_after_another(settings, n, as_on_a_gpu):
    case = Case(cls=af.CQT, settings=settings)
    cqt, x = case.build(), torch.from_numpy(case.input(3, n=n).numpy())
    lengths = torch.tensor([n, max(1, n // 2 - 3), max(1, n // 7)])
    leaf = x.clone().requires_grad_()
    expected, graph = cqt(x, lengths), cqt(leaf, lengths)
    torch.view_as_real(graph + 0j).square().sum().backward()
    as_on_a_gpu()
    ours = x.clone().requires_grad_()
    torch.view_as_real(cqt(ours, lengths) + 0j).square().sum().backward()
    for found, wanted in ((cqt(x, lengths), expected), (ours.grad, leaf.grad)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE * float(wanted.abs().max()))
    single = cqt(x.float(), lengths).to(expected.dtype)
    torch.testing.assert_close(single, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("pad_mode", ["reflect", "symmetric", "replicate", "circular", "constant"])
@pytest.mark.parametrize("placement", ["center", "hops", "but_last_sample", "vocoder", "snip_edges", "keep_edges"])
def test_frames_past_the_end_are_those_that_are_not_counted(pad_mode, placement, as_on_a_gpu):
    power = af.Spectrogram(50, hop_length=16, pad_mode=pad_mode, placement=placement, method="fft")
    lengths = torch.arange(1, 301)
    x = torch.randn(len(lengths), 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = power(x, lengths)
        as_on_a_gpu()
        found = power(x, lengths)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    past = power.past_frames(expected.shape[-1], lengths)
    assert torch.equal(~past, torch.arange(expected.shape[-1]) < power.frame_lengths(lengths)[:, None])


LEAVES = [
    {},
    {"trainable": False},
    {"compression": "log"},
    {"compression": None, "trainable": False},
    {"n_filters": 7, "win_length": 33, "hop_length": 50},
    {"n_filters": 6, "win_length": 201, "hop_length": 13},
]


@pytest.mark.parametrize("n", [4001, 3])
@pytest.mark.parametrize("settings", LEAVES, ids=str)
def test_leaf_in_few_launches_trains_as_it_does_in_many(settings, n, as_on_a_gpu, monkeypatch):
    leaf = af.GaborFilterbank(sample_rate=8000, **settings).double()
    x = torch.randn(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([n, max(1, n // 2 - 3), 1])

    def found(module: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor | None) -> list[torch.Tensor]:
        own = x.clone().requires_grad_()
        values = module(own, lengths)
        weights = torch.linspace(0.5, 1.5, values.numel(), dtype=values.dtype).view(values.shape)
        gradients = torch.autograd.grad((values * weights).sum(), [own, *module.parameters()])
        with torch.no_grad():
            return [values.detach(), module(x, lengths), *gradients]

    given = [(x, lengths), (x, None)]
    expected = [found(leaf, *one) for one in given]
    as_on_a_gpu()
    few = [found(leaf, *one) for one in given]
    monkeypatch.setattr("audiofeed.methods.auditory.leaf_launches.MOST_POWERS", 0)  # as for minutes of audio
    few += [found(leaf, *one) for one in given]
    for ours, theirs in zip(few, [*expected, *expected], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))
    single = found(leaf.float(), x.float(), lengths)
    for one, other in zip(single[:2], expected[0], strict=False):
        torch.testing.assert_close(one.double(), other, rtol=2e-5, atol=2e-5 * float(other.abs().max()))


@pytest.mark.parametrize("name", ["raw_b", "raw_gain", "raw_power", "raw_bias", "raw_centre", "raw_deviation"])
@pytest.mark.parametrize("at", [0.0, torch.pi / 2])
def test_leaf_in_few_launches_is_finite_at_the_bounds_of_its_settings(name, at, as_on_a_gpu):
    leaf = af.GaborFilterbank(sample_rate=8000, n_filters=5, win_length=33, hop_length=20)
    held = getattr(leaf if hasattr(leaf, name) else leaf.pcen, name)
    with torch.no_grad():
        held.fill_(at)
    x = torch.randn(2, 2000, generator=torch.Generator().manual_seed(2))
    expected = leaf(x)
    as_on_a_gpu()
    values = leaf(x)
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(values.sum(), list(leaf.parameters())))


def test_a_hook_on_leafs_compression_sees_its_energies(as_on_a_gpu):
    leaf, seen = af.GaborFilterbank(sample_rate=8000), []
    leaf.pcen.register_forward_hook(lambda module, given, found: seen.append(given[0].shape))
    as_on_a_gpu()
    leaf(torch.randn(2, 800))
    assert seen == [(2, 40, 10)]


def test_what_a_call_keeps_with_its_lengths_is_no_part_of_the_callers_tensor(as_on_a_gpu):
    as_on_a_gpu()
    tempogram = af.Tempogram(sample_rate=8000, n_fft=512, hop_length=128, win_length=12)
    x, lengths = torch.randn(2, 3000), torch.tensor([3000, 3000])
    whole = tempogram(x, lengths)
    assert vars(lengths) == {}
    lengths[1] = 1000
    again = tempogram(x, lengths)
    assert torch.equal(again[0], whole[0])
    assert bool((again[1, :, 8:] == 0).all())
    assert vars(lengths) == {}


def test_rows_in_parts_equal_rows_at_once(as_on_a_gpu, monkeypatch):
    mel = af.LogMelSpectrogram(sample_rate=8000, n_fft=64, hop_length=16, n_mels=20, method="fft")
    cqt, sinc = af.CQT(sample_rate=8000, n_bins=24, hop_length=64), af.SincFilterbank(sample_rate=8000, trainable=False)
    tempogram = af.Tempogram(sample_rate=8000, n_fft=512, hop_length=128, win_length=12)
    leaf = af.GaborFilterbank(sample_rate=8000, trainable=False)
    modules = (mel, cqt, sinc, tempogram, leaf)
    x, lengths = torch.randn(5, 3000), torch.tensor([3000, 100, 2000, 7, 2999])
    as_on_a_gpu()
    whole = [module(x, lengths) for module in modules]
    monkeypatch.setattr("audiofeed.methods.frames.GPU_BLOCK", 2**16)
    parts = [module(x, lengths) for module in modules]
    for found, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
