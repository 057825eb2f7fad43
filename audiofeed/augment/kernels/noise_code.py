"""LLVM code of an augmentation's noise: added to each clip at a level or a ratio of powers, or put in its chunks."""

from __future__ import annotations

from audiofeed.augment.kernels.normal_code import normal_numbers
from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

LEVEL_FIELDS = ("level",)  # the bits of a float32, what the noise is multiplied by
LEVEL_NUMBERS = ("seeds",)  # address of the seeds of the channels
RATIO_NUMBERS = (
    "seeds",
    "ratio",  # the bits of a float64: power of the noise over that of the clip
)
CHUNK_FIELDS = ("count",)  # chunks of a row
CHUNK_NUMBERS = (
    "chunks",  # address of the first sample of each, and of the one after its last
    "seeds",
)


def write_noise_at_level(lanes: int) -> str:
    """Write the kernel that adds noise of one level to an augmentation's clips, `normal_noise` of the channel's seed.

    Args:
        lanes: Floats of a vector.
    """
    code = RowCode(lanes, LEVEL_FIELDS, LEVEL_NUMBERS)
    level, seeds = code.broadcast_bits(code.number["level"]), code.pointer("seeds")
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))
        seed = code.load_i64(seeds, channel.index)

        def noisy(i: Int, mask: Name | None) -> None:
            noise, _ = normal_numbers(code, seed, i)
            x = code.get_floats(code.at(source, i, "float"), mask)
            code.put_floats(code.multiply_add(noise(), level, x), code.at(result, i, "float"), mask)

        code.over(code.number["time"], noisy)
        code.clear_end(result)
    return code.whole()


def write_noise_at_ratio(lanes: int) -> str:
    """Write the kernel that adds noise to an augmentation's clips, `normal_pairs` of the channel's seed by turns.

    A thread's memory takes a clip's noise, each channel from a multiple of twice the lanes on.

    Args:
        lanes: Floats of a vector.
    """
    code = RowCode(lanes, (), RATIO_NUMBERS)
    totals = code.let("alloca double, i64 2, align 8")
    zero, time, seeds = code.double(0.0), code.number["time"], code.pointer("seeds")
    for place in (0, 1):
        code.put(f"store double {zero}, ptr {code.at(totals, place, 'double')}, align 8")
    pitch = code.let(f"and i64 {code.plus(time, 2 * lanes - 1)}, {-2 * lanes}")
    turns = [[half + lane // 2 + lanes * (lane % 2) for lane in range(lanes)] for half in (0, lanes // 2)]

    with code.loop(0, code.number["channels"]) as channel:
        source = code.channel_of("source", channel.index)
        own = code.at(code.memory, code.times(channel.index, pitch), "float")
        seed = code.load_i64(seeds, channel.index)
        with code.loop(0, pitch, 2 * lanes) as i:
            first, second = (write() for write in normal_numbers(code, seed, code.let(f"lshr i64 {i.index}, 1")))
            for half, order in enumerate(turns):
                at = code.at(own, code.plus(i.index, half * lanes), "float")
                code.store_floats(code.shuffle(first, second, order), at)
        for place, samples in enumerate((source, own)):

            def load(i: Int, mask: Name | None, samples: Name = samples) -> Name:
                return code.get_floats(code.at(samples, i, "float"), mask)

            code.add_to(totals, place, code.sum_squares(time, load))
    gain = code.ratio_gain(totals, zero)
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))
        own = code.at(code.memory, code.times(channel.index, pitch), "float")

        def mixed(i: Int, mask: Name | None) -> None:
            x, noise = (code.get_floats(code.at(samples, i, "float"), mask) for samples in (source, own))
            code.put_floats(code.multiply_add(noise, gain, x), code.at(result, i, "float"), mask)

        code.over(time, mixed)
        code.clear_end(result)
    return code.whole()


def write_chunks(lanes: int, noise: bool) -> str:
    """Write the kernel that copies an augmentation's clips but for chunks, which are silence or noise of their power.

    Args:
        lanes: Floats of a vector.
        noise: Whether chunks are `normal_noise` of the channel's seed, times the root of the clip's power; else 0.
    """
    code = RowCode(lanes, CHUNK_FIELDS, CHUNK_NUMBERS)
    number, time = code.number, code.number["time"]
    chunks, seeds = code.pointer("chunks"), code.pointer("seeds")
    level = "zeroinitializer"
    if noise:
        totals = code.let("alloca double, align 8")
        code.put(f"store double {code.double(0.0)}, ptr {totals}, align 8")
        with code.loop(0, number["channels"]) as channel:
            source = code.channel_of("source", channel.index)

            def load(i: Int, mask: Name | None, source: Name = source) -> Name:
                return code.get_floats(code.at(source, i, "float"), mask)

            code.add_to(totals, 0, code.sum_squares(time, load))
        samples = code.let(f"sitofp i64 {code.max(1, code.times(time, number['channels']))} to double")
        power = code.let(f"fdiv double {code.total(totals, 0)}, {samples}")
        root = code.let(f"call double @llvm.sqrt.f64(double {power})")
        level = code.in_every_lane(code.let(f"fptrunc double {root} to float"))
    with code.loop(0, number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))

        def copied(i: Int, mask: Name | None, source: Name = source, result: Name = result) -> None:
            code.put_floats(code.get_floats(code.at(source, i, "float"), mask), code.at(result, i, "float"), mask)

        code.over(time, copied)
        seed = code.load_i64(seeds, channel.index) if noise else ""
        with code.loop(0, number["count"]) as chunk:
            begin = code.load_i64(chunks, code.times(2, chunk.index))
            end = code.load_i64(chunks, code.plus(code.times(2, chunk.index), 1))
            start = code.at(result, begin, "float")

            def fill(i: Int, mask: Name | None) -> None:
                value = level
                if noise:
                    value = code.multiply(normal_numbers(code, seed, code.plus(begin, i))[0](), level)
                code.put_floats(value, code.at(start, i, "float"), mask)

            code.over(code.minus(end, begin), fill)
        code.clear_end(result)
    return code.whole()
