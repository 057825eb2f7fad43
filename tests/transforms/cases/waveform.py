"""Transforms from waveforms to waveforms: level, mean, pre-emphasis."""

from __future__ import annotations

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


PADS = "zeros that do not count follow the clip"

OVER = {"over": [To(over, effect=of_two_channels) for over in ("clip", "channel")]}
LEVEL = {**OVER, "level_db": [-20.0, 3.0], "floor": [10.0]}

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
    Case(
        cls=af.FitWaveform,
        settings={"at_least": 300, "multiple": 7},
        **WAVEFORMS,
        others={
            "at_least": [2000],
            "at_most": [123],
            "multiple": [320],
            "before": [5],
            "after": [5],
            "mode": [
                To(mode, given={"at_least": 2000})
                for mode in ("copies", "circular", "reflect", "symmetric", "replicate")
            ],
            "place": [To("center", given={"at_least": 2000})],
            "counts": [To(False, given={"at_least": 2000}, effect=counts_fewer)],
        },
    ),
    *[
        Case(cls=af.FitWaveform, settings={"at_least": 20, "multiple": 17, "mode": mode, "before": 2}, **WAVEFORMS)
        for mode in ("copies", "circular", "reflect", "symmetric", "replicate")
    ],
    Case(cls=af.FitWaveform, settings={"at_least": 64, "at_most": 64, "mode": "copies"}, **WAVEFORMS),
    Case(cls=af.FitWaveform, settings={"at_least": 600, "at_most": 400, "place": "center"}, **WAVEFORMS),
    Case(cls=af.FitWaveform, settings={"multiple": 64, "after": 3, "counts": False}, **WAVEFORMS, pads=PADS),
    *[
        Case(
            cls=af.PreEmphasis,
            settings={"coeff": 0.9, "first": first},
            **WAVEFORMS,
            others={"coeff": [0.5, -0.3], "first": ["replicate", "extrapolate", "drop"]},
        )
        for first in ("keep", "replicate", "extrapolate", "drop")
    ],
]
