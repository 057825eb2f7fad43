"""What two trees timed against each other say: intervals, verdicts, and rows that one tree lacks."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "trees"))  # as the process of a tree has it
    return importlib.import_module(name)


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> Any:
    return module("trees.verdicts", monkeypatch)


@pytest.fixture
def before_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    return module("before_after", monkeypatch)


class Answering:
    """A tree that takes the same seconds for every row, and lacks some."""

    def __init__(self, seconds: float, lacks: tuple[str, ...] = ()) -> None:
        self.seconds, self.lacks = seconds, lacks
        self.asked: list[str] = []

    def ask(self, row: str, **_: Any) -> dict[str, Any]:
        self.asked.append(row)
        return {"missing": "no such name"} if row in self.lacks else {"blocks": [2 * self.seconds, self.seconds]}


@pytest.mark.parametrize(("n", "k"), [(6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (30, 10)])
def test_the_interval_is_that_of_the_tables_of_order_statistics(n, k, verdicts):
    """The ranks that books print for 95 %."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert verdicts.interval(list(values)) == (k, n + 1 - k)


def test_the_interval_holds_the_median_as_often_as_it_says(verdicts):
    random = np.random.default_rng(1)
    held = [
        float(low <= 0 <= high) for low, high in (verdicts.interval(list(random.normal(size=11))) for _ in range(2000))
    ]
    assert 0.95 <= statistics.mean(held) <= 0.999


@pytest.mark.parametrize(
    ("values", "said"),
    [([1.0] * 5, "open"), ([1.0] * 6, "within"), ([1.04] * 6, "slower"), ([1.0] * 5 + [1.2], "open")],
)
def test_a_verdict_takes_an_interval_on_one_side(values, said, verdicts):
    assert verdicts.interval([1.0] * 5) == (0.0, math.inf)
    assert verdicts.verdict(values, 1.03) == said


def test_the_ratio_is_that_within_a_round(verdicts):
    """A machine that gets slower from round to round does not show."""
    found = verdicts.summary([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]], 1.03)
    assert (found["ratio"], found["before_ms"], found["after_ms"]) == (2.0, 1e4, 2e4)


@pytest.mark.parametrize(
    ("before", "after", "larger"), [(1e-7, 1.09e-7, False), (1e-7, 1.2e-7, True), (None, 1.0, False), (1.0, 0.1, False)]
)
def test_an_error_that_grows_is_told(before, after, larger, verdicts):
    assert verdicts.larger_error(before, after) is larger


def test_open_rows_get_the_next_rounds(before_after):
    """A row that six rounds decide gets six, one that they do not gets all that there are."""
    old, new = Answering(1.0), Answering(1.03)
    known = {"rounds": {"undecided": [[1.0, 1.0], [1.0, 1.1]] * 6}, "missing": {}, "errors": {}}
    begun = []
    begin = lambda: begun.append(0) or contextlib.nullcontext((old, new))  # noqa: E731
    before_after.time_rows(begin, known, ["decided", "undecided"], seconds=10.0)
    assert len(begun) == len(known["rounds"]["undecided"]) - 12 + 6  # each turn has processes of its own
    assert len(known["rounds"]["decided"]) == 6
    assert known["rounds"]["decided"][0] == [1.0, 1.03]  # the least block of each
    assert len(known["rounds"]["undecided"]) > 12
    assert new.asked.count("decided") == old.asked.count("decided") == 6


def test_a_row_that_one_tree_lacks_is_named(before_after):
    known: dict[str, Any] = {"rounds": {}, "missing": {}, "errors": {}, "before": "a", "after": "b", "machine": "m"}
    pair = Answering(1.0, ("new",)), Answering(1.0)
    before_after.time_rows(lambda: contextlib.nullcontext(pair), known, ["old", "new"], seconds=10.0)
    assert known["missing"] == {"new": {"before": "no such name"}}
    page = before_after.page({"runs": {"1 thread": known}})
    assert "- not timed: new, before lacks it (no such name)" in page
    assert "| old | 1000.00 ms | 1000.00 ms | 1.000 | 1.000 to 1.000 | within | -, - |" in page
    assert "Before a, after b; m." in page


def test_rounds_of_other_code_or_another_machine_are_forgotten(before_after, capsys):
    here = before_after.HERE
    known = before_after.of_these_trees({}, here, here)
    known["rounds"]["CQT"] = [[1.0, 1.0]]
    assert before_after.of_these_trees(known, here, here)["rounds"] == known["rounds"]
    assert capsys.readouterr().err == ""
    for other in ({"code": ["another", "another"]}, {"machine": "another"}):
        assert before_after.of_these_trees({**known, **other}, here, here)["rounds"] == {}
        assert "forgotten" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_row_is_made_by_this_tree(monkeypatch):
    """Constructors alone: what they compute is for the other tests."""
    rows = module("trees.rows", monkeypatch).rows()
    assert len(rows) > 60
    for name, row in rows.items():
        if name != "files to LogMelSpectrogram":
            assert callable(row.make(af)), name


def test_a_timer_answers_for_its_tree(monkeypatch, tmp_path):
    """Times, an error against float64, and the reason where there is no such row."""
    rows, timer = module("rows", monkeypatch), module("timer", monkeypatch)

    def source(seed: int) -> torch.Tensor:
        return rows.noise(seed, 2, 4000)

    made = {
        "mel": rows.Row(rows.transform("MelSpectrogram", sample_rate=8000, n_fft=256, n_mels=20), source),
        "none": rows.Row(rows.transform("NoSuchTransform"), source),
        "files": rows.Row(rows.reading(2, 0.5), None, exact=False),
        "made": rows.Row(rows.construction("MelSpectrogram"), None, exact=False),
    }
    ours = timer.Timer(af, made, tmp_path)
    for name in ("mel", "files", "made"):
        blocks = ours.answer({"row": name, "blocks": 2, "seconds": 0.001})["blocks"]
        assert len(blocks) == 2
        assert min(blocks) > 0
    assert ours.answer({"define": "mel", "seed": 1}) == {"defined": True}
    assert 1e-9 < ours.answer({"error": "mel", "seed": 1})["error"] < 1e-6
    assert ours.answer({"error": "mel", "seed": 2})["error"] > 0.1  # another input
    assert "NoSuchTransform" in ours.answer({"row": "none", "blocks": 1, "seconds": 0.0})["missing"]


def test_the_processes_of_two_trees_answer_and_sleep(before_after, tmp_path, monkeypatch):
    """This tree twice, for one round of one row."""
    begin = functools.partial(before_after.processes, before_after.HERE, 1, str(tmp_path))
    known: dict[str, Any] = {"rounds": {}, "missing": {}, "errors": {}}
    for name, value in (("BLOCKS", 1), ("SECONDS", 0.001), ("CAP", 1)):
        monkeypatch.setattr(before_after, name, value)
    before_after.time_rows(begin, known, ["construction of MelSpectrogram"], seconds=60.0)
    with begin() as pair:
        before_after.compare_values(pair, known, ["Deltas nearest"])
    assert all(tree._process.poll() == 0 for tree in pair)
    ((before, after),) = known["rounds"]["construction of MelSpectrogram"]
    assert min(before, after) > 0
    first, second = known["errors"]["Deltas nearest"]
    assert first == second < 1e-6


def test_an_error_is_the_median_of_some_inputs(before_after, monkeypatch):
    """One input on which a tree rounds badly says nothing; a row without an error has none."""
    monkeypatch.setattr(before_after, "SEEDS", 3)

    class Erring:
        def __init__(self, *errors: float | None) -> None:
            self.errors = errors

        def ask(self, define: str = "", error: str = "", seed: int = 0) -> dict[str, Any]:
            return {"defined": True} if define else {"error": self.errors[seed]}

    known: dict[str, Any] = {"errors": {"other": [1.0, 1.0]}}
    before_after.compare_values((Erring(1e-7, 1e-7, 1e-7), Erring(9e-7, 1e-7, 2e-8)), known, ["CQT"])
    assert known["errors"] == {"other": [1.0, 1.0], "CQT": [1e-7, 1e-7]}
    before_after.compare_values((Erring(None, None, None), Erring(None, None, None)), known, ["CQT"])
    assert known["errors"] == {"other": [1.0, 1.0]}
