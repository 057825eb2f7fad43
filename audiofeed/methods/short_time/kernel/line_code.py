"""Code of passes over lines of features: their moments, peaks, and steps of values, as `lines` and the kernel write it.

A line is one bin of one clip, as far as its own frames reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

# what a pass does with each value, and how many numbers of its line it takes
STEPS = {"least": 1, "affine": 2, "scale": 2}
# Vectors that are summed in float32, before their sum is added in float64: that is right to 1e-7.
SUMMED_AT_ONCE = 32
# Sums that grow side by side, so that none waits for its last addition
SIDE_BY_SIDE = 4


def declared(code: Code) -> str:
    """Return the text of a kernel whose code passes over lines, with what those parts of it call."""
    doubles = f"<{code.lanes} x double>"
    more = [
        f"declare double @llvm.vector.reduce.fadd.v{code.lanes}f64(double, {doubles})",
        "declare double @llvm.sqrt.f64(double)",
        "declare double @llvm.maxnum.f64(double, double)",
        "declare double @llvm.maximum.f64(double, double)",
    ]
    return "\n".join([*more, code.text("kernel", "ptr %job")])


def _whole(code: Code, count: Name) -> Name:
    """Write the part of a pass over a line that finds how many values whole vectors hold."""
    return code.let(f"and i64 {count}, {-code.lanes}")


def _load_part(code: Code, at: Name, mask: Name, other: Name) -> Name:
    v, n = code.vector, code.lanes
    return code.let(f"call {v} @llvm.masked.load.v{n}f32.p0(ptr {at}, i32 4, <{n} x i1> {mask}, {v} {other})")


def write_steps(code: Code, steps: tuple[str, ...], line: Name, count: Name, numbers: list[Name]) -> None:
    """Write the pass over a line in memory that writes each value anew; each number stands in every lane."""

    def through(value: Name) -> Name:
        own = iter(numbers)
        for step in steps:
            if step == "least":
                value = code.maximum(value, next(own))
            elif step == "affine":
                value = code.let(f"fdiv {code.vector} {code.add(value, next(own))}, {next(own)}")
            else:
                value = code.multiply(code.subtract(value, next(own)), next(own))
        return value

    _write_anew(code, line, count, through)


def _write_anew(
    code: Code, line: Name, count: Name, through: Callable[[Name], Name], target: Name | None = None
) -> None:
    """Write the part of a pass over a line in memory that writes a function of each value in its place, or another."""
    whole, n, target = _whole(code, count), code.lanes, line if target is None else target
    with code.loop(0, whole, n) as i:
        value = through(code.load_floats(code.at(line, i.index, "float")))
        code.store_floats(value, code.at(target, i.index, "float"))
    with code.loop(whole, count, n) as i:
        mask = code.lanes_below(code.minus(count, i.index))
        value = through(_load_part(code, code.at(line, i.index, "float"), mask, "zeroinitializer"))
        put_part(code, value, code.at(target, i.index, "float"), mask)


def write_correlated(code: Code, line: Name, target: Name, count: Name, weights: Sequence[float]) -> None:
    """Write the pass over a line in memory that writes its correlation with a short filter to a target.

    The line has as many values more than `count` as there are weights but one. A weight of 0 takes no step.
    """
    taps = [(offset, code.constant(weight)) for offset, weight in enumerate(weights) if weight]

    def correlated(load: Callable[[Int], Name]) -> Name:
        (first, weight), *others = taps
        found = code.multiply(load(first), weight)
        for offset, weight in others:
            found = code.multiply_add(load(offset), weight, found)
        return found

    whole, n = _whole(code, count), code.lanes
    with code.loop(0, whole, n) as i:
        begin = code.at(line, i.index, "float")
        value = correlated(lambda offset: code.load_floats(code.at(begin, offset, "float")))
        code.store_floats(value, code.at(target, i.index, "float"))
    with code.loop(whole, count, n) as i:
        begin, mask = code.at(line, i.index, "float"), code.lanes_below(code.minus(count, i.index))
        value = correlated(lambda offset: _load_part(code, code.at(begin, offset, "float"), mask, "zeroinitializer"))
        put_part(code, value, code.at(target, i.index, "float"), mask)


def write_clear(code: Code, out: Name, first: Name, count: Name, field: dict[str, Name], n_lines: Int | None) -> None:
    """Write the part of a kernel's source that clears a row past its frames, after the tile that has the last of them.

    Args:
        out: the result of the tile.
        first, count: number of its first frame, and the frames of its row.
        field: the fields of the job.
        n_lines: lines of a row, which reach `stride` floats from each other; None: its frames do.
    """
    stride = field["stride"]
    is_last = code.let(f"icmp sge i64 {code.plus(first, code.lanes)}, {count}")
    ends_before = code.let(f"icmp slt i64 {count}, {field['clear_to']}")
    clears = code.let(f"zext i1 {code.let(f'and i1 {is_last}, {ends_before}')} to i64")
    past, left = code.minus(count, first), code.minus(field["clear_to"], count)
    if n_lines is None:
        past, left, n_lines = code.times(past, stride), code.times(left, stride), 1
    with code.loop(0, code.times(clears, n_lines)) as m:
        line = code.at(out, code.plus(past, code.times(m.index, stride)), "float")
        with code.loop(0, left, code.lanes) as i:
            mask = code.lanes_below(code.minus(left, i.index))
            put_part(code, "zeroinitializer", code.at(line, i.index, "float"), mask)


def put_part(code: Code, value: Name, at: Name, mask: Name) -> None:
    """Write the part of a kernel's source that stores the lanes of a value that a mask names, unaligned."""
    n = code.lanes
    code.put(f"call void @llvm.masked.store.v{n}f32.p0({code.vector} {value}, ptr {at}, i32 4, <{n} x i1> {mask})")


def write_peak(code: Code, line: Name, count: Name, found: Name) -> None:
    """Write the pass over a line in memory that finds its largest value."""
    whole, least = _whole(code, count), code.constant(-np.inf)
    with code.loop(0, whole, code.lanes) as i:
        best = i.carry(least)
        i.keep(code.maximum(best, code.load_floats(code.at(line, i.index, "float"))))
    with code.loop(whole, count, code.lanes) as i:
        last = i.carry(best)
        mask = code.lanes_below(code.minus(count, i.index))
        i.keep(code.maximum(last, _load_part(code, code.at(line, i.index, "float"), mask, least)))
    one = code.let(f"call float @llvm.vector.reduce.fmaximum.v{code.lanes}f32({code.vector} {last})")
    code.put(f"store double {code.let(f'fpext float {one} to double')}, ptr {found}, align 8")


def write_standardized(
    code: Code, line: Name, count: Name, total: Name, eps: Name, unbiased: bool, eps_to: str
) -> None:
    """Write the pass over a line in memory that normalizes it by its own mean and standard deviation."""
    mean, squares, center, n_values = moments(code, line, count, total)
    by = scale(code, mean, squares, n_values, eps, unbiased, eps_to)
    _write_anew(code, line, count, lambda value: code.multiply(code.subtract(value, center), by))


def write_centered(code: Code, line: Name, target: Name, count: Name, total: Name, floor: Name | None) -> None:
    """Write the pass over a line in memory that writes it to a target less its mean, and with a floor normalized."""
    if floor is None:
        _, center, _ = _mean(code, line, count, total)
        _write_anew(code, line, count, lambda value: code.subtract(value, center), target)
        return
    _, squares, center, n_values = moments(code, line, count, total)
    variance = code.let(f"fdiv double {squares}, {n_values}")
    least = code.let(f"bitcast i64 {floor} to double")
    # the comparison leaves NaN what it is
    small = code.let(f"fcmp olt double {variance}, {least}")
    root = code.let(
        f"call double @llvm.sqrt.f64(double {code.let(f'select i1 {small}, double {least}, double {variance}')})"
    )
    by = code.in_every_lane(code.let(f"fptrunc double {code.let(f'fdiv double 1.0, {root}')} to float"))
    _write_anew(code, line, count, lambda value: code.multiply(code.subtract(value, center), by), target)


def scale(code: Code, mean: Name, squares: Name, count: Name, eps: Name, unbiased: bool, eps_to: str) -> Name:
    """Write the part of a pass over lines that finds what normalizes a standard deviation: see `Spread.scale`.

    All are float64, and `count` how many values they are the moments of; in every lane the result stands.
    """

    def of(line: str) -> Name:
        return code.let(line)

    divisor = count
    if unbiased:
        less = of(f"fsub double {count}, 1.0")
        divisor = of(f"call double @llvm.maxnum.f64(double {less}, double 1.0)")
    variance = of(f"fdiv double {squares}, {divisor}")
    least = np.finfo(np.float32)
    rounding = of(f"fmul double {mean}, {code.double(4 * float(least.eps))}")
    still = of(f"fcmp ole double {variance}, {of(f'fmul double {rounding}, {rounding}')}")
    # the comparison leaves NaN what it is
    small = of(f"fcmp olt double {variance}, {code.double(float(least.tiny))}")
    variance = of(f"select i1 {small}, double {code.double(float(least.tiny))}, double {variance}")
    added = of(f"bitcast i64 {eps} to double")
    if eps_to == "variance":
        root = of(f"call double @llvm.sqrt.f64(double {of(f'fadd double {variance}, {added}')})")
    else:
        root = of(f"fadd double {of(f'call double @llvm.sqrt.f64(double {variance})')}, {added}")
    found = of(f"select i1 {still}, double 0.0, double {of(f'fdiv double 1.0, {root}')}")
    return code.in_every_lane(of(f"fptrunc double {found} to float"))


def write_moments(code: Code, line: Name, count: Name, found: Name, total: Name) -> None:
    """Write the pass over a line in memory that finds its mean, and the sum of squares of its values less that."""
    mean, squares, _, _ = moments(code, line, count, total)
    code.put(f"store double {mean}, ptr {found}, align 8")
    code.put(f"store double {squares}, ptr {code.at(found, 1, 'double')}, align 8")


def moments(code: Code, line: Name, count: Name, total: Name) -> tuple[Name, Name, Name, Name]:
    """Write the part of a pass that finds the moments of a line in memory.

    Returns the mean and the sum of squares of the values less that, the mean in every lane, and the number of values.
    """
    mean, center, n_values = _mean(code, line, count, total)

    def square(value: Name, part: Name) -> Name:
        centered = code.subtract(value, center)
        return code.multiply_add(centered, centered, part)

    squares = _sum(code, line, count, total, square, other=center)
    # of values less the rounded mean, which is off by d: n d^2 less
    rounded = code.let(f"extractelement {code.vector} {center}, i64 0")
    off = code.let(f"fsub double {mean}, {code.let(f'fpext float {rounded} to double')}")
    less = code.let(f"fmul double {n_values}, {code.let(f'fmul double {off}, {off}')}")
    return mean, code.let(f"fsub double {squares}, {less}"), center, n_values


def _mean(code: Code, line: Name, count: Name, total: Name) -> tuple[Name, Name, Name]:
    """Write the part of a pass that finds the mean of a line in memory, rounded in every lane too, and the count."""
    n_values = code.let(f"sitofp i64 {count} to double")
    whole = _sum(code, line, count, total, lambda value, part: code.add(part, value))
    mean = code.let(f"fdiv double {whole}, {n_values}")
    return mean, code.in_every_lane(code.let(f"fptrunc double {mean} to float")), n_values


def _sum(
    code: Code,
    line: Name,
    count: Name,
    total: Name,
    add: Callable[[Name, Name], Name],
    *,
    other: Name = "zeroinitializer",
) -> Name:
    """Write the part of a pass that sums over a line in memory: in float32 over few vectors, of these in float64.

    Args:
        total: memory for a vector of float64.
        add: from a vector of values and the sum so far to the next sum.
        other: what stands for values past the line's end, of which nothing is added.
    """
    doubles, n = f"<{code.lanes} x double>", code.lanes
    code.put(f"store {doubles} zeroinitializer, ptr {total}, align {8 * n}")

    def put_to_total(part: Name) -> None:
        so_far = code.let(f"load {doubles}, ptr {total}, align {8 * n}")
        wide = code.let(f"fpext {code.vector} {part} to {doubles}")
        code.put(f"store {doubles} {code.let(f'fadd {doubles} {so_far}, {wide}')}, ptr {total}, align {8 * n}")

    whole = code.let(f"and i64 {count}, {-SIDE_BY_SIDE * n}")
    with code.loop(0, whole, SUMMED_AT_ONCE * n) as chunk:
        stop = code.min(code.plus(chunk.index, SUMMED_AT_ONCE * n), whole)
        with code.loop(chunk.index, stop, SIDE_BY_SIDE * n) as i:
            parts = [i.carry("zeroinitializer") for _ in range(SIDE_BY_SIDE)]
            for number, part in enumerate(parts):
                i.keep(add(code.load_floats(code.at(line, code.plus(i.index, number * n), "float")), part))
        while len(parts) > 1:
            parts = [code.add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        put_to_total(parts[0])
    with code.loop(whole, count, n) as i:
        mask = code.lanes_below(code.minus(count, i.index))
        put_to_total(add(_load_part(code, code.at(line, i.index, "float"), mask, other), "zeroinitializer"))
    so_far = code.let(f"load {doubles}, ptr {total}, align {8 * n}")
    return code.let(f"call double @llvm.vector.reduce.fadd.v{n}f64(double 0.0, {doubles} {so_far})")
