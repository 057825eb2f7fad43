"""Memory kept between batches: never that of a tensor which somebody still holds, bounded, and from any thread."""

import gc
import threading

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.feed.collate import PadCollate
from audiofeed.parallel import kept_memory
from audiofeed.parallel.kept_memory import LEAST, MOST, PIECES, kept_empty, kept_like


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(kept_memory, "_kept", kept_memory._Kept())


def address(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_a_tensor_of_kept_memory_is_as_any_other(dtype):
    made = kept_empty((3, 700, 500), dtype)
    assert made.shape == (3, 700, 500)
    assert made.dtype == dtype
    assert made.is_contiguous()
    assert made.data_ptr() % 64 == 0
    made.fill_(1)
    assert made.sum().item() == 3 * 700 * 500
    with torch.inference_mode():
        assert kept_empty((1000, 1000), dtype).is_inference()


def test_memory_comes_back_only_when_the_last_view_has_gone():
    first = kept_empty((1000, 1000), torch.float32)
    where, view, array = address(first), first[5:7, ::3], first.numpy()[1]
    for held in ("first", "view", "array"):
        other = kept_empty((1000, 1000), torch.float32)
        assert address(other) != where, held
        if held == "first":
            del first
        elif held == "view":
            del view
        else:
            del array
    again = [kept_empty((1000, 900), torch.float32) for _ in range(2)]  # smaller, and in the same memory
    assert where in map(address, again)


def test_what_is_much_larger_is_not_taken_and_small_tensors_are_torchs_own():
    large = kept_empty((4 * LEAST,), torch.int16)
    where = address(large)
    del large
    assert address(kept_empty((LEAST,), torch.int16)) != where
    assert kept_empty((LEAST // 2 - 1,), torch.int16).untyped_storage().resizable()


def test_no_more_lies_unused_than_the_limits_allow():
    held = [kept_empty((LEAST + 1000 * n,), torch.int16) for n in range(3 * PIECES)]
    held.clear()
    unused = kept_memory._kept.unused
    assert len(unused) == PIECES
    held = [kept_empty((MOST // 4,), torch.int16) for _ in range(3)]
    held.clear()
    assert sum(piece.size for piece in unused.values()) <= MOST
    enormous = kept_empty((MOST,), torch.int16)
    del enormous
    assert max((piece.size for piece in unused.values()), default=0) <= MOST


def test_memory_in_a_cycle_comes_back_with_the_garbage():
    cycle = [kept_empty((1000, 1000), torch.float32)]
    cycle.append(cycle)
    where = address(cycle[0])
    del cycle
    gc.collect()
    assert address(kept_empty((1000, 1000), torch.float32)) == where


def test_threads_never_share_a_tensor():
    wrong = []

    def work(number):
        for step in range(200):
            mine = kept_empty((LEAST // 2 + 100 * (step % 3),), torch.int16)
            mine[::5000] = number
            if step % 2:
                gc.collect(0)
            if (mine[::5000] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_batches_and_features_that_are_held_keep_their_values():
    mel = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80)
    spectrum = af.STFT(512)
    clips = [[(torch.randn(60_000 + n), n) for n in range(8)] for _ in range(4)]
    with torch.no_grad():
        held = []
        for items in clips:
            waveforms = PadCollate()(items).waveforms
            held.append((waveforms, mel(waveforms), spectrum(waveforms)))
        copies = [[tensor.clone() for tensor in tensors] for tensors in held]
        for items in clips[::-1]:  # in other memory
            waveforms = PadCollate()(items).waveforms
            mel(waveforms)
            spectrum(waveforms)
    for tensors, expected in zip(held, copies, strict=True):
        for tensor, copy in zip(tensors, expected, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), copy.numpy())


def test_memory_like_that_of_a_tensor_is_kept_unless_something_observes_it():
    like = torch.zeros(3, dtype=torch.float64)
    first = kept_like(like, (1000, 1000))
    where = address(first)
    assert (first.dtype, first.shape) == (torch.float64, (1000, 1000))
    del first
    assert address(kept_like(like, (1000, 500), torch.complex128)) == where
    assert kept_like(like.half(), (1000, 1000)).dtype == torch.float16
    assert kept_like(like.to("meta"), (1000, 1000)).device.type == "meta"
    shapes: list[torch.Size] = []
    torch.vmap(lambda x: (shapes.append(kept_like(x, (1000, 1000)).shape), x)[1])(torch.zeros(2, 3))
    assert shapes == [(1000, 1000)]


def test_results_do_not_take_memory_of_each_other():
    """What a call works in and writes to comes back to the next call only when its result has gone."""
    made = af.SpectralFlatness(512), af.Deltas(mode="nearest"), af.CMVN(window=50, center=True), af.CMVN()
    features = torch.randn(16, 40, 2000, generator=torch.Generator().manual_seed(0))
    waveform = torch.randn(16, 40000, generator=torch.Generator().manual_seed(1))
    for transform in made:
        x = waveform if transform is made[0] else features
        results = [transform(x * n) for n in (1, 2, 3)]
        kept = [found.clone() for found in results]
        transform(x)
        assert all(torch.equal(a, b) for a, b in zip(results, kept, strict=True))
