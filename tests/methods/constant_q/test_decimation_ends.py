"""Where decimated clips end: the mask from the clips' own lengths, against the lengths at each rate."""

from __future__ import annotations

import pytest
import torch

from audiofeed.methods.constant_q.decimation import clear_unfilled, filled_length, lower_length


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("before", [1, 2, 8, 64])
@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_is_cleared_past_the_filled_length_of_every_rate(factor, before, graph):
    lengths = torch.arange(1, 700)
    time = int(lower_length(lower_length(700, before), factor))
    found = clear_unfilled(torch.full((len(lengths), time), float("nan")), lengths, factor, before, graph=graph)
    filled = filled_length(lower_length(lengths, before), factor)
    expected = torch.arange(time) < filled[:, None]
    assert torch.equal(found.isnan(), expected)
    assert torch.equal(found == 0, ~expected)
