"""The tables of methods: what is chosen, what a call runs on, and that nothing falls through to another method."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest
import torch

import audiofeed as af
from audiofeed.methods.constant_q.constant_q_methods import CONSTANT_Q
from audiofeed.methods.decibels import Log
from audiofeed.methods.filterbank import FilterBank
from audiofeed.methods.frame_steps import Apply, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.inverse.overlap_add import INVERSE
from audiofeed.methods.method_table import Choice, Method, table
from audiofeed.methods.short_time.kernel import jit
from audiofeed.methods.short_time.log_frequency_methods import LOG_FREQUENCY
from audiofeed.methods.short_time.short_time_methods import (
    AUTO,
    SHORT_TIME,
    Spectra,
    short_time_powers,
    short_time_spectrum,
)
from audiofeed.plans.tiles import filter_tiles
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from tests.methods.short_time.kernels import needs_compiler, noise, runs

__all__ = ["runs"]

TABLES = (SHORT_TIME, LOG_FREQUENCY, INVERSE, CONSTANT_Q)
FRAMING = Framing(n_fft=64, hop_length=16, center=True, pad_mode="constant")
WINDOW = torch.hann_window(64)


@pytest.mark.parametrize("methods", TABLES, ids=lambda methods: methods.operation)
def test_every_method_is_chosen_by_its_name_alone(methods):
    for name in methods.methods:
        if name == "kernel" and not jit.lanes():
            continue
        choice = methods.choose(name, trainable=False)
        assert [method.name for method in choice.candidates] == [choice.method] == [name]
        assert choice.reason == "named by the caller"
    first = next(iter(methods.methods))
    with pytest.raises(ValueError, match=rf"method='novel' must be 'auto', '{first}'.* or 'conv'"):
        methods.choose("novel", trainable=False)


@pytest.mark.parametrize("methods", TABLES, ids=lambda methods: methods.operation)
@pytest.mark.parametrize("trainable", [False, True])
def test_auto_ends_with_a_method_that_computes_every_call(methods, trainable):
    choice = methods.choose("auto", trainable=trainable)
    names = [method.name for method in choice.candidates]
    if methods is CONSTANT_Q:
        assert names == ["octaves"]
    elif trainable:
        assert names == ["conv"]
    else:
        assert names == (["kernel", "fused", "fft"] if methods is SHORT_TIME else ["fft"])
    assert choice.reason == choice.candidates[-1].reason
    assert len({method.filters for method in choice.candidates}) == 1
    for other in (copy.deepcopy(choice), pickle.loads(pickle.dumps(choice))):
        assert other == choice


def test_a_new_method_runs_where_it_is_named_and_nothing_runs_in_its_place():
    new = Spectra(lambda *_, graph: "spectrum", lambda *_, wanted, graph: ["powers"])
    novel = Method(
        name="novel", run=new, filters="analysis_window", cannot=lambda n_fft=0, **_: "n_fft" if n_fft else None
    )
    choice = table("more", *SHORT_TIME.methods.values(), novel).choose("novel")
    x = noise(1, 100)
    assert short_time_spectrum(x, None, FRAMING, WINDOW, graph=False, choice=choice) == "spectrum"
    assert short_time_powers(x, None, FRAMING, WINDOW, wanted=(), graph=True, choice=choice) == ["powers"]
    with pytest.raises(ValueError, match="method='novel' cannot be used with n_fft"):
        table("more", novel).choose("novel", n_fft=3)
    with pytest.raises(ValueError, match="no method of more can do this"):
        table("more", novel).choose("auto", n_fft=3)


def test_a_call_that_the_first_method_leaves_goes_to_the_next():
    asked = []
    first = Method(name="first", run=1, cannot_now=lambda x: "x is odd" if x % 2 else None, reason="fast")
    last = Method(name="last", run=2, reason="always")
    choice = table("halving", first, last).choose("auto")
    assert [next(choice.for_input(x)) for x in (2, 3)] == [1, 2]
    assert [str(choice.path(x)) for x in (2, 3)] == ["first: always", "last: first: x is odd"]
    alone = Choice((first,), "named by the caller")
    for run in alone.for_input(2):
        asked.append(run)
        break
    with pytest.raises(ValueError, match="method='first' cannot be used for this input: x is odd; use method='auto'"):
        next(alone.for_input(3))
    assert asked == [1]


def test_no_branch_over_the_name_of_a_method_is_left():
    """`if method == "fft": ... else: ...` would run a new method as another."""
    names = {name for methods in TABLES for name in methods.methods}
    package = Path(af.__file__).parent
    found = []
    for path in [*(package / "methods").rglob("*.py"), *(package / "transforms").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(
                isinstance(value, ast.Constant) and value.value in names for value in [node.left, *node.comparators]
            ):
                found.append(f"{path.name}: {ast.unparse(node)}")
    assert found == []


@needs_compiler
def test_kernels_take_the_leading_steps_they_can(runs):
    """Filters of few weights, then a logarithm; what else there is comes after the kernel."""
    weights = mel_filterbank(sample_rate=16000, n_fft=400, n_mels=20)
    bank, log = FilterBank(torch.from_numpy(weights).float(), filter_tiles(weights)), Log("ln", floor=1e-10, power=2.0)
    double = Apply(lambda values, workspace: 2 * values)
    framing = Framing(n_fft=400, hop_length=100, center=True, pad_mode="constant")
    x, window = noise(2, 3000), torch.hann_window(400)
    for steps, expected in (
        ((), (False, False)),
        ((bank,), (True, False)),
        ((bank, log), (True, True)),
        ((log,), (False, True)),
        ((bank, log, double), (True, True)),
        ((bank, double, log), (True, False)),
        ((double, bank, log), (False, False)),
        ((FilterBank(bank.filters, None), log), (False, False)),
    ):
        (found,) = short_time_powers(x, None, framing, window, wanted=[Wanted(2.0, steps)], graph=False, choice=AUTO)
        exact = tuple(FilterBank(s.filters.double(), s.tiles) if isinstance(s, FilterBank) else s for s in steps)
        (reference,) = short_time_powers(
            x.double(), None, framing, window.double(), wanted=[Wanted(2.0, exact)], graph=True
        )
        torch.testing.assert_close(found, reference.float(), rtol=1e-4, atol=1e-4)
        assert (runs[-1].filters, runs[-1].floor is not None) == expected


@needs_compiler
def test_a_spectrum_is_shared_only_by_what_runs_on_the_same_methods(runs):
    stack = af.Stack(a=af.Spectrogram(64), b=af.Spectrogram(64, method="fft"), c=af.Spectrogram(64, method="kernel"))
    stack(noise(2, 600))
    assert len(runs) == 2
    af.Stack(a=af.Spectrogram(64), b=af.Spectrogram(64, power=1.0))(noise(2, 600))
    assert len(runs) == 3
