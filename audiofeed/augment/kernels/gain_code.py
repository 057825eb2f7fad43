"""LLVM code that copies a row of an augmentation, or multiplies it by a factor."""

from __future__ import annotations

from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

NUMBERS = ("factor",)  # the bits of a float32


def write_gain(lanes: int) -> str:
    """Write the kernel that multiplies an augmentation's rows by a factor each."""
    code = RowCode(lanes, (), NUMBERS)
    factor = code.broadcast_bits(code.number["factor"])
    with code.loop(0, code.number["channels"]) as channel:
        source, result = (code.channel_of(name, channel.index) for name in ("source", "result"))

        def scaled(i: Int, mask: Name | None) -> None:
            value = code.multiply(code.get_floats(code.at(source, i, "float"), mask), factor)
            code.put_floats(value, code.at(result, i, "float"), mask)

        code.over(code.number["time"], scaled)
        code.clear_end(result)
    return code.whole()
