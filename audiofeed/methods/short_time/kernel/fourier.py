"""The real FFT of one frame in each lane, after Stockham's sorted passes of radix 8, 5, 4, 3 and 2.

A real frame of n samples is a complex one of n / 2, of which the real spectrum is untangled; nothing of another frame
enters its rounding, as it would where two frames share one complex transform.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

Complex = tuple[Name, Name]
RADICES = (8, 5, 3, 7, 11, 13, 4, 2)


class Arithmetic(Protocol):
    """What a small Fourier transform is written with: LLVM code of a CPU's kernel, or CUDA code of a GPU's."""

    def constant(self, value: float | Name) -> Name: ...
    def add(self, a: Name, b: Name) -> Name: ...
    def subtract(self, a: Name, b: Name) -> Name: ...
    def multiply(self, a: Name, b: Name) -> Name: ...
    def multiply_add(self, a: Name, b: Name, c: Name) -> Name: ...
    def negate(self, a: Name) -> Name: ...


def radices(size: int) -> list[int] | None:
    """Return the radices of the passes in a kernel's Fourier transform; None if a prime factor is above 13.

    The transform is one of `size` points.

    >>> radices(200), radices(1024), radices(17)
    ([8, 5, 5], [8, 8, 4, 4], None)
    """
    found = []
    for radix in RADICES:
        while size % radix == 0:
            found.append(radix)
            size //= radix
    if {8, 2} <= set(found):  # two passes of 4 are less work than one of 8 and one of 2
        found.remove(8)
        found = [*found[:-1], 4, 4]
    return found if size == 1 else None


def roots(period: int, powers: np.ndarray) -> np.ndarray:
    """Return the roots of unity of a kernel's Fourier transform, in float32.

    They are exp(-2 pi i power / period), real and imaginary parts in turn.

    Shape: (n,) -> (2 n,).
    """
    angle = -2 * np.pi * (np.asarray(powers) % period) / period
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32).reshape(-1)


def gain(size: int) -> float:
    """Return by how much a kernel's Fourier transform amplifies on average: less than 1, as its roots are rounded.

    It is the mean part of each root of unity that its rounded value holds, over the passes of the transform.

    >>> 1 - 1e-7 < gain(1024) < 1
    True
    """
    found, left = 1.0, size
    for radix in radices(size) or ():
        groups = left // radix
        powers = np.outer(np.arange(groups), np.arange(radix)).reshape(-1)
        angle = 2 * np.pi * powers / left
        real, imaginary = roots(left, powers).astype(np.float64).reshape(-1, 2).T
        found *= np.mean(real * np.cos(angle) - imaginary * np.sin(angle))
        if radix == 8:  # which weighs a quarter of all by it
            found *= 0.75 + 0.25 * np.float64(np.float32(math.sqrt(0.5))) / math.sqrt(0.5)
        left = groups
    return float(found)


def transform(code: Code, size: int, source: Name, target: Name, twiddles: Name) -> tuple[Name, Name, np.ndarray]:
    """Write the complex Fourier transform of a kernel, of `size` vectors, pass by pass.

    The vectors lie in `source`, real and imaginary parts in turn.

    Returns:
        The pointer to the result, the pointer to free memory, and the floats that `twiddles` must point to.
    """
    passes = radices(size)
    if passes is None:
        raise ValueError(f"size={size} must be a product of {RADICES}; use methods.fft")
    tables: list[np.ndarray] = []
    at = 0
    left, stride = size, 1
    for radix in passes:
        groups = left // radix
        if groups == 1:  # all turns are 1
            with code.loop(0, stride) as q:
                _butterfly(code, radix, source, target, 0, q.index, groups, stride, None)
        else:
            with code.loop(0, groups) as p:
                first = code.plus(at, code.times(p.index, 2 * (radix - 1)))
                turns = [_broadcast_complex(code, twiddles, code.plus(first, 2 * k)) for k in range(radix - 1)]
                if stride == 1:
                    _butterfly(code, radix, source, target, p.index, 0, groups, stride, turns)
                else:
                    with code.loop(0, stride) as q:
                        _butterfly(code, radix, source, target, p.index, q.index, groups, stride, turns)
            tables.append(roots(left, np.outer(np.arange(groups), np.arange(1, radix)).reshape(-1)))
            at += 2 * groups * (radix - 1)
        source, target = target, source
        left, stride = groups, stride * radix
    return source, target, np.concatenate([*tables, np.zeros(1, np.float32)])


def untangled(code: Code, n_fft: int, source: Name, turns: Name, k: Int) -> tuple[Complex, Complex]:
    """Untangle the bins k and n_fft / 2 - k of a kernel's real Fourier transform, twice as large.

    They come from the transform of n_fft / 2 pairs of real samples.
    """
    half = n_fft // 2
    (ar, ai), (br, bi) = _load(code, source, k), _load(code, source, code.minus(half, k))
    even = code.add(ar, br), code.subtract(ai, bi)
    odd = code.add(ai, bi), code.subtract(br, ar)
    turned = turn(code, odd, _broadcast_complex(code, turns, code.times(2, k)))
    (er, ei), (tr, ti) = even, turned
    return (code.add(er, tr), code.add(ei, ti)), (code.subtract(er, tr), code.subtract(ti, ei))


def ends(code: Code, source: Name) -> tuple[Name, Name]:
    """Return the real bins 0 and n_fft / 2 of a kernel's Fourier transform, twice as large."""
    real, imaginary = _load(code, source, 0)
    two = code.constant(2.0)
    return code.multiply(two, code.add(real, imaginary)), code.multiply(two, code.subtract(real, imaginary))


def _load(code: Code, pointer: Name, index: Int) -> Complex:
    at = code.times(2, index)
    return code.load_vector(pointer, at), code.load_vector(pointer, code.plus(at, 1))


def _broadcast_complex(code: Code, pointer: Name, at: Int) -> Complex:
    return code.broadcast_float(pointer, at), code.broadcast_float(pointer, code.plus(at, 1))


def turn(code: Arithmetic, value: Complex, by: Complex) -> Complex:
    """Write the product of two complex numbers of a kernel's Fourier transform."""
    (a, b), (c, d) = value, by
    real = code.multiply_add(code.negate(b), d, code.multiply(a, c))
    return real, code.multiply_add(a, d, code.multiply(b, c))


def _butterfly(
    code: Code,
    radix: int,
    source: Name,
    target: Name,
    p: Int,
    q: Int,
    groups: int,
    stride: int,
    turns: list[Complex] | None,
) -> None:
    """Write a butterfly of a kernel's Fourier transform: one pass over the points p, p + groups, and so on.

    The results are stored for the next pass.
    """
    points = [_load(code, source, code.plus(q, code.times(stride, code.plus(p, groups * j)))) for j in range(radix)]
    for k, value in enumerate(small(code, points)):
        turned = value if turns is None or k == 0 else turn(code, value, turns[k - 1])
        at = code.times(2, code.plus(q, code.times(stride, code.plus(code.times(radix, p), k))))
        code.store_vector(turned[0], target, at)
        code.store_vector(turned[1], target, code.plus(at, 1))


def _add(code: Arithmetic, a: Complex, b: Complex) -> Complex:
    return code.add(a[0], b[0]), code.add(a[1], b[1])


def _subtract(code: Arithmetic, a: Complex, b: Complex) -> Complex:
    return code.subtract(a[0], b[0]), code.subtract(a[1], b[1])


def _around(code: Arithmetic, a: Complex, b: Complex) -> tuple[Complex, Complex]:
    """Return a - i b and a + i b for a butterfly of a kernel's Fourier transform."""
    minus = code.add(a[0], b[1]), code.subtract(a[1], b[0])
    return minus, (code.subtract(a[0], b[1]), code.add(a[1], b[0]))


def small(code: Arithmetic, x: list[Complex]) -> list[Complex]:
    """Write a kernel's Fourier transform of 2, 4, 8, 16 or an odd number of points, without loops, for a CPU or GPU."""
    radix = len(x)
    if radix == 2:
        return [_add(code, *x), _subtract(code, *x)]
    if radix == 4:
        s, d = _add(code, x[0], x[2]), _subtract(code, x[0], x[2])
        t, e = _add(code, x[1], x[3]), _subtract(code, x[1], x[3])
        minus, plus = _around(code, d, e)
        return [_add(code, s, t), minus, _subtract(code, s, t), plus]
    if radix == 8:
        return _eight(code, small(code, x[0::2]), small(code, x[1::2]))
    if radix == 16:
        return _sixteen(code, x)
    return _odd(code, x)


def _eight(code: Arithmetic, even: list[Complex], odd: list[Complex]) -> list[Complex]:
    half = code.constant(math.sqrt(0.5))
    real, imaginary = odd[1]
    first = code.multiply(code.add(real, imaginary), half), code.multiply(code.subtract(imaginary, real), half)
    real, imaginary = odd[3]
    third = (
        code.multiply(code.subtract(imaginary, real), half),
        code.negate(code.multiply(code.add(real, imaginary), half)),
    )
    second = _around(code, even[2], odd[2])
    turned = {0: odd[0], 1: first, 3: third}
    low = [second[0] if k == 2 else _add(code, even[k], turned[k]) for k in range(4)]
    high = [second[1] if k == 2 else _subtract(code, even[k], turned[k]) for k in range(4)]
    return low + high


def _sixteen(code: Arithmetic, x: list[Complex]) -> list[Complex]:
    """Write a kernel's Fourier transform of 16 points: four of 4, turned, and four of 4 across them."""
    rows = [small(code, x[j::4]) for j in range(4)]
    out: list[Complex] = [x[0]] * 16
    for k in range(4):
        column = [rows[0][k]]
        for j in range(1, 4):
            angle = -2 * math.pi * j * k / 16
            if j * k == 0:
                column.append(rows[j][k])
            elif j * k == 4:  # -i
                column.append((rows[j][k][1], code.negate(rows[j][k][0])))
            else:
                by = code.constant(math.cos(angle)), code.constant(math.sin(angle))
                column.append(turn(code, rows[j][k], by))
        out[k::4] = small(code, column)
    return out


def _odd(code: Arithmetic, x: list[Complex]) -> list[Complex]:
    """Write a kernel's Fourier transform of an odd number of points, by sums and differences of opposite ones.

    Opposite each other lie the points j and radix - j; cosines weigh their sums, sines their differences.
    """
    radix, half = len(x), len(x) // 2
    sums = [_add(code, x[j], x[radix - j]) for j in range(1, half + 1)]
    differences = [_subtract(code, x[j], x[radix - j]) for j in range(1, half + 1)]
    total = x[0]
    for each in sums:
        total = _add(code, total, each)
    out = [total] * radix
    for k in range(1, half + 1):
        a = x[0]
        b: Complex | None = None
        for j in range(1, half + 1):
            angle = 2 * math.pi * ((j * k) % radix) / radix
            cosine, sine = code.constant(math.cos(angle)), code.constant(math.sin(angle))
            s, d = sums[j - 1], differences[j - 1]
            a = code.multiply_add(cosine, s[0], a[0]), code.multiply_add(cosine, s[1], a[1])
            if b is None:
                b = code.multiply(sine, d[0]), code.multiply(sine, d[1])
            else:
                b = code.multiply_add(sine, d[0], b[0]), code.multiply_add(sine, d[1], b[1])
        assert b is not None
        out[k], out[radix - k] = _around(code, a, b)
    return out
