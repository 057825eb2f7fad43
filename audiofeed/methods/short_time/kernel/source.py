"""The kernel: tiles of frames, one in each lane, from the waveform to what is wanted of their spectra.

A job is an array of integers, of which `FIELDS` names each. Threads call the kernel with the same job and take
tiles from it in turn, so that none waits for another, and each has memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiofeed.methods.short_time.kernel import fourier
from audiofeed.methods.short_time.kernel.code import Code, Name
from audiofeed.methods.short_time.kernel.logarithm import logarithm

FIELDS = (
    "next_tile",  # the first tile that no thread has taken
    "next_thread",  # how many threads have come
    "n_tiles",
    "step",  # tiles that a thread takes at once
    "memory",  # address of what the threads work in
    "memory_of_each",  # bytes of it for each thread
    "tiles",  # address of TILE numbers for each tile
    "rows",  # address of ROW numbers for each row
    "hop",  # bytes from frame to frame
    "window",  # address of n_fft floats, halved, and zeros up to whole vectors
    "twiddles",
    "turns",
    "spans",  # address of: first bin, end bin, and place of the weights less the first bin, of each filter
    "weights",
    "n_filters",
    "stride",  # floats from one filter's result to the next one's
)
TILE = ("row", "first", "out")
SUMMED_AT_ONCE = 32
# where frame 0 lies or would lie: inside the row, in its beginning, in its end; then the first frame that does not lie
# in its beginning, the first that lies in its end, and how many there are
ROW = ("inside", "beginning", "end", "first_inside", "first_end", "count")


@dataclass(frozen=True)
class Recipe:
    """What a kernel computes.

    Args:
        n_fft: samples of a frame.
        lanes: frames computed at once.
        int16: whether the samples are int16, and not float32.
        power: of the magnitude, 1.0 or 2.0; None: the complex spectrum.
        filters: whether the powers go through a bank of filters, and the result lies filter by filter; else it lies
            frame by frame.
        floor, factor: of the logarithm of what the filters give, factor * ln(max(x, floor)); None: no logarithm.
    """

    n_fft: int
    lanes: int
    int16: bool
    power: float | None
    filters: bool = False
    floor: float | None = None
    factor: float = 1.0

    @property
    def n_bins(self) -> int:
        """Bins of a frame."""
        return self.n_fft // 2 + 1

    @property
    def n_values(self) -> int:
        """Floats of a frame, where it is not filtered."""
        return self.n_bins if self.power is not None else 2 * self.n_bins

    @property
    def n_loaded(self) -> int:
        """Samples that are read of a frame."""
        return loaded(self.n_fft, self.lanes)

    @property
    def vectors(self) -> int:
        """Vectors in each of the two halves of a thread's memory."""
        return max(self.n_loaded, 2 * self.n_bins)


def loaded(n_fft: int, lanes: int) -> int:
    """Samples that are read of a frame: its own, and as many of what follows as fill the last vector.

    >>> loaded(100, 16)
    112
    """
    return -(-n_fft // lanes) * lanes


def can_compute(n_fft: int, lanes: int) -> bool:
    """Whether there is a kernel for frames of that length.

    >>> can_compute(400, 8), can_compute(401, 8), can_compute(8, 8), can_compute(2 * 17, 8)
    (True, False, False, False)
    """
    return n_fft % 2 == 0 and n_fft // 2 + 1 >= lanes and fourier.radices(n_fft // 2) is not None


@dataclass(frozen=True)
class Source:
    """The text of a kernel, and the tables that it reads."""

    text: str
    twiddles: np.ndarray
    turns: np.ndarray


def write(recipe: Recipe) -> Source:
    """The kernel of a recipe, as a function `kernel(job)`."""
    code = Code(recipe.lanes)
    job = {name: code.at("%job", i, "i64") for i, name in enumerate(FIELDS)}
    field = {name: code.whole_at("%job", i) for i, name in enumerate(FIELDS) if not name.startswith("next")}
    table = {name: code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("window", "twiddles", "turns", "memory")}
    thread = code.let(f"atomicrmw add ptr {job['next_thread']}, i64 1 seq_cst")
    ping = code.at(table["memory"], code.times(thread, field["memory_of_each"]), "i8")
    pong = code.at(ping, recipe.vectors, code.vector)
    n_steps = code.let(f"sdiv i64 {code.plus(field['n_tiles'], code.minus(field['step'], 1))}, {field['step']}")
    # no thread takes more rounds than there are steps; one that finds nothing left goes through the rest at no cost
    with code.loop(0, n_steps):
        first = code.let(f"atomicrmw add ptr {job['next_tile']}, i64 {field['step']} seq_cst")
        stop = code.least(code.plus(first, field["step"]), field["n_tiles"])
        with code.loop(first, stop) as tile:
            twiddles, turns = _tile(code, recipe, field, table, ping, pong, tile.index)
    return Source(code.text("kernel", "ptr %job"), twiddles, turns)


def _tile(
    code: Code, recipe: Recipe, field: dict[str, Name], table: dict[str, Name], ping: Name, pong: Name, index: Name
) -> tuple[np.ndarray, np.ndarray]:
    tile = code.at(code.let(f"inttoptr i64 {field['tiles']} to ptr"), code.times(index, len(TILE)), "i64")
    place = code.times(code.whole_at(tile, TILE.index("row")), len(ROW))
    row_of = code.at(code.let(f"inttoptr i64 {field['rows']} to ptr"), place, "i64")
    row = {name: code.whole_at(row_of, i) for i, name in enumerate(ROW)}
    first, out = code.whole_at(tile, TILE.index("first")), code.pointer_at(tile, TILE.index("out"))
    kept = code.least(code.minus(row["count"], first), recipe.lanes)
    _read(code, recipe, row, first, field["hop"], table["window"], ping)
    half = recipe.n_fft // 2
    spectrum, free, twiddles = fourier.transform(code, half, ping, pong, table["twiddles"])
    _untangle(code, recipe, spectrum, free, table["turns"])
    if recipe.filters:
        _filter(code, recipe, field, free, out, kept)
    else:
        _put_frames(code, recipe, free, out, kept)
    return twiddles, fourier.roots(recipe.n_fft, np.arange(half // 2 + 1))


def _read(code: Code, recipe: Recipe, row: dict[str, Name], first: Name, hop: Name, window: Name, to: Name) -> None:
    """The windowed samples of a tile's frames, sample by sample; lanes past the last frame repeat it."""
    lanes = recipe.lanes
    wholes = f"<{lanes} x i64>"

    def everywhere(value: Name) -> Name:
        one = code.let(f"insertelement {wholes} poison, i64 {value}, i64 0")
        return code.let(f"shufflevector {wholes} {one}, {wholes} poison, <{lanes} x i32> zeroinitializer")

    def chosen(condition: Name, a: Name, b: Name) -> Name:
        return code.let(f"select <{lanes} x i1> {condition}, {wholes} {a}, {wholes} {b}")

    steps = "<" + ", ".join(f"i64 {lane}" for lane in range(lanes)) + ">"
    frame = code.let(f"add {wholes} {everywhere(first)}, {steps}")
    last = everywhere(code.let(f"sub i64 {row['count']}, 1"))
    frame = chosen(code.let(f"icmp slt {wholes} {frame}, {last}"), frame, last)
    early = code.let(f"icmp slt {wholes} {frame}, {everywhere(row['first_inside'])}")
    late = code.let(f"icmp sge {wholes} {frame}, {everywhere(row['first_end'])}")
    base = chosen(late, everywhere(row["end"]), everywhere(row["inside"]))
    base = chosen(early, everywhere(row["beginning"]), base)
    offset = code.let(f"mul {wholes} {frame}, {everywhere(hop)}")
    address = code.let(f"add {wholes} {base}, {offset}")
    each = [code.let(f"extractelement {wholes} {address}, i64 {lane}") for lane in range(lanes)]
    frames = [code.let(f"inttoptr i64 {one} to ptr") for one in each]
    with code.loop(0, recipe.n_loaded, lanes) as at:
        weights = code.floats_at(code.at(window, at.index, "float"))
        samples = []
        for start in frames:
            here = code.at(start, at.index, "i16" if recipe.int16 else "float")
            found = code.int16_at(here) if recipe.int16 else code.floats_at(here)
            samples.append(code.multiply(found, weights))
        for j, sample in enumerate(code.transposed(samples)):
            code.put_vector(sample, to, code.plus(at.index, j))


def _untangle(code: Code, recipe: Recipe, spectrum: Name, to: Name, turns: Name) -> None:
    """The bins of the real frames, or the powers of their magnitudes."""
    half = recipe.n_fft // 2

    def put(real: Name, imaginary: Name | None, bin_: Name | int) -> None:
        if recipe.power is None:
            code.put_vector(real, to, code.times(2, bin_))
            code.put_vector(imaginary or code.constant(0.0), to, code.plus(code.times(2, bin_), 1))
            return
        squared = code.multiply(real, real)
        if imaginary is not None:
            squared = code.multiply_add(imaginary, imaginary, squared)
        code.put_vector(code.root(squared) if recipe.power == 1.0 else squared, to, bin_)

    first, last = fourier.ends(code, spectrum)
    put(first, None, 0)
    put(last, None, half)
    with code.loop(1, half // 2 + 1) as k:
        low, high = fourier.untangled(code, recipe.n_fft, spectrum, turns, k.index)
        put(*low, k.index)
        put(*high, code.minus(half, k.index))


def _filter(code: Code, recipe: Recipe, field: dict[str, Name], powers: Name, out: Name, kept: Name) -> None:
    """Each filter over its own bins, and its logarithm; written filter by filter, as many lanes as hold a frame."""
    lanes, count = recipe.lanes, field["n_filters"]
    spans, weights = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("spans", "weights"))
    kept = code.let(f"trunc i64 {kept} to i32")
    kept = code.let(f"insertelement {code.wholes} poison, i32 {kept}, i64 0")
    kept = code.let(f"shufflevector {code.wholes} {kept}, {code.wholes} poison, {code.wholes} zeroinitializer")
    each = "<" + ", ".join(f"i32 {lane}" for lane in range(lanes)) + ">"
    inside = code.let(f"icmp slt {code.wholes} {each}, {kept}")
    with code.loop(0, count) as m:
        low = code.whole_at(spans, m.index)
        end = code.whole_at(spans, code.plus(m.index, count))
        place = code.whole_at(spans, code.plus(m.index, code.times(2, count)))
        # the sum of sums of a few: rounding grows with the terms of either, not with all
        with code.loop(low, end, SUMMED_AT_ONCE) as chunk:
            total = chunk.carry("zeroinitializer")
            with code.loop(chunk.index, code.least(code.plus(chunk.index, SUMMED_AT_ONCE), end)) as k:
                part = k.carry("zeroinitializer")
                weight = code.float_everywhere(weights, code.plus(place, k.index))
                k.keep(code.multiply_add(weight, code.vector_at(powers, k.index), part))
            chunk.keep(code.add(total, part))
        value = total if recipe.floor is None else logarithm(code, total, recipe.floor, recipe.factor)
        to = code.at(out, code.times(m.index, field["stride"]), "float")
        store = f"@llvm.masked.store.v{lanes}f32.p0({code.vector} {value}, ptr {to}, i32 4, <{lanes} x i1> {inside})"
        code.put(f"call void {store}")


def _put_frames(code: Code, recipe: Recipe, values: Name, out: Name, kept: Name) -> None:
    """The values of each frame together; a lane past the last frame writes once more what that one has."""
    lanes, n = recipe.lanes, recipe.n_values
    last = code.minus(kept, 1)
    frames = [code.at(out, code.times(code.least(last, lane), n), "float") for lane in range(lanes)]
    with code.loop(0, n, lanes) as k:
        here = code.least(k.index, n - lanes)  # the last vectors are written over some of those before
        rows = code.transposed([code.vector_at(values, code.plus(here, j)) for j in range(lanes)])
        for start, row in zip(frames, rows, strict=True):
            code.put_floats(row, code.at(start, here, "float"))
