"""Full float32 products whatever the process allows, without a flag being touched."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods import precision


def tensor(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def shortened(x, bits):
    """float32 values rounded to `bits` significant bits, as the short formats hold them."""
    mantissa, exponent = np.frexp(x.double().numpy())
    return torch.from_numpy(np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)).float()


@pytest.mark.parametrize("bits", [11, 8])
def test_parts_fit_the_format_and_sum_to_the_whole(bits):
    x = tensor(1000) * 10.0 ** tensor(1000, seed=1)
    parts = precision.split(x, bits)
    for part in parts:
        assert torch.equal(shortened(part, bits), part)
    total = sum(part.double() for part in parts)
    assert torch.equal(total, x.double())


@pytest.mark.parametrize(("name", "bits"), [("tf32", 11), ("bf16", 8)])
def test_a_split_product_is_exact_even_if_every_factor_is_shortened(name, bits, monkeypatch):
    """The hardware is played here: every product of the process rounds its factors to the short format."""
    a, b, grad = tensor(40, 300), tensor(300, 20, seed=1), tensor(40, 20, seed=2)
    exact = a.double() @ b.double()
    real = torch.matmul

    def hardware(left, right):
        return real(shortened(left, bits), shortened(right, bits))

    naive = (hardware(a, b).double() - exact).norm() / exact.norm()
    monkeypatch.setattr(precision, "product_format", lambda *_, **__: name)
    monkeypatch.setattr(torch.Tensor, "__matmul__", hardware)
    a.requires_grad_(), b.requires_grad_()
    ours = precision.matmul(a, b)
    ours.backward(grad)
    monkeypatch.undo()
    assert naive > 1e-5 * 2 ** (11 - bits)  # the hardware is as bad as it should be
    assert (ours.detach().double() - exact).norm() / exact.norm() < 1e-6
    for mine, true in (
        (a.grad, grad.double() @ b.detach().double().T),
        (b.grad, a.detach().double().T @ grad.double()),
    ):
        assert (mine.double() - true).norm() / true.norm() < 1e-6


def test_a_convolution_that_might_run_short_becomes_a_product(monkeypatch):
    x, basis = tensor(2, 500), tensor(10, 64, seed=1)
    expected = precision.conv1d(x, basis, 16)
    monkeypatch.setattr(precision, "product_format", lambda *_, **__: "tf32")
    ours = precision.conv1d(x, basis, 16)
    assert ours.shape == expected.shape
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", ["highest", "high", "medium"])
@pytest.mark.parametrize("method", ["fft", "conv"])
def test_the_process_wide_precision_changes_neither_features_nor_itself(level, method):
    transform = af.LogMelSpectrogram(sample_rate=8000, n_fft=128, n_mels=10, method=method)
    x = tensor(2, 1000)
    exact = transform(x.double())
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(level)
        assert (transform(x).double() - exact).abs().max() < 1e-5
        assert torch.get_float32_matmul_precision() == level
    finally:
        torch.set_float32_matmul_precision(before)


class _Flag:
    def __init__(self, **values):
        self.__dict__.update(values)


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (_Flag(fp32_precision="tf32"), "tf32"),
        (_Flag(fp32_precision="bf16"), "bf16"),
        (_Flag(fp32_precision="ieee"), "ieee"),
        (_Flag(allow_tf32=True), "tf32"),
        (_Flag(allow_tf32=False), "ieee"),
        (_Flag(), "ieee"),
    ],
    ids=lambda value: str(getattr(value, "__dict__", value)),
)
def test_flags_of_every_torch_are_read(backend, expected):
    assert precision._allowed(backend, "allow_tf32") == expected


def test_an_unset_flag_follows_the_one_above_it(monkeypatch):
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32", raising=False)
    assert precision._allowed(_Flag(fp32_precision="none"), "allow_tf32") == "tf32"


def test_float64_is_never_split():
    assert precision.product_format(torch.device("cuda"), torch.float64) == "ieee"


@pytest.mark.parametrize("name", ["ieee", "tf32"])
def test_a_product_is_written_where_it_belongs(name, monkeypatch):
    a, b = tensor(6, 5), tensor(5, 3, seed=1)
    monkeypatch.setattr(precision, "product_format", lambda *_, **__: name)
    out = torch.full((6, 8), 7.0)
    precision.matmul_into(out[:, 2:5], a, b)
    torch.testing.assert_close(out[:, 2:5], a @ b)
    assert torch.all(out[:, :2] == 7)
    assert torch.all(out[:, 5:] == 7)


# dynamo itself makes an instance of every autograd.Function it traces
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("level", ["highest", "medium"])
def test_a_compiled_product_is_split_too(level):
    """A compiler sees a plain product as one that may run short; it must be given the parts."""
    masks = []

    def backend(graph, inputs):
        nodes = [node for module in graph.modules() if hasattr(module, "graph") for node in module.graph.nodes]
        masks.append(sum("and_" in str(node.target) for node in nodes))
        return graph

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(level)
        expected_format = precision.product_format(torch.device("cpu"), torch.float32)
        torch._dynamo.reset()
        transform = af.MelSpectrogram(sample_rate=8000, n_fft=128, n_mels=10, method="conv")
        compiled = torch.compile(transform, backend=backend, fullgraph=True)
        x = tensor(2, 1000)
        torch.testing.assert_close(compiled(x), transform(x), rtol=1e-5, atol=1e-6)
    finally:
        torch.set_float32_matmul_precision(before)
        torch._dynamo.reset()
    assert (masks[0] > 0) == (expected_format != "ieee")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_what_is_switched_off_without_a_graph_is_on_again_afterwards(autocast, grad, fails):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.set_grad_enabled(grad):
        before = torch.get_num_threads()
        with contextlib.suppress(KeyError), precision.in_full_precision(torch.device("cpu"), graph=False):
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_grad_enabled()
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            if fails:
                raise KeyError
        assert torch.is_autocast_enabled("cpu") is autocast
        assert torch.is_grad_enabled() is grad
        assert torch.get_num_threads() == before


def test_a_ctrl_c_while_things_are_switched_off_leaves_them_on(monkeypatch):
    class Interrupted(torch.set_grad_enabled):
        def __init__(self, mode):
            super().__init__(mode)
            if not mode:
                raise KeyboardInterrupt

    beside = contextlib.ExitStack()
    left = []
    beside.callback(left.append, True)
    monkeypatch.setattr(precision, "on_shared_cores", lambda: beside)
    with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        monkeypatch.setattr(torch, "set_grad_enabled", Interrupted)
        with pytest.raises(KeyboardInterrupt), precision.in_full_precision(torch.device("cpu"), graph=False):
            pass
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()
    assert left == [True]
