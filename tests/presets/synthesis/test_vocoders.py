"""Log-mel spectrograms of vocoders and of speech synthesis against formulas, torchaudio's and transformers' classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import formulas, public_code

transformers = pytest.importorskip("transformers")


def vocoder(rate, n_fft, hop, n_mels, top, *, low=0.0, floor=1e-5, offset=1e-9):
    """`mel_spectrogram` of HiFi-GAN's meldataset.py, and of the projects that have it."""

    def features(x: np.ndarray) -> np.ndarray:
        side = (n_fft - hop) // 2
        padded = formulas.extended(x, side, side, "reflect")
        spectrum = formulas.spectrum(formulas.cut(padded, n_fft, hop, len(x) // hop) * formulas.hann(n_fft))
        magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + offset)
        filters = public_code.triangles(rate, n_fft, n_mels, low, top, "slaney", area=True)
        return np.log(np.maximum(filters @ magnitude, floor))

    return features


def vocos(*, same: bool):
    def features(x: np.ndarray) -> np.ndarray:
        if same:
            padded = formulas.extended(x, 384, 384, "reflect")
            magnitude = np.abs(formulas.spectrum(formulas.cut(padded, 1024, 256, len(x) // 256) * formulas.hann(1024)))
        else:
            magnitude = np.sqrt(public_code.centered(x, 1024, 256))
        return np.log(np.maximum(public_code.triangles(24000, 1024, 100, 0, 12000, "htk") @ magnitude, 1e-7))

    return features


def vocos_of_torchaudio(*, same: bool):
    def features(x: np.ndarray) -> np.ndarray:
        transforms = pytest.importorskip("torchaudio").transforms
        mel = transforms.MelSpectrogram(24000, n_fft=1024, hop_length=256, n_mels=100, center=not same, power=1)
        waveform = torch.from_numpy(x)[None]
        if same:
            waveform = torch.nn.functional.pad(waveform, (384, 384), mode="reflect")
        return mel(waveform)[0].clamp(min=1e-7).log().numpy()

    return features


def univnet_of_transformers(**settings):
    def features(x: np.ndarray) -> np.ndarray:
        extractor = transformers.UnivNetFeatureExtractor(**settings)
        return extractor(x, sampling_rate=24000, return_noise=False)["input_features"][0].T

    return features


def normalized(x: np.ndarray) -> np.ndarray:
    low, high = -11.512925148010254, 2.3143386840820312
    return 2 * (vocoder(24000, 1024, 256, 100, 12000)(x) - low) / (high - low) - 1


def speecht5(x: np.ndarray) -> np.ndarray:
    magnitude = np.sqrt(public_code.centered(x, 1024, 256))
    filters = public_code.triangles(16000, 1024, 80, 80, 7600, "slaney", area=True)
    return np.log10(np.maximum(filters @ magnitude, 1e-10))


def speecht5_of_transformers(x: np.ndarray) -> np.ndarray:
    extractor = transformers.SpeechT5FeatureExtractor()
    return np.asarray(extractor(audio_target=x, sampling_rate=16000)["input_values"][0]).T


NORMS = 1.0 + np.arange(80) / 40


def clvp(*, norms=None):
    def features(x: np.ndarray) -> np.ndarray:
        x = np.pad(x, (0, max(0, 132300 - len(x))))[:132300]
        filters = public_code.triangles(22050, 1024, 80, 0, 8000, "htk", area=True)
        y = np.log(np.maximum(filters @ public_code.centered(x, 1024, 256), 1e-5))
        return y if norms is None else y / norms[:, None]

    return features


def clvp_of_transformers(**settings):
    def features(x: np.ndarray) -> np.ndarray:
        extractor = transformers.ClvpFeatureExtractor(**settings)
        return np.asarray(extractor([x], sampling_rate=22050)["input_features"][0])

    return features


def resolution(n_fft: int, n_mels: int):
    """One of the spectrograms of DAC's loss."""

    def features(x: np.ndarray) -> np.ndarray:
        magnitude = np.sqrt(public_code.centered(x, n_fft, n_fft // 4))
        filters = public_code.triangles(44100, n_fft, n_mels, 0, 22050, "slaney", area=True)
        return np.log10(np.maximum(filters @ magnitude, 1e-5))

    return features


CASES = [
    *[
        Case(
            name=f"dac_loss-{n_mels}",
            preset=lambda n_mels=n_mels: af.presets.dac_loss()[f"mel_{n_mels}"],
            definition=resolution(n_fft, n_mels),
            count=lambda n, hop=n_fft // 4: 1 + n // hop,
            rate=44100,
            samples=(5001, 9003, 3001),
        )
        for n_fft, n_mels in ((32, 5), (256, 40), (2048, 320))
    ],
    Case(
        name="hifigan",
        preset=af.presets.hifigan,
        definition=public_code.hifi_gan,
        count=lambda n: max(1, n // 256),
        rate=22050,
    ),
    Case(
        name="hifigan-loss",
        preset=lambda: af.presets.hifigan(f_max=None),
        definition=public_code.hifi_gan_loss,
        count=lambda n: max(1, n // 256),
        rate=22050,
    ),
    Case(
        name="bigvgan",
        preset=af.presets.bigvgan,
        definition=vocoder(24000, 1024, 256, 100, 12000),
        count=lambda n: max(1, n // 256),
        rate=24000,
    ),
    Case(
        name="bigvgan-44khz",
        preset=lambda: af.presets.bigvgan(sample_rate=44100, n_fft=2048, hop_length=512, n_mels=128, f_min=20.0),
        definition=vocoder(44100, 2048, 512, 128, 22050, low=20.0),
        count=lambda n: max(1, n // 512),
        rate=44100,
    ),
    Case(
        name="univnet",
        preset=lambda: af.presets.univnet(seconds=10.0),
        definition=vocoder(24000, 1024, 256, 100, 12000),
        reference=univnet_of_transformers(),
        extractor=transformers.UnivNetFeatureExtractor,
        count=lambda n: max(1, n // 256),
        rate=24000,
    ),
    Case(
        name="univnet-normalized",
        preset=lambda: af.presets.univnet(normalize=True, seconds=10.0),
        definition=normalized,
        reference=univnet_of_transformers(do_normalize=True),
        extractor=lambda: transformers.UnivNetFeatureExtractor(do_normalize=True),
        count=lambda n: max(1, n // 256),
        rate=24000,
    ),
    *[
        Case(
            name=f"vocos-{padding}",
            preset=lambda padding=padding: af.presets.vocos(padding=padding),
            definition=vocos(same=padding == "same"),
            reference=vocos_of_torchaudio(same=padding == "same"),
            count=lambda n, same=padding == "same": max(1, n // 256) if same else 1 + n // 256,
            rate=24000,
        )
        for padding in ("center", "same")
    ],
    Case(
        name="tacotron2",
        preset=af.presets.tacotron2,
        definition=public_code.tacotron2,
        count=lambda n: 1 + n // 256,
        rate=22050,
    ),
    Case(
        name="matcha",
        preset=af.presets.matcha,
        definition=public_code.matcha,
        count=lambda n: max(1, n // 256),
        rate=22050,
    ),
    Case(
        name="speecht5",
        preset=af.presets.speecht5,
        definition=speecht5,
        reference=speecht5_of_transformers,
        count=lambda n: 1 + n // 256,
    ),
    *[
        Case(
            name=name,
            preset=lambda settings=settings: af.presets.clvp(**settings),
            definition=clvp(norms=None if not settings else NORMS),
            reference=clvp_of_transformers(**settings),
            extractor=lambda settings=settings: transformers.ClvpFeatureExtractor(**settings),
            count=lambda n: 1 + 132300 // 256,
            rate=22050,
            samples=(22050, 140000, 12001),
        )
        for name, settings in (("clvp", {}), ("clvp-norms", {"mel_norms": NORMS.tolist()}))
    ],
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


def test_univnet_gives_a_clip_other_values_in_a_batch_and_ours_does_not():
    random = np.random.default_rng(0)
    short, long = (0.1 * random.standard_normal(n).astype(np.float32) for n in (3000, 9000))
    extractor = transformers.UnivNetFeatureExtractor()
    alone = extractor(short, sampling_rate=24000, return_noise=False)["input_features"][0]
    together = extractor([short, long], sampling_rate=24000, return_noise=False)["input_features"][0]
    assert np.abs(together[: len(alone)] - alone).max() > 0.1
    preset, batch = af.presets.univnet(), torch.zeros(2, 9000)
    batch[0, :3000], batch[1] = torch.from_numpy(short), torch.from_numpy(long)
    found = preset(batch, torch.tensor([3000, 9000]))
    assert torch.equal(found[0, :, : len(alone)], preset(torch.from_numpy(short)))
    assert not found[0, :, len(alone) :].any()


def test_univnet_cuts_clips_as_its_class_does():
    x = 0.1 * np.random.default_rng(0).standard_normal(250000).astype(np.float32)
    expected = transformers.UnivNetFeatureExtractor()(x, sampling_rate=24000, return_noise=False)["input_features"][0]
    found = af.presets.univnet(seconds=10.0)(torch.from_numpy(x))
    assert found.shape[-1] == len(expected) == 937
    np.testing.assert_allclose(found.numpy(), expected.T, rtol=0, atol=1e-4)
    assert af.presets.univnet()(torch.from_numpy(x)).shape[-1] == 976


def test_settings_of_univnet_arrive_or_are_refused():
    x = 0.1 * np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    settings = {
        "num_mel_bins": 60, "fmin": 50.0, "fmax": 9000.0, "hop_length": 200, "mel_floor": 1e-6,
        "compression_factor": 3.0, "compression_clip_val": 1e-3, "do_normalize": True, "normalize_min": -8.0,
    }  # fmt: skip
    extractor = transformers.UnivNetFeatureExtractor(**settings)
    expected = extractor(x, sampling_rate=24000, return_noise=False)["input_features"][0].T
    np.testing.assert_allclose(af.presets.from_extractor(extractor)(torch.from_numpy(x)), expected, rtol=0, atol=1e-5)
    for name, value in (("center", True), ("win_length", 512), ("win_function", "hamming_window")):
        with pytest.raises(ValueError, match=f"{name}={value!r} cannot be expressed"):
            af.presets.from_extractor(transformers.UnivNetFeatureExtractor(**{name: value}))


@pytest.mark.parametrize("do_normalize", [False, True])
def test_speecht5_gives_waveforms_and_labels(do_normalize):
    extractor = transformers.SpeechT5FeatureExtractor(do_normalize=do_normalize)
    x = 0.1 * np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    expected = extractor(audio=x, audio_target=x, sampling_rate=16000)
    found = af.presets.from_extractor(extractor)(torch.from_numpy(x)[None])
    np.testing.assert_allclose(found["input_values"][0], expected["input_values"][0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["labels"][0], expected["labels"][0].T, rtol=0, atol=2e-5)
    assert torch.equal(found["labels"], af.presets.speecht5()(torch.from_numpy(x)[None]))


def test_settings_of_speecht5_arrive_or_are_refused():
    x = 0.1 * np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    settings = {"num_mel_bins": 40, "fmin": 30, "fmax": 7000, "hop_length": 10, "win_length": 32, "mel_floor": 1e-4}
    extractor = transformers.SpeechT5FeatureExtractor(**settings)
    expected = extractor(audio_target=x, sampling_rate=16000)["input_values"][0].T
    ours = af.presets.speecht5(
        n_mels=40, f_min=30.0, f_max=7000.0, hop_length=160, n_fft=512, floor=1e-4, sample_rate=16000
    )
    for preset in (ours, af.presets.from_extractor(extractor)["labels"]):
        np.testing.assert_allclose(preset(torch.from_numpy(x)), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="n_fft=512 cannot be expressed"):
        af.presets.from_extractor(transformers.SpeechT5FeatureExtractor(win_length=25))


def test_a_loss_of_seven_resolutions():
    """|a - b| is summed up in each, and a padded batch has the loss of its clips."""
    loss, random = af.presets.dac_loss(sample_rate=24000), np.random.default_rng(0)
    assert [(mel.n_fft, mel.n_mels) for mel in loss.values()] == [(32 * 2**i, 5 * 2**i) for i in range(7)]
    assert loss.sample_rate == 24000
    x, y = (torch.from_numpy(0.1 * random.standard_normal((2, 6000))).float() for _ in range(2))
    lengths = torch.tensor([6000, 4000])
    found = [(loss(x, lengths)[name] - loss(y, lengths)[name]).abs().sum() for name in loss]
    expected = [
        sum((loss(x[i, :n])[name] - loss(y[i, :n])[name]).abs().sum() for i, n in enumerate(lengths)) for name in loss
    ]
    torch.testing.assert_close(found, expected)


def test_sizes_and_constants_of_vocoders_arrive():
    x = 0.1 * np.random.default_rng(0).standard_normal(6000)
    waveform = torch.from_numpy(x)
    found = af.presets.hifigan(sample_rate=16000, n_fft=800, hop_length=200, n_mels=60, f_min=40.0, f_max=7000.0)
    np.testing.assert_allclose(found(waveform), vocoder(16000, 800, 200, 60, 7000, low=40.0)(x), rtol=1e-9, atol=1e-11)
    mel = public_code.hifi_gan(x)
    found = af.presets.matcha(mean=-6.630575, std=2.482914)(waveform).numpy()
    np.testing.assert_allclose(found[:, : mel.shape[1]], (mel + 6.630575) / 2.482914, rtol=1e-9, atol=1e-11)
    found = af.presets.vocos(sample_rate=16000, n_fft=512, hop_length=128, n_mels=40)(waveform)
    filters = public_code.triangles(16000, 512, 40, 0, 8000, "htk")
    expected = np.log(np.maximum(filters @ np.sqrt(public_code.centered(x, 512, 128)), 1e-7))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    whole = af.presets.clvp(seconds=None)(waveform)
    assert whole.shape[-1] == 1 + 6000 // 256
    with pytest.raises(ValueError, match="padding='left' must be 'center' or 'same'"):
        af.presets.vocos(padding="left")
