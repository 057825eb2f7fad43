"""Waveforms brought to a length: by NumPy's own functions, in batches, in chains, before features and in a collate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.signal.waveform.fitting import fitted
from tests.signals import noise, single_noise

MODES = {
    "constant": "constant",
    "circular": "wrap",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
}
MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}


def by_numpy(x, *, at_least=0, at_most=None, multiple=1, before=0, after=0, mode="constant", place="start"):
    """What is to be made of one clip, by np.pad and np.tile."""
    x = x[:at_most]
    size = max(at_least, len(x))
    while (size - at_least) % multiple:
        size += 1
    if mode == "copies":
        x = np.tile(x, max(1, int(size / len(x))))
        x = np.pad(x, (0, size - len(x)))
    else:
        more = size - len(x)
        left = more // 2 if place == "center" else 0
        x = np.pad(x, (left, more - left), mode=MODES[mode])
    return np.concatenate([np.zeros(before), x, np.zeros(after)])


FITS = st.fixed_dictionaries({
    "at_least": st.sampled_from([0, 1, 50, 400]),
    "at_most": st.sampled_from([None, 1, 30, 400]),
    "multiple": st.sampled_from([1, 7, 64]),
    "before": st.sampled_from([0, 3]),
    "after": st.sampled_from([0, 5]),
    "mode": st.sampled_from([*MODES, "copies"]),
    "place": st.sampled_from(["start", "center"]),
}).filter(lambda fit: fit["mode"] != "copies" or fit["place"] == "start")  # fmt: skip


@settings(max_examples=200)
@given(fit=FITS, lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4), extra=st.sampled_from([0, 9]))
def test_clips_are_fitted_as_numpy_pads_and_tiles(fit, lengths, extra):
    transform = af.FitWaveform(**fit)
    batch = torch.full((len(lengths), 2, max(lengths) + extra), float("nan"), dtype=torch.float64)
    clips = [noise(2, n, seed=n) for n in lengths]
    for row, clip in zip(batch, clips, strict=True):
        row[:, : clip.shape[-1]] = clip
    ends = transform.frame_lengths(torch.tensor(lengths)).tolist()
    for given_batch in (batch, batch.clone().requires_grad_()):
        found = transform(given_batch, torch.tensor(lengths)).detach()
        for row, clip, end in zip(found, clips, ends, strict=True):
            expected = np.stack([by_numpy(channel.numpy(), **fit) for channel in clip])
            assert end == expected.shape[-1]
            np.testing.assert_array_equal(row[:, :end], expected)
            assert not row[:, end:].any()
            np.testing.assert_array_equal(transform(clip[None])[0], expected)
            np.testing.assert_array_equal(fitted(clip[0].numpy(), **fit), expected[0])


def test_a_fitted_clip_has_the_gradient_of_every_copy():
    x = torch.ones(3, requires_grad=True)
    (af.FitWaveform(at_least=8, mode="circular")(x) * torch.arange(8.0)).sum().backward()
    assert x.grad.tolist() == [0 + 3 + 6, 1 + 4 + 7, 2 + 5]


def test_zeros_that_do_not_count_are_no_part_of_later_members():
    """A mean of the clip, and frames, end where the clip does, with lengths and without, in one pass and by members."""
    x = single_noise(2, 500) + 0.3
    x[1, 300:] = 0
    fit = af.FitWaveform(multiple=400, counts=False)
    mean = af.RemoveMean()
    for feature in ([], [af.LogMelSpectrogram(**MEL, floor=1e-6)]):
        chain = af.Chain(fit, mean, *feature)
        alone = af.Chain(mean, *feature) if feature else mean
        assert chain.adds_padding
        for row, n in enumerate((500, 300)):
            clip = x[row : row + 1, :n]
            expected = alone(clip)
            ends = chain.frame_lengths(torch.tensor([n])).tolist()
            assert ends == [expected.shape[-1]]
            for found in (
                chain(clip),
                chain(clip.clone().requires_grad_()).detach(),
                chain(x, torch.tensor([500, 300]))[[row]],
            ):
                torch.testing.assert_close(found[..., : ends[0]], expected, rtol=1e-5, atol=1e-5)
                assert not found[..., ends[0] :].any()


def test_a_collate_gives_waveforms_of_whole_hops():
    clips = [single_noise(n, seed=n) for n in (500, 130)]
    batch = af.GPUSpecCollate(af.FitWaveform(multiple=64, counts=False), device="cpu")([(clip, 0) for clip in clips])
    assert batch.features.shape == (2, 512)
    assert batch.feature_lengths.tolist() == [500, 130]
    assert batch.feature_mask.sum(-1).tolist() == [500, 130]
    whole = af.GPUSpecCollate(af.FitWaveform(at_least=600, at_most=600, mode="copies"), device="cpu")
    batch = whole([(clip, 0) for clip in clips])
    assert batch.features.shape == (2, 600)
    assert batch.feature_lengths.tolist() == [600, 600]
    assert torch.equal(batch.features[1, :520], clips[1].repeat(4))


def test_int16_samples_are_fitted_as_their_values():
    x = (single_noise(2, 100) * 8000).to(torch.int16)
    fit = af.FitWaveform(at_least=150, mode="reflect")
    torch.testing.assert_close(fit(x), fit(x.float() / 32768))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at_least": -1}, "at_least=-1 must be an integer number of samples, 0 or more"),
        ({"at_most": 0}, "at_most=0 must be an integer number of samples, 1 or more"),
        ({"multiple": 0}, "multiple=0 must be"),
        ({"before": 1.5}, "before=1.5 must be an integer number of samples, 0 or more"),
        ({"mode": "repeatpad"}, "it is called 'copies' here"),
        ({"mode": "repeat"}, "it is called 'circular' here"),
        ({"place": "end"}, "place='end' must be 'start' or 'center'"),
        ({"place": "center", "mode": "copies"}, "place='center' must be 'start' with mode='copies'"),
        ({"counts": False, "mode": "reflect"}, "counts=False must be True with mode='reflect'"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        af.FitWaveform(**settings)
