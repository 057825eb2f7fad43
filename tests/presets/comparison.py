"""What every preset is to keep: its reference's values, alone and in a batch the same bits, counts, gradients.

A family's test file lists its cases and runs each of `CHECKS` on each of them:

    @pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_preset(case, check):
        check(case)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import audiofeed as af

BOUND = 2e-5  # of the feature's largest value
EXACT = 1e-9  # float64 beside its definition


@dataclass(frozen=True, kw_only=True)
class Case:
    """A preset, what the reference makes of one clip, and the float64 definition of that.

    Args:
        preset: makes the module.
        definition: float64 samples (time,) -> (bins, frames), or (time,), by NumPy and nothing of this package.
        reference: float32 samples (time,) -> the same by the code that the preset follows; None: tested elsewhere.
        extractor: makes an object that `from_extractor` is to read into a module of the preset's values.
        count: samples of a clip -> frames of the reference.
        rate: Hz.
        samples: of the clips that are compared.
        shortest: samples of the shortest clip that the reference takes, whose counts are asked for; 0: they are not.
        quiet: what the samples of the last clip are multiplied by.
        counted: float32 samples -> frames that the reference counts, where it gives more.
        counts: lengths whose frames are compared with `count`.
    """

    name: str
    preset: Callable[[], nn.Module]
    definition: Callable[[np.ndarray], np.ndarray]
    reference: Callable[[np.ndarray], np.ndarray] | None = None
    extractor: Callable[[], Any] | None = None
    count: Callable[[int], int] | None = None
    rate: int = 16000
    samples: Sequence[int] = (12077, 17920, 5001)
    counts: Sequence[int] = range(1, 4001)
    shortest: int = 0
    quiet: float = 1e-3
    counted: Callable[[np.ndarray], int] | None = None

    def __str__(self) -> str:
        return self.name

    def clips(self) -> list[np.ndarray]:
        """Clips of unequal lengths, float32: a sweep in noise, one silent in its middle, and one very quiet."""
        random = np.random.default_rng(3)
        made = []
        for n in self.samples:
            t = np.arange(n) / self.rate
            made.append(0.1 * random.standard_normal(n) + 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t)) + 0.01)
        if len(made) > 1:
            made[1][len(made[1]) // 3 : len(made[1]) * 2 // 3] = 0
        made[-1] *= self.quiet
        return [clip.astype(np.float32) for clip in made]


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest error over the feature's largest value."""
    assert found.shape == expected.shape, f"{found.shape} beside {expected.shape}"
    return float(np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max())


def values(case: Case) -> None:
    """Within 2e-5 of the definition's scale, or nearer to it than the reference; float64 to rounding."""
    preset = case.preset()
    for clip in case.clips():
        expected = case.definition(clip.astype(np.float64))
        found = preset(torch.from_numpy(clip)).numpy()
        ours = _error(found, expected)
        exact = _error(preset(torch.from_numpy(clip).double()).numpy(), expected)
        assert exact <= EXACT, f"{case}: float64 is {exact:.1e} from its definition"
        if case.reference is None:
            assert ours <= BOUND, f"{case}: {ours:.1e} from its definition"
            continue
        theirs = _error(case.reference(clip), expected)
        assert theirs <= 100 * BOUND, f"{case}: the definition is not the reference's, {theirs:.1e}"
        assert ours <= max(BOUND, theirs), f"{case}: {ours:.1e} from its definition, the reference {theirs:.1e}"


def batch(case: Case) -> None:
    """Alone and in a padded batch of other clips no value differs, and past a clip's end is 0."""
    preset, clips = case.preset(), case.clips()
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.full((len(clips), int(lengths.max()) + 333), float("nan"))
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    together = preset(padded, lengths)
    counts = preset.frame_lengths(lengths).tolist()
    for row, clip, count in zip(together, clips, counts, strict=True):
        alone = preset(torch.from_numpy(clip))
        width = alone.shape[-1]
        assert torch.equal(row[..., :count], alone[..., :count])
        assert width >= count
        assert not row[..., count:].any()
        assert not alone[..., count:].any()


def frame_counts(case: Case) -> None:
    """As many frames as the reference has."""
    preset = case.preset()
    lengths = torch.tensor(list(case.counts))
    found = preset.frame_lengths(lengths).tolist()
    assert case.count is not None
    assert found == [case.count(n) for n in case.counts]
    for n in (1, 399, 400, 401, 799, 3000):  # and as many as it gives
        frames = preset(torch.zeros(n)).shape[-1]
        assert frames >= int(preset.frame_lengths(torch.tensor([n]))[0])
    if case.reference is not None and case.shortest:
        noise = 0.1 * np.random.default_rng(7).standard_normal(max(case.counts)).astype(np.float32)
        for n in (case.shortest, case.shortest + 1, 1599, 1600, 1601, 2000, max(case.counts)):
            if n >= case.shortest:
                found = case.reference(noise[:n]).shape[-1] if case.counted is None else case.counted(noise[:n])
                assert found == case.count(n), f"of {n} samples"


def gradients(case: Case) -> None:
    """They reach the waveform, are finite on silence, and 0 past a clip's end."""
    preset, clips = case.preset(), case.clips()[:2]
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.zeros(len(clips), int(lengths.max()) + 100)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    padded.requires_grad_()
    preset(padded, lengths).square().sum().backward()
    assert padded.grad is not None
    assert torch.isfinite(padded.grad).all()
    for row, n in zip(padded.grad, lengths.tolist(), strict=True):
        assert row[: n // 4].abs().sum() > 0
        assert not row[n:].any()


def from_extractor(case: Case) -> None:
    """An object of the reference's class becomes a module of the same values."""
    if case.extractor is None:
        return
    preset, read = case.preset(), af.presets.from_extractor(case.extractor())
    for clip in case.clips():
        assert torch.equal(read(torch.from_numpy(clip)), preset(torch.from_numpy(clip)))


CHECKS = (values, batch, frame_counts, gradients, from_extractor)
