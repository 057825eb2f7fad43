"""Several frames as one: which they are, at a clip's ends, alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.signals import noise


def stacked(x: np.ndarray, size: int, hop: int, edges: str) -> np.ndarray:
    """(bins, frames) -> (size * bins, stacks), one frame after another."""
    n = x.shape[1]
    count = max(1, 1 + (n - size) // hop) if edges == "drop" else -(-n // hop)
    columns = []
    for f in range(count):
        frames = []
        for j in range(size):
            at = f * hop + j
            if edges == "replicate":
                frames.append(x[:, min(max(at - (size - 1) // 2, 0), n - 1)])
            else:
                frames.append(x[:, at] if at < n else np.zeros(len(x)))
        columns.append(np.concatenate(frames))
    return np.stack(columns, 1)


@pytest.mark.parametrize("edges", ["drop", "zeros", "replicate"])
@pytest.mark.parametrize(("size", "hop"), [(2, None), (7, 6), (3, 1), (1, 1), (4, 2)])
def test_stacks_are_those_of_each_clip(size, hop, edges):
    lengths = torch.tensor([19, 7, 1])
    x = noise(3, 5, 23)
    transform = af.StackFrames(size, hop=hop, edges=edges)
    together = transform(x, lengths)
    for row, clip, n in zip(together, x, lengths.tolist(), strict=True):
        expected = stacked(clip[:, :n].numpy(), size, hop or size, edges)
        count = int(transform.frame_lengths(torch.tensor(n)))
        assert count == expected.shape[1]
        np.testing.assert_array_equal(row[:, :count].numpy(), expected)
        assert not row[:, count:].any()
        np.testing.assert_array_equal(transform(clip[:, :n]).numpy(), expected)


def test_frames_between_stacks_are_not_lost_in_silence():
    with pytest.raises(ValueError, match="hop=3 must not exceed size=2 with edges='drop'"):
        af.StackFrames(2, hop=3)
    assert af.StackFrames(2, hop=3, edges="zeros").hop == 3
    for settings, message in (({"size": 0}, "size=0"), ({"size": 2, "hop": 0.5}, "hop=0.5")):
        with pytest.raises(ValueError, match=message):
            af.StackFrames(**settings)
    with pytest.raises(ValueError, match="edges='pad' must be 'drop', 'zeros' or 'replicate'"):
        af.StackFrames(2, edges="pad")


@pytest.mark.parametrize("counts", [False, True])
def test_frames_are_brought_down_to_a_multiple_clip_by_clip(counts):
    x, lengths = torch.arange(1.0, 9.0).expand(4, 1, 8), torch.tensor([8, 7, 3, 1])
    transform = af.PadFrames(multiple=3, longer="crop", value=-1.0, counts=counts)
    assert transform.frame_lengths(lengths).tolist() == ([6, 6, 3, 3] if counts else [6, 6, 3, 1])
    past = 0.0 if counts else -1.0
    rows = transform(x, lengths).squeeze(1).tolist()
    assert rows[:2] == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 2
    assert rows[2] == [1.0, 2.0, 3.0, past, past, past]
    assert rows[3] == [1.0, -1.0, -1.0, past, past, past]
    assert transform(x[0, :, :1]).tolist() == [[1.0, -1.0, -1.0]]
