"""Code of a kernel for whole clips: what the thread does that has computed the last tile of one.

The values are then in its cache, and no other thread waits: a limit below the clip's peak with shifts and scales after
it, or a normalization by the clip's own mean and standard deviation.
"""

from __future__ import annotations

from audiofeed.methods.short_time.kernel import line_code
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

DOUBLES_KEPT = 3


def write_closing(
    code: Code,
    closing: tuple[str, ...],
    field: dict[str, Name],
    *,
    tile: Name,
    row: Name,
    first: Name,
    count: Name,
    n_lines: Int,
    scratch: tuple[Name, Name],
) -> None:
    """Write the part of a kernel's source that closes a clip when all its tiles are done.

    Args:
        closing: see `KernelSpec`.
        field: the fields of the job.
        tile: number of the tile that was done.
        row, first, count: its row, the number of its first frame, and the frames of the row.
        n_lines: lines of a row: filters, or bins.
        scratch: memory for a vector of float64, and for `DOUBLES_KEPT` float64.
    """
    of_each = field["rows_of_each"]
    clip = code.let(f"sdiv i64 {row}, {of_each}")
    tiles_of_row = code.let(f"sdiv i64 {code.plus(count, code.lanes - 1)}, {code.lanes}")
    n_tiles = code.times(tiles_of_row, of_each)
    counter = code.at(code.let(f"inttoptr i64 {field['done']} to ptr"), clip, "i64")
    # what other threads have written of the clip is seen by the one that finds it complete
    before = code.let(f"atomicrmw add ptr {counter}, i64 1 seq_cst")
    complete = code.let(f"icmp eq i64 {before}, {code.minus(n_tiles, 1)}")
    lines_of_clip = code.times(of_each, n_lines)
    with code.loop(0, code.let(f"zext i1 {complete} to i64")):
        begin = code.times(clip, code.times(lines_of_clip, field["stride"]))
        values = code.at(code.let(f"inttoptr i64 {field['out']} to ptr"), begin, "float")

        def line(number: Int) -> Name:
            return code.at(values, code.times(number, field["stride"]), "float")

        if closing[0] == "limit":
            earlier = code.minus(row, code.times(clip, of_each))
            own = code.minus(tile, code.let(f"sdiv i64 {first}, {code.lanes}"))
            own = code.minus(own, code.times(earlier, tiles_of_row))
            peaks = code.at(code.let(f"inttoptr i64 {field['peaks']} to ptr"), own, "double")
            peak = _largest(code, peaks, n_tiles, scratch[1])
            bits = code.let(f"trunc i64 {field['top']} to i32")
            top = code.let(f"bitcast i32 {bits} to float")
            least = code.in_every_lane(code.let(f"fsub float {peak}, {top}"))
            table = code.let(f"inttoptr i64 {field['closing']} to ptr")
            with code.loop(0, lines_of_clip) as m:
                of_row = code.let(f"srem i64 {m.index}, {n_lines}")
                numbers = [least]
                for i in range(len(closing) - 1):
                    place = code.times(2, code.plus(code.times(i, n_lines), of_row))
                    numbers += [code.broadcast_float(table, place), code.broadcast_float(table, code.plus(place, 1))]
                line_code.write_steps(code, ("least", *closing[1:]), line(m.index), count, numbers)
            return
        over, unbiased, eps_to = closing
        if over == "bin":
            with code.loop(0, lines_of_clip) as m:
                line_code.write_standardized(
                    code, line(m.index), count, scratch[0], field["eps"], unbiased == "unbiased", eps_to
                )
            return
        sums = [code.at(scratch[1], i, "double") for i in range(DOUBLES_KEPT)]
        for place in sums:
            code.put(f"store double 0.0, ptr {place}, align 8")
        with code.loop(0, lines_of_clip) as m:
            mean, squares, _, n_values = line_code.moments(code, line(m.index), count, scratch[0])
            # of float64: what the squares of means lose by their difference does not count
            raw = code.let(f"fmul double {n_values}, {code.let(f'fmul double {mean}, {mean}')}")
            for place, more in zip(sums, (mean, squares, raw), strict=True):
                total = code.let(f"fadd double {code.let(f'load double, ptr {place}, align 8')}, {more}")
                code.put(f"store double {total}, ptr {place}, align 8")
        n_lines_of_clip = code.let(f"sitofp i64 {lines_of_clip} to double")
        all_values = code.let(f"sitofp i64 {code.times(lines_of_clip, count)} to double")
        means, squares, raw = (code.let(f"load double, ptr {place}, align 8") for place in sums)
        mean = code.let(f"fdiv double {means}, {n_lines_of_clip}")
        of_mean = code.let(f"fmul double {all_values}, {code.let(f'fmul double {mean}, {mean}')}")
        between = code.let(f"fsub double {raw}, {of_mean}")
        squares = code.let(f"fadd double {squares}, {between}")
        center = code.in_every_lane(code.let(f"fptrunc double {mean} to float"))
        scale = line_code.scale(code, mean, squares, all_values, field["eps"], unbiased == "unbiased", eps_to)
        with code.loop(0, lines_of_clip) as m:
            line_code.write_steps(code, ("scale",), line(m.index), count, [center, scale])


def _largest(code: Code, doubles: Name, count: Int, place: Name) -> Name:
    """Write the part of a kernel's source that finds the largest of a clip's peaks, as a float; NaN if one is."""
    code.put(f"store double {code.double(float('-inf'))}, ptr {place}, align 8")
    with code.loop(0, count) as i:
        one = code.let(f"load double, ptr {code.at(doubles, i.index, 'double')}, align 8")
        best = code.let(f"load double, ptr {place}, align 8")
        best = code.let(f"call double @llvm.maximum.f64(double {best}, double {one})")
        code.put(f"store double {best}, ptr {place}, align 8")
    best = code.let(f"load double, ptr {place}, align 8")
    return code.let(f"fptrunc double {best} to float")
