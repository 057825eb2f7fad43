"""LLVM code that masks an augmentation's features: spans of frames in every bin, and spans of bins."""

from __future__ import annotations

from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

FIELDS = (
    "bins",
    "groups",  # lines of a clip are groups of so many bins
    "n_time",  # spans of frames of each clip
    "n_frequency",
    "by_mean",  # 1: the fill is the mean of the clip's own frames
)
# a line is a channel, its samples are frames
NUMBERS = (
    "spans",  # address of the begin and end of each span of frames, and then of bins
    "fill",  # the bits of a float32
)


def write_masks(lanes: int) -> str:
    """Write the kernel that copies an augmentation's features and masks them."""
    code = RowCode(lanes, FIELDS, NUMBERS)
    number = code.number
    frames, lines, bins = number["time"], number["channels"], number["bins"]
    total = code.let("alloca double, align 8")
    code.put(f"store double {code.double(0.0)}, ptr {total}, align 8")

    def copied(source: Name, result: Name) -> None:
        """Write the copy of a line of an augmentation's features, and add its own frames up."""

        def load(i: Int, mask: Name | None) -> Name:
            return code.get_floats(code.at(source, i, "float"), mask)

        def put(i: Int, value: Name, mask: Name | None) -> None:
            code.put_floats(value, code.at(result, i, "float"), mask)

        whole = code.let(f"and i64 {frames}, {-lanes}")
        with code.loop(0, whole, lanes) as i:
            part = i.carry("zeroinitializer")
            value = load(i.index, None)
            put(i.index, value, None)
            i.keep(code.add(part, value))
        with code.loop(whole, frames, lanes) as i:
            after = i.carry(part)
            mask = code.lanes_below(code.minus(frames, i.index))
            value = load(i.index, mask)
            put(i.index, value, mask)
            i.keep(code.add(after, value))
        wide = code.let(f"fpext {code.vector} {after} to {code.doubles}")
        zero = code.double(0.0)
        line = code.let(f"call double @llvm.vector.reduce.fadd.v{lanes}f64(double {zero}, {code.doubles} {wide})")
        code.add_to(total, 0, line)

        def rest(i: Int, mask: Name | None) -> None:
            put(i, load(i, mask), mask)

        past = code.minus(number["size"], frames)
        source, result = code.at(source, frames, "float"), code.at(result, frames, "float")
        code.over(past, rest)

    with code.loop(0, lines) as line:
        copied(code.channel_of("source", line.index), code.channel_of("result", line.index))
    count = code.let(f"sitofp i64 {code.max(1, code.times(frames, lines))} to double")
    mean = code.let(f"fptrunc double {code.let(f'fdiv double {code.total(total, 0)}, {count}')} to float")
    low = code.let(f"trunc i64 {number['fill']} to i32")
    given = code.let(f"bitcast i32 {low} to float")
    is_mean = code.let(f"icmp eq i64 {number['by_mean']}, 1")
    fill = code.in_every_lane(code.let(f"select i1 {is_mean}, float {mean}, float {given}"))
    spans = code.pointer("spans")

    def filled(line: Int, begin: Int, end: Int) -> None:
        """Write the fill of frames of a line of an augmentation's features."""
        to = code.at(code.channel_of("result", line), begin, "float")

        def put(i: Int, mask: Name | None) -> None:
            code.put_floats(fill, code.at(to, i, "float"), mask)

        code.over(code.minus(end, begin), put)

    with code.loop(0, number["n_time"]) as span:
        begin, end = (code.load_i64(spans, code.plus(code.times(2, span.index), part)) for part in (0, 1))
        with code.loop(0, lines) as line:
            filled(line.index, begin, end)
    of_bins = code.at(spans, code.times(2, number["n_time"]), "i64")
    with code.loop(0, number["n_frequency"]) as span:
        begin, end = (code.load_i64(of_bins, code.plus(code.times(2, span.index), part)) for part in (0, 1))
        with code.loop(0, number["groups"]) as group, code.loop(begin, end) as bin:
            filled(code.plus(code.times(group.index, bins), bin.index), 0, frames)
    return code.whole()
