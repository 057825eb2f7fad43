"""The text of the constant-Q kernels for a GPU: constants before that of `octaves.cu`, and kernels of factors after."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from audiofeed.signal.constant_q.decimation import decimation_taps

THREADS = 128
CHUNK = 16  # taps of a frame that a warp has in shared memory at a time
FRAMES = 64  # of a block of products
DECIMATING = 64  # threads of a block that decimates: twice as many leave more of a card idle at the end of a launch
# Pairs of samples of the next level that a thread makes: many for as few loads as arithmetic is waited for, or few
# where there are not enough threads for a card; with what a sample then takes. Each is 4 times an odd number.
WIDE, NARROW = 12, 4
TIME_OF = {WIDE: 1.0, NARROW: 1.25}
MOST_LEVELS, MOST_ITEMS = 16, 48
VALUES = ("COMPLEX", "MAGNITUDE", "SQUARE")
WARPS = THREADS // 32
# what the text needs of a GPU's compiler; the tests put something else before it to run it on a CPU
ON_A_GPU = "#define SHARED(name) extern __shared__ float4 name[]\n"


@dataclass(frozen=True)
class Phases:
    """Taps of a decimation filter, dealt out by what is left of a sample's number divided by the factor.

    Output i is the sum over phases p and taps m of the phase of samples factor * (i + m - lead) + p. Two outputs
    together take three sums over half the taps: see `octaves.cu`.

    Args:
        factor: between the rates.

    >>> Phases(2).lead, Phases(2).groups
    (97, 25)
    """

    factor: int

    @property
    def lead(self) -> int:
        """Samples of the lower rate that a filter reaches back."""
        return -(-(decimation_taps(self.factor) // 2) // self.factor)

    @property
    def groups(self) -> int:
        """Fours of every second tap of a phase, the last filled up with zeros."""
        taps = decimation_taps(self.factor)
        of_phase = -(-(taps + self.lead * self.factor - taps // 2) // self.factor)
        return -(-of_phase // 8)

    @property
    def size(self) -> int:
        """Values in the table of taps, three rows of each phase."""
        return self.factor * 3 * 4 * self.groups

    def shared(self, pairs: int) -> int:
        """Return the bytes of shared memory of a block that makes `pairs` of samples in a thread of the lower rate."""
        together, size = min(self.factor, 4), DECIMATING * pairs + 4 * self.groups
        apart = size + (32 // together + 32 - size % 32) % 32
        return 4 * together * 3 * (apart + 4 * self.groups)


@dataclass(frozen=True)
class Form:
    """Settings that the constant-Q kernels are compiled for; all others are given to them.

    Args:
        factors: between the rates, each once.
        columns: real and imaginary parts of bins that a block computes, a multiple of 8.
        value: of `VALUES`.
    """

    factors: tuple[int, ...]
    columns: int
    value: str

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block of products."""
        staged = (FRAMES + self.columns) * (CHUNK + 4)
        return 4 * WARPS * max(staged, self.columns * (FRAMES + 4))

    @property
    def kernels(self) -> dict[str, int]:
        """Bytes of shared memory of a block of each kernel, by name.

        >>> Form((2,), 24, "SQUARE").kernels
        {'products': 28160, 'decimate_2_12': 23520, 'decimate_2_4': 11232}
        """
        found = {"products": self.shared}
        for factor in self.factors:
            found |= {name_of(factor, pairs): Phases(factor).shared(pairs) for pairs in (WIDE, NARROW)}
        return found

    def text(self, before: str = ON_A_GPU) -> str:
        """Return the C++ text of the constant-Q kernels for these settings, after what the compiler at hand needs.

        >>> "DECIMATION(decimate_2_12, 2, 25, 97, 12)" in Form((2,), 24, "SQUARE").text()
        True
        """
        numbers = {
            "THREADS": THREADS, "DECIMATING": DECIMATING, "CHUNK": CHUNK, "FRAMES": FRAMES, "COLUMNS": self.columns,
            "MOST_LEVELS": MOST_LEVELS, "MOST_ITEMS": MOST_ITEMS, "PRODUCT_BLOCKS": 4,
        }  # fmt: skip
        lines = [
            before,
            f"enum {{ {', '.join(VALUES)} }};",
            *(f"constexpr int {name} = {value};" for name, value in numbers.items()),
            f"constexpr int VALUE = {self.value};",
            _octaves(),
        ]
        for factor in self.factors:
            phases = Phases(factor)
            for pairs in (WIDE, NARROW):
                given = f"{name_of(factor, pairs)}, {factor}, {phases.groups}, {phases.lead}, {pairs}"
                lines.append(f"DECIMATION({given})")
        return "\n".join(lines) + "\n"


def name_of(factor: int, pairs: int) -> str:
    """Return the name of a constant-Q kernel that decimates.

    >>> name_of(2, 12)
    'decimate_2_12'
    """
    return f"decimate_{factor}_{pairs}"


@functools.cache
def _octaves() -> str:
    return Path(__file__).with_name("octaves.cu").read_text(encoding="utf-8")
