"""Dither: each clip's noise is its seed's, of the promised strength, and nowhere but in the clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment.contract.noise import hashes, normal_noise

MASK = (1 << 64) - 1


def splitmix64(seed: int, n: int) -> list[int]:
    """The generator as its authors wrote it, in Python's integers."""
    found = []
    for _ in range(n):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        found.append(z ^ (z >> 31))
    return found


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 3, 2**63 - 1])
def test_hashes_are_those_of_splitmix64(seed):
    assert [int(h) & MASK for h in hashes(torch.tensor([seed]), 50)[0]] == splitmix64(seed, 50)


def test_noise_is_normal_and_white():
    noise = normal_noise(torch.arange(4), 50_000).double().numpy()
    for row in noise:
        assert stats.kstest(row, "norm").pvalue > 1e-4
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.02
    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.02


@pytest.mark.parametrize("shape", [(3, 4000), (3, 2, 4000)])
def test_a_clip_has_the_same_noise_in_any_batch(shape):
    x, lengths, seeds = torch.zeros(shape), torch.tensor([4000, 1500, 1]), torch.tensor([7, 8, 9])
    together = af.Dither(0.1)(x, lengths, seeds)
    for i, length in enumerate(lengths.tolist()):
        alone = af.Dither(0.1)(x[i : i + 1, ..., :length], lengths[i : i + 1], seeds[i : i + 1])
        assert torch.equal(together[i, ..., :length], alone[0])
        assert not together[i, ..., length:].any()
    assert together[0].std().item() == pytest.approx(0.1, rel=0.05)
    if len(shape) == 3:
        assert not torch.equal(together[0, 0], together[0, 1])


def test_evaluation_and_amount_0_leave_waveforms_as_they_are():
    x, lengths, seeds = torch.randn(2, 10), torch.tensor([10, 10]), torch.tensor([1, 2])
    assert af.Dither(0.1).eval()(x, lengths, seeds) is x
    assert af.Dither(0)(x, lengths, seeds) is x


def test_without_seeds_torchs_generator_is_asked():
    x, lengths = torch.zeros(2, 10), torch.tensor([10, 10])
    torch.manual_seed(0)
    first, second = af.Dither()(x, lengths, None), af.Dither()(x, lengths, None)
    torch.manual_seed(0)
    assert torch.equal(first, af.Dither()(x, lengths, None))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf"), "1", True])
def test_an_amount_that_is_none_is_refused(amount):
    with pytest.raises(ValueError, match="amount="):
        af.Dither(amount)


def test_seeds_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"seeds has shape \(3,\); it must be \(2,\)"):
        af.Dither()(torch.zeros(2, 5), torch.tensor([5, 5]), torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_collate_dithers_by_the_examples_seeds(workers):
    class Silence(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return af.AudioExample(torch.zeros(400 + index, dtype=torch.int16), 8000, seed=index + 1)

    collate = af.GPUSpecCollate(af.Spectrogram(64), device="cpu", augment=af.Dither(0.01))
    loader = torch.utils.data.DataLoader(Silence(), batch_size=4, collate_fn=collate, num_workers=workers)
    (batch,) = loader
    alone = af.Dither(0.01)(torch.zeros(1, 402), torch.tensor([402]), torch.tensor([3]))
    assert torch.equal(batch.waveforms[2, :402], alone[0])
    assert batch.features[0].max() > 0
