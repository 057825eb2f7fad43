"""Labels of frames in batches equal their NumPy definition, clip by clip, whatever the batch-mates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiofeed.methods import frame_labels as batched
from audiofeed.signal import frame_labels as defined

HOP = 10
# where the frames lie: a first center and a hop, whole or not
CENTERS = st.tuples(st.sampled_from([0.0, 5.0, 12.8, 31.5]), st.sampled_from([10.0, 7.3, 16.0]))
# many of the instants fall on borders between frames
TIME = st.one_of(st.integers(-80, 1200).map(lambda n: n / 4), st.integers(-4, 60).map(lambda n: 5.0 * n))


@st.composite
def clips(draw):
    first, hop = draw(CENTERS)
    found = []
    for _ in range(draw(st.integers(1, 4))):
        samples = draw(st.integers(1, 250))
        frames = draw(st.integers(1, max(1, int(samples // hop) + 1)))
        found.append((samples, frames))
    total = max(frames for _, frames in found) + draw(st.integers(0, 3))
    return found, first + hop * np.arange(total)


@st.composite
def events(draw):
    found, centers = draw(clips())
    rows = []
    for _ in found:
        times = draw(
            st.lists(st.tuples(TIME, st.integers(0, 40).map(lambda n: n * 1.25), st.integers(0, 2)), max_size=5)
        )
        rows.append([(onset, onset + length, label) for onset, length, label in times])
    return found, centers, rows


@given(events(), st.sampled_from(["span", "center"]))
def test_rolls_of_events(drawn, rule):
    found, centers, rows = drawn
    most = max(1, *(len(row) for row in rows))
    padded = np.zeros((3, len(rows), most))
    padded[2] = -1
    for i, row in enumerate(rows):
        for j, event in enumerate(row):
            padded[:, i, j] = event
    onsets, offsets, labels = torch.from_numpy(padded)
    samples, frames = torch.tensor(found).T
    for mark in ("activity", "onset", "offset"):
        got = batched.event_roll(
            onsets, offsets, labels.long(), torch.from_numpy(centers), n_classes=3, frames=frames, samples=samples,
            mark=mark, rule=rule,
        )  # fmt: skip
        for i, row in enumerate(rows):
            columns = np.array(row, dtype=float).reshape(-1, 3).T
            expected = defined.event_rolls(
                columns[0], columns[1], columns[2].astype(int), centers, n_classes=3, n_frames=found[i][1],
                samples=found[i][0], rule=rule,
            )[mark]  # fmt: skip
            assert np.array_equal(got[i].numpy(), expected), (mark, row, found[i])


@given(events(), st.sampled_from(["span", "center"]))
def test_an_event_that_is_heard_is_marked(drawn, rule):
    """No event that sounds in a clip is without a frame, and its onset and offset lie among those it sounds in."""
    found, centers, rows = drawn
    for (samples, frames), row in zip(found, rows, strict=True):
        for onset, offset, _ in row:
            roll = defined.event_rolls(
                np.array([onset]), np.array([offset]), np.array([0]), centers, n_classes=1, n_frames=frames,
                samples=samples, rule=rule,
            )  # fmt: skip
            heard = onset < samples and (offset > 0 or onset == offset >= 0)
            assert roll["activity"].any() == heard
            assert roll["onset"].sum() == (heard and onset >= 0)
            assert roll["offset"].sum() == (heard and offset <= samples)
            if rule == "span":
                assert (roll["onset"] <= roll["activity"]).all()
                assert (roll["offset"] <= roll["activity"]).all()


@given(clips(), st.integers(1, 40), st.sampled_from([1.0, 2.5, 10.0, 33.3]), st.floats(-20, 20), st.integers(0, 9))
@pytest.mark.parametrize("resample", ["nearest", "max", "linear"])
def test_labels_at_another_rate(resample, drawn, most, step, first, seed):
    found, centers = drawn
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, len(found))
    firsts = first + rng.integers(0, 5, len(found))
    values = rng.integers(-5, 5, (len(found), 2, counts.max()))
    values = values.astype(float) if seed % 2 else values
    samples, frames = torch.tensor(found).T
    got = batched.labels_at(
        torch.from_numpy(values), torch.from_numpy(counts), torch.from_numpy(firsts).double(),
        torch.full((len(found),), step, dtype=torch.float64), torch.from_numpy(centers), frames=frames, samples=samples,
        resample=resample, fill=-9,
    )  # fmt: skip
    for i, (length, own) in enumerate(found):
        expected = defined.labels_at(
            values[i, :, : counts[i]],
            firsts[i],
            step,
            centers,
            samples=length,
            n_frames=own,
            resample=resample,
            fill=-9,
        )
        np.testing.assert_allclose(got[i].numpy(), expected, rtol=1e-5, atol=1e-5 if resample == "linear" else 0)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float16])
def test_the_type_of_labels_is_kept(dtype):
    values = torch.tensor([[0, 1, 0, 1]]).to(dtype)
    for resample in ("nearest", "max"):
        got = batched.labels_at(
            values, torch.tensor([4]), torch.tensor([0.0]), torch.tensor([5.0]), torch.arange(4.0) * 5,
            frames=torch.tensor([4]), samples=torch.tensor([20]), resample=resample, fill=0,
        )  # fmt: skip
        assert torch.equal(got, values)


def test_borders():
    centers = np.array([0.0, 160.0, 320.0])
    assert defined.frame_of(np.array([-5, 0, 79.9999999, 79.9, 80, 400]), centers).tolist() == [0, 0, 1, 0, 1, 2]
    assert [defined.last_frame_of(end, centers) for end in (0, 80, 80.1, 1000)] == [0, 0, 1, 2]
    assert defined.frames_covered(160, 160, centers, rule="center") == (1, 1)
    assert defined.frames_covered(80, 240, centers, rule="span") == (1, 1)
    assert defined.frames_covered(0, 320, centers, rule="center") == (0, 1)
