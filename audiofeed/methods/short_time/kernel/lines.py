"""Passes over features in memory as lines of float32, by machine code: their moments, peaks, and steps of values.

A line is one bin of one clip, as far as its own frames reach. Threads take lines from a job in turn; a job is an array
of 64-bit integers, which `FIELDS` names.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.methods.short_time.kernel import address_check, guard, jit, line_code
from audiofeed.methods.short_time.kernel.llvm_ir import Code

FIELDS = (
    "next_line",  # the first line that no thread has taken
    "n_lines",
    "step",  # lines that a thread takes at once
    "addresses",  # address of the address of each line
    "targets",  # address of the address that each line is written to
    "counts",  # address of the number of values of each line
    "numbers",  # address of the numbers of each line, float32
    "results",  # address of what is found of each line, float64
    "eps",  # bits of a float64: what is added to a divisor, or the least variance
)
# what a pass finds of each line, and how many numbers that is
FOUND = {"moments": 2, "peak": 1}
# Values that are too few to ask another thread for: it takes longer to come
FEW_VALUES = 2**16
STEPS_OF_EACH = 8


class Lines:
    """Lines of float32 in memory, each a bin of a clip's own frames, that machine code passes over.

    Args:
        features: (clips, rows of each, bins, frames), whose frames lie together: see `lines_of`.
        lengths: (clips,) frames of each clip; None: all of them.
        into: memory of the same shape that lines are written to; None: their own.
    """

    def __init__(self, features: torch.Tensor, lengths: torch.Tensor | None, into: torch.Tensor | None = None) -> None:
        self._features = features
        self._into = features if into is None else into
        *shape, frames = features.shape
        self.shape = tuple(shape)
        self._addresses = _addresses(features)
        self._targets = self._addresses if into is None else _addresses(into)
        own = np.full(shape[0], frames, np.int64) if lengths is None else lengths.numpy().astype(np.int64)
        self._counts = np.repeat(own, shape[1] * shape[2])

    def moments(self) -> torch.Tensor:
        """Return the mean of each line in memory, and the sum of squares of its values less that, in float64.

        Shape: -> (clips, rows of each, bins, 2).
        """
        return self._run("moments", 0, None)

    def peaks(self) -> torch.Tensor:
        """Return the largest value of each line in memory, in float64.  Shape: -> (clips, rows of each, bins, 1)."""
        return self._run("peak", 0, None)

    def standardize(self, *, unbiased: bool, eps: float, eps_to: str) -> None:
        """Pass over lines in memory, and take each less its mean and over its standard deviation: see `Spread`."""
        self._run(("standardize", "unbiased" if unbiased else "biased", eps_to), 0, None, eps)

    def center(self, floor: float | None) -> None:
        """Pass over lines in memory, and take each less its mean.

        Args:
            floor: then over its standard deviation, the root of a variance of no less than this; None: not.
        """
        self._run(("center", "alone" if floor is None else "scaled"), 0, None, floor or 0.0)

    def correlate(self, weights: Sequence[float]) -> None:
        """Pass over lines in memory, and write to other memory the correlation of each with a short filter.

        Args:
            weights: of so many values from each value of a line on; not all 0. As many values less one follow each
                line in its memory, which the filter reaches from the line's last.
        """
        what = ("correlate", *(float(weight).hex() for weight in weights))
        self._run(what, 0, None, reach=len(weights) - 1)

    def apply(self, *steps: str, numbers: Sequence[torch.Tensor]) -> None:
        """Pass over lines in memory once, and write each value anew.

        Args:
            steps: one after another of "least" (no less than a number), "affine" (a number added, and divided by one)
                and "scale" (less a number, and times one).
            numbers: those of the steps in order, each broadcasting to (clips, rows of each, bins).
        """
        table = np.empty((*self.shape, len(numbers)), np.float32)
        for i, number in enumerate(numbers):
            table[..., i] = number.numpy()
        self._run(steps, len(numbers), table)

    def _run(
        self, what: str | tuple[str, ...], n_numbers: int, table: np.ndarray | None, eps: float = 0.0, reach: int = 0
    ) -> torch.Tensor:
        machine = _machine(what, jit.lanes())
        assert machine is not None  # `lines_of` has asked
        results = np.empty((*self.shape, FOUND[what] if isinstance(what, str) else 0))
        n_lines = len(self._addresses)
        n_threads = max(1, min(torch.get_num_threads(), n_lines, int(self._counts.sum()) // FEW_VALUES))
        own = {
            "next_line": 0,
            "n_lines": n_lines,
            "step": max(1, n_lines // (n_threads * STEPS_OF_EACH)),
            "addresses": self._addresses.ctypes.data,
            "targets": self._targets.ctypes.data,
            "counts": self._counts.ctypes.data,
            "numbers": 0 if table is None else table.ctypes.data,
            "results": results.ctypes.data,
            "eps": int(np.float64(eps).view(np.int64)),
        }
        if address_check.ENABLED:
            self._check(reach)
        machine.run_job(np.array([own[name] for name in FIELDS], dtype=np.int64), n_threads)
        return torch.from_numpy(results)

    def _check(self, reach: int) -> None:
        """Check that all lines lie in the memory of the features, and raise an IndexError for one that does not.

        Args:
            reach: values after a line that are read, too.
        """
        counts = self._counts + reach * (self._counts > 0)
        for tensor, addresses, own in (
            (self._features, self._addresses, counts),
            (self._into, self._targets, self._counts),
        ):
            storage = tensor.untyped_storage()
            first, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
            outside = (addresses < first) | (addresses + 4 * own > end) | (own < 0)
            if outside.any():
                raise IndexError(f"line {int(np.flatnonzero(outside)[0])} is not inside the features")


def _addresses(features: torch.Tensor) -> np.ndarray:
    """Return the address of each line of features in memory.

    Shape: (clips, rows of each, bins, frames) -> (lines,).
    """
    of_clips, of_rows, of_bins = (
        np.arange(n, dtype=np.int64) * (4 * stride)
        for n, stride in zip(features.shape[:-1], features.stride()[:-1], strict=True)
    )
    places = of_clips[:, None, None] + (of_rows[:, None] + of_bins)
    return places.reshape(-1) + features.data_ptr()


def lines_of(features: torch.Tensor, lengths: torch.Tensor | None, into: torch.Tensor | None = None) -> Lines | None:
    """Return the lines of features in memory, for machine code to pass over; None where it cannot.

    Shape: (clips, rows of each, bins, frames), lengths (clips,) or None, into: the same, its frames together.
    """
    if features.stride(-1) != 1 or features.dtype != torch.float32 or guard.watched(features) is not None:
        return None
    if not jit.lanes() or any(_machine(what, jit.lanes()) is None for what in FOUND):
        return None
    return Lines(features, lengths, into)


@functools.lru_cache(maxsize=64)
def _machine(what: str | tuple[str, ...], lanes: int) -> jit.Machine | None:
    """Return the machine code of a pass over lines in memory, that finds something or takes steps."""
    return jit.compiled(_written(what, lanes))


def _written(what: str | tuple[str, ...], lanes: int) -> str:
    code = Code(lanes)
    doubles = f"<{lanes} x double>"
    job = {name: code.at("%job", i, "i64") for i, name in enumerate(FIELDS)}
    field = {name: code.load_i64("%job", i) for i, name in enumerate(FIELDS) if name != "next_line"}
    table = {
        name: code.let(f"inttoptr i64 {field[name]} to ptr")
        for name in ("addresses", "targets", "counts", "numbers", "results")
    }
    total = code.let(f"alloca {doubles}, align {8 * lanes}")
    n_steps = code.let(f"sdiv i64 {code.plus(field['n_lines'], code.minus(field['step'], 1))}, {field['step']}")
    with code.loop(0, n_steps):
        first = code.let(f"atomicrmw add ptr {job['next_line']}, i64 {field['step']} seq_cst")
        stop = code.min(code.plus(first, field["step"]), field["n_lines"])
        with code.loop(first, stop) as line:
            begin, count = code.load_pointer(table["addresses"], line.index), code.load_i64(table["counts"], line.index)
            if what[0] == "center":
                floor = field["eps"] if what[1] == "scaled" else None
                target = code.load_pointer(table["targets"], line.index)
                line_code.write_centered(code, begin, target, count, total, floor)
            elif what[0] == "correlate":
                target = code.load_pointer(table["targets"], line.index)
                line_code.write_correlated(code, begin, target, count, [float.fromhex(weight) for weight in what[1:]])
            elif what[0] == "standardize":
                line_code.write_standardized(code, begin, count, total, field["eps"], what[1] == "unbiased", what[2])
            elif isinstance(what, tuple):
                n_numbers = sum(line_code.STEPS[step] for step in what)
                own = code.at(table["numbers"], code.times(line.index, n_numbers), "float")
                numbers = [code.broadcast_float(own, i) for i in range(n_numbers)]
                line_code.write_steps(code, what, begin, count, numbers)
            else:
                found = code.at(table["results"], code.times(line.index, FOUND[what]), "double")
                if what == "peak":
                    line_code.write_peak(code, begin, count, found)
                else:
                    line_code.write_moments(code, begin, count, found, total)
    return line_code.declared(code)
