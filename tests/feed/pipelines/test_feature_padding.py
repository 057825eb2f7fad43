"""What stands past a clip's end: zeros, silence, a number or the frames of zero samples; batches of fixed length."""

import copy
import pickle

import numpy as np
import pytest
import torch
from feed_datasets import Bands, Foreign, Named, Pairs
from torch import nn
from torch.utils.data import DataLoader

from audiofeed.data.example import AudioExample
from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.states.side_streams import Ahead
from audiofeed.transforms import MFCC, Chain, LogMelSpectrogram, Stack

RATE = 16000
CLIPS = [Pairs()[i][0] * 0.1 for i in (0, 4, 9)]
INT16 = [(clip.clamp(-1, 1) * 32767).to(torch.int16) for clip in CLIPS]
STEREO = [torch.stack([clip, -clip.flip(-1)]) for clip in CLIPS]
KINDS = ["mask", "silence", "waveform", -7.5]


def log_mel(**settings):
    return LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=64, n_mels=20, **settings)


def make(clips, transform=None, **settings):
    return GPUSpecCollate(transform or log_mel(), device="cpu", **settings)(
        [AudioExample(clip, RATE) for clip in clips]
    )


def expected(transform, clips, kind, size):
    """By the definition: each clip by itself, and what its padding is."""
    rows, counts = [], []
    for clip in clips:
        clip = clip.float() / 32768 if clip.dtype == torch.int16 else clip
        frames = int(transform.frame_lengths(torch.tensor([clip.shape[-1]])))
        whole = int(transform.frame_lengths(torch.tensor([size])))
        padded = nn.functional.pad(clip, (0, size - clip.shape[-1]))
        if kind == "waveform":
            row = transform(padded)
        else:
            fill = transform(torch.zeros_like(padded))[..., :1] if kind == "silence" else 0 if kind == "mask" else kind
            row = torch.zeros(*transform(padded).shape[:-1], whole) + fill
            row[..., :frames] = transform(clip)
        rows.append(row)
        counts.append(frames)
    return torch.stack(rows), counts


@pytest.mark.parametrize("clips", [CLIPS, INT16, STEREO], ids=["float32", "int16", "channels"])
@pytest.mark.parametrize("size", [None, 4000])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind, size, clips):
    transform = log_mel()
    batch = make(clips, transform, padding=kind, pad_to=size)
    length = size or max(clip.shape[-1] for clip in clips)
    values, counts = expected(transform, clips, kind, length)
    torch.testing.assert_close(batch.features, values, rtol=1e-5, atol=1e-4)
    assert batch.waveforms.shape[-1] == length
    assert batch.lengths.tolist() == [clip.shape[-1] for clip in clips]
    assert batch.feature_lengths.tolist() == counts
    assert batch.feature_mask.shape == (3, batch.features.shape[-1])
    assert [row.nonzero().flatten().tolist() for row in batch.feature_mask] == [list(range(n)) for n in counts]


def test_silence_is_quieter_than_speech_and_a_mask_is_not():
    quiet, zeros = make(CLIPS, padding="silence").features[0], make(CLIPS).features[0]
    assert quiet[:, -1].max() < quiet[:, :5].min() < 0
    assert zeros[:, -1].min() == 0 > quiet[:, :5].max()


def test_without_a_word_it_is_the_mask_and_of_fixed_length_the_waveform():
    assert torch.equal(make(CLIPS).features, make(CLIPS, padding="mask").features)
    assert torch.equal(make(CLIPS, pad_to=4000).features, make(CLIPS, pad_to=4000, padding="waveform").features)
    assert not torch.equal(make(CLIPS, pad_to=4000).features, make(CLIPS, pad_to=4000, padding="mask").features)


def test_features_by_name():
    transform = Stack(mel=log_mel(), mfcc=MFCC(sample_rate=RATE, n_fft=256, hop_length=64, n_mfcc=5, n_mels=20))
    for kind in KINDS:
        batch = make(CLIPS, transform, padding=kind)
        for name, member in (("mel", log_mel()), ("mfcc", transform.mfcc)):
            own = make(CLIPS, member, padding=kind)
            torch.testing.assert_close(batch.features[name], own.features, rtol=1e-4, atol=1e-3)
            assert torch.equal(batch.feature_mask[name], own.feature_mask)


class Counting(Bands):
    """Bands with a level for silence that may be trained."""

    def __init__(self, *, trainable=False):
        super().__init__()
        self.level = nn.Parameter(torch.tensor([[2.0], [3.0]]), requires_grad=trainable)

    def forward(self, waveform, lengths=None):
        bands = super().forward(waveform) + self.level
        own = torch.arange(bands.shape[-1]) < self.frame_lengths(lengths)[:, None]
        return bands * own[:, None]


def test_silence_is_computed_once_and_again_when_the_transform_changes():
    transform = Counting()
    collate = GPUSpecCollate(transform, device="cpu", padding="silence")
    for calls in (2, 3, 4):
        features = collate(CLIPS).features
        assert transform.calls == calls
        assert features[0, :, -1].tolist() == [2.0, 3.0]
    transform.load_state_dict({"weight": transform.weight, "level": torch.tensor([[5.0], [6.0]])})
    assert collate(CLIPS).features[0, :, -1].tolist() == [5.0, 6.0]
    assert transform.calls == 6
    assert collate([clip[None] for clip in CLIPS[:1]] * 2)  # channels are another shape of it
    assert pickle.loads(pickle.dumps(collate))(CLIPS).features[0, :, -1].tolist() == [5.0, 6.0]


def test_silence_of_a_trained_transform_follows_its_parameters():
    transform = Counting(trainable=True)
    collate = GPUSpecCollate(transform, device="cpu", padding="silence")
    for level in (2.0, 4.0):
        with torch.no_grad():
            transform.level.fill_(level)
        batch = collate(CLIPS)
        assert batch.features[0, :, -1].tolist() == [level, level]
        batch.features.sum().backward()
        # of its own frames alone: silence is a constant
        assert transform.level.grad.tolist() == [[float(batch.feature_lengths.sum())]] * 2
        transform.level.grad = None


def test_silence_counts_in_no_statistics():
    def chain():
        torch.manual_seed(0)
        return Chain(log_mel(), nn.BatchNorm1d(20, affine=False)).train()

    plain, silent = chain(), chain()
    _ = make(CLIPS, plain).features, make(CLIPS, silent, padding="silence").features
    assert plain[1].num_batches_tracked == silent[1].num_batches_tracked == 1
    assert torch.equal(plain[1].running_mean, silent[1].running_mean)


def test_seconds_are_samples_at_the_rate():
    for collate in (GPUSpecCollate(log_mel(), device="cpu", pad_to=0.5), PadCollate(pad_to=0.5)):
        assert collate([AudioExample(CLIPS[0], RATE)]).waveforms.shape == (1, 8000)
    for size in (4000, np.int64(4000), 0.25, np.float32(0.25)):
        assert PadCollate(pad_to=size)([AudioExample(CLIPS[0], RATE)]).waveforms.shape == (1, 4000)
    assert PadCollate(pad_to=1)([AudioExample(CLIPS[0][:1], RATE)]).waveforms.shape == (1, 1)
    assert GPUSpecCollate(Bands(), device="cpu", pad_to=0.5)(CLIPS).waveforms.shape == (3, 8000)
    with pytest.raises(
        ValueError, match=r"pad_to=0\.5 is in seconds, and neither the transform nor a clip has a sample"
    ):
        PadCollate(pad_to=0.5)(CLIPS)


def test_a_longer_clip_is_an_error_or_its_beginning():
    items = [AudioExample(clip, RATE, key=str(i)) for i, clip in enumerate(CLIPS)]
    with pytest.raises(ValueError, match=r"clip 1 \('1'\) has 1248 samples, and pad_to is 1000.*longer='crop'"):
        PadCollate(pad_to=1000)(items)
    batch = GPUSpecCollate(log_mel(), device="cpu", pad_to=1000, longer="crop")(items)
    assert batch.lengths.tolist() == [700, 1000, 1000]
    assert torch.equal(batch.waveforms[2], CLIPS[2][:1000])
    torch.testing.assert_close(batch.features[2], log_mel()(CLIPS[2][:1000]), rtol=1e-5, atol=1e-5)
    assert make([CLIPS[2]], pad_to=CLIPS[2].shape[-1]).lengths.tolist() == [1933]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"pad_to": "1s"}, TypeError, "pad_to='1s' must be seconds"),
        ({"pad_to": True}, TypeError, "pad_to=True must be seconds"),
        ({"pad_to": 0}, ValueError, "pad_to=0 must be above 0"),
        ({"pad_to": -1.0}, ValueError, r"pad_to=-1\.0 must be above 0"),
        ({"pad_to": float("nan")}, ValueError, "pad_to=nan must be above 0"),
        ({"longer": "cut"}, ValueError, "longer='cut' must be"),
        ({"padding": "zeros"}, ValueError, "padding='zeros' must be one of 'mask', 'silence', 'waveform', or a finite"),
        ({"padding": float("inf")}, ValueError, "padding=inf"),
        ({"padding": float("nan")}, ValueError, "padding=nan"),
        ({"padding": True}, ValueError, "padding=True"),
        ({"padding": [0]}, ValueError, r"padding=\[0\]"),
    ],
)
def test_arguments(settings, error, message):
    with pytest.raises(error, match=message):
        GPUSpecCollate(Bands(), **settings)
    if "padding" not in settings:
        with pytest.raises(error, match=message):
            PadCollate(**settings)


def test_a_transform_without_frame_lengths():
    """Where a clip ends in its features is unknown, so that only what comes before them can be chosen."""
    for kind in ("silence", 0.0):
        with pytest.raises(ValueError, match="Foreign has no frame_lengths; give padding='waveform'"):
            GPUSpecCollate(Foreign(), padding=kind)
    for kind in (None, "mask", "waveform"):
        batch = GPUSpecCollate(Foreign(), device="cpu", pad_to=4000, padding=kind)(CLIPS)
        padded = torch.stack([nn.functional.pad(clip, (0, 4000 - clip.shape[-1])) for clip in CLIPS])
        assert torch.equal(batch.features, Foreign()(padded))
        assert batch.feature_mask is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["batch", "tuple"])
def test_ahead_on_a_side_stream_and_in_workers(kind, output, monkeypatch):
    class Streams:
        """Side streams that compute at once."""

        supports = staticmethod(lambda device: True)
        new_stream = current_stream = record = staticmethod(lambda device: "stream")
        on = staticmethod(lambda stream: torch.no_grad())
        wait = keep = staticmethod(lambda *_: None)

    settings = {"pad_to": 4000, "padding": kind, "output": output}
    alone = GPUSpecCollate(log_mel(), device="cpu", **settings)(CLIPS)[0 if output == "tuple" else "features"]
    collate = GPUSpecCollate(log_mel(), device="cpu", **settings)
    loader = DataLoader(Named(CLIPS), batch_size=3, collate_fn=collate, num_workers=1, multiprocessing_context="fork")
    (worked,) = loader
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr("audiofeed.feed.padding.Padded.pin_memory", copy.copy)
    collate._runtime.ahead = Ahead(2, Streams())
    batch = worked.batch if output == "tuple" else worked
    batch.pin_memory()
    assert "started" in batch.describe("features")
    assert torch.equal(batch.features, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_mates(kind):
    """Of one length a clip has the same frames beside any others; of several, "waveform" has more of them."""
    batch = make(CLIPS, padding=kind, pad_to=4000)
    for row, clip in zip(batch.features, CLIPS, strict=True):
        torch.testing.assert_close(make([clip], padding=kind, pad_to=4000).features[0], row, rtol=1e-5, atol=1e-5)


def test_channels_are_mixed_down():
    """As torchaudio.load and Hugging Face's AudioDecoder give a mono file: (1, time)."""
    batch = GPUSpecCollate(log_mel(), device="cpu", mono=True)([clip[None] for clip in INT16])
    assert batch._progress.state.padded.waveforms.dtype == torch.int16
    assert torch.equal(batch.features, make(INT16).features)
    mixed = PadCollate(mono=True)([STEREO[0], CLIPS[0], CLIPS[1][None]]).waveforms
    assert mixed.shape == (3, CLIPS[1].shape[-1])
    assert torch.equal(mixed[0, :700], STEREO[0].mean(0))
    assert torch.equal(mixed[1, :700], CLIPS[0])
    for dtype in (torch.int16, torch.int32, torch.uint8, torch.float64):
        clip = (torch.tensor([[10, 20, 30], [20, 40, 70]]) * (1 if dtype == torch.uint8 else 100)).to(dtype)
        kept = PadCollate()([clip]).waveforms[0]
        torch.testing.assert_close(PadCollate(mono=True)([clip]).waveforms[0], kept.mean(0))
    assert GPUSpecCollate(log_mel(), device="cpu")([clip[None] for clip in CLIPS]).features.dim() == 4
    with pytest.raises(
        ValueError, match=r"all clips .*same channels: mix down to mono \(mono=True in AudioFolder, or in"
    ):
        PadCollate()([STEREO[0], CLIPS[0]])
    with pytest.raises(TypeError, match="mono=1 must be True or False"):
        PadCollate(mono=1)
