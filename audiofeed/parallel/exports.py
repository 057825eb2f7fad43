"""What an exported graph follows (`torch.export`, `torch.onnx.export(dynamo=True)`) for clips of any size."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F

from audiofeed.parallel.observed import is_exporting

Count = TypeVar("Count", int, torch.Tensor)

# Up to this size onnxscript's optimizer takes a term of a sum for 0 and leaves it out.
_LEFT_OUT = 1e-8


def ceil_divided(number: Count, by: int) -> Count:
    """Divide numbers that are not negative, upwards.

    ONNX divides a negative number toward 0, so that the usual `-(-number // by)` is one too few there.

    >>> ceil_divided(7, 3), ceil_divided(6, 3), ceil_divided(0, 3)
    (3, 2, 0)
    """
    return (number + (by - 1)) // by


def first_columns(x: torch.Tensor, count: int) -> torch.Tensor:
    """Return the first of the last dimension, of which there are as many at least.

    An export to ONNX does not know how long a slice is whose end it cannot prove to lie inside; padding by less than
    nothing it follows.

    Shape: (..., columns) -> (..., count), a view where nothing is exported.

    >>> first_columns(torch.arange(4), 2)
    tensor([0, 1])
    """
    if is_exporting():
        return F.pad(x, (0, count - x.shape[-1]))
    return x[..., :count]


def plus(x: torch.Tensor, term: float) -> torch.Tensor:
    """Add a small number that keeps a logarithm or a quotient finite, so that an export to ONNX keeps it.

    Terms up to 1e-8 are left out by onnxscript's optimizer: the logarithm of silence was -inf. They are added at
    another scale, by a power of 2, which changes no digit.

    Shape: any -> the same.

    >>> plus(torch.zeros(1), 2.0**-40).item() == 2.0**-40
    True
    """
    if not term:
        return x
    if abs(term) > _LEFT_OUT or not is_exporting():
        return x + term
    scale = 2.0 ** -math.frexp(term / _LEFT_OUT / 100.0)[1]
    return (x * scale + term * scale) * (1.0 / scale)
