"""Small Fourier transforms of the CUDA kernel, in the registers of one thread: C++ text without loops."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

MOST_POINTS = 32  # of one transform: with more, a thread has not enough registers
PRIMES = (2, 3, 5, 7, 11, 13)
_SMALL = (2, 3, 4, 5, 7, 8, 11, 13)
Complex: TypeAlias = tuple[str, str]  # real and imaginary part


class CudaCode:
    """C++ text of the CUDA kernel's arithmetic, collected line by line: a name for each value.

    >>> code = CudaCode()
    >>> code.add("a", "b"), code.lines
    ('v1', ['const float v1 = a + b;'])
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _let(self, value: str) -> str:
        name = f"v{len(self.lines) + 1}"
        self.lines.append(f"const float {name} = {value};")
        return name

    def constant(self, value: float | str) -> str:
        """Return a number as C++ text of the CUDA kernel; a name is returned as it is."""
        return value if isinstance(value, str) else f"({value!r}f)"

    def add(self, a: str, b: str) -> str:
        """Write a sum in the CUDA kernel's text."""
        return self._let(f"{a} + {b}")

    def subtract(self, a: str, b: str) -> str:
        """Write a difference in the CUDA kernel's text."""
        return self._let(f"{a} - {b}")

    def multiply(self, a: str, b: str) -> str:
        """Write a product in the CUDA kernel's text."""
        return self._let(f"{a} * {b}")

    def multiply_add(self, a: str, b: str, c: str) -> str:
        """Write a * b + c, rounded once, in the CUDA kernel's text."""
        return self._let(f"fmaf({a}, {b}, {c})")

    def negate(self, a: str) -> str:
        """Write a value with the other sign in the CUDA kernel's text."""
        return f"(-{a})"


def factors(n: int) -> list[int] | None:
    """Return the prime factors of a transform's points that the CUDA kernel can take; None if one is above 13.

    >>> factors(200), factors(34)
    ([2, 2, 2, 5, 5], None)
    """
    found = []
    for prime in PRIMES:
        while n % prime == 0:
            found.append(prime)
            n //= prime
    return found if n == 1 else None


class Turned(NamedTuple):
    """A complex value of the CUDA kernel and by what it is still to be turned, both real and imaginary part.

    Where it is added to another value, and subtracted from it, two products of the turn are part of the sum, and the
    difference is twice the other less the sum: six operations, not eight.
    """

    value: Complex
    by: Complex


Point: TypeAlias = "Complex | Turned"


@functools.cache
def dft_text(n: int) -> str:
    """Return the C++ functions of a complex Fourier transform of `n` points in the CUDA kernel, in place.

    `run` transforms the points, `turned` first turns all but the first by tr and ti.

    >>> dft_text(2).splitlines()[0]
    'template <> struct Dft<2> {'
    """
    points = [(f"re[{i}]", f"im[{i}]") for i in range(n)]
    turned: list[Point] = [points[0], *(Turned(points[i], (f"tr[{i}]", f"ti[{i}]")) for i in range(1, n))]
    functions = []
    for head, given in (
        ("run(float* re, float* im)", list[Point](points)),
        ("turned(float* re, float* im, const float* tr, const float* ti)", turned),
    ):
        code = CudaCode()
        found = transform(code, given)
        body = "\n    ".join([*code.lines, *(f"re[{k}] = {r}; im[{k}] = {i};" for k, (r, i) in enumerate(found))])
        functions.append(f"  static __device__ __forceinline__ void {head} {{\n    {body}\n  }}\n")
    return f"template <> struct Dft<{n}> {{\n{''.join(functions)}}};\n"


@functools.cache
def operations(n: int) -> int:
    """Return the number of additions and multiplications of a transform of `n` points in the CUDA kernel.

    >>> operations(2), operations(4), operations(16)
    (4, 16, 156)
    """
    code = CudaCode()
    transform(code, [(f"r{i}", f"i{i}") for i in range(n)])
    return len(code.lines)


def transform(code: CudaCode, x: Sequence[Point]) -> list[Complex]:
    """Write a complex Fourier transform of the CUDA kernel: of coprime parts without turns, else by turns between."""
    n = len(x)
    if n == 1:
        return [_plain(code, x[0])]
    if n == 2:
        return list(_two(code, x[0], x[1]))
    if n == 4:
        return _four(code, x)
    if n in _SMALL:
        return _eight(code, x) if n == 8 else _odd(code, x)
    a, b = _parts(n)
    out: list[Complex] = [("", "")] * n
    if math.gcd(a, b) == 1:  # Good's and Thomas' order: bin k of both is k modulo a and k modulo b
        rows = [transform(code, [x[(b * i + a * j) % n] for i in range(a)]) for j in range(b)]
        places = {(k % a, k % b): k for k in range(n)}
        for p in range(a):
            for q, value in enumerate(transform(code, [row[p] for row in rows])):
                out[places[p, q]] = value
        return out
    rows = [transform(code, x[j::b]) for j in range(b)]
    for p in range(a):
        out[p::a] = transform(code, [_turned(code, row[p], j * p, n) for j, row in enumerate(rows)])
    return out


def _plain(code: CudaCode, x: Point) -> Complex:
    """Write a value of the CUDA kernel with its turn made."""
    if not isinstance(x, Turned):
        return x
    (a, b), (c, d) = x
    return code.multiply_add(code.negate(b), d, code.multiply(a, c)), code.multiply_add(a, d, code.multiply(b, c))


def _two(code: CudaCode, x: Point, y: Point) -> tuple[Complex, Complex]:
    """Write a sum and a difference of two values of the CUDA kernel."""
    if isinstance(y, Turned):
        one, ((a, b), (c, d)), sign = _plain(code, x), y, "(2.0f)"
    elif isinstance(x, Turned):
        one, ((a, b), (c, d)), sign = y, x, "(-2.0f)"
    else:
        return (
            (code.add(x[0], y[0]), code.add(x[1], y[1])),
            (code.subtract(x[0], y[0]), code.subtract(x[1], y[1])),
        )
    real = code.multiply_add(code.negate(b), d, code.multiply_add(a, c, one[0]))
    imaginary = code.multiply_add(a, d, code.multiply_add(b, c, one[1]))
    if sign == "(2.0f)":
        others = [
            code.multiply_add(sign, value, code.negate(s)) for value, s in zip(one, (real, imaginary), strict=True)
        ]
    else:
        others = [code.multiply_add(sign, value, s) for value, s in zip(one, (real, imaginary), strict=True)]
    return (real, imaginary), (others[0], others[1])


def _around(code: CudaCode, a: Complex, b: Complex, size: str | None = None) -> tuple[Complex, Complex]:
    """Write a - i b and a + i b in the CUDA kernel's text, where a size is given of that times b."""
    if size is None:
        minus = code.add(a[0], b[1]), code.subtract(a[1], b[0])
        return minus, (code.subtract(a[0], b[1]), code.add(a[1], b[0]))
    real, imaginary = code.negate(b[0]), code.negate(b[1])
    minus = code.multiply_add(b[1], size, a[0]), code.multiply_add(real, size, a[1])
    return minus, (code.multiply_add(imaginary, size, a[0]), code.multiply_add(b[0], size, a[1]))


def _four(code: CudaCode, x: Sequence[Point]) -> list[Complex]:
    """Write a transform of 4 points of the CUDA kernel."""
    s, d = _two(code, x[0], x[2])
    t, e = _two(code, x[1], x[3])
    low, high = _two(code, s, t)
    minus, plus = _around(code, d, e)
    return [low, minus, high, plus]


def _eight(code: CudaCode, x: Sequence[Point]) -> list[Complex]:
    """Write a transform of 8 points of the CUDA kernel: the two turns between have parts of one size."""
    even, odd = _four(code, x[0::2]), _four(code, x[1::2])
    half = code.constant(math.sqrt(0.5))
    out: list[Complex] = [("", "")] * 8
    out[0], out[4] = _two(code, even[0], odd[0])
    out[2], out[6] = _around(code, even[2], odd[2])
    for k in (1, 3):
        real, imaginary = odd[k]
        sum_, difference = code.add(real, imaginary), code.subtract(imaginary, real)
        a, b = (sum_, difference) if k == 1 else (difference, code.negate(sum_))
        out[k] = code.multiply_add(a, half, even[k][0]), code.multiply_add(b, half, even[k][1])
        a, b = (code.negate(a), code.negate(b)) if k == 1 else (code.negate(a), sum_)
        out[k + 4] = code.multiply_add(a, half, even[k][0]), code.multiply_add(b, half, even[k][1])
    return out


def _odd(code: CudaCode, x: Sequence[Point]) -> list[Complex]:
    """Write a transform of an odd number of points of the CUDA kernel, by sums and differences of opposite ones.

    Opposite each other lie the points j and n - j; cosines weigh their sums, sines their differences. Of the sines the
    largest is left to the last sum.
    """
    n, half = len(x), len(x) // 2
    first = _plain(code, x[0])
    both = [_two(code, x[j], x[n - j]) for j in range(1, half + 1)]
    total = first
    for each, _ in both:
        total = code.add(total[0], each[0]), code.add(total[1], each[1])
    out = [total] * n
    for k in range(1, half + 1):
        angles = [2 * math.pi * ((j * k) % n) / n for j in range(1, half + 1)]
        a = first
        for angle, (s, _) in zip(angles, both, strict=True):
            cosine = code.constant(math.cos(angle))
            a = code.multiply_add(cosine, s[0], a[0]), code.multiply_add(cosine, s[1], a[1])
        sines = [math.sin(angle) for angle in angles]
        largest = max(range(half), key=lambda j: abs(sines[j]))
        b = both[largest][1]
        for j in range(half):
            if j != largest:
                share, d = code.constant(sines[j] / sines[largest]), both[j][1]
                b = code.multiply_add(share, d[0], b[0]), code.multiply_add(share, d[1], b[1])
        out[k], out[n - k] = _around(code, a, b, code.constant(sines[largest]))
    return out


def _parts(n: int) -> tuple[int, int]:
    """Return the two factors of points that the CUDA kernel's transform is made of: coprime where that can be."""
    first = next(prime for prime in PRIMES if n % prime == 0)
    power = first
    while n % (power * first) == 0:
        power *= first
    if power != n:
        return power, n // power
    a = first if first > 2 else 4
    return a, n // a


def _turned(code: CudaCode, value: Complex, power: int, n: int) -> Point:
    """Write a value of the CUDA kernel times exp(-2 pi i power / n)."""
    real, imaginary = value
    power %= n
    if power == 0:
        return value
    if 4 * power % n == 0:
        quarter = 4 * power // n
        return {
            1: (imaginary, code.negate(real)),
            2: (code.negate(real), code.negate(imaginary)),
            3: (code.negate(imaginary), real),
        }[quarter]
    c, s = math.cos(2 * math.pi * power / n), -math.sin(2 * math.pi * power / n)
    if 8 * power % n == 0:  # both parts are of one size
        size = code.constant(abs(c))
        sum_, difference = code.add(real, imaginary), code.subtract(real, imaginary)
        # c (r - i) and c (r + i) where the sine is the cosine, else c (r + i) and c (i - r)
        parts = (difference, sum_) if c * s > 0 else (sum_, code.negate(difference))
        signed = [part if c > 0 else code.negate(part) for part in parts]
        return code.multiply(signed[0], size), code.multiply(signed[1], size)
    return Turned(value, (code.constant(c), code.constant(s)))
