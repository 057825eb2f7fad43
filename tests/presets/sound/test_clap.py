"""CLAP's front-ends against transformers' class, whose draws are held to the middle of what they draw from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import public_code

transformers = pytest.importorskip("transformers")

SAMPLES = 48000  # of 1 s, in place of 10
TRUNCATIONS, PADDINGS = ("rand_trunc", "fusion"), ("repeatpad", "repeat", "pad")


def fitted(x: np.ndarray, padding: str) -> np.ndarray:
    if len(x) >= SAMPLES:
        return x
    if padding == "repeat":
        return np.tile(x, SAMPLES // len(x) + 1)[:SAMPLES]
    if padding == "repeatpad":
        x = np.tile(x, SAMPLES // len(x))
    return np.pad(x, (0, SAMPLES - len(x)))


def interpolated(mel: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation between the centers of frames, of half a frame at the ends the end's own value."""
    n = mel.shape[1]
    place = (np.arange(size) + 0.5) * n / size - 0.5
    return np.stack([np.interp(place, np.arange(n), row) for row in mel])


def definition(truncation: str, padding: str, f_min: float = 50.0):
    def features(x: np.ndarray) -> np.ndarray:
        x = fitted(x, padding)
        if truncation == "rand_trunc":
            x = x[:SAMPLES]
        scale, area = ("htk", False) if truncation == "fusion" else ("slaney", True)
        filters = public_code.triangles(48000, 1024, 64, f_min, 14000, scale, area=area)
        mel = 10 * np.log10(np.maximum(filters @ public_code.centered(x, 1024, 480), 1e-10))
        if truncation == "rand_trunc":
            return mel
        thirds = np.array_split(np.arange(mel.shape[1] - 101 + 1), 3)
        starts = [third[(len(third) - 1) // 2] if len(third) else 0 for third in thirds]
        return np.stack([interpolated(mel, 101), *(mel[:, start : start + 101] for start in starts)])

    return features


def reference(truncation: str, padding: str, **settings):
    def features(x: np.ndarray) -> np.ndarray:
        made = extractor(truncation, padding, **settings)()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.random, "choice", lambda places: places[(len(places) - 1) // 2])
            patch.setattr(np.random, "randint", lambda low, high: low)
            found = made(x, sampling_rate=48000)["input_features"][0]
        mel = np.asarray(found).swapaxes(-1, -2)
        return mel if truncation == "fusion" else mel[0]

    return features


def extractor(truncation: str, padding: str, **settings):
    settings = {"frequency_min": 50, "max_length_s": 1, **settings}
    return lambda: transformers.ClapFeatureExtractor(truncation=truncation, padding=padding, **settings)


CASES = [
    Case(
        name=f"clap-{truncation}-{padding}",
        preset=lambda truncation=truncation, padding=padding: af.presets.clap(
            truncation=truncation, padding=padding, seconds=1.0
        ),
        definition=definition(truncation, padding),
        reference=reference(truncation, padding),
        extractor=extractor(truncation, padding),
        count=lambda n: 101,
        rate=48000,
        samples=(12001, 48000, 48100, 48481, 49500, 70003, 150000, 16001),
    )
    for truncation in TRUNCATIONS
    for padding in PADDINGS
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_ten_seconds_have_the_shape_of_the_models_input(truncation):
    x = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal(100000)).float()
    made = transformers.ClapFeatureExtractor(truncation=truncation)  # from 0 Hz on
    expected = np.asarray(made(x.numpy(), sampling_rate=48000)["input_features"][0]).swapaxes(-1, -2)
    for preset in (af.presets.clap(truncation=truncation, f_min=0.0), af.presets.from_extractor(made)):
        found = preset(x[None])[0]
        assert found.shape[-2:] == (64, 1001)
        np.testing.assert_allclose(found.numpy(), expected if truncation == "fusion" else expected[0], atol=1e-2)
        assert found.isclose(torch.from_numpy(expected).float()[0], atol=1e-3).float().mean() > 0.999


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_crops_begin_where_they_are_asked_to(at):
    x = 0.1 * np.random.default_rng(0).standard_normal(100000)
    found = af.presets.clap(truncation="fusion", seconds=1.0, at=at)(torch.from_numpy(x)).numpy()
    filters = public_code.triangles(48000, 1024, 64, 50, 14000, "htk")
    mel = 10 * np.log10(np.maximum(filters @ public_code.centered(x, 1024, 480), 1e-10))
    for crop, third in zip(found[1:], np.array_split(np.arange(mel.shape[1] - 100), 3), strict=True):
        begin = third[-1] if at else third[0]
        np.testing.assert_allclose(crop, mel[:, begin : begin + 101], rtol=1e-9, atol=1e-9)


def test_longer_clips_are_those_that_the_class_calls_longer():
    for n in (479999, 480000, 480001, 480479, 480480, 480481):
        x = np.ones(n, dtype=np.float32)
        made = transformers.ClapFeatureExtractor(truncation="fusion")
        _, longer = made._get_input_mel(x, made.nb_max_samples, "fusion", "repeatpad")
        assert longer is (n >= 480480)


def test_settings_of_checkpoints_are_known_and_others_refused():
    known = {"n_fft": 1024, "chunk_length_s": 10, "nb_max_frames": 1000, "frequency_min": 50}
    read = af.presets.from_extractor(transformers.ClapFeatureExtractor(truncation="rand_trunc", **known))
    x = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, 60000))).float()
    assert torch.equal(read(x), af.presets.clap()(x))
    for name, value in (("truncation", "center"), ("padding", "reflect"), ("n_fft", 2048), ("padding_value", 1.0)):
        with pytest.raises(ValueError, match=f"{name}={value!r} cannot be expressed"):
            af.presets.from_extractor(transformers.ClapFeatureExtractor(**{name: value}))
    with pytest.raises(ValueError, match="truncation='center' must be 'fusion' or 'rand_trunc'"):
        af.presets.clap(truncation="center")
    with pytest.raises(ValueError, match="padding='reflect' must be 'repeatpad', 'repeat' or 'pad'"):
        af.presets.clap(padding="reflect")
