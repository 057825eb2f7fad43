"""LLVM code that the kernels of augmentations share: rows that threads take in turn, sums of squares, ends of rows.

A step is a function `kernel(fields, row, memory)` that reads one row of a batch and writes it: `fields` and `row` are
arrays of 64-bit integers, what is the same for all rows and what is the row's own, and `memory` is the thread's to work
in. Each thread takes a row, leads it through all steps of several augmentations while it lies in the cache, and takes
the next (`write_driver`).
"""

from __future__ import annotations

from collections.abc import Callable

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

JOB = (
    "next_row",  # the first row that no thread has taken
    "next_thread",  # how many threads have come
    "n_rows",
    "rows",  # address of the addresses of each row's numbers, one for each step; 0: the step has nothing to do
    "n_steps",
    "steps",  # address of the address of each step's code and of its fields
    "memory",  # address of what the threads work in
    "memory_of_each",  # bytes of it for each thread
)
GAIN_NUMBERS = ("factor",)  # the bits of a float32, by which a row is multiplied
# what the numbers of a row begin with
ROW = (
    "source",  # address of the first sample that is read
    "source_pitch",  # bytes from one channel to the next
    "result",
    "result_pitch",
    "channels",
    "time",  # samples
    "size",  # samples of a row of the result, 0 past its own
)
# Vectors that are summed in float32, before their sum is added in float64: that is right to 1e-7.
_SUMMED_AT_ONCE = 32
# Sums that grow side by side, so that none waits for its last addition
_SIDE_BY_SIDE = 4


def write_driver() -> str:
    """Write the kernel in which a thread takes rows of a job, and leads them through the steps of augmentations."""
    code = Code(4)
    place = {name: code.at("%job", i, "i64") for i, name in enumerate(JOB)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(JOB) if not name.startswith("next")}
    thread = code.let(f"atomicrmw add ptr {place['next_thread']}, i64 1 seq_cst")
    at = code.plus(field["memory"], code.times(thread, field["memory_of_each"]))
    memory = code.let(f"inttoptr i64 {at} to ptr")
    rows, steps = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("rows", "steps"))
    with code.loop(0, field["n_rows"]):
        number = code.let(f"atomicrmw add ptr {place['next_row']}, i64 1 seq_cst")
        # a thread that finds nothing left goes through the rest at no cost
        last = code.min(code.plus(number, 1), field["n_rows"])
        with code.loop(number, last) as row, code.loop(0, field["n_steps"]) as step:
            own = code.load_i64(rows, code.plus(code.times(row.index, field["n_steps"]), step.index))
            has_own = code.let(f"zext i1 {code.let(f'icmp ne i64 {own}, 0')} to i64")
            with code.loop(0, has_own):
                here = code.at(steps, code.times(2, step.index), "i64")
                numbers = code.let(f"inttoptr i64 {own} to ptr")
                fields = code.load_pointer(here, 1)
                code.put(f"call void {code.load_pointer(here, 0)}(ptr {fields}, ptr {numbers}, ptr {memory})")
    return code.text("kernel", "ptr %job")


class SpanCode(Code):
    """LLVM code of an augmentation's kernel that goes over any number of floats, the last of them by a mask.

    Args:
        lanes: Floats of a vector.

    >>> code = SpanCode(4)
    >>> code.as_pointer(64)
    '%v1'
    """

    def as_pointer(self, address: Int) -> Name:
        """Write the part of an augmentation's kernel that takes an integer for an address."""
        return self.let(f"inttoptr i64 {address} to ptr")

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

    def get_floats(self, at: Name, mask: Name | None) -> Name:
        """Write the part of an augmentation's kernel that loads a vector of floats, or the lanes of a mask."""
        return self.load_floats(at) if mask is None else self.load_some(at, mask)

    def put_floats(self, value: Name, at: Name, mask: Name | None) -> None:
        """Write the part of an augmentation's kernel that stores a vector of floats, or the lanes of a mask."""
        if mask is None:
            self.store_floats(value, at)
        else:
            self.store_some(value, at, mask)


class RowCode(SpanCode):
    """LLVM code of a step of an augmentation's kernel, a function `kernel(fields, row, memory)`.

    Args:
        lanes: Floats of a vector.
        fields: Names of the numbers that are the same for all rows.
        row: Names of the numbers of a row, behind `ROW`.

    >>> code = RowCode(4, (), ())
    >>> code.fill_zeros(code.pointer("result"), code.number["time"])
    >>> "kernel(ptr %fields" in code.whole()
    True
    """

    memory = "%memory"

    def __init__(self, lanes: int, fields: tuple[str, ...], row: tuple[str, ...]) -> None:
        super().__init__(lanes)
        self.doubles = f"<{lanes} x double>"
        self.number = {name: self.load_i64("%row", i) for i, name in enumerate((*ROW, *row))}
        self.number |= {name: self.load_i64("%fields", i) for i, name in enumerate(fields)}
        self._sums = self.let(f"alloca {self.doubles}, align 64")

    def whole(self) -> str:
        """Return the text of the step of the augmentation's kernel."""
        more = [
            f"declare double @llvm.vector.reduce.fadd.v{self.lanes}f64(double, {self.doubles})",
            "declare double @llvm.sqrt.f64(double)",
            "declare i64 @llvm.smax.i64(i64, i64)",
        ]
        return "\n".join([*more, self.text("kernel", "ptr %fields, ptr %row, ptr %memory")])

    def channel_of(self, name: str, channel: Int) -> Name:
        """Write the address of a channel of a row of an augmentation's "source", "result" or the like."""
        return self.at(self.pointer(name), self.times(channel, self.number[f"{name}_pitch"]), "i8")

    def clear_end(self, result: Name) -> None:
        """Write the part of an augmentation's kernel that sets a row's samples past its own to 0."""
        time = self.number["time"]
        self.fill_zeros(self.at(result, time, "float"), self.minus(self.number["size"], time))

    def pointer(self, name: str) -> Name:
        """Write the part of an augmentation's kernel that takes a number for an address."""
        return self.as_pointer(self.number[name])

    def max(self, a: Int, b: Int) -> Name:
        """Write the larger of two integers of an augmentation's kernel."""
        return self.let(f"call i64 @llvm.smax.i64(i64 {a}, i64 {b})")

    def fill_zeros(self, pointer: Name, count: Int) -> None:
        """Write the part of an augmentation's kernel that sets `count` floats to 0."""

        def zero(i: Int, mask: Name | None) -> None:
            self.put_floats("zeroinitializer", self.at(pointer, i, "float"), mask)

        self.over(count, zero)

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

    def ratio_gain(self, totals: Name, silence: Name) -> Name:
        """Write the factor of what is added to an augmentation's clip at the ratio of powers that is the row's "ratio".

        Args:
            totals: An array of two doubles: sums of squares of the clip and of what is added, over all channels.
            silence: A double, the mean power up to which either is silence, and the factor 0.

        Returns:
            A vector, the factor in every lane.
        """
        number, zero = self.number, self.double(0.0)
        count = self.let(f"sitofp i64 {self.max(1, self.times(number['time'], number['channels']))} to double")
        signal, noise = (self.let(f"fdiv double {self.total(totals, place)}, {count}") for place in (0, 1))
        heard = [self.let(f"fcmp ogt double {power}, {silence}") for power in (signal, noise)]
        both = self.let(f"and i1 {heard[0]}, {heard[1]}")
        ratio = self.let(f"bitcast i64 {number['ratio']} to double")
        ratio = self.let(f"fmul double {self.let(f'fdiv double {signal}, {noise}')}, {ratio}")
        root = self.let(f"call double @llvm.sqrt.f64(double {ratio})")
        gain = self.let(f"select i1 {both}, double {root}, double {zero}")
        return self.in_every_lane(self.let(f"fptrunc double {gain} to float"))

    def add_to(self, totals: Name, place: int, value: Name) -> None:
        """Write the part of an augmentation's kernel that adds a double to one in an array."""
        at = self.at(totals, place, "double")
        before = self.let(f"load double, ptr {at}, align 8")
        self.put(f"store double {self.let(f'fadd double {before}, {value}')}, ptr {at}, align 8")

    def total(self, totals: Name, place: int) -> Name:
        """Write the part of an augmentation's kernel that reads a double of an array."""
        return self.let(f"load double, ptr {self.at(totals, place, 'double')}, align 8")


def write_gain(lanes: int) -> str:
    """Write the kernel that multiplies an augmentation's rows by a factor each."""
    code = RowCode(lanes, (), GAIN_NUMBERS)
    factor = code.broadcast_bits(code.number["factor"])
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))

        def scaled(i: Int, mask: Name | None) -> None:
            value = code.multiply(code.get_floats(code.at(source, i, "float"), mask), factor)
            code.put_floats(value, code.at(result, i, "float"), mask)

        code.over(code.number["time"], scaled)
        code.clear_end(result)
    return code.whole()
