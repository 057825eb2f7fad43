"""Front-ends of public training code in float64 NumPy, clip by clip, each from its formula: (time,) to (bins, frames).

Nothing of this package is called here; `formulas` has the frames, and this file the filters and what follows.
"""

from __future__ import annotations

import numpy as np

from tests.transforms.frontends.formulas import cut, extended, frames_of, hann, prepared, spectrum

# ---------------------------------------------------------------- filters


def slaney_mel(f):
    return np.where(f < 1000, 3 * f / 200, 15 + np.log(np.maximum(f, 1000) / 1000) * 27 / np.log(6.4))


def slaney_hz(m):
    return np.where(m < 15, 200 * m / 3, 1000 * np.exp(np.log(6.4) / 27 * (m - 15)))


def htk_mel(f):
    return 2595 * np.log10(1 + f / 700)


def htk_hz(m):
    return 700 * (10 ** (m / 2595) - 1)


def triangles(rate, n_fft, n, f_min, f_max, scale, *, area=False):
    """Triangles in Hz between points evenly spaced on a mel scale.  Shape: (n, n_fft // 2 + 1)."""
    to_mel, to_hz = {"slaney": (slaney_mel, slaney_hz), "htk": (htk_mel, htk_hz)}[scale]
    points = to_hz(np.linspace(to_mel(np.float64(f_min)), to_mel(np.float64(f_max)), n + 2))
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    filters = np.zeros((n, len(bins)))
    for i, (low, middle, high) in enumerate(zip(points, points[1:], points[2:], strict=False)):
        up, down = (bins - low) / (middle - low), (high - bins) / (high - middle)
        filters[i] = np.maximum(0, np.minimum(up, down)) * (2 / (high - low) if area else 1)
    return filters


def kaldi_triangles(rate, n_fft, n, f_min, f_max):
    """mel-computations.cc: triangles straight in mel, over n_fft / 2 bins.  Shape: (n, n_fft // 2 + 1)."""

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    step = (mel(f_max) - mel(f_min)) / (n + 1)
    filters = np.zeros((n, n_fft // 2 + 1))
    for i in range(n):
        left = mel(f_min) + i * step
        for k in range(n_fft // 2):
            m = mel(k * rate / n_fft)
            if left < m < left + 2 * step:
                filters[i, k] = (m - left) / step if m <= left + step else (left + 2 * step - m) / step
    return filters


def centered(x, n_fft, hop, *, win=None, symmetric=False, placement="center", pad_mode="reflect"):
    """|S|^2 of frames placed as torch.stft(center=True) has them."""
    win = n_fft if win is None else win
    frames = frames_of(x, placement=placement, n_fft=n_fft, hop=hop, win=win, window_at="center", pad_mode=pad_mode)
    return np.abs(spectrum(prepared(frames, hann(win, symmetric=symmetric), "center"))) ** 2


def kaldi_frames(x):
    """400 and 160 samples at 16 kHz, snip_edges, remove_dc_offset, preemphasis_coefficient=0.97, 512 points: |S|^2."""
    frames = cut(x, 400, 160, 1 + (len(x) - 400) // 160)
    return frames, np.abs(np.fft.rfft(kaldi_windows(frames), 512, axis=1).T) ** 2


def kaldi_windows(frames, window=None):
    window = hann(400, symmetric=True) if window is None else window
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    return (frames - 0.97 * before) * window


# ---------------------------------------------------------------- the nine


def panns(x):
    power = centered(x, 1024, 320)
    return 10 * np.log10(np.maximum(triangles(32000, 1024, 64, 50, 14000, "slaney", area=True) @ power, 1e-10))


def ast(x):
    _, power = kaldi_frames(x - x.mean())
    y = np.log(np.maximum(kaldi_triangles(16000, 512, 128, 20, 8000) @ power, 1.19e-7))[:, :1024]
    y = np.pad(y, [(0, 0), (0, 1024 - y.shape[1])])
    return (y + 4.2677393) / (2 * 4.5689974)


def efficientat(x):
    power = centered(x[1:] - 0.97 * x[:-1], 1024, 320, win=800, symmetric=True)
    return (np.log(kaldi_triangles(32000, 1024, 128, 0, 15000) @ power + 1e-5) + 4.5) / 5


def onsets_and_frames(x):
    magnitude = np.sqrt(centered(x[:-1], 2048, 512))
    return np.log(np.maximum(triangles(16000, 2048, 229, 30, 8000, "htk", area=True) @ magnitude, 1e-5))


def hifi_gan(x, f_max=8000):
    padded = extended(x, 384, 384, "reflect")
    frames = cut(padded, 1024, 256, 1 + (len(padded) - 1024) // 256)
    s = spectrum(frames * hann(1024))
    magnitude = np.sqrt(s.real**2 + s.imag**2 + 1e-9)
    return np.log(np.maximum(triangles(22050, 1024, 80, 0, f_max, "slaney", area=True) @ magnitude, 1e-5))


def hifi_gan_loss(x):
    return hifi_gan(x, f_max=11025)


def matcha(x):
    y = (hifi_gan(x) + 5.536622) / 2.116101
    return np.pad(y, [(0, 0), (0, -y.shape[1] % 4)])


def bc_resnet(x):
    return np.log(triangles(16000, 512, 40, 0, 8000, "htk") @ centered(x, 512, 160, win=480) + 1e-6)


def whisper(x):
    power = centered(x, 400, 160)[:, :-1] if len(x) % 160 == 0 else centered(x, 400, 160, placement="hops")
    y = np.log10(np.maximum(triangles(16000, 400, 80, 0, 8000, "slaney", area=True) @ power, 1e-10))
    return (np.maximum(y, y.max() - 8) + 4) / 4


def fcn(x):
    return 10 * np.log10(np.maximum(triangles(16000, 512, 96, 0, 8000, "htk") @ centered(x, 512, 256), 1e-10))


# ---------------------------------------------------------------- others


def sound_events(offset, x):
    """mel_features.py of VGGish: |S| of whole windows, triangles straight in mel, the lowest bin left out."""

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.linspace(0, 8000, 257))[:, None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    filters = np.maximum(0, np.minimum(up, (edges[2:] - bins) / (edges[2:] - edges[1:-1])))
    filters[0] = 0
    frames = cut(x, 400, 160, 1 + (len(x) - 400) // 160) * hann(400)
    return np.log(filters.T @ np.abs(np.fft.rfft(frames, 512, axis=1).T) + offset)


def vggish(x):
    return sound_events(0.01, x)


def yamnet(x):
    return sound_events(0.001, x)


def beats(x):
    """torchaudio.compliance.kaldi.fbank(x * 2 ** 15, num_mel_bins=128, sample_frequency=16000)."""
    frames = cut(x * 2**15, 400, 160, 1 + (len(x) - 400) // 160)
    power = np.abs(np.fft.rfft(kaldi_windows(frames, hann(400, symmetric=True) ** 0.85), 512, axis=1).T) ** 2
    y = np.log(np.maximum(kaldi_triangles(16000, 512, 128, 20, 8000) @ power, 1.1920928955078125e-07))
    return (y - 15.41663) / (2 * 6.55582)


def tacotron2(x):
    magnitude = np.sqrt(centered(x, 1024, 256))
    return np.log(np.maximum(triangles(22050, 1024, 80, 0, 8000, "slaney", area=True) @ magnitude, 1e-5))


def clap(x):
    filters = triangles(48000, 1024, 64, 50, 14000, "slaney", area=True)
    return 10 * np.log10(np.maximum(filters @ centered(x, 1024, 480), 1e-10))


def musicnn(x):
    power = centered(x, 512, 256, pad_mode="constant")
    return np.log10(1 + 10000 * (triangles(16000, 512, 96, 0, 8000, "slaney", area=True) @ power))


def dcase(x):
    """20 / 2 log10(. + sys.float_info.epsilon)."""
    power = centered(x, 1024, 512, pad_mode="constant")
    return 10 * np.log10(triangles(16000, 1024, 128, 0, 8000, "slaney", area=True) @ power + np.finfo(float).eps)


def emformer(x):
    y = triangles(16000, 400, 80, 0, 8000, "htk") @ centered(x, 400, 160) * 10 ** (0.05 * 2 * 20 * np.log10(32767))
    y = np.where(y > np.e, np.log(np.maximum(y, np.e)), y / np.e)
    return (y - np.repeat([12.0, 11.0], 40)[:, None]) * np.repeat([0.25, 0.2], 40)[:, None]


# ---------------------------------------------------------------- other conventions


def log1p_magnitude(x):
    """log1p(|S|), less its mean and over its standard deviation, over all values of the clip."""
    y = np.log1p(np.sqrt(centered(x, 512, 128, pad_mode="constant")))
    return (y - y.mean()) / y.std(ddof=1)


def triangular_bands(centers, widths, rate, n_fft):
    """Triangles by center and half width in Hz.  Shape: (n, n_fft // 2 + 1)."""
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    return np.maximum(0, 1 - np.abs(bins - centers[:, None]) / widths[:, None])


def speechbrain_like(x):
    """Filters by center frequencies and bandwidths on the power, 10 log10, not below the clip's largest less 80."""
    points = htk_hz(np.linspace(htk_mel(0.0), htk_mel(8000.0), 42))
    filters = triangular_bands(points[1:-1], np.diff(points)[:-1], 16000, 400)
    power = centered(x, 400, 160, pad_mode="constant")
    y = 10 * np.log10(np.maximum(filters @ power, 1e-10))
    return np.maximum(y, y.max() - 80)


def nemo(x):
    """Pre-emphasis over the clip, symmetric Hann, ln(. + 2^-24), mean and variance of each feature over time."""
    x = np.concatenate([x[:1], x[1:] - 0.97 * x[:-1]])
    power = centered(x, 512, 160, win=400, symmetric=True, pad_mode="constant")
    y = np.log(triangles(16000, 512, 80, 0, 8000, "slaney", area=True) @ power + 2.0**-24)
    return (y - y.mean(axis=1, keepdims=True)) / (y.std(axis=1, ddof=1, keepdims=True) + 1e-5)


def kaldi_fbank(x):
    """compute-fbank-feats with its defaults but no dither: Povey's window, snip_edges, 23 filters from 20 Hz on."""
    frames = cut(x, 400, 160, 1 + (len(x) - 400) // 160)
    power = np.abs(np.fft.rfft(kaldi_windows(frames, hann(400, symmetric=True) ** 0.85), 512, axis=1).T) ** 2
    return np.log(np.maximum(kaldi_triangles(16000, 512, 23, 20, 8000) @ power, 1.1920928955078125e-07))


def kaldi_fbank_kept_edges(x):
    """The same with snip_edges=false: (n + 80) // 160 frames, the ends mirrored with their last sample."""
    frames = frames_of(x, placement="keep_edges", n_fft=512, hop=160, win=400, window_at="left", pad_mode="symmetric")[
        :, :400
    ]
    power = np.abs(np.fft.rfft(kaldi_windows(frames, hann(400, symmetric=True) ** 0.85), 512, axis=1).T) ** 2
    return np.log(np.maximum(kaldi_triangles(16000, 512, 23, 20, 8000) @ power, 1.1920928955078125e-07))
