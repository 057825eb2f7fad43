"""No transform makes the host wait for a GPU: every case on a CUDA device of tensors without values."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch

import audiofeed
from audiofeed.methods import spectrum
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from audiofeed.transforms.contract import graph
from audiofeed.transforms.short_time import steps
from audiofeed.transforms.waveform.plain import Waveform
from tests.transforms.cases import CASES, IDS, Case
from tests.transforms.contract.fake_device import Notes, fake_cuda, needs_cuda_build, noted, on_cuda

# Which filters are right for a clip is known only by its tuning, and NumPy makes them.
OWN_TUNING = "the filters of a clip follow from its tuning, which is measured first"


def why_it_waits(case: Case) -> str:
    """Why the values of this case have to be known on the host; empty if they need not be."""
    if case.not_compiled:
        return case.not_compiled
    return OWN_TUNING if case.settings.get("tuning", 0.0) is None else ""


def note(case: Case, monkeypatch: pytest.MonkeyPatch, *, lengths: bool, gradient: bool) -> Notes:
    """Call a case on the device twice, and note what the second call does."""
    module = case.build()
    clips = case.lengths(case.size, 30, 7) if lengths else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if case.cls is InverseCQT:  # finds its step at the first call, from values
            case.run(module, case.single(3), clips)
        # tensors without values are observed, and so take the way of a graph; a card's are not
        for place in (graph, steps, spectrum):
            monkeypatch.setattr(place, "observed", lambda x: None)
        with fake_cuda(), torch.set_grad_enabled(gradient):
            module = on_cuda(module)
            x = case.single(3).to("cuda").requires_grad_(gradient)
            there = None if clips is None else clips.to("cuda")
            case.run(module, x, there)
            with noted() as notes:
                case.run(module, x, there)
    return notes


@needs_cuda_build
@pytest.mark.parametrize(("name", "case"), list(zip(IDS, CASES, strict=True)), ids=IDS)
def test_host_does_not_wait_for_the_device(name, case, monkeypatch):
    reason = why_it_waits(case)
    if reason:
        pytest.skip(reason)
    ways = [(False, False), (True, False)]
    if name.endswith("-0") and not case.flat:
        ways.append((True, True))
    for lengths, gradient in ways:
        notes = note(case, monkeypatch, lengths=lengths, gradient=gradient)
        # a filter in another dtype than the module's is moved at the first call, and kept where values are
        waits = {what: times for what, times in notes.waits.items() if "contract/filters.py" not in what}
        assert not waits, f"lengths: {lengths}, gradient: {gradient}"
        # what hands waveforms on as they are has nothing to do where no clip ends early
        assert notes.launches > 0 or (case.cls is Waveform and not lengths)


@needs_cuda_build
@pytest.mark.parametrize(
    ("slip", "what"),
    [
        (lambda x: x.sum().item(), "item"),
        (lambda x: x + torch.tensor(1.0, device=x.device), "a constant of the host"),
        (lambda x: x[:, [0, -1]], "an index that lies on the host"),
        (lambda x: x * torch.ones(x.shape[-1]).to(x.device), "moved from cpu to cuda"),
        (lambda x: x[x > 0], "an index that lies on the host"),
        (lambda x: x.tolist(), "item"),
        (lambda x: x.cpu(), "cpu"),
    ],
)
def test_slips_are_noticed(slip, what):
    with fake_cuda():
        x = torch.ones(2, 3, device="cuda")
        with noted() as notes:
            try:
                slip(x)
            except RuntimeError:  # there are no values to read
                assert notes.waits
    assert any(what in wait for wait in notes.waits), notes.waits


@needs_cuda_build
def test_launches_are_counted_and_views_are_not():
    with fake_cuda():
        x = torch.ones(2, 3, device="cuda")
        with noted() as notes:
            (x.t()[1:] + 1).unsqueeze(0).exp()
    assert notes.launches == 2
    assert not notes.waits


def assigned_places(source: str) -> list[int]:
    """Lines on which a number is assigned to one place of a tensor or an array: x[0] = 1."""
    found = []
    for node in ast.walk(ast.parse(source)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in [node.target] if isinstance(node, ast.AugAssign) else targets:
            if not isinstance(target, ast.Subscript):
                continue
            place = target.slice.operand if isinstance(target.slice, ast.UnaryOp) else target.slice
            if isinstance(place, ast.Constant) and isinstance(place.value, int):
                found.append(node.lineno)
    return found


def test_no_number_is_assigned_to_one_place_of_a_tensor():
    """On a card torch makes a tensor of the host of such a number, and waits; tensors without values do not show it."""
    assert assigned_places("x[0] = 1\ny[-1] = 2\nz[:1] = 3\nw['a'] = 4\nv[2] += 5") == [1, 2, 5]
    package = Path(audiofeed.__file__).parent
    files = [path for part in ("methods", "transforms", "augment") for path in sorted((package / part).rglob("*.py"))]
    # kernels are for a CPU, and of NumPy's arrays
    files = [path for path in files if path.parent.name not in ("kernel", "kernels")]
    assert len(files) > 100
    assert {
        str(path.relative_to(package)): lines for path in files if (lines := assigned_places(path.read_text()))
    } == {}
