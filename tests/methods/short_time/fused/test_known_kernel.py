"""What is known of a fused kernel after its first call: what later calls ask no more, and write no more."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

import audiofeed as af
from audiofeed.methods import lengths as lengths_of
from audiofeed.methods.method_table import Choice
from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import asked as asking
from audiofeed.methods.short_time.fused import cuda_launch, nvrtc, self_check
from audiofeed.parallel import launches
from audiofeed.transforms.contract import transform as contract
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from tests.methods.short_time.cuda_on_cpu import kernel_on_cpu
from tests.methods.short_time.test_fused_cuda import MEL, on_cpu, without_kernels
from tests.signals import noise

LENGTHS = torch.tensor([4000, 1, 2300])


@pytest.fixture
def card(monkeypatch):
    """The CUDA kernel on a CPU whose operations cost launches, as a GPU's do."""
    monkeypatch.setattr(fused_method, "DEVICE", "cpu")
    monkeypatch.setattr(launches, "AT_ONCE", [])
    with kernel_on_cpu() as runs:
        yield runs


def asked_no_more(monkeypatch):
    def for_input(self, *inputs, **needs):
        raise AssertionError("the methods were asked again")

    monkeypatch.setattr(Choice, "for_input", for_input)


@on_cpu
def test_the_first_use_compares_with_filters_of_every_dtype(card):
    """A GPU keeps filters of real and imaginary parts beside the filters: both are to be in float64."""
    x = noise(3, 4000, dtype=torch.float32)
    module = without_kernels(af.LogMelSpectrogram(**MEL))
    found = module(x, LENGTHS)
    assert card.launches == 2
    want = af.LogMelSpectrogram(method="fft", **MEL).double()(x.double(), LENGTHS)
    assert float((found - want).abs().max()) < 2e-4


@on_cpu
def test_a_later_call_takes_the_kernel_at_once(card, monkeypatch):
    x = noise(2, 4000, dtype=torch.float32)
    module = without_kernels(af.LogMelSpectrogram(**MEL))
    first = module(x)
    asked_no_more(monkeypatch)
    assert torch.equal(module(x), first)
    assert torch.equal(module(x[:1]), first[:1])
    assert card.launches == 4
    for unknown in (x.double(), x.clone().requires_grad_(), (1000 * x).to(torch.int16)):
        with pytest.raises(AssertionError, match="asked again"):
            module(unknown)
    with pytest.raises(AssertionError, match="asked again"):
        without_kernels(af.LogMelSpectrogram(**MEL, power=1.0))(x)  # another form
    # undone before the fixture is, which put something there itself
    with monkeypatch.context() as patched:
        patched.setattr(cuda_launch, "unreachable", lambda device: "it is gone")
        with pytest.raises(AssertionError, match="asked again"):
            module(x)


@on_cpu
def test_a_later_call_that_cannot_be_launched_is_said_once_and_goes_another_way(card, monkeypatch):
    x = noise(2, 4000, dtype=torch.float32)
    module = without_kernels(af.LogMelSpectrogram(**MEL))
    module(x)

    class Lost:
        def launch(self, blocks, threads, job):
            raise nvrtc.CompilerError("the driver says: it is lost")

    with monkeypatch.context() as patched:
        patched.setattr(cuda_launch, "launcher", lambda form, device: Lost())
        with pytest.warns(RuntimeWarning, match="not used on cpu by this process: the driver says: it is lost") as said:
            found = module(x)
    assert len([one for one in said if one.category is RuntimeWarning]) == 1
    assert torch.allclose(found, af.LogMelSpectrogram(method="fft", **MEL)(x), atol=1e-3)
    assert module.runs_on(x).method == "fft"


@on_cpu
def test_zeros_past_the_ends_are_written_once(card, monkeypatch):
    x = noise(3, 4000, dtype=torch.float32)
    module, fft = without_kernels(af.LogMelSpectrogram(**MEL)), af.LogMelSpectrogram(method="fft", **MEL)
    want, marked = fft(x, LENGTHS), []
    module(x)
    mark = ShortTime._mark_ends
    monkeypatch.setattr(ShortTime, "_mark_ends", lambda self, *given: marked.append(given) or mark(self, *given))

    def clear(*given, **options):
        raise AssertionError("cleared again")

    monkeypatch.setattr(contract, "clear_where", clear)
    monkeypatch.setattr(contract, "clear_own_past", clear)
    assert torch.allclose(module(x, LENGTHS), want, atol=1e-3)
    assert not marked
    with pytest.raises(AssertionError, match="cleared again"):
        fft(x, LENGTHS)
    assert len(marked) == 1
    with pytest.raises(AssertionError, match="cleared again"):
        without_kernels(af.MFCC(n_mfcc=13, top_db=None, **MEL))(x, LENGTHS)  # by steps that the kernel does not take


@on_cpu
def test_a_gradient_past_the_ends_is_cleared_all_the_same(card):
    x = noise(3, 4000, dtype=torch.float32)
    grads = []
    for method in ("fused", "fft"):
        leaf = x.clone().requires_grad_()
        features = af.LogMelSpectrogram(method=method, **MEL)(leaf, LENGTHS)
        (features * torch.linspace(1, 2, features.shape[-1])).sum().backward()
        grads.append(leaf.grad)
    assert torch.allclose(*grads, atol=1e-3 * float(grads[1].abs().max()))
    assert not grads[0][1, 1:].any()


def test_notes_of_a_call_are_of_its_own_features_and_hold_none(monkeypatch):
    monkeypatch.setattr(launches, "AT_ONCE", [])
    lengths = lengths_of.of_one_call(torch.tensor([2, 3]))
    features, other = torch.zeros(2, 3), torch.zeros(2, 3)
    lengths_of.note_clear(lengths, features)
    assert lengths_of.is_clear(lengths, features)
    assert not lengths_of.is_clear(lengths, other)
    assert not lengths_of.is_clear(torch.tensor([2, 3]), features)
    lengths_of.note_clear(torch.tensor([2, 3]), other)  # of no call: nothing is kept
    seen = weakref.ref(features)
    del features
    gc.collect()
    assert seen() is None
    assert not lengths_of.is_clear(lengths, other)


def test_a_mask_is_made_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(launches, "AT_ONCE", [])
    lengths = lengths_of.of_one_call(torch.tensor([1, 3]))
    made = []

    def mark():
        made.append(True)
        lengths_of.keep_outside(lengths, torch.tensor([[False, True, True], [False, False, False]]), 0)

    with lengths_of.marked_later(lengths, mark):
        assert not made
    assert not made
    assert lengths_of.outside_at(lengths, 0, 1, 3) is None  # after the body nobody makes it
    with lengths_of.marked_later(lengths, mark):
        assert lengths_of.past_of(3, lengths).tolist() == [[False, True, True], [False, False, False]]
        lengths_of.past_of(2, lengths)
    assert len(made) == 1
    with lengths_of.marked_later(torch.tensor([1]), mark):
        pass
    assert len(made) == 1


def test_what_is_asked_is_found_once_for_a_module_and_bounded():
    x = torch.zeros(1, 800)
    first, second = (af.LogMelSpectrogram(**{**MEL, "n_mels": mels}) for mels in (40, 20))
    found = asking.asked(first.framing, first.wanted(x))
    assert asking.asked(first.framing, first.wanted(x)) is found
    assert asking.asked(second.framing, second.wanted(x)) is not found
    assert (found.n_values, found.has_bank, found.is_anywhere, found.n_taken) == (40, True, False, 2)
    for mels in (40, 20):
        trained = af.LogMelSpectrogram(trainable_mel=True, **{**MEL, "n_mels": mels})
        anywhere = asking.asked(trained.framing, trained.wanted(x))
        assert (anywhere.is_anywhere, anywhere.n_values) == (True, mels)
    magnitudes = af.Spectrogram(400, hop_length=160, power=1.0)
    own = asking.asked(magnitudes.framing, magnitudes.wanted(x))
    assert (own.n_values, own.has_bank, own.numbers.power, own.form(torch.int16).short) == (201, False, 1.0, True)
    for hop in range(1, asking.MOST_KEPT + 20):
        module = af.Spectrogram(16, hop_length=hop)
        asking.asked(module.framing, module.wanted(x))
        assert len(asking._KEPT) <= asking.MOST_KEPT


def test_a_form_that_was_refused_is_not_right(monkeypatch):
    monkeypatch.setattr(self_check, "_VERDICTS", {("form", "card"): None, ("other", "card"): "it differs"})
    assert self_check.is_right("form", "card")
    assert not self_check.is_right("other", "card")
    assert not self_check.is_right("unknown", "card")
