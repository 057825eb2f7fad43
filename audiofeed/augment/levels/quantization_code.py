"""LLVM code of an augmentation's quantization: samples rounded to equal steps, or to those of a telephone line."""

from __future__ import annotations

import math
from collections.abc import Callable

from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name
from audiofeed.methods.short_time.kernel.logarithm import logarithm

# of G.711
MU = 255.0
NUMBERS = (
    "steps",  # the bits of a float32: steps from 0 to full scale
    "table",  # address of what each step of the companded scale expands to, float32; 0 for equal steps
)


def write_quantization(lanes: int, companded: bool) -> str:
    """Write the kernel that rounds an augmentation's samples to steps.

    Args:
        lanes: Floats of a vector.
        companded: Whether the steps are equal on the mu-law scale, else on the samples' own.
    """
    code = RowCode(lanes, (), NUMBERS)
    v, n = code.vector, lanes
    steps = code.broadcast_bits(code.number["steps"])
    last = code.subtract(steps, code.constant(1.0))
    quantized = _companded(code, last) if companded else _linear(code, steps, last)
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))

        def rounded(i: Int, mask: Name | None) -> None:
            x = code.get_floats(code.at(source, i, "float"), mask)
            code.put_floats(quantized(x), code.at(result, i, "float"), mask)

        code.over(code.number["time"], rounded)
        code.clear_end(result)
    declared = [
        f"declare {v} @llvm.rint.v{n}f32({v})",
        f"declare {v} @llvm.fabs.v{n}f32({v})",
        f"declare {v} @llvm.copysign.v{n}f32({v}, {v})",
        f"declare {v} @llvm.minimum.v{n}f32({v}, {v})",
        f"declare {v} @llvm.masked.gather.v{n}f32.v{n}p0(<{n} x ptr>, i32, <{n} x i1>, {v})",
    ]
    return "\n".join([*declared, code.whole()])


def _called(code: RowCode, name: str, *values: Name) -> Name:
    """Write a call of one of LLVM's functions on vectors of an augmentation's kernel."""
    given = ", ".join(f"{code.vector} {value}" for value in values)
    return code.let(f"call {code.vector} @llvm.{name}.v{code.lanes}f32({given})")


def _linear(code: RowCode, steps: Name, last: Name) -> Callable[[Name], Name]:
    """Return what rounds an augmentation's samples to multiples of 1 / steps, within -1 and the last step."""
    lowest = code.negate(steps)
    # steps are a power of two
    width = code.let(f"fdiv {code.vector} {code.constant(1.0)}, {steps}")

    def quantized(x: Name) -> Name:
        found = _called(code, "rint", code.multiply(x, steps))
        return code.multiply(_called(code, "minimum", code.maximum(found, lowest), last), width)

    return quantized


def _companded(code: RowCode, last: Name) -> Callable[[Name], Name]:
    """Return what rounds an augmentation's samples to steps of equal size on the mu-law scale."""
    v, n = code.vector, code.lanes
    integers = f"<{n} x i32>"
    one, zero = code.constant(1.0), code.constant(0.0)
    table = code.pointer("table")
    everywhere = "<" + ", ".join(["i1 true"] * n) + ">"

    def quantized(x: Name) -> Name:
        size = _called(code, "minimum", _called(code, "fabs", x), one)
        scaled = code.multiply(size, code.constant(MU))
        share = logarithm(code, scaled, 0.5, 1 / math.log1p(MU), plus=True)
        step = _called(code, "rint", code.multiply(share, last))
        # NaN has no step, and comes out as NaN
        is_step = code.let(f"fcmp oge {v} {step}, {zero}")
        at = code.let(f"fptosi {v} {code.select(is_step, step, zero)} to {integers}")
        places = code.let(f"getelementptr float, ptr {table}, {integers} {at}")
        call = f"@llvm.masked.gather.v{n}f32.v{n}p0(<{n} x ptr> {places}, i32 4, <{n} x i1> {everywhere}, {v} {zero})"
        value = code.let(f"call {v} {call}")
        return code.select(is_step, _called(code, "copysign", value, x), x)

    return quantized
