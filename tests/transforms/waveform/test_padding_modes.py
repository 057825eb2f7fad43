"""Waveforms padded, repeated or cut: by NumPy's own functions, in batches, before features, in a collate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.signal.waveform.padding import padded
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
    x = x[: max(1, len(x) + after)] if after < 0 else x
    x = np.concatenate([np.zeros(before), x, np.zeros(max(0, after))])[:at_most]
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
    return x


FITS = st.fixed_dictionaries({
    "at_least": st.sampled_from([0, 10, 50, 400]),
    "at_most": st.sampled_from([None, 30, 400]),
    "multiple": st.sampled_from([1, 7, 64]),
    "before": st.sampled_from([0, 3]),
    "after": st.sampled_from([0, 5, -6]),
    "mode": st.sampled_from([*MODES, "copies"]),
    "place": st.sampled_from(["start", "center"]),
}).filter(lambda fit: fit["mode"] != "copies" or fit["place"] == "start").filter(
    lambda fit: (fit["at_most"] is None or fit["at_least"] in (0, fit["at_most"]))
    and (fit["at_least"] or fit["multiple"] > 1)
    and not (fit["at_most"] and fit["multiple"] > 1)
)  # fmt: skip


def arguments(*, at_least, at_most, mode, place, multiple, **others):
    """The settings of the module for those of its definition; what would have no effect is left out."""
    if at_most is not None:
        assert at_least in (0, at_most)
    given = {"to": at_most or at_least or None, "multiple": multiple if multiple > 1 else None, "mode": mode, **others}
    if given["to"]:
        given["longer"] = "crop" if at_most else "keep"
        given["shorter"] = "pad" if at_least else "keep"
    return {**given, "place": place}


@settings(max_examples=100)
@given(fit=FITS, lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4), extra=st.sampled_from([0, 9]))
def test_clips_are_fitted_as_numpy_pads_and_tiles(fit, lengths, extra):
    transform = af.PadWaveform(**arguments(**fit))
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
            np.testing.assert_array_equal(padded(clip[0].numpy(), **fit), expected[0])


def test_a_fitted_clip_has_the_gradient_of_every_copy():
    x = torch.ones(3, requires_grad=True)
    (af.PadWaveform(to=8, mode="circular")(x) * torch.arange(8.0)).sum().backward()
    assert x.grad.tolist() == [0 + 3 + 6, 1 + 4 + 7, 2 + 5]


def test_zeros_that_do_not_count_are_no_part_of_later_members():
    """A mean of the clip, and frames, end where the clip does, with lengths and without, in one pass and by members."""
    x = single_noise(2, 500) + 0.3
    x[1, 300:] = 0
    fit = af.PadWaveform(multiple=400, counts=False)
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
    batch = af.GPUSpecCollate(af.PadWaveform(multiple=64, counts=False), device="cpu")([(clip, 0) for clip in clips])
    assert batch.features.shape == (2, 512)
    assert batch.feature_lengths.tolist() == [500, 130]
    assert batch.feature_mask.sum(-1).tolist() == [500, 130]
    whole = af.GPUSpecCollate(af.PadWaveform(to=600, mode="copies"), device="cpu")
    batch = whole([(clip, 0) for clip in clips])
    assert batch.features.shape == (2, 600)
    assert batch.feature_lengths.tolist() == [600, 600]
    assert torch.equal(batch.features[1, :520], clips[1].repeat(4))


def test_int16_samples_are_fitted_as_their_values():
    x = (single_noise(2, 100) * 8000).to(torch.int16)
    fit = af.PadWaveform(to=150, mode="reflect")
    torch.testing.assert_close(fit(x), fit(x.float() / 32768))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"PadWaveform\(\) has no effect; give one of to, multiple, before and after"),
        ({"to": 0}, "to=0 must be an integer number of samples, 1 or more"),
        ({"multiple": 0}, "multiple=0 must be"),
        ({"before": 1.5}, "before=1.5 must be an integer number of zeros, 0 or more"),
        ({"before": 5, "to": 5}, "before=5 zeros must leave room"),
        ({"after": 0.5}, "after=0.5 must be an integer number of zeros"),
        ({"multiple": 2, "longer": "crop"}, "longer='crop' has an effect only with to="),
        ({"multiple": 2, "shorter": "keep"}, "shorter='keep' has an effect only with to="),
        ({"to": 2, "shorter": "keep"}, "shorter='keep' has an effect only with longer='crop'"),
        ({"after": 2, "mode": "reflect"}, "mode='reflect' has an effect only with to= or multiple="),
        ({"to": 2, "shorter": "keep", "longer": "crop", "place": "center"}, "place='center' has an effect only with"),
        ({"to": 9, "mode": "repeatpad"}, "it is called 'copies' here"),
        ({"to": 9, "mode": "repeat"}, "it is called 'circular' here"),
        ({"to": 9, "place": "end"}, "place='end' must be 'start' or 'center'"),
        ({"to": 9, "place": "center", "mode": "copies"}, "place='center' must be 'start' with mode='copies'"),
        ({"to": 9, "counts": False, "mode": "reflect"}, "counts=False must be True with mode='reflect'"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        af.PadWaveform(**settings)
