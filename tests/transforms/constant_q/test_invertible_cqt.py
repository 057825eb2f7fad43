"""The invertible constant-Q transform: arguments, bands, streams, clips of several lengths, its place in a chain."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.signal.constant_q.sliced_bands import constant_q_frequencies, gabor_bands, largest_band_hop
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
from audiofeed.transforms.constant_q.invertible_cqt_inverse import InvertibleCQTInverse
from tests.signals import noise

BASE = {"sample_rate": 8000, "f_min": 500.0, "bins_per_octave": 4, "hop_length": 4}
# slices of 1200 samples, of which 656 are kept
STREAM = {"sample_rate": 8000, "f_min": 700.0, "bins_per_octave": 3, "hop_length": 4, "slice_length": 1200}


def test_the_default_hop_is_the_largest_power_of_two():
    settings = {"sample_rate": 22050, "f_min": 500.0}
    assert InvertibleCQT(**settings).hop_length == 16
    assert InvertibleCQT(**settings, bins_per_octave=24).hop_length == 32
    most = largest_band_hop(
        constant_q_frequencies(sample_rate=22050, f_min=500.0, f_max=None, bins_per_octave=12),
        sample_rate=22050,
        bins_per_octave=12,
    )
    assert 16 <= most < 32
    assert InvertibleCQT(**settings, hop_length=most).hop_length == most
    with pytest.raises(ValueError, match=f"must not exceed {most}"):
        InvertibleCQT(**settings, hop_length=most + 1)


def test_slices_decide_how_long_a_stream_waits_and_how_exact_it_is():
    x = noise(20_000)
    exact = InvertibleCQT(**BASE, slice_length=50_000)(x)
    errors, waits = [], []
    for transition in (200, 400, 600):
        cqt = InvertibleCQT(**BASE, slice_length=2000, transition=transition)
        errors.append(float((cqt(x) - exact).norm() / exact.norm()))
        waits.append(cqt.latency)
    assert waits == [1800, 1600, 1400]
    assert 1e-2 > errors[0] > 10 * errors[1] > 100 * errors[2] > 0
    longer = InvertibleCQT(**BASE, slice_length=4000)
    assert longer.latency == 4000 - longer.transition
    torch.testing.assert_close(longer(x), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": None}, "sample_rate=None must be a positive number"),
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"f_min": 0.0}, "f_min=0.0.*0 < f_min"),
        ({"f_min": 4001.0}, "f_min=4001.0.*4000 Hz"),
        ({"f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
        ({"f_max": 400.0}, "f_min=500.0, f_max=400.0"),
        ({"f_min": 3900.0}, r"f_min=3900.0 leaves no room.*bins_per_octave=4; use f_min=\d"),
        ({"bins_per_octave": 0}, "bins_per_octave=0 must be an integer"),
        ({"bins_per_octave": 12.0}, "bins_per_octave=12.0 must be an integer"),
        ({"hop_length": 0}, "hop_length=0"),
        ({"hop_length": 9}, r"hop_length=9 must not exceed \d: the bin at .* Hz changes faster"),
        ({"transition": 105}, "transition=105 must be a multiple of hop_length=4.*use 108"),
        ({"transition": 8}, "transition=8 must be .* at least 104.*use 104"),
        ({"slice_length": 1501}, "slice_length=1501 must be a multiple of 4"),
        ({"slice_length": 400}, "slice_length=400 must .* above twice the transition of 808 samples; use 1620"),
        ({"slice_length": 0}, "slice_length=0"),
        ({"hop_length": 3, "slice_length": 1803}, "multiple of 6"),
        ({"power": 0.0}, "power=0.0 must be a number > 0"),
        ({"power": math.inf}, "power=inf"),
    ],
    ids=str,
)
def test_a_wrong_setting_of_an_invertible_cqt_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        InvertibleCQT(**{**BASE, **change})
    if "power" not in change:
        with pytest.raises(ValueError, match=message):
            InvertibleCQTInverse(**{**BASE, **change})


def test_what_the_errors_advise_is_taken():
    InvertibleCQT(**{**BASE, "slice_length": 1620})
    InvertibleCQT(**{**BASE, "transition": 104})
    most = 8000 / (3 * 2 ** (1 / 4) - 1)
    InvertibleCQT(**{**BASE, "f_min": most * 0.9999})


def test_wrong_coefficients_are_named():
    cqt = InvertibleCQT(**BASE)
    spectrum = cqt(noise(200))
    with pytest.raises(ValueError, match=r"and there are \d+ bins"):
        cqt.inverse(spectrum[1:])
    with pytest.raises(TypeError, match=r"power=None"):
        cqt.inverse(spectrum.abs())
    with pytest.raises(ValueError, match="length=0"):
        cqt.inverse(spectrum, 0)


# ---------------------------------------------------------------- where the bins and frames lie


@given(
    rate=st.sampled_from([8000, 22050, 44100]),
    bins=st.integers(1, 48),
    part=st.floats(2.0, 500.0),
    share=st.floats(0.0, 1.0),
)
@settings(max_examples=200)
def test_bands_cover_everything_and_fit_the_rate(rate, bins, part, share):
    f_min = rate / (2 * part)
    if f_min > rate / (3 * 2 ** (1 / bins) - 1):
        return
    f_max = f_min + share * (rate / 2 - f_min)
    frequencies = constant_q_frequencies(sample_rate=rate, f_min=f_min, f_max=f_max, bins_per_octave=bins)
    hop = largest_band_hop(frequencies, sample_rate=rate, bins_per_octave=bins)
    bands = gabor_bands(sample_rate=rate, f_min=f_min, f_max=f_max, bins_per_octave=bins, hop_length=hop)
    f, stop = bands.centers, bands.first + bands.count
    assert f[0] == 0
    assert f[-1] == rate / 2
    assert np.all(f[1:] > f[:-1])
    inner = f[bands.first : stop]
    np.testing.assert_allclose(inner, f_min * 2 ** (np.arange(len(inner)) / bins))
    assert float(inner[-1]) <= f_max * (1 + 1e-9)
    step = 2 ** (1 / bins)
    assert float(f[stop]) == pytest.approx(float(inner[-1]) * step)
    # a bin more would exceed f_max, or leave no room for its band
    more = float(inner[-1]) * step
    assert more > f_max * (1 - 1e-9) or more * (step + (step - 1) / 2) > rate / 2 * (1 - 1e-9)
    # every band's width is at most the rate of the frames, counted on both sides where it is real
    hz = rate / hop * (1 + 1e-9)
    starts, ends = [-bands.fades[0, 1], *bands.fades[:, 0]], [*bands.fades[:, 1], rate - bands.fades[-1, 0]]
    assert max(end - start for start, end in zip(starts, ends, strict=True)) <= hz
    # and none is narrower than the lowest of constant Q without need: half of what it could be
    assert bands.narrowest >= min(float(inner[0]) * (1 - 1 / step), hz / 8) * (1 - 1e-9)


def test_times_and_latency():
    cqt = InvertibleCQT(**STREAM)
    assert cqt.times(3).tolist() == [0.0, 4 / 8000, 8 / 8000]
    assert cqt.latency == 1200 - cqt.transition
    assert cqt.inverse_transform().latency == cqt.latency
    assert cqt.inverse_transform().frame_lengths(torch.tensor([0, 1, 5])).tolist() == [0, 1, 17]


# ---------------------------------------------------------------- clips of several lengths


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5), graph=st.booleans())
def test_a_padded_batch_comes_back(lengths, graph):
    cqt = InvertibleCQT(**STREAM)
    x = noise(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    lengths = torch.tensor(lengths)
    coefficients = cqt(x.requires_grad_(graph), lengths)
    back = cqt.inverse(coefficients, lengths, lengths=cqt.frame_lengths(lengths))
    assert back.shape == x.shape
    assert float((back - x).detach().norm()) <= 1e-6 * float(x.detach().norm())


def test_a_chain_goes_there_and_back():
    cqt = InvertibleCQT(**STREAM)
    chain = Chain(cqt, cqt.inverse_transform())
    x, lengths = noise(3, 2001), torch.tensor([2001, 400, 1])
    back = chain(x, lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(back[row, :length], x[row, :length], rtol=0, atol=1e-6)
        assert torch.all(back[row, chain.frame_lengths(lengths)[row] :] == 0)
    assert chain.frame_lengths(lengths).tolist() == [2001, 401, 1]
    assert len(chain.state_dict()) == 0


def test_length_cuts_and_fills():
    cqt = InvertibleCQT(**STREAM)
    x = noise(2, 1000)
    y = cqt(x)
    whole = cqt.inverse(y)
    assert whole.shape == (2, 1001)
    assert torch.equal(cqt.inverse(y, 700), whole[:, :700])
    assert torch.equal(cqt.inverse(y, 1500), torch.nn.functional.pad(whole, (0, 499)))
    both = cqt.inverse(y, torch.tensor([300, 800]))
    assert both.shape == (2, 800)
    assert torch.all(both[0, 300:] == 0)
    torch.testing.assert_close(both[1], whole[1, :800])


@pytest.mark.parametrize("n", [3, 600, 2000])
def test_the_first_and_last_bin_are_real(n):
    cqt = InvertibleCQT(**STREAM)
    y = cqt(noise(n))
    assert torch.all(y[[0, -1]].imag == 0)
    turned = y.clone()
    turned[[0, -1]] += 1j
    torch.testing.assert_close(cqt.inverse(turned), cqt.inverse(y))
    torch.testing.assert_close(cqt.inverse(turned.clone().requires_grad_()).detach(), cqt.inverse(y))
    # 2001 samples end on a frame, and are mirrored there without a zero between
    steady = cqt(torch.full((2001,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(steady[0].real, torch.full_like(steady[0].real, 0.5), rtol=0, atol=1e-6)
    assert float(steady[1:].abs().max()) <= 1e-6


def test_gradients_of_the_transform_and_of_its_inverse():
    """The transform and its inverse are the identity, and so is the gradient through both."""
    cqt = InvertibleCQT(**STREAM)
    for n in (301, 2001):
        x, weights = noise(2, n).requires_grad_(), noise(2, n, seed=1)
        (cqt.inverse(cqt(x), n) * weights).sum().backward()
        torch.testing.assert_close(x.grad, weights, rtol=0, atol=1e-5)


# ---------------------------------------------------------------- streams


def in_chunks(stream, x, cuts, **at_last):
    """What a stream gives of x cut at these places, laid end to end."""
    parts, state = [], None
    ends = [*sorted(cuts), x.shape[-1]]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        last = end == x.shape[-1] and len(parts) == len(ends) - 1
        part, state = stream(x[..., start:end], state, last=last, **(at_last if last else {}))
        parts.append(part)
    return torch.cat(parts, dim=-1)


@settings(max_examples=40)
@given(n=st.integers(1, 4500), data=st.data(), power=st.sampled_from([None, 1.0]))
def test_chunks_give_what_the_whole_gives(n, data, power):
    cqt = InvertibleCQT(**STREAM, power=power)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=8), "cuts")
    x = noise(2, n)
    whole = cqt(x)
    torch.testing.assert_close(in_chunks(cqt.stream, x, cuts), whole, rtol=1e-12, atol=1e-12)
    single = in_chunks(cqt.stream, x.float(), cuts)
    assert single.shape == whole.shape
    torch.testing.assert_close(single, cqt(x.float()), rtol=1e-5, atol=1e-5)


@settings(max_examples=40)
@given(n=st.integers(1, 4500), data=st.data())
def test_chunks_of_coefficients_give_what_the_whole_gives(n, data):
    cqt = InvertibleCQT(**STREAM)
    coefficients = cqt(noise(2, n))
    cuts = data.draw(st.lists(st.integers(0, coefficients.shape[-1]), max_size=8), "cuts")
    inverse = cqt.inverse_transform()
    back = in_chunks(inverse.stream, coefficients, cuts, length=n)
    torch.testing.assert_close(back, cqt.inverse(coefficients, n), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        in_chunks(inverse.stream, coefficients, cuts), cqt.inverse(coefficients), rtol=1e-12, atol=1e-12
    )


def test_a_stream_waits_no_longer_than_its_latency_and_keeps_no_more_than_two_slices():
    cqt = InvertibleCQT(**STREAM)
    inverse = cqt.inverse_transform()
    state = back = None
    given_frames = given_samples = 0
    x = noise(40_000)
    for i in range(400):
        frames, state = cqt.stream(x[i * 100 : i * 100 + 100], state)
        samples, back = inverse.stream(frames, back)
        given_frames, given_samples = given_frames + frames.shape[-1], given_samples + samples.shape[-1]
        # the frame that stands at the last sample of this chunk is not among those given, nor those a latency before
        assert given_frames * 4 > (i + 1) * 100 - cqt.latency - 4
        assert given_samples > (i + 1) * 100 - 2 * cqt.latency - 8
        torch.testing.assert_close(samples, x[given_samples - len(samples) : given_samples], rtol=0, atol=1e-5)
        assert state.kept.shape[-1] <= 2 * cqt.slice_length
        assert back.kept.shape[-1] <= 2 * cqt.slice_length // 4


def test_a_stream_computes_nothing_twice(monkeypatch):
    """Each slice is transformed once, however small the chunks."""
    seen = []
    cqt = InvertibleCQT(**STREAM)
    found = torch.fft.rfft
    monkeypatch.setattr(torch.fft, "rfft", lambda x: seen.append(x.shape[0]) or found(x))
    in_chunks(cqt.stream, noise(1, 4500), range(50, 4500, 50))
    assert len(seen) == math.ceil((1 + math.ceil(4499 / 4)) / cqt.frame.slices.kept)


def test_a_stream_takes_what_forward_takes():
    cqt = InvertibleCQT(**STREAM)
    samples = (noise(2, 3, 2500) * 5000).to(torch.int16)
    assert torch.equal(in_chunks(cqt.stream, samples, [700, 900]), cqt(samples))
    one = noise(2500)
    torch.testing.assert_close(in_chunks(cqt.stream, one, [0, 2500]), cqt(one))
    x = noise(2500).requires_grad_()
    in_chunks(cqt.stream, x, [1300, 2300]).abs().square().sum().backward()
    other = x.detach().clone().requires_grad_()
    cqt(other).abs().square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_wrong_streams_are_named():
    cqt = InvertibleCQT(**STREAM)
    inverse = cqt.inverse_transform()
    _, state = cqt.stream(noise(2, 10))
    with pytest.raises(ValueError, match=r"leading dimensions \(3,\), and the stream began with \(2,\)"):
        cqt.stream(noise(3, 10), state)
    with pytest.raises(ValueError, match="without a sample"):
        cqt.stream(noise(2, 0), last=True)
    with pytest.raises(ValueError, match="without a frame"):
        inverse.stream(cqt(noise(20))[:, :0], last=True)
    with pytest.raises(TypeError, match="or int16"):
        cqt.stream(torch.zeros(5, dtype=torch.int32))
    with pytest.raises(ValueError, match="bins"):
        inverse.stream(cqt(noise(20))[1:])
    coefficients = cqt(noise(4000))
    _, state = inverse.stream(coefficients)
    with pytest.raises(ValueError, match=r"length=3 must be at least \d+, the samples that were already given"):
        inverse.stream(coefficients[:, :0], state, last=True, length=3)


def test_a_transform_and_its_inverse_share_their_bands():
    """What moves or casts one, moves or casts the other."""
    cqt = InvertibleCQT(**STREAM)
    inverse = cqt.inverse_transform()
    assert inverse.frame is cqt.frame
    alone = InvertibleCQTInverse(**STREAM)
    assert repr(inverse) == repr(alone)
    cqt.double()
    assert inverse.frame.analysis.dtype == torch.float64
    x = noise(2, 300)
    assert torch.equal(inverse(cqt(x), 300), alone.double()(cqt(x), 300))
