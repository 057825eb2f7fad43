"""Short-time features at a clip's ends: padding as if done beforehand, clips shorter than a frame, and decibels."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.signals import single_noise as noise

MEL = {"sample_rate": 8000, "n_mels": 12}


@pytest.mark.parametrize("pad_mode", ["reflect", "constant", "edge", "wrap"])
@pytest.mark.parametrize(
    ("n_fft", "hop_length"), [(256, 128), (256, 256), (256, 300), (255, 127), (64, 63), (128, 200)]
)
def test_every_frame_is_that_of_a_clip_padded_beforehand(n_fft, hop_length, pad_mode):
    """librosa's last frame is not, with "reflect" and a hop of n_fft / 2 or more."""
    y = np.random.default_rng(0).standard_normal(3001)
    mode = {"edge": "replicate", "wrap": "circular"}.get(pad_mode, pad_mode)
    padded = torch.from_numpy(np.pad(y, n_fft // 2, mode=pad_mode))
    for make in (
        lambda **given: af.STFT(n_fft, **given),
        lambda **given: af.Spectrogram(n_fft, **given),
        lambda **given: af.MelSpectrogram(n_fft=n_fft, norm=None, **MEL, **given),
        lambda **given: af.SpectralCentroid(sample_rate=8000, n_fft=n_fft, **given),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # filters without a bin
            ours = make(hop_length=hop_length, pad_mode=mode)(torch.from_numpy(y))
            expected = make(hop_length=hop_length, center=False)(padded)
        assert ours.shape == expected.shape
        assert float((ours - expected).abs().max()) <= 1e-13 * float(expected.abs().max())


@pytest.mark.parametrize("cls", [af.VQT, af.CQT])
@pytest.mark.parametrize("hop_length", [64, 100, 400])
def test_every_constant_q_frame_is_that_of_a_clip_padded_beforehand(cls, hop_length):
    """By the definition at the full rate, which sees the clip alone."""
    settings = {"sample_rate": 8000, "f_min": 400.0, "n_bins": 14, "hop_length": hop_length, "method": "conv"}
    y = np.random.default_rng(0).standard_normal(5 * 400 + 1)
    whole = hop_length * -(-1000 // hop_length)
    padded = torch.from_numpy(np.pad(y, whole, mode="reflect"))
    ours = cls(**settings, pad_mode="reflect", power=None)(torch.from_numpy(y))
    expected = cls(**settings, power=None)(padded)[:, whole // hop_length :][:, : ours.shape[-1]]
    assert float((ours - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


# ---------------------------------------------------------------- clips shorter than a frame


@pytest.mark.filterwarnings("error:n_fft=")
@pytest.mark.parametrize(
    "make",
    [
        lambda: af.STFT(512),
        lambda: af.LogMelSpectrogram(n_fft=512, **MEL),
        lambda: af.MFCC(n_fft=512, n_mfcc=5, **MEL),
        lambda: af.ReassignedSpectrogram(sample_rate=8000, n_fft=512),
        lambda: af.Tonnetz(sample_rate=8000, n_fft=512),
        lambda: af.Stack(a=af.STFT(512), b=af.Spectrogram(512)),
    ],
)
def test_a_clip_shorter_than_a_frame_is_warned_of(make):
    transform = make()
    rule = "n_fft=512 exceeds the samples of a clip.*use a smaller n_fft"
    with pytest.warns(UserWarning, match=rule) as found:
        transform(noise(2, 511))
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match=rule):
        transform(noise(2, 600), torch.tensor([600, 500]))
    transform(noise(2, 512))
    transform(noise(2, 600), torch.tensor([600, 512]))


def test_a_short_clip_is_warned_of_once_for_each_line():
    transform = af.STFT(512)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for n in (100, 200, 300):
            transform(noise(2, n))
    assert len(found) == 1


def test_a_momentum_above_one_is_warned_of():
    with pytest.warns(UserWarning, match=r"momentum=1\.5 exceeds 1.*use 0\.99 or less"):
        af.GriffinLim(64, momentum=1.5)
    af.GriffinLim(64, momentum=1.0)


# ---------------------------------------------------------------- a range of 0 dB, and whose peak it counts from


def test_a_range_of_zero_decibels_leaves_the_peak_alone():
    librosa = pytest.importorskip("librosa")
    powers = noise(3, 20, 30).square()
    for one in powers:
        ours = af.AmplitudeToDB(top_db=0)(one)
        np.testing.assert_allclose(ours, librosa.power_to_db(one.numpy(), top_db=0), rtol=1e-5)
        assert (ours == ours.max()).all()
    x = noise(2, 4000)
    mel = af.LogMelSpectrogram(n_fft=256, log="db", top_db=0, **MEL)(x)
    assert torch.equal(mel, mel.amax((1, 2), keepdim=True).expand_as(mel))
    # of bands that are all alike a cosine transform leaves the first coefficient alone
    assert af.MFCC(n_fft=256, n_mfcc=3, top_db=0.0, **MEL)(x)[:, 1:].abs().max() <= 1e-4
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match=r"top_db=.* must be a number >= 0, or None"):
            af.AmplitudeToDB(top_db=wrong)


def test_channels_share_the_peak_of_their_clip_and_a_collate_knows_them():
    loud = noise(2, 4000) * torch.tensor([[1.0], [1e-3]])
    mfcc = af.MFCC(n_fft=256, n_mfcc=5, top_db=30.0, **MEL)
    assert not torch.equal(mfcc(loud), mfcc(loud[None])[0])
    for dataset, expected in (([(loud, 0)], mfcc(loud[None])), ([(loud[0], 0), (loud[1], 1)], mfcc(loud))):
        loader = torch.utils.data.DataLoader(dataset, batch_size=2, collate_fn=af.GPUSpecCollate(mfcc))
        torch.testing.assert_close(next(iter(loader)).features, expected)


def test_the_window_of_16_bit_samples_is_kept_as_long_as_it_is_the_same():
    """Scaled once; changed in place, in another dtype, in a copy and in inference mode it is made anew."""
    transform = af.Spectrogram(64, hop_length=16)
    x = (torch.randn(2, 400, generator=torch.Generator().manual_seed(0)) * 3000).to(torch.int16)
    kept, window = transform.analysis(x), transform.analysis(x.float())
    assert transform.analysis(x) is kept
    assert torch.equal(kept, window / 32768)
    with torch.no_grad():
        window.mul_(2)
    assert torch.equal(transform.analysis(x), kept * 2)
    assert pickle.loads(pickle.dumps(transform))._filters._product is None
    transform.double()
    assert transform.analysis(x).dtype == torch.float32
    assert transform.float().analysis(x) is not kept
    with torch.inference_mode():
        made = af.Spectrogram(64, hop_length=16).analysis(x)
    assert not made.is_inference()
    torch.testing.assert_close(af.Spectrogram(64, hop_length=16)(x), transform(x.float() / 32768))
