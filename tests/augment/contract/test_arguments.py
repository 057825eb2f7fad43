"""What an augmentation is called with: anything but what it can bear is an error, before a kernel runs over it."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af
from audiofeed.augment import AddNoise, Clips, Compose, CutMix, Gain, OneOf, PitchShift, SpecAugment
from audiofeed.augment.contract.rows import power_sums
from tests.augment.cases.every import CASES

MEL = af.LogMelSpectrogram(sample_rate=8000, n_fft=256, hop_length=128, n_mels=40)
SEEDS = torch.tensor([1, 2])
OF_WAVEFORMS = [name for name in CASES if CASES[name].make().stage == "waveforms"]
OF_FEATURES = [name for name in CASES if CASES[name].make().stages == {"features"}]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("lengths", [[1001, 500], [100_000, 500], [-5, 500]])
@pytest.mark.parametrize("name", OF_WAVEFORMS)
def test_lengths_past_the_waveforms_are_refused(name, lengths):
    given = Clips(noise(2, 1000), torch.tensor(lengths), SEEDS, 8000, targets=torch.eye(2))
    with pytest.raises(ValueError, match=f"lengths lie between {min(lengths)} and {max(lengths)}"):
        CASES[name].make()(given)


@pytest.mark.parametrize("name", OF_FEATURES)
def test_samples_as_the_lengths_of_features_are_refused(name):
    none = torch.zeros(2, dtype=torch.int64)
    frames = torch.tensor([16_000, 8000])
    given = Clips(
        torch.zeros(2, 0), none, SEEDS, 8000, torch.eye(2), features=noise(2, 40, 101), feature_lengths=frames
    )
    with pytest.raises(ValueError, match=r"lie between 8000 and 16000, .* give lengths in frames"):
        CASES[name].make()(given)


class TooLong(af.augment.Augmentation):
    """Say that clips are longer than they are padded to."""

    changes = frozenset({"waveforms", "lengths"})

    def change(self, clips, active, draws):
        return clips.with_values(lengths=clips.lengths * 100)


def test_lengths_past_the_end_never_reach_a_kernel():
    given = Clips(noise(2, 1000), torch.tensor([1000, 500]), SEEDS, 8000)
    with pytest.raises(ValueError, match="lengths lie between 50000 and 100000"):
        Compose([TooLong(), Gain()])(given)
    with pytest.raises(ValueError, match="lengths lie between 50000 and 100000"):
        Compose([lambda clips: clips.with_values(lengths=clips.lengths * 100), Gain()])(given)
    wrong = given.with_values(features=noise(2, 40, 9), feature_lengths=torch.tensor([9, 1000]))
    with pytest.raises(ValueError, match="lengths lie between 9 and 1000"):
        SpecAugment().run(wrong)


@pytest.mark.parametrize(
    ("lengths", "seeds", "message"),
    [
        ([1000, 500], SEEDS, "lengths is list"),
        (torch.tensor([1.0, 0.5]), SEEDS, "lengths is torch.float32"),
        (None, 3, "seeds is int"),
        (None, [1, 2], "seeds is list"),
        (None, torch.tensor([1.0, 2.0]), "seeds is torch.float32"),
    ],
)
def test_lengths_and_seeds_are_tensors_of_integers(lengths, seeds, message):
    with pytest.raises(TypeError, match=message):
        Gain()(noise(2, 1000), lengths, seeds)


def test_seeds_draw_the_same_whatever_integers_they_are_of():
    small = AddNoise()(noise(2, 1000), seeds=SEEDS.int())
    assert torch.equal(small, AddNoise()(noise(2, 1000), seeds=SEEDS))


@pytest.mark.parametrize("waveforms", [torch.ones(2, 9, dtype=torch.int16), [[0.5]], torch.ones(2, 9).numpy()])
def test_only_tensors_of_floating_point_are_augmented(waveforms):
    # a gain in int16 would wrap around
    with pytest.raises(TypeError, match="waveforms"):
        Gain(6)(waveforms)


def test_pitch_shift_takes_half_precision_and_leaves_nan_in_its_clip():
    waveforms, seeds = noise(2, 4000), torch.tensor([5, 6])
    plain = PitchShift(3)(waveforms, seeds=seeds, sample_rate=8000)
    half = waveforms.half()
    wide = PitchShift(3)(half.float(), seeds=seeds, sample_rate=8000)
    assert torch.equal(PitchShift(3)(half, seeds=seeds, sample_rate=8000), wide.half())
    broken = waveforms.clone()
    broken[0, 5] = float("nan")
    after = PitchShift(3)(broken, seeds=seeds, sample_rate=8000)
    assert torch.equal(after[1], plain[1])
    assert after[0].isnan().any()


def test_clips_without_samples_stay_so():
    nothing = Clips(torch.zeros(2, 0), torch.zeros(2, dtype=torch.int64), SEEDS, 8000, targets=torch.eye(2))
    assert CutMix()(nothing).waveforms.shape == (2, 0)
    assert Gain()(nothing).waveforms.shape == (2, 0)


def test_levels_are_the_same_whatever_the_layout():
    waveforms, seeds = noise(4000, 32).t(), torch.arange(32)
    levels = Gain(-20, relative_to="rms")
    assert torch.equal(power_sums(waveforms), power_sums(waveforms.contiguous()))
    assert torch.equal(levels(waveforms, seeds=seeds), levels(waveforms.contiguous(), seeds=seeds))


def in_a_collate(augment) -> af.AudioBatch:
    return af.GPUSpecCollate(MEL, augment=augment, device="cpu")([(noise(1000), 0), (noise(500), 1)])


def test_what_a_function_puts_into_the_padding_is_taken_out():
    def louder(waveforms, lengths, seeds):
        return waveforms + 1

    assert not in_a_collate(louder).waveforms[1, 500:].any()
    assert not in_a_collate(lambda clips: clips.with_values(waveforms=clips.waveforms + 1)).waveforms[1, 500:].any()
    # else the level would be that of the padding, too
    together = in_a_collate(Compose([louder, Gain(-20, relative_to="rms")])).waveforms[1, :500]
    assert torch.allclose(together.square().mean().sqrt(), torch.tensor(0.1), rtol=1e-4)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda w, n: w, r"takes \(w, n\), and is called as augment\(waveforms, lengths, seeds\)"),
        (torch.nn.Dropout(), "wrap it: lambda waveforms, lengths, seeds: own"),
        (lambda w: w * 2, "takes one argument, which is audiofeed.augment.Clips and no tensor"),
        (lambda w: torch.relu(w), "takes one argument, which is audiofeed.augment.Clips and no tensor"),
    ],
)
def test_a_function_of_other_arguments_is_told_how_it_is_called(function, message):
    for augment in (function, lambda: Compose([Gain(), function])):
        with pytest.raises(TypeError, match=message):
            in_a_collate(augment if augment is function else augment()).features.sum()


def test_a_function_of_clips_returns_targets_of_each():
    with pytest.raises(ValueError, match=r"augment returned targets of shape \(1,\) for 2 clips"):
        in_a_collate(lambda clips: clips.with_values(targets=clips.targets[:1])).features.sum()


@pytest.mark.parametrize("members", [Gain(), {"gain": Gain()}, {Gain(): 0.3}, "gain"])
@pytest.mark.parametrize("composed", [Compose, OneOf])
def test_members_are_a_list(composed, members):
    # of a dict of weights, the weights would be dropped
    with pytest.raises(TypeError, match=r"members=.* must be a list of augmentations"):
        composed(members)


@pytest.mark.parametrize("weights", ["ab", ["1", "2"], 3, {"a": 1, "b": 2}])
def test_weights_are_numbers(weights):
    with pytest.raises(ValueError, match=r"weights=.* must be one number for each"):
        OneOf([Gain(), Gain()], weights=weights)
