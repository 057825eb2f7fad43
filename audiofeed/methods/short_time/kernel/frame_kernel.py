"""The kernel: tiles of frames, one frame in each lane, from the waveform to features of their spectra.

A job is an array of 64-bit integers, which `FIELDS` names. Threads call the kernel with the same job and take tiles
from it in turn, so that none waits for another, and each has memory of its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audiofeed.methods.short_time.kernel import closing, fourier, line_code
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name
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
    "window",  # address of `n_loaded` floats, halved, zeros past its end; as many that are 1 under it; 1 / its length
    "window_at",  # the first sample of a frame that stands under it
    "n_loaded",  # samples of a frame that are read, from there on, in whole vectors
    "twiddles",
    "turns",
    "spans",  # address of: first bin, end bin, and place of the weights less the first bin, of each filter
    "weights",
    "n_filters",
    "stride",  # floats from one filter's result to the next one's, or from one frame's to the next one's
    "clear_to",  # frames up to which a row is cleared past its own; 0: it is not
    "floor",  # bits of a float: see `NUMBERS`
    "factor",
    "offset",
    "peaks",  # address of a float64 for each tile, its largest value
    "affine",  # address of pairs of floats, what is added and what is divided by: for each `Affine` those of all values
    "rows_of_each",  # rows of each clip
    "done",  # address of the number of tiles of each clip that are done
    "out",  # address of the first row's result; that of a clip's rows lies together
    "closing",  # address of pairs of floats as in `affine`, for what closes a clip
    "top",  # bits of a float: what the limit lies below a clip's peak
    "eps",  # bits of a float64: what is added to a divisor
)
# those of them that only a kernel with a `closing` reads
CLOSING_FIELDS = ("rows_of_each", "peaks", "done", "out", "closing", "top", "eps")
# settings of a spec that are read from the job, so that one kernel serves all their values
NUMBERS = ("floor", "factor", "offset")
# columns of the table of tiles: the row, its first frame, and the address of the results
TILE = ("row", "first", "out")
TILE_ROW, TILE_FIRST, TILE_OUT = range(len(TILE))
# columns of the table of rows: the address that frame 0 has or would have inside the row, in the copy of its beginning
# and in the copy of its end; the first frame past the beginning, the first frame in the end, and the number of frames
ROW = ("inside", "beginning", "end", "first_inside", "first_end", "count")
ROW_INSIDE, ROW_BEGINNING, ROW_END, ROW_FIRST_INSIDE, ROW_FIRST_END, ROW_COUNT = range(len(ROW))
SUMMED_AT_ONCE = 32


# Forms and numbers of so many specs are kept: each call of a transform asks for one again.
_KEPT = 256


@functools.lru_cache(maxsize=_KEPT)
def _form(spec: KernelSpec) -> KernelSpec:
    """Return the spec of which the source of a kernel is written: see `KernelSpec.form`."""
    ones: dict[str, Any] = dict.fromkeys(NUMBERS, 1.0)
    return replace(spec, **ones)


@functools.lru_cache(maxsize=_KEPT)
def _bits(value: float) -> int:
    """Return the bits of a number as float32, for the job of a kernel."""
    return int(np.float32(value).view(np.int32))


@dataclass(frozen=True)
class KernelSpec:
    """Spec of a kernel: the settings that it computes, and of them those that its source is compiled for (`form`).

    Args:
        n_fft: samples of a frame.
        lanes: frames computed at once.
        int16: True for int16 samples, False for float32.
        power: exponent of the magnitude, 1.0 or 2.0; None: the complex spectrum.
        filters: True: the powers go through a filter bank, and the result lies filter by filter. False: it lies frame
            by frame.
        by_bin: without filters the result lies bin by bin, too.
        closing: what is done with all values of a clip when they are there, the result lying filter by filter or bin by
            bin: ("limit", "affine", ...), with filters, no less than so much below the clip's peak and shifts and
            scales; or ("bin" or "clip", "unbiased" or "biased", "std" or "variance"), what a normalization by mean and
            standard deviation is over, its variance, and what `eps` is added to. (): nothing.
        floor: lower limit of the logarithm of the filters' output, factor * ln(max(x + offset, floor)), or with `plus`
            factor * ln(max(1 + x + offset, floor)); None: no logarithm.
        factor, offset, plus: see `floor`.
        before, after: how many times a constant is added to each value, and it is divided by one, before the logarithm
            and after it.
        root_offset: added to the squared magnitude before its root.
        remove_dc: each frame is taken less its mean under the window.
        preemphasis: each sample less so many times the one before it, the first less so many times itself; 0: none.
        emphasis: as preemphasis, but of the clip: the first sample of a frame is less that before the frame, and the
            copies of the ends hold samples that have it; 0: none. It excludes preemphasis and remove_dc.
    """

    n_fft: int
    lanes: int
    int16: bool
    power: float | None
    filters: bool = False
    by_bin: bool = False
    closing: tuple[str, ...] = ()
    floor: float | None = None
    factor: float = 1.0
    offset: float = 0.0
    plus: bool = False
    before: int = 0
    after: int = 0
    root_offset: float = 0.0
    remove_dc: bool = False
    preemphasis: float = 0.0
    emphasis: float = 0.0

    @property
    def form(self) -> KernelSpec:
        """Spec of which the source of a kernel is written: the same but for `NUMBERS`, which are 1 where there are any.

        >>> KernelSpec(n_fft=400, lanes=8, int16=False, power=2.0, filters=True, floor=1e-5, factor=4.3).form.floor
        1.0
        """
        return self if self.floor is None else _form(self)

    @property
    def numbers(self) -> dict[str, int]:
        """The bits of the `NUMBERS` of a spec as float32, for the job of a kernel of its form."""
        return {name: _bits(getattr(self, name) or 0.0) for name in NUMBERS}

    @property
    def peak(self) -> bool:
        """True if the source of a kernel finds the largest value of each tile."""
        return self.closing[:1] == ("limit",)

    @property
    def n_bins(self) -> int:
        """Number of bins of a frame in the source of a kernel."""
        return self.n_fft // 2 + 1

    @property
    def n_values(self) -> int:
        """Number of floats that the source of a kernel writes for a frame without filters."""
        return self.n_bins if self.power is not None else 2 * self.n_bins

    @property
    def n_affine(self) -> int:
        """Number of shifts and scales of each value in the source of a kernel."""
        return self.before + self.after

    @property
    def memory(self) -> int:
        """Number of vectors that a thread works in, as the source of a kernel lays them out."""
        return 2 * self.vectors

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the numbers of a job, in the order in which the source of a kernel reads them."""
        return FIELDS

    def write(self) -> Source:
        """Write the source of the kernel of a spec."""
        return write(self)

    @property
    def vectors(self) -> int:
        """Number of vectors in each half of a thread's memory that the source of a kernel uses."""
        return max(self.n_fft + self.lanes, 2 * self.n_bins)


def loaded(win_length: int, lanes: int) -> int:
    """Return the samples under a window that the source of a kernel reads for a frame, in whole vectors.

    These are its own, and those after it that fill the last vector.

    >>> loaded(100, 16)
    112
    """
    return -(-win_length // lanes) * lanes


def can_compute(n_fft: int, lanes: int) -> bool:
    """Check if the source of a kernel can be written for frames of that length.

    >>> can_compute(400, 8), can_compute(401, 8), can_compute(8, 8), can_compute(2 * 17, 8)
    (True, False, False, False)
    """
    return n_fft % 2 == 0 and n_fft // 2 + 1 >= lanes and fourier.radices(n_fft // 2) is not None


@dataclass(frozen=True)
class Source:
    """Source of a kernel, and the tables that it reads."""

    text: str
    twiddles: np.ndarray
    turns: np.ndarray


def write(spec: KernelSpec) -> Source:
    """Write the source of the kernel of a spec, as a function `kernel(job)`."""
    code = Code(spec.lanes)
    job = {name: code.at("%job", i, "i64") for i, name in enumerate(FIELDS)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(FIELDS) if not name.startswith("next")}
    table = {name: code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("window", "twiddles", "turns", "memory")}
    thread = code.let(f"atomicrmw add ptr {job['next_thread']}, i64 1 seq_cst")
    ping = code.at(table["memory"], code.times(thread, field["memory_of_each"]), "i8")
    pong = code.at(ping, spec.vectors, code.vector)
    scratch = (
        code.let(f"alloca <{spec.lanes} x double>, align {8 * spec.lanes}"),
        code.let(f"alloca double, i64 {closing.DOUBLES_KEPT}, align 8"),
    )
    n_steps = code.let(f"sdiv i64 {code.plus(field['n_tiles'], code.minus(field['step'], 1))}, {field['step']}")
    # no thread takes more rounds than there are steps; one that finds nothing left goes through the rest at no cost
    with code.loop(0, n_steps):
        first = code.let(f"atomicrmw add ptr {job['next_tile']}, i64 {field['step']} seq_cst")
        stop = code.min(code.plus(first, field["step"]), field["n_tiles"])
        with code.loop(first, stop) as tile:
            twiddles, turns = _tile(code, spec, field, table, ping, pong, tile.index, scratch)
    return Source(line_code.declared(code), twiddles, turns)


def _tile(
    code: Code,
    spec: KernelSpec,
    field: dict[str, Name],
    table: dict[str, Name],
    ping: Name,
    pong: Name,
    index: Name,
    scratch: tuple[Name, Name],
) -> tuple[np.ndarray, np.ndarray]:
    tile = code.at(code.let(f"inttoptr i64 {field['tiles']} to ptr"), code.times(index, len(TILE)), "i64")
    number = code.load_i64(tile, TILE_ROW)
    row_of = code.at(code.let(f"inttoptr i64 {field['rows']} to ptr"), code.times(number, len(ROW)), "i64")
    row = {name: code.load_i64(row_of, i) for i, name in enumerate(ROW)}
    first, out = code.load_i64(tile, TILE_FIRST), code.load_pointer(tile, TILE_OUT)
    n_valid = code.min(code.minus(row["count"], first), spec.lanes)
    n_lines = field["n_filters"] if spec.filters else spec.n_bins
    read_frames(code, spec, row, first, field, table["window"], ping)
    half = spec.n_fft // 2
    spectrum, free, twiddles = fourier.transform(code, half, ping, pong, table["twiddles"])
    _untangle(code, spec, field, spectrum, free, table["turns"])
    if spec.filters:
        peak = _filter(code, spec, field, free, out, n_valid)
        if spec.peak:
            # lanes past the last frame repeat it
            one = code.let(f"call float @llvm.vector.reduce.fmaximum.v{code.lanes}f32({code.vector} {peak})")
            place = code.at(code.let(f"inttoptr i64 {field['peaks']} to ptr"), index, "double")
            code.put(f"store double {code.let(f'fpext float {one} to double')}, ptr {place}, align 8")
    elif spec.by_bin:
        valid_lanes = code.lanes_below(n_valid)
        with code.loop(0, spec.n_bins) as k:
            _put_lanes(code, code.load_vector(free, k.index), code.times(k.index, field["stride"]), out, valid_lanes)
    else:
        _put_frames(code, spec, free, out, n_valid, field["stride"])
    lines = n_lines if spec.filters or spec.by_bin else None
    line_code.write_clear(code, out, first, row["count"], field, lines)
    if spec.closing:
        closing.write_closing(
            code,
            spec.closing,
            field,
            tile=index,
            row=number,
            first=first,
            count=row["count"],
            n_lines=n_lines,
            scratch=scratch,
        )
    return twiddles, fourier.roots(spec.n_fft, np.arange(half // 2 + 1))


def lane_addresses(
    code: Code, lanes: int, row: dict[str, Name], first: Name, hop: Name
) -> tuple[list[Name], Name, Name]:
    """Write the part of a kernel's source that finds the memory of the frames of a tile, one in each lane.

    Lanes past the last frame repeat it.

    Returns:
        A pointer to each frame, and in which lanes the frames lie in the copies of the row's beginning and of its end.
    """
    i64_vector = f"<{lanes} x i64>"

    def broadcast(value: Name) -> Name:
        one = code.let(f"insertelement {i64_vector} poison, i64 {value}, i64 0")
        return code.let(f"shufflevector {i64_vector} {one}, {i64_vector} poison, <{lanes} x i32> zeroinitializer")

    def chosen(condition: Name, a: Name, b: Name) -> Name:
        return code.let(f"select <{lanes} x i1> {condition}, {i64_vector} {a}, {i64_vector} {b}")

    steps = "<" + ", ".join(f"i64 {lane}" for lane in range(lanes)) + ">"
    frame = code.let(f"add {i64_vector} {broadcast(first)}, {steps}")
    last = broadcast(code.let(f"sub i64 {row['count']}, 1"))
    frame = chosen(code.let(f"icmp slt {i64_vector} {frame}, {last}"), frame, last)
    early = code.let(f"icmp slt {i64_vector} {frame}, {broadcast(row['first_inside'])}")
    late = code.let(f"icmp sge {i64_vector} {frame}, {broadcast(row['first_end'])}")
    base = chosen(late, broadcast(row["end"]), broadcast(row["inside"]))
    base = chosen(early, broadcast(row["beginning"]), base)
    offset = code.let(f"mul {i64_vector} {frame}, {broadcast(hop)}")
    address = code.let(f"add {i64_vector} {base}, {offset}")
    each = [code.let(f"extractelement {i64_vector} {address}, i64 {lane}") for lane in range(lanes)]
    return [code.let(f"inttoptr i64 {one} to ptr") for one in each], early, late


def read_frames(
    code: Code, spec: KernelSpec, row: dict[str, Name], first: Name, field: dict[str, Name], window: Name, to: Name
) -> None:
    """Write the part of a kernel's source that loads the frames of a tile and multiplies them by the window.

    Lanes past the last frame repeat it.
    """
    lanes = spec.lanes
    frames, early, late = lane_addresses(code, lanes, row, first, field["hop"])
    zero = code.constant(0.0)
    less, earlier = code.constant(-spec.preemphasis), zero
    if spec.emphasis:
        copied = code.let(f"or <{lanes} x i1> {early}, {late}")
        less = code.select(copied, zero, code.constant(-spec.emphasis))
        earlier = "poison"
        for lane, frame_start in enumerate(frames):
            one = code.let(f"load float, ptr {code.at(frame_start, -1, 'float')}, align 4")
            earlier = code.let(f"insertelement {code.vector} {earlier}, float {one}, i64 {lane}")
        earlier = code.select(copied, zero, earlier)
    of_neighbors = spec.preemphasis or spec.emphasis
    # what no window reaches
    start, count = field["window_at"], field["n_loaded"]
    for low, high in ((0, start), (code.plus(start, count), spec.n_fft)):
        with code.loop(low, high) as at:
            code.store_vector("zeroinitializer", to, at.index)
    under = code.at(to, start, code.vector)
    # with a mean to remove, samples past the window are to be 0 for it, and the window comes when it is known
    table = code.at(window, count, "float") if spec.remove_dc else window
    with code.loop(0, count, lanes) as at:
        weights = None if of_neighbors and not spec.remove_dc else code.load_floats(code.at(table, at.index, "float"))
        samples = []
        for frame_start in frames:
            here = code.at(frame_start, at.index, "i16" if spec.int16 else "float")
            found = code.load_int16(here) if spec.int16 else code.load_floats(here)
            samples.append(found if weights is None else code.multiply(found, weights))
        samples = code.transposed(samples)
        if spec.remove_dc:
            total = at.carry("zeroinitializer")
            at.keep(code.add(total, in_pairs(code, samples)))
        if of_neighbors:
            before = at.carry(earlier)
            at.keep(samples[-1])
            samples = [code.multiply_add(a, less, b) for a, b in zip([before, *samples], samples, strict=False)]
        for j, sample in enumerate(samples):
            place = code.plus(at.index, j)
            if weights is None:
                sample = code.multiply(sample, code.broadcast_float(window, place))
            code.store_vector(sample, under, place)
    if spec.preemphasis:  # the first sample is its own neighbor
        kept = code.constant(1.0 - spec.preemphasis)
        code.store_vector(code.multiply(code.load_vector(under, 0), kept), under, 0)
    if spec.remove_dc:
        # the mean goes through pre-emphasis as any constant does; the last float of the tables has 1 / win_length
        share = code.broadcast_float(window, code.times(2, count))
        mean = code.multiply(code.multiply(total, share), code.constant(1.0 - spec.preemphasis))
        with code.loop(0, count, lanes) as at:
            for j in range(lanes):
                place = code.plus(at.index, j)
                centered = code.subtract(code.load_vector(under, place), mean)
                code.store_vector(code.multiply(centered, code.broadcast_float(window, place)), under, place)


def in_pairs(code: Code, parts: list[Name]) -> Name:
    """Write the part of a kernel's source that sums vectors in pairs: short chains round less."""
    while len(parts) > 1:
        parts = [code.add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _untangle(code: Code, spec: KernelSpec, field: dict[str, Name], spectrum: Name, to: Name, turns: Name) -> None:
    """Write the part of a kernel's source that stores the bins of real frames, or powers of their magnitudes."""
    half = spec.n_fft // 2

    def put(real: Name, imaginary: Name | None, bin_: Name | int) -> None:
        if spec.power is None:
            code.store_vector(real, to, code.times(2, bin_))
            code.store_vector(imaginary or code.constant(0.0), to, code.plus(code.times(2, bin_), 1))
            return
        squared = code.multiply(real, real)
        if imaginary is not None:
            squared = code.multiply_add(imaginary, imaginary, squared)
        if spec.root_offset:
            squared = code.add(squared, code.constant(spec.root_offset))
        value = code.root(squared) if spec.power == 1.0 else squared
        if not spec.filters:
            value = _finish(code, spec, field, number, value, bin_, spec.n_bins)
        code.store_vector(value, to, bin_)

    number = {} if spec.filters else log_numbers(code, spec, field)
    first, last = fourier.ends(code, spectrum)
    put(first, None, 0)
    put(last, None, half)
    with code.loop(1, half // 2 + 1) as k:
        low, high = fourier.untangled(code, spec.n_fft, spectrum, turns, k.index)
        put(*low, k.index)
        put(*high, code.minus(half, k.index))


def _filter(code: Code, spec: KernelSpec, field: dict[str, Name], powers: Name, out: Name, n_valid: Name) -> Name:
    """Write the part of a kernel's source that applies each filter to its own bins and takes the logarithm.

    It writes the lanes that hold a frame. Returns the largest value in each lane, if the spec wants it.
    """
    count = field["n_filters"]
    spans, weights = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("spans", "weights"))
    valid_lanes = code.lanes_below(n_valid)
    number = log_numbers(code, spec, field)
    with code.loop(0, count) as m:
        peak = m.carry(code.constant(-np.inf)) if spec.peak else ""
        low = code.load_i64(spans, m.index)
        end = code.load_i64(spans, code.plus(m.index, count))
        place = code.load_i64(spans, code.plus(m.index, code.times(2, count)))
        total = filter_sum(code, powers, weights, low, end, place)
        value = _finish(code, spec, field, number, total, m.index, count)
        if spec.peak:
            m.keep(code.maximum(peak, value))
        _put_lanes(code, value, code.times(m.index, field["stride"]), out, valid_lanes)
    return peak


def filter_sum(code: Code, powers: Name, weights: Name, low: Name, end: Name, place: Name) -> Name:
    """Write the part of a kernel's source that weighs the bins of a filter, from `low` until before `end`, and sums."""
    # pairwise summation, in chunks of SUMMED_AT_ONCE bins, limits the rounding error
    with code.loop(low, end, SUMMED_AT_ONCE) as chunk:
        total = chunk.carry("zeroinitializer")
        with code.loop(chunk.index, code.min(code.plus(chunk.index, SUMMED_AT_ONCE), end)) as k:
            part = k.carry("zeroinitializer")
            weight = code.broadcast_float(weights, code.plus(place, k.index))
            k.keep(code.multiply_add(weight, code.load_vector(powers, k.index), part))
        chunk.keep(code.add(total, part))
    return total


def _put_lanes(code: Code, value: Name, place: Int, out: Name, valid_lanes: Name) -> None:
    """Write the part of a kernel's source that stores the lanes of a value that hold a frame."""
    line_code.put_part(code, value, code.at(out, place, "float"), valid_lanes)


def log_numbers(code: Code, spec: KernelSpec, field: dict[str, Name]) -> dict[str, Name]:
    """Write the part of a kernel's source that reads the numbers of the logarithm, if there is one."""
    return {} if spec.floor is None else {name: code.broadcast_bits(field[name]) for name in NUMBERS}


def _finish(
    code: Code, spec: KernelSpec, field: dict[str, Name], number: dict[str, Name], value: Name, at: Int, count: Int
) -> Name:
    """Write the part of a kernel's source from a value, number `at` of `count`, through its shifts and logarithm."""
    if spec.n_affine:
        table = code.let(f"inttoptr i64 {field['affine']} to ptr")
    for i in range(spec.n_affine + 1):
        if i == spec.before and spec.floor is not None:
            value = logarithm(code, value, **number, plus=spec.plus)
        if i == spec.n_affine:
            break
        place = code.times(2, code.plus(code.times(i, count), at))
        value = code.add(value, code.broadcast_float(table, place))
        value = code.let(f"fdiv {code.vector} {value}, {code.broadcast_float(table, code.plus(place, 1))}")
    return value


def _put_frames(code: Code, spec: KernelSpec, values: Name, out: Name, n_valid: Name, stride: Name) -> None:
    """Write the part of a kernel's source that stores the values of each frame together.

    A lane past the last frame writes the last frame's values again.
    """
    lanes, n = spec.lanes, spec.n_values
    last = code.minus(n_valid, 1)
    frames = [code.at(out, code.times(code.min(last, lane), stride), "float") for lane in range(lanes)]
    with code.loop(0, n, lanes) as k:
        here = code.min(k.index, n - lanes)  # the last vectors are written over some of those before
        rows = code.transposed([code.load_vector(values, code.plus(here, j)) for j in range(lanes)])
        for start, row in zip(frames, rows, strict=True):
            code.store_floats(row, code.at(start, here, "float"))
