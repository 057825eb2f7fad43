"""Every public transform of waveforms, with each kind of padding."""

import warnings

import pytest
import torch

from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate
from audiofeed.feed.transform_contract import sample_rate_of
from tests.transforms.cases import CASES, IDS

FRONT_ENDS = [case for case in CASES if case.takes == "waveform"]
NAMES = [name for case, name in zip(CASES, IDS, strict=True) if case.takes == "waveform"]
LENGTHS = (300, 500)


def entries(features):
    return list(features.values()) if isinstance(features, dict) else [features]


@pytest.mark.slow
@pytest.mark.parametrize("case", FRONT_ENDS, ids=NAMES)
def test_past_the_end(case):
    transform = case.shared()
    rate = int(sample_rate_of(transform) or 16000)
    noise = torch.Generator().manual_seed(0)
    items = [AudioExample(torch.randn(length, generator=noise), rate) for length in LENGTHS]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        made = {
            kind: GPUSpecCollate(transform, device="cpu", padding=kind)(items) for kind in ("mask", "silence", -7.0)
        }
        silent = entries(transform(torch.zeros(1, max(LENGTHS))))
        rows = zip(*(entries(batch.features) for batch in made.values()), silent, strict=True)
        masks = entries(made["mask"].feature_mask)
        for (masked, silence, number, alone), mask in zip(rows, masks, strict=True):
            frames = int(mask[0].sum())
            assert torch.equal(silence[0, ..., :frames], masked[0, ..., :frames])
            assert torch.equal(number[0, ..., :frames], masked[0, ..., :frames])
            assert masked.shape == silence.shape == number.shape
            past = silence[0, ..., frames:]
            assert (masked[0, ..., frames:] == 0).all()
            assert (number[0, ..., frames:] == -7).all()
            # of silence every frame is alike
            torch.testing.assert_close(past, alone[0, ..., :1].expand_as(past), rtol=1e-5, atol=1e-6)
    fixed = GPUSpecCollate(transform, device="cpu", pad_to=700)(items)
    assert fixed.waveforms.shape == (2, 700)
    for mask, features in zip(entries(fixed.feature_mask), entries(fixed.features), strict=True):
        assert features.shape[0] == 2
        assert mask[1].sum() >= mask[0].sum()


def test_there_are_many():
    assert len(FRONT_ENDS) > 30
