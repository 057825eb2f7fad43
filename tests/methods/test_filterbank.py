"""Frames times a filter bank: the same bits in any batch."""

from __future__ import annotations

import pytest
import torch

from audiofeed.methods.filterbank import FilterBank, filtered
from audiofeed.methods.workspace import Workspace


def placed(values: torch.Tensor, offset: int) -> torch.Tensor:
    """The same values at an address that is `offset` floats past a boundary of 64 bytes."""
    room = torch.empty(values.numel() + 32)
    first = (-(room.data_ptr() // 4)) % 16 + offset
    found = room[first : first + values.numel()].view(values.shape)
    return found.copy_(values)


@pytest.mark.parametrize("n_filters", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("offset", [0, 4])  # where torch puts a tensor, and where numpy does
def test_a_frame_has_the_same_bits_in_any_batch(n_filters, offset):
    random = torch.Generator().manual_seed(0)
    filters = torch.rand(n_filters, 1025, generator=random)
    filters, powers = placed(filters, offset), torch.rand(50, 1025, generator=random)
    whole = filtered(powers, filters, Workspace(powers), None).clone()
    torch.testing.assert_close(whole.double(), powers.double() @ filters.double().t(), rtol=2e-6, atol=0)
    for frames in (*range(1, 20), 33, 50):
        for first in {0, 1, 50 - frames}:
            part = placed(powers[first : first + frames], 0)
            found = filtered(part, filters, Workspace(part), None)
            assert torch.equal(found, whole[first : first + frames]), (frames, first)


@pytest.mark.parametrize("pitch", [1025, 1040])
def test_frames_that_lie_as_a_product_needs_them_are_not_copied(pitch):
    """Frames 65 times 64 bytes apart are read where they lie; others get a copy, and the same bits."""
    random = torch.Generator().manual_seed(0)
    filters, powers = torch.rand(2, 1025, generator=random), torch.rand(50, 1025, generator=random)
    held = placed(torch.full((64, pitch), torch.nan), 0)[:50, :1025]
    held.copy_(powers)
    workspace = Workspace(powers)
    found = filtered(held, filters, workspace, None)
    assert torch.equal(found, filtered(powers, filters, Workspace(powers), None))
    assert ("aligned" in workspace._held) == (pitch % 16 != 0)


def test_other_filters_leave_what_was_derived_of_the_old_ones():
    bank = FilterBank(torch.ones(2, 3), None, of_parts=torch.ones(2, 6))
    other = bank.with_filters(torch.zeros(2, 3, dtype=torch.float64))
    assert other.of_parts is None
    assert other.filters.dtype == torch.float64
    assert bank.of_parts is not None
