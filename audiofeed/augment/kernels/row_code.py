"""LLVM code that the kernels of augmentations share: rows that threads take in turn, sums of squares, ends of rows.

A step is a function `kernel(fields, base, row, memory)` that reads one row of a batch and writes it: `fields`, `base`
and `row` are arrays of 64-bit integers, what is the same for all rows, where the row lies, and what else is the row's
own, and `memory` is the thread's to work in. Each thread takes a row, leads it through all steps of several
augmentations while it lies in the cache, and takes the next (`write_driver`). A step that computes long enough fetches
what the next row reads into the cache meanwhile (`RowCode.look_ahead`).
"""

from __future__ import annotations

from collections.abc import Callable

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

# what the threads share; behind it lie the jobs, one after another
SHARED = (
    "next_thread",  # how many threads have come
    "n_threads",
    "memory",  # address of what the threads work in
    "memory_of_each",  # bytes of it for each thread
    "copy",  # address of the code of the gain, and of its numbers for a copy
    "copy_numbers",
    "n_jobs",
)
JOB = (
    "next_row",  # the first place in the order that no thread has taken
    "n_rows",
    "order",  # address of the rows, int64, in the order in which they are taken
    "times",  # address of the samples of each row, int64
    "source",  # address of the first row that is read
    "source_row",  # bytes from one row to the next
    "source_pitch",  # bytes from one channel to the next
    "result",
    "result_row",
    "result_pitch",
    "channels",
    "size",  # samples of a row of the result, 0 past its own
    "whole",  # 1: a row without a step is copied whole, 0: as long as it is, and 0 past that
    "n_steps",
    "steps",  # address of what `STEP` lists, for each step
)
STEP = (
    "code",  # address of its function
    "fields",
    "numbers",  # address of the numbers of its rows
    "pitch",  # bytes from one row's numbers to the next
    "index",  # address of the place of each row of the batch among these, int64; below 0: the step leaves it alone
    "sound",  # which of the numbers is the address of what is read along with a row; below 0: none
    "sound_bytes",  # of a sample there
)
GAIN_NUMBERS = ("factor",)  # the bits of a float32, by which a row is multiplied
# where a row lies
ROW = (
    "source",  # address of the first sample that is read
    "source_pitch",  # bytes from one channel to the next
    "result",
    "result_pitch",
    "channels",
    "time",  # samples
    "size",  # samples of a row of the result, 0 past its own
)
# What a thread's memory begins with: how far the next row has been fetched, and where it lies
AHEAD = ("line", "lines", "source", "result", "sound", "sound_bytes")
AHEAD_BYTES = 64
# Samples in a line of the cache
_LINE = 16
# Vectors that are summed in float32, before their sum is added in float64: that is right to 1e-7.
_SUMMED_AT_ONCE = 32
# Sums that grow side by side, so that none waits for its last addition
_SIDE_BY_SIDE = 4


def write_driver() -> str:
    """Write the kernel in which threads take rows of jobs, and lead them through the steps of augmentations."""
    code = SpanCode(4)
    base = code.let(f"alloca i64, i64 {len(ROW)}, align 8")
    touched = code.let("alloca i64, align 8")
    shared = {name: code.load_i64("%shared", i) for i, name in enumerate(SHARED) if not name.startswith("next")}
    thread = code.let(f"atomicrmw add ptr {code.at('%shared', SHARED.index('next_thread'), 'i64')}, i64 1 seq_cst")
    ahead = code.as_pointer(code.plus(shared["memory"], code.times(thread, shared["memory_of_each"])))
    memory = code.at(ahead, AHEAD_BYTES, "i8")
    copy, copy_numbers = code.as_pointer(shared["copy"]), code.as_pointer(shared["copy_numbers"])

    def put(value: Int, array: Name, index: Int) -> None:
        code.put(f"store i64 {value}, ptr {code.at(array, index, 'i64')}, align 8")

    with code.loop(0, shared["n_jobs"]) as number:
        job = code.at("%shared", code.plus(len(SHARED), code.times(len(JOB), number.index)), "i64")
        rows = _RowsOfJob(code, job)
        field = rows.field
        with code.loop(0, field["n_rows"]):
            place = code.let(f"atomicrmw add ptr {code.at(job, JOB.index('next_row'), 'i64')}, i64 1 seq_cst")
            # a thread that finds nothing left goes through the rest at no cost
            with code.loop(place, code.min(code.plus(place, 1), field["n_rows"])) as taken:
                put(0, ahead, AHEAD.index("line"))
                put(0, ahead, AHEAD.index("lines"))
                # the row that this thread takes next, if all threads take as long
                following = code.plus(taken.index, shared["n_threads"])
                with code.loop(following, code.min(code.plus(following, 1), field["n_rows"])) as then:
                    row, time = rows.at(then.index)
                    put(code.let(f"udiv i64 {code.plus(time, _LINE - 1)}, {_LINE}"), ahead, AHEAD.index("lines"))
                    for name in ("source", "result"):
                        put(rows.start(name, row), ahead, AHEAD.index(name))
                    put(0, ahead, AHEAD.index("sound_bytes"))
                    with code.loop(0, field["n_steps"]) as step:
                        own, numbers, has_own = rows.numbers_of(step.index, row)
                        reads = code.let(f"zext i1 {code.let('icmp sge i64 ' + own['sound'] + ', 0')} to i64")
                        with code.loop(0, code.let(f"and i64 {has_own}, {reads}")):
                            put(code.load_i64(numbers, own["sound"]), ahead, AHEAD.index("sound"))
                            put(code.times(_LINE, own["sound_bytes"]), ahead, AHEAD.index("sound_bytes"))
                row, time = rows.at(taken.index)
                of_row = {name: rows.start(name, row) for name in ("source", "result")} | {"time": time}
                for i, name in enumerate(ROW):
                    put(of_row.get(name, field.get(name, 0)), base, i)
                code.put(f"store i64 0, ptr {touched}, align 8")
                with code.loop(0, field["n_steps"]) as step:
                    own, numbers, has_own = rows.numbers_of(step.index, row)
                    with code.loop(0, has_own):
                        function, fields = code.as_pointer(own["code"]), code.as_pointer(own["fields"])
                        code.put(f"call void {function}(ptr {fields}, ptr {base}, ptr {numbers}, ptr {memory})")
                        # what is read from now on is the result
                        put(of_row["result"], base, ROW.index("source"))
                        put(field["result_pitch"], base, ROW.index("source_pitch"))
                        code.put(f"store i64 1, ptr {touched}, align 8")
                with code.loop(0, code.minus(1, code.let(f"load i64, ptr {touched}, align 8"))):
                    is_whole = code.let(f"icmp eq i64 {field['whole']}, 1")
                    put(code.let(f"select i1 {is_whole}, i64 {field['size']}, i64 {time}"), base, ROW.index("time"))
                    code.put(f"call void {copy}(ptr {base}, ptr {base}, ptr {copy_numbers}, ptr {memory})")
    return code.text("kernel", "ptr %shared")


class _RowsOfJob:
    """Code that finds the rows of an augmentation's job, and what its steps have for each."""

    def __init__(self, code: SpanCode, job: Name) -> None:
        self._code = code
        self.field = {name: code.load_i64(job, i) for i, name in enumerate(JOB) if not name.startswith("next")}
        self._order, self._times, self._steps = (
            code.as_pointer(self.field[name]) for name in ("order", "times", "steps")
        )

    def at(self, place: Int) -> tuple[Name, Name]:
        """Write the row at a place in the order of an augmentation's job, and its samples."""
        row = self._code.load_i64(self._order, place)
        return row, self._code.load_i64(self._times, row)

    def start(self, name: str, row: Int) -> Int:
        """Write the address of a row of an augmentation's "source" or "result"."""
        return self._code.plus(self.field[name], self._code.times(row, self.field[f"{name}_row"]))

    def numbers_of(self, step: Int, row: Int) -> tuple[dict[str, Name], Name, Name]:
        """Write a step of an augmentation, where its numbers of a row lie, and how often it takes the row: 1 or 0."""
        code = self._code
        here = code.at(self._steps, code.times(len(STEP), step), "i64")
        own = {name: code.load_i64(here, i) for i, name in enumerate(STEP)}
        at = code.load_i64(code.as_pointer(own["index"]), row)
        numbers = code.as_pointer(code.plus(own["numbers"], code.times(at, own["pitch"])))
        return own, numbers, code.let(f"zext i1 {code.let(f'icmp sge i64 {at}, 0')} to i64")


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
    """LLVM code of a step of an augmentation's kernel, a function `kernel(fields, base, row, memory)`.

    Args:
        lanes: Floats of a vector.
        fields: Names of the numbers that are the same for all rows.
        row: Names of the numbers of a row, beside `ROW`.

    >>> code = RowCode(4, (), ())
    >>> code.fill_zeros(code.pointer("result"), code.number["time"])
    >>> "kernel(ptr %fields" in code.whole()
    True
    """

    memory = "%memory"

    def __init__(self, lanes: int, fields: tuple[str, ...], row: tuple[str, ...]) -> None:
        super().__init__(lanes)
        self.doubles = f"<{lanes} x double>"
        self.number = {name: self.load_i64("%base", i) for i, name in enumerate(ROW)}
        self.number |= {name: self.load_i64("%row", i) for i, name in enumerate(row)}
        self.number |= {name: self.load_i64("%fields", i) for i, name in enumerate(fields)}
        self._sums = self.let(f"alloca {self.doubles}, align 64")

    def whole(self) -> str:
        """Return the text of the step of the augmentation's kernel."""
        more = [
            f"declare double @llvm.vector.reduce.fadd.v{self.lanes}f64(double, {self.doubles})",
            "declare double @llvm.sqrt.f64(double)",
            "declare i64 @llvm.smax.i64(i64, i64)",
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
        ]
        return "\n".join([*more, self.text("kernel", "ptr %fields, ptr %base, ptr %row, ptr %memory")])

    def look_ahead(self, lines: int = 1) -> None:
        """Write the part of an augmentation's kernel that fetches lines of the next row into the cache, while it waits.

        They are samples of its first channel, the place of its result, and what is read along with it. Where there is
        nothing more to fetch, the last line is asked for again.

        Args:
            lines: How many of each.
        """
        place = {name: self.at(self.memory, 8 * i - AHEAD_BYTES, "i8") for i, name in enumerate(AHEAD)}
        found = {name: self.let(f"load i64, ptr {at}, align 8") for name, at in place.items()}
        line: Int = found["line"]
        for _ in range(lines):
            by_line = self.let(f"shl i64 {line}, 6")
            own = [self.plus(found[name], by_line) for name in ("source", "result")]
            for address in (*own, self.plus(found["sound"], self.times(found["sound_bytes"], line))):
                # for reading, into the second cache: the first is the computation's
                self.put(f"call void @llvm.prefetch.p0(ptr {self.as_pointer(address)}, i32 0, i32 2, i32 1)")
            line = self.min(self.plus(line, 1), found["lines"])
        self.put(f"store i64 {line}, ptr {place['line']}, align 8")

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
