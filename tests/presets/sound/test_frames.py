"""Front-ends that give patches or frames of samples: VGGish, YAMNet, CREPE; and MusicGen's melody."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import formulas, public_code


def patches(mel: np.ndarray, hop: int) -> np.ndarray:
    """Whole patches of 96 frames.  Shape: (64, frames) -> (96, 64, patches)."""
    count = 1 + (mel.shape[1] - 96) // hop
    return np.stack([mel[:, i * hop : i * hop + 96].T for i in range(count)], axis=-1)


def vggish(x: np.ndarray) -> np.ndarray:
    return patches(public_code.vggish(np.pad(x, (0, max(0, 15600 - len(x))))), 96)


def yamnet(x: np.ndarray) -> np.ndarray:
    """`pad_waveform` of YAMNet, in seconds as it is there, then its patches."""
    least = int((0.96 + 0.025 - 0.010) * 16000)
    padding, n = max(0, least - len(x)), max(len(x), least)
    after_first, hop = n - least, int(0.48 * 16000)
    padding += hop * int(np.ceil(after_first / hop)) - after_first
    return patches(public_code.yamnet(np.pad(x, (0, padding))), 48)


def yamnet_count(n: int) -> int:
    return 1 + max(0, -(-(n - 15600) // 7680))


def crepe(hop: int = 160, *, center: bool = True, ddof: int = 0):
    def frames(x: np.ndarray) -> np.ndarray:
        if center:
            x = np.pad(x, 512)
        found = np.stack([x[i : i + 1024] for i in range(0, len(x) - 1023, hop)])
        found = found - found.mean(axis=1, keepdims=True)
        return (found / np.clip(found.std(axis=1, ddof=ddof, keepdims=True), 1e-8, None)).T

    return frames


PATCHES = {"samples": (16000, 48123, 9001), "counts": range(1, 64000, 777)}

CASES = [
    Case(
        name="vggish",
        preset=af.presets.vggish,
        definition=vggish,
        count=lambda n: max(1, (1 + (n - 400) // 160) // 96),
        **PATCHES,
    ),
    Case(
        name="yamnet",
        preset=af.presets.yamnet,
        definition=yamnet,
        count=yamnet_count,
        **PATCHES,
    ),
    *[
        Case(
            name=f"{name}-frames",
            preset=lambda name=name: getattr(af.presets, name)(patches=False),
            definition=getattr(public_code, name),
            count=lambda n: max(1, 1 + (n - 400) // 160),
        )
        for name in ("vggish", "yamnet")
    ],
    Case(
        name="crepe",
        preset=af.presets.crepe,
        definition=crepe(),
        count=lambda n: 1 + n // 160,
    ),
    Case(
        name="crepe-start",
        preset=lambda: af.presets.crepe(hop_length=100, center=False, unbiased=True),
        definition=crepe(100, center=False, ddof=1),
        count=lambda n: max(1, 1 + (n - 1024) // 100),
    ),
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


def test_patches_of_a_batch_come_in_the_layout_of_the_models():
    clips = [torch.from_numpy(0.1 * np.random.default_rng(n).standard_normal(n)).float() for n in (50000, 20000)]
    for preset in (af.presets.vggish(), af.presets.yamnet()):
        batch = af.GPUSpecCollate(preset, device="cpu")([(clip, 16000, 0) for clip in clips])
        examples = batch.features.movedim(-1, 1)[batch.feature_mask]
        expected = torch.cat([preset(clip).movedim(-1, 0) for clip in clips])
        assert examples.shape == (int(batch.feature_lengths.sum()), 96, 64)
        assert torch.equal(examples, expected)
    batch = af.GPUSpecCollate(af.presets.crepe(), device="cpu")([(clip, 16000, 0) for clip in clips])
    assert batch.features.mT[batch.feature_mask].shape == (int(batch.feature_lengths.sum()), 1024)


def test_a_frame_of_silence_is_silence():
    x = torch.zeros(4000)
    x[:1000] = 0.3
    found = af.presets.crepe()(x)
    assert torch.isfinite(found).all()
    assert not found[:, 12:].any()


# ---------------------------------------------------------------- MusicGen's melody


def chroma(x: np.ndarray) -> np.ndarray:
    """librosa's filters, in float64, over the power of 16,384 points."""
    librosa = pytest.importorskip("librosa")
    if len(x) < 16384:
        more = 16384 - len(x)
        x = np.pad(x, (more // 2, more - more // 2))
    filters = librosa.filters.chroma(sr=32000, n_fft=16384, tuning=0.0, n_chroma=12, dtype=np.float64)
    return filters @ public_code.centered(x[:960000], 16384, 4096)


def melody(x: np.ndarray) -> np.ndarray:
    return np.eye(12)[chroma(x).argmax(axis=0)].T


def melody_of_transformers(x: np.ndarray) -> np.ndarray:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torchaudio")
    made = transformers.MusicgenMelodyFeatureExtractor()(x, sampling_rate=32000, return_tensors="pt")
    return made["input_features"][0].T.numpy()


def made_by_transformers(**settings):
    pytest.importorskip("torchaudio")
    return pytest.importorskip("transformers").MusicgenMelodyFeatureExtractor(**settings)


MELODY = Case(
    name="musicgen_melody",
    preset=af.presets.musicgen_melody,
    definition=melody,
    reference=melody_of_transformers,
    extractor=made_by_transformers,
    count=lambda n: 1 + max(16384, min(n, 960000)) // 4096,
    rate=32000,
    samples=(70000, 90001, 9000),
    counts=[*range(1, 4000, 13), *range(10000, 1000000, 12345)],
)
CHROMA = Case(
    name="musicgen_melody-chroma",
    preset=lambda: af.presets.musicgen_melody(one_hot=False, seconds=2.0),
    definition=lambda x: chroma(x[:64000]) / chroma(x[:64000]).max(axis=0).clip(1e-300),
    count=lambda n: 1 + max(16384, min(n, 64000)) // 4096,
    rate=32000,
    samples=(70000, 60001, 9000),
)


@pytest.mark.parametrize("check", [check for check in comparison.CHECKS if check is not comparison.gradients])
def test_melody(check):
    check(MELODY)


@pytest.mark.parametrize("check", comparison.CHECKS)
def test_chroma(check):
    check(CHROMA)


def test_a_melody_in_a_batch_of_transformers_depends_on_the_longest():
    """The end of a clip is mirrored into silence, or is not; ours is that of the clip."""
    made = made_by_transformers()
    # around the end one tone is odd and the other even: which is stronger in the last frame depends on what follows
    clips = []
    for n in (40960, 49152, 100000):
        t = (np.arange(n) - n + 1) / 32000
        clips.append((0.5 * np.sin(2 * np.pi * 440 * t) + 0.465 * np.cos(2 * np.pi * 523.25 * t)).astype(np.float32))
    alone = [made(clip, sampling_rate=32000, return_tensors="pt")["input_features"][0] for clip in clips]
    together = made(clips, sampling_rate=32000, return_tensors="pt")["input_features"]
    assert not all(torch.equal(row[: len(one)], one) for row, one in zip(together, alone, strict=True))
    preset, lengths = af.presets.musicgen_melody(), torch.tensor([len(clip) for clip in clips])
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips], batch_first=True)
    for row, one in zip(preset(batch, lengths), alone, strict=True):
        assert torch.equal(row[:, : len(one)].T, one)
        assert not row[:, len(one) :].any()


def test_settings_of_a_melody_are_refused_or_arrive():
    with pytest.raises(ValueError, match=r"padding_value=1\.0 cannot be expressed"):
        af.presets.from_extractor(made_by_transformers(padding_value=1.0))
    x = formulas.hann(30000).astype(np.float32) * np.sin(np.arange(30000) / 7).astype(np.float32)
    made = made_by_transformers(n_fft=8192, hop_length=2048, chunk_length=1, sampling_rate=16000)
    expected = made(x, sampling_rate=16000, return_tensors="pt")["input_features"][0].T
    assert torch.equal(af.presets.from_extractor(made)(torch.from_numpy(x)), expected)
