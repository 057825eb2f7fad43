"""Squared magnitudes: their values and gradients, and by which of torch's operations a module comes to them."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import audiofeed as af
from audiofeed.methods import spectrum as methods_spectrum
from audiofeed.methods.precision import conv1d
from audiofeed.methods.short_time import conv
from audiofeed.methods.spectrum import squared_magnitude, squared_magnitude_into, summed_squares

# what autograd makes of a slice or a part: zeros of the size of the whole, written to in one place
ZEROS = {"slice_backward", "select_backward"}


class Seen(TorchDispatchMode):
    """Names of the operations that torch computes, forward and backward."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function._schema.name.removeprefix("aten::"))
        return function(*args, **(kwargs or {}))


def spectrum(*shape):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", ["plain", "conjugate", "transposed"])
def test_squares_are_those_of_the_absolute_value(form):
    x = spectrum(3, 5)
    x = {"plain": x, "conjugate": x.conj(), "transposed": x.T}[form]
    kept = x.resolve_conj().clone()
    torch.testing.assert_close(squared_magnitude(x), x.abs().square())
    assert torch.equal(x.resolve_conj(), kept)
    torch.testing.assert_close(squared_magnitude_into(torch.empty(x.shape).double(), kept), x.abs().square())


def test_gradients_of_squares_are_right_twice():
    x = spectrum(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(squared_magnitude, x)
    assert torch.autograd.gradgradcheck(squared_magnitude, x)
    squares = squared_magnitude(x)
    ways = torch.eye(squares.numel(), dtype=torch.float64).view(-1, *squares.shape)
    (at_once,) = torch.autograd.grad(squares, x, ways, is_grads_batched=True)
    torch.testing.assert_close(at_once.sum(0), 2 * x.detach())


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_squares_of_parts_along_any_dimension(dim):
    x = spectrum(3, 5).detach()
    parts = torch.stack([x.real, x.imag], dim).requires_grad_()
    torch.testing.assert_close(summed_squares(parts, dim).detach(), x.abs().square())
    assert torch.equal(summed_squares(parts.detach(), dim), summed_squares(parts, dim).detach())
    assert torch.autograd.gradcheck(lambda parts: summed_squares(parts, dim), parts)
    # one pass; and torch's own operations where functorch follows, which knows no others
    assert "SummedSquares" in summed_squares(parts, dim).grad_fn.name()
    each = torch.vmap(torch.func.grad(lambda parts: summed_squares(parts, dim).sum()))
    torch.testing.assert_close(each(parts[None])[0].detach(), 2 * parts.detach())


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("settings", [{"method": "fft"}, {"method": "conv"}, {"trainable": True}], ids=str)
def test_a_gradient_fills_no_spectrum_with_zeros(settings, log):
    made = af.LogMelSpectrogram if log else af.MelSpectrogram
    transform = made(sample_rate=16000, n_fft=64, n_mels=8, **settings)
    x = torch.randn(2, 800, requires_grad=True, generator=torch.Generator().manual_seed(0))
    with Seen() as seen:
        transform(x).square().sum().backward()
    assert {"mm", "bmm"} & seen.names  # the filters, which every form has
    assert not ZEROS & seen.names
    assert x.grad.abs().max() > 0


def test_a_dense_basis_without_a_graph_is_a_product_of_frames_on_a_cpu(monkeypatch):
    x = torch.randn(3, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4000, 2300, 70])
    slid = []
    monkeypatch.setattr(conv, "conv1d", lambda *given: slid.append(given) or conv1d(*given))
    for made in (af.MelSpectrogram(sample_rate=16000, n_fft=128, n_mels=8, method="conv"), af.STFT(128, method="conv")):
        plain, narrow = made(x, lengths), made(x.float(), lengths)
        assert not slid
        followed = made(x.clone().requires_grad_(), lengths)
        assert len(slid) == 1
        slid.clear()
        torch.testing.assert_close(plain, followed.detach())
        torch.testing.assert_close(narrow.to(plain.dtype), plain, atol=1e-3, rtol=1e-5)


def several_powers(method, *, trained=False):
    settings = {"n_fft": 64, "method": method}
    first = {"a": af.MelSpectrogram(sample_rate=16000, n_mels=8, trainable_mel=True, **settings)} if trained else {}
    others = {name: af.Spectrogram(power=power, **settings) for name, power in zip("bcde", (2, 1, 0.5, 1), strict=True)}
    return af.Stack(**first, **others)


@pytest.mark.parametrize("way", ["nobody", "mode", "vmap", "filters that train", "gradient"])
@pytest.mark.parametrize("method", ["auto", "fft", "conv"])
def test_one_spectrum_serves_several_powers_whoever_follows(method, way):
    """The root of the squares is taken in place only where they are nobody else's: alone each is the same."""
    stack = several_powers(method, trained=way == "filters that train")
    x = torch.randn(2, 800, generator=torch.Generator().manual_seed(0))
    expected = {name: member(x).detach() for name, member in stack.items()}
    if way == "nobody":
        found = stack(x)
    elif way == "mode":
        with Seen():
            found = stack(x)
    elif way == "vmap":
        found = {name: values.flatten(0, 1) for name, values in torch.vmap(stack)(x[:, None]).items()}
    else:
        found = stack(x.requires_grad_(way == "gradient"))
        sum(values.sum() for values in found.values()).backward()
    for name, values in expected.items():
        torch.testing.assert_close(found[name].detach(), values, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "transform",
    [
        *(af.Spectrogram(power=power, n_fft=64, method=method) for power in (0.5, 1.0) for method in ("fft", "conv")),
        af.LogFrequencySpectrogram(sample_rate=16000, n_fft=256, power=1.0),
        af.CQT(sample_rate=16000, n_bins=24, power=1.0),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_derivative_forward_is_zero_at_silence(transform):
    x = torch.zeros(1, 4000)
    values, tangent = torch.func.jvp(transform, (x,), (torch.ones_like(x),))
    assert not values.any()
    assert not tangent.any()  # which NaN would be
    loud = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    assert torch.func.jvp(transform, (loud,), (torch.ones_like(x),))[1].any()


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_an_observer_of_another_thread_loses_no_power(power, monkeypatch):
    """The level of a derivative forward is the process's, so that it may begin in the middle of a call elsewhere."""
    x = torch.randn(2, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for made in (
        af.CQT(sample_rate=16000, n_bins=24, power=power),
        af.Spectrogram(power=power, n_fft=64, method="fft"),
        af.LogFrequencySpectrogram(sample_rate=16000, n_fft=256, power=power),
    ):
        expected = made(x)
        with monkeypatch.context() as patched:
            patched.setattr(methods_spectrum, "observed", lambda x: "forward-mode differentiation")
            torch.testing.assert_close(made(x), expected)
