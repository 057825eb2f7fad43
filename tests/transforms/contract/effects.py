"""What a changed argument of a transform must change."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

# relative, of all values together
LEAST_CHANGE = 1e-3
MOST_ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-6}


@dataclass(frozen=True)
class Pair:
    """The transforms before and after an argument was changed, made when they are asked for, and their input."""

    make_before: Callable[[], torch.nn.Module]
    make_after: Callable[[], torch.nn.Module]
    x: torch.Tensor
    rows: Callable[[Any], int] | None

    @functools.cached_property
    def before(self) -> Any:
        return self.make_before()

    @functools.cached_property
    def after(self) -> Any:
        return self.make_after()

    def given(self, transform: Any, x: torch.Tensor | None = None) -> torch.Tensor:
        x = self.x if x is None else x
        return x if self.rows is None else x[: self.rows(transform)]

    def run(self, transform: Any, x: torch.Tensor | None = None) -> torch.Tensor:
        with torch.no_grad():
            return transform(self.given(transform, x))


Effect = Callable[[Pair], None]


def distance(before: torch.Tensor, after: torch.Tensor) -> float:
    """||after - before|| / ||before||, infinite where they cannot be compared."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    return float((before - after).nan_to_num().norm() / before.nan_to_num().norm().clamp(min=1e-30))


def farthest_bin(before: torch.Tensor, after: torch.Tensor) -> float:
    """The largest distance of a bin: a slope that changes counts beside a constant that does not."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    before, after = before.nan_to_num(), after.nan_to_num()
    sizes = before.norm(dim=-1)
    return float(((before - after).norm(dim=-1) / sizes.clamp(min=max(1e-30, 1e-5 * float(sizes.max())))).max())


def agrees_with_its_graph(pair: Pair, found: torch.Tensor) -> None:
    """What is computed for a gradient has the values of what is computed without one."""
    x = pair.given(pair.after).clone().requires_grad_()
    apart = distance(found, pair.after(x).detach())
    assert apart <= MOST_ROUNDING[x.real.dtype], f"with a gradient the values are others: {apart:.1e}"


def values(pair: Pair) -> None:
    """Other values, or another shape or type."""
    found = pair.run(pair.after)
    apart = farthest_bin(pair.run(pair.before), found)
    assert apart > LEAST_CHANGE, f"the values are the same: {apart:.1e}"
    agrees_with_its_graph(pair, found)


def values_of_a_clip_that_fades_in(pair: Pair) -> None:
    """Other values of a quiet clip that begins with silence, so that bands leave the range of decibels."""
    n = torch.arange(len(pair.x))
    x = pair.x * n / len(n) * 1e-3 * torch.sin(0.1 * n)
    assert distance(pair.run(pair.before, x), pair.run(pair.after, x)) > LEAST_CHANGE
    agrees_with_its_graph(pair, pair.run(pair.after))


def waits(pair: Pair) -> None:
    """Another wait of a stream for its values, which are the same but for what slices cut off."""
    assert pair.after.latency != pair.before.latency
    assert distance(pair.run(pair.before), pair.run(pair.after)) < LEAST_CHANGE


def another_way(pair: Pair) -> None:
    """The same values but for rounding, by another method."""
    assert pair.after.method != pair.before.method
    found = pair.run(pair.after)
    assert distance(pair.run(pair.before), found) <= MOST_ROUNDING[pair.x.real.dtype]
    agrees_with_its_graph(pair, found)


def torchs_fft(pair: Pair) -> None:
    """The method of that name, with the values of the one that is chosen."""
    assert pair.after.method == "fft"
    assert distance(pair.run(pair.before), pair.run(pair.after)) <= MOST_ROUNDING[pair.x.real.dtype]


def less_rounding(pair: Pair) -> None:
    """The values of float64 samples, rounded once, in the dtype of the others; with a gradient, too."""
    x = pair.given(pair.after).float()
    for given in (x, (x * 32767).clamp(-32768, 32767).to(torch.int16)):
        with torch.no_grad():
            found, single = pair.after(given), pair.before(given)
            exact = pair.before(given.double() / (1 if given.is_floating_point() else 32768))
        assert found.dtype == single.dtype
        assert distance(exact.to(found.dtype), found) <= 1e-7
    found = pair.after(x.clone().requires_grad_())
    assert found.dtype == single.dtype
    assert distance(pair.before(x.double()).to(found.dtype), found.detach()) <= 1e-7


def trains(pair: Pair) -> None:
    """The same values, and parameters that a gradient reaches, of one of the two transforms alone."""
    names = [{name for name, _ in transform.named_parameters()} for transform in (pair.before, pair.after)]
    assert names[0] < names[1] or names[1] < names[0], "neither has a parameter that the other lacks"
    apart = distance(pair.run(pair.before), pair.run(pair.after))
    # float32 parameters, through the phase of a filter and a logarithm
    assert apart <= 1e-4, f"what trains starts as something else: {apart:.1e}"
    transform = pair.after if names[1] > names[0] else pair.before
    made = transform(pair.given(transform))
    (torch.view_as_real(made) if made.is_complex() else made).square().sum().backward()
    for name in names[0] ^ names[1]:
        gradient = transform.get_parameter(name).grad
        assert gradient is not None, f"{name} is not part of the graph"
        assert torch.isfinite(gradient).all(), f"{name} has no finite gradient"
        assert (gradient != 0).any(), f"{name} has no gradient"


def trains_more(pair: Pair) -> None:
    """The same values, from more trained numbers."""
    sizes = [sum(p.numel() for p in transform.parameters()) for transform in (pair.before, pair.after)]
    assert sizes[1] > sizes[0] > 0
    assert distance(pair.run(pair.before), pair.run(pair.after)) <= 1e-4


def tells(pair: Pair) -> None:
    """The same values, and times in seconds that follow the rate, or are given at all."""
    assert torch.equal(pair.run(pair.before), pair.run(pair.after))
    times = pair.after.times(5)
    assert (times[1:] > times[:-1]).all()
    if pair.before.sample_rate is None:
        with pytest.raises(ValueError, match="sample_rate="):
            pair.before.times(5)
    else:
        torch.testing.assert_close(
            pair.before.times(5) * pair.before.sample_rate, times * pair.after.sample_rate, rtol=1e-12, atol=0
        )
        assert not torch.equal(pair.before.times(5), times)


def counts_more(pair: Pair) -> None:
    """The same values of the same shape, of which more frames count."""
    assert torch.equal(pair.run(pair.before), pair.run(pair.after))
    lengths = torch.tensor([pair.x.shape[-1] - 1])
    assert pair.after.frame_lengths(lengths) > pair.before.frame_lengths(lengths)
    agrees_with_its_graph(pair, pair.run(pair.after))


class Told:
    """Remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments)


def is_called(pair: Pair) -> None:
    """The same values, and the function given was called in every iteration."""
    assert distance(pair.run(pair.before), pair.run(pair.after)) <= MOST_ROUNDING[pair.x.real.dtype]
    assert [call[:2] for call in pair.after.progress.calls] == [(1, 3), (2, 3), (3, 3)]


def lifts(refusal: str) -> Effect:
    """The value that is left is refused, saying so; the other is not."""

    def effect(pair: Pair) -> None:
        with pytest.raises(ValueError, match=re.escape(refusal)):
            pair.make_before()
        agrees_with_its_graph(pair, pair.run(pair.after))

    return effect


def usual(argument: str) -> Effect:
    """What an argument of this name changes, unless the table says otherwise."""
    if argument.startswith("trainable"):
        return trains
    return another_way if argument == "method" else values
