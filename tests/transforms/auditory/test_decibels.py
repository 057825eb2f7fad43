"""Decibels: librosa's values, clip by clip."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import audiofeed as af


def powers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) ** 8)


@pytest.mark.parametrize("top_db", [None, 80.0, 20.0])
@pytest.mark.parametrize("ref", [1.0, 0.3, "max"])
@pytest.mark.parametrize("stype", ["power", "magnitude"])
@pytest.mark.parametrize("amin", [None, 1e-3])
def test_equals_librosa(stype, ref, top_db, amin):
    x = powers(12, 30)
    function = librosa.power_to_db if stype == "power" else librosa.amplitude_to_db
    limit = {} if amin is None else {"amin": amin}
    expected = function(x.numpy(), ref=np.max if ref == "max" else ref, top_db=top_db, **limit)
    transform = af.AmplitudeToDB(stype, ref=ref, amin=amin, top_db=top_db)
    np.testing.assert_allclose(transform(x).numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(transform(x.float()).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("ref", [1.0, "max"])
def test_a_loud_neighbor_changes_nothing(ref):
    x = powers(3, 12, 30)
    x[1] *= 1e6
    transform = af.AmplitudeToDB(ref=ref, top_db=30.0)
    batch = transform(x)
    for row in range(3):
        torch.testing.assert_close(batch[row], transform(x[row]))


def test_what_lies_past_the_end_counts_for_no_peak_and_is_zero():
    x = powers(2, 2, 12, 30)
    x[0, ..., 10:] = 1e6
    transform = af.AmplitudeToDB(ref="max", top_db=30.0)
    batch = transform(x, torch.tensor([10, 30]))
    torch.testing.assert_close(batch[0, ..., :10], transform(x[:1, ..., :10])[0])
    assert torch.all(batch[0, ..., 10:] == 0)
    torch.testing.assert_close(batch[1], transform(x[1:])[0])
    assert transform.frame_lengths(torch.tensor([3])).tolist() == [3]


@pytest.mark.parametrize("lengths", [None, [30, 10, 1]])
@pytest.mark.parametrize("offset", [0.0, 1e-3])
@pytest.mark.parametrize("ref", [1.0, 0.3, "max"])
@pytest.mark.parametrize("top_db", [None, 30.0])
def test_steps_in_place_give_the_same_bits(ref, top_db, offset, lengths):
    x = powers(3, 2, 12, 30).float()
    lengths = None if lengths is None else torch.tensor(lengths)
    transform = af.AmplitudeToDB(ref=ref, top_db=top_db, offset=offset)
    followed = transform(x.clone().requires_grad_(), lengths).detach()
    kept = x.clone()
    assert torch.equal(transform(x, lengths), followed)
    assert torch.equal(x, kept)
    own = transform.run(kept, lengths, own=True)
    assert torch.equal(own, followed)
    assert own.data_ptr() == kept.data_ptr()


def test_gradient_is_finite_on_silence():
    x = torch.zeros(2, 4, 5, requires_grad=True)
    af.AmplitudeToDB(ref="max")(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_half_precision_computes_in_float32():
    x = powers(2, 4, 5).to(torch.bfloat16)
    out = af.AmplitudeToDB()(x)
    assert out.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(af.AmplitudeToDB()(x.float()), out)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"stype": "db"}, "stype='db'"),
        ({"ref": 0}, "ref=0"),
        ({"ref": "median"}, "ref='median'"),
        ({"amin": -1.0}, "amin=-1.0"),
        ({"top_db": -0.5}, "top_db=-0.5"),
    ],
)
def test_a_wrong_setting_of_decibels_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        af.AmplitudeToDB(**config)


def test_a_wrong_input_of_decibels_is_named():
    with pytest.raises(TypeError, match="complex"):
        af.AmplitudeToDB()(torch.zeros(2, 3, dtype=torch.complex64))
    with pytest.raises(ValueError, match="bins, frames"):
        af.AmplitudeToDB()(torch.zeros(3))
    for lengths, error, message in (
        (torch.tensor([1]), ValueError, r"\(2,\)"),
        (torch.tensor([1.0, 2.0]), TypeError, "integers: the frames"),
        (torch.tensor([0, 4]), ValueError, "between 0 and 4"),
        (torch.tensor([4, 5]), ValueError, "between 1 and 4.*in frames"),
    ):
        with pytest.raises(error, match=message):
            af.AmplitudeToDB()(torch.zeros(2, 3, 4), lengths)


def test_repr_of_decibels():
    assert (
        repr(af.AmplitudeToDB(top_db=None))
        == "AmplitudeToDB(stype='power', ref=1.0, amin=1e-10, offset=0.0, top_db=None)"
    )
