"""Zeros before and behind waveforms: clip by clip in a batch, up to a length or a multiple."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af


def padded(clip: list[float], to: int, before: int = 0, after: int = 0) -> list[float]:
    kept = clip if after >= 0 else clip[: max(1, len(clip) + after)]
    row = [0.0] * before + kept + [0.0] * max(0, after)
    return (row + [0.0] * to)[:to]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16], ids=str)
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        ({"to": 6, "longer": "crop"}, (6, 6, 6)),
        ({"to": 12}, (12, 12, 12)),
        ({"multiple": 4}, (8, 4, 4)),
        ({"before": 2, "after": -1}, (8, 2 + 2, 2 + 1)),
        ({"before": 1, "after": 3, "multiple": 5}, (15, 10, 5)),
    ],
)
def test_each_clip_is_padded_as_if_it_were_alone(settings, ends, graph, dtype):
    clips = [[float(i + 1) for i in range(n)] for n in (7, 3, 1)]
    lengths = torch.tensor([7, 3, 1])
    batch = torch.full((3, 9), 99).to(dtype)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.tensor(clip).to(dtype)
    scale = 32768.0 if dtype == torch.int16 else 1.0
    transform = af.PadWaveform(**settings)
    assert transform.frame_lengths(lengths).tolist() == list(ends)
    found = transform(batch.requires_grad_() if graph and dtype.is_floating_point else batch, lengths)
    before, after = settings.get("before", 0), settings.get("after", 0)
    for row, clip, end in zip(found, clips, ends, strict=True):
        expected = padded(clip, end, before, after)
        assert (row[:end] * scale).tolist() == expected
        assert not row[end:].any()
        alone = transform(torch.tensor(clip).to(dtype))
        assert (alone * scale).tolist() == expected


def test_a_clip_that_has_the_length_is_not_copied():
    x = torch.ones(2, 8)
    assert af.PadWaveform(to=8)(x).data_ptr() == x.data_ptr()
    assert af.PadWaveform(multiple=4)(x, torch.tensor([8, 8])).data_ptr() == x.data_ptr()
    assert af.PadWaveform(to=8)(x) is x
    assert af.PadWaveform(to=8)(x.half()).dtype == torch.float32  # as it is of clips that are padded
    assert af.PadWaveform(to=8)((1000 * x).to(torch.int16)).dtype == torch.float32
    with pytest.raises(TypeError, match=r"waveform has dtype torch\.int64"):
        af.PadWaveform(to=8)(x.long())

    class Louder(af.PadWaveform):
        def compute(self, waveform, lengths, *, graph):
            return 2 * super().compute(waveform, lengths, graph=graph)

    assert torch.equal(Louder(to=8)(x), 2 * x)
    # what stands past a clip's end is no part of it
    x[1, 5:] = float("nan")
    assert not af.PadWaveform(to=8)(x, torch.tensor([8, 5]))[1, 5:].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no effect; give one of to, multiple, before and after"),
        ({"to": 4, "multiple": 2}, "to=4 and multiple=2 must not be given both"),
        ({"to": 0}, "to=0 must be an integer number of samples, 1 or more"),
        ({"multiple": 2.0}, r"multiple=2\.0 must be an integer"),
        ({"before": -1}, "before=-1 must be an integer number of zeros, 0 or more"),
        ({"after": 0.5}, r"after=0\.5 must be an integer"),
        ({"to": 4, "before": 4}, "before=4 zeros must leave room for a sample in to=4"),
        ({"multiple": 4, "longer": "crop"}, "longer='crop' has an effect only with to="),
        ({"to": 4, "longer": "cut"}, "longer='cut' must be 'error', 'crop' or 'keep'"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        af.PadWaveform(**settings)


def test_a_clip_that_is_too_long_is_an_error_and_padding_is_not():
    with pytest.raises(ValueError, match="to=4 samples must be at least as many as a clip has, and one has 5"):
        af.PadWaveform(to=4)(torch.ones(5))
    with pytest.raises(ValueError, match="one has 5"):
        af.PadWaveform(to=4, before=1)(torch.ones(2, 9), torch.tensor([4, 2]))
    assert af.PadWaveform(to=4)(torch.ones(2, 9), torch.tensor([4, 2])).sum(-1).tolist() == [4.0, 2.0]


def test_a_chain_knows_where_frames_lie_behind_zeros_and_in_stacks():
    mel = af.LogMelSpectrogram(sample_rate=8000, n_fft=64, hop_length=32, n_mels=4, center=False)
    assert mel.centers(2).tolist() == [32.0, 64.0]
    moved = af.Chain(af.PadWaveform(before=16), mel)
    assert moved.centers(3).tolist() == [16.0, 48.0, 80.0]
    assert moved.times(2).tolist() == [16 / 8000, 48 / 8000]
    twice = af.Chain(af.Chain(af.PadWaveform(before=16), af.PadWaveform(before=2)), mel)
    assert twice.centers(1).tolist() == [14.0]
    pairs = af.Chain(moved, af.StackFrames(2))
    assert pairs.centers(2).tolist() == [32.0, 96.0]
    centered = af.Chain(mel, af.StackFrames(7, hop=6, edges="replicate"))
    assert centered.centers(2).tolist() == [32.0, 32.0 + 6 * 32]
    assert af.Chain(mel, af.Rescale()).centers(2).tolist() == [32.0, 64.0]
