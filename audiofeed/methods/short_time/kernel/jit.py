"""From a kernel's text to machine code, run on as many threads as torch uses. The only file that imports llvmlite."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import warnings
from typing import Any

import numpy as np
import torch

from audiofeed.methods.short_time.kernel import address_check
from audiofeed.methods.short_time.kernel.frame_kernel import KernelSpec
from audiofeed.methods.short_time.kernel.gradient_kernel import GradientSpec
from audiofeed.parallel.native_threads import beside_workers, call_in_parallel

# environment variable: 0 turns kernels off; read when the first kernel is requested
SWITCH = "AUDIOFEED_KERNELS"
OLDEST = (17, 0, 0)  # LLVM before has pointers of another kind; llvmlite 0.45 brings 20
ALIGNED = 64  # bytes; the widest vectors there are
# Samples of frames that are too few to ask another thread for: about 40 us of work, where a thread takes 10 us to come
FEW_SAMPLES = 2**16
# and beside worker processes, which want the cores: about 1 ms of work
FEW_BESIDE_WORKERS = 2**21
STEPS_OF_EACH = 8


@functools.cache
def _target() -> Any:
    """Return the processor that kernels are compiled for just in time, as LLVM describes it.

    The result is LLVM, a factory of code generators for this processor, and its features; without LLVM the reason.
    """
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 in the environment"
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return "llvmlite is not installed"
    if llvm.llvm_version_info < OLDEST:
        return f"llvmlite has LLVM {llvm.llvm_version_info[0]}, and kernels need {OLDEST[0]} or newer"
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple()
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
        # an engine takes its machine with it when it goes: each has its own
        make = functools.partial(target.create_target_machine, cpu=cpu, features=features.flatten(), opt=3)
        make()
    except Exception as error:  # noqa: BLE001  # whatever fails in LLVM, another method computes
        _give_up(error)
        return f"llvmlite cannot make code for this processor: {error}"
    return llvm, make, features


def _give_up(error: Exception) -> None:
    warnings.warn(
        f"llvmlite cannot make code for this processor ({type(error).__name__}: {error}); features are computed by "
        f"torch's FFT instead, which is slower; {SWITCH}=0 in the environment chooses that without this warning",
        RuntimeWarning,
        stacklevel=2,
    )


@functools.cache
def lanes() -> int:
    """Return the floats in a vector of a kernel compiled just in time for this processor; 0 without a compiler."""
    target = _target()
    if isinstance(target, str):
        return 0
    features = target[2]
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


def missing() -> str | None:
    """Return the reason why there is no just-in-time compiler for kernels; None where there is one."""
    target = _target()
    return target if isinstance(target, str) else None


class Machine:
    """Machine code compiled just in time of the text of a function `kernel(job)`, which threads may run together."""

    def __init__(self, text: str) -> None:
        llvm, make, _ = _target()
        module = llvm.parse_assembly(text)
        module.verify()
        self._engine = llvm.create_mcjit_compiler(module, make())
        self._engine.finalize_object()
        self.address = self._engine.get_function_address("kernel")
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)

    def run_job(self, job: np.ndarray, n_threads: int) -> None:
        """Call just-in-time compiled machine code with the same job, 64-bit integers, on `n_threads` threads."""
        if n_threads == 1:
            self._call(job.ctypes.data)
        else:
            call_in_parallel(self.address, job.ctypes.data, n_threads)


class Kernel(Machine):
    """Kernel of a spec's form, compiled just in time to machine code, with memory for the threads that run it."""

    def __init__(self, spec: KernelSpec | GradientSpec) -> None:
        self.spec = spec
        source = spec.write()
        super().__init__(source.text)
        self.tables = {"twiddles": source.twiddles, "turns": source.turns}
        self._addresses = {name: table.ctypes.data for name, table in self.tables.items()}
        self._free: list[np.ndarray] = []

    def run(self, n_tiles: int, fields: dict[str, int]) -> None:
        """Run a just-in-time compiled kernel on all tiles of a job, with as many threads as torch would use."""
        n_samples = n_tiles * fields.get("frames_of_each", self.spec.lanes) * self.spec.n_fft
        few = FEW_BESIDE_WORKERS if beside_workers() else FEW_SAMPLES
        n_threads = min(torch.get_num_threads(), n_tiles, max(1, n_samples // few))
        memory_of_each = -(-self.spec.memory * self.spec.lanes * 4 // ALIGNED) * ALIGNED
        memory = self._memory(n_threads * memory_of_each)
        start = memory.ctypes.data
        own = {
            **fields,
            **self._addresses,
            "next_tile": 0,
            "next_thread": 0,
            "n_tiles": n_tiles,
            "step": max(1, n_tiles // (n_threads * STEPS_OF_EACH)),
            "memory": start + -start % ALIGNED,
            "memory_of_each": memory_of_each,
        }
        if address_check.ENABLED:
            address_check.check_memory(self.spec, memory, own["memory"], memory_of_each, n_threads)
        job = np.array([own[name] for name in self.spec.fields], dtype=np.int64)
        self.run_job(job, n_threads)
        self._free.append(memory)

    def _memory(self, size: int) -> np.ndarray:
        """Return unused memory for the threads of a just-in-time compiled kernel.

        It has at least `size` + ALIGNED bytes.
        """
        try:
            memory = self._free.pop()
        except IndexError:
            return np.empty(size + ALIGNED, np.uint8)
        return memory if memory.nbytes >= size + ALIGNED else np.empty(size + ALIGNED, np.uint8)


def compiled(text: str) -> Machine | None:
    """Return just-in-time compiled machine code of a function `kernel(job)`; None where that fails, which warns."""
    try:
        return Machine(text)
    except Exception as error:  # noqa: BLE001  # whatever fails in LLVM, another method computes
        _give_up(error)
        return None


# Least-recently-used cache: a kernel and the time of its last use by the form of its spec. A kernel takes 1 MB.
_kernels: dict[KernelSpec | GradientSpec, tuple[Kernel | None, int]] = {}
_uses = itertools.count()
MOST_KERNELS = 64


def kernel(spec: KernelSpec | GradientSpec) -> Kernel | None:
    """Return the kernel of a spec, compiled just in time when its form is first requested; None where that fails.

    A failure warns once. The least recently used of more than `MOST_KERNELS` is dropped; a call that runs it keeps it
    alive.
    """
    form = spec.form
    known = _kernels.get(form)
    if known is None:
        # of two threads that come at once both compile, and one's work is lost; a lock could be held across a fork
        try:
            made: Kernel | None = Kernel(form)
        except Exception as error:  # noqa: BLE001  # whatever fails in LLVM, another method computes
            _give_up(error)
            made = None
        _kernels[form] = made, next(_uses)
        while len(_kernels) > MOST_KERNELS:
            oldest = min(list(_kernels.items()), key=lambda entry: entry[1][1])[0]
            _kernels.pop(oldest, None)
        return made
    _kernels[form] = known[0], next(_uses)
    return known[0]
