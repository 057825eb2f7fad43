"""Frames: padding in either of its forms, and the packing of unequal rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from audiofeed.arguments.checks import PAD_MODES
from audiofeed.methods.frames import Framing, mirrored
from audiofeed.methods.workspace import Workspace
from audiofeed.signal.framing import PLACEMENTS

NUMPY_MODE = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("pad_mode", sorted(NUMPY_MODE))
@given(length=st.integers(1, 12), reach=st.integers(1, 40))
def test_positions_outside_are_those_of_numpy(pad_mode, length, reach):
    samples = np.arange(length)
    expected = np.pad(samples, reach, mode=NUMPY_MODE[pad_mode])
    positions = torch.arange(-reach, length + reach)
    assert mirrored(positions, torch.tensor(length), pad_mode)[:reach].tolist() == expected[:reach].tolist()
    assert mirrored(positions, torch.tensor(length), pad_mode)[-reach:].tolist() == expected[-reach:].tolist()


@given(data=st.data())
def test_padding_in_place_is_padding(data):
    """With lengths, as on a GPU, where rows cannot be cut to their own; NaN past the end shows what is looked at."""
    framing = Framing(
        n_fft=data.draw(st.integers(1, 20)),
        hop_length=data.draw(st.integers(1, 9)),
        center=data.draw(st.booleans()),
        pad_mode=data.draw(st.sampled_from(PAD_MODES)),
    )
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=4)))
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((len(lengths), 30))).float()
    workspace = Workspace(x)
    workspace.take("padded", 500).fill_(7.0)  # what a call before left there
    assert torch.equal(framing.pad_into(workspace, x, None), framing.pad(x, None))
    for row, length in enumerate(lengths):
        x[row, length:] = float("nan")
    expected = framing.pad(x, lengths)
    assert torch.isfinite(expected).all()
    assert torch.equal(framing.pad_into(workspace, x, lengths), expected)


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    n_fft=st.integers(1, 20),
    hop=st.integers(1, 12),
    block=st.integers(1, 900),
)
def test_runs_cover_every_row_once_with_its_own_frames(lengths, n_fft, hop, block):
    framing = Framing(n_fft=n_fft, hop_length=hop, center=True, pad_mode="reflect")
    x = torch.arange(60.0).expand(len(lengths), -1)
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audiofeed.methods.frames.CPU_BLOCK", block)
        for run, count, padded in framing.padded_runs(Workspace(x), x, torch.tensor(lengths)):
            for row in range(run.start, run.stop):
                rows.append(row)
                assert count == framing.count(lengths[row])
                alone = framing.pad(x[row : row + 1, : lengths[row]], None)
                assert torch.equal(framing.cut(padded)[row - run.start], framing.cut(alone)[0])
    assert rows == list(range(len(lengths)))


class Watching(TorchDispatchMode):
    """Sees every operation of torch."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@given(data=st.data())
def test_counts_of_many_clips_are_those_of_each(data):
    """By NumPy where nothing observes them, by torch's operations where something does."""
    n_fft = 2 * data.draw(st.integers(1, 10))
    framing = Framing(
        n_fft=n_fft,
        hop_length=data.draw(st.integers(1, n_fft)),
        center=data.draw(st.booleans()),
        pad_mode="constant",
        placement=data.draw(st.sampled_from([None, *PLACEMENTS])),
    )
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=8)))
    expected = [framing.count(length) for length in lengths.tolist()]
    assert framing.count(lengths).tolist() == expected
    assert framing.count(lengths).dtype == torch.int64
    assert int(framing.count(lengths[0])) == expected[0]
    with Watching():
        assert framing.count(lengths).tolist() == expected
