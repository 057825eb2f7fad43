"""What X-Codec 2 and NeuCodec take against transformers' classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import formulas, public_code

transformers = pytest.importorskip("transformers")
pytest.importorskip("torchaudio")

CLASSES = {"xcodec2": transformers.Xcodec2FeatureExtractor, "neucodec": transformers.NeuCodecFeatureExtractor}


def whole(x: np.ndarray) -> np.ndarray:
    x = np.pad(x, (0, 1))
    return np.pad(x, (0, -len(x) % 320))


def banks(around: int):
    def features(x: np.ndarray) -> np.ndarray:
        x = np.pad(whole(x), around) * 2**15
        windows = formulas.cut(x, 400, 160, 1 + (len(x) - 400) // 160)
        windows = public_code.kaldi_windows(windows, formulas.hann(400, symmetric=True) ** 0.85)
        power = np.abs(np.fft.rfft(windows, 512, axis=1).T) ** 2
        y = np.log(np.maximum(public_code.kaldi_triangles(16000, 512, 80, 20, 8000) @ power, 2.0**-23))
        y = (y - y.mean(axis=1, keepdims=True)) / np.sqrt(y.var(axis=1, ddof=1, keepdims=True) + 1e-7)
        return np.concatenate([y[:, ::2], y[:, 1::2]])

    return features


def of_transformers(name: str, output: str):
    def found(x: np.ndarray) -> np.ndarray:
        made = CLASSES[name]()([x], sampling_rate=16000, return_tensors="pt")[output][0]
        return (made.T if output == "input_features" else made[0]).numpy()

    return found


CASES = [
    *[
        Case(
            name=f"{name}-waveforms",
            preset=lambda name=name: getattr(af.presets, name)()["input_values"],
            definition=whole,
            reference=of_transformers(name, "input_values"),
            count=lambda n: n + 1,
        )
        for name in CLASSES
    ],
    *[
        Case(
            name=f"{name}-features",
            preset=lambda name=name: getattr(af.presets, name)()["input_features"],
            definition=banks(160 if name == "xcodec2" else 0),
            reference=of_transformers(name, "input_features"),
            count=lambda n, less=int(name == "neucodec"): max(1, -(-(n + 1) // 320) - less),
        )
        for name in CLASSES
    ],
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_of_the_class_gives_both(name):
    x = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((2, 9000))).float()
    lengths = torch.tensor([9000, 5000])
    read, preset = af.presets.from_extractor(CLASSES[name]()), getattr(af.presets, name)()
    found, expected = read(x, lengths), preset(x, lengths)
    assert found.keys() == expected.keys() == {"input_values", "input_features"}
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    made = CLASSES[name]()([row[:n].numpy() for row, n in zip(x, lengths, strict=True)], sampling_rate=16000)
    ends = preset.frame_lengths(lengths)
    assert ends["input_values"].tolist() == made["padding_mask"].sum(-1).tolist()
    assert ends["input_features"].tolist() == made["input_features_mask"].sum(-1).tolist()
    for row, theirs, end in zip(found["input_features"], made["input_features"], ends["input_features"], strict=True):
        np.testing.assert_allclose(row[:, :end].T, theirs[:end], rtol=0, atol=1e-3)
    other = af.presets.from_extractor(CLASSES[name](hop_length=640))(x)["input_values"]
    assert other.shape[-1] == getattr(af.presets, name)(hop_length=640)(x)["input_values"].shape[-1] == 9600
    with pytest.raises(ValueError, match="sampling_rate=24000 cannot be expressed"):
        af.presets.from_extractor(CLASSES[name](sampling_rate=24000))
    silent = af.presets.from_extractor(CLASSES[name](padding_value=0.0))(x, lengths)
    assert all(torch.equal(silent[key], expected[key]) for key in expected)
    with pytest.raises(ValueError, match=r"FeatureExtractor's padding_value=0\.5 cannot be .* has 1\.0 or 0\.0"):
        af.presets.from_extractor(CLASSES[name](padding_value=0.5))
    extractor = CLASSES[name]()
    extractor.acoustic_encoder_padder.padding_value = 0.5
    with pytest.raises(ValueError, match=r"acoustic_encoder_padder's padding_value=0\.5 cannot be .* has 0\.0"):
        af.presets.from_extractor(extractor)
