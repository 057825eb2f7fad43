"""Targets in time of a batch that were shifted, rolled and stretched, against labels of single samples moved alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audiofeed.data.targets.timed import CutEvents, CutFrames, EventBatch, FrameBatch

HOP, CLASSES = 50, 3
LENGTHS = torch.tensor([1000, 613, 1, 1000, 777, 50])
OWN = torch.tensor([1000, 600, 1, 400, 777, 50])  # of the file; the rest is a crop's silence
CENTERS = torch.arange(40.0) * HOP
FRAMES = LENGTHS // HOP + 1
SHIFTS = torch.tensor([0, 612, 0, 717, 1, 25])


def events(marks=("activity", "onset", "offset")) -> EventBatch:
    cuts = []
    for row, own in enumerate(OWN.tolist()):
        rng = np.random.default_rng(row)
        onsets = rng.integers(-30, own, 6).astype(np.float64)
        offsets = onsets + rng.integers(1, 300, 6)
        kept = torch.from_numpy(np.stack([onsets, offsets])[:, offsets > 0])
        labels = torch.from_numpy(rng.integers(0, CLASSES, 6)[offsets > 0])
        cuts.append(CutEvents(kept[0], kept[1], labels, own, CLASSES, marks, "span"))
    return CutEvents.join(cuts)


def labels(resample: str) -> FrameBatch:
    cuts = []
    for row, own in enumerate(OWN.tolist()):
        generator = torch.Generator().manual_seed(row)
        values = torch.randint(0, 9, (own // 30 + 1,), generator=generator)
        cuts.append(CutFrames(values, 7.0, 30.0, own, resample, -1))
    return CutFrames.join(cuts)


def of_samples(batch: EventBatch, row: int) -> dict[str, np.ndarray]:
    """The same for each sample of a clip: (classes, length) of whether an event sounds, begins, or ends with it."""
    length = int(LENGTHS[row])
    rolls = {mark: np.zeros((CLASSES, length), dtype=bool) for mark in ("activity", "onset", "offset")}
    found = zip(batch.onsets[row].tolist(), batch.offsets[row].tolist(), batch.labels[row].tolist(), strict=True)
    for onset, offset, label in found:
        if label < 0:
            continue
        begin, end, own = int(onset), int(offset), int(OWN[row])
        rolls["activity"][label, max(begin, 0) : min(end, own)] = True
        if begin >= 0:
            rolls["onset"][label, begin] = True
        if end <= own:
            rolls["offset"][label, end - 1] = True
    return rolls


def moved(samples: np.ndarray, shift: int, mode: str, fill) -> np.ndarray:
    if mode == "roll":
        return np.roll(samples, shift, axis=-1)
    result = np.full_like(samples, fill)
    n = samples.shape[-1]
    if abs(shift) < n:
        result[..., max(shift, 0) : n + min(shift, 0)] = samples[..., max(-shift, 0) : n - max(shift, 0)]
    return result


def cells(length: int, frames: int) -> list[slice]:
    """The samples of each frame's cell; the last frame's reach to the clip's end."""
    first = [max(0, i * HOP - HOP // 2) for i in range(frames)]
    return [slice(a, b) for a, b in zip(first, [*first[1:], length], strict=True)]


def apply(batch, mode: str, shifts: torch.Tensor):
    if mode == "roll":
        return batch.rolled(shifts.remainder(LENGTHS), LENGTHS)
    return batch.shifted(shifts, LENGTHS)


MOVES = [
    [("roll", SHIFTS)],
    [("pad", SHIFTS)],
    [("pad", -SHIFTS)],
    [("roll", SHIFTS), ("roll", SHIFTS + 131)],
    [("roll", SHIFTS), ("pad", SHIFTS - 300)],
    [("pad", SHIFTS - 100), ("roll", SHIFTS + 40)],
    [("pad", SHIFTS), ("pad", -SHIFTS)],
]


@pytest.mark.parametrize("moves", MOVES, ids=lambda moves: "-".join(mode for mode, _ in moves))
def test_events_move_as_their_samples_do(moves):
    batch = given = events()
    for mode, shifts in moves:
        batch = apply(batch, mode, shifts)
    found = batch.at(CENTERS, FRAMES, LENGTHS)
    marked = 0
    for row, (length, frames) in enumerate(zip(LENGTHS.tolist(), FRAMES.tolist(), strict=True)):
        for mark, samples in of_samples(given, row).items():
            for mode, shifts in moves:
                samples = moved(samples, int(shifts[row]), mode, False)
            expected = np.stack([samples[:, cell].any(1) for cell in cells(length, frames)], 1)
            np.testing.assert_array_equal(found[mark][row, :, :frames].numpy() > 0, expected, err_msg=f"{mark} {row}")
            assert not found[mark][row, :, frames:].any()
            marked += expected.sum()
    assert marked > 30


@pytest.mark.parametrize("moves", MOVES, ids=lambda moves: "-".join(mode for mode, _ in moves))
@pytest.mark.parametrize("resample", ["nearest", "max"])
def test_labels_at_a_frame_rate_move_as_their_samples_do(resample, moves):
    batch = given = labels(resample)
    for mode, shifts in moves:
        batch = apply(batch, mode, shifts)
    found = batch.at(CENTERS, FRAMES, LENGTHS)
    compared = 0
    for row, (length, frames) in enumerate(zip(LENGTHS.tolist(), FRAMES.tolist(), strict=True)):
        count, own = int(given.counts[row]), int(OWN[row])
        at = np.clip(np.floor((np.arange(length) - 7.0) / 30 + 0.5), 0, count - 1).astype(int)
        nearest = given.values[row].numpy()[at]
        nearest[own:] = -1
        instants = np.full(length, -1)  # a label at the sample that it is centered on
        places = 7 + 30 * np.arange(count)
        inside = places < own
        instants[places[inside]] = given.values[row].numpy()[:count][inside]
        seams = np.zeros(length, dtype=bool)
        for mode, shifts in moves:
            seams[0] = True
            seams = moved(seams, int(shifts[row]), mode, False)
            nearest = moved(nearest, int(shifts[row]), mode, -1)
            instants = moved(instants, int(shifts[row]), mode, -1)
        for frame, cell in enumerate(cells(length, frames)):
            got = int(found[row, frame])
            if not (nearest[cell] >= 0).any():
                assert got == -1, (row, frame)
            elif resample == "max" and instants[cell].max() >= 0:
                # the piece on one side of a seam may have no label's center in the frame, and then its nearest counts
                seam = seams[cell].any()
                most = max(nearest[cell].max(), instants[cell].max()) if seam else instants[cell].max()
                assert instants[cell].max() <= got <= most, (row, frame)
                compared += 1
            elif frame * HOP < length and nearest[frame * HOP] >= 0:
                assert got == nearest[frame * HOP], (row, frame)
                compared += 1
            else:
                assert got >= 0, (row, frame)
    assert compared > 30


def test_a_stretch_after_a_roll_moves_the_seam():
    factors = torch.full((6,), 2.0)
    rolled = events().rolled(SHIFTS, LENGTHS)
    before = rolled.at(CENTERS, FRAMES, LENGTHS)
    after = rolled.stretched(factors).at(CENTERS * 2, FRAMES, LENGTHS * 2)
    for mark, roll in before.items():
        assert torch.equal(roll, after[mark])
    values = labels("nearest").rolled(SHIFTS, LENGTHS)
    assert torch.equal(
        values.at(CENTERS, FRAMES, LENGTHS), values.stretched(factors).at(CENTERS * 2, FRAMES, LENGTHS * 2)
    )


def test_rows_are_taken_and_mixes_are_rolled_part_by_part():
    rows = torch.tensor([4, 3])
    for batch in (events("activity"), labels("nearest")):
        rolled = batch.rolled(SHIFTS, LENGTHS)
        whole = rolled.at(CENTERS, FRAMES, LENGTHS)
        assert torch.equal(rolled.taken(rows).at(CENTERS, FRAMES[rows], LENGTHS[rows]), whole[rows])
        weights = torch.full((6,), 0.5)
        for mixed in (
            batch.mixed(batch, weights, weights).rolled(SHIFTS, LENGTHS),
            rolled.mixed(rolled, weights, weights),
        ):
            torch.testing.assert_close(mixed.at(CENTERS, FRAMES, LENGTHS), whole.float())
