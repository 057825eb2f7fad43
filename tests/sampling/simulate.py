"""A run over several ranks, stopped and resumed on others, without processes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from audiofeed.sampling.planned_sampler import PlannedSampler

Make = Callable[[int, int], PlannedSampler]


def keys_in(items: Sequence[Any]) -> Counter[tuple[int, ...]]:
    """Count the keys in a rank's items: batches, or single keys."""
    return Counter(tuple(key) for item in items for key in (item if isinstance(item, list) else [item]))


def stage(make: Make, world_size: int, steps: int | None, state: Any) -> tuple[list[list[Any]], Any]:
    """Go on from a state on so many ranks for so many steps, and return each rank's items and the state then."""
    items, states = [], []
    for rank in range(world_size):
        sampler = make(rank, world_size)
        if state is not None:
            sampler.load_state_dict(state)
            sampler.set_epoch(state["epoch"])  # as a framework does: the place is kept, the end of the epoch included
        items.append(list(itertools.islice(iter(sampler), steps)))
        states.append(json.dumps(sampler.state_dict()))
    assert len({len(each) for each in items}) == 1, f"ranks took {[len(each) for each in items]} steps"
    assert len(set(states)) == 1, "ranks are at different places"
    return items, json.loads(states[0])


def epoch_of(make: Make, stages: Sequence[tuple[int, int | None]]) -> Counter[tuple[int, ...]]:
    """Count the keys of an epoch that is run in stages of (world size, steps); None for the rest."""
    found: Counter[tuple[int, ...]] = Counter()
    state = None
    for world_size, steps in stages:
        items, state = stage(make, world_size, steps, state)
        for of_rank in items:
            found.update(keys_in(of_rank))
    return found
