"""What codecs take: waveforms of whole hops or chunks, at a level; against transformers' classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case

transformers = pytest.importorskip("transformers")


def by_class(name: str, rate: int, **settings):
    """`input_values` of one clip by a class of transformers."""

    def waveform(x: np.ndarray) -> np.ndarray:
        extractor = getattr(transformers, name)(**settings)
        found = extractor([x], sampling_rate=rate, return_tensors="pt")
        return found["input_values"].reshape(-1).numpy()

    return waveform


def extractor(name: str, **settings):
    return lambda: getattr(transformers, name)(**settings)


def whole(hop: int):
    return lambda x: np.pad(x, (0, -len(x) % hop))


def mirrored(hop: int):
    return lambda x: np.pad(x, (0, -len(x) % hop), mode="reflect")


def in_chunks(chunk: int, stride: int):
    return lambda x: np.pad(x, (0, (-(-len(x) // stride) - 1) * stride + chunk - len(x)))


def at_a_level(x: np.ndarray) -> np.ndarray:
    """VibeVoice's: -25 dB by the root mean square, and not above full scale."""
    x = x * (10 ** (-25 / 20) / (np.sqrt((x**2).mean()) + 1e-6))
    if np.abs(x).max() > 1:
        x = x / (np.abs(x).max() + 1e-6)
    return whole(3200)(x)


def at_a_peak(x: np.ndarray) -> np.ndarray:
    return x * (10 ** (-3 / 20) / np.abs(x).max())


CODECS = {
    "encodec": (af.presets.encodec, "EncodecFeatureExtractor", {}, lambda x: x, 24000),
    "mimi": (af.presets.mimi, "EncodecFeatureExtractor", {}, lambda x: x, 24000),
    "encodec-48khz": (
        lambda: af.presets.encodec(sample_rate=48000, chunk_seconds=0.1, overlap=0.01),
        "EncodecFeatureExtractor",
        {"sampling_rate": 48000, "chunk_length_s": 0.1, "overlap": 0.01},
        in_chunks(4800, 4752),
        48000,
    ),
    "dac": (
        af.presets.dac,
        "DacFeatureExtractor",
        {"sampling_rate": 44100, "hop_length": 512},
        whole(512),
        44100,
    ),
    "dac-24khz": (
        lambda: af.presets.dac(sample_rate=24000),
        "DacFeatureExtractor",
        {"sampling_rate": 24000, "hop_length": 320},
        whole(320),
        24000,
    ),
    "dia": (
        af.presets.dac,
        "DiaFeatureExtractor",
        {"sampling_rate": 44100, "hop_length": 512},
        whole(512),
        44100,
    ),
    "pe_audio": (af.presets.pe_audio, "PeAudioFeatureExtractor", {}, mirrored(1920), 48000),
    "vibevoice": (
        af.presets.vibevoice,
        "VibeVoiceAcousticTokenizerFeatureExtractor",
        {},
        at_a_level,
        24000,
    ),
    "vibevoice-as-it-is": (
        lambda: af.presets.vibevoice(level_db=None),
        "VibeVoiceAcousticTokenizerFeatureExtractor",
        {"normalize_audio": False},
        whole(3200),
        24000,
    ),
    "wavtokenizer": (af.presets.wavtokenizer, "WavTokenizerFeatureExtractor", {}, lambda x: x, 24000),
    "wavtokenizer-level": (
        lambda: af.presets.wavtokenizer(level_db=-3.0),
        "WavTokenizerFeatureExtractor",
        {"normalize_audio": True},
        at_a_peak,
        24000,
    ),
    "pocket_tts": (
        lambda: af.presets.dac(sample_rate=24000, hop_length=1920),
        "PocketTTSFeatureExtractor",
        {"end_on_pause": False},
        whole(1920),
        24000,
    ),
}

CASES = [
    Case(
        name=name,
        preset=preset,
        definition=definition,
        reference=by_class(cls, rate, **settings),
        extractor=extractor(cls, **settings),
        count=(lambda n: -(-n // 1920) * 1920) if name == "pe_audio" else lambda n: n,
        rate=rate,
    )
    for name, (preset, cls, settings, definition, rate) in CODECS.items()
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


@pytest.mark.parametrize("name", CODECS)
def test_lengths_are_those_of_the_mask(name):
    """As many samples as the class counts, in a padded batch; and as many as it gives."""
    preset, cls, settings, _, rate = CODECS[name]
    random = np.random.default_rng(0)
    clips = [0.1 * random.standard_normal(n).astype(np.float32) for n in (2, 1000, 1920, 7001)]
    made = getattr(transformers, cls)(**settings)(list(clips), sampling_rate=rate, return_tensors="pt")
    mask = made["input_values_mask" if "input_values_mask" in made else "padding_mask"]
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips], batch_first=True)
    found = preset()(batch, lengths)
    assert preset().frame_lengths(lengths).tolist() == mask.reshape(4, -1).sum(-1).tolist()
    assert found.shape[-1] == made["input_values"].shape[-1]
    np.testing.assert_allclose(found, made["input_values"].reshape(4, -1), rtol=0, atol=1e-6)


def test_a_loud_peak_is_brought_down():
    x = np.zeros(4000, dtype=np.float32)
    x[1000] = 0.5
    found = af.presets.vibevoice()(torch.from_numpy(x))
    expected = by_class("VibeVoiceAcousticTokenizerFeatureExtractor", 24000)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.max() == pytest.approx(1.0)
    other = af.presets.vibevoice(level_db=-60.0, eps=1e-2, hop_length=100, sample_rate=16000)(torch.from_numpy(x))
    settings = {"target_dB_FS": -60.0, "eps": 1e-2, "pad_to_multiple_of": 100, "sampling_rate": 16000}
    np.testing.assert_allclose(
        other, by_class("VibeVoiceAcousticTokenizerFeatureExtractor", 16000, **settings)(x), rtol=1e-5
    )
    assert other.max() < 0.1


def test_stereo_clips_go_in_chunks():
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 50000)).astype(np.float32)
    settings = {"feature_size": 2, "sampling_rate": 48000, "chunk_length_s": 1.0, "overlap": 0.01}
    made = transformers.EncodecFeatureExtractor(**settings)
    expected = made([x], sampling_rate=48000, return_tensors="pt")["input_values"]
    assert torch.equal(af.presets.from_extractor(made)(torch.from_numpy(x)[None]), expected)


def test_a_clip_of_another_rate_is_refused():
    clip = [(torch.zeros(4000), 16000, 0)]
    presets = (
        af.presets.encodec(), af.presets.mimi(), af.presets.dac(), af.presets.pe_audio(), af.presets.vibevoice(),
        af.presets.wavtokenizer(level_db=-3.0),
    )  # fmt: skip
    for preset in presets:
        assert preset.sample_rate in (24000, 44100, 48000)
        with pytest.raises(ValueError, match="16000"):
            af.GPUSpecCollate(preset, device="cpu")(clip)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.presets.dac(sample_rate=22050), "sample_rate=22050 must be 44100, 24000 or 16000"),
        (lambda: af.presets.encodec(overlap=0.1), "overlap=0.1 must be a share of a chunk"),
        (lambda: af.presets.encodec(chunk_seconds=1.0, overlap=1.5), "overlap=1.5 must be a share of a chunk"),
        (lambda: af.presets.encodec(chunk_seconds=0.0), "chunk_seconds=0.0 must be"),
        (
            lambda: af.presets.from_extractor(transformers.PocketTTSFeatureExtractor()),
            "end_on_pause=True cannot be expressed by a preset.*cut it in the dataset",
        ),
        (
            lambda: af.presets.from_extractor(transformers.DiaFeatureExtractor(feature_size=2)),
            "feature_size=2 cannot be expressed by a preset.*mono=True",
        ),
        (
            lambda: af.presets.from_extractor(transformers.DacFeatureExtractor(padding_value=1.0)),
            "padding_value=1.0 cannot be expressed",
        ),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
