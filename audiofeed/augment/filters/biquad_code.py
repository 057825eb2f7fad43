"""LLVM code of an augmentation's filters of two poles: one sample after another, in float64.

The states before a block are read from memory, which a block's steps would otherwise wait for at each sample.
"""

from __future__ import annotations

from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

# the bits of float64: s' = A s + b x, y = c s + d x
NUMBERS = ("a11", "a12", "a21", "a22", "b1", "b2", "c1", "c2", "d")
_BLOCK = 16
# States below it are silence: further down, float64 would lose digits and the processor time.
_SILENCE = 1e-200


def write_biquad() -> str:
    """Write the kernel that filters an augmentation's rows, each channel from rest."""
    code = RowCode(4, (), NUMBERS)
    states = code.let("alloca double, i64 2, align 16")
    value = {name: code.let(f"bitcast i64 {code.number[name]} to double") for name in NUMBERS}
    places = [code.at(states, i, "double") for i in (0, 1)]

    def fused(a: Name, b: Name, c: Name) -> Name:
        return code.let(f"call double @llvm.fmuladd.f64(double {a}, double {b}, double {c})")

    def product(a: Name, b: Name) -> Name:
        return code.let(f"fmul double {a}, {b}")

    def steps(source: Name, result: Name, first: Int, count: int) -> None:
        one, two = (code.let(f"load double, ptr {place}, align 8") for place in places)
        for i in range(count):
            index = code.plus(first, i)
            sample = code.let(f"load float, ptr {code.at(source, index, 'float')}, align 4")
            x = code.let(f"fpext float {sample} to double")
            y = fused(value["c1"], one, fused(value["c2"], two, product(value["d"], x)))
            y = code.let(f"fptrunc double {y} to float")
            code.put(f"store float {y}, ptr {code.at(result, index, 'float')}, align 4")
            one, two = (
                fused(value["a11"], one, fused(value["a12"], two, product(value["b1"], x))),
                fused(value["a21"], one, fused(value["a22"], two, product(value["b2"], x))),
            )
        for state, place in zip((one, two), places, strict=True):
            size = code.let(f"call double @llvm.fabs.f64(double {state})")
            silent = code.let(f"fcmp olt double {size}, {code.double(_SILENCE)}")
            kept = code.let(f"select i1 {silent}, double {code.double(0.0)}, double {state}") if count > 1 else state
            code.put(f"store double {kept}, ptr {place}, align 8")

    time = code.number["time"]
    whole = code.let(f"and i64 {time}, {-_BLOCK}")
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))
        for place in places:
            code.put(f"store double {code.double(0.0)}, ptr {place}, align 8")
        with code.loop(0, whole, _BLOCK) as block:
            steps(source, result, block.index, _BLOCK)
        with code.loop(whole, time) as sample:
            steps(source, result, sample.index, 1)
        code.clear_end(result)
    declared = ("double @llvm.fmuladd.f64(double, double, double)", "double @llvm.fabs.f64(double)")
    return "\n".join([*(f"declare {each}" for each in declared), code.whole()])
