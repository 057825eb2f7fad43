"""The kernel that goes backward: from the gradient of features to that of the waveform, tiles of frames as before.

The spectrum of each frame is computed anew, and its gradient goes back through an inverse transform into the samples
that the frame was read from, before the next tile is begun: nothing is kept but what the forward kernel was given.
Frames overlap, so that a unit of neighboring frames of a row is one thread's, and no two units that run at once reach
the same sample: see `gradient_layout`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from audiofeed.methods.short_time.kernel import fourier
from audiofeed.methods.short_time.kernel.frame_kernel import (
    ROW,
    KernelSpec,
    Source,
    filter_sum,
    in_pairs,
    lane_addresses,
    log_numbers,
    read_frames,
)
from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

FIELDS = (
    "next_tile",  # the first unit that no thread has taken
    "next_thread",
    "n_tiles",  # how many units
    "step",  # units that a thread takes at once
    "memory",  # as for the forward kernel, as is what is not explained here
    "memory_of_each",
    "units",  # address of UNIT numbers for each unit
    "frames_of_each",  # frames of a unit, or fewer at the end of a row
    "rows",
    "into",  # address of the same table of rows, of the memory that the samples' gradient is added to
    "hop",
    "window",
    "window_at",
    "n_loaded",
    "back",  # address of `n_loaded` + 1 floats: the window, negative at odd samples of the frame
    "twiddles",
    "turns",
    "spans",
    "weights",
    "n_filters",
    "source",  # address of the first row's gradient of features
    "pitch",  # bytes from one row's to the next one's
    "stride",  # floats from line to line of it, or from frame to frame
    "floor",
    "factor",
    "offset",
    "affine",
)
# columns of the table of units: the row, and the first frame
UNIT = ("row", "first")


@dataclass(frozen=True)
class GradientSpec:
    """Spec of a kernel that goes backward.

    Args:
        of: the forward kernel whose gradient it is, of float32 samples.
        by_line: the gradient of a value of neighboring frames lies together; False: that of the values of one frame.
    """

    of: KernelSpec
    by_line: bool

    @property
    def form(self) -> GradientSpec:
        """Spec of which the source of a kernel is written, as that of the forward kernel is."""
        return replace(self, of=self.of.form)

    @property
    def n_fft(self) -> int:
        """Samples of a frame of a gradient kernel."""
        return self.of.n_fft

    @property
    def lanes(self) -> int:
        """Frames that a gradient kernel computes at once."""
        return self.of.lanes

    @property
    def memory(self) -> int:
        """Number of vectors that a thread of a gradient kernel works in: both halves, and powers."""
        return 2 * self.of.vectors + self.of.n_bins

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the numbers of a gradient kernel's job, in their order."""
        return FIELDS

    @property
    def keeps_powers(self) -> bool:
        """True if a gradient kernel looks at the powers of a frame again, when it has all of them."""
        return self.of.filters and (self.of.power == 1.0 or self.of.floor is not None)

    def write(self) -> Source:
        """Write the source of the gradient kernel of a spec."""
        return write(self)


def write(spec: GradientSpec) -> Source:
    """Write the source of the gradient kernel of a spec, as a function `kernel(job)`."""
    code = Code(spec.lanes)
    job = {name: code.at("%job", i, "i64") for i, name in enumerate(FIELDS)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(FIELDS) if not name.startswith("next")}
    addresses = ("memory", "units", "rows", "into", "window", "back", "twiddles", "turns", "spans", "weights", "affine")
    table = {name: code.let(f"inttoptr i64 {field[name]} to ptr") for name in addresses}
    thread = code.let(f"atomicrmw add ptr {job['next_thread']}, i64 1 seq_cst")
    ping = code.at(table["memory"], code.times(thread, field["memory_of_each"]), "i8")
    pong = code.at(ping, spec.of.vectors, code.vector)
    powers = code.at(ping, 2 * spec.of.vectors, code.vector)
    n_steps = code.let(f"sdiv i64 {code.plus(field['n_tiles'], code.minus(field['step'], 1))}, {field['step']}")
    with code.loop(0, n_steps):
        taken = code.let(f"atomicrmw add ptr {job['next_tile']}, i64 {field['step']} seq_cst")
        with code.loop(taken, code.min(code.plus(taken, field["step"]), field["n_tiles"])) as each:
            unit = code.at(table["units"], code.times(each.index, len(UNIT)), "i64")
            number, begin = (code.load_i64(unit, i) for i in range(len(UNIT)))
            row, into = (_row(code, table[name], number) for name in ("rows", "into"))
            source = code.let(f"inttoptr i64 {code.plus(field['source'], code.times(number, field['pitch']))} to ptr")
            end = code.min(code.plus(begin, field["frames_of_each"]), row["count"])
            with code.loop(begin, end, spec.lanes) as tile:
                first = tile.index
                gradient = _Gradient(code, spec, field["stride"], row, first, source)
                own = (ping, pong, powers)
                result, free, twiddles = _samples(code, spec, field, table, row, first, gradient, own)
                _add_back(code, spec, field, table, into, first, result, free)
    half = spec.n_fft // 2
    return Source(code.text("kernel", "ptr %job"), twiddles, fourier.roots(spec.n_fft, np.arange(half // 2 + 1)))


def _row(code: Code, table: Name, number: Name) -> dict[str, Name]:
    at = code.at(table, code.times(number, len(ROW)), "i64")
    return {name: code.load_i64(at, i) for i, name in enumerate(ROW)}


class _Gradient:
    """Gradient of a tile's features in a kernel's source, which reads it in one of two layouts.

    Args:
        stride: floats from line to line of it, or from frame to frame.
        row, first: the row's numbers, and the tile's first frame.
        source: pointer to the gradient of the row's first frame.
    """

    def __init__(
        self, code: Code, spec: GradientSpec, stride: Name, row: dict[str, Name], first: Name, source: Name
    ) -> None:
        self._code, self._stride, self._first, self._source = code, stride, first, source
        self._last = code.minus(code.min(code.minus(row["count"], first), spec.lanes), 1)
        self._valid = code.lanes_below(code.plus(self._last, 1))

    def line(self, number: Int) -> Name:
        """Write the part of a kernel's source that loads the gradient of one value, 0 past the last frame."""
        code, v, n = self._code, self._code.vector, self._code.lanes
        at = code.at(self._source, code.plus(code.times(number, self._stride), self._first), "float")
        load = f"@llvm.masked.load.v{n}f32.p0(ptr {at}, i32 4, <{n} x i1> {self._valid}, {v} zeroinitializer)"
        return code.let(f"call {v} {load}")

    def spread(self, n_values: int, to: Name) -> None:
        """Write the part of a kernel's source that stores the gradient of all values of the frames, lane by lane."""
        code, lanes = self._code, self._code.lanes
        frames = [
            code.at(self._source, code.times(code.plus(self._first, code.min(self._last, lane)), self._stride), "float")
            for lane in range(lanes)
        ]
        zero = code.constant(0.0)
        with code.loop(0, n_values, lanes) as k:
            here = code.min(k.index, n_values - lanes)  # the last vectors are loaded over some of those before
            rows = [code.load_floats(code.at(frame, here, "float")) for frame in frames]
            for j, value in enumerate(code.transposed(rows)):
                code.store_vector(code.select(self._valid, value, zero), to, code.plus(here, j))


def _samples(
    code: Code,
    spec: GradientSpec,
    field: dict[str, Name],
    table: dict[str, Name],
    row: dict[str, Name],
    first: Name,
    gradient: _Gradient,
    own: tuple[Name, Name, Name],
) -> tuple[Name, Name, np.ndarray]:
    """Write the part of a kernel's source that computes the gradient of the windowed samples of a tile.

    Args:
        own: the thread's memory, both halves and that for powers.

    Returns:
        The pointer to it, odd samples negative, the pointer to free memory, and the floats of `twiddles`.
    """
    half = spec.n_fft // 2
    ping, pong, powers = own
    if spec.of.power is None:
        gradient.spread(spec.of.n_values, ping)
        spectrum, free = ping, pong
    else:
        read_frames(code, spec.of, row, first, field, table["window"], ping)
        halves, spectrum, _ = fourier.transform(code, half, ping, pong, table["twiddles"])
        free = halves
        _untangle(code, spec, halves, spectrum, table["turns"], powers)
        if spec.of.filters:
            _filter_back(code, spec, field, table, gradient, powers, free)
        elif not spec.by_line:
            gradient.spread(spec.of.n_bins, free)
    _tangle(code, spec, field, table, gradient, spectrum, free, powers)
    return fourier.transform(code, half, spectrum, free, table["twiddles"])


def _untangle(code: Code, spec: GradientSpec, halves: Name, to: Name, turns: Name, powers: Name) -> None:
    """Write the part of a kernel's source that stores the bins of real frames, and the powers if they are kept."""
    half = spec.n_fft // 2

    def put(real: Name, imaginary: Name, bin_: Int) -> None:
        code.store_vector(real, to, code.times(2, bin_))
        code.store_vector(imaginary, to, code.plus(code.times(2, bin_), 1))
        if spec.keeps_powers:
            code.store_vector(_power(code, spec, real, imaginary), powers, bin_)

    first, last = fourier.ends(code, halves)
    put(first, code.constant(0.0), 0)
    put(last, code.constant(0.0), half)
    with code.loop(1, half // 2 + 1) as k:
        low, high = fourier.untangled(code, spec.n_fft, halves, turns, k.index)
        put(*low, k.index)
        put(*high, code.minus(half, k.index))


def _power(code: Code, spec: GradientSpec, real: Name, imaginary: Name) -> Name:
    squared = code.multiply_add(imaginary, imaginary, code.multiply(real, real))
    if spec.of.root_offset:
        squared = code.add(squared, code.constant(spec.of.root_offset))
    return code.root(squared) if spec.of.power == 1.0 else squared


def _filter_back(
    code: Code,
    spec: GradientSpec,
    field: dict[str, Name],
    table: dict[str, Name],
    gradient: _Gradient,
    powers: Name,
    to: Name,
) -> None:
    """Write the part of a kernel's source that brings the gradient of filters' values back to the bins."""
    count, spans, weights = field["n_filters"], table["spans"], table["weights"]
    numbers = log_numbers(code, spec.of, field)
    with code.loop(0, spec.of.n_bins) as k:
        code.store_vector("zeroinitializer", to, k.index)
    with code.loop(0, count) as m:
        low = code.load_i64(spans, m.index)
        end = code.load_i64(spans, code.plus(m.index, count))
        place = code.load_i64(spans, code.plus(m.index, code.times(2, count)))
        value = None if spec.of.floor is None else filter_sum(code, powers, weights, low, end, place)
        slope = _tail_back(code, spec, table, numbers, gradient.line(m.index), value, m.index, count)
        with code.loop(low, end) as k:
            weight = code.broadcast_float(weights, code.plus(place, k.index))
            code.store_vector(code.multiply_add(weight, slope, code.load_vector(to, k.index)), to, k.index)


def _tail_back(
    code: Code,
    spec: GradientSpec,
    table: dict[str, Name],
    numbers: dict[str, Name],
    gradient: Name,
    value: Name | None,
    at: Int,
    count: Int,
) -> Name:
    """Write the part of a kernel's source that brings a gradient back through shifts, scales and the logarithm.

    Args:
        value: what the first of them is given, number `at` of `count`; None where there is no logarithm.
    """
    v = code.vector

    def number(step: int, which: int) -> Name:
        return code.broadcast_float(
            table["affine"], code.plus(code.times(2, code.plus(code.times(step, count), at)), which)
        )

    divisors = [number(step, 1) for step in range(spec.of.n_affine)]
    for divisor in reversed(divisors[spec.of.before :]):
        gradient = code.let(f"fdiv {v} {gradient}, {divisor}")
    if value is not None:
        for step in range(spec.of.before):
            value = code.let(f"fdiv {v} {code.add(value, number(step, 0))}, {divisors[step]}")
        seen = code.add(value, numbers["offset"])
        if spec.of.plus:
            seen = code.add(seen, code.constant(1.0))
        slope = code.let(f"fdiv {v} {code.multiply(gradient, numbers['factor'])}, {seen}")
        above = code.let(f"fcmp oge {v} {seen}, {numbers['floor']}")
        gradient = code.select(above, slope, code.constant(0.0))
    for divisor in reversed(divisors[: spec.of.before]):
        gradient = code.let(f"fdiv {v} {gradient}, {divisor}")
    return gradient


def _tangle(
    code: Code,
    spec: GradientSpec,
    field: dict[str, Name],
    table: dict[str, Name],
    gradient: _Gradient,
    spectrum: Name,
    of_bins: Name,
    powers: Name,
) -> None:
    """Write the part of a kernel's source that makes of a spectrum what transforms to its samples' gradient.

    A power's gradient is real: times the bin it is that of the bin, halved. The samples' is the sum over bins from 0 to
    n_fft / 2 of its real part as it turns. Their spectrum is tangled into that of pairs of samples, as `untangled` has
    it, and conjugated, so that the forward transform goes backward.
    """
    half = spec.n_fft // 2
    numbers = log_numbers(code, spec.of, field) if spec.of.power is not None and not spec.of.filters else {}

    def turned(bin_: Int) -> tuple[Name, Name]:
        at = code.times(2, bin_)
        real, imaginary = code.load_vector(spectrum, at), code.load_vector(spectrum, code.plus(at, 1))
        if spec.of.power is None:
            one_half = code.constant(0.5)
            return code.multiply(real, one_half), code.multiply(imaginary, one_half)
        slope = gradient.line(bin_) if not spec.of.filters and spec.by_line else code.load_vector(of_bins, bin_)
        value: Name | None = None
        if spec.keeps_powers and spec.of.power == 1.0:
            value = code.load_vector(powers, bin_)
        elif spec.of.power == 1.0 or (not spec.of.filters and spec.of.floor is not None):
            value = _power(code, spec, real, imaginary)
        if not spec.of.filters:
            through = value if spec.of.floor is not None else None
            slope = _tail_back(code, spec, table, numbers, slope, through, bin_, spec.of.n_bins)
        if spec.of.power == 1.0:
            assert value is not None
            of_root = code.let(f"fdiv {code.vector} {code.multiply(slope, code.constant(0.5))}, {value}")
            zero = code.constant(0.0)
            silent = code.let(f"fcmp oeq {code.vector} {value}, {zero}")
            slope = code.select(silent, zero, of_root)
        return code.multiply(real, slope), code.multiply(imaginary, slope)

    two = code.constant(2.0)
    first, last = (code.multiply(turned(k)[0], two) for k in (0, half))
    with code.loop(1, half // 2 + 1) as k:
        (ar, ai), (br, bi) = turned(k.index), turned(code.minus(half, k.index))
        even = code.add(ar, br), code.subtract(ai, bi)
        across = code.subtract(ar, br), code.add(ai, bi)
        cosine, sine = (code.broadcast_float(table["turns"], code.plus(code.times(2, k.index), i)) for i in (0, 1))
        odd = (
            code.multiply_add(across[1], sine, code.multiply(across[0], cosine)),
            code.multiply_add(across[1], cosine, code.negate(code.multiply(across[0], sine))),
        )
        low = code.subtract(even[0], odd[1]), code.negate(code.add(even[1], odd[0]))
        high = code.add(even[0], odd[1]), code.subtract(even[1], odd[0])
        for (real, imaginary), bin_ in ((low, k.index), (high, code.minus(half, k.index))):
            code.store_vector(real, spectrum, code.times(2, bin_))
            code.store_vector(imaginary, spectrum, code.plus(code.times(2, bin_), 1))
    code.store_vector(code.add(first, last), spectrum, 0)
    code.store_vector(code.subtract(last, first), spectrum, 1)


def _add_back(
    code: Code,
    spec: GradientSpec,
    field: dict[str, Name],
    table: dict[str, Name],
    into: dict[str, Name],
    first: Name,
    samples: Name,
    free: Name,
) -> None:
    """Write the part of a kernel's source that adds the gradient of a tile's samples to the memory of its frames.

    That of lanes past the last frame is 0, and is added to the last frame's.
    """
    lanes, start, count = spec.lanes, field["window_at"], field["n_loaded"]
    # samples past the frame stand in whole vectors, under no window, and must be numbers
    with code.loop(spec.n_fft, code.plus(code.plus(start, count), 1)) as at:
        code.store_vector("zeroinitializer", samples, at.index)
    under = code.at(samples, start, code.vector)
    frames, _, _ = lane_addresses(code, lanes, into, first, field["hop"])
    shapes = spec.of.remove_dc or spec.of.preemphasis != 0.0
    mean: Name | None = None
    if shapes:
        mean = _unshape(code, spec, table, under, count, free)
        under = free
    with code.loop(0, count, lanes) as at:
        places = [code.plus(at.index, j) for j in range(lanes)]
        loaded = [code.load_vector(under, place) for place in places]
        if mean is not None and spec.of.remove_dc:
            inside = [code.broadcast_float(table["window"], code.plus(count, place)) for place in places]
            less = code.negate(mean)
            loaded = [code.multiply_add(less, one, value) for value, one in zip(loaded, inside, strict=True)]
        window = None if shapes else code.load_floats(code.at(table["back"], at.index, "float"))
        for frame, value in zip(frames, code.transposed(loaded), strict=True):
            here = code.at(frame, at.index, "float")
            before = code.load_floats(here)
            total = code.add(before, value) if window is None else code.multiply_add(value, window, before)
            code.store_floats(total, here)


def _unshape(code: Code, spec: GradientSpec, table: dict[str, Name], samples: Name, count: Name, to: Name) -> Name:
    """Write the part of a kernel's source that brings a gradient back through the window and pre-emphasis of frames.

    Returns the mean under the window of what it stores, which a removal of the mean takes off.
    """
    less = code.constant(-spec.of.preemphasis)

    def windowed(place: Int) -> Name:
        return code.multiply(code.load_vector(samples, place), code.broadcast_float(table["back"], place))

    with code.loop(0, count, code.lanes) as at:
        total = at.carry("zeroinitializer")
        parts = []
        own = windowed(at.index)
        for j in range(code.lanes):
            place = code.plus(at.index, j)
            following = windowed(code.plus(place, 1))
            parts.append(code.multiply_add(following, less, own))
            code.store_vector(parts[-1], to, place)
            own = following
        at.keep(code.add(total, in_pairs(code, parts)))
    # the first sample is its own neighbor
    more = code.multiply(windowed(0), less)
    code.store_vector(code.add(code.load_vector(to, 0), more), to, 0)
    share = code.broadcast_float(table["window"], code.times(2, count))
    return code.multiply(code.add(total, more), share)
