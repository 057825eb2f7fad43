"""Kaldi's filter banks and cepstra against torchaudio's and kaldi-native-fbank's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import formulas

kaldi = pytest.importorskip("torchaudio.compliance.kaldi", exc_type=ImportError)

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


def torchaudio_of(function: Any, options: dict[str, Any]):
    given = {name: value for name, value in options.items() if name not in ("sample_rate", "full_scale", "mel_floor")}

    def features(x: np.ndarray) -> np.ndarray:
        scaled = torch.from_numpy(x)[None] * options.get("full_scale", 32768.0)
        return function(scaled, sample_frequency=options.get("sample_rate", 16000), **given).T.numpy()

    return features


def native(online: str, options: dict[str, Any]):
    """Features by kaldi-native-fbank with torchaudio's names of options."""
    knf = pytest.importorskip("kaldi_native_fbank")
    settings = knf.MfccOptions() if online == "OnlineMfcc" else knf.FbankOptions()
    settings.frame_opts.dither, settings.use_energy = 0.0, False
    settings.energy_floor = 1.0
    names = {
        "num_mel_bins": ("mel_opts", "num_bins"), "low_freq": ("mel_opts", "low_freq"),
        "high_freq": ("mel_opts", "high_freq"), "frame_length": ("frame_opts", "frame_length_ms"),
        "frame_shift": ("frame_opts", "frame_shift_ms"), "window_type": ("frame_opts", "window_type"),
        "blackman_coeff": ("frame_opts", "blackman_coeff"), "snip_edges": ("frame_opts", "snip_edges"),
        "preemphasis_coefficient": ("frame_opts", "preemph_coeff"),
        "remove_dc_offset": ("frame_opts", "remove_dc_offset"), "sample_rate": ("frame_opts", "samp_freq"),
        "round_to_power_of_two": ("frame_opts", "round_to_power_of_two"),
    }  # fmt: skip
    for name, value in options.items():
        group, called = names.get(name, (None, name))
        setattr(settings if group is None else getattr(settings, group), called, value)

    def features(x: np.ndarray) -> np.ndarray:
        stream = getattr(knf, online)(settings)
        stream.accept_waveform(options.get("sample_rate", 16000), (x * np.float32(32768.0)).tolist())
        stream.input_finished()
        return np.stack([stream.get_frame(f) for f in range(stream.num_frames_ready)]).T

    return features


def counted(options: dict[str, Any]):
    rate = options.get("sample_rate", 16000)
    size, hop = (
        int(rate * options.get(name, default) / 1000) for name, default in (("frame_length", 25), ("frame_shift", 10))
    )

    def count(n: int) -> int:
        if options.get("snip_edges", True):
            return max(1, 1 + (n - size) // hop)
        return max(1, (n + hop // 2) // hop)

    return count


BANKS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "80": {"num_mel_bins": 80},
    "edges": {"num_mel_bins": 40, "snip_edges": False, "window_type": "hamming"},
    "sizes": {"sample_rate": 8000, "frame_length": 32.0, "frame_shift": 12.5, "low_freq": 60.0, "high_freq": -200.0},
    "plain": {"remove_dc_offset": False, "preemphasis_coefficient": 0.0, "window_type": "rectangular"},
    "linear": {"use_log_fbank": False, "window_type": "hanning", "round_to_power_of_two": False},
    "magnitude": {"use_power": False, "window_type": "blackman", "blackman_coeff": 0.4, "high_freq": 7000.0},
    "warped": {"vtln_warp": 1.15, "num_mel_bins": 40},
    "warped-back": {"vtln_warp": 0.9, "vtln_low": 150.0, "vtln_high": 7000.0},
    "energy": {"use_energy": True, "subtract_mean": True},
    "energy-last": {"use_energy": True, "raw_energy": False, "htk_compat": True, "energy_floor": 0.0},
    "as-they-are": {"full_scale": 1.0, "num_mel_bins": 64, "mel_floor": 1e-5},
}
CEPSTRA: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all": {"num_ceps": 23, "cepstral_lifter": 0.0, "subtract_mean": True},
    "energy": {"use_energy": True, "num_mel_bins": 40, "num_ceps": 20},
    "htk": {"htk_compat": True, "snip_edges": False},
    "htk-energy": {"htk_compat": True, "use_energy": True, "raw_energy": False},
}


def case(name: str, preset: Any, definition: Any, reference: Any, options: dict[str, Any]) -> Case:
    known = not {"mel_floor"} & options.keys()
    return Case(
        name=name,
        preset=lambda: preset(**options),
        definition=lambda x: definition(x, **options),
        reference=reference if known else None,
        count=counted(options),
        rate=options.get("sample_rate", 16000),
        samples=(7077, 9600, 4001),
    )


CASES = [
    *[
        case(f"fbank-{name}", af.presets.kaldi_fbank, fbank, torchaudio_of(kaldi.fbank, options), options)
        for name, options in BANKS.items()
    ],
    *[
        case(f"mfcc-{name}", af.presets.kaldi_mfcc, mfcc, torchaudio_of(kaldi.mfcc, options), options)
        for name, options in CEPSTRA.items()
    ],
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


@pytest.mark.parametrize("window_type", ["povey", "hanning", "hamming", "rectangular", "blackman", "sine", "hann"])
def test_each_window_is_kaldi_native_fbank_s(window_type):
    options = {"window_type": window_type, "num_mel_bins": 30}
    one = case(window_type, af.presets.kaldi_fbank, fbank, native("OnlineFbank", options), options)
    comparison.values(one)


@pytest.mark.parametrize("name", ["80", "edges", "sizes", "plain", "energy-last", "magnitude"])
def test_filter_banks_are_kaldi_native_fbank_s(name):
    options = {**BANKS[name]}
    reference = native("OnlineFbank", options)
    comparison.values(case(name, af.presets.kaldi_fbank, fbank, reference, options))
    count = counted(options)
    for n in (1000, 3000, 4001):
        assert reference(np.zeros(n, dtype=np.float32)).shape[1] == count(n)


@pytest.mark.parametrize("name", ["defaults", "energy", "htk"])
def test_cepstra_are_kaldi_native_fbank_s(name):
    options = CEPSTRA[name]
    comparison.values(case(name, af.presets.kaldi_mfcc, mfcc, native("OnlineMfcc", options), options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_type": "hann2"}, "window_type='hann2' must be one of 'povey', 'hanning'"),
        ({"num_mel_bins": 0}, "num_mel_bins=0 must be an integer"),
        ({"frame_length": 0.01}, r"frame_length=0\.01 and frame_shift=10\.0 ms must be 2 and 1 samples or more"),
        ({"frame_length": 25.1, "sample_rate": 8010, "round_to_power_of_two": False}, "an even number of samples"),
        ({"high_freq": 9000.0}, r"high_freq=9000\.0 Hz must lie above low_freq=20\.0 and not above half"),
        ({"low_freq": -1.0}, r"low_freq=-1\.0 must be a number >= 0"),
        ({"preemphasis_coefficient": 1.5}, r"preemphasis_coefficient=1\.5 must be 0 to 1"),
        ({"vtln_warp": 1.2, "vtln_low": 10.0}, r"vtln_low=10\.0 and vtln_high=7500\.0 Hz must lie between"),
        ({"full_scale": 0.0}, r"full_scale=0\.0 must be a finite number > 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        af.presets.kaldi_fbank(**options)


def test_an_option_of_another_name_is_answered():
    with pytest.raises(TypeError, match=r"kaldi_fbank has no argument num_mel_bin=40; do you mean num_mel_bins\?"):
        af.presets.kaldi_fbank(num_mel_bin=40)
    with pytest.raises(ValueError, match="num_ceps=24 must not exceed num_mel_bins=23"):
        af.presets.kaldi_mfcc(num_ceps=24)
