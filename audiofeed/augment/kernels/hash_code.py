"""LLVM code of the hash behind an augmentation's draws, splitmix64: what `contract/noise.py` says, to the bit."""

from __future__ import annotations

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

INCREMENT, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
JOB = ("seeds", "n_seeds", "n", "first", "out")
STREAM_JOB = ("seeds", "n_seeds", "steps", "names", "n_streams", "n", "given", "own", "out")
# integers that are hashed together
WIDTH = 8


def signed(value: int) -> int:
    """Return an integer of 64 bits for an augmentation's draws as LLVM writes it.

    >>> signed(2**64 - 1)
    -1
    """
    return value - 2**64 if value >= 2**63 else value


def hashed(code: Code, state: Name, kind: str) -> Name:
    """Write the hash of an augmentation's integers, each a seed plus its place's multiple of the increment.

    Args:
        code: Of a kernel.
        state: The integers.
        kind: Their type, "i64" or a vector of it.
    """

    def constant(value: int) -> str:
        if kind == "i64":
            return str(signed(value))
        count = int(kind[1:].split()[0])
        return "<" + ", ".join([f"i64 {signed(value)}"] * count) + ">"

    for shift, factor in ((30, FIRST), (27, SECOND), (31, None)):
        state = code.let(f"xor {kind} {state}, {code.let(f'lshr {kind} {state}, {constant(shift)}')}")
        state = state if factor is None else code.let(f"mul {kind} {state}, {constant(factor)}")
    return state


def _stored_uniform(code: Code, state: Name, to: Name, kind: str) -> None:
    """Write the upper 53 bits of an augmentation's hashes to memory, as float64 in [0, 1)."""
    count = 1 if kind == "i64" else int(kind[1:].split()[0])
    floats = "double" if count == 1 else f"<{count} x double>"

    def constant(kind: str, value: str) -> str:
        return value if count == 1 else "<" + ", ".join([f"{kind} {value}"] * count) + ">"

    upper = code.let(f"lshr {kind} {state}, {constant('i64', '11')}")
    share = code.let(f"uitofp {kind} {upper} to {floats}")
    found = code.let(f"fmul {floats} {share}, {constant('double', code.double(2.0**-53))}")
    code.put(f"store {floats} {found}, ptr {to}, align 8")


def _hashes_of(code: Code, seed: Name, n: Int, first: Int, to: Name, *, uniform: bool) -> None:
    """Write the hashes of one seed of an augmentation with n numbers from `first` on, to memory."""
    kind = f"<{WIDTH} x i64>"
    steps = "<" + ", ".join(f"i64 {signed(i * INCREMENT % 2**64)}" for i in range(WIDTH)) + ">"
    whole = code.let(f"and i64 {n}, {-WIDTH}")

    def start(index: Int) -> Int:
        place = code.plus(code.plus(first, 1), index)
        return code.plus(seed, code.times(place, signed(INCREMENT)))

    def put(state: Name, at: Name, kind: str) -> None:
        if uniform:
            _stored_uniform(code, state, at, kind)
        else:
            code.put(f"store {kind} {state}, ptr {at}, align 8")

    with code.loop(0, whole, WIDTH) as i:
        one = code.let(f"insertelement {kind} poison, i64 {start(i.index)}, i64 0")
        each = code.let(f"shufflevector {kind} {one}, {kind} poison, <{WIDTH} x i32> zeroinitializer")
        put(hashed(code, code.let(f"add {kind} {each}, {steps}"), kind), code.at(to, i.index, "i64"), kind)
    with code.loop(whole, n) as i:
        put(hashed(code, str(start(i.index)), "i64"), code.at(to, i.index, "i64"), "i64")


def write_hashes(uniform: bool) -> str:
    """Write the kernel that hashes each seed of an augmentation's batch with numbers from `first` on.

    Args:
        uniform: Whether the upper 53 bits of each are written as a float64 in [0, 1), else all 64 as an integer.
    """
    code = Code(4)
    field = {name: code.load_i64("%job", i) for i, name in enumerate(JOB)}
    seeds, out = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("seeds", "out"))
    with code.loop(0, field["n_seeds"]) as row:
        seed = code.load_i64(seeds, row.index)
        to = code.at(out, code.times(row.index, field["n"]), "i64")
        _hashes_of(code, seed, field["n"], field["first"], to, uniform=uniform)
    return code.text("kernel", "ptr %job")


def write_streams() -> str:
    """Write the kernel that derives the seeds of members of an augmentation, and of the stream of draws of each.

    Beside them stand the first numbers of these in [0, 1).
    """
    code = Code(4)
    field = {name: code.load_i64("%job", i) for i, name in enumerate(STREAM_JOB)}
    seeds, steps, names, given, own, out = (
        code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("seeds", "steps", "names", "given", "own", "out")
    )

    def derived(seed: Name, step: Name) -> Name:
        return hashed(code, str(code.plus(code.plus(seed, step), signed(INCREMENT))), "i64")

    with code.loop(0, field["n_streams"]) as stream:
        step, name = code.load_i64(steps, stream.index), code.load_i64(names, stream.index)
        with code.loop(0, field["n_seeds"]) as row:
            at = code.plus(code.times(stream.index, field["n_seeds"]), row.index)
            of_member = derived(code.load_i64(seeds, row.index), step)
            code.put(f"store i64 {of_member}, ptr {code.at(given, at, 'i64')}, align 8")
            seed = derived(of_member, name)
            code.put(f"store i64 {seed}, ptr {code.at(own, at, 'i64')}, align 8")
            to = code.at(out, code.times(at, field["n"]), "i64")
            _hashes_of(code, seed, field["n"], 0, to, uniform=True)
    return code.text("kernel", "ptr %job")
