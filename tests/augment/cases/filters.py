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
    "Filter-low_pass": Case(lambda: af.augment.Filter("low_pass", (100, 6_000))),
    "Filter-high_pass": Case(lambda: af.augment.Filter("high_pass", (20, 6_000), q=(0.3, 5), p=0.8)),
    "Filter-peak": Case(lambda: af.augment.Filter("peak", (100, 6_000), q=(1, 10), gain_db=(3, 12))),
    "Filter-high_shelf": Case(lambda: af.augment.Filter("high_shelf", (100, 6_000), gain_db=(-12, -3))),
    "ReverbFrom": Case(lambda: af.augment.ReverbFrom(rooms())),
    "ReverbFrom-stereo": Case(lambda: af.augment.ReverbFrom(rooms(2), (0.2, 0.9), p=0.8)),
    "ReverbFrom-taps": Case(lambda: af.augment.ReverbFrom(rooms(), keep_gb=2e-5)),
}
