"""Hybrid tempograms and metrograms against their definition in float64, and against librosa 1.0 where it is installed.

The definition is written here by NumPy's own interpolation, tempo by tempo. Both are of the same envelope, so that its
rounding does not count: 1e-9 relative L2, as for tempograms.
"""

from __future__ import annotations

import functools
import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.methods.rhythm.tempi import hybrid_tempogram, metrogram
from audiofeed.signal.rhythm.tempo import fourier_tempi, lag_tempi, tempo_places, tempo_shares
from audiofeed.transforms.rhythm.metrogram import Metrogram
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, HybridTempogram, Tempogram
from tests import oracle

EXACT, SINGLE = 1e-9, 2e-4
SR, HOP = 8000, 64
ONSET = OnsetStrength(sample_rate=SR, n_fft=256, hop_length=HOP, n_mels=10)
# of either sign, and so its autocorrelation
DETRENDED = OnsetStrength(sample_rate=SR, n_fft=256, hop_length=HOP, n_mels=10, detrend=True)
beside_1_0 = pytest.mark.skipif(not oracle.NEW, reason="librosa has hybrid tempograms and metrograms from 1.0 on")


def beats(seed: int = 0, n: int = 12000, every: int = 1500) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.standard_normal((2, n)) * 10.0 ** (-2 * (np.arange(n) % every) / 3000))


def interpolated(tempi: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Each column of (..., tempi, frames) at the wanted tempi, by `np.interp`, 0 out of reach."""
    finite = np.isfinite(tempi)
    order = np.argsort(tempi[finite])
    known, rows = tempi[finite][order], rows[..., finite, :][..., order, :]
    columns = np.moveaxis(rows, -2, -1).reshape(-1, known.size)
    parts = [
        np.interp(wanted, known, part, left=0, right=0) for column in columns for part in (column.real, column.imag)
    ]
    values = (np.array(parts[::2]) + 1j * np.array(parts[1::2])).reshape(*rows.shape[:-2], rows.shape[-1], wanted.size)
    return np.moveaxis(values if np.iscomplexobj(rows) else values.real, -1, -2)


def hybrid(envelope: np.ndarray, **options) -> tuple[np.ndarray, np.ndarray]:
    """The hybrid tempogram of an envelope, from librosa's two tempograms, and its tempi."""
    axes = {"sr": SR, "hop_length": HOP}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an envelope shorter than the window
        fourier = librosa.feature.fourier_tempogram(onset_envelope=envelope, **axes, **options)
    lags = librosa.feature.tempogram(onset_envelope=envelope, **axes, **options)
    bins = librosa.fourier_tempo_frequencies(win_length=options["win_length"], **axes)
    read = interpolated(librosa.tempo_frequencies(lags.shape[-2], **axes), lags, bins)
    return np.sqrt(np.abs(fourier[..., : lags.shape[-1]]) * np.abs(read)), bins


def metric(tempogram: np.ndarray, tempi: np.ndarray, factors: tuple[float, ...]) -> np.ndarray:
    """The products of which a metrogram is the sum: (..., factors, tempi, frames)."""
    return np.stack([interpolated(tempi, tempogram, factor * tempi) * tempogram for factor in factors], -3)


def envelope_of(x: torch.Tensor) -> np.ndarray:
    return ONSET(x)[..., 0, :].numpy()


def assert_products_agree(ours, expected, tolerance: float = EXACT) -> None:
    """Of hybrid tempograms, which are roots: where an autocorrelation crosses 0, a root has half the digits."""
    assert ours.shape == expected.shape
    assert oracle.relative_error(np.asarray(ours) ** 2, expected**2) <= tolerance
    assert oracle.relative_error(ours, expected) <= np.sqrt(tolerance) / 100


OPTIONS = {
    "n": st.integers(4000, 12000),
    "seed": st.integers(0, 99),
    "win_length": st.integers(4, 60),
    "center": st.booleans(),
    "window": st.sampled_from(["hann", "boxcar", "hamming"]),
}


@settings(max_examples=40)
@given(**OPTIONS, onset=st.sampled_from([ONSET, DETRENDED]))
def test_hybrid_tempogram(n, seed, win_length, center, window, onset):
    x = beats(seed, n)
    options = {"win_length": win_length, "center": center, "window": window}
    transform = HybridTempogram(sample_rate=SR, hop_length=HOP, onset=onset, **options)
    ours = transform(x).numpy()
    expected, bins = hybrid(onset(x)[..., 0, :].numpy(), **options)
    np.testing.assert_allclose(transform.tempi, bins)
    np.testing.assert_allclose(transform.frequencies, bins / 60)
    assert_products_agree(ours, expected)
    assert_products_agree(transform(x.float()).numpy().astype(np.float64), expected, SINGLE)


@settings(max_examples=40)
@given(**OPTIONS, factors=st.lists(st.floats(0.05, 4), min_size=1, max_size=5, unique=True))
def test_metrogram(n, seed, win_length, center, window, factors):
    x = beats(seed, n)
    options = {"win_length": win_length, "center": center, "window": window}
    for name, cls in (("hybrid", HybridTempogram), ("fourier", FourierTempogram), ("autocorrelation", Tempogram)):
        tempogram = cls(sample_rate=SR, hop_length=HOP, onset=ONSET, **options)
        finite = np.isfinite(tempogram.tempi.numpy())
        expected = metric(tempogram(x).numpy()[..., finite, :], tempogram.tempi.numpy()[finite], factors)
        for aggregate in (None, "sum", "mean", "max"):
            if aggregate == "max" and name == "fourier":
                continue
            transform = Metrogram(
                sample_rate=SR,
                hop_length=HOP,
                onset=ONSET,
                tempogram=name,
                factors=factors,
                aggregate=aggregate,
                **options,
            )
            whole = expected if aggregate is None else getattr(np, aggregate)(expected, axis=-2)
            assert np.linalg.norm(transform(x).numpy() - whole) <= EXACT * max(np.linalg.norm(whole), 1e-9)
        given_whole = Metrogram(sample_rate=SR, tempogram=tempogram, factors=factors)(x)
        assert np.linalg.norm(given_whole.numpy() - expected.sum(-2)) <= EXACT * max(np.linalg.norm(expected), 1e-9)


@beside_1_0
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("win_length", [384, 17, 4])
def test_a_hybrid_tempogram_is_librosa_s(win_length, center):
    x = beats(n=30000)
    options = {"hop_length": HOP, "win_length": win_length, "center": center}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an envelope shorter than the window
        expected = librosa.feature.hybrid_tempogram(onset_envelope=envelope_of(x), sr=SR, **options)
    assert_products_agree(HybridTempogram(sample_rate=SR, onset=ONSET, **options)(x), expected)


@beside_1_0
@pytest.mark.parametrize("win_length", [384, 22, 31])
@pytest.mark.parametrize("aggregate", [np.sum, np.mean, np.max, None])
def test_a_metrogram_is_librosa_s(win_length, aggregate):
    """Windows of 22 and 31 frames have tempi whose third is exactly the slowest."""
    x = beats(n=30000)
    name = None if aggregate is None else aggregate.__name__.removeprefix("a")
    for cls in (HybridTempogram, FourierTempogram, Tempogram):
        if name == "max" and cls is FourierTempogram:
            continue
        tempogram = cls(sample_rate=SR, hop_length=HOP, win_length=win_length, onset=ONSET)
        finite = np.isfinite(tempogram.tempi.numpy())
        expected = librosa.feature.metrogram(
            tg=tempogram(x).numpy()[..., finite, :], freqs=tempogram.tempi.numpy()[finite], aggregate=aggregate
        )
        ours = Metrogram(sample_rate=SR, tempogram=tempogram, aggregate=name)(x)
        assert ours.shape == expected.shape
        assert oracle.relative_error(ours, expected) <= EXACT


@beside_1_0
def test_a_hybrid_tempogram_is_librosa_s_own_by_its_defaults():
    sr = 22050
    y = np.random.default_rng(0).standard_normal(12 * sr) * (np.arange(12 * sr) % 11025 < 2000)
    envelope = librosa.onset.onset_strength(y=y, sr=sr, dtype=np.float64)
    expected = librosa.feature.hybrid_tempogram(onset_envelope=envelope, sr=sr)
    assert_products_agree(HybridTempogram(sample_rate=sr)(torch.from_numpy(y)), expected)
    summed = librosa.feature.metrogram(tg=expected, freqs=librosa.fourier_tempo_frequencies(sr=sr))
    # of roots: see `assert_products_agree`
    assert oracle.relative_error(Metrogram(sample_rate=sr)(torch.from_numpy(y)), summed) <= np.sqrt(EXACT) / 100


@given(seed=st.integers(0, 999), n=st.integers(2, 40))
def test_places_and_shares_read_a_straight_line_exactly(seed, n):
    """What goes in a straight line with the tempo is read as it is, on rising and on falling axes."""
    random = np.random.default_rng(seed)
    tempi = random.choice(np.arange(1, 1000), n, replace=False).astype(float)
    tempi = np.sort(tempi)[:: random.choice([1, -1])]
    tempi = np.concatenate(([np.inf], tempi)) if random.random() < 0.5 else tempi
    finite = tempi[np.isfinite(tempi)]
    wanted = random.uniform(finite.min() - 50, finite.max() + 50, (3, 7))
    wanted[0, :2] = finite.min(), finite.max()
    line = np.where(np.isfinite(tempi), 3 * tempi + 1, np.nan)
    read = (line[tempo_places(tempi, wanted)] * tempo_shares(tempi, wanted)).sum(0)
    inside = (wanted >= finite.min()) & (wanted <= finite.max())
    np.testing.assert_allclose(read, np.where(inside, 3 * wanted + 1, 0), rtol=1e-12)


def test_the_axes_of_a_hybrid_tempogram_meet():
    lags, bins = (tempi(12, sample_rate=SR, hop_length=HOP) for tempi in (lag_tempi, fourier_tempi))
    shares = tempo_shares(lags, bins).sum(0)
    # below the tempo of the longest lag, 11 frames, are the bins 0 and 1 a window
    np.testing.assert_allclose(shares, [0, 0, 1, 1, 1, 1, 1])


def test_a_clip_shorter_than_its_batch_has_the_tempogram_that_it_has_alone():
    x = beats()
    for transform in (
        HybridTempogram(sample_rate=SR, hop_length=HOP, win_length=30, onset=ONSET),
        Metrogram(sample_rate=SR, hop_length=HOP, win_length=30, onset=ONSET),
        Metrogram(sample_rate=SR, hop_length=HOP, win_length=31, onset=ONSET, tempogram="fourier", center=False),
    ):
        frames = int(transform.frame_lengths(torch.tensor(7000)))
        padded = transform(x, torch.tensor([12000, 7000]))[1]
        alone = transform(x[1, :7000])
        assert alone.shape[-1] == frames
        assert oracle.relative_error(padded[..., :frames], alone.numpy()) <= EXACT
        assert padded[..., frames:].abs().max() == 0


def test_gradients_beside_the_kinks():
    """Of envelopes whose autocorrelation is above 0 throughout; on silence, where everything is a kink, they are 0."""
    envelope = (torch.rand(2, 20, dtype=torch.float64) + 0.5).requires_grad_()
    lags, bins = (tempi(8, sample_rate=SR, hop_length=HOP) for tempi in (lag_tempi, fourier_tempi))
    window = torch.hann_window(8, dtype=torch.float64)
    places, shares = (torch.from_numpy(of(lags, bins)) for of in (tempo_places, tempo_shares))
    ratio = torch.from_numpy(np.multiply.outer([1 / 3, 1 / 2], bins).round(9))
    factors = torch.from_numpy(tempo_places(bins, ratio.numpy())), torch.from_numpy(tempo_shares(bins, ratio.numpy()))

    def hybrid(envelope):
        # without the outermost frames, whose ramps have an autocorrelation of 0 at some lags
        return hybrid_tempogram(envelope, None, window, places, shares, center=True, graph=True)[..., 4:-4]

    assert torch.autograd.gradcheck(hybrid, envelope)
    for aggregate in ("sum", "mean", "max", None):
        of_hybrid = functools.partial(metrogram, places=factors[0], shares=factors[1], aggregate=aggregate)
        assert torch.autograd.gradcheck(lambda envelope, of=of_hybrid: of(hybrid(envelope)), envelope)
    silence = torch.zeros(2, 3000, requires_grad=True)
    Metrogram(sample_rate=SR, hop_length=HOP, win_length=20, onset=ONSET)(silence).sum().backward()
    assert silence.grad.abs().max() == 0


def test_float32_has_no_root_of_rounding_where_there_is_nothing():
    """A click has no period: its autocorrelation is 0 but for lag 0, and 1e-8 in float32, whose root is 1e-4."""
    envelope = torch.zeros(1, 200, dtype=torch.float64)
    envelope[0, 100] = 1.0
    transform = HybridTempogram(sample_rate=SR, hop_length=HOP, win_length=64, onset=ONSET)
    single = transform.derive(envelope.float()[:, None], None, graph=False)
    assert single.dtype == torch.float32
    assert single.abs().max() <= 1e-7


def clicks(bar: int, *, beat: float = 0.5, seconds: int = 40) -> torch.Tensor:
    """Noise bursts on each beat, of which the first of each bar is louder."""
    y = torch.zeros(seconds * SR, dtype=torch.float64)
    burst = torch.from_numpy(np.random.default_rng(0).standard_normal(400)) * torch.linspace(1, 0, 400)
    for index in range(int(seconds / beat) - 1):
        start = int(index * beat * SR)
        y[start : start + 400] = burst * (1.0 if index % bar == 0 else 0.03)
    return y


@pytest.mark.parametrize(("row", "bar"), [(0, 3), (1, 4), (2, 5), (3, 7)])
def test_bars_of_so_many_beats_have_their_own_ratio(row, bar):
    """Of beats in bars of 3, 4, 5 and 7, those of `bar` have the largest share of that ratio's row."""
    transform = Metrogram(sample_rate=SR, n_fft=512, hop_length=160, win_length=1000, tempogram="autocorrelation")
    shares = []
    for each in (3, 4, 5, 7):
        rows = transform(clicks(each)).mean(-1)
        shares.append((rows / rows.sum())[row])
    assert int(np.argmax(shares)) == row, f"bars of {bar}: {shares}"
