"""What a kernel must not let count: threads, batch-mates, neighbors, memory that is not its own."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.short_time.kernel import jit, layout
from audiofeed.methods.short_time.kernel.frame_kernel import FIELDS
from audiofeed.parallel import native_threads
from tests.methods.short_time.kernels import LIMIT, needs_compiler, noise, runs, worst_frame

__all__ = ["runs"]
pytestmark = needs_compiler


@pytest.mark.parametrize("transform", [af.STFT(400), af.LogMelSpectrogram(sample_rate=16000, n_fft=512, n_mels=20)])
def test_the_same_bits_at_any_number_of_threads_and_in_any_batch(transform):
    x = noise(5, 30000)
    lengths = torch.tensor([30000, 3, 17000, 16999, 800])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = transform(x, lengths)
        for threads in (2, 3, 8):
            torch.set_num_threads(threads)
            assert torch.equal(transform(x, lengths), expected)
    finally:
        torch.set_num_threads(before)
    for row, length in enumerate(lengths.tolist()):
        alone = transform(x[row, :length])
        assert torch.equal(expected[row, :, : alone.shape[-1]], alone)


def test_a_frame_knows_nothing_of_its_neighbors():
    """Not even when they are endless, no numbers, or 1e30 times as loud: silence stays exactly silent."""
    stft, x = af.STFT(64, hop_length=64, center=False), noise(64 * 40)
    expected = stft(x)
    for value in (float("inf"), float("nan"), 1e30, 0.0):
        spoiled = x.clone()
        spoiled[64 * 7 : 64 * 8] = value
        spoiled[64 * 20 : 64 * 21] = value
        out = stft(spoiled)
        others = [frame for frame in range(40) if frame not in (7, 20)]
        assert torch.equal(out[:, others], expected[:, others])
        assert torch.all(torch.isnan(out[1:-1, 7]) if not np.isfinite(value) else torch.isfinite(out[:, 7]))
        assert value != 0 or torch.all(out[:, 7] == 0)


def test_threads_that_call_at_once_do_not_meet():
    transform = af.LogMelSpectrogram(sample_rate=16000, n_fft=512, n_mels=30)
    clips = [noise(2, 20000, seed=seed) for seed in range(6)]
    expected = [transform(clip) for clip in clips]
    found = [None] * 6

    def work(i):
        for _ in range(20):
            found[i] = transform(clips[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize("awake", [True, False])
def test_the_same_bits_on_torchs_threads_and_on_others(openmp, awake, monkeypatch):
    transform, x = af.MelSpectrogram(sample_rate=16000, n_fft=512, n_mels=30), noise(4, 60000)
    expected = transform(x)
    if not openmp:
        monkeypatch.setattr(native_threads, "_openmp", lambda: None)
    monkeypatch.setattr(native_threads, "CLOSE", 0.0)
    monkeypatch.setattr(native_threads._Company, "until", -math.inf)
    monkeypatch.setattr(native_threads._Team, "spins", lambda team: awake)
    asked = []
    call = native_threads._Helpers.call
    monkeypatch.setattr(native_threads._Helpers, "call", lambda *a: asked.append(a[-1]) or call(*a))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(transform(x), expected)
    assert asked == ([] if openmp and awake else [3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads():
    """Where torch's own parallel steps would hang."""
    code = """
import os, torch, audiofeed as af
torch.set_num_threads(2)
mel, x = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40), torch.randn(1, 320000)
expected = mel(x)
child = os.fork()
if child == 0:
    os._exit(0 if (mel(x).numpy() == expected.numpy()).all() else 1)  # torch.equal would hang
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(mel(x), expected)  # the parent goes on as before
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("clips", "seconds", "n_fft", "threads", "workers"),
    [
        (1, 1, 400, 1, False),
        (8, 10, 400, 4, False),
        (3, 1, 1024, 3, False),
        (2, 1, 32768, 2, False),
        (8, 10, 400, 1, True),
        (16, 10, 400, 3, True),
    ],
)
def test_no_more_threads_than_there_is_work_for(clips, seconds, n_fft, threads, workers, monkeypatch):
    """Another thread is asked for 2**16 samples of frames, 2**21 beside workers, and never for less than a tile."""
    asked = []
    monkeypatch.setattr(native_threads._Company, "until", math.inf if workers else -math.inf)
    in_parallel = jit.call_in_parallel

    def spied(function, job, n_threads):
        fields = dict(zip(FIELDS, (ctypes.c_int64 * len(FIELDS)).from_address(job), strict=True))
        assert 1 <= fields["step"] * n_threads <= fields["n_tiles"]  # each of them finds some
        asked.append(n_threads)
        in_parallel(function, job, n_threads)

    monkeypatch.setattr(jit, "call_in_parallel", spied)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(jit, "lanes", lambda: 16)
    transform, x = af.Spectrogram(n_fft, hop_length=max(160, n_fft // 4)), noise(clips, 16000 * seconds)
    assert worst_frame(transform(x), transform(x.double())) <= LIMIT
    assert (asked or [1]) == [threads]


@pytest.mark.skipif(sys.platform != "linux", reason="needs mmap and mprotect")
@pytest.mark.parametrize("n_fft", [400, 500, 2048])
def test_nothing_past_the_end_of_the_samples_is_read(n_fft):
    """The last sample lies before a page that may not be read; a read beyond would end the process."""
    code = f"""
import ctypes, mmap, numpy as np, torch, audiofeed as af
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.PAGESIZE
for dtype in (np.float32, np.int16):
    pages = mmap.mmap(-1, 64 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert libc.mprotect(ctypes.c_void_p(start), page, 0) == 0
    assert libc.mprotect(ctypes.c_void_p(start + 63 * page), page, 0) == 0
    inside = np.frombuffer(pages, dtype=np.uint8, count=62 * page, offset=page).view(dtype)
    for x in (inside, inside[-1000:], inside[:1000], inside[-5:]):
        for center in (True, False):
            rows = torch.from_numpy(x[: x.size // 2 * 2]).view(2, -1)
            af.STFT({n_fft}, hop_length=37, center=center)(rows)
            af.MelSpectrogram(sample_rate=16000, n_fft={n_fft}, n_mels=10, center=center)(rows)
print("read what there is")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stdout == "read what there is\n", (done.returncode, done.stderr)


def test_nothing_outside_the_result_is_written():
    """Rows of few and of many frames, into memory whose borders are looked at."""
    before, x = torch.empty, noise(3, 4000)
    guards = []

    def guarded(shape, *, dtype, device):
        n = int(np.prod(shape))
        held = torch.full((n + 64,), 7.0, dtype=dtype)
        guards.append(held)
        return held[32 : 32 + n].view(shape)

    lengths = torch.tensor([4000, 1, 1700])
    mel = af.MelSpectrogram(sample_rate=16000, n_fft=400, hop_length=100, n_mels=10)
    power = af.Spectrogram(400, hop_length=100)
    complex_ = af.STFT(400, hop_length=100)
    limited = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=100, n_mels=10, log="db", top_db=20.0)
    normalized = af.Chain(mel, af.NormalizeClips()), af.Chain(mel, af.NormalizeClips(over="clip"))
    for transform in (mel, power, complex_, limited, *normalized):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layout.torch, "empty", guarded)
            transform(x, lengths)
    assert torch.empty is before
    guards = [held for held in guards if len(held) > 64]  # of empty ones nothing is written
    assert len(guards) == 6
    for held in guards:
        assert torch.all(held[:32] == 7)
        assert torch.all(held[-32:] == 7)
