"""The stage of a constant-Q kernel that multiplies frames by kernels, and takes the magnitudes.

The lanes are products of one frame, so that frames need not be copied or transposed: each sample is read where it lies,
and multiplies as many products as a vector holds. `FRAMES` frames share each vector of kernels that is loaded.
"""

from __future__ import annotations

from audiofeed.methods.constant_q.kernel.stages import Numbers, numbers, stage_text
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Name

# 8 frames of 3 vectors are 24 sums, which fit into 32 registers beside 3 kernels; of 16 registers they take 12
FRAMES, FEW_FRAMES = 8, 4
VECTORS = 3
# what becomes of a frame's products: its real and imaginary parts, |z|, |z|^2, or all products as they are
MODES = ("complex", "magnitude", "square", "plain")


def write_products(lanes: int, frames: int, mode: str) -> str:
    """Write the stage of a constant-Q kernel that multiplies frames by kernels.

    Args:
        lanes: floats of a vector.
        frames: computed at once.
        mode: one of `MODES`.
    """
    code = Code(lanes)
    stage, state = numbers(code)
    n_found = code.plus(code.times(code.minus(state["count"], 1), stage["advance"]), code.plus(stage["more"], 1))
    source = _chosen(code, stage, state, "from_found", "signal")
    offset = code.let(f"ashr i64 {state['offset']}, {stage['shift']}")
    first = code.at(source, code.plus(offset, stage["start"]), "float")
    to = code.at(_chosen(code, stage, state, "to_found", "out"), stage["out_at"], "float")
    sums = code.at(state.pointer("memory"), stage["work"], "i8")
    field = {name: stage[name] for name in ("hop", "inner", "outer", "outer_stride", "vectors", "bins", "out_stride")}
    field["kernels"] = stage.pointer("tables")
    # of at least `frames` frames the last are computed with those before them, some of them again
    last = code.minus(n_found, frames)
    many = code.let(f"icmp sge i64 {last}, 0")
    whole = code.let(f"select i1 {many}, i64 {n_found}, i64 0")
    with code.loop(0, whole, frames) as f:
        _group(code, field, mode, first, code.min(f.index, last), frames, sums, to)
    single = code.let(f"select i1 {many}, i64 0, i64 {n_found}")
    with code.loop(0, single) as f:
        _group(code, field, mode, first, f.index, 1, sums, to)
    return stage_text(code)


def _chosen(code: Code, stage: Numbers, state: Numbers, flag: str, otherwise: str) -> Name:
    """Write the part of a constant-Q kernel that chooses between the products of blocks and other memory."""
    found = code.let(f"icmp ne i64 {stage[flag]}, 0")
    return code.let(f"select i1 {found}, ptr {state.pointer('found')}, ptr {state.pointer(otherwise)}")


def _group(
    code: Code, field: dict[str, Name], mode: str, signal: Name, first: Name, n: int, sums: Name, to: Name
) -> None:
    """Write the part of a constant-Q kernel that computes the products of n frames, and stores what becomes of them."""
    starts = [code.at(signal, code.times(code.plus(first, f), field["hop"]), "float") for f in range(n)]
    vectors = field["vectors"]
    width = code.times(vectors, code.lanes)
    results = [code.at(to, code.times(code.plus(first, f), field["out_stride"]), "float") for f in range(n)]
    places = results if mode == "plain" else [code.at(sums, code.times(f, width), "float") for f in range(n)]
    done: str | int = 0
    for together in range(VECTORS, 0, -1):
        if together == VECTORS:
            end = code.times(code.let(f"sdiv i64 {vectors}, {VECTORS}"), VECTORS)
        else:
            rest = code.let(f"srem i64 {vectors}, {VECTORS}")
            own = code.let(f"icmp eq i64 {rest}, {together}")
            end = code.let(f"select i1 {own}, i64 {vectors}, i64 {done}")
        with code.loop(done, end, together) as v:
            totals = _products(code, field, starts, v.index, together)
            for place, of_frame in zip(places, totals, strict=True):
                for j, total in enumerate(of_frame):
                    code.store_floats(total, code.at(place, code.times(code.plus(v.index, j), code.lanes), "float"))
        done = end
    if mode != "plain":
        for place, result in zip(places, results, strict=True):
            _close(code, mode, field["bins"], place, result)


def _products(code: Code, field: dict[str, Name], starts: list[Name], vector: Name, together: int) -> list[list[Name]]:
    """Write the sums of a constant-Q kernel over the taps of frames, for neighboring vectors of products.

    Taps that lie together are summed by themselves first: short chains round less.
    """
    n = len(starts) * together
    with code.loop(0, field["outer"]) as chunk:
        totals = [chunk.carry("zeroinitializer") for _ in range(n)]
        begins = [code.at(start, code.times(chunk.index, field["outer_stride"]), "float") for start in starts]
        row = code.times(code.times(chunk.index, field["inner"]), field["vectors"])
        kernels = code.at(field["kernels"], code.plus(row, vector), code.vector)
        with code.loop(0, field["inner"]) as tap:
            parts = [tap.carry("zeroinitializer") for _ in range(n)]
            here = code.at(kernels, code.times(tap.index, field["vectors"]), code.vector)
            weights = [code.load_vector(here, j) for j in range(together)]
            for f, begin in enumerate(begins):
                sample = code.broadcast_float(begin, tap.index)
                for j, weight in enumerate(weights):
                    tap.keep(code.multiply_add(weight, sample, parts[f * together + j]))
        for total, part in zip(totals, parts, strict=True):
            chunk.keep(code.add(total, part))
    return [totals[f * together : (f + 1) * together] for f in range(len(starts))]


def _close(code: Code, mode: str, bins: Name, sums: Name, result: Name) -> None:
    """Write the part of a constant-Q kernel that stores a frame's bins, of which all real parts lie first."""
    n = code.lanes
    imaginary = code.at(sums, bins, "float")
    if mode == "complex":
        with code.loop(0, bins) as b:
            for part, source in enumerate((sums, imaginary)):
                one = code.let(f"load float, ptr {code.at(source, b.index, 'float')}, align 4")
                place = code.at(result, code.plus(code.times(2, b.index), part), "float")
                code.put(f"store float {one}, ptr {place}, align 4")
        return
    with code.loop(0, bins, n) as b:
        a, c = (code.load_floats(code.at(source, b.index, "float")) for source in (sums, imaginary))
        value = code.multiply_add(c, c, code.multiply(a, a))
        value = code.root(value) if mode == "magnitude" else value
        mask = code.lanes_below(code.minus(bins, b.index))
        place = code.at(result, b.index, "float")
        code.put(
            f"call void @llvm.masked.store.v{n}f32.p0({code.vector} {value}, ptr {place}, i32 4, <{n} x i1> {mask})"
        )
