"""The demo's model sees a clip's own frames, all of them in evaluation, and nothing else."""

from __future__ import annotations

import pytest
import torch

from audiofeed.demo.model import ClipClassifier, MaskedBatchNorm, frame_mask, standardize


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
