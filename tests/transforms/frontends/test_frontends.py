"""The recipes of docs/frontends.md against the formulas of the code that has them: alone and in padded batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.short_time.kernel import jit
from tests.transforms.frontends import public_code, recipes

BOUND = {torch.float32: 1e-5, torch.float64: 1e-10}


RECIPES = recipes.recipes()


def clips(transform):
    return recipes.clips(int(transform.sample_rate))


def test_every_formula_has_a_recipe():
    formulas = {
        name for name, value in vars(public_code).items()
        if callable(value) and value.__module__ == public_code.__name__ and value.__code__.co_varnames[0] == "x"
    }  # fmt: skip
    assert RECIPES.keys() == formulas - {"centered", "kaldi_frames"}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("dtype", BOUND, ids=str)
def test_a_recipe_is_its_formula(name, dtype):
    transform, formula = RECIPES[name], getattr(public_code, name)
    alone = clips(transform)
    lengths = torch.tensor([len(x) for x in alone])
    batch = torch.zeros(len(alone), int(lengths.max()) + 100, dtype=dtype)
    for row, x in zip(batch, alone, strict=True):
        row[: len(x)] = torch.from_numpy(x).to(dtype)
        row[len(x) :] = float("nan")
    together = transform(batch, lengths)
    counts = transform.frame_lengths(lengths).tolist()
    for row, x, count in zip(together, alone, counts, strict=True):
        # what the float32 samples are, not what they were rounded from
        expected = formula(torch.from_numpy(x).to(dtype).double().numpy())
        single = transform(torch.from_numpy(x).to(dtype))
        assert single.dtype == dtype
        assert single.shape == expected.shape
        for found in (single, row[:, : expected.shape[1]]):
            error = np.linalg.norm(found.double().numpy() - expected) / np.linalg.norm(expected)
            assert error <= BOUND[dtype], f"{name}: relative error {error:.1e}"
        assert count <= expected.shape[1]
        assert not row[:, expected.shape[1] :].any()


@pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_computed_by_the_kernel(name):
    """What differs in settings alone keeps the speed: `benchmarks/frontends.py` has the times."""
    transform = RECIPES[name]
    spectra = recipes.spectra_of(transform)
    assert [member.runs_on(torch.zeros(2, 16000)).method for member in spectra] == ["kernel"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_mask_of_a_batch_follows_the_placement(name):
    transform = RECIPES[name]
    # no sample is 0, for a front-end whose silence is 0
    examples = [torch.from_numpy(x).float() + 0.003 for x in clips(transform)]
    batch = af.GPUSpecCollate(transform, device="cpu")(examples)
    counts = transform.frame_lengths(torch.tensor([len(x) for x in examples]))
    assert batch.feature_lengths.tolist() == counts.tolist()
    assert batch.feature_mask.sum(-1).tolist() == counts.tolist()
    for row, count in zip(batch.features, counts.tolist(), strict=True):
        assert row[:, :count].abs().sum(0).gt(0).all()
