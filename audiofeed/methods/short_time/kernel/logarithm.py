"""The natural logarithm of a vector, from the bits of its floats and a polynomial."""

from __future__ import annotations

import functools
import math

import numpy as np

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Name

# the mantissa is taken from sqrt(1/2) to sqrt(2), where the logarithm is smallest
LOW = math.sqrt(0.5)
DEGREE = 9
# ln 2 as a float of few bits, of which any exponent's multiple is exact, and the rest
LN2_HIGH = 0.693359375
LN2_LOW = math.log(2) - LN2_HIGH


@functools.cache
def coefficients() -> tuple[float, ...]:
    """Return the coefficients of the polynomial in a kernel's logarithm, by Chebyshev interpolation.

    They are c of ln(1 + x) = x - x^2 / 2 + x^3 (c[0] + c[1] x + ...) for a mantissa 1 + x.

    >>> abs(coefficients()[0] - 1 / 3) < 1e-6
    True
    """

    def rest(x: np.ndarray) -> np.ndarray:
        # the series where the difference would cancel
        terms = [(-1) ** k / (k + 3) * x**k for k in range(40)]
        return np.where(np.abs(x) < 0.1, sum(terms), (np.log1p(x) - x + x * x / 2) / np.where(x == 0, 1, x) ** 3)

    low, high = LOW - 1, 2 * LOW - 1
    fitted = np.polynomial.Chebyshev.interpolate(rest, DEGREE, domain=[low, high])
    return tuple(float(c) for c in fitted.convert(kind=np.polynomial.Polynomial).coef)


def logarithm(
    code: Code,
    value: Name,
    floor: float | Name,
    factor: float | Name,
    *,
    offset: float | Name = 0.0,
    plus: bool = False,
) -> Name:
    """Write kernel code for a vector's logarithm, factor * ln(max(value + offset, floor)).

    NaN and infinity stay as they are.

    Args:
        floor: at least the smallest normal float; a number, or a vector that the code computes.
        factor: likewise.
        offset: likewise.
        plus: factor * ln(max(1 + value + offset, floor)), exact for values far below 1, too.
    """
    value = code.add(value, code.constant(offset))
    if not plus:
        return _plain(code, value, floor, factor)
    # 1 + x, rounded, differs from it by x - (sum - 1), of which the logarithm is that over the sum
    v, one = code.vector, code.constant(1.0)
    total = code.add(value, one)
    lost = code.subtract(value, code.subtract(total, one))
    rest = code.let(f"fdiv {v} {lost}, {total}")
    # at the floor it does not count, and beyond 2^24 it is no more than rounding: infinity less infinity, in the end
    zero = code.constant(0.0)
    rest = code.select(code.let(f"fcmp ole {v} {total}, {code.constant(floor)}"), zero, rest)
    rest = code.select(code.let(f"fcmp oge {v} {total}, {code.constant(2.0**24)}"), zero, rest)
    return code.multiply_add(rest, code.constant(factor), _plain(code, total, floor, factor))


def _plain(code: Code, value: Name, floor: float | Name, factor: float | Name) -> Name:
    """Write kernel code for a vector's logarithm, factor * ln(max(value, floor))."""
    v, w = code.vector, code.int_vector

    def int_constant(n: int) -> Name:
        return "<" + ", ".join([f"i32 {n}"] * code.lanes) + ">"

    least, endless = code.constant(floor), code.constant(math.inf)
    value = code.select(code.let(f"fcmp olt {v} {value}, {least}"), least, value)
    # bits less those of LOW: above the mantissa stands the exponent, and the mantissa counts from LOW
    start = int(np.float32(LOW).view(np.int32))
    bits = code.let(f"bitcast {v} {value} to {w}")
    shifted = code.let(f"sub {w} {bits}, {int_constant(start)}")
    exponent = code.let(f"ashr {w} {shifted}, {int_constant(23)}")
    power = code.let(f"shl {w} {exponent}, {int_constant(23)}")
    mantissa = code.let(f"bitcast {w} {code.let(f'sub {w} {bits}, {power}')} to {v}")
    e = code.let(f"sitofp {w} {exponent} to {v}")
    x = code.subtract(mantissa, code.constant(1.0))
    x, small = log_of_mantissa(code, x, code.multiply(e, code.constant(LN2_LOW)))
    result = code.multiply_add(e, code.constant(LN2_HIGH), code.add(x, small))
    if factor != 1.0:
        result = code.multiply(result, code.constant(factor))
    return code.select(code.let(f"fcmp olt {v} {value}, {endless}"), result, value)


def log_of_mantissa(code: Code, x: Name, low: Name) -> tuple[Name, Name]:
    """Write kernel code for ln(1 + x) + low as two addends, x and what is small beside it, for the logarithm.

    Args:
        code: Of the kernel.
        x: A vector from LOW - 1 to 2 LOW - 1.
        low: A vector to add, of the order of x's rounding.
    """
    *lower, highest = coefficients()
    total = code.constant(highest)
    for c in reversed(lower):
        total = code.multiply_add(total, x, code.constant(c))
    square = code.multiply(x, x)
    small = code.multiply_add(code.multiply(total, x), square, low)
    return x, code.multiply_add(code.constant(-0.5), square, small)
