"""What memory held before is never part of a result."""

from __future__ import annotations

import math

import pytest
import torch

from audiofeed.methods.workspace import Workspace
from tests.transforms.cases import CASES, IDS


@pytest.fixture
def dirty(monkeypatch):
    """Every new tensor and all memory of a workspace begin as NaN, as freed memory may."""
    take = Workspace.take
    monkeypatch.setattr(Workspace, "take", lambda *args: take(*args).fill_(math.nan))
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_results_do_not_depend_on_what_memory_held(case, dirty):
    """Nor what is cleared past the end of a clip: there a NaN times 0 would be one still."""
    transform = case.build()
    x, lengths = case.single(4), case.lengths(case.size, 37, 37, 1)
    with torch.no_grad():
        for some in (lengths, None):
            result = case.run(transform, x, some)
            assert torch.isfinite(torch.view_as_real(result) if result.is_complex() else result).all()
