"""Every augmentation, seen and heard: one picture of a clip under each, and a WAV file of each that can be heard.

    python examples/augmentation_gallery.py [--clip FILE] [--out gallery]

Without `--clip` the clip is synthesized: five notes of a plucked string. It needs matplotlib: pip install
audiofeed[plot].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import audiofeed as af

RATE = 16_000
SEED = 7


def plucked(seconds: float = 2.0) -> torch.Tensor:
    """Five notes of a plucked string (Karplus and Strong 1983), each a fifth higher."""
    rng = np.random.default_rng(0)
    out = np.zeros(round(seconds * RATE))
    for place, frequency in enumerate((220.0, 330.0, 247.5, 371.25, 440.0)):
        period = round(RATE / frequency)
        string = rng.uniform(-1, 1, period)
        note = np.empty(round(0.5 * RATE))
        for n in range(len(note)):
            note[n] = string[n % period]
            string[n % period] = 0.498 * (string[n % period] + string[(n + 1) % period])
        start = round((0.05 + 0.36 * place) * RATE)
        end = min(len(out), start + len(note))
        out[start:end] += note[: end - start]
    return torch.tensor(0.5 * out / np.abs(out).max(), dtype=torch.float32)


def room() -> torch.Tensor:
    """The impulse response of a made-up room: a direct path, and noise that falls by 60 dB in half a second."""
    rng = np.random.default_rng(1)
    times = np.arange(RATE // 2) / RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / 0.5)
    tail[: RATE // 200] = 0
    tail *= 0.5 / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return torch.tensor(tail, dtype=torch.float32)


def hum(seconds: float = 3.0) -> torch.Tensor:
    """A background: mains hum with its harmonics."""
    times = torch.arange(round(seconds * RATE)) / RATE
    return sum(torch.sin(2 * torch.pi * 50 * k * times) / k for k in (1, 2, 3, 5, 7)) * 0.1


def chirp(seconds: float) -> torch.Tensor:
    """What clips are mixed with: a tone that rises from 200 Hz to 5 kHz."""
    times = torch.arange(round(seconds * RATE)).double() / RATE
    return 0.2 * torch.sin(2 * torch.pi * (200 * times + 2400 / seconds * times**2)).float()


def shown() -> dict[str, af.augment.Augmentation]:
    """What the gallery shows, by title."""
    augment = af.augment
    return {
        "Gain(-12 dB)": augment.Gain(gain_db=-12),
        "AddNoise(white, 10 dB)": augment.AddNoise(snr_db=10),
        "AddNoise(brown, 10 dB)": augment.AddNoise(snr_db=10, color="brown"),
        "AddBackground(hum, 5 dB)": augment.AddBackground([(hum(), RATE)], snr_db=5),
        "ReverbFrom(a room)": augment.ReverbFrom([room()]),
        "Speed(1.25)": augment.Speed(factor=1.25),
        "PitchShift(+5 semitones)": augment.PitchShift(semitones=5),
        "TimeShift(+0.4 s, pad)": augment.TimeShift(0.4, unit="seconds", mode="pad"),
        "TimeShift(+0.4 s, roll)": augment.TimeShift(0.4, unit="seconds"),
        "Filter(low pass, 800 Hz)": augment.Filter("low_pass", 800),
        "Clip(0.1 of the peak)": augment.Clip(0.1),
        "DropChunks(4 of 0.1 s)": augment.DropChunks(4, 0.1),
        "MuLaw(6 bits)": augment.MuLaw(bits=6),
        "BitDepth(5)": augment.BitDepth(bits=5),
        "CutMix(with a chirp)": augment.CutMix(labels="own"),
        "MixWithin(with a chirp)": augment.MixWithin(labels="own"),
        "SpecAugment": augment.SpecAugment(),
        "FrequencyShift(+8 bins)": augment.FrequencyShift(bins=8),
    }


def main() -> None:
    """Draw the picture and write the sounds."""
    import matplotlib.pyplot as plt
    import soundfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a file; its first three seconds, at 16 kHz")
    parser.add_argument("--out", type=Path, default=Path("gallery"))
    asked = parser.parse_args()
    clip = plucked()
    if asked.clip is not None:
        rows = [{"path": str(asked.clip.resolve())}]
        example = af.AudioManifest(rows, sample_rate=RATE, crop=af.CenterCrop(3.0), mono=True)[0]
        clip = example.waveform.float() / (32768 if example.waveform.dtype == torch.int16 else 1)
    asked.out.mkdir(parents=True, exist_ok=True)
    mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=1024, hop_length=160, n_mels=80, log="db", top_db=80.0)
    cases = {"the clip itself": None, **shown()}
    results = {}
    for title, augmentation in cases.items():
        collate = af.GPUSpecCollate(mel, device="cpu", augment=augmentation)
        examples = [af.AudioExample(clip, RATE, seed=SEED)]
        if "chirp" in title:
            examples.append(af.AudioExample(chirp(len(clip) / RATE), RATE, seed=SEED + 1))
        batch = collate(examples)
        length = int(batch.lengths[0])
        results[title] = batch.features[0, :, : int(batch.feature_lengths[0])].detach().numpy()
        if augmentation is None or "features" not in augmentation.stages:
            name = "".join(letter if letter.isalnum() else "_" for letter in title).strip("_")
            sound = batch.waveforms[0, :length].detach().clamp(-1, 1).numpy()
            soundfile.write(asked.out / f"{name}.wav", sound, RATE)
    columns, high = 4, max(values.max() for values in results.values())
    rows_of_pictures = -(-len(results) // columns)
    figure, grid = plt.subplots(
        rows_of_pictures, columns, figsize=(13, 2.3 * rows_of_pictures), sharey=True, layout="constrained"
    )
    longest = max(values.shape[-1] for values in results.values()) * 160 / RATE
    bins = [int((mel.frequencies - hz).abs().argmin()) for hz in (200, 1000, 4000)]
    for axes in grid.flat[len(results) :]:
        axes.set_visible(False)
    for axes, (title, values) in zip(grid.flat, results.items(), strict=False):
        extent = (0, values.shape[-1] * 160 / RATE, 0, values.shape[0])
        image = axes.imshow(
            values, origin="lower", aspect="auto", extent=extent, cmap="viridis", vmin=high - 80, vmax=high
        )
        axes.set_title(title, fontsize=10)
        axes.set_xlim(0, longest)
        axes.set_yticks(bins, ["200", "1,000", "4,000"])
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (Hz)")
    for place in range(len(results) - columns, len(results)):
        grid.flat[place].set_xlabel("time (s)")
    figure.colorbar(image, ax=grid, label="level (dB)", fraction=0.02)
    figure.savefig(asked.out / "augmentation.png", dpi=75)
    print(f"{asked.out / 'augmentation.png'} and {len(list(asked.out.glob('*.wav')))} WAV files")


if __name__ == "__main__":
    main()
