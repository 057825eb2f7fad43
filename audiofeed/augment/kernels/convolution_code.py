"""LLVM code of an augmentation's convolution with rooms: overlapping blocks of a clip through a Fourier transform.

Two blocks of a clip are the real and the imaginary part of one complex block, as in `filters/long_responses.py`. The
transform of a block of N points goes by passes that need no order of the points (decimation in frequency): a pass of
radix r turns N points into r sub-blocks of N / r. The first passes split a block into sub-blocks that fit into a core's
first cache; of each of them all further passes follow at once, up to groups of as many points as a vector has lanes. So
many groups are transposed, and transformed across vectors: there the spectrum stands, in the order in which the passes
leave it (`Passes.order`), is multiplied by the response's, which lies in the same order, and goes back by the same way.
The passes of the inverse transform are those of the transform with real and imaginary parts in each other's place.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audiofeed.augment.kernels.passes import LAST, Passes
from audiofeed.augment.kernels.row_code import RowCode
from audiofeed.methods.short_time.kernel import fourier
from audiofeed.methods.short_time.kernel.fourier import Complex
from audiofeed.methods.short_time.kernel.llvm_ir import Int, Name

Load = Callable[[Int, "Name | None"], Name]

FIELDS = (
    "twiddles",
    "margin",  # samples of zeros that blocks see before a clip
    "spoiled",  # samples at the beginning of a block that are no result: the taps less one or more, whole vectors
    "step",  # samples of result of a block
    "work",  # bytes from a thread's memory to the block that is transformed
)
NUMBERS = (
    "spectrum",
    "spectrum_pitch",  # bytes from a response's one channel to its next; 0: one for all
    "wet",  # the bits of a float32
    "factor",  # the bits of a float32: by which the result is multiplied last
)


def write_convolution(passes: Passes, mixes: bool, at_once: bool) -> str:
    """Write the kernel that convolves an augmentation's clips with responses, and keeps their level.

    Args:
        passes: Of the Fourier transform of a block.
        mixes: Whether a share of the clip itself is heard.
        at_once: Whether all clips have one channel and fit into a pair of blocks: the gain is then known before
            anything is written. The values are the same.
    """
    code = RowCode(passes.lanes, FIELDS, NUMBERS)
    writer = _Blocks(code, passes)
    number = code.number
    time, lead_in, step = number["time"], number["margin"], number["step"]
    work = code.at(code.memory, number["work"], "i8")
    totals = code.let("alloca double, i64 2, align 8")
    wet, factor = (code.broadcast_bits(number[name]) for name in ("wet", "factor"))
    dry_share = code.subtract(code.constant(1.0), wet)
    code.put(f"store double {code.double(0.0)}, ptr {code.at(totals, 0, 'double')}, align 8")
    code.put(f"store double {code.double(0.0)}, ptr {code.at(totals, 1, 'double')}, align 8")
    inside = code.at(code.memory, lead_in, "float")
    blocks = code.let(f"sdiv i64 {code.plus(time, code.minus(step, 1))}, {step}")
    pairs = code.let(f"sdiv i64 {code.plus(blocks, 1)}, 2")
    with code.loop(0, number["channels"]) as channel:
        source, result, spectrum = (code.channel_of(name, channel.index) for name in ("source", "result", "spectrum"))

        def sample(i: Int, mask: Name | None, source: Name = source) -> Name:
            x = code.get_floats(code.at(source, i, "float"), mask)
            if not at_once:
                code.store_floats(x, code.at(inside, i, "float"))
            return x

        code.add_to(totals, 0, code.sum_squares(time, sample))
        if not at_once:
            # results may overwrite samples that a later block reads
            code.fill_zeros(code.memory, lead_in)
            whole = code.plus(code.times(code.times(2, pairs), step), number["spoiled"])
            code.fill_zeros(code.at(inside, time, "float"), code.minus(code.minus(whole, lead_in), time))
        with code.loop(0, pairs) as pair:
            first = code.times(code.times(2, pair.index), step)
            second = code.plus(first, step)
            if at_once:
                parts = writer.parts_of_clip(source, time, lead_in, step)
            else:
                parts = writer.parts_of([code.at(code.memory, begin, "float") for begin in (first, second)])
            writer.filter(parts, work, spectrum)
            heard: list[tuple[Name, Int, Load]] = []
            for part, begin in enumerate((first, second)):
                count = code.max(0, code.min(step, code.minus(time, begin)))

                def mixed(i: Int, mask: Name | None, part: int = part, begin: Int = begin) -> Name:
                    at = code.plus(begin, i)
                    value = code.get_floats(writer.result(work, part, code.plus(number["spoiled"], i)), mask)
                    if mixes:
                        dry = code.get_floats(code.at(source if at_once else inside, at, "float"), mask)
                        value = code.multiply_add(value, wet, code.multiply(dry, dry_share))
                    if not at_once:
                        code.put_floats(value, code.at(result, at, "float"), mask)
                    return value

                code.add_to(totals, 1, code.sum_squares(count, mixed))
                if at_once:
                    heard.append((count, begin, mixed))
            if at_once:
                gain = _level_kept(code, totals)
                for own, start, value in heard:

                    def put(i: Int, mask: Name | None, start: Int = start, value: Load = value) -> None:
                        at = code.at(result, code.plus(start, i), "float")
                        scaled = code.multiply(code.multiply(value(i, mask), gain), factor)
                        code.put_floats(scaled, at, mask)

                    code.over(own, put)
    if at_once:
        code.clear_end(code.pointer("result"))
        return code.whole()
    gain = _level_kept(code, totals)
    with code.loop(0, number["channels"]) as channel:
        result = code.channel_of("result", channel.index)

        def scaled(i: Int, mask: Name | None, result: Name = result) -> None:
            at = code.at(result, i, "float")
            value = code.multiply(code.multiply(code.get_floats(at, mask), gain), factor)
            code.put_floats(value, at, mask)

        code.over(time, scaled)
        code.clear_end(result)
    return code.whole()


def _level_kept(code: RowCode, totals: Name) -> Name:
    """Write the gain that keeps a clip's power in an augmentation's kernel; 0 where there is none to keep."""
    before, after = (code.total(totals, place) for place in (0, 1))
    heard = [code.let(f"fcmp ogt double {value}, {code.double(0.0)}") for value in (before, after)]
    both = code.let(f"and i1 {heard[0]}, {heard[1]}")
    root = code.let(f"call double @llvm.sqrt.f64(double {code.let(f'fdiv double {before}, {after}')})")
    gain = code.let(f"select i1 {both}, double {root}, double {code.double(0.0)}")
    return code.in_every_lane(code.let(f"fptrunc double {gain} to float"))


class _Blocks:
    """Code of an augmentation's convolution that leads two blocks of a clip through the passes and back."""

    def __init__(self, code: RowCode, passes: Passes) -> None:
        self._code, self._passes = code, passes
        twiddles = code.pointer("twiddles")
        self._twiddles = [code.at(twiddles, begin, "float") for begin in passes.twiddles[1]]
        # vectors from one sub-block to the next: apart from each other, or their points would share lines of the cache
        self._apart = 2 * passes.sub // passes.lanes + 2

    def parts_of(self, starts: list[Name]) -> list[list[Name]]:
        """Write where the parts of two blocks of an augmentation's clip lie, that a butterfly of the first pass joins.

        Args:
            starts: The blocks' first samples.

        Returns:
            Of each block the first samples of its parts.
        """
        radix = self._passes.radices[0]
        points = self._passes.size // radix
        return [[self._code.at(start, k * points, "float") for k in range(radix)] for start in starts]

    def parts_of_clip(self, source: Name, time: Int, lead_in: Int, step: Int) -> list[list[Name]]:
        """Write where the parts of the two blocks of an augmentation's clip lie: in the clip, or copied with zeros.

        Args:
            source: The clip's first sample.
            time: Its samples.
            lead_in: Zeros before it.
            step: From one block to the next.

        Returns:
            As `parts_of`.
        """
        code, radix = self._code, self._passes.radices[0]
        points = self._passes.size // radix
        places = code.let(f"alloca ptr, i64 {2 * radix}, align 8")
        with code.loop(0, 2) as block, code.loop(0, radix) as part:
            padded = code.plus(code.times(block.index, step), code.times(part.index, points))
            begin = code.minus(padded, lead_in)
            own = code.at(code.memory, padded, "float")
            of_clip = code.at(source, begin, "float")
            before = code.min(code.max(0, code.minus(0, begin)), points)
            end = code.max(before, code.min(points, code.minus(time, begin)))
            is_inside = code.let(f"icmp eq i64 {code.minus(end, before)}, {points}")
            with code.loop(0, code.let(f"select i1 {is_inside}, i64 0, i64 1")):
                code.fill_zeros(own, before)
                source_at, own_at = (code.at(pointer, before, "float") for pointer in (of_clip, own))

                def copy(i: Int, mask: Name | None, source_at: Name = source_at, own_at: Name = own_at) -> None:
                    x = code.get_floats(code.at(source_at, i, "float"), mask)
                    code.put_floats(x, code.at(own_at, i, "float"), mask)

                code.over(code.minus(end, before), copy)
                code.fill_zeros(code.at(own, end, "float"), code.minus(points, end))
            found = code.let(f"select i1 {is_inside}, ptr {of_clip}, ptr {own}")
            place = code.at(places, code.plus(code.times(block.index, radix), part.index), "ptr")
            code.put(f"store ptr {found}, ptr {place}, align 8")
        return [
            [code.let(f"load ptr, ptr {code.at(places, b * radix + k, 'ptr')}, align 8") for k in range(radix)]
            for b in (0, 1)
        ]

    def filter(self, parts: list[list[Name]], work: Name, spectrum: Name) -> None:
        """Write the convolution of two blocks of an augmentation's clip.

        Args:
            parts: As `parts_of` returns them.
            work: Memory for a complex block, in which the result lies, too.
            spectrum: Of the response, in the order of the passes.
        """
        code, passes = self._code, self._passes
        outer = len(passes.outer)
        for number in range(outer):
            self._outer(number, work, parts if number == 0 else None)
        tiles = passes.sub // passes.lanes**2
        with code.loop(0, passes.size // passes.sub) as sub:
            block = code.at(work, code.times(sub.index, self._apart), code.vector)
            self._through(outer, block, passes.sub, code.times(sub.index, tiles), spectrum)
        for number in reversed(range(outer)):
            self._outer(number, work, None, back=True)

    def _through(self, number: int, block: Name, size: int, first_tile: Int, spectrum: Name) -> None:
        """Write the passes of an augmentation's block from one on, and back: part after part, so that each stays near.

        Args:
            number: Of the pass.
            block: What it works on.
            size: Points of that.
            first_tile: Number of its first tile in the whole spectrum.
            spectrum: Of the response.
        """
        code, passes = self._code, self._passes
        a_tile = passes.lanes**2
        if number == len(passes.radices) - 1:
            with code.loop(0, size // a_tile) as tile:
                here = code.at(block, code.times(tile.index, 2 * passes.lanes), code.vector)
                own = code.plus(first_tile, tile.index)
                self._tile(here, code.at(spectrum, code.times(own, 2 * passes.lanes), code.vector))
            return
        part = passes.size // int(np.prod(passes.radices[: number + 1], dtype=np.int64))
        part = part if part >= a_tile else size
        self._inner(number, block, size, back=False)
        with code.loop(0, size // part) as each:
            here = code.at(block, code.times(each.index, 2 * part // passes.lanes), code.vector)
            first = code.plus(first_tile, code.times(each.index, part // a_tile))
            self._through(number + 1, here, part, first, spectrum)
        self._inner(number, block, size, back=True)

    def result(self, work: Name, part: int, point: Int) -> Name:
        """Write the address of a vector of one of two filtered blocks of an augmentation's clip.

        Args:
            work: Memory of the complex block.
            part: 0 for the first block, 1 for the second.
            point: The vector's first sample in the block.
        """
        code, passes = self._code, self._passes
        vector = code.let(f"lshr i64 {point}, {passes.lanes.bit_length() - 1}")
        sub = code.let(f"lshr i64 {point}, {passes.sub.bit_length() - 1}")
        return code.at(work, code.plus(code.times(2, code.plus(vector, sub)), part), code.vector)

    def _outer(self, number: int, work: Name, parts: list[list[Name]] | None, *, back: bool = False) -> None:
        """Write a pass over a whole block of an augmentation, its sub-blocks apart in memory."""
        code, passes = self._code, self._passes
        radix = passes.radices[number]
        above = int(np.prod(passes.radices[:number], dtype=np.int64))
        points = passes.size // above // radix  # from one point of a butterfly to the next
        subs, per_sub = points // passes.sub, passes.sub // passes.lanes
        with code.loop(0, above) as block, code.loop(0, subs) as part:
            first = code.plus(code.times(block.index, radix * subs), part.index)
            with code.loop(0, per_sub) as n:
                code.look_ahead()
                at = [
                    code.plus(code.times(code.plus(first, k * subs), self._apart), code.times(2, n.index))
                    for k in range(radix)
                ]
                vector = code.plus(code.times(part.index, per_sub), n.index)
                if parts is not None:
                    first_of_all = code.times(vector, passes.lanes)
                    values = [self._samples([own[k] for own in parts], first_of_all) for k in range(radix)]
                else:
                    values = [self._load(work, place) for place in at]
                made = self._butterfly(self._turns_of_block(number, radix, vector), values, back=back)
                for value, place in zip(made, at, strict=True):
                    self._store(value, work, place)

    def _inner(self, number: int, block: Name, size: int, *, back: bool) -> None:
        """Write a pass over a part of a sub-block of an augmentation, of so many points."""
        code, passes = self._code, self._passes
        radix = passes.radices[number]
        points = passes.size // int(np.prod(passes.radices[: number + 1], dtype=np.int64))
        vectors = points // passes.lanes
        with code.loop(0, size // (radix * points)) as part:
            begin = code.at(block, code.times(part.index, 2 * radix * vectors), code.vector)
            with code.loop(0, vectors) as n:
                code.look_ahead()
                at = [code.plus(2 * k * vectors, code.times(2, n.index)) for k in range(radix)]
                values = [self._load(begin, place) for place in at]
                made = self._butterfly(self._turns(number, radix, n.index), values, back=back)
                for value, place in zip(made, at, strict=True):
                    self._store(value, begin, place)

    def _turns(self, number: int, radix: int, vector: Int) -> Callable[[int], Complex]:
        """Return what writes the roots of unity of an augmentation's pass over a sub-block, by their power."""
        first = self._code.times(vector, 2 * (radix - 1))
        return lambda power: self._load(self._twiddles[number], self._code.plus(first, 2 * (power - 1)))

    def _turns_of_block(self, number: int, radix: int, vector: Int) -> Callable[[int], Complex]:
        """Return what writes the roots of unity of an augmentation's pass over a whole block, by their power."""
        code, table = self._code, self._twiddles[number]
        firsts = code.at(table, 2 * (radix - 1), code.vector)
        begin = code.times(vector, 2 * (radix - 1))

        def turn(power: int) -> Complex:
            at = code.plus(begin, 2 * (power - 1))
            first = code.broadcast_float(firsts, at), code.broadcast_float(firsts, code.plus(at, 1))
            return fourier.turn(code, self._load(table, 2 * (power - 1)), first)

        return turn

    def _butterfly(self, turn_of: Callable[[int], Complex], values: list[Complex], *, back: bool) -> list[Complex]:
        """Write a butterfly of an augmentation's pass, turned behind it, or before it on the way back."""
        code = self._code

        def turned(values: list[Complex]) -> list[Complex]:
            return [value if k == 0 else fourier.turn(code, value, turn_of(k)) for k, value in enumerate(values)]

        if not back:
            return turned(fourier.small(code, values))
        swapped = turned([(imaginary, real) for real, imaginary in values])
        return [(real, imaginary) for imaginary, real in fourier.small(code, swapped)]

    # A point of a tile is (group, lane). The lanes of a group are to be transformed, 4 n + j -> k + rows m: over n for
    # each j, turned, and then over j for each k. The groups change places with the lanes in two steps, four lanes among
    # each other and fours of lanes among each other, so that each step has few vectors at a time.
    def _tile(self, here: Name, weights: Name) -> None:
        """Write what is done with as many groups of an augmentation's spectrum as a vector has lanes."""
        lanes, last = self._passes.lanes, len(self._passes.radices) - 1
        rows = lanes // 4
        for n in range(rows):
            self._code.look_ahead(rows)
            four = [8 * n + 2 * j for j in range(4)]
            made = self._butterfly(self._turns(last, LAST, 0), [self._load(here, at) for at in four], back=False)
            self._store_all(self._each_part(self._within_fours, made), here, four)
        for j in range(4):
            own = [8 * n + 2 * j for n in range(rows)]
            values = self._each_part(self._among_fours, [self._load(here, at) for at in own])
            values = fourier.small(self._code, values) if rows > 1 else values
            self._store_all([self._turned(value, j * k) for k, value in enumerate(values)], here, own)
        for k in range(rows):
            four = [8 * k + 2 * j for j in range(4)]
            values = fourier.small(self._code, [self._load(here, at) for at in four])
            heard = [
                fourier.turn(self._code, value, self._load(weights, at)) for value, at in zip(values, four, strict=True)
            ]
            back = fourier.small(self._code, [(imaginary, real) for real, imaginary in heard])
            self._store_all([self._turned(value, j * k) for j, value in enumerate(back)], here, four)
        # real and imaginary parts stand in each other's place from here on
        for j in range(4):
            own = [8 * n + 2 * j for n in range(rows)]
            values = [self._load(here, at) for at in own]
            values = fourier.small(self._code, values) if rows > 1 else values
            self._store_all(self._each_part(self._among_fours, values), here, own)
        for n in range(rows):
            four = [8 * n + 2 * j for j in range(4)]
            swapped = self._each_part(self._within_fours, [self._load(here, at) for at in four])
            values = [(real, imaginary) for imaginary, real in swapped]
            self._store_all(self._butterfly(self._turns(last, LAST, 0), values, back=True), here, four)

    def _turned(self, value: Complex, power: int) -> Complex:
        """Write the product of an augmentation's value with a root of unity of as many as there are lanes."""
        lanes, (real, imaginary) = self._passes.lanes, value
        if power == 0:
            return value
        if 4 * power == lanes:
            return imaginary, self._code.negate(real)
        angle = -2 * np.pi * power / lanes
        return fourier.turn(self._code, value, (self._code.constant(np.cos(angle)), self._code.constant(np.sin(angle))))

    def _each_part(self, step: Callable[[list[Name]], list[Name]], values: list[Complex]) -> list[Complex]:
        """Write a step of an augmentation's kernel for the real and for the imaginary parts of values."""
        real, imaginary = (step([value[part] for value in values]) for part in (0, 1))
        return list(zip(real, imaginary, strict=True))

    def _within_fours(self, rows: list[Name]) -> list[Name]:
        """Write the exchange of four vectors of an augmentation with the four lanes of each four of theirs."""
        code, fours = self._code, range(0, self._passes.lanes, 4)
        lanes = self._passes.lanes

        def paired(a: Name, b: Name, picks: tuple[int, int, int, int]) -> Name:
            # below 4 a lane of a, else of b
            return code.shuffle(a, b, [four + p if p < 4 else lanes + four + p - 4 for four in fours for p in picks])

        low = [paired(rows[0], rows[1], (0, 4, 1, 5)), paired(rows[2], rows[3], (0, 4, 1, 5))]
        high = [paired(rows[0], rows[1], (2, 6, 3, 7)), paired(rows[2], rows[3], (2, 6, 3, 7))]
        return [paired(a, b, picks) for a, b in (low, high) for picks in ((0, 1, 4, 5), (2, 3, 6, 7))]

    def _among_fours(self, rows: list[Name]) -> list[Name]:
        """Write the exchange of vectors of an augmentation with their fours of lanes, of which there are as many."""
        code, lanes = self._code, self._passes.lanes

        def paired(a: Name, b: Name, fours: tuple[int, ...]) -> Name:
            return code.shuffle(a, b, [4 * four + lane for four in fours for lane in range(4)])

        if lanes == 4:
            return rows
        if lanes == 8:
            return [paired(rows[0], rows[1], (0, 2)), paired(rows[0], rows[1], (1, 3))]
        low = [paired(rows[0], rows[1], (0, 1, 4, 5)), paired(rows[2], rows[3], (0, 1, 4, 5))]
        high = [paired(rows[0], rows[1], (2, 3, 6, 7)), paired(rows[2], rows[3], (2, 3, 6, 7))]
        return [paired(a, b, fours) for a, b in (low, high) for fours in ((0, 2, 4, 6), (1, 3, 5, 7))]

    def _store_all(self, values: list[Complex], pointer: Name, places: list[int]) -> None:
        for value, at in zip(values, places, strict=True):
            self._store(value, pointer, at)

    def _samples(self, starts: list[Name], place: Int) -> Complex:
        """Write the loads of a vector of samples of two blocks of an augmentation's clip."""
        first, second = (self._code.load_floats(self._code.at(start, place, "float")) for start in starts)
        return first, second

    def _load(self, pointer: Name, at: Int) -> Complex:
        code = self._code
        return code.load_vector(pointer, at), code.load_vector(pointer, code.plus(at, 1))

    def _store(self, value: Complex, pointer: Name, at: Int) -> None:
        code = self._code
        code.store_vector(value[0], pointer, at)
        code.store_vector(value[1], pointer, code.plus(at, 1))
