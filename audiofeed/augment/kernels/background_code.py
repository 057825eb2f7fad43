"""LLVM code that adds a sound to each clip of an augmentation, at a ratio of their powers."""

from __future__ import annotations

from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

FIELDS = ("silence",)  # the bits of a float64: a mean power up to which a sound is silence
NUMBERS = (
    "sound",
    "sound_pitch",  # bytes from one channel of the sound to the next; 0: one for all
    "ratio",  # the bits of a float64: power of the sound over that of the clip
    "factor",  # the bits of a float32: by which the result is multiplied last
)


def write_background(lanes: int, int16: bool) -> str:
    """Write the kernel that adds sounds to an augmentation's clips.

    Args:
        lanes: Floats of a vector.
        int16: Whether sounds are integers of 16 bits, else float32; the ratio takes their scale out.
    """
    code = RowCode(lanes, FIELDS, NUMBERS)
    totals = code.let("alloca double, i64 2, align 8")
    silence = code.let(f"bitcast i64 {code.number['silence']} to double")
    kind = f"<{lanes} x i16>"

    def sample(at: Name, mask: Name | None) -> Name:
        if not int16:
            return code.get_floats(at, mask)
        if mask is None:
            return code.load_int16(at)
        call = f"@llvm.masked.load.v{lanes}i16.p0(ptr {at}, i32 2, <{lanes} x i1> {mask}, {kind} zeroinitializer)"
        return code.let(f"sitofp {kind} {code.let(f'call {kind} {call}')} to {code.vector}")

    number, time = code.number, code.number["time"]
    for place in (0, 1):
        code.put(f"store double {code.double(0.0)}, ptr {code.at(totals, place, 'double')}, align 8")

    with code.loop(0, number["channels"]) as channel:
        source, sound = (code.channel_of(name, channel.index) for name in ("source", "sound"))

        def clip(i: Int, mask: Name | None, source: Name = source) -> Name:
            return code.get_floats(code.at(source, i, "float"), mask)

        def other(i: Int, mask: Name | None, sound: Name = sound) -> Name:
            return sample(code.at(sound, i, "i16" if int16 else "float"), mask)

        code.add_to(totals, 0, code.sum_squares(time, clip))
        code.add_to(totals, 1, code.sum_squares(time, other))
    factor = code.broadcast_bits(number["factor"])
    gain = code.ratio_gain(totals, silence)
    with code.loop(0, number["channels"]) as channel:
        source, sound, result = (code.channel_of(name, channel.index) for name in ("source", "sound", "result"))

        def mixed(i: Int, mask: Name | None, source: Name = source, sound: Name = sound, result: Name = result) -> None:
            x = code.get_floats(code.at(source, i, "float"), mask)
            y = sample(code.at(sound, i, "i16" if int16 else "float"), mask)
            code.put_floats(code.multiply(code.multiply_add(y, gain, x), factor), code.at(result, i, "float"), mask)

        code.over(time, mixed)
        code.clear_end(result)
    declared = f"declare {kind} @llvm.masked.load.v{lanes}i16.p0(ptr, i32, <{lanes} x i1>, {kind})\n"
    return (declared if int16 else "") + code.whole()
