"""The stage of a constant-Q kernel that filters and thins out a level's signal, by overlap-save in short FFTs.

Each lane has a block of the signal: the real FFT of its samples, the bins that the lower rate keeps times the filter's
response, and an inverse FFT of fewer points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiofeed.methods.constant_q.kernel.stages import clear, numbers, quotient, stage_text
from audiofeed.methods.short_time.kernel import fourier
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name


@dataclass(frozen=True)
class Blocks:
    """Overlap-save blocks of a constant-Q kernel: samples of a block, of which `reach` on either side only lead in.

    Args:
        lanes: blocks computed at once.
        factor: every so many samples one is kept.
        block: samples, a power of two.
        reach: samples that the filter sees on either side, a multiple of the factor.
    """

    lanes: int
    factor: int
    block: int
    reach: int

    @property
    def step(self) -> int:
        """Samples from a block of a constant-Q kernel to the next one."""
        return self.block - 2 * self.reach

    @property
    def kept(self) -> int:
        """Samples that a block of a constant-Q kernel leaves at the lower rate."""
        return self.step // self.factor

    @property
    def memory(self) -> int:
        """Bytes in which the blocks of a constant-Q kernel are transformed, those of all lanes, twice."""
        return 2 * self.block * 4 * self.lanes


@dataclass(frozen=True)
class Written:
    """Text of a constant-Q kernel's decimation, and the floats that it reads: roots of unity and response."""

    text: str
    tables: np.ndarray


def write_decimation(blocks: Blocks, response: np.ndarray) -> Written:
    """Write the stage of a constant-Q kernel that decimates a level's signal.

    Args:
        response: of the filter at the bins 0..block / (2 factor) of a block's FFT, over the factor between the lengths
            of the two transforms.
    """
    code, lanes, factor, block, reach = Code(blocks.lanes), blocks.lanes, blocks.factor, blocks.block, blocks.reach
    stage, state = numbers(code)
    time = state["time"]
    lower = quotient(code, time, factor)
    n_blocks = quotient(code, code.times(lower, factor), blocks.step)
    memory = code.at(state.pointer("memory"), stage["at"], "i8")
    inside = code.at(memory, stage["left"], "float")
    source = code.at(state.pointer("signal"), -reach, "float")
    ping = code.at(state.pointer("memory"), stage["work"], "i8")
    pong = code.at(ping, block, code.vector)
    half, points = block // 2, block // factor
    # the untangled bins are twice as large, and so are the tangled ones
    exact = np.asarray(response, np.float64) / (2 * points) / (fourier.gain(half) * fourier.gain(points // 2))
    rounded = exact.astype(np.float32)
    parts = {
        "turns": fourier.roots(block, np.arange(points // 2 + 1)),
        "back": fourier.roots(points, -np.arange(points // 4 + 1)),
        "response": rounded,
        "rest": exact - rounded,
    }
    begins, size = {}, 0
    for name, values in parts.items():
        begins[name], size = size, size + len(values)
    tables = stage.pointer("tables")
    at = {name: code.at(tables, begin, "float") for name, begin in begins.items()}
    twiddles = [code.at(tables, size, "float")]
    clear(code, memory, stage["left"])
    with code.loop(0, n_blocks, lanes) as first:
        # lanes past the last block repeat it
        own = [code.min(code.plus(first.index, lane), code.minus(n_blocks, 1)) for lane in range(lanes)]
        _read(code, block, [code.at(source, code.times(one, blocks.step), "float") for one in own], ping)
        spectrum, free, forward = fourier.transform(code, half, ping, pong, twiddles[0])
        _weigh(code, block, points, spectrum, free, at)
        second = code.at(twiddles[0], len(forward), "float")
        found, _, backward = fourier.transform(code, points // 2, free, spectrum, second)
        to = [code.at(inside, code.times(one, blocks.kept), "float") for one in own]
        _write(code, reach // factor, blocks.kept, found, to)
    filled: Int = lower
    if factor > 2:
        filled = code.let(f"sdiv i64 {code.plus(code.times(2, time), factor)}, {2 * factor}")
        filled = code.let(f"call i64 @llvm.smax.i64(i64 {filled}, i64 1)")
    rest = code.minus(code.plus(lower, stage["right"]), filled)
    clear(code, code.at(inside, filled, "float"), rest)
    state.put_pointer("signal", inside)
    state.put("time", lower)
    text = "declare i64 @llvm.smax.i64(i64, i64)\n" + stage_text(code)
    return Written(text, np.concatenate([*parts.values(), forward, backward]).astype(np.float32))


def _read(code: Code, block: int, starts: list[Name], to: Name) -> None:
    """Write the part of a constant-Q kernel that loads a block into each lane."""
    with code.loop(0, block, code.lanes) as at:
        rows = [code.load_floats(code.at(start, at.index, "float")) for start in starts]
        for j, samples in enumerate(code.transposed(rows)):
            code.store_vector(samples, to, code.plus(at.index, j))


# With X the spectrum of a block, H the response and M points of the inverse transform, the transform of the M / 2
# complex numbers y_2n + i y_(2n+1) is, at k and at j = M / 2 - k,
#
#     S + P  and  conj(S - P),    S = Y_k + conj(Y_j),    P = i exp(2 pi i k / M) (Y_k - conj(Y_j)),    Y = H X.
#
# Real and imaginary parts are stored in each other's place: the forward transform is then the inverse one, with the
# parts of its result in each other's place.
def _weigh(code: Code, block: int, points: int, spectrum: Name, to: Name, at: dict[str, Name]) -> None:
    """Write the part of a constant-Q kernel from a block's spectrum to that of its samples at the lower rate."""
    middle = points // 2

    def weighed(k: Int) -> tuple[Name, Name]:
        low, _ = fourier.untangled(code, block, spectrum, at["turns"], k)
        return by_response(low[0], k), by_response(low[1], k)

    def by_response(value: Name, k: Int) -> Name:
        by, rest = (code.broadcast_float(at[name], k) for name in ("response", "rest"))
        return code.multiply_add(value, by, code.multiply(value, rest))

    def put(k: Int, real: Name, imaginary: Name) -> None:
        code.store_vector(imaginary, to, code.times(2, k))
        code.store_vector(real, to, code.plus(code.times(2, k), 1))

    first = by_response(fourier.ends(code, spectrum)[0], 0)
    last = weighed(middle)[0]
    put(0, code.add(first, last), code.subtract(first, last))
    with code.loop(1, middle // 2 + 1) as k:
        j = code.minus(middle, k.index)
        (ar, ai), (br, bi) = weighed(k.index), weighed(j)
        sr, si = code.add(ar, br), code.subtract(ai, bi)
        dr, di = code.subtract(ar, br), code.add(ai, bi)
        c, s = (code.broadcast_float(at["back"], code.plus(code.times(2, k.index), part)) for part in (0, 1))
        # (c + i s)(dr + i di), and then times i
        real = code.multiply_add(code.negate(s), di, code.multiply(c, dr))
        imaginary = code.multiply_add(c, di, code.multiply(s, dr))
        pr, pi = code.negate(imaginary), real
        put(k.index, code.add(sr, pr), code.add(si, pi))
        put(j, code.subtract(sr, pr), code.subtract(pi, si))


def _write(code: Code, lead: int, kept: int, found: Name, to: list[Name]) -> None:
    """Write the part of a constant-Q kernel that stores the samples that each block leaves."""
    with code.loop(0, kept, code.lanes) as at:
        here = code.min(at.index, kept - code.lanes)  # the last vectors are written over some of those before
        rows = []
        for j in range(code.lanes):
            other = 1 if (lead + j) % 2 == 0 else -1
            rows.append(code.load_vector(found, code.plus(here, lead + j + other)))
        for pointer, row in zip(to, code.transposed(rows), strict=True):
            code.store_floats(row, code.at(pointer, here, "float"))
