"""method="exact" against the plain definition of constant-Q transforms, that of method="conv" at the full rate."""

from __future__ import annotations

import pytest
import torch

from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from tests.oracle import random, relative_error


@pytest.mark.parametrize(
    "config",
    [
        {"sample_rate": 22050},
        {"sample_rate": 22050, "n_bins": 100, "pad_mode": "reflect"},
        {"sample_rate": 22050, "n_bins": 48, "hop_length": 256},
        {"sample_rate": 22050, "n_bins": 30, "hop_length": 441},
        {"sample_rate": 16000, "n_bins": 90, "bins_per_octave": 18, "window": "hamming"},
        {"sample_rate": 44100, "n_bins": 110, "filter_scale": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [CQT, VQT])
def test_exact_is_the_plain_definition_at_lower_rates(cls, config):
    """Loud to its ends, for clips of their own length, with a graph and without; "octaves" is 0.5 to 10 % off."""
    plain, exact, octaves = (cls(method=method, power=None, **config) for method in ("conv", "exact", "octaves"))
    y, lengths = torch.from_numpy(random(2, 30000)), torch.tensor([30000, 9001])
    assert torch.equal(exact.frame_lengths(lengths), plain.frame_lengths(lengths))
    expected = plain(y, lengths).numpy()
    assert relative_error(exact(y, lengths).numpy(), expected) <= 1e-5
    assert relative_error(exact(y.float(), lengths).numpy(), expected) <= 2e-5
    assert relative_error(exact(y.clone().requires_grad_(), lengths).detach().numpy(), expected) <= 1e-5
    alone = plain(y[1, :9001]).numpy()
    assert relative_error(octaves(y[1, :9001]).numpy(), alone) > 100 * relative_error(exact(y[1, :9001]).numpy(), alone)


def test_exact_harmonics_are_those_of_the_plain_definition_and_the_inverse_refuses_it():
    y = torch.from_numpy(random(20000))
    config = {"sample_rate": 22050, "n_bins": 36, "bins_per_octave": 12, "harmonics": (0.5, 1, 2, 3), "power": None}
    exact, plain = (HarmonicCQT(method=method, **config)(y).numpy() for method in ("exact", "conv"))
    assert relative_error(exact, plain) <= 1e-5
    with pytest.raises(ValueError, match=r"method='exact' .* use 'conv'"):
        InverseCQT(sample_rate=22050, method="exact")
