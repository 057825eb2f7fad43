"""Target waveforms, as the sources of a mixture, are changed as the clip is, or an augmentation is refused."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af
from audiofeed.augment import Clips
from audiofeed.data.targets.timed import CutWaveform

RATE = 16_000
AUGMENT = af.augment
FOLLOWING = {
    "Gain": lambda: AUGMENT.Gain((-6, 6)),
    "Polarity": lambda: AUGMENT.Polarity(p=0.5),
    "TimeShift": lambda: AUGMENT.TimeShift((-0.3, 0.3), p=0.7),
    "Speed": lambda: AUGMENT.Speed((0.9, 1.1)),
    "PitchShift": lambda: AUGMENT.PitchShift((-3, 3)),
    "Compose": lambda: AUGMENT.Compose(
        [AUGMENT.Speed((0.9, 1.1)), AUGMENT.OneOf([AUGMENT.Polarity(p=1)]), AUGMENT.Gain(3)]
    ),
}


def examples(targets) -> list[af.AudioExample]:
    noise = [torch.randn(3000 + 800 * n, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    return [af.AudioExample(w, RATE, targets(w), seed=n + 1) for n, w in enumerate(noise)]


@pytest.mark.parametrize("name", FOLLOWING)
@pytest.mark.parametrize("first", ["targets", "waveforms"])
def test_a_source_that_is_the_clip_stays_the_clip(name, first):
    collate = af.GPUSpecCollate(
        af.LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=10),
        device="cpu",
        augment=FOLLOWING[name](),
    )
    batch = collate(examples(lambda w: {"voice": CutWaveform(w), "rest": (CutWaveform(w / 2),)}))
    getattr(batch, first)
    plain = collate._padding.pad(examples(lambda w: 0)).waveforms
    width = min(batch.waveforms.shape[-1], plain.shape[-1])
    assert not torch.equal(batch.waveforms[..., :width], plain[..., :width])
    torch.testing.assert_close(batch.targets["voice"], batch.waveforms, rtol=0, atol=0)
    torch.testing.assert_close(batch.targets["rest"][0], batch.waveforms / 2, rtol=1e-4, atol=1e-4)


def test_sources_do_not_follow_what_is_to_be_undone():
    clips = Clips(torch.randn(2, 4000), torch.tensor([4000, 3000]), torch.tensor([1, 2]), RATE)
    clips = clips.with_values(targets=clips.waveforms, sources=(("targets",),))
    for augmentation in (AUGMENT.AddNoise(10), AUGMENT.Clip(0.3), AUGMENT.Filter("low_pass", 500)):
        after = augmentation.run(clips)
        assert after.targets is clips.targets
        assert not torch.equal(after.waveforms, clips.waveforms)


@pytest.mark.parametrize("augmentation", [AUGMENT.Gain(-3, relative_to="rms"), AUGMENT.Gain(-3, relative_to="peak")])
def test_what_would_part_them_is_refused(augmentation):
    clips = Clips(torch.randn(2, 4000), torch.tensor([4000, 3000]), torch.tensor([1, 2]), RATE)
    clips = clips.with_values(targets={"a": clips.waveforms}, sources=(("targets", "a"),))
    with pytest.raises(ValueError, match=r"would part the clips from their target waveforms, \['targets.a'\]"):
        augmentation.run(clips)
