"""The front-ends of docs/frontends.md, and clips to compute them of."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from tests.pages import run_page


def recipes() -> dict[str, torch.nn.Module]:
    """What the page's blocks make, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of filters without a bin, which their code has as well
        made = run_page("docs/frontends.md")
    return {name: value for name, value in made.items() if isinstance(value, torch.nn.Module)}


def clips(rate: int) -> list[np.ndarray]:
    """Of unequal lengths: two of no whole number of hops, one of whole hops that is silent in its middle."""
    random = np.random.default_rng(0)
    made = []
    for n in (rate // 2 + 77, rate * 4 // 5 // 2560 * 2560, rate // 5 + 1):
        t = np.arange(n) / rate
        made.append(0.1 * random.standard_normal(n) + 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t)) + 0.01)
    made[1][len(made[1]) // 3 : len(made[1]) * 2 // 3] = 0
    return made


def spectra_of(transform: torch.nn.Module) -> list[torch.nn.Module]:
    """The members of a chain, or the transform, that compute a spectrum."""
    members = list(transform) if isinstance(transform, torch.nn.Sequential) else [transform]
    return [member for member in members if hasattr(member, "runs_on")]
