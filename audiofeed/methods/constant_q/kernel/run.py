"""The clips of a batch through a constant-Q kernel's program: one after another on each of torch's threads."""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.methods.constant_q.kernel.program import ALIGNED, CLIP, JOB, Program, driver
from audiofeed.methods.short_time.kernel import address_check, guard, jit
from audiofeed.parallel.kept_memory import kept_empty

# A segment of a long clip holds this many times what it sees beyond its frames on one side.
SEGMENT = 16


def readable(waveform: torch.Tensor) -> bool:
    """Return whether a constant-Q kernel may read a batch of waveforms."""
    return waveform.dtype == torch.float32 and guard.watched(waveform) is None


def octaves(
    waveform: torch.Tensor,
    own: list[int],
    program: Program,
    *,
    hop_length: int,
    context: int,
    counts: list[int],
    most: int,
) -> torch.Tensor:
    """Compute the constant-Q octaves of batched rows by machine code.

    Args:
        waveform: (rows, time).
        own: samples of each row.
        program: of the transform.
        hop_length: in samples of the clip.
        context: samples on either side of a frame's center that its octaves may depend on.
        counts: frames of each row.
        most: frames of the result.

    Returns:
        (rows, frames, bins): magnitudes, squared magnitudes or complex values, undefined past a row's own frames.
    """
    waveform = waveform if waveform.stride(-1) == 1 else waveform.contiguous()
    dtype = torch.complex64 if program.mode == "complex" else torch.float32
    out = kept_empty((len(own), most, program.n_bins), dtype)
    clips = _clips(waveform, own, program, hop_length, context, counts, out)
    if address_check.ENABLED:
        _check(clips, program, waveform, out)
    if len(clips):
        _run(program, clips)
    return out


def _clips(
    waveform: torch.Tensor,
    own: list[int],
    program: Program,
    hop: int,
    context: int,
    counts: list[int],
    out: torch.Tensor,
) -> np.ndarray:
    """Return the first numbers of the state of each clip of a constant-Q kernel's job, or of its segments.

    Where a clip is cut depends on its length alone, so that its values do not depend on the others of a batch.

    Shape: -> (clips, CLIP).
    """
    grid = round(1.0 / program.levels[-1].part)
    size = max(1, int(SEGMENT * context) // hop)
    clips: list[tuple[int, ...]] = []
    pitch, of_frame = 4 * waveform.stride(0), out.shape[2] * out.element_size()
    for row, (time, count) in enumerate(zip(own, counts, strict=True)):
        source, result = waveform.data_ptr() + row * pitch, out.data_ptr() + row * out.shape[1] * of_frame
        for first in range(0, count, size):
            stop = min(first + size, count)
            # a segment begins on a sample that every level keeps
            start = max(0, first * hop - context) // grid * grid
            end = time if stop == count else min(time, (stop - 1) * hop + context)
            center = first * hop - start
            clips.append((source + 4 * start, end - start, center, stop - first, result + first * of_frame))
    # the longest first, so that no thread begins with it when the others end
    clips.sort(key=lambda clip: -clip[1])
    return np.array(clips, dtype=np.int64).reshape(-1, CLIP)


def _check(clips: np.ndarray, program: Program, waveform: torch.Tensor, out: torch.Tensor) -> None:
    """Check that the clips of a constant-Q kernel's job lie in memory, or raise an IndexError for one that does not."""
    source, time, center, count, result = clips.T
    for name, tensor, begin, size in (
        ("waveform", waveform, source, 4 * time),
        ("result", out, result, count * program.n_bins * out.element_size()),
    ):
        storage = tensor.untyped_storage()
        first, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        outside = (begin < first) | (begin + size > end) | (size <= 0)
        if outside.any():
            raise IndexError(f"clip {int(np.flatnonzero(outside)[0])} of a constant-Q kernel is not inside the {name}")
    hop = program.levels[0].hop_length * round(1.0 / program.levels[0].part)
    if (center < 0).any() or (center + (count - 1) * hop > time).any():
        raise IndexError("a constant-Q kernel's frames are centered outside their clip")


def _run(program: Program, clips: np.ndarray) -> None:
    """Run a constant-Q kernel's job with as many threads as torch would use."""
    table, memory_of_each, found = program.stages(int(clips[:, 1].max()), int(clips[:, 3].max()))
    n_threads = max(1, min(torch.get_num_threads(), len(clips), int(clips[:, 1].sum()) // jit.FEW_SAMPLES))
    memory = kept_empty((n_threads * memory_of_each // 4 + ALIGNED // 4,), torch.float32)
    begin = memory.data_ptr()
    own = {
        "next_clip": 0,
        "next_thread": 0,
        "n_clips": len(clips),
        "clips": clips.ctypes.data,
        "stages": table.ctypes.data,
        "n_stages": len(table),
        "memory": begin + -begin % ALIGNED,
        "memory_of_each": memory_of_each,
        "found": found,
    }
    machine = driver(program.lanes)
    assert machine is not None  # `Program.works`
    machine.run_job(np.array([own[name] for name in JOB], dtype=np.int64), n_threads)
