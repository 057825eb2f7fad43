"""The kernels for CPUs: their values, where they are used and where not, and what they must not touch."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import audiofeed as af
from audiofeed.methods import fft
from audiofeed.methods.compiled import fourier, jit, short_time
from audiofeed.methods.compiled.code import Code
from audiofeed.methods.compiled.kernel import FIELDS, Recipe
from audiofeed.methods.compiled.logarithm import logarithm
from audiofeed.methods.frames import PAD_MODES

pytestmark = pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")

LIMIT = 1e-6  # of each frame's own size


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.fixture
def runs(monkeypatch):
    """The recipes that were computed, in their order."""
    found = []
    run = jit.Kernel.run

    def spied(kernel, n_tiles, fields):
        found.append(kernel.recipe)
        run(kernel, n_tiles, fields)

    monkeypatch.setattr(jit.Kernel, "run", spied)
    return found


def without_kernels(monkeypatch):
    monkeypatch.setattr(fft, "frames_of", lambda *frames: None)


def worst_frame(out, expected):
    """The largest error of a frame in parts of that frame's size.  Shape: (..., bins, frames)."""
    error = torch.linalg.vector_norm(out - expected, dim=-2)
    size = torch.linalg.vector_norm(expected, dim=-2)
    assert torch.all(error[size == 0] == 0)
    return (error / torch.where(size == 0, 1.0, size)).max().item()


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("lanes", [4, 8, 16])
@given(
    half=st.one_of(st.sampled_from([8, 25, 49, 121, 169, 200, 256, 693, 1024]), st.integers(8, 300)),
    hop_length=st.integers(1, 300),
    center=st.booleans(),
    pad_mode=st.sampled_from(PAD_MODES),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    kind=st.sampled_from([torch.float32, torch.int16]),
    power=st.sampled_from([None, 1.0, 2.0, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_kernel_equals_the_definition(lanes, half, hop_length, center, pad_mode, lengths, kind, power, seed):
    if len(lengths) > 1 and hop_length < 8:
        hop_length += 8
    x = noise(len(lengths), max(lengths), seed=seed)
    given_ = (x * 8000).round().clamp(-32768, 32767).to(torch.int16) if kind == torch.int16 else x
    exact = given_.double() / 32768 if kind == torch.int16 else given_.double()
    past = torch.arange(x.shape[1]) >= torch.tensor(lengths)[:, None]
    spoiled = given_.masked_fill(past, 32767 if kind == torch.int16 else float("nan"))
    transform = af.Spectrogram(2 * half, hop_length=hop_length, center=center, pad_mode=pad_mode, power=power)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit, "lanes", lambda: lanes)
        found = []
        patch.setattr(fft, "frames_of", lambda *frames: found.append(short_time.frames_of(*frames)) or found[-1])
        out = transform(spoiled, torch.tensor(lengths))
    computed = fourier.radices(half) is not None
    assert (found[0] is not None) == computed
    for row, length in zip(range(len(lengths)), lengths, strict=True):
        expected = transform(exact[row, :length])
        frames = expected.shape[-1]
        # a root of values near 0 is as far off as its argument's rounding allows
        limit = LIMIT if power != 0.7 else 1e-4
        assert worst_frame(out[row, :, :frames], expected) <= limit
        assert torch.all(out[row, :, frames:] == 0)


@pytest.mark.parametrize("size", [n for n in range(2, 400) if fourier.radices(n)])
def test_radices_multiply_to_the_size(size):
    assert np.prod(fourier.radices(size)) == size
    assert max(fourier.radices(size)) <= 13


@pytest.mark.parametrize("n_fft", [4096, 6000, 16384, 32768])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_long_frames(n_fft, lanes, monkeypatch, runs):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    x = noise(2, 40000)
    transform = af.Spectrogram(n_fft, power=1.0)
    assert worst_frame(transform(x), transform(x.double())) <= LIMIT
    assert {recipe.lanes for recipe in runs} == {min(lanes, 8)}


def test_frames_beyond_any_cache_are_left_to_a_library(runs):
    x = noise(70000)
    transform = af.Spectrogram(2**16)
    assert worst_frame(transform(x), transform(x.double())) <= LIMIT
    assert runs == []


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("log", ["ln", "log10", "db"])
@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("n_mels", [1, 3, 40])
def test_filters_and_their_logarithm(lanes, log, power, n_mels, monkeypatch, runs):
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    x = noise(3, 2500) * torch.logspace(0, -4, 2500)
    lengths = torch.tensor([2500, 1100, 7])
    settings = {"sample_rate": 16000, "n_fft": 400, "hop_length": 90, "n_mels": n_mels, "power": power}
    mel = af.MelSpectrogram(**settings)
    assert worst_frame(mel(x, lengths), mel(x.double(), lengths)) <= 2e-6
    loud = af.LogMelSpectrogram(**settings, log=log, floor=1e-7)
    scale = {"ln": 1.0, "log10": 1 / np.log(10), "db": 20 / power / np.log(10)}[log]
    assert (loud(x, lengths) - loud(x.double(), lengths)).abs().max() <= 2e-5 * scale
    assert all(recipe.filters for recipe in runs)
    assert [recipe.floor for recipe in runs] == [None, 1e-7]


def test_a_filter_without_bins_is_zero():
    with pytest.warns(UserWarning, match="n_mels"):
        mel = af.MelSpectrogram(sample_rate=16000, n_fft=64, n_mels=40)
    out, expected = mel(noise(900)), mel(noise(900).double())
    assert torch.any(torch.all(expected == 0, dim=-1))
    assert torch.equal(out == 0, expected == 0)


def test_a_kernel_reads_the_filters_it_is_given():
    """A buffer that was changed in place counts, as it does elsewhere."""
    mel = af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10)
    before = mel(noise(2000))
    mel.mel.mul_(2)
    torch.testing.assert_close(mel(noise(2000)), 2 * before)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("factor", [1.0, 4.25])
def test_the_logarithm_is_right_to_the_last_bits(lanes, factor):
    """Of every exponent, around sqrt(1/2) and 1, of the floor, and of what is no number."""
    rng = np.random.default_rng(0)
    mantissas = np.concatenate([rng.uniform(0.5, 1, 400), np.sqrt(0.5) + np.linspace(-1e-6, 1e-6, 21)])
    values = np.concatenate(
        [
            (mantissas[:, None] * 2.0 ** np.arange(-125, 129)).reshape(-1),
            1 + np.linspace(-1e-3, 1e-3, 4001),
            [0.0, -1.0, 1e-45, 1e-38, np.inf, -np.inf, np.nan],
        ]
    ).astype(np.float32)
    values = np.pad(values, (0, -len(values) % lanes))
    floor = float(np.finfo(np.float32).tiny)
    code = Code(lanes)
    with code.loop(0, len(values), lanes) as k:
        here = code.at("%in", k.index, "float")
        code.put_floats(logarithm(code, code.floats_at(here), floor, factor), code.at("%out", k.index, "float"))
    out = np.empty_like(values)
    call(code.text("kernel", "ptr %in, ptr %out"), values, out)
    with np.errstate(invalid="ignore"):
        expected = factor * np.log(np.maximum(values.astype(np.float64), floor))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(values))
    np.testing.assert_array_equal(np.isposinf(out), np.isposinf(values))
    finite = np.isfinite(expected)
    ulps = np.abs(out[finite] - expected[finite]) / np.spacing(np.abs(expected[finite]).astype(np.float32))
    assert ulps.max() <= (1.0 if factor == 1.0 else 1.6)


def call(text, *arrays):
    """Compile a text, and call its kernel."""
    llvm, make, _ = jit._target()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), make())
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays))(engine.get_function_address("kernel"))
    function(*[array.ctypes.data for array in arrays])


@pytest.mark.parametrize("power", [None, 2.0])
def test_a_processor_without_wide_vectors(power, monkeypatch):
    """What is written for 4 lanes and for 16 runs on the least that a processor of this kind has."""
    llvm, make, features = jit._target()
    plain = "x86-64" if llvm.get_default_triple().startswith("x86_64") else "generic"
    monkeypatch.setattr(jit, "_target", lambda: (llvm, lambda: make(cpu=plain, features=""), features))
    monkeypatch.setattr(jit, "_kernels", {})
    x = noise(2, 3000)
    for lanes in (4, 16):
        monkeypatch.setattr(jit, "lanes", lambda lanes=lanes: lanes)
        transform = af.Spectrogram(400, power=power)
        assert worst_frame(transform(x), transform(x.double())) <= LIMIT
        mel = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20)
        assert (mel(x) - mel(x.double())).abs().max() <= 1e-4
    assert all(kernel is not None for kernel in jit._kernels.values())


# ---------------------------------------------------------------- nothing else counts


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


def test_a_frame_knows_nothing_of_its_neighbours():
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


def test_threads_of_its_own_where_torchs_cannot_be_had(monkeypatch):
    transform, x = af.MelSpectrogram(sample_rate=16000, n_fft=512, n_mels=30), noise(4, 60000)
    expected = transform(x)
    submitted = []

    class Pool(ThreadPoolExecutor):
        def submit(self, *task):
            submitted.append(task)
            return super().submit(*task)

    monkeypatch.setattr(jit, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(jit, "_torchs_threads", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(transform(x), expected)
    assert len(submitted) == 2


@pytest.mark.parametrize(
    ("clips", "seconds", "n_fft", "threads"), [(1, 1, 400, 1), (8, 10, 400, 4), (3, 1, 1024, 3), (2, 1, 32768, 2)]
)
def test_no_more_threads_than_there_is_work_for(clips, seconds, n_fft, threads, monkeypatch):
    """Another thread is asked for 2**16 samples of frames, and never for less than a tile."""
    asked = []
    in_parallel = jit._in_parallel

    def spied(function, job, n_threads):
        fields = dict(zip(FIELDS, (ctypes.c_int64 * len(FIELDS)).from_address(job), strict=True))
        assert 1 <= fields["step"] * n_threads <= fields["n_tiles"]  # each of them finds some
        asked.append(n_threads)
        in_parallel(function, job, n_threads)

    monkeypatch.setattr(jit, "_in_parallel", spied)
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

    def guarded(*shape, dtype, device):
        n = int(np.prod(shape))
        held = torch.full((n + 64,), 7.0, dtype=dtype)
        guards.append(held)
        return held[32 : 32 + n].view(shape)

    lengths = torch.tensor([4000, 1, 1700])
    mel = af.MelSpectrogram(sample_rate=16000, n_fft=400, hop_length=100, n_mels=10)
    power = af.Spectrogram(400, hop_length=100)
    complex_ = af.STFT(400, hop_length=100)
    for transform in (mel, power, complex_):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(short_time.torch, "empty", guarded)
            transform(x, lengths)
    assert torch.empty is before
    assert len(guards) == 3
    for held in guards:
        assert torch.all(held[:32] == 7)
        assert torch.all(held[-32:] == 7)


# ---------------------------------------------------------------- where they are used


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (af.STFT(400), [(None, False, False)]),
        (af.Spectrogram(400, power=1.0), [(1.0, False, False)]),
        (af.Spectrogram(400, power=0.5), [(2.0, False, False)]),
        (af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10), [(2.0, True, False)]),
        (af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, power=1.0), [(1.0, True, True)]),
        (af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, power=3.0), [(2.0, False, False)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20), [(2.0, True, True)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20, offset=1e-6), [(2.0, True, False)]),
        (af.MFCC(sample_rate=16000, n_fft=400, n_mels=20, log="ln", top_db=None), [(2.0, True, True)]),
        (af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10, trainable_mel=True), [(2.0, False, False)]),
        (af.Gammatonegram(sample_rate=16000, n_fft=400), [(2.0, False, False)]),
        (af.SpectralCentroid(sample_rate=16000, n_fft=400), [(1.0, False, False)]),
        (af.STFT(401), []),
        (af.STFT(2 * 17), []),
        (af.STFT(400, method="conv"), []),
    ],
    ids=str,
)
def test_which_kernel_a_transform_uses(transform, expected, runs):
    with torch.no_grad():
        out = transform(noise(2, 4000))
    torch.testing.assert_close(out, transform(noise(2, 4000).double()).to(out.dtype), rtol=1e-4, atol=1e-3)
    assert [(recipe.power, recipe.filters, recipe.floor is not None) for recipe in runs] == expected
    runs.clear()
    transform(noise(2, 4000).double())
    transform(noise(2, 4000).requires_grad_())
    assert runs == []


def test_a_trained_window_counts_without_a_graph():
    stft = af.STFT(400, trainable_window=True)
    with torch.no_grad():
        stft.analysis_window.mul_(3)
        torch.testing.assert_close(stft(noise(2000)), 3 * af.STFT(400)(noise(2000)))


def through_make_fx(transform, x):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(transform)(torch.zeros_like(x))(x)


def traced(transform, x):
    return torch.jit.trace(lambda waveform: transform(waveform), torch.zeros_like(x), check_trace=False)(x)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("watch", [through_make_fx, traced])
def test_whoever_watches_the_steps_sees_them(watch, runs):
    transform, x = af.STFT(64, hop_length=16), noise(3, 500)
    torch.testing.assert_close(watch(transform, x), transform(x.double()).to(torch.complex64), rtol=1e-4, atol=1e-5)
    assert runs == []


class Watching(TorchDispatchMode):
    """As a counter of operations or a tracer of them does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_another_default_device_or_dtype_does_not_matter(runs):
    x, mel = noise(2, 2000), af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=10)
    stft = af.STFT(400)
    expected = stft(x), mel(x)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            assert torch.equal(stft(x), expected[0])
            assert torch.equal(mel(x), expected[1])
    finally:
        torch.set_default_dtype(before)
    assert len(runs) == 4


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_is_not_plain_memory_is_left_alone():
    x = noise(4, 100)
    assert short_time.is_plain(x)
    assert short_time.is_plain(x.to(torch.int16))
    assert short_time.is_plain(x[:, ::2])
    assert not short_time.is_plain(x.double())
    assert not short_time.is_plain(x.to("meta"))
    assert not short_time.is_plain(x.to_sparse())
    assert not short_time.is_plain(x.as_subclass(type("Other", (torch.Tensor,), {})))
    torch.func.vmap(lambda row: pytest.fail("plain") if short_time.is_plain(row) else row)(x)
    with Watching():
        assert not short_time.is_plain(x)
    with torch.autograd.forward_ad.dual_level():  # a kernel would lose the tangent without a word
        assert not short_time.is_plain(torch.autograd.forward_ad.make_dual(x, x))


@pytest.mark.parametrize(
    "rows", [noise(3, 2000), noise(2000, 3).t(), noise(3, 4000)[:, ::2], noise(1, 2000).expand(3, -1)]
)
def test_rows_lie_in_any_order_of_memory(rows):
    stft = af.STFT(256)
    assert torch.equal(stft(rows), stft(rows.clone(memory_format=torch.contiguous_format)))


# ---------------------------------------------------------------- without a compiler


def everything(x):
    return {
        "stft": af.STFT(400)(x),
        "power": af.Spectrogram(400, power=0.8)(x),
        "mel": af.LogMelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20)(x),
        "mfcc": af.MFCC(sample_rate=16000, n_fft=400, n_mels=20)(x),
        "stack": af.Stack(a=af.Spectrogram(400), b=af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=20))(x)["b"],
    }


@pytest.mark.parametrize("how", ["absent", "old", "broken", "stumbles"])
def test_without_a_compiler_torchs_fft_computes_the_same(how, monkeypatch, runs):
    x = noise(2, 3000)
    expected = everything(x)
    assert runs
    runs.clear()
    monkeypatch.setattr(jit, "_kernels", {})
    for cached in (jit._target, jit.lanes):
        cached.cache_clear()
    try:
        if how == "absent":
            monkeypatch.setitem(sys.modules, "llvmlite", None)
            monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
        elif how == "old":
            monkeypatch.setattr("llvmlite.binding.llvm_version_info", (15, 0, 7))
        elif how == "broken":
            monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: 1 / 0)
        else:
            monkeypatch.setattr("llvmlite.binding.parse_assembly", lambda text: 1 / 0)
        if how in ("absent", "old"):
            out = everything(x)
        else:
            with pytest.warns(RuntimeWarning, match=r"llvmlite cannot make code .*ZeroDivisionError.*torch's FFT"):
                out = everything(x)
        assert runs == []
        for name, values in expected.items():
            torch.testing.assert_close(out[name], values, rtol=1e-4, atol=1e-4)
        assert torch.isfinite(everything(x)["mel"]).all()  # and nothing is said a second time
    finally:
        monkeypatch.undo()
        for cached in (jit._target, jit.lanes):
            cached.cache_clear()


def test_a_recipe_is_compiled_once():
    recipe = Recipe(n_fft=36, lanes=4, int16=False, power=2.0)
    assert jit.kernel(recipe) is jit.kernel(Recipe(n_fft=36, lanes=4, int16=False, power=2.0))


def test_calls_one_after_another_work_in_the_same_memory(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})
    for _ in range(3):
        af.Spectrogram(400)(noise(2, 16000))
    (kernel,) = jit._kernels.values()
    assert len(kernel._free) == 1


def test_a_size_without_passes_is_refused():
    with pytest.raises(ValueError, match="size=17 must be a product of"):
        fourier.transform(Code(4), 17, "%a", "%b", "%c")
