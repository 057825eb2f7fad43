"""The text of the constant-Q kernels for a GPU, compiled for a CPU and run there thread by thread.

Each thread of a block runs until the next barrier, in an order that can be chosen: values that depend on it show a
barrier that is missing. Shared memory holds NaN before a block begins, and so do the scratch memory and the result. It,
the samples and the result end where memory ends, so that what reads or writes past them ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from audiofeed.methods.constant_q.device import launch, self_check
from audiofeed.methods.constant_q.device.text import DECIMATING, THREADS, Form
from audiofeed.methods.short_time.fused import cuda_launch, nvrtc
from audiofeed.parallel import launches
from tests.methods.short_time.cuda_on_cpu import BEFORE, COMPILER, ORDERS, RUNNER

__all__ = ["COMPILER", "ORDERS", "kernels_on_cpu"]

RUN = r"""
static const Job* job_of_all;
static int number_of_all;
static void (*kernel_of_all)(const Job, const int);
static void thread() {
  const int own = threadIdx.x;
  kernel_of_all(*job_of_all, number_of_all);
  ended[own] = 1;
}
extern "C" size_t size_of_job() { return sizeof(Job); }
extern "C" void run(
    void* kernel, const Job* given, int number, int blocks, int n_threads, int order, size_t shared, size_t n_samples,
    size_t n_out, size_t n_scratch) {
  Job job = *given;
  const Guarded samples(n_samples * 4, job.samples), out(n_out * 4, job.out), scratch(n_scratch * 4, job.scratch);
  const Guarded memory(shared);
  job.samples = (const float*)samples.data;
  job.out = (float*)out.data;
  job.scratch = (float*)scratch.data;
  shared_memory = memory.data;
  job_of_all = &job;
  number_of_all = number;
  kernel_of_all = (void (*)(const Job, const int))kernel;
  run_blocks(thread, blocks, n_threads, order, shared);
  memcpy(given->out, job.out, n_out * 4);
  memcpy(given->scratch, job.scratch, n_scratch * 4);
}
"""


class OnCpu:
    """The constant-Q kernels of a form, compiled for a CPU, with the launches that all forms made."""

    order = 0
    launches = 0

    def __init__(self, form: Form, folder: Path, change: tuple[str, str] | None = None) -> None:
        self.form = form
        text = form.text(BEFORE) + RUNNER + RUN
        if change is not None:
            assert change[0] in text, change
            text = text.replace(*change)
        stem = folder / f"{abs(hash((form, change))):x}"
        source, library = stem.with_suffix(".cc"), stem.with_suffix(".so")
        source.write_text(text)
        command = [COMPILER, "-std=c++17", "-O1", "-w", "-fPIC", "-shared", source, "-o", library]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == 0, done.stderr[:2000]
        self.library = ctypes.CDLL(str(library))
        self.library.size_of_job.restype = ctypes.c_size_t
        assert self.library.size_of_job() == ctypes.sizeof(launch.Job)
        self.run = self.library.run
        self.run.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int] * 4 + [ctypes.c_size_t] * 4

    def launch(self, calls: Sequence[nvrtc.Call]) -> None:
        job = calls[0].arguments[0]
        n_samples = (job.n_rows - 1) * job.row_stride + job.time
        n_out = job.n_rows * job.n_bins * job.n_frames * (2 if self.form.value == "COMPLEX" else 1)
        n_scratch = max([level.offset + job.n_rows * level.stride for level in job.levels])
        for place, size in ((job.out, n_out), (job.scratch, n_scratch)):
            nan = torch.full((size,), torch.nan)
            ctypes.memmove(place, nan.data_ptr(), 4 * size)
        for call in calls:
            assert call.threads == (THREADS if call.name == "products" else DECIMATING)
            OnCpu.launches += 1
            kernel = ctypes.cast(getattr(self.library, call.name), ctypes.c_void_p)
            number = call.arguments[1].value
            shared = self.form.kernels[call.name]
            sizes = (shared, n_samples, n_out, n_scratch)
            self.run(kernel, ctypes.addressof(job), number, call.blocks, call.threads, self.order, *sizes)


@contextlib.contextmanager
def kernels_on_cpu(change: tuple[str, str] | None = None, order: int = 0) -> Iterator[type[OnCpu]]:
    """Run the constant-Q kernels on tensors of a CPU meanwhile, which are computed as a GPU's.

    Args:
        change: of their text, to see what notices.
        order: in which a block's threads run.
    """
    held = cuda_launch.unreachable, launch.launcher, launch.processors, self_check.VERDICTS, launches.AT_ONCE
    OnCpu.launches, OnCpu.order = 0, order
    with tempfile.TemporaryDirectory() as folder:
        known: dict[Form, OnCpu] = {}

        def launcher(form: Form, device: torch.device) -> OnCpu:
            if form not in known:
                known[form] = OnCpu(form, Path(folder), change)
            return known[form]

        cuda_launch.unreachable, launch.launcher, launch.processors = lambda device: None, launcher, lambda device: 2
        self_check.VERDICTS, launches.AT_ONCE = {}, []
        try:
            yield OnCpu
        finally:
            cuda_launch.unreachable, launch.launcher, launch.processors, self_check.VERDICTS, launches.AT_ONCE = held
