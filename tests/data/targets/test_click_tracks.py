"""Events follow the crop: a click's label is in the frame that holds the click, however frames are made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import audiofeed as af

N_FFT, HOP, RATE, DRAWN = 256, 64, 8000, 10_000


class Padded(torch.nn.Module):
    """Frames as vocoders have them: (n_fft - hop) / 2 samples at both ends, n // hop frames; it gives times only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = af.Spectrogram(N_FFT, hop_length=HOP, center=False)

    def frame_lengths(self, lengths):
        return lengths // HOP

    def times(self, n_frames):
        return (torch.arange(n_frames) * HOP + HOP / 2) / RATE

    def forward(self, waveform, lengths=None):
        features = self.inner(F.pad(waveform, ((N_FFT - HOP) // 2, (N_FFT - HOP) // 2)))
        return features[..., : waveform.shape[-1] // HOP]


class LastLeftOut(torch.nn.Module):
    """Centered frames without the last, n // hop of them; it gives centers only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = af.Spectrogram(N_FFT, hop_length=HOP)

    def frame_lengths(self, lengths):
        return lengths // HOP

    def centers(self, n_frames):
        return torch.arange(n_frames) * HOP

    def forward(self, waveform, lengths=None):
        return self.inner(waveform, lengths)[..., : waveform.shape[-1] // HOP]


# (transform, whether its frames lie so that every sample of a clip is in one)
FRAMINGS = {
    "centered": lambda: af.Spectrogram(N_FFT, hop_length=HOP),
    "inside the clip": lambda: af.Spectrogram(N_FFT, hop_length=HOP, center=False),
    "as vocoders": Padded,
    "last left out": LastLeftOut,
    "in a chain": lambda: af.Chain(af.MelSpectrogram(sample_rate=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=20)),
}
CROPS = {
    "random": af.RandomCrop(0.9),
    "of samples, padded": af.RandomCrop(samples=6001, pad=True),
    "on a grid": af.RandomCrop(0.7, grid=HOP),
    "windows": af.Windows(0.4, last="keep"),
    "whole": None,
}


@pytest.fixture
def dataset(tracks):
    def made(crop, **options):
        return af.AudioManifest(
            tracks.rows(),
            root=tracks.root,
            target_type=af.EventTargets(marks=("onset", "activity", "offset")),
            crop=crop,
            **options,
        )

    return made


def check_clicks(waveform: torch.Tensor, marks: torch.Tensor, energy: torch.Tensor, spread: float = 1e-6) -> int:
    """Compare labels (frames,) with a crop's samples and its frames' energy; return the number of clicks."""
    clicks = torch.nonzero(waveform > 0.5).flatten()
    labels = torch.nonzero(marks).flatten()
    assert len(labels) == len(clicks)
    beside = F.pad(energy, (1, 1))
    for frame in labels.tolist():
        # no frame beside it holds more of the click; two may hold as much, and none any at a window's zeros
        assert energy[frame] >= (1 - spread) * max(beside[frame], beside[frame + 2])
    return len(clicks)


def check_crops(dataset, transform: torch.nn.Module, count: int) -> None:
    """Draw so many crops and compare the labels of each with its samples and the energy of its frames."""
    collate = af.GPUSpecCollate(transform, device="cpu")
    drawn, clicks, epoch = 0, 0, 0
    datasets = [dataset(crop) for crop in CROPS.values()]
    while drawn < count:
        for data in datasets:
            batch = collate([data[epoch, index] for index in range(len(data))])
            energy, onsets = batch.features.sum(1), batch.targets["onset"]
            assert onsets.shape == (len(data), 1, batch.features.shape[-1])
            for wave, mark, frames, counted in zip(
                batch.waveforms, onsets[:, 0], energy, batch.feature_lengths, strict=True
            ):
                if counted >= 1:
                    clicks += check_clicks(wave, mark, frames[:counted])
                assert not mark[counted:].any()
            for name in ("activity", "offset"):
                assert torch.equal(batch.targets[name], onsets)
            drawn += len(data)
        epoch += 1
    assert clicks > drawn


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_label_is_in_the_frame_of_its_click(dataset, framing):
    check_crops(dataset, FRAMINGS[framing](), DRAWN // len(FRAMINGS))


@pytest.mark.parametrize("window", [{}, {"win_length": 200}, {"win_length": 200, "window_at": "left"}], ids=str)
@pytest.mark.parametrize("placement", ["hops", "but_last_sample", "vocoder", "snip_edges", "keep_edges"])
def test_a_label_is_in_the_frame_of_its_click_by_placement(dataset, placement, window):
    check_crops(dataset, af.Spectrogram(N_FFT, hop_length=HOP, placement=placement, **window), 200)


def test_a_label_is_in_the_frame_of_a_click_that_was_resampled(dataset):
    data = dataset(af.RandomCrop(0.9), sample_rate=11025)
    collate = af.GPUSpecCollate(af.Spectrogram(N_FFT, hop_length=HOP), device="cpu")
    for epoch in range(20):
        batch = collate([data[epoch, index] for index in range(len(data))])
        energy = batch.features.sum(1)
        for mark, frames, counted in zip(batch.targets["onset"][:, 0], energy, batch.feature_lengths, strict=True):
            for frame in torch.nonzero(mark).flatten().tolist():
                # a click at the very edge of a crop lies half beyond it
                if 2 <= frame < counted - 2:
                    assert frames[frame] >= 0.95 * frames[frame - 2 : frame + 3].max()


@pytest.mark.parametrize("workers", [0, 2])
def test_labels_are_the_same_with_workers(dataset, workers):
    data = dataset(CROPS["random"])
    collate = af.GPUSpecCollate(FRAMINGS["centered"](), device="cpu")
    loader = torch.utils.data.DataLoader(data, batch_size=8, collate_fn=collate, num_workers=workers)
    for start, batch in zip(range(0, len(data), 8), loader, strict=True):
        alone = [collate([data[0, index]]) for index in range(start, min(start + 8, len(data)))]
        for row, one in enumerate(alone):
            count = one.features.shape[-1]
            assert torch.equal(batch.targets["onset"][row, :, :count], one.targets["onset"][0])
            assert not batch.targets["onset"][row, :, count:].any()


def test_where_a_crop_lies(dataset, tracks):
    for crop in (CROPS["random"], CROPS["of samples, padded"], CROPS["windows"], CROPS["on a grid"]):
        data = dataset(crop)
        for index in range(len(data)):
            example = data[3, index]
            whole, _ = af.data.read(data.paths[index])
            taken = round(example.duration * RATE)
            first = example.start_sample
            assert example.start * RATE == pytest.approx(first, abs=1e-9)
            assert torch.equal(example.waveform[:taken], whole[first : first + taken])
            assert not example.waveform[taken:].any()
            if crop == CROPS["of samples, padded"]:
                assert len(example.waveform) == 6001
            elif crop == CROPS["on a grid"]:
                assert first % HOP == 0


def test_a_start_at_another_rate(dataset):
    data = dataset(af.RandomCrop(0.3), sample_rate=11025)
    example = data[0, 3]
    new = round(example.start * 11025)
    assert example.start == pytest.approx(new / 11025, abs=1e-12)
    assert example.start_sample == int(np.floor(new * RATE / 11025 + 0.5))
