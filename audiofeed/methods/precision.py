"""The dtype to compute in, and products in full float32, whatever the process allows its own.

A process may let float32 products run in TF32 (11 significant bits) or bf16 (8) for its model. A quiet log-mel band is
then wrong by whole units, so ours do not follow. The flags are the user's: they are read and never set, not even for a
moment, because the model may be launching kernels from another thread. Instead each factor is split into parts that the
short format holds exactly, and the products of the parts are summed: x = x1 + x2 (+ x3).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

from audiofeed.parallel.busy_cores import AS_IT_IS, on_shared_cores
from audiofeed.signal.samples import INT16_SCALE

_BITS = {"tf32": 11, "bf16": 8}


def _allowed(backend: Any, legacy: str) -> str:
    """Return the short precision that a torch backend's flag allows: "ieee", "tf32" or "bf16"."""
    precision = getattr(backend, "fp32_precision", None)
    if precision is None:  # torch before 2.9
        return "tf32" if getattr(backend, legacy, False) else "ieee"
    if precision == "none":
        precision = getattr(torch.backends, "fp32_precision", "none")
    return precision if precision in _BITS else "ieee"


def product_format(device: torch.device, dtype: torch.dtype, *, conv: bool = False) -> str:
    """Return the precision in which torch may run a product: "ieee", "tf32" or "bf16".

    It depends on the device.

    A compiled or exported graph holds the answer of the time it was traced; on a CPU that is a plain product, which is
    what an export wants.
    """
    if dtype != torch.float32:
        return "ieee"
    if device.type == "cuda":
        if conv:
            return _allowed(getattr(torch.backends.cudnn, "conv", torch.backends.cudnn), "allow_tf32")
        return _allowed(torch.backends.cuda.matmul, "allow_tf32")
    if device.type == "cpu":
        backend = getattr(torch.backends.mkldnn, "conv" if conv else "matmul", None)
        return "ieee" if backend is None else _allowed(backend, "")
    return "ieee"


# What torch.compiler.assume_constant_result does, without importing the compiler (and Triton) with the package.
product_format._dynamo_marked_constant = True  # type: ignore[attr-defined]


def split(x: torch.Tensor, bits: int) -> list[torch.Tensor]:
    """Split a float32 tensor into parts of lower precision that sum to it.

    The parts come largest first, of `bits` significant bits each.

    The low bits of the mantissa are masked, so that no compiler can contract the arithmetic away.

    >>> parts = split(torch.tensor([1 / 3]), 11)
    >>> len(parts), bool((sum(p.double() for p in parts) - 1 / 3).abs() < 1e-7)
    (3, True)
    """
    parts = []
    rest = x
    for _ in range(-(-24 // bits) - 1):
        high = (rest.view(torch.int32) & -(1 << (24 - bits))).view(torch.float32)
        parts.append(high)
        rest = rest - high
    return [*parts, rest]


class _SplitMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, bits: int) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        ctx.bits = bits
        left, right = split(a, bits), split(b, bits)
        # parts i and j weigh 2^(-bits (i + j)): pairs beyond the last part are below float32's own rounding
        pairs = [(i, j) for i in range(len(left)) for j in range(len(right)) if i + j < len(left)]
        first, *others = reversed(pairs)  # smallest first
        total = left[first[0]] @ right[first[1]]
        for i, j in others:
            total = total + left[i] @ right[j]
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        a, b = ctx.saved_tensors
        grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_a = _SplitMatmul.apply(grad, b.transpose(-1, -2), ctx.bits)
        if ctx.needs_input_grad[1]:
            grad_b = _SplitMatmul.apply(a.transpose(-1, -2), grad, ctx.bits)
        return grad_a, grad_b, None


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply matrices in full float32 precision, regardless of torch's TF32 and bf16 flags.

    It is `a @ b`.

    Shape: (m, k), (k, n) -> (m, n).

    >>> matmul(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    shortest = product_format(a.device, a.dtype)
    return a @ b if shortest == "ieee" else _SplitMatmul.apply(a, b, _BITS[shortest])


def matmul_added(to: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Add a product of batched matrices in full precision to others.

    It is `to + a @ b`.

    Shape: to (n, m, k), (n, m, j), (n, j, k) -> (n, m, k).

    >>> matmul_added(torch.ones(1, 1, 1), torch.ones(1, 1, 2), torch.ones(1, 2, 1)).item()
    3.0
    """
    shortest = product_format(a.device, a.dtype)
    return torch.baddbmm(to, a, b) if shortest == "ieee" else to + _SplitMatmul.apply(a, b, _BITS[shortest])


def matmul_into(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Write a product of matrices in full precision, without a graph.

    `out` takes `a @ b`.

    Shape: out (m, n), (m, k), (k, n).
    """
    products_into(a)(out, a, b)


def products_into(like: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Return `matmul_into` for many products of matrices on one device: torch's flags are asked for once.

    Args:
        like: all matrices have its dtype and device.
    """
    return _plain_into if product_format(like.device, like.dtype) == "ieee" else _split_into


def _plain_into(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    torch.mm(a, b, out=out)


def _split_into(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    out.copy_(matmul(a, b))


def conv1d(waveform: torch.Tensor, basis: torch.Tensor, hop_length: int) -> torch.Tensor:
    """Convolve batched waveforms with a basis in full precision.

    Every row of the basis is slid along each waveform.

    Where a flag would let the convolution run in a short format, it is done as a matrix product of the frames.

    Shape: (rows, time), (n, taps) -> (rows, n, frames).

    >>> conv1d(torch.ones(1, 10), torch.ones(3, 4), 2).shape
    torch.Size([1, 3, 4])
    """
    shortest = product_format(waveform.device, waveform.dtype, conv=True)
    if shortest == "ieee":
        return F.conv1d(waveform[:, None], basis[:, None], stride=hop_length)
    frames = waveform.unfold(-1, basis.shape[-1], hop_length)  # (row, frame, tap)
    rows, count, taps = frames.shape
    product = matmul(frames.reshape(rows * count, taps), basis.transpose(0, 1))
    return product.view(rows, count, -1).transpose(1, 2)


def wide(parameter: torch.Tensor) -> torch.Tensor:
    """Return the trainable parameter behind a bounded value in float64, or in float32 on a device without it.

    It is for computations of few values once a call.

    The phase of a filter at its ends is hundreds of radians: in float32 its cosine would be wrong in the fifth digit.
    """
    return parameter.float() if parameter.device.type == "mps" else parameter.double()


def computable(values: torch.Tensor, *, as_int16: bool = False) -> torch.Tensor:
    """Convert rows of a batch to a dtype that can be computed in, such as int16 samples to float32.

    It is float32 for a shorter one, and for int16 samples unless those are taken.

    >>> computable(torch.tensor([-32768, 16384], dtype=torch.int16)).tolist()
    [-1.0, 0.5]
    """
    if values.dtype in (torch.float16, torch.bfloat16):
        return values.float()
    return values.float() * INT16_SCALE if values.dtype == torch.int16 and not as_int16 else values


def in_full_precision(device: torch.device, *, graph: bool) -> contextlib.AbstractContextManager[None]:
    """Turn off autocast while the rows of a batch are computed, and autograd if no graph is asked for."""
    return _with_graph(device) if graph else _WithoutGraph(device.type)


@contextlib.contextmanager
def _with_graph(device: torch.device) -> Iterator[None]:
    # the meta device knows no autocast
    with AS_IT_IS if device.type == "meta" else torch.autocast(device.type, enabled=False):
        yield


class _WithoutGraph:
    """Full precision without a graph: nothing is switched that is off already, for short calls are many."""

    __slots__ = ("_autocast", "_beside", "_kind", "_recorded")

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        kind = self._kind
        self._autocast, self._recorded = None, False
        self._beside = on_shared_cores() if kind == "cpu" else AS_IT_IS
        self._beside.__enter__()
        try:
            if kind != "meta" and torch.is_autocast_enabled(kind):
                autocast = torch.autocast(kind, enabled=False)
                autocast.__enter__()
                self._autocast = autocast
            self._recorded = torch.is_grad_enabled()
            if self._recorded:
                torch.set_grad_enabled(False)
        except BaseException:  # a Ctrl-C
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *raised: Any) -> None:
        if self._recorded:
            torch.set_grad_enabled(True)
        if self._autocast is not None:
            self._autocast.__exit__(*raised)
        self._beside.__exit__(*raised)
