"""Cases of the augmentations that filter."""

from __future__ import annotations

import torch

import audiofeed as af
from tests.augment.cases.case import Case


def rooms(channels: int = 1) -> torch.Tensor:
    """Responses that die away, of unlike delays before the direct sound."""
    noise = torch.randn(5, channels, 700, generator=torch.Generator().manual_seed(0))
    made = 0.3 * noise * torch.exp(-torch.arange(700) / 120)
    for number, response in enumerate(made):
        response[:, : 20 * number] *= 0.01
        response[:, 20 * number] = 1.0 - 2.0 * (number % 2)
    return made


CASES = {
    "ReverbFrom": Case(lambda: af.augment.ReverbFrom(rooms())),
    "ReverbFrom-stereo": Case(lambda: af.augment.ReverbFrom(rooms(2), (0.2, 0.9), p=0.8)),
    "ReverbFrom-taps": Case(lambda: af.augment.ReverbFrom(rooms(), keep_gb=2e-5)),
}
