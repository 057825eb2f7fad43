"""Gammatone, sinc, Gabor and PCEN: a wrong argument is named, and what trains stays valid."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

from audiofeed.methods.auditory.long_filters import Blocks, filtered_waveform
from audiofeed.methods.frames import Framing
from audiofeed.signal.auditory.gammatone import gammatone_frequencies
from audiofeed.signal.auditory.leaf import CENTER_BOUNDS, deviation_bounds, gabor_filters, gaussian_pools, pool_bounds
from audiofeed.signal.auditory.sinc import sinc_filters
from audiofeed.transforms.auditory.gammatone import Gammatonegram
from audiofeed.transforms.auditory.leaf import GaborFilterbank
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.auditory.sinc import SincFilterbank
from tests.oracle import defaults

X = torch.from_numpy(np.random.default_rng(0).standard_normal(1000)).float()
POWERS = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 50))).square().float()
GAMMATONE = {"sample_rate": 8000, "n_fft": 128, "n_bins": 10}
SINC = {"sample_rate": 8000, "n_filters": 5, "win_length": 31, "hop_length": 10}
GABOR = {"sample_rate": 8000, "n_filters": 5, "win_length": 41, "hop_length": 20}


WRONG = [
    (Gammatonegram, GAMMATONE, {"sample_rate": None}, "sample_rate=None"),
    (Gammatonegram, GAMMATONE, {"power": None}, "power=None.*STFT"),
    (Gammatonegram, GAMMATONE, {"n_bins": 0}, "n_bins=0"),
    (Gammatonegram, GAMMATONE, {"f_min": -1.0}, "f_min=-1.0"),
    (Gammatonegram, GAMMATONE, {"f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
    (Gammatonegram, GAMMATONE, {"width": 0.0}, "width=0.0"),
    (Gammatonegram, GAMMATONE, {"width": math.inf}, "width=inf"),
    (Gammatonegram, GAMMATONE, {"weighting": "energy"}, "weighting='energy'"),
    (Gammatonegram, GAMMATONE, {"norm": "area"}, "norm='area'"),
    (Gammatonegram, GAMMATONE, {"norm": -1.0}, "norm=-1.0"),
    (PCEN, {}, {"sample_rate": 0}, "sample_rate=0"),
    (PCEN, {"sample_rate": 8000}, {"hop_length": 0}, "hop_length=0"),
    (PCEN, {"sample_rate": 8000}, {"gain": -0.1}, "gain=-0.1 must be a number >= 0"),
    (PCEN, {"sample_rate": 8000}, {"gain": math.inf}, "gain=inf"),
    (PCEN, {"sample_rate": 8000}, {"bias": -1.0}, "bias=-1.0"),
    (PCEN, {"sample_rate": 8000}, {"power": -1.0}, "power=-1.0"),
    (PCEN, {"sample_rate": 8000}, {"time_constant": 0.0}, "time_constant=0.0"),
    (PCEN, {"sample_rate": 8000}, {"time_constant": math.inf}, "time_constant=inf"),
    (PCEN, {"sample_rate": 8000}, {"eps": 0.0}, "eps=0.0"),
    (PCEN, {"sample_rate": 8000}, {"b": 0.0}, "b=0.0.*time_constant"),
    (PCEN, {"sample_rate": 8000}, {"b": 1.1}, "b=1.1"),
    (PCEN, {"sample_rate": 8000}, {"max_size": 0}, "max_size=0"),
    (PCEN, {"sample_rate": 8000}, {"initial": "last"}, "initial='last'"),
    (PCEN, {"sample_rate": 8000}, {"initial": math.inf}, "initial=inf"),
    (PCEN, {"sample_rate": 8000}, {"n_bins": 6}, "n_bins=6 must be None with trainable=False"),
    (PCEN, {"sample_rate": 8000}, {"trainable": True, "gain": 1.0}, "gain=1.0 must lie between 0 and 1"),
    (PCEN, {"sample_rate": 8000}, {"trainable": True, "bias": 0.0}, "bias=0.0 must lie between 0.001 and 1000"),
    (SincFilterbank, SINC, {"sample_rate": -1}, "sample_rate=-1"),
    (SincFilterbank, SINC, {"n_filters": 0}, "n_filters=0"),
    (SincFilterbank, SINC, {"win_length": 32}, "win_length=32 must be odd.*use 33"),
    (SincFilterbank, SINC, {"win_length": 1}, "win_length=1.*use 3"),
    (SincFilterbank, SINC, {"hop_length": 0}, "hop_length=0"),
    (SincFilterbank, SINC, {"f_min": -1.0}, "f_min=-1.0"),
    (SincFilterbank, SINC, {"f_max": 3950.0}, "f_max=3950.0.*3900 Hz.*min_low_hz"),
    (SincFilterbank, SINC, {"min_low_hz": 3980.0}, "min_low_hz=3980.0.*4000 Hz"),
    (SincFilterbank, SINC, {"min_low_hz": -1.0}, "min_low_hz=-1.0"),
    (SincFilterbank, SINC, {"min_band_hz": 0.0}, "min_band_hz=0.0"),
    (SincFilterbank, SINC, {"window": "ham"[:2]}, "window='ha'"),
    (SincFilterbank, SINC, {"norm": "area"}, "norm='area'"),
    (SincFilterbank, SINC, {"pad_mode": "edge"}, "pad_mode='edge'"),
    (GaborFilterbank, GABOR, {"sample_rate": None}, "sample_rate=None"),
    (GaborFilterbank, GABOR, {"n_filters": 0}, "n_filters=0"),
    (GaborFilterbank, GABOR, {"win_length": 400}, "win_length=400 must be odd"),
    (GaborFilterbank, GABOR, {"hop_length": 0}, "hop_length=0"),
    (GaborFilterbank, GABOR, {"f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
    (GaborFilterbank, GABOR, {"pool_width": 0.6}, "pool_width=0.6.*0.5"),
    (GaborFilterbank, GABOR, {"pool_width": 0.04}, "pool_width=0.04.*0.04878"),
    (GaborFilterbank, GABOR, {"compression": "cube"}, "compression='cube'"),
    (GaborFilterbank, GABOR, {"floor": 0.0}, "floor=0.0"),
    (GaborFilterbank, GABOR, {"floor": 1e-40}, "floor=1e-40.*float32"),
]


@pytest.mark.parametrize(("cls", "base", "change", "message"), WRONG, ids=str)
def test_a_wrong_argument_of_an_auditory_filter_bank_is_named(cls, base, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**{**base, **change})


def test_a_trained_pcen_for_other_bins_and_a_state_of_another_stream_are_named():
    with pytest.raises(ValueError, match="6 bins, and must have n_bins=5"):
        PCEN(sample_rate=8000, trainable=True, n_bins=5)(POWERS)
    with pytest.raises(ValueError, match=r"state has shape \(5,\), and must be \(6,\)"):
        PCEN(sample_rate=8000).stream(POWERS, torch.ones(5))
    with pytest.raises(TypeError, match="real"):
        PCEN(sample_rate=8000).stream(POWERS.to(torch.complex64))


def test_frequencies_and_times_of_filters():
    gammatone = Gammatonegram(**GAMMATONE, f_min=100.0, f_max=3000.0)
    np.testing.assert_allclose(gammatone.frequencies, gammatone_frequencies(10, f_min=100.0, f_max=3000.0))
    sinc, gabor = SincFilterbank(**SINC), GaborFilterbank(**GABOR)
    for transform in (gammatone, sinc, gabor):
        assert not transform.frequencies.requires_grad
        # a tone at a filter's center is strongest in that filter
        tone = torch.sin(2 * torch.pi * transform.frequencies[3] * torch.arange(8000) / 8000)
        loudness = transform(tone).detach().square().mean(-1)
        loudness = loudness if transform is not gabor else GaborFilterbank(**GABOR, compression=None)(tone).mean(-1)
        assert loudness.argmax() == 3
    assert sinc.times(3).tolist() == [0.0, 10 / 8000, 20 / 8000]
    assert SincFilterbank(**SINC, center=False).times(1).tolist() == [15 / 8000]
    assert gabor.times(2).tolist() == [0.0, 20 / 8000]
    assert GaborFilterbank(sample_rate=16000).win_length == 401
    assert GaborFilterbank(sample_rate=16000).hop_length == 160


@pytest.mark.parametrize("hop", [1, 3, 200])
def test_the_way_in_blocks_is_the_way_of_every_tap(hop, monkeypatch):
    """The FFT of blocks and the plain convolution agree, with and without a graph."""
    x, lengths = torch.randn(3, 3000, dtype=torch.float64), torch.tensor([3000, 17, 1200])
    filters = torch.randn(4, 25, dtype=torch.float64)
    framing = Framing(n_fft=25, hop_length=hop, center=True, pad_mode="reflect")
    results = []
    for dense_from in (1, 10_000):
        monkeypatch.setattr("audiofeed.methods.auditory.long_filters.DENSE_HOP", dense_from)
        for graph in (False, True):
            made = filtered_waveform(x, lengths, framing, filters, graph=graph)
            results.append([row[:, : framing.count(int(n))] for row, n in zip(made, lengths, strict=True)])
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            torch.testing.assert_close(mine, theirs)


def test_blocks_hold_what_their_frames_need_and_no_block_is_without_one():
    for support in (1, 25, 880):
        for hop in (1, 7, 160):
            for length in (support, 3 * support, 10**6):
                blocks = Blocks.of(support, hop, length)
                assert blocks.frames >= 1
                assert (blocks.frames - 1) * hop + support <= blocks.size
                assert blocks.size < 2 * max(support, min(4 * support, length))


def test_trained_filters_start_as_the_fixed_ones():
    sinc, gabor = SincFilterbank(**SINC).double(), GaborFilterbank(**GABOR).double()
    fixed = sinc_filters(sinc.cutoffs.detach().numpy(), sample_rate=8000, win_length=31)
    torch.testing.assert_close(sinc._present_filters(X.double()).detach(), torch.from_numpy(fixed))
    filters, pools = (part.detach() for part in gabor._present_filters(X.double()))
    centres, deviations = gabor.centres.detach().numpy(), gabor.deviations.detach().numpy()
    torch.testing.assert_close(filters, torch.from_numpy(gabor_filters(centres, deviations, 41)))
    torch.testing.assert_close(pools, torch.from_numpy(gaussian_pools(gabor.pool_widths.detach().numpy(), 41)))
    for trained, change in ((sinc, {}), (gabor, {"compression": "pcen"})):
        base = SINC if trained is sinc else GABOR
        other = type(trained)(**base, **change, trainable=False)
        # float32 parameters: 1e-7 of an angle, through the phase of a filter
        torch.testing.assert_close(trained(X.double()), other(X.double()), rtol=1e-4, atol=1e-5)


def test_defaults_are_those_of_the_functions_and_papers_that_define_them():
    shared = ("hop_length", "gain", "bias", "power", "time_constant", "eps", "b", "max_size")
    ours, theirs = defaults(PCEN), defaults(librosa.pcen)
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    for cls, wanted in (
        # Ellis's gammatonegram
        (Gammatonegram, {"n_bins": 64, "f_min": 50.0, "f_max": None, "width": 1.0, "weighting": "magnitude"}),
        # SincNet: 80 filters of 251 taps at every sample
        (SincFilterbank, {"n_filters": 80, "win_length": 251, "hop_length": 1, "f_min": 30.0}),
        (SincFilterbank, {"min_low_hz": 50.0, "min_band_hz": 50.0, "window": "hamming", "norm": "peak"}),
        # LEAF
        (GaborFilterbank, {"n_filters": 40, "f_min": 60.0, "pool_width": 0.4, "compression": "pcen", "floor": 1e-5}),
    ):
        assert wanted.items() <= defaults(cls).items()


@pytest.mark.parametrize("compression", ["pcen", "log", None])
def test_trained_values_count_with_a_graph_and_without(compression):
    """What an optimizer made of the parameters is what evaluation computes with, not what they began as."""
    x, powers = X, POWERS
    made = [
        (SincFilterbank(**SINC), x),
        (GaborFilterbank(**GABOR, compression=compression), x),
        (PCEN(sample_rate=8000, trainable=True), powers),
        (PCEN(sample_rate=8000, trainable=True, n_bins=6), powers),
    ]
    for transform, given in made:
        with torch.no_grad():
            before = transform(given)
            for parameter in transform.parameters():
                parameter += 0.1
            after = transform(given)
        assert not torch.allclose(before, after, rtol=1e-2)
        torch.testing.assert_close(transform(given).detach(), after, rtol=1e-4, atol=1e-5)


def test_each_bin_has_settings_of_its_own():
    pcen, one = (PCEN(sample_rate=8000, trainable=True, n_bins=n) for n in (6, None))
    assert [p.shape for p in pcen.parameters()] == [(6,)] * 4
    assert [p.shape for p in one.parameters()] == [(1,)] * 4
    assert [p.shape for p in GaborFilterbank(**GABOR).parameters()] == [(5,)] * 7
    before = pcen(POWERS).detach()
    for name in ("raw_gain", "raw_bias", "raw_power", "raw_b"):
        moved = PCEN(sample_rate=8000, trainable=True, n_bins=6)
        with torch.no_grad():
            getattr(moved, name)[2] += 0.2
        changed = (moved(POWERS).detach() - before).abs().amax(-1) > 1e-4
        assert changed.tolist() == [False, False, True, False, False, False]


def test_what_starts_at_a_bound_can_leave_it():
    """There the circle has no gradient: what is given as a bound begins a little inside, and feels the loss."""

    def steepness(transform, name):
        transform(X).square().sum().backward()
        return getattr(transform, name).grad.abs()

    plain = steepness(GaborFilterbank(**GABOR, compression=None), "raw_pool")
    for width in (2 / 41, 0.5):
        bound = GaborFilterbank(**GABOR, compression=None, pool_width=width)
        # 1e-4 of the span inside, a sine squared is 0.02 as steep as it may be
        assert (steepness(bound, "raw_pool") > 1e-3 * plain).all()
        # and the fixed low-passes are those that training begins with
        fixed = GaborFilterbank(**GABOR, compression=None, pool_width=width, trainable=False)
        torch.testing.assert_close(fixed.pool_widths, bound.pool_widths.detach(), rtol=1e-5, atol=0)
    # by default the highest band ends at half the sample rate
    highest = steepness(SincFilterbank(**SINC), "raw_high")
    assert highest[-1] > 1e-3 * highest[:-1].min()


def test_a_stream_is_computed_in_float32_and_its_state_is_part_of_the_graph():
    pcen = PCEN(sample_rate=8000)
    first, second = POWERS.bfloat16().split(25, dim=-1)
    expected = pcen(POWERS.bfloat16())
    made, state = pcen.stream(first)
    assert made.dtype == state.dtype == torch.float32
    torch.testing.assert_close(torch.cat([made, pcen.stream(second, state)[0]], -1), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made, state = pcen.stream(POWERS[:, :25])
        made = torch.cat([made, pcen.stream(POWERS[:, 25:], state)[0]], -1)
    torch.testing.assert_close(made, pcen(POWERS))
    x = POWERS.double().requires_grad_()
    (whole,) = torch.autograd.grad(pcen(x)[:, 25:].sum(), x)
    (streamed,) = torch.autograd.grad(pcen.stream(x[:, 25:], pcen.stream(x[:, :25])[1])[0].sum(), x)
    assert (whole[:, :25] != 0).all()
    torch.testing.assert_close(streamed, whole)


def learn(transform, x, target, *, rate, steps, optimizer=torch.optim.Adam):
    """Losses of a transform that learns a target."""
    made, losses = optimizer(transform.parameters(), lr=rate), []
    for _ in range(steps):
        loss = (transform(x) - target).square().mean()
        made.zero_grad()
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("rate", [1e2, 1e6])
def test_whatever_the_optimizer_does_what_trains_stays_in_its_bounds_and_has_a_gradient(rate, optimizer):
    x = torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
    powers = torch.rand(3, 6, 40, generator=torch.Generator().manual_seed(0))
    sinc, gabor = SincFilterbank(**SINC, f_max=3000.0), GaborFilterbank(**GABOR)
    pcen = PCEN(sample_rate=8000, trainable=True, n_bins=6)
    for transform, given in ((sinc, x), (gabor, x), (pcen, powers)):
        before = [p.detach().clone() for p in transform.parameters()]
        losses = learn(transform, given, 1.0, rate=rate, steps=30, optimizer=optimizer)
        assert np.isfinite(losses).all()
        assert all(torch.isfinite(p).all() for p in transform.parameters())
        assert max(float((p - q).detach().abs().max()) for p, q in zip(before, transform.parameters(), strict=True)) > 1
        assert torch.isfinite(transform(given)).all()
        transform.zero_grad()
        transform(given).square().mean().backward()
        # nothing has died: every parameter has somewhere to go
        assert all((p.grad != 0).any() for p in transform.parameters())
    low, high = sinc.cutoffs.detach()
    assert (low >= 50).all()
    assert (high - low >= 50 - 1e-9).all()
    assert (high <= 4000 + 1e-9).all()
    for values, bounds in (
        (gabor.centres, CENTER_BOUNDS),
        (gabor.deviations, deviation_bounds(41)),
        (gabor.pool_widths, pool_bounds(41)),
        (pcen.gain, (0, 1)),
        (pcen.power, (0, 1)),
        (pcen.b, (0, 1)),
        (pcen.bias, (1e-3 * (1 - 1e-5), 1e3 * (1 + 1e-5))),
        (gabor.pcen.gain, (0, 1)),
    ):
        assert (values >= bounds[0]).all()
        assert (values <= bounds[1]).all()


@pytest.mark.parametrize("cls", [SincFilterbank, GaborFilterbank, PCEN])
def test_what_trains_learns(cls):
    """Filters moved away on purpose find back to what they were."""
    torch.manual_seed(0)
    make = {
        SincFilterbank: lambda: SincFilterbank(**SINC, f_max=3000.0),
        GaborFilterbank: lambda: GaborFilterbank(**GABOR, compression="log"),
        PCEN: lambda: PCEN(sample_rate=8000, trainable=True, n_bins=6),
    }[cls]
    given = torch.rand(4, 6, 60) * 10 if cls is PCEN else torch.randn(4, 2000)
    target, moved = make()(given).detach(), make()
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter += 0.05
    losses = learn(moved, given, target, rate=3e-3, steps=60)
    assert losses[-1] < losses[0] / 5


def test_a_trained_gammatone_is_used_whole():
    transform = Gammatonegram(**GAMMATONE, trainable_gammatone=True)
    with torch.no_grad():
        transform.gammatone.zero_()
        transform.gammatone[:, 5] = 2.0
        one = Gammatonegram(**{**GAMMATONE, "n_bins": 1}, trainable_gammatone=True)
        one.gammatone.zero_()
        one.gammatone[0, 5] = 1.0
        torch.testing.assert_close(transform(X), 2 * one(X).expand(10, -1))
