"""What the tests of the kernels for CPUs share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audiofeed.methods.short_time.kernel import jit

needs_compiler = pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")

LIMIT = 1e-6  # of each frame's own size


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.fixture
def runs(monkeypatch):
    """The specs that were computed, in their order."""
    found = []
    run = jit.Kernel.run

    def spied(kernel, n_tiles, fields):
        found.append(kernel.spec)
        run(kernel, n_tiles, fields)

    monkeypatch.setattr(jit.Kernel, "run", spied)
    return found


def worst_frame(out, expected):
    """The largest error of a frame in parts of that frame's size.  Shape: (..., bins, frames)."""
    error = torch.linalg.vector_norm(out - expected, dim=-2)
    size = torch.linalg.vector_norm(expected, dim=-2)
    assert torch.all(error[size == 0] == 0)
    return (error / torch.where(size == 0, 1.0, size)).max().item()
