"""The program of a constant-Q kernel: the stages of all levels in order, and the memory that a thread needs for them.

It depends on the settings alone. Threads take clips from a job in turn, and lead each through all stages.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.constant_q.decimation import lower_length
from audiofeed.methods.constant_q.kernel.decimation_code import Blocks, write_decimation
from audiofeed.methods.constant_q.kernel.products_code import FEW_FRAMES, FRAMES, write_products
from audiofeed.methods.constant_q.kernel.stages import STAGE, STATE, write_copy
from audiofeed.methods.short_time.kernel import jit
from audiofeed.methods.short_time.kernel.llvm_ir import Code
from audiofeed.plans.constant_q.block_basis import BlockBasis
from audiofeed.plans.constant_q.decimation import decimation_block, decimation_response
from audiofeed.plans.constant_q.levels import Band, Level
from audiofeed.signal.constant_q.decimation import decimation_reach

ALIGNED = jit.ALIGNED
# Halving in blocks of 2048 samples: 4096 leave more lanes without a block in the lower octaves of short clips
HALVING_BLOCK = 2048
# Up to here the blocks of all lanes fit into 2 MB; above, torch filters
LARGEST_FACTOR = 16
# Taps of a kernel that are summed by themselves
TOGETHER = 64

JOB = (
    "next_clip",  # the first clip that no thread has taken
    "next_thread",  # how many threads have come
    "n_clips",
    "clips",  # address of the first CLIP numbers of each clip's state
    "stages",  # address of the stages
    "n_stages",
    "memory",  # address of what the threads work in
    "memory_of_each",  # bytes of it for each thread
    "found",  # bytes from a thread's memory to the products of blocks
)
CLIP = 5


def cannot(levels: tuple[Level, ...], pad_mode: str) -> str | None:
    """Return the reason why a constant-Q transform has no program of kernels, or None."""
    if not jit.lanes():
        return jit.missing() or "no vectors"
    if pad_mode != "constant":
        return f"pad_mode={pad_mode!r}: each level would be extended by values of its own"
    largest = max(level.factor for level in levels)
    return f"the rate falls by {largest} at once" if largest > LARGEST_FACTOR else None


@dataclass(frozen=True)
class Rank:
    """Stages of one constant-Q octave level in a program: its margins, and where its signal lies."""

    left: int
    right: int
    factor: int
    slack: int


def write_driver(lanes: int) -> str:
    """Write the constant-Q kernel in which a thread takes clips of a job, and leads them through the stages."""
    code = Code(lanes)
    place = {name: code.at("%job", i, "i64") for i, name in enumerate(JOB)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(JOB) if not name.startswith("next")}
    state = code.let(f"alloca i64, i64 {len(STATE)}, align 8")
    thread = code.let(f"atomicrmw add ptr {place['next_thread']}, i64 1 seq_cst")
    memory = code.plus(field["memory"], code.times(thread, field["memory_of_each"]))
    clips, stages = (code.let(f"inttoptr i64 {field[name]} to ptr") for name in ("clips", "stages"))
    with code.loop(0, field["n_clips"]):
        number = code.let(f"atomicrmw add ptr {place['next_clip']}, i64 1 seq_cst")
        # a thread that finds nothing left goes through the rest at no cost
        with code.loop(number, code.min(code.plus(number, 1), field["n_clips"])) as clip:
            own = code.at(clips, code.times(clip.index, CLIP), "i64")
            values = [code.load_i64(own, i) for i in range(CLIP)] + [memory, code.plus(memory, field["found"])]
            for i, value in enumerate(values):
                code.put(f"store i64 {value}, ptr {code.at(state, i, 'i64')}, align 8")
            with code.loop(0, field["n_stages"]) as stage:
                here = code.at(stages, code.times(stage.index, len(STAGE)), "i64")
                code.put(f"call void {code.load_pointer(here, 0)}(ptr {here}, ptr {state})")
    return code.text("kernel", "ptr %job")


@functools.lru_cache(maxsize=8)
def driver(lanes: int) -> jit.Machine | None:
    """Return the machine code by which threads take constant-Q clips of a job; None where there is none."""
    return jit.compiled(write_driver(lanes))


@functools.lru_cache(maxsize=8)
def _copy(lanes: int) -> jit.Machine | None:
    return jit.compiled(write_copy(lanes))


@functools.lru_cache(maxsize=32)
def _products(lanes: int, frames: int, mode: str) -> jit.Machine | None:
    return jit.compiled(write_products(lanes, frames, mode))


@functools.lru_cache(maxsize=8)
def _decimation(blocks: Blocks) -> tuple[jit.Machine | None, np.ndarray]:
    response = decimation_response(blocks.factor, blocks.block)[::2]
    written = write_decimation(blocks, response)
    return jit.compiled(written.text), _aligned(written.tables)


def _aligned(values: np.ndarray) -> np.ndarray:
    """Return float32 values in memory that begins at a whole vector."""
    memory = np.zeros(values.size * 4 + ALIGNED, np.uint8)
    start = -memory.ctypes.data % ALIGNED
    out = memory[start : start + values.size * 4].view(np.float32)
    out[:] = values.reshape(-1)
    return out


def _blocks(factor: int, lanes: int) -> Blocks:
    block = HALVING_BLOCK if factor == 2 else decimation_block(factor)
    # the blocks of all lanes in half of a core's own cache
    lanes = min(lanes, 8) if block > HALVING_BLOCK else lanes
    return Blocks(lanes, factor, block, decimation_reach(factor))


def _columns(kernels: np.ndarray, inner: int, lanes: int, *, pairs: bool) -> tuple[np.ndarray, int, int]:
    """Lay out kernels for a program: the products of a frame by vectors, tap by tap, the last taps filled with zeros.

    Args:
        kernels: (products, taps); with `pairs` real and imaginary part of a bin in turn.

    Returns:
        (taps, products) with both filled up, how many times there are `inner` taps, and vectors of products.
    """
    if pairs:
        kernels = np.concatenate([kernels[0::2], kernels[1::2]])
    n, taps = kernels.shape
    outer, vectors = -(-taps // inner), -(-n // lanes)
    out = np.zeros((outer * inner, vectors * lanes), np.float32)
    out[:taps, :n] = kernels.T
    return out, outer, vectors


def lanes_of(n: int) -> int:
    """Return the lanes for n products of a frame in a constant-Q program: fewer where they leave less of them idle.

    >>> lanes_of(72) in (0, 4, 8, 16)
    True
    """
    most = jit.lanes()
    return 8 if most == 16 and -(-n // 8) * 8 * 1.1 < -(-n // 16) * 16 else most


class Program:
    """Program of a constant-Q transform by octaves for kernels: its stages, and what they read.

    Args:
        levels: of the transform, from the highest rate down.
        kernels: of the bands of all levels, one after another: see `plans.constant_q.levels.octave_kernels`.
        bases: kernels in blocks, by first bin, for those of the bands that take fewer products so.
        power: of the magnitude; None: complex values.
    """

    def __init__(
        self, levels: tuple[Level, ...], kernels: np.ndarray, bases: dict[int, BlockBasis], power: float | None
    ) -> None:
        self.mode = {None: "complex", 1.0: "magnitude"}.get(power, "square")
        self.levels, self.lanes = levels, jit.lanes()
        self._bases = bases
        self.n_bins = max(band.end for level in levels for band in level.bands)
        self._kept: list[np.ndarray] = []
        self._machines: list[jit.Machine | None] = [driver(self.lanes)]
        self._work = self._found = 0
        self._rows: list[dict[str, int]] = []
        self._ranks: list[Rank] = []
        self._write(kernels)

    @property
    def works(self) -> bool:
        """Whether there is machine code for all stages of a constant-Q program."""
        return all(machine is not None for machine in self._machines)

    def _write(self, kernels: np.ndarray) -> None:
        """Write the stages of a constant-Q program, all but where in a thread's memory the levels lie."""
        start = 0
        for number, level in enumerate(self.levels):
            following = self.levels[number + 1] if number + 1 < len(self.levels) else None
            if number == 0 and level.factor > 1:
                # the clip itself has no frames
                self._signal(None, level, 1)
            self._signal(level, following, level.factor)
            for band in level.bands:
                own = kernels[start : start + band.size].reshape(-1, band.taps)
                start += band.size
                self._band(level, band, own)

    def _signal(self, level: Level | None, following: Level | None, factor: int) -> None:
        """Add the stage of a constant-Q program that computes a level's signal: a copy, or a decimation."""
        left = right = 0
        if level is not None:
            left = max(band.before for band in level.bands)
            right = max(-(-band.taps // TOGETHER) * TOGETHER - band.before for band in level.bands)
        if following is not None and following.factor > 1:
            blocks = _blocks(following.factor, self.lanes)
            left = max(left, blocks.reach)
            right = max(right, blocks.step + blocks.reach + blocks.factor)
        if factor == 1:
            self._add(_copy(self.lanes), None, left=left, right=right)
            slack = 0
        else:
            blocks = _blocks(factor, self.lanes)
            machine, tables = _decimation(blocks)
            self._add(machine, tables, left=left, right=right)
            self._work = max(self._work, blocks.memory)
            slack = blocks.kept
        self._ranks.append(Rank(left, right, factor, slack))

    def _band(self, level: Level, band: Band, kernels: np.ndarray) -> None:
        """Add the stages of a constant-Q program that multiply the frames of a level by the kernels of a band."""
        shift, n_bins = round(-np.log2(level.part)), band.end - band.first
        last = {"bins": n_bins, "out_at": band.first, "out_stride": self.n_bins}
        if self.mode == "complex":
            last |= {"out_at": 2 * band.first, "out_stride": 2 * self.n_bins}
        plan = self._bases.get(band.first)
        signal = {"shift": shift, "start": -band.before}
        if plan is None:
            inner = min(band.taps, TOGETHER)
            at = {**signal, **last, "hop": level.hop_length, "outer_stride": inner, "advance": 1}
            self._multiply(kernels, inner, self.mode, at)
            return
        step = min(plan.block, level.hop_length)
        stride, advance = plan.block // step, level.hop_length // step
        n_blocks = len(plan.weights) // plan.rank
        lanes = lanes_of(plan.rank)
        width = -(-plan.rank // lanes) * lanes
        more = (n_blocks - 1) * stride
        first = {"hop": step, "advance": advance, "more": more, "out_stride": width, "to_found": 1}
        self._multiply(plan.basis.T, plan.block, "plain", {**signal, **first})
        second = {"from_found": 1, "hop": advance * width, "outer_stride": stride * width, "advance": 1}
        # the clip's first frame is the first of the blocks, wherever it lies
        weights = plan.weights.T
        self._multiply(weights, plan.rank, self.mode, {**last, **second, "shift": 62})
        self._found = max(self._found, width)

    def _multiply(self, kernels: np.ndarray, inner: int, mode: str, at: dict[str, int]) -> None:
        lanes = lanes_of(len(kernels))
        table, outer, vectors = _columns(kernels, inner, lanes, pairs=mode != "plain")
        frames = FRAMES if self.lanes == 16 else FEW_FRAMES
        # what the sums of a group of frames lie in, with the vector that reads past the last of them
        self._work = max(self._work, (frames * vectors + 1) * lanes * 4)
        own = {**at, "inner": inner, "outer": outer, "vectors": vectors}
        self._add(_products(lanes, frames, mode), _aligned(table), **own)

    def _add(self, machine: jit.Machine | None, tables: np.ndarray | None, **numbers: int) -> None:
        self._machines.append(machine)
        if tables is not None:
            self._kept.append(tables)
            numbers["tables"] = tables.ctypes.data
        if machine is not None:
            numbers["function"] = machine.address
        self._rows.append(numbers)

    def stages(self, longest: int, most_frames: int) -> tuple[np.ndarray, int, int]:
        """Return the stages of a constant-Q program for clips up to a length, and a thread's memory.

        Args:
            longest: samples of the longest clip, or segment of one.
            most_frames: of them.

        Returns:
            (stages, numbers), the bytes of a thread's memory, and those of it before the products of blocks.
        """
        sizes = [0, 0]
        for number, (rank, time) in enumerate(zip(self._ranks, self._times(longest), strict=True)):
            # the last vectors that are cleared and stored reach past a margin
            size = rank.left + time + rank.right + rank.slack + 2 * self.lanes
            sizes[number % 2] = max(sizes[number % 2], size)
        places = [0, _whole(4 * sizes[0])]
        work = places[1] + _whole(4 * sizes[1])
        found = work + _whole(self._work)
        table = np.zeros((len(self._rows), len(STAGE)), np.int64)
        level = 0
        for row, numbers in zip(table, self._rows, strict=True):
            own = {"work": work, **numbers}
            if "left" in numbers:
                own["at"] = places[level % 2]
                level += 1
            for name, value in own.items():
                row[STAGE.index(name)] = value
        most = max((self._n_found(numbers, most_frames) for numbers in self._rows), default=0)
        return table, found + _whole(4 * most), found

    @staticmethod
    def _n_found(numbers: dict[str, int], frames: int) -> int:
        if not numbers.get("to_found"):
            return 0
        return ((frames - 1) * numbers["advance"] + numbers["more"] + 1) * numbers["out_stride"]

    def _times(self, longest: int) -> Iterator[int]:
        for rank in self._ranks:
            longest = int(lower_length(longest, rank.factor))
            yield longest


def _whole(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
