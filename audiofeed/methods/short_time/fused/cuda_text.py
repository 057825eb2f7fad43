"""The text of the CUDA kernel for one form of features: its constants and transforms before the text of `frames.cu`."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from audiofeed.methods.short_time.fused.cuda_filters import MOST_AT_ONCE, begins
from audiofeed.methods.short_time.fused.cuda_fourier import dft_text
from audiofeed.methods.short_time.fused.cuda_layout import Plan

PAD_MODES = ("constant", "reflect", "symmetric", "replicate", "circular")
_NAMES = ("ZEROS", "REFLECT", "SYMMETRIC", "REPLICATE", "CIRCULAR")
LOGARITHMS = {"": "NO_LOG", "ln": "LN", "log1p": "LOG1P"}
# what the text needs of a GPU's compiler; the tests put something else before it to run it on a CPU
ON_A_GPU = """\
#define SHARED(name) extern __shared__ float4 name[]
#define UNIFORM(value) __shfl_sync(0xffffffffu, value, 0)
static __device__ __forceinline__ float LOG2(float value) {
  float found;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(found) : "f"(value));
  return found;
}
static __device__ __forceinline__ float GREATER(float value, float least) {
#if __CUDA_ARCH__ >= 800
  float found;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(found) : "f"(value), "f"(least));
  return found;
#else
  return value < least ? least : value;
#endif
}
"""


@dataclass(frozen=True)
class Form:
    """Settings that the CUDA kernel is compiled for; all others are given to it.

    Args:
        plan: how frames are computed.
        short: whether samples are int16, else float32.
        pad_mode: what stands past the ends of a row.
        remove_dc, emphasizes: whether a frame's mean is removed, and whether it is pre-emphasized.
        root, root_offset: whether magnitudes are wanted, and whether something is added to their squares.
        log: of `LOGARITHMS`.
        under, win_length: the first sample under the window, and how many are.
        n_values: of a frame.
        rounds: weights of a filter in each round, see `cuda_filters`; empty: there are no filters.
        log_offset: whether something is added before the logarithm.
        before, after: how many shifts and scales come before the logarithm, and after it.
    """

    plan: Plan
    short: bool
    pad_mode: str
    remove_dc: bool
    emphasizes: bool
    root: bool
    root_offset: bool
    log: str
    under: int
    win_length: int
    n_values: int
    rounds: tuple[int, ...]
    log_offset: bool
    before: int
    after: int
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # it is looked up several times in a call
        object.__setattr__(self, "_hash", hash(tuple(getattr(self, one.name) for one in fields(self) if one.compare)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block of the CUDA kernel."""
        return self.plan.shared + (8 * self.plan.threads if self.remove_dc else 0)

    def text(self, before: str = ON_A_GPU) -> str:
        """Return the CUDA kernel's C++ text for these settings, after what the compiler at hand needs.

        >>> from audiofeed.methods.short_time.fused.cuda_layout import plan_for
        >>> plan = plan_for(400, 160)
        >>> form = Form(plan, False, "constant", False, False, False, False, "", 0, 400, 201, (), False, 0, 0)
        >>> "constexpr int HOP = 160;" in form.text()
        True
        """
        plan = self.plan
        numbers = {
            "N_FFT": plan.n_fft, "HALF": plan.half, "HOP": plan.hop_length, "FRAMES": plan.frames, "PARTS": plan.parts,
            "THREADS": plan.threads, "VALUES": plan.values, "ROW": plan.row, "STRIDE": plan.stride,
            "ROW_GAP": plan.stride - plan.row, "SAMPLES": plan.samples, "GAP": plan.gap, "BLOCKS": plan.blocks,
            "SHARED_FLOATS": plan.shared // 4, "LAST_RADIX": plan.radices[-1], "UNDER": self.under,
            "WIN_LENGTH": self.win_length, "N_VALUES": self.n_values, "BEFORE": self.before, "AFTER": self.after,
            "MOST_AT_ONCE": MOST_AT_ONCE, "PAST": max(0, *self.rounds, 0) - plan.half - 1,
        }  # fmt: skip
        flags = {
            "DC": self.remove_dc, "EMPHASIS": self.emphasizes, "ROOT": self.root, "ROOT_OFFSET": self.root_offset,
            "FILTERS": bool(self.rounds), "LOG_OFFSET": self.log_offset,
        }  # fmt: skip
        lines = [
            before,
            f"typedef {'short' if self.short else 'float'} SAMPLE;",
            f"typedef {'short4' if self.short else 'float4'} SAMPLES_OF_FOUR;",
            f"enum {{ {', '.join(_NAMES)} }};",
            f"enum {{ {', '.join(LOGARITHMS.values())} }};",
            *(f"constexpr int {name} = {value};" for name, value in numbers.items()),
            *(f"constexpr bool {name} = {str(value).lower()};" for name, value in flags.items()),
            f"constexpr int PAD_MODE = {_NAMES[PAD_MODES.index(self.pad_mode)]};",
            f"constexpr int LOG = {LOGARITHMS[self.log]};",
            "template <int N> struct Dft;",
            *(dft_text(radix) for radix in sorted(set(plan.radices))),
            f"#define PASSES {_passes(plan)}",
            f"#define FILTER_ROUNDS {_rounds(self.rounds)}",
        ]
        return "\n".join(lines) + "\n" + _frames()


class Numbers(NamedTuple):
    """Settings of a feature as both fused kernels are given them, in this order: see `launch.fused_features`."""

    n_fft: int
    hop_length: int
    margin: int
    extra: int
    more: int
    left_out: int
    under: int
    win_length: int
    pad_mode: str
    remove_dc: bool
    preemphasis: float
    power: float
    root_offset: float
    log: str
    floor: float
    factor: float
    offset: float
    before: int
    after: int


def form_of(plan: Plan, numbers: Numbers, *, short: bool, n_values: int, rounds: tuple[int, ...]) -> Form:
    """Return the form of the CUDA kernel for some settings.

    Args:
        plan, short, n_values, rounds: see `Form`.
        numbers: the settings.
    """
    return Form(
        plan, short, numbers.pad_mode, numbers.remove_dc, numbers.preemphasis != 0.0, numbers.power == 1.0,
        numbers.root_offset != 0.0, numbers.log, numbers.under, numbers.win_length, n_values, rounds,
        numbers.offset != 0.0, numbers.before, numbers.after,
    )  # fmt: skip


@functools.cache
def _frames() -> str:
    return Path(__file__).with_name("frames.cu").read_text(encoding="utf-8")


def _rounds(rounds: tuple[int, ...]) -> str:
    """Return the calls of a CUDA kernel's rounds of filters, on one line."""
    given = "(job, powers, out, apart, u, is_own);"
    each = zip(range(len(rounds)), rounds, begins(rounds), strict=False)
    return " ".join(f"one_round<{number}, {width}, {begin}>{given}" for number, width, begin in each)


def _passes(plan: Plan) -> str:
    """Return the calls of a CUDA kernel's passes, on one line."""
    meet, own = "__syncthreads(); ", "u, re, im"
    done, turns = 1, plan.bin_pairs
    said = ""
    *others, last = plan.radices
    for radix in others:
        times = -(-plan.half // radix // plan.parts)
        if done == 1:
            said += f"first_pass<{radix}, {times}>(job, own, partial, u, f, re, im); "
        else:
            said += f"middle_pass<{radix}, {times}, {done}>(job.turns + {turns}, values, {own}); "
            turns += plan.pass_pairs(radix, done)
        said += f"{meet}give<{radix}, {times}, {done}>(values, {own}); {meet}"
        done *= radix
    if done == 1:
        return f"first_pass<{last}, 1>(job, own, partial, u, f, re, im);"
    # a thread's other transform has the bins that belong to those of its first
    other = f"u > 0 ? {done} - u : {done // 2}"
    take = f"take<{last}, {done}>(job.turns + {turns}, values, "
    return f"{said}{take}u, re, im); {take}{other}, re + {last}, im + {last});"
