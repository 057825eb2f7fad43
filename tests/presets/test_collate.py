"""Every preset in a collate: its batch has the values, the lengths and the mask of the clips alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af

PRESETS = [name for name in af.presets.__all__ if name != "from_extractor"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_has_what_each_clip_has_alone(name):
    preset, random = getattr(af.presets, name)(), np.random.default_rng(0)
    clips = [torch.from_numpy(0.1 * random.standard_normal(n)).float() for n in (18000, 9001)]
    rate = preset.sample_rate or 16000
    batch = af.GPUSpecCollate(preset, device="cpu")([(clip, rate, i) for i, clip in enumerate(clips)])
    several = isinstance(batch.features, dict)
    features = batch.features if several else {"": batch.features}
    lengths = batch.feature_lengths if several else {"": batch.feature_lengths}
    for row, clip in enumerate(clips):
        found = preset(clip)
        for key, alone in (found if several else {"": found}).items():
            end = int(lengths[key][row])
            torch.testing.assert_close(features[key][row][..., :end], alone[..., :end], rtol=1e-5, atol=1e-5)
    if not several:
        assert batch.feature_mask.sum(-1).tolist() == lengths[""].tolist()
    with pytest.raises(ValueError, match="8000"):
        af.GPUSpecCollate(preset, device="cpu")([(clips[0], 8000, 0)])
