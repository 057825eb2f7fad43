"""LLVM code of an augmentation's normal numbers: Box and Muller's transform of a hash, what `contract/noise.py` says.

What comes before the roundings is exact: the argument of the logarithm is an integer over 2^25, and the angle one over
2^24 of a turn, of which the nearest quarter is taken off as an integer. All lanes do the same, and so does the end of a
row, so that a number has the same bits wherever it stands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from audiofeed.augment.kernels.hash_code import INCREMENT, hashed, signed
from audiofeed.augment.kernels.row_code import SpanCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name
from audiofeed.methods.short_time.kernel.logarithm import LN2_HIGH, LN2_LOW, LOW, log_of_mantissa

JOB = (
    "next_piece",  # the first piece that no thread has taken
    "n_pieces",
    "pieces_of_each",  # of each row
    "size",  # numbers of a piece
    "seeds",
    "n",
    "first",
    "cosines",  # address of the numbers that are made with the angle's cosine
    "sines",
)
# coefficients of each polynomial, in the square of the angle; the next would change less than 1e-9
_TERMS = 4


@functools.cache
def turn_coefficients() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the polynomials of an augmentation's angles, by Chebyshev interpolation up to an eighth of a turn.

    They are c and s of cos(2 pi t) = 1 + t^2 (c[0] + c[1] t^2 + ...) and sin(2 pi t) = t (s[0] + s[1] t^2 + ...).

    >>> cosine, sine = turn_coefficients()
    >>> abs(sine[0] / (2 * np.pi) - 1) < 1e-6
    True
    """

    def cosine(square: np.ndarray) -> np.ndarray:
        # 1 - cos(a) = 2 sin(a / 2)^2, which does not cancel
        t = np.sqrt(square)
        return -2 * np.pi**2 * np.sinc(t) ** 2

    def sine(square: np.ndarray) -> np.ndarray:
        return 2 * np.pi * np.sinc(2 * np.sqrt(square))

    fitted = (np.polynomial.Chebyshev.interpolate(f, _TERMS - 1, domain=[0, 1 / 64]) for f in (cosine, sine))
    cosines, sines = (tuple(float(c) for c in f.convert(kind=np.polynomial.Polynomial).coef) for f in fitted)
    return cosines, sines


def first_states(code: SpanCode, seed: Name, place: Int) -> Name:
    """Write what the hash of an augmentation's noise begins with in every lane: the seed, counted on from a place.

    Args:
        code: Of a kernel.
        seed: A 64-bit integer.
        place: Of the first lane; the others' follow it.
    """
    kind = f"<{code.lanes} x i64>"
    steps = "<" + ", ".join(f"i64 {signed(i * INCREMENT % 2**64)}" for i in range(code.lanes)) + ">"
    start = code.plus(seed, code.times(code.plus(place, 1), signed(INCREMENT)))
    one = code.let(f"insertelement {kind} poison, i64 {start}, i64 0")
    each = code.let(f"shufflevector {kind} {one}, {kind} poison, <{code.lanes} x i32> zeroinitializer")
    return code.let(f"add {kind} {each}, {steps}")


def normal_numbers(code: SpanCode, seed: Name, place: Int) -> tuple[Callable[[], Name], Callable[[], Name]]:
    """Write an augmentation's normal numbers, a vector of the hashes of consecutive places.

    Args:
        code: Of a kernel.
        seed: A 64-bit integer.
        place: Of the first lane; the others' follow it.

    Returns:
        Two functions that write the number with the angle's cosine, and the one with its sine.
    """
    v, w, wide = code.vector, code.int_vector, f"<{code.lanes} x i64>"

    def constant(value: int, kind: str = "i32") -> Name:
        return "<" + ", ".join([f"{kind} {value}"] * code.lanes) + ">"

    def floats(integers: Name) -> Name:
        return code.let(f"sitofp {w} {integers} to {v}")

    def polynomial(x: Name, coefficients: tuple[float, ...]) -> Name:
        *lower, highest = coefficients
        total = code.constant(highest)
        for c in reversed(lower):
            total = code.multiply_add(total, x, code.constant(c))
        return total

    drawn = hashed(code, first_states(code, seed, place), wide)
    shift = constant(39, "i64")
    upper = code.let(f"trunc {wide} {code.let(f'lshr {wide} {drawn}, {shift}')} to {w}")
    lower = code.let(f"trunc {wide} {drawn} to {w}")

    # u + 1/2 of the 24 upper bits u, twice: odd, and below 2^25. A float would round the larger half.
    odd = code.let(f"or {w} {code.let(f'and {w} {upper}, {constant(2**25 - 2)}')}, {constant(1)}")
    bits = code.let(f"bitcast {v} {floats(odd)} to {w}")
    start = int(np.float32(LOW).view(np.int32))
    exponent = code.let(f"ashr {w} {code.let(f'sub {w} {bits}, {constant(start)}')}, {constant(23)}")
    power = code.let(f"shl {w} {constant(1)}, {exponent}")
    beyond = floats(code.let(f"sub {w} {odd}, {power}"))
    scale = code.let(f"sub {w} {constant(127)}, {exponent}")
    scale = code.let(f"bitcast {w} {code.let(f'shl {w} {scale}, {constant(23)}')} to {v}")
    e = floats(code.let(f"sub {w} {exponent}, {constant(25)}"))
    x, small = log_of_mantissa(code, code.multiply(beyond, scale), code.multiply(e, code.constant(LN2_LOW)))
    logarithm = code.multiply_add(e, code.constant(LN2_HIGH), code.add(x, small))
    radius = code.root(code.multiply(logarithm, code.constant(-2.0)))

    angle = code.let(f"and {w} {lower}, {constant(2**24 - 1)}")
    quarter = code.let(f"lshr {w} {code.let(f'add {w} {angle}, {constant(2**21)}')}, {constant(22)}")
    rest = code.let(f"sub {w} {angle}, {code.let(f'shl {w} {quarter}, {constant(22)}')}")
    turn = code.multiply(floats(rest), code.constant(2.0**-24))
    square = code.multiply(turn, turn)
    cosines, sines = turn_coefficients()
    cosine = code.multiply_add(square, polynomial(square, cosines), code.constant(1.0))
    sine = code.multiply(turn, polynomial(square, sines))
    odd_quarter = code.let(f"trunc {w} {quarter} to <{code.lanes} x i1>")

    def signed_by(value: Name, quarters: Name) -> Name:
        """Turn the sign where the second bit of an integer is set."""
        sign = code.let(f"shl {w} {code.let(f'and {w} {quarters}, {constant(2)}')}, {constant(30)}")
        turned = code.let(f"xor {w} {code.let(f'bitcast {v} {value} to {w}')}, {sign}")
        return code.multiply(radius, code.let(f"bitcast {w} {turned} to {v}"))

    def with_cosine() -> Name:
        quarters = code.let(f"add {w} {quarter}, {constant(1)}")
        return signed_by(code.select(odd_quarter, sine, cosine), quarters)

    def with_sine() -> Name:
        return signed_by(code.select(odd_quarter, cosine, sine), quarter)

    return with_cosine, with_sine


def write_normal(lanes: int, pairs: bool) -> str:
    """Write the kernel in which threads take pieces of an augmentation's rows and fill them with normal numbers.

    Args:
        lanes: Floats of a vector.
        pairs: Whether the numbers with the angle's sine are written, too.
    """
    code = SpanCode(lanes)
    field = {name: code.load_i64("%job", i) for i, name in enumerate(JOB) if i}
    seeds, cosines, sines = (code.as_pointer(field[name]) for name in ("seeds", "cosines", "sines"))
    with code.loop(0, field["n_pieces"]):
        number = code.let("atomicrmw add ptr %job, i64 1 seq_cst")
        # a thread that finds nothing left goes through the rest at no cost
        with code.loop(number, code.min(code.plus(number, 1), field["n_pieces"])) as piece:
            row = code.let(f"udiv i64 {piece.index}, {field['pieces_of_each']}")
            within = code.let(f"urem i64 {piece.index}, {field['pieces_of_each']}")
            begin = code.times(within, field["size"])
            count = code.min(field["size"], code.minus(field["n"], begin))
            seed = code.load_i64(seeds, row)
            place = code.plus(field["first"], begin)
            offset = code.plus(code.times(row, field["n"]), begin)
            targets = [code.at(out, offset, "float") for out in ((cosines, sines) if pairs else (cosines,))]

            def fill(i: Int, mask: Name | None) -> None:
                for value, out in zip(normal_numbers(code, seed, code.plus(place, i)), targets, strict=False):
                    code.put_floats(value(), code.at(out, i, "float"), mask)

            code.over(count, fill)
    return code.text("kernel", "ptr %job")
