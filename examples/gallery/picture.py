"""Draw the picture of README.md: one clip as a waveform, and under eight transforms.

    python examples/gallery/picture.py [FILE]

It needs matplotlib: pip install audiofeed[plot].
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from listen import RATE, clip

import audiofeed as af


def shown() -> dict[str, torch.nn.Module]:
    """The transforms, by title."""
    frames = {"n_fft": 1024, "hop_length": 128}
    steps = {"sample_rate": RATE, "hop_length": 128, "f_min": 65.4, "n_bins": 72}
    mel = af.MelSpectrogram(sample_rate=RATE, n_mels=80, **frames)
    decibels = af.AmplitudeToDB("power", top_db=70.0)
    return {
        "Spectrogram": af.Chain(af.Spectrogram(sample_rate=RATE, **frames), decibels),
        "LogMelSpectrogram": af.Chain(mel, decibels),
        "PCEN": af.Chain(mel, af.PCEN(sample_rate=RATE, hop_length=128)),
        "CQT": af.CQT(**steps),
        "ReassignedSpectrogram": af.Chain(af.ReassignedSpectrogram(sample_rate=RATE, **frames), decibels),
        "Chroma": af.Chroma(sample_rate=RATE, n_fft=4096, hop_length=128),
        "MFCC without the first": af.MFCC(sample_rate=RATE, **frames),
        "Tempogram": af.Tempogram(sample_rate=RATE, hop_length=128, win_length=256),
    }


def name_rows(axes: Any, transform: torch.nn.Module, count: int) -> None:
    """Write at the lowest, the middle and the highest row what they stand for, in Hz or beats a minute."""
    values, unit = getattr(transform, "tempi", None), "BPM"
    if values is None:
        values, unit = getattr(transform, "frequencies", None), "Hz"
    if values is not None:
        places = (count // 2, count - 1) if unit == "BPM" else (0, count // 2, count - 1)  # no lag is no tempo
        axes.set_yticks([place + 0.5 for place in places], [f"{values[place]:.0f}" for place in places], fontsize=7)
        axes.set_ylabel(unit, fontsize=8)


def main() -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "images" / "transforms.png")
    waveform = clip()
    seconds = len(waveform) / RATE
    figure, grid = plt.subplots(3, 3, figsize=(11, 5.2), layout="constrained", sharex=True)
    grid.flat[0].plot(torch.arange(len(waveform)) / RATE, waveform, color="#00224e", linewidth=0.3)
    grid.flat[0].set(title="waveform", yticks=[], xlim=(0, seconds))
    for axes, (title, transform) in zip(grid.flat[1:], shown().items(), strict=True):
        features = transform(waveform).detach()
        if title.startswith("MFCC"):  # the level of all bands would take all colors
            features = features[1:]
        features = features.clamp(
            *features.quantile(torch.tensor([0.02, 0.995]))
        )  # a few outliers would take all colors
        extent = (0, seconds, 0, len(features))
        axes.imshow(features, origin="lower", aspect="auto", extent=extent, cmap="cividis", interpolation="nearest")
        axes.set(title=title, yticks=[])
        name_rows(axes, transform, len(features))
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
