"""
One clip, one transform
=======================

A log-mel spectrogram of a chirp.
"""

import matplotlib.pyplot as plt
import torch

import audiofeed as af

time = torch.arange(32_000) / 16_000
chirp = torch.sin(2 * torch.pi * (200 * time + 800 * time**2))
features = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80)(chirp)
plt.imshow(features, origin="lower", aspect="auto", cmap="cividis")
plt.show()
