"""Transforms from waveforms to waveforms: level, mean, pre-emphasis."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af
from tests.transforms.cases import Case
from tests.transforms.contract.alternatives import To
from tests.transforms.contract.effects import LEAST_CHANGE, Pair, distance

CHANNELS = "the channels of a clip share a gain"

MEAN = "a clip of one sample is its own mean"

WAVEFORMS = {"small_size": 12}


def of_two_channels(pair: Pair) -> None:
    """Other values of a clip whose channels differ in level and mean."""
    x = pair.x[None] * torch.tensor([[1.0], [0.1]]) + torch.tensor([[0.3], [0.0]])
    assert distance(pair.before(x), pair.after(x)) > LEAST_CHANGE


def of_few_samples(pair: Pair) -> None:
    x = pair.x[:, :20]
    assert distance(pair.before(x), pair.after(x)) > LEAST_CHANGE


def of_loud_samples(pair: Pair) -> None:
    assert distance(pair.before(100 * pair.x), pair.after(100 * pair.x)) > LEAST_CHANGE


def counts_fewer(pair: Pair) -> None:
    lengths = torch.tensor([pair.x.shape[-1]])
    assert pair.after.frame_lengths(lengths) < pair.before.frame_lengths(lengths)
    assert torch.equal(pair.run(pair.before), pair.run(pair.after))


def keeps(pair: Pair) -> None:
    """What was an error for a longer clip leaves all of it."""
    with pytest.raises(ValueError, match="to=300 samples must be at least as many as a clip has, and one has 500"):
        pair.before(pair.x)
    assert torch.equal(pair.after(pair.x), pair.x)


MODES = ("copies", "circular", "reflect", "symmetric", "replicate")

PADS = "zeros that do not count follow the clip"

OVER = {"over": [To(over, effect=of_two_channels) for over in ("clip", "channel")]}
LEVEL = {**OVER, "level_db": [-20.0, 3.0], "floor": [10.0]}


def crops(pair: Pair) -> None:
    """What was an error for a longer clip leaves its first samples."""
    with pytest.raises(ValueError, match="to=300 samples must be at least as many as a clip has, and one has 500"):
        pair.before(pair.x)
    assert torch.equal(pair.after(pair.x), pair.x[..., :300])


def rates(pair: Pair) -> None:
    """It is what a collate holds clips to."""
    assert pair.before.times(2).tolist() == [2 * t for t in pair.after.times(2).tolist()]


CASES = [
    Case(cls=af.NormalizePeak, settings={"level_db": -6.0}, **WAVEFORMS, shares=CHANNELS, others=LEVEL),
    Case(cls=af.NormalizePeak, settings={"over": "channel"}, **WAVEFORMS),
    Case(
        cls=af.NormalizeRMS,
        settings={"level_db": -23.0},
        **WAVEFORMS,
        shares=CHANNELS,
        others={**LEVEL, "eps": [1.0], "most": [0.1]},
    ),
    Case(
        cls=af.NormalizeRMS,
        settings={"level_db": -5.0, "eps": 1e-6, "most": 1.0},
        **WAVEFORMS,
        shares=CHANNELS,
        kinks="the limit of the peak",
    ),
    Case(cls=af.NormalizeRMS, settings={"over": "channel", "floor": 0.5}, **WAVEFORMS),
    Case(cls=af.RemoveMean, settings={}, **WAVEFORMS, may_vanish=MEAN, others=OVER),
    Case(cls=af.RemoveMean, settings={"over": "clip"}, **WAVEFORMS, may_vanish=MEAN, shares="one mean"),
    Case(
        cls=af.NormalizeWaveform,
        settings={},
        **WAVEFORMS,
        may_vanish=MEAN,
        others={
            **OVER,
            "unbiased": [To(True, effect=of_few_samples)],
            "eps": [1.0],
            "eps_to": [To("std", given={"eps": 0.5})],
        },
    ),
    Case(
        cls=af.NormalizeWaveform,
        settings={"unbiased": True, "eps": 1e-3, "eps_to": "std", "over": "clip"},
        **WAVEFORMS,
        may_vanish=MEAN,
        shares="one mean and deviation",
    ),
    *[
        Case(
            cls=af.PreEmphasis,
            settings={"coeff": 0.9, "first": first},
            **WAVEFORMS,
            others={"coeff": [0.5, -0.3], "first": ["replicate", "extrapolate", "drop"]},
        )
        for first in ("keep", "replicate", "extrapolate", "drop")
    ],
    Case(
        cls=af.PadWaveform,
        settings={"multiple": 64},
        **WAVEFORMS,
        others={
            "multiple": [48, To(None, also={"to": 600})],
            "to": [To(600, also={"multiple": None})],
            "before": [7],
            "after": [100, -60],
            "longer": [
                To("crop", given={"multiple": None, "to": 300}, effect=crops),
                To("keep", given={"multiple": None, "to": 300}, effect=keeps),
            ],
            "shorter": [To("keep", given={"multiple": None, "to": 600, "longer": "crop"})],
            "mode": [To(mode, given={"multiple": None, "to": 2000}) for mode in MODES],
            "place": ["center"],
            "counts": [To(False, effect=counts_fewer)],
        },
    ),
    *[
        Case(cls=af.PadWaveform, settings={"to": 20, "longer": "keep", "multiple": 17, "mode": mode}, **WAVEFORMS)
        for mode in ("copies", "reflect")
    ],
    Case(cls=af.PadWaveform, settings={"to": 64, "longer": "crop", "mode": "copies", "before": 3}, **WAVEFORMS),
    Case(cls=af.PadWaveform, settings={"to": 600, "longer": "keep", "place": "center"}, **WAVEFORMS),
    Case(cls=af.PadWaveform, settings={"multiple": 64, "after": 3, "counts": False}, **WAVEFORMS, pads=PADS),
    Case(cls=af.PadWaveform, settings={"to": 400, "longer": "crop", "before": 30}, **WAVEFORMS),
    Case(cls=af.PadWaveform, settings={"before": 5, "after": -7, "multiple": 8, "mode": "reflect"}, **WAVEFORMS),
    Case(
        cls=af.Waveform, settings={"sample_rate": 8000}, **WAVEFORMS, others={"sample_rate": [To(16000, effect=rates)]}
    ),
    Case(cls=af.PadWaveform, settings={"after": 9}, **WAVEFORMS),
]
