"""FilterJitter: each clip as its transform with the drawn limits computes it; FrequencyShift: bins moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import audiofeed as af
from audiofeed.augment import Clips, Compose, FilterJitter, FrequencyShift, Sometimes
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.spectra.filter_jitter import Jittered, OwnFilters
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from benchmarks.device.determinism import Refused, deterministic
from tests.augment.sounds import Clicks
from tests.transforms.contract.fake_device import needs_cuda_build

RATE = 16_000
SPECTRUM = {"sample_rate": RATE, "n_fft": 400, "hop_length": 160, "n_mels": 40}
F_MIN, F_MAX = (0.0, 90.0), (-2000.0, 500.0)
N = 2000


def jitter(**settings) -> FilterJitter:
    return FilterJitter(f_min=F_MIN, f_max=F_MAX, **settings)


def clips(batch=5, dtype=torch.float32, channels=()) -> Clips:
    lengths = torch.tensor([8000, 3210, 400, 8000, 777][:batch])
    noise = 0.1 * torch.randn(batch, *channels, 8000, generator=torch.Generator().manual_seed(0))
    place = torch.arange(8000) < lengths.view(-1, *[1] * len(channels), 1)
    waveforms = torch.where(place, noise, 0).to(torch.float32)
    waveforms = (waveforms * 32768).to(torch.int16) if dtype == torch.int16 else waveforms.to(dtype)
    return Clips(waveforms, lengths, torch.arange(batch), RATE)


def limits(seeds, augmentation):
    draws = Draws(seeds, "FilterJitter")
    active = draws.chosen(augmentation.p)
    low, high = draws.uniform(*augmentation.f_min), draws.uniform(*augmentation.f_max)
    return [(float(a), float(b)) if on else (0.0, 0.0) for on, a, b in zip(active, low, high, strict=True)]


TRANSFORMS = {
    "mel": lambda low=0.0, high=0.0: af.MelSpectrogram(**SPECTRUM, f_min=20.0 + low, f_max=7500.0 + high),
    "log-mel": lambda low=0.0, high=0.0: af.LogMelSpectrogram(
        **SPECTRUM, f_min=20.0 + low, f_max=7500.0 + high, log="db", top_db=30.0
    ),
    "Kaldi": lambda low=0.0, high=0.0: af.LogMelSpectrogram(
        **SPECTRUM, f_min=20.0 + low, f_max=7500.0 + high, mel_scale="kaldi", norm=None, power=1.0
    ),
    "MFCC": lambda low=0.0, high=0.0: af.MFCC(**SPECTRUM, f_min=20.0 + low, f_max=7500.0 + high, mel_scale="htk"),
    "chain": lambda low=0.0, high=0.0: af.Chain(
        af.PreEmphasis(),
        af.LogMelSpectrogram(**SPECTRUM, f_min=20.0 + low, f_max=7500.0 + high, floor=1e-5),
        af.Normalize(-4.0, 4.0),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.float64])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_clip_is_as_the_transform_of_its_limits_computes_it_alone(name, dtype):
    if name == "chain" and dtype == torch.int16:
        pytest.skip("pre-emphasis takes no int16")
    given, augmentation = clips(dtype=dtype), jitter(p=0.7)
    transform = TRANSFORMS[name]()
    found = augmentation.around(transform, given)(given.waveforms, given.lengths)
    plain = transform(given.waveforms, given.lengths)
    assert found.shape == plain.shape
    assert found.dtype == plain.dtype
    drawn = limits(given.seeds, augmentation)
    # torch's products have other bits for other shapes; a kernel's values depend on nothing else
    exact, most = name != "MFCC" and dtype != torch.float64, 1e-12 if dtype == torch.float64 else 1e-5
    assert 0 < sum(pair == (0.0, 0.0) for pair in drawn) < 5
    for row, (low, high) in enumerate(drawn):
        frames = int(transform.frame_lengths(given.lengths)[row])
        alone = TRANSFORMS[name](low, high)(given.waveforms[row, : given.lengths[row]])
        if exact:
            assert torch.equal(found[row, :, :frames], alone)
        assert (found[row, :, :frames] - alone).abs().max() <= most * alone.abs().max()
        assert not found[row, :, frames:].any()
        moved = (found[row] - plain[row]).abs().max() > 100 * most * alone.abs().max()
        assert moved == ((low, high) != (0.0, 0.0))


@pytest.mark.parametrize("name", ["mel", "log-mel", "Kaldi", "MFCC"])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_all_at_once_as_one_by_one(name, channels):
    """What a GPU does: one product for the batch. In float64 there is nothing but rounding between the two."""
    for dtype, most in ((torch.float64, 1e-11), (torch.float32, 2e-5)):
        given = clips(dtype=dtype, channels=channels)
        inner = jitter().around(TRANSFORMS[name](), given).inner
        assert isinstance(inner, OwnFilters)
        ours = inner(given.waveforms, given.lengths)
        theirs = inner._at_once(given.waveforms, given.lengths)
        scale = ours.abs().max() if name in ("mel",) else ours.abs().max().clamp_min(1)
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= most * scale


def test_filters_of_a_batch_are_those_of_their_definition():
    given = clips()
    for name in ("mel", "Kaldi", "MFCC"):
        for norm in ("slaney", None, 1.0, 2, float("inf")):
            if name == "Kaldi" and norm is not None:
                continue
            key = "mel_norm" if name == "MFCC" else "norm"
            settings = {**SPECTRUM, "f_min": 20.0, "f_max": 7500.0, key: norm}
            kind = af.MFCC if name == "MFCC" else af.MelSpectrogram
            scale = {"mel": "slaney", "Kaldi": "kaldi", "MFCC": "htk"}[name]
            inner = jitter().around(kind(**settings, mel_scale=scale), given).inner
            for weights, (low, high) in zip(inner.weights(), limits(given.seeds, jitter()), strict=True):
                defined = mel_filterbank(
                    sample_rate=RATE,
                    n_fft=400,
                    n_mels=40,
                    f_min=20 + low,
                    f_max=7500 + high,
                    mel_scale=scale,
                    norm=norm,
                )
                assert np.abs(weights.numpy() - defined).max() <= 1e-12 * defined.max()


def test_a_stack_has_the_same_limits_in_each_member():
    given = clips()
    stack = af.Stack(mel=TRANSFORMS["mel"](), chain=TRANSFORMS["chain"](), power=af.Spectrogram(400, hop_length=160))
    jittered = jitter().around(stack, given)
    found = jittered(given.waveforms, given.lengths)
    for name in ("mel", "chain"):
        alone = jitter().around(TRANSFORMS[name](), given)(given.waveforms, given.lengths)
        assert torch.equal(found[name], alone)
    assert torch.equal(found["power"], stack(given.waveforms, given.lengths)["power"])
    assert jittered["mel"] is stack["mel"]


def test_limits_are_uniform_and_each_clip_s_own():
    given = Clips(torch.zeros(N, 1), torch.ones(N, dtype=torch.int64), torch.arange(N), RATE)
    inner = jitter().around(TRANSFORMS["mel"](), given).inner
    for values, (low, high) in ((inner.low, F_MIN), (inner.high, F_MAX)):
        assert low <= values.min() < low + (high - low) / 100
        assert high - (high - low) / 100 < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 4 * (high - low) / 12**0.5 / N**0.5
    assert abs(np.corrcoef(inner.low, inner.high)[0, 1]) < 0.1
    assert len(set(inner.low.tolist())) == N


@pytest.mark.parametrize("settings", [{}, {"padding": "silence"}, {"layout": "frames_bins"}, {"pad_to": 6000}])
@pytest.mark.parametrize("name", ["log-mel", "chain"])
def test_a_collate_takes_it_with_targets_in_time(name, settings):
    dataset = Clicks(step=700)
    mel = {"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 16, "f_max": 3000.0}
    transform = af.LogMelSpectrogram(**mel)
    if name == "chain":
        transform = af.Chain(af.PreEmphasis(), transform, af.Normalize(-4.0, 4.0))
    augment = Compose([Sometimes(FilterJitter(f_max=(-800, 900)), p=0.8)])
    items = [dataset[i] for i in range(6)]
    batch = af.GPUSpecCollate(transform, device="cpu", augment=augment, **settings)(items)
    plain = af.GPUSpecCollate(transform, device="cpu", **settings)(items)
    assert batch.features.shape == plain.features.shape
    assert torch.equal(batch.targets, plain.targets)
    assert torch.equal(batch.feature_lengths, plain.feature_lengths)
    features, others = batch.features, plain.features
    if settings.get("layout"):
        features, others = features.transpose(1, 2), others.transpose(1, 2)
    if settings.get("padding") == "silence":
        past = ~batch.feature_mask[:, None].expand_as(features)
        assert torch.equal(features[past], others[past])
    assert not torch.equal(features, others)
    again = af.GPUSpecCollate(transform, device="cpu", augment=augment, **settings)(items[2:3])
    frames = int(again.feature_lengths[0])
    if settings.get("layout"):
        assert torch.equal(again.features[0, :frames], batch.features[2, :frames])
    elif not settings.get("pad_to"):
        assert torch.equal(again.features[0, :, :frames], batch.features[2, :, :frames])


def test_it_follows_gradients_and_is_off_in_evaluation():
    given = clips()
    transform = TRANSFORMS["log-mel"]()
    waveforms = given.waveforms.clone().requires_grad_()
    jitter().around(transform, given)(waveforms, given.lengths).sum().backward()
    assert waveforms.grad.isfinite().all()
    assert waveforms.grad.flatten(1).abs().sum(1).gt(0).all()
    assert jitter().eval().around(transform, given) is transform
    assert jitter(p=0.0).around(transform, given) is transform
    none = torch.zeros(5, dtype=torch.bool)
    assert jitter().around(transform, given, none) is transform
    jittered = jitter().around(transform, given)
    assert isinstance(jittered, Jittered)
    assert torch.equal(jittered.frequencies, transform.frequencies)
    assert jittered.sample_rate == RATE
    assert torch.equal(jittered.centers(4), transform.centers(4))


@needs_cuda_build
@pytest.mark.parametrize("name", ["mel", "log-mel", "Kaldi", "MFCC", "chain"])
def test_nothing_is_read_back_from_a_device(name):
    """Nor is anything of the CPU's taken, or an operation that torch refuses for the same bits in every run."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        transform = TRANSFORMS[name]().to("cuda")
        fake = Clips(
            torch.empty(5, 8000, device="cuda"),
            torch.empty(5, dtype=torch.int64, device="cuda"),
            torch.empty(5, dtype=torch.int64, device="cuda"),
            RATE,
        )
        with deterministic(), Refused() as refused:
            found = jitter(p=0.7).around(transform, fake)(fake.waveforms, fake.lengths)
            refused.look_back((found,))
        assert refused.names == set()
        assert found.device.type == "cuda"
        assert found.shape == (5, 20 if name == "MFCC" else 40, 51)


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (lambda: af.Spectrogram(400), TypeError, r"works with transforms of mel filters .*; Spectrogram is none"),
        (
            lambda: af.MelSpectrogram(**SPECTRUM, trainable_mel=True),
            TypeError,
            r"MelSpectrogram is none, or its filters",
        ),
        (lambda: af.Chain(af.Spectrogram(400), af.AmplitudeToDB()), TypeError, r"Chain is none"),
        (
            lambda: af.MelSpectrogram(sample_rate=RATE, n_fft=4, filters=np.ones((2, 3))),
            TypeError,
            r"filters were given \(filters=\)",
        ),
        (
            lambda: af.MelSpectrogram(**SPECTRUM),
            ValueError,
            r"f_max=\(-2000.0, 500.0\) make limits from 0..90 to 6000..8500 Hz of MelSpectrogram.* up to 8000 Hz",
        ),
        (lambda: af.MelSpectrogram(**SPECTRUM, f_min=1000.0, f_max=3050.0), ValueError, r"the lower below the upper"),
    ],
)
def test_what_it_cannot_do_is_said(transform, error, message):
    with pytest.raises(error, match=message):
        jitter().around(transform(), clips())


def test_it_is_one_of_a_transform_and_not_of_clips():
    with pytest.raises(TypeError, match=r"FilterJitter changes \['features'\]"):
        jitter()(torch.ones(2, 8))
    with pytest.raises(TypeError, match=r"augments the filters of a transform, and not clips"):
        jitter()(clips())
    given = clips()
    twice = jitter().around(TRANSFORMS["mel"](), given)
    with pytest.raises(TypeError, match=r"or are jittered already"):
        jitter().around(twice, given)
    with pytest.raises(ValueError, match=r"shape \(2, 8000\) is not of the 5 clips"):
        twice(given.waveforms[:2], given.lengths[:2])
    with pytest.raises(ValueError, match=r"f_min='a' must be a number of Hz, or a range"):
        FilterJitter(f_min="a")
    with pytest.raises(ValueError, match=r"f_max=\(5, 1\) must be"):
        FilterJitter(f_max=(5, 1))
    assert repr(jitter(p=0.5)) == "FilterJitter(f_min=(0.0, 90.0), f_max=(-2000.0, 500.0), p=0.5)"


# ---------------------------------------------------------------- FrequencyShift


def features_of(frames, bins=12, size=30, channels=()):
    batch = len(frames)
    values = torch.randn(batch, *channels, bins, size, generator=torch.Generator().manual_seed(3))
    nothing = torch.zeros(batch, 0)
    return Clips(nothing, torch.zeros(batch, dtype=torch.int64), torch.arange(batch), features=values).with_values(
        feature_lengths=torch.tensor(frames)
    )


@pytest.mark.parametrize("fill", ["edge", "zero", "mean", -7.0])
def test_bins_are_moved_and_filled(fill):
    given = features_of([30, 11, 1, 30], channels=(2,))
    augmentation = FrequencyShift((-5, 5), fill=fill)
    after = augmentation.run(given).features
    draws = Draws(given.seeds, "FrequencyShift")
    draws.chosen(1.0)
    shifts = augmentation.drawn(draws).tolist()
    assert len(set(shifts)) > 1
    for row, (frames, shift) in enumerate(zip([30, 11, 1, 30], shifts, strict=True)):
        own = given.features[row, ..., :frames].numpy()
        expected = np.empty_like(own)
        for place in range(12):
            source = place - shift
            if 0 <= source < 12:
                expected[:, place] = own[:, source]
            elif fill == "edge":
                expected[:, place] = own[:, min(max(source, 0), 11)]
            else:
                expected[:, place] = {"zero": 0.0, "mean": own.astype(np.float64).mean()}.get(fill, fill)
        assert np.allclose(after[row, ..., :frames].numpy(), expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(after[row, ..., frames:], given.features[row, ..., frames:])


def test_each_shift_is_as_likely():
    given = Clips(torch.zeros(N, 0), torch.zeros(N, dtype=torch.int64), torch.arange(N))
    given = given.with_values(features=torch.eye(9)[4].expand(N, 9)[..., None].clone())
    after = FrequencyShift((-3, 4), fill="zero").run(given).features
    counts = torch.bincount(after[..., 0].argmax(1), minlength=9).double()
    assert counts[0] == 0
    assert ((counts[1:] - N / 8) ** 2 / (N / 8)).sum() < 24.3  # 7 degrees of freedom: once in a thousand


def test_a_shift_of_a_constant_q_transform_is_a_transposition():
    cqt = af.CQT(sample_rate=RATE, n_bins=48, hop_length=512, f_min=110.0)
    time = torch.arange(RATE) / RATE
    tone, higher = (torch.sin(2 * torch.pi * 220 * 2 ** (steps / 12) * time)[None] for steps in (0, 3))
    moved = FrequencyShift(3, fill="zero")(cqt(tone))
    assert torch.equal(moved[0, :, 8:24].argmax(0), cqt(higher)[0, :, 8:24].argmax(0))


@pytest.mark.parametrize("bins", [1.5, (1,), (3, 1), "a", (True, 2), (0.0, 2)])
def test_wrong_bins_are_named(bins):
    with pytest.raises(ValueError, match=r"bins=.* must be an integer, or a range \(lowest, highest\)"):
        FrequencyShift(bins)
    with pytest.raises(ValueError, match=r"fill='nearest' must be 'edge', 'zero', 'mean', or a finite number"):
        FrequencyShift(fill="nearest")
