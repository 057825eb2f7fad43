"""LLVM code that the kernels of augmentations share: rows that threads take in turn, sums of squares, ends of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

# what every job begins with
THREADS = (
    "next_row",  # the first row that no thread has taken
    "next_thread",  # how many threads have come
    "n_rows",
    "rows",  # address of the numbers of each row
    "memory",  # address of what the threads work in
    "memory_of_each",  # bytes of it for each thread
)
# Vectors that are summed in float32, before their sum is added in float64: that is right to 1e-7.
_SUMMED_AT_ONCE = 32
# Sums that grow side by side, so that none waits for its last addition
_SIDE_BY_SIDE = 4


class RowCode(Code):
    """LLVM code of an augmentation's kernel, a function `kernel(job)` on an array of 64-bit integers.

    Args:
        lanes: Floats of a vector.
        job: Names of the numbers of a job, behind `THREADS`.
        row: Names of the numbers of a row.

    >>> code = RowCode(4, (), ("source",))
    >>> with code.each_row():
    ...     _ = code.pointer("source")
    >>> "kernel(ptr %job)" in code.whole()
    True
    """

    def __init__(self, lanes: int, job: tuple[str, ...], row: tuple[str, ...]) -> None:
        super().__init__(lanes)
        self.doubles = f"<{lanes} x double>"
        names = (*THREADS, *job)
        self._place = {name: self.at("%job", i, "i64") for i, name in enumerate(names)}
        self.field = {name: self.load_i64("%job", i) for i, name in enumerate(names) if not name.startswith("next")}
        self._row = row
        self._sums = self.let(f"alloca {self.doubles}, align 64")
        thread = self.let(f"atomicrmw add ptr {self._place['next_thread']}, i64 1 seq_cst")
        at = self.plus(self.field["memory"], self.times(thread, self.field["memory_of_each"]))
        self.memory = self.as_pointer(at)

    def whole(self) -> str:
        """Return the text of the augmentation's kernel."""
        more = [
            f"declare double @llvm.vector.reduce.fadd.v{self.lanes}f64(double, {self.doubles})",
            "declare double @llvm.sqrt.f64(double)",
            "declare i64 @llvm.smax.i64(i64, i64)",
        ]
        return "\n".join([*more, self.text("kernel", "ptr %job")])

    @contextlib.contextmanager
    def each_row(self) -> Iterator[None]:
        """Write what a thread of an augmentation's kernel does with each row that it takes."""
        with self.loop(0, self.field["n_rows"]):
            number = self.let(f"atomicrmw add ptr {self._place['next_row']}, i64 1 seq_cst")
            # a thread that finds nothing left goes through the rest at no cost
            with self.loop(number, self.min(self.plus(number, 1), self.field["n_rows"])) as row:
                own = self.at(
                    self.as_pointer(self.field["rows"]), self.times(row.index, len(self._row)), "i64"
                )
                self.number = {name: self.load_i64(own, i) for i, name in enumerate(self._row)}
                yield

    def as_pointer(self, address: Int) -> Name:
        """Write the part of an augmentation's kernel that takes an integer for an address."""
        return self.let(f"inttoptr i64 {address} to ptr")

    def pointer(self, name: str) -> Name:
        """Write the part of an augmentation's kernel that takes a number of a row, or else of the job, for an address."""
        return self.as_pointer(self.number[name] if name in self.number else self.field[name])

    def max(self, a: Int, b: Int) -> Name:
        """Write the larger of two integers of an augmentation's kernel."""
        return self.let(f"call i64 @llvm.smax.i64(i64 {a}, i64 {b})")

    def load_some(self, at: Name, mask: Name) -> Name:
        """Write the part of an augmentation's kernel that loads floats where a mask says so, else 0."""
        v, n = self.vector, self.lanes
        call = f"@llvm.masked.load.v{n}f32.p0(ptr {at}, i32 4, <{n} x i1> {mask}, {v} zeroinitializer)"
        return self.let(f"call {v} {call}")

    def store_some(self, value: Name, at: Name, mask: Name) -> None:
        """Write the part of an augmentation's kernel that stores floats where a mask says so."""
        v, n = self.vector, self.lanes
        self.put(f"call void @llvm.masked.store.v{n}f32.p0({v} {value}, ptr {at}, i32 4, <{n} x i1> {mask})")

    def over(self, count: Int, write: Callable[[Int, Name | None], None]) -> None:
        """Write a loop of an augmentation's kernel over `count` floats by vectors, the last of which may be cut short.

        Args:
            count: How many floats.
            write: Called with the index of a vector's first float, and with None or the mask of the last vector.
        """
        whole = self.let(f"and i64 {count}, {-self.lanes}")
        with self.loop(0, whole, self.lanes) as i:
            write(i.index, None)
        with self.loop(whole, count, self.lanes) as i:
            write(i.index, self.lanes_below(self.minus(count, i.index)))

    def fill_zeros(self, pointer: Name, count: Int) -> None:
        """Write the part of an augmentation's kernel that sets `count` floats to 0."""

        def zero(i: Int, mask: Name | None) -> None:
            self.put_floats("zeroinitializer", self.at(pointer, i, "float"), mask)

        self.over(count, zero)

    def get_floats(self, at: Name, mask: Name | None) -> Name:
        """Write the part of an augmentation's kernel that loads a vector of floats, or the lanes of a mask."""
        return self.load_floats(at) if mask is None else self.load_some(at, mask)

    def put_floats(self, value: Name, at: Name, mask: Name | None) -> None:
        """Write the part of an augmentation's kernel that stores a vector of floats, or the lanes of a mask."""
        if mask is None:
            self.store_floats(value, at)
        else:
            self.store_some(value, at, mask)

    def sum_squares(self, count: Int, load: Callable[[Int, Name | None], Name]) -> Name:
        """Write the sum of squares of an augmentation's samples, a double, in an order that follows from their number.

        Args:
            count: How many samples.
            load: Called with the index of a vector's first sample, and with None or a mask; returns the samples, 0
                where the mask is False. It may write what else is done with them.
        """
        v, d, lanes = self.vector, self.doubles, self.lanes
        self.put(f"store {d} zeroinitializer, ptr {self._sums}, align 64")

        def add(total: Name) -> None:
            wide = self.let(f"fpext {v} {total} to {d}")
            before = self.let(f"load {d}, ptr {self._sums}, align 64")
            self.put(f"store {d} {self.let(f'fadd {d} {before}, {wide}')}, ptr {self._sums}, align 64")

        block = _SUMMED_AT_ONCE * lanes
        rest = self.let(f"urem i64 {count}, {block}")
        whole = self.minus(count, rest)
        with self.loop(0, whole, block) as outer:
            with self.loop(0, block, _SIDE_BY_SIDE * lanes) as inner:
                parts = [inner.carry("zeroinitializer") for _ in range(_SIDE_BY_SIDE)]
                for j, part in enumerate(parts):
                    x = load(self.plus(self.plus(outer.index, inner.index), j * lanes), None)
                    inner.keep(self.multiply_add(x, x, part))
            add(self.add(self.add(parts[0], parts[1]), self.add(parts[2], parts[3])))
        end = self.let(f"and i64 {count}, {-lanes}")
        with self.loop(whole, end, lanes) as i:
            x = load(i.index, None)
            add(self.multiply(x, x))
        with self.loop(end, count, lanes) as i:
            x = load(i.index, self.lanes_below(self.minus(count, i.index)))
            add(self.multiply(x, x))
        found = self.let(f"load {d}, ptr {self._sums}, align 64")
        zero = self.double(0.0)
        return self.let(f"call double @llvm.vector.reduce.fadd.v{lanes}f64(double {zero}, {d} {found})")

    def add_to(self, totals: Name, place: int, value: Name) -> None:
        """Write the part of an augmentation's kernel that adds a double to one in an array."""
        at = self.at(totals, place, "double")
        before = self.let(f"load double, ptr {at}, align 8")
        self.put(f"store double {self.let(f'fadd double {before}, {value}')}, ptr {at}, align 8")

    def total(self, totals: Name, place: int) -> Name:
        """Write the part of an augmentation's kernel that reads a double of an array."""
        return self.let(f"load double, ptr {self.at(totals, place, 'double')}, align 8")
