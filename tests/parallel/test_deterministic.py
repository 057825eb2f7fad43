"""`torch.use_deterministic_algorithms(True)`, which Lightning has as `deterministic=True`: nothing is refused."""

from __future__ import annotations

import warnings

import pytest
import torch

from audiofeed.methods.frame_labels import event_roll
from audiofeed.parallel.running_sums import by_doubling, running_sums
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from benchmarks.device.counts import unobserved
from benchmarks.device.determinism import Refused, deterministic
from tests.transforms.cases import CASES, IDS
from tests.transforms.contract.fake_device import fake_cuda, needs_cuda_build, on_cuda
from tests.transforms.contract.test_device import why_it_waits


@needs_cuda_build
@pytest.mark.parametrize(("name", "case"), list(zip(IDS, CASES, strict=True)), ids=IDS)
def test_no_transform_asks_for_what_torch_refuses(name, case):
    reason = why_it_waits(case)
    if reason:
        pytest.skip(reason)
    module = case.build()
    clips = case.lengths(case.size, 30, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if case.cls is InverseCQT:  # finds its step at the first call, from values
            case.run(module, case.single(3), clips)
        with unobserved(), fake_cuda(), deterministic(), Refused() as refused:
            module = on_cuda(module)
            x = case.single(3).to("cuda")
            refused.look_back(case.run(module, x.requires_grad_(), clips.to("cuda")))
            with torch.no_grad():
                case.run(module, x, clips.to("cuda"))
    assert refused.names == set()


@needs_cuda_build
@pytest.mark.parametrize(
    "slip",
    [
        lambda x: x.cumsum(-1),
        lambda x: x.detach().cumsum(-1),
        lambda x: torch.nn.functional.pad(x, (2, 2), mode="reflect"),
        lambda x: torch.nn.functional.interpolate(x, 40, mode="linear"),
        lambda x: x.detach().median(-1).values,
    ],
)
def test_slips_are_noticed(slip):
    with fake_cuda(), Refused() as refused:
        refused.look_back(slip(torch.ones(1, 2, 20, device="cuda", requires_grad=True)))
    assert refused.names


@needs_cuda_build
def test_labels_in_time_are_summed_as_integers():
    with fake_cuda(), deterministic(), Refused() as refused:
        times = torch.zeros(2, 3, device="cuda")
        event_roll(
            times,
            times + 1,
            times.long(),
            torch.arange(5.0, device="cuda"),
            n_classes=4,
            frames=times[:, 0].long() + 5,
            samples=times[:, 0].long() + 5,
            mark="activity",
            rule="span",
        )
    assert refused.names == set()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 64, 1000])
@pytest.mark.parametrize("dim", [1, -1])
def test_running_sums_by_doubling_are_those_of_torch(size, dim):
    shape = [3, 5, 5]
    shape[dim] = size
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(size), requires_grad=True)
    weights = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, asked = by_doubling(x, dim), x.cumsum(dim)
    torch.testing.assert_close(found, asked, rtol=1e-12, atol=1e-12)
    (ours,) = torch.autograd.grad((found * weights).sum(), x)
    (theirs,) = torch.autograd.grad((asked * weights).sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_torch_sums_where_nothing_else_is_asked_for():
    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    with deterministic():
        assert torch.equal(running_sums(x), x.cumsum(0))  # a CPU sums in order
    assert torch.equal(running_sums(x), x.cumsum(0))
