"""
Augmentations, heard and seen
=============================

The same two seconds under each augmentation, drawn from one seed: a clip has the same bits in any batch. ``listen.py``,
beside this script, makes the clip and the player; ``python examples/augmentation_gallery.py --clip FILE`` does
the same for a clip of your own.
"""

import matplotlib.pyplot as plt
import torch
from listen import RATE, Page, Player, glide, plucked

import audiofeed as af

augment = af.augment
waveform = plucked()
mel = af.LogMelSpectrogram(sample_rate=RATE, n_fft=1024, hop_length=256, n_mels=64, log="db", top_db=80.0)
BINS = (0, 16, 32, 48, 63)  # whose frequency is written beside a picture


def batch_of(augmentation: torch.nn.Module | None) -> af.AudioBatch:
    """Two clips as the collate makes a batch of them: the one that is shown, and one that it may be mixed with."""
    collate = af.GPUSpecCollate(mel, device="cpu", augment=augmentation)
    return collate([af.AudioExample(waveform, RATE, seed=7), af.AudioExample(glide(2.0), RATE, seed=8)])


def show(**augmentations: torch.nn.Module | None) -> Page:
    """Draw the features of the clip, and play what they are features of."""
    sounds = []
    for name, augmentation in augmentations.items():
        title = name.replace("_", " ")
        batch = batch_of(augmentation)
        features = batch.features[0, :, : int(batch.feature_lengths[0])].detach()
        seconds = int(batch.lengths[0]) / RATE
        _, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
        axes.imshow(
            features, origin="lower", aspect="auto", extent=(0, seconds, 0, 64), cmap="cividis", vmin=-70, vmax=10
        )
        axes.set(title=title, xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, 2.0))
        axes.set_yticks([bin + 0.5 for bin in BINS], [f"{mel.frequencies[bin]:.0f}" for bin in BINS])
        plt.show()
        if augmentation is None or "features" not in augmentation.stages:
            sounds.append(Player(batch.waveforms[0, : int(batch.lengths[0])], title))
    return Page(*sounds)


show(The_clip=None)

# %%
# Level and noise
# ---------------
# Levels count over the true length of a clip, not over its padding.
hum = sum(torch.sin(2 * torch.pi * 50 * k * torch.arange(3 * RATE) / RATE) / k for k in (1, 2, 3, 5, 7)) * 0.1
show(
    Gain=augment.Gain(gain_db=-12),
    Polarity=augment.Polarity(p=1.0),
    AddNoise_white=augment.AddNoise(snr_db=10),
    AddNoise_brown=augment.AddNoise(snr_db=10, color="brown"),
    AddBackground=augment.AddBackground([(hum, RATE)], snr_db=5),
)

# %%
# Rooms and filters
# -----------------
generator = torch.Generator().manual_seed(1)
fall = 10 ** (-3 * torch.arange(RATE // 2) / (RATE // 2))
room = torch.randn(RATE // 2, generator=generator) * fall
room[: RATE // 200] = 0
room = 0.5 * room / room.norm()
room[0] = 1.0
show(ReverbFrom=augment.ReverbFrom([room]), Filter=augment.Filter("low_pass", 800))

# %%
# Time and pitch
# --------------
show(
    Speed=augment.Speed(factor=1.25),
    PitchShift=augment.PitchShift(semitones=5),
    TimeShift=augment.TimeShift(0.4, unit="seconds", mode="pad"),
    TimeShift_roll=augment.TimeShift(0.4, unit="seconds"),
    DropChunks=augment.DropChunks(4, 0.1),
)

# %%
# Damage
# ------
show(
    Clip=augment.Clip(0.1),
    BitDepth=augment.BitDepth(bits=5),
    MuLaw=augment.MuLaw(bits=6),
    Dither=augment.Dither(0.01),
)

# %%
# Two clips in one
# ----------------
# Targets follow by the same weights, here left as they are.
show(
    Mixup=augment.Mixup([af.AudioExample(glide(2.0), RATE)], labels="own"),
    MixWithin=augment.MixWithin(labels="own"),
    CutMix=augment.CutMix(labels="own"),
)

# %%
# Features
# --------
# What is done to the spectrogram has no sound. ``FilterJitter`` lays out the mel filters anew for each clip.
show(
    SpecAugment=augment.SpecAugment(),
    FrequencyShift=augment.FrequencyShift(bins=8),
    FilterJitter=augment.FilterJitter(f_min=300.0, f_max=-3000.0),
)

# %%
# One of several, sometimes, in turn
# ----------------------------------
# Draws of a batch are those of its clips, so a recipe can be read from what it gives.
recipe = augment.Compose(
    [
        augment.Sometimes(augment.Gain(gain_db=-6), p=0.5),
        augment.OneOf([augment.AddNoise(snr_db=20), augment.ReverbFrom([room])]),
        augment.SpecAugment(),
    ]
)
show(Compose=recipe)
