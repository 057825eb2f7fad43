"""Batches dealt to threads: values and gradients of one thread, one thread for each part, one beside busy cores."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref

import pytest
import torch

import audiofeed as af
from audiofeed.parallel import busy_cores, clips_in_parts, thread_pool
from tests.signals import single_noise as noise
from tests.transforms.cases import CASES, IDS

every = pytest.mark.parametrize("case", CASES, ids=IDS)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, to which a test's few samples are dealt, too."""
    monkeypatch.setattr(thread_pool, "FEW_VALUES", 1)
    monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def busy(monkeypatch):
    """Cores that others want."""
    monkeypatch.setattr(busy_cores, "_look", lambda: True)


@pytest.fixture
def quiet(monkeypatch):
    """Cores that nobody else wants."""
    monkeypatch.setattr(busy_cores, "_look", lambda: False)


class Seen(torch.autograd.Function):
    """Keeps the number of torch's threads whenever a graph is gone through backward."""

    @staticmethod
    def forward(ctx, result, found):
        ctx.found = found
        return result.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.found.append(torch.get_num_threads())
        return gradient, None


@pytest.fixture
def numbers_of_threads(monkeypatch):
    """A function that returns a list for the numbers of torch's threads at each `compute` and each way back."""
    return lambda transform: recorded_numbers(transform, monkeypatch)


def recorded_numbers(transform, monkeypatch):
    found: list[int] = []

    def recorded(original):
        def compute(*args, **settings):
            found.append(torch.get_num_threads())
            result = original(*args, **settings)
            return Seen.apply(result, found) if isinstance(result, torch.Tensor) and result.requires_grad else result

        return compute

    # of the classes: a module may make others when it is called
    for cls in {type(module) for module in transform.modules()}:
        for name in ("compute", "derive"):
            if hasattr(cls, name):
                monkeypatch.setattr(cls, name, recorded(getattr(cls, name)))
    return found


def clips_for(case, *, graph):
    torch.manual_seed(3)
    if case.takes == "waveform":
        return noise(3, case.size).requires_grad_(graph)
    x = torch.rand(3, case.bins, case.size)
    if case.takes == "spectrum":
        return torch.polar(x, torch.rand_like(x) * 6).requires_grad_(graph)
    return (x - 0.5 if case.takes == "features" else x).requires_grad_(graph)


def flat(result):
    return torch.cat([torch.view_as_real(r).reshape(-1) if r.is_complex() else r.reshape(-1) for r in values(result)])


def values(result):
    return list(result.values()) if isinstance(result, dict) else [result]


@every
@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_one_thread(case, padded, busy):
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        transform, x = case.build(), clips_for(case, graph=True)
        lengths = {"lengths": torch.tensor([case.size, case.size // 2, case.size - 1])} if padded else {}
        result = transform(x, **lengths)
        of = [x, *(p for p in transform.parameters() if p.requires_grad)]
        values = flat(result)
        weights = torch.cos(torch.arange(len(values)))
        gradients = torch.autograd.grad((values * weights).sum(), of, allow_unused=True) if values.requires_grad else ()
        found.append((values.detach(), gradients))
    (one, gradients_of_one), (two, gradients_of_two) = found
    scale = one.abs().max().clamp(min=1e-6)
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6 * float(scale), equal_nan=True)
    assert len(gradients_of_one) == len(gradients_of_two)
    for a, b in zip(gradients_of_one, gradients_of_two, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-5 * float(a.abs().max()) + 1e-12)


@every
def test_beside_busy_cores_no_step_of_any_transform_has_two_threads(case, busy, numbers_of_threads):
    for graph in (False, True):
        transform = case.build()
        for parameter in transform.parameters():
            parameter.requires_grad_(graph)
        found = numbers_of_threads(transform)
        result = flat(transform(clips_for(case, graph=graph)))
        forward = len(found)
        assert forward
        if result.requires_grad:
            result.sum().backward()
            assert len(found) > forward
        assert set(found) == {1}
    assert torch.get_num_threads() == 2


def test_on_a_quiet_machine_a_call_without_a_graph_has_torchs_threads(quiet, numbers_of_threads):
    transform = af.CQT(sample_rate=8000, n_bins=24)
    found = numbers_of_threads(transform)
    transform(noise(3, 4000))
    assert found == [2]


def test_beside_busy_cores_the_clips_of_a_graph_are_dealt_once(busy, monkeypatch, numbers_of_threads):
    """To as many threads as torch has: one meeting forward and one backward, however many steps there are."""
    deals = []
    monkeypatch.setattr(clips_in_parts, "deal", lambda work, n: deals.append(n) or thread_pool.deal(work, n))
    x = noise(5, 4000).requires_grad_()
    transform = af.MFCC(sample_rate=8000, n_mels=20)
    found = numbers_of_threads(transform)
    transform(x).sum().backward()
    assert deals == [2, 2]
    assert found == [1, 1, 1, 1]


def test_on_a_quiet_machine_a_graph_has_torchs_threads(quiet, monkeypatch, numbers_of_threads):
    monkeypatch.setattr(clips_in_parts, "deal", lambda *work: pytest.fail("dealt"))
    x = noise(5, 40_000).requires_grad_()
    transform = af.MFCC(sample_rate=8000, n_mels=20)
    found = numbers_of_threads(transform)
    transform(x).sum().backward()
    assert set(found) == {2}


def test_deterministic_gradients_do_not_depend_on_who_wants_the_cores(monkeypatch):
    x = noise(6, 40_000)
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for busy in (False, True):
            monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
            monkeypatch.setattr(busy_cores, "_look", lambda busy=busy: busy)
            transform = af.Spectrogram(256, power=1.0, method="conv", trainable=True)
            transform(x).square().sum().backward()
            found.append([parameter.grad for parameter in transform.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert found[0]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("made", [af.RemoveMean, lambda: af.Rescale(divide=2.0), lambda: af.RMS(64)])
def test_a_few_operations_for_each_value_are_not_dealt(made, monkeypatch, numbers_of_threads):
    """On a quiet machine they have torch's threads, and beside busy cores the thread that calls."""
    deals = []
    monkeypatch.setattr(clips_in_parts, "deal", lambda work, n: deals.append(n) or thread_pool.deal(work, n))
    transform = made()
    found = numbers_of_threads(transform)
    for busy in (False, True):
        monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
        monkeypatch.setattr(busy_cores, "_look", lambda busy=busy: busy)
        x = noise(4, 4, 500).requires_grad_()
        transform(x).square().sum().backward()
        assert deals == ([1] if busy else [])  # on the way back alone
        assert found == ([1, 1] if busy else [2, 2])
        found.clear()


def test_a_gradient_of_a_gradient():
    x = noise(2, 64).double().requires_grad_()
    transform = af.Spectrogram(16, hop_length=8)
    assert torch.autograd.gradcheck(transform, x)
    assert torch.autograd.gradgradcheck(transform, x)


def test_a_graph_may_be_gone_through_twice_only_if_it_is_kept():
    x = noise(3, 500).requires_grad_()
    features = af.LogMelSpectrogram(sample_rate=8000, n_fft=128, n_mels=10)(x)
    features.sum().backward(retain_graph=True)
    first = x.grad.clone()
    features.sum().backward()
    torch.testing.assert_close(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="a second time"):
        features.sum().backward()


class Keeps(torch.autograd.Function):
    """Saves a tensor for the way back, to which the test has a weak reference."""

    @staticmethod
    def forward(ctx, clips, found):
        kept = clips.exp()
        ctx.save_for_backward(kept)
        found.append(weakref.ref(kept))
        return kept.sum(-1, keepdim=True)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("of_parameter", [False, True])
def test_the_graphs_of_the_parts_go_with_their_backward(of_parameter, keep, quiet):
    """Unless they are kept: as in a graph of one part, what was saved is freed though the result lives on."""
    found = []
    clips, weight = noise(4, 300).requires_grad_(not of_parameter), torch.ones(1, requires_grad=of_parameter)
    result = clips_in_parts.compute_in_parts(lambda x: Keeps.apply(x * weight, found), clips, (), [weight])
    assert len(found) >= 2
    gc.collect()
    assert all(saved() is not None for saved in found)
    result.sum().backward(retain_graph=keep)
    gc.collect()
    assert [saved() is not None for saved in found] == [keep] * len(found)
    if not keep:
        with pytest.raises(RuntimeError, match="a second time"):
            result.sum().backward()


def test_a_kept_graph_is_freed_by_the_last_of_its_backwards(quiet):
    found = []
    clips = noise(4, 300).requires_grad_()
    result = clips_in_parts.compute_in_parts(lambda x: Keeps.apply(x * 1, found), clips, (), [])
    for keep in (True, True, False):
        result.sum().backward(retain_graph=keep)
    gc.collect()
    assert [saved() for saved in found] == [None] * len(found)


@pytest.mark.parametrize(
    "cls_settings",
    [
        (af.LogMelSpectrogram, {"n_fft": 128, "n_mels": 10}),
        (af.CQT, {"n_bins": 12, "f_min": 500.0}),
        (af.Tempogram, {"hop_length": 64, "win_length": 12}),
    ],
    ids=lambda pair: pair[0].__name__,
)
def test_a_second_backward_of_any_transform_is_refused_as_torch_does(cls_settings, busy):
    cls, settings = cls_settings
    x = (noise(3, 3000) * torch.linspace(0.1, 1, 3000)).requires_grad_()
    features = cls(sample_rate=8000, **settings)(x)
    features.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        features.sum().backward()


def test_samples_changed_after_the_call_are_noticed(busy):
    x = noise(3, 500).requires_grad_()
    changed = x * 1.0
    features = af.Spectrogram(64, power=2.0)(changed)
    with torch.no_grad():
        changed.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        features.sum().backward()


def test_inference_mode_and_no_grad_hold_in_every_thread(busy):
    transform = af.MelSpectrogram(sample_rate=8000, n_fft=128, n_mels=10, trainable_mel=True)
    x = noise(4, 800)
    with torch.inference_mode():
        inferred = transform(x)
    with torch.no_grad():
        plain = transform(x)
    assert not plain.requires_grad
    torch.testing.assert_close(inferred, plain)
    torch.testing.assert_close(transform(x).detach(), plain)


def test_the_first_error_of_any_thread_is_raised():
    def work(part):
        if part == 1:
            raise OSError("part 1")

    with pytest.raises(OSError, match="part 1"):
        thread_pool.deal(work, 4)
    thread_pool.deal(lambda part: None, 4)  # the threads go on


def test_every_part_is_computed_once_and_a_thread_that_never_comes_is_not_waited_for(monkeypatch):
    """As where no core is free for the other thread: the caller computes all parts itself."""
    monkeypatch.setattr(thread_pool._pool, "offer", lambda job, n: None)
    done = []
    thread_pool.deal(done.append, 5)
    assert done == [0, 1, 2, 3, 4]


def test_a_late_thread_finds_nothing_left():
    gate, mine = threading.Event(), threading.get_ident()
    owners = []

    def work(part):
        owners.append(threading.get_ident())
        if threading.get_ident() != mine:
            gate.wait(10)

    other = threading.Timer(0.2, gate.set)
    other.start()
    thread_pool.deal(work, 9)
    other.join()
    assert len(owners) == 9
    assert sum(owner != mine for owner in owners) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_deals_to_threads_of_its_own():
    """torch's own threads do not survive a fork either: a DataLoader's workers have one."""
    meeting = threading.Barrier(2)
    thread_pool.deal(lambda part: meeting.wait(10), 2)
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        torch.set_num_threads(2)
        again = threading.Barrier(2)
        thread_pool.deal(lambda part: again.wait(5), 2)
        os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, 9)
        pytest.fail("the child waits for threads that stayed in its parent")
    assert status == 0


def test_the_number_of_threads_is_set_for_the_calling_thread_alone():
    seen = []
    with thread_pool.alone():
        assert torch.get_num_threads() == 1
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert torch.get_num_threads() == 2
    if sys.platform == "linux":
        assert seen == [2]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads /proc")
@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x @ x,
        lambda x: torch.fft.rfft(x),
        lambda x: x.sin(),
        lambda x: x + x.exp(),
        lambda x: x.sum(0),
        lambda x: torch.linalg.solve(x, x),
        lambda x: torch.conv1d(x[:, None], x[:8, None, :64], stride=16),
        lambda x: x.sort(),
    ],
    ids=["product", "Fourier transform", "sine", "exponential", "sum", "equations", "convolution", "order"],
)
def test_a_thread_alone_starts_no_other_in_whatever_library_torch_computes_with(compute):
    x, started = noise(1500, 1500), []

    def run():
        with thread_pool.alone():
            before = set(os.listdir("/proc/self/task"))
            compute(x)
            started.extend(set(os.listdir("/proc/self/task")) - before)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not started


def test_a_thread_has_its_numbers_of_threads_again_after_a_batch_was_dealt():
    def numbers():
        of_mkl = thread_pool._mkl()(0)  # a look at it sets it
        thread_pool._mkl()(of_mkl)
        return torch.get_num_threads(), of_mkl

    for set_before in (0, 2):
        thread_pool._mkl()(set_before)
        before = numbers()
        thread_pool.deal(lambda part: None, 2)
        assert numbers() == before
