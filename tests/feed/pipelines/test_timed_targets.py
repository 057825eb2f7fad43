"""Targets in time in a batch: joined in the worker, brought to the frames of whatever transform made the features."""

from __future__ import annotations

import copy
import pickle
from typing import NamedTuple

import pytest
import torch
from torch import nn

import audiofeed as af
from audiofeed.data.targets.timed import CutEvents, CutWaveform, EventBatch, FrameBatch, join_cuts
from audiofeed.feed.timed_targets import at_frames, has_timed

RATE, HOP = 16000, 160
EVENTS = af.EventTargets()
LABELS = af.FrameTargets(frame_rate=RATE / HOP)


def events(*listed, samples=3200, settings=EVENTS):
    return settings.cut(listed, classes=["a", "b"], start=0.0, samples=samples, sample_rate=RATE)


def labels(values, samples=3200):
    return LABELS.cut(values, start=0.0, samples=samples, sample_rate=RATE)


def clip(target, samples=3200):
    return torch.ones(samples), target


def gpu(transform=None, **options):
    return af.GPUSpecCollate(transform or af.Spectrogram(400, hop_length=HOP), device="cpu", **options)


BOTH = [clip(events((0.05, 0.1, "b"))), clip(events(samples=1600), 1600)]


def test_targets_are_read_before_or_after_the_features():
    first, second = gpu()(BOTH), gpu()(BOTH)
    targets = first.targets
    assert first.features.shape[-1] == targets.shape[-1] == second.features.shape[-1]
    assert torch.equal(targets, second.targets)
    assert torch.nonzero(targets).tolist() == [[0, 1, frame] for frame in range(5, 11)]
    assert first.targets is first.targets


def test_targets_in_dicts_and_tuples():
    class Two(NamedTuple):
        """A named tuple of targets."""

        roll: object
        voice: object

    item = {"waveform": torch.ones(3200), "target": {"events": events((0, 0.1, "a")), "x": (labels([1] * 21), 3)}}
    batch = gpu()([item, item])
    assert batch.targets["events"].shape == (2, 2, 21)
    assert batch.targets["x"][0].tolist() == [[1] * 21] * 2
    assert batch.targets["x"][1].tolist() == [3, 3]
    named = gpu()([clip(Two(events((0, 0.1, "a")), labels([0] * 21)))])
    assert isinstance(named.targets, Two)
    assert [named.targets.roll.shape, named.targets.voice.shape] == [(1, 2, 21), (1, 21)]


def test_each_feature_of_a_stack_has_targets_for_its_own_frames():
    stack = af.Stack(
        fine=af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=80, n_mels=20),
        coarse=af.Chain(af.Spectrogram(800, hop_length=400, center=False), af.AmplitudeToDB()),
    )
    batch = gpu(stack)(BOTH)
    assert {name: found.shape[-1] for name, found in batch.targets.items()} == {
        name: found.shape[-1] for name, found in batch.features.items()
    }
    alone = gpu(stack["fine"])(BOTH)
    assert torch.equal(batch.targets["fine"], alone.targets)


@pytest.mark.parametrize(
    "transform",
    [
        af.Spectrogram(400, hop_length=HOP),
        af.Spectrogram(400, hop_length=HOP, center=False),
        af.MFCC(sample_rate=RATE, hop_length=HOP),
        af.CQT(sample_rate=RATE, hop_length=256, n_bins=24),
        af.OnsetStrength(sample_rate=RATE, hop_length=HOP),
        af.Chain(af.MelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=HOP), af.AmplitudeToDB(), af.Deltas()),
        af.SincFilterbank(sample_rate=RATE),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_centers_are_times_in_samples(transform):
    assert torch.allclose(transform.centers(9) / RATE, _times(transform), rtol=1e-12)
    batch = gpu(transform)(BOTH)
    assert batch.targets.shape[-1] == batch.features.shape[-1]
    borders = transform.centers(batch.features.shape[-1])
    first = int((borders[1:] + borders[:-1] <= 2 * 800).sum())
    assert torch.nonzero(batch.targets[0, 1])[0] == first


def _times(transform):
    try:
        return transform.times(9)
    except ValueError:  # made without a sample rate
        return transform.centers(9) / RATE


def test_centers_of_a_chain_whose_first_member_gives_waveforms():
    chain = af.Chain(
        af.STFT(512, hop_length=128), af.InverseSTFT(512, hop_length=128), af.Spectrogram(256, hop_length=64)
    )
    assert chain.centers(3).tolist() == [0, 64, 128]


def test_frames_that_pad_features_have_no_events():
    mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=HOP, n_mels=20)
    chain = af.Chain(af.PreEmphasis(), mel, af.PadFrames(to=64))
    batch = gpu(chain)([clip(events((0.05, 5.0, "b")))])
    assert batch.features.shape[-1] == batch.targets.shape[-1] == 64
    assert torch.equal(batch.targets[:, 1, :21], gpu(mel)([clip(events((0.05, 5.0, "b")))]).targets[:, 1])
    assert not batch.targets[..., 21:].any()


def test_a_transform_that_says_nothing_of_its_frames_is_named():
    class Silent(nn.Module):
        """Frames that lie nobody knows where."""

        def forward(self, waveform):
            return waveform.unfold(-1, 400, 160).abs().sum(-1)[:, None]

    batch = gpu(Silent())(BOTH)
    with pytest.raises(ValueError, match=r"Silent does not say where its frames lie; give it a method centers"):
        batch.targets  # noqa: B018
    assert batch.lengths.tolist() == [3200, 1600]

    class Says(Silent):
        """The same, with times, and without lengths of frames."""

        def times(self, n_frames):
            return (200 + 160 * torch.arange(n_frames)) / RATE

    with_rate = [af.AudioExample(*one) for one in ((torch.ones(3200), RATE, events((0.0, 0.2, "a"))),)]
    assert gpu(Says())(with_rate).targets[0, 0].all()


def test_without_a_transform_targets_wait():
    batch = af.PadCollate()(BOTH)
    assert isinstance(batch.targets, EventBatch)
    centers = 160.0 * torch.arange(21)
    found = batch.targets.at(centers, torch.tensor([21, 11]), batch.lengths)
    assert torch.equal(found, gpu()(BOTH).targets)


def test_batches_are_copied_and_pickled_with_their_targets():
    collate = gpu()
    expected = collate(BOTH).targets
    for copied in (copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))):
        for read_first in (False, True):
            batch = collate(BOTH)
            if read_first:
                batch.features  # noqa: B018
            assert torch.equal(copied(batch).targets, expected)
    assert torch.equal(collate(BOTH).to("cpu").targets, expected)
    assert torch.equal(dict(collate(BOTH))["targets"], expected)
    assert gpu(output="tuple")(BOTH)[1].shape == expected.shape
    assert "EventBatch" in collate(BOTH).describe("targets")


def test_a_gradient_comes_to_features_and_not_to_targets():
    transform = af.Spectrogram(400, hop_length=HOP, trainable=True)
    batch = gpu(transform)(BOTH)
    with torch.no_grad():
        targets = batch.targets
    assert batch.features.requires_grad
    assert not batch.targets.requires_grad
    assert torch.equal(batch.targets, targets)


def test_what_does_not_join_is_named():
    with pytest.raises(ValueError, match="of several kinds: CutEvents, int"):
        af.PadCollate()([BOTH[0], clip(3)])
    with pytest.raises(ValueError, match="of several kinds: CutEvents, CutFrames"):
        af.PadCollate()([BOTH[0], clip(labels([0] * 21))])
    other = events(settings=af.EventTargets(rule="center"))
    with pytest.raises(ValueError, match="EventTargets of clip 0 and clip 1 of a batch differ"):
        af.PadCollate()([BOTH[0], clip(other)])
    with pytest.raises(ValueError, match="labels of FrameTargets of clip 0 and clip 1 of a batch differ"):
        af.PadCollate()([clip(labels([0] * 21)), clip(labels([0.5] * 21))])
    assert join_cuts([None, 3]) is None


def test_trees():
    batch = join_cuts([BOTH[0][1]])
    assert has_timed({"x": (1, batch)})
    assert not has_timed([batch])  # a list has one entry for each clip
    assert not has_timed((1, {"x": torch.ones(1)}))
    assert isinstance(BOTH[0][1], CutEvents)
    values = FrameBatch(
        torch.ones(1, 2), torch.tensor([2]), torch.zeros(1), torch.full((1,), 160.0), torch.tensor([320]), "nearest", 0
    )
    transform, features = af.Spectrogram(4, hop_length=160), torch.zeros(1, 1, 3)
    assert at_frames((values,), transform, features, None, torch.tensor([320]), None)[0].tolist() == [[1, 1, 1]]


def test_targets_of_a_fixed_length():
    """Shorter clips are padded before the features, longer ones cut: labels end where the clip does."""
    items = [
        clip((events((0.05, 0.1, "b"), (0.12, 0.2, "a")), labels([1] * 21), CutWaveform(torch.arange(3200.0)))),
        clip((events((0.0, 0.05, "a"), samples=800), labels([1] * 6, 800), CutWaveform(torch.arange(800.0))), 800),
    ]
    roll, frames, wave = gpu(pad_to=1600, longer="crop")(items).targets
    assert roll.shape[-1] == frames.shape[-1] == 11
    assert [torch.nonzero(roll[0]).tolist(), roll[1, 0].tolist()] == [
        [[1, frame] for frame in range(5, 11)],
        [1.0] * 6 + [0.0] * 5,
    ]
    assert frames.tolist() == [[1] * 11, [1] * 6 + [0] * 5]
    assert torch.equal(wave[0], torch.arange(1600.0))
    assert torch.equal(wave[1], torch.arange(1600.0) * (torch.arange(1600) < 800))
    roll, frames, wave = gpu(pad_to=0.25)(
        [af.AudioExample(torch.ones(len(one[0])), RATE, one[1]) for one in items]
    ).targets
    assert [roll.shape[-1], frames.shape[-1], wave.shape[-1]] == [26, 26, 4000]
    assert torch.nonzero(roll[0, 0]).flatten().tolist() == list(range(12, 21))


def test_labels_beyond_a_cut_are_not_in_its_last_frame():
    largest = af.FrameTargets(frame_rate=RATE / 10, resample="max")
    values = (torch.arange(321) > 200).int()
    cut = largest.cut(values, start=0.0, samples=3200, sample_rate=RATE)
    batch = gpu(pad_to=1600, longer="crop")([clip(cut)])
    assert batch.features.shape[-1] == 11
    assert not batch.targets.any()


def test_times_in_seconds_are_compared_as_samples():
    """A hundredth of a second has no binary fraction: onsets half-way between frames all belong to the later one."""

    class Seconds(nn.Module):
        """Frames of which the times are known alone."""

        sample_rate = 44100

        def frame_lengths(self, lengths):
            return lengths // 441 + 1

        def times(self, n_frames):
            return torch.arange(n_frames, dtype=torch.float64) * 0.01

        def forward(self, waveform, lengths=None):
            return torch.zeros(waveform.shape[0], 1, waveform.shape[-1] // 441 + 1)

    onsets = [round(0.01 * i + 0.005, 3) for i in range(100)]
    cut = af.EventTargets(marks="onset").cut(
        [(onset, onset, "a") for onset in onsets], classes=["a"], start=0.0, samples=44100, sample_rate=44100
    )
    batch = gpu(Seconds())([(torch.ones(44100), cut)])
    assert batch.targets[0, 0].tolist() == [0.0] + [1.0] * 100
    steps = af.FrameTargets(frame_rate=200.0, resample="max").cut(
        torch.arange(201), start=0.0, samples=44100, sample_rate=44100
    )
    found = gpu(Seconds())([(torch.ones(44100), steps)]).targets
    assert found[0].tolist() == [*range(0, 199, 2), 199]


def test_fields_in_time():
    """What is in time among the fields of an item follows the frames as a target does."""
    item = {"waveform": torch.ones(3200), "label": 1, "voice": labels([1] * 21), "clean": CutWaveform(torch.ones(3200))}
    batch = gpu()([item, {**item, "waveform": torch.ones(4000)}])
    assert batch.targets.tolist() == [1, 1]
    assert batch.fields["voice"].shape == (2, batch.features.shape[-1])
    assert batch.fields["clean"].sum(-1).tolist() == [3200, 3200]
    assert isinstance(af.PadCollate()([item]).fields["voice"], FrameBatch)
