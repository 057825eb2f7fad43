"""Normal noise of augmentations: Box and Muller's transform in float64 of splitmix64, and each number by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from audiofeed.augment.contract.noise import hashes, normal_noise, normal_pairs
from audiofeed.augment.kernels import normal as kernel
from audiofeed.methods.short_time.kernel import jit

SEEDS = torch.tensor([0, 7, -1, 2**62 + 3, -(2**63), 12_345])
WAYS = ["kernel", "torch"]
needs_kernels = pytest.mark.skipif(not jit.lanes(), reason="no kernels here: " + str(jit.missing()))


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> str:
    """The kernel makes the noise, or torch."""
    if request.param == "torch":
        monkeypatch.setattr(jit, "lanes", lambda: 0)
    elif not jit.lanes():
        pytest.skip("no kernels here: " + str(jit.missing()))
    return request.param


def defined(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radius, and both normal numbers, of 64-bit hashes in float64."""
    bits = drawn.view(np.uint64)
    share, turn = (bits >> np.uint64(40)).astype(np.float64) + 0.5, (bits & np.uint64(0xFFFFFF)).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(share / 2**24)), turn / 2**24 * 2 * np.pi
    return radius, radius * np.cos(angle), radius * np.sin(angle)


def unmixed(bits: np.ndarray) -> torch.Tensor:
    """Seeds whose first hash is what is given: splitmix64 the other way round."""
    z = bits.astype(np.uint64)

    def unshifted(z: np.ndarray, by: int) -> np.ndarray:
        found = z
        for _ in range(64 // by):
            found = z ^ (found >> np.uint64(by))
        return found

    with np.errstate(over="ignore"):
        for by, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9)):
            z = unshifted(z, by) * np.uint64(pow(factor, -1, 2**64))
        return torch.from_numpy((unshifted(z, 30) - np.uint64(0x9E3779B97F4A7C15)).view(np.int64))


def test_it_is_box_and_mullers_transform_in_float64(way):
    found = normal_pairs(SEEDS, 100_003)
    radius, *expected = defined(hashes(SEEDS, 100_003).numpy())
    assert torch.equal(found[0], normal_noise(SEEDS, 100_003))
    for ours, right in zip(found, expected, strict=True):
        error = np.abs(ours.double().numpy() - right) / radius
        assert error.max() < (3e-7 if way == "kernel" else 1e-6)


@needs_kernels
def test_the_ends_of_both_draws_are_as_right():
    places = np.unique(
        np.concatenate([np.arange(1 << 20, 1 << 24, 1 << 20)[:, None] + np.arange(-2, 3), [[0, 1, 2, 3, 2**24 - 4]]])
    )
    places = np.concatenate([places, 2**24 - np.arange(1, 4), np.round(2**24 * np.sqrt(0.5)) + np.arange(-2, 3)])
    share, turn = (grid.ravel().astype(np.uint64) for grid in np.meshgrid(places, places))
    seeds = unmixed((share << np.uint64(40)) | (np.uint64(0xABCD) << np.uint64(24)) | turn)
    drawn = hashes(seeds, 1).numpy()
    assert ((drawn.view(np.uint64) >> np.uint64(40)) == share[:, None]).all()
    radius, *expected = defined(drawn)
    assert radius.min() < 2.5e-4
    assert radius.max() > 5.8
    for ours, right in zip(normal_pairs(seeds, 1), expected, strict=True):
        assert (np.abs(ours.double().numpy() - right) / radius).max() < 3e-7


def test_it_is_normal_and_pairs_have_nothing_to_do_with_each_other(way):
    noise = torch.cat(normal_pairs(SEEDS, 50_000)).double().numpy()
    for row in noise:
        assert stats.kstest(row, "norm").pvalue > 1e-4
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.02
        assert abs(stats.kurtosis(row)) < 0.15
    assert np.abs(np.corrcoef(noise) - np.eye(len(noise))).max() < 0.02


@needs_kernels
@pytest.mark.parametrize("pairs", [False, True])
def test_a_number_has_the_same_bits_wherever_it_stands(pairs):
    n = 2 * kernel._PIECE + 77
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = kernel.normal(SEEDS, n, pairs=pairs)
        torch.set_num_threads(2)
        for ours, right in zip(kernel.normal(SEEDS, n, pairs=pairs), together, strict=True):
            assert torch.equal(ours, right)
    finally:
        torch.set_num_threads(before)
    for row in range(len(SEEDS)):
        for first, count in ((0, 1), (0, 15), (1, 16), (3, 40), (7, 1), (kernel._PIECE - 5, 33), (n - 9, 9), (n, 0)):
            alone = kernel.normal(SEEDS[row : row + 1], count, first, pairs=pairs)
            for ours, right in zip(alone, together, strict=True):
                assert torch.equal(ours[0], right[row, first : first + count])


def test_samples_from_a_place_on_are_those_of_the_row(way):
    assert torch.equal(normal_noise(SEEDS, 50, 1_003), normal_noise(SEEDS, 2_000)[:, 1_003:1_053])


@needs_kernels
@pytest.mark.parametrize("lanes", [4, 8])
def test_narrower_vectors_are_as_right(lanes, monkeypatch):
    if lanes > jit.lanes():
        pytest.skip(f"this processor has vectors of {jit.lanes()} floats")
    monkeypatch.setattr(jit, "lanes", lambda: lanes)
    radius, expected, _ = defined(hashes(SEEDS, 1_003).numpy())
    assert (np.abs(normal_noise(SEEDS, 1_003).double().numpy() - expected) / radius).max() < 3e-7


@needs_kernels
def test_seeds_of_any_strides_and_no_numbers_at_all():
    wide = SEEDS.repeat_interleave(2)[::2]
    assert not wide.is_contiguous()
    assert torch.equal(normal_noise(wide, 100), normal_noise(SEEDS, 100))
    assert normal_noise(SEEDS, 0).shape == (6, 0)
    assert normal_noise(SEEDS[:0], 5).shape == (0, 5)


def test_a_compiler_follows_it_in_one_graph(monkeypatch):
    def noise(seeds: torch.Tensor) -> torch.Tensor:
        return normal_noise(seeds, 50, 3) + normal_pairs(seeds, 50)[1]

    found = torch.compile(noise, backend="eager", fullgraph=True)(SEEDS)
    monkeypatch.setattr(jit, "lanes", lambda: 0)
    assert torch.equal(found, noise(SEEDS))
