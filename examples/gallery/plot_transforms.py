"""
One clip through every transform
================================

The same four seconds (five plucked notes, a tone that rises, four beats) under each transform that makes a feature
of a waveform. ``listen.py``, beside this script, makes the clip and the player.
"""

import matplotlib.pyplot as plt
import torch
from listen import RATE, Player, clip

import audiofeed as af

waveform = clip()
Player(waveform, "The clip")

# %%
# Any transform takes a waveform of any leading dimensions, so one clip is as good as a batch.


def name_rows(axes: plt.Axes, transform: torch.nn.Module, count: int, rows: str) -> None:
    """Write beside the rows what they stand for: beats a minute, Hz, pitch classes; else they are counted."""
    places = torch.linspace(0, count - 1, 5).round().int().tolist()
    if hasattr(transform, "tempi"):
        axes.set_yticks([place + 0.5 for place in places], [f"{transform.tempi[place]:.0f}" for place in places])
        axes.set_ylabel("tempo (BPM)")
    elif hasattr(transform, "frequencies"):
        hertz = transform.frequencies.flatten()
        axes.set_yticks([place + 0.5 for place in places], [f"{hertz[place]:.0f}" for place in places])
        axes.set_ylabel("frequency (Hz)")
    elif rows == "pitch class":
        axes.set_yticks([place + 0.5 for place in range(0, 12, 2)], ["C", "D", "E", "F#", "G#", "A#"])
        axes.set_ylabel(rows)
    else:
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(rows)


def draw(title: str, transform: torch.nn.Module, *, logarithm: bool = False, first: int = 0, rows: str = "row") -> None:
    """Draw the feature of the clip over its time, from its row `first` on."""
    features = transform(waveform).detach()
    if features.is_complex():
        features = features.abs()
    if logarithm:
        features = torch.log10(features + 1e-3 * features.max())
    features = features.reshape(-1, features.shape[-1])[first:]
    assert features.isfinite().all(), f"{title}: what is not finite would be drawn as nothing"
    if len(features) > 1:  # a few outliers would take all the colors
        features = features.clamp(*features.quantile(torch.tensor([0.02, 0.995])))
    _, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
    if len(features) == 1:
        axes.plot(torch.linspace(0, len(waveform) / RATE, features.shape[-1]), features[0], color="#00224e")
        axes.margins(x=0)
    else:
        extent = (0, len(waveform) / RATE, first, first + len(features))
        axes.imshow(features, origin="lower", aspect="auto", extent=extent, cmap="cividis", interpolation="nearest")
        name_rows(axes, transform, len(features), rows)
    axes.set(title=title, xlabel="time (s)")
    plt.show()


frames = {"n_fft": 1024, "hop_length": 256}

# %%
# Spectra
# -------
# On a linear scale of frequency, on a logarithmic one, and with the energy put where it lies.
draw("Spectrogram", af.Spectrogram(sample_rate=RATE, **frames), logarithm=True)
draw("LogFrequencySpectrogram", af.LogFrequencySpectrogram(sample_rate=RATE, **frames), logarithm=True)
draw("ReassignedSpectrogram", af.ReassignedSpectrogram(sample_rate=RATE, **frames), logarithm=True)

# %%
# The ear's scales
# ----------------
# Mel and gammatone filters, the logarithm, and PCEN, which follows the level of each bin and takes it out.
draw("MelSpectrogram", af.MelSpectrogram(sample_rate=RATE, n_mels=80, **frames), logarithm=True)
draw("LogMelSpectrogram", af.LogMelSpectrogram(sample_rate=RATE, n_mels=80, floor=1e-6, **frames))
draw("Gammatonegram", af.Gammatonegram(sample_rate=RATE, **frames), logarithm=True)
mel = af.MelSpectrogram(sample_rate=RATE, n_mels=80, **frames)
draw("PCEN of a MelSpectrogram", af.Chain(mel, af.PCEN(sample_rate=RATE, hop_length=256)))

# %%
# Filters to be trained
# ---------------------
# SincNet's and LEAF's, before any training. SincNet's filters give waveforms, whose level in 16 ms is drawn.


class Level(torch.nn.Module):
    """The RMS of every band in steps of 256 samples."""

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return bands.unfold(-1, 256, 256).square().mean(-1).sqrt()


draw("SincFilterbank", af.Chain(af.SincFilterbank(sample_rate=RATE), Level()), logarithm=True, rows="filter")
draw("GaborFilterbank", af.GaborFilterbank(sample_rate=RATE), logarithm=True)

# %%
# Cepstra
# -------
# A few coefficients for the shape of each frame's spectrum, over mel, linear and Bark filters. The first, which is the
# level of all bands, would take all the colors and is left out.
cepstra = {"first": 1, "rows": "coefficient"}
draw("MFCC", af.MFCC(sample_rate=RATE, **frames), **cepstra)
draw("LFCC", af.LFCC(sample_rate=RATE, **frames), **cepstra)
draw("BFCC", af.BFCC(sample_rate=RATE, **frames), **cepstra)

# %%
# Constant Q
# ----------
# A bin for each step of the scale, with as many periods in each: a note keeps its shape wherever it lies.
steps = {"sample_rate": RATE, "hop_length": 256, "f_min": 65.4, "n_bins": 72}
draw("CQT", af.CQT(**steps), logarithm=True)
draw("VQT", af.VQT(**steps), logarithm=True)
draw("HybridCQT", af.HybridCQT(**steps), logarithm=True)
draw("PseudoCQT", af.PseudoCQT(**steps), logarithm=True)
draw(
    "HarmonicCQT, the second harmonics above the first",
    af.HarmonicCQT(sample_rate=RATE, hop_length=256, f_min=65.4, n_bins=48, bins_per_octave=12, harmonics=(1, 2)),
    logarithm=True,
)
draw("InvertibleCQT", af.InvertibleCQT(sample_rate=RATE), logarithm=True)

# %%
# Harmony
# -------
# Twelve pitch classes, however many octaves a note has; the tonal centroid; frequency and periodicity at once.
draw("Chroma", af.Chroma(sample_rate=RATE, n_fft=4096, hop_length=256), rows="pitch class")
draw("ChromaCQT", af.ChromaCQT(sample_rate=RATE, hop_length=256), rows="pitch class")
draw("ChromaVQT", af.ChromaVQT(sample_rate=RATE, hop_length=256, intervals="equal"), rows="pitch class")
draw("ChromaCENS", af.ChromaCENS(sample_rate=RATE, hop_length=256), rows="pitch class")
draw("Tonnetz", af.Tonnetz(sample_rate=RATE), rows="dimension")
draw("CFP", af.CFP(sample_rate=RATE))

# %%
# Descriptors of frames
# ---------------------
# One number for each frame, or a few.
draw("RMS", af.RMS(hop_length=256))
draw("ZeroCrossingRate", af.ZeroCrossingRate(hop_length=256))
draw("SpectralCentroid (Hz)", af.SpectralCentroid(sample_rate=RATE, **frames))
draw("SpectralBandwidth (Hz)", af.SpectralBandwidth(sample_rate=RATE, **frames))
draw("SpectralRolloff (Hz)", af.SpectralRolloff(sample_rate=RATE, **frames))
draw("SpectralFlatness", af.SpectralFlatness(**frames))
draw("SpectralContrast", af.SpectralContrast(sample_rate=RATE, n_bands=5, **frames), rows="band")

# %%
# Rhythm
# ------
# Where something begins, and how fast it comes again.
draw("OnsetStrength", af.OnsetStrength(sample_rate=RATE, hop_length=256))
draw("Tempogram", af.Tempogram(sample_rate=RATE, hop_length=256, win_length=128))
draw("FourierTempogram", af.FourierTempogram(sample_rate=RATE, hop_length=256, win_length=128))
draw("HybridTempogram", af.HybridTempogram(sample_rate=RATE, hop_length=256, win_length=128))
draw("Metrogram", af.Metrogram(sample_rate=RATE, hop_length=256, win_length=128))

# %%
# And back
# --------
# What a log-mel spectrogram keeps can be heard: magnitudes from the filters, a phase from 32 rounds of Griffin and Lim.
power = mel(waveform)
magnitude = af.InverseMel(sample_rate=RATE, n_fft=1024, n_mels=80)(power)
Player(af.GriffinLim(1024, hop_length=256, power=2.0)(magnitude, length=len(waveform)), "Back from 80 mel bins")
