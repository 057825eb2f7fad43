"""LLVM code of the hash behind an augmentation's draws, splitmix64: what `contract/noise.py` says, to the bit."""

from __future__ import annotations

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

INCREMENT, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
JOB = ("seeds", "n_seeds", "n", "first", "out")
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


def write_hashes(uniform: bool) -> str:
    """Write the kernel that hashes each seed of an augmentation's batch with numbers from `first` on.

    Args:
        uniform: Whether the upper 53 bits of each are written as a float64 in [0, 1), else all 64 as an integer.
    """
    code = Code(4)
    field = {name: code.load_i64("%job", i) for i, name in enumerate(JOB)}
    seeds, out = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("seeds", "out"))
    kind, n = f"<{WIDTH} x i64>", field["n"]
    wide = f"<{WIDTH} x double>"

    def put(state: Name, to: Name, kind: str, floats: str) -> None:
        if uniform:
            many = kind != "i64"
            share, scale = ("11", code.double(2.0**-53))
            shift = "<" + ", ".join([f"i64 {share}"] * WIDTH) + ">" if many else share
            factor = "<" + ", ".join([f"double {scale}"] * WIDTH) + ">" if many else scale
            upper = code.let(f"lshr {kind} {state}, {shift}")
            state, kind = code.let(f"fmul {floats} {code.let(f'uitofp {kind} {upper} to {floats}')}, {factor}"), floats
        code.put(f"store {kind} {state}, ptr {to}, align 8")

    steps = "<" + ", ".join(f"i64 {signed(i * INCREMENT % 2**64)}" for i in range(WIDTH)) + ">"
    whole = code.let(f"and i64 {n}, {-WIDTH}")
    with code.loop(0, field["n_seeds"]) as row:
        seed = code.load_i64(seeds, row.index)
        to = code.at(out, code.times(row.index, n), "i64")

        def start(index: Int, seed: Name = seed) -> Int:
            place = code.plus(code.plus(field["first"], 1), index)
            return code.plus(seed, code.times(place, signed(INCREMENT)))

        with code.loop(0, whole, WIDTH) as i:
            one = code.let(f"insertelement {kind} poison, i64 {start(i.index)}, i64 0")
            each = code.let(f"shufflevector {kind} {one}, {kind} poison, <{WIDTH} x i32> zeroinitializer")
            state = hashed(code, code.let(f"add {kind} {each}, {steps}"), kind)
            put(state, code.at(to, i.index, "i64"), kind, wide)
        with code.loop(whole, n) as i:
            found = hashed(code, str(start(i.index)), "i64")
            put(found, code.at(to, i.index, "i64"), "i64", "double")
    return code.text("kernel", "ptr %job")
