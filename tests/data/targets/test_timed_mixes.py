"""Targets in time of mixed clips: weighted, united or spliced, and then moved as their clips are."""

from __future__ import annotations

import pytest
import torch

from audiofeed.augment.contract.in_time import InTime
from audiofeed.data.targets.timed import CutEvents, CutFrames

CENTERS = torch.arange(40) * 100.0
WHERE = CENTERS, torch.tensor([40, 20]), torch.tensor([4000, 2000])


def events(places, marks="activity"):
    """Two clips with clicks at these samples, of class 0 in the first and 1 in the second."""
    cuts = []
    for row, own in enumerate(places):
        at = torch.tensor(own, dtype=torch.float64)
        cuts.append(CutEvents(at, at, torch.full((len(own),), row), (4000, 2000)[row], 2, marks, "span"))
    return CutEvents.join(cuts)


def frames(values):
    cuts = [
        CutFrames(torch.tensor(own, dtype=torch.float32), 0.0, 100.0, len(own) * 100, "nearest", 0) for own in values
    ]
    return CutFrames.join(cuts)


def clicks(found):
    """Where labels are, (row, class, frame) -> value."""
    return {tuple(place): round(float(found[tuple(place)]), 4) for place in found.nonzero().tolist()}


def test_labels_are_weighted_and_added_or_the_larger_is_taken():
    own, other = events([[500, 1000], [300]]), events([[500, 2000], [900]])
    weights = torch.tensor([0.75, 0.5]), torch.tensor([0.25, 0.5])
    mixed = own.mixed(other, *weights)
    assert isinstance(mixed, InTime)
    expected = {(0, 0, 5): 1.0, (0, 0, 10): 0.75, (0, 0, 20): 0.25, (1, 1, 3): 0.5, (1, 1, 9): 0.5}
    assert clicks(mixed.at(*WHERE)) == expected
    united = own.mixed(other, torch.ones(2), torch.tensor([1.0, 0.0]), "max").at(*WHERE)
    assert clicks(united) == {(0, 0, 5): 1.0, (0, 0, 10): 1.0, (0, 0, 20): 1.0, (1, 1, 3): 1.0}
    twice = mixed.mixed(own, torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.0])).at(*WHERE)
    assert clicks(twice) == {**expected, (0, 0, 10): 0.875, (0, 0, 20): 0.125}


def test_a_stretch_has_the_others_labels():
    own, other = events([[500, 1000, 3000], [300]]), events([[700, 1100, 2000], [900]])
    spliced = own.spliced(other, torch.tensor([600, 0]), torch.tensor([1500, 0]))
    assert isinstance(spliced, InTime)
    assert clicks(spliced.at(*WHERE)) == {(0, 0, 5): 1, (0, 0, 7): 1, (0, 0, 11): 1, (0, 0, 30): 1, (1, 1, 3): 1}
    # the borders: a frame belongs to the stretch if its center does
    edges = own.spliced(other, torch.tensor([1000, 0]), torch.tensor([1100, 0])).at(*WHERE)
    assert clicks(edges) == {(0, 0, 5): 1, (0, 0, 30): 1, (1, 1, 3): 1}


@pytest.mark.parametrize("kind", ["mixed", "spliced"])
def test_mixes_follow_their_clips(kind):
    own, other = events([[500, 1000], [400]]), events([[600, 2000], [800]])
    if kind == "mixed":
        targets = own.mixed(other, torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5]))
    else:
        targets = own.spliced(other, torch.tensor([550, 700]), torch.tensor([2500, 900]))
    before = clicks(targets.at(*WHERE))
    slow = clicks(
        targets.stretched(torch.tensor([1.5, 2.0])).at(CENTERS, torch.tensor([40, 40]), torch.tensor([6000, 4000]))
    )
    assert slow == {
        (row, label, round(frame * (1.5, 2.0)[row])): value for (row, label, frame), value in before.items()
    }
    late = clicks(targets.shifted(torch.tensor([700, -200])).at(*WHERE))
    assert late == {(row, label, frame + (7, -2)[row]): value for (row, label, frame), value in before.items()}
    turned = targets.taken(torch.tensor([1, 1])).at(CENTERS, torch.tensor([20, 20]), torch.tensor([2000, 2000]))
    own_clicks = {(label, frame): value for (row, label, frame), value in before.items() if row == 1}
    assert clicks(turned) == {(row, *place): value for row in (0, 1) for place, value in own_clicks.items()}
    again = targets.spliced(own, torch.tensor([0, 0]), torch.tensor([0, 0]))
    assert clicks(again.at(*WHERE)) == before
    assert clicks(targets.mixed(own, torch.ones(2), torch.zeros(2)).at(*WHERE)) == before


def test_marks_and_labels_at_a_frame_rate_are_mixed_too():
    marks = ("onset", "offset")
    own, other = events([[500], [300]], marks), events([[900], [300]], marks)
    half = torch.tensor([0.5, 0.5])
    found = own.mixed(other, half, half).at(*WHERE)
    expected = {(0, 0, 5): 0.5, (0, 0, 9): 0.5, (1, 1, 3): 1.0}
    assert [clicks(found[mark]) for mark in marks] == [expected, expected]
    found = own.spliced(other, torch.tensor([0, 0]), torch.tensor([4000, 0])).at(*WHERE)
    assert clicks(found["onset"]) == {(0, 0, 9): 1, (1, 1, 3): 1}
    first, second = frames([[1.0] * 40, [2.0] * 20]), frames([[3.0] * 40, [4.0] * 10])
    mixed = first.mixed(second, half, half).at(*WHERE)
    assert mixed[0].tolist() == [2.0] * 40
    assert mixed[1].tolist() == [3.0] * 11 + [1.0] * 9 + [0.0] * 20
    spliced = first.spliced(second, torch.tensor([200, 0]), torch.tensor([400, 0])).at(*WHERE)
    assert spliced[0].tolist() == [1.0] * 2 + [3.0] * 2 + [1.0] * 36
