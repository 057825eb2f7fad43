"""A click's label stays in the frame of the click when augmentations move it in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.data.targets.test_click_tracks import HOP, N_FFT, RATE

MOVES = {
    "roll": lambda: af.augment.TimeShift((-1, 1)),
    "pad": lambda: af.augment.TimeShift((-0.4, 0.4), unit="seconds", mode="pad"),
    "both, some": lambda: af.augment.Compose(
        [af.augment.TimeShift(p=0.5), af.augment.TimeShift((-0.3, 0.3), mode="pad", p=0.5), af.augment.TimeShift()]
    ),
}


@pytest.mark.parametrize("crop", [af.RandomCrop(0.9), af.RandomCrop(samples=6001, pad=True), None], ids=str)
@pytest.mark.parametrize("move", MOVES)
def test_labels_follow_clicks(tracks, move, crop):
    data = af.AudioManifest(tracks.rows(), root=tracks.root, target_type=af.EventTargets(marks="onset"), crop=crop)
    collate = af.GPUSpecCollate(af.Spectrogram(N_FFT, hop_length=HOP), device="cpu", augment=MOVES[move]())
    clicks = 0
    for epoch in range(3):
        batch = collate([data[epoch, index] for index in range(len(data))])
        for wave, mark, counted in zip(batch.waveforms, batch.targets[:, 0], batch.feature_lengths, strict=True):
            places = torch.nonzero(wave > 0.5).flatten()
            # two clicks that a seam has brought together may be in one frame
            frames = ((places + HOP // 2) // HOP).clamp(max=int(counted) - 1).unique()
            assert torch.nonzero(mark).flatten().tolist() == frames.tolist()
            clicks += len(places)
    assert clicks > 100


def test_an_event_across_the_seam_sounds_at_both_ends(write_pcm, tmp_path):
    tone = (8000 * np.sin(np.arange(RATE) * 0.5)).astype(np.int16)
    write_pcm("set/a.wav", np.where((np.arange(RATE) >= 6000) & (np.arange(RATE) < 7500), tone, 0), rate=RATE)
    rows = [{"path": "a.wav", "onset": 6000 / RATE, "offset": 7500 / RATE, "event_label": "tone"}]
    data = af.AudioManifest(
        rows, root=tmp_path / "set", target_type=af.EventTargets(marks=("activity", "onset", "offset"), rule="center")
    )
    shift = af.augment.TimeShift(1000 / RATE, unit="seconds")
    (row,) = af.GPUSpecCollate(af.Spectrogram(N_FFT, hop_length=HOP), device="cpu", augment=shift)([data[0]]).targets[
        "activity"
    ]
    sounding = torch.nonzero(row[0]).flatten() * HOP
    assert sounding.tolist() == [*range(0, 500, HOP), *range(7040, 8001, HOP)]
    batch = af.GPUSpecCollate(af.Spectrogram(N_FFT, hop_length=HOP), device="cpu", augment=shift)([data[0]])
    assert torch.nonzero(batch.targets["onset"][0, 0]).flatten().tolist() == [7000 // HOP]
    assert torch.nonzero(batch.targets["offset"][0, 0]).flatten().tolist() == [round(499 / HOP)]
