"""The demo's model sees a clip's own frames, all of them in evaluation, and nothing else."""

from __future__ import annotations

import pytest
import torch

from audiofeed.demo.model import ClipClassifier, MaskedBatchNorm, SpectrumMasking, frame_mask, standardize


@pytest.fixture
def model():
    """A model whose statistics and weights are not the initial ones."""
    torch.manual_seed(0)
    net = ClipClassifier(12, 3, width=16)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for _ in range(5):
        net(torch.randn(4, 12, 20), torch.tensor([20, 9, 5, 1])).square().sum().backward()
        optimizer.step()
    return net.eval()


def test_batch_mates_do_not_matter_in_evaluation(model):
    features = torch.randn(4, 12, 33)
    lengths = torch.tensor([33, 17, 4, 1])
    features[frame_mask(lengths, 33)[:, None].expand_as(features).logical_not()] = 0
    with torch.no_grad():
        together = model(features, lengths)
        for i, n in enumerate(lengths):
            alone = model(features[i : i + 1, :, :n], n[None])
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)
        # nor does what stands in the padding
        dirty = features.masked_fill(~frame_mask(lengths, 33)[:, None], 7.0)
        torch.testing.assert_close(model(dirty, lengths), together, atol=1e-5, rtol=1e-5)


def test_batch_mates_padding_does_not_reach_the_statistics():
    norm, plain = MaskedBatchNorm(5), torch.nn.BatchNorm1d(5)
    values = torch.randn(3, 5, 8)
    mask = frame_mask(torch.tensor([8, 3, 1]), 8)
    result = norm(values, mask)
    frames = torch.cat([values[i, :, :n].T for i, n in enumerate([8, 3, 1])])
    torch.testing.assert_close(result.transpose(1, 2)[mask], plain(frames))
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    assert (result.transpose(1, 2)[~mask] == 0).all()


def test_loudness_does_not_matter(model):
    features, lengths = torch.randn(2, 12, 20), torch.tensor([20, 20])
    with torch.no_grad():
        torch.testing.assert_close(model(features + 30, lengths), model(features, lengths), atol=1e-4, rtol=1e-4)


def test_standardize_uses_own_frames_only():
    features = torch.randn(2, 6, 10) * 4 + 3
    result = standardize(features, torch.tensor([10, 4]))
    assert (result[1, :, 4:] == 0).all()
    own = result[1, :, :4]
    assert abs(float(own.mean())) < 1e-5
    assert abs(float(own.var(correction=0)) - 1) < 1e-3
    # silence divides by nothing
    assert (standardize(torch.zeros(1, 6, 3), torch.tensor([3])) == 0).all()


def test_masks_hide_bands_and_spans_within_their_shares():
    torch.manual_seed(0)
    masking = SpectrumMasking(bands=1, band_share=0.25, spans=1, span_share=0.2)
    lengths = torch.tensor([40, 10] * 50)
    hidden = masking(torch.ones(100, 32, 40), lengths) == 0
    # a time mask hides whole frames, a frequency mask whole bins
    spans, bands = hidden.all(1), hidden.all(2)
    assert torch.equal(hidden, spans[:, None] | bands[:, :, None])
    assert 1 <= int(bands.sum(1).max()) <= 9
    assert 1 <= int(spans[::2].sum(1).max()) <= 9
    assert int(spans[1::2].sum(1).max()) <= 3
    assert not spans[1::2, 10:].any()
    # each clip has its own
    assert len({tuple(row.tolist()) for row in bands}) > 20
    assert not (masking.eval()(torch.ones(2, 32, 40), lengths[:2]) == 0).any()


def test_training_uses_the_masks(model):
    features, lengths = torch.randn(2, 12, 20), torch.tensor([20, 20])
    model.dropout.p = 0.0
    assert torch.equal(model(features, lengths), model(features, lengths))
    model.train()
    assert not torch.equal(model(features, lengths), model(features, lengths))
