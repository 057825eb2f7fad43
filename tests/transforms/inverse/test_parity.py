"""The inverse transforms against librosa 0.11, scipy and torchaudio.

Inverse STFT: float64 at 1e-10 relative L2. In float32 a sample is a sum over a few frames of an irfft and a division by
the overlapped squared window: some thirty roundings of 6e-8, 2e-6, grown by at most 1 / sqrt(cover) where a sample is
barely covered; covers of 0.1 and more are drawn, and 0.3 of 2e-6 stays within 1e-5.

Phase vocoder: librosa adds up the advance of a steady tone, up to pi * hop a frame; after T frames its sum of up to
pi * hop * T has an ulp of 2.2e-16 of itself, and T roundings of it: 2.2e-16 * pi * 256 * 80^2 = 1e-9 radians, so that
float64 is compared at 1e-8. Ours in float32: the phase of a frame is right to half an ulp of pi (1.2e-7), and an
advance has two of them; T of them add up to sqrt(2 T) 1.2e-7 = 1.5e-6 by chance: 5e-6.
"""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.optimize
import soundfile
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.inverse.synthesis import least_cover
from audiofeed.signal.windows import get_window
from audiofeed.transforms import STFT
from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from tests.oracle import COMPAT, NEW, relative_error
from tests.recordings import FSDD

WINDOWS = ["hann", "hamming", "blackman", "boxcar", "nuttall", ("kaiser", 8.6), ("tukey", 0.4)]


def complex_noise(*shape, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal(shape) + 1j * random.standard_normal(shape)


@st.composite
def invertible(draw):
    n_fft = draw(st.one_of(st.integers(4, 300), st.sampled_from([400, 441, 512])))
    win_length = draw(st.integers(max(3, n_fft // 3), n_fft))
    window = draw(st.sampled_from(WINDOWS))
    samples = get_window(window, win_length)
    hops = [h for h in {1, win_length // 8, win_length // 4, win_length // 3, win_length // 2, win_length} if h]
    hop = draw(st.sampled_from(sorted(h for h in hops if least_cover(samples, h) > 0.1)))
    return {"n_fft": n_fft, "hop_length": hop, "win_length": win_length, "window": window}


@pytest.mark.parametrize("method", ["fft", "conv"])
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    config=invertible(),
    center=st.booleans(),
    frames=st.integers(2, 30),
    asked=st.one_of(st.none(), st.integers(1, 900)),
)
def test_inverse_stft_equals_librosa(method, config, center, frames, asked):
    """Of any spectrum, also one that no signal has."""
    spectrum = complex_noise(2, config["n_fft"] // 2 + 1, frames, seed=frames)
    expected = librosa.istft(spectrum, **config, center=center, length=asked)
    inverse = InverseSTFT(**config, center=center, method=method)
    # the feet of the first and last windows, where librosa divides by what float32 cannot tell from 0
    sums = librosa.filters.window_sumsquare(n_frames=frames, dtype=np.float64, **config)
    sums = np.pad(sums[config["n_fft"] // 2 if center else 0 :], (0, 1000))[: expected.shape[-1]]
    for dtype, least, tolerance in ((torch.complex128, 1e-9, 1e-10), (torch.complex64, 0.09, 1e-5)):
        ours = inverse(torch.from_numpy(spectrum).to(dtype), asked).numpy()
        assert ours.shape == expected.shape
        there = sums > least
        assert relative_error(ours[:, there], expected[:, there]) <= tolerance


def test_inverse_stft_equals_librosa_to_the_last_sample_of_the_defaults():
    for center in (True, False):
        spectrum = complex_noise(1025, 12)
        ours = InverseSTFT(center=center)(torch.from_numpy(spectrum)).numpy()
        assert relative_error(ours, librosa.istft(spectrum, center=center)) <= 1e-10


# ---------------------------------------------------------------- Griffin-Lim


def missing(y, magnitude, config):
    """How far the magnitudes of a signal are from those it was made of, relative."""
    return relative_error(np.abs(librosa.stft(np.asarray(y, dtype=np.float64), **config)), magnitude)


def compare(signals, config):
    """Mean of what is missing after 32 iterations, ours and librosa's, of the same magnitudes."""
    ours, theirs = [], []
    for seed, y in enumerate(signals):
        magnitude = np.abs(librosa.stft(y, **config))
        found = GriffinLim(**config, seed=seed)(torch.from_numpy(magnitude), len(y))
        ours.append(missing(found, magnitude, config))
        reference = librosa.griffinlim(
            magnitude, n_iter=32, **config, length=len(y), dtype=np.float64, **{"rng" if NEW else "random_state": seed}
        )
        theirs.append(missing(reference, magnitude, config))
    return np.mean(ours), np.mean(theirs)


@pytest.mark.parametrize("n_fft", [256, 512])
def test_griffin_lim_comes_as_near_as_librosa_on_speech(n_fft):
    if not (FSDD / "recordings").is_dir():
        pytest.skip(f"no {FSDD}/recordings; set AUDIOFEED_FSDD to the dataset's folder")
    paths = sorted((FSDD / "recordings").glob("*_[01].wav"))[::10]
    ours, theirs = compare([soundfile.read(path)[0] for path in paths], {"n_fft": n_fft, "hop_length": n_fft // 4})
    assert ours <= theirs, f"ours {ours:.4f}, librosa {theirs:.4f}"


def harmonics(seed):
    """A gliding tone with overtones, and a little noise."""
    random = np.random.default_rng(seed)
    pitch = 120 * 2 ** (np.linspace(0, random.uniform(-1, 1), 6000))
    phase = 2 * np.pi * np.cumsum(pitch) / 8000
    tone = sum(np.cos(k * phase) / k for k in range(1, 12))
    return tone * np.hanning(6000) + 0.01 * random.standard_normal(6000)


def test_griffin_lim_comes_as_near_as_librosa_on_harmonics():
    ours, theirs = compare([harmonics(seed) for seed in range(5)], {"n_fft": 512, "hop_length": 128})
    assert ours <= theirs, f"ours {ours:.4f}, librosa {theirs:.4f}"


@pytest.mark.parametrize(("momentum", "iterations"), [(0.0, 12), (0.99, 6)])
def test_griffin_lim_is_librosas_to_the_last_digit_from_the_same_phases(momentum, iterations):
    """Without random phases both are one algorithm; iterations amplify rounding, which is why there are few."""
    y = harmonics(0)
    config = {"n_fft": 512, "hop_length": 128}
    magnitude = np.abs(librosa.stft(y, **config))
    expected = librosa.griffinlim(
        magnitude, n_iter=iterations, momentum=momentum, init=None, dtype=np.float64, **config
    )
    ours = GriffinLim(**config, n_iter=iterations, momentum=momentum, rand_init=False)(torch.from_numpy(magnitude))
    assert relative_error(ours.numpy(), expected) <= 1e-8


# ---------------------------------------------------------------- time stretching


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    n_fft=st.integers(2, 256),
    hop=st.integers(1, 256),
    frames=st.integers(1, 80),
    rate=st.one_of(st.floats(0.25, 4.0), st.sampled_from([0.5, 0.7, 1.0, 1.1, 2.0, 3.0])),
)
def test_time_stretch_equals_librosa_whatever_the_hop(n_fft, hop, frames, rate):
    if frames / rate > 80:
        rate = 1.0 + rate
    spectrum = complex_noise(2, n_fft // 2 + 1, frames, seed=frames)
    if NEW:
        # of one frame it makes NaN, and it refuses a last time that rounding puts at the end
        assume(frames > 1 and np.arange(0.0, frames, rate)[-1] < frames)
        expected = librosa.phase_vocoder(spectrum, rate=rate)
    else:
        expected = librosa.phase_vocoder(spectrum, rate=rate, hop_length=hop, n_fft=n_fft)
    transform = TimeStretch(rate, compat=COMPAT)
    for dtype, tolerance in ((torch.complex128, 1e-8), (torch.complex64, 5e-6)):
        ours = transform(torch.from_numpy(spectrum).to(dtype))
        assert ours.shape == expected.shape
        assert transform.frame_lengths(torch.tensor(frames)) == expected.shape[-1]
        assert relative_error(ours.numpy(), expected) <= tolerance


@pytest.mark.parametrize(("frames", "rate"), [(9, 1 / (5 / 9)), (18, 1 / (10 / 18))])
def test_a_last_frame_that_rounding_puts_past_the_end_is_librosas(frames, rate):
    """ceil(frames / rate) counts a frame whose place, rounded, is past the last of the input: silence in librosa 0.11.

    librosa 1.0 refuses it; the magnitudes go on in a straight line, as they do up to there.
    """
    spectrum = complex_noise(5, frames)
    older = TimeStretch(rate, compat="librosa-0.11")(torch.from_numpy(spectrum)).numpy()
    newest = TimeStretch(rate)(torch.from_numpy(spectrum)).numpy()
    assert int((older.shape[-1] - 1) * rate) == frames
    assert not older[:, -1].any()
    magnitude = np.abs(spectrum)
    np.testing.assert_allclose(np.abs(newest[:, -1]), np.abs(2 * magnitude[:, -1] - magnitude[:, -2]), rtol=1e-9)
    if NEW:
        with pytest.raises(librosa.ParameterError):
            librosa.phase_vocoder(spectrum, rate=rate)
        return
    expected = librosa.phase_vocoder(spectrum, rate=rate, hop_length=2, n_fft=8)
    assert older.shape == expected.shape
    assert relative_error(older, expected) <= 1e-8


@pytest.mark.parametrize(("frames", "rate"), [(20, 1.3), (20, 0.4), (2, 0.3), (7, 0.9), (9, 4.0)])
def test_the_last_frame_of_both_librosas(frames, rate):
    """By the definitions: 1.0 goes on as between the last two frames, phases standing still; 0.11 goes to silence."""
    spectrum = complex_noise(5, frames)
    times = np.arange(0.0, frames, rate)
    magnitude, phase = np.abs(spectrum), np.angle(spectrum)
    found = {}
    for compat, past, stands in (
        ("librosa-1.0", 2 * magnitude[:, -1] - magnitude[:, -2], phase[:, -1]),
        ("librosa-0.11", np.zeros(5), np.zeros(5)),
    ):
        sizes, phases = np.c_[magnitude, past], np.c_[phase, stands]
        index = times.astype(int)
        walked = np.cumsum(np.c_[phase[:, :1], np.diff(phases)[:, index[:-1]]], axis=1)
        part = times - index
        expected = ((1 - part) * sizes[:, index] + part * sizes[:, index + 1]) * np.exp(1j * walked)
        found[compat] = TimeStretch(rate, compat=compat)(torch.from_numpy(spectrum)).numpy()
        assert relative_error(found[compat], expected) <= 1e-12
    inside = int((times <= frames - 1).sum())
    np.testing.assert_allclose(found["librosa-1.0"][:, :inside], found["librosa-0.11"][:, :inside], rtol=1e-9)


@pytest.mark.skipif(not NEW, reason="librosa takes t_out from 1.0 on")
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(frames=st.integers(2, 40), n=st.integers(1, 60), seed=st.integers(0, 99))
def test_a_varying_rate_equals_librosa(frames, n, seed):
    spectrum = complex_noise(2, 9, frames, seed=seed)
    times = np.sort(np.random.default_rng(seed).uniform(0, frames, n))
    expected = librosa.phase_vocoder(spectrum, t_out=times)
    for dtype, tolerance in ((torch.complex128, 1e-10), (torch.complex64, 1e-5)):
        ours = TimeStretch()(torch.from_numpy(spectrum).to(dtype), t_out=torch.from_numpy(times)).numpy()
        assert relative_error(ours, expected) <= tolerance


def test_phases_of_a_long_clip_do_not_drift():
    """A tone of just under half a turn a frame, read at twice the speed: every step advances, and none wraps back.

    Their sum of 30,000 radians is right to 0.002 in float32. In float32 input each of 10,000 steps has the rounding of
    two phases of up to pi, 1.2e-7 each: 2e-5 by chance.
    """
    turned = np.pi * (1 - 1 / 20_000) * torch.arange(20_000, dtype=torch.float64)
    tone = torch.polar(torch.ones_like(turned), turned)
    expected = tone[None, :10_000].numpy()
    for dtype, tolerance in ((torch.complex128, 1e-8), (torch.complex64, 2e-5)):
        assert relative_error(TimeStretch(2.0)(tone[None].to(dtype)).numpy(), expected) <= tolerance


@pytest.mark.torchaudio
def test_time_stretch_equals_torchaudio_in_float64_and_keeps_its_phases_in_float32():
    """torchaudio adds up whole turns: after 400 frames float32 has lost three more digits of the phase than ours."""
    import torchaudio.functional

    spectrum = torch.from_numpy(complex_noise(513, 400))
    advance = torch.linspace(0, np.pi * 256, 513, dtype=torch.float64)[:, None]
    transform = TimeStretch(1.3, compat="librosa-0.11")  # torchaudio's last frame is that of librosa 0.11
    ours = transform(spectrum).numpy()
    theirs = torchaudio.functional.phase_vocoder(spectrum, 1.3, advance).numpy()
    assert relative_error(ours, theirs) <= 1e-8
    single = spectrum.to(torch.complex64)
    drifted = torchaudio.functional.phase_vocoder(single, 1.3, advance.float()).numpy()
    assert relative_error(transform(single).numpy(), ours) <= 5e-6
    assert relative_error(drifted, ours) >= 1e-3


# ---------------------------------------------------------------- the inverse of mel

BANKS = [
    {"sample_rate": 8000, "n_fft": 512, "n_mels": 40},
    {"sample_rate": 16000, "n_fft": 400, "n_mels": 80},
    {
        "sample_rate": 22050,
        "n_fft": 512,
        "n_mels": 48,
        "mel_scale": "htk",
        "norm": None,
        "f_min": 50.0,
        "f_max": 9000.0,
    },
]


def mels(kind, filters, random):
    if kind == "of powers":
        return filters @ (random.standard_normal((filters.shape[1], 12)) ** 2)
    if kind == "of tones":
        return filters @ (random.random((filters.shape[1], 12)) < 0.02).astype(float)
    return np.maximum(0.0, random.standard_normal((filters.shape[0], 12)))  # of no spectrum at all


@pytest.mark.parametrize("kind", ["of powers", "of tones", "of nothing"])
@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_inverse_mel_is_the_non_negative_least_squares_optimum(bank, kind):
    """As near as scipy.optimize.nnls frame by frame, and nearer than librosa's search and torchaudio's clipping.

    The ridge leaves 1e-10 |y| of it, where y grows without bound towards mels that only few bins can give: up to 5e-7
    of the mels' size here. The optimum itself is known by its conditions: x >= 0, the gradient >= 0, and one of both 0
    in every bin.
    """
    filters = mel_filterbank(**bank)
    mel = mels(kind, filters, np.random.default_rng(0))
    size = np.linalg.norm(mel, axis=0)
    x = InverseMel(**bank)(torch.from_numpy(mel)).numpy()
    assert (x >= 0).all()

    def distance(x):
        return np.linalg.norm(filters @ x - mel, axis=0) / size

    exact = np.stack([scipy.optimize.nnls(filters, frame, maxiter=100 * len(filters[0]))[0] for frame in mel.T], axis=1)
    assert (distance(x) <= distance(exact) + 2e-6).all()
    theirs = distance(librosa.util.nnls(filters, mel))
    assert (distance(x) <= theirs + 2e-6).all()
    assert distance(x).mean() < theirs.mean()
    gradient = filters.T @ (filters @ x - mel)
    scale = np.linalg.norm(filters, 2) * size
    assert (gradient >= -2e-6 * scale).all()
    assert (np.abs(gradient * x).sum(axis=0) <= 1e-5 * size**2).all()
    single = InverseMel(**bank)(torch.from_numpy(mel).float()).numpy()
    assert (distance(single) <= distance(x) + 2e-6).all()


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_the_optimum_is_found_for_every_one_of_many_frames(bank):
    """By its conditions alone, of mels that no spectrum has, over eight orders of magnitude too.

    A frame whose search stops too early misses them by 1e-4 to 1e4. What the ridge leaves of them is 5e-5 at most, and
    1e-5 where the mels are of similar size.
    """
    filters, random = mel_filterbank(**bank), np.random.default_rng(3)
    steepest = np.linalg.norm(filters, 2)
    for mel, left in (
        (np.maximum(0.0, random.standard_normal((bank["n_mels"], 300))), 1e-5),
        (10.0 ** random.uniform(-8, 0, (bank["n_mels"], 300)), 1e-4),
    ):
        x = InverseMel(**bank)(torch.from_numpy(mel)).numpy()
        size = np.linalg.norm(mel, axis=0)
        gradient = filters.T @ (filters @ x - mel)
        assert (x >= 0).all()
        assert (gradient >= -1e-5 * steepest * size).all()
        assert (np.abs(gradient * x).sum(axis=0) <= left * size**2).all()


@pytest.mark.torchaudio
def test_inverse_mel_comes_nearer_than_clipped_least_squares():
    import torchaudio.transforms

    bank = {"sample_rate": 16000, "n_mels": 40, "mel_scale": "htk", "norm": None}
    filters = mel_filterbank(n_fft=512, **bank)
    mel = mels("of tones", filters, np.random.default_rng(1))
    clipped = torchaudio.transforms.InverseMelScale(257, driver="gelsd", **bank)(torch.from_numpy(mel).float()).numpy()
    ours = InverseMel(n_fft=512, **bank)(torch.from_numpy(mel)).numpy()
    assert relative_error(filters @ ours, mel) <= 1e-5
    assert relative_error(filters @ clipped, mel) >= 0.05


@pytest.mark.parametrize("bank", BANKS, ids=str)
def test_inverse_mel_by_lstsq_is_the_smallest_least_squares_spectrum_cut_off_at_0(bank):
    filters = mel_filterbank(**bank)
    mel = mels("of powers", filters, np.random.default_rng(2))
    expected = np.maximum(0.0, np.linalg.lstsq(filters, mel, rcond=1e-15 * max(filters.shape))[0])
    transform = InverseMel(**bank, solver="lstsq")
    assert relative_error(transform(torch.from_numpy(mel)).numpy(), expected) <= 1e-9
    # float32: eps times the condition of the filters
    kept = np.linalg.svd(filters, compute_uv=False)
    condition = kept[0] / kept[kept > 1e-12 * kept[0]][-1]
    single = transform(torch.from_numpy(mel).float()).numpy()
    assert relative_error(single, expected) <= 4 * np.finfo(np.float32).eps * condition


@pytest.mark.torchaudio
def test_inverse_mel_by_lstsq_equals_torchaudio():
    import torchaudio.transforms

    bank = {"sample_rate": 16000, "n_mels": 40, "mel_scale": "htk", "norm": None}
    mel = mels("of tones", mel_filterbank(n_fft=512, **bank), np.random.default_rng(1))
    theirs = torchaudio.transforms.InverseMelScale(257, driver="gelsd", **bank)(torch.from_numpy(mel).float()).numpy()
    ours = InverseMel(n_fft=512, **bank, solver="lstsq")(torch.from_numpy(mel)).numpy()
    assert relative_error(theirs, ours) <= 1e-5  # float32 and its filters' condition of about 20


# ---------------------------------------------------------------- what peers cannot do


@pytest.mark.torchaudio
def test_windows_that_torch_refuses_are_inverted():
    """torch.istft, and torchaudio with it, refuses every window that begins with 0 where frames are not centered."""
    import torchaudio.transforms

    x = torch.from_numpy(np.random.default_rng(0).standard_normal(2000))
    config = {"n_fft": 256, "hop_length": 64, "center": False}
    spectrum = STFT(**config)(x)
    window = torch.hann_window(256, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        torch.istft(spectrum, window=window, **config)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        torchaudio.transforms.InverseSpectrogram(256, hop_length=64, center=False)(spectrum.to(torch.complex64))
    y = InverseSTFT(**config)(spectrum).numpy()
    assert relative_error(y[1:-1], x.numpy()[1 : len(y) - 1]) <= 1e-9


@pytest.mark.torchaudio
def test_nothing_of_the_inverse_is_state_where_nnaudio_stores_megabytes():
    import nnAudio2.features

    theirs = nnAudio2.features.iSTFT(n_fft=2048, verbose=False).state_dict()
    assert sum(value.numel() * value.element_size() for value in theirs.values()) >= 32 * 2**20
    assert not InverseSTFT(2048).state_dict()


@pytest.mark.torchaudio
def test_griffin_lim_runs_where_nnaudios_fails():
    import nnAudio2.features

    magnitude = torch.from_numpy(np.abs(librosa.stft(harmonics(0), n_fft=512)))[None].float()
    with pytest.raises(RuntimeError):
        nnAudio2.features.Griffin_Lim(512, n_iter=2)(magnitude)
    assert torch.isfinite(GriffinLim(512, n_iter=2)(magnitude)).all()
