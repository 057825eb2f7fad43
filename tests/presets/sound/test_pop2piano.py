"""Pop2Piano's log-mel spectrogram against transformers' class."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import public_code

transformers = pytest.importorskip("transformers")


def extractor(**settings):
    """The class itself, without the packages of its beat tracker."""
    module = importlib.import_module("transformers.models.pop2piano.feature_extraction_pop2piano")
    return module.Pop2PianoFeatureExtractor(**settings)


def definition(x: np.ndarray) -> np.ndarray:
    power = public_code.centered(x, 4096, 1024)
    return np.log(np.maximum(public_code.triangles(22050, 4096, 512, 10, 11025, "htk") @ power, 1e-6))


def reference(x: np.ndarray) -> np.ndarray:
    """What `__call__` does to a segment: `mel_spectrogram`, then the logarithm."""
    return np.log(np.clip(extractor().mel_spectrogram(x[None]), a_min=1e-6, a_max=None))[0]


CASES = [
    Case(
        name="pop2piano",
        preset=af.presets.pop2piano,
        definition=definition,
        reference=reference,
        extractor=extractor,
        count=lambda n: 1 + n // 1024,
        rate=22050,
        samples=(22050, 30000, 9001),
    )
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)
