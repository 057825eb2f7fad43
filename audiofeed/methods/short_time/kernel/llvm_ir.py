"""LLVM IR, written line by line: vectors of one float for each lane, 64-bit integers, loops."""

from __future__ import annotations

from types import TracebackType

import numpy as np

# a vector or a 64-bit integer: its name in the IR, or (integers only) its value
Name = str
Int = str | int


class Code:
    """LLVM code of one kernel function, collected line by line.

    >>> code = Code(lanes=4)
    >>> code.add("%a", "%b")
    '%v1'
    >>> code.lines
    ['%v1 = fadd <4 x float> %a, %b']
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.vector = f"<{lanes} x float>"
        self.int_vector = f"<{lanes} x i32>"
        self.lines: list[str] = []
        self.block = "entry"
        self._names = 0

    # ---------------------------------------------------------------- lines

    def new(self, kind: str = "v") -> Name:
        """Return an unused name for a value in LLVM code."""
        self._names += 1
        return f"%{kind}{self._names}"

    def put(self, line: str) -> None:
        """Write a line of LLVM code that has no value."""
        self.lines.append(line)

    def let(self, line: str) -> Name:
        """Write a line of LLVM code and return a name for its value."""
        name = self.new()
        self.put(f"{name} = {line}")
        return name

    # ---------------------------------------------------------------- vectors of floats

    def constant(self, value: float | Name) -> Name:
        """Return a constant vector as LLVM code, the float32 nearest to a number in every lane.

        A vector that the code computes is returned as it is.
        """
        if isinstance(value, str):
            return value
        bits = int(np.array(float(np.float32(value)), dtype=np.float64).view(np.uint64))
        return "<" + ", ".join([f"float 0x{bits:016X}"] * self.lanes) + ">"

    def add(self, a: Name, b: Name) -> Name:
        return self.let(f"fadd {self.vector} {a}, {b}")

    def subtract(self, a: Name, b: Name) -> Name:
        return self.let(f"fsub {self.vector} {a}, {b}")

    def multiply(self, a: Name, b: Name) -> Name:
        return self.let(f"fmul {self.vector} {a}, {b}")

    def negate(self, a: Name) -> Name:
        return self.let(f"fneg {self.vector} {a}")

    def multiply_add(self, a: Name, b: Name, c: Name) -> Name:
        """Write LLVM code for a * b + c, rounded once where the processor can."""
        v = self.vector
        return self.let(f"call {v} @llvm.fmuladd.v{self.lanes}f32({v} {a}, {v} {b}, {v} {c})")

    def root(self, a: Name) -> Name:
        return self.let(f"call {self.vector} @llvm.sqrt.v{self.lanes}f32({self.vector} {a})")

    def maximum(self, a: Name, b: Name) -> Name:
        """Write LLVM code for the larger of a and b in every lane, NaN where either is."""
        v = self.vector
        return self.let(f"call {v} @llvm.maximum.v{self.lanes}f32({v} {a}, {v} {b})")

    def select(self, condition: Name, a: Name, b: Name) -> Name:
        """Write LLVM code to select a in the lanes where a condition holds, else b."""
        return self.let(f"select <{self.lanes} x i1> {condition}, {self.vector} {a}, {self.vector} {b}")

    def shuffle(self, a: Name, b: Name, order: list[int]) -> Name:
        """Write LLVM code to shuffle vectors: the lanes `order` of a followed by b."""
        mask = ", ".join(f"i32 {lane}" for lane in order)
        return self.let(f"shufflevector {self.vector} {a}, {self.vector} {b}, <{self.lanes} x i32> <{mask}>")

    def transposed(self, rows: list[Name]) -> list[Name]:
        """Write LLVM code to transpose as many vectors as there are lanes, by log2(lanes) perfect shuffles.

        Lane i of row j goes to lane j of row i.
        """
        lanes, half = self.lanes, self.lanes // 2
        low = [lane // 2 + (lanes if lane % 2 else 0) for lane in range(lanes)]
        high = [half + lane for lane in low]
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(rows[:half], rows[half:], strict=True))
            rows = [self.shuffle(a, b, order) for a, b in pairs for order in (low, high)]
        return rows

    # ---------------------------------------------------------------- memory

    def at(self, pointer: Name, index: Int, kind: str) -> Name:
        """Write LLVM code for a pointer to the element `index` of an array of a kind."""
        return self.let(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    def load_vector(self, pointer: Name, index: Int) -> Name:
        """Write LLVM code to load the vector `index` of an array of vectors."""
        return self.let(f"load {self.vector}, ptr {self.at(pointer, index, self.vector)}, align {4 * self.lanes}")

    def store_vector(self, value: Name, pointer: Name, index: Int) -> None:
        """Write LLVM code to store the vector `index` of an array of vectors."""
        self.put(f"store {self.vector} {value}, ptr {self.at(pointer, index, self.vector)}, align {4 * self.lanes}")

    def load_floats(self, pointer: Name) -> Name:
        """Write LLVM code to load one float for each lane, consecutive and unaligned."""
        return self.let(f"load {self.vector}, ptr {pointer}, align 4")

    def store_floats(self, value: Name, pointer: Name) -> None:
        """Write LLVM code to store one float for each lane, consecutive and unaligned."""
        self.put(f"store {self.vector} {value}, ptr {pointer}, align 4")

    def load_int16(self, pointer: Name) -> Name:
        """Write LLVM code to load one int16 for each lane, consecutive and unaligned, as floats."""
        found = self.let(f"load <{self.lanes} x i16>, ptr {pointer}, align 2")
        return self.let(f"sitofp <{self.lanes} x i16> {found} to {self.vector}")

    def broadcast_float(self, pointer: Name, index: Int) -> Name:
        """Write LLVM code to load the float `index` of an array into every lane."""
        return self.in_every_lane(self.let(f"load float, ptr {self.at(pointer, index, 'float')}, align 4"))

    def broadcast_bits(self, bits: Name) -> Name:
        """Write LLVM code to put the float whose bits are the lower half of an integer into every lane."""
        low = self.let(f"trunc i64 {bits} to i32")
        return self.in_every_lane(self.let(f"bitcast i32 {low} to float"))

    def double(self, value: float) -> Name:
        """Return a float64 constant as LLVM code."""
        return f"0x{int(np.float64(value).view(np.uint64)):016X}"

    def in_every_lane(self, one: Name) -> Name:
        """Write LLVM code to put one float into every lane."""
        first = self.let(f"insertelement {self.vector} poison, float {one}, i64 0")
        return self.let(f"shufflevector {self.vector} {first}, {self.vector} poison, {self.int_vector} zeroinitializer")

    def load_i64(self, pointer: Name, index: Int) -> Name:
        """Write LLVM code to load the integer `index` of an array."""
        return self.let(f"load i64, ptr {self.at(pointer, index, 'i64')}, align 8")

    def load_pointer(self, pointer: Name, index: Int) -> Name:
        """Write LLVM code to load the pointer `index` of an array of addresses."""
        return self.let(f"load ptr, ptr {self.at(pointer, index, 'i64')}, align 8")

    # ---------------------------------------------------------------- integers

    def plus(self, a: Int, b: Int) -> Int:
        """Write LLVM code to add integers a + b; of two known values return the sum."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if a == 0 else a
        return self.let(f"add i64 {a}, {b}")

    def minus(self, a: Int, b: Int) -> Int:
        """Write LLVM code to subtract integers a - b; of two known values return the difference."""
        return a - b if isinstance(a, int) and isinstance(b, int) else self.let(f"sub i64 {a}, {b}")

    def times(self, a: Int, b: Int) -> Int:
        """Write LLVM code to multiply integers a * b; of two known values return the product."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        return self.let(f"mul i64 {a}, {b}")

    def min(self, a: Int, b: Int) -> Name:
        """Write LLVM code for the smaller of the integers a and b."""
        return self.let(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def lanes_below(self, count: Int) -> Name:
        """Write LLVM code that finds the lanes of a vector that are less than a count, as the end of a row has."""
        each = self.let(f"trunc i64 {count} to i32")
        each = self.let(f"insertelement {self.int_vector} poison, i32 {each}, i64 0")
        each = self.let(
            f"shufflevector {self.int_vector} {each}, {self.int_vector} poison, {self.int_vector} zeroinitializer"
        )
        lane = "<" + ", ".join(f"i32 {lane}" for lane in range(self.lanes)) + ">"
        return self.let(f"icmp slt {self.int_vector} {lane}, {each}")

    def loop(self, start: Int, stop: Int, step: int = 1) -> Loop:
        """Return a loop in LLVM code, to repeat the lines written inside the `with`.

        They are repeated for every step from `start` until before `stop`.
        """
        return Loop(self, start, stop, step)

    def text(self, name: str, arguments: str) -> str:
        """Return the LLVM code of a whole module with this function."""
        v, n = self.vector, self.lanes
        declared = [
            f"declare {v} @llvm.fmuladd.v{n}f32({v}, {v}, {v})",
            f"declare {v} @llvm.sqrt.v{n}f32({v})",
            f"declare void @llvm.masked.store.v{n}f32.p0({v}, ptr, i32, <{n} x i1>)",
            f"declare {v} @llvm.masked.load.v{n}f32.p0(ptr, i32, <{n} x i1>, {v})",
            f"declare float @llvm.vector.reduce.fmaximum.v{n}f32({v})",
            f"declare {v} @llvm.maximum.v{n}f32({v}, {v})",
            "declare i64 @llvm.smin.i64(i64, i64)",
        ]
        body = ["entry:", *self.lines, "ret void"]
        return "\n".join([*declared, f"define void @{name}({arguments}) {{", *body, "}", ""])


class Loop:
    """Loop in LLVM code, with the counter `index` and vectors that pass from iteration to iteration.

    `carry` and `keep` pass the vectors.
    """

    def __init__(self, code: Code, start: Int, stop: Int, step: int) -> None:
        self._code = code
        self._start, self._stop, self._step = start, stop, step
        self._carried: list[tuple[Name, Name]] = []
        self._next: list[Name] = []

    def __enter__(self) -> Loop:
        code = self._code
        self.index, self._following, self._inside, condition = (code.new(kind) for kind in ("i", "n", "l", "c"))
        self._head, self._body, self._end = (kind + self._inside[1:] for kind in ("head", "body", "end"))
        self._before = code.block
        code.put(f"br label %{self._head}")
        code.put(f"{self._head}:")
        self._place = len(code.lines)
        code.put(f"{condition} = icmp slt i64 {self.index}, {self._stop}")
        code.put(f"br i1 {condition}, label %{self._body}, label %{self._end}")
        code.put(f"{self._body}:")
        code.block = self._body
        return self

    def carry(self, first: Name) -> Name:
        """Return a vector that a loop in LLVM code carries from iteration to iteration.

        It begins as `first`, and is the value given to `keep` in later iterations and after the loop.
        """
        name = self._code.new("carried")
        self._carried.append((name, first))
        return name

    def keep(self, value: Name) -> None:
        """Set the next carried vector of a loop in LLVM code for the next iteration.

        Vectors are set in the order of `carry`.
        """
        self._next.append(value)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        code = self._code
        code.put(f"{self._following} = add i64 {self.index}, {self._step}")
        code.put(f"br label %{self._head}")
        incoming = [
            f"{self.index} = phi i64 [ {self._start}, %{self._before} ], [ {self._following}, %{code.block} ]"
        ] + [
            f"{name} = phi {code.vector} [ {first}, %{self._before} ], [ {later}, %{code.block} ]"
            for (name, first), later in zip(self._carried, self._next, strict=True)
        ]
        code.lines[self._place : self._place] = incoming
        code.put(f"{self._end}:")
        code.block = self._end
