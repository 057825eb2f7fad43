"""ReverbFrom: the convolution in float64, the direct sound in its place, the level kept."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import soundfile
import torch
from scipy import stats
from scipy.signal import fftconvolve

import audiofeed as af
from audiofeed.augment import Clips, ReverbFrom
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.filters import reverb
from tests.augment.cases.filters import rooms

RATE = 16_000


def batch(lengths, size=None, channels: int | None = None) -> Clips:
    shape = (len(lengths),) if channels is None else (len(lengths), channels)
    waveforms = torch.zeros(*shape, size or max(lengths))
    for row, n in enumerate(lengths):
        generator = torch.Generator().manual_seed(row)
        waveforms[row, ..., :n] = 0.1 * torch.randn(*shape[1:], n, generator=generator)
    return Clips(waveforms, torch.tensor(lengths), torch.arange(len(lengths)) + 40, RATE)


def defined(augmentation: ReverbFrom, given: Clips, responses: list[np.ndarray]) -> np.ndarray:
    """The augmentation in float64, clip by clip, from what was drawn."""
    draws = Draws(given.seeds, "ReverbFrom")
    active = draws.chosen(augmentation.p)
    which, wet = augmentation.drawn(draws)
    result = given.waveforms.double().numpy().copy()
    for row, n in enumerate(given.lengths.tolist()):
        if not active[row]:
            continue
        clip, response = result[row, ..., :n], responses[int(which[row])]
        channel, peak = np.unravel_index(np.abs(response).argmax(), response.shape)
        response = response / response[channel, peak]
        if augmentation.seconds is not None:
            response = response[:, : peak + round(augmentation.seconds * RATE)]
        if response.shape[0] != (1 if clip.ndim == 1 else clip.shape[0]):
            response = response[:1]
        response = np.broadcast_to(response, (*np.atleast_2d(clip).shape[:1], response.shape[-1]))
        heard = fftconvolve(np.atleast_2d(clip), response, axes=-1)[:, peak : peak + n].reshape(clip.shape)
        heard = (1 - float(wet[row])) * clip + float(wet[row]) * heard
        result[row, ..., :n] = heard * np.sqrt((clip**2).mean() / (heard**2).mean())
    return result


@pytest.mark.parametrize("looks", [True, False], ids=["some rows", "all rows"])
@pytest.mark.parametrize("wet", [1.0, (0.1, 0.8)])
@pytest.mark.parametrize(("channels", "of_rooms"), [(None, 1), (2, 1), (2, 2), (None, 2), (3, 2)])
def test_it_is_the_definition_in_float64(channels, of_rooms, wet, looks, monkeypatch):
    if not looks:
        monkeypatch.setattr(reverb, "may_look", lambda clips: False)
    responses = rooms(of_rooms)
    augmentation = ReverbFrom(responses, wet, p=0.9)
    given = batch([9_000, 4_321, 1, 20_000, 30_000, 700], size=31_000, channels=channels)
    after = augmentation.run(given)
    expected = defined(augmentation, given, list(responses.double().numpy()))
    assert np.abs(after.waveforms.numpy() - expected).max() < 2e-6
    for row, n in enumerate(given.lengths.tolist()):
        assert not after.waveforms[row, ..., n:].any()
        assert after.waveforms[row, ..., :n].square().sum() == pytest.approx(
            float(given.waveforms[row, ..., :n].square().sum()), rel=1e-5
        )


@pytest.mark.parametrize("taps", [1, 2, 255, 256, 257, 5_000])
@pytest.mark.parametrize("time", [1, 700, 4_097, 50_000])
def test_responses_and_clips_of_any_length(taps, time):
    generator = torch.Generator().manual_seed(taps)
    response = torch.randn(1, taps, generator=generator) * torch.linspace(1, 0.01, taps)
    x = 0.1 * torch.randn(1, time, generator=generator)
    found = ReverbFrom(response)(x, seeds=torch.tensor([1]))
    peak = int(response[0].abs().argmax())
    full = fftconvolve(x[0].double(), response[0].double() / response[0, peak])[peak : peak + time]
    full *= np.sqrt((x.double().square().sum() / (full**2).sum()).item())
    assert np.abs(found[0].numpy() - full).max() < 3e-6


def test_clicks_stay_where_their_labels_are():
    responses = rooms()
    x = torch.zeros(30, 4_000)
    places = torch.arange(30) * 100 + 57
    x[torch.arange(30), places] = 0.5
    found = ReverbFrom(responses)(x, seeds=torch.arange(30))
    assert torch.equal(found.abs().argmax(1), places)
    assert (found[torch.arange(30), places] > 0).all()  # of the clip's own polarity
    assert not torch.equal(found, x)


def test_draws_have_the_documented_distribution():
    which, wet = ReverbFrom(rooms(), (0.2, 0.7)).drawn(Draws(torch.arange(1000), "ReverbFrom"))
    assert stats.chisquare(torch.bincount(which, minlength=5).numpy()).pvalue > 1e-3
    assert stats.kstest(wet.numpy(), stats.uniform(0.2, 0.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_clip_has_the_same_bits_beside_any_others(threads, graph):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        augmentation = ReverbFrom(rooms(), 0.5)
        given = batch([9_000, 20_000, 400, 50_000] * 5)
        together = augmentation(given.waveforms.requires_grad_(graph), given.lengths, given.seeds)
        for rows in ([0], [1, 2], [7, 3, 5]):
            lengths = given.lengths[rows]
            x = given.waveforms.detach()[rows][:, : int(lengths.max())]
            alone = augmentation(x.requires_grad_(graph), lengths, given.seeds[rows])
            for found, row, n in zip(alone, rows, lengths.tolist(), strict=True):
                assert torch.equal(found[:n], together[row, :n])
    finally:
        torch.set_num_threads(before)


def test_the_gradient_is_that_of_the_definition():
    augmentation = ReverbFrom(rooms(), 0.6)
    lengths, seeds = torch.tensor([3_000, 900]), torch.tensor([1, 2])
    x = 0.1 * torch.randn(2, 3_000, generator=torch.Generator().manual_seed(0))
    x[1, 900:] = 0
    x.requires_grad_()
    weight = torch.randn(2, 3_000, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((augmentation(x, lengths, seeds) * weight).sum(), x)
    step = torch.randn(2, 3_000, generator=torch.Generator().manual_seed(2))
    step[1, 900:] = 0
    with torch.no_grad():
        ends = [(augmentation(x + e * step, lengths, seeds).double() * weight).sum() for e in (1e-3, -1e-3)]
    assert (gradient.double() * step).sum().item() == pytest.approx(float(ends[0] - ends[1]) / 2e-3, rel=2e-3)


def test_silence_stays_silence():
    x = torch.zeros(2, 500)
    x[1, 10] = 0.3
    x.requires_grad_()
    found = ReverbFrom(rooms())(x, seeds=torch.tensor([1, 2]))
    assert not found[0].any()
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    assert gradient.isfinite().all()


def test_folders_seconds_and_rates(tmp_path):
    for number, response in enumerate(rooms().numpy()):
        soundfile.write(tmp_path / f"{number}.wav", 0.9 * response[0], RATE, subtype="FLOAT")
    given = batch([3_000, 2_000, 500])
    whole = ReverbFrom(af.AudioFolder(tmp_path))
    assert (whole.run(given).waveforms - ReverbFrom(rooms()).run(given).waveforms).abs().max() < 1e-6
    with pytest.warns(UserWarning, match=r"seconds=0\.005 cuts off more than -40 dB of the energy of 5 of 5"):
        short = ReverbFrom(af.AudioFolder(tmp_path), seconds=0.005)
    expected = defined(short, given, list(rooms().double().numpy()))
    assert np.abs(short.run(given).waveforms.numpy() - expected).max() < 2e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ReverbFrom(rooms(), seconds=1.0, sample_rate=RATE)
    for augmentation in (whole, ReverbFrom(rooms(), sample_rate=RATE)):
        with pytest.raises(ValueError, match=r"sounds of 16000 Hz, and the clips have 8000 Hz: .*sample_rate="):
            augmentation.run(given.with_values(sample_rate=8000))
    skipping = af.AudioFolder(tmp_path, on_error="skip")
    (tmp_path / "3.wav").unlink()
    with pytest.warns(UserWarning, match=r"in place of 1 that cannot be read; the first: .*3\.wav"):
        ReverbFrom(skipping)


def test_wrong_arguments():
    for responses, settings, error, match in [
        ("rooms/", {}, TypeError, "responses="),
        (torch.zeros(0, 5), {}, ValueError, "responses is empty"),
        (torch.ones(5), {}, ValueError, r"item 0 of the dataset has shape \(\)"),
        ([torch.ones(5), torch.zeros(5)], {}, ValueError, "item 1 of the responses is silent"),
        (rooms(), {"wet": 1.5}, ValueError, "wet=1.5"),
        (rooms(), {"seconds": 0}, ValueError, "seconds=0"),
        (rooms(), {"seconds": 1.0}, ValueError, "give sample_rate="),
        (rooms(), {"sample_rate": 0}, ValueError, "sample_rate=0"),
        ([(torch.ones(3), 8000)], {"sample_rate": 16_000}, ValueError, "have 8000 Hz: leave it out"),
        (rooms(), {"keep_gb": 1e-6}, ValueError, r"keep_gb=1e-06 GB, .* seconds= to cut them"),
        (rooms(), {"p": -1}, ValueError, "p=-1"),
    ]:
        with pytest.raises(error, match=match):
            ReverbFrom(responses, **settings)
    assert repr(ReverbFrom(rooms(), 0.5, p=0.3)) == "ReverbFrom(5 responses of up to 780 taps, wet=0.5, p=0.3)"
