"""The text of the CUDA kernel, compiled for a CPU and run there thread by thread: what `nvrtc.Loaded` is on a card.

Each thread of a block has a stack of its own and runs until the next barrier, in an order that can be chosen: values
that depend on it show a barrier that is missing. Shared memory holds NaN before a block begins. It, the samples, the
window and the result each end where memory ends, so that what reads or writes past them ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from audiofeed.methods.short_time import fused_method
from audiofeed.methods.short_time.fused import cuda_launch, self_check
from audiofeed.methods.short_time.fused.cuda_text import Form

COMPILER = shutil.which("g++") or shutil.which("clang++")
ORDERS = 3  # forward, backward, mixed

BEFORE = r"""
#include <cmath>
#include <cstring>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) short4 { short x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
template <class T> static inline T __ldg(const T* at) { return *at; }
static struct { int x; } threadIdx, blockIdx;
static void* shared_memory;
static ucontext_t scheduler, *current;
static void __syncthreads() { swapcontext(current, &scheduler); }
#define SHARED(name) float4* name = (float4*)shared_memory
#define UNIFORM(value) (value)
#define LOG2(value) log2f(value)
#define GREATER(value, least) ((value) < (least) ? (least) : (value))
"""

# what runs the threads of each block until they meet, for the texts of both families of kernels
RUNNER = r"""
static std::vector<char> ended;
struct Guarded {  // memory that ends where it ends
  size_t size, whole;
  char* begin;
  void* data;
  explicit Guarded(size_t bytes, const void* from = nullptr) : size(bytes) {
    const size_t page = sysconf(_SC_PAGESIZE);
    whole = (bytes + page - 1) / page * page + page;
    begin = (char*)mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(begin + whole - page, page, PROT_NONE);
    data = begin + whole - page - bytes;
    if (from) memcpy(data, from, bytes);
  }
  ~Guarded() { munmap(begin, whole); }
};
static void run_blocks(void (*thread)(), int blocks, int n_threads, int order, size_t shared) {
  const size_t stack = 1 << 18;
  std::vector<ucontext_t> threads(n_threads);
  char* stacks = (char*)mmap(nullptr, stack * n_threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    for (size_t i = 0; i < shared / 4; ++i) ((float*)shared_memory)[i] = std::numeric_limits<float>::quiet_NaN();
    ended.assign(n_threads, 0);
    for (int t = 0; t < n_threads; ++t) {
      getcontext(&threads[t]);
      threads[t].uc_stack.ss_sp = stacks + t * stack;
      threads[t].uc_stack.ss_size = stack;
      threads[t].uc_link = &scheduler;
      makecontext(&threads[t], thread, 0);
    }
    for (bool any = true; any;) {
      any = false;
      for (int i = 0; i < n_threads; ++i) {
        int t = i;
        if (order == 1) t = n_threads - 1 - i;
        if (order == 2) t = (int)((i * 7919ll + 13) % n_threads);
        if (ended[t]) continue;
        any = true;
        threadIdx.x = t;
        current = &threads[t];
        swapcontext(&scheduler, &threads[t]);
      }
    }
  }
  munmap(stacks, stack * n_threads);
}
"""

AFTER = r"""
static const Job* job_of_all;
static void thread() {
  const int own = threadIdx.x;
  features(*job_of_all);
  ended[own] = 1;
}
extern "C" void run(const Job* given, int blocks, int order, size_t shared, size_t n_samples, size_t n_out) {
  Job job = *given;
  const Guarded samples(n_samples * sizeof(SAMPLE), job.samples), window(N_FFT * 4, job.window), out(n_out * 4);
  const Guarded memory(shared);
  job.samples = (const SAMPLE*)samples.data;
  job.window = (const float*)window.data;
  job.out = (float*)out.data;
  shared_memory = memory.data;
  for (size_t i = 0; i < n_out; ++i) job.out[i] = std::numeric_limits<float>::quiet_NaN();
  job_of_all = &job;
  run_blocks(thread, blocks, THREADS, order, shared);
  memcpy(given->out, job.out, n_out * 4);
}
"""


class OnCpu:
    """A form of the CUDA kernel, compiled for a CPU, with the launches it made."""

    order = 0
    launches = 0

    def __init__(self, form: Form, folder: Path, change: tuple[str, str] | None = None) -> None:
        self.form = form
        text = form.text(BEFORE) + RUNNER + AFTER
        if change is not None:
            assert change[0] in text, change
            text = text.replace(*change)
        stem = folder / f"{abs(hash((form, change))):x}"
        source, library = stem.with_suffix(".cc"), stem.with_suffix(".so")
        source.write_text(text)
        command = [COMPILER, "-std=c++17", "-O0", "-w", "-fPIC", "-shared", source, "-o", library]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == 0, done.stderr[:2000]
        self.run = ctypes.CDLL(str(library)).run
        self.run.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, *[ctypes.c_size_t] * 3]

    def launch(self, blocks: int, threads: int, job: cuda_launch.Job) -> None:
        assert threads == self.form.plan.threads
        OnCpu.launches += 1
        rows = blocks // job.n_tiles
        n_samples = (rows - 1) * job.row_stride + job.time
        n_out = rows * self.form.n_values * job.n_frames
        self.run(ctypes.addressof(job), blocks, self.order, self.form.shared, n_samples, n_out)


@contextlib.contextmanager
def kernel_on_cpu(change: tuple[str, str] | None = None, order: int = 0) -> Iterator[type[OnCpu]]:
    """Run the CUDA kernel on tensors of a CPU meanwhile.

    Args:
        change: of its text, to see what notices.
        order: in which a block's threads run.
    """
    held = cuda_launch.unreachable, cuda_launch.launcher, fused_method._built_for_cuda, self_check._VERDICTS
    OnCpu.launches, OnCpu.order = 0, order
    with tempfile.TemporaryDirectory() as folder:
        known: dict[Form, OnCpu] = {}

        def launcher(form: Form, device: torch.device) -> OnCpu:
            if form not in known:
                known[form] = OnCpu(form, Path(folder), change)
            return known[form]

        cuda_launch.unreachable, cuda_launch.launcher = lambda device: None, launcher
        fused_method._built_for_cuda, self_check._VERDICTS = lambda: True, {}
        try:
            yield OnCpu
        finally:
            cuda_launch.unreachable, cuda_launch.launcher, fused_method._built_for_cuda, self_check._VERDICTS = held
