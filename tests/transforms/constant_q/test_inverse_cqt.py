"""What comes back from our own constant-Q values; lengths, linearity, the limit in time, wrong arguments."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.transforms.constant_q.cqt import VQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from tests.signals import band_noise

# 18 bins of 6 in an octave from 200 Hz, all of them sampled often enough
CONFIG = {"sample_rate": 8000, "hop_length": 16, "f_min": 200.0, "n_bins": 18, "bins_per_octave": 6}


def pair(n_iter=2, **config):
    """The analysis and its inverse, without the warning."""
    config = {**CONFIG, **config}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return VQT(**{"gamma": 0.0, **config}, power=None), InverseCQT(**config, n_iter=n_iter)


def noise(*shape, high=1000.0, seed=0):
    """Within the bins of `CONFIG`."""
    return band_noise(*shape, low=260.0, high=high, seed=seed)


def snr(expected, found):
    """Decibels of signal over what is wrong."""
    return 20 * np.log10(float(expected.norm()) / float((expected - found).norm()))


def tone(time, rate=8000):
    return torch.sin(2 * math.pi * 440.0 / rate * torch.arange(time, dtype=torch.float64))


# The abrupt ends of the clip, which hold sound outside the band, are included.
@pytest.mark.parametrize("method", ["octaves", "conv"])
@pytest.mark.parametrize(
    "x", [noise(6000), tone(6000), torch.stack([noise(5001), tone(5001)])], ids=["noise", "tone", "both"]
)
def test_a_clip_in_the_covered_band_comes_back(x, method):
    for n_iter, least in ((0, 15.0), (2, 30.0), (16, 40.0)):
        forward, inverse = pair(n_iter, method=method)
        for dtype in (torch.float64, torch.float32):
            y = inverse(forward(x.to(dtype)), x.shape[-1])
            assert y.shape == x.shape
            assert y.dtype == dtype
            assert snr(x, y.double()) >= least


@settings(max_examples=10)
@given(data=st.data())
def test_more_steps_come_nearer_whatever_the_settings(data):
    """The values of what came back lie nearer to those given, step by step, so that no eigenvalue is too large."""
    config = {
        "n_bins": 12,
        "hop_length": data.draw(st.integers(4, 200), "hop"),
        "filter_scale": data.draw(st.sampled_from([0.5, 1.0, 2.0]), "filter_scale"),
        "norm": data.draw(st.sampled_from([1.0, 2.0, None, math.inf]), "norm"),
        "window": data.draw(st.sampled_from(["hann", "boxcar", "blackman", ("kaiser", 8.6)]), "window"),
        "scale": data.draw(st.booleans(), "scale"),
        "gamma": data.draw(st.sampled_from([0.0, 15.0, None]), "gamma"),
        "intervals": data.draw(st.sampled_from(["equal", "ji5", (1.0, 1.1, 1.3, 1.7)]), "intervals"),
        "method": data.draw(st.sampled_from(["octaves", "conv"]), "method"),
    }
    x = noise(data.draw(st.integers(300, 1200), "time"), seed=data.draw(st.integers(0, 9), "seed"))
    errors = []
    for n_iter in (0, 1, 8):
        forward, inverse = pair(n_iter, **config)
        values = forward(x)
        missing = (values - forward(inverse(values, len(x)))) * inverse.weights.double().sqrt()[:, None]
        errors.append(float(missing.norm()))
    assert errors[2] < errors[1] < errors[0]


def test_the_inverse_is_linear_in_the_values():
    _, inverse = pair()
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.standard_normal((18, 40, 2))) for _ in range(2))
    a, b = torch.view_as_complex(a), torch.view_as_complex(b)
    torch.testing.assert_close(inverse(3.0 * a - b), 3.0 * inverse(a) - inverse(b))
    assert torch.equal(inverse(torch.zeros_like(a)), torch.zeros(624, dtype=torch.float64))


def test_a_known_length_saves_the_end():
    """Without it the samples after the last frame might have been anything."""
    forward, inverse = pair(n_iter=16)
    x = noise(3000) + tone(3000)
    values = forward(x)
    assert inverse.sample_lengths(torch.tensor(values.shape[-1])) == 2992
    whole, cut = inverse(values, 3000), inverse(values)
    assert cut.shape == (2992,)
    assert snr(x, whole) > 35
    assert snr(x[:2992], cut) > 30
    assert not torch.equal(whole[:2992], cut)
    # a length that the frames cannot have: cut, or followed by zeros
    assert torch.equal(inverse(values, 100), cut[:100])
    longer = inverse(values, 5000)
    assert torch.equal(longer[:2992], cut)
    assert torch.all(longer[3008:] == 0)


def test_a_padded_batch_of_constant_q_values_comes_back_clip_by_clip():
    forward, inverse = pair()
    lengths = torch.tensor([2000, 1203, 40])
    x = torch.zeros(3, 2, 2000, dtype=torch.float64)
    for row, n in enumerate(lengths.tolist()):
        x[row, :, :n] = noise(2, n, seed=row)
    values, frames = forward(x, lengths), forward.frame_lengths(lengths)
    y = inverse(values, lengths, lengths=frames)
    with_graph = inverse(values.clone().requires_grad_(), lengths, lengths=frames)
    assert y.shape == x.shape
    for row, n in enumerate(lengths.tolist()):
        alone = inverse(forward(x[row, :, :n]), n)
        torch.testing.assert_close(y[row, :, :n], alone)
        torch.testing.assert_close(with_graph[row, :, :n].detach(), alone, rtol=1e-5, atol=1e-6)
        assert torch.all(y[row, :, n:] == 0)


def test_a_hop_too_long_is_warned_of_with_the_remedy():
    best = pair()[1].largest_hop
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InverseCQT(**{**CONFIG, "hop_length": best})
    message = (
        rf"hop_length={best + 1} leaves 1 of 18 bins, from 1425 Hz up.*use hop_length={best} or less, or n_bins=17,"
    )
    with pytest.warns(UserWarning, match=message) as found:
        InverseCQT(**{**CONFIG, "hop_length": best + 1})
    assert found[0].filename == __file__
    # all of them: fewer bins do not help
    with pytest.warns(UserWarning, match=r"leaves 18 of 18 bins.* or less, or InvertibleCQT"):
        InverseCQT(**{**CONFIG, "hop_length": 1000})


def test_the_limit_is_where_the_signal_begins_to_be_lost():
    """At the limit 16 steps still find nearly all, 34 dB; at twice the hop the values are fewer than the samples."""
    x = noise(8000, high=1400.0)
    best = pair()[1].largest_hop
    found = {}
    for hop in (best, 2 * best, 4 * best):
        forward, inverse = pair(n_iter=16, hop_length=hop, method="conv")
        found[hop] = snr(x, inverse(forward(x), 8000))
    assert found[best] > 30
    assert found[2 * best] < 25
    assert found[4 * best] < 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": None}, "tuning=None must be a number"),
        ({"n_iter": -1}, "n_iter=-1 must be an integer number of steps, 0 or more"),
        ({"n_iter": 2.5}, r"n_iter=2\.5 must be an integer"),
        ({"n_iter": True}, "n_iter=True must be an integer"),
        ({"hop_length": 0}, "hop_length=0 must be"),
        ({"n_bins": 40}, "n_bins=40 bins"),
        ({"method": "fft"}, "method='fft' must be"),
    ],
)
def test_a_wrong_argument_of_the_inverse_cqt_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        InverseCQT(**{**CONFIG, **changes})


def test_wrong_values_are_named():
    forward, inverse = pair()
    with pytest.raises(TypeError, match=r"complex: give the values of CQT\(power=None\)"):
        inverse(forward(noise(100)).abs())
    with pytest.raises(ValueError, match="n_bins=18 bins"):
        inverse(torch.zeros(17, 5, dtype=torch.complex64))
    with pytest.raises(ValueError, match="length=0 must be"):
        inverse(torch.zeros(18, 5, dtype=torch.complex64), 0)


def test_the_frequencies_are_those_of_the_analysis():
    forward, inverse = pair()
    assert torch.equal(inverse.frequencies, forward.frequencies)
