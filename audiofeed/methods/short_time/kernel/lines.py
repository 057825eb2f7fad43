"""Passes over features in memory as lines of float32, by machine code: their moments, peaks, and steps of values.

A line is one bin of one clip, as far as its own frames reach. Threads take lines from a job in turn; a job is an array
of 64-bit integers, which `FIELDS` names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from audiofeed.methods.short_time.kernel import address_check, guard, jit
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

FIELDS = (
    "next_line",  # the first line that no thread has taken
    "n_lines",
    "step",  # lines that a thread takes at once
    "addresses",  # address of the address of each line
    "counts",  # address of the number of values of each line
    "numbers",  # address of the numbers of each line, float32
    "results",  # address of what is found of each line, float64
    "eps",  # bits of a float64: what is added to a divisor
)
# what a pass does with each value, and how many numbers of its line it takes
STEPS = {"least": 1, "affine": 2, "scale": 2}
# what a pass finds of each line, and how many numbers that is
FOUND = {"moments": 2, "peak": 1}
# Vectors that are summed in float32, before their sum is added in float64: that is right to 1e-7.
SUMMED_AT_ONCE = 32
# Sums that grow side by side, so that none waits for its last addition
SIDE_BY_SIDE = 4
# Values that are too few to ask another thread for: it takes longer to come
FEW_VALUES = 2**16
STEPS_OF_EACH = 8


class Lines:
    """Lines of float32 in memory, each a bin of a clip's own frames, that machine code passes over.

    Args:
        features: (clips, rows of each, bins, frames), whose frames lie together: see `lines_of`.
        lengths: (clips,) frames of each clip; None: all of them.
    """

    def __init__(self, features: torch.Tensor, lengths: torch.Tensor | None) -> None:
        self._features = features
        *shape, frames = features.shape
        self.shape = tuple(shape)
        of_clips, of_rows, of_bins = (
            np.arange(n, dtype=np.int64) * (4 * stride) for n, stride in zip(shape, features.stride()[:-1], strict=True)
        )
        places = of_clips[:, None, None] + (of_rows[:, None] + of_bins)
        self._addresses = places.reshape(-1) + features.data_ptr()
        own = np.full(shape[0], frames, np.int64) if lengths is None else lengths.numpy().astype(np.int64)
        self._counts = np.repeat(own, places[0].size)

    def moments(self) -> torch.Tensor:
        """Return the mean of each line in memory, and the sum of squares of its values less that, in float64.

        Shape: -> (clips, rows of each, bins, 2).
        """
        return self._run("moments", 0, None)

    def peaks(self) -> torch.Tensor:
        """Return the largest value of each line in memory, in float64.  Shape: -> (clips, rows of each, bins, 1)."""
        return self._run("peak", 0, None)

    def standardize(self, *, unbiased: bool, eps: float, eps_to: str) -> None:
        """Pass over lines in memory, and take each less its mean and over its standard deviation: see `Spread`."""
        self._run(("standardize", "unbiased" if unbiased else "biased", eps_to), 0, None, eps)

    def apply(self, *steps: str, numbers: Sequence[torch.Tensor]) -> None:
        """Pass over lines in memory once, and write each value anew.

        Args:
            steps: one after another of "least" (no less than a number), "affine" (a number added, and divided by one)
                and "scale" (less a number, and times one).
            numbers: those of the steps in order, each broadcasting to (clips, rows of each, bins).
        """
        table = np.empty((*self.shape, len(numbers)), np.float32)
        for i, number in enumerate(numbers):
            table[..., i] = number.numpy()
        self._run(steps, len(numbers), table)

    def _run(
        self, what: str | tuple[str, ...], n_numbers: int, table: np.ndarray | None, eps: float = 0.0
    ) -> torch.Tensor:
        machine = _machine(what, jit.lanes())
        assert machine is not None  # `lines_of` has asked
        results = np.empty((*self.shape, FOUND[what] if isinstance(what, str) else 0))
        n_lines = len(self._addresses)
        n_threads = max(1, min(torch.get_num_threads(), n_lines, int(self._counts.sum()) // FEW_VALUES))
        own = {
            "next_line": 0,
            "n_lines": n_lines,
            "step": max(1, n_lines // (n_threads * STEPS_OF_EACH)),
            "addresses": self._addresses.ctypes.data,
            "counts": self._counts.ctypes.data,
            "numbers": 0 if table is None else table.ctypes.data,
            "results": results.ctypes.data,
            "eps": int(np.float64(eps).view(np.int64)),
        }
        if address_check.ENABLED:
            self._check()
        machine.run_job(np.array([own[name] for name in FIELDS], dtype=np.int64), n_threads)
        return torch.from_numpy(results)

    def _check(self) -> None:
        """Check that all lines lie in the memory of the features, and raise an IndexError for one that does not."""
        storage = self._features.untyped_storage()
        first, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        outside = (self._addresses < first) | (self._addresses + 4 * self._counts > end) | (self._counts < 0)
        if outside.any():
            raise IndexError(f"line {int(np.flatnonzero(outside)[0])} is not inside the features")


def lines_of(features: torch.Tensor, lengths: torch.Tensor | None) -> Lines | None:
    """Return the lines of features in memory, for machine code to pass over; None where it cannot.

    Shape: (clips, rows of each, bins, frames), lengths (clips,) or None.
    """
    if features.stride(-1) != 1 or features.dtype != torch.float32 or guard.watched(features) is not None:
        return None
    if not jit.lanes() or any(_machine(what, jit.lanes()) is None for what in FOUND):
        return None
    return Lines(features, lengths)


@functools.lru_cache(maxsize=64)
def _machine(what: str | tuple[str, ...], lanes: int) -> jit.Machine | None:
    """Return the machine code of a pass over lines in memory, that finds something or takes steps."""
    return jit.compiled(_written(what, lanes))


def _written(what: str | tuple[str, ...], lanes: int) -> str:
    code = Code(lanes)
    doubles = f"<{lanes} x double>"
    job = {name: code.at("%job", i, "i64") for i, name in enumerate(FIELDS)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(FIELDS) if name != "next_line"}
    table = {
        name: code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("addresses", "counts", "numbers", "results")
    }
    total = code.let(f"alloca {doubles}, align {8 * lanes}")
    n_steps = code.let(f"sdiv i64 {code.plus(field['n_lines'], code.minus(field['step'], 1))}, {field['step']}")
    with code.loop(0, n_steps):
        first = code.let(f"atomicrmw add ptr {job['next_line']}, i64 {field['step']} seq_cst")
        stop = code.min(code.plus(first, field["step"]), field["n_lines"])
        with code.loop(first, stop) as line:
            begin, count = code.load_pointer(table["addresses"], line.index), code.load_i64(table["counts"], line.index)
            if what[0] == "standardize":
                _write_standardized(code, begin, count, total, field["eps"], what[1] == "unbiased", what[2])
            elif isinstance(what, tuple):
                n_numbers = sum(STEPS[step] for step in what)
                own = code.at(table["numbers"], code.times(line.index, n_numbers), "float")
                _write_steps(code, what, begin, count, own)
            else:
                found = code.at(table["results"], code.times(line.index, FOUND[what]), "double")
                if what == "peak":
                    _write_peak(code, begin, count, found)
                else:
                    _write_moments(code, begin, count, found, total)
    more = [
        f"declare double @llvm.vector.reduce.fadd.v{lanes}f64(double, {doubles})",
        "declare double @llvm.sqrt.f64(double)",
        "declare double @llvm.maxnum.f64(double, double)",
    ]
    return "\n".join([*more, code.text("kernel", "ptr %job")])


def _whole(code: Code, count: Name) -> Name:
    """Write the part of a pass over a line that finds how many values whole vectors hold."""
    return code.let(f"and i64 {count}, {-code.lanes}")


def _in_line(code: Code, begin: Int, count: Name) -> Name:
    """Write the part of a pass over a line that finds the lanes of the vector from `begin` on that are in it."""
    left = code.let(f"trunc i64 {code.minus(count, begin)} to i32")
    one = code.let(f"insertelement {code.int_vector} poison, i32 {left}, i64 0")
    each = code.let(
        f"shufflevector {code.int_vector} {one}, {code.int_vector} poison, {code.int_vector} zeroinitializer"
    )
    lane = "<" + ", ".join(f"i32 {lane}" for lane in range(code.lanes)) + ">"
    return code.let(f"icmp slt {code.int_vector} {lane}, {each}")


def _load_part(code: Code, at: Name, mask: Name, other: Name) -> Name:
    v, n = code.vector, code.lanes
    return code.let(f"call {v} @llvm.masked.load.v{n}f32.p0(ptr {at}, i32 4, <{n} x i1> {mask}, {v} {other})")


def _write_steps(code: Code, steps: tuple[str, ...], line: Name, count: Name, numbers: Name) -> None:
    """Write the pass over a line in memory that writes each value anew."""
    number = [code.broadcast_float(numbers, i) for i in range(sum(STEPS[step] for step in steps))]

    def through(value: Name) -> Name:
        own = iter(number)
        for step in steps:
            if step == "least":
                value = code.maximum(value, next(own))
            elif step == "affine":
                value = code.let(f"fdiv {code.vector} {code.add(value, next(own))}, {next(own)}")
            else:
                value = code.multiply(code.subtract(value, next(own)), next(own))
        return value

    _write_anew(code, line, count, through)


def _write_anew(code: Code, line: Name, count: Name, through: Callable[[Name], Name]) -> None:
    """Write the part of a pass over a line in memory that writes a function of each value in its place."""
    whole, n = _whole(code, count), code.lanes
    with code.loop(0, whole, n) as i:
        at = code.at(line, i.index, "float")
        code.store_floats(through(code.load_floats(at)), at)
    with code.loop(whole, count, n) as i:
        at, mask = code.at(line, i.index, "float"), _in_line(code, i.index, count)
        value = through(_load_part(code, at, mask, "zeroinitializer"))
        code.put(f"call void @llvm.masked.store.v{n}f32.p0({code.vector} {value}, ptr {at}, i32 4, <{n} x i1> {mask})")


def _write_peak(code: Code, line: Name, count: Name, found: Name) -> None:
    """Write the pass over a line in memory that finds its largest value."""
    whole, least = _whole(code, count), code.constant(-np.inf)
    with code.loop(0, whole, code.lanes) as i:
        best = i.carry(least)
        i.keep(code.maximum(best, code.load_floats(code.at(line, i.index, "float"))))
    with code.loop(whole, count, code.lanes) as i:
        last = i.carry(best)
        mask = _in_line(code, i.index, count)
        i.keep(code.maximum(last, _load_part(code, code.at(line, i.index, "float"), mask, least)))
    one = code.let(f"call float @llvm.vector.reduce.fmaximum.v{code.lanes}f32({code.vector} {last})")
    code.put(f"store double {code.let(f'fpext float {one} to double')}, ptr {found}, align 8")


def _write_standardized(
    code: Code, line: Name, count: Name, total: Name, eps: Name, unbiased: bool, eps_to: str
) -> None:
    """Write the pass over a line in memory that normalizes it by its own mean and standard deviation.

    The scale is that of `Spread.scale`.
    """
    mean, squares, center, n_values = _moments(code, line, count, total)

    def of(line: str) -> Name:
        return code.let(line)

    divisor = n_values
    if unbiased:
        less = of(f"fsub double {n_values}, 1.0")
        divisor = of(f"call double @llvm.maxnum.f64(double {less}, double 1.0)")
    variance = of(f"fdiv double {squares}, {divisor}")
    least = np.finfo(np.float32)
    rounding = of(f"fmul double {mean}, {_double(4 * float(least.eps))}")
    still = of(f"fcmp ole double {variance}, {of(f'fmul double {rounding}, {rounding}')}")
    # the comparison leaves NaN what it is
    small = of(f"fcmp olt double {variance}, {_double(float(least.tiny))}")
    variance = of(f"select i1 {small}, double {_double(float(least.tiny))}, double {variance}")
    added = of(f"bitcast i64 {eps} to double")
    if eps_to == "variance":
        root = of(f"call double @llvm.sqrt.f64(double {of(f'fadd double {variance}, {added}')})")
    else:
        root = of(f"fadd double {of(f'call double @llvm.sqrt.f64(double {variance})')}, {added}")
    scale = of(f"select i1 {still}, double 0.0, double {of(f'fdiv double 1.0, {root}')}")
    scale = _in_every_lane(code, of(f"fptrunc double {scale} to float"))
    _write_anew(code, line, count, lambda value: code.multiply(code.subtract(value, center), scale))


def _double(value: float) -> Name:
    """Return a float64 constant of a pass over lines in memory."""
    return f"0x{int(np.float64(value).view(np.uint64)):016X}"


def _in_every_lane(code: Code, one: Name) -> Name:
    """Write the part of a pass over lines in memory that puts one float into every lane."""
    first = code.let(f"insertelement {code.vector} poison, float {one}, i64 0")
    return code.let(f"shufflevector {code.vector} {first}, {code.vector} poison, {code.int_vector} zeroinitializer")


def _write_moments(code: Code, line: Name, count: Name, found: Name, total: Name) -> None:
    """Write the pass over a line in memory that finds its mean, and the sum of squares of its values less that."""
    mean, squares, _, _ = _moments(code, line, count, total)
    code.put(f"store double {mean}, ptr {found}, align 8")
    code.put(f"store double {squares}, ptr {code.at(found, 1, 'double')}, align 8")


def _moments(code: Code, line: Name, count: Name, total: Name) -> tuple[Name, Name, Name, Name]:
    """Write the part of a pass that finds the moments of a line in memory.

    Returns the mean and the sum of squares of the values less that, the mean in every lane, and the number of values.
    """
    n_values = code.let(f"sitofp i64 {count} to double")
    mean = code.let(
        f"fdiv double {_sum(code, line, count, total, lambda value, part: code.add(part, value))}, {n_values}"
    )
    bits = code.let(f"fptrunc double {mean} to float")
    center = _in_every_lane(code, bits)

    def square(value: Name, part: Name) -> Name:
        centered = code.subtract(value, center)
        return code.multiply_add(centered, centered, part)

    squares = _sum(code, line, count, total, square, other=center)
    # of values less the rounded mean, which is off by d: n d^2 less
    off = code.let(f"fsub double {mean}, {code.let(f'fpext float {bits} to double')}")
    less = code.let(f"fmul double {n_values}, {code.let(f'fmul double {off}, {off}')}")
    return mean, code.let(f"fsub double {squares}, {less}"), center, n_values


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
        mask = _in_line(code, i.index, count)
        put_to_total(add(_load_part(code, code.at(line, i.index, "float"), mask, other), "zeroinitializer"))
    so_far = code.let(f"load {doubles}, ptr {total}, align {8 * n}")
    return code.let(f"call double @llvm.vector.reduce.fadd.v{n}f64(double 0.0, {doubles} {so_far})")
