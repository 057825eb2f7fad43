"""Arguments, training, lengths and long clips of the constant-Q family."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.methods.constant_q import constant_q_methods, octaves
from audiofeed.methods.constant_q.kernel import run
from audiofeed.methods.short_time.kernel import jit
from audiofeed.plans.constant_q.levels import octave_kernels
from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT, PseudoCQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from tests.methods.short_time.kernels import needs_compiler
from tests.oracle import defaults
from tests.signals import noise

SMALL = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 20, "bins_per_octave": 5, "hop_length": 32}


X = noise(2000)


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        *[
            (cls, change, message)
            for cls in (CQT, VQT, HybridCQT, PseudoCQT)
            for change, message in (
                ({"sample_rate": None}, "sample_rate=None must be a positive number of Hz"),
                ({"hop_length": 0}, "hop_length=0"),
                ({"f_min": 0.0}, "f_min=0.0"),
                ({"f_min": 4100.0, "n_bins": None}, "f_min=4100 Hz must leave a bin"),
                ({"n_bins": 0}, "n_bins=0"),
                ({"n_bins": 40}, "n_bins=40 bins from f_min=200 Hz reach .*use at most 2[0-9] bins"),
                ({"bins_per_octave": 0}, "bins_per_octave=0"),
                ({"tuning": math.nan}, "tuning=nan"),
                ({"filter_scale": 0.0}, "filter_scale=0.0"),
                ({"norm": -1.0}, "norm=-1.0"),
                ({"norm": "l1"}, "norm='l1'"),
                ({"window": "hanm"}, "window='hanm'"),
                ({"window": [1.0, 2.0]}, "window=.*a window of its own length"),
                ({"pad_mode": "edge"}, "pad_mode='edge'.*'replicate' here"),
                ({"sparsity": 1.0}, "sparsity=1.0"),
                ({"scale": None}, "scale=None"),
                ({"power": 0.0}, "power=0.0"),
                ({"power": math.inf}, "power=inf"),
                ({"filter_scale": math.inf}, "filter_scale=inf"),
            )
        ],
        *[(cls, {"method": "fft"}, "method='fft' must be 'auto'") for cls in (CQT, VQT)],
        *[(cls, {"power": None}, "power=None.*use CQT") for cls in (HybridCQT, PseudoCQT)],
        (CQT, {"normalization": "area"}, "normalization='area'"),
        (CQT, {"normalization": "wrap", "scale": False}, "scale=False cannot.*use normalization='librosa'"),
        (CQT, {"normalization": "convolutional", "scale": False}, "scale=False cannot.*use normalization='librosa'"),
        (CQT, {"trainable": True, "tuning": None}, "trainable=True needs a number as tuning.*tuning=0.0"),
        (VQT, {"gamma": -1.0}, "gamma=-1.0"),
        (VQT, {"gamma": math.inf}, "gamma=inf"),
        (VQT, {"intervals": "just"}, "intervals='just'"),
        (VQT, {"intervals": (1.0, 2.0)}, r"intervals=\(1.0, 2.0\)"),
        (VQT, {"intervals": (1.0, 1.5, 1.5)}, r"intervals=\(1.0, 1.5, 1.5\)"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_cqt_is_named(cls, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**{**SMALL, **change})


@pytest.mark.parametrize(
    ("cls", "function"),
    [
        (CQT, librosa.cqt),
        (VQT, librosa.vqt),
        (HybridCQT, librosa.hybrid_cqt),
        (PseudoCQT, librosa.pseudo_cqt),
    ],
)
def test_defaults_are_librosas(cls, function):
    ours = defaults(cls)
    theirs = {{"fmin": "f_min"}.get(name, name): value for name, value in defaults(function).items()}
    shared = ours.keys() & theirs.keys()
    assert len(shared) >= 11
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert ours["power"] == 1.0


def test_frequencies_and_times_of_a_cqt():
    cqt = CQT(sample_rate=22050, hop_length=441, tuning=0.25)
    np.testing.assert_allclose(cqt.frequencies, librosa.cqt_frequencies(84, fmin=librosa.note_to_hz("C1"), tuning=0.25))
    np.testing.assert_allclose(cqt.times(7), librosa.frames_to_time(np.arange(7), sr=22050, hop_length=441))
    t = torch.arange(22050) / 22050
    for k in (20, 47, 80):
        assert cqt(torch.sin(2 * torch.pi * cqt.frequencies[k] * t))[:, 20:30].mean(-1).argmax() == k
    before = cqt(X)
    cqt.frequencies.zero_()  # the caller's own
    assert cqt.frequencies.min() > 0
    assert torch.equal(cqt(X), before)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("cls", [CQT, VQT, HybridCQT, PseudoCQT])
def test_silence_has_a_gradient_at_every_power(cls, power):
    """A root is infinitely steep at 0; the gradient there is 0."""
    x = torch.zeros(1, 600, requires_grad=True)
    cls(**{**SMALL, "hop_length": 128}, power=power)(x).sum().backward()
    assert torch.all(x.grad == 0)


def test_a_silent_bin_beside_a_loud_one_has_a_gradient():
    """Bins that are multiplied together share magnitudes: a NaN of one, times a weight of 0, would be all others'."""
    pseudo = PseudoCQT(**SMALL, power=0.5)
    magnitudes = torch.zeros(1, pseudo.n_fft // 2 + 1)
    magnitudes[0, round(float(pseudo.frequencies[9]) / 8000 * pseudo.n_fft)] = 1.0
    out = pseudo.weighted(magnitudes.requires_grad_(), None)
    assert out[0, 0] == 0
    assert out[0, 9] > 0
    out.sum().backward()
    assert torch.isfinite(magnitudes.grad).all()


def test_ratios_may_be_given_in_any_order():
    ordered, other = (VQT(**{**SMALL, "n_bins": 8}, intervals=ratios) for ratios in ((1, 1.25, 1.5), (1.5, 1, 1.25)))
    assert torch.equal(ordered(X), other(X))


def test_as_many_bins_as_fit():
    for config in ({}, {"bins_per_octave": 36}, {"filter_scale": 0.5}, {"tuning": None}):
        cqt = CQT(sample_rate=22050, n_bins=None, **config)
        assert cqt.bank.cutoff <= 11025
        with pytest.raises(ValueError, match=f"use at most {cqt.n_bins} bins"):
            CQT(sample_rate=22050, n_bins=cqt.n_bins + 1, **config)


def test_kernels_are_small():
    for config in ({}, {"sample_rate": 44100, "n_bins": 252, "bins_per_octave": 36}):
        cqt = CQT(**{"sample_rate": 22050, **config})
        assert sum(b.numel() * b.element_size() for b in cqt.buffers()) < 4 * 2**20


def test_few_zeros_are_multiplied_at_the_full_rate():
    cqt = CQT(sample_rate=22050, method="conv")
    assert float((cqt.kernels == 0).double().mean()) < 0.15
    # all bins in one matrix, as in nnAudio, are zeros mostly
    assert cqt.kernels.numel() < 0.3 * 2 * 84 * 2 ** math.ceil(math.log2(cqt.bank.lengths.max()))


@pytest.mark.parametrize("method", ["octaves", "conv"])
def test_trained_kernels_count_with_and_without_a_graph(method):
    cqt = CQT(**SMALL, method=method, trainable=True)
    x = X.float()
    wanted = cqt(x).detach() * 1.5
    optimizer = torch.optim.Adam(cqt.parameters(), lr=1e-2 * float(cqt.kernels.detach().abs().max()))
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = (cqt(x) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    trained = cqt(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(cqt(x), trained, rtol=1e-5, atol=1e-5)
    assert float((trained - CQT(**SMALL, method=method)(x)).abs().max()) > 1e-3
    again = CQT(**SMALL, method=method, trainable=True)
    again.load_state_dict(cqt.state_dict())
    torch.testing.assert_close(again(x).detach(), trained)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    hop=st.sampled_from([32, 40, 33, 512]),
    pad_mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    graph=st.booleans(),
)
def test_a_padded_batch_is_its_clips_alone(lengths, hop, pad_mode, graph):
    """Each row ends where it ends at every rate, with a graph and without."""
    cqt = CQT(**{**SMALL, "hop_length": hop}, pad_mode=pad_mode, power=None)
    clips = [noise(n, seed=i) for i, n in enumerate(lengths)]
    batch = torch.full((len(clips), max(lengths) + 5), math.nan, dtype=torch.float64)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    out = cqt(batch.requires_grad_(graph), torch.tensor(lengths)).detach()
    for row, clip, n in zip(out, clips, cqt.frame_lengths(torch.tensor(lengths)).tolist(), strict=True):
        alone = cqt(clip)
        assert alone.shape[-1] == n
        assert float((row[:, :n] - alone).norm()) <= 1e-9 * float(clip.norm())
        assert torch.all(row[:, n:] == 0)


@pytest.mark.parametrize("hop", [48, 33])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_a_long_clip_is_the_same_in_segments(hop, pad_mode, monkeypatch):
    config = {**SMALL, "hop_length": hop, "pad_mode": pad_mode, "power": None}
    cqt = CQT(**config)
    x = noise(2, 150_001)
    whole = cqt(x)
    monkeypatch.setattr("audiofeed.methods.frames.CPU_BLOCK", 20_000)
    monkeypatch.setattr(octaves, "_SEGMENT", 3)
    calls = []
    levels = octaves._levels
    monkeypatch.setattr(octaves, "_levels", lambda *args: (calls.append(1), levels(*args)))
    cut = cqt(x)
    assert len(calls) > 4
    # the filters' blocks fall elsewhere, and what they let past the new Nyquist frequency, 126 dB down, falls otherwise
    assert float((cut - whole).norm()) <= 1e-8 * float(whole.norm())


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=needs_compiler), False])
def test_memory_of_a_long_clip_does_not_grow_with_it(kernels, monkeypatch):
    """Beside the result: what the workspaces of one segment take, the same for a clip twice as long."""
    if not kernels:
        monkeypatch.setattr(jit, "lanes", lambda: 0)
    cqt = CQT(sample_rate=8000, n_bins=60)
    sizes = []
    kept_empty = run.kept_empty

    def counted(shape, dtype):
        if len(shape) == 1:  # what threads work in, and not the result
            sizes.append(shape[0])
        return kept_empty(shape, dtype)

    monkeypatch.setattr(run, "kept_empty", counted)

    class Counted(octaves.Workspace):
        def take(self, name, *shape):
            held = super().take(name, *shape)
            sizes.append(sum(memory.numel() for memory in self._held.values()))
            return held

    monkeypatch.setattr(octaves, "Workspace", Counted)
    taken = []
    for seconds in (1000, 2000):
        sizes.clear()
        with torch.no_grad():
            cqt(torch.zeros(8000 * seconds))
        taken.append(max(sizes))
    assert taken[1] <= 1.05 * taken[0]
    assert taken[0] * 4 < 100e6


def test_a_graph_leaves_out_what_soxr_leaves_out():
    """After early downsampling by 8 a length is rounded, not rounded up, with a graph as without one."""
    cqt = CQT(sample_rate=8000, f_min=100.0, n_bins=12, hop_length=64, power=None)
    assert cqt.kernel_bank.levels[0].factor == 8
    for n in (1, 9, 11, 12, 16, 1001, 1003, 1004):
        x = noise(n)
        plain = cqt(x)
        torch.testing.assert_close(cqt(x.clone().requires_grad_()).detach(), plain, rtol=1e-9, atol=1e-9)


def test_a_rate_that_no_filter_leads_to_is_not_looked_for():
    """Early downsampling ends at 256, the largest factor there is a filter for."""
    cqt = CQT(sample_rate=48000, f_min=6.0, n_bins=2, hop_length=8192, power=None)
    assert cqt.kernel_bank.levels[0].factor == 256
    t = torch.arange(48000 * 8, dtype=torch.float64) / 48000
    tone = torch.sin(2 * torch.pi * 6.0 * t)
    dense = CQT(sample_rate=48000, f_min=6.0, n_bins=2, hop_length=8192, power=None, method="conv")
    middle = (0, slice(20, 28))
    assert float((cqt(tone)[middle] - dense(tone)[middle]).norm()) <= 1e-2 * float(dense(tone)[middle].norm())


# ---------------------------------------------------------------- a tuning for each clip


def chord(cents, n=22050, sample_rate=22050):
    """Tones of A minor, all as far from A440."""
    t = torch.arange(n, dtype=torch.float64) / sample_rate
    return sum(torch.sin(2 * torch.pi * f * 2 ** (cents / 1200) * t) for f in (220.0, 440.0, 523.2511, 659.2551))


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (CQT, {"norm": 2.0, "window": "hamming", "pad_mode": "reflect", "sparsity": 0.05, "scale": False}),
        (CQT, {"filter_scale": 0.7, "normalization": "wrap", "method": "conv", "power": None}),
        (VQT, {"gamma": 20.0, "intervals": "ji5", "bins_per_octave": 36}),
        (PseudoCQT, {"norm": 2.0, "window": "hamming", "pad_mode": "reflect", "sparsity": 0.05, "scale": False}),
        (HybridCQT, {"filter_scale": 0.7, "power": 2.0, "hop_length": 1024}),
    ],
    ids=str,
)
def test_an_estimated_tuning_is_as_one_that_is_given(cls, config):
    """With all other settings; all channels of a clip share the tuning that they have together."""
    config = {"sample_rate": 22050, "f_min": 65.4, "n_bins": 60, **config}
    estimated = cls(**config, tuning=None)
    quiet = 1e-3 * chord(-20)
    x = torch.stack([torch.stack([chord(30), quiet]), torch.stack([chord(-20), quiet]), torch.stack([chord(0), quiet])])
    tunings = estimated.estimate(x, None)
    bins_per_octave = config.get("bins_per_octave", 12)
    theirs = [librosa.estimate_tuning(y=clip.numpy(), sr=22050, bins_per_octave=bins_per_octave) for clip in x]
    assert tunings == pytest.approx(theirs, abs=1e-9)
    assert len(set(tunings)) == 3
    for row, tuning in enumerate(tunings):
        expected = cls(**config, tuning=tuning)(x[row])
        torch.testing.assert_close(estimated(x)[row], expected)
        torch.testing.assert_close(estimated(x[row : row + 1])[0], expected)


def test_kernels_are_kept_for_the_last_tunings_and_do_not_travel(monkeypatch):
    cqt = CQT(sample_rate=22050, tuning=None)
    size = len(pickle.dumps(cqt))
    x = torch.stack([chord(cents) for cents in (0, 30, -20)])
    whole = cqt(x)
    assert len(cqt._tuned) == 3
    # found in float32 they are the same hundredths of a bin
    cqt(x.float())
    assert len(cqt._tuned) == 3
    assert len(pickle.dumps(cqt)) == size
    monkeypatch.setitem(CQT.tuned.__globals__, "MOST_TUNINGS", 2)
    other = CQT(sample_rate=22050, tuning=None)
    assert torch.equal(other(x), whole)
    assert len(other._tuned) == 2


def test_a_clip_in_silence_is_in_tune():
    x = torch.zeros(2, 1, 9000)
    assert torch.all(CQT(sample_rate=22050, tuning=None)(x) == 0)


def test_a_tuned_clip_has_the_frames_that_are_promised():
    """A bank that is tuned lower may fall to a lower rate at once, and count a last frame that another does not."""
    config = {"sample_rate": 22050, "n_bins": 12, "hop_length": 512, "pad_mode": "reflect"}
    # the highest bin in tune reaches just above an eighth of half the rate, and tuned down just below
    top = CQT(f_min=400.0, **config).bank.cutoff
    f_min = 400.0 * (22050 / 2 / 8) / top * 1.005
    cqt = CQT(f_min=f_min, **config, tuning=None)
    factors = {tuning: cqt.tuned(tuning).kernel_bank.levels[0].factor for tuning in (-0.3, 0.0)}
    assert factors[-0.3] > factors[0.0] == cqt.kernel_bank.levels[0].factor
    n = 512 * 20 - 3  # a half of it is 2 samples short of 20 hops, a quarter of it, rounded up, is all of them
    tuned = chord(-30, n)
    assert cqt.estimate(tuned[None], None) == pytest.approx([-0.3], abs=0.05)
    assert cqt.tuned(-0.3)(tuned).shape[-1] == 21
    assert cqt(tuned).shape[-1] == int(cqt.frame_lengths(torch.tensor(n))) == 20
    batch = torch.stack([tuned, chord(0, n)])
    torch.testing.assert_close(cqt(batch)[0], cqt(tuned))


# ---------------------------------------------------------------- definitions


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_kernels_are_computed_once(monkeypatch):
    """For the construction and the first call together, and for an inverse with all that it looks at."""
    calls = []
    found = constant_q_methods.octave_kernels
    monkeypatch.setattr(constant_q_methods, "octave_kernels", lambda *a, **k: calls.append(1) or found(*a, **k))
    cqt = CQT(sample_rate=22050)
    first = cqt(torch.ones(1, 4000))
    assert len(calls) == 1
    assert torch.equal(cqt(torch.ones(1, 4000)), first)
    assert len(calls) == 1
    InverseCQT(sample_rate=8000, hop_length=8, f_min=250.0, n_bins=24, bins_per_octave=6)
    assert len(calls) == 2


def test_what_the_construction_computed_is_given_up_at_the_first_call():
    cqt = CQT(sample_rate=22050)
    exact = cqt.kernel_bank.exact()
    assert cqt.kernel_bank.exact() is exact
    cqt(torch.ones(1, 4000))
    again = cqt.kernel_bank.exact()
    assert again is not exact
    assert np.array_equal(again, exact)


def test_octaves_that_share_their_wavelets_are_as_if_computed_alone():
    """To the bit; most octaves of a bank share them, but not those that are alike in length alone."""
    of_q = CQT(sample_rate=22050)
    of_length = VQT(sample_rate=22050, hop_length=441, n_bins=36, f_min=100.0, gamma=2000.0)
    for transform, most in ((of_q, 3), (of_length, 3)):
        bank, levels = transform.bank, transform.kernel_bank.levels
        bands = [replace(level, bands=(band,)) for level in levels for band in level.bands]
        gains = bank.gains("librosa", scale=True)
        made = {}
        together = octave_kernels(bank, levels, gains, sparsity=0.01, made=made)
        alone = [octave_kernels(bank, (band,), gains, sparsity=0.01) for band in bands]
        assert np.array_equal(together, np.concatenate(alone))
        assert len(made) <= most
    assert len({tuple(bank.samples(k) for k in band.bands[0].bins) for band in bands}) < len(bands)


def test_filters_that_definitions_keep_are_not_shared_by_modules(default_float64):
    """In float64, where no cast makes a copy."""
    config = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 20, "bins_per_octave": 5, "hop_length": 32}
    cqt = CQT(**config)
    expected = cqt.response_2.clone()
    cqt.response_2.zero_()
    assert torch.equal(CQT(**config).response_2, expected)
