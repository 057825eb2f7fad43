"""Batches of few shapes: the collate's `pad_to_multiple_of`, and one compiled graph for each shape."""

import pytest
import torch
from feed_datasets import Pairs

from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.loading import Feed
from audiofeed.transforms import CQT, MFCC, Chain, LogMelSpectrogram, NormalizeClips, Tempogram

RATE = 16000
MEL = {"sample_rate": RATE, "n_fft": 256, "hop_length": 64, "n_mels": 20}
CLIPS = [Pairs()[i][0] * 0.1 for i in (0, 4, 9)]
LONGEST = max(clip.shape[-1] for clip in CLIPS)
TRANSFORMS = {
    "mel": lambda: LogMelSpectrogram(**MEL),
    "reflect": lambda: LogMelSpectrogram(**MEL, pad_mode="reflect", method="fft"),
    "conv": lambda: LogMelSpectrogram(**MEL, method="conv"),
    "mfcc": lambda: MFCC(**MEL),
    "clips": lambda: Chain(LogMelSpectrogram(**MEL), NormalizeClips()),
    "cqt": lambda: CQT(sample_rate=RATE, n_bins=24, hop_length=64),
    "tempogram": lambda: Tempogram(sample_rate=RATE, n_fft=1024, hop_length=64, win_length=12),
}


def items(clips=CLIPS):
    return [AudioExample(clip, RATE, target=i) for i, clip in enumerate(clips)]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_clips_own_features_are_those_without_it(name):
    transform = TRANSFORMS[name]()
    plain, padded = (
        GPUSpecCollate(transform, device="cpu", **settings)(items()) for settings in ({}, {"pad_to_multiple_of": 4000})
    )
    assert padded.waveforms.shape[-1] == -(-LONGEST // 4000) * 4000 > plain.waveforms.shape[-1] == LONGEST
    assert torch.equal(padded.lengths, plain.lengths)
    assert torch.equal(padded.feature_lengths, plain.feature_lengths)
    assert padded.targets.tolist() == plain.targets.tolist()
    for ours, theirs, count in zip(padded.features, plain.features, plain.feature_lengths.tolist(), strict=True):
        # the FFT of a tempogram's stretches takes other numbers of them at once
        exact = {"rtol": 1e-5, "atol": 1e-6} if name == "tempogram" else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(ours[..., :count], theirs[..., :count], **exact)
        assert bool((ours[..., count:] == 0).all())


@pytest.mark.parametrize(("multiple", "samples"), [(1000, 1000), (0.1, 1600), (LONGEST, LONGEST), (10**5, 10**5)])
def test_the_length_is_the_next_multiple(multiple, samples):
    batch = PadCollate(pad_to_multiple_of=multiple)(items())
    assert batch.waveforms.shape[-1] == -(-LONGEST // samples) * samples
    assert bool((batch.waveforms[0, ..., batch.lengths[0] :] == 0).all())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"pad_to_multiple_of": 0}, ValueError, "pad_to_multiple_of=0 must be above 0"),
        ({"pad_to_multiple_of": float("inf")}, ValueError, "pad_to_multiple_of=inf must be above 0"),
        ({"pad_to_multiple_of": "1 s"}, TypeError, "pad_to_multiple_of='1 s' must be seconds"),
        ({"pad_to_multiple_of": True}, TypeError, "pad_to_multiple_of=True must be seconds"),
        ({"pad_to_multiple_of": 100, "pad_to": 4000}, ValueError, "must be left out beside pad_to=4000"),
    ],
)
def test_a_wrong_multiple_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        PadCollate(**settings)


def test_seconds_need_a_sample_rate():
    with pytest.raises(ValueError, match=r"pad_to_multiple_of=0.5 is in seconds, and neither"):
        PadCollate(pad_to_multiple_of=0.5)([torch.ones(100)])


def test_a_feed_pads_its_batches():
    feed = Feed(items(), TRANSFORMS["mel"](), batch_size=3, device="cpu", workers=0, pad_to_multiple_of=4000)
    (batch,) = feed
    assert batch.waveforms.shape[-1] == -(-LONGEST // 4000) * 4000


def graphs_of(multiple: int | None) -> int:
    """How many graphs the compiler makes for batches whose longest clips all have other lengths."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    transform = LogMelSpectrogram(**MEL, method="fft")
    compiled = torch.compile(transform, backend="eager", fullgraph=True, dynamic=False)
    collate = PadCollate(pad_to_multiple_of=multiple)
    for cut in (0, 331):
        batch = collate(items([clip[..., : clip.shape[-1] - cut] for clip in CLIPS]))
        with torch.no_grad():
            found = compiled(batch.waveforms, batch.lengths)
            torch.testing.assert_close(found, transform(batch.waveforms, batch.lengths), rtol=1e-4, atol=1e-4)
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_batches_of_one_shape_are_compiled_once():
    assert graphs_of(8000) == 1
    assert graphs_of(None) == 2
