"""Normalization of features by constants and by each clip, scale and shift, frames added."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af
from tests.transforms.cases import Case
from tests.transforms.contract import effects
from tests.transforms.contract.alternatives import To

FEATURES = {"takes": "features", "bins": 5, "small_bins": 5, "small_size": 12}

MEAN = "a clip of one frame is its own mean"

ADDED = "frames are added that are not the clip's own"

BY_BIN = {"mean": (0.5, -1.0, 0.0, 2.0, 0.25), "std": (0.5, 1.0, 2.0, 4.0, 8.0)}


def crops(pair: effects.Pair) -> None:
    """What was an error for a longer clip leaves its first frames."""
    with pytest.raises(ValueError, match="to=30 frames must be at least as many as a clip has, and one has 40"):
        pair.run(pair.before)
    assert torch.equal(pair.run(pair.after), pair.x[..., :30])
    effects.agrees_with_its_graph(pair, pair.run(pair.after))


CASES = [
    Case(
        cls=af.Normalize,
        settings={"mean": -4.5, "std": 2.0},
        **FEATURES,
        kept=("mean", "std"),
        others={name: [values, 1.25] for name, values in BY_BIN.items()},
    ),
    Case(cls=af.Normalize, settings=BY_BIN, **FEATURES, kept=("mean", "std")),
    Case(
        cls=af.NormalizeClips,
        settings={},
        **FEATURES,
        may_vanish=MEAN,
        others={
            "over": ["clip"],
            "eps": [1.0],
            "eps_to": [To("variance", given={"eps": 0.5})],
            "unbiased": [False],
        },
    ),
    Case(
        cls=af.NormalizeClips,
        settings={"over": "clip", "unbiased": False, "eps_to": "variance"},
        **FEATURES,
        shares="one mean and deviation",
    ),
    Case(cls=af.NormalizeClips, settings={"norm_vars": False}, **FEATURES, may_vanish=MEAN),
    Case(
        cls=af.Rescale,
        settings={"add": 4.5, "divide": 5.0},
        **FEATURES,
        others={"add": [-1.0], "divide": [2.0]},
    ),
    Case(
        cls=af.PadFrames,
        settings={"multiple": 16},
        **FEATURES,
        pads=ADDED,
        others={
            "multiple": [7, To(None, also={"to": 64})],
            "to": [To(64, also={"multiple": None})],
            "value": [-3.0],
            "longer": [
                To("crop", given={"multiple": None, "to": 30}, effect=crops),
            ],
            "counts": [To(True, effect=effects.counts_more)],
        },
    ),
    Case(cls=af.PadFrames, settings={"multiple": 16, "counts": True}, **FEATURES),
    Case(cls=af.PadFrames, settings={"multiple": 7, "longer": "crop", "counts": True}, **FEATURES),
    Case(cls=af.PadFrames, settings={"multiple": 3, "longer": "crop"}, **FEATURES, pads=ADDED),
    Case(cls=af.PadFrames, settings={"to": 30, "longer": "crop"}, **FEATURES, pads=ADDED),
    Case(cls=af.PadFrames, settings={"to": 50, "longer": "crop", "counts": True, "value": -1.0}, **FEATURES),
    Case(
        cls=af.StackFrames,
        settings={"size": 3},
        **FEATURES,
        others={"size": [2], "hop": [2], "edges": ["zeros", "replicate"], "apart": [True]},
    ),
    *[
        Case(cls=af.StackFrames, settings={"size": 7, "hop": 6, "edges": edges}, **FEATURES)
        for edges in ("drop", "zeros", "replicate")
    ],
    Case(cls=af.StackFrames, settings={"size": 7, "hop": 3, "apart": True}, **FEATURES),
    Case(
        cls=af.NormalizeFrames,
        settings={},
        **FEATURES,
        others={"unbiased": [True], "floor": [10.0]},
    ),
    Case(cls=af.NormalizeFrames, settings={"unbiased": True, "floor": 0.1}, **FEATURES),
    Case(cls=af.LargestBin, settings={}, **FEATURES, flat="where a bin is the largest does not change by a little"),
    Case(cls=af.FuseFrames, settings={"size": 10}, **FEATURES, others={"size": [11], "at": [0.0, 1.0]}),
    Case(cls=af.FuseFrames, settings={"size": 25, "at": 0.9}, **FEATURES),
]
