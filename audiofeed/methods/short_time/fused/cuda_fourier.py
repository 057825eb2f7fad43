"""Small Fourier transforms of the CUDA kernel, in the registers of one thread: C++ text without loops."""

from __future__ import annotations

import functools
import math

from audiofeed.methods.short_time.kernel.fourier import Complex, small

MOST_POINTS = 32  # of one transform: with more, a thread has not enough registers
PRIMES = (2, 3, 5, 7, 11, 13)
_SMALL = (2, 3, 4, 5, 7, 8, 11, 13)


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


@functools.cache
def dft_text(n: int) -> str:
    """Return the C++ function of a complex Fourier transform of `n` points in the CUDA kernel, in place.

    >>> dft_text(2).splitlines()[0]
    'template <> struct Dft<2> {'
    """
    code = CudaCode()
    found = transform(code, [(f"re[{i}]", f"im[{i}]") for i in range(n)])
    body = "\n    ".join([*code.lines, *(f"re[{k}] = {r}; im[{k}] = {i};" for k, (r, i) in enumerate(found))])
    head = (
        f"template <> struct Dft<{n}> {{\n  static __device__ __forceinline__ void run(float* re, float* im) {{\n    "
    )
    return f"{head}{body}\n  }}\n}};\n"


@functools.cache
def operations(n: int) -> int:
    """Return the number of additions and multiplications of a transform of `n` points in the CUDA kernel.

    >>> operations(2), operations(4), operations(16)
    (4, 16, 160)
    """
    code = CudaCode()
    transform(code, [(f"r{i}", f"i{i}") for i in range(n)])
    return len(code.lines)


def transform(code: CudaCode, x: list[Complex]) -> list[Complex]:
    """Write a complex Fourier transform of the CUDA kernel: of coprime parts without turns, else by turns between."""
    n = len(x)
    if n == 1:
        return x
    if n in _SMALL:
        return small(code, x)
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
        turned = [_turned(code, row[p], j * p, n) for j, row in enumerate(rows)]
        out[p::a] = transform(code, turned)
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


def _turned(code: CudaCode, value: Complex, power: int, n: int) -> Complex:
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
    cos, sin = code.constant(c), code.constant(s)
    out_real = code.multiply_add(code.negate(imaginary), sin, code.multiply(real, cos))
    return out_real, code.multiply_add(real, sin, code.multiply(imaginary, cos))
