"""Kaldi's filter banks and cepstra in float64 NumPy, by the formulas of its code and of nothing in this package."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.transforms.frontends import formulas

EPSILON = 2.0**-23


def mel(hertz):
    return 1127 * np.log(1 + np.asarray(hertz) / 700)


def warped(hertz: float, low: float, high: float, f_min: float, f_max: float, warp: float) -> float:
    """Kaldi's VtlnWarpFreq."""
    if not f_min <= hertz <= f_max:
        return hertz
    lower, upper = low * max(1, warp), high * min(1, warp)
    if hertz < lower:
        return f_min + (lower / warp - f_min) / (lower - f_min) * (hertz - f_min)
    if hertz < upper:
        return hertz / warp
    return f_max + (f_max - upper / warp) / (f_max - upper) * (hertz - f_max)


def kaldi_filters(n: int, n_fft: int, rate: float, f_min: float, f_max: float, vtln=(100.0, -500.0, 1.0)) -> np.ndarray:
    """(n, n_fft // 2 + 1), triangles straight in mel; the bin at half the rate is not used."""
    points = np.linspace(mel(f_min), mel(f_max), n + 2)
    low, high, warp = vtln
    if warp != 1.0:
        high = f_max + high if high < 0 else high
        hertz = 700 * (np.exp(points / 1127) - 1)
        points = mel([warped(f, low, high, f_min, f_max, warp) for f in hertz])
    filters = np.zeros((n, n_fft // 2 + 1))
    for m in range(n):
        left, center, right = points[m : m + 3]
        for k in range(n_fft // 2):
            at = mel(k * rate / n_fft)
            if left < at <= center:
                filters[m, k] = (at - left) / (center - left)
            elif center < at < right:
                filters[m, k] = (right - at) / (right - center)
    return filters


def window_of(kind: str, n: int, blackman: float = 0.42) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / (n - 1)
    return {
        "povey": lambda: (0.5 - 0.5 * np.cos(angle)) ** 0.85,
        "hanning": lambda: 0.5 - 0.5 * np.cos(angle),
        "hamming": lambda: 0.54 - 0.46 * np.cos(angle),
        "rectangular": lambda: np.ones(n),
        "blackman": lambda: blackman - 0.5 * np.cos(angle) + (0.5 - blackman) * np.cos(2 * angle),
        "sine": lambda: np.sin(angle / 2),
        "hann": lambda: 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n),
    }[kind]()


def fbank(x: np.ndarray, **options: Any) -> np.ndarray:
    """compute-fbank-feats of samples of full scale 1, in float64.  Shape: -> (bins, frames)."""
    o = {
        "sample_rate": 16000, "num_mel_bins": 23, "frame_length": 25.0, "frame_shift": 10.0, "window_type": "povey",
        "blackman_coeff": 0.42, "preemphasis_coefficient": 0.97, "remove_dc_offset": True, "snip_edges": True,
        "round_to_power_of_two": True, "low_freq": 20.0, "high_freq": 0.0, "vtln_low": 100.0, "vtln_high": -500.0,
        "vtln_warp": 1.0, "use_energy": False, "energy_floor": 1.0, "raw_energy": True, "htk_compat": False,
        "subtract_mean": False, "use_log_fbank": True, "use_power": True, "mel_floor": EPSILON, "full_scale": 32768.0,
        **options,
    }  # fmt: skip
    rate, x = o["sample_rate"], x * o["full_scale"]
    size, hop = (int(rate * o[name] / 1000) for name in ("frame_length", "frame_shift"))
    n_fft = 2 ** int(np.ceil(np.log2(size))) if o["round_to_power_of_two"] else size
    placement = "snip_edges" if o["snip_edges"] else "keep_edges"
    raw = formulas.frames_of(
        x, placement=placement, n_fft=n_fft, hop=hop, win=size, window_at="left", pad_mode="symmetric"
    )
    dc = o["remove_dc_offset"]
    flat = formulas.prepared(raw, np.ones(size), "left", remove_dc=dc)
    window = window_of(o["window_type"], size, o["blackman_coeff"])
    shaped = formulas.prepared(raw, window, "left", remove_dc=dc, preemphasis=o["preemphasis_coefficient"])
    energies = ((flat if o["raw_energy"] else shaped) ** 2).sum(1)
    energies = np.log(np.maximum(energies, EPSILON))
    if o["energy_floor"] > 0:
        energies = np.maximum(energies, np.log(o["energy_floor"]))
    spectrum = np.abs(formulas.spectrum(shaped)) ** (2 if o["use_power"] else 1)
    top = o["high_freq"] if o["high_freq"] > 0 else rate / 2 + o["high_freq"]
    vtln = (o["vtln_low"], o["vtln_high"], o["vtln_warp"])
    found = kaldi_filters(o["num_mel_bins"], n_fft, rate, o["low_freq"], top, vtln) @ spectrum
    if o["use_log_fbank"]:
        found = np.log(np.maximum(found, o["mel_floor"]))
    if o["use_energy"]:
        found = np.vstack([found, energies] if o["htk_compat"] else [energies, found])
    return found - found.mean(1, keepdims=True) if o["subtract_mean"] else found


def mfcc(x: np.ndarray, *, num_ceps: int = 13, cepstral_lifter: float = 22.0, **options: Any) -> np.ndarray:
    """compute-mfcc-feats of samples of full scale 1, in float64.  Shape: -> (num_ceps, frames)."""
    energy, last = options.get("use_energy", False), options.get("htk_compat", False)
    bands = fbank(x, **{**options, "subtract_mean": False, "htk_compat": False})
    energies, bands = (bands[0], bands[1:]) if energy else (None, bands)
    n = len(bands)
    k, j = np.arange(num_ceps)[:, None], np.arange(n)
    cosines = np.sqrt(2 / n) * np.cos(np.pi / n * (j + 0.5) * k)
    cosines[0] = np.sqrt(1 / n)
    found = cosines @ bands
    if cepstral_lifter:
        found *= 1 + cepstral_lifter / 2 * np.sin(np.pi * k / cepstral_lifter)
    if energies is not None:
        found[0] = energies
    elif last:
        found[0] *= np.sqrt(2)
    if last:
        found = np.vstack([found[1:], found[:1]])
    return found - found.mean(1, keepdims=True) if options.get("subtract_mean") else found
