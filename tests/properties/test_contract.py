"""The contract of every transform: shapes, lengths, batch-mates, precision, gradients, state."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
import audiofeed.transforms
from tests.properties.cases import CASES, IDS, OF_SPECTROGRAMS, PAIRS

every = pytest.mark.parametrize(("cls", "config"), PAIRS, ids=IDS)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def test_every_public_transform_is_tested():
    public = {getattr(audiofeed.transforms, name) for name in audiofeed.transforms.__all__} - {af.transforms.Transform}
    assert public == set(CASES) | OF_SPECTROGRAMS
    for cls in public:
        assert getattr(af, cls.__name__) is cls


@every
def test_leading_dimensions(cls, config):
    transform = cls(**config)
    x = noise(2, 3, 500)
    whole = transform(x)
    assert whole.shape[:2] == (2, 3)
    torch.testing.assert_close(transform(x[1]), whole[1])
    if not getattr(transform, "top_db", None):  # its peak is that of the clip, all channels together
        torch.testing.assert_close(transform(x[1, 2]), whole[1, 2])
    assert transform(x[None]).shape == (1, *whole.shape)


@every
def test_frames_are_what_the_formula_says(cls, config):
    transform = cls(**config)
    for time in (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000):
        frames = transform(noise(time)).shape[-1]
        assert transform.frame_lengths(torch.tensor([time])).tolist() == [frames]
    assert transform.frame_lengths(torch.tensor([0])).tolist() == [0]


@every
def test_lengths_clear_what_lies_past_and_look_at_nothing_there(cls, config):
    transform = cls(**config)
    # not 1: a Hann window starts with 0, and without centring nothing is left of a single sample
    lengths = torch.tensor([400, 2, 57])
    x = noise(3, 2, 400)
    garbage = x.clone()
    for row, length in enumerate(lengths):
        x[row, :, length:] = 0
        garbage[row, :, length:] = float("nan")
    out, dirty = transform(x, lengths), transform(garbage, lengths)
    assert torch.equal(out, dirty)
    for row, frames in enumerate(transform.frame_lengths(lengths)):
        assert torch.all(out[row, ..., frames:] == 0)
        assert torch.any(out[row, ..., :frames] != 0)
    # 0-dimensional lengths of a single clip
    torch.testing.assert_close(transform(x[0, 0], torch.tensor(400)), transform(x[0, 0]))


@settings(max_examples=1000)
@given(data=st.data())
def test_batch_mates_never_matter(data):
    """Every row of a padded batch equals the clip alone, at all of its frames, for every pad mode."""
    n_fft = data.draw(st.integers(2, 200), "n_fft")
    config = {
        "n_fft": n_fft,
        "hop_length": data.draw(st.integers(1, n_fft + 20), "hop"),
        "win_length": data.draw(st.one_of(st.none(), st.integers(1, n_fft)), "win"),
        "center": data.draw(st.booleans(), "center"),
        "pad_mode": data.draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]), "pad_mode"),
        "method": data.draw(st.sampled_from(["fft", "conv"]), "method"),
    }
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=5), "lengths"))
    clips = [noise(int(n), seed=i) * 10.0 ** -data.draw(st.integers(0, 3)) for i, n in enumerate(lengths)]
    extra = data.draw(st.sampled_from([0, 0, 37]), "extra")
    batch = torch.zeros(len(clips), int(lengths.max()) + extra)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = clip
    kind = data.draw(st.sampled_from(["stft", "power", "mel", "log", "db"]), "kind")
    with_mel = {"sample_rate": 8000, "n_mels": 1 + n_fft // 32, "norm": None}
    with_mel |= {"f_min": 0.0, "f_max": 4000.0}
    transform = {
        "stft": lambda: af.STFT(**config),
        "power": lambda: af.Spectrogram(**config, power=2.0),
        "mel": lambda: silent(af.MelSpectrogram, **config, **with_mel),
        "log": lambda: silent(af.LogMelSpectrogram, **config, **with_mel, floor=1e-8),
        "db": lambda: silent(af.LogMelSpectrogram, **config, **with_mel, log="db", floor=1e-8, top_db=30.0),
    }[kind]()
    out = transform(batch, lengths)
    for row, clip in enumerate(clips):
        alone = transform(clip)
        frames = alone.shape[-1]
        assert frames == transform.frame_lengths(lengths)[row]
        mine = out[row, ..., :frames]
        if kind in ("log", "db"):  # 1e-6 of a mel value, through the logarithm, and the rounding of a log of up to 20
            limit = {"log": 1e-6, "db": 4.4e-6}[kind] + 4 * 1.2e-7 * float(alone.abs().max())
            # a band of pure rounding noise (a constant clip past its own lobe) has no digits to agree in
            lively = alone > alone.max() - (9 if kind == "log" else 39)
            assert float((mine - alone)[lively].abs().max()) <= limit
        else:
            # a window of zeros or a constant clip leaves only rounding, which is that of the samples
            assert float((mine - alone).norm()) <= 1e-6 * max(float(alone.norm()), 1e-3 * float(clip.norm() ** 2))
        assert torch.all(out[row, ..., frames:] == 0)


def silent(cls, **config):
    """A transform with so few bins that some filters may be empty, which it would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**config)


@every
def test_a_single_sample_is_enough(cls, config):
    out = cls(**config)(torch.tensor([[0.5]]))
    assert out.shape[-1] >= 1
    assert torch.isfinite(torch.view_as_real(out) if out.is_complex() else out).all()


@every
def test_gradients_are_finite_on_silence(cls, config):
    x = torch.zeros(2, 300, requires_grad=True)
    out = cls(**config)(x, torch.tensor([300, 100]))
    (out.abs() if out.is_complex() else out).sum().backward()
    assert torch.isfinite(x.grad).all()


@every
def test_gradcheck(cls, config):
    transform = cls(
        **{**config, "n_fft": 16, "hop_length": 7, "win_length": None, **({"n_mels": 3} if "n_mels" in config else {})}
    )
    x = noise(2, 30, dtype=torch.float64).requires_grad_()
    lengths = torch.tensor([30, 19])
    assert torch.autograd.gradcheck(lambda v: transform(v, lengths), (x,))


@every
def test_the_graph_path_has_the_values_of_the_other(cls, config):
    transform = cls(**config)
    x, lengths = noise(3, 500), torch.tensor([500, 30, 1])
    with_graph = transform(x.clone().requires_grad_(), lengths)
    assert with_graph.requires_grad
    torch.testing.assert_close(with_graph.detach(), transform(x, lengths), rtol=1e-5, atol=1e-5)


@every
def test_float64_in_float64_out_and_half_computes_in_float32(cls, config):
    transform = cls(**config)
    x = noise(400) * 0.1
    exact = transform(x.double())
    assert exact.dtype in (torch.float64, torch.complex128)
    single = transform(x)
    assert single.dtype in (torch.float32, torch.complex64)
    for half in (torch.bfloat16, torch.float16):
        out = transform(x.to(half))
        assert out.dtype == single.dtype
        torch.testing.assert_close(out, transform(x.to(half).float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(transform(x), single)


@every
def test_int16_counts_as_its_value_over_full_scale_to_the_bit(cls, config):
    transform = cls(**config)
    samples = (noise(3, 500) * 8000).to(torch.int16)
    samples[0, 0] = -32768
    lengths = torch.tensor([500, 77, 2])
    assert torch.equal(transform(samples, lengths), transform(samples.float() / 32768, lengths))
    assert torch.equal(transform(samples[0]), transform(samples[0].float() / 32768))


@every
def test_casting_the_model_does_not_round_the_filters(cls, config):
    x = noise(400, dtype=torch.float64)
    exact = cls(**config)(x)
    cast = cls(**config).half().bfloat16().double()
    assert torch.equal(cast(x), exact)
    assert torch.equal(cls(**config).half()(x.float()), cls(**config)(x.float()))


@every
def test_fixed_filters_are_no_state(cls, config):
    assert cls(**config).state_dict() == {}
    assert list(cls(**config).parameters()) == []


@every
def test_copies_and_pickles_compute_the_same(cls, config):
    transform = cls(**config)
    x = noise(400)
    transform(x.double())  # leaves a float64 filter behind that must not travel
    data = pickle.dumps(transform)
    for other in (copy.deepcopy(transform), pickle.loads(data)):
        assert torch.equal(other(x), transform(x))
        assert torch.equal(other(x.double()), transform(x.double()))
    saved = io.BytesIO()
    torch.save(transform, saved)
    saved.seek(0)
    assert torch.equal(torch.load(saved, weights_only=False)(x), transform(x))


@every
def test_repr_names_the_settings(cls, config):
    text = repr(cls(**config))
    for key, value in config.items():
        if key not in ("n_fft", "floor", "top_db"):
            assert f"{key}={value!r}" in text or f"{key}={value:g}" in text


@every
@pytest.mark.parametrize(
    ("waveform", "error", "message"),
    [
        (torch.zeros(2, 0), ValueError, "at least one sample"),
        (torch.zeros(0, 5), ValueError, "at least one sample"),
        (torch.tensor(1.0), ValueError, "time"),
        (torch.zeros(5, dtype=torch.int32), TypeError, "or int16"),
        (torch.zeros(5, dtype=torch.complex64), TypeError, "real"),
        (np.zeros(5), TypeError, "torch.as_tensor"),
    ],
    ids=["empty", "no-clips", "scalar", "int32", "complex", "numpy"],
)
def test_a_wrong_waveform_is_named(cls, config, waveform, error, message):
    with pytest.raises(error, match=message):
        cls(**config)(waveform)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        (torch.tensor([5.0, 5.0]), TypeError, "integers"),
        ([5, 5], TypeError, "list"),
        (torch.tensor([5]), ValueError, r"\(2,\)"),
        (torch.tensor([[5, 5]]), ValueError, r"\(2,\)"),
        (torch.tensor([0, 5]), ValueError, "between 0 and 5"),
        (torch.tensor([5, 11]), ValueError, "between 5 and 11.*1 and 10"),
    ],
)
def test_wrong_lengths_are_named(lengths, error, message):
    with pytest.raises(error, match=message):
        af.STFT(8)(torch.zeros(2, 10), lengths)


@every
def test_long_input_is_computed_in_blocks_with_the_same_result(cls, config, monkeypatch):
    transform = cls(**config)
    x, lengths = noise(5, 700), torch.tensor([700, 3, 256, 699, 120])
    whole = transform(x, lengths)
    for block in (1, 700, 5000):
        monkeypatch.setattr("audiofeed.methods.frames.CPU_BLOCK", block)
        torch.testing.assert_close(transform(x, lengths), whole, rtol=1e-5, atol=1e-5)


@every
def test_forward_leaves_its_input_and_its_last_result_alone(cls, config):
    transform = cls(**config)
    x = noise(2, 400)
    before = x.clone()
    first = transform(x)
    kept = first.clone()
    transform(noise(2, 400, seed=1))
    assert torch.equal(x, before)
    assert torch.equal(first, kept)
