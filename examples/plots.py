"""Plots for notebooks: a batch, a data set, a transform and its filters, and where two front-ends differ.

    python examples/plots.py [--out plots] [--folder RECORDINGS]

Each cell (`# %%`) can be pasted into a notebook, which shows the figure or the page that its last line gives; as a
script they are written to files. Without `--folder` a small data set is synthesized. The figures need matplotlib: pip
install audiofeed[plot]; the pages need nothing.
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

import audiofeed as af

RATE = 16_000


def synthesized(folder: Path) -> Path:
    """A data set of two classes, tones that rise and tones that fall, of 0.5 to 1.5 s."""
    random = np.random.default_rng(0)
    for label, sign in (("falling", -1), ("rising", 1)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for take in range(4):
            seconds = random.uniform(0.5, 1.5)
            times = np.arange(round(seconds * RATE)) / RATE
            middle = random.uniform(500, 2000)
            phase = middle * times * 2.0 ** (sign * (times / seconds - 0.5))
            samples = 0.3 * np.sin(2 * np.pi * phase) + 0.003 * random.standard_normal(len(times))
            with wave.open(str(folder / label / f"{take}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", None))
                file.writeframes((samples * 32767).astype("<i2").tobytes())
    return folder


def main() -> None:
    """Draw everything, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("plots"), help="folder for the pictures and the pages")
    parser.add_argument("--folder", type=Path, help="recordings of your own, one folder a class")
    asked = parser.parse_args()
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    folder = asked.folder or synthesized(out / "recordings")

    # %% a data set: a notebook shows the page of what the last line is
    dataset = af.AudioFolder(folder, sample_rate=RATE)
    pages = {"the data set": dataset}

    # %% a transform: settings, shapes, method, filters
    mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=80)
    pages["the transform"] = mel

    # %% a batch, before and after its features are read
    loader = DataLoader(dataset, batch_size=8, shuffle=True, collate_fn=af.GPUSpecCollate(mel, device="cpu"))
    batch = next(iter(loader))
    batch.plot(out / "batch.png", classes=dataset.classes)
    pages["the batch"] = batch

    # %% the waveforms alone, as a PadCollate gives them
    waveforms = af.PadCollate()([dataset[i] for i in range(4)])
    waveforms.plot(out / "waveforms.png", classes=dataset.classes)

    # %% several features of one waveform
    several = af.Stack(
        mel=mel,
        cqt=af.CQT(sample_rate=RATE, hop_length=160, n_bins=72),
        centroid=af.SpectralCentroid(sample_rate=RATE, n_fft=400, hop_length=160),
    )
    stacked = af.GPUSpecCollate(several, device="cpu")([dataset[i] for i in range(3)])
    stacked.plot(out / "stack.png", classes=dataset.classes)

    # %% the filters of a transform, over Hz
    af.plot.filters(mel, out / "filters_mel.png")
    af.plot.filters(several["cqt"], out / "filters_cqt.png", normalize=True)
    af.plot.filters(af.GaborFilterbank(sample_rate=RATE), out / "filters_gabor.png")

    # %% two front-ends of the same sound, and where they differ
    htk = af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=80, mel_scale="htk")
    af.plot.compare(mel, htk, out / "compare_scales.png")
    clip = dataset[0].waveform.float() / 32768
    double = af.LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=80, precision="double")
    af.plot.compare(double, mel, out / "compare_precision.png", waveform=clip, names=("float64", "float32"))

    # %% the pages, as a notebook would show them
    body = "".join(f"<h2>{title}</h2>{thing._repr_html_()}" for title, thing in pages.items())
    page = '<!doctype html><html lang="en"><meta charset="utf-8"><title>audiofeed: pages of a notebook</title>'
    style = "<style>:root{color-scheme:light dark}body{font:14px sans-serif}</style>"
    (out / "pages.html").write_text(f"{page}{style}<body>{body}</body></html>", encoding="utf-8")
    for path in sorted(out.glob("*.*")):
        print(path)


if __name__ == "__main__":
    main()
